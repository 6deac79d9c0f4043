"""Mean wind of a city, first level: a profile from morphometry, fitted between buildings so that no air is made or lost.

Profile: the weather station's wind goes up to a blending height by its log law, down to the roofs by the city's, and decays
exponentially in the canopy. Field: the profile is sheltered near walls, each vertical strip of faces is scaled to the same
flux, and the vertical velocity follows from continuity. The field is free of divergence to rounding, passes no solid face and
is still at the top; it knows no wakes or vortices. A mass-consistent solver replaces `fit_wind` by other face velocities.

Buildings are columns from the ground: `roof_layer` counts the solid cells. Axes: u eastward, v SOUTHWARD (rows grow to the
south), w upward.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from felsina.kernels._backend import rows, threads
from felsina.kernels.air.transport import HALO
from felsina.kernels.constants import AIR_VOLUMETRIC_HEAT_CAPACITY, GRAVITY, VON_KARMAN

_PRIESTLEY = 0.9  # 1, h* of free convection
_MILLIMETRE = 1000.0  # heights are summed as whole millimetres, so no cut of the city changes the sums


class Roughness(NamedTuple):
    """Aerodynamic properties of a built-up area for one wind direction."""

    height: float  # m, mean building height H
    frontal_density: float  # 1, lambda_f
    displacement: float  # m, d
    length: float  # m, z_0


@threads
def _morphometry(height, j0, j1, i0, i1, part):
    for j in prange(j0, j1):
        for i in range(i0, i1):
            h = height[j, i]
            if h > 0:
                part[j - j0, 0] += 1
                part[j - j0, 1] += np.int64(math.floor(h * _MILLIMETRE + 0.5))
            west = height[j, i - 1] if i > 0 else type(h)(0)
            north = height[j - 1, i] if j > 0 else type(h)(0)
            part[j - j0, 2] += np.int64(math.floor(abs(h - west) * _MILLIMETRE + 0.5))
            part[j - j0, 3] += np.int64(math.floor(abs(h - north) * _MILLIMETRE + 0.5))


def morphometry_sums(height: NDArray[Any], window: tuple[int, int, int, int] | None = None) -> NDArray[np.int64]:
    """Sum what roughness needs over a window: built cells, their heights, and wall heights facing east-west and north-south.

    Parameters
    ----------
    height : (ny, nx) float
        Building height above ground [m], 0 outside buildings.
    window : (j0, j1, i0, i1)
        Part to sum; all by default. Sums of windows that tile the city add up to those of the city exactly.

    Returns
    -------
    (4,) int64
        Number of built cells, and sums of height, of |step to the west cell| and of |step to the north cell| [mm].
    """
    j0, j1, i0, i1 = window or (0, height.shape[0], 0, height.shape[1])
    part = np.zeros((max(0, j1 - j0), 4), np.int64)
    if j1 > j0 and i1 > i0:
        _morphometry(height, j0, j1, i0, i1, part)
    return part.sum(axis=0)


def roughness(
    sums: NDArray[np.int64], n_cell: int, resolution: float, wind_from: float, ground_length: float = 0.03
) -> Roughness:
    """Return displacement height and roughness length of a built-up area.

    d / H = 1 + A^(-lp) (lp - 1),   z_0 / H = (1 - d / H) exp(-(0.5 beta C_D / kappa^2 (1 - d / H) lf)^(-1/2))

    with A = 4.43, beta = 1, C_D = 1.2 (staggered cubes), plan density lp and frontal density lf; never below `ground_length`.

    Parameters
    ----------
    sums : (4,) int64
        `morphometry_sums` of the area.
    n_cell : int
        Number of cells of the area, built or not.
    resolution : float
        Cell size [m].
    wind_from : float
        Direction the wind comes from, clockwise from north [rad].
    ground_length : float
        Roughness length of the ground without buildings [m].

    References
    ----------
    Macdonald, Griffiths and Hall 1998, Atmos. Environ. 32, 1857-1864.
    """
    built, volume, faces_x, faces_y = (int(x) for x in sums)
    if built == 0 or volume == 0:
        return Roughness(0.0, 0.0, 0.0, ground_length)
    height = volume / built / _MILLIMETRE
    plan = built / n_cell
    # Each wall has its like on the lee side: half of all steps face the wind.
    front = 0.5 * (faces_x * abs(math.sin(wind_from)) + faces_y * abs(math.cos(wind_from))) / _MILLIMETRE
    frontal = front / (n_cell * resolution)
    d = height * (1.0 + 4.43 ** (-plan) * (plan - 1.0))
    free = 1.0 - d / height
    drag = 0.5 * 1.0 * 1.2 / VON_KARMAN**2 * free * frontal
    z0 = height * free * math.exp(-(drag**-0.5)) if drag > 0.0 else 0.0
    return Roughness(height, frontal, d, max(z0, ground_length * free))


@rows
def _profile(z, speed, reference, station_z0, blending, height, frontal, d, z0, wind, k_minimum, diffusivity):
    at_blending = speed * math.log(blending / station_z0) / math.log(reference / station_z0)
    friction = VON_KARMAN * at_blending / math.log((blending - d) / z0)
    at_roof = friction / VON_KARMAN * math.log((height - d) / z0) if height > 0.0 else 0.0
    attenuation = 9.6 * frontal
    mixing = VON_KARMAN * (height - d)
    for n in range(z.size):
        if z[n] >= height:
            wind[n] = friction / VON_KARMAN * max(0.0, math.log(max(z[n] - d, z0) / z0))
            k = VON_KARMAN * friction * (z[n] - d)
        else:
            wind[n] = at_roof * math.exp(-attenuation * (1.0 - z[n] / height))
            k = mixing * mixing * attenuation / height * wind[n]
        diffusivity[n] = max(k, k_minimum)


def wind_profile(
    heights: NDArray[np.float64],
    speed: float,
    surface: Roughness,
    measured_at: float = 10.0,
    station_length: float = 0.03,
    blending_height: float = 150.0,
    least_diffusivity: float = 0.05,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean wind speed and the eddy diffusivity of heat over and between buildings, neutral.

    U(z) = u* / kappa ln((z - d) / z_0) above the mean roof height H, with u* from the station's wind carried up to the blending
    height by its own log law; U(z) = U(H) exp(-9.6 lf (1 - z / H)) below. K = kappa u* (z - d) above and l^2 dU/dz with
    l = kappa (H - d) below.

    Parameters
    ----------
    heights : (n,) float64
        Above ground [m]; below `blending_height`.
    speed : float
        Wind speed at the weather station [m s-1].
    surface : Roughness
        Of the city for the wind's direction.
    measured_at, station_length : float
        Height of the anemometer and roughness length around it [m] (0.03: short grass, WMO-No. 8).
    blending_height : float
        Where station and city share one wind [m].
    least_diffusivity : float
        Smallest K [m2 s-1]: street air is never still (traffic, plumes).

    Returns
    -------
    (n,) float64, (n,) float64
        U [m s-1] and K [m2 s-1].

    References
    ----------
    Macdonald 2000, Boundary-Layer Meteorol. 97, 25-45 (a = 9.6 lf); Cionco 1965, J. Appl. Meteorol. 4, 517-522;
    Wieringa 1986, Q. J. R. Meteorol. Soc. 112, 867-889 (transfer through a blending height).
    """
    z = np.ascontiguousarray(heights, np.float64)
    wind, diffusivity = np.zeros_like(z), np.zeros_like(z)
    _profile(
        z, float(speed), measured_at, station_length, blending_height, surface.height, surface.frontal_density,
        surface.displacement, surface.length, wind, least_diffusivity, diffusivity,
    )  # fmt: skip
    return wind, diffusivity


