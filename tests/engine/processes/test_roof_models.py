"""Roofs of many buildings: what the table says, what travels; neither neighbours nor ranks nor order change a solid."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from felsina.engine.io.vector import flatten
from felsina.engine.processes import roof_models
from felsina.engine.processes.reconstruction import LODS, REASON, Options
from felsina.engine.processes.roof_models import (
    gather_table,
    measure_solid,
    reconstruct_roofs,
    roof_columns,
    solids_by_block,
    without_geometry,
)
from felsina.kernels.geometry.extrusion import GROUND, ROOF, WALL
from felsina.kernels.geometry.roof_solid import RoofSolid

GROUND_MM = 20_000
ALL = set(LODS)


def _house(west, south=0.0):
    """12 m by 8 m, from a corner in metres."""
    return [shapely.box(west, south, west + 12, south + 8)]


def _gable_points(west, south=0.0, seed=0, n=1200):
    """Points of a gable: eaves at 3 m, slope 0.8, ridge along x at 6.2 m."""
    random = np.random.default_rng(seed)
    x, y = random.uniform(0.05, 11.95, n), random.uniform(0.05, 7.95, n)
    z = 3.0 + 0.8 * (4.0 - np.abs(y - 4.0)) + random.normal(0.0, 0.02, n)
    return np.rint(np.stack((x + west, y + south, z + GROUND_MM / 1000), axis=1) * 1000).astype(np.int64)


@pytest.fixture(scope="module")
def row_of_houses():
    """Five houses at 85 km east: gables with points, the fourth with three points only, the last without any."""
    west = [85_000.0 + 20.0 * k for k in range(5)]
    clouds = [_gable_points(w, seed=k) for k, w in enumerate(west)]
    clouds[3], clouds[4] = clouds[3][:3], clouds[4][:0]
    building = np.repeat(np.arange(5), [len(c) for c in clouds])
    return flatten([_house(w) for w in west]), np.concatenate(clouds), building


def _made(row_of_houses, wanted=(True,) * 5, lods=ALL, order=None):
    shapes, points, building = row_of_houses
    if order is not None:
        points, building = points[order], building[order]
    return reconstruct_roofs(points, building, shapes, np.full(5, GROUND_MM), np.array(wanted), lods, Options())


def test_a_gable_gets_its_planes_area_and_volume(row_of_houses):
    table = _made(row_of_houses).table
    assert [LODS[v] for v in table.level[:3]] == ["2.2"] * 3 and table.reason[:3].tolist() == [0] * 3
    assert table.n_plane[:3].tolist() == [2] * 3
    # Roof: 12 x 8 m along a slope of 0.8; volume: 12 x (8 x 3 + 8 x 3.2 / 2). 2 cm of noise on 600 points a plane are 1 mm.
    np.testing.assert_allclose(table.area[:3], 96 * np.sqrt(1 + 0.8**2), rtol=0.005)
    np.testing.assert_allclose(table.volume[:3], 12 * (24 + 12.8), rtol=0.005)
    # Between 2 cm over the root of 1,200 points, were all errors independent, and the 2 cm of a single point.
    assert (table.height_deviation[:3] > 0.02 / np.sqrt(1200) * 0.9).all() and (table.height_deviation[:3] < 0.02).all()
    np.testing.assert_allclose(table.volume_deviation[:3], 96 * table.height_deviation[:3], rtol=1e-12)
    assert (table.area_deviation[:3] > 0).all()


def test_a_row_that_falls_down_the_ladder_says_why_and_keeps_no_solid(row_of_houses):
    made = _made(row_of_houses)
    assert made.table.level[3:].tolist() == [0, 0]
    assert made.table.reason[3:].tolist() == [REASON["too_few_points"], REASON["no_points"]]
    assert sorted(made.packed) == [0, 1, 2]
    assert np.isnan(made.table.volume[3:]).all() and made.table.n_plane[3:].tolist() == [0, 0]
    # Three points say little of a roof.
    assert made.table.height_deviation[3] > 20 * made.table.height_deviation[0] and np.isnan(made.table.height_deviation[4])


def test_rows_that_are_not_wanted_are_not_tried(row_of_houses):
    made = _made(row_of_houses, wanted=(False, True, False, False, False))
    assert made.table.reason.tolist() == [-1, 0, -1, -1, -1] and sorted(made.packed) == [1]


def test_only_the_wanted_levels_are_kept(row_of_houses, world):
    made = _made(row_of_houses, lods={"1.2", "1.3"})
    assert {s.lod for _, s in _all_solids(world, made.packed)} == {"1.3"}
    assert [LODS[v] for v in made.table.level[:3]] == ["1.3"] * 3
    assert np.isnan(made.table.volume).all() and (made.table.n_plane == 0).all()
    made = _made(row_of_houses, lods={"1.2", "2.2"})
    assert {s.lod for _, s in _all_solids(world, made.packed)} == {"2.2"}


def _all_solids(world, packed):
    return [(row, s) for _, solids in solids_by_block(world, packed, 5) for row in sorted(solids) for s in solids[row]]


def test_solids_arrive_in_the_crs_with_a_meaning_a_face(row_of_houses, world):
    found = _all_solids(world, _made(row_of_houses).packed)
    assert [(row, s.lod) for row, s in found] == [(row, lod) for row in range(3) for lod in ("1.3", "2.2")]
    for row, solid in found:
        west = (85_000 + 20 * row) * 1000
        np.testing.assert_array_equal(solid.vertices.min(axis=0), [west, 0, GROUND_MM])
        np.testing.assert_array_equal(solid.vertices.max(axis=0)[:2], [west + 12_000, 8000])
        assert len(solid.types) == len(solid.faces) and set(solid.types) == {GROUND, WALL, ROOF}
        edges = [(r[i - 1], r[i]) for face in solid.faces for r in face for i in range(len(r))]
        assert len(set(edges)) == len(edges) and {(b, a) for a, b in edges} == set(edges)
    gable = found[1][1]
    assert gable.types.count(ROOF) == 2
    ridge = gable.vertices[gable.vertices[:, 2] > GROUND_MM + 5000]
    np.testing.assert_allclose(ridge[:, 1:], [[4000, GROUND_MM + 6200]] * len(ridge), atol=60)


def test_the_order_of_points_and_other_buildings_change_no_bit(row_of_houses):
    whole = _made(row_of_houses)
    mixed = _made(row_of_houses, order=np.random.default_rng(3).permutation(len(row_of_houses[1])))
    alone = _made(row_of_houses, wanted=(False, False, True, False, False))
    assert {k: v.tobytes() for k, v in mixed.packed.items()} == {k: v.tobytes() for k, v in whole.packed.items()}
    for one, other in zip(whole.table, mixed.table):
        np.testing.assert_array_equal(one, other)
    assert alone.packed[2].tobytes() == whole.packed[2].tobytes()
    assert [v[2] for v in alone.table] == [v[2] for v in whole.table]


def test_a_shift_by_whole_metres_shifts_the_solids_and_nothing_else(row_of_houses, world):
    _, points, building = row_of_houses
    shift = np.array([123_000, 456_000, 0])
    moved = flatten([_house(85_000.0 + 20.0 * k + 123.0, 456.0) for k in range(5)])
    there = reconstruct_roofs(points + shift, building, moved, np.full(5, GROUND_MM), np.full(5, True), ALL, Options())
    for (_, a), (_, b) in zip(_all_solids(world, _made(row_of_houses).packed), _all_solids(world, there.packed), strict=True):
        np.testing.assert_array_equal(a.vertices + shift, b.vertices)
        assert a.faces == b.faces


@pytest.mark.mpi(2, 3)
def test_every_rank_sends_its_solids_and_its_rows(row_of_houses, world, monkeypatch):
    monkeypatch.setattr(roof_models, "BLOCK", 2)
    owners = np.arange(5, dtype=np.int32) % world.size
    mine = _made(row_of_houses, wanted=owners == world.rank)
    whole = _made(row_of_houses)
    table = gather_table(world, mine.table, owners)
    blocks = list(solids_by_block(world, mine.packed, 5))
    assert [rows for rows, _ in blocks] == [range(0, 2), range(2, 4), range(4, 5)]
    if not world.is_root:
        assert table is None and all(not solids for _, solids in blocks)
        return
    for name, values in table._asdict().items():
        np.testing.assert_array_equal(values, getattr(whole.table, name), err_msg=name)
    got = {row: found for _, solids in blocks for row, found in solids.items()}
    assert sorted(got) == [0, 1, 2]
    for row, solid in roof_models._unpacked(np.concatenate([whole.packed[k] for k in range(3)])):
        (same,) = [s for s in got[row] if s.lod == solid.lod]
        np.testing.assert_array_equal(same.vertices, solid.vertices)
        assert (same.faces, same.types) == (solid.faces, solid.types)


def test_parts_and_courts_are_measured_as_they_are():
    """A ring of 2 m around a court and a shed beside it, one footprint of two parts, flat at 4 m."""
    court = shapely.Polygon(shapely.box(0, 0, 10, 10).exterior.coords, [shapely.box(2, 2, 8, 8).exterior.coords])
    court = shapely.orient_polygons(court)
    shed = shapely.orient_polygons(shapely.box(20, 0, 24, 4))
    x, y = (v.ravel() for v in np.meshgrid(np.arange(0.1, 24, 0.4), np.arange(0.1, 10, 0.4)))
    inside = shapely.contains_xy(shapely.union(court, shed), x, y)
    points = np.rint(np.column_stack((x, y, np.full(len(x), 4.0)))[inside] * 1000).astype(np.int64)
    made = reconstruct_roofs(
        points, np.zeros(len(points), np.int64), flatten([[court, shed]]), np.array([0]), np.array([True]), ALL, Options()
    )
    assert made.table.area[0] == pytest.approx(64 + 16, abs=1e-9)
    assert made.table.volume[0] == pytest.approx(4 * 80, abs=1e-9)
    assert made.table.n_plane.tolist() == [2]  # one a part


def test_the_measure_of_a_wedge_is_exact():
    """A wedge on 3 m x 4 m, 0 to 5 m high along x = 4 m: roof 3 sqrt(41) m2, volume 30 m3; far from the origin too."""
    v = np.array([(0, 0, 0), (4000, 0, 0), (4000, 3000, 0), (0, 3000, 0), (4000, 0, 5000), (4000, 3000, 5000)], np.int64)
    rings = [[0, 3, 2, 1], [0, 1, 4], [1, 2, 5, 4], [2, 3, 5], [0, 4, 5, 3]]
    offsets = np.cumsum([0, *map(len, rings)])
    types = np.array([GROUND, WALL, WALL, WALL, ROOF], np.int8)
    none = np.full(5, -1, np.int64)
    solid = RoofSolid(v, np.concatenate(rings).astype(np.int64), offsets, np.arange(6), types, none, none)
    for shift in ((0, 0, 0), (7_000_000, -3_000_000, 900_000)):
        area, volume = measure_solid(v + shift, solid)
        assert area == pytest.approx(3 * np.sqrt(41), rel=1e-15) and volume == 30.0


def test_without_a_block_there_is_no_ladder(row_of_houses):
    table = without_geometry(_made(row_of_houses).table, np.array([True, False, True, False, True]))
    assert table.level.tolist() == [2, 0, 2, 0, 0]
    reasons = ("none", "invalid_footprint", "none", "too_few_points", "no_points")
    assert table.reason.tolist() == [REASON[r] for r in reasons]
    columns = roof_columns(table)
    assert np.isnan(columns["building_lod22_volume"][1]) and columns["building_roof_plane_count"].tolist() == [2, 0, 2, 0, 0]
    assert np.isnan(columns["building_roof_height_standard_deviation"][[1, 3, 4]]).all()
