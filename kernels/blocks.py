"""Between nested grids: means, shares and maxima of blocks of cells, and the way back.

A coarse cell is a block of `factor` x `factor` fine cells. Sums run over a block in row order, so that a coarse cell has the
same bits wherever the grid is cut.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from felsina.kernels._backend import threads


def block_mean(fine: NDArray[np.floating[Any]], factor: int) -> NDArray[np.float32]:
    """Return the mean of each block.

    Parameters
    ----------
    fine : (ny factor, nx factor) float
    factor : fine cells along the edge of a coarse one

    Returns
    -------
    (ny, nx) float32; NaN where a cell of the block is NaN
    """
    ny, nx = _coarse_shape(fine, factor)
    out = np.empty((ny, nx), np.float32)
    _mean(fine, factor, out)
    return out


def block_mean_where(fine: NDArray[np.floating[Any]], mask: NDArray[np.bool_], factor: int) -> NDArray[np.float32]:
    """Return the mean of the masked cells of each block, (ny, nx) float32; NaN for a block without any."""
    ny, nx = _coarse_shape(fine, factor)
    out = np.empty((ny, nx), np.float32)
    _mean_where(fine, mask, factor, out)
    return out


def block_share(mask: NDArray[np.bool_], factor: int) -> NDArray[np.float32]:
    """Return the share of masked cells of each block, (ny, nx) float32 in 0..1."""
    ny, nx = _coarse_shape(mask, factor)
    out = np.empty((ny, nx), np.float32)
    _share(mask, factor, out)
    return out


def block_mode(codes: NDArray[np.integer[Any]], factor: int) -> NDArray[np.int8]:
    """Return the most frequent code 0..127 of each block, (ny, nx) int8; of equally frequent ones the smallest."""
    ny, nx = _coarse_shape(codes, factor)
    out = np.empty((ny, nx), np.int8)
    _mode(codes, factor, out)
    return out


def spread(coarse: NDArray[Any], factor: int) -> NDArray[Any]:
    """Return the fine grid in which every cell of a block has the block's value: conservative, no interpolation."""
    return np.repeat(np.repeat(coarse, factor, axis=-2), factor, axis=-1)


def _coarse_shape(fine: NDArray[Any], factor: int) -> tuple[int, int]:
    ny, nx = fine.shape
    if factor < 1 or ny % factor or nx % factor:
        raise ValueError(f"A grid of {ny} x {nx} cells has no whole blocks of {factor} x {factor}.")
    return ny // factor, nx // factor


@threads
def _mean(fine, factor, out):
    for j in prange(out.shape[0]):
        for i in range(out.shape[1]):
            total = 0.0
            for dj in range(factor):
                for di in range(factor):
                    total += np.float64(fine[j * factor + dj, i * factor + di])
            out[j, i] = np.float32(total / (factor * factor))


@threads
def _mean_where(fine, mask, factor, out):
    for j in prange(out.shape[0]):
        for i in range(out.shape[1]):
            total = 0.0
            count = 0
            for dj in range(factor):
                for di in range(factor):
                    if mask[j * factor + dj, i * factor + di]:
                        total += np.float64(fine[j * factor + dj, i * factor + di])
                        count += 1
            out[j, i] = np.float32(total / count) if count > 0 else np.float32(np.nan)


@threads
def _share(mask, factor, out):
    for j in prange(out.shape[0]):
        for i in range(out.shape[1]):
            count = 0
            for dj in range(factor):
                for di in range(factor):
                    if mask[j * factor + dj, i * factor + di]:
                        count += 1
            out[j, i] = np.float32(count / (factor * factor))


@threads
def _mode(codes, factor, out):
    for j in prange(out.shape[0]):
        for i in range(out.shape[1]):
            seen = np.zeros(128, np.int32)
            for dj in range(factor):
                for di in range(factor):
                    seen[codes[j * factor + dj, i * factor + di]] += 1
            best = 0
            for code in range(128):
                if seen[code] > seen[best]:
                    best = code
            out[j, i] = best
