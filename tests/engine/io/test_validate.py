"""Each damage to a product gives one line that names file, variable and value; whole products give none."""

from __future__ import annotations

import json
import os
import shutil

import h5py
import numpy as np
import pytest

from felsina.engine.fields import PRODUCTS, SCHEMA_VERSION
from felsina.engine.io.validate import validate_file, validate_run
from felsina.engine.schema import rows, schema


@pytest.fixture
def run(small_run, tmp_path):
    """A copy of the small run that may be damaged."""
    copy = tmp_path / "run"
    shutil.copytree(small_run, copy)
    for name in ("buildings", "city"):
        (copy / f"{name}.vtkhdf").unlink()
        os.link(copy / f"{name}.nc", copy / f"{name}.vtkhdf")
    return copy


def test_products_as_written_are_valid(small_run):
    assert validate_run(small_run) == []
    for product in PRODUCTS.values():
        assert validate_file(small_run / product.file) == []


def _set(where, index, value):
    def damage(file):
        file[where][index] = value

    return damage


def _attribute(where, name, value):
    def damage(file):
        file[where].attrs[name] = value

    return damage


def _delete(where):
    def damage(file):
        del file[where]

    return damage


def _extra(file):
    file["terrain"].create_dataset("heigth", data=np.zeros(3))


def _other_dtype(file):
    del file["terrain/land_cover"]
    file["terrain"].create_dataset("land_cover", data=np.ones((130, 150), "i2"))


def _cell_array_named_as_a_dimension(file):
    file["VTKHDF/CellData/building"] = file["mesh_face_building"]


def _copied_cell_array(file):
    values = file["mesh_face_building"][:]
    del file["VTKHDF/CellData/building_index"]
    file["VTKHDF/CellData"].create_dataset("building_index", data=values)


def _short_connectivity(file):
    del file["VTKHDF/Polygons/Offsets"]
    file["VTKHDF/Polygons"].create_dataset("Offsets", data=np.arange(0, 181, 3, dtype="i4"))


@pytest.mark.parametrize(
    ("product", "damage", "finding"),
    [
        ("terrain", _set("terrain/canopy_height", (7, 9), 121.0), "canopy_height: 121.0 at (7, 9) is above 120 m"),
        ("terrain", _set("terrain/canopy_height", (7, 9), -1.0), "canopy_height: -1.0 at (7, 9) is below 0 m"),
        ("terrain", _set("terrain/ground_elevation", (0, 1), np.inf), "ground_elevation: inf at (0, 1) is infinite"),
        ("terrain", _set("terrain/land_cover", (3, 3), 9), "land_cover: 9 at (3, 3) is none of 1, 2, 3, 4, 5, 6, 7"),
        ("terrain", _set("terrain/canopy_height", (1, 1), 0.1234), "is no whole multiple of 0.01"),
        ("terrain", _delete("terrain/canopy_height"), "canopy_height: required, but missing"),
        ("terrain", _attribute("terrain/canopy_height", "units", "cm"), "canopy_height: units is 'cm'; expected 'm'"),
        ("terrain", _attribute("terrain/ground_elevation", "standard_name", "height"), "standard_name is 'height'"),
        ("terrain", _attribute("terrain/land_cover", "flag_values", np.array([1], "i1")), "flag_values are [1]"),
        ("terrain", _extra, f"heigth: not in the schema felsina/terrain/{SCHEMA_VERSION}"),
        ("terrain", _other_dtype, "land_cover: dtype is int16; expected int8"),
        ("terrain", _set("terrain/x", 4, 0.0), "/terrain/x: is not monotone at 4: 0.0"),
        ("terrain", _set("terrain/y", 4, np.nan), "/terrain/y: has a missing value"),
        ("terrain", _attribute("terrain/x", "_FillValue", np.nan), "/terrain/x: has a _FillValue"),
        ("terrain", _attribute("/", "history", "today"), "attribute history is 'today'"),
        ("terrain", _attribute("/felsina", "configuration_sha256", "0"), "is not the hash of the configuration"),
        ("terrain", _delete("felsina"), "group /felsina is missing"),
        ("terrain", _attribute("/", "felsina_schema", "felsina/terrain/9.0.0"), "has the schema version 9.0.0"),
        ("terrain", _attribute("/", "felsina_schema", "else"), "carries the schema 'else'"),
        ("terrain", _delete("terrain/crs"), "crs: missing, or without crs_wkt, in /terrain"),
        ("microclimate", _set("microclimate/time", 1, 5.0), "time: is not the end of the interval in time_bnds"),
        ("microclimate", _delete("microclimate/time_bnds"), "time_bnds: missing"),
        ("buildings", _set("building_reason", 1, 0), "building_reason: none at row 1, whose status is 1"),
        ("buildings", _set("building_height", 2, np.nan), "building_height: missing at row 2, whose status is success"),
        ("buildings", _set("building_id", 2, ""), "building_id: '' at (2,) is an empty identifier"),
        ("buildings", _set("mesh_face_building", 3, 5), "mesh_face_building: 5 points outside the 5 rows of building_id"),
        ("buildings", _set("mesh_face_nodes", (3, 0), 40), "mesh_face_nodes: 40 points outside the 40 rows of mesh_node_x"),
        ("buildings", _set("surface_building", 3, -1), "surface_building: -1 points outside the 5 rows"),
        ("buildings", _set("VTKHDF/Points", (0, 0), 1.0), "VTKHDF/Points: differ from mesh_node_x"),
        ("buildings", _set("VTKHDF/Polygons/Connectivity", 0, 7), "connectivity differs from mesh_face_nodes"),
        ("buildings", _delete("VTKHDF/Strips"), "VTKHDF/Strips: missing"),
        ("buildings", _delete("VTKHDF"), "VTKHDF: missing"),
        ("buildings", _short_connectivity, "VTKHDF/Polygons/Offsets: dtype is int32"),
        ("buildings", _cell_array_named_as_a_dimension, "CellData/building: has the name of a netCDF dimension"),
        ("buildings", _copied_cell_array, "mesh_face_building: VTKHDF/CellData holds no second name of it"),
        ("buildings", _attribute("mesh", "node_coordinates", "a b c"), "node_coordinates is 'a b c'"),
        ("city", _set("VTKHDF/Steps/CellDataOffsets/heating_load", 1, 0), "CellDataOffsets/heating_load: missing or wrong"),
        ("energy", _set("energy_reason", 1, 0), "energy_reason: none at row 1, whose status is 1"),
    ],
)
def test_a_damage_is_named(run, product, damage, finding):
    with h5py.File(run / f"{product}.nc", "a") as file:
        damage(file)
    found = validate_file(run / f"{product}.nc")
    assert any(line.startswith((f"{product}.nc: ", f"'{product}.nc")) and finding in line for line in found), found
    assert all("\n" not in line for line in found)


