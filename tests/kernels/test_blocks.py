import numpy as np
import pytest

from felsina.kernels.blocks import block_mean, block_mean_where, block_mode, block_share, spread


@pytest.mark.parametrize("factor", [1, 2, 5])
def test_means_and_shares_equal_numpy(factor):
    rng = np.random.default_rng(3)
    fine = rng.random((4 * factor, 3 * factor)).astype("f4")
    mask = rng.random(fine.shape) < 0.3
    blocks = fine.reshape(4, factor, 3, factor)
    chosen = mask.reshape(4, factor, 3, factor)
    # float32 results of at most 25 numbers near 1: one unit in the last place.
    np.testing.assert_allclose(block_mean(fine, factor), blocks.astype("f8").mean((1, 3)), rtol=1e-7)
    np.testing.assert_allclose(block_share(mask, factor), chosen.mean((1, 3)), rtol=1e-7)
    some = chosen.any((1, 3))
    got = block_mean_where(fine, mask, factor)
    assert np.isnan(got[~some]).all()
    want = np.where(chosen, blocks, 0).astype("f8").sum((1, 3))[some] / chosen.sum((1, 3))[some]
    np.testing.assert_allclose(got[some], want, rtol=1e-7)


def test_a_void_cell_makes_its_block_void_and_no_other():
    fine = np.ones((4, 4), "f4")
    fine[0, 0] = np.nan
    assert np.isnan(block_mean(fine, 2)).tolist() == [[True, False], [False, False]]


def test_the_mode_of_a_tie_is_the_smallest_code():
    assert block_mode(np.array([[7, 2], [2, 7]], np.int8), 2).tolist() == [[2]]
    assert block_mode(np.array([[7, 2], [7, 7]], np.int8), 2).tolist() == [[7]]


def test_there_and_back_keeps_the_mean():
    coarse = np.arange(6, dtype="f4").reshape(2, 3)
    np.testing.assert_array_equal(block_mean(spread(coarse, 4), 4), coarse)


def test_a_grid_without_whole_blocks_is_refused():
    with pytest.raises(ValueError, match="no whole blocks"):
        block_mean(np.ones((5, 4), "f4"), 2)


def test_a_result_goes_where_it_is_wanted():
    fine, coarse = np.arange(24, dtype="f4").reshape(4, 6), np.arange(6, dtype="i4").reshape(2, 3)
    mean, wide = np.zeros((2, 3), "f4"), np.zeros((4, 6), "i4")
    assert block_mean(fine, 2, mean) is mean and spread(coarse, 2, wide) is wide
    np.testing.assert_array_equal(mean, fine.reshape(2, 2, 3, 2).mean((1, 3)))
    np.testing.assert_array_equal(wide, np.kron(coarse, np.ones((2, 2), "i4")))
    with pytest.raises(ValueError, match="C-contiguous array of"):
        block_mean(fine, 2, np.zeros((3, 2), "f4"))


def test_maps_one_above_the_other_spread_alike():
    coarse = np.arange(12.0).reshape(2, 2, 3)
    np.testing.assert_array_equal(spread(coarse, 2)[1], spread(coarse[1], 2))
