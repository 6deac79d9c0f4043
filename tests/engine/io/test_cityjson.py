from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest

from felsina.engine.errors import InputError
from felsina.engine.io.cityjson import Feature, Solid, feature_line, header_line, prism_solids, write_cityjsonseq, write_lines
from felsina.kernels.geometry.extrusion import extrude_prisms

META = {"crs": "EPSG:7415", "translate": [85000, 447000, 0], "title": "Two houses"}


def _features():
    corner, east = np.array([85_001_000, 447_002_000]), np.array([20_000, 0])
    square = np.array([(0, 0), (8000, 0), (8000, 6000), (0, 6000)], np.int64) + corner
    hole = np.array([(2000, 2000), (2000, 3000), (3000, 3000), (3000, 2000)], np.int64) + square[0]
    xy = np.concatenate((square, hole, square + east))
    made = extrude_prisms(xy, np.array([0, 4, 8, 12]), np.array([0, 2, 3]), np.array([500, 700]), np.array([6500, 9700]))
    ground = [[np.column_stack((r, np.full(4, 500))) for r in (square, hole)]]
    return [
        Feature(
            "a", {"height": np.float64(6.0), "rmse": float("nan"), "floors": np.int32(2)}, ground, prism_solids(made, 0, 1)
        ),
        Feature("b", {"status": "success"}, (), prism_solids(made, 0, 2)),
    ]


def _lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_header_states_version_crs_and_transform(tmp_path):
    assert write_cityjsonseq(tmp_path / "x.city.jsonl", META, _features()) == 2
    header = _lines(tmp_path / "x.city.jsonl")[0]
    assert (header["type"], header["version"]) == ("CityJSON", "2.0")
    assert header["metadata"]["referenceSystem"] == "https://www.opengis.net/def/crs/EPSG/0/7415"
    assert header["transform"] == {"scale": [0.001] * 3, "translate": [85000, 447000, 0]}


def test_features_hold_closed_solids_with_one_meaning_a_face(tmp_path):
    write_cityjsonseq(tmp_path / "x.city.jsonl", META, _features())
    for feature in _lines(tmp_path / "x.city.jsonl")[1:]:
        solids = [g for o in feature["CityObjects"].values() for g in o.get("geometry", []) if g["type"] == "Solid"]
        for solid in solids:
            (shell,) = solid["boundaries"]
            edges = [(r[i - 1], r[i]) for face in shell for r in face for i in range(len(r))]
            assert len(set(edges)) == len(edges) and {(b, a) for a, b in edges} == set(edges)
            (values,) = solid["semantics"]["values"]
            types = [solid["semantics"]["surfaces"][v]["type"] for v in values]
            assert types[0] == "GroundSurface" and types[-1] == "RoofSurface" and set(types[1:-1]) == {"WallSurface"}
            assert len(values) == len(shell)


def test_vertices_are_whole_millimetres_at_their_place(tmp_path):
    write_cityjsonseq(tmp_path / "x.city.jsonl", META, _features())
    header, first, _ = _lines(tmp_path / "x.city.jsonl")
    xyz = np.array(first["vertices"]) * 0.001 + header["transform"]["translate"]
    np.testing.assert_allclose(xyz.min(axis=0), [85001, 447002, 0.5], atol=1e-9)
    np.testing.assert_allclose(xyz.max(axis=0), [85009, 447008, 6.5], atol=1e-9)
    assert first["CityObjects"]["a"]["attributes"] == {"height": 6.0, "floors": 2}
    assert [g["lod"] for g in first["CityObjects"]["a"]["geometry"]] == ["0", "1.2"]


def test_several_solids_become_parts_of_one_building(tmp_path):
    write_cityjsonseq(tmp_path / "x.city.jsonl", META, _features())
    objects = _lines(tmp_path / "x.city.jsonl")[2]["CityObjects"]
    assert objects["b"]["children"] == ["b-1", "b-2"]
    assert all(objects[k]["parents"] == ["b"] and objects[k]["type"] == "BuildingPart" for k in ("b-1", "b-2"))


def _wedge(attributes=()):
    """A block whose roof falls to the east in two halves: ground, four walls and two roofs of one plane."""
    vertices = np.array([(x, y, 0) for x, y in ((0, 0), (4000, 0), (4000, 3000), (0, 3000))], np.int64)
    above = vertices + np.array((0, 0, 2000))
    vertices = np.concatenate((vertices, above, [(2000, 0, 2000), (2000, 3000, 2000)]))
    faces = [
        [[3, 2, 1, 0]],
        [[0, 1, 5, 8, 4]],
        [[1, 2, 6, 5]],
        [[2, 3, 7, 9, 6]],
        [[3, 0, 4, 7]],
        [[4, 8, 9, 7]],
        [[8, 5, 6, 9]],
    ]
    return Solid("2.2", vertices, faces, [0, 1, 1, 1, 1, 2, 2], attributes)


