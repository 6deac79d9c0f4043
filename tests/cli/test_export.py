"""`felsina export` on a finished run and on what is missing."""

from __future__ import annotations

import importlib.util
import json

import h5py
import numpy as np
import pytest

from felsina.engine.io.read import read_mesh
from felsina.jobs import export
from felsina.jobs.cli import main


def exported(run, *arguments):
    return main(["export", str(run), "--to", *map(str, arguments)])


@pytest.fixture(scope="module")
def run(finished, tmp_path_factory):
    """The finished run under a folder of one's own: products are links."""
    folder = tmp_path_factory.mktemp("export") / "run"
    folder.mkdir()
    for path in finished.iterdir():
        (folder / path.name).symlink_to(path)
    return folder


def test_each_format_lands_in_the_folder_export(run, capsys):
    for arguments, made in (
        (["cityjson"], "buildings.city.json"),
        (["vtp"], "city.vtp"),
        (["vtp", "--product", "buildings"], "buildings.vtp"),
        (["geotiff", "--field", "sun_hours"], "microclimate_sun_hours.tif"),
        (["geotiff", "--product", "terrain", "--field", "land_cover"], "terrain_land_cover.tif"),
        (["geoparquet"], "buildings.parquet"),
        (["geoparquet", "--product", "trees"], "trees.parquet"),
    ):
        assert exported(run, *arguments) == 0
        path = run / "export" / made
        assert path.stat().st_size > 500 and capsys.readouterr().out.startswith(f"Wrote {path} (")
    assert not list((run / "export").glob("*.part*"))


def test_cityjson_keeps_the_level_asked_for(run, tmp_path):
    assert exported(run, "cityjson", "--lod", "2.2", "--out", tmp_path / "new" / "x.json", "-q") == 0
    model = json.loads((tmp_path / "new" / "x.json").read_bytes())
    assert {g["lod"] for o in model["CityObjects"].values() for g in o["geometry"]} == {"2.2"} and len(
        model["CityObjects"]
    ) == 9


def test_vtk_takes_one_array_from_the_city(run, tmp_path):
    reader_of = pytest.importorskip("vtkmodules.vtkIOXML")
    assert exported(run, "vtp", "--field", "annual_heating_need", "--out", tmp_path / "x.vtp", "-q") == 0
    reader = reader_of.vtkXMLPolyDataReader()
    reader.SetFileName(str(tmp_path / "x.vtp"))
    reader.Update()
    data = reader.GetOutput().GetCellData()
    assert [data.GetArrayName(k) for k in range(data.GetNumberOfArrays())] == ["annual_heating_need"]
    assert data.GetArray(0).GetRange()[1] > 1000.0


@pytest.mark.parametrize("to", list(export.FORMATS))
def test_nothing_is_replaced_without_force(run, tmp_path, capsys, to):
    out = tmp_path if to == "geotiff" else tmp_path / "x.vtp"
    chosen = [to, "--out", out, *(["--field", "sun_hours"] if to == "geotiff" else [])]
    assert exported(run, *chosen) == 0
    (made,) = tmp_path.iterdir()
    first = made.read_bytes()
    made.write_bytes(b"mine")
    assert exported(run, *chosen) == 2
    assert made.read_bytes() == b"mine" and "--force" in capsys.readouterr().err
    assert exported(run, *chosen, "--force") == 0
    assert made.read_bytes() == first


