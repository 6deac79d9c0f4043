from __future__ import annotations

import numpy as np
import pytest

from felsina.kernels.geometry.heights import NO_HEIGHT, level_roofs, measure_coverage, pick_percentiles


def test_percentiles_are_values_of_the_data_at_their_rank():
    z = np.array([5, 1, 4, 2, 3, 9], np.int64)
    offsets = np.array([0, 5, 5, 6])
    assert pick_percentiles(z, offsets, 0.5).tolist() == [3, NO_HEIGHT, 9]
    assert pick_percentiles(z, offsets, 0.0).tolist() == [1, NO_HEIGHT, 9]
    assert pick_percentiles(z, offsets, 1.0).tolist() == [5, NO_HEIGHT, 9]


def test_a_flat_roof_is_found_below_an_antenna_and_above_cars():
    random = np.random.default_rng(0)
    z = np.concatenate((random.integers(9990, 10011, 400), random.integers(0, 1400, 60), [25000, 26000, 27000]))
    roof = level_roofs(z, np.array([0, len(z)]), np.array([0]))
    assert abs(roof.height[0] - 10000) <= 2 and roof.n_point[0] == 400
    assert roof.rmse[0] < 0.011 and abs(roof.bias[0]) < 0.002


def test_the_fit_of_an_even_slope_has_its_closed_form():
    # Heights 4..8 m evenly: the level roof in the middle misses by sqrt(4**2 / 12) m.
    z = np.arange(4000, 8001)
    roof = level_roofs(z, np.array([0, len(z)]), np.array([0]))
    assert roof.height[0] == 6000 and roof.bias[0] == 0
    assert roof.rmse[0] == pytest.approx(4 / np.sqrt(12), rel=1e-3)
    assert roof.p95[0] == pytest.approx(1.9, abs=1e-3)


def test_the_order_of_points_and_a_translation_change_no_bit():
    random = np.random.default_rng(1)
    z, offsets = random.integers(2000, 9000, 900), np.array([0, 300, 300, 900])
    ground = np.array([0, 0, NO_HEIGHT])
    reference = level_roofs(z, offsets, ground)
    shuffled = np.concatenate((random.permutation(z[:300]), random.permutation(z[300:])))
    for a, b in zip(level_roofs(shuffled, offsets, ground), reference):
        assert np.array_equal(a, b, equal_nan=True)
    lifted = level_roofs(z + 10**8, offsets, np.array([10**8, 10**8, NO_HEIGHT]))
    assert (lifted.height - reference.height)[[0, 2]].tolist() == [10**8, 10**8]
    assert np.array_equal(lifted.rmse, reference.rmse, equal_nan=True)


def test_a_building_without_points_has_no_height_and_no_fit():
    roof = level_roofs(np.empty(0, np.int64), np.array([0, 0]), np.array([0]))
    assert roof.height[0] == NO_HEIGHT and roof.n_point[0] == 0 and np.isnan(roof.rmse[0])


def test_coverage_and_density_count_the_cells_that_are_hit(make_flat):
    # A 4 m x 2 m footprint has 32 cells of 0.5 m; its western half holds two points a cell.
    arrays = make_flat([[[(0, 0), (4000, 0), (4000, 2000), (0, 2000)]]])
    x, y = np.meshgrid(np.arange(100, 2000, 500), np.arange(100, 2000, 500))
    points = np.stack((np.tile(x.ravel(), 2), np.concatenate((y.ravel(), y.ravel() + 50))), 1)
    coverage, density, n_cell = measure_coverage(points, np.array([0, len(points)]), *arrays)
    assert (coverage[0], density[0], n_cell[0]) == (0.5, 8.0, 32)
