"""Roofs of many buildings: each owner reconstructs its own at LoD1.3 and LoD2.2, the root receives the solids block by block.

Solids travel as whole numbers, those of at most `BLOCK` buildings in a message, and the root keeps one block at a time. A level
is kept only where it was really made: where LoD2.2 falls down the ladder, its row says why and how far.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from felsina.engine.io.cityjson import Solid
from felsina.engine.parallel.world import World
from felsina.engine.processes.buildings import Shapes
from felsina.engine.processes.reconstruction import LODS, REASON, Building, Options, reconstruct
from felsina.kernels.geometry.extrusion import ROOF
from felsina.kernels.geometry.roof_solid import RoofSolid

Integers = NDArray[np.int64]

BLOCK = 1000  # buildings whose solids travel in one message: some 5 MB
FULL = "2.2"


class RoofTable(NamedTuple):
    """What was made of each building; (n,) each.

    level: number in `LODS` of the highest level made and wanted; reason: code of `REASONS`, -1 where nothing was tried.
    Of the LoD2.2 roof: its number of planes, its area along the slopes [m2] and the volume below it [m3] (0 or NaN where it was
    not made); standard deviations of its mean height [m], area [m2] and volume [m3] (NaN where nothing was made).
    """

    level: NDArray[np.int8]
    reason: NDArray[np.int8]
    n_plane: NDArray[np.int32]
    area: NDArray[np.float64]
    volume: NDArray[np.float64]
    height_deviation: NDArray[np.float64]
    area_deviation: NDArray[np.float64]
    volume_deviation: NDArray[np.float64]


@dataclass(frozen=True)
class RoofModels:
    """The table of all rows, of which this rank filled its own, and the solids of its own rows; see `solids_by_block`."""

    table: RoofTable
    packed: Mapping[int, Integers]


def reconstruct_roofs(
    points: Integers,
    building: Integers,
    shapes: Shapes,
    ground: Integers,
    wanted: NDArray[np.bool_],
    lods: Collection[str],
    options: Options,
    advance: Callable[[], None] = lambda: None,
) -> RoofModels:
    """Reconstruct the buildings of a rank.

    Parameters
    ----------
    points : (n_point, 3) int64
        x, y, z [mm] in the CRS, in any order; copies are dropped.
    building : (n_point,) int64
        Row of the building that holds each point.
    shapes : footprints of all n buildings
    ground : (n,) int64
        Height of the ground of each building [mm].
    wanted : (n,) bool
        Rows to reconstruct.
    lods : levels of detail whose solids are kept
    options : of the reconstruction
    advance : called after each building
    """
    n = len(ground)
    order = np.argsort(building, kind="stable")
    cuts = np.searchsorted(building[order], np.arange(n + 1))
    table = RoofTable(
        np.zeros(n, np.int8), np.full(n, -1, np.int8), np.zeros(n, np.int32), *(np.full(n, np.nan) for _ in range(5))
    )
    packed = {}
    for row in np.flatnonzero(wanted).tolist():
        parts, origin = _rings(shapes, row)
        mine = points[order[cuts[row] : cuts[row + 1]]] - origin
        made = reconstruct(mine, parts, int(ground[row]), options)
        levels = [lod for lod in LODS[1:] if lod in lods and made.level and lod <= made.level]
        _tabulate(table, row, made, levels, int(ground[row]))
        if levels:
            packed[row] = np.concatenate([_pack(row, lod, solid, origin) for lod in levels for solid in made.solids[lod]])
        advance()
    return RoofModels(table, packed)


def gather_table(world: World, table: RoofTable, owners: NDArray[np.int32]) -> RoofTable | None:
    """Return the table of all ranks' rows on the root, None elsewhere; collective.

    Parameters
    ----------
    table : filled in this rank's rows
    owners : (n,) rank that filled each row
    """
    parts = world.gather(table)
    if parts is None:
        return None
    rows = np.arange(len(owners))
    return RoofTable(*(np.stack([getattr(p, name) for p in parts])[owners, rows] for name in RoofTable._fields))


def without_geometry(table: RoofTable, has_solid: NDArray[np.bool_]) -> RoofTable:
    """Return the table without what was made of rows that have no valid block, on which the ladder stands."""
    gone = ~has_solid & (table.reason >= 0)
    columns = {name: np.where(gone, np.nan, getattr(table, name)) for name in RoofTable._fields[3:]}
    return table._replace(
        level=np.where(gone, 0, table.level).astype(np.int8),
        reason=np.where(gone & (table.level > 0), REASON["invalid_footprint"], table.reason).astype(np.int8),
        n_plane=np.where(gone, 0, table.n_plane).astype(np.int32),
        **columns,
    )


def roof_columns(table: RoofTable) -> dict[str, Any]:
    """Return the columns of the building table by field."""
    return {
        "building_reconstruction_reason": table.reason,
        "building_roof_plane_count": table.n_plane,
        "building_roof_area": table.area,
        "building_lod22_volume": table.volume,
        "building_roof_height_standard_deviation": table.height_deviation,
        "building_roof_area_standard_deviation": table.area_deviation,
        "building_lod22_volume_standard_deviation": table.volume_deviation,
    }


def solids_by_block(world: World, packed: Mapping[int, Integers], n: int) -> Iterator[tuple[range, dict[int, list[Solid]]]]:
    """Yield the rows of a block and their solids by row, block after block; collective: every rank goes through to the end.

    Only the root receives solids.

    Parameters
    ----------
    packed : solids of this rank's rows, as `reconstruct_roofs` returns them
    n : number of rows

    Yields
    ------
    rows : of the block
    solids : row -> solids in the CRS [mm], by level of detail and part of the footprint
    """
    nothing = np.empty(0, np.int64)
    for first in range(0, n, BLOCK):
        rows = range(first, min(first + BLOCK, n))
        message = np.concatenate([nothing, *(packed[row] for row in rows if row in packed)])
        came = world.exchange([message if rank == 0 else nothing for rank in range(world.size)])
        solids: dict[int, list[Solid]] = {}
        if world.is_root:
            for part in came:
                for row, solid in _unpacked(part):
                    solids.setdefault(row, []).append(solid)
        yield rows, solids


def measure_solid(vertices: Integers, solid: RoofSolid) -> tuple[float, float]:
    """Return the area of the roofs along their slopes [m2] and the enclosed volume [m3].

    The sums of cross products are exact whole numbers: 6 V is that of the fans of all rings about their first corners, modulo
    2**64 mm3, which 1.5 km3 do not reach.

    Parameters
    ----------
    vertices : (n_vertex, 3) int64
        Positions [mm], near the origin.
    solid : its faces
    """
    first = solid.ring_offsets[:-1]
    counts = np.diff(solid.ring_offsets)
    after = np.arange(1, len(solid.face_rings) + 1)
    after[solid.ring_offsets[1:] - 1] = first
    base = vertices[solid.face_rings[first]]
    start = vertices[solid.face_rings] - np.repeat(base, counts, axis=0)
    normal = np.add.reduceat(np.cross(start, start[after]), first)  # twice the area of each ring
    volume6 = int(np.add.reduce((normal * base).ravel()))
    of_face = np.add.reduceat(normal, solid.face_offsets[:-1])[solid.face_type == ROOF].astype(np.float64)
    area2 = math.fsum(math.sqrt(x * x + y * y + z * z) for x, y, z in of_face.tolist())
    return area2 * 0.5e-6, volume6 / 6e9


def _tabulate(table: RoofTable, row: int, made: Building, levels: Sequence[str], ground: int) -> None:
    """Fill a row of the table."""
    table.level[row] = LODS.index(levels[-1]) if levels else 0
    table.reason[row] = made.reason
    if not made.level:
        return
    deviations = (table.height_deviation, table.area_deviation, table.volume_deviation)
    for column, value in zip(deviations, made.uncertainty, strict=True):
        column[row] = value if math.isfinite(value) else math.nan
    if FULL in levels:
        solids = made.solids[FULL]
        table.n_plane[row] = sum(len(np.unique(s.face_label[s.face_type == ROOF])) for s in solids)
        measured = [measure_solid(s.vertices - (0, 0, ground), s) for s in solids]
        table.area[row], table.volume[row] = (math.fsum(values) for values in zip(*measured, strict=True))


def _rings(shapes: Shapes, row: int) -> tuple[list[list[Integers]], Integers]:
    """Return the rings of a footprint from an origin of its own, a whole metre, and that origin (x, y, 0) [mm]."""
    a, b = int(shapes.row_offsets[row]), int(shapes.row_offsets[row + 1])
    bounds = shapes.ring_offsets[shapes.polygon_offsets[[a, b]]]
    origin = np.append(shapes.xy[bounds[0] : bounds[1]].min(axis=0) // 1000 * 1000, 0)
    parts = []
    for first, last in itertools.pairwise(shapes.polygon_offsets[a : b + 1]):
        rings = itertools.pairwise(shapes.ring_offsets[first : last + 1])
        parts.append([shapes.xy[p:q] - origin[:2] for p, q in rings])
    return parts, origin


def _pack(row: int, lod: str, solid: RoofSolid, origin: Integers) -> Integers:
    """Return a solid as whole numbers: row, level, the four sizes, vertices in the CRS, corners, offsets, types."""
    sizes = [len(solid.vertices), len(solid.face_rings), len(solid.ring_offsets) - 1, len(solid.face_type)]
    arrays = ((solid.vertices + origin).ravel(), solid.face_rings, solid.ring_offsets, solid.face_offsets)
    return np.concatenate(([row, LODS.index(lod), *sizes], *arrays, solid.face_type)).astype(np.int64)


def _unpacked(message: Integers) -> Iterator[tuple[int, Solid]]:
    """Yield the rows and solids of packed solids, one after the other."""
    at = 0
    while at < len(message):
        row, lod, n_vertex, n_corner, n_ring, n_face = message[at : at + 6].tolist()
        sizes = (3 * n_vertex, n_corner, n_ring + 1, n_face + 1, n_face)
        cuts = list(itertools.accumulate(sizes, initial=at + 6))
        vertices, corners, rings, faces, types = (message[a:b] for a, b in itertools.pairwise(cuts))
        ring_lists = [corners[a:b].tolist() for a, b in itertools.pairwise(rings)]
        face_lists = [ring_lists[a:b] for a, b in itertools.pairwise(faces)]
        yield row, Solid(LODS[lod], vertices.reshape(-1, 3), face_lists, types.tolist())
        at = cuts[-1]
