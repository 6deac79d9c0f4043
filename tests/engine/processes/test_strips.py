"""Strips of a whole scene: a lifted one is found and told, whatever ranks read and however strips are told apart."""

from __future__ import annotations

import numpy as np
import pytest

from felsina.engine.grid import Grid
from felsina.engine.io.las import Points, read_chunks, scan_headers
from felsina.engine.parallel.world import World
from felsina.engine.processes.strips import COLUMNS, StripCheck, cells_per_block, strip_figures

LIMIT = 0.08


def cloud(files, crs=None):
    """Return the grid of some files and their points."""
    headers = scan_headers(files, crs)
    bounds = np.array([h.bounds for h in headers])
    box = (*bounds[:, :2].min(axis=0).tolist(), *bounds[:, 2:].max(axis=0).tolist())
    grid = Grid.covering(headers[0].crs, box, 0.5, 4.0)
    return grid, [p for h in headers for p in read_chunks(h, 0, h.count, (grid.west, grid.north), 300_000, COLUMNS)]


def check(grid, batches, world=None, strip=None, lift_mm=0, forget=()):
    """Return figures, sentences and differences, with one strip lifted, or with ids and times forgotten."""
    tally = StripCheck(grid)
    for batch in batches:
        points = batch.take(np.ones(len(batch), bool))
        points.z[points.extra["point_source_id"] == strip] += lift_mm
        for name in forget:
            points.extra[name][:] = 7
        tally.add(points, points.classification == 2)
    differences, by = tally.over(world or World.serial())
    return *strip_figures(differences, by, LIMIT), differences


@pytest.fixture(scope="module")
def scene(district):
    return cloud(sorted((district.parent / "tiles").glob("*.laz")))


def test_strips_of_the_district_agree(scene):
    figures, notes, _ = check(*scene)
    assert notes == [] and figures["told_apart_by"] == "source" and figures["cells"] > 1_000
    assert all(abs(pair["median_m"]) <= 0.01 for pair in figures["worst_pairs"])


def test_a_lifted_strip_of_the_district_is_recovered_and_told(scene):
    figures, notes, _ = check(*scene, strip=2, lift_mm=100)
    for pair in figures["worst_pairs"]:
        sign = 0 if 2 not in pair["strips"] else (1 if pair["strips"][1] == 2 else -1)
        assert abs(pair["median_m"] - 0.1 * sign) <= 0.01
    assert len(notes) == 1 and "quality.strip_misfit_m" in notes[0] and "strip 2" in notes[0].lower()


def test_without_source_ids_gaps_in_time_tell_the_same(scene):
    _, _, by_source = check(*scene, strip=2, lift_mm=100)
    figures, notes, by_time = check(*scene, strip=2, lift_mm=100, forget=("point_source_id",))
    assert figures["told_apart_by"] == "time" and len(notes) == 1
    np.testing.assert_array_equal(by_time.histogram, by_source.histogram)


def test_without_ids_and_times_nothing_is_said(scene):
    figures, notes, _ = check(*scene, strip=2, lift_mm=100, forget=COLUMNS)
    assert (figures, notes) == ({"told_apart_by": "nothing", "pairs": 0, "cells": 0}, [])


@pytest.mark.mpi(2)
def test_ranks_change_no_number(world, scene):
    grid, batches = scene
    half = grid.nx // 2 // 64 * 64 * 500
    mine = [p.take((p.x >= half) == bool(world.rank)) for p in batches]
    for forget in ((), ("point_source_id",)):
        whole = check(grid, batches, strip=2, lift_mm=60, forget=forget)
        shared = check(grid, mine, world, strip=2, lift_mm=60, forget=forget)
        assert shared[:2] == whole[:2]
        np.testing.assert_array_equal(shared[2].histogram, whole[2].histogram)


def test_points_of_several_returns_and_other_classes_do_not_count():
    points = Points.empty(400, COLUMNS)
    points.x[:] = np.arange(400) % 20 * 1000
    points.extra["point_source_id"][:] = np.arange(400) // 200 + 1
    points.number_of_returns[:] = 2
    grid = Grid("EPSG:7791", 684_000.0, 4_930_000.0, 0.5, 64, 64)
    assert check(grid, [points])[0]["cells"] == 0
    points.number_of_returns[:], points.classification[:] = 1, 2
    assert check(grid, [points])[0]["cells"] == 20
    points.classification[:] = 6
    assert check(grid, [points])[0]["cells"] == 0


@pytest.mark.parametrize(("resolution", "factor"), [(0.1, 8), (0.25, 4), (0.3, 4), (0.5, 2), (1.0, 1), (5.0, 1)])
def test_cells_of_a_metre_divide_the_blocks_of_ranks(resolution, factor):
    assert cells_per_block(resolution) == factor and 64 % factor == 0


def test_the_strips_of_delft_and_of_ign_agree(felsina_data):
    delft = felsina_data / "lidar" / "3dfier_delft_ahn3"
    ign = felsina_data / "lidar" / "ign_lidarhd" / "870000_6618000.postCompletion.laz"
    if not (delft / "ahn3_cropped_1.laz").exists() or not ign.exists():
        pytest.skip("no point files in FELSINA_DATA")
    grid, batches = cloud([delft / "ahn3_cropped_1.laz", delft / "ahn3_cropped_2.laz"], "EPSG:28992")
    figures, notes, _ = check(grid, batches)
    assert notes == [] and {s for p in figures["worst_pairs"] for s in p["strips"]} == {44_266, 57_138, 57_139}
    # Three centimetres between two strips of AHN3: within its specification, and within the limit.
    assert 0.02 < max(abs(p["median_m"]) for p in figures["worst_pairs"]) < 0.04
    figures, notes, _ = check(grid, batches, strip=57_139, lift_mm=200)
    assert len(notes) == 1 and "57139" in notes[0]
    # This file gives all points the source id 0: its two strips are known by their time.
    figures, notes, _ = check(*cloud([ign]))
    assert notes == [] and figures["told_apart_by"] == "time" and len(figures["worst_pairs"]) == 1
