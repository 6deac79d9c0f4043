"""A unit of work: some consecutive rows of the building table, from points and footprints to tables, solids and surfaces.

What a unit gives depends on its rows alone, so that any rank may do it, at any time. A row in which felsina itself fails is
done again alone, and keeps a row with the reason `defect`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from felsina.engine.city import BuildingOptions, QualityOptions
from felsina.engine.errors import FelsinaError
from felsina.engine.io.vector import Polygons
from felsina.engine.log import LOGGER
from felsina.engine.processes.building_facts import unit_columns
from felsina.engine.processes.buildings import (
    REASON,
    STATUS,
    Heights,
    ground_of_returns,
    make_blocks,
    measure,
    rows_of,
)
from felsina.engine.processes.footprint_points import INSIDE, ON_GROUND, ON_ROOF, UnitPoints
from felsina.engine.processes.quality import Evidence, unit_evidence
from felsina.engine.processes.reconstruction import LODS, Options
from felsina.engine.processes.roof_models import RoofTable, empty_table, reconstruct_roofs, without_geometry
from felsina.engine.processes.solids import Solids, chosen, highest, in_order_of_rows, joined, of_prisms
from felsina.kernels.geometry.faces import solid_volumes
from felsina.kernels.geometry.heights import NO_HEIGHT

UNIT = 16  # rows: some 50 ms of work, one message


@dataclass(frozen=True)
class Unit:
    """What is known of n consecutive rows.

    Attributes
    ----------
    ids : names
    shapes : footprints
    rejected, reason : (n,) of the footprints
    attributes : columns of n values
    terrain : (n,) int64
        Ground along the outlines [mm], from the terrain.
    points : points in and around the footprints; `row` counts from the first of the unit
    is_free : (n_vertex,) bool
        Edges of the footprints with no other footprint beside them; see `kernels.quality.offset.free_edges`.
    """

    ids: Sequence[str]
    shapes: Polygons
    rejected: NDArray[np.bool_]
    reason: NDArray[np.int8]
    attributes: Mapping[str, NDArray[Any]]
    terrain: NDArray[np.int64]
    points: UnitPoints
    is_free: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.ids)

    def row(self, k: int) -> Unit:
        """Return one row as a unit of its own."""
        mine = self.points.take(self.points.row == k)
        edges = slice(*(int(self.shapes.ring_offsets[r]) for r in self.shapes.shape_offsets[k : k + 2]))
        return replace(
            self,
            ids=[self.ids[k]],
            shapes=rows_of(self.shapes, np.array([k])),
            rejected=self.rejected[k : k + 1],
            reason=self.reason[k : k + 1],
            attributes={name: values[k : k + 1] for name, values in self.attributes.items()},
            terrain=self.terrain[k : k + 1],
            points=mine._replace(row=np.zeros_like(mine.row)),
            is_free=self.is_free[edges],
        )


class UnitResult(NamedTuple):
    """What was made of a unit.

    Attributes
    ----------
    heights, roofs : tables of its rows
    volume : (n,) float64
        Volume of the solid of the highest level [m3], 0 without one.
    solids : of all wanted levels, by row and level
    columns : further columns of the building table, by field
    evidence : (n, len(quality.Evidence)) float64
        See `quality.unit_evidence`.
    """

    heights: Heights
    roofs: RoofTable
    volume: NDArray[np.float64]
    solids: Solids
    columns: Mapping[str, NDArray[Any]]
    evidence: NDArray[np.float64]


class UnitOptions(NamedTuple):
    """Sections [buildings] and [quality], and the options of the reconstruction."""

    buildings: BuildingOptions
    roofs: Options
    quality: QualityOptions


def build_unit(unit: Unit, options: UnitOptions, advance: Callable[[], None] = lambda: None) -> UnitResult:
    """Measure, extrude and reconstruct the rows of a unit; `advance` is called after each building."""
    try:
        return _built(unit, options, advance)
    except FelsinaError:
        raise
    except Exception:
        if len(unit) == 1:
            LOGGER.exception("Building '%s' met a defect in felsina and has no geometry. Please report it.", unit.ids[0])
            return _nothing(unit)
    parts = [build_unit(unit.row(k), options, advance) for k in range(len(unit))]
    return UnitResult(
        Heights(*(np.concatenate(column) for column in zip(*(p.heights for p in parts), strict=True))),
        RoofTable(*(np.concatenate(column) for column in zip(*(p.roofs for p in parts), strict=True))),
        np.concatenate([p.volume for p in parts]),
        joined([p.solids._replace(row=p.solids.row + k) for k, p in enumerate(parts)]),
        {name: np.concatenate([p.columns[name] for p in parts]) for name in parts[0].columns},
        np.concatenate([p.evidence for p in parts]),
    )


def _built(unit: Unit, options: UnitOptions, advance: Callable[[], None]) -> UnitResult:
    p, n, chosen_lods = unit.points, len(unit), options.buildings.lods
    inside, on_roof, on_ground = (p.kind & bit != 0 for bit in (INSIDE, ON_ROOF, ON_GROUND))
    around = on_ground & ~inside
    ground = ground_of_returns(p.xyz[around, 2], p.row[around], unit.terrain)
    mine = inside & on_roof
    points, row = p.xyz[mine], p.row[mine]
    heights = measure(points, row, unit.shapes, ground, unit.rejected, dict(unit.attributes), options.buildings.min_points)
    # A row that was rejected keeps the reason of its footprint.
    heights = heights._replace(reason=np.where(unit.rejected, unit.reason, heights.reason).astype(np.int8))
    blocks = make_blocks(unit.shapes, heights)
    wanted = heights.status == STATUS["success"]
    if set(chosen_lods) <= {LODS[0]}:
        wanted[:] = False
    table, higher = reconstruct_roofs(
        points, row, unit.shapes, heights.ground, wanted, chosen_lods, options.roofs, unit.ids, advance
    )
    has_block = blocks.heights.roof != NO_HEIGHT
    # Without a block there is no ladder.
    solids = joined([of_prisms(blocks.prisms, blocks.building), chosen(higher, np.flatnonzero(has_block[higher.row]))])
    solids = in_order_of_rows(solids)
    best = highest(solids)
    columns = unit_columns(p, unit.shapes, heights.ground, unit.attributes, best)
    evidence = unit_evidence(p, unit.shapes, unit.is_free, heights.ground, unit.rejected, best, options.quality.change_height_m)
    return UnitResult(blocks.heights, without_geometry(table, has_block), _volumes(best, n), solids, columns, evidence)


def _volumes(solids: Solids, n: int) -> NDArray[np.float64]:
    each = solid_volumes(solids.vertices, solids.face_rings, solids.ring_offsets, solids.face_offsets, solids.solid_offsets)
    return np.bincount(solids.row, each, n).astype(np.float64)


def _nothing(unit: Unit) -> UnitResult:
    """Return a row that says that there is nothing, and why."""
    unknown = np.full(1, np.nan)
    heights = Heights(
        unit.terrain,
        np.full(1, NO_HEIGHT, np.int64),
        *(unknown,) * 3,
        np.zeros(1, np.int64),
        np.array([STATUS["failed"]], np.int8),
        np.array([REASON["defect"]], np.int8),
    )
    none, nothing = unit.points.take(np.zeros(0, np.int64)), joined([])
    columns = unit_columns(none, unit.shapes, unit.terrain, {}, nothing)
    return UnitResult(heights, empty_table(1), np.zeros(1), nothing, columns, np.array([Evidence()]))
