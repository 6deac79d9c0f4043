import numpy as np
import pytest
import rasterio
import tifffile
from rasterio.transform import Affine, from_origin

from felsina.engine.errors import InputError
from felsina.engine.io.raster import read_raster

NORTH_UP = from_origin(684_000.0, 4_930_000.0, 0.5, 0.5)


def write(path, values, transform=NORTH_UP, crs="EPSG:7791", nodata=None, **options):
    """Write a GeoTIFF with GDAL, the program that most rasters come from."""
    values = np.asarray(values)
    bands = values if values.ndim == 3 else values[None]
    profile = {"count": len(bands), "height": bands.shape[1], "width": bands.shape[2], "dtype": values.dtype}
    profile |= {"transform": transform, "crs": crs, "nodata": nodata} | options
    with rasterio.open(path, "w", driver="GTiff", **profile) as file:
        file.write(bands)
    return path


def heights(ny=70, nx=90, dtype="f4"):
    return (np.arange(ny * nx).reshape(ny, nx) % 251).astype(dtype)


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "f4", "f8"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compress": "deflate"},
        {"tiled": True, "blockxsize": 32, "blockysize": 32, "compress": "deflate"},
        {"BIGTIFF": "YES"},
        {"ENDIANNESS": "BIG"},
    ],
)
def test_pixels_are_those_that_gdal_wrote(tmp_path, dtype, options):
    values = heights(dtype=dtype)
    raster = read_raster(write(tmp_path / "a.tif", values, **options))
    np.testing.assert_array_equal(raster.values, values)
    assert raster.values.dtype == (np.float64 if dtype in ("i4", "f8") else np.float32)
    assert raster.values.dtype.isnative and raster.values.flags.c_contiguous
    assert (raster.west, raster.north, raster.resolution, raster.crs) == (684_000.0, 4_930_000.0, 0.5, "EPSG:7791")
    assert raster.shape == (70, 90) and raster.notes == ()


@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [("f4", -9999.0), ("f8", -9999.0), ("f4", -3.4028234663852886e38), ("u1", 255), ("i2", -32768), ("f4", 0.1)],
)
def test_void_pixels_are_nan(tmp_path, dtype, nodata):
    values = heights(dtype=dtype)
    values[3, 5] = values[60, 0] = nodata
    raster = read_raster(write(tmp_path / "a.tif", values, nodata=nodata))
    expected = np.zeros(values.shape, bool)
    expected[values == np.asarray(nodata).astype(dtype)] = True
    np.testing.assert_array_equal(np.isnan(raster.values), expected)
    assert expected[3, 5] and expected[60, 0]


def test_nan_stays_nan(tmp_path):
    values = heights()
    values[2, 2] = np.nan
    assert np.isnan(read_raster(write(tmp_path / "a.tif", values, nodata=np.nan)).values).sum() == 1


def test_a_raster_that_begins_in_the_south_is_turned(tmp_path):
    values = heights()
    upside_down = Affine(0.5, 0, 684_000.0, 0, 0.5, 4_929_965.0)
    raster = read_raster(write(tmp_path / "a.tif", values[::-1], upside_down))
    np.testing.assert_array_equal(raster.values, values)
    assert (raster.west, raster.north) == (684_000.0, 4_930_000.0)


def test_a_pixel_that_is_a_point_lies_around_its_coordinate(tmp_path):
    path = tmp_path / "a.tif"
    write(path, heights())
    with rasterio.open(path, "r+") as file:
        file.update_tags(AREA_OR_POINT="Point")
    raster = read_raster(path)
    with rasterio.open(path) as file:  # GDAL gives the corner of the first pixel in either case
        assert (raster.west, raster.north) == (file.transform.c, file.transform.f)


