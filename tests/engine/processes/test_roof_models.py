"""Roofs of many buildings: what the table says, what travels; neither neighbours nor ranks nor order change a solid."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from felsina.engine.io.vector import flatten
from felsina.engine.processes import roof_models
from felsina.engine.processes.reconstruction import LODS, Options
from felsina.engine.processes.roof_ladder import REASON
from felsina.engine.processes.roof_models import reconstruct_roofs, roof_columns, without_geometry
from felsina.engine.processes.solids import chosen
from felsina.kernels.geometry.extrusion import GROUND, ROOF, WALL

GROUND_MM = 20_000
ALL = set(LODS)
NAMES = list("abcde")


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
    return reconstruct_roofs(points, building, shapes, np.full(5, GROUND_MM), np.array(wanted), lods, Options(), NAMES)


def same_solids(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_gable_gets_its_planes_area_and_volume(row_of_houses):
    table, _ = _made(row_of_houses)
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
    table, solids = _made(row_of_houses)
    assert table.level[3:].tolist() == [0, 0]
    assert table.reason[3:].tolist() == [REASON["too_few_points"], REASON["no_points"]]
    assert np.unique(solids.row).tolist() == [0, 1, 2]
    assert np.isnan(table.volume[3:]).all() and table.n_plane[3:].tolist() == [0, 0]
    # Three points say little of a roof.
    assert table.height_deviation[3] > 20 * table.height_deviation[0] and np.isnan(table.height_deviation[4])


def test_rows_that_are_not_wanted_are_not_tried(row_of_houses):
    table, solids = _made(row_of_houses, wanted=(False, True, False, False, False))
    assert table.reason.tolist() == [-1, 0, -1, -1, -1] and np.unique(solids.row).tolist() == [1]


def test_only_the_wanted_levels_are_kept(row_of_houses):
    table, solids = _made(row_of_houses, lods={"1.2", "1.3"})
    assert {LODS[v] for v in solids.level} == {"1.3"}
    assert [LODS[v] for v in table.level[:3]] == ["1.3"] * 3
    assert np.isnan(table.volume).all() and (table.n_plane == 0).all()
    _, solids = _made(row_of_houses, lods={"1.2", "2.2"})
    assert {LODS[v] for v in solids.level} == {"2.2"}


def test_solids_are_in_the_crs_with_a_meaning_a_face(row_of_houses):
    _, solids = _made(row_of_houses)
    assert solids.row.tolist() == [0, 0, 1, 1, 2, 2] and [LODS[v] for v in solids.level] == ["1.3", "2.2"] * 3
    for k in range(solids.n):
        one = chosen(solids, np.array([k]))
        west = (85_000 + 20 * int(one.row[0])) * 1000
        np.testing.assert_array_equal(one.vertices.min(axis=0), [west, 0, GROUND_MM])
        np.testing.assert_array_equal(one.vertices.max(axis=0)[:2], [west + 12_000, 8000])
        assert set(one.face_type.tolist()) == {GROUND, WALL, ROOF}
        rings = np.split(one.face_rings, one.ring_offsets[1:-1])
        edges = [(r[i - 1], r[i]) for r in rings for i in range(len(r))]
        assert len(set(edges)) == len(edges) and {(b, a) for a, b in edges} == set(edges)
    gable = chosen(solids, np.array([1]))
    assert np.count_nonzero(gable.face_type == ROOF) == 2
    ridge = gable.vertices[gable.vertices[:, 2] > GROUND_MM + 5000]
    np.testing.assert_allclose(ridge[:, 1:], [[4000, GROUND_MM + 6200]] * len(ridge), atol=60)


def test_the_order_of_points_and_other_buildings_change_no_bit(row_of_houses):
    table, solids = _made(row_of_houses)
    mixed_table, mixed = _made(row_of_houses, order=np.random.default_rng(3).permutation(len(row_of_houses[1])))
    alone_table, alone = _made(row_of_houses, wanted=(False, False, True, False, False))
    same_solids(mixed, solids)
    same_solids(mixed_table, table)
    same_solids(alone, chosen(solids, np.flatnonzero(solids.row == 2)))
    assert [v[2] for v in alone_table] == [v[2] for v in table]


def test_a_shift_by_whole_metres_shifts_the_solids_and_nothing_else(row_of_houses):
    _, points, building = row_of_houses
    shift = np.array([123_000, 456_000, 0])
    moved = flatten([_house(85_000.0 + 20.0 * k + 123.0, 456.0) for k in range(5)])
    ground = np.full(5, GROUND_MM)
    there, moved_solids = reconstruct_roofs(points + shift, building, moved, ground, np.full(5, True), ALL, Options(), NAMES)
    here, solids = _made(row_of_houses)
    same_solids(there, here)
    same_solids(moved_solids, solids._replace(vertices=solids.vertices + shift))


def test_a_defect_in_one_building_costs_that_building_its_roof_only(row_of_houses, monkeypatch, caplog):
    _, solids = _made(row_of_houses)
    genuine = roof_models.reconstruct

    def breaks(points, *rest):
        if len(points) == len(row_of_houses[1][row_of_houses[2] == 1]) and points[0, 0] == first:
            raise ZeroDivisionError("planted")
        return genuine(points, *rest)

    first = int(row_of_houses[1][row_of_houses[2] == 1][0, 0]) - 85_020_000
    monkeypatch.setattr(roof_models, "reconstruct", breaks)
    monkeypatch.setattr(roof_models.LOGGER, "propagate", True)
    table, left = _made(row_of_houses)
    assert table.reason.tolist()[:3] == [0, REASON["defect"], 0] and table.level[1] == 0
    same_solids(left, chosen(solids, np.flatnonzero(solids.row != 1)))
    assert "roof of building 'b'" in caplog.text and "planted" in caplog.text


def test_parts_and_courts_are_measured_as_they_are():
    """A ring of 2 m around a court and a shed beside it, one footprint of two parts, flat at 4 m."""
    court = shapely.Polygon(shapely.box(0, 0, 10, 10).exterior.coords, [shapely.box(2, 2, 8, 8).exterior.coords])
    court = shapely.orient_polygons(court)
    shed = shapely.orient_polygons(shapely.box(20, 0, 24, 4))
    x, y = (v.ravel() for v in np.meshgrid(np.arange(0.1, 24, 0.4), np.arange(0.1, 10, 0.4)))
    inside = shapely.contains_xy(shapely.union(court, shed), x, y)
    points = np.rint(np.column_stack((x, y, np.full(len(x), 4.0)))[inside] * 1000).astype(np.int64)
    rows, ground, wanted = np.zeros(len(points), np.int64), np.array([0]), np.array([True])
    table, _ = reconstruct_roofs(points, rows, flatten([[court, shed]]), ground, wanted, ALL, Options(), ["a"])
    assert table.area[0] == pytest.approx(64 + 16, abs=1e-9)
    assert table.volume[0] == pytest.approx(4 * 80, abs=1e-9)
    assert table.n_plane.tolist() == [2]  # one a part


def test_without_a_block_there_is_no_ladder(row_of_houses):
    table = without_geometry(_made(row_of_houses)[0], np.array([True, False, True, False, True]))
    assert table.level.tolist() == [2, 0, 2, 0, 0]
    reasons = ("none", "invalid_footprint", "none", "too_few_points", "no_points")
    assert table.reason.tolist() == [REASON[r] for r in reasons]
    columns = roof_columns(table)
    assert np.isnan(columns["building_lod22_volume"][1]) and columns["building_roof_plane_count"].tolist() == [2, 0, 2, 0, 0]
    assert np.isnan(columns["building_roof_height_standard_deviation"][[1, 3, 4]]).all()
