"""Light on the surfaces of one building, sub-step by sub-step: sun behind flat obstructions, sky, ground, and glass by angle.

Obstructions are rectangles in the frame of a surface: u along it to the right as seen from outside, v up it, w outwards. A
surface is a grid of points; a ray to the sun, or to a part of the sky, is stopped or not. What a rectangle reflects is left
out.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from felsina.kernels._backend import cell, rows
from felsina.kernels.radiation.transposition import facing

N_POINT = 24  # of a surface in each direction
N_RING = 32  # of the hemisphere, each with equal parts of cosine-weighted view, in twice as many sectors


@cell
def _stopped(u, v, du, dv, dw, box):
    """Say whether a ray from (u, v, 0) meets one of the rectangles (axis, value, low, high, low, high of the other axes)."""
    for i in range(box.shape[0]):
        at = box[i, 1]
        if box[i, 0] == 0.0:
            toward, start = du, u
        elif box[i, 0] == 1.0:
            toward, start = dv, v
        else:
            toward, start = dw, 0.0
        if toward == 0.0:
            continue
        s = (at - start) / toward
        if s <= 1e-9:
            continue
        x, y, z = u + s * du, v + s * dv, s * dw
        if box[i, 0] == 0.0:
            first, second = y, z
        elif box[i, 0] == 1.0:
            first, second = x, z
        else:
            first, second = x, y
        if box[i, 2] <= first <= box[i, 3] and box[i, 4] <= second <= box[i, 5]:
            return True
    return False


@cell
def _free_share(width, height, hole, du, dv, dw, box):
    """Return the share of a surface, without its holes (u0, u1, v0, v1), from which a direction is free."""
    seen = 0
    total = 0
    for i in range(N_POINT):
        u = (i + 0.5) / N_POINT * width
        for k in range(N_POINT):
            v = (k + 0.5) / N_POINT * height
            inside = False
            for m in range(hole.shape[0]):
                if hole[m, 0] < u < hole[m, 1] and hole[m, 2] < v < hole[m, 3]:
                    inside = True
            if inside:
                continue
            total += 1
            if not _stopped(u, v, du, dv, dw, box):
                seen += 1
    return seen / max(total, 1)


@rows
def _lit(sky, tilt, azimuth, width, height, hole, box, out):
    east, north, up, across = facing(tilt, azimuth)
    for i in range(sky.shape[0]):
        for k in range(sky.shape[1]):
            bn = sky[i, k, 3]
            out[i, k] = 1.0
            if bn <= 0.0:
                continue
            x, y, z = sky[i, k, 0] / bn, sky[i, k, 1] / bn, sky[i, k, 2] / bn
            dw = x * east + y * north + z * up
            if dw <= 0.0:
                continue
            # Right as seen from outside: 90 degrees counter-clockwise of the normal, from above.
            du = -x * math.cos(azimuth) + y * math.sin(azimuth)
            dv = z * across - (x * math.sin(azimuth) + y * math.cos(azimuth)) * up
            out[i, k] = _free_share(width, height, hole, du, dv, dw, box)


@rows
def _views(tilt, width, height, hole, box, out):
    """Share of the free views of sky and ground that is left behind the obstructions."""
    seen_sky, all_sky, seen_ground, all_ground = 0.0, 0.0, 0.0, 0.0
    for i in range(N_RING):
        sine = math.sqrt((i + 0.5) / N_RING)
        dw = math.sqrt(1.0 - sine * sine)
        for k in range(2 * N_RING):
            turn = (k + 0.5) * math.pi / N_RING
            du, dv = sine * math.cos(turn), sine * math.sin(turn)
            free = _free_share(width, height, hole, du, dv, dw, box)
            if dv * math.sin(tilt) + dw * math.cos(tilt) > 0.0:
                all_sky += 1.0
                seen_sky += free
            else:
                all_ground += 1.0
                seen_ground += free
    out[0] = seen_sky / all_sky if all_sky > 0.0 else 1.0
    out[1] = seen_ground / all_ground if all_ground > 0.0 else 1.0


def shading(
    sky: NDArray[np.float64],
    tilt: float,
    azimuth: float,
    width: float,
    height: float,
    obstructions: ArrayLike,
    holes: ArrayLike = (),
) -> tuple[NDArray[np.float64], float, float]:
    """Find what flat obstructions leave of sun, sky and ground on a rectangular surface.

    Parameters
    ----------
    sky : (n, n_sub, 7) float
        From `transposition.sky_states`.
    tilt, azimuth : float
        [rad]
    width, height : float
        [m]
    obstructions : (m, 6) float
        Axis (0 u, 1 v, 2 w), its value, and the least and greatest of the other two in order [m].
    holes : (h, 4) float
        Parts of the surface that do not belong to it: u0, u1, v0, v1 [m].

    Returns
    -------
    (n, n_sub) share of the surface in the sun [1]; share of its view of the sky, and of the ground, that is free [1]
    """
    box = np.ascontiguousarray(obstructions, np.float64).reshape(-1, 6)
    hole = np.ascontiguousarray(holes, np.float64).reshape(-1, 4)
    lit, view = np.ones(sky.shape[:2]), np.ones(2)
    if box.size:
        _lit(sky, tilt, azimuth, width, height, hole, box, lit)
        _views(tilt, width, height, hole, box, view)
    return lit, float(view[0]), float(view[1])


@rows
def _on_surface(sky, tilt, azimuth, lit, view_sky, view_ground, per, out):
    east, north, up, across = facing(tilt, azimuth)
    vs, vg = 0.5 * (1.0 + up) * view_sky, 0.5 * (1.0 - up) * view_ground
    for i in range(sky.shape[0]):
        for g in range(sky.shape[1] // per):
            total = 0.0
            for k in range(g * per, (g + 1) * per):
                beam = max(sky[i, k, 0] * east + sky[i, k, 1] * north + sky[i, k, 2] * up, 0.0) * lit[i, k]
                dome = max(sky[i, k, 4] * vs + sky[i, k, 5] * across * view_sky, 0.0)
                total += beam + dome + sky[i, k, 6] * vg
            out[i * (sky.shape[1] // per) + g] = total / per


def received_light(
    sky: NDArray[np.float64],
    tilt: float,
    azimuth: float,
    steps: int,
    lit: NDArray[np.float64] | None = None,
    view_sky: float = 1.0,
    view_ground: float = 1.0,
) -> NDArray[np.float64]:
    """Return the irradiance of a surface [W m-2] in `steps` steps of each interval, (n steps,); shading as from `shading`."""
    shares = np.ones(sky.shape[:2]) if lit is None else lit
    out = np.empty(sky.shape[0] * steps)
    _on_surface(sky, tilt, azimuth, shares, view_sky, view_ground, sky.shape[1] // steps, out)
    return out


@rows
def _slopes(x, y, d):
    """Fill the slopes of the monotone cubic of Fritsch and Carlson."""
    n = x.size
    for i in range(1, n - 1):
        h0, h1 = x[i] - x[i - 1], x[i + 1] - x[i]
        m0, m1 = (y[i] - y[i - 1]) / h0, (y[i + 1] - y[i]) / h1
        d[i] = 0.0 if m0 * m1 <= 0.0 else 3.0 * (h0 + h1) / ((2.0 * h1 + h0) / m0 + (h1 + 2.0 * h0) / m1)
    d[0] = 0.0  # transmission is flat where light comes along the normal
    d[n - 1] = 1.5 * (y[n - 1] - y[n - 2]) / (x[n - 1] - x[n - 2]) - 0.5 * d[n - 2] if n > 2 else 0.0


@cell
def _by_angle(x, y, d, t):
    """Return the cubic through (x, y) with slopes d at t."""
    k = 0
    while k < x.size - 2 and x[k + 1] < t:
        k += 1
    h = x[k + 1] - x[k]
    s = min(max((t - x[k]) / h, 0.0), 1.0)
    a, b = s * s * (3.0 - 2.0 * s), s * (1.0 - s)
    return y[k] + a * (y[k + 1] - y[k]) + h * b * ((1.0 - s) * d[k] - s * d[k + 1])


@rows
def _through(sky, tilt, azimuth, lit, view_sky, view_ground, per, x, y, d, diffuse, out):
    east, north, up, across = facing(tilt, azimuth)
    vs, vg = 0.5 * (1.0 + up) * view_sky, 0.5 * (1.0 - up) * view_ground
    for i in range(sky.shape[0]):
        for g in range(sky.shape[1] // per):
            row = i * (sky.shape[1] // per) + g
            for m in range(y.shape[0]):
                out[row, m] = 0.0
            for k in range(g * per, (g + 1) * per):
                beam = max(sky[i, k, 0] * east + sky[i, k, 1] * north + sky[i, k, 2] * up, 0.0)
                other = max(sky[i, k, 4] * vs + sky[i, k, 5] * across * view_sky, 0.0) + sky[i, k, 6] * vg
                angle = math.acos(min(beam / sky[i, k, 3], 1.0)) if beam > 0.0 else 0.0
                for m in range(y.shape[0]):
                    share = _by_angle(x, y[m], d[m], angle) if beam > 0.0 else 0.0
                    out[row, m] += (share * beam * lit[i, k] + diffuse[m] * other) / per


def light_through(
    sky: NDArray[np.float64],
    tilt: float,
    azimuth: float,
    steps: int,
    angles: ArrayLike,
    shares: ArrayLike,
    diffuse: ArrayLike,
    lit: NDArray[np.float64] | None = None,
    view_sky: float = 1.0,
    view_ground: float = 1.0,
) -> NDArray[np.float64]:
    """Return what glass makes of the light on it, (n steps, m) [W m-2], for m properties by angle of incidence.

    Parameters
    ----------
    sky, tilt, azimuth, steps, lit, view_sky, view_ground
        As in `received_light`.
    angles : (a,) float
        0 to pi/2 [rad], rising; between them a monotone cubic.
    shares, diffuse : (m, a), (m,) float
        Share of beam at each angle, and of diffuse light [1]: transmitted, or absorbed at a node.

    References
    ----------
    Fritsch and Carlson 1980, SIAM J. Numer. Anal. 17, 238-246 (the cubic, with the slopes of Fritsch and Butland 1984).
    """
    x, y = np.ascontiguousarray(angles, np.float64), np.ascontiguousarray(shares, np.float64)
    slopes = np.zeros_like(y)
    for k in range(y.shape[0]):
        _slopes(x, y[k], slopes[k])
    lights = np.ones(sky.shape[:2]) if lit is None else lit
    out = np.empty((sky.shape[0] * steps, y.shape[0]))
    both = np.ascontiguousarray(diffuse, np.float64)
    _through(sky, tilt, azimuth, lights, view_sky, view_ground, sky.shape[1] // steps, x, y, slopes, both, out)
    return out
