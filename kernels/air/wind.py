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

from felsina.kernels._backend import array_module, cell, gpu, on_gpu, rows, threads
from felsina.kernels._gpu import atomic_add
from felsina.kernels.air.transport import HALO, flat_index, strides
from felsina.kernels.constants import AIR_VOLUMETRIC_HEAT_CAPACITY, GRAVITY, VON_KARMAN

_PRIESTLEY = 0.9  # 1, h* of free convection
_MILLIMETRE = 1000.0  # heights are summed as whole millimetres, so no cut of the city changes the sums
_STRIP = 32  # rows that a thread of the GPU sums


class Roughness(NamedTuple):
    """Aerodynamic properties of a built-up area for one wind direction."""

    height: float  # m, mean building height H
    frontal_density: float  # 1, lambda_f
    displacement: float  # m, d
    length: float  # m, z_0


@cell
def millimetres(length):
    """A length [m] in whole millimetres, rounded half up; the product is all that rounds, so CPU and GPU agree."""
    return (np.int64(math.floor(abs(length) * type(length)(2.0 * _MILLIMETRE))) + np.int64(1)) >> np.int64(1)


@threads
def _morphometry(height, j0, j1, i0, i1, part):
    for j in prange(j0, j1):
        for i in range(i0, i1):
            h = height[j, i]
            if h > 0:
                part[j - j0, 0] += 1
                part[j - j0, 1] += millimetres(h)
            west = height[j, i - 1] if i > 0 else type(h)(0)
            north = height[j - 1, i] if j > 0 else type(h)(0)
            part[j - j0, 2] += millimetres(h - west)
            part[j - j0, 3] += millimetres(h - north)


