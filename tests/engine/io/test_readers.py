"""Every product opens in the programs that people use: xarray with both engines, GDAL, VTK; each sees the same values."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from felsina.engine.fields import PRODUCTS
from felsina.engine.io.results import read_field, read_mesh
from felsina.engine.schema import main_group, rows

xr = pytest.importorskip("xarray")

GRIDS = {"terrain": "ground_elevation", "microclimate": "air_temperature"}


@pytest.mark.parametrize("engine", ["netcdf4", "h5netcdf"])
@pytest.mark.parametrize("product", list(PRODUCTS))
def test_xarray_opens_the_group_of_a_product(small_run, product, engine):
    path = small_run / PRODUCTS[product].file
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = xr.open_dataset(path, engine=engine, group=main_group(product), decode_coords="all").load()
    assert "7791" in dataset.crs.attrs["crs_wkt"]
    coordinates = {"x", "y", "time", "time_bnds", "month", "crs", "building_x", "building_y"} | {"mesh_node_x", "mesh_node_y"}
    assert set(dataset.coords) <= coordinates, "a dimension without values became a variable"
    for name, field in rows(product).items():
        if name in dataset.variables:
            assert dataset[name].dims == field.dims
            values = read_field(path, name)
            np.testing.assert_array_equal(dataset[name].values.astype(values.dtype), values)
    if "time" in dataset.dims:
        assert dataset.time.values[0] == np.datetime64("2015-07-15T00:00:00")
        assert dataset.time_bnds.values[0, 0] == np.datetime64("2015-07-14T23:00:00")
    dataset.close()


@pytest.mark.parametrize("engine", ["netcdf4", "h5netcdf"])
@pytest.mark.parametrize("product", list(PRODUCTS))
def test_xarray_opens_the_tree_of_a_product(small_run, product, engine):
    # The VTK group has arrays without dimension names: h5netcdf wants to be told how to invent them.
    options = {"phony_dims": "sort"} if engine == "h5netcdf" else {}
    tree = xr.open_datatree(small_run / PRODUCTS[product].file, engine=engine, **options)
    wanted = {"/", "/felsina", main_group(product)} | ({"/VTKHDF/CellData"} if PRODUCTS[product].vtkhdf else set())
    assert wanted <= set(tree.groups)
    name = next(iter(rows(product)))
    assert name in tree[main_group(product)].dataset
    assert tree.attrs["Conventions"] == "CF-1.11 UGRID-1.0"
    tree.close()


@pytest.mark.parametrize("engine", ["netcdf4", "h5netcdf"])
def test_xarray_sees_no_building_where_there_is_none(no_buildings, tmp_path, engine):
    from felsina.engine.parallel.world import World

    path = no_buildings.make(World.serial(), tmp_path, "buildings")
    dataset = xr.open_dataset(path, engine=engine).load()
    assert dataset.sizes["building"] == 0 and dataset.building_id.shape == (0,)
    dataset.close()


@pytest.mark.parametrize("product", list(GRIDS))
def test_gdal_sees_crs_north_up_transform_and_values(small_run, product):
    rasterio = pytest.importorskip("rasterio")
    path, name = small_run / PRODUCTS[product].file, GRIDS[product]
    with rasterio.open(f'NETCDF:"{path}":{main_group(product)}/{name}') as raster:
        assert raster.crs.to_epsg() == 7791
        assert tuple(raster.transform)[:6] == (2.0, 0.0, 685_000.0, 0.0, -2.0, 4_929_600.0)
        assert np.isnan(raster.nodata)
        values = read_field(path, name).reshape(-1, 130, 150)
        np.testing.assert_array_equal(raster.read(), values)


def test_gdal_lists_the_variables_of_a_product(small_run):
    rasterio = pytest.importorskip("rasterio")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)  # the file as a whole is no raster
        with rasterio.open(small_run / "terrain.nc") as container:
            names = {s.rsplit(":", 1)[1] for s in container.subdatasets}
    assert {"/terrain/ground_elevation", "/terrain/land_cover"} <= names


@pytest.mark.parametrize("product", ["buildings", "city"])
def test_vtk_sees_faces_points_and_cell_arrays(small_run, product):
    polydata, steps = vtk_read(small_run / f"{product}.vtkhdf", 0)
    from vtkmodules.util.numpy_support import vtk_to_numpy

    points, faces = read_mesh(small_run / PRODUCTS[product].file)
    np.testing.assert_array_equal(vtk_to_numpy(polydata.GetPoints().GetData()), points)
    connectivity = vtk_to_numpy(polydata.GetPolys().GetConnectivityArray()).reshape(-1, 3)
    np.testing.assert_array_equal(connectivity, faces)
    assert steps == (3 if product == "city" else 1)
    names = {"building_index", "surface_index", "surface_type"}
    assert names <= set(cell_arrays(polydata))
    np.testing.assert_array_equal(cell_arrays(polydata)["building_index"], np.repeat(np.arange(5), 12))


def test_vtk_steps_through_time(small_run):
    for step in range(3):
        polydata, _ = vtk_read(small_run / "city.vtkhdf", step)
        arrays = cell_arrays(polydata)
        np.testing.assert_array_equal(arrays["heating_load"], step * 100.0 + np.repeat(np.arange(5), 12))
        np.testing.assert_array_equal(arrays["annual_heating_need"], 10.0 * np.repeat(np.arange(5), 12))


def vtk_read(path, step):
    module = pytest.importorskip("vtkmodules.vtkIOHDF")
    reader = module.vtkHDFReader()
    assert reader.CanReadFile(str(path))
    reader.SetFileName(str(path))
    reader.UpdateInformation()
    reader.SetStep(step)
    reader.Update()
    return reader.GetOutputDataObject(0), reader.GetNumberOfSteps()


def cell_arrays(polydata):
    from vtkmodules.util.numpy_support import vtk_to_numpy

    data = polydata.GetCellData()
    return {data.GetArrayName(k): vtk_to_numpy(data.GetArray(k)) for k in range(data.GetNumberOfArrays())}
