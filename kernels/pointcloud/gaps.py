"""Void cells of a raster filled smoothly: Laplace's equation over the voids, by a pyramid that belongs to the whole grid.

    sum over neighbours k of (u_k - u) = 0   in every void cell, u = the given value in every valid cell,

with no flux through the edge of the grid. The start is push-pull (means of 2 x 2 valid cells down the pyramid, bilinear
interpolation up); then a fixed number of multigrid cycles relaxes it on every level (`pyramid`). Levels, sweeps and cycles
depend on the grid alone, and each step reads some arrays and writes another cell by cell: wherever its rows are cut, the bits
are the same.

`fill_gaps` does everything in one process. Ranks that share a grid run `GapFilling.steps()` instead: every step on
each rank's rows [j0, j1) of `step.n_row`, with a barrier (and `step.written` exchanged) between one step and the next.

Push-pull: Gortler, Grzeszczuk, Szeliski & Cohen 1996, The lumigraph, doi:10.1145/237170.237200 (section 3.4).
Multigrid: Briggs, Henson & McCormick 2000, A multigrid tutorial, doi:10.1137/1.9780898719505.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numba import get_num_threads, prange
from numpy.typing import NDArray

from felsina.kernels._backend import cell, rows, threads
from felsina.kernels.pointcloud import pyramid

CYCLES = 16  # restores a plane over voids of 120 cells to float32 rounding
_SWEEPS = 2  # before and after each coarse correction
_BOTTOM_SWEEPS = 8  # on the coarsest level, which has no room for more than a few unknown cells
_BLOCK = 32  # rows a thread takes at a time
_THREADED_CELLS = 1 << 15  # a level below this is done sooner than threads are woken


class Step(NamedTuple):
    """One step of the filling; all its rows end before the next step begins.

    Attributes
    ----------
    n_row : int
        Number of rows to share out.
    run : callable
        `run(j0, j1)` works on rows [j0, j1).
    written : (n_row, nx) array
        The one array that the step writes, in those rows only.
    """

    n_row: int
    run: Callable[[int, int], None]
    written: NDArray[Any]


def fill_gaps(grid: NDArray[np.float32], cycles: int = CYCLES) -> NDArray[np.float32]:
    """Fill the void cells of a raster harmonically from the cells around them.

    Parameters
    ----------
    grid : (ny, nx) float32
        Values, NaN where void.
    cycles : int
        Multigrid cycles; each about halves what is left of the error.

    Returns
    -------
    (ny, nx) float32
        A copy without voids; valid cells keep their bits.

    Raises
    ------
    ValueError
        When no cell is valid.
    """
    if grid.size == 0:
        return grid.copy()
    filling = GapFilling(grid, cycles)
    for step in filling.steps():
        step.run(0, step.n_row)
    return filling.filled()


class _Level(NamedTuple):
    """One level of the pyramid: values or corrections `u`, their twin for relaxation, right-hand side, void mask.

    Coarse levels also have conductances east and south and to the shore (`pyramid`); on the finest they are empty.
    """

    u: NDArray[np.float32]
    twin: NDArray[np.float32]
    rhs: NDArray[np.float32]
    is_void: NDArray[np.uint8]
    cx: NDArray[np.float32]
    cy: NDArray[np.float32]
    shore: NDArray[np.float32]


class GapFilling:
    """The filling of one grid, as a sequence of steps over row ranges.

    Parameters
    ----------
    grid : (ny, nx) float32
        Values, NaN where void; not written to.
    cycles : int
        Number of multigrid cycles.
    allocate : callable, optional
        `allocate(shape, dtype)` returns a zeroed array; ranks pass one that makes arrays they share.
    """

    def __init__(
        self, grid: NDArray[np.float32], cycles: int = CYCLES, allocate: Callable[[tuple[int, int], Any], Any] = np.zeros
    ) -> None:
        low, high, n_valid = _range(grid)
        if n_valid == 0:
            raise ValueError(
                f"The raster of {grid.shape[0]} x {grid.shape[1]} cells has no valid cell, so there is nothing to fill it from."
            )
        self._grid = grid
        self._cycles = cycles
        # Heights above the middle of their range instead of above the sea: float32 then resolves a finer step.
        self._offset = np.float32(0.5 * (float(low) + float(high)))
        self._levels: list[_Level] = []
        ny, nx = grid.shape
        while True:
            own = [allocate((ny, nx), t) for t in (np.float32, np.float32, np.float32, np.uint8)]
            is_finest = not self._levels
            self._levels.append(_Level(*own, *(allocate((0, 0) if is_finest else (ny, nx), np.float32) for _ in range(3))))
            if ny == 1 and nx == 1:
                break
            ny, nx = (ny + 1) // 2, (nx + 1) // 2
        self._n_void = grid.size - n_valid

    def steps(self) -> Iterator[Step]:
        """Yield the steps in their order."""
        levels = self._levels
        fine = levels[0]
        yield _step(_start_void, fine.is_void, (self._grid, fine.is_void))
        yield _step(_start, fine.u, (self._grid, self._offset, fine.u))
        if self._n_void == 0:
            return
        for fine, coarse in pairwise(levels):
            yield _step(_push_void, coarse.is_void, (fine.is_void, coarse.is_void))
            yield _step(_push, coarse.u, (fine.u, fine.is_void, coarse.u))
        for coarse, fine in zip(levels[:0:-1], levels[-2::-1], strict=True):
            yield _step(_pull, fine.u, (coarse.u, fine.is_void, fine.u))
        first = levels[1] if len(levels) > 1 else None
        if first is not None:
            for kernel, written in (
                (pyramid.first_cx, first.cx),
                (pyramid.first_cy, first.cy),
                (pyramid.first_shore, first.shore),
            ):
                yield _step(kernel, written, (levels[0].is_void, written))
        for fine, coarse in pairwise(levels[1:]):
            yield _step(pyramid.next_cx, coarse.cx, (fine.cx, coarse.cx))
            yield _step(pyramid.next_cy, coarse.cy, (fine.cy, coarse.cy))
            yield _step(pyramid.next_shore, coarse.shore, (fine.shore, coarse.shore))
        for _ in range(self._cycles):
            yield from self._cycle()

    def _cycle(self) -> Iterator[Step]:
        levels = self._levels
        for fine, coarse in pairwise(levels):
            yield from _relaxed(fine, _SWEEPS)
            if fine is levels[0]:
                yield _step(_RESTRICT, coarse.rhs, (fine.u, fine.rhs, fine.is_void, coarse.rhs))
            else:
                yield _step(pyramid.restrict, coarse.rhs, (fine.u, fine.rhs, fine.cx, fine.cy, fine.shore, coarse.rhs))
            yield _step(_clear, coarse.u, (coarse.u,))
        yield from _relaxed(levels[-1], _BOTTOM_SWEEPS)
        for coarse, fine in zip(levels[:0:-1], levels[-2::-1], strict=True):
            if fine is levels[0]:
                yield _step(_PROLONG, fine.u, (coarse.u, fine.is_void, fine.u))
            else:
                yield _step(pyramid.prolong, fine.u, (coarse.u, fine.u))
            yield from _relaxed(fine, _SWEEPS)

    def filled(self) -> NDArray[np.float32]:
        """Return the filled raster as a new (ny, nx) float32 array, after the last step."""
        out = np.empty_like(self._grid)
        fine = self._levels[0]
        _finish(self._grid, fine.u, self._offset, out)
        return out


def _step(kernel: Any, written: NDArray[Any], arguments: tuple[Any, ...]) -> Step:
    if isinstance(kernel, tuple):
        kernel = kernel[written.size >= _THREADED_CELLS and get_num_threads() > 1]
    return Step(written.shape[0], lambda j0, j1: kernel(*arguments, j0, j1), written)


def _relaxed(level: _Level, sweeps: int) -> Iterator[Step]:
    # Forth and back, so an even number of sweeps ends in `u` again.
    for _ in range(sweeps // 2):
        for u, out in ((level.u, level.twin), (level.twin, level.u)):
            if level.cx.size:
                yield _step(pyramid.RELAX, out, (u, level.rhs, level.cx, level.cy, level.shore, out))
            else:
                yield _step(_RELAX, out, (u, level.rhs, level.is_void, out))


@rows
def _range(grid):
    low, high, n_valid = np.float32(np.inf), np.float32(-np.inf), 0
    for value in grid.flat:
        if not np.isnan(value):
            low, high = min(low, value), max(high, value)
            n_valid += 1
    return low, high, n_valid


@rows
def _start_void(grid, is_void, j0, j1):
    for j in range(j0, j1):
        for i in range(grid.shape[1]):
            is_void[j, i] = np.uint8(np.isnan(grid[j, i]))


@rows
def _start(grid, offset, u, j0, j1):
    for j in range(j0, j1):
        for i in range(grid.shape[1]):
            value = grid[j, i]
            u[j, i] = np.float32(0.0) if np.isnan(value) else value - offset


@rows
def _clear(u, j0, j1):
    """Start a coarse correction from 0."""
    u[j0:j1] = np.float32(0.0)


@rows
def _finish(grid, u, offset, out):
    for j in range(grid.shape[0]):
        for i in range(grid.shape[1]):
            value = grid[j, i]
            out[j, i] = u[j, i] + offset if np.isnan(value) else value


@rows
def _push_void(is_void, coarse_void, j0, j1):
    """Mark a coarse cell void when all of its 2 x 2 cells are."""
    ny, nx = is_void.shape
    for j in range(j0, j1):
        south = min(2 * j + 1, ny - 1)
        for i in range(coarse_void.shape[1]):
            east = min(2 * i + 1, nx - 1)
            coarse_void[j, i] = is_void[2 * j, 2 * i] & is_void[2 * j, east] & is_void[south, 2 * i] & is_void[south, east]


@rows
def _push(u, is_void, coarse, j0, j1):
    """Write the mean of the valid ones of 2 x 2 cells."""
    ny, nx = u.shape
    for j in range(j0, j1):
        for i in range(coarse.shape[1]):
            total, n = np.float32(0.0), np.float32(0.0)
            for jj in range(2 * j, min(2 * j + 2, ny)):
                for ii in range(2 * i, min(2 * i + 2, nx)):
                    if is_void[jj, ii] == 0:
                        total += u[jj, ii]
                        n += np.float32(1.0)
            coarse[j, i] = total / n if n > 0 else np.float32(0.0)


@cell
def _interpolated(near, far, i, n):
    """Return the bilinear value at fine column i from the nearer and the farther coarse row: weights 9/16, 3/16, 3/16, 1/16."""
    k = i >> 1
    other = min(k + 1, n - 1) if i & 1 else max(k - 1, 0)
    a = np.float32(0.75) * near[k] + np.float32(0.25) * far[k]
    b = np.float32(0.75) * near[other] + np.float32(0.25) * far[other]
    return np.float32(0.75) * a + np.float32(0.25) * b


@rows
def _pull(coarse, is_void, u, j0, j1):
    """Write the interpolated coarse value into the void cells."""
    ny, nx = coarse.shape
    for j in range(j0, j1):
        k = j >> 1
        near, far = coarse[k], coarse[min(k + 1, ny - 1) if j & 1 else max(k - 1, 0)]
        for i in range(u.shape[1]):
            if is_void[j, i]:
                u[j, i] = _interpolated(near, far, i, nx)


@rows
def _prolong(coarse, is_void, u, j0, j1):
    """Add the coarse correction of its block to each void cell."""
    for j in range(j0, j1):
        for i in range(u.shape[1]):
            if is_void[j, i]:
                u[j, i] += coarse[j >> 1, i >> 1]


@cell
def _residual(north, here, south, west, east, rhs):
    return rhs + ((north - here) + (south - here)) + ((west - here) + (east - here))


@rows
def _relax_row(north, here, south, rhs, is_void, out):
    """Damped Jacobi: u + 0.8 / 4 x residual in void cells; a neighbour beyond the edge equals the cell itself."""
    n = here.size
    weight = np.float32(0.2)
    for i in range(n):
        west, east = here[max(i - 1, 0)], here[min(i + 1, n - 1)]
        step = weight * _residual(north[i], here[i], south[i], west, east, rhs[i])
        out[i] = here[i] + (step if is_void[i] else np.float32(0.0))


@rows
def _relax(u, rhs, is_void, out, j0, j1):
    last = u.shape[0] - 1
    for j in range(j0, j1):
        _relax_row(u[max(j - 1, 0)], u[j], u[min(j + 1, last)], rhs[j], is_void[j], out[j])


@rows
def _restrict_row(u, rhs, is_void, j, first, coarse_rhs):
    """Add the residuals of the void cells of fine row j to the coarse right-hand side."""
    last, n = u.shape[0] - 1, u.shape[1]
    north, here, south = u[max(j - 1, 0)], u[j], u[min(j + 1, last)]
    for i in range(coarse_rhs.size):
        total = np.float32(0.0)
        for k in range(2 * i, min(2 * i + 2, n)):
            if is_void[j, k]:
                total += _residual(north[k], here[k], south[k], here[max(k - 1, 0)], here[min(k + 1, n - 1)], rhs[j, k])
        coarse_rhs[i] = total if first else coarse_rhs[i] + total


@rows
def _restrict(u, rhs, is_void, coarse_rhs, j0, j1):
    for j in range(j0, j1):
        _restrict_row(u, rhs, is_void, 2 * j, True, coarse_rhs[j])
        if 2 * j + 1 < u.shape[0]:
            _restrict_row(u, rhs, is_void, 2 * j + 1, False, coarse_rhs[j])


@threads
def _relax_threads(u, rhs, is_void, out, j0, j1):
    for b in prange((j1 - j0 + _BLOCK - 1) // _BLOCK):
        _relax(u, rhs, is_void, out, j0 + b * _BLOCK, min(j0 + (b + 1) * _BLOCK, j1))


@threads
def _restrict_threads(u, rhs, is_void, coarse_rhs, j0, j1):
    for b in prange((j1 - j0 + _BLOCK - 1) // _BLOCK):
        _restrict(u, rhs, is_void, coarse_rhs, j0 + b * _BLOCK, min(j0 + (b + 1) * _BLOCK, j1))


@threads
def _prolong_threads(coarse, is_void, u, j0, j1):
    for b in prange((j1 - j0 + _BLOCK - 1) // _BLOCK):
        _prolong(coarse, is_void, u, j0 + b * _BLOCK, min(j0 + (b + 1) * _BLOCK, j1))


# Serial and threaded drivers of the steps that take the time.
_RELAX = (_relax, _relax_threads)
_RESTRICT = (_restrict, _restrict_threads)
_PROLONG = (_prolong, _prolong_threads)
