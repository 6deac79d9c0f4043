"""Irradiance of tilted surfaces: the all-weather sky of Perez, written as seven numbers of the sky times numbers of a surface.

The sky of an instant (or the mean of an interval's sub-steps) is held as

    bx, by, bz   beam with the circumsolar part as a vector, east, north, up [W m-2]: (DNI + DHI F1 / max(cos z, cos 85)) s
    bn           its length [W m-2]
    d0           isotropic part, DHI (1 - F1) [W m-2]
    d1           horizon part, DHI F2 [W m-2]
    gr           reflected by the ground, albedo GHI [W m-2]

and a surface of normal n, tilt b, sky view v_s = (1 + cos b)/2, horizon term v_h = sin b, ground view v_g = (1 - cos b)/2 gets

    I = max(n . b, 0) + max(d0 v_s + d1 v_h, 0) + gr v_g

so no surface needs its own table, whatever its azimuth and tilt. The clearness bins are those of "all sites composite, 1990".

References
----------
Perez, Ineichen, Seals, Michalsky, Stewart (1990), Modeling daylight availability and irradiance components from direct and
global irradiance. Solar Energy 44, 271-289. Kasten, Young (1989), Revised optical air mass tables and approximation formula.
Applied Optics 28, 4735-4738. Erbs, Klein, Duffie (1982), Estimation of the diffuse radiation fraction for hourly, daily and
monthly-average global radiation. Solar Energy 28, 293-302.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from felsina.kernels._backend import array_module, cell, gpu, on_gpu, rows
from felsina.kernels.bounds import at_least, at_most
from felsina.kernels.radiation.sun import extraterrestrial_normal, sun_seen, vector

SKY = ("beam_east", "beam_north", "beam_up", "beam_normal", "diffuse", "horizon", "ground")
N_SKY = len(SKY)
N_AZIMUTH = 8
N_SECTOR = N_AZIMUTH + 2  # vertical walls of eight azimuths from north clockwise, the horizontal, the ground's reflection
MOST_MINUTES = 10.0  # longest sub-step
_COS_85 = math.cos(math.radians(85.0))


@cell
def relative_air_mass(elevation):
    """Return the relative optical air mass [1] at an apparent elevation [rad], 0 at least (Kasten and Young 1989)."""
    degrees = at_least(elevation * (180.0 / math.pi), 0.0)
    return 1.0 / (math.sin(at_least(elevation, 0.0)) + 0.50572 * (degrees + 6.07995) ** -1.6364)


@cell
def perez_brightness(clearness, brightness, zenith):
    """Return F1 (circumsolar, not negative) and F2 (horizon) of Perez et al. 1990, table 6.

    clearness: epsilon [1]; brightness: Delta [1]; zenith [rad].
    """
    if clearness < 1.065:
        a, b, c, d, e, f = -0.008, 0.588, -0.062, -0.060, 0.072, -0.022
    elif clearness < 1.23:
        a, b, c, d, e, f = 0.130, 0.683, -0.151, -0.019, 0.066, -0.029
    elif clearness < 1.5:
        a, b, c, d, e, f = 0.330, 0.487, -0.221, 0.055, -0.064, -0.026
    elif clearness < 1.95:
        a, b, c, d, e, f = 0.568, 0.187, -0.295, 0.109, -0.152, -0.014
    elif clearness < 2.8:
        a, b, c, d, e, f = 0.873, -0.392, -0.362, 0.226, -0.462, 0.001
    elif clearness < 4.5:
        a, b, c, d, e, f = 1.132, -1.237, -0.412, 0.288, -0.823, 0.056
    elif clearness < 6.2:
        a, b, c, d, e, f = 1.060, -1.600, -0.359, 0.264, -1.127, 0.131
    else:
        a, b, c, d, e, f = 0.678, -0.327, -0.250, 0.156, -1.377, 0.251
    return at_least(a + b * brightness + c * zenith, 0.0), d + e * brightness + f * zenith


@cell
def sky_state(direct, diffuse, elevation, azimuth, distance, air_mass):
    """Return bx, by, bz, bn, d0, d1 of the Perez sky.

    direct: normal irradiance DNI; diffuse: horizontal DHI [W m-2]; elevation (true), azimuth [rad]; distance [au].
    A sun below the horizon leaves an isotropic sky without beam.
    """
    if elevation <= 0.0:
        return 0.0, 0.0, 0.0, 0.0, at_least(diffuse, 0.0), 0.0
    zenith = 0.5 * math.pi - elevation
    f1 = 0.0
    f2 = 0.0
    if diffuse > 0.0:
        cube = 1.041 * zenith * zenith * zenith
        clearness = ((diffuse + direct) / diffuse + cube) / (1.0 + cube)
        f1, f2 = perez_brightness(clearness, diffuse * air_mass / extraterrestrial_normal(distance), zenith)
    up = math.sin(elevation)
    beam = direct + diffuse * f1 / at_least(up, _COS_85)
    flat = beam * math.cos(elevation)
    return flat * math.sin(azimuth), flat * math.cos(azimuth), beam * up, beam, diffuse * (1.0 - f1), diffuse * f2


@cell
def surface_irradiance(nx, ny, nz, vs, vh, vg, bx, by, bz, d0, d1, gr):
    """Return the irradiance of a surface [W m-2] under a sky of this module."""
    zero = bx * 0
    return at_least(nx * bx + ny * by + nz * bz, zero) + at_least(d0 * vs + d1 * vh, zero) + gr * vg


@cell
def middle_of(end, step, k, n_sub):
    """Return the middle of sub-step k of the interval [d] that ends at `end`."""
    return end - step + (k + 0.5) * step / n_sub


@cell
def sub_steps_up(end, step, n_sub, latitude, longitude):
    """Return in how many sub-steps of an interval the sun is up."""
    n_up = 0
    for k in range(n_sub):
        if sun_seen(middle_of(end, step, k, n_sub), latitude, longitude)[0] > 0.0:
            n_up += 1
    return n_up


@cell
def sub_step_sky(end, step, k, n_sub, n_up, latitude, longitude, direct, diffuse, horizontal, albedo):
    """Return the seven scalars of the sky in sub-step k of an interval from the means [W m-2] of the interval."""
    elevation, azimuth, _, _, distance = sun_seen(middle_of(end, step, k, n_sub), latitude, longitude)
    # A file's mean over an interval in which the sun rises belongs to its lit part.
    gain = n_sub / n_up if n_up > 0 else 1.0
    lit = gain if elevation > 0.0 or n_up == 0 else 0.0
    bx, by, bz, bn, d0, d1 = sky_state(direct * lit, diffuse * lit, elevation, azimuth, distance, relative_air_mass(elevation))
    return bx, by, bz, bn, d0, d1, albedo * horizontal * lit


@rows
def _sky(day, step, n_sub, latitude, longitude, direct, diffuse, horizontal, albedo, out):
    for i in range(day.size):
        n_up = sub_steps_up(day[i], step, n_sub, latitude, longitude)
        for k in range(n_sub):
            state = sub_step_sky(
                day[i], step, k, n_sub, n_up, latitude, longitude, direct[i], diffuse[i], horizontal[i], albedo
            )
            for m in range(N_SKY):
                out[i, k, m] = state[m]


@gpu("f8* f8* f8* f8* f8* f8 f8 f8 f8 u4")
def sky_states_gpu(i, day, direct, diffuse, horizontal, out, step, latitude, longitude, albedo, n_sub):
    n_up = sub_steps_up(day[i], step, n_sub, latitude, longitude)
    for k in range(n_sub):
        state = sub_step_sky(day[i], step, k, n_sub, n_up, latitude, longitude, direct[i], diffuse[i], horizontal[i], albedo)
        first = np.uint32(np.uint32(N_SKY) * np.uint32(np.uint32(i * n_sub) + np.uint32(k)))
        for m in range(N_SKY):
            out[np.uint32(first + np.uint32(m))] = state[m]


def sky_states(
    interval_end: ArrayLike,
    step: float,
    latitude: float,
    longitude: float,
    direct_normal: ArrayLike,
    diffuse_horizontal: ArrayLike,
    global_horizontal: ArrayLike,
    albedo: float = 0.2,
    minutes: float = MOST_MINUTES,
) -> NDArray[np.float64]:
    """Compute the sky of each sub-step of each interval.

    Irradiances are means over the interval that ends at `interval_end`; the sun is taken at the mid-points of equal
    sub-steps. The mean of an interval is spread over its sub-steps with the sun up, so the interval keeps its sum.

    Parameters
    ----------
    interval_end : (n,) float
        End of the interval, UTC [days since 2000-01-01 12:00].
    step : float
        Length of the interval [s].
    latitude, longitude : float
        Geographic latitude and longitude [rad].
    direct_normal, diffuse_horizontal, global_horizontal : (n,) float
        Irradiances [W m-2].
    albedo : float
        Albedo of the ground [1].
    minutes : float
        Longest sub-step [min], at most 10.

    Returns
    -------
    (n, n_sub, 7) float
        The scalars of `SKY` [W m-2]; their mean over axis 1 is `mean_sky`.
    """
    end, *flux = (vector(v) for v in (interval_end, direct_normal, diffuse_horizontal, global_horizontal))
    n_sub = max(1, math.ceil(step / 60.0 / min(minutes, MOST_MINUTES) - 1e-9))
    out = array_module(end).empty((end.size, n_sub, N_SKY), np.float64)
    place = (float(latitude), float(longitude))
    if on_gpu(end, *flux, out):
        sky_states_gpu((end.size,), end, *flux, out, step / 86400.0, *place, albedo, n_sub)
    else:
        _sky(end, step / 86400.0, n_sub, *place, *flux, float(albedo), out)
    return out


@rows
def _mean(sky, out):
    for i in range(sky.shape[0]):
        for m in range(sky.shape[2]):
            total = 0.0
            for k in range(sky.shape[1]):
                total += sky[i, k, m]
            out[i, m] = total / sky.shape[1]


@gpu("f8* f8* u4 u4", dims=2, block=(8, 16))
def mean_sky_gpu(i, m, sky, out, n_sub, n_sky):
    total = 0.0
    k, end = np.uint32(i * n_sub), np.uint32(np.uint32(i + np.uint32(1)) * n_sub)
    while k < end:
        total += sky[np.uint32(k * n_sky + m)]
        k = np.uint32(k + np.uint32(1))
    out[np.uint32(i * n_sky + m)] = total / n_sub


def mean_sky(sky: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average sub-steps to intervals: (n, n_sub, 7) to (n, 7) [W m-2]; exact for every surface that sees the sun all along."""
    n, n_sub, n_sky = sky.shape
    out = array_module(sky).empty((n, n_sky), np.float64)
    if on_gpu(sky, out):
        mean_sky_gpu((n, n_sky), sky, out, n_sub, n_sky)
    else:
        _mean(np.ascontiguousarray(sky, np.float64), out)
    return out


