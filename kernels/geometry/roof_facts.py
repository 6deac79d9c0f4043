"""What a roof is: its type, its ridge and its eaves, from the faces of a building's solids.

Names are those of the INSPIRE code list RoofTypeValue and of CityGML's SIG3D list, as far as faces tell them apart. A part of a
roof counts by its area along the slope. A face is level up to `LEVEL_DEG`, steep above `STEEP_DEG`, and slopes otherwise. In
this order:

    flat         at least 80 % is level
    mansard      at least 20 % is steep, at least 20 % is not, and on average the latter begins above the middle of the former
    combination  more than 20 % is level, or more than 20 % of the slopes lie farther than 30 degrees from four directions at
                 right angles (those of the building: the mean of all azimuths modulo 90 degrees, weighted by area)
    hipped       slopes in both pairs of opposite directions (at least 2 % in the smaller pair), and no gables: at most 5 % of
                 the edges that slopes have on the footprint rise
    pavilion     a hipped roof whose ridge is no longer than a tenth of the root of its area in plan: faces meet in a point
    gabled       two opposite directions: less than 10 % beside them, and at least 10 % on the smaller side
    monopitch    one direction: less than 10 % elsewhere
    gabled       gables that cross: both pairs, each with at least a quarter of the pair on its smaller side
    hipped       a hip at one end: both pairs, one of them with one side only
    combination  all else

A ridge that is broken by a step (dual pent roof) is gabled, a saw-tooth roof monopitch, a small half hip gabled; cones, domes
and arches are combinations.

References
----------
INSPIRE D2.8.III.2 Data Specification on Buildings, code list RoofTypeValue. SIG3D code list _AbstractBuilding_roofType 2.0.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from felsina.kernels._backend import cell, rows
from felsina.kernels.geometry.extrusion import ROOF, WALL
from felsina.kernels.geometry.faces import face_normal
from felsina.kernels.geometry.heights import NO_HEIGHT

Integers = NDArray[np.int64]

UNKNOWN, FLAT, MONOPITCH, GABLED, HIPPED, PAVILION, MANSARD, COMBINATION = range(8)
ROOF_TYPES = ("unknown", "flat", "monopitch", "gabled", "hipped", "pavilion", "mansard", "combination")

LEVEL_DEG = 10.0  # British practice (BS 6229) calls a roof flat up to this pitch
STEEP_DEG = 50.0  # lower slopes of mansard roofs are steeper, plain roofs rarely are
_LEVEL, _STEEP = math.tan(math.radians(LEVEL_DEG)), math.tan(math.radians(STEEP_DEG))
_SECTOR = math.radians(30.0)  # from a direction of the building
_MAIN, _REST = 0.8, 0.2  # shares of a form and of what may differ from it
_SIDE, _HIP, _RAKE = 0.1, 0.02, 0.05  # shares of a side, of the hips of a long house, of gables on the outline
_QUARTER = 0.25
_POINT = 0.1  # length of a ridge that is still a point, of the root of the area
_RIDGE_MM = 100  # a vertex this near below the highest lies on the ridge


class RoofFacts(NamedTuple):
    """Facts of the roofs of buildings; (n_building,) each.

    Attributes
    ----------
    roof_type : int8
        Number in `ROOF_TYPES`; UNKNOWN where there is no roof.
    ridge : int64
        Height of the highest point of the roof [mm]; NO_HEIGHT where there is none.
    eaves : int64
        Mean height, weighted by length in plan, of the eaves: of the edges that roofs share with walls on the footprint, those
        of level faces, and of sloping ones those that are level themselves (within `LEVEL_DEG`) and lie in the lower half of
        their face, where water runs off [mm]. The lowest point of the roof where there are none; NO_HEIGHT without a roof.
    """

    roof_type: NDArray[np.int8]
    ridge: Integers
    eaves: Integers


def roof_facts(
    vertices: Integers,
    face_rings: Integers,
    ring_offsets: Integers,
    face_offsets: Integers,
    face_type: NDArray[np.int8],
    face_building: Integers,
    n_building: int,
) -> RoofFacts:
    """Tell type, ridge and eaves of the roof of each building.

    Parameters
    ----------
    vertices, face_rings, ring_offsets, face_offsets
        Solids; see `faces.tabulate_faces`. Faces of a solid share their vertices.
    face_type : (n_face,) int8
        GROUND, WALL or ROOF of `extrusion`. Walls on the footprint are those that reach the lowest vertex of their building.
    face_building : (n_face,) int64
        Building of each face, ascending.
    n_building : int
        Number of buildings.

    Returns
    -------
    RoofFacts
        The same bits wherever a building lies on the millimetre grid, and however its faces are numbered.
    """
    if len(face_building) and (np.diff(face_building) < 0).any():
        raise ValueError("Faces have to come building by building: 'face_building' descends.")
    starts = np.searchsorted(face_building, np.arange(n_building + 1)).astype(np.int64)
    roof_type, ridge, eaves = np.zeros(n_building, np.int8), np.empty(n_building, np.int64), np.empty(n_building, np.int64)
    _facts(vertices, face_rings, ring_offsets, face_offsets, face_type, starts, roof_type, ridge, eaves)
    return RoofFacts(roof_type, ridge, eaves)


@rows
def _face_heights(vertices, face_rings, a, b):
    low, high = vertices[face_rings[a], 2], vertices[face_rings[a], 2]
    for i in range(a + 1, b):
        z = vertices[face_rings[i], 2]
        low, high = min(low, z), max(high, z)
    return low, high


@cell
def _whole(x):
    """Round to a whole number: sums of these do not depend on their order."""
    return np.int64(math.floor(x + 0.5))


@rows
def _slopes(vertices, face_rings, ring_offsets, face_offsets, face_type, first, last, ground):
    """Return areas [mm2] of roofs: all, level, steep, seen from above; the heights at which steep faces have their middle and
    others begin, times their areas; and of the slopes all, those in four directions at right angles.
    """
    total, level, steep, plan = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    middle, begin = np.int64(0), np.int64(0)
    cosine, sine = np.int64(0), np.int64(0)
    size = np.empty(last - first, np.int64)
    direction = np.full(last - first, np.nan)
    for f in range(first, last):
        if face_type[f] != ROOF:
            continue
        nx, ny, nz = face_normal(vertices, face_rings, ring_offsets, face_offsets[f], face_offsets[f + 1])
        x, y, z = float(nx), float(ny), float(nz)
        across = math.sqrt(x * x + y * y)
        area = _whole(0.5 * math.sqrt(x * x + y * y + z * z))
        low, high = _face_heights(vertices, face_rings, ring_offsets[face_offsets[f]], ring_offsets[face_offsets[f + 1]])
        total += area
        plan += nz >> 1
        if across > _STEEP * z:
            steep += area
            middle += area * ((low + high) // 2 - ground)
        else:
            begin += area * (low - ground)
        if across <= _LEVEL * z:
            level += area
            continue
        # The fourth power of the direction is the same for directions at right angles.
        c, s = y / across, x / across
        c, s = c * c - s * s, 2.0 * c * s
        c, s = c * c - s * s, 2.0 * c * s
        cosine += _whole(area * c)
        sine += _whole(area * s)
        size[f - first], direction[f - first] = area, math.atan2(x, y)
    axis = 0.25 * math.atan2(float(sine), float(cosine))
    q = np.zeros(4, np.int64)
    for i in range(last - first):
        if math.isnan(direction[i]):
            continue
        turns = (direction[i] - axis) / (0.5 * math.pi)
        nearest = math.floor(turns + 0.5)
        if abs(turns - nearest) * (0.5 * math.pi) <= _SECTOR:
            q[np.int64(nearest) % 4] += size[i]
    return total, level, steep, plan, middle, begin, q


@rows
def _twins(face_rings, ring_offsets, first_ring, last_ring, n_vertex):
    """Return the corner that starts the same edge in the other direction for each corner of some rings, or -1."""
    a, b = ring_offsets[first_ring], ring_offsets[last_ring]
    n = b - a
    there, back = np.empty(n, np.int64), np.empty(n, np.int64)
    for r in range(first_ring, last_ring):
        for i in range(ring_offsets[r], ring_offsets[r + 1]):
            v, w = face_rings[i], face_rings[i + 1 if i + 1 < ring_offsets[r + 1] else ring_offsets[r]]
            there[i - a], back[i - a] = v * n_vertex + w, w * n_vertex + v
    order = np.argsort(there)
    there = there[order]
    twin = np.full(n, -1, np.int64)
    for i in range(n):
        k = np.searchsorted(there, back[i])
        if k < n and there[k] == back[i]:
            twin[i] = order[k]
    return twin


@rows
def _edges(vertices, face_rings, ring_offsets, face_offsets, face_type, first, last, ground, top):
    """Return lengths in plan [mm] of the edges of roofs: those of slopes on the footprint, of these the rising ones, the ridge,
    the eaves; and the eaves times twice their height above the ground.
    """
    outline, rakes, ridge, eaves, moment = np.int64(0), np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    first_ring, last_ring = face_offsets[first], face_offsets[last]
    start = ring_offsets[first_ring]
    twin = _twins(face_rings, ring_offsets, first_ring, last_ring, len(vertices))
    kind = np.zeros(len(twin), np.int8)  # of the face of each corner: ROOF, or WALL on the footprint
    for f in range(first, last):
        a, b = ring_offsets[face_offsets[f]], ring_offsets[face_offsets[f + 1]]
        low, _ = _face_heights(vertices, face_rings, a, b)
        if face_type[f] == ROOF or (face_type[f] == WALL and low == ground):
            kind[a - start : b - start] = face_type[f]
    for f in range(first, last):
        if face_type[f] != ROOF:
            continue
        nx, ny, nz = face_normal(vertices, face_rings, ring_offsets, face_offsets[f], face_offsets[f + 1])
        is_level = math.sqrt(float(nx) * float(nx) + float(ny) * float(ny)) <= _LEVEL * float(nz)
        low, high = _face_heights(vertices, face_rings, ring_offsets[face_offsets[f]], ring_offsets[face_offsets[f + 1]])
        for r in range(face_offsets[f], face_offsets[f + 1]):
            a, b = ring_offsets[r], ring_offsets[r + 1]
            for i in range(a, b):
                if twin[i - start] < 0:
                    continue
                v, w = face_rings[i], face_rings[i + 1 if i + 1 < b else a]
                dx, dy = float(vertices[w, 0] - vertices[v, 0]), float(vertices[w, 1] - vertices[v, 1])
                length, heights = _whole(math.sqrt(dx * dx + dy * dy)), vertices[v, 2] + vertices[w, 2]
                if kind[twin[i - start]] == ROOF:
                    if min(vertices[v, 2], vertices[w, 2]) >= top - _RIDGE_MM:
                        ridge += length
                    continue
                if kind[twin[i - start]] != WALL:
                    continue
                is_rising = float(abs(vertices[w, 2] - vertices[v, 2])) > _LEVEL * float(length)
                if not is_level:
                    outline += length
                    rakes += length if is_rising else 0
                if is_level or (not is_rising and heights <= low + high):
                    eaves += length
                    moment += length * (heights - 2 * ground)
    return outline, rakes, ridge // 2, eaves, moment


@rows
def _type(total, level, steep, plan, middle, begin, q, outline, rakes, ridge):
    if total <= 0:
        return UNKNOWN
    if level >= _MAIN * total:
        return FLAT
    other = total - steep
    if steep >= _REST * total and other >= _REST * total and float(begin) / float(other) >= float(middle) / float(steep):
        return MANSARD
    slopes = total - level
    if level > _REST * total or q[0] + q[1] + q[2] + q[3] < _MAIN * slopes:
        return COMBINATION
    k = 0 if q[0] + q[2] >= q[1] + q[3] else 1
    minor = q[1 - k] + q[3 - k]
    is_paired = min(q[k], q[k + 2]) >= _SIDE * slopes
    if is_paired and minor >= _HIP * slopes and rakes <= _RAKE * outline:
        return PAVILION if ridge <= _POINT * math.sqrt(float(plan)) else HIPPED
    if minor < _SIDE * slopes:
        return GABLED if is_paired else MONOPITCH
    if not is_paired:
        return COMBINATION
    return GABLED if min(q[1 - k], q[3 - k]) >= _QUARTER * minor else HIPPED


@rows
def _facts(vertices, face_rings, ring_offsets, face_offsets, face_type, starts, roof_type, ridge, eaves):
    for s in range(len(roof_type)):
        first, last = starts[s], starts[s + 1]
        ground, lowest, highest, has_roof = np.int64(0), np.int64(0), np.int64(0), False
        for f in range(first, last):
            low, high = _face_heights(vertices, face_rings, ring_offsets[face_offsets[f]], ring_offsets[face_offsets[f + 1]])
            ground = min(ground, low) if f > first else low
            if face_type[f] == ROOF:
                lowest, highest = (min(lowest, low), max(highest, high)) if has_roof else (low, high)
                has_roof = True
        if not has_roof:
            roof_type[s], ridge[s], eaves[s] = UNKNOWN, NO_HEIGHT, NO_HEIGHT
            continue
        total, level, steep, plan, middle, begin, q = _slopes(
            vertices, face_rings, ring_offsets, face_offsets, face_type, first, last, ground
        )
        outline, rakes, top, n_eaves, moment = _edges(
            vertices, face_rings, ring_offsets, face_offsets, face_type, first, last, ground, highest
        )
        roof_type[s] = _type(total, level, steep, plan, middle, begin, q, outline, rakes, top)
        ridge[s] = highest
        eaves[s] = ground + (moment + n_eaves) // (2 * n_eaves) if n_eaves > 0 else lowest
