"""Units of buildings: a defect stays in its row, and what a row gives does not depend on its unit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import shapely

from felsina.engine.city import BuildingOptions, QualityOptions
from felsina.engine.fields import ROOF_TYPES
from felsina.engine.io.vector import flatten
from felsina.engine.processes import building_unit
from felsina.engine.processes.building_surfaces import joined_shells, shells_of
from felsina.engine.processes.building_unit import Unit, UnitOptions, build_unit
from felsina.engine.processes.buildings import REASON, STATUS
from felsina.engine.processes.footprint_points import INSIDE, ON_GROUND, ON_ROOF, UnitPoints
from felsina.engine.processes.reconstruction import LODS, Options
from felsina.engine.processes.solids import joined

GROUND_MM = 20_000
WHOLE = ("1.2", "1.3", "2.2")


def gable(k):
    """Points of a house of 12 m by 8 m at 20 k m east: eaves at 3 m, ridge at 6.2 m; the next one has steeper slopes."""
    random = np.random.default_rng(k)
    x, y = random.uniform(0.05, 11.95, 800), random.uniform(0.05, 7.95, 800)
    z = 3.0 + (0.8 + 0.05 * k) * (4.0 - np.abs(y - 4.0)) + random.normal(0.0, 0.02, 800)
    return np.rint(np.stack((x + 20 * k, y, z + GROUND_MM / 1000), axis=1) * 1000).astype(np.int64)


@pytest.fixture(scope="module")
def unit():
    """Four houses with ground returns 1 m above the terrain around them; the third has no points on its roof."""
    roofs = [gable(k) if k != 2 else gable(k)[:0] for k in range(4)]
    around = [np.column_stack((20_000 * k + 100 * np.arange(60), np.full(60, -1000), np.full(60, GROUND_MM))) for k in range(4)]
    parts = [p for pair in zip(roofs, around, strict=True) for p in pair]
    row = np.repeat(np.arange(4).repeat(2), [len(p) for p in parts])
    kind = np.repeat([INSIDE | ON_ROOF, ON_GROUND] * 4, [len(p) for p in parts]).astype(np.uint8)
    ones = np.ones(len(row), np.uint8)
    points = UnitPoints(np.concatenate(parts).astype(np.int64), row, kind, ones, ones, ones)
    shapes = flatten([[shapely.box(20 * k, 0, 20 * k + 12, 8)] for k in range(4)])
    heights = {"height_eaves_m": np.array([np.nan, np.nan, 4.0, np.nan])}
    no = np.zeros(4, bool)
    terrain, free = np.full(4, GROUND_MM - 1000), np.ones(16, bool)
    return Unit(list("abcd"), shapes, no, np.zeros(4, np.int8), heights, terrain, points, free)


def built(unit, lods=WHOLE):
    return build_unit(unit, UnitOptions(BuildingOptions(lods=lods), Options(), QualityOptions()))


def same(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def test_ground_comes_from_the_returns_around_and_the_volume_from_the_highest_level(unit):
    made = built(unit)
    assert made.heights.ground.tolist() == [GROUND_MM] * 4
    assert [LODS[v] for v in made.roofs.level] == ["2.2", "2.2", "1.2", "2.2"]
    assert made.heights.status.tolist() == [STATUS[s] for s in ("success", "success", "fallback", "success")]
    expected = [12 * (8 * 3 + 8 * 4 * (0.8 + 0.05 * k) / 2) if k != 2 else 12 * 8 * 4 for k in range(4)]
    np.testing.assert_allclose(made.volume, expected, rtol=0.005)
    assert made.solids.row.tolist() == [0, 0, 0, 1, 1, 1, 2, 3, 3, 3] and made.solids.level.tolist() == [
        0,
        1,
        2,
        0,
        1,
        2,
        0,
        0,
        1,
        2,
    ]


def test_roofs_have_a_type_a_ridge_eaves_and_a_fit(unit):
    columns = built(unit).columns
    assert [ROOF_TYPES[v] for v in columns["building_roof_type"]] == ["gabled", "gabled", "flat", "gabled"]
    steepness = np.array([0.8, 0.85, 0.0, 0.95])
    above = GROUND_MM / 1000 + np.array([3.0, 3.0, 4.0, 3.0])
    np.testing.assert_allclose(columns["building_eaves_elevation"], above, atol=0.05)
    np.testing.assert_allclose(columns["building_ridge_elevation"], above + 4.0 * steepness, atol=0.1)
    known = [0, 1, 3]  # the third has no points
    np.testing.assert_allclose(columns["building_rmse"][known], 0.02, atol=0.005)  # the noise of the points
    np.testing.assert_allclose(columns["building_distance_p95"][known], 1.96 * 0.02, atol=0.01)
    np.testing.assert_allclose(columns["building_bias"][known], 0.0, atol=0.003)
    assert columns["building_unexplained_share"][known].tolist() == [0.0] * 3
    assert np.isnan([columns[f"building_{n}"][2] for n in ("rmse", "bias", "distance_p95", "unexplained_share")]).all()


def test_the_fit_sees_points_that_the_roof_does_not_explain(unit):
    p = unit.points
    lifted = p.xyz.copy()
    mine = np.flatnonzero((p.row == 0) & (p.kind & ON_ROOF != 0))[:80]  # a tenth
    lifted[mine, 2] += 9_000
    columns = built(replace(unit, points=p._replace(xyz=lifted))).columns
    assert columns["building_unexplained_share"][0] == pytest.approx(0.1, abs=0.01)
    assert columns["building_rmse"][0] > 2.0 and columns["building_bias"][0] == pytest.approx(0.9, abs=0.1)


def test_blocks_alone_have_the_same_blocks(unit):
    blocks = built(unit, ("1.2",))
    whole = built(unit)
    same(blocks.heights, whole.heights)
    assert blocks.solids.level.tolist() == [0] * 4 and (blocks.roofs.reason == -1).all()
    assert blocks.volume[0] != whole.volume[0] and blocks.volume[2] == whole.volume[2]


def test_each_row_gives_the_same_alone(unit):
    whole = built(unit)
    alone = [built(unit.row(k)) for k in range(4)]
    for name in ("heights", "roofs"):
        same(getattr(whole, name), [np.concatenate(c) for c in zip(*(getattr(a, name) for a in alone), strict=True)])
    for name, values in whole.columns.items():
        np.testing.assert_array_equal(values, np.concatenate([a.columns[name] for a in alone]), err_msg=name)
    np.testing.assert_array_equal(whole.evidence, np.concatenate([a.evidence for a in alone]))
    same(whole.solids, joined([a.solids._replace(row=a.solids.row + k) for k, a in enumerate(alone)]))
    np.testing.assert_array_equal(whole.volume, np.concatenate([a.volume for a in alone]))
    one, other = shells_of(whole.solids), joined_shells([(k, shells_of(a.solids)) for k, a in enumerate(alone)])
    for a, b in zip(one, other, strict=True):
        same(a, b)


def test_a_defect_leaves_one_row_with_its_reason_and_the_others_as_they_are(unit, monkeypatch, caplog):
    genuine = building_unit.measure
    x = 20_000

    def breaks(points, *rest):
        if ((points[:, 0] >= x) & (points[:, 0] < x + 12_000)).any():
            raise IndexError("planted")
        return genuine(points, *rest)

    whole = built(unit)
    monkeypatch.setattr(building_unit, "measure", breaks)
    monkeypatch.setattr(building_unit.LOGGER, "propagate", True)
    made = built(unit)
    assert made.heights.status.tolist() == [0, STATUS["failed"], STATUS["fallback"], 0]
    assert made.heights.reason[1] == REASON["defect"] and made.volume[1] == 0.0
    assert 1 not in made.solids.row
    np.testing.assert_array_equal(made.volume[[0, 2, 3]], whole.volume[[0, 2, 3]])
    assert "Building 'b' met a defect" in caplog.text and "planted" in caplog.text


def test_a_mesh_closes_and_knows_its_surfaces(unit):
    made = built(unit)
    shells = shells_of(made.solids)
    mesh = shells.mesh
    corners = mesh.vertices[mesh.triangles].astype(float) / 1000
    twice = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    areas = np.bincount(mesh.surface, np.linalg.norm(twice, axis=1) / 2)
    np.testing.assert_allclose(areas, shells.surfaces.area, rtol=1e-6)  # a face bends by up to a millimetre
    volume = np.bincount(mesh.row, (corners[:, 0] * twice).sum(axis=1) / 6)
    np.testing.assert_allclose(volume, made.volume, rtol=2e-5)  # as above
    np.testing.assert_array_equal(shells.surfaces.row[mesh.surface], mesh.row)
    np.testing.assert_array_equal(shells.surfaces.kind[mesh.surface], mesh.kind)
