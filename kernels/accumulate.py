"""Sums and extremes of maps over time and space, to the same bits however the maps are cut.

A sum over a map is one of whole units (milliwatts, millimetres), which no order of addition changes; a mean over time is summed
cell by cell in double precision, hour after hour.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from felsina.kernels._backend import cell, gpu, on_gpu, threads
from felsina.kernels._gpu import atomic_add
from felsina.kernels.bounds import at_least

BLOCK = 4096  # values per thread task


@cell
def whole(value, per_unit):
    """A value in whole units, rounded half up, as a 64-bit integer; 0 for NaN, which processors convert each in its own way."""
    shifted = np.float64(value) * per_unit + 0.5
    return np.int64(math.floor(shifted if shifted == shifted else 0.0))


@threads
def _whole_sum(values, per_unit, part):
    for block in prange(part.size):
        total = np.int64(0)
        for i in range(block * BLOCK, min(values.size, (block + 1) * BLOCK)):
            total += whole(values[i], per_unit)
        part[block] = total


@gpu("f4* f8 i8* u4", block=(256,))
def whole_sum_gpu(element, values, per_unit, total, n):
    # One addition for 32 values: a million threads that add to one word wait for each other.
    found = np.int64(0)
    stride = (n + np.uint32(31)) >> np.uint32(5)
    i = element
    while i < n:
        found += whole(values[i], per_unit)
        i += stride
    atomic_add(total, 0, found)


def whole_sum(values: NDArray[np.float32], per_unit: float, total: NDArray[np.int64]) -> None:
    """Add the sum of a map, in whole units, to `total`; NaN adds nothing.

    Parameters
    ----------
    values : (n,) float32
    per_unit : float
        Units in 1: 1000 to sum watts in milliwatts.
    total : (1,) int64
        In and out.
    """
    if values.size == 0:
        return
    if on_gpu(values, total):
        whole_sum_gpu(((values.size + 31) // 32,), values, per_unit, total, values.size)
        return
    part = np.zeros(math.ceil(values.size / BLOCK), np.int64)
    _whole_sum(values, float(per_unit), part)
    total[0] += part.sum()


@threads
def _take_hour(air, surface, sun, air_sum, sun_sum, air_most, surface_most):
    for block in prange((air.size + BLOCK - 1) // BLOCK):
        for i in range(block * BLOCK, min(air.size, (block + 1) * BLOCK)):
            air_sum[i] += air[i]
            sun_sum[i] += sun[i]
            air_most[i] = at_least(air_most[i], air[i])
            surface_most[i] = at_least(surface_most[i], surface[i])


@gpu("f4* f4* f4* f8* f8* f4* f4*")
def take_hour_gpu(i, air, surface, sun, air_sum, sun_sum, air_most, surface_most):
    air_sum[i] += air[i]
    sun_sum[i] += sun[i]
    air_most[i] = at_least(air_most[i], air[i])
    surface_most[i] = at_least(surface_most[i], surface[i])


def take_hour(
    air_temperature: NDArray[np.float32],
    surface_temperature: NDArray[np.float32],
    sun_hours: NDArray[np.float32],
    air_sum: NDArray[np.float64],
    sun_sum: NDArray[np.float64],
    air_maximum: NDArray[np.float32],
    surface_maximum: NDArray[np.float32],
) -> None:
    """Take the maps of an hour into the sums and maxima of some days, in place; all (n,).

    Parameters
    ----------
    air_temperature, surface_temperature : float32
        Of the hour [degC].
    sun_hours : float32
        Share of the hour with sun [h].
    air_sum, sun_sum : float64
        Sums so far [degC], [h].
    air_maximum, surface_maximum : float32
        Highest so far [degC]: an hour without a value does not count, NaN stays.
    """
    arrays: tuple[Any, ...] = (
        air_temperature, surface_temperature, sun_hours, air_sum, sun_sum, air_maximum, surface_maximum,
    )  # fmt: skip
    if air_temperature.size == 0:
        return
    if on_gpu(*arrays):
        take_hour_gpu((air_temperature.size,), *arrays)
    else:
        _take_hour(*arrays)
