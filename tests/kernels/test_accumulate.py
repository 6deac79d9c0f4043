import numpy as np
import pytest

from felsina.kernels.accumulate import BLOCK, take_hour, whole_sum


@pytest.mark.parametrize("n", [0, 1, BLOCK, 3 * BLOCK + 17])
def test_a_map_is_summed_in_whole_units(n):
    values = np.random.default_rng(1).normal(0, 300, n).astype(np.float32)
    total = np.array([5], np.int64)
    whole_sum(values, 1000.0, total)
    assert total[0] == 5 + np.floor(values.astype(np.float64) * 1000.0 + 0.5).astype(np.int64).sum()


def test_no_cut_of_a_map_changes_its_sum():
    values = np.random.default_rng(2).normal(0, 1e6, 10_000).astype(np.float32)
    once, parts = np.zeros(1, np.int64), np.zeros(1, np.int64)
    whole_sum(values, 1000.0, once)
    for part in np.split(values, [1, 77, 5_000, 5_001]):
        whole_sum(part, 1000.0, parts)
    assert once[0] == parts[0]


def test_hours_are_summed_in_double_precision_and_their_maxima_kept():
    rng = np.random.default_rng(3)
    hours = rng.normal(25, 5, (3, 24, 9_001)).astype(np.float32)
    sums, most = np.zeros((2, 9_001)), np.full((2, 9_001), -np.inf, np.float32)
    for air, surface, sun in zip(*hours, strict=True):
        take_hour(air, surface, sun, sums[0], sums[1], most[0], most[1])
    expected = [np.zeros(9_001), np.zeros(9_001)]
    for k, name in enumerate((0, 2)):
        for values in hours[name]:
            expected[k] += values
    np.testing.assert_array_equal(sums, expected)
    np.testing.assert_array_equal(most, hours[:2].max(axis=1))


def test_what_is_unknown_adds_nothing_to_a_sum_and_is_no_maximum():
    values = np.array([1.5, np.nan, 2.25], np.float32)
    total = np.zeros(1, np.int64)
    whole_sum(values, 1000.0, total)
    assert total[0] == 3750
    most = np.array([20.0, 20.0, np.nan], np.float32)
    take_hour(values, values, values, np.zeros(3), np.zeros(3), most, most.copy())
    np.testing.assert_array_equal(most, np.float32([20.0, 20.0, np.nan]))