@cell
def facing(tilt, azimuth):
    """Return the normal of a surface, east, north, up, and the sine of its tilt [1] from its angles [rad]."""
    up = math.cos(tilt)
    across = math.sin(tilt)
    return across * math.sin(azimuth), across * math.cos(azimuth), up, across


@cell
def received(east, north, up, across, bx, by, bz, d0, d1, gr):
    """Return the irradiance [W m-2] of an unshaded surface of normal (east, north, up) in an open place."""
    vs = 0.5 * (1.0 + up)
    vg = 0.5 * (1.0 - up)
    return surface_irradiance(east, north, up, vs, across, vg, bx, by, bz, d0, d1, gr)


@rows
def _surfaces(sky, tilt, azimuth, out):
    for s in range(tilt.size):
        east, north, up, across = facing(tilt[s], azimuth[s])
        for i in range(sky.shape[0]):
            total = 0.0
            for k in range(sky.shape[1]):
                total += received(
                    east, north, up, across,
                    sky[i, k, 0], sky[i, k, 1], sky[i, k, 2], sky[i, k, 4], sky[i, k, 5], sky[i, k, 6],
                )  # fmt: skip
            out[i, s] = total / sky.shape[1]


@cell
def mean_received(sky, i, n_sub, east, north, up, across, ground_share):
    """Return the mean of `received` over the sub-steps of interval i of flat `sky`: the loop of one GPU thread."""
    total = 0.0
    k, end = np.uint32(i * n_sub), np.uint32(np.uint32(i + np.uint32(1)) * n_sub)
    while k < end:
        q = np.uint32(np.uint32(N_SKY) * k)
        total += received(
            east, north, up, across, sky[q], sky[np.uint32(q + np.uint32(1))], sky[np.uint32(q + np.uint32(2))],
            sky[np.uint32(q + np.uint32(4))], sky[np.uint32(q + np.uint32(5))],
            ground_share * sky[np.uint32(q + np.uint32(6))],
        )  # fmt: skip
        k = np.uint32(k + np.uint32(1))
    return total / n_sub


