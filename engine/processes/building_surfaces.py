"""Surfaces, walls and meshes of the solids of some buildings, and how those of consecutive units are put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from felsina.engine.processes.solids import Solids, chosen, highest, offsets_of
from felsina.kernels.geometry.faces import tabulate_faces, triangulate_faces
from felsina.kernels.geometry.party_walls import Walls, find_party_walls, sum_party_walls, wall_profiles

Integers = NDArray[np.int64]


class Surfaces(NamedTuple):
    """Faces of the solids of the highest level of each building: the surface table.

    Attributes
    ----------
    row : (n_surface,) int64
        Building.
    kind : (n_surface,) int8
        GROUND, WALL or ROOF.
    area, tilt, azimuth : (n_surface,) float64
        [m2], [degree], [degree]; see `kernels.geometry.faces`.
    wall : (n_wall,) int64
        Surfaces that are walls on a footprint.
    """

    row: Integers
    kind: NDArray[np.int8]
    area: NDArray[np.float64]
    tilt: NDArray[np.float64]
    azimuth: NDArray[np.float64]
    wall: Integers


class Mesh(NamedTuple):
    """Triangles of the solids of one level of each building.

    Attributes
    ----------
    vertices : (n_vertex, 3) int64
        Positions in the CRS [mm].
    triangles : (n_triangle, 3) int64
        Rows of `vertices`, anticlockwise from outside.
    surface : (n_triangle,) int64
        Row of the surface table; -1 where that table is of another level.
    row : (n_triangle,) int64
        Building of each.
    kind : (n_triangle,) int8
        GROUND, WALL or ROOF.
    """

    vertices: Integers
    triangles: Integers
    surface: Integers
    row: Integers
    kind: NDArray[np.int8]


class Shells(NamedTuple):
    """What some buildings look like: surface table, profiles of its walls, mesh of the same solids, mesh of LoD1.2."""

    surfaces: Surfaces
    walls: Walls
    mesh: Mesh
    lowest: Mesh


def shells_of(solids: Solids) -> Shells:
    """Tabulate, profile and triangulate solids; they are in order of their buildings."""
    best = highest(solids)
    faces = (best.vertices, best.face_rings, best.ring_offsets, best.face_offsets)
    wall = np.flatnonzero(best.is_outer)
    surfaces = Surfaces(best.face_row, best.face_type, *tabulate_faces(*faces), wall)
    lowest = chosen(solids, np.flatnonzero(solids.level == 0))
    blocks = mesh_of(lowest)
    blocks = blocks._replace(surface=np.full(len(blocks.surface), -1))
    return Shells(surfaces, wall_profiles(*faces, wall), mesh_of(best), blocks)


def mesh_of(solids: Solids) -> Mesh:
    """Triangulate all faces."""
    s = solids
    triangles, face, _ = triangulate_faces(s.vertices, s.face_rings, s.ring_offsets, s.face_offsets)
    return Mesh(s.vertices, triangles, face, s.face_row[face], s.face_type[face])


def party_areas(parts: Sequence[Walls], owner: Integers, distance_m: float) -> NDArray[np.float64]:
    """Return the area of each wall of all parts that it shares with walls of other buildings [m2].

    Parameters
    ----------
    parts : walls of all buildings
    owner : (n_wall,) int64
        Building of each.
    distance_m : largest gap between walls that count as shared
    """
    walls = joined_walls(parts)
    pairs, area = find_party_walls(walls, owner, round(distance_m * 1000))
    return sum_party_walls(pairs, area, len(owner))


def joined_shells(parts: Sequence[tuple[int, Shells]]) -> Shells:
    """Put shells together, each with the number of its first building; there is at least one."""
    first = [row for row, _ in parts]
    surfaces = [s.surfaces for _, s in parts]
    before = offsets_of(np.array([len(s.row) for s in surfaces]))
    columns = {n: _joined([getattr(s, n) for s in surfaces]) for n in ("kind", "area", "tilt", "azimuth")}
    return Shells(
        Surfaces(row=_joined([s.row for s in surfaces], first), wall=_joined([s.wall for s in surfaces], before), **columns),
        joined_walls([s.walls for _, s in parts]),
        joined_meshes([s.mesh for _, s in parts], first, before),
        joined_meshes([s.lowest for _, s in parts], first, np.zeros(len(parts), np.int64)),
    )


def joined_walls(parts: Sequence[Walls]) -> Walls:
    """Put the profiles of walls together."""
    pieces = offsets_of(np.array([len(w.pieces) for w in parts]))
    offsets = [np.zeros(1, np.int64), *(w.piece_offsets[1:] + p for w, p in zip(parts, pieces, strict=False))]
    return Walls(
        edges=_joined([w.edges for w in parts]),
        base=_joined([w.base for w in parts]),
        piece_offsets=np.concatenate(offsets),
        pieces=_joined([w.pieces for w in parts]),
    )


def joined_meshes(parts: Sequence[Mesh], first_row: Sequence[int], first_surface: Integers) -> Mesh:
    """Put meshes together; their rows and surfaces start at the given numbers."""
    before = offsets_of(np.array([len(m.vertices) for m in parts]))
    return Mesh(
        _joined([m.vertices for m in parts]),
        _joined([m.triangles for m in parts], before),
        _joined([m.surface for m in parts], first_surface),
        _joined([m.row for m in parts], first_row),
        _joined([m.kind for m in parts]),
    )


def _joined(columns: Sequence[NDArray[Any]], added: Sequence[int] | Integers | None = None) -> NDArray[Any]:
    if added is None:
        return np.concatenate(columns)
    return np.concatenate([c + int(a) for c, a in zip(columns, added, strict=False)])
