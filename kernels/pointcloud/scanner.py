"""Airborne laser scanner: pulses of a rotating mirror, cast into a scene of prisms and crowns; returns, noise and occlusion.

Every pulse is computed from its flight line and its number alone, so any subset of pulses, in any order and on any number of
threads, gives the same returns. Shadows behind buildings are not modelled, nor is the light under arcades: both follow from the
ray that ends on the first wall, roof or ground. Beam footprint and waveform are left out, so only crowns split a pulse.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from felsina.kernels._backend import cell, rows, threads
from felsina.kernels.counter import normal_pair, philox, unit
from felsina.kernels.pointcloud.surface import GROUND, WATER, SurfaceModel, ground_height

LOW_VEGETATION, MEDIUM_VEGETATION, HIGH_VEGETATION, LOW_NOISE, HIGH_NOISE = 3, 4, 5, 7, 18  # ASPRS LAS 1.4 R15, table 17
MAX_RETURNS = 5
_BLOCK = 256
_MAX_CROWNS = 32  # nothing of a beam is left behind so many crowns
_FIRST, _SCATTER, _RETURN = np.uint64(0), np.uint64(16), np.uint64(64)  # third word of the counter: what a draw is for


class Scanner(NamedTuple):
    """The instrument and its flight plan.

    Attributes
    ----------
    altitude : float
        Flying height above the mean plane of the ground [m].
    line_spacing, scan_spacing : float
        Distance between flight lines (along x) and between scans (along y) [m].
    half_angle, pitch : float
        Largest scan angle; forward tilt of the scan plane [rad].
    n_mirror : int
        Pulses per scan.
    range_noise, horizontal_noise : float
        Standard deviations [m].
    extinction : float
        Extinction of crowns: hits per metre of path [m-1].
    stop : float
        Probability that a hit in a crown takes what is left of the pulse [1].
    dead_zone : float
        Shortest distance between two returns of a pulse [m].
    water_return, low_noise, high_noise : float
        Probability of a return from water, and of a false one below or above the surface [1].
    false_bottom, false_top : float
        Where false high returns lie, above the mean plane of the ground [m].
    """

    altitude: float = 400.0
    line_spacing: float = 186.5
    scan_spacing: float = 0.42
    half_angle: float = math.radians(25.0)
    pitch: float = math.radians(3.0)
    n_mirror: int = 888
    range_noise: float = 0.02
    horizontal_noise: float = 0.04
    extinction: float = 0.9
    stop: float = 0.45
    dead_zone: float = 1.2
    water_return: float = 0.15
    low_noise: float = 3e-5
    high_noise: float = 3e-5
    false_bottom: float = 55.0
    false_top: float = 68.0


def scanner_of_density(density: float) -> Scanner:
    """Return the scanner whose two overlapping strips together send `density` pulses per square metre of level ground."""
    default = Scanner()
    swath = 2.0 * default.altitude * math.tan(default.half_angle)
    spacing = math.sqrt(2.0 / density)
    return default._replace(line_spacing=0.5 * swath, scan_spacing=spacing, n_mirror=round(swath / spacing))


@cell
def _ray(scanner, terrain, line, scan, mirror):
    """Return origin and unit direction of a pulse; even lines fly north, odd ones south."""
    ahead = 1.0 if line % 2 == 0 else -1.0
    share = (mirror + 0.5) / scanner.n_mirror
    angle = scanner.half_angle * (2.0 * share - 1.0)
    x = (line + 0.5) * scanner.line_spacing
    y = (scan + ahead * share) * scanner.scan_spacing
    z = terrain[0] + terrain[1] * x + terrain[2] * y + scanner.altitude
    down = math.cos(angle)
    return x, y, z, math.sin(angle), ahead * down * math.sin(scanner.pitch), -down * math.cos(scanner.pitch)


@rows
def _ground_range(terrain, ox, oy, oz, dx, dy, dz):
    """Return the range to the ground; each step divides the error by slope x tan(angle), at least 30 here."""
    t = (ground_height(terrain, ox, oy) - oz) / dz
    for _ in range(5):
        t = (ground_height(terrain, ox + t * dx, oy + t * dy) - oz) / dz
    return t


@rows
def _prism_range(edge, plane, base, ox, oy, oz, dx, dy, dz):
    """Return the range to a prism, on its wall, its top or its underside; inf when the ray misses."""
    enter, leave = -math.inf, math.inf
    for e in range(4):
        rate = edge[e, 0] * dx + edge[e, 1] * dy
        offset = edge[e, 0] * ox + edge[e, 1] * oy + edge[e, 2]
        if rate < 0.0:
            enter = max(enter, -offset / rate)
        elif rate > 0.0:
            leave = min(leave, -offset / rate)
        elif offset > 0.0:
            return math.inf
    if enter > leave:
        return math.inf
    clearance = oz - plane[0] * ox - plane[1] * oy - plane[2]
    sink = dz - plane[0] * dx - plane[1] * dy
    if sink < 0.0:
        enter = max(enter, -clearance / sink)
    elif clearance + enter * sink > 0.0:
        return math.inf
    if base[2] > -math.inf:
        # A pulse falls more steeply than any underside slopes: it leaves through it.
        leave = min(leave, -(oz - base[0] * ox - base[1] * oy - base[2]) / (dz - base[0] * dx - base[1] * dy))
    return enter if enter <= leave else math.inf


@rows
def _crown_range(crown, ox, oy, oz, dx, dy, dz):
    """Return the ranges where a ray enters and leaves an ellipsoid; (inf, -inf) when it misses."""
    stretch = crown[3] / crown[4]
    px, py, pz = ox - crown[0], oy - crown[1], (oz - crown[2]) * stretch
    qz = dz * stretch
    a = dx * dx + dy * dy + qz * qz
    b = px * dx + py * dy + pz * qz
    c = px * px + py * py + pz * pz - crown[3] * crown[3]
    root = b * b - a * c
    if root <= 0.0:
        return math.inf, -math.inf
    root = math.sqrt(root)
    return (-b - root) / a, (-b + root) / a


@rows
def _march(model, ox, oy, oz, dx, dy, dz, crown_id, crown_in, crown_out):
    """Walk the index cells under the ray; return the range to the first solid, its class and the number of crowns before it."""
    limit = _ground_range(model.terrain, ox, oy, oz, dx, dy, dz)
    kind = np.uint8(GROUND)
    n_crown = 0
    ny, nx = model.cell_top.shape
    east, north = model.west + nx * model.cell, model.south + ny * model.cell
    t, end = max(0.0, (model.top - oz) / dz), limit
    if dx != 0.0:
        near, far = (model.west - ox) / dx, (east - ox) / dx
        t, end = max(t, min(near, far)), min(end, max(near, far))
    elif not model.west <= ox < east:
        return limit, kind, n_crown
    if dy != 0.0:
        near, far = (model.south - oy) / dy, (north - oy) / dy
        t, end = max(t, min(near, far)), min(end, max(near, far))
    elif not model.south <= oy < north:
        return limit, kind, n_crown
    if not t < end:
        return limit, kind, n_crown
    i = min(max(int(math.floor((ox + t * dx - model.west) / model.cell)), 0), nx - 1)
    j = min(max(int(math.floor((oy + t * dy - model.south) / model.cell)), 0), ny - 1)
    best = limit
    while True:
        next_x = (model.west + (i + (1 if dx > 0.0 else 0)) * model.cell - ox) / dx if dx != 0.0 else math.inf
        next_y = (model.south + (j + (1 if dy > 0.0 else 0)) * model.cell - oy) / dy if dy != 0.0 else math.inf
        leave = min(next_x, next_y)
        if oz + min(leave, end) * dz <= model.cell_top[j, i]:
            c = j * nx + i
            for k in range(model.prism_start[c], model.prism_start[c + 1]):
                p = model.prism_index[k]
                hit = _prism_range(model.prism_edge[p], model.prism_plane[p], model.prism_base[p], ox, oy, oz, dx, dy, dz)
                if hit < best:
                    best, kind = hit, model.prism_class[p]
            for k in range(model.crown_start[c], model.crown_start[c + 1]):
                tree = model.crown_index[k]
                known = n_crown == _MAX_CROWNS
                for m in range(n_crown):
                    known |= crown_id[m] == tree
                if known:
                    continue
                enter, out = _crown_range(model.crown[tree], ox, oy, oz, dx, dy, dz)
                if enter < out:
                    m = n_crown  # sorted by entry; the identifier breaks a tie, so the walk's order does not matter
                    while m > 0 and (crown_in[m - 1] > enter or (crown_in[m - 1] == enter and crown_id[m - 1] > tree)):
                        crown_id[m], crown_in[m], crown_out[m] = crown_id[m - 1], crown_in[m - 1], crown_out[m - 1]
                        m -= 1
                    crown_id[m], crown_in[m], crown_out[m] = tree, enter, out
                    n_crown += 1
        if leave >= min(best, end):
            return best, kind, n_crown
        if next_x <= next_y:
            i += 1 if dx > 0.0 else -1
        else:
            j += 1 if dy > 0.0 else -1
        if i < 0 or j < 0 or i >= nx or j >= ny:
            return best, kind, n_crown


@rows
def _vegetation_class(above):
    return np.uint8(LOW_VEGETATION if above < 0.5 else MEDIUM_VEGETATION if above < 2.0 else HIGH_VEGETATION)


@rows
def _pulse(scanner, model, seed, line, scan, mirror, crown_id, crown_in, crown_out, hit, kind):
    """Cast one pulse; fill ranges and classes of its returns and give their number."""
    ox, oy, oz, dx, dy, dz = _ray(scanner, model.terrain, line, scan, mirror)
    solid, solid_kind, n_crown = _march(model, ox, oy, oz, dx, dy, dz, crown_id, crown_in, crown_out)
    low = np.uint64(0xFFFFFFFF)
    number = np.uint64(scan + 0x40000000) * np.uint64(scanner.n_mirror) + np.uint64(mirror)
    c0, c1 = number & low, (number >> np.uint64(32)) ^ (np.uint64(line + 0x4000) << np.uint64(16))
    k0, k1 = seed & low, seed >> np.uint64(32)
    w0, w1, w2, _ = philox(c0, c1, _FIRST, np.uint64(0), k0, k1)
    chance = unit(w0)
    if chance < scanner.low_noise:
        depth = 2.0 + 10.0 * unit(w1)
        hit[0], kind[0] = _ground_range(model.terrain, ox, oy, oz, dx, dy, dz) - depth / dz, np.uint8(LOW_NOISE)
        return 1
    if chance < scanner.low_noise + scanner.high_noise:
        height = scanner.false_bottom + (scanner.false_top - scanner.false_bottom) * unit(w1)
        hit[0], kind[0] = (height - scanner.altitude) / dz, np.uint8(HIGH_NOISE)
        return 1
    n, step, earliest = 0, np.uint64(0), -math.inf
    for m in range(n_crown):
        t = max(crown_in[m], earliest)
        out = min(crown_out[m], solid)
        while n < MAX_RETURNS - 1:
            v0, v1, _, _ = philox(c0, c1, _SCATTER + step, np.uint64(0), k0, k1)
            step += np.uint64(1)
            t -= math.log(unit(v0)) / scanner.extinction
            if t >= out:
                break
            above = oz + t * dz - ground_height(model.terrain, ox + t * dx, oy + t * dy)
            hit[n], kind[n] = t, _vegetation_class(above)
            n += 1
            if unit(v1) < scanner.stop:
                return n
            t += scanner.dead_zone
            earliest = t
    if solid < earliest or (solid_kind == WATER and unit(w2) > scanner.water_return):
        return n
    hit[n], kind[n] = solid, solid_kind
    return n + 1


@rows
def _place(scanner, terrain, seed, line, scan, mirror, r, distance, out):
    """Write the noisy position of a return in millimetres and its noise of intensity."""
    ox, oy, oz, dx, dy, dz = _ray(scanner, terrain, line, scan, mirror)
    low = np.uint64(0xFFFFFFFF)
    number = np.uint64(scan + 0x40000000) * np.uint64(scanner.n_mirror) + np.uint64(mirror)
    c0, c1 = number & low, (number >> np.uint64(32)) ^ (np.uint64(line + 0x4000) << np.uint64(16))
    w0, w1, w2, w3 = philox(c0, c1, _RETURN + np.uint64(r), np.uint64(0), seed & low, seed >> np.uint64(32))
    east, north = normal_pair(w0, w1)
    along, bright = normal_pair(w2, w3)
    distance += scanner.range_noise * along
    out[0] = np.int32(math.floor(1000.0 * (ox + distance * dx + scanner.horizontal_noise * east) + 0.5))
    out[1] = np.int32(math.floor(1000.0 * (oy + distance * dy + scanner.horizontal_noise * north) + 0.5))
    out[2] = np.int32(math.floor(1000.0 * (oz + distance * dz) + 0.5))
    return bright


@threads
def _cast(scanner, model, seed, line, scan, mirror, position, kind, bright, count):
    n = line.size
    for block in prange((n + _BLOCK - 1) // _BLOCK):
        crown_id, hit = np.empty(_MAX_CROWNS, np.int32), np.empty(MAX_RETURNS)
        crown_in, crown_out = np.empty(_MAX_CROWNS), np.empty(_MAX_CROWNS)
        for i in range(block * _BLOCK, min(n, (block + 1) * _BLOCK)):
            a, b, c = line[i], scan[i], mirror[i]
            count[i] = _pulse(scanner, model, seed, a, b, c, crown_id, crown_in, crown_out, hit, kind[i])
            for r in range(count[i]):
                bright[i, r] = _place(scanner, model.terrain, seed, a, b, c, r, hit[r], position[i, r])


def cast_pulses(
    scanner: Scanner,
    model: SurfaceModel,
    seed: int,
    line: NDArray[np.int64],
    scan: NDArray[np.int64],
    mirror: NDArray[np.int64],
) -> tuple[NDArray[np.int32], NDArray[np.uint8], NDArray[np.float32], NDArray[np.uint8]]:
    """Cast pulses into a scene.

    A crown scatters by Beer and Lambert: the path to the next hit is exponential with the extinction k, p(s) = k exp(-k s).

    Parameters
    ----------
    seed : int
        Key of the random numbers, 0 to 2**64 - 1.
    line, scan, mirror : (n,) int64
        Flight line, scan along it (its northing over `scan_spacing`), and pulse of the scan, 0 to n_mirror - 1.

    Returns
    -------
    position : (n, MAX_RETURNS, 3) int32
        East, north and up of the returns, nearest first [mm].
    kind : (n, MAX_RETURNS) uint8
        True ASPRS class of the returns.
    bright : (n, MAX_RETURNS) float32
        Standard normal deviate of the returned energy [1].
    count : (n,) uint8
        Returns of each pulse; entries beyond it are undefined.
    """
    line, scan, mirror = (np.ascontiguousarray(v, np.int64) for v in (line, scan, mirror))
    n = line.size
    position, kind = np.empty((n, MAX_RETURNS, 3), np.int32), np.empty((n, MAX_RETURNS), np.uint8)
    bright, count = np.empty((n, MAX_RETURNS), np.float32), np.empty(n, np.uint8)
    _cast(scanner, model, np.uint64(seed), line, scan, mirror, position, kind, bright, count)
    return position, kind, bright, count


@rows
def _select(position, count, window, pulse, number):
    n = 0
    for i in range(count.size):
        for r in range(count[i]):
            x, y = position[i, r, 0], position[i, r, 1]
            if window[0] <= x < window[2] and window[1] <= y < window[3]:
                pulse[n], number[n] = i, r
                n += 1
    return n


def returns_within(
    position: NDArray[np.int32], count: NDArray[np.uint8], window: tuple[int, int, int, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """List the returns in [west, east) x [south, north) in millimetres, `window` = (west, south, east, north): (m,) pulse and
    (m,) place in the pulse, in the order of the pulses."""
    size = position.shape[0] * MAX_RETURNS
    pulse, number = np.empty(size, np.int64), np.empty(size, np.int64)
    n = _select(position, count, np.asarray(window, np.int64), pulse, number)
    return pulse[:n], number[:n]


def pulses_over(
    scanner: Scanner, window: tuple[float, float, float, float], relief: float
) -> list[tuple[int, tuple[int, int], tuple[int, int]]]:
    """List what has to be flown for a window: (line, (first, last) scan, (first, last) pulse of the scan), ends excluded.

    `window` = (west, south, east, north) [m]; `relief` [m] is how far returns may lie from the mean plane of the ground.
    """
    west, south, east, north = window
    side = math.tan(scanner.half_angle) / math.cos(scanner.pitch)
    swath, reach = (scanner.altitude + relief) * side, relief * side + 1.0
    plan = []
    for line in range(
        math.floor((west - swath) / scanner.line_spacing) - 1, math.ceil((east + swath) / scanner.line_spacing) + 1
    ):
        x = (line + 0.5) * scanner.line_spacing
        angles = [math.atan((edge - x) * math.cos(scanner.pitch) / scanner.altitude) for edge in (west - reach, east + reach)]
        share = [(a / scanner.half_angle + 1.0) / 2.0 * scanner.n_mirror for a in angles]
        mirror = max(0, math.floor(share[0]) - 1), min(scanner.n_mirror, math.ceil(share[1]) + 1)
        if mirror[0] >= mirror[1]:
            continue
        ahead = 1.0 if line % 2 == 0 else -1.0
        shift = [ahead * (scanner.altitude + r) * math.tan(scanner.pitch) for r in (-relief, relief)]
        first = math.floor((south - max(shift)) / scanner.scan_spacing) - 3
        last = math.ceil((north - min(shift)) / scanner.scan_spacing) + 3
        plan.append((line, (first, last), mirror))
    return plan
