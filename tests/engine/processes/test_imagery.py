"""Images on the grid of the city: any ranks, mosaic and scale; calibration, partial cover, roofs of the district."""

import numpy as np
import pytest

from felsina.engine.district.imagery import GAIN, compare_imagery, imagery_truth, paint_district
from felsina.engine.district.scene import CRS, build_district
from felsina.engine.errors import InputError
from felsina.engine.grid import Grid
from felsina.engine.io.imagery import BANDS, Target, open_image, write_image
from felsina.engine.io.las import Points
from felsina.engine.io.las_header import PointFile
from felsina.engine.io.vector import rasterise
from felsina.engine.parallel.world import World
from felsina.engine.processes.classify import vegetation_index_with
from felsina.engine.processes.imagery import (
    PointIndex,
    empirical_line,
    full_scale,
    image_rasters,
    roof_columns,
    roof_sums,
    roofs_of_terrain,
)
from felsina.kernels.imagery.cover import BARE_SOIL, GRASS, PAVED

WEST, NORTH = 685_000.0, 4_929_150.0
GRID = Grid(CRS, WEST, NORTH, 0.5, 300, 200)
KNOWN = dict.fromkeys(BANDS, GAIN)
RETURNS = np.ones(GRID.shape, np.int32)
# Red, green, blue and near infrared of asphalt, lawn and soil in the values of GAIN.
ASPHALT, LAWN, SOIL = (27, 25, 22, 35), (15, 20, 10, 112), (57, 42, 30, 80)


