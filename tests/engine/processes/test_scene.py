"""The city as heat sees it: shares of buildings, heights of roofs, crowns, columns of air."""

from __future__ import annotations

import numpy as np
import pytest

from felsina.engine.grid import Grid
from felsina.engine.parallel.world import World
from felsina.engine.processes.scene import BUILDING_COVER, build_scene, covered_columns

TERRAIN = Grid("EPSG:7791", 686_000.0, 4_929_000.0, 0.5, 128, 256)  # 64 m by 128 m: two blocks of 64 rows of 2 m
SURFACES, AIR = TERRAIN.coarsened(2.0), TERRAIN.coarsened(4.0)


def fields() -> dict[str, np.ndarray]:
    """Ground rising 1 m in 100 m to the south; a house of 9 m over 8 by 8 m and half a coarse cell more; a tree of 8 m."""
    ny, nx = TERRAIN.shape
    ground = np.broadcast_to((np.arange(ny)[:, None] + 0.5) * 0.005, (ny, nx)).astype(np.float32)
    surface = ground.copy()
    index = np.full((ny, nx), -1, np.int32)
    surface[64:80, 32:48] = ground[64:80, 32:48] + 9
    surface[64:80, 48:50] += 9  # half of the next column of coarse cells
    surface[64:80, 28:29] += 9  # a quarter of the column before
    index[64:80, 32:50] = 0
    canopy = np.zeros((ny, nx), np.float32)
    canopy[100:108, 60:68] = 8.0
    canopy[100:108, 68:69] = 8.0  # a quarter of a cell
    base = np.where(canopy > 0, np.float32(3.0), np.float32(0.0))
    base[100:108, 60:64] = 5.0
    cover = np.full((ny, nx), 1, np.int8)
    cover[:, 100:] = 5
    cover[64:80, 32:50] = 2
    return {
        "ground_elevation": ground,
        "surface_elevation": surface,
        "canopy_height": canopy,
        "canopy_base_height": base,
        "land_cover": cover,
        "building_index": index,
    }


def made(given=None, world=None, layer_m=3.0, n_layer=8):
    given = given or fields()
    return build_scene(world or World.serial(), TERRAIN, SURFACES, AIR, layer_m, n_layer, lambda name, rows: given[name][rows])


def test_a_cell_is_a_building_from_half_of_it_on():
    building = made().is_building
    expected = np.zeros(SURFACES.shape, bool)
    expected[16:20, 8:13] = True  # with the half column, without the quarter column
    np.testing.assert_array_equal(building, expected)


def test_roofs_have_the_mean_height_of_their_roof_cells_and_streets_that_of_the_ground():
    scene, given = made(), fields()
    ground = given["ground_elevation"].reshape(64, 4, 32, 4).mean((1, 3))
    # float32 means of 16 values around 10 m: 1e-6 each.
    np.testing.assert_allclose(scene.surface[16:20, 8:13], ground[16:20, 8:13] + 9.0, atol=1e-5)
    np.testing.assert_allclose(scene.surface[~scene.is_building], ground[~scene.is_building], atol=1e-5)


def test_crowns_cover_cells_from_half_of_them_on_and_begin_at_their_measured_base():
    scene = made()
    has_crown = np.isfinite(scene.canopy_top)
    expected = np.zeros(SURFACES.shape, bool)
    expected[25:27, 15:17] = True
    np.testing.assert_array_equal(has_crown, expected)
    ground = scene.surface[has_crown]
    np.testing.assert_allclose(scene.canopy_top[has_crown] - ground, 8.0, atol=1e-5)
    np.testing.assert_allclose((scene.canopy_base[has_crown] - ground).reshape(2, 2), [[5.0, 3.0], [5.0, 3.0]], atol=1e-5)


def test_a_building_hides_the_crown_over_it():
    given = fields()
    given["canopy_height"][64:80, 32:48] = 15.0
    assert np.isnan(made(given).canopy_top[16:20, 8:12]).all()


def test_land_cover_is_the_most_frequent_and_building_only_where_there_is_one():
    scene = made()
    np.testing.assert_array_equal(scene.land_cover == BUILDING_COVER, scene.is_building)
    assert (scene.land_cover[:, 25:] == 5).all() and (scene.land_cover[:10, :25] == 1).all()


def test_air_is_solid_up_to_the_mean_roof_and_never_to_the_top():
    layers = made().roof_layer
    assert layers[8, 4] == 3  # 9 m in layers of 3 m
    assert layers[8, 6] == 3  # half of the column
    assert np.count_nonzero(layers) == 2 * 3
    tall = fields()
    tall["surface_elevation"][64:80, 32:50] += 90.0
    assert made(tall).roof_layer.max() == 7  # of eight: the wind needs an open layer
    flat = fields()
    flat["surface_elevation"][64:80, 32:50] -= 7.8  # 1.2 m high: less than half a layer
    assert made(flat).roof_layer[8, 4] == 1


def test_a_low_wall_is_no_building():
    given = fields()
    given["surface_elevation"] = given["ground_elevation"] + np.float32(0.9)
    assert not made(given).is_building.any()


def test_columns_of_buildings_are_listed_once_by_building():
    building, column = covered_columns(World.serial(), TERRAIN, AIR, lambda name, rows: fields()[name][rows])
    j, i = np.divmod(column, AIR.nx)
    assert set(building) == {0}
    assert sorted(zip(j.tolist(), i.tolist())) == [(j, i) for j in (8, 9) for i in (4, 5, 6)]
    assert (np.diff(column) > 0).all()


@pytest.mark.mpi(2, 3)
def test_ranks_change_no_bit(world):
    alone, shared = made(), made(world=world)
    for name in ("surface", "is_block", "is_building", "land_cover", "canopy_top", "canopy_base", "roof_layer"):
        np.testing.assert_array_equal(getattr(shared, name), getattr(alone, name), err_msg=name)
    pairs = covered_columns(world, TERRAIN, AIR, lambda name, rows: fields()[name][rows])
    for ours, theirs in zip(pairs, covered_columns(World.serial(), TERRAIN, AIR, lambda n, r: fields()[n][r])):
        np.testing.assert_array_equal(ours, theirs)
