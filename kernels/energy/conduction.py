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

from felsina.kernels._backend import rows, threads

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


@rows
def _middle(f, here, above, below, f_below, group, up, down, inverse):
    """Eliminate one layer of a block: f = (flux in from both neighbours + down f_below) / diagonal."""
    for i in range(f.size):
        k = group[np.uint64(i)]
        t = here[np.uint64(i)]
        into = up[k] * (above[np.uint64(i)] - t) + down[k] * (below[np.uint64(i)] - t + f_below[np.uint64(i)])
        f[np.uint64(i)] = into * inverse[k]


@rows
def _last(f, here, above, bottom, group, up, down, inverse):
    for i in range(f.size):
        k = group[np.uint64(i)]
        t = here[np.uint64(i)]
        f[np.uint64(i)] = (up[k] * (above[np.uint64(i)] - t) + down[k] * (bottom[np.uint64(i)] - t)) * inverse[k]


@rows
def _first(delta, here, below, f_below, group, a, b, down, top, skin, surface, flux):
    """Close a block at the surface: G = A - B T_s = skin (T_s - T_1), with T_1 = T_1old + delta."""
    for i in range(delta.size):
        k = group[np.uint64(i)]
        t, g, ai, bi = here[np.uint64(i)], skin[k], a[np.uint64(i)], b[np.uint64(i)]
        through = g / (bi + g)
        into = through * (ai - bi * t) + down[k] * (below[np.uint64(i)] - t + f_below[np.uint64(i)])
        d = into / (top[k] + through * bi)
        delta[np.uint64(i)] = d
        q = through * (ai - bi * (t + d))
        flux[np.uint64(i)] = q
        surface[np.uint64(i)] = t + d + q / g


@rows
def _substitute(delta, here, f, group, up, inverse):
    """Add this layer's increment; `delta` comes in as that of the layer above and goes out as this layer's."""
    for i in range(delta.size):
        k = group[np.uint64(i)]
        d = f[np.uint64(i)] + up[k] * inverse[k] * delta[np.uint64(i)]
        delta[np.uint64(i)] = d
        here[np.uint64(i)] += d


@threads
def _columns(temperature, group, up, down, inverse, top, skin, a, b, bottom, surface, flux, c0, c1):
    n_layer = temperature.shape[0]
    for block in prange((c1 - c0 + LANES - 1) // LANES):
        i0 = c0 + block * LANES
        i1 = min(c1, i0 + LANES)
        n = i1 - i0
        f = np.zeros((n_layer + 1, LANES), temperature.dtype)
        g, delta = group[i0:i1], np.empty(n, temperature.dtype)
        last = n_layer - 1
        if last > 0:
            _last(
                f[last, :n], temperature[last, i0:i1], temperature[last - 1, i0:i1], bottom[i0:i1],
                g, up[last], down[last], inverse[last],
            )  # fmt: skip
        for l in range(last - 1, 0, -1):
            _middle(
                f[l, :n], temperature[l, i0:i1], temperature[l - 1, i0:i1], temperature[l + 1, i0:i1],
                f[l + 1, :n], g, up[l], down[l], inverse[l],
            )  # fmt: skip
        below = temperature[1, i0:i1] if last > 0 else bottom[i0:i1]
        _first(
            delta, temperature[0, i0:i1], below, f[1, :n], g, a[i0:i1], b[i0:i1],
            down[0], top, skin, surface[i0:i1], flux[i0:i1],
        )  # fmt: skip
        for i in range(n):
            temperature[0, i0 + i] += delta[i]
        for l in range(1, n_layer):
            _substitute(delta, temperature[l, i0:i1], f[l, :n], g, up[l], inverse[l])


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
        Layer temperatures [K], top first; replaced by those at the end of the step.
    column_class : (n,) int
        Class of each column in `tables`.
    tables : ConductionTables
        Of the same float type and of this time step.
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
    if c1 > c0:
        _columns(
            temperature, column_class, *tables, surface_a, surface_b, bottom_temperature,
            surface_temperature, surface_flux, c0, c1,
        )  # fmt: skip
