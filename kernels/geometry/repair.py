"""Repair of solids where it is safe: points that repeat, spikes, vertices a millimetre apart, rings and faces turned over.

A repair is kept when the solid is valid afterwards; otherwise the solid is returned as it came. A valid solid is never touched.
Nothing that changes the shape by more than the weld distance is tried: a missing face, a bent one or one that crosses another
is for the caller's ladder.

Broken solids are few: this is plain Python around the kernels that the check has compiled already.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from felsina.kernels.geometry.planarity import newell_normal
from felsina.kernels.geometry.shells import number_places, pair_half_edges, signed_volume, spread_orientation
from felsina.kernels.geometry.solids import NORMALS_DEG, PLANARITY_MM, VALID, check_solids

Integers = NDArray[np.int64]

WELD_MM = 1.0  # the distance within which val3dity takes two vertices for one


class Shell(Protocol):
    """Faces of one solid as flat arrays; the same names as in `roof_solid.RoofSolid`."""

    @property
    def vertices(self) -> Integers: ...
    @property
    def face_rings(self) -> Integers: ...
    @property
    def ring_offsets(self) -> Integers: ...
    @property
    def face_offsets(self) -> Integers: ...


class Repairs(NamedTuple):
    """What was done to a solid; all zero where it was left alone.

    Attributes
    ----------
    welded : vertices that took the place of another
    repeated : corners removed that repeated the one before
    spikes : corners removed at which a ring folded back on itself
    rings_dropped : holes removed that had lost their area
    faces_dropped : faces removed that had lost their area
    rings_turned : holes that ran the way of their exterior
    faces_turned : faces that looked inwards
    """

    welded: int = 0
    repeated: int = 0
    spikes: int = 0
    rings_dropped: int = 0
    faces_dropped: int = 0
    rings_turned: int = 0
    faces_turned: int = 0


class Repaired(NamedTuple):
    """A solid after repair; the arrays are those of `Shell`.

    Attributes
    ----------
    vertices : (n_vertex, 3) int64
        Positions [mm], as they came; vertices that are no longer used stay.
    face_rings, ring_offsets, face_offsets : int64
        Faces that are left.
    face_source : (n_face,) int64
        Face that each was before.
    code : int
        0 where the solid is valid now, else the code that `check_solids` gave it before.
    done : Repairs
        What was done.
    """

    vertices: Integers
    face_rings: Integers
    ring_offsets: Integers
    face_offsets: Integers
    face_source: Integers
    code: int
    done: Repairs


def repaired(
    solid: Shell, planarity_mm: float = PLANARITY_MM, normals_deg: float = NORMALS_DEG, weld_mm: float = WELD_MM
) -> Repaired:
    """Repair a solid where that makes it valid, first without moving vertices, then with welding.

    Parameters
    ----------
    solid : Shell
        Vertices [mm], corners, and offsets of rings and faces of one solid.
    planarity_mm, normals_deg : float
        Tolerances of the check [mm], [degree].
    weld_mm : float
        Vertices no farther apart become one [mm].
    """
    code = _code(solid, planarity_mm, normals_deg)
    n_face = len(solid.face_offsets) - 1
    unchanged = Repaired(
        solid.vertices, solid.face_rings, solid.ring_offsets, solid.face_offsets, np.arange(n_face), code, Repairs()
    )
    if code == VALID or n_face == 0:
        return unchanged
    for reach in (0.0, weld_mm):
        tried = _tidied(solid, reach)
        if tried is not None and _code(tried, planarity_mm, normals_deg) == VALID:
            return tried
    return unchanged


def _code(solid: Shell, planarity_mm: float, normals_deg: float) -> int:
    n_face = len(solid.face_offsets) - 1
    return int(
        check_solids(
            solid.vertices,
            solid.face_rings,
            solid.ring_offsets,
            solid.face_offsets,
            np.array([0, n_face], np.int64),
            planarity_mm,
            normals_deg,
        )[0]
    )


def _tidied(solid: Shell, weld_mm: float) -> Repaired | None:
    """Return the solid after all repairs, or None where no face is left."""
    p = solid.vertices
    used = np.unique(solid.face_rings)
    place = np.arange(len(p))
    place[used] = used[_weld(np.ascontiguousarray(p[used]), weld_mm)]
    # Vertices at one position are one by definition: only a move counts as welding.
    welded = int((p[place[used]] != p[used]).any(axis=1).sum())
    repeated = spikes = rings_dropped = rings_turned = 0
    faces: list[list[Integers]] = []
    source: list[int] = []
    for f in range(len(solid.face_offsets) - 1):
        rings: list[Integers] = []
        for r in range(int(solid.face_offsets[f]), int(solid.face_offsets[f + 1])):
            corners = place[solid.face_rings[solid.ring_offsets[r] : solid.ring_offsets[r + 1]]]
            kept, n_repeated, n_spike = _without_spikes(p, corners.tolist())
            repeated, spikes = repeated + n_repeated, spikes + n_spike
            if len(kept) >= 3:
                rings.append(np.array(kept, np.int64))
            elif not rings:
                break  # the exterior is gone, and the face with it
            else:
                rings_dropped += 1
        if not rings:
            continue
        normal = _normal(p, rings[0])
        for k in range(1, len(rings)):
            if sum(a * b for a, b in zip(normal, _normal(p, rings[k]), strict=True)) > 0:
                rings[k] = rings[k][::-1]
                rings_turned += 1
        faces.append(rings)
        source.append(f)
    if not faces:
        return None
    arrays = _flat(faces)
    turned = _faces_to_turn(p, *arrays)
    for k in np.flatnonzero(turned).tolist():
        faces[k] = [ring[::-1] for ring in faces[k]]
    done = Repairs(
        welded=welded,
        repeated=repeated,
        spikes=spikes,
        rings_dropped=rings_dropped,
        faces_dropped=len(solid.face_offsets) - 1 - len(faces),
        rings_turned=rings_turned,
        faces_turned=int(turned.sum()),
    )
    return Repaired(p, *_flat(faces), np.array(source, np.int64), VALID, done)


def _normal(vertices: Integers, ring: Integers) -> tuple[int, ...]:
    corners = np.ascontiguousarray(vertices[ring])
    return tuple(int(v) for v in newell_normal(corners, 0, len(corners)))


def _flat(faces: list[list[Integers]]) -> tuple[Integers, Integers, Integers]:
    rings = [ring for face in faces for ring in face]
    return (
        np.concatenate(rings).astype(np.int64),
        np.cumsum([0, *map(len, rings)]).astype(np.int64),
        np.cumsum([0, *map(len, faces)]).astype(np.int64),
    )


def _weld(p: Integers, reach: float) -> Integers:
    """Return for each point the first point, in the order of x, y, z, within reach that stays where it is; itself if none."""
    stays = np.arange(len(p))
    order = np.lexsort((p[:, 2], p[:, 1], p[:, 0]))
    kept = np.zeros(len(p), np.bool_)
    for i, v in enumerate(order):
        earlier = order[:i][kept[order[:i]]]
        offset = np.abs(p[earlier] - p[v])
        near = earlier[(offset <= reach).all(axis=1)]
        near = near[((p[near] - p[v]) ** 2).sum(axis=1) <= reach * reach]
        if len(near):
            stays[v] = near[0]
        else:
            kept[v] = True
    return stays


def _without_spikes(p: Integers, ring: list[int]) -> tuple[list[int], int, int]:
    """Return a ring without repeated corners and spikes, and how many corners of either kind went."""
    corners = list(ring)
    places = {v: tuple(p[v].tolist()) for v in corners}
    n_repeated, n_spike, i = 0, 0, 0
    n_good = 0  # corners in a row at which nothing was found
    while len(corners) >= 2 and n_good < len(corners):
        i %= len(corners)
        a, v, b = (places[corners[k % len(corners)]] for k in (i - 1, i, i + 1))
        if a == v:
            n_repeated += 1
        elif _folds_back(a, v, b):
            n_spike += 1
        else:
            i, n_good = i + 1, n_good + 1
            continue
        del corners[i]
        i, n_good = max(i - 1, 0), 0
    return corners, n_repeated, n_spike


def _folds_back(a: tuple[int, ...], v: tuple[int, ...], b: tuple[int, ...]) -> bool:
    """Tell whether a ring turns round at v: a, v and b lie on one line, a and b on one side of v."""
    u, w = ([y - x for x, y in zip(s, e, strict=True)] for s, e in ((a, v), (v, b)))
    is_straight = all(u[i] * w[j] == u[j] * w[i] for i, j in ((0, 1), (1, 2), (2, 0)))
    return is_straight and sum(x * y for x, y in zip(u, w, strict=True)) < 0


def _faces_to_turn(
    vertices: Integers, face_rings: Integers, ring_offsets: Integers, face_offsets: Integers
) -> NDArray[np.bool_]:
    """Say which faces look inwards; none where an edge has not two faces, or the faces cannot be oriented."""
    n_face = len(face_offsets) - 1
    after = np.arange(1, len(face_rings) + 1)
    after[ring_offsets[1:] - 1] = ring_offsets[:-1]
    face = np.repeat(np.arange(n_face), np.diff(ring_offsets[face_offsets]))
    place, n_place = number_places(vertices, face_rings)
    twin, uses, is_same_way = pair_half_edges(place, n_place, after)
    turned = np.zeros(n_face, np.bool_)
    if (uses != 2).any():
        return turned
    component, is_turned, is_orientable = spread_orientation(face, twin, uses, is_same_way, n_face)
    if not is_orientable:
        return turned
    for c in np.unique(component):
        members = np.flatnonzero(component == c)
        is_inward = signed_volume(vertices, face_rings, ring_offsets, face_offsets, members, is_turned[members]) < 0
        turned[members] = is_turned[members] != is_inward
    return turned
