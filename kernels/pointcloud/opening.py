"""Morphological opening of a raster by an octagon: the lowest, then the highest value within the window around each cell.

An octagon of radius r is the sum of a square of half-width r - b and a diamond of radius b = 0.42 r. Minima over squares are
taken along rows, then across them, in windows of 2, 4, 8 ... cells and at last two that overlap; a diamond is b minima over a
cell and its four neighbours. The window ends at the edge of the grid. Minima are exact, so neither the order of the passes nor
a cut of the rows changes a bit; the highest value is the negative of the lowest of the negative.

On the GPU a pass reads a piece of the raster and its margin into shared memory, works there with two buffers that change
places, and writes the piece back, 4 bytes read and 4 written per cell and pass. Up to radius 8 one pass erodes by the whole
octagon; beyond, rows and columns take a pass each, and 8 steps of the diamond another (radius 18: three).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import get_num_threads, prange
from numpy.typing import NDArray

from felsina.kernels._backend import array_module, cell, gpu, on_gpu, rows, threads
from felsina.kernels._gpu import barrier

_BLOCK = 96  # rows of a block at least: halos of two windows are opened twice

# The pieces of the GPU's passes, with their margins: two buffers of each in 16 to 32 KiB of shared memory.
_SEGMENT, _SEGMENTS = np.int64(512), np.int64(4)  # cells of a row, and rows
_STRIP, _STRIPS = np.int64(256), np.int64(16)  # cells of a column, and columns: 64 bytes of a row are two whole sectors
_TILE_Y, _TILE_X, _MARGIN = np.int64(32), np.int64(64), np.int64(8)  # cells that a tile writes, and its margin at most
_FRAME_Y, _FRAME_X = _TILE_Y + 2 * _MARGIN, _TILE_X + 2 * _MARGIN
_LONGEST_ROW, _LONGEST_COLUMN = 128, 64  # half-widths of one pass; wider windows are several


class Octagon(NamedTuple):
    """A window: the half-width of its square and the radius of its diamond [cells]."""

    square: int
    diamond: int


def octagon(radius: int) -> Octagon:
    """Return the octagon of a radius [cells]: its diamond is 0.42 of it, rounded."""
    diamond = (42 * radius + 50) // 100
    return Octagon(radius - diamond, diamond)


def open_rows(surface: NDArray[np.float32], radius: int, j0: int, j1: int, out: NDArray[np.float32]) -> None:
    """Write rows [j0, j1) of the opening of a surface by an octagon; the window ends at the edge of the grid.

    Reads rows [j0 - 2 radius, j1 + 2 radius) of `surface`.

    Parameters
    ----------
    surface : (ny, nx) float32
        Surface without voids.
    radius : int
        Radius of the octagon [cells]: a square of half-width radius - b and a diamond of radius b = 0.42 radius, rounded.
    j0, j1 : int
        Rows to write.
    out : (ny, nx) float32
        The opened surface; another array than `surface`.
    """
    if j1 <= j0 or surface.size == 0:
        return
    window = octagon(radius)
    if on_gpu(surface, out):
        _open_on_gpu(surface, window, j0, j1, out)
        return
    # As few blocks as threads: what a block reads beyond its rows is opened twice, and the result does not depend on it.
    block = max(_BLOCK, -(-(j1 - j0) // get_num_threads())) if j1 - j0 < 8192 else 1024
    if block >= j1 - j0:
        _open_block(surface, window.square, window.diamond, j0, j1, out)
    else:
        _open_blocks(surface, window.square, window.diamond, j0, j1, block, out)


@cell
def lower(a, b):
    """Return the lower of two values."""
    return a if a < b else b


@rows
def _set(out, value):
    # Loops instead of slices of rows: slices cost the compiler another seven seconds (12.3 against 5.4).
    for i in range(out.size):
        out[i] = value


@rows
def _copy(a, out):
    for i in range(a.size):
        out[i] = a[i]


@rows
def _negate(a):
    for i in range(a.size):
        a[i] = -a[i]


@rows
def _lower(a, b, out):
    for i in range(out.size):
        out[i] = lower(a[i], b[i])


@rows
def _lowest_along(row, half, pad, out):
    """Write the minimum over 2 half + 1 cells of a row: windows of 2, 4, 8 ... cells, then two that overlap."""
    n, width = row.size, 2 * half + 1
    m = n + 2 * half
    for i in range(half):
        pad[i] = pad[half + n + i] = np.float32(np.inf)
    for i in range(n):
        pad[half + i] = row[i]
    covered = 1
    while 2 * covered <= width:
        for i in range(m - covered):
            pad[i] = lower(pad[i], pad[i + covered])
        covered *= 2
    rest = width - covered
    for i in range(n):
        out[i] = lower(pad[i], pad[i + rest])


@rows
def _lowest_across(a, half, work):
    """Replace each row of `a` by the minimum over 2 half + 1 rows, in the same way; `work` has 2 half more rows."""
    n, width = a.shape[0], 2 * half + 1
    m = n + 2 * half
    for j in range(half):
        _set(work[j], np.float32(np.inf))
        _set(work[half + n + j], np.float32(np.inf))
    for j in range(n):
        _copy(a[j], work[half + j])
    covered = 1
    while 2 * covered <= width:
        for j in range(m - covered):
            _lower(work[j], work[j + covered], work[j])
        covered *= 2
    rest = width - covered
    for j in range(n):
        _lower(work[j], work[j + rest], a[j])


@rows
def _lowest_cross(a, work):
    """Replace each cell of `a` by the minimum of itself and its four neighbours."""
    n, nx = a.shape
    for j in range(n):
        _copy(a[j], work[j])
    for j in range(n):
        here, out = work[j], a[j]
        _lower(work[max(j - 1, 0)], work[min(j + 1, n - 1)], out)
        for i in range(nx):
            side = lower(lower(here[max(i - 1, 0)], here[min(i + 1, nx - 1)]), here[i])
            out[i] = lower(out[i], side)


@rows
def _erode(a, square, diamond, pad, work):
    if square > 0:
        for j in range(a.shape[0]):
            _lowest_along(a[j], square, pad, a[j])
        _lowest_across(a, square, work)
    for _ in range(diamond):
        _lowest_cross(a, work)


@rows
def _open_block(surface, square, diamond, j0, j1, out):
    ny, nx = surface.shape
    halo = 2 * (square + diamond)
    top, bottom = max(j0 - halo, 0), min(j1 + halo, ny)
    a = np.empty((bottom - top, nx), np.float32)
    work = np.empty((bottom - top + 2 * square, nx), np.float32)
    pad = np.empty(nx + 2 * square, np.float32)
    for j in range(top, bottom):
        _copy(surface[j], a[j - top])
    _erode(a, square, diamond, pad, work)
    # The dilation is the erosion of the negative; rows within the halo of a cut are wrong by now, and left out.
    for j in range(a.shape[0]):
        _negate(a[j])
    _erode(a, square, diamond, pad, work)
    for j in range(j0, j1):
        _negate(a[j - top])
        _copy(a[j - top], out[j])


@threads
def _open_blocks(surface, square, diamond, j0, j1, block, out):
    for b in prange((j1 - j0 + block - 1) // block):
        _open_block(surface, square, diamond, j0 + b * block, min(j0 + (b + 1) * block, j1), out)


# -- GPU ------------------------------------------------------------------------------------------------------------------


def _open_on_gpu(surface: Any, window: Octagon, j0: int, j1: int, out: Any) -> None:
    halo = 2 * (window.square + window.diamond)
    top, bottom = max(j0 - halo, 0), min(j1 + halo, surface.shape[0])
    passes = _passes(window)
    n_pass = 2 * len(passes)
    scratch = [array_module(surface).empty((bottom - top, surface.shape[1]), np.float32) for _ in range(min(n_pass - 1, 2))]
    source = surface[top:bottom]
    for k, (kernel, *widths) in enumerate(passes * 2):
        # An erosion leaves the negative, which the dilation erodes again; only the last pass leaves out the halo's rows.
        is_last = k == n_pass - 1
        target, k0 = (out[j0:j1], j0 - top) if is_last else (scratch[k % 2], 0)
        sign = -1.0 if k % len(passes) == len(passes) - 1 else 1.0
        kernel(source, widths, sign, k0, target)
        source = target


def _passes(window: Octagon) -> list[tuple[Any, ...]]:
    """Return the passes of an erosion, each with its widths."""
    square, diamond = window
    if square + diamond <= _MARGIN:
        return [(_tile_pass, square, diamond)]
    made: list[tuple[Any, ...]] = []
    made += [(_row_pass, half) for half in _shared_out(square, _LONGEST_ROW)]
    made += [(_column_pass, half) for half in _shared_out(square, _LONGEST_COLUMN)]
    return made + [(_tile_pass, 0, steps) for steps in _shared_out(diamond, int(_MARGIN))]


def _shared_out(whole: int, most: int) -> list[int]:
    """Return about equal parts of a whole, none above `most`."""
    n = math.ceil(whole / most)
    return [whole * (k + 1) // n - whole * k // n for k in range(n)]


def _row_pass(source: Any, widths: list[int], sign: float, k0: int, target: Any) -> None:
    (half,), (n_row, nx) = widths, target.shape
    extent = -(-n_row // int(_SEGMENTS)) * 4, -(-nx // (int(_SEGMENT) - 2 * half)) * 64
    lowest_along_gpu(extent, source, target, n_row, nx, half, k0, sign)


def _column_pass(source: Any, widths: list[int], sign: float, k0: int, target: Any) -> None:
    (half,), (n_row, nx) = widths, target.shape
    extent = -(-n_row // (int(_STRIP) - 2 * half)) * 16, -(-nx // int(_STRIPS)) * 16
    lowest_across_gpu(extent, source, target, source.shape[0], n_row, nx, half, k0, sign)


def _tile_pass(source: Any, widths: list[int], sign: float, k0: int, target: Any) -> None:
    (square, diamond), (n_row, nx) = widths, target.shape
    extent = -(-n_row // int(_TILE_Y)) * 4, -(-nx // int(_TILE_X)) * int(_FRAME_X)
    erode_tile_gpu(extent, source, target, source.shape[0], n_row, nx, square, diamond, k0, sign)


@gpu("f4* f4* i8 i8 i8 i8 f4", dims=2, block=(64, 4), shared=("f4", 4096))
def lowest_along_gpu(block_j, block_i, thread_j, thread_i, words, source, out, n_row, nx, half, k0, sign):
    """Write sign x the minimum over 2 half + 1 cells of rows: rows [k0, k0 + n_row) of `source` to `out`."""
    j, own = np.int64(block_j) * _SEGMENTS + np.int64(thread_j), np.int64(thread_i)
    is_row = j < n_row
    first = np.int64(block_i) * (_SEGMENT - 2 * half) - half  # column that the block reads first
    m = min(_SEGMENT, nx + half - first)
    width = 2 * half + 1
    here, there = np.int64(thread_j) * _SEGMENT, (_SEGMENTS + np.int64(thread_j)) * _SEGMENT
    i = own
    while i < m:
        column = first + i
        is_inside = is_row and column >= 0 and column < nx
        words[np.uint32(here + i)] = source[(k0 + j) * nx + column] if is_inside else np.float32(np.inf)
        i += 64
    barrier()
    covered = np.int64(1)
    while 2 * covered <= width:
        i = own
        while i <= m - 2 * covered:
            words[np.uint32(there + i)] = lower(words[np.uint32(here + i)], words[np.uint32(here + i + covered)])
            i += 64
        barrier()
        here, there = there, here
        covered *= 2
    rest = width - covered
    i = own
    while is_row and i < m - 2 * half:
        lowest = lower(words[np.uint32(here + i)], words[np.uint32(here + i + rest)])
        out[j * nx + first + half + i] = sign * lowest
        i += 64


@gpu("f4* f4* i8 i8 i8 i8 i8 f4", dims=2, block=(16, 16), shared=("f4", 8192))
def lowest_across_gpu(block_j, block_i, thread_j, thread_i, words, source, out, n_source, n_row, nx, half, k0, sign):
    """Write sign x the minimum over 2 half + 1 cells of columns: rows [k0, k0 + n_row) of `source` to `out`."""
    column, own = np.int64(block_i) * _STRIPS + np.int64(thread_i), np.int64(thread_j)
    is_column = column < nx
    row = np.int64(block_j) * (_STRIP - 2 * half)  # first that the block writes
    first = k0 + row - half  # first that it reads
    m = min(_STRIP, n_row - row + 2 * half)
    width = 2 * half + 1
    here, there = np.int64(thread_i), _STRIP * _STRIPS + np.int64(thread_i)
    r = own
    while r < m:
        j = first + r
        is_inside = is_column and j >= 0 and j < n_source
        words[np.uint32(here + r * _STRIPS)] = source[j * nx + column] if is_inside else np.float32(np.inf)
        r += 16
    barrier()
    covered = np.int64(1)
    while 2 * covered <= width:
        r = own
        while r <= m - 2 * covered:
            k = here + r * _STRIPS
            words[np.uint32(there + r * _STRIPS)] = lower(words[np.uint32(k)], words[np.uint32(k + covered * _STRIPS)])
            r += 16
        barrier()
        here, there = there, here
        covered *= 2
    rest = width - covered
    r = own
    while is_column and r < m - 2 * half:
        k = here + r * _STRIPS
        out[(row + r) * nx + column] = sign * lower(words[np.uint32(k)], words[np.uint32(k + rest * _STRIPS)])
        r += 16


@gpu("f4* f4* i8 i8 i8 i8 i8 i8 f4", dims=2, block=(80, 4), shared=("f4", 7680))
def erode_tile_gpu(block_j, block_i, thread_j, thread_i, words, source, out, n_source, n_row, nx, square, diamond, k0, sign):
    """Write sign x the minimum over an octagon no wider than the margin: rows [k0, k0 + n_row) of `source` to `out`.

    A thread owns a column of the frame, whose cell (0, 0) moves south-east as the windows narrow it, and every fourth row.
    """
    own, c = np.int64(thread_j), np.int64(thread_i)
    margin = square + diamond
    row, column = np.int64(block_j) * _TILE_Y, np.int64(block_i) * _TILE_X  # first that the block writes
    n_j, n_i = min(_TILE_Y, n_row - row) + 2 * margin, min(_TILE_X, nx - column) + 2 * margin
    here, there = c, _FRAME_Y * _FRAME_X + c
    i = column - margin + c
    is_column = c < n_i and i >= 0 and i < nx
    r = own
    while r < n_j:
        j = k0 + row - margin + r
        is_inside = is_column and j >= 0 and j < n_source
        words[np.uint32(here + r * _FRAME_X)] = source[j * nx + i] if is_inside else np.float32(np.inf)
        r += 4
    barrier()
    covered, width = np.int64(1), 2 * square + 1
    while covered < width:
        is_last = 2 * covered > width
        reach, shift = (n_i - 2 * square, width - covered) if is_last else (n_i - 2 * covered + 1, covered)
        r = own
        while c < reach and r < n_j:
            k = here + r * _FRAME_X
            words[np.uint32(there + r * _FRAME_X)] = lower(words[np.uint32(k)], words[np.uint32(k + shift)])
            r += 4
        barrier()
        here, there = there, here
        covered *= 2
    n_i -= 2 * square
    covered = np.int64(1)
    while covered < width:
        is_last = 2 * covered > width
        reach, shift = (n_j - 2 * square, width - covered) if is_last else (n_j - 2 * covered + 1, covered)
        r = own
        while c < n_i and r < reach:
            k = here + r * _FRAME_X
            words[np.uint32(there + r * _FRAME_X)] = lower(words[np.uint32(k)], words[np.uint32(k + shift * _FRAME_X)])
            r += 4
        barrier()
        here, there = there, here
        covered *= 2
    n_j -= 2 * square
    for step in range(1, diamond + 1):
        # Each thread walks down a quarter of its column, and keeps what it has read above.
        share = (n_j - 2 * step + 3) // 4
        r = step + own * share
        last = min(r + share, n_j - step)
        if c >= step and c < n_i - step and r < last:
            k = here + r * _FRAME_X
            north, centre = words[np.uint32(k - _FRAME_X)], words[np.uint32(k)]
            while r < last:
                south = words[np.uint32(k + _FRAME_X)]
                side = lower(lower(words[np.uint32(k - 1)], words[np.uint32(k + 1)]), centre)
                words[np.uint32(k - here + there)] = lower(lower(north, south), side)
                north, centre = centre, south
                k += _FRAME_X
                r += 1
        barrier()
        here, there = there, here
    r = own
    while c < n_i - 2 * diamond and r < n_j - 2 * diamond:
        lowest = words[np.uint32(here + (diamond + r) * _FRAME_X + diamond)]
        out[(row + r) * nx + column + c] = sign * lowest
        r += 4
