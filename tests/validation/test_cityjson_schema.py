"""What is written as CityJSON keeps to the official schemas of CityJSON 2.0.

The schemas are those inside the validator of the CityJSON project (cjvalpy 0.4.1), where they lie as text in its compiled part.
There is no build of it for Linux, so pip fetches the one for Windows, and the texts are taken out and applied by `jsonschema`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from felsina.engine.io.cityjson import Feature, Solid, feature_line, header_line
from felsina.engine.io.cityjson_file import write_cityjson

jsonschema = pytest.importorskip("jsonschema")

WHEEL = "cjvalpy-0.4.1-cp311-none-win_amd64.whl"
WHEEL_SHA256 = "44d40cc10e7719ee0b3c20c7d0eea8b39ed68670eb1c014e1472d0da0a72f68d"


@pytest.fixture(scope="session")
def schemas(pytestconfig, tmp_path_factory) -> dict[str, Any]:
    """Validators of "cityjson" and "cityjsonfeature"; skipped where pip reaches no index."""
    folder = pytestconfig.cache.mkdir("cityjson") if hasattr(pytestconfig, "cache") else tmp_path_factory.mktemp("wheel")
    if not (folder / WHEEL).is_file():
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "-d", str(folder)]
        command += ["--platform", "win_amd64", "--python-version", "3.11", "cjvalpy==0.4.1"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            pytest.skip(f"pip cannot fetch the official schemas: {done.stderr.strip().splitlines()[-1]}")
    assert hashlib.sha256((folder / WHEEL).read_bytes()).hexdigest() == WHEEL_SHA256
    with zipfile.ZipFile(folder / WHEEL) as wheel:
        (name,) = (n for n in wheel.namelist() if n.endswith(".pyd"))
        binary = wheel.read(name)
    return {kind: jsonschema.Draft7Validator(_schema(binary, kind)) for kind in ("cityjson", "cityjsonfeature")}


def _schema(binary: bytes, kind: str) -> dict[str, Any]:
    """Return the schema of a kind: the JSON object around its identifier."""
    at = binary.index(f"https://www.cityjson.org/schemas/2.0.0/{kind}.schema.json".encode())
    start = binary.rindex(b"{", 0, at)
    found, _ = json.JSONDecoder().raw_decode(binary[start : start + 1_000_000].decode("latin-1"))
    assert found["title"].endswith("v2.0.0")
    return found


def _errors(validator: Any, value: Any) -> list[str]:
    return [error.message[:300] for error in validator.iter_errors(value)]


def _lines(run) -> Iterator[dict[str, Any]]:
    return map(json.loads, (run / "buildings.city.jsonl").read_text(encoding="utf-8").splitlines())


def test_every_line_of_a_run_keeps_to_the_schema(schemas, finished):
    header, *features = _lines(finished)
    assert _errors(schemas["cityjson"], header) == [] and len(features) == 9
    for feature in features:
        assert _errors(schemas["cityjsonfeature"], feature) == [], feature["id"]


@pytest.mark.parametrize("lods", [(), ("1.2",), ("0", "2.2")])
def test_the_exported_file_keeps_to_the_schema(schemas, finished, tmp_path, lods):
    write_cityjson(finished / "buildings.city.jsonl", tmp_path / "x.city.json", lods)
    model = json.loads((tmp_path / "x.city.json").read_bytes())
    assert _errors(schemas["cityjson"], model) == []
    assert all(0 <= v < len(model["vertices"]) for v in _corners(model))


def _corners(model) -> Iterator[int]:
    stack = [g["boundaries"] for o in model["CityObjects"].values() for g in o.get("geometry", ())]
    while stack:
        for item in stack.pop():
            if isinstance(item, list):
                stack.append(item)
            else:
                yield item


def _block(lod="2.2", **roof):
    vertices = np.array([(x, y, z) for z in (0, 3000) for y in (0, 4000) for x in (0, 5000)], np.int64)
    faces = [[[0, 2, 3, 1]], [[0, 1, 5, 4]], [[1, 3, 7, 5]], [[3, 2, 6, 7]], [[2, 0, 4, 6]], [[4, 5, 7, 6]]]
    return Solid(lod, vertices, faces, [0, 1, 1, 1, 1, 2], [None, {"party_wall_area": 15.0}, None, None, None, roof])


def test_parts_and_surfaces_with_attributes_keep_to_the_schema(schemas):
    meta = {"crs": "EPSG:7415", "translate": (0, 0, 0), "title": "T", "identifier": "x"}
    assert _errors(schemas["cityjson"], json.loads(header_line(meta))) == []
    solids = [_block(azimuth=180.0, slope=30.0), _block(azimuth=90.0), _block("1.2"), _block("1.3")]
    feature = Feature("a", {"n": 1, "name": "x", "yes": True}, [[_block().vertices[[0, 1, 3, 2]]]], solids)
    for value in (feature, Feature("empty")):
        assert _errors(schemas["cityjsonfeature"], json.loads(feature_line(value, (0, 0, 0)))) == []


@pytest.mark.parametrize("spoil", ["lod", "type", "surface", "vertices", "parents"])
def test_the_schema_finds_what_is_wrong(schemas, finished, spoil):
    _, feature, *_ = _lines(finished)
    (thing,) = feature["CityObjects"].values()
    solid = next(g for g in thing["geometry"] if g["type"] == "Solid")
    if spoil == "lod":
        solid["lod"] = 2.2
    elif spoil == "type":
        thing["type"] = "House"
    elif spoil == "surface":
        solid["semantics"]["surfaces"][0]["type"] = "Roof"
    elif spoil == "vertices":
        feature["vertices"][0] = [1, 2]
    else:
        thing["type"] = "BuildingPart"
    assert _errors(schemas["cityjsonfeature"], feature)


# cjio changes how every json.dumps of its process writes floats, so it gets a process of its own.
_CJIO = """
import json, sys
from cjio import cityjson
with open(sys.argv[1], encoding="utf-8") as file:
    if sys.argv[1].endswith("l"):
        model = cityjson.CityJSON(j=json.loads(next(file)))
        for line in file:
            model.add_cityjsonfeature(json.loads(line))
    else:
        model = cityjson.reader(file)
lods = sorted({g["lod"] for o in model.j["CityObjects"].values() for g in o.get("geometry", [])})
print(len(model.j["CityObjects"]), model.get_epsg(), *lods)
"""


def test_cjio_reads_the_sequence_and_the_file_alike(finished, tmp_path):
    if importlib.util.find_spec("cjio") is None:
        pytest.skip("cjio is not installed")
    write_cityjson(finished / "buildings.city.jsonl", tmp_path / "x.city.json")
    for path in (finished / "buildings.city.jsonl", tmp_path / "x.city.json"):
        done = subprocess.run([sys.executable, "-c", _CJIO, str(path)], capture_output=True, text=True, check=True)
        assert done.stdout.split() == ["9", "7791", "0", "1.2", "1.3", "2.2"]