def test_the_blocks_are_a_mesh_of_their_own(run, tmp_path):
    pytest.importorskip("vtkmodules.vtkIOXML")
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkIOXML import vtkXMLPolyDataReader

    chosen = ("vtp", "--product", "buildings", "--lod", "1.2", "--out", tmp_path / "blocks.vtp", "-q")
    assert exported(run, *chosen) == 0
    reader = vtkXMLPolyDataReader()
    reader.SetFileName(str(tmp_path / "blocks.vtp"))
    reader.Update()
    data = reader.GetOutput().GetCellData()
    points, faces = read_mesh(run / "buildings.nc", "/lod12")
    np.testing.assert_array_equal(vtk_to_numpy(reader.GetOutput().GetPoints().GetData()), points)
    with h5py.File(run / "buildings.nc") as file:
        owner, height = file["lod12/mesh_face_building"][:], file["building_height"][:]
    np.testing.assert_array_equal(vtk_to_numpy(data.GetArray("building_index")), owner)
    np.testing.assert_array_equal(vtk_to_numpy(data.GetArray("building_height")), height[owner])
    assert data.GetArray("surface_area") is None and len(faces) == reader.GetOutput().GetNumberOfPolys()


@pytest.mark.parametrize("name", ["x", "x.pvd", "x.vtp"])
def test_a_mesh_is_not_replaced_whatever_ending_is_asked_for(run, tmp_path, name):
    made = tmp_path / "x.vtp"
    made.write_bytes(b"mine")
    assert exported(run, "vtp", "--out", tmp_path / name) == 2 and made.read_bytes() == b"mine"
    assert exported(run, "vtp", "--out", tmp_path / name, "--force", "-q") == 0 and made.read_bytes() != b"mine"


@pytest.mark.parametrize("to", list(export.FORMATS))
def test_a_folder_in_place_of_a_file_exits_2(run, tmp_path, capsys, to):
    place = tmp_path / "place"
    place.write_bytes(b"mine") if to == "geotiff" else place.mkdir()
    assert exported(run, to, "--out", place, "--force") == 2
    assert f"--to {to} writes {'a folder' if to == 'geotiff' else 'a file'}" in capsys.readouterr().err


def test_a_missing_product_exits_5_and_names_the_job(tmp_path, capsys):
    for to, job in (("cityjson", "buildings"), ("vtp", "city"), ("geotiff", "heatwave"), ("geoparquet", "buildings")):
        assert exported(tmp_path, to) == 5
        assert f"felsina {job} CITY.toml --out {tmp_path}" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("to", "package"), [("geotiff", "rasterio"), ("geoparquet", "pyarrow")])
def test_a_missing_package_exits_4_and_names_the_extra(run, tmp_path, capsys, monkeypatch, to, package):
    found = importlib.util.find_spec
    monkeypatch.setattr(export, "find_spec", lambda name: None if name == package else found(name))
    assert exported(run, to, "--out", tmp_path / "x") == 4
    error = capsys.readouterr().err
    assert package in error and "pip install 'felsina[export]'" in error and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["cityjson", "--field", "x"], "--field is of no use with --to cityjson"),
        (["geotiff", "--lod", "2.2"], "--lod is of no use with --to geotiff"),
        (["vtp", "--product", "buildings", "--lod", "2.2"], "--product buildings has that of --lod 1.2"),
        (["vtp", "--lod", "1.2"], "--lod is 1.2 for the mesh of city"),
        (["geoparquet", "--time", "0"], "--time is of no use with --to geoparquet"),
        (["vtp", "--product", "terrain"], "--to vtp writes buildings or city"),
        (["cityjson", "--lod", "9.9"], "no solids of LoD 9.9"),
        (["geotiff", "--field", "rain"], "no field 'rain'"),
        (["geotiff", "--field", "sun_hours", "--time", "0"], "does not change with time"),
    ],
)
def test_what_a_format_cannot_do_exits_2_with_a_sentence(run, tmp_path, capsys, arguments, says):
    assert exported(run, *arguments, "--out", tmp_path / "x") == 2
    error = capsys.readouterr().err
    assert says in error and "Traceback" not in error
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_a_run_with_exports_is_valid(finished, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    for path in finished.iterdir():
        (run / path.name).symlink_to(path)
    assert exported(run, "geoparquet", "-q") == 0
    assert main(["validate", str(run)]) == 0
