"""Overlaps of footprints, and what files and references say of heights."""

from __future__ import annotations

import laspy
import numpy as np
import pyproj
import pytest
import shapely

from felsina.engine.io.vector import overlap_areas
from felsina.engine.processes.references import (
    OVERLAPS,
    datum_figures,
    find_overlaps,
    overlap_figures,
    stated_vertical,
    vertical_figures,
)


def rows(*boxes):
    return [[shapely.box(*b)] for b in boxes]


@pytest.mark.parametrize(
    ("other", "kind", "area"),
    [
        ((0.0, 0.0, 10.0, 10.0), "duplicate", 100.0),
        ((0.2, 0.2, 10.2, 10.1), "duplicate", 96.04),
        ((1.0, 1.0, 4.0, 4.0), "contained", 9.0),
        ((9.0, 0.0, 20.0, 10.0), "overlap", 10.0),
        ((9.9, 0.0, 20.0, 10.0), "sliver", 1.0),
    ],
)
def test_overlaps_are_told_apart(other, kind, area):
    found = find_overlaps(rows((0.0, 0.0, 10.0, 10.0), other, (30.0, 0.0, 40.0, 10.0)))
    assert (found.first.tolist(), found.second.tolist()) == ([0], [1])
    assert OVERLAPS[found.kind[0]] == kind and found.area[0] == pytest.approx(area, abs=1e-6)


def test_neighbours_that_share_an_edge_do_not_overlap():
    assert len(find_overlaps(rows((0, 0, 10, 10), (10, 0, 20, 10))).first) == 0
    assert len(find_overlaps([]).first) == len(find_overlaps([[], []]).first) == 0


def test_the_pairs_of_a_row_cover_what_overlap_areas_counts():
    random = np.random.default_rng(0)
    corner = random.uniform(0, 60, (40, 2))
    geometry = rows(*np.hstack((corner, corner + random.uniform(2, 12, (40, 2)))))
    found, whole = find_overlaps(geometry), overlap_areas(geometry)
    pairs = np.zeros(40)
    np.add.at(pairs, found.first, found.area)
    np.add.at(pairs, found.second, found.area)
    # Where three overlap, pairs count a place twice.
    assert (pairs >= whole - 0.02).all() and ((pairs > 0) == (whole > 0.01)).all()


def test_overlaps_are_told_in_one_sentence_but_slivers_are_not():
    ids = ["a", "b", "c"]
    slivers = find_overlaps(rows((0, 0, 10, 10), (9.95, 0, 20, 10), (40, 0, 50, 10)))
    figures, notes = overlap_figures(slivers, ids, 0.1)
    assert notes == [] and figures["sliver_pairs"] == 1 and figures["area_m2"] == 0.5
    figures, notes = overlap_figures(find_overlaps(rows((0, 0, 10, 10), (0, 0, 10, 10), (5, 5, 12, 12))), ids, 1.0)
    assert figures["duplicate_pairs"] == 1 and figures["overlap_pairs"] == 2 and figures["area_m2"] == 150.0
    assert len(notes) == 1 and "'a' and 'b', 100.0 m2" in notes[0] and "1 duplicate, 2 overlap" in notes[0]


def write(path, crs):
    header = laspy.LasHeader(version="1.4", point_format=6)
    header.scales, header.offsets = np.full(3, 0.01), np.zeros(3)
    if crs:
        header.add_crs(pyproj.CRS.from_user_input(crs))
    points = laspy.LasData(header)
    points.x, points.y, points.z = [685_000.0], [4_930_000.0], [50.0]
    points.write(str(path))
    return path


def test_headers_are_asked_for_datum_and_unit(tmp_path):
    cases = {
        None: ("", False, None, None),
        "EPSG:7791": ("", False, 1.0, None),
        "EPSG:7415": ("NAP height", False, 1.0, 1.0),
        "EPSG:2994": ("", False, 0.3048, None),
        "EPSG:2994+8228": ("NAVD88 height (ft)", False, 0.3048, 0.3048),
    }
    for k, (crs, expected) in enumerate(cases.items()):
        assert stated_vertical(write(tmp_path / f"{k}.las", crs)) == expected, crs
    three = stated_vertical(write(tmp_path / "3d.las", pyproj.CRS("EPSG:7791").to_3d()))
    assert three.is_ellipsoidal and three.vertical == 1.0


def test_datums_that_differ_or_are_ellipsoidal_and_open_units_are_told(tmp_path):
    plain, nap = (stated_vertical(write(tmp_path / f"{c[5:]}.las", c)) for c in ("EPSG:7791", "EPSG:7415"))
    three = stated_vertical(write(tmp_path / "3d.las", pyproj.CRS("EPSG:7791").to_3d()))
    feet = stated_vertical(write(tmp_path / "feet.las", "EPSG:2994"))
    assert vertical_figures([nap, nap], ["a", "b"]) == ({"datums": ["NAP height"]}, [])
    assert vertical_figures([plain], ["a"]) == ({"datums": ["not stated"]}, [])
    mixed = vertical_figures([plain, nap, plain], ["a", "b", "c"])
    assert mixed.figures["datums"] == ["not stated", "NAP height"]
    assert len(mixed.notes) == 1 and "'a' none" in mixed.notes[0] and "'b' NAP height" in mixed.notes[0]
    assert "above the ellipsoid (1 of 1 files)" in vertical_figures([three], ["a"]).notes[0]
    assert "'a' has x and y in feet and says nothing of z" in vertical_figures([feet], ["a"]).notes[0]


def test_the_feet_of_a_real_file_are_noticed(felsina_data):
    path = felsina_data / "lidar" / "pdal" / "autzen_trim.laz"
    if not path.exists():
        pytest.skip("no autzen_trim.laz in FELSINA_DATA")
    stated = stated_vertical(path)
    assert stated.horizontal == 0.3048 and stated.vertical is None
    assert "feet" in vertical_figures([stated], [path.name]).notes[0]


@pytest.mark.parametrize(
    ("change", "verdict", "words"),
    [
        (lambda z: z + 40.3, "ellipsoidal_against_orthometric", "39 to 41 m around Bologna"),
        (lambda z: z / 0.3048, "points_in_feet", "read as feet"),
        (lambda z: z + 1.2, "constant_offset", "two vertical datums"),
        (lambda z: z[::-1] * 2, "unrelated", "not constant"),
    ],
)
def test_each_difference_of_heights_has_its_way_out(change, verdict, words):
    known = np.random.default_rng(1).normal(60.0, 8.0, 400)
    figures, notes = datum_figures(
        np.rint(change(known) * 1000).astype(np.int64), np.rint(known * 1000).astype(np.int64), "the footprints", 0.5
    )
    assert figures["verdict"] == verdict and len(notes) == 1
    assert words in notes[0] and "quality.datum_m" in notes[0] and "the footprints" in notes[0]


def test_heights_that_agree_or_are_few_are_not_told():
    known = np.arange(50_000, 60_000, 100)
    assert datum_figures(known + 120, known, "the footprints", 0.5).notes == []
    assert datum_figures(known[:3], known[:3], "the footprints", 0.5) == ({"places": 3, "verdict": "too_few"}, [])
