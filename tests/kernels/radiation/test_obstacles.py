"""What rays can meet: the split by height model, and the highest height in reach against its definition."""

import numpy as np
import pytest

from felsina.kernels.radiation.obstacles import (
    ABSENT,
    HEIGHT_BLOCK,
    block_cells,
    cells_in_reach,
    height_blocks,
    highest_in_reach,
    highest_of_blocks,
    obstacles,
    split_heights,
)


def model(ny=150, nx=333, seed=2):
    rng = np.random.default_rng(seed)
    z = rng.normal(100.0, 30.0, (ny, nx)).astype(np.float32)
    z[rng.random((ny, nx)) < 0.05] = np.nan
    z[3, 4] = np.inf
    top = np.where(rng.random((ny, nx)) < 0.1, z + rng.normal(5, 10, (ny, nx)), np.nan).astype(np.float32)
    return z, rng.random((ny, nx)) < 0.4, top, top - np.float32(3.0)


def test_block_cells_are_building_edges_and_steps_but_not_slopes():
    z = np.tile(np.arange(8, dtype=np.float32), (6, 1))  # a 45 degree plane
    assert not block_cells(z, np.zeros(z.shape, bool)).any()
    z[2:5, 2:6] = 30.0
    building = np.zeros(z.shape, bool)
    building[2:5, 2:6] = True
    expected = building.copy()
    expected[3, 3:5] = False  # inside of the flat roof
    assert (block_cells(z, building) == expected).all()
    assert (block_cells(z, np.zeros(z.shape, bool)) == expected).all()  # a cliff is a wall without being a building


def test_a_cell_is_either_a_block_or_continuous_or_unknown():
    z, block, *_ = model()
    city = obstacles(z, block, 1.0, 20.0)
    known = np.isfinite(z)
    np.testing.assert_array_equal(city.faces, np.where(known & block, z, ABSENT))
    np.testing.assert_array_equal(city.ground, np.where(known & ~block, z, ABSENT))
    assert city.crown_top.size == city.crown_base.size == 0


def test_a_crown_stands_only_where_it_rises_above_a_known_surface():
    z, block, top, base = model()
    city = obstacles(z, block, 1.0, 20.0, top, base)
    with np.errstate(invalid="ignore"):
        stands = np.isfinite(z) & (top > z)
    assert 0 < stands.sum() < np.isfinite(top).sum()
    np.testing.assert_array_equal(city.crown_top, np.where(stands, top, np.nan))
    np.testing.assert_array_equal(city.crown_base, np.where(stands, base, np.nan))


@pytest.mark.parametrize("reach", [1, 2, 64, 65, 66, 129, 1000])
def test_nothing_in_reach_is_higher_than_the_highest_in_reach(reach):
    z, block, top, base = model()
    city = obstacles(z, block, 1.0, float(reach - 1), top, base)
    assert city.reach == reach == cells_in_reach(1.0, float(reach - 1))
    with np.errstate(invalid="ignore"):
        heights = np.fmax(np.where(np.isfinite(z), z, ABSENT), np.where(np.isfinite(z) & (top > z), top, ABSENT))
    for b, c in np.ndindex(city.highest.shape):
        ja, ia = max(0, b * HEIGHT_BLOCK - reach), max(0, c * HEIGHT_BLOCK - reach)
        seen = heights[ja : (b + 1) * HEIGHT_BLOCK + reach, ia : (c + 1) * HEIGHT_BLOCK + reach]
        # Whole blocks are looked at, so it may be as high as something one block farther.
        first = (ja // HEIGHT_BLOCK * HEIGHT_BLOCK, ia // HEIGHT_BLOCK * HEIGHT_BLOCK)
        last = (-(-((b + 1) * HEIGHT_BLOCK + reach) // HEIGHT_BLOCK) * HEIGHT_BLOCK,
                -(-((c + 1) * HEIGHT_BLOCK + reach) // HEIGHT_BLOCK) * HEIGHT_BLOCK)  # fmt: skip
        assert seen.max() <= city.highest[b, c] == heights[first[0] : last[0], first[1] : last[1]].max()


def test_rows_split_by_several_workers_are_those_of_one():
    z, block, top, base = model()
    z[:, 2] = 50.0
    whole = obstacles(z, block, 1.0, 30.0, top, base)
    faces, ground = np.zeros_like(z), np.zeros_like(z)
    blocks = np.zeros(height_blocks(z.shape), np.float32)
    for first in (64, 0, 128):
        last = min(first + 64, len(z))
        split_heights(z, block, faces, ground, (first, last))
        highest_of_blocks(faces, ground, whole.crown_top, blocks, (first // 64, -(-last // 64)))
    assert faces.tobytes() == whole.faces.tobytes() and ground.tobytes() == whole.ground.tobytes()
    assert highest_in_reach(blocks, whole.reach).tobytes() == whole.highest.tobytes()


def test_no_model_has_no_obstacles():
    city = obstacles(np.zeros((0, 4), np.float32), np.zeros((0, 4), bool), 1.0, 10.0)
    assert city.faces.shape == (0, 4) and city.highest.shape == (0, 1)
