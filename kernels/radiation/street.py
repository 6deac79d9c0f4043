"""Radiation that reaches horizontal surfaces of the street, and the sums of an hour. First level, as documented.

    L_in = psi L + (1 - psi) sigma T_a^4         walls are black and as warm as the air
    D_in = psi D + (1 - psi) rho_w G / 2         walls reflect the share rho_w of half of the global radiation
    K_in = D_in + B sin(h) visible               psi the sky view factor, B the direct normal irradiance

Diffuse light is isotropic. All values are float32, all arrays have one shape, and cells do not meet.

References
----------
Oke, Mills, Christen and Voogt 2017, Urban Climates, chapter 5 (exchange between surfaces by view factors).
"""

from __future__ import annotations

import numpy as np
from numba import prange
from numpy.typing import NDArray

from felsina.kernels._backend import cell, gpu, on_gpu, rows, threads
from felsina.kernels.constants import STEFAN_BOLTZMANN, ZERO_CELSIUS

_BLOCK = 4096  # cells per thread task
_ONE = np.float32(1.0)
_SIGMA = np.float32(STEFAN_BOLTZMANN)
_ZERO_CELSIUS = np.float32(ZERO_CELSIUS)


@cell
def longwave_of_street(sky, air, downwelling):
    """Incoming longwave [W m-2] from the sky view [1], the air temperature [K] and the longwave of the sky [W m-2]."""
    squared = air * air
    return sky * downwelling + (_ONE - sky) * _SIGMA * squared * squared


@cell
def diffuse_of_street(sky, diffuse, reflected):
    """Incoming diffuse shortwave [W m-2] from that of the sky and that of the walls."""
    return sky * diffuse + (_ONE - sky) * reflected


@rows
def _ambient_row(sky, air, downwelling, diffuse, reflected, longwave_out, diffuse_out):
    for i in range(sky.size):
        k = np.uint64(i)
        longwave_out[k] = longwave_of_street(sky[k], air[k], downwelling)
        diffuse_out[k] = diffuse_of_street(sky[k], diffuse, reflected)


