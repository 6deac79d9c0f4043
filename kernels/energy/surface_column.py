"""Heat balance of a surface and conduction in the column below it, solved together: one step for each, at one temperature.

The emission of the surface is expanded about its last temperature and the column is solved; a second pass expands it about what
came out (`air.surface_balance`, `energy.conduction`). What lies below the top layer does not depend on the surface, so it is
eliminated once, only the closing at the surface is repeated, and the layers are read and written once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from felsina.kernels._backend import cell, gpu, on_gpu, rows, threads
from felsina.kernels.air.surface_balance import exchange_coefficient, linearised
from felsina.kernels.energy.conduction import (
    LANES,
    ConductionTables,
    closed,
    column_eliminated,
    column_substituted,
    eliminate_block,
    require_layers,
    substitute_block,
)

U4 = np.uint32
PASSES = 2  # leave a residual below 0.1 W m-2 for steps of 10 minutes


@cell
def closed_by_balance(about, here, below, f_below, shortwave, longwave, air, wind, albedo, emissivity, share, down, top, skin):
    """Close a column with the balance expanded about a surface temperature.

    Returns
    -------
    (increment of the top layer [K], T_s [K], G [W m-2])
    """
    a, b = linearised(shortwave, longwave, air, wind, about, albedo, emissivity, share)
    return closed(here, below, f_below, a, b, down, top, skin)


@rows
def _close(
    delta, here, below, f_below, group, shortwave, longwave, air, wind, albedo, emissivity, share, down, top, skin,
    surface, flux, sensible,
):  # fmt: skip
    for i in range(delta.size):
        j = np.uint64(i)
        k = group[j]
        delta[j], surface[j], flux[j] = closed_by_balance(
            surface[j], here[j], below[j], f_below[j], shortwave[j], longwave[j], air[j], wind[j], albedo[k], emissivity[k],
            share[k], down[k], top[k], skin[k],
        )  # fmt: skip
        sensible[j] = exchange_coefficient(wind[j]) * (surface[j] - air[j])


@threads
def _columns(
    temperature, group, up, down, inverse, top, skin, shortwave, longwave, air, wind, albedo, emissivity, share, bottom,
    surface, flux, sensible, c0, c1,
):  # fmt: skip
    n_layer = temperature.shape[0]
    for block in prange((c1 - c0 + LANES - 1) // LANES):
        i0 = c0 + block * LANES
        i1 = min(c1, i0 + LANES)
        n = i1 - i0
        f = np.zeros((n_layer + 1, LANES), temperature.dtype)
        delta = np.empty(n, temperature.dtype)
        eliminate_block(f, temperature, group, up, down, inverse, bottom, i0, i1)
        below = temperature[1, i0:i1] if n_layer > 1 else bottom[i0:i1]
        for _ in range(PASSES):
            _close(
                delta, temperature[0, i0:i1], below, f[1, :n], group[i0:i1], shortwave[i0:i1], longwave[i0:i1], air[i0:i1],
                wind[i0:i1], albedo, emissivity, share, down[0], top, skin, surface[i0:i1], flux[i0:i1], sensible[i0:i1],
            )  # fmt: skip
        substitute_block(f, temperature, delta, group, up, inverse, i0, i1)


@gpu("T* i1* T* T* T* T* T* T* T* T* T* T* T* T* T* T* T* T* u4 u4 u4 u4", block=(64,))
def balance_columns_gpu(
    element, temperature, group, up, down, inverse, top, skin, shortwave, longwave, air, wind, albedo, emissivity, share,
    bottom, surface, flux, sensible, c0, n, n_layer, n_class,
):  # fmt: skip
    """Advance surface and column c0 + element: every temperature is read once and written once."""
    i = U4(c0 + element)
    k = U4(group[i])
    t, f, e = column_eliminated(temperature, i, n, n_layer, k, n_class, up, down, inverse, bottom[i])
    here, about = temperature[i], surface[i]
    for _ in range(PASSES):
        delta, about, into = closed_by_balance(
            about, here, t[0][0], f[0][0], shortwave[i], longwave[i], air[i], wind[i], albedo[k], emissivity[k], share[k],
            down[k], top[k], skin[k],
        )  # fmt: skip
    surface[i] = about
    flux[i] = into
    sensible[i] = exchange_coefficient(wind[i]) * (about - air[i])
    temperature[i] = here + delta
    column_substituted(temperature, i, n, n_layer, t, f, e, delta)


def balance_columns(
    temperature: NDArray[Any],
    column_class: NDArray[np.integer[Any]],
    tables: ConductionTables,
    shortwave: NDArray[Any],
    longwave: NDArray[Any],
    air_temperature: NDArray[Any],
    wind_speed: NDArray[Any],
    albedo: NDArray[Any],
    emissivity: NDArray[Any],
    latent_share: NDArray[Any],
    bottom_temperature: NDArray[Any],
    surface_temperature: NDArray[Any],
    surface_flux: NDArray[Any],
    sensible_heat: NDArray[Any],
    columns: tuple[int, int] | None = None,
) -> None:
    """Advance surfaces and the columns below by one step, in place.

    The same as `linearise_surface` and `conduct`, twice from the same layers, at a third of the memory traffic.

    Parameters
    ----------
    temperature : (n_layer, n) float32 or float64
        Layer temperatures [K], top first; replaced by those at the end of the step. A GPU takes up to 17 layers.
    column_class : (n,) int, int8 on the GPU
        Class of each column in `tables` and in the tables of surfaces.
    tables : ConductionTables
        Of the same float type, of this time step and on the same side as the columns.
    shortwave, longwave : (n,) float
        Incoming radiation on the surface [W m-2].
    air_temperature, wind_speed : (n,) float
        Beside the surface [K], [m s-1].
    albedo, emissivity, latent_share : (n_class,) float
        Of each class [1].
    bottom_temperature : (n,) float
        [K]; without effect where the bottom conductance is 0, but finite.
    surface_temperature : (n,) float
        T_s [K]: before the step, about which the first pass expands the emission; replaced by that at its end.
    surface_flux, sensible_heat : (n,) float
        Out: G into the column and H = h (T_s - T_a) to the air [W m-2], at the end of the step.
    columns : (c0, c1)
        Part of the columns to advance; all by default. Any cut gives the same bits.
    """
    c0, c1 = columns or (0, temperature.shape[1])
    arrays = (
        temperature, column_class, *tables, shortwave, longwave, air_temperature, wind_speed, albedo, emissivity, latent_share,
        bottom_temperature, surface_temperature, surface_flux, sensible_heat,
    )  # fmt: skip
    if c1 <= c0:
        return
    if on_gpu(*arrays):
        n_layer, n = temperature.shape
        require_layers(n_layer)
        balance_columns_gpu((c1 - c0,), *arrays, c0, n, n_layer, tables.top.size)
    else:
        _columns(*arrays, c0, c1)
