"""Irradiance of surfaces that see horizons: the linear Perez sky of `transposition` with numbers of a surface that know them.

A point of normal n sees the sky above the horizon h of each azimuth, obstacles below it down to the level, the ground below the
level. With s the sun, u the vector of an azimuth, n_h = n . u and theta_0 the horizon,

    sky       v_s = 1/N sum_a [n_z cos^2 theta_0 + n_h (pi/2 - theta_0 - sin theta_0 cos theta_0)]
    horizon   v_h = sin b x share of sum n_h over the azimuths that look at it, by the part of a band of 6.5 degrees left free
    ground    v_g = (1 - cos b) / 2
    obstacle  v_o = 1 - v_s - v_g

scaled so that an open place has (1 + cos b)/2, sin b and (1 - cos b)/2 to the bit. An irradiance is then

    I = G bn + max(d0 v_s + d1 v_h, 0) + gr v_r,     v_r = v_g q / (2 - q) + v_o q / 2,     q = v_s / ((1 + cos b)/2)

G, the projected sunlit share of a step, is the mean over its sub-steps of lit x max(n . s, 0): horizons are compared with the
sun between the two azimuths beside it. Reflected light has one albedo, that of gr, and follows an endless street under an even
sky: where its walls keep the share q of their open sky, its ground keeps q / (2 - q) of its own (closed forms of H / W), and a
facade opposite gets what this one does, q / 2 of the light of open ground. No further bounce is followed.

Groups of points (elements of a building) have the area-weighted means of these numbers, so areas are exact and what a group
receives is the area-weighted irradiance of all its points.

References
----------
Perez, Seals, Ineichen, Stewart, Menicucci (1987), A new simplified version of the Perez diffuse irradiance model for tilted
surfaces. Solar Energy 39, 221-231 (the horizon band of 6.5 degrees). Dozier, Frew (1990), Rapid calculation of terrain
parameters for radiation modeling from digital elevation data. IEEE Trans. Geosci. Remote Sens. 28, 963-969 (v_s).
"""

from __future__ import annotations

import math

import numpy as np
from numba import prange
from numpy.typing import ArrayLike, NDArray

from felsina.kernels._backend import cell, rows, threads
from felsina.kernels.radiation.surface_horizon import SurfaceHorizons, plane_tangent

VIEWS = ("sky", "horizon", "ground", "obstacle", "reflected")
COEFFICIENTS = ("normal_east", "normal_north", "normal_up", "sky_view", "tilt_sine", "ground_view", "sunlit")
FACADE_SHARE = 0.5  # light of an open facade over that of open ground: the view of a wall to an even sky
HORIZON_BAND = math.radians(6.5)  # Perez et al. 1987
GROUPS = 64  # groups that a thread takes at once: their horizons stay in the cache
MOST_SUNLIT = 4.0  # largest ratio of the light of a group's points to that of its mean normal


@cell
def sky_above(tangent, across, up):
    """Return n_z cos^2 t + n_h (pi/2 - t - sin t cos t) of one azimuth [1], t no lower than where the surface sees the sky."""
    low = max(float(tangent), plane_tangent(across, up))
    angle = math.atan(low)
    cosine2 = 1.0 / (1.0 + low * low)
    if up < 0.0:
        # A surface that faces down sees no higher than its own plane.
        if across <= 0.0:
            return 0.0
        limit = across / -up
        if limit <= low:
            return 0.0
        edge, edge2 = math.atan(limit), 1.0 / (1.0 + limit * limit)
        return up * (cosine2 - edge2) + across * (edge + limit * edge2 - angle - low * cosine2)
    return up * cosine2 + across * (0.5 * math.pi - angle - low * cosine2)


