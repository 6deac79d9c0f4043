"""The files of the built-in district: the same bytes, and what other programs need to read them."""

import datetime
import json

import laspy
import numba
import numpy as np
import pyogrio
import pytest

from felsina.engine.city import read_city
from felsina.engine.district.openings import is_surveyed
from felsina.engine.district.scene import ORIGIN
from felsina.engine.district.weather import HEATWAVE_FIRST, HEATWAVE_LENGTH
from felsina.engine.io.district_files import write_district


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_district(tmp_path_factory.mktemp("district"), 128.0, 3).parent


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_same_seed_writes_the_same_bytes_on_one_and_two_threads(folder, tmp_path):
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        again = contents(write_district(tmp_path, 128.0, 3).parent)
    finally:
        numba.set_num_threads(before)
    assert again == contents(folder)
    assert len([n for n in again if n.endswith(".laz")]) >= 4


def test_another_seed_writes_other_bytes(folder, tmp_path):
    one, two = contents(folder), contents(write_district(tmp_path, 128.0, 4).parent)
    # Empty of points or not, no tile and no other file but the city file is alike.
    assert {n for n in one.keys() & two.keys() if one[n] == two[n]} <= {"city.toml"}


def test_the_city_file_names_all_that_was_written(folder):
    city = read_city(folder / "city.toml")
    assert len(city.files(city.points.files)) == len(list((folder / "tiles").iterdir()))
    start = datetime.date.fromisoformat(city.heatwave.start)
    assert start == HEATWAVE_FIRST + datetime.timedelta(days=1)
    assert city.heatwave.days <= HEATWAVE_LENGTH - 1
    assert (city.path(city.weather.file)).is_file()
    assert all(city.path(p).is_file() for p in city.landcover.layers.values())
    info = pyogrio.read_info(city.path(city.footprints.file))
    assert {city.footprints.id, "construction_year", "use", "floors", "residents", "portico"} <= set(info["fields"])
    assert info["crs"] == "EPSG:7791"
    assert info["features"] == len(json.loads((folder / "truth.json").read_text())["buildings"])


def test_openings_are_in_the_file_where_a_survey_has_been(folder):
    truth = {b["building_id"]: b for b in json.loads((folder / "truth.json").read_text())["buildings"]}
    meta, _, _, values = pyogrio.raw.read(folder / "buildings.gpkg")
    columns = dict(zip(meta["fields"], values, strict=True))
    assert {is_surveyed(name) for name in columns["building_id"]} == {True, False}
    for k, name in enumerate(columns["building_id"]):
        known, row = truth[name]["is_surveyed"], truth[name]
        assert known == is_surveyed(name)
        assert np.isnan(columns["portico"][k]) == (not known)
        for kind in ("portico", "underpass"):
            found = columns[f"{kind}_area_m2"][k]
            assert found == pytest.approx(row[f"{kind}_area_m2"], abs=0.01) if known else np.isnan(found)
            assert row[f"{kind}_area_m2"] == pytest.approx(
                sum(o["area_m2"] for o in row["openings"] if o["kind"] == kind), abs=0.01
            )
        assert np.isnan(columns["portico_depth_m"][k]) == (not known or row["portico_length_m"] == 0.0)


def test_land_cover_leaves_no_square_metre_without_a_kind(folder):
    import shapely

    layers = read_city(folder / "city.toml").landcover.layers
    polygons = [shapely.from_wkb(pyogrio.raw.read(folder / p)[2]) for p in layers.values()]
    assert all(shapely.is_valid(p).all() for p in polygons)
    west, south = ORIGIN
    covered = shapely.union_all(np.concatenate(polygons))
    assert shapely.box(west, south, west + 128.0, south + 128.0).difference(covered).area < 1e-6


def test_tiles_are_las_1_4_with_a_crs_and_no_clock(folder):
    for path in sorted((folder / "tiles").iterdir()):
        with laspy.open(path) as reader:
            header = reader.header
            assert (str(header.version), header.point_format.id) == ("1.4", 6)
            assert header.creation_date == datetime.date(2026, 1, 1)
            assert header.parse_crs().to_epsg() == 7791
            cloud = reader.read()
        assert len(cloud) == header.point_count > 0
        west, south = (float(v) for v in path.stem.split("_")[1:])
        assert cloud.x.min() >= ORIGIN[0] + west
        assert cloud.y.min() >= ORIGIN[1] + south
