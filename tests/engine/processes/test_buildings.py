"""Buildings from points: the ladder of heights, ground on a slope, solids, and rows that do not disturb each other."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from felsina.engine.io.vector import flatten
from felsina.engine.processes.building_surfaces import party_areas, shells_of
from felsina.engine.processes.buildings import (
    REASON,
    STATUS,
    footprint_areas,
    ground_heights,
    ground_of_returns,
    make_blocks,
    measure,
    rows_of,
)
from felsina.engine.processes.solids import of_prisms
from felsina.kernels.geometry.heights import NO_HEIGHT

WEST, NORTH = 1000.0, 2000.0  # m, corner of the terrain
CELL = 0.5


def houses(n=4, size=10.0, gap=5.0):
    """n squares in a row, from 5 m east of the corner and 20 m south of it."""
    return [
        [shapely.box(WEST + 5 + k * (size + gap), NORTH - 20 - size, WEST + 5 + k * (size + gap) + size, NORTH - 20)]
        for k in range(n)
    ]


def roof_points(geometry, height, step=0.7):
    """Points at a height above 0 inside each building: x, y, z [mm] and building."""
    xyz, building = [], []
    for k, parts in enumerate(geometry):
        for part in parts:
            west, south, east, north = part.bounds
            x, y = np.meshgrid(np.arange(west + 0.1, east, step), np.arange(south + 0.1, north, step))
            inside = shapely.contains_xy(part, x.ravel(), y.ravel())
            xyz.append(np.column_stack((x.ravel()[inside], y.ravel()[inside], np.full(inside.sum(), height))) * 1000)
            building.append(np.full(inside.sum(), k))
    return np.rint(np.concatenate(xyz)).astype(np.int64), np.concatenate(building).astype(np.int64)


def measured(geometry, points, building, ground=0, attributes=None, rejected=None, min_points=5):
    shapes = flatten(geometry)
    n = len(geometry)
    base = np.full(n, ground, np.int64)
    refused = np.zeros(n, bool) if rejected is None else np.asarray(rejected)
    return shapes, measure(points, building, shapes, base, refused, attributes or {}, min_points)


# -- the ladder -------------------------------------------------------------------------------------------------------------


def test_points_give_the_roof():
    geometry = houses()
    _, heights = measured(geometry, *roof_points(geometry, 12.0, step=0.5))
    assert (heights.roof == 12_000).all() and (heights.status == STATUS["success"]).all()
    np.testing.assert_allclose(heights.rmse, 0.0, atol=1e-6)
    np.testing.assert_array_equal(heights.coverage, 1.0)  # one point in each cell of 0.5 m
    np.testing.assert_allclose(heights.density, 4.0, rtol=1e-12)


def test_without_points_attributes_give_the_roof_and_without_them_the_row_fails():
    geometry = houses()
    points, building = roof_points(geometry, 12.0)
    keep = building == 0
    attributes = {
        "height_eaves_m": np.array([np.nan, 59.0, np.nan, np.nan]),
        "height_foot_m": np.array([50.0, 50.0, 50.0, 50.0]),
        "floors": np.array([0, 7, 2, 0], np.int32),
    }
    _, heights = measured(geometry, points[keep], building[keep], 48_000 * 0, attributes)
    assert heights.roof.tolist() == [12_000, 9_000, 6_000, NO_HEIGHT]
    assert heights.status.tolist() == [STATUS[s] for s in ("success", "fallback", "fallback", "failed")]
    assert heights.reason.tolist() == [
        REASON[r] for r in ("none", "height_from_attributes", "height_from_attributes", "no_points")
    ]
    assert np.isnan(heights.rmse[1:]).all()


def test_fewer_points_than_wanted_are_too_few():
    geometry = houses(1)
    points, building = roof_points(geometry, 12.0)
    _, heights = measured(geometry, points[:4], building[:4])
    assert heights.reason.tolist() == [REASON["too_few_points"]]
    _, heights = measured(geometry, points[:5], building[:5])
    assert heights.reason.tolist() == [REASON["none"]]


def test_the_same_return_twice_is_one_return():
    geometry = houses(1)
    points, building = roof_points(geometry, 12.0)
    _, heights = measured(geometry, np.repeat(points[:4], 2, 0), np.repeat(building[:4], 2))
    assert heights.n_point.tolist() == [4] and heights.status.tolist() == [STATUS["failed"]]


def test_a_roof_below_its_ground_fails():
    geometry = houses(1)
    _, heights = measured(geometry, *roof_points(geometry, 12.0), ground=11_800)
    assert heights.status.tolist() == [STATUS["failed"]]
    assert heights.roof.tolist() == [NO_HEIGHT]


def test_a_rejected_row_stays_rejected_whatever_lies_in_it():
    geometry = houses(2)
    _, heights = measured(geometry, *roof_points(geometry, 12.0), rejected=[False, True])
    assert heights.status.tolist() == [STATUS["success"], STATUS["rejected"]]
    assert heights.roof[1] == NO_HEIGHT and heights.n_point[1] == 0


def test_the_order_of_points_changes_nothing():
    geometry = houses()
    points, building = roof_points(geometry, 12.0)
    points[:, 2] += np.random.default_rng(1).integers(-500, 500, len(points))
    _, one = measured(geometry, points, building)
    order = np.random.default_rng(2).permutation(len(points))
    _, other = measured(geometry, points[order], building[order])
    for a, b in zip(one, other):
        np.testing.assert_array_equal(a, b)


# -- ground -----------------------------------------------------------------------------------------------------------------


def terrain(slope_east=0.0):
    i = np.arange(200)
    return np.broadcast_to(np.float32(50.0) + np.float32(slope_east) * ((i + 0.5) * CELL), (200, 200)).astype(np.float32)


def ground_of(geometry, ground):
    return ground_heights(flatten(geometry), ground, round(WEST * 1000), round(NORTH * 1000), round(CELL * 1000))


def test_level_ground_is_the_ground():
    assert ground_of(houses(), terrain()).tolist() == [50_000] * 4


def test_on_a_slope_the_ground_is_near_the_foot_of_the_lowest_wall():
    slope = 0.1
    geometry = houses()
    west = np.array([parts[0].bounds[0] for parts in geometry]) - WEST
    # The wall at the foot is a quarter of the outline, so the 5th percentile lies on it; cells are half a metre wide.
    np.testing.assert_allclose(ground_of(geometry, terrain(slope)) / 1000, 50.0 + slope * west, atol=slope * CELL)


def test_one_pit_beside_a_wall_does_not_lower_a_building():
    ground = terrain()
    ground = ground.copy()
    ground[40, 12] = 30.0  # one cell of the wall of the first house
    assert ground_of(houses(), ground)[0] == 50_000


# -- blocks -----------------------------------------------------------------------------------------------------------------


def blocks_of(geometry, heights=12.0, **rest):
    shapes, measured_heights = measured(geometry, *roof_points(geometry, heights), **rest)
    return shapes, make_blocks(shapes, measured_heights)


def test_a_box_has_the_volume_and_surfaces_of_a_box():
    _, made = blocks_of(houses(1), ground=2_000)
    shells = shells_of(of_prisms(made.prisms, made.building))
    by_type = [shells.surfaces.area[shells.surfaces.kind == t].sum() for t in range(3)]
    assert by_type == [100.0, 400.0, 100.0]
    assert party_areas([shells.walls], np.zeros(4, np.int64), 0.1).tolist() == [0.0] * 4


def test_a_court_is_taken_out_of_the_area():
    (outer,) = houses(1, size=20.0)
    court = shapely.box(WEST + 10, NORTH - 35, WEST + 15, NORTH - 25)
    shapes, made = blocks_of([[shapely.orient_polygons(shapely.Polygon(outer[0].exterior, [court.exterior]))]])
    assert footprint_areas(shapes).tolist() == [350.0]
    surfaces = shells_of(of_prisms(made.prisms, made.building)).surfaces
    assert surfaces.area[surfaces.kind != 1].tolist() == [350.0, 350.0]


def test_neighbours_share_the_lower_wall_once_each():
    geometry = houses(2, gap=0.0)
    shapes = flatten(geometry)
    points, building = roof_points(geometry, 12.0)
    points[building == 1, 2] = 7_000
    heights = measure(points, building, shapes, np.zeros(2, np.int64), np.zeros(2, bool), {}, 5)
    made = make_blocks(shapes, heights)
    shells = shells_of(of_prisms(made.prisms, made.building))
    owner = shells.surfaces.row[shells.surfaces.wall]
    shared = party_areas([shells.walls], owner, 0.1)
    assert [shared[owner == k].sum() for k in range(2)] == [70.0, 70.0]


def test_a_bad_building_keeps_its_row_and_changes_no_neighbour():
    geometry = houses(4)
    bow = shapely.Polygon([(WEST + 20, NORTH - 30), (WEST + 30, NORTH - 20), (WEST + 30, NORTH - 30), (WEST + 20, NORTH - 20)])
    broken = [geometry[0], [bow], *geometry[2:]]  # a ring that crosses itself, as no reader lets through
    points, building = roof_points(geometry, 12.0)
    results = []
    for shapes in (flatten(geometry), flatten(broken)):
        heights = measure(points, building, shapes, np.zeros(4, np.int64), np.zeros(4, bool), {}, 5)
        results.append(make_blocks(shapes, heights))
    good, bad = results
    assert bad.heights.status.tolist() == [0, STATUS["failed"], 0, 0]
    assert bad.heights.reason[1] == REASON["invalid_solid"]
    assert bad.building.tolist() == [0, 2, 3]
    for new, old in ((0, 0), (1, 2), (2, 3)):
        a, b = (p.prisms.vertices[slice(*p.prisms.vertex_offsets[k : k + 2])] for p, k in ((bad, new), (good, old)))
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("n", [0, 1])
def test_no_points_at_all_leave_rows_without_blocks(n):
    geometry = houses(n) if n else []
    shapes = flatten(geometry)
    nothing = np.zeros((0, 3), np.int64), np.zeros(0, np.int64)
    heights = measure(*nothing, shapes, np.zeros(n, np.int64), np.zeros(n, bool), {}, 5)
    made = make_blocks(shapes, heights)
    assert len(made.heights.status) == n and len(made.building) == 0 and len(made.prisms.vertices) == 0


def test_footprints_of_some_rows_come_in_the_order_that_is_asked_for():
    (outer,) = houses(1, size=20.0)
    court = shapely.orient_polygons(
        shapely.Polygon(outer[0].exterior, [shapely.box(WEST + 10, NORTH - 35, WEST + 15, NORTH - 25).exterior])
    )
    geometry = [houses(1)[0], [court, shapely.box(WEST + 40, NORTH - 20, WEST + 44, NORTH - 16)], [], houses(2)[1]]
    rows = np.array([3, 1, 2])
    for got, want in zip(rows_of(flatten(geometry), rows), flatten([geometry[k] for k in rows]), strict=True):
        np.testing.assert_array_equal(got, want)


def test_ground_of_returns_is_a_low_percentile_in_any_order_and_the_terrain_where_there_are_few():
    z = np.concatenate([np.arange(1000, 1100), [5000, 5001]])
    building = np.concatenate([np.zeros(100, np.int64), [1, 1]])
    shuffled = np.random.default_rng(0).permutation(len(z))
    for order in (np.arange(len(z)), shuffled):
        ground = ground_of_returns(z[order], building[order], np.array([7, 8, 9]))
        # Rank floor(0.05 x 99 + 1/2) = 5 of a hundred; two returns and none leave what the terrain says.
        assert ground.tolist() == [1005, 8, 9]
