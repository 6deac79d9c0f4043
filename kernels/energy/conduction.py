"""Heat conduction in layered columns (soil, pavement, roofs, walls), implicit in time, under a linearised surface balance.

Columns share materials: what a class of columns has in common is eliminated once (`conduction_tables`), so a column-layer costs
a few multiplications and no division. The elimination runs from the bottom up, because only the topmost row, where the surface
balance enters, differs from column to column. What makes up the surface balance is in `air.surface_balance`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from felsina.kernels._backend import cell, gpu, on_gpu, rows, threads

LANES = 256  # columns per block; the work array of 12 layers stays in the first-level cache


class ConductionTables(NamedTuple):
    """What the columns of each class share for one time step; all (n_layer, n_class) unless stated."""

    up: NDArray[Any]  # W m-2 K-1, to the layer above; 0 in the top layer
    down: NDArray[Any]  # W m-2 K-1, to the layer below, or to the bottom temperature
    inverse: NDArray[Any]  # m2 K W-1, reciprocal of the eliminated diagonal (top layer: see `top`)
    top: NDArray[Any]  # (n_class,) W m-2 K-1, eliminated diagonal of the top layer without the surface
    skin: NDArray[Any]  # (n_class,) W m-2 K-1, surface to the middle of the top layer


def conduction_tables(
    conductivity: NDArray[Any],
    heat_capacity: NDArray[Any],
    thickness: NDArray[Any],
    time_step: float,
    bottom_conductance: NDArray[Any] | None = None,
    dtype: type = np.float64,
) -> ConductionTables:
    """Eliminate what all columns of a class share.

    Parameters
    ----------
    conductivity, heat_capacity, thickness : (n_class, n_layer) float
        lambda [W m-1 K-1], volumetric C [J m-3 K-1] and d [m] of each layer, top first; all > 0.
    time_step : float
        [s]
    bottom_conductance : (n_class,) float
        From the middle of the last layer to the bottom temperature [W m-2 K-1]: 0 is adiabatic (default), 2 lambda / d holds
        the lower face at the bottom temperature, and smaller values are a resistance behind it (an indoor film).
    dtype : type
        Float type of the columns.
    """
    lam, c, d = (np.asarray(v, np.float64).T for v in (conductivity, heat_capacity, thickness))
    n_layer, n_class = d.shape
    half = 0.5 * d / lam
    up, down, inverse = np.zeros_like(d), np.zeros_like(d), np.zeros_like(d)
    up[1:] = 1.0 / (half[1:] + half[:-1])
    down[:-1] = up[1:]
    if bottom_conductance is not None:
        down[-1] = bottom_conductance
    store = c * d / time_step
    ratio = np.zeros(n_class)  # e of the layer below: delta_below = e delta + f
    diagonal = np.zeros(n_class)
    for l in range(n_layer - 1, -1, -1):
        diagonal = store[l] + up[l] + down[l] * (1.0 - ratio)
        inverse[l] = 1.0 / diagonal
        ratio = up[l] * inverse[l]
    return ConductionTables(*(np.ascontiguousarray(v, dtype) for v in (up, down, inverse, diagonal, 1.0 / half[0])))


@cell
def eliminated(above, here, below, f_below, up, down, inverse):
    """Return f of delta = f + e delta_above, with delta_below = f_below + e_below delta put in [K]."""
    return (up * (above - here) + down * (below - here + f_below)) * inverse


@cell
def closed(here, below, f_below, a, b, down, top, skin):
    """Close a column at the surface: G = A - B T_s = skin (T_s - T_1), with T_1 = T_1old + delta.

    Returns
    -------
    (delta [K], T_s [K], G [W m-2])
    """
    through = skin / (b + skin)
    into = through * (a - b * here) + down * (below - here + f_below)
    delta = into / (top + through * b)
    flux = through * (a - b * (here + delta))
    return delta, here + delta + flux / skin, flux


@cell
def substituted(f, e, delta_above):
    """Return the increment of a layer from that of the layer above [K]; e = up x inverse [1]."""
    return f + e * delta_above


@rows
def _eliminate(f, here, above, below, f_below, group, up, down, inverse):
    for i in range(f.size):
        j = np.uint64(i)
        k = group[j]
        f[j] = eliminated(above[j], here[j], below[j], f_below[j], up[k], down[k], inverse[k])


@rows
def _substitute(delta, here, f, group, up, inverse):
    """Add this layer's increment; `delta` comes in as that of the layer above and goes out as this layer's."""
    for i in range(delta.size):
        j = np.uint64(i)
        k = group[j]
        delta[j] = substituted(f[j], up[k] * inverse[k], delta[j])
        here[j] += delta[j]


@rows
def _close(delta, here, below, f_below, group, a, b, down, top, skin, surface, flux):
    for i in range(delta.size):
        j = np.uint64(i)
        k = group[j]
        delta[j], surface[j], flux[j] = closed(here[j], below[j], f_below[j], a[j], b[j], down[k], top[k], skin[k])


@rows
def eliminate_block(f, temperature, group, up, down, inverse, bottom, i0, i1):
    """Eliminate the layers below the top one in columns i0 to i1; f (n_layer + 1, LANES) comes as zeros."""
    n, last = i1 - i0, temperature.shape[0] - 1
    for l in range(last, 0, -1):
        below = bottom[i0:i1] if l == last else temperature[l + 1, i0:i1]
        _eliminate(
            f[l, :n], temperature[l, i0:i1], temperature[l - 1, i0:i1], below, f[l + 1, :n], group[i0:i1],
            up[l], down[l], inverse[l],
        )  # fmt: skip


@rows
def substitute_block(f, temperature, delta, group, up, inverse, i0, i1):
    """Add the increments of all layers in columns i0 to i1; `delta` comes in as that of the top layer."""
    n = i1 - i0
    for i in range(n):
        temperature[0, i0 + i] += delta[i]
    for l in range(1, temperature.shape[0]):
        _substitute(delta, temperature[l, i0:i1], f[l, :n], group[i0:i1], up[l], inverse[l])


@threads
def _columns(temperature, group, up, down, inverse, top, skin, a, b, bottom, surface, flux, c0, c1):
    n_layer = temperature.shape[0]
    for block in prange((c1 - c0 + LANES - 1) // LANES):
        i0 = c0 + block * LANES
        i1 = min(c1, i0 + LANES)
        n = i1 - i0
        f = np.zeros((n_layer + 1, LANES), temperature.dtype)
        delta = np.empty(n, temperature.dtype)
        eliminate_block(f, temperature, group, up, down, inverse, bottom, i0, i1)
        below = temperature[1, i0:i1] if n_layer > 1 else bottom[i0:i1]
        _close(
            delta, temperature[0, i0:i1], below, f[1, :n], group[i0:i1], a[i0:i1], b[i0:i1],
            down[0], top, skin, surface[i0:i1], flux[i0:i1],
        )  # fmt: skip
        substitute_block(f, temperature, delta, group, up, inverse, i0, i1)


U4 = np.uint32
MOST_LAYERS = 17  # on a GPU: the top layer and four times four that a thread keeps in registers


@cell
def _four(p, i, n, l, n_layer, bottom):
    """Read layers l to l + 3 of column i; the bottom temperature where there is none."""
    return (
        p[U4(l * n + i)] if l < n_layer else bottom,
        p[U4(U4(l + U4(1)) * n + i)] if l + U4(1) < n_layer else bottom,
        p[U4(U4(l + U4(2)) * n + i)] if l + U4(2) < n_layer else bottom,
        p[U4(U4(l + U4(3)) * n + i)] if l + U4(3) < n_layer else bottom,
    )


@cell
def _eliminate_one(above, here, below, f_below, k, n_class, l, n_layer, up, down, inverse):
    """Return f and e of layer l; 0, as of the bottom, where there is no such layer."""
    if l >= n_layer:
        return f_below, f_below
    r = U4(l * n_class + k)
    g, h = up[r], inverse[r]
    return eliminated(above, here, below, f_below, g, down[r], h), g * h


@cell
def _eliminate_four(above, t, below, f, k, n_class, l, n_layer, up, down, inverse):
    """Return f and e of layers l to l + 3 from the temperatures of the layer above, their own, and that of the layer below."""
    f3, e3 = _eliminate_one(t[2], t[3], below, f, k, n_class, U4(l + U4(3)), n_layer, up, down, inverse)
    f2, e2 = _eliminate_one(t[1], t[2], t[3], f3, k, n_class, U4(l + U4(2)), n_layer, up, down, inverse)
    f1, e1 = _eliminate_one(t[0], t[1], t[2], f2, k, n_class, U4(l + U4(1)), n_layer, up, down, inverse)
    f0, e0 = _eliminate_one(above, t[0], t[1], f1, k, n_class, l, n_layer, up, down, inverse)
    return (f0, f1, f2, f3), (e0, e1, e2, e3)


@cell
def _substitute_four(p, i, n, t, f, e, delta, l, n_layer):
    """Write layers l to l + 3 and return the increment of the lowest."""
    if l < n_layer:
        delta = substituted(f[0], e[0], delta)
        p[U4(l * n + i)] = t[0] + delta
    if l + U4(1) < n_layer:
        delta = substituted(f[1], e[1], delta)
        p[U4(U4(l + U4(1)) * n + i)] = t[1] + delta
    if l + U4(2) < n_layer:
        delta = substituted(f[2], e[2], delta)
        p[U4(U4(l + U4(2)) * n + i)] = t[2] + delta
    if l + U4(3) < n_layer:
        delta = substituted(f[3], e[3], delta)
        p[U4(U4(l + U4(3)) * n + i)] = t[3] + delta
    return delta


@cell
def column_eliminated(p, i, n, n_layer, k, n_class, up, down, inverse, bottom):
    """Read column i and eliminate the layers below the top one.

    Returns
    -------
    (temperatures of the layers below the top, their f, their e), each four tuples of four; layers that are not there have the
    bottom temperature, and f = e = 0
    """
    t1, t2 = _four(p, i, n, U4(1), n_layer, bottom), _four(p, i, n, U4(5), n_layer, bottom)
    t3, t4 = _four(p, i, n, U4(9), n_layer, bottom), _four(p, i, n, U4(13), n_layer, bottom)
    zero = type(bottom)(0)
    f4, e4 = _eliminate_four(t3[3], t4, bottom, zero, k, n_class, U4(13), n_layer, up, down, inverse)
    f3, e3 = _eliminate_four(t2[3], t3, t4[0], f4[0], k, n_class, U4(9), n_layer, up, down, inverse)
    f2, e2 = _eliminate_four(t1[3], t2, t3[0], f3[0], k, n_class, U4(5), n_layer, up, down, inverse)
    f1, e1 = _eliminate_four(p[i], t1, t2[0], f2[0], k, n_class, U4(1), n_layer, up, down, inverse)
    return (t1, t2, t3, t4), (f1, f2, f3, f4), (e1, e2, e3, e4)


@cell
def column_substituted(p, i, n, n_layer, t, f, e, delta):
    """Write column i below its top layer, whose increment is `delta`."""
    delta = _substitute_four(p, i, n, t[0], f[0], e[0], delta, U4(1), n_layer)
    delta = _substitute_four(p, i, n, t[1], f[1], e[1], delta, U4(5), n_layer)
    delta = _substitute_four(p, i, n, t[2], f[2], e[2], delta, U4(9), n_layer)
    _substitute_four(p, i, n, t[3], f[3], e[3], delta, U4(13), n_layer)


@gpu("T* i1* T* T* T* T* T* T* T* T* T* T* u4 u4 u4 u4", block=(64,))
def conduct_gpu(
    element, temperature, group, up, down, inverse, top, skin, a, b, bottom, surface, flux, c0, n, n_layer, n_class
):
    """Advance column c0 + element: every temperature is read once and written once."""
    i = U4(c0 + element)
    k = U4(group[i])
    t, f, e = column_eliminated(temperature, i, n, n_layer, k, n_class, up, down, inverse, bottom[i])
    here = temperature[i]
    delta, surface[i], flux[i] = closed(here, t[0][0], f[0][0], a[i], b[i], down[k], top[k], skin[k])
    temperature[i] = here + delta
    column_substituted(temperature, i, n, n_layer, t, f, e, delta)


def require_layers(n_layer: int) -> None:
    """Refuse columns that do not fit into the registers of a GPU thread."""
    if n_layer > MOST_LAYERS:
        raise ValueError(f"The columns have {n_layer} layers; a GPU takes at most {MOST_LAYERS}.")


def conduct(
    temperature: NDArray[Any],
    column_class: NDArray[np.integer[Any]],
    tables: ConductionTables,
    surface_a: NDArray[Any],
    surface_b: NDArray[Any],
    bottom_temperature: NDArray[Any],
    surface_temperature: NDArray[Any],
    surface_flux: NDArray[Any],
    columns: tuple[int, int] | None = None,
) -> None:
    """Advance layered columns by one backward Euler step, in place.

    C d (T' - T) / dt = g_up (T'_above - T') + g_down (T'_below - T'), with the heat flux into the surface linearised in the
    surface temperature, G = A - B T_s = skin (T_s - T'_1). The step is solved for the increment, which keeps float32 columns
    from losing their heat to rounding. The heat stored equals G dt less what leaves at the bottom, to rounding.

    Parameters
    ----------
    temperature : (n_layer, n) float32 or float64
        Layer temperatures [K], top first; replaced by those at the end of the step. A GPU takes up to 17 layers.
    column_class : (n,) int, int8 on the GPU
        Class of each column in `tables`.
    tables : ConductionTables
        Of the same float type, of this time step and on the same side as the columns.
    surface_a, surface_b : (n,) float
        A [W m-2] and B >= 0 [W m-2 K-1] of the surface balance.
    bottom_temperature : (n,) float
        [K]; without effect where the bottom conductance is 0, but finite.
    surface_temperature, surface_flux : (n,) float
        Out: T_s [K] and G [W m-2], at the end of the step.
    columns : (c0, c1)
        Part of the columns to advance; all by default. Any cut gives the same bits.

    References
    ----------
    Patankar 1980, Numerical Heat Transfer and Fluid Flow, chapter 4 (interface conductance, implicit step).
    """
    c0, c1 = columns or (0, temperature.shape[1])
    if c1 <= c0:
        return
    columns_and_tables = (temperature, column_class, *tables, surface_a, surface_b, bottom_temperature)
    if on_gpu(*columns_and_tables, surface_temperature, surface_flux):
        n_layer, n = temperature.shape
        require_layers(n_layer)
        sizes = (c0, n, n_layer, tables.top.size)
        conduct_gpu((c1 - c0,), *columns_and_tables, surface_temperature, surface_flux, *sizes)
    else:
        _columns(*columns_and_tables, surface_temperature, surface_flux, c0, c1)
