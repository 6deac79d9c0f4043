import numpy as np
import pytest

from felsina.engine.errors import InputError
from felsina.engine.parallel.device import CpuDevice
from felsina.engine.parallel.world import World
from felsina.engine.processes.ground import filter_ground
from felsina.engine.processes.terrain import (
    Binning,
    PointRasters,
    canopy_height,
    fill,
    ground_elevation,
    land_cover,
    roof_cells,
    surface_elevation,
)
from felsina.kernels.pointcloud.gaps import fill_gaps
from felsina.kernels.pointcloud.ground import smrf

CELL_MM = 1000


def rasters(ny=40, nx=50):
    """Ground at 2 m, a house of 8 m with a void in its roof, a tree of 6 m, a lamp post, a hut without a footprint."""
    world = World.serial()
    points = PointRasters.empty(world, (ny, nx))
    binning = Binning(CpuDevice(), points, [(slice(0, ny), slice(0, nx))], CELL_MM)
    index = np.full((ny, nx), -1, np.int32)
    index[5:15, 5:15] = 0
    index[30:33, 30:33] = 1  # a footprint that no roof return falls in
    for j in range(ny):
        for i in range(nx):
            x, y = np.array([i * CELL_MM + 500]), np.array([j * CELL_MM + 500])
            house = index[j, i] == 0
            if house and 8 <= j < 11 and 8 <= i < 11:
                continue
            z, c = (8000, 6) if house else (8000, 6) if (20 <= j < 23 and 40 <= i < 43) else (2000, 2)
            binning.add_classes(x, y, np.array([z], np.int32), np.array([c], np.uint8))
            if 25 <= j < 29 and 10 <= i < 14:
                binning.add_classes(x, y, np.array([8000], np.int32), np.array([1], np.uint8))
    lamp = np.array([20500]), np.array([20500]), np.array([9000], np.int32), np.array([1], np.uint8)
    binning.add_classes(*lamp)
    return world, points, index


def test_ground_is_level_under_the_house():
    world, points, _ = rasters()
    np.testing.assert_allclose(ground_elevation(world, points), 2.0, atol=1e-4)


def test_roofs_stand_on_the_ground_and_their_voids_are_filled_from_roofs():
    world, points, index = rasters()
    ground = ground_elevation(world, points)
    roof = roof_cells(world, points, ground, index, 2)
    surface = surface_elevation(world, points, ground, roof)
    np.testing.assert_allclose(surface[5:15, 5:15], 8.0, atol=1e-4)
    np.testing.assert_allclose(surface[20:23, 40:43], 8.0, atol=1e-4)
    np.testing.assert_array_equal(surface[~roof], ground[~roof])


def test_a_footprint_without_returns_stays_ground():
    world, points, index = rasters()
    ground = ground_elevation(world, points)
    assert not roof_cells(world, points, ground, index, 2)[30:33, 30:33].any()


def test_a_crown_is_canopy_and_a_lamp_post_and_a_roof_are_not():
    world, points, index = rasters()
    ground = ground_elevation(world, points)
    canopy = canopy_height(points, ground, roof_cells(world, points, ground, index, 2), has_vegetation=False)
    np.testing.assert_allclose(canopy[25:29, 10:14], 6.0, atol=1e-4)
    assert canopy[20, 20] == 0.0
    assert (canopy > 0).sum() == 16


def test_later_layers_cover_earlier_ones_and_buildings_cover_all():
    index = np.full((4, 4), -1, np.int32)
    index[0, 0] = 3
    everywhere, left = np.ones((4, 4), bool), np.zeros((4, 4), bool)
    left[:, :2] = True
    cover = land_cover((4, 4), [(6, everywhere), (7, left)], index, np.zeros((4, 4), "f4"))
    assert cover[0].tolist() == [2, 7, 6, 6]


def test_what_is_seen_counts_where_no_layer_says_anything_and_under_crowns_where_it_is_green():
    index = np.full((1, 6), -1, np.int32)
    index[0, 5] = 0
    canopy = np.array([[0, 0, 5, 5, 0, 0]], "f4")
    seen = np.array([[0, 6, 6, 5, 5, 5]], np.int8)
    road = np.array([[False, False, False, False, True, False]])
    assert land_cover((1, 6), [(1, road)], index, canopy, seen).tolist() == [[1, 6, 1, 5, 1, 2]]
    assert land_cover((1, 6), [], index, canopy, seen).tolist() == [[1, 6, 5, 5, 5, 2]]


def test_without_layers_ground_is_paved_and_grass_under_crowns():
    canopy = np.zeros((1, 2), "f4")
    canopy[0, 1] = 5.0
    assert land_cover((1, 2), [], np.full((1, 2), -1, np.int32), canopy).tolist() == [[1, 5]]


def test_a_scene_without_ground_is_an_error_that_names_it():
    world = World.serial()
    with pytest.raises(InputError, match="no ground in the scene"):
        ground_elevation(world, PointRasters.empty(world, (5, 5)))


def rough(shape, seed):
    """A slope with houses, voids and a low outlier."""
    rng = np.random.default_rng(seed)
    j, i = np.indices(shape)
    z = (0.03 * i + 0.02 * j + rng.normal(0, 0.05, shape)).astype("f4")
    z[20:32, 30:42] += 9.0
    z[60:64, 10:20] = np.nan
    z[rng.random(shape) < 0.2] = np.nan
    z[50, 50] = -30.0
    return z


@pytest.mark.mpi(2, 3)
def test_ranks_fill_gaps_to_the_same_bits(world):
    grid = rough((200, 90), 1)
    shared = world.shared(grid.shape, np.float32)
    if world.is_root:
        shared[...] = grid
    world.synchronise(shared, [(slice(0, 200),)] if world.is_root else [])
    np.testing.assert_array_equal(fill(world, shared, "ground"), fill_gaps(grid))


@pytest.mark.mpi(2, 3)
@pytest.mark.parametrize("ranks_per_node", [None, 1])
def test_ranks_filter_ground_to_the_same_bits(world, ranks_per_node):
    check_filter(World(world.handle, ranks_per_node))


def test_one_rank_filters_ground_as_the_kernel_does(world):
    check_filter(world)


def check_filter(world):
    grid = rough((200, 90), 2)
    shared = world.shared(grid.shape, np.float32)
    rows = slice(*world.share_of(200))
    shared[rows] = grid[rows]
    world.synchronise(shared, [(rows,)])
    got, want = filter_ground(world, shared, 1.0, 8.0, 0.18), smrf(grid, 1.0, 8.0, 0.18)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a, b)
    assert want.is_object[22:30, 32:40].mean() > 0.5, "the scene must hold an object for the test to mean anything"
    world.close()
