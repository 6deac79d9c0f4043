"""Bounds hold back numbers and let the unknown through."""

import math

import numba

from felsina.kernels.bounds import at_least, at_most


@numba.njit
def bounded(value):
    return at_least(value, -1.0), at_most(value, 2.0)


def test_numbers_are_held_within_the_bounds():
    assert bounded(-3.0) == (-1.0, -3.0)
    assert bounded(0.5) == (0.5, 0.5)
    assert bounded(7.0) == (7.0, 2.0)


def test_the_unknown_stays_unknown():
    assert all(math.isnan(v) for v in bounded(math.nan))
