"""Repair of solids where it is safe: points that repeat, spikes, vertices a millimetre apart, rings and faces turned over.

A repair is kept when the solid is valid afterwards; otherwise the solid is returned as it came. A valid solid is never touched.
Nothing that changes the shape by more than the weld distance is tried: a missing face, a bent one or one that crosses another
is for the caller's ladder.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from felsina.kernels._backend import rows
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
            n_kept, n_repeated, n_spike = _without_spikes(p, corners)
            repeated, spikes = repeated + n_repeated, spikes + n_spike
            if n_kept >= 3:
                rings.append(corners[:n_kept])
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
    for k in np.flatnonzero(turned):
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


@rows
def _weld(p, reach):
    """Return for each point the first point, in the order of x, y, z, within reach that stays where it is; itself if none."""
    n = len(p)
    place, _ = number_places(p, np.arange(n))
    order = np.argsort(place)
    stays = np.arange(n)
    for i in range(n):
        v = order[i]
        for j in range(i):
            w = order[j]
            x, y, z = p[v, 0] - p[w, 0], p[v, 1] - p[w, 1], p[v, 2] - p[w, 2]
            if stays[w] == w and float(x) ** 2 + float(y) ** 2 + float(z) ** 2 <= reach * reach:
                stays[v] = w
                break
    return stays


@rows
def _without_spikes(p, corners):
    """Remove repeated corners and spikes in place; return how many corners are left, and how many of either went."""
    n = len(corners)
    n_repeated, n_spike = 0, 0
    i = 0
    n_good = 0  # corners in a row at which nothing was found
    while n >= 2 and n_good < n:
        i %= n
        a, v, b = corners[i - 1 if i > 0 else n - 1], corners[i], corners[i + 1 if i + 1 < n else 0]
        ux, uy, uz = p[v, 0] - p[a, 0], p[v, 1] - p[a, 1], p[v, 2] - p[a, 2]
        wx, wy, wz = p[b, 0] - p[v, 0], p[b, 1] - p[v, 1], p[b, 2] - p[v, 2]
        is_same = ux == 0 and uy == 0 and uz == 0
        is_straight = uy * wz == uz * wy and uz * wx == ux * wz and ux * wy == uy * wx
        if not is_same and not (is_straight and ux * wx + uy * wy + uz * wz < 0):
            i += 1
            n_good += 1
            continue
        if is_same:
            n_repeated += 1
        else:
            n_spike += 1
        for k in range(i, n - 1):
            corners[k] = corners[k + 1]
        n -= 1
        i = i - 1 if i > 0 else n - 1
        n_good = 0
    return n, n_repeated, n_spike


@rows
def _faces_to_turn(vertices, face_rings, ring_offsets, face_offsets):
    """Say which faces look inwards; none where an edge has not two faces, or the faces cannot be oriented."""
    n_face, n_corner = len(face_offsets) - 1, len(face_rings)
    turned = np.zeros(n_face, np.bool_)
    after, face = np.empty(n_corner, np.int64), np.empty(n_corner, np.int64)
    for f in range(n_face):
        for r in range(face_offsets[f], face_offsets[f + 1]):
            for i in range(ring_offsets[r], ring_offsets[r + 1]):
                after[i] = i + 1 if i + 1 < ring_offsets[r + 1] else ring_offsets[r]
                face[i] = f
    place, n_place = number_places(vertices, face_rings)
    twin, uses, is_same_way = pair_half_edges(place, n_place, after)
    for e in range(n_corner):
        if uses[e] != 2:
            return turned
    component, is_turned, is_orientable = spread_orientation(face, twin, uses, is_same_way, n_face)
    if not is_orientable:
        return turned
    faces = np.arange(n_face)
    for c in range(n_face):
        if component[c] == c:
            members = faces[component == c]
            is_inward = signed_volume(vertices, face_rings, ring_offsets, face_offsets, members, is_turned[members]) < 0
            for f in members:
                turned[f] = is_turned[f] != is_inward
    return turned
