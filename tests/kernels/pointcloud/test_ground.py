"""SMRF: cuts and order change nothing, houses go and hills stay."""

from itertools import pairwise

import numba
import numpy as np
import pytest

from felsina.kernels.pointcloud.ground import (
    SmrfSurface,
    height_above,
    is_ground,
    low_outliers,
    mark_low_outliers,
    mark_objects,
    open_rows,
    remove_objects,
    slope_rows,
    smrf,
    window_cells,
)


def whole(surface, radius):
    out = np.empty_like(surface)
    open_rows(surface, radius, 0, surface.shape[0], out)
    return out


@pytest.mark.parametrize("seed", range(5))
def test_stages_on_random_row_cuts_give_the_same_bits(seed):
    random = np.random.default_rng(seed)
    ny, radius = int(random.integers(20, 260)), int(random.integers(1, 12))
    surface = random.normal(10, 4, (ny, 37)).astype(np.float32)
    cuts = np.unique([0, *random.integers(0, ny, 4), ny])
    opening, slope, marks = np.empty_like(surface), np.empty_like(surface), np.zeros(surface.shape, bool)
    low, removed, known = np.zeros(surface.shape, bool), np.empty_like(surface), surface.copy()
    known[random.random(surface.shape) < 0.3] = np.nan
    is_object = random.random(surface.shape) < 0.3
    for j0, j1 in pairwise(cuts):
        open_rows(surface, radius, int(j0), int(j1), opening)
        slope_rows(surface, 0.5, int(j0), int(j1), slope)
        mark_objects(surface, opening, 2.0, int(j0), int(j1), marks)
        mark_low_outliers(surface, 3.0, int(j0), int(j1), low)
        remove_objects(surface, known, is_object, int(j0), int(j1), removed)
    np.testing.assert_array_equal(low, low_outliers(surface, 3.0))
    assert low.any()
    np.testing.assert_array_equal(removed, np.where(is_object | np.isnan(known), np.float32(np.nan), surface))
    np.testing.assert_array_equal(opening, whole(surface, radius))
    np.testing.assert_array_equal(marks, surface - opening > np.float32(2.0))
    # Products and sums in another order than np.gradient's: a few float32 steps.
    expected = np.hypot(*np.gradient(surface.astype(np.float64), 0.5))
    np.testing.assert_allclose(slope, expected, rtol=1e-5, atol=1e-5)


def test_thread_count_changes_no_bit():
    surface = np.random.default_rng(8).normal(10, 4, (400, 90)).astype(np.float32)
    surface[100:180, 20:60] = np.nan
    keep = numba.get_num_threads()
    many = smrf(surface, 1.0)
    try:
        numba.set_num_threads(1)
        one = smrf(surface, 1.0)
    finally:
        numba.set_num_threads(keep)
    for a, b in zip(many, one):
        np.testing.assert_array_equal(a, b)


def hillside(ny=90, nx=110):
    y, x = np.mgrid[:ny, :nx]
    return (100 + 0.1 * x + 0.05 * y).astype(np.float32)


def test_a_house_is_removed_and_the_hillside_under_it_restored():
    ground = hillside()
    surface = ground.copy()
    surface[30:50, 40:60] += 6
    surface[10:14, 10:30] = np.nan
    result = smrf(surface, 1.0)
    assert result.is_object[30:50, 40:60].all()
    assert result.is_object.sum() == 400
    # Six cycles of filling halve the first guess's error of some 0.3 m each: below 2 cm.
    np.testing.assert_allclose(result.ground, ground, atol=0.02)
    np.testing.assert_allclose(result.slope, np.hypot(0.1, 0.05), atol=0.01)


def test_an_echo_below_ground_is_a_low_outlier_and_pulls_nothing_down():
    surface = hillside()
    surface[40, 50] -= 20
    assert np.argwhere(low_outliers(surface, 5.0)).tolist() == [[40, 50]]
    np.testing.assert_allclose(smrf(surface, 1.0).ground, hillside(), atol=0.02)


def test_tolerance_grows_with_the_slope():
    flat = np.zeros((4, 4), np.float32)
    steep = np.full((4, 4), 0.5, np.float32)
    x = y = np.full(3, 2000, np.int32)
    z = np.array([449, 1049, 1051], np.int32)
    none = np.zeros((4, 4), bool)
    assert is_ground(x, y, z, SmrfSurface(flat, flat, none), 1000).tolist() == [True, False, False]
    assert is_ground(x, y, z, SmrfSurface(flat, steep, none), 1000).tolist() == [True, True, False]


def test_height_above_an_inclined_plane_is_exact_between_the_outer_cell_centres():
    ground = hillside(20, 30)
    random = np.random.default_rng(2)
    x = random.integers(500, 29_500, 1000, dtype=np.int32)
    y = random.integers(500, 19_500, 1000, dtype=np.int32)
    z = np.full(1000, 120_000, np.int32)
    expected = 120 - (100 + 0.1 * (x / 1000 - 0.5) + 0.05 * (y / 1000 - 0.5))
    # float32 heights near 100 m: steps of 8e-6 m.
    np.testing.assert_allclose(height_above(x, y, z, ground, 1000), expected, atol=2e-5)


def test_shuffled_points_get_the_same_answers_and_no_points_get_none():
    surface = smrf(hillside(), 1.0)
    random = np.random.default_rng(3)
    points = [random.integers(0, high, 2000, dtype=np.int32) for high in (110_000, 90_000, 130_000)]
    order = random.permutation(2000)
    straight = is_ground(*points, surface, 1000)
    assert 0 < straight.sum() < 2000
    np.testing.assert_array_equal(is_ground(*(p[order] for p in points), surface, 1000), straight[order])
    assert is_ground(*(p[:0] for p in points), surface, 1000).size == 0


def test_a_grid_of_one_cell_is_its_own_ground():
    result = smrf(np.float32([[7.5]]), 1.0)
    assert result.ground.tolist() == [[7.5]] and result.slope.tolist() == [[0.0]] and not result.is_object.any()


def test_a_grid_without_points_is_refused():
    with pytest.raises(ValueError, match="no valid cell"):
        smrf(np.full((3, 3), np.nan, np.float32), 1.0)


def test_window_of_18_m_is_36_cells_of_half_a_metre():
    assert window_cells(18.0, 0.5) == 36 and window_cells(18.0, 1.1) == 17 and window_cells(0.3, 1.0) == 1