def test_a_flipped_bit_is_found_by_the_checksum(run):
    path = run / "terrain.nc"
    with h5py.File(path) as file:
        place = file["terrain/ground_elevation"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[place.byte_offset + place.size // 2] ^= 4
    path.write_bytes(bytes(content))
    (finding,) = validate_file(path)
    assert finding.startswith("terrain.nc: cannot be read to its end: ")


def test_a_truncated_file_is_named(run):
    path = run / "terrain.nc"
    path.write_bytes(path.read_bytes()[:-1000])
    (finding,) = validate_file(path)
    assert "terrain.nc" in finding and "damaged" in finding


def test_a_product_under_another_name_is_told(run):
    os.replace(run / "terrain.nc", run / "energy.nc")
    assert any("felsina/terrain" in f and "in a file named energy.nc" in f for f in validate_file(run / "energy.nc"))


def test_a_run_is_checked_across_its_products(run):
    with h5py.File(run / "energy.nc", "a") as file:
        file["building_id"][0] = "stranger"
    with h5py.File(run / "terrain.nc", "a") as file:
        file["terrain/building_index"][5, 5] = 77
    assert validate_run(run) == [
        "energy.nc: building_id: is not that of buildings.nc, row by row",
        "terrain.nc: building_index: 77 has no row in buildings.nc (5 rows)",
    ]


def test_a_run_whose_files_changed_after_it_is_told(run):
    entry = {"product": "terrain.nc", "sha256": "0" * 64}
    (run / "run.json").write_text(json.dumps({"jobs": {"terrain": entry}}))
    assert validate_run(run) == ["terrain.nc: its SHA-256 is not the one in run.json; it was changed after the run"]


def test_left_overs_and_stale_links_are_told(run):
    (run / "energy.nc.part").write_bytes(b"")
    (run / "city.vtkhdf").unlink()
    shutil.copy(run / "city.nc", run / "city.vtkhdf")
    found = validate_run(run)
    assert any(f.startswith("energy.nc.part: left over") for f in found)
    assert any(f.startswith("city.vtkhdf: is not city.nc") for f in found)


def test_an_empty_folder_is_no_run(tmp_path):
    (finding,) = validate_run(tmp_path)
    assert "no product; expected one of terrain.nc" in finding


def test_the_schema_is_plain_json_and_names_every_row():
    for product in PRODUCTS:
        described = json.loads(json.dumps(schema(product)))
        assert described["version"] == SCHEMA_VERSION
        assert [v["name"] for v in described["variables"]] == list(rows(product))
