"""GDAL opens the files and sees the values, places and times of the product."""

from __future__ import annotations

import json

import numpy as np
import pytest

from felsina.engine.errors import ProductError, UsageError
from felsina.engine.io.geotiff import gridded_fields, write_geotiffs
from felsina.engine.io.read import read_field

rasterio = pytest.importorskip("rasterio")


@pytest.fixture(scope="module")
def folder(small_run, tmp_path_factory):
    made = tmp_path_factory.mktemp("tif")
    for product in ("terrain", "microclimate"):
        files = write_geotiffs(small_run / f"{product}.nc", made)
        assert [p.name for p in files] == [f"{product}_{n}.tif" for n in gridded_fields(small_run / f"{product}.nc")]
    return made


@pytest.mark.parametrize(("product", "n_field"), [("terrain", 8), ("microclimate", 12)])
def test_every_field_on_the_grid_has_its_values_north_up(small_run, folder, product, n_field):
    fields = gridded_fields(small_run / f"{product}.nc")
    assert len(fields) >= n_field
    for name, field in fields.items():
        values = read_field(small_run / f"{product}.nc", name)
        with rasterio.open(folder / f"{product}_{name}.tif") as raster:
            assert raster.crs.to_epsg() == 7791
            assert tuple(raster.transform)[:6] == (2.0, 0.0, 685_000.0, 0.0, -2.0, 4_929_600.0)
            assert raster.dtypes[0] == values.dtype.name
            assert (raster.nodata is None) == (values.dtype.kind == "i") and np.isnan(raster.nodata or np.nan)
            np.testing.assert_array_equal(raster.read(), values.reshape(-1, 130, 150))
            assert set(raster.units) == {field.units} and set(raster.scales) == {1.0} and set(raster.offsets) == {0.0}
            tags = raster.tags()
            assert (tags["field"], tags["units"], tags["long_name"]) == (name, field.units, field.long_name)
    assert not [p for p in folder.iterdir() if p.suffix != ".tif"]


def test_bands_are_time_steps_with_their_end(folder):
    with rasterio.open(folder / "microclimate_air_temperature.tif") as raster:
        ends = [f"2015-07-15T0{h}:00:00Z" for h in range(3)]
        assert list(raster.descriptions) == ends and [raster.tags(k)["time"] for k in (1, 2, 3)] == ends
        assert raster.tags()["time_label"] == "end of the interval, UTC"
        assert raster.tags()["standard_name"] == "air_temperature"


def test_codes_are_explained(folder):
    with rasterio.open(folder / "terrain_land_cover.tif") as raster:
        assert json.loads(raster.tags()["flags"])["2"] == "building"


def test_files_are_cloud_optimised(folder):
    with rasterio.open(folder / "terrain_ground_elevation.tif") as raster:
        assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG" and raster.compression.name == "deflate"


def test_one_time_of_one_field(small_run, folder, tmp_path):
    (path,) = write_geotiffs(small_run / "microclimate.nc", tmp_path, ["air_temperature"], "2015-07-15T01:00")
    with rasterio.open(path) as raster:
        assert raster.descriptions == ("2015-07-15T01:00:00Z",)
        np.testing.assert_array_equal(raster.read(1), read_field(small_run / "microclimate.nc", "air_temperature", 1))


def test_the_same_product_gives_the_same_bytes(small_run, folder, tmp_path):
    for path in write_geotiffs(small_run / "microclimate.nc", tmp_path, ["air_temperature", "sun_hours"]):
        assert path.read_bytes() == (folder / path.name).read_bytes()


def test_what_is_not_there_is_refused(small_run, tmp_path):
    with pytest.raises(ProductError, match="no field on a grid"):
        write_geotiffs(small_run / "buildings.nc", tmp_path)
    with pytest.raises(UsageError, match="no field 'rain' on its grid; it has ground_elevation"):
        write_geotiffs(small_run / "terrain.nc", tmp_path, ["rain"])
    with pytest.raises(UsageError, match="does not change with time"):
        write_geotiffs(small_run / "terrain.nc", tmp_path, time="0")
    with pytest.raises(UsageError, match="3 time steps"):
        write_geotiffs(small_run / "microclimate.nc", tmp_path, ["air_temperature"], "noon")
    assert not list(tmp_path.iterdir())
