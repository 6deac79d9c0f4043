"""Published values are whole quanta, and equal values are equal bytes."""

from __future__ import annotations

import numpy as np
import pytest

from felsina.engine.io.quantise import quantise


def test_halves_go_to_the_even_multiple():
    assert quantise([0.5, 1.5, 2.5, -0.5], 1.0, np.dtype("f8")).tolist() == [0.0, 2.0, 2.0, 0.0]


def test_decimals_are_the_doubles_nearest_to_them():
    values = np.random.default_rng(0).uniform(-1e6, 1e6, 10_000)
    assert quantise(values, 0.001, np.dtype("f8")).tolist() == [float(f"{v:.3f}") for v in values]


@pytest.mark.parametrize("quantum", [0.001, 0.01, 0.1, 1.0, 0.25, 5.0, 0.3])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_quantising_twice_changes_nothing_and_the_error_is_half_a_quantum(quantum, dtype):
    values = np.random.default_rng(1).uniform(-1000, 1000, 10_000)
    once = quantise(values, quantum, np.dtype(dtype))
    np.testing.assert_array_equal(quantise(once, quantum, np.dtype(dtype)), once)
    # Half a quantum, and half a unit in the last place of the dtype at 1000.
    assert np.abs(once - values).max() <= quantum / 2 + np.spacing(np.array(1000.0, dtype))


@pytest.mark.parametrize("quantum", [0.0, 0.01])
def test_there_is_one_zero_and_one_nan(quantum):
    odd_nan = np.array([0xFFC12345], np.uint32).view(np.float32)[0]
    result = quantise(np.array([-0.0, -1e-9 if quantum else -0.0, odd_nan, np.nan], np.float32), quantum, np.dtype("f4"))
    assert result.view(np.uint32).tolist() == [0, 0, 0x7FC00000, 0x7FC00000]


def test_without_a_quantum_every_bit_is_kept():
    values = np.random.default_rng(2).normal(size=100)
    assert quantise(values, 0.0, np.dtype("f8")).tobytes() == values.tobytes()
