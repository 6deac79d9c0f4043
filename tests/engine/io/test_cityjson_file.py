from __future__ import annotations

import json

import numpy as np
import pytest

from felsina.engine.errors import ProductError, UsageError
from felsina.engine.io.cityjson import Feature, prism_solids, write_cityjsonseq
from felsina.engine.io.cityjson_file import features_of, write_cityjson
from felsina.kernels.geometry.extrusion import extrude_prisms

META = {"crs": "EPSG:7415", "translate": [85000, 447000, 0], "title": "Houses"}


def _prisms(n):
    corners = np.array([(0, 0), (8000, 0), (8000, 6000), (0, 6000)], np.int64)
    xy = np.concatenate([corners + np.array((85_001_000 + 20_000 * k, 447_002_000)) for k in range(n)])
    ground = np.full(n, 500)
    return extrude_prisms(xy, 4 * np.arange(n + 1), np.arange(n + 1), ground, 6500 + 1000 * np.arange(n)), xy


@pytest.fixture
def sequence(tmp_path):
    """A house of LoD0, 1.2 and 2.2 (higher), one of two parts, one named as such a part, one without geometry."""
    made, xy = _prisms(5)
    outline = [[np.column_stack((xy[:4], np.full(4, 500)))]]
    house = Feature("a", {"height": 6.0}, outline, [*prism_solids(made, 0, 1), *prism_solids(made, 4, 5, "2.2")])
    parts = Feature("b", {"name": "Caf\u00e9"}, (), prism_solids(made, 1, 3))
    path = tmp_path / "x.city.jsonl"
    write_cityjsonseq(path, META, [house, parts, Feature("b-1", {}, (), prism_solids(made, 3, 4)), Feature("c")])
    return path


def _positions(model, vertices):
    """Return every geometry as (object, lod, nested positions in whole millimetres)."""

    def placed(item):
        return vertices[item] if isinstance(item, int) else [placed(i) for i in item]

    return [(k, g["lod"], placed(g["boundaries"])) for k, o in model["CityObjects"].items() for g in o.get("geometry", ())]


def _write(sequence, *lods):
    target = sequence.with_name("x.city.json")
    assert write_cityjson(sequence, target, lods) == 4
    return json.loads(target.read_bytes())


def test_every_geometry_stays_at_its_place(sequence):
    model = _write(sequence)
    expected = [g[1:] for f in list(features_of(sequence))[1:] for g in _positions(f, f["vertices"])]
    assert len(expected) == 6
    assert sorted((g[1:] for g in _positions(model, model["vertices"])), key=str) == sorted(expected, key=str)


def test_the_file_states_version_crs_transform_and_extent(sequence):
    model = _write(sequence)
    assert (model["type"], model["version"]) == ("CityJSON", "2.0")
    assert model["metadata"]["referenceSystem"] == "https://www.opengis.net/def/crs/EPSG/0/7415"
    assert model["metadata"]["title"] == "Houses"
    assert model["transform"] == {"scale": [0.001] * 3, "translate": [85000, 447000, 0]}
    assert model["metadata"]["geographicalExtent"] == [85001.0, 447002.0, 0.5, 85089.0, 447008.0, 10.5]


def test_a_part_named_as_another_building_gets_a_name_of_its_own(sequence):
    objects = _write(sequence)["CityObjects"]
    assert set(objects) == {"a", "b", "b-1", "b-1_", "b-2", "c"}
    assert objects["b"]["children"] == ["b-1_", "b-2"] and objects["b-1"]["type"] == "Building"
    assert all(objects[k]["parents"] == ["b"] and objects[k]["type"] == "BuildingPart" for k in ("b-1_", "b-2"))
    assert objects["b"]["attributes"] == {"name": "Caf\u00e9"}


def test_only_the_levels_asked_for_stay_with_their_vertices(sequence):
    model = _write(sequence, "2.2")
    (one,) = _positions(model, model["vertices"])
    assert one[:2] == ("a", "2.2") and "geometry" not in model["CityObjects"]["c"]
    assert len(model["vertices"]) == 8 and len({tuple(v) for v in model["vertices"]}) == 8
    assert {g["lod"] for o in _write(sequence, "0", "1.2")["CityObjects"].values() for g in o.get("geometry", ())} == {
        "0",
        "1.2",
    }


def test_a_level_that_is_nowhere_is_refused_and_leaves_nothing(sequence):
    with pytest.raises(UsageError, match=r"no solids of LoD 3\.1; it has 0, 1\.2, 2\.2"):
        _write(sequence, "3.1")
    assert [p.name for p in sequence.parent.iterdir()] == [sequence.name]


def test_the_same_sequence_gives_the_same_bytes(sequence):
    for name in ("x", "y"):
        write_cityjson(sequence, sequence.with_name(name))
    assert sequence.with_name("x").read_bytes() == sequence.with_name("y").read_bytes()


def test_a_sequence_without_buildings_is_a_valid_empty_model(tmp_path):
    write_cityjsonseq(tmp_path / "x.city.jsonl", META, [])
    assert write_cityjson(tmp_path / "x.city.jsonl", tmp_path / "x") == 0
    model = json.loads((tmp_path / "x").read_bytes())
    assert model["CityObjects"] == {} and model["vertices"] == [] and "geographicalExtent" not in model["metadata"]


@pytest.mark.parametrize(
    ("text", "says"), [("", "is empty"), ('{"type":"CityJSON"}\n{', "line 2, is no JSON"), ("[]", "line 1")]
)
def test_a_damaged_sequence_is_refused_with_its_line(tmp_path, text, says):
    (tmp_path / "x.city.jsonl").write_text(text)
    with pytest.raises(ProductError, match=says):
        write_cityjson(tmp_path / "x.city.jsonl", tmp_path / "x")
    assert not (tmp_path / "x").exists()