@rows
def _free_convection(z, flux, temperature, out):
    for n in range(z.size):
        out[n] = (_PRIESTLEY * _PRIESTLEY * flux * GRAVITY / temperature) ** (1.0 / 3.0) * z[n] ** (4.0 / 3.0)


def free_convection_diffusivity(heights: NDArray[np.float64], sensible_heat: float, temperature: float) -> NDArray[np.float64]:
    """Return the eddy diffusivity of heat that buoyancy alone sustains over warm surfaces.

    K = (h*^2 F g / T)^(1/3) z^(4/3),   F = H / (rho c_p),

    from F = h* (g / T)^(1/2) z^2 |dT/dz|^(3/2) with h* = 0.9; 0 for H <= 0.

    Parameters
    ----------
    heights : (n,) float64
        Above ground [m].
    sensible_heat : float
        Mean upward heat flux H of the surfaces [W m-2].
    temperature : float
        Of the air [K].

    Returns
    -------
    (n,) float64
        K [m2 s-1]. The larger of this and the neutral one is what the air has.

    References
    ----------
    Priestley 1959, Turbulent Transfer in the Lower Atmosphere; Garratt 1992, The Atmospheric Boundary Layer, section 3.3.
    """
    z = np.ascontiguousarray(heights, np.float64)
    out = np.zeros_like(z)
    if sensible_heat > 0.0:
        _free_convection(z, float(sensible_heat) / AIR_VOLUMETRIC_HEAT_CAPACITY, float(temperature), out)
    return out


@rows
def _closed(roof, j, i, along_row):
    """Lowest open layer of the face between a column and the one before it; the land beyond the grid is open."""
    ny, nx = roof.shape
    b = roof[j, i] if 0 <= j < ny and 0 <= i < nx else 0
    jb, ib = (j, i - 1) if along_row else (j - 1, i)
    a = roof[jb, ib] if 0 <= jb < ny and 0 <= ib < nx else 0
    return max(a, b)


@rows
def _strip(roof, profile, j, i, along_row, step, shelter, flux):
    """Fill the velocities of the vertical strip of faces between a column and the one before it."""
    nz = profile.size
    n_reach = math.ceil(shelter / step)
    first = _closed(roof, j, i, along_row)
    for k in range(nz):
        flux[k] = 0.0 if k < first else profile[k]
    for m in range(1, n_reach):
        factor = m * step / shelter
        for side in (-m, m):
            wall = _closed(roof, j + (0 if along_row else side), i + (side if along_row else 0), along_row)
            for k in range(first, min(wall, nz)):
                # The nearest wall of a layer is met first and shelters most.
                flux[k] = min(flux[k], factor * profile[k]) if profile[k] > 0 else max(flux[k], factor * profile[k])
    want, have = 0.0, 0.0
    for k in range(nz):
        want += profile[k]
        have += flux[k]
    scale = want / have if have != 0.0 else 0.0
    for k in range(nz):
        flux[k] *= scale


