"""Roofs of some buildings at LoD1.3 and LoD2.2, and what the building table says of them.

A level is kept only where it was really made: where LoD2.2 falls down the ladder, its row says why and how far. What goes wrong
in one building stays in its row.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from felsina.engine.errors import FelsinaError
from felsina.engine.log import LOGGER
from felsina.engine.processes.buildings import Shapes
from felsina.engine.processes.reconstruction import LODS, Building, Options, reconstruct
from felsina.engine.processes.roof_ladder import REASON
from felsina.engine.processes.solids import Solids, chosen, joined, of_roof_solid
from felsina.kernels.geometry.extrusion import ROOF
from felsina.kernels.geometry.faces import solid_volumes, tabulate_faces

Integers = NDArray[np.int64]

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


def reconstruct_roofs(
    points: Integers,
    building: Integers,
    shapes: Shapes,
    ground: Integers,
    wanted: NDArray[np.bool_],
    lods: Collection[str],
    options: Options,
    ids: Sequence[str],
    advance: Callable[[], None] = lambda: None,
) -> tuple[RoofTable, Solids]:
    """Reconstruct some buildings.

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
    ids : n names, for the log
    advance : called after each building

    Returns
    -------
    table : RoofTable
        Filled in the wanted rows.
    solids : Solids
        Of LoD1.3 and LoD2.2 where they were made and wanted.
    """
    n = len(ground)
    order = np.argsort(building, kind="stable")
    cuts = np.searchsorted(building[order], np.arange(n + 1))
    table, solids = empty_table(n), []
    for row in np.flatnonzero(wanted).tolist():
        parts, origin = _rings(shapes, row)
        mine = points[order[cuts[row] : cuts[row + 1]]] - origin
        made = _reconstructed(mine, parts, int(ground[row]), options, ids[row])
        levels = [lod for lod in LODS[1:] if lod in lods and made.level and lod <= made.level]
        _tabulate(table, row, made, levels)
        solids += [of_roof_solid(s, row, LODS.index(lod), origin) for lod in levels for s in made.solids[lod]]
        advance()
    found = joined(solids)
    _measure(table, chosen(found, np.flatnonzero(found.level == LODS.index(FULL))))
    return table, found


def empty_table(n: int) -> RoofTable:
    """Return the table of n buildings for which nothing was tried."""
    unknown = (np.full(n, np.nan) for _ in range(5))
    return RoofTable(np.zeros(n, np.int8), np.full(n, -1, np.int8), np.zeros(n, np.int32), *unknown)


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


def _reconstructed(points: Integers, parts: Sequence[Sequence[Integers]], ground: int, options: Options, name: str) -> Building:
    """Reconstruct a building; a defect in it costs that building its roof, not the run."""
    try:
        return reconstruct(points, parts, ground, options)
    except FelsinaError:
        raise
    except Exception:
        LOGGER.exception(
            "The roof of building '%s' met a defect in felsina; the building keeps its block. Please report it.", name
        )
        return Building(reason=REASON["defect"], n_point=len(points))


def _measure(table: RoofTable, solids: Solids) -> None:
    """Fill planes, area and volume of the rows with these LoD2.2 solids."""
    s, rows = solids, np.unique(solids.row)
    n = len(table.level)
    area, _, _ = tabulate_faces(s.vertices, s.face_rings, s.ring_offsets, s.face_offsets)
    volume = solid_volumes(s.vertices, s.face_rings, s.ring_offsets, s.face_offsets, s.solid_offsets)
    is_roof = s.face_type == ROOF
    table.area[rows] = np.bincount(s.face_row[is_roof], area[is_roof], n)[rows]
    table.volume[rows] = np.bincount(s.row, volume, n)[rows]
    solid = np.repeat(np.arange(s.n), np.diff(s.solid_offsets))
    planes = np.unique(np.stack((solid[is_roof], s.face_label[is_roof]), axis=1), axis=0)
    table.n_plane[:] = np.bincount(s.row[planes[:, 0]], minlength=n)


def _tabulate(table: RoofTable, row: int, made: Building, levels: Sequence[str]) -> None:
    """Fill a row of the table, less what `_measure` fills."""
    table.level[row] = LODS.index(levels[-1]) if levels else 0
    table.reason[row] = made.reason
    if not made.level:
        return
    deviations = (table.height_deviation, table.area_deviation, table.volume_deviation)
    for column, value in zip(deviations, made.uncertainty, strict=True):
        column[row] = value if math.isfinite(value) else math.nan


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
