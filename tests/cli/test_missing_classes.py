"""A file may have ground classes and none of buildings: the surface must have roofs all the same."""

import json

import laspy
import numpy as np
import pytest

from felsina.engine.io.district_files import write_district
from felsina.engine.io.read import product_attrs, read_field, read_table
from felsina.jobs.cli import main


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ground_only")
    city = write_district(folder / "input", 96.0, 1)
    for path in (folder / "input" / "tiles").glob("*.laz"):
        cloud = laspy.read(path)
        classes = np.asarray(cloud.classification)
        cloud.classification = np.where(classes == 2, 2, np.where(np.isin(classes, (7, 18)), 7, 1)).astype(np.uint8)
        cloud.write(path)
    assert main(["run", str(city), "--out", str(folder / "run"), "--until", "buildings", "--no-report", "-q"]) == 0
    return folder


def test_the_surface_has_roofs(run):
    terrain = run / "run" / "terrain.nc"
    index = read_field(terrain, "building_index")
    height = read_field(terrain, "surface_elevation") - read_field(terrain, "ground_elevation")
    assert np.median(height[index >= 0]) > 3.0
    assert (read_field(terrain, "canopy_height")[index >= 0] == 0).mean() > 0.95
    assert product_attrs(terrain)["point_classes"] == "felsina"


def test_the_buildings_have_their_true_heights(run):
    truth = {b["building_id"]: b["height_m"] for b in json.loads((run / "input" / "truth.json").read_text())["buildings"]}
    table = read_table(run / "run" / "buildings.nc", ("building_id", "building_height"))
    error = [abs(h - truth[name]) for name, h in zip(table["building_id"], table["building_height"], strict=True)]
    assert max(error) < 0.5
