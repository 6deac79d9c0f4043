"""Light on the surfaces of one building, step by step: sun, sky and ground behind devices, and glass by angle of incidence."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from felsina.kernels._backend import cell, rows
from felsina.kernels.radiation.transposition import facing

OPEN = (1.0, 1.0, 1.0)  # shares of sky, horizon and ground that a surface without devices sees


@rows
def _on_surface(sky, tilt, azimuth, lit, view_sky, view_level, view_ground, per, out):
    east, north, up, across = facing(tilt, azimuth)
    vs, vg = 0.5 * (1.0 + up) * view_sky, 0.5 * (1.0 - up) * view_ground
    for i in range(sky.shape[0]):
        for g in range(sky.shape[1] // per):
            total = 0.0
            for k in range(g * per, (g + 1) * per):
                beam = max(sky[i, k, 0] * east + sky[i, k, 1] * north + sky[i, k, 2] * up, 0.0) * lit[i, k]
                dome = max(sky[i, k, 4] * vs + sky[i, k, 5] * across * view_level, 0.0)
                total += beam + dome + sky[i, k, 6] * vg
            out[i * (sky.shape[1] // per) + g] = total / per


def received_light(
    sky: NDArray[np.float64],
    tilt: float,
    azimuth: float,
    steps: int,
    lit: NDArray[np.float64] | None = None,
    views: tuple[float, float, float] = OPEN,
) -> NDArray[np.float64]:
    """Return the irradiance of a surface.

    Parameters
    ----------
    sky : (n, n_sub, 7) float
        From `transposition.sky_states` [W m-2].
    tilt, azimuth : float
        Of the surface [rad].
    steps : int
        Steps of an interval; divides n_sub.
    lit : (n, n_sub) float
        Share of the surface in the sun [1] (`devices.sunlit_fraction`); all by default.
    views : (3,) float
        Shares of sky, horizon and ground that are left (`devices.diffuse_shares`) [1].

    Returns
    -------
    (n steps,) float [W m-2]
    """
    shares = np.ones(sky.shape[:2]) if lit is None else lit
    out = np.empty(sky.shape[0] * steps)
    _on_surface(sky, tilt, azimuth, shares, *views, sky.shape[1] // steps, out)
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
def _through(sky, tilt, azimuth, lit, view_sky, view_level, view_ground, per, x, y, d, diffuse, out):
    east, north, up, across = facing(tilt, azimuth)
    vs, vg = 0.5 * (1.0 + up) * view_sky, 0.5 * (1.0 - up) * view_ground
    for i in range(sky.shape[0]):
        for g in range(sky.shape[1] // per):
            row = i * (sky.shape[1] // per) + g
            for m in range(y.shape[0]):
                out[row, m] = 0.0
            for k in range(g * per, (g + 1) * per):
                beam = max(sky[i, k, 0] * east + sky[i, k, 1] * north + sky[i, k, 2] * up, 0.0)
                other = max(sky[i, k, 4] * vs + sky[i, k, 5] * across * view_level, 0.0) + sky[i, k, 6] * vg
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
    views: tuple[float, float, float] = OPEN,
) -> NDArray[np.float64]:
    """Return what glass makes of the light on it, (n steps, m) [W m-2], for m properties by angle of incidence.

    Parameters
    ----------
    sky, tilt, azimuth, steps, lit, views
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
    _through(sky, tilt, azimuth, lights, *views, sky.shape[1] // steps, x, y, slopes, both, out)
    return out