def _semantics(solid):
    line = json.loads(feature_line(Feature("w", {}, (), [solid]), (0, 0, 0)))
    return line["CityObjects"]["w"]["geometry"][0]["semantics"]


def test_faces_that_say_the_same_share_a_semantic_surface():
    roof = {"slope": np.float64(0.0), "azimuth": float("nan")}
    said = _semantics(_wedge([None, {"party_wall_area": 8.0}, None, {"party_wall_area": 8.0}, {}, roof, dict(roof)]))
    assert said["surfaces"] == [
        {"type": "GroundSurface"},
        {"party_wall_area": 8.0, "type": "WallSurface"},
        {"type": "WallSurface"},
        {"slope": 0.0, "type": "RoofSurface"},
    ]
    assert said["values"] == [[0, 1, 2, 1, 2, 3, 3]]
    said = _semantics(_wedge([None] * 5 + [{"slope": 30.0}, {"slope": 31.0}]))
    assert [s.get("slope") for s in said["surfaces"]] == [None, None, 30.0, 31.0] and said["values"][0][-2:] == [2, 3]


def test_without_attributes_there_is_one_semantic_surface_a_type():
    said = _semantics(_wedge())
    assert said == {
        "surfaces": [{"type": t} for t in ("GroundSurface", "WallSurface", "RoofSurface")],
        "values": [[0, 1, 1, 1, 1, 2, 2]],
    }
    assert said == _semantics(_wedge([None] * 7))


def test_attributes_of_too_few_faces_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        _semantics(_wedge([None] * 6))


def test_lines_are_canonical_json(tmp_path):
    odd = Feature(
        'Caf\u00e9 "7"', {"z": 1, "a": "\u00df\n", "none": None, "yes": True}, (), [_wedge([{"b": 1, "a": 2}] + [None] * 6)]
    )
    for line in (header_line(META), *(feature_line(f, META["translate"]) for f in [*_features(), odd])):
        value = json.loads(line)
        assert line.decode() == json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"


def test_lines_made_apart_make_the_same_file(tmp_path):
    write_cityjsonseq(tmp_path / "x", META, _features())
    write_lines(tmp_path / "y", [header_line(META), *(feature_line(f, META["translate"]) for f in _features())])
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()


def test_equal_positions_of_all_levels_have_one_number():
    solid = _wedge()
    shifted = Solid(
        "1.2", solid.vertices[::-1], [[[9 - v for v in ring] for ring in face] for face in solid.faces], solid.types
    )
    line = json.loads(feature_line(Feature("w", {}, [[solid.vertices[:4]]], [solid, shifted]), (0, 0, 0)))
    assert line["vertices"] == solid.vertices.tolist()
    levels = {g["lod"]: g["boundaries"] for g in line["CityObjects"]["w"]["geometry"]}
    assert levels["1.2"] == levels["2.2"] == [solid.faces] and levels["0"] == [[[0, 1, 2, 3]]]


def test_the_same_features_give_the_same_bytes(tmp_path):
    for name in ("x", "y"):
        write_cityjsonseq(tmp_path / name, META, _features())
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path):
    path = tmp_path / "x.city.jsonl"
    path.write_text("old")
    with pytest.raises(InputError, match="'a' occurs twice"):
        write_cityjsonseq(path, META, [_features()[0]] * 2)
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == [path.name]


# cjio changes how every json.dumps of its process writes floats, so it gets a process of its own.
_CJIO = """
import json, sys
from cjio.cityjson import CityJSON
lines = open(sys.argv[1], encoding="utf-8").read().splitlines()
model = CityJSON(j=json.loads(lines[0]))
for line in lines[1:]:
    model.add_cityjsonfeature(json.loads(line))
print(len(model.j["CityObjects"]), model.get_epsg())
"""


def test_cjio_reads_what_was_written(tmp_path):
    if importlib.util.find_spec("cjio") is None:
        pytest.skip("cjio is not installed")
    path = tmp_path / "x.city.jsonl"
    write_cityjsonseq(path, META, _features())
    done = subprocess.run([sys.executable, "-c", _CJIO, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["4", "7415"]


def test_a_crs_without_a_code_is_left_out(tmp_path):
    path = tmp_path / "a.city.jsonl"
    local = "+proj=tmerc +lon_0=11.3 +ellps=GRS80 +units=m +type=crs"
    write_cityjsonseq(path, {"crs": local, "translate": (0, 0, 0), "title": "Quarter"}, [])
    header = json.loads(path.read_text(encoding="utf-8").splitlines()[0])
    assert header["metadata"] == {"title": "Quarter"}