@rows
def _views(normal, tangent, top, base, sine, cosine, opaque, out):
    n_azimuth = sine.size
    crowns = top.shape[0] > 0
    for s in range(normal.shape[0]):
        nx, ny, nz = normal[s, 0], normal[s, 1], normal[s, 2]
        seen, full, band, ring = 0.0, 0.0, 0.0, 0.0
        for a in range(n_azimuth):
            across = nx * sine[a] + ny * cosine[a]
            t = float(tangent[a, s])
            full += sky_above(0.0, across, nz)
            seen += sky_above(t, across, nz)
            if across > 0.0:
                ring += across
                band += across * max(0.0, 1.0 - math.atan(t) / HORIZON_BAND)
            if crowns:
                crown = max(t, float(top[a, s]))
                under = max(t, min(float(base[a, s]), float(top[a, s])))
                seen -= opaque * (sky_above(under, across, nz) - sky_above(crown, across, nz))
        sky_open, ground = 0.5 * (1.0 + nz), 0.5 * (1.0 - nz)
        share = min(1.0, max(0.0, seen / full)) if full > 1e-12 else 0.0
        sky = sky_open * share
        obstacle = sky_open - sky
        out[s, 0] = sky
        out[s, 1] = math.sqrt(max(0.0, 1.0 - nz * nz)) * (band / ring if ring > 1e-12 else 1.0)
        out[s, 2] = ground
        out[s, 3] = obstacle
        out[s, 4] = ground * share / (2.0 - share) + FACADE_SHARE * share * obstacle


def surface_views(normal: ArrayLike, horizons: SurfaceHorizons, transmissivity: float = 0.03) -> NDArray[np.float64]:
    """Compute what points on surfaces see of sky, horizon, ground and obstacles.

    Parameters
    ----------
    normal : (n, 3) float
        Outward unit normals: east, north, up [1].
    horizons : SurfaceHorizons
        Of the same points.
    transmissivity : float
        Share of the light that passes a crown [1].

    Returns
    -------
    (n, 5) float
        `VIEWS` [1]: v_s, v_h, v_g, v_o and v_r. v_s + v_g + v_o = 1.
    """
    n = np.ascontiguousarray(normal, np.float64).reshape(-1, 3)
    out = np.empty((len(n), len(VIEWS)))
    sine, cosine = _directions(horizons.tangent.shape[0])
    _views(n, *horizons, sine, cosine, 1.0 - float(transmissivity), out)
    return out