@gpu("f8* f8* f8* f8* u4 u4")
def tilted_gpu(element, sky, tilt, azimuth, out, n_sub, n_surface):
    i = np.uint32(element // n_surface)
    s = np.uint32(element - np.uint32(i * n_surface))
    east, north, up, across = facing(tilt[s], azimuth[s])
    out[element] = mean_received(sky, i, n_sub, east, north, up, across, 1.0)


def tilted_irradiance(sky: NDArray[np.float64], tilt: ArrayLike, azimuth: ArrayLike) -> NDArray[np.float64]:
    """Compute the mean irradiance of unshaded surfaces over the intervals.

    Parameters
    ----------
    sky : (n, n_sub, 7) float
        From `sky_states` [W m-2].
    tilt, azimuth : (n_surface,) float
        Angle from the horizontal and azimuth of the normal, clockwise from north [rad].

    Returns
    -------
    (n, n_surface) float
        Irradiance [W m-2]: I = max(n . b, 0) + max(d0 v_s + d1 v_h, 0) + gr v_g, averaged over the sub-steps.
    """
    normals = (vector(tilt), vector(azimuth))
    n_surface = normals[0].size
    out = array_module(sky).empty((sky.shape[0], n_surface), np.float64)
    if on_gpu(sky, *normals, out):
        tilted_gpu((out.size,), sky, *normals, out, sky.shape[1], n_surface)
    else:
        _surfaces(np.ascontiguousarray(sky, np.float64), *normals, out)
    return out


@cell
def sector_angles(s):
    """Return tilt and azimuth [rad] of sector `s`: eight walls, then the horizontal."""
    if s < N_AZIMUTH:
        return 0.5 * math.pi, s * (2.0 * math.pi / N_AZIMUTH)
    return 0.0, 0.0


@rows
def _sectors(sky, out):
    for s in range(N_SECTOR - 1):
        tilt, azimuth = sector_angles(s)
        east, north, up, across = facing(tilt, azimuth)
        for i in range(sky.shape[0]):
            total = 0.0
            for k in range(sky.shape[1]):
                total += received(
                    east, north, up, across, sky[i, k, 0], sky[i, k, 1], sky[i, k, 2], sky[i, k, 4], sky[i, k, 5], 0.0
                )
            out[i, s] = total / sky.shape[1]
    for i in range(sky.shape[0]):
        total = 0.0
        for k in range(sky.shape[1]):
            total += sky[i, k, N_SKY - 1]
        out[i, N_SECTOR - 1] = total / sky.shape[1]


@gpu("f8* f8* u4")
def sectors_gpu(element, sky, out, n_sub):
    i = np.uint32(element // np.uint32(N_SECTOR))
    s = np.uint32(element - np.uint32(i * np.uint32(N_SECTOR)))
    if s < np.uint32(N_SECTOR - 1):
        tilt, azimuth = sector_angles(s)
        east, north, up, across = facing(tilt, azimuth)
        out[element] = mean_received(sky, i, n_sub, east, north, up, across, 0.0)
    else:
        total = 0.0
        k, end = np.uint32(i * n_sub), np.uint32(np.uint32(i + np.uint32(1)) * n_sub)
        while k < end:
            total += sky[np.uint32(np.uint32(N_SKY) * k + np.uint32(N_SKY - 1))]
            k = np.uint32(k + np.uint32(1))
        out[element] = total / n_sub


def sector_irradiance(sky: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute what the ten sectors of a building receive.

    Sub-steps are clipped one by one, so the hour in which the sun leaves a wall is right, which a mean sky cannot give.

    Parameters
    ----------
    sky : (n, n_sub, 7) float
        From `sky_states` [W m-2].

    Returns
    -------
    (n, 10) float
        Vertical walls facing 0, 45, .. 315 degrees from the sky alone, the horizontal, and the ground's reflection
        at full view [W m-2].
    """
    out = array_module(sky).empty((sky.shape[0], N_SECTOR), np.float64)
    if on_gpu(sky, out):
        sectors_gpu((out.size,), sky, out, sky.shape[1])
    else:
        _sectors(np.ascontiguousarray(sky, np.float64), out)
    return out


@cell
def erbs_diffuse_fraction(clearness_index):
    """Return the diffuse share of the global horizontal irradiance [1] at a clearness index [1] (Erbs et al. 1982, eq. 1)."""
    k = clearness_index
    if k <= 0.22:
        return 1.0 - 0.09 * k
    if k <= 0.80:
        return 0.9511 + k * (-0.1604 + k * (4.388 + k * (-16.638 + k * 12.336)))
    return 0.165


@cell
def split_interval(end, step, n_sub, latitude, longitude, horizontal):
    """Return diffuse horizontal and direct normal irradiance [W m-2] of an interval from its mean global irradiance."""
    cosine = 0.0
    outside = 0.0
    for k in range(n_sub):
        elevation, _, _, _, distance = sun_seen(middle_of(end, step, k, n_sub), latitude, longitude)
        up = at_least(math.sin(elevation), 0.0)
        cosine += up / n_sub
        outside += up * extraterrestrial_normal(distance) / n_sub
    total = at_least(horizontal, 0.0)
    direct = 0.0
    # Below an hourly mean elevation of 0.6 degrees the quotients have no meaning: all is diffuse.
    if cosine > 0.01:
        # No more beam than there is above the air, whatever a low sun and a rounded value make of the quotient.
        diffuse_share = erbs_diffuse_fraction(at_most(total / outside, 1.0))
        direct = at_most((1.0 - diffuse_share) * total, outside) / cosine
    return total - direct * cosine, direct


@rows
def _split(day, step, n_sub, latitude, longitude, horizontal, out):
    for i in range(day.size):
        out[0, i], out[1, i] = split_interval(day[i], step, n_sub, latitude, longitude, horizontal[i])


@gpu("f8* f8* f8* f8 f8 f8 u4 u4")
def split_global_gpu(i, day, horizontal, out, step, latitude, longitude, n_sub, n):
    diffuse, direct = split_interval(day[i], step, n_sub, latitude, longitude, horizontal[i])
    out[i] = diffuse
    out[np.uint32(n + i)] = direct


def split_global(
    interval_end: ArrayLike, step: float, latitude: float, longitude: float, global_horizontal: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Split the global irradiance of intervals into diffuse horizontal and direct normal (Erbs et al. 1982).

    Parameters
    ----------
    interval_end, step, latitude, longitude
        As in `sky_states`.
    global_horizontal : (n,) float
        GHI, mean over the interval [W m-2].

    Returns
    -------
    diffuse_horizontal, direct_normal : (n,) float
        [W m-2]; DHI + DNI mean(cos z) = GHI.
    """
    end, flux = vector(interval_end), vector(global_horizontal)
    out = array_module(end).empty((2, end.size), np.float64)
    n_sub = max(1, math.ceil(step / 60.0 / MOST_MINUTES - 1e-9))
    place = (float(latitude), float(longitude))
    if on_gpu(end, flux, out):
        split_global_gpu((end.size,), end, flux, out, step / 86400.0, *place, n_sub, end.size)
    else:
        _split(end, step / 86400.0, n_sub, *place, flux, out)
    return out[0], out[1]
