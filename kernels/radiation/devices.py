"""Overhangs and side fins of a rectangular window, and blinds that move: what they leave of beam and diffuse light.

The window lies in the plane of a wall: x along the wall to the right seen from outside, y up, z outward. A device is a
rectangle that stands off the wall at right angles. Towards the sun s = (s_x, s_y, s_z), s_z > 0, it throws a parallelogram on
the wall: its corners at the wall stay, those at its outer edge move by -(s_x, s_y) d / s_z, d the depth. Shadows may overlap,
so the sunlit share is integrated over the width: at each x the shadow of every device is an interval of y, and the union of
intervals is exact. Between the x at which edges end or cross, the lit height is linear in x, so the integral is exact, too.

Of diffuse light a device takes what it covers of the hemisphere: seen from a point of the window, towards an azimuth, an
overhang covers all above one elevation and a fin one interval of elevations, both in closed form, so only azimuths and points
are summed. For an overhang as wide as the window this is 1 - 2 F, F the view factor of rectangles that meet at a right angle.

References
----------
Howell, Menguc, Daun, Siegel (2020), Thermal Radiation Heat Transfer, 7th ed., configuration C-14 (rectangles with a common edge
at right angles). EnergyPlus Engineering Reference, "Shading module".
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import ArrayLike, NDArray

from felsina.kernels._backend import cell, rows, threads
from felsina.kernels.bounds import at_least

N_DEVICE = 3
_POINTS = 24  # points along width and height of a window in the view of the sky
_AZIMUTHS = 72  # in the half-space before it


class Devices(NamedTuple):
    """Windows with an overhang and two fins, each (n_window,) float64 [m].

    Attributes
    ----------
    width, height : of the window
    overhang_depth, overhang_offset : depth, and height above the top of the window; depth <= 0: none
    overhang_left, overhang_right : how far it goes beyond the window on either side
    left_depth, left_offset, right_depth, right_offset : depth of the fins, and their distance from the window
    fin_above, fin_below : how far the fins go above the top and below the sill
    """

    width: NDArray[np.float64]
    height: NDArray[np.float64]
    overhang_depth: NDArray[np.float64]
    overhang_offset: NDArray[np.float64]
    overhang_left: NDArray[np.float64]
    overhang_right: NDArray[np.float64]
    left_depth: NDArray[np.float64]
    left_offset: NDArray[np.float64]
    right_depth: NDArray[np.float64]
    right_offset: NDArray[np.float64]
    fin_above: NDArray[np.float64]
    fin_below: NDArray[np.float64]


def window_devices(
    width: ArrayLike,
    height: ArrayLike,
    overhang_depth: ArrayLike = 0.0,
    overhang_offset: ArrayLike = 0.0,
    overhang_left: ArrayLike = 0.0,
    overhang_right: ArrayLike = 0.0,
    left_depth: ArrayLike = 0.0,
    left_offset: ArrayLike = 0.0,
    right_depth: ArrayLike = 0.0,
    right_offset: ArrayLike = 0.0,
    fin_above: ArrayLike = 0.0,
    fin_below: ArrayLike = 0.0,
) -> Devices:
    """Describe windows and their devices (`Devices`); left and right as seen from outside, numbers or (n_window,) [m]."""
    given = (
        width, height, overhang_depth, overhang_offset, overhang_left, overhang_right, left_depth, left_offset, right_depth,
        right_offset, fin_above, fin_below,
    )  # fmt: skip
    columns = np.broadcast_arrays(*(np.atleast_1d(np.asarray(v, np.float64)) for v in given))
    return Devices(*(np.ascontiguousarray(c) for c in columns))


@rows
def _shadows(sx, sy, sz, w, h, od, oo, ol, orr, ld, lo, rd, ro, fa, fb, shadow):
    """Fill `shadow` (3, 4, 2) with the corners of the three shadows on the plane of the wall; return how many there are."""
    n = 0
    for device in range(N_DEVICE):
        depth = od if device == 0 else (ld if device == 1 else rd)
        if depth <= 0.0:
            continue
        mx, my = -sx / sz * depth, -sy / sz * depth
        if device == 0:
            x0, y0, x1, y1 = -ol, h + oo, w + orr, h + oo
        elif device == 1:
            x0, y0, x1, y1 = -lo, -fb, -lo, h + fa
        else:
            x0, y0, x1, y1 = w + ro, -fb, w + ro, h + fa
        shadow[n, 0, 0], shadow[n, 0, 1] = x0, y0
        shadow[n, 1, 0], shadow[n, 1, 1] = x1, y1
        shadow[n, 2, 0], shadow[n, 2, 1] = x1 + mx, y1 + my
        shadow[n, 3, 0], shadow[n, 3, 1] = x0 + mx, y0 + my
        n += 1
    return n


@rows
def _chord(shadow, x, h):
    """Return the part of 0..h that a parallelogram covers at x (low >= high: none)."""
    low, high = 1e300, -1e300
    for k in range(4):
        ax, ay = shadow[k, 0], shadow[k, 1]
        bx, by = shadow[(k + 1) % 4, 0], shadow[(k + 1) % 4, 1]
        if (ax - x) * (bx - x) > 0.0 or ax == bx:
            continue
        y = ay + (x - ax) / (bx - ax) * (by - ay)
        low, high = min(low, y), max(high, y)
    return max(low, 0.0), min(high, h)


@rows
def _lit_height(shadow, n, x, h, low, high):
    """Return the height that no shadow covers at x [m]."""
    for k in range(n):
        low[k], high[k] = _chord(shadow[k], x, h)
    for k in range(1, n):  # three at most: by insertion
        m = k
        while m > 0 and low[m] < low[m - 1]:
            low[m], low[m - 1] = low[m - 1], low[m]
            high[m], high[m - 1] = high[m - 1], high[m]
            m -= 1
    covered, reach = 0.0, 0.0
    for k in range(n):
        begin = max(low[k], reach)
        if high[k] > begin:
            covered += high[k] - begin
            reach = high[k]
    return h - covered


@rows
def _breaks(shadow, n, w, h, at):
    """Collect the x between 0 and w at which the lit height has a kink; return their number."""
    m = 0
    at[0], at[1] = 0.0, w
    m = 2
    for k in range(n):
        for e in range(4):
            ax, ay = shadow[k, e, 0], shadow[k, e, 1]
            bx, by = shadow[k, (e + 1) % 4, 0], shadow[k, (e + 1) % 4, 1]
            if 0.0 < ax < w:
                at[m] = ax
                m += 1
            for level in range(2):  # where a shadow comes in over sill or top
                y = h if level == 1 else 0.0
                if (ay - y) * (by - y) < 0.0:
                    x = ax + (y - ay) / (by - ay) * (bx - ax)
                    if 0.0 < x < w:
                        at[m] = x
                        m += 1
            for other in range(k):
                for f in range(4):
                    cx, cy = shadow[other, f, 0], shadow[other, f, 1]
                    dx, dy = shadow[other, (f + 1) % 4, 0] - cx, shadow[other, (f + 1) % 4, 1] - cy
                    ux, uy = bx - ax, by - ay
                    area = ux * dy - uy * dx
                    if area == 0.0:
                        continue
                    t = ((cx - ax) * dy - (cy - ay) * dx) / area
                    x = ax + t * ux
                    if 0.0 <= t <= 1.0 and 0.0 < x < w:
                        at[m] = x
                        m += 1
    for k in range(1, m):
        p = k
        while p > 0 and at[p] < at[p - 1]:
            at[p], at[p - 1] = at[p - 1], at[p]
            p -= 1
    return m


@rows
def _sunlit(sx, sy, sz, w, h, od, oo, ol, orr, ld, lo, rd, ro, fa, fb, shadow, at, low, high):
    if sz <= 0.0:
        return 0.0
    n = _shadows(sx, sy, sz, w, h, od, oo, ol, orr, ld, lo, rd, ro, fa, fb, shadow)
    if n == 0:
        return 1.0
    m = _breaks(shadow, n, w, h, at)
    area = 0.0
    for k in range(m - 1):
        width = at[k + 1] - at[k]
        if width > 0.0:
            # Linear between two breaks: the value in the middle is the mean.
            area += width * _lit_height(shadow, n, 0.5 * (at[k] + at[k + 1]), h, low, high)
    return min(1.0, max(0.0, area / (w * h)))


@threads
def _sunlit_driver(sun, azimuth, d, out):
    n_sun, n_window = out.shape
    for q in prange(n_window):
        shadow, at, low, high = np.empty((N_DEVICE, 4, 2)), np.empty(2 + 12 + 24 + 48), np.empty(N_DEVICE), np.empty(N_DEVICE)
        sine, cosine = math.sin(azimuth[q]), math.cos(azimuth[q])
        for i in range(n_sun):
            east, north, up = sun[i, 0], sun[i, 1], sun[i, 2]
            # Outward is (sine, cosine); who looks at the wall from outside has (-cosine, sine) on the right.
            sx, sz = -east * cosine + north * sine, east * sine + north * cosine
            out[i, q] = _sunlit(
                sx, up, sz, d[0, q], d[1, q], d[2, q], d[3, q], d[4, q], d[5, q], d[6, q], d[7, q], d[8, q], d[9, q], d[10, q],
                d[11, q], shadow, at, low, high,
            ) if up > 0.0 else 0.0  # fmt: skip


def sunlit_fraction(sun: ArrayLike, azimuth: ArrayLike, devices: Devices) -> NDArray[np.float64]:
    """Compute the share of windows that the beam reaches past overhang and fins, by geometry and without a grid.

    Parameters
    ----------
    sun : (n, 3) float
        Unit vectors to the sun: east, north, up [1]; 0 where it is down.
    azimuth : (n_window,) float
        Of the outward normal of the wall, which is vertical, clockwise from north [rad].
    devices : Devices

    Returns
    -------
    (n, n_window) float [1]
        0 where the sun is behind the wall or down.
    """
    s = np.ascontiguousarray(sun, np.float64).reshape(-1, 3)
    d = np.ascontiguousarray(np.stack(devices))
    facing = np.ascontiguousarray(np.broadcast_to(np.asarray(azimuth, np.float64), d.shape[1:]))
    out = np.zeros((len(s), d.shape[1]))
    _sunlit_driver(s, facing, d, out)
    return out


@cell
def _dome(tangent):
    """Return theta + sin theta cos theta [rad] of a tangent, the integral of 2 cos^2 from the level; pi/2 at the zenith."""
    return math.atan(tangent) + tangent / (1.0 + tangent * tangent)


@rows
def _visible(x, y, w, h, od, oo, ol, orr, ld, lo, rd, ro, fa, fb, across, out_of):
    """Return what a point sees of sky, level and ground towards one azimuth, each 0 .. 1 of an open place.

    across, out_of: components of the azimuth along the wall to the right and outward.
    """
    zenith = 1e12
    roof = zenith  # tangent above which the overhang covers
    if od > 0.0:
        reach = od / out_of
        if across > 0.0:
            reach = min(reach, (w + orr - x) / across)
        elif across < 0.0:
            reach = min(reach, (-ol - x) / across)
        roof = (h + oo - y) / at_least(reach, 1e-12)
    low, high = 0.0, 0.0  # tangents between which a fin covers
    depth = rd if across > 0.0 else ld
    if depth > 0.0 and across != 0.0:
        r = (w + ro - x) / across if across > 0.0 else (-lo - x) / across
        if r * out_of <= depth:
            low, high = (-fb - y) / r, (h + fa - y) / r
    half = 0.5 * math.pi
    sky = _dome(roof) if roof < zenith else half
    top, bottom = min(max(high, 0.0), roof), min(max(low, 0.0), roof)
    sky -= _dome(top) - _dome(bottom)
    ground = half - (_dome(max(-low, 0.0)) - _dome(max(-high, 0.0)))
    level = 0.0 if low < 0.0 < high else 1.0
    return sky / half, level, ground / half


@threads
def _diffuse_driver(d, out):
    for q in prange(out.shape[0]):
        w, h = d[0, q], d[1, q]
        total = 0.0
        for a in range(_AZIMUTHS):
            angle = ((a + 0.5) / _AZIMUTHS - 0.5) * math.pi
            across, out_of = math.sin(angle), math.cos(angle)
            for i in range(_POINTS):
                for j in range(_POINTS):
                    sky, level, ground = _visible(
                        (i + 0.5) / _POINTS * w, (j + 0.5) / _POINTS * h, w, h, d[2, q], d[3, q], d[4, q], d[5, q], d[6, q],
                        d[7, q], d[8, q], d[9, q], d[10, q], d[11, q], across, out_of,
                    )  # fmt: skip
                    out[q, 0] += out_of * sky
                    out[q, 1] += out_of * level
                    out[q, 2] += out_of * ground
                    total += out_of
        for m in range(3):
            out[q, m] /= total


def diffuse_shares(devices: Devices) -> NDArray[np.float64]:
    """Compute the shares of sky, horizon band and ground that windows keep behind their devices.

    What a device itself throws back is left out, as it is dark where it shades.

    Returns
    -------
    (n_window, 3) float [1]
        Factors of sky view, horizon term and ground view; 1 without devices.
    """
    d = np.ascontiguousarray(np.stack(devices))
    out = np.zeros((d.shape[1], 3))
    if d.shape[1]:
        _diffuse_driver(d, out)
    return out


@rows
def _blinds(irradiance, close_above, open_below, out):
    for m in range(irradiance.shape[1]):
        closed = np.uint8(0)
        for i in range(irradiance.shape[0]):
            light = irradiance[i, m]
            if light > close_above[m]:
                closed = np.uint8(1)
            elif light <= open_below[m]:
                closed = np.uint8(0)
            out[i, m] = closed


def blinds_closed(irradiance: ArrayLike, close_above: ArrayLike, open_below: ArrayLike | None = None) -> NDArray[np.uint8]:
    """Say in which hours movable blinds are down: from above one irradiance of the window until not above another.

    Parameters
    ----------
    irradiance : (n, n_window) float
        On the window without its blind, in order of time [W m-2]; the blind is up before the first hour.
    close_above, open_below : (n_window,) float, or one for all
        [W m-2]; open_below is close_above where missing, and then an hour does not depend on the one before.

    Returns
    -------
    (n, n_window) uint8
        1 closed, 0 open.
    """
    light = np.ascontiguousarray(irradiance, np.float64)
    n = light.shape[1]
    above = np.ascontiguousarray(np.broadcast_to(np.asarray(close_above, np.float64), n))
    below = above if open_below is None else np.ascontiguousarray(np.broadcast_to(np.asarray(open_below, np.float64), n))
    out = np.zeros(light.shape, np.uint8)
    _blinds(light, above, below, out)
    return out
