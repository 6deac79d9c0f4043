"""What a professional asks of the input of buildings: do footprints lie on the roofs, has a building changed, is one missing.

A worker gathers the evidence of one building (`gather_evidence`): a row of numbers that travels and is kept as any column. From
these columns and from counts of cells, the root draws the columns of the table, the figures of the record and sentences.
Every sentence says what was found, what was expected, and what to do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from felsina.engine.city import QualityOptions
from felsina.engine.fields import CHANGE_REASONS, CHANGES
from felsina.engine.grid import BLOCK, Grid
from felsina.engine.parallel.world import World
from felsina.engine.processes.buildings import Shapes
from felsina.engine.processes.footprint_points import INSIDE, ON_ROOF, UnitPoints
from felsina.engine.processes.solids import Solids, roof_solid
from felsina.engine.processes.strips import cells_per_block
from felsina.kernels.geometry.heights import NO_HEIGHT, pick_percentiles
from felsina.kernels.geometry.polygons import canonical_order
from felsina.kernels.geometry.roof_solid import RoofSolid
from felsina.kernels.quality.change import NO_ROOF, measure_above, roof_heights
from felsina.kernels.quality.coverage import BARE, BUILDING, CELL, SEEN, Groups, blocks_outside, group_blocks, tally_footprints
from felsina.kernels.quality.offset import common_offset, fit_offset, solve_offsets

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

CHANGE = {name: code for code, name in CHANGES.items()}
REASON = {name: code for code, name in CHANGE_REASONS.items()}

EAVES_PERCENTILE = 0.25  # of roof returns: above gutters and walls, at the eaves of a gable
LEAF_SHARE = 0.3  # of returns from pulses with several: leaves let pulses through, cranes and roofs do not
SEEN_SHARE = 0.5  # of a footprint's cells that must hold a return before anything is said of what is missing
SEEN_CELLS = 16  # of the terrain grid, 4 m2 at 0.5 m
EAVES_MARGIN_M = 1.0  # around footprints, where building returns belong to the building
ROOF_MIN_HEIGHT_M = 1.5  # as in the terrain: lower building returns are walls
STANDARD_ERRORS = 3.0  # a shift that is smaller than this many of its standard errors is none
FEWEST_BUILDINGS = 5  # that tell a common shift
LISTED = 20  # places in the record, the largest first


class Evidence(NamedTuple):
    """What the points say of one building; plain numbers, (len(Evidence),) float64 as an array.

    xx, xy, yy, bx, by, overhang, n_edge : of `offset.OffsetFit` [m-2], [m-1], [m]
    above_area : area of the cells of 1 m with a point more than `change_height_m` above the model [m2]
    above_share : of these points, those of pulses with several returns [1]; NaN without such points
    above_largest : height of the highest of them above the model [m]
    eaves : lower quartile of the roof returns above ground [m]; NaN without any
    """

    xx: float = 0.0
    xy: float = 0.0
    yy: float = 0.0
    bx: float = 0.0
    by: float = 0.0
    overhang: float = math.nan
    n_edge: float = 0.0
    above_area: float = math.nan
    above_share: float = math.nan
    above_largest: float = math.nan
    eaves: float = math.nan


class Finding(NamedTuple):
    """Figures and sentences of one check."""

    figures: dict[str, Any]
    notes: list[str]


def gather_evidence(
    xyz: Integers,
    is_inside: NDArray[np.bool_],
    is_roof: NDArray[np.bool_],
    number_of_returns: NDArray[np.integer],
    parts: Sequence[Sequence[Integers]],
    is_free: NDArray[np.bool_],
    ground_mm: int,
    solids: Sequence[RoofSolid],
    change_height_m: float,
) -> Evidence:
    """Gather the evidence of one building from its points.

    Parameters
    ----------
    xyz : (n, 3) int64
        Points [mm] from an origin of the building's own, a whole metre, in any order: all returns in the footprint but noise,
        and returns of roofs within 2 m outside.
    is_inside, is_roof : (n,) bool
        In the footprint; a return that may be of a roof (class building, or high where classes are not trusted).
    number_of_returns : (n,) integer
        Of each point's pulse.
    parts : polygons of (n, 2) int64 rings [mm] in the same frame, exterior anticlockwise, then holes clockwise
    is_free : (n_vertex,) bool
        `offset.free_edges` of the vertices of `parts`, in their order.
    ground_mm : int
    solids : of the highest level, in the same frame; none where there is no geometry
    change_height_m : points farther above the model count
    """
    # Of returns at one place the one with most returns stays, whatever came first.
    rank = -(number_of_returns.astype(np.int64) * 4 + is_roof * 2 + is_inside)
    kept = canonical_order(xyz[:, 0], xyz[:, 1], xyz[:, 2], rank)
    xyz, is_inside, is_roof, number_of_returns = xyz[kept], is_inside[kept], is_roof[kept], number_of_returns[kept]
    rings = [ring for part in parts for ring in part]
    ring_offsets = np.cumsum([0, *map(len, rings)]).astype(np.int64)
    fit = fit_offset(np.ascontiguousarray(xyz[is_roof, :2]), np.concatenate(rings), ring_offsets, is_free)
    (xx, xy, yy), (bx, by) = fit.information.tolist(), fit.vector.tolist()
    eaves = _eaves(xyz[is_roof & is_inside, 2], ground_mm)
    made = Evidence(xx, xy, yy, bx, by, fit.overhang, float(fit.n_edge), eaves=eaves)
    if not solids:
        return made
    inside = np.ascontiguousarray(xyz[is_inside])
    roof = np.full(len(inside), NO_ROOF, np.int64)
    for solid in solids:
        roof = np.maximum(roof, roof_heights(np.ascontiguousarray(inside[:, :2]), solid))
    above = measure_above(inside, roof, number_of_returns[is_inside], round(change_height_m * 1000))
    return made._replace(
        above_area=float(above.n_cell),
        above_share=above.n_multiple / above.n_point if above.n_point else math.nan,
        above_largest=above.largest,
    )


def unit_evidence(
    points: UnitPoints,
    shapes: Shapes,
    is_free: NDArray[np.bool_],
    ground: Integers,
    rejected: NDArray[np.bool_],
    solids: Solids,
    change_height_m: float,
) -> Floats:
    """Gather the evidence of the rows of a unit, (n, len(Evidence)).

    Blocks of LoD1.2 are no models to measure from: a ridge may lie a storey above them.

    Parameters
    ----------
    points : of the unit; `row` counts from its first
    shapes : footprints of the n rows
    is_free : (n_vertex,) bool
        `offset.free_edges` of the vertices of `shapes`, found among the footprints of the whole city.
    ground : (n,) int64
        Of the rows [mm].
    rejected : (n,) bool
    solids : of the highest level of each row, in the CRS
    change_height_m : as in `gather_evidence`
    """
    table = np.tile(np.array(Evidence()), (len(ground), 1))
    order = np.argsort(points.row, kind="stable")
    cuts = np.searchsorted(points.row[order], np.arange(len(ground) + 1))
    for k in np.flatnonzero(~rejected).tolist():
        mine = points.take(order[cuts[k] : cuts[k + 1]])
        rings = range(int(shapes.shape_offsets[k]), int(shapes.shape_offsets[k + 1]))
        first, last = (int(shapes.ring_offsets[r]) for r in (rings.start, rings.stop))
        if first == last:
            continue
        origin = np.append(shapes.xy[first:last].min(axis=0) // 1000 * 1000, 0)
        outline = [shapes.xy[shapes.ring_offsets[r] : shapes.ring_offsets[r + 1]] - origin[:2] for r in rings]
        models = np.flatnonzero((solids.row == k) & (solids.level > 0)).tolist()
        made = gather_evidence(
            mine.xyz - origin,
            mine.kind & INSIDE != 0,
            mine.kind & ON_ROOF != 0,
            mine.number_of_returns,
            [outline],
            is_free[first:last],
            int(ground[k]),
            [roof_solid(solids, int(m), origin) for m in models],
            change_height_m,
        )
        table[k] = made
    return table


def footprint_cells(
    world: World,
    n_building: int,
    index: NDArray[np.int32],
    seen: NDArray[np.integer],
    building_count: NDArray[np.integer],
    ground_count: NDArray[np.integer],
) -> Integers:
    """Return (n_building, 4) the cells of each footprint: all, with a return, with a roof return, bare; collective.

    Parameters
    ----------
    index, seen, building_count, ground_count : (n_row, nx)
        Rows that this rank reads, each row of the grid on one rank: row of the building (-1 outside); returns, or 1 where there
        are any; building returns; ground returns.
    """
    tally = np.zeros((n_building, 4), np.int64)
    tally_footprints(index, seen, building_count, ground_count, tally)
    return world.reduce_exact(tally, "sum")


def change_columns(
    evidence: Floats, cells: Integers, area: Floats, eaves_attribute: Floats, o: QualityOptions
) -> dict[str, Any]:
    """Return the columns of the building table that the checks give.

    Parameters
    ----------
    evidence : (n, len(Evidence)) float64
        `Evidence` of each row, of `Evidence()` where nothing was gathered.
    cells : (n, 4) int64
        Of `footprint_cells`.
    area : (n,) float64
        Of the footprints [m2].
    eaves_attribute : (n,) float64
        Height of the eaves above ground by the attributes [m], NaN where unknown.
    o : section [quality]
    """
    e = dict(zip(Evidence._fields, evidence.T, strict=True))
    seen = np.maximum(cells[:, SEEN], 1)
    bare = cells[:, BARE] / seen
    is_seen = (cells[:, SEEN] >= SEEN_CELLS) & (cells[:, SEEN] >= SEEN_SHARE * cells[:, CELL])
    is_above = np.nan_to_num(e["above_area"]) >= np.maximum(o.change_area_m2, o.change_share * area)
    taller = e["eaves"] - eaves_attribute
    rules = (
        (is_seen & (bare >= o.bare_share), "demolished", "bare_ground"),
        (is_above & ~(e["above_share"] >= LEAF_SHARE), "raised", "points_above_roof"),
        (taller > o.change_height_m, "raised", "higher_than_attributes"),
        (is_seen & (bare >= 0.4 * o.bare_share), "partly", "bare_ground"),
        (taller < -o.change_height_m, "partly", "lower_than_attributes"),
        (is_seen & (cells[:, BUILDING] == 0), "not_judged", "no_roof_returns"),
        (~is_seen, "not_judged", "not_seen"),
        (is_above, "none", "leaves_above_roof"),
    )
    change, reason = np.zeros(len(area), np.int8), np.zeros(len(area), np.int8)
    for applies, what, why in reversed(rules):
        change[applies], reason[applies] = CHANGE[what], REASON[why]
    shift = solve_offsets(evidence[:, :3].copy(), evidence[:, 3:5].copy())
    return {
        "building_change": change,
        "building_change_reason": reason,
        "building_area_above_roof": e["above_area"],
        "building_bare_share": np.where(cells[:, SEEN] > 0, bare, np.nan),
        "building_offset_x": shift[:, 0],
        "building_offset_y": shift[:, 1],
        "building_offset_standard_deviation": shift[:, 2],
    }


def offset_figures(evidence: Floats, limit_m: float) -> Finding:
    """Return the shift that the footprints of the city have in common, and a sentence where it is larger than the limit."""
    e = dict(zip(Evidence._fields, evidence.T, strict=True))
    common = common_offset(evidence[:, :3].copy(), evidence[:, 3:5].copy(), e["overhang"].copy())
    figures: dict[str, Any] = {"buildings": common.n_building}
    if common.n_building < FEWEST_BUILDINGS or not math.isfinite(common.x):
        return Finding(figures, [])
    figures |= {
        "x_m": round(common.x, 3),
        "y_m": round(common.y, 3),
        "x_standard_error_m": round(common.error_x, 3),
        "y_standard_error_m": round(common.error_y, 3),
        "overhang_median_m": round(common.overhang, 2),
    }
    length = math.sqrt(common.x * common.x + common.y * common.y)
    error = math.sqrt(max(common.error_x * common.error_x, common.error_y * common.error_y))
    if length <= limit_m or length <= STANDARD_ERRORS * error:
        return Finding(figures, [])
    sentence = (
        f"The footprints lie beside the roofs: {common.n_building:,} buildings agree on a shift of {common.x:+.2f} m east and "
        f"{common.y:+.2f} m north (standard error {error:.2f} m), limit {limit_m:g} m (quality.offset_m). Move the footprints "
        "by that much, or look for a datum shift between footprints and points (two realisations of a CRS, a missing grid)."
    )
    return Finding(figures, [sentence])


def outside_groups(
    world: World,
    grid: Grid,
    index: NDArray[np.int32],
    first: int,
    building_count: NDArray[np.integer],
    height: NDArray[np.floating],
    least_area_m2: float,
) -> Groups:
    """Return the groups of building returns outside all footprints, the largest first, x and y in the CRS [mm]; collective.

    Parameters
    ----------
    index : rows from `first` on of the row of the building in each cell, with `eaves_cells(grid)` rows beyond this rank's
    building_count, height : this rank's rows, `world.share_of(grid.ny, BLOCK)`: building returns; surface above ground [m]
    least_area_m2 : area of a group [m2], in blocks of about 1 m that hold a return
    """
    j0 = world.share_of(grid.ny, BLOCK)[0]
    block = cells_per_block(grid.resolution)
    mine = blocks_outside(index, building_count, height, ROOF_MIN_HEIGHT_M, eaves_cells(grid), block, j0, first)
    edge = block * round(grid.resolution * 1000)
    least = max(1, math.ceil(least_area_m2 * 1e6 / (edge * edge)))
    found = group_blocks(np.concatenate(world.allgather(mine)), -(-grid.nx // block), edge, least)
    order = np.lexsort((found.x, found.y, -found.n_block))
    x, y = round(grid.west * 1000) + found.x, round(grid.north * 1000) - found.y
    return Groups(found.n_block[order], found.n_return[order], x[order], y[order])


def eaves_cells(grid: Grid) -> int:
    """Return the cells around a footprint that belong to its building."""
    return math.ceil(EAVES_MARGIN_M / grid.resolution)


def completeness_figures(
    outside: Groups, cells: Integers, grid: Grid, rejected: NDArray[np.bool_], ids: Sequence[str], least_area_m2: float
) -> Finding:
    """Return what is built without a footprint, and footprints on which nothing is built.

    Completeness is the share of built cells that have a footprint, correctness the share of seen footprint cells that are built
    (Heipke et al. 1997; Rutzinger et al. 2009, doi:10.1109/JSTARS.2009.2012488), over cells and not over buildings.
    """
    block = cells_per_block(grid.resolution) * grid.resolution
    area = outside.n_block * (block * block)
    is_seen = (cells[:, SEEN] >= SEEN_CELLS) & (cells[:, SEEN] >= SEEN_SHARE * cells[:, CELL]) & ~rejected
    empty = np.flatnonzero(is_seen & (cells[:, BUILDING] == 0))
    unseen = int(np.count_nonzero(~is_seen & ~rejected))
    built = float(cells[:, BUILDING].sum()) * grid.resolution**2
    seen = float(cells[:, SEEN].sum()) * grid.resolution**2
    missing = int(outside.n_block.sum()) * (block * block)
    figures: dict[str, Any] = {
        "roofs_without_footprint": len(area),
        "roofs_without_footprint_m2": round(missing, 1),
        "footprints_without_roof": len(empty),
        "footprints_not_seen": unseen,
        "completeness": round(built / (built + missing), 4) if built + missing else 0.0,
        "correctness": round(built / seen, 4) if seen else 0.0,
    }
    notes = []
    if len(area):
        figures["places"] = [
            {"x": round(x / 1000.0, 1), "y": round(y / 1000.0, 1), "area_m2": round(float(a), 1)}
            for x, y, a in zip(outside.x[:LISTED].tolist(), outside.y[:LISTED].tolist(), area[:LISTED], strict=True)
        ]
        place = figures["places"][0]
        notes.append(
            f"{len(area):,} groups of building returns larger than {least_area_m2:g} m2 (quality.missing_area_m2) lie outside "
            f"all footprints, {missing:,.0f} m2 in all; the largest, {place['area_m2']:,.0f} m2, at {place['x']:.0f}, "
            f"{place['y']:.0f}. Buildings may be missing in the footprints; places are in the record."
        )
    if len(empty):
        figures["footprints_without_roof_ids"] = [ids[k] for k in empty[:LISTED]]
        notes.append(
            f"{len(empty):,} footprints were scanned but hold no building return ('{ids[empty[0]]}' is the first): demolished, "
            "planned, under trees, or not classified as building. Look at them before their heights from attributes are used."
        )
    return Finding(figures, notes)


def change_figures(columns: dict[str, Any], ids: Sequence[str], rejected: NDArray[np.bool_]) -> Finding:
    """Return the counts of changed buildings by reason, and a sentence that names the first of them."""
    change, reason = columns["building_change"], columns["building_change_reason"]
    changed = (change > 0) & ~rejected
    figures: dict[str, Any] = {
        name: int(np.count_nonzero((change == code) & ~rejected)) for code, name in CHANGES.items() if code > 0
    }
    figures["leaves_above_roof"] = int(np.count_nonzero((reason == REASON["leaves_above_roof"]) & ~rejected))
    if not changed.any():
        return Finding(figures, [])
    rows = np.flatnonzero(changed)
    figures["changed"] = [
        {"id": ids[k], "change": CHANGES[int(change[k])], "reason": CHANGE_REASONS[int(reason[k])]} for k in rows[:LISTED]
    ]
    told = ", ".join(f"{n:,} {name}" for name, n in figures.items() if name in CHANGE and n)
    sentence = (
        f"Footprints and points do not tell of the same buildings in {len(rows):,} cases ({told}; '{ids[rows[0]]}' is the "
        "first). See building_change and building_change_reason: one of the two is older, or the footprints are displaced."
    )
    return Finding(figures, [sentence])


def _eaves(z: Integers, ground_mm: int) -> float:
    """Return the lower quartile of roof returns above ground [m], NaN without any."""
    high = np.ascontiguousarray(z[z - ground_mm >= ROOF_MIN_HEIGHT_M * 1000])
    picked = int(pick_percentiles(high, np.array([0, len(high)], np.int64), EAVES_PERCENTILE)[0])
    return math.nan if picked == NO_HEIGHT else (picked - ground_mm) / 1000.0