def test_bands_come_first(tmp_path):
    values = np.stack([heights(dtype="u1"), heights(dtype="u1") // 2, heights(dtype="u1") // 3])
    for interleave in ("pixel", "band"):
        raster = read_raster(write(tmp_path / f"{interleave}.tif", values, interleave=interleave))
        np.testing.assert_array_equal(raster.values, values)
        assert raster.shape == (70, 90)


@pytest.mark.parametrize(
    ("transform", "words"),
    [
        (NORTH_UP @ Affine.rotation(10), "rotated"),
        (Affine(0.5, 0.05, 684_000.0, 0, -0.5, 4_930_000.0), "rotated"),
        (from_origin(684_000.0, 4_930_000.0, 0.5, 0.6), "not square"),
    ],
)
def test_rotated_and_oblong_pixels_are_refused(tmp_path, transform, words):
    path = write(tmp_path / "oblong.tif", heights(), transform)
    with pytest.raises(InputError, match=rf"oblong\.tif.*{words}"):
        read_raster(path)


def test_a_picture_without_a_place_is_refused(tmp_path):
    path = tmp_path / "picture.tif"
    tifffile.imwrite(path, heights())
    with pytest.raises(InputError, match="not placed"):
        read_raster(path)


def test_a_raster_without_crs_takes_that_of_the_city(tmp_path):
    path = write(tmp_path / "a.tif", heights(), crs=None)
    assert read_raster(path).crs is None
    raster = read_raster(path, "EPSG:7791")
    assert raster.crs == "EPSG:7791" and "no CRS" in raster.notes[0]


@pytest.mark.parametrize(
    ("crs", "city", "words"),
    [("EPSG:7791", "EPSG:25833", r"EPSG:7791.*EPSG:25833"), ("EPSG:2264", None, "gdalwarp"), ("EPSG:4326", None, "eastings")],
)
def test_another_crs_feet_and_degrees_are_refused(tmp_path, crs, city, words):
    path = write(tmp_path / "a.tif", heights(), crs=crs)
    with pytest.raises(InputError, match=words):
        read_raster(path, city)


def test_damaged_pixels_are_one_sentence(tmp_path):
    path = write(tmp_path / "damaged.tif", heights(200, 200), compress="deflate")
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 64] = bytes(64)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"damaged\.tif"):
        read_raster(path)


@pytest.mark.parametrize("compress", ["none", "deflate"])
@pytest.mark.parametrize("keep", [0, 3, 8, 0.3, 0.9, -1])
def test_a_truncated_raster_is_one_sentence(tmp_path, compress, keep):
    path = write(tmp_path / "cut.tif", np.random.default_rng(1).normal(size=(200, 200)), compress=compress)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
    with pytest.raises(InputError, match=r"cut\.tif"):
        read_raster(path)


def test_files_that_are_no_raster_are_refused(tmp_path):
    (tmp_path / "a.tif").write_text("<html>Not Found</html>")
    with pytest.raises(InputError, match="no TIFF"):
        read_raster(tmp_path / "a.tif")
    with pytest.raises(InputError, match="No such file"):
        read_raster(tmp_path / "absent.tif")


@pytest.mark.parametrize(
    "name",
    [
        "athens_2023_heatwave/DSM.tif",
        "goteborg_gvc/DEM_GVC_1m.tif",
        "goteborg_gvc/landcover_1m_GVC.tif",
        "goteborg_gustav_adolfs/CDSM_GA.tif",
        "goteborg_gustav_adolfs/wall_height_GA.tif",
    ],
)
def test_real_rasters_read_as_gdal_reads_them(felsina_data, name):
    raster = read_raster(felsina_data / "heat" / name)
    with rasterio.open(felsina_data / "heat" / name) as file:
        expected = file.read(1, masked=True).astype(raster.values.dtype).filled(np.nan)
        assert (raster.west, raster.north, raster.resolution) == (file.transform.c, file.transform.f, file.transform.a)
        assert raster.crs == file.crs.to_string()
    np.testing.assert_array_equal(raster.values, expected)