def _directions(n_azimuth: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    angles = [2.0 * math.pi * a / n_azimuth for a in range(n_azimuth)]
    return np.array([math.sin(a) for a in angles]), np.array([math.cos(a) for a in angles])


@rows
def _receive(light, normal, weight, low, high, low_top, high_top, low_base, high_base, share, x, y, z, level, tau, s0, s1):
    """Fill `light` of the points s0..s1 with weight x lit x max(n . b, 0); x, y, z the beam, level its horizontal length."""
    rest = np.float32(1.0) - share
    for s in range(s0, s1):
        k, p = np.uint64(s - s0), np.uint64(s)
        facing = normal[np.uint64(0), p] * x + normal[np.uint64(1), p] * y + normal[np.uint64(2), p] * z
        horizon = rest * low[p] + share * high[p]
        lit = facing if z > horizon * level else np.float32(0.0)
        light[k] = weight[p] * max(lit, np.float32(0.0))
    if low_top.shape[0] > 0:
        for s in range(s0, s1):
            k, p = np.uint64(s - s0), np.uint64(s)
            crown_top = rest * low_top[p] + share * high_top[p]
            crown_base = min(low_base[p], high_base[p])
            if (z <= crown_top * level) & (z > crown_base * level):
                light[k] *= tau


@threads
def _beam_driver(beam, normal, weight, tangent, top, base, first, tau, out):
    n_group = first.size - 1
    n_azimuth = tangent.shape[0]
    crowns = top.shape[0] > 0
    n_block = (n_group + GROUPS - 1) // GROUPS
    none = np.empty(0, np.float32)
    for block in prange(n_block):
        g0, g1 = block * GROUPS, min(n_group, (block + 1) * GROUPS)
        s0, s1 = first[g0], first[g1]
        light = np.empty(s1 - s0, np.float32)
        total = np.empty(g1 - g0)
        for i in range(beam.shape[0]):
            for g in range(g1 - g0):
                total[g] = 0.0
            for k in range(beam.shape[1]):
                x, y, z = beam[i, k, 0], beam[i, k, 1], beam[i, k, 2]
                if not (z > 0.0):
                    continue
                place = math.atan2(x, y) * (n_azimuth / (2.0 * math.pi))
                near = math.floor(place)
                share = np.float32(place - near)
                a = int(near) % n_azimuth
                b = (a + 1) % n_azimuth
                _receive(
                    light, normal, weight, tangent[a], tangent[b], top[a] if crowns else none, top[b] if crowns else none,
                    base[a] if crowns else none, base[b] if crowns else none, share, np.float32(x), np.float32(y),
                    np.float32(z), np.float32(math.sqrt(x * x + y * y)), tau, s0, s1,
                )  # fmt: skip
                for g in range(g0, g1):
                    sum_ = 0.0
                    for s in range(first[g], first[g + 1]):
                        sum_ += light[s - s0]
                    total[g - g0] += sum_
            for g in range(g0, g1):
                out[i, g] = total[g - g0] / beam.shape[1]


def shaded_beam(
    beam: ArrayLike,
    normal: ArrayLike,
    weight: ArrayLike,
    horizons: SurfaceHorizons,
    first: ArrayLike,
    transmissivity: float = 0.03,
) -> NDArray[np.float32]:
    """Compute the beam that groups of points receive behind their horizons, mean of the sub-steps of each step.

        sum over the points of a group of weight x lit x max(n . b, 0)

    lit is 0 under the horizon, `transmissivity` within a crown, else 1. With b the unit vector to the sun the result is the
    projected sunlit share G of the head of this module; with b the beam of a sky it is in W m-2.

    Parameters
    ----------
    beam : (n_step, n_sub, 3) float
        Beam vector east, north, up of each sub-step; 0 where the sun is down.
    normal : (n, 3) float
        Outward unit normals [1].
    weight : (n,) float
        Share of a point in its group [1].
    horizons : SurfaceHorizons
        Of the points, in the same order.
    first : (n_group + 1,) int
        First point of each group, and the end of the last.

    Returns
    -------
    (n_step, n_group) float32
        In the unit of `beam`. Any cut into groups and steps gives the same bits.
    """
    b = np.ascontiguousarray(beam, np.float64)
    edges = np.ascontiguousarray(first, np.int64)
    out = np.zeros((b.shape[0], edges.size - 1), np.float32)
    n = np.ascontiguousarray(np.asarray(normal, np.float64).reshape(-1, 3).T, np.float32)
    w = np.ascontiguousarray(weight, np.float32)
    if out.size:
        _beam_driver(b, n, w, *horizons, edges, np.float32(transmissivity), out)
    return out


@rows
def _means(values, weight, first, out):
    for g in range(first.size - 1):
        for m in range(values.shape[1]):
            total = 0.0
            for s in range(first[g], first[g + 1]):
                total += weight[s] * values[s, m]
            out[g, m] = total


def group_means(values: ArrayLike, weight: ArrayLike, first: ArrayLike) -> NDArray[np.float64]:
    """Sum values of points times their weights over groups: (n, m) to (n_group, m), in the order of the points."""
    v = np.ascontiguousarray(values, np.float64)
    edges = np.ascontiguousarray(first, np.int64)
    out = np.zeros((edges.size - 1, v.shape[1]))
    _means(v, np.ascontiguousarray(weight, np.float64), edges, out)
    return out


@rows
def _weights(area, first, out):
    for g in range(first.size - 1):
        total = 0.0
        for s in range(first[g], first[g + 1]):
            total += area[s]
        for s in range(first[g], first[g + 1]):
            out[s] = area[s] / total if total > 0.0 else 0.0


def area_weights(area: ArrayLike, first: ArrayLike) -> NDArray[np.float64]:
    """Divide areas [m2] by the sums of their groups: (n,) weights that add up to 1 in each group that has an area."""
    a = np.ascontiguousarray(area, np.float64)
    out = np.zeros(a.size)
    _weights(a, np.ascontiguousarray(first, np.int64), out)
    return out


@rows
def _add_diffuse(sky, views, out):
    for i in range(sky.shape[0]):
        for g in range(views.shape[0]):
            total = 0.0
            for k in range(sky.shape[1]):
                dome = sky[i, k, 4] * views[g, 0] + sky[i, k, 5] * views[g, 1]
                total += max(dome, 0.0) + sky[i, k, 6] * views[g, 4]
            out[i, g] += np.float32(total / sky.shape[1])


def group_irradiance(
    sky: NDArray[np.float64],
    normal: ArrayLike,
    weight: ArrayLike,
    horizons: SurfaceHorizons,
    first: ArrayLike,
    views: NDArray[np.float64],
    transmissivity: float = 0.03,
) -> NDArray[np.float32]:
    """Compute the irradiance of groups of points, every sub-step with its own sun: the reference of the condensed form.

    Parameters
    ----------
    sky : (n_step, n_sub, 7) float
        From `transposition.sky_states` [W m-2].
    normal, weight, horizons, first
        As in `shaded_beam`.
    views : (n_group, 5) float
        Means of `surface_views` over each group [1].

    Returns
    -------
    (n_step, n_group) float32
        Mean over the sub-steps [W m-2].
    """
    out = shaded_beam(sky[:, :, :3], normal, weight, horizons, first, transmissivity)
    _add_diffuse(np.ascontiguousarray(sky, np.float64), np.ascontiguousarray(views, np.float64), out)
    return out


@rows
def _suns(sky, unit, mean):
    for i in range(sky.shape[0]):
        bx, by, bz, bn = 0.0, 0.0, 0.0, 0.0
        for k in range(sky.shape[1]):
            for d in range(3):
                unit[i, k, d] = 0.0
            if sky[i, k, 3] > 0.0:
                bx += sky[i, k, 0]
                by += sky[i, k, 1]
                bz += sky[i, k, 2]
                bn += sky[i, k, 3]
                for d in range(3):
                    unit[i, k, d] = sky[i, k, d]
        mean[i, 0] = bx / bn if bn > 0.0 else 0.0
        mean[i, 1] = by / bn if bn > 0.0 else 0.0
        mean[i, 2] = bz / bn if bn > 0.0 else 0.0
        mean[i, 3] = bn / sky.shape[1]
        for k in range(sky.shape[1]):
            for d in range(3):
                unit[i, k, d] *= sky.shape[1] / bn if bn > 0.0 else 0.0


def suns_of(sky: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Split the beam of a sky into its mean and what its direction does within each step.

    Parameters
    ----------
    sky : (n_step, n_sub, 7) float
        From `transposition.sky_states` [W m-2], or of a beam of 1 where only directions count.

    Returns
    -------
    beam : (n_step, n_sub, 3) float
        Beam of each sub-step over the mean beam of the step [1]: what `shaded_beam` takes to give G.
    mean : (n_step, 4) float
        Mean beam vector over bn, which is shorter than 1 by the sun's way (0.003 in an hour), and the mean strength bn [W m-2].
        With it n . s bn is the mean beam of a surface that has the sun before it all through the step.
    """
    unit, mean = np.zeros((*sky.shape[:2], 3)), np.zeros((sky.shape[0], 4))
    _suns(np.ascontiguousarray(sky, np.float64), unit, mean)
    return unit, mean


@rows
def _sunlit(projected, mean, normal, out):
    for i in range(projected.shape[0]):
        for g in range(projected.shape[1]):
            cosine = normal[g, 0] * mean[i, 0] + normal[g, 1] * mean[i, 1] + normal[g, 2] * mean[i, 2]
            g_share = projected[i, g]
            out[i, g] = np.float32(min(g_share / cosine, MOST_SUNLIT)) if cosine > 0.0 and g_share > 0.0 else np.float32(0.0)


def sunlit_share(projected: NDArray[np.float32], mean: NDArray[np.float64], normal: NDArray[np.float64]) -> NDArray[np.float32]:
    """Divide the projected sunlit share of groups by the cosine of their mean normal: F in I = F max(n . s, 0) bn + ...

    F is the sunlit share where all points of a group look one way. Where they do not, it can pass 1 (some points face the sun
    more than their mean does) and is held at 4; light that falls on a group whose mean normal looks away is lost to this form.

    Parameters
    ----------
    projected : (n_step, n_group) float32
        G from `shaded_beam` [1].
    mean : (n_step, 4) float
        From `suns_of`.
    normal : (n_group, 3) float
        Area-weighted mean of the points' normals, not brought to length 1 [1].

    Returns
    -------
    (n_step, n_group) float32 [1]
    """
    out = np.zeros(projected.shape, np.float32)
    _sunlit(projected, mean, np.ascontiguousarray(normal, np.float64), out)
    return out
