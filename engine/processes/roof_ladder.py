"""A valid solid over labelled faces: what gives way, and in which order, where there is none at first.

Where tidying makes no valid solid, edges stay as they were cut; where that makes none either, faces there take the label of a
neighbour, the cheapest change that leaves fewer vertices uneven; last, the smallest part there joins its neighbour, until one
level roof is left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from felsina.engine.fields import RECONSTRUCTION_REASONS
from felsina.kernels.geometry.arrangement import Arrangement
from felsina.kernels.geometry.face_costs import IMPOSSIBLE
from felsina.kernels.geometry.repair import repaired
from felsina.kernels.geometry.roof_levels import connected_parts
from felsina.kernels.geometry.roof_partition import Partition, dissolve, tidy
from felsina.kernels.geometry.roof_solid import RoofSolid, build_solid, find_uneven
from felsina.kernels.geometry.solids import VALID, check_solids, list_errors
from felsina.kernels.pointcloud.planes import Planes

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

REASON = {name: code for code, name in RECONSTRUCTION_REASONS.items()}
# straight, short, move [mm], each tried until one makes a valid solid.
_VARIANTS = ((25, 60, 80), (40, 100, 80), (25, 180, 120), (60, 250, 0), (25, 60, 0))
_MOST_HOLDS = 6
_MOST_CHOICES = 12  # of labels that are tried at a place
_MOST_RELABELS = 40
_MOST_PLACES = 8  # at which parts are merged in a round
_NEAR_MM = 60  # of a fault: vertices this near have been one
_BENT = (203, 204)  # codes of faces that no repair straightens
_MOST_ROUNDS = 100


@dataclass
class Part:
    """A polygon of the footprint on its way."""

    outline: Integers
    arrangement: Arrangement
    coefficients: Floats  # a, b, c [mm]
    cost: Integers
    label: Integers
    centroid: Floats
    planes: Planes
    variance: Floats  # of the mean height of the faces of each label about its plane [m2]


def solid_code(solid: RoofSolid) -> int:
    """Return the code of the ISO 19107 check."""
    offsets = np.array([0, len(solid.face_type)], np.int64)
    return int(check_solids(solid.vertices, solid.face_rings, solid.ring_offsets, solid.face_offsets, offsets)[0])


def _mended(solid: RoofSolid, code: int) -> tuple[RoofSolid, int]:
    """Return an invalid solid after repair, with its code: VALID where that was safe, else both as they came."""
    made = repaired(solid)
    if made.code != VALID:
        return solid, code
    # Vertices that the repair left without a face go.
    used, corners = np.unique(made.face_rings, return_inverse=True)
    source = made.face_source
    mended = RoofSolid(
        made.vertices[used],
        corners.astype(np.int64),
        made.ring_offsets,
        made.face_offsets,
        solid.face_type[source],
        solid.face_label[source],
        solid.face_source[source],
    )
    return mended, VALID


def attempt(part: Part, label: Integers, coefficients: Floats, ground: int) -> tuple[RoofSolid | None, int]:
    """Build a valid solid over labelled faces, changing labels where there is none; return it and what it took (a reason)."""
    a = part.arrangement
    label, reason = label.copy(), 0
    held = np.zeros(len(a.xy), np.bool_)
    left: set[tuple[int, int]] = set()  # faces and labels that they gave up
    visited: list[Integers] = []
    n_hold = 0
    for turn in range(_MOST_ROUNDS):
        bare = dissolve(a.xy, a.origin, a.face, a.source, label)
        solid, places = _valid_solid(tidy(bare, coefficients, part.outline, *_VARIANTS[0], held), coefficients, ground)
        if solid is not None:
            return solid, reason
        plain, faults = _valid_solid(bare, coefficients, ground)
        is_even = plain is not None or len(find_uneven(bare.xy, bare.origin, bare.label, coefficients, ground)) == 0
        if is_even and turn == 0:
            for straight, short, move in _VARIANTS[1:]:
                solid, _ = _valid_solid(tidy(bare, coefficients, part.outline, straight, short, move), coefficients, ground)
                if solid is not None:
                    return solid, reason
        if is_even and n_hold < _MOST_HOLDS and _hold(part, places, visited, held):
            # The labels are sound and tidying is not: there, edges stay as they are.
            n_hold += 1
            continue
        if plain is not None:
            return plain, reason
        if len(left) < _MOST_RELABELS and _relabel(part, label, coefficients, ground, faults, left):
            reason = max(reason, REASON["relabelled"])
            continue
        reason = REASON["parts_merged"]
        if not _merge(part, label, faults):
            return None, reason
    return None, reason


def _valid_solid(partition: Partition, coefficients: Floats, ground: int) -> tuple[RoofSolid | None, Integers]:
    """Return the valid solid over a partition, else None and the places at fault, (n, 2) [mm]."""
    for joins_walls in (True, False):
        solid, _, places = build_solid(partition, coefficients, ground, joins_walls=joins_walls)
        if solid is None:
            return None, places
        code = solid_code(solid)
        if code != VALID and not joins_walls and code not in _BENT:
            solid, code = _mended(solid, code)
        if code == VALID:
            return solid, places
    return None, _faults(solid) if solid is not None else places


def _hold(part: Part, places: Integers, visited: list[Integers], held: NDArray[np.bool_]) -> bool:
    """Hold the vertices around each place, more of them where it was visited before; return whether there was one."""
    n = np.count_nonzero(held)
    for place in places:
        visits = sum(int(np.abs(place - v).max()) <= _NEAR_MM for v in visited)
        held |= np.abs(part.arrangement.xy - place).max(axis=1) <= (2 * _NEAR_MM << min(visits, 4))
    visited.extend(places)
    return bool(np.count_nonzero(held) > n)


def _faults(solid: RoofSolid) -> Integers:
    """Return the corners of the faces of a solid that are not valid, (n, 2) [mm]."""
    offsets = np.array([0, len(solid.face_type)], np.int64)
    errors = list_errors(solid.vertices, solid.face_rings, solid.ring_offsets, solid.face_offsets, offsets)
    faces = np.unique(np.concatenate((errors.face, errors.other)))
    corners = [solid.face_rings[slice(*solid.ring_offsets[solid.face_offsets[f : f + 2]])] for f in faces[faces >= 0]]
    return solid.vertices[np.concatenate([np.empty(0, np.int64), *corners])][:, :2]


def _relabel(
    part: Part, label: Integers, coefficients: Floats, ground: int, places: Integers, left: set[tuple[int, int]]
) -> bool:
    """Give one face at each place the label of another face there; return whether there was one.

    The cheapest change after which fewer vertices are uneven; where all are even, after which they still are. No face takes a
    label again that it gave up.
    """
    a = part.arrangement
    changed = False

    def uneven() -> int:
        return len(find_uneven(a.xy, a.origin, np.where(a.face >= 0, label[a.face], -1), coefficients, ground))

    n = uneven()
    for place in places[:_MOST_PLACES]:
        for reach in (_NEAR_MM, 4 * _NEAR_MM, 16 * _NEAR_MM):
            faces = _faces_near(part, place, reach)
            # 0.05 m3/m2 besides: small faces go first.
            choices = sorted(
                (_cost(part, f, other) - _cost(part, f, label[f]) + int(a.area2[f]) * 25, f, other)
                for f in faces.tolist()
                for other in np.unique(label[faces]).tolist()
                if other != label[f] and (f, other) not in left and _cost(part, f, other) < IMPOSSIBLE
            )[:_MOST_CHOICES]
            for _, f, other in choices:
                before = int(label[f])
                label[f] = other
                now = uneven()
                if now < n or now == n == 0:
                    left.add((f, before))
                    n, changed = now, True
                    break
                label[f] = before
            else:
                continue
            break
    return changed


def _faces_near(part: Part, place: Integers, reach: int) -> Integers:
    """Return the faces at vertices within `reach` [mm] of a place, or at the nearest vertex."""
    a = part.arrangement
    off = np.abs(a.xy - place).max(axis=1)
    faces = np.unique(a.face[off[a.origin] <= max(int(off.min()), reach)])
    return faces[faces >= 0]


def _cost(part: Part, face: int, label: int) -> int:
    return int(part.cost[face, label]) if label < part.cost.shape[1] else 0


def _merge(part: Part, label: Integers, places: Integers) -> bool:
    """Merge the smallest part at each place with its cheapest neighbour; else an eighth of all; return whether there was one.

    With an eighth at a time, the number of rounds grows with the logarithm of the number of parts.
    """
    merged = [_merge_smallest(part, label, _faces_near(part, place, _NEAR_MM)) for place in places[:_MOST_PLACES]]
    if not any(merged):
        everywhere = np.arange(len(label))
        n = int(connected_parts(part.arrangement.face, label).max()) + 1
        merged = [_merge_smallest(part, label, everywhere) for _ in range(max(1, n // 8))]
    return any(merged)


def _merge_smallest(part: Part, label: Integers, faces: Integers) -> bool:
    """Give the smallest connected part of one label, of those of some faces, to its cheapest neighbour."""
    a = part.arrangement
    component = connected_parts(a.face, label)
    areas = np.zeros(int(component.max()) + 1, np.int64)
    np.add.at(areas, component, a.area2)
    left, right = a.face[0::2], a.face[1::2]
    inner = (left >= 0) & (right >= 0)
    left, right = left[inner], right[inner]
    candidates = np.unique(component[faces])
    for c in candidates[np.argsort(areas[candidates], kind="stable")]:
        beside = np.concatenate((right[component[left] == c], left[component[right] == c]))
        others = np.unique(label[beside[component[beside] != c]])
        mine = np.flatnonzero(component == c)
        others = others[others != label[mine[0]]]
        if len(others):
            label[mine] = min(others.tolist(), key=lambda o: (sum(_cost(part, f, o) for f in mine.tolist()), o))
            return True
    return False
