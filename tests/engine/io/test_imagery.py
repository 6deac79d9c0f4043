"""Images as they come: strips and tiles, one plane per band, depths, masks, other CRS, and what is wrong with some."""

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from felsina.engine.errors import InputError
from felsina.engine.grid import Grid
from felsina.engine.io.imagery import Placement, open_image, read_part, read_targets, write_image
from felsina.kernels.imagery.resample import STEP

CRS = "EPSG:7791"
WEST, NORTH = 685_000.0, 4_929_100.0


def write(path, values, resolution=0.25, crs=CRS, west=WEST, north=NORTH, **profile):
    """Write (n_band, ny, nx) by GDAL."""
    shape = {"count": values.shape[0], "height": values.shape[1], "width": values.shape[2]}
    mask, alpha = profile.pop("mask", None), profile.pop("alpha", False)
    made = {"driver": "GTiff", "dtype": values.dtype, "transform": from_origin(west, north, resolution, resolution)}
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **made, **shape, crs=crs, **profile) as out:
        out.write(values)
        if alpha:
            out.colorinterp = [*out.colorinterp[:-1], rasterio.enums.ColorInterp.alpha]
        if mask is not None:
            out.write_mask(mask)
    return path


def picture(n_band=3, ny=150, nx=210, dtype="u1", seed=1):
    top = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1
    values = np.random.default_rng(seed).random((n_band, ny, nx)) * top
    return values.astype(dtype)


@pytest.mark.parametrize(
    "profile",
    [
        {},
        {"tiled": True, "blockxsize": 64, "blockysize": 48},
        {"interleave": "band", "tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate", "predictor": 2},
        {"compress": "lzw", "blockysize": 7},
        {"interleave": "band", "compress": "zstd"},
    ],
)
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_any_window_of_any_layout_holds_what_gdal_wrote(tmp_path, profile, dtype):
    values = picture(4, dtype=dtype)
    if dtype == "f4" and profile.get("predictor"):
        profile = {**profile, "predictor": 3}
    image = open_image(write(tmp_path / "a.tif", values, **profile), "rgbn", CRS)
    assert image.shape == (150, 210) and image.dtype == np.dtype(dtype)
    for rows, columns in (((0, 150), (0, 210)), ((64, 65), (128, 209)), ((0, 100), (64, 130))):
        pixels, valid = read_part(image, rows, columns)
        np.testing.assert_array_equal(pixels, values[:, slice(*rows), slice(*columns)])
        assert valid.all()


def test_nodata_alpha_mask_and_absent_tiles_are_void(tmp_path):
    values = picture(3) | 1
    values[:, :10] = 0
    values[0, 20] = 0  # one band alone is a colour, not a void
    void = np.zeros((150, 210), bool)
    void[:10] = True
    whole = (0, 150), (0, 210)
    files = {
        "nodata": write(tmp_path / "n.tif", values, nodata=0),
        "mask": write(tmp_path / "m.tif", values, mask=~void, tiled=True, blockxsize=64, blockysize=64, compress="deflate"),
        "alpha": write(tmp_path / "a.tif", np.concatenate([values, np.where(void, 0, 255)[None].astype("u1")]), alpha=True),
    }
    for name, path in files.items():
        np.testing.assert_array_equal(read_part(open_image(path, "rgb", CRS), *whole)[1], ~void, err_msg=name)
    sparse = np.zeros((3, 150, 210), "u1")
    sparse[:, :64, :64] = 7
    profile = {"tiled": True, "blockxsize": 64, "blockysize": 64, "sparse_ok": True}
    valid = read_part(open_image(write(tmp_path / "s.tif", sparse, **profile), "rgb", CRS), *whole)[1]
    assert valid[:64, :64].all() and not valid[64:].any() and not valid[:, 64:].any()
    floats = picture(3, dtype="f4")
    floats[1, 3, 4] = np.nan
    assert np.argwhere(~read_part(open_image(write(tmp_path / "f.tif", floats), "rgb", CRS), *whole)[1]).tolist() == [[3, 4]]


def test_a_jpeg_is_read_as_gdal_reads_it(tmp_path):
    smooth = np.broadcast_to(np.linspace(20, 230, 210), (3, 150, 210)).astype("u1")
    profile = {"compress": "jpeg", "photometric": "ycbcr", "tiled": True, "blockxsize": 64, "blockysize": 64}
    path = write(tmp_path / "j.tif", smooth, **profile)
    with rasterio.open(path) as file:
        want = file.read()
    found = read_part(open_image(path, "rgb", CRS), (0, 150), (0, 210))[0]
    assert np.abs(found.astype(int) - want).max() <= 3  # decoders round differently


