"""What an image says of each roof: sums over the cells well inside a footprint, in whole numbers that merge by +."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from felsina.kernels._backend import cell, rows

UNIT = 10_000  # parts of 1 that albedo and NDVI are summed in
CELLS, ALBEDO, NDVI_CELLS, NDVI, GREEN = range(5)  # columns of the sums


def empty_roof_sums(n_building: int) -> NDArray[np.int64]:
    """Return the (n_building, 5) sums before the first cell."""
    return np.zeros((n_building, 5), np.int64)


def add_roof_cells(
    building_index: NDArray[np.int32],
    albedo: NDArray[np.float32],
    ndvi: NDArray[np.float32],
    is_usable: NDArray[np.bool_],
    green_ndvi: float,
    first: int,
    last: int,
    sums: NDArray[np.int64],
) -> None:
    """Add the inner cells of every roof in rows [first, last) to its sums, in place.

    An inner cell and its eight neighbours are all of one building and all usable: it lies wholly in the footprint, a cell from
    its edge, and no edge of a shadow runs through it. Cells at the edge of the arrays are never inner: give a part a row more
    on either side.

    Parameters
    ----------
    building_index : (ny, nx) int32
        Row of the building table, -1 outside.
    albedo, ndvi : (ny, nx) float32
        [1], NaN where unknown; each is averaged over the inner cells where it is known.
    is_usable : (ny, nx) bool
        Roof, lit, and under no crown.
    green_ndvi : NDVI above which a roof is green [1]
    first, last : rows to add
    sums : (n_building, 5) int64
        Cells with an albedo, their sum [1e-4], cells with an NDVI, their sum [1e-4], those of them that are green.
    """
    _add(building_index, albedo, ndvi, is_usable, float(green_ndvi), first, last, sums)


@cell
def is_inner(index, usable, j, i):
    """Tell whether (j, i) and its eight neighbours are usable cells of one building."""
    ny, nx = index.shape
    if j < 1 or i < 1 or j + 1 >= ny or i + 1 >= nx:
        return False
    same = True
    for dj in range(-1, 2):
        for di in range(-1, 2):
            same &= (index[j + dj, i + di] == index[j, i]) & usable[j + dj, i + di]
    return same


@rows
def _add(index, albedo, ndvi, usable, green_ndvi, first, last, sums):
    for j in range(first, last):
        for i in range(index.shape[1]):
            k = index[j, i]
            if k < 0 or not is_inner(index, usable, j, i):
                continue
            if not math.isnan(albedo[j, i]):
                sums[k, CELLS] += 1
                sums[k, ALBEDO] += np.int64(math.floor(np.float64(albedo[j, i]) * UNIT + 0.5))
            if not math.isnan(ndvi[j, i]):
                sums[k, NDVI_CELLS] += 1
                sums[k, NDVI] += np.int64(math.floor(np.float64(ndvi[j, i]) * UNIT + 0.5))
                sums[k, GREEN] += np.int64(ndvi[j, i] > green_ndvi)


def roof_means(sums: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Return (n_building,) float64 `albedo`, `ndvi`, `green_share` [1] from all sums; NaN where a roof has no inner cell."""
    out = np.full((3, len(sums)), np.nan)
    _means(sums, out)
    return {"albedo": out[0], "ndvi": out[1], "green_share": out[2]}


@rows
def _means(sums, out):
    for k in range(sums.shape[0]):
        if sums[k, CELLS] > 0:
            out[0, k] = np.float64(sums[k, ALBEDO]) / np.float64(UNIT * sums[k, CELLS])
        if sums[k, NDVI_CELLS] > 0:
            out[1, k] = np.float64(sums[k, NDVI]) / np.float64(UNIT * sums[k, NDVI_CELLS])
            out[2, k] = np.float64(sums[k, GREEN]) / np.float64(sums[k, NDVI_CELLS])
