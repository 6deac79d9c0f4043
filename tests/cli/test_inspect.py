"""`felsina inspect` on one terrain file and on a folder."""

from __future__ import annotations

import json

import numpy as np
import pytest

from felsina.engine.fields import fields_of
from felsina.engine.io.results import ProductWriter
from felsina.engine.parallel.world import World
from felsina.jobs.cli import main

NY, NX = 6, 9


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run directory with a terrain."""
    folder = tmp_path_factory.mktemp("run")
    x, y = 686_000.0 + np.arange(NX) + 0.5, 4_929_000.0 - np.arange(NY) - 0.5
    writer = ProductWriter(
        World.serial(), folder, "terrain", dims={"y": NY, "x": NX}, crs="EPSG:7791", coordinates={"x": x, "y": y}
    )
    ground = np.arange(NY * NX, dtype=float).reshape(NY, NX)
    ground[0, :] = np.nan
    given = {"ground_elevation": ground, "land_cover": np.full((NY, NX), 2)}
    for name, field in fields_of("terrain").items():
        if field.required:
            writer.write(name, given.get(name, np.zeros((NY, NX), int)))
    writer.publish()
    return folder


def as_json(capsys, *arguments):
    assert main(["inspect", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_ranges_leave_missing_values_out_and_count_them(run, capsys):
    (product,) = as_json(capsys, run / "terrain.nc")["products"]
    ground = {v["name"]: v for v in product["variables"]}["ground_elevation"]
    assert (ground["minimum"], ground["mean"], ground["maximum"]) == (9.0, 31.0, 53.0)
    assert ground["missing"] == pytest.approx(1 / NY)
    assert ground["dims"] == ["y", "x"] and ground["units"] == "m" and ground["dtype"] == "float32"
    assert ground["chunks"] == [NY, NX] and ground["compression"] == "gzip-1+shuffle+fletcher32"
    assert ground["quantum"] == 0.001


def test_codes_have_a_range_and_no_mean(run, capsys):
    (product,) = as_json(capsys, run / "terrain.nc")["products"]
    cover = {v["name"]: v for v in product["variables"]}["land_cover"]
    assert cover["maximum"] == 2 and "mean" not in cover


def test_coordinates_are_their_own_dimension(run, capsys):
    (product,) = as_json(capsys, run / "terrain.nc")["products"]
    assert product["sizes"] == {"y": NY, "x": NX}


def test_a_folder_shows_all_its_products_with_schema_and_crs(run, capsys):
    found = as_json(capsys, run)
    assert [p["schema"].split("/")[1] for p in found["products"]] == ["terrain"]
    assert found["products"][0]["crs"] == "EPSG:7791"


def test_text_names_every_field_with_its_unit_and_range(run, capsys):
    assert main(["inspect", str(run)]) == 0
    text = capsys.readouterr().out
    (line,) = [row for row in text.splitlines() if row.startswith("  ground_elevation")]
    assert {"y,x", "float32", "m", "9.000", "31.000", "53.000", "16.7%", f"{NY}x{NX}"} <= set(line.split())


def test_a_folder_without_a_product_exits_5_and_names_the_way_out(tmp_path, capsys):
    assert main(["inspect", str(tmp_path)]) == 5
    assert "felsina run" in capsys.readouterr().err


def test_a_damaged_file_exits_5_without_a_traceback(tmp_path, capsys):
    (tmp_path / "terrain.nc").write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 600)
    assert main(["inspect", str(tmp_path / "terrain.nc")]) == 5
    error = capsys.readouterr().err
    assert "terrain.nc" in error and "Traceback" not in error


def test_it_needs_neither_xarray_nor_dask(run):
    import subprocess
    import sys

    code = (
        "import sys; from felsina.jobs.cli import main; "
        f"main(['inspect', {str(run)!r}]); "
        "sys.exit(bool({'xarray', 'dask', 'pandas', 'matplotlib'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