def test_an_image_written_here_comes_back_the_same_and_to_the_same_bytes(tmp_path):
    values = picture(4)
    for name in ("a.tif", "b.tif"):
        write_image(tmp_path / name, values, WEST, NORTH, 0.25, CRS)
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()
    image = open_image(tmp_path / "a.tif", "rgbn", "EPSG:3003")
    assert (image.crs, image.west, image.north, image.width, image.alpha) == (CRS, WEST, NORTH, 0.25, None)
    with rasterio.open(tmp_path / "a.tif") as file:
        np.testing.assert_array_equal(file.read(), values)
        assert file.crs.to_epsg() == 7791


@pytest.mark.parametrize("crs", [CRS, "EPSG:32633", "EPSG:4326", "EPSG:3003"])
def test_pixels_lie_where_proj_says(tmp_path, crs):
    from pyproj import Transformer

    grid = Grid(CRS, WEST, NORTH, 0.5, 256, 192)
    west, north = Transformer.from_crs(CRS, crs, always_xy=True).transform(WEST, NORTH)
    size = 2.5e-6 if crs == "EPSG:4326" else 0.25
    image = open_image(write(tmp_path / "a.tif", picture(3, 400, 500), size, crs, west, north), "rgb", CRS)
    placement = Placement(image, grid)
    assert (placement.note == "") == (crs == CRS) and not placement.is_coarse
    (j0, j1), (i0, i1) = placement.window(64, 192)
    assert j0 % STEP == i0 % STEP == 0
    east, south = placement.pixel_nodes((j0, j1), (i0, i1))
    # Bilinear between nodes: at the middle of the first four of them, against PROJ.
    x, y = west + (i0 + STEP / 2) * image.width, north - (j0 + STEP / 2) * image.height
    x, y = Transformer.from_crs(crs, CRS, always_xy=True).transform(x, y)
    got = east[:2, :2].mean(), south[:2, :2].mean()
    np.testing.assert_allclose(got, (x - WEST, NORTH - y), atol=1e-4)  # a tenth of what places are rounded to
    column, row = placement.cell_nodes(64, 192)
    assert (column.shape, row.shape) == ((3, 5), (3, 5))


def test_an_image_elsewhere_has_no_window(tmp_path):
    image = open_image(write(tmp_path / "a.tif", picture(), west=WEST + 5000.0), "rgb", CRS)
    assert Placement(image, Grid(CRS, WEST, NORTH, 0.5, 128, 128)).window(0, 128) is None


def test_wide_pixels_are_known_for_coarse(tmp_path):
    grid = Grid(CRS, WEST, NORTH, 0.5, 128, 128)
    for size, coarse in ((0.25, False), (0.5, False), (0.6, True)):
        image = open_image(write(tmp_path / f"{size}.tif", picture(), size), "rgb", CRS)
        assert Placement(image, grid).is_coarse == coarse


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda p: write(p, picture(3)), "rgbn", "has 3 bands, but .* rgbn expects 4: red, green, blue, nir"),
        (lambda p: p.write_bytes(b"no image at all") and p, "rgb", "no TIFF file"),
        (lambda p: write(p, picture(3)) and p.write_bytes(p.read_bytes()[:5000]) and p, "rgb", "truncated"),
        (lambda p: write(p, picture(3).astype("c8")), "rgb", "expected numbers"),
        (lambda p: p, "rgb", "cannot be read"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path, make, kind, words):
    path = tmp_path / "a.tif"
    make(path)
    with pytest.raises(InputError, match=words):
        open_image(path, kind, CRS)


def test_pixels_that_cannot_be_decoded_name_the_file(tmp_path):
    path = write(tmp_path / "a.tif", picture(), compress="deflate")
    data = bytearray(path.read_bytes())
    data[400:900] = bytes(500)
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match=r"a\.tif' has pixels that cannot be decoded"):
        read_part(open_image(path, "rgb", CRS), (0, 150), (0, 210))


def test_targets_hold_places_and_what_is_known_of_each_band(tmp_path):
    path = tmp_path / "targets.csv"
    path.write_text("# field spectrometer\nx,y,radius_m,red,nir\n685010.5,4929000.0,2.5,0.05,\n685020,4929000,2.5,0.5,0.45\n")
    first, second = read_targets(path)
    assert (first.x, first.radius, first.reflectance) == (685010.5, 2.5, {"red": 0.05})
    assert second.reflectance == {"red": 0.5, "nir": 0.45}
    for text, words in (
        ("x,y,red\n1,2,0.1\n", "no radius_m"),
        ("x,y,radius_m,red\n1,2,3,0,1\n1,2,3,a\n", "row 2"),
        ("x,y,radius_m,red\n1,2,3,1.5\n", "between 0 and 1"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=words):
            read_targets(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_targets(tmp_path / "absent.csv")
