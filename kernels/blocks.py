"""Between nested grids: means, shares and maxima of blocks of cells, and the way back.

A coarse cell is a block of `factor` x `factor` fine cells. Sums run over a block in row order, so that a coarse cell has the
same bits wherever the grid is cut.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from felsina.kernels._backend import array_module, cell, gpu, on_gpu, threads


def block_mean(fine: NDArray[np.floating[Any]], factor: int, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """Return the mean of each block.

    Parameters
    ----------
    fine : (ny factor, nx factor) float, on the GPU float32
    factor : fine cells along the edge of a coarse one
    out : (ny, nx) float32
        Receives the means; a new array by default.

    Returns
    -------
    (ny, nx) float32; NaN where a cell of the block is NaN
    """
    ny, nx = _coarse_shape(fine, factor)
    out = array_module(fine).empty((ny, nx), np.float32) if out is None else _of_shape(out, (ny, nx))
    if on_gpu(fine, out):
        mean_gpu((ny, nx), fine, out, factor, nx, factor * factor)
    else:
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


def spread(coarse: NDArray[Any], factor: int, out: NDArray[Any] | None = None) -> NDArray[Any]:
    """Return the fine grid in which every cell of a block has the block's value: conservative, no interpolation.

    `coarse` is (..., ny, nx) of any type; on the GPU (ny, nx) of a type of four bytes. `out` receives the result.
    """
    *outer, ny, nx = coarse.shape
    shape = (*outer, ny * factor, nx * factor)
    out = array_module(coarse).empty(shape, coarse.dtype) if out is None else _of_shape(out, shape)
    if not on_gpu(coarse, out):
        out.reshape(*outer, ny, factor, nx, factor)[...] = coarse[..., :, None, :, None]
        return out
    if coarse.dtype != out.dtype or coarse.dtype.itemsize != 4 or outer:
        raise TypeError(f"The GPU spreads maps of four-byte numbers, not {coarse.ndim}-d {coarse.dtype} to {out.dtype}.")
    spread_gpu((ny * factor, nx * factor), coarse.view(np.uint32), out.view(np.uint32), factor, nx)
    return out


def _of_shape(out: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    if out.shape != shape or not out.flags.c_contiguous:
        raise ValueError(f"The result must be a C-contiguous array of {shape}, not one of {out.shape}.")
    return out


def _coarse_shape(fine: NDArray[Any], factor: int) -> tuple[int, int]:
    ny, nx = fine.shape
    if factor < 1 or ny % factor or nx % factor:
        raise ValueError(f"A grid of {ny} x {nx} cells has no whole blocks of {factor} x {factor}.")
    return ny // factor, nx // factor


@cell
def mean_of_block(fine, first, factor, step, count):
    """Mean of the block from flat index `first`, rows `step` apart; summed in float64 row by row, `count` = factor squared."""
    total = 0.0
    row, dj = first, np.uint32(0)
    while dj < factor:
        q, di = row, np.uint32(0)
        while di < factor:
            total += np.float64(fine[q])
            q, di = np.uint64(q + np.uint64(1)), np.uint32(di + np.uint32(1))
        row, dj = np.uint64(row + step), np.uint32(dj + np.uint32(1))
    return np.float32(total / count)


@threads
def _mean_of_rows(fine, factor, count, out):
    nx = out.shape[1]
    step = np.uint64(nx * factor)
    for j in prange(out.shape[0]):
        for i in range(nx):
            out[j, i] = mean_of_block(fine, np.uint64((j * nx * factor + i) * factor), np.uint32(factor), step, count)


def _mean(fine: NDArray[Any], factor: int, out: NDArray[np.float32]) -> None:
    _mean_of_rows(fine.reshape(-1), factor, float(factor * factor), out)


@gpu("f4* f4* u4 u4 f8", dims=2)
def mean_gpu(j, i, fine, out, factor, nx, count):
    width = np.uint64(np.uint32(nx * factor))
    first = np.uint64(j) * np.uint64(factor) * width + np.uint64(np.uint32(i * factor))
    out[np.uint32(np.uint32(j * nx) + i)] = mean_of_block(fine, first, factor, width, count)


@gpu("u4* u4* u4 u4", dims=2)
def spread_gpu(j, i, coarse, out, factor, nx):
    block = np.uint32(np.uint32(np.uint32(j // factor) * nx) + np.uint32(i // factor))
    out[np.uint32(np.uint32(j * np.uint32(nx * factor)) + i)] = coarse[block]


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
