"""VTK opens the files and sees the values of the product."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from felsina.engine.errors import ProductError, UsageError
from felsina.engine.fields import PRODUCTS
from felsina.engine.io import vtp
from felsina.engine.io.read import read_field, read_mesh
from felsina.engine.io.vtp import write_vtp
from felsina.engine.parallel.world import World
from felsina.engine.schema import rows

OWNER = np.repeat(np.arange(5), 12)
SURFACE = np.repeat(np.arange(30), 2)


def read(path):
    """Return the data set, its cell arrays and its time."""
    module = pytest.importorskip("vtkmodules.vtkIOXML")
    from vtkmodules.util.numpy_support import vtk_to_numpy

    reader = module.vtkXMLPolyDataReader()
    assert reader.CanReadFile(str(path))
    reader.SetFileName(str(path))
    reader.Update()
    made = reader.GetOutput()
    data, time = made.GetCellData(), made.GetFieldData().GetArray("TimeValue")
    arrays = {data.GetArrayName(k): vtk_to_numpy(data.GetArray(k)) for k in range(data.GetNumberOfArrays())}
    return made, arrays, None if time is None else time.GetValue(0)


@pytest.fixture(scope="module")
def city(small_run, tmp_path_factory):
    """The city of three steps: the collection, then a file a step."""
    return write_vtp(small_run / "city.nc", tmp_path_factory.mktemp("vtp") / "city.vtp")


def test_points_and_faces_are_those_of_the_product(small_run, tmp_path):
    from vtkmodules.util.numpy_support import vtk_to_numpy

    (path,) = write_vtp(small_run / "buildings.nc", tmp_path / "b.vtp")
    polydata, arrays, time = read(path)
    points, faces = read_mesh(small_run / "buildings.nc")
    np.testing.assert_array_equal(vtk_to_numpy(polydata.GetPoints().GetData()), points)
    np.testing.assert_array_equal(vtk_to_numpy(polydata.GetPolys().GetConnectivityArray()).reshape(-1, 3), faces)
    np.testing.assert_array_equal(arrays["building_index"], OWNER)
    np.testing.assert_array_equal(arrays["surface_index"], SURFACE)
    assert time is None and [p.name for p in tmp_path.iterdir()] == ["b.vtp"]


@pytest.mark.parametrize("product", ["buildings", "city"])
def test_every_number_of_a_table_lies_on_its_faces(small_run, tmp_path, product):
    source = small_run / PRODUCTS[product].file
    _, arrays, _ = read(write_vtp(source, tmp_path / "x.vtp", time="1" if product == "city" else None)[0])
    seen = 0
    for name, field in rows(product).items():
        if field.dtype == "str" or name in ("surface_type", "heating_load", "annual_heating_need"):  # VTK arrays win
            continue
        if field.dims == ("building", "month"):
            for month in range(12):
                values = read_field(source, name)[OWNER, month]
                np.testing.assert_array_equal(arrays[f"{name}_{month + 1:02d}"], values)
        elif field.dims in (("building",), ("surface",), ("time", "building")):
            values = read_field(source, name)
            values = values[1] if "time" in field.dims else values
            values = values[SURFACE if "surface" in field.dims else OWNER]
            assert arrays[name].dtype == values.dtype
            np.testing.assert_array_equal(arrays[name], values)
        else:
            continue
        seen += 1
    assert seen > 20


def test_a_collection_names_a_file_for_every_time(small_run, city):
    parts = ElementTree.parse(city[0]).getroot().findall("Collection/DataSet")
    assert [p.get("file") for p in parts] == [p.name for p in city[1:]] == [f"city_{k:04d}.vtp" for k in range(3)]
    seconds = [float(p.get("timestep")) for p in parts]
    np.testing.assert_array_equal(seconds, read_field(small_run / "city.nc", "time"))
    for step, path in enumerate(city[1:]):
        _, arrays, time = read(path)
        assert time == seconds[step]
        np.testing.assert_array_equal(arrays["heating_load"], step * 100.0 + OWNER)
        np.testing.assert_array_equal(arrays["annual_heating_need"], 10.0 * OWNER)
    assert not list(city[0].parent.glob("*.part"))


@pytest.mark.parametrize("time", ["2", "2015-07-15T02:00", "2015-07-15T02:00:00Z"])
def test_a_time_is_chosen_by_number_or_by_its_end(small_run, city, tmp_path, time):
    (path,) = write_vtp(small_run / "city.nc", tmp_path / "x.vtp", time=time)
    assert path.name == "x.vtp" and path.read_bytes() == city[3].read_bytes()


def test_several_blocks_hold_the_same_values(small_run, tmp_path, monkeypatch):
    monkeypatch.setattr(vtp, "BLOCK", 96)  # 40 points of 24 bytes: ten full blocks; 60 faces of 4: one of 48 is left
    (path,) = write_vtp(small_run / "buildings.nc", tmp_path / "x.vtp")
    polydata, arrays, _ = read(path)
    assert polydata.GetNumberOfPoints() == 40 and polydata.GetNumberOfCells() == 60
    np.testing.assert_array_equal(polydata.GetPoint(39), read_mesh(small_run / "buildings.nc")[0][39])
    np.testing.assert_array_equal(arrays["building_index"], OWNER)
    np.testing.assert_array_equal(arrays["building_height"], read_field(small_run / "buildings.nc", "building_height")[OWNER])


def test_only_the_fields_asked_for_are_written(small_run, tmp_path):
    names = ["building_height", "monthly_heating_need", "mesh_face_building"]
    (path,) = write_vtp(small_run / "city.nc", tmp_path / "x.vtp", names)
    months = {f"monthly_heating_need_{m:02d}" for m in range(1, 13)}
    assert set(read(path)[1]) == {"building_height", "building_index"} | months


def test_a_mesh_without_faces_opens(no_buildings, tmp_path):
    source = no_buildings.make(World.serial(), tmp_path, "buildings")
    polydata, arrays, _ = read(write_vtp(source, tmp_path / "x.vtp")[0])
    assert polydata.GetNumberOfCells() == 0 and all(len(a) == 0 for a in arrays.values())


def test_the_same_product_gives_the_same_bytes(small_run, city, tmp_path):
    again = write_vtp(small_run / "city.nc", tmp_path / "city.vtp")
    assert [p.read_bytes() for p in again] == [p.read_bytes() for p in city]


def test_what_is_not_there_is_refused(small_run, tmp_path):
    with pytest.raises(ProductError, match="no mesh"):
        write_vtp(small_run / "terrain.nc", tmp_path / "x.vtp")
    with pytest.raises(UsageError, match="no field 'building_id' of numbers"):
        write_vtp(small_run / "city.nc", tmp_path / "x.vtp", ["building_id"])
    with pytest.raises(UsageError, match="3 time steps, which end at 2015-07-15T00:00:00 to 2015-07-15T02:00:00 UTC"):
        write_vtp(small_run / "city.nc", tmp_path / "x.vtp", time="3")
    with pytest.raises(UsageError, match="does not change with time"):
        write_vtp(small_run / "buildings.nc", tmp_path / "x.vtp", time="0")
    assert not list(tmp_path.iterdir())