@gpu("T* i8* u4 u4 u4 u4", dims=2)
def morphometry_gpu(strip, column, height, sums, j0, j1, i0, nx):
    """Sum `_STRIP` rows of a column first: a million threads that add to four words would wait for each other."""
    one, i = np.uint32(1), np.uint32(i0 + column)
    j = np.uint32(j0 + np.uint32(strip * np.uint32(_STRIP)))
    end = min(np.uint32(j + np.uint32(_STRIP)), j1)
    built = volume = faces_x = faces_y = np.int64(0)
    while j < end:
        q = np.uint32(np.uint32(j * nx) + i)
        h = height[q]
        zero = type(h)(0)
        if h > zero:
            built += np.int64(1)
            volume += millimetres(h)
        faces_x += millimetres(h - (height[np.uint32(q - one)] if i > np.uint32(0) else zero))
        faces_y += millimetres(h - (height[np.uint32(q - nx)] if j > np.uint32(0) else zero))
        j = np.uint32(j + one)
    atomic_add(sums, 0, built)
    atomic_add(sums, 1, volume)
    atomic_add(sums, 2, faces_x)
    atomic_add(sums, 3, faces_y)


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
        Number of built cells, and sums of height, of |step to the west cell| and of |step to the north cell| [mm]. On the host:
        on the GPU this waits for the result.
    """
    j0, j1, i0, i1 = window or (0, height.shape[0], 0, height.shape[1])
    if j1 <= j0 or i1 <= i0:
        return np.zeros(4, np.int64)
    if on_gpu(height):
        sums = array_module(height).zeros(4, np.int64)
        morphometry_gpu((-(-(j1 - j0) // _STRIP), i1 - i0), height, sums, j0, j1, i0, height.shape[1])
        return np.asarray(sums.get())
    part = np.zeros((j1 - j0, 4), np.int64)
    _morphometry(height, j0, j1, i0, i1, part)
    return np.asarray(part.sum(axis=0))


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


@cell
def closed_layers(roof, ny, nx, j, i, dj, di):
    """Closed layers of the face between column (j, i) and the one (dj, di) before it; the land beyond the grid is open."""
    jb, ib = j - dj, i - di
    b = roof[j * nx + i] if (j >= 0) & (j < ny) & (i >= 0) & (i < nx) else np.int32(0)
    a = roof[jb * nx + ib] if (jb >= 0) & (jb < ny) & (ib >= 0) & (ib < nx) else np.int32(0)
    return max(np.int64(a), np.int64(b))


@cell
def fit_strip(roof, ny, nx, j, i, dj, di, speed, nz, component, step, shelter, out, q, sz):
    """Fill the velocities of the strip of faces between column (j, i) and the one (dj, di) before it, from flat index q.

    The nearest wall of a layer is met first and shelters most, and lower walls shelter only lower layers: walking away from the
    strip, the layers that a new distance shelters stand on those that have been sheltered before. The walk is taken twice, for
    the sum of what passes and for the velocities; no memory is needed in between.
    """
    zero, one = type(component)(0), type(component)(1)
    first = min(closed_layers(roof, ny, nx, j, i, dj, di), nz)
    want = zero
    k = np.int64(0)
    while k < nz:  # `range` costs a GPU a second counter
        want += speed[k]
        k += np.int64(1)
    have, scale = zero, zero
    pass_ = np.int64(0)
    while pass_ < np.int64(2):
        done = np.int64(0)
        if pass_ == 1:
            scale = want / have if have > zero else zero
            while done < first:
                out[q + np.uint64(done) * sz] = zero
                done += 1
        done = first
        m = np.int64(1)
        while done < nz:
            # Beyond the reach of shelter the rest of the strip carries its profile.
            factor = type(component)(m) * step / shelter
            top = nz
            if factor < one:
                ahead = closed_layers(roof, ny, nx, j + m * dj, i + m * di, dj, di)
                behind = closed_layers(roof, ny, nx, j - m * dj, i - m * di, dj, di)
                top = min(max(ahead, behind), nz)
            else:
                factor = one
            while done < top:
                part = factor * speed[done]
                if pass_ == 0:
                    have += part
                else:
                    out[q + np.uint64(done) * sz] = component * (part * scale)
                done += 1
            m += 1
        pass_ += np.int64(1)


@cell
def lift(u, v, w, q, nz, sy, sz, dz, dx, dy):
    """Fill the vertical velocities of the column from flat index q by continuity: none at the ground, none at the top."""
    up, l = type(dz)(0), np.int64(0)
    while l < np.int64(nz):
        w[q] = up
        up += dz * ((u[q] - u[q + np.uint64(1)]) / dx + (v[q] - v[q + sy]) / dy)
        q += sz
        l += np.int64(1)
    w[q] = type(dz)(0)


@threads
def _fit(roof, ny, nx, speed, east, south, j0, i0, nj, ni, nz, first, sy, sz, dz, dy, dx, shelter, u, v, w):
    uy, uz = np.uint64(sy), np.uint64(sz)
    for row in prange(nj + 1):
        for col in range(ni + 1):
            j, i, q = j0 + row, i0 + col, np.uint64(first + row * sy + col)
            if row < nj:
                fit_strip(roof, ny, nx, j, i, 0, 1, speed, nz, east, dx, shelter, u, q, uz)
            if col < ni:
                fit_strip(roof, ny, nx, j, i, 1, 0, speed, nz, south, dy, shelter, v, q, uz)
    for row in prange(nj):
        for col in range(ni):
            lift(u, v, w, np.uint64(first + row * sy + col), nz, uy, uz, dz, dx, dy)


@gpu("i4* T* T* i4 i4 i4 i4 i4 i4 i4 u4 u4 u4 T T T", dims=2)
def strip_gpu(row, col, roof, speed, out, ny, nx, j0, i0, dj, di, nz, q0, sy, sz, component, step, shelter):
    q = flat_index(q0, np.uint32(0), row, col, sy, sz)
    j, i = np.int64(j0) + np.int64(row), np.int64(i0) + np.int64(col)
    a, b = np.int64(dj), np.int64(di)
    fit_strip(
        roof, np.int64(ny), np.int64(nx), j, i, a, b, speed, np.int64(nz), component, step, shelter, out, q, np.uint64(sz)
    )


@gpu("T* T* T* u4 u4 u4 u4 T T T", dims=2)
def lift_gpu(row, col, u, v, w, nz, q0, sy, sz, dz, dx, dy):
    lift(u, v, w, flat_index(q0, np.uint32(0), row, col, sy, sz), nz, np.uint64(sy), np.uint64(sz), dz, dx, dy)


def fit_wind(
    roof_layer: NDArray[np.integer[Any]],
    speed: NDArray[Any],
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
        leave open layers above every roof. On the GPU int32, and not checked: nothing is read back.
    speed : (nz,) float
        Wind speed in the middle of each layer [m s-1], not negative; on the GPU of the type of `u`.
    wind_from : float
        Direction the wind comes from, clockwise from north [rad].
    spacing : (dz, dy, dx)
        [m]
    shelter_length : float
        [m]; about twice the mean building height.
    u, v, w : (nz + 4, j1 - j0 + 4, i1 - i0 + 4) float
        Out: velocity of west, north and lower faces [m s-1], all computed in their type; halo faces that bound no cell of the
        window are left alone.
    window : (j0, j1, i0, i1)
        Part of the city to compute; all by default. Any cut gives the same bits.
    """
    j0, j1, i0, i1 = window or (0, roof_layer.shape[0], 0, roof_layer.shape[1])
    if j1 <= j0 or i1 <= i0:
        return
    dz, dy, dx = spacing
    east, south = -math.sin(wind_from), math.cos(wind_from)
    nz, nj, ni = len(speed), j1 - j0, i1 - i0
    first, sy, sz = strides(u)
    if on_gpu(roof_layer, speed, u, v, w):
        place = (nz, first, sy, sz)
        strip_gpu((nj, ni + 1), roof_layer, speed, u, *roof_layer.shape, j0, i0, 0, 1, *place, east, dx, shelter_length)
        strip_gpu((nj + 1, ni), roof_layer, speed, v, *roof_layer.shape, j0, i0, 1, 0, *place, south, dy, shelter_length)
        lift_gpu((nj, ni), u, v, w, *place, dz, dx, dy)
        return
    highest = int(roof_layer.max())
    if highest >= nz:
        raise ValueError(f"A building fills {highest} layers of {nz}; the air grid must reach above every roof.")
    if not (u.flags.c_contiguous and v.flags.c_contiguous and w.flags.c_contiguous):
        raise ValueError("The wind is written to C-contiguous arrays; a view of a larger one is not written.")
    kind = u.dtype.type
    flat = (a.reshape(-1) for a in (u, v, w))
    _fit(
        roof_layer.reshape(-1), *roof_layer.shape, speed.astype(kind), kind(east), kind(south), j0, i0, nj, ni, nz,
        first, sy, sz, kind(dz), kind(dy), kind(dx), kind(shelter_length), *flat,
    )  # fmt: skip


