"""Energy balance of a surface, linearised in its temperature: G = A - B T_s into the column below. First level, as documented.

    G = (1 - a) K + eps (L - sigma T_s^4) - h (T_s - T_a) - LE

The emission is expanded about the last surface temperature; the column solver (`energy.conduction`) then finds T_s and G. Two
or three repetitions at the new T_s leave a residual below 0.1 W m-2 for steps of 10 minutes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from felsina.kernels._backend import cell, gpu, on_gpu, threads
from felsina.kernels.bounds import at_least
from felsina.kernels.constants import STEFAN_BOLTZMANN

BLOCK = 512  # surfaces per thread task


@cell
def emitted(emissivity, temperature):
    """Longwave emission eps sigma T^4 [W m-2]."""
    squared = temperature * temperature
    return emissivity * type(temperature)(STEFAN_BOLTZMANN) * squared * squared


@cell
def exchange_coefficient(wind_speed):
    """Convective exchange of an outdoor surface, h = 4 + 4 v [W m-2 K-1], v [m s-1] beside it (ISO 6946:2017, annex C)."""
    four = type(wind_speed)(4.0)
    return four + four * wind_speed


@cell
def net_radiation(shortwave, longwave, albedo, emissivity, surface_temperature):
    """Absorbed shortwave and longwave less emission [W m-2]."""
    one = type(surface_temperature)(1.0)
    return (one - albedo) * shortwave + emissivity * longwave - emitted(emissivity, surface_temperature)


@cell
def latent_flux(radiation, latent_share):
    """Evaporation as a fixed share of positive net radiation [W m-2]: none at night, no soil water; first level."""
    return latent_share * at_least(radiation, type(radiation)(0.0))


@cell
def linearised(shortwave, longwave, air, wind, old, albedo, emissivity, share):
    """A [W m-2] and B [W m-2 K-1] of one surface."""
    h = exchange_coefficient(wind)
    radiation = net_radiation(shortwave, longwave, albedo, emissivity, old)
    slope = type(old)(4.0) * emitted(emissivity, old) / old
    return radiation + slope * old + h * air - latent_flux(radiation, share), slope + h


@threads
def _linearise(shortwave, longwave, air, wind, old, group, albedo, emissivity, share, a, b, c0, c1):
    for block in prange((c1 - c0 + BLOCK - 1) // BLOCK):
        for i in range(c0 + block * BLOCK, min(c1, c0 + (block + 1) * BLOCK)):
            k = group[i]
            a[i], b[i] = linearised(
                shortwave[i], longwave[i], air[i], wind[i], old[i], albedo[k], emissivity[k], share[k]
            )  # fmt: skip


@gpu("T* T* T* T* T* i1* T* T* T* T* T* u4")
def linearise_gpu(element, shortwave, longwave, air, wind, old, group, albedo, emissivity, share, a, b, c0):
    i = c0 + element
    k = group[i]
    a[i], b[i] = linearised(shortwave[i], longwave[i], air[i], wind[i], old[i], albedo[k], emissivity[k], share[k])


def linearise_surface(
    shortwave: NDArray[Any],
    longwave: NDArray[Any],
    air_temperature: NDArray[Any],
    wind_speed: NDArray[Any],
    surface_temperature: NDArray[Any],
    surface_class: NDArray[np.integer[Any]],
    albedo: NDArray[Any],
    emissivity: NDArray[Any],
    latent_share: NDArray[Any],
    surface_a: NDArray[Any],
    surface_b: NDArray[Any],
    surfaces: tuple[int, int] | None = None,
) -> None:
    """Compute A and B of G = A - B T_s for each surface.

    B = 4 eps sigma T^3 + h,   A = (1 - a) K + eps L + 3 eps sigma T^4 + h T_a - LE,   T the last surface temperature.

    Parameters
    ----------
    shortwave, longwave : (n,) float
        Incoming radiation K and L on the surface [W m-2].
    air_temperature, wind_speed : (n,) float
        Beside the surface [K], [m s-1].
    surface_temperature : (n,) float
        About which the emission is expanded [K].
    surface_class : (n,) int
        Class of each surface in the tables.
    albedo, emissivity, latent_share : (n_class,) float, of the type of the surface temperature
        Of each class [1]; the latent share is the part of positive net radiation that evaporates water.
    surface_a, surface_b : (n,) float
        Out: A [W m-2] and B [W m-2 K-1].
    surfaces : (c0, c1)
        Part to compute; all by default.

    References
    ----------
    ISO 6946:2017, annex C, for h. Oke, Mills, Christen and Voogt 2017, Urban Climates, chapter 6, for the balance.
    """
    c0, c1 = surfaces or (0, surface_temperature.shape[0])
    arrays = (
        shortwave, longwave, air_temperature, wind_speed, surface_temperature, surface_class, albedo, emissivity, latent_share,
        surface_a, surface_b,
    )  # fmt: skip
    if c1 <= c0:
        return
    if on_gpu(*arrays):
        linearise_gpu((c1 - c0,), *arrays, c0)
    else:
        _linearise(*arrays, c0, c1)


@cell
def fluxes(shortwave, longwave, air, wind, surface, old, albedo, emissivity, share):
    """Net radiation, sensible and latent flux [W m-2] of one surface."""
    net = net_radiation(shortwave, longwave, albedo, emissivity, surface)
    latent = latent_flux(net_radiation(shortwave, longwave, albedo, emissivity, old), share)
    return net, exchange_coefficient(wind) * (surface - air), latent


@threads
def _fluxes(shortwave, longwave, air, wind, surface, old, group, albedo, emissivity, share, net, sensible, latent, c0, c1):
    for block in prange((c1 - c0 + BLOCK - 1) // BLOCK):
        for i in range(c0 + block * BLOCK, min(c1, c0 + (block + 1) * BLOCK)):
            k = group[i]
            net[i], sensible[i], latent[i] = fluxes(
                shortwave[i], longwave[i], air[i], wind[i], surface[i], old[i], albedo[k], emissivity[k], share[k]
            )  # fmt: skip


@gpu("T* T* T* T* T* T* i1* T* T* T* T* T* T* u4")
def fluxes_gpu(
    element, shortwave, longwave, air, wind, surface, old, group, albedo, emissivity, share, net, sensible, latent, c0
):
    i = c0 + element
    k = group[i]
    net[i], sensible[i], latent[i] = fluxes(
        shortwave[i], longwave[i], air[i], wind[i], surface[i], old[i], albedo[k], emissivity[k], share[k]
    )  # fmt: skip


def surface_fluxes(
    shortwave: NDArray[Any],
    longwave: NDArray[Any],
    air_temperature: NDArray[Any],
    wind_speed: NDArray[Any],
    surface_temperature: NDArray[Any],
    expanded_about: NDArray[Any],
    surface_class: NDArray[np.integer[Any]],
    albedo: NDArray[Any],
    emissivity: NDArray[Any],
    latent_share: NDArray[Any],
    net: NDArray[Any],
    sensible: NDArray[Any],
    latent: NDArray[Any],
    surfaces: tuple[int, int] | None = None,
) -> None:
    """Compute net radiation, sensible and latent flux at the solved surface temperature.

    net - sensible - latent - G is the residual of the linearisation [W m-2]. Arguments as in `linearise_surface`;
    `expanded_about` is the temperature that A and B were made with, and the last three arrays (n,) [W m-2] are written: net
    radiation downwards, sensible and latent heat upwards.
    """
    c0, c1 = surfaces or (0, surface_temperature.shape[0])
    arrays = (
        shortwave, longwave, air_temperature, wind_speed, surface_temperature, expanded_about, surface_class, albedo,
        emissivity, latent_share, net, sensible, latent,
    )  # fmt: skip
    if c1 <= c0:
        return
    if on_gpu(*arrays):
        fluxes_gpu((c1 - c0,), *arrays, c0)
    else:
        _fluxes(*arrays, c0, c1)
