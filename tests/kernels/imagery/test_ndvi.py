import numpy as np

from felsina.kernels.imagery.ndvi import normalised_difference, summed_difference


def test_the_index_is_the_difference_over_the_sum_whatever_the_scale():
    nir, red = np.array([0.4, 0.1, 0.0], "f4"), np.array([0.1, 0.1, 0.2], "f4")
    np.testing.assert_allclose(normalised_difference(nir, red), [0.6, 0.0, -1.0], rtol=1e-6)
    np.testing.assert_allclose(normalised_difference(nir * np.float32(255), red * np.float32(255)), [0.6, 0.0, -1.0], rtol=1e-6)


def test_nothing_is_known_of_darkness_and_of_missing_bands():
    a, b = np.array([0.0, np.nan, 0.2, -0.1], "f4"), np.array([0.0, 0.1, np.nan, 0.0], "f4")
    assert np.isnan(normalised_difference(a, b)).all()
    assert np.isnan(summed_difference(np.zeros(2, np.int64), np.zeros(2, np.int64))).all()


def test_a_reflectance_below_zero_counts_as_none():
    assert normalised_difference(np.array([0.3], "f4"), np.array([-0.02], "f4")) == 1.0


def test_sums_beyond_single_precision_keep_their_difference():
    a, b = np.array([2**40 + 2**20]), np.array([2**40])
    np.testing.assert_allclose(summed_difference(a, b), 2**20 / (2**41 + 2**20), rtol=1e-6)


def test_rows_may_be_cut_anywhere():
    random = np.random.default_rng(5)
    a, b = random.random((2, 50, 37)).astype("f4")
    parts = [normalised_difference(a[s], b[s]) for s in (slice(0, 7), slice(7, 8), slice(8, 50))]
    np.testing.assert_array_equal(np.concatenate(parts), normalised_difference(a, b))
