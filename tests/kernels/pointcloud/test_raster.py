"""Binning is exact: any order, any chunks and any split over ranks give the same integers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from felsina.kernels.pointcloud.raster import (
    NO_MAX,
    NO_MIN,
    bin_highest,
    bin_lowest,
    bin_points,
    bin_sums,
    cell_height,
    cell_mean,
    empty_bins,
    hide_others,
    merge_bins,
    sample_nearest,
)

NY, NX, CELL = 23, 17, 700


def scene(seed, n=5000):
    random = np.random.default_rng(seed)
    x = random.integers(-2000, NX * CELL + 2000, n, dtype=np.int32)
    y = random.integers(-2000, NY * CELL + 2000, n, dtype=np.int32)
    return x, y, random.integers(-5_000, 3_000_000, n, dtype=np.int32)


def binned(x, y, z):
    bins = empty_bins(NY, NX)
    n = bin_points(x, y, z, CELL, NY, NX, *bins)
    return bins, n


def test_equals_numpy_and_leaves_out_points_beyond_the_grid():
    x, y, z = scene(1)
    bins, n = binned(x, y, z)
    inside = (x >= 0) & (y >= 0) & (x < NX * CELL) & (y < NY * CELL)
    cell = (y[inside] // CELL) * NX + x[inside] // CELL
    assert n == inside.sum()
    for grid, ufunc, start in zip(bins, (np.minimum, np.maximum, np.add), (NO_MIN, NO_MAX, 0)):
        expected = np.full(NY * NX, start, grid.dtype)
        ufunc.at(expected, cell, z[inside].astype(grid.dtype))
        np.testing.assert_array_equal(grid.ravel(), expected)
    np.testing.assert_array_equal(bins.n_point.ravel(), np.bincount(cell, minlength=NY * NX))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 5000))
def test_shuffled_points_in_two_merged_parts_give_the_same_bits(seed, cut):
    points = np.array(scene(2))
    shuffled = np.random.default_rng(seed).permutation(points, axis=1)
    whole, _ = binned(*points)
    first, _ = binned(*np.ascontiguousarray(shuffled[:, :cut]))
    second, _ = binned(*np.ascontiguousarray(shuffled[:, cut:]))
    merge_bins(first, second)
    for a, b in zip(whole, first):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("cell_mm", [1, 3, 7, 250, 999, 1000])
def test_a_point_on_an_edge_belongs_to_the_cell_south_east_of_it(cell_mm):
    # Every edge of a long row, and the millimetre before it: the reciprocal product must not slip by one.
    n = 3000
    edge = np.arange(n, dtype=np.int64) * cell_mm
    bins = empty_bins(1, n)
    x = np.concatenate([edge, edge + cell_mm - 1])
    bin_points(x, np.zeros_like(x), np.zeros(2 * n, np.int32), cell_mm, 1, n, *bins)
    assert (bins.n_point == 2).all()


def test_no_points_leave_empty_bins_and_nan_heights():
    none = np.empty(0, np.int32)
    bins, n = binned(none, none, none)
    assert n == 0
    assert np.isnan(cell_mean(bins.zsum, bins.n_point)).all()
    assert np.isnan(cell_height(bins.zmin, bins.n_point)).all()


def test_one_point_gives_its_own_height():
    bins, _ = binned(*(np.array([v], np.int32) for v in (701, 5, 12_345)))
    mean = cell_mean(bins.zsum, bins.n_point)
    assert mean[0, 1] == np.float32(12.345) == cell_height(bins.zmax, bins.n_point)[0, 1]
    assert np.isnan(mean).sum() == NY * NX - 1


def test_a_grid_of_another_shape_is_refused():
    bins = empty_bins(3, 4)
    none = np.empty(0, np.int32)
    with pytest.raises(ValueError, match=r"shape \(3, 4\)"):
        bin_points(none, none, none, CELL, 4, 3, *bins)


def test_separate_statistics_equal_those_taken_together():
    points = scene(9)
    together, _ = binned(*points)
    apart = empty_bins(NY, NX)
    tops = np.zeros_like(apart.n_point)
    bin_lowest(*points, CELL, apart.zmin)
    bin_highest(*points, CELL, apart.zmax, tops)
    bin_sums(*points, CELL, apart.zsum, apart.n_point)
    for a, b in zip(together, apart):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(tops, together.n_point)


def test_points_of_other_classes_are_not_binned():
    x, y, z = scene(5)
    classes = np.random.default_rng(6).integers(0, 256, x.size).astype(np.uint8)
    chosen = np.zeros(256, bool)
    chosen[[0, 2, 9, 255]] = True
    shown = np.empty_like(x)
    hide_others(x, classes, chosen, shown)
    stays = np.isin(classes, (0, 2, 9, 255))
    assert 0 < stays.sum() < x.size
    for a, b in zip(binned(shown, y, z)[0], binned(x[stays], y[stays], z[stays])[0]):
        np.testing.assert_array_equal(a, b)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([1, 3, 49, 700, 1000]))
def test_a_sample_is_the_nearest_cell_in_whole_millimetres_halves_to_even(seed, cell_mm):
    random = np.random.default_rng(seed)
    # Half millimetres are exact in float32 here, and in the product with 1,000.
    grid = (random.integers(-8000, 8000, (NY, NX)) / 2000).astype(np.float32)
    x, y = (random.integers(-3 * cell_mm, (n + 3) * cell_mm, 500) // 2 * 2 for n in (NX, NY))
    i, j = np.clip(x // cell_mm, 0, NX - 1), np.clip(y // cell_mm, 0, NY - 1)
    expected = np.rint(grid[j, i].astype(np.float64) * 1000).astype(np.int64)
    np.testing.assert_array_equal(sample_nearest(grid, x, y, cell_mm), expected)