@cell
def is_open(roof, ny, nx, k, j, i):
    """1 where layer k of column (j, i) is air, 0 in a building and below the ground; all is open beyond the grid."""
    solid = np.int64(roof[j * nx + i]) if (j >= 0) & (j < ny) & (i >= 0) & (i < nx) else np.int64(0)
    return np.uint8(1) if (k >= solid) & (k >= 0) else np.uint8(0)


@threads
def _air_cells(roof, ny, nx, j0, i0, out):
    for row in prange(out.shape[1]):
        for col in range(out.shape[2]):
            for k in range(out.shape[0]):
                out[k, row, col] = is_open(roof, ny, nx, k - HALO, j0 + row - HALO, i0 + col - HALO)


@gpu("i4* u1* i4 i4 i4 i4 u4 u4", dims=3)
def air_cells_gpu(k, row, col, roof, out, ny, nx, j0, i0, sy, sz):
    """`j0`, `i0`: row and column of the first cell of the padded array."""
    q = flat_index(np.uint32(0), k, row, col, sy, sz)
    j, i = np.int64(j0) + np.int64(row), np.int64(i0) + np.int64(col)
    out[q] = is_open(roof, np.int64(ny), np.int64(nx), np.int64(k) - np.int64(HALO), j, i)


def air_cells(
    roof_layer: NDArray[np.integer[Any]], n_layer: int, window: tuple[int, int, int, int] | None = None
) -> NDArray[np.uint8]:
    """Return the mask of air cells with its halo: solid under roofs and below ground, air above the top and beyond the grid.

    (n_layer + 4, j1 - j0 + 4, i1 - i0 + 4) uint8, from (ny, nx) `roof_layer` and a window as in `fit_wind`.
    """
    j0, j1, i0, i1 = window or (0, roof_layer.shape[0], 0, roof_layer.shape[1])
    shape = (n_layer + 2 * HALO, max(0, j1 - j0) + 2 * HALO, max(0, i1 - i0) + 2 * HALO)
    out = array_module(roof_layer).empty(shape, np.uint8)
    if on_gpu(roof_layer):
        air_cells_gpu(shape, roof_layer, out, *roof_layer.shape, j0 - HALO, i0 - HALO, shape[2], shape[1] * shape[2])
    else:
        _air_cells(roof_layer.reshape(-1), *roof_layer.shape, j0, i0, out)
    return out
