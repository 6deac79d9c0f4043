"""Evidence of single buildings, codes of change, and what the city is told of footprints and points."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import shapely

from felsina.engine.city import QualityOptions
from felsina.engine.fields import CHANGE_REASONS, CHANGES, fields_of
from felsina.engine.grid import BLOCK, Grid
from felsina.engine.io.vector import flatten
from felsina.engine.parallel.world import World
from felsina.engine.processes.footprint_points import INSIDE, ON_ROOF, UnitPoints
from felsina.engine.processes.quality import (
    Evidence,
    change_columns,
    change_figures,
    completeness_figures,
    eaves_cells,
    footprint_cells,
    gather_evidence,
    offset_figures,
    outside_groups,
    unit_evidence,
)
from felsina.engine.processes.reconstruction import reconstruct
from felsina.engine.processes.solids import joined, of_roof_solid

GROUND_MM = 20_000
OPTIONS = QualityOptions()
HOUSE = np.array([(0, 0), (12_000, 0), (12_000, 8_000), (0, 8_000)], np.int64)
FREE = np.ones(4, bool)


def roof(n=1_000, seed=0, shift=(0.0, 0.0)):
    """Returns of a gable: eaves at 3 m, ridge along x at 6.2 m, walls at the outline moved by `shift` [m]."""
    random = np.random.default_rng(seed)
    x, y = random.uniform(0.0, 12.0, n), random.uniform(0.0, 8.0, n)
    z = 3.0 + 0.8 * (4.0 - np.abs(y - 4.0)) + random.normal(0.0, 0.02, n)
    xyz = np.stack((x + shift[0], y + shift[1], z + GROUND_MM / 1000), axis=1)
    return np.rint(xyz * 1000).astype(np.int64)


def block(west, south, east, north, height, step=500):
    """Returns of something level at a height above ground [mm]."""
    x, y = (v.ravel() for v in np.meshgrid(np.arange(west, east, step), np.arange(south, north, step)))
    return np.column_stack((x, y, np.full(len(x), GROUND_MM + height)))


@pytest.fixture(scope="module")
def solids():
    return reconstruct(roof(), [[HOUSE]], GROUND_MM).solids["2.2"]


def evidence(solids, *extra, returns=1, shift=(0.0, 0.0), order=None):
    """Gather the evidence of the house with more points over it, of pulses with `returns` returns."""
    base = roof(shift=shift)
    xyz = np.concatenate((base, *extra))
    is_roof = np.arange(len(xyz)) < len(base)
    counts = np.where(is_roof, 1, returns)
    inside = (xyz[:, :2] >= 0).all(axis=1) & (xyz[:, 0] < 12_000) & (xyz[:, 1] < 8_000)
    order = np.arange(len(xyz)) if order is None else order(len(xyz))
    arrays = (a[order] for a in (xyz, inside, is_roof, counts))
    return gather_evidence(*arrays, [[HOUSE]], FREE, GROUND_MM, solids, OPTIONS.change_height_m)


def columns(*made, cells=(400, 400, 395, 2), eaves=math.nan):
    n = len(made)
    return change_columns(np.array(made), np.tile(cells, (n, 1)), np.full(n, 96.0), np.full(n, eaves), OPTIONS)


def verdict(made, **rest):
    c = columns(made, **rest)
    return CHANGES[int(c["building_change"][0])], CHANGE_REASONS[int(c["building_change_reason"][0])]


def test_a_house_as_it_was_is_not_changed(solids):
    made = evidence(solids)
    assert made.above_area == 0 and math.isnan(made.above_share) and made.n_edge == 4
    # Lower quartile of a gable from 3 to 6.2 m above ground.
    assert abs(made.eaves - 3.8) < 0.15
    assert verdict(made) == ("none", "none")
    assert verdict(made, eaves=3.0) == ("none", "none")


def test_a_storey_above_the_roof_is_raised_and_a_tree_is_not(solids):
    storey = block(2_000, 2_000, 8_000, 6_000, 9_500)
    assert evidence(solids, storey).above_area == 24
    assert verdict(evidence(solids, storey)) == ("raised", "points_above_roof")
    assert verdict(evidence(solids, storey, returns=3)) == ("none", "leaves_above_roof")
    mast = block(2_000, 2_000, 8_000, 2_500, 9_500)
    assert evidence(solids, mast).above_area == 6 and verdict(evidence(solids, mast)) == ("none", "none")


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ((400, 400, 395, 2), ("none", "none")),
        ((400, 400, 100, 290), ("demolished", "bare_ground")),
        ((400, 400, 300, 95), ("partly", "bare_ground")),
        ((400, 390, 0, 40), ("not_judged", "no_roof_returns")),
        ((400, 390, 0, 380), ("demolished", "bare_ground")),
        ((400, 120, 100, 20), ("not_judged", "not_seen")),
        ((12, 12, 0, 12), ("not_judged", "not_seen")),
        ((0, 0, 0, 0), ("not_judged", "not_seen")),
    ],
)
def test_bare_ground_and_missing_returns_have_their_codes(cells, expected):
    assert verdict(Evidence(), cells=cells) == expected


def test_attributes_that_tell_of_another_height_have_their_codes(solids):
    made = evidence(solids)
    assert verdict(made, eaves=1.0) == ("raised", "higher_than_attributes")
    assert verdict(made, eaves=7.0) == ("partly", "lower_than_attributes")


def test_order_and_repeated_returns_change_nothing(solids):
    tree = block(2_000, 2_000, 8_000, 6_000, 9_500)
    made = evidence(solids, tree, returns=3)
    mixed = evidence(solids, tree, returns=3, order=np.random.default_rng(1).permutation)
    twice = evidence(solids, tree, returns=3, order=lambda n: np.r_[np.arange(n), np.arange(n)[::-1]])
    np.testing.assert_equal(np.array(mixed), np.array(made))
    np.testing.assert_equal(np.array(twice), np.array(made))


def test_buildings_without_solid_have_no_area_above():
    made = evidence([])
    assert math.isnan(made.above_area) and made.n_edge == 4
    assert verdict(made) == ("none", "none")


@pytest.mark.parametrize("level", [2, 0])
def test_a_unit_gathers_what_its_rows_give_alone(solids, level):
    east = np.array([684_000_000, 4_930_000_000, 0])
    tree = block(2_000, 2_000, 8_000, 6_000, 9_500)
    shapes = flatten([[shapely.box(684_000.0, 4_930_000.0, 684_012.0, 4_930_008.0)], [], []])
    xyz = np.concatenate((roof(), tree)) + east
    n, is_roof = len(xyz), np.arange(len(xyz)) < 1_000
    inside = (xyz[:, 0] < east[0] + 12_000) & (xyz[:, 1] < east[1] + 8_000)
    returns = np.where(is_roof, 1, 3).astype(np.uint8)
    one = np.zeros(n, np.uint8)
    points = UnitPoints(xyz, np.zeros(n, np.int64), (INSIDE * inside + ON_ROOF * is_roof).astype(np.uint8), one, one, returns)
    placed = joined([of_roof_solid(solid, 0, level, east) for solid in solids])
    made = unit_evidence(points, shapes, FREE, np.full(3, GROUND_MM), np.array([False, False, True]), placed, 2.5)
    # Vertices of the footprint start at another corner here: sums of the edges differ in their last bits.
    np.testing.assert_allclose(made[0], np.array(evidence(solids if level else [], tree, returns=3)), rtol=1e-9, atol=1e-9)
    np.testing.assert_equal(made[1:], np.tile(np.array(Evidence()), (2, 1)))


def test_columns_are_those_of_the_table(solids):
    made = columns(evidence(solids), Evidence())
    known = fields_of("buildings")
    assert all(not known[name].required for name in made) and len(made) == 7
    # One house of 12 by 8 m: the deviation of a shift is within reach, an empty row has none.
    assert abs(made["building_offset_x"][0]) < 0.1 and made["building_offset_standard_deviation"][0] < 0.2
    assert np.isnan(made["building_offset_x"][1])


def test_a_shift_of_all_footprints_is_told(solids):
    made = np.array([evidence(solids, shift=(0.6, -0.4)), *(evidence(solids, shift=(0.6, -0.4))._replace() for _ in range(5))])
    found = offset_figures(made, OPTIONS.offset_m)
    assert abs(found.figures["x_m"] - 0.6) < 0.1 and abs(found.figures["y_m"] + 0.4) < 0.1
    assert len(found.notes) == 1 and "quality.offset_m" in found.notes[0] and "east" in found.notes[0]
    straight = np.array([evidence(solids)] * 6)
    assert offset_figures(straight, OPTIONS.offset_m).notes == []
    assert offset_figures(made[:3], OPTIONS.offset_m) == ({"buildings": 3}, [])


GRID = Grid("EPSG:7791", 684_000.0, 4_930_000.0, 0.5, 200, 256)


def scene():
    """Index, returns and heights: a footprint with a roof and eaves, one without returns, a roof without footprint."""
    index = np.full(GRID.shape, -1, np.int32)
    index[20:50, 20:60], index[100:120, 20:60], index[220:240, 100:140] = 0, 1, 2
    building = np.zeros(GRID.shape, np.int32)
    building[18:52, 18:62] = 3
    building[60:80, 100:130:2] = 2  # 10 m by 15 m, every second column: a sparse cloud
    building[200:204, 10:14] = 5
    ground = np.where((index < 0) & (building == 0), 4, 0).astype(np.int32)
    ground[100:120, 20:60] = 2
    return index, building, ground, np.where(building > 0, 5.0, 0.0).astype(np.float32)


@pytest.mark.mpi(3)
def test_missing_and_empty_footprints_are_found_on_any_number_of_ranks(world):
    index, building, ground, height = scene()
    j0, j1 = world.share_of(GRID.ny, BLOCK)
    first = max(0, j0 - eaves_cells(GRID))
    rows = slice(j0, j1)
    cells = footprint_cells(world, 3, index[rows], (building + ground)[rows], building[rows], ground[rows])
    halo = index[first : j1 + eaves_cells(GRID)]
    outside = outside_groups(world, GRID, halo, first, building[rows], height[rows], OPTIONS.missing_area_m2)
    assert cells.tolist() == [[1200, 1200, 1200, 0], [800, 800, 0, 800], [800, 0, 0, 0]]
    # 10 m by 15 m in cells of 1 m, around (684 057.5, 4 929 965).
    assert (outside.n_block.tolist(), outside.x.tolist(), outside.y.tolist()) == ([150], [684_057_500], [4_929_965_000])
    found = completeness_figures(outside, cells, GRID, np.zeros(3, bool), ["a", "b", "c"], OPTIONS.missing_area_m2)
    f = found.figures
    assert (f["roofs_without_footprint"], f["roofs_without_footprint_m2"]) == (1, 150.0)
    assert (f["footprints_without_roof"], f["footprints_not_seen"]) == (1, 1) and f["footprints_without_roof_ids"] == ["b"]
    assert f["completeness"] == pytest.approx(300 / 450, abs=1e-4) and f["correctness"] == 0.6
    assert len(found.notes) == 2 and "150 m2, at 684058, 4929965" in found.notes[0] and "'b'" in found.notes[1]


def test_a_complete_city_is_told_nothing():
    index, building, ground, height = scene()
    index[index != 0], building[index != 0] = -1, 0
    world = World.serial()
    cells = footprint_cells(world, 1, index, building + ground, building, ground)
    outside = outside_groups(world, GRID, index, 0, building, height, OPTIONS.missing_area_m2)
    found = completeness_figures(outside, cells, GRID, np.zeros(1, bool), ["a"], OPTIONS.missing_area_m2)
    assert found.notes == [] and found.figures["completeness"] == found.figures["correctness"] == 1.0


def test_changes_are_counted_and_the_first_is_named(solids):
    storey = block(2_000, 2_000, 8_000, 6_000, 9_500)
    made = columns(evidence(solids), evidence(solids, storey), evidence(solids, storey), evidence(solids, storey, returns=2))
    found = change_figures(made, list("abcd"), np.array([False, False, True, False]))
    assert found.figures["raised"] == 1 and found.figures["leaves_above_roof"] == 1 and found.figures["demolished"] == 0
    assert found.figures["changed"] == [{"id": "b", "change": "raised", "reason": "points_above_roof"}]
    assert len(found.notes) == 1 and "'b' is the first" in found.notes[0]
    assert change_figures(columns(evidence(solids)), ["a"], np.zeros(1, bool)).notes == []


def test_every_code_has_a_rule():
    options = QualityOptions()
    seen = set()
    grid = itertools.product(
        (0.0, 50.0), (0.0, 0.9), (math.nan, 0.0, 20.0), ((400, 400, 400, 0), (400, 400, 0, 90), (400,) * 4, (9,) * 4)
    )
    for area, share, eaves, cells in [*grid, (0.0, 0.0, math.nan, (400, 400, 0, 10))]:
        made = np.array([Evidence(above_area=area, above_share=share, eaves=5.0)])
        c = change_columns(made, np.array([cells]), np.array([100.0]), np.array([eaves]), options)
        seen.add((int(c["building_change"][0]), int(c["building_change_reason"][0])))
    assert {what for what, _ in seen} == set(CHANGES) and {why for _, why in seen} == set(CHANGE_REASONS)