def fields(ny=460, nx=640, dtype="u1"):
    """Three stripes: asphalt, lawn, soil."""
    values = np.empty((4, ny, nx), dtype)
    for k, colour in enumerate((ASPHALT, LAWN, SOIL)):
        values[:, :, k * nx // 3 : (k + 1) * nx // 3] = np.array(colour, dtype)[:, None, None]
    return values


def stored(folder, values, name="a.tif", kind="rgbn", west=WEST, north=NORTH, size=0.25, crs=CRS):
    write_image(folder / name, values, west, north, size, crs)
    return open_image(folder / name, kind, CRS)


def made(images, gain=KNOWN, world=None, **rest):
    return image_rasters(world or World.serial(), GRID, images, RETURNS, gain, {}, **rest)


def same(a, b):
    return all(np.array_equal(getattr(a, n), getattr(b, n), equal_nan=True) for n in ("ndvi", "albedo", "cover"))


def test_stripes_have_the_index_albedo_and_cover_of_their_material(tmp_path):
    found = made([stored(tmp_path, fields())])
    for column, (red, _, _, nir), code in ((20, ASPHALT, PAVED), (150, LAWN, GRASS), (280, SOIL, BARE_SOIL)):
        np.testing.assert_allclose(found.ndvi[100, column], (nir - red) / (nir + red), rtol=1e-6)
        assert found.cover[100, column] == code
    # 0.526 (0.443 x 0.088 + 0.317 x 0.100 + 0.240 x 0.108) + 0.474 x 0.140
    np.testing.assert_allclose(found.albedo[100, 20], 0.11717, atol=1e-5)
    assert (found.calibration.source, found.albedo_uncertainty) == ("declared", 0.04)


@pytest.mark.mpi(2, 3)
def test_ranks_give_the_same_bits(world, shared_tmp):
    values = np.random.default_rng(1).integers(1, 250, (4, 460, 640)).astype("u1")
    if world.is_root:
        stored(shared_tmp, values)
        stored(shared_tmp, values[:, ::-1], "b.tif", west=WEST + 61.3, north=NORTH - 17.1)
    world.barrier()
    images = [open_image(shared_tmp / name, "rgbn", CRS) for name in ("a.tif", "b.tif")]
    for gain, targets in ((KNOWN, ()), ({}, ()), ({}, [Target(WEST + 30, NORTH - 50, 20, dict.fromkeys(BANDS, 0.4))])):
        alone = image_rasters(World.serial(), GRID, images, RETURNS, gain, {}, targets)
        assert same(image_rasters(world, GRID, images, RETURNS, gain, {}, targets), alone)


def test_neither_the_order_nor_the_cut_of_a_mosaic_changes_a_bit(tmp_path):
    values = np.random.default_rng(2).integers(1, 250, (4, 460, 640)).astype("u1")
    whole = made([stored(tmp_path, values)])
    parts = []
    for k, (j, i) in enumerate(((0, 0), (0, 333), (201, 0), (201, 333))):
        part = values[:, j : 201 if j == 0 else 460, i : 333 if i == 0 else 640]
        parts.append(stored(tmp_path, part, f"{k}.tif", west=WEST + 0.25 * i, north=NORTH - 0.25 * j))
    assert same(made(parts), whole) and same(made(parts[::-1]), whole)


def test_values_of_8_bits_in_16_and_of_16_bits_give_the_same_index(tmp_path):
    values = fields()
    byte = made([stored(tmp_path, values)], {})
    held = made([stored(tmp_path, values.astype("u2"), "w.tif")], {})
    wide = made([stored(tmp_path, values.astype("u2") * 257, "v.tif")], {})
    assert same(byte, held)  # no value above 255: 8 bits
    np.testing.assert_allclose(wide.ndvi, byte.ndvi, rtol=1e-6)
    share = made([stored(tmp_path, values.astype("f4") / 255, "f.tif")], {})
    np.testing.assert_allclose(share.ndvi, byte.ndvi, atol=1e-4)  # floating-point values are kept to a millionth
    assert [full_scale(v, True) for v in (200, 256, 4095, 9000, 65535)] == [255, 1023, 4095, 16383, 65535]
    assert full_scale(1, False) == 1.0


def test_uncalibrated_images_are_flagged_with_a_larger_uncertainty(tmp_path):
    found = made([stored(tmp_path, fields())], {})
    assert (found.calibration.source, found.albedo_uncertainty) == ("none", 0.15)
    assert any("not calibrated: values of rgbn 255" in note and "uncertain by 0.15" in note for note in found.notes)
    assert found.attributes() == {"imagery_calibration": "none", "roof_albedo_standard_uncertainty": 0.15}


def test_targets_of_known_reflectance_restore_the_gain_and_the_offset(tmp_path):
    image = stored(tmp_path, fields() + np.uint8(20))  # haze: 20 values on everything
    places = [(WEST + x, NORTH - 40.0) for x in (20.0, 80.0, 130.0)]
    targets = [
        Target(x, y, 5.0, {b: v * GAIN for b, v in zip(("red", "green", "blue", "nir"), colour, strict=True)})
        for (x, y), colour in zip(places, (ASPHALT, LAWN, SOIL), strict=True)
    ]
    found = made([image], {}, targets=targets)
    for band in BANDS:
        np.testing.assert_allclose(found.calibration.gain["rgbn", band], GAIN, rtol=1e-9)
        np.testing.assert_allclose(found.calibration.offset["rgbn", band], -20 * GAIN, rtol=1e-9)
    clear = made([stored(tmp_path, fields(), "clear.tif")])
    np.testing.assert_allclose(found.albedo, clear.albedo, atol=1e-6)


def test_targets_that_say_too_little_are_refused_with_the_band(tmp_path):
    image = stored(tmp_path, fields())
    with pytest.raises(InputError, match="do not calibrate red of the rgbn images: 0 of them"):
        made([image], {}, targets=[Target(0.0, 0.0, 1.0, {"red": 0.1})])
    assert empirical_line([(10.0, 0.1)]) == (0.01, 0.0)
    assert empirical_line([]) is None and empirical_line([(5.0, 0.1), (5.0, 0.2)]) is None
    assert empirical_line([(5.0, 0.5), (9.0, 0.2)]) is None  # brighter pixels of darker targets: a mistake
    with pytest.raises(InputError, match="gain has no value for nir"):
        made([image], {"red": 0.1, "green": 0.1, "blue": 0.1})


def test_where_no_image_is_nothing_is_said(tmp_path):
    part = fields(200, 300)
    part[:, :40, :40] = 0  # black: no index
    found = made([stored(tmp_path, part, west=WEST + 50.0), stored(tmp_path, part, "far.tif", west=WEST + 9000.0)])
    known = ~np.isnan(found.ndvi)
    assert known[:100, 100:250].sum() == known.sum() and not known[:20, 100:120].any()
    assert (found.cover[~known] == 0).all() and np.isnan(found.albedo[~known]).all()
    assert any("Images cover 25.0 % of the grid" in note for note in found.notes)
    assert any("1 images lie outside the city" in note and "far.tif" in note for note in found.notes)


def test_no_overlap_at_all_is_an_error_that_tells_the_way_out(tmp_path):
    with pytest.raises(InputError, match=r"None of the 1 images .* touches the city \(a\.tif\)\. Check their CRS"):
        made([stored(tmp_path, fields(), west=WEST + 9000.0)])


def test_colours_and_infrared_of_two_images_are_those_of_one(tmp_path):
    values = fields()
    red, green, blue, nir = values
    one = made([stored(tmp_path, values)])
    two = made(
        [
            stored(tmp_path, np.stack([red, green, blue]), "rgb.tif", "rgb"),
            stored(tmp_path, np.stack([nir, red, green]), "cir.tif", "cir"),
        ]
    )
    assert same(one, two)


def test_colours_alone_give_an_albedo_of_larger_uncertainty_and_no_index(tmp_path):
    found = made([stored(tmp_path, fields()[:3], kind="rgb")])
    assert found.ndvi is None and found.albedo_uncertainty == 0.08
    assert np.isfinite(found.albedo[100, 20]) and not found.cover.any()


def test_an_image_of_another_crs_gives_the_same_fields(tmp_path):
    from pyproj import Transformer

    x, y = Transformer.from_crs(CRS, "EPSG:3003", always_xy=True).transform(WEST - 20.0, NORTH + 20.0)
    turned = stored(tmp_path, fields(900, 960), size=0.25, west=x, north=y, crs="EPSG:3003")
    found = made([turned])
    assert any("was brought from EPSG:3003" in note for note in found.notes)
    assert np.isfinite(found.ndvi).all()
    # Away from the seams of the stripes, 80 m wide from 20 m west of the grid, whatever the small turn between the grids.
    for column, colour in ((40, ASPHALT), (200, LAWN)):
        np.testing.assert_allclose(found.ndvi[:, column], (colour[3] - colour[0]) / (colour[3] + colour[0]), rtol=1e-6)


def test_pixels_wider_than_cells_fill_every_cell(tmp_path):
    found = made([stored(tmp_path, fields(60, 90), size=2.0)])
    assert np.isfinite(found.ndvi).all()
    np.testing.assert_array_equal(found.cover[:, ::119], np.tile([PAVED, PAVED, GRASS], (200, 1)))


def points_of(x, y, red, nir):
    points = Points.empty(len(x), ("red", "nir"))
    points.x[:], points.y[:] = x, y
    points.extra["red"][:], points.extra["nir"][:] = red, nir
    return points


def header(point_format):
    made = PointFile.__new__(PointFile)
    object.__setattr__(made, "point_format", point_format)
    return made


def test_points_with_near_infrared_give_the_index_of_their_cell_and_others_none():
    grid = Grid(CRS, WEST, NORTH, 1.0, 3, 2)
    index = PointIndex(World.serial(), [header(8)], [], grid)
    assert index.columns == ("red", "nir")
    index.add(points_of([100, 900, 1500, 2500], [100, 900, 500, 500], [100, 60, 40, 80], [300, 140, 0, 20]))
    np.testing.assert_allclose(
        index.finish([(slice(0, 2), slice(0, 3))]), [[440 / 600 - 160 / 600, np.nan, -0.6], [np.nan] * 3]
    )
    assert PointIndex(World.serial(), [header(6)], [], grid).columns == ()
    dark = PointIndex(World.serial(), [header(8)], [], grid)
    dark.add(points_of([100], [100], [500], [0]))  # the format has the column, the survey left it empty
    assert dark.finish([(slice(0, 2), slice(0, 3))]) is None


def test_a_point_without_near_infrared_has_the_index_of_its_cell_in_the_image():
    seen = np.array([[0.5, np.nan], [-0.1, 0.2]], "f4")
    points = points_of([100, 1100, 100, 9000], [100, 100, 1100, 9000], [50, 50, 50, 50], [150, 0, 0, 0])
    np.testing.assert_allclose(vegetation_index_with(points, seen, 1000), [0.5, np.nan, -0.1, 0.2], rtol=1e-6)
    points.extra.clear()
    np.testing.assert_allclose(vegetation_index_with(points, seen, 1000), [0.5, np.nan, -0.1, 0.2], rtol=1e-6)


def test_shadows_trees_and_flat_footprints_are_no_part_of_a_roof():
    shape = (20, 30)
    index = np.full(shape, -1, np.int32)
    index[2:18, 2:14], index[2:18, 16:28] = 0, 1
    ground, albedo, ndvi = np.zeros(shape, "f4"), np.full(shape, 0.3, "f4"), np.full(shape, 0.1, "f4")
    surface = np.where(index == 0, np.float32(8.0), np.float32(0.0))  # the second footprint has no roof above it
    first = surface.copy()
    albedo[2:18, 2:6] = np.nan  # shadow
    first[10:18, 2:14], ndvi[10:18, 2:14] = 14.0, 0.7  # a crown
    sums = roof_sums(index, ground, surface, first, albedo, ndvi, 2, (0, 20))
    # Rows 3 to 8 and columns 7 to 12: one cell from the wall, the shadow and the crown.
    assert sums[0].tolist() == [36, 36 * 3000, 36, 36 * 1000, 0] and not sums[1].any()
    columns = roof_columns(sums)
    assert list(columns) == ["building_roof_albedo", "building_roof_ndvi", "building_roof_green_share"]
    np.testing.assert_allclose([columns[name][0] for name in columns], [0.3, 0.1, 0.0])
    assert all(np.isnan(columns[name][1]) for name in columns)


@pytest.mark.mpi(2, 3)
def test_ranks_find_the_same_roofs_in_a_terrain_file(world):
    random = np.random.default_rng(9)
    shape = (330, 90)
    index = np.full(shape, -1, np.int32)
    index[40:100, 10:80], index[120:325, 5:60] = 1, 0
    terrain = {
        "building_index": index,
        "ground_elevation": np.zeros(shape, "f4"),
        "surface_elevation": np.full(shape, 8.0, "f4"),
        "first_return_elevation": np.full(shape, 8.0, "f4"),
        "surface_albedo": random.random(shape).astype("f4"),
        "ndvi": random.random(shape).astype("f4"),
    }

    def read(name, rows):
        return terrain[name][rows]

    found = roofs_of_terrain(world, shape[0], terrain, read, 2)
    whole = roof_columns(roof_sums(*terrain.values(), 2, (0, shape[0])))
    assert list(found) == list(whole) and all(np.array_equal(found[name], whole[name]) for name in whole)
    assert list(roofs_of_terrain(world, shape[0], set(terrain) - {"surface_albedo"}, read, 2)) == list(whole)[1:]
    assert list(roofs_of_terrain(world, shape[0], set(terrain) - {"ndvi"}, read, 2)) == list(whole)[:1]
    assert roofs_of_terrain(world, shape[0], set(terrain) - {"ndvi", "surface_albedo"}, read, 2) == {}


@pytest.mark.parametrize("seed", [1, 2])
def test_roofs_of_the_district_have_their_albedo_and_green_ones_are_found(seed, tmp_path):
    import shapely

    district = build_district(256.0, seed)
    photo = paint_district(district)
    image = stored(tmp_path, photo.pixels, west=photo.west, north=photo.north, size=photo.resolution)
    grid = Grid(CRS, photo.west, photo.north, 0.5, 512, 512)
    seen = image_rasters(World.serial(), grid, [image], np.ones(grid.shape, np.int32), KNOWN, {})
    rings = [[shapely.Polygon([(x + photo.west, y + photo.north - 256.0) for x, y in b.ring])] for b in district.buildings]
    index = rasterise(rings, grid.west, grid.north, 0.5, 512, 512)
    roof = np.where(index >= 0, np.float32(9.0), np.float32(0.0))
    sums = roof_sums(index, np.zeros(grid.shape, "f4"), roof, roof, seen.albedo, seen.ndvi, len(rings), (0, 512))
    names = np.array([b.building_id for b in district.buildings])
    for metric, value, _, target in compare_imagery(imagery_truth(district), {"building_id": names, **roof_columns(sums)}):
        is_floor = metric.endswith("F1") or metric.startswith("roofs")
        assert value >= target if is_floor else value <= target, (metric, value, target)


def test_a_larger_district_is_painted_as_the_smaller_one_in_it():
    small, large = (paint_district(build_district(size, 3)) for size in (128.0, 192.0))
    # Away from the outer streets, whose shadows and edges the smaller one does not have.
    part = np.s_[:, 40:-140, 40:-140]
    np.testing.assert_array_equal(small.pixels[part], large.pixels[:, -512:, :512][part])