@threads
def _fit(roof, east, south, j0, i0, nj, ni, dz, dy, dx, shelter, u, v, w):
    nz = east.size
    for row in prange(nj + 1):
        strip = np.empty(nz)
        for col in range(ni + 1):
            j, i = j0 + row, i0 + col
            if row < nj:
                _strip(roof, east, j, i, True, dx, shelter, strip)
                for k in range(nz):
                    u[k + HALO, row + HALO, col + HALO] = strip[k]
            if col < ni:
                _strip(roof, south, j, i, False, dy, shelter, strip)
                for k in range(nz):
                    v[k + HALO, row + HALO, col + HALO] = strip[k]
    for row in prange(HALO, nj + HALO):
        for col in range(HALO, ni + HALO):
            up = 0.0
            for k in range(HALO, nz + HALO):
                w[k, row, col] = up
                gain = (np.float64(u[k, row, col]) - np.float64(u[k, row, col + 1])) / dx
                gain += (np.float64(v[k, row, col]) - np.float64(v[k, row + 1, col])) / dy
                up += dz * gain
            w[nz + HALO, row, col] = 0.0


def fit_wind(
    roof_layer: NDArray[np.integer[Any]],
    speed: NDArray[np.float64],
    wind_from: float,
    spacing: tuple[float, float, float],
    shelter_length: float,
    u: NDArray[Any],
    v: NDArray[Any],
    w: NDArray[Any],
    window: tuple[int, int, int, int] | None = None,
) -> None:
    """Compute face velocities that follow a wind profile between buildings and conserve air.

    Along each axis a face at distance x from the nearest closed face of its row carries min(1, x / l) of the profile (l =
    `shelter_length`), a closed face nothing; each strip of faces is scaled so that its flux is that of the profile; and
    w = -int (du/dx + dv/dy) dz from the ground, which is 0 at the top. So div u = 0 to rounding and canopies feel less wind
    across streets than along them, while the air over roofs speeds up.

    Parameters
    ----------
    roof_layer : (ny, nx) int
        Solid layers of each column, of the whole city or of the window with all within `shelter_length` + 1 cell of it. Must
        leave open layers above every roof.
    speed : (nz,) float64
        Wind speed in the middle of each layer [m s-1].
    wind_from : float
        Direction the wind comes from, clockwise from north [rad].
    spacing : (dz, dy, dx)
        [m]
    shelter_length : float
        [m]; about twice the mean building height.
    u, v, w : (nz + 4, j1 - j0 + 4, i1 - i0 + 4) float
        Out: velocity of west, north and lower faces [m s-1]; halo faces that bound no cell of the window are left alone.
    window : (j0, j1, i0, i1)
        Part of the city to compute; all by default. Any cut gives the same bits.
    """
    j0, j1, i0, i1 = window or (0, roof_layer.shape[0], 0, roof_layer.shape[1])
    if j1 <= j0 or i1 <= i0:
        return
    highest = int(roof_layer.max())
    if highest >= len(speed):
        raise ValueError(f"A building fills {highest} layers of {len(speed)}; the air grid must reach above every roof.")
    dz, dy, dx = spacing
    east = -math.sin(wind_from) * np.asarray(speed, np.float64)
    south = math.cos(wind_from) * np.asarray(speed, np.float64)
    _fit(roof_layer, east, south, j0, i0, j1 - j0, i1 - i0, dz, dy, dx, float(shelter_length), u, v, w)


@threads
def _air_cells(roof, j0, i0, out):
    ny, nx = roof.shape
    for row in prange(out.shape[1]):
        for col in range(out.shape[2]):
            j, i = j0 + row - HALO, i0 + col - HALO
            solid = roof[j, i] if 0 <= j < ny and 0 <= i < nx else 0
            for k in range(out.shape[0]):
                out[k, row, col] = 1 if k - HALO >= solid and k >= HALO else 0


def air_cells(
    roof_layer: NDArray[np.integer[Any]], n_layer: int, window: tuple[int, int, int, int] | None = None
) -> NDArray[np.uint8]:
    """Return the mask of air cells with its halo: solid under roofs and below ground, air above the top and beyond the grid.

    (n_layer + 4, j1 - j0 + 4, i1 - i0 + 4) uint8, from (ny, nx) `roof_layer` and a window as in `fit_wind`.
    """
    j0, j1, i0, i1 = window or (0, roof_layer.shape[0], 0, roof_layer.shape[1])
    out = np.empty((n_layer + 2 * HALO, max(0, j1 - j0) + 2 * HALO, max(0, i1 - i0) + 2 * HALO), np.uint8)
    _air_cells(roof_layer, j0, i0, out)
    return out
