"""Solids of many buildings in flat arrays: one set of vertices, faces by solid, rings by face."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from felsina.kernels.geometry.extrusion import ROOF, Prisms
from felsina.kernels.geometry.roof_solid import RoofSolid

Integers = NDArray[np.int64]


class Solids(NamedTuple):
    """n_solid solids, ordered as they were given.

    Attributes
    ----------
    row, level : (n_solid,) int64
        Building of each, and number of its level of detail in `reconstruction.LODS`.
    vertices : (n_vertex, 3) int64
        Positions in the CRS [mm], solid by solid.
    vertex_offsets : (n_solid + 1,) int64
        Vertices of each solid.
    face_rings : (n_corner,) int64
        Vertex numbers, among all, of all rings; outward orientation.
    ring_offsets, face_offsets, solid_offsets : int64
        Corners of each ring, rings of each face (exterior first), faces of each solid.
    face_type : (n_face,) int8
        GROUND, WALL or ROOF of `kernels.geometry.extrusion`.
    is_outer : (n_face,) bool
        True for walls that stand on the footprint.
    face_label : (n_face,) int64
        Roof plane of a roof face in its solid; -1 for other faces.
    """

    row: Integers
    level: Integers
    vertices: Integers
    vertex_offsets: Integers
    face_rings: Integers
    ring_offsets: Integers
    face_offsets: Integers
    solid_offsets: Integers
    face_type: NDArray[np.int8]
    is_outer: NDArray[np.bool_]
    face_label: Integers

    @property
    def n(self) -> int:
        """Number of solids."""
        return len(self.row)

    @property
    def face_row(self) -> Integers:
        """(n_face,) building of each face."""
        return np.repeat(self.row, np.diff(self.solid_offsets))

    @property
    def vertex_row(self) -> Integers:
        """(n_vertex,) building of each vertex."""
        return np.repeat(self.row, np.diff(self.vertex_offsets))


def no_solids() -> Solids:
    """Return what there is where there is nothing."""
    nothing, start = np.zeros(0, np.int64), np.zeros(1, np.int64)
    vertices = np.zeros((0, 3), np.int64)
    types, outer = np.zeros(0, np.int8), np.zeros(0, np.bool_)
    return Solids(nothing, nothing, vertices, start, nothing, start, start, start, types, outer, nothing)


def of_roof_solid(solid: RoofSolid, row: int, level: int, origin: Integers) -> Solids:
    """Return one solid; `origin` [mm] is added to its vertices."""
    return Solids(
        np.array([row]),
        np.array([level]),
        solid.vertices + origin,
        np.array([0, len(solid.vertices)]),
        solid.face_rings,
        solid.ring_offsets,
        solid.face_offsets,
        np.array([0, len(solid.face_type)]),
        solid.face_type,
        solid.face_source >= 0,
        np.where(solid.face_type == ROOF, solid.face_label, -1),
    )


def of_prisms(prisms: Prisms, row: Integers) -> Solids:
    """Return prisms as the solids of the lowest level of their buildings."""
    n_ring = int(prisms.face_offsets[-1])
    return Solids(
        np.asarray(row, np.int64),
        np.zeros(len(row), np.int64),
        prisms.vertices,
        prisms.vertex_offsets,
        prisms.face_rings[: int(prisms.ring_offsets[n_ring])],
        prisms.ring_offsets[: n_ring + 1],
        prisms.face_offsets,
        prisms.solid_offsets,
        prisms.face_type,
        prisms.face_edge >= 0,
        np.where(prisms.face_type == ROOF, 0, -1),
    )


def joined(parts: Sequence[Solids]) -> Solids:
    """Return all solids, one part after the other."""
    parts = [p for p in parts if p.n]
    if not parts:
        return no_solids()

    def end_to_end(name: str) -> Integers:
        first = np.cumsum([0, *(getattr(p, name)[-1] for p in parts)])
        return np.concatenate([[0], *(getattr(p, name)[1:] + a for p, a in zip(parts, first, strict=False))]).astype(np.int64)

    before = np.cumsum([0, *(len(p.vertices) for p in parts)])
    columns: dict[str, Any] = {n: np.concatenate([getattr(p, n) for p in parts]) for n in Solids._fields if "offsets" not in n}
    columns |= {n: end_to_end(n) for n in Solids._fields if "offsets" in n}
    columns["face_rings"] = np.concatenate([p.face_rings + a for p, a in zip(parts, before, strict=False)])
    return Solids(**columns)


def chosen(solids: Solids, which: Integers) -> Solids:
    """Return some solids, by their numbers, in that order."""
    s = solids
    faces = ranges(s.solid_offsets[which], s.solid_offsets[which + 1])
    rings = ranges(s.face_offsets[faces], s.face_offsets[faces + 1])
    corners = ranges(s.ring_offsets[rings], s.ring_offsets[rings + 1])
    vertices = ranges(s.vertex_offsets[which], s.vertex_offsets[which + 1])
    number = np.empty(len(s.vertices), np.int64)
    number[vertices] = np.arange(len(vertices))
    return Solids(
        s.row[which],
        s.level[which],
        s.vertices[vertices],
        offsets_of(np.diff(s.vertex_offsets)[which]),
        number[s.face_rings[corners]],
        offsets_of(np.diff(s.ring_offsets)[rings]),
        offsets_of(np.diff(s.face_offsets)[faces]),
        offsets_of(np.diff(s.solid_offsets)[which]),
        s.face_type[faces],
        s.is_outer[faces],
        s.face_label[faces],
    )


def in_order_of_rows(solids: Solids) -> Solids:
    """Return the solids by building, then by level; the parts of a building keep their order."""
    return chosen(solids, np.lexsort((np.arange(solids.n), solids.level, solids.row)))


def highest(solids: Solids) -> Solids:
    """Return those of the highest level of each building; the solids are ordered by building."""
    rows, first = np.unique(solids.row, return_index=True)
    top = np.maximum.reduceat(solids.level, first) if len(rows) else first
    return chosen(solids, np.flatnonzero(solids.level == top[np.searchsorted(rows, solids.row)]))


def roof_solid(solids: Solids, k: int, origin: Integers) -> RoofSolid:
    """Return one solid in a frame of its own; the edges of its footprint and the planes of its walls are not known.

    Parameters
    ----------
    k : its number
    origin : (3,) int64
        Origin of the frame in the CRS [mm].
    """
    one = chosen(solids, np.array([k]))
    outer = np.where(one.is_outer, 0, -1)
    return RoofSolid(
        one.vertices - origin, one.face_rings, one.ring_offsets, one.face_offsets, one.face_type, one.face_label, outer
    )


def ranges(first: Integers, last: Integers) -> Integers:
    """Return first[0]..last[0]-1, first[1]..last[1]-1 and so on, in one array."""
    counts = last - first
    start = np.repeat(first - np.concatenate(([0], np.cumsum(counts)[:-1])), counts) if len(counts) else counts
    return (start + np.arange(int(counts.sum()))).astype(np.int64)


def offsets_of(counts: NDArray[np.integer]) -> Integers:
    """Return (n + 1,) where each of n runs of some length starts, and where the last one ends."""
    return np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