@threads
def _ambient(sky, air, downwelling, diffuse, reflected, longwave_out, diffuse_out):
    for block in prange((sky.size + _BLOCK - 1) // _BLOCK):
        a, b = block * _BLOCK, min(sky.size, (block + 1) * _BLOCK)
        _ambient_row(sky[a:b], air[a:b], downwelling, diffuse, reflected, longwave_out[a:b], diffuse_out[a:b])


@gpu("f4* f4* f4* f4* f4 f4 f4")
def ambient_gpu(element, sky, air, longwave_out, diffuse_out, downwelling, diffuse, reflected):
    longwave_out[element] = longwave_of_street(sky[element], air[element], downwelling)
    diffuse_out[element] = diffuse_of_street(sky[element], diffuse, reflected)


def ambient_radiation(
    sky: NDArray[np.float32],
    air_temperature: NDArray[np.float32],
    longwave: float,
    diffuse: float,
    global_horizontal: float,
    wall_albedo: float,
    longwave_out: NDArray[np.float32],
    diffuse_out: NDArray[np.float32],
) -> None:
    """Compute the longwave and the diffuse shortwave that surfaces receive from sky and walls.

    L_in = psi L + (1 - psi) sigma T_a^4,   D_in = psi D + (1 - psi) rho_w G / 2

    With walls as warm as the air, a street in radiative balance with it neither gains nor loses.

    Parameters
    ----------
    sky, air_temperature : float32 of one shape
        Sky view factor psi [1] and temperature T_a of the air beside the surface [K].
    longwave, diffuse, global_horizontal : float
        Downwelling longwave L, diffuse D and global horizontal irradiance G in the open [W m-2].
    wall_albedo : float
        rho_w [1].
    longwave_out, diffuse_out : float32 of the same shape
        Out: L_in and D_in [W m-2].
    """
    scalars = (np.float32(longwave), np.float32(diffuse), np.float32(0.5 * wall_albedo * global_horizontal))
    arrays = _flat(sky, air_temperature, longwave_out, diffuse_out)
    if on_gpu(*arrays):
        ambient_gpu((sky.size,), *arrays, *scalars)
    else:
        _ambient(*arrays[:2], *scalars, *arrays[2:])


@cell
def with_beam(diffuse, visible, beam):
    """Incoming shortwave [W m-2]: diffuse, and the beam on the level where the sun is seen."""
    return diffuse + beam * visible


@cell
def add_share(total, value, share):
    """Mean of an hour with one more sub-step."""
    return total + share * value


@rows
def _beam_row(diffuse, visible, beam, share, dark, bright, shortwave, shortwave_sum, shaded_sum, sunlit_sum):
    for i in range(diffuse.size):
        k = np.uint64(i)
        shortwave[k] = with_beam(diffuse[k], visible[k], beam)
        shortwave_sum[k] = add_share(shortwave_sum[k], shortwave[k], share)
        shaded_sum[k] = add_share(shaded_sum[k], _ONE - visible[k], dark)
        sunlit_sum[k] = add_share(sunlit_sum[k], visible[k], bright)


@threads
def _beam(diffuse, visible, beam, share, dark, bright, shortwave, shortwave_sum, shaded_sum, sunlit_sum):
    for block in prange((diffuse.size + _BLOCK - 1) // _BLOCK):
        a, b = block * _BLOCK, min(diffuse.size, (block + 1) * _BLOCK)
        _beam_row(
            diffuse[a:b], visible[a:b], beam, share, dark, bright, shortwave[a:b], shortwave_sum[a:b], shaded_sum[a:b],
            sunlit_sum[a:b],
        )  # fmt: skip


@gpu("f4* f4* f4* f4* f4* f4* f4 f4 f4 f4")
def beam_gpu(element, diffuse, visible, shortwave, shortwave_sum, shaded_sum, sunlit_sum, beam, share, dark, bright):
    seen = visible[element]
    incoming = with_beam(diffuse[element], seen, beam)
    shortwave[element] = incoming
    shortwave_sum[element] = add_share(shortwave_sum[element], incoming, share)
    shaded_sum[element] = add_share(shaded_sum[element], _ONE - seen, dark)
    sunlit_sum[element] = add_share(sunlit_sum[element], seen, bright)


def add_beam(
    diffuse: NDArray[np.float32],
    visible: NDArray[np.float32],
    beam: float,
    share: float,
    shaded_share: float,
    sunlit_share: float,
    shortwave: NDArray[np.float32],
    shortwave_sum: NDArray[np.float32],
    shaded_sum: NDArray[np.float32],
    sunlit_sum: NDArray[np.float32],
) -> None:
    """Compute the shortwave of a sub-step, and add it and the shade to the means of the hour.

    K = D + B v,   sum K += s K,   sum shaded += s_d (1 - v),   sum sunlit += s_b v

    Parameters
    ----------
    diffuse, visible : float32 of one shape
        D of `ambient_radiation` [W m-2] and share v of the beam that reaches each cell [1] (`shadow.sun_visible`).
    beam : float
        Direct irradiance of the level B, normal irradiance times sine of the elevation [W m-2]; 0 while the sun is down.
    share, shaded_share, sunlit_share : float
        Weights [1] s of the sub-step in the mean of the hour, s_d among the sub-steps with the sun up (0 for others), s_b in
        the sunshine (0 where the direct radiation is too weak to count).
    shortwave : float32 of the same shape
        Out: K [W m-2].
    shortwave_sum, shaded_sum, sunlit_sum : float32 of the same shape
        In and out: means of the hour so far [W m-2], [1], [1].
    """
    scalars = (np.float32(beam), np.float32(share), np.float32(shaded_share), np.float32(sunlit_share))
    arrays = _flat(diffuse, visible, shortwave, shortwave_sum, shaded_sum, sunlit_sum)
    if on_gpu(*arrays):
        beam_gpu((diffuse.size,), *arrays, *scalars)
    else:
        _beam(*arrays[:2], *scalars, *arrays[2:])


@rows
def _surface_row(temperature, sensible, share, temperature_sum, sensible_sum):
    for i in range(temperature.size):
        k = np.uint64(i)
        temperature_sum[k] = add_share(temperature_sum[k], temperature[k], share)
        sensible_sum[k] = add_share(sensible_sum[k], sensible[k], share)


@threads
def _surface(temperature, sensible, share, temperature_sum, sensible_sum):
    for block in prange((temperature.size + _BLOCK - 1) // _BLOCK):
        a, b = block * _BLOCK, min(temperature.size, (block + 1) * _BLOCK)
        _surface_row(temperature[a:b], sensible[a:b], share, temperature_sum[a:b], sensible_sum[a:b])


@gpu("f4* f4* f4* f4* f4")
def surface_sums_gpu(element, temperature, sensible, temperature_sum, sensible_sum, share):
    temperature_sum[element] = add_share(temperature_sum[element], temperature[element], share)
    sensible_sum[element] = add_share(sensible_sum[element], sensible[element], share)


def add_surface(
    surface_temperature: NDArray[np.float32],
    sensible: NDArray[np.float32],
    share: float,
    temperature_sum: NDArray[np.float32],
    sensible_sum: NDArray[np.float32],
) -> None:
    """Add surface temperature [K] and sensible heat [W m-2] of a sub-step, weight `share` [1], to the means of the hour.

    All arrays float32 of one size; the last two are changed.
    """
    arrays = _flat(surface_temperature, sensible, temperature_sum, sensible_sum)
    if on_gpu(*arrays):
        surface_sums_gpu((surface_temperature.size,), *arrays, np.float32(share))
    else:
        _surface(*arrays[:2], np.float32(share), *arrays[2:])


@cell
def degrees_of(kelvin):
    """Temperature on the Celsius scale from [K]."""
    return kelvin - _ZERO_CELSIUS


@rows
def _degrees_row(kelvin, degrees):
    for i in range(kelvin.size):
        degrees[np.uint64(i)] = degrees_of(kelvin[np.uint64(i)])


@threads
def _degrees(kelvin, degrees):
    for block in prange((kelvin.size + _BLOCK - 1) // _BLOCK):
        a, b = block * _BLOCK, min(kelvin.size, (block + 1) * _BLOCK)
        _degrees_row(kelvin[a:b], degrees[a:b])


@gpu("f4* f4*")
def kelvin_to_celsius_gpu(element, kelvin, degrees):
    degrees[element] = degrees_of(kelvin[element])


def kelvin_to_celsius(kelvin: NDArray[np.float32], degrees: NDArray[np.float32]) -> None:
    """Convert temperatures from [K] to the Celsius scale for publication, float32 of one size; both may be the same array."""
    arrays = _flat(kelvin, degrees)
    if on_gpu(*arrays):
        kelvin_to_celsius_gpu((kelvin.size,), *arrays)
    else:
        _degrees(*arrays)


def _flat(*arrays: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Return arrays as vectors of one size, without copies.

    Raises
    ------
    ValueError
        When an array is strided, so that results would be written elsewhere, or of another size.
    """
    size = arrays[0].size
    for k, array in enumerate(arrays):
        if array.size != size or not array.flags.c_contiguous:
            kind = "contiguous" if array.flags.c_contiguous else "strided"
            raise ValueError(f"Array {k} is {kind} with {array.size} cells; expected contiguous with {size}.")
    return [array.reshape(-1) for array in arrays]


__all__ = ["add_beam", "add_surface", "ambient_radiation", "kelvin_to_celsius"]
