"""Void cells of a raster filled smoothly: Laplace's equation over the voids, by a pyramid that belongs to the whole grid.

    sum over neighbours k of (u_k - u) = 0   in every void cell, u = the given value in every valid cell,

with no flux through the edge of the grid. The start is push-pull (means of 2 x 2 valid cells down the pyramid, bilinear
interpolation up); then a fixed number of multigrid cycles relaxes it on every level (`pyramid`). Levels, sweeps and cycles
depend on the grid alone, and each step reads some arrays and writes another cell by cell: wherever its rows are cut, the bits
are the same.

`fill_gaps` does everything in one process. Ranks that share a grid run `GapFilling.steps()` instead: every step on
each rank's rows [j0, j1) of `step.n_row`, with a barrier (and `step.written` exchanged) between one step and the next.
A grid on the GPU is filled there; launches follow each other on CuPy's current stream, and the host waits once, for the range.

Push-pull: Gortler, Grzeszczuk, Szeliski & Cohen 1996, The lumigraph, doi:10.1145/237170.237200 (section 3.4).
Multigrid: Briggs, Henson & McCormick 2000, A multigrid tutorial, doi:10.1137/1.9780898719505.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numba import get_num_threads
from numpy.typing import NDArray

from felsina.kernels._backend import array_module, on_gpu
from felsina.kernels.pointcloud import harmonic, pyramid
from felsina.kernels.pointcloud.pyramid import Drivers

CYCLES = 16  # restores a plane over voids of 120 cells to float32 rounding
_SWEEPS = 2  # before and after each coarse correction
_BOTTOM_SWEEPS = 8  # on the coarsest level, which has no room for more than a few unknown cells
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
        `allocate(shape, dtype)` returns a zeroed array where the grid is; ranks pass one that makes arrays they share.
    """

    def __init__(
        self,
        grid: NDArray[np.float32],
        cycles: int = CYCLES,
        allocate: Callable[[tuple[int, int], Any], Any] | None = None,
    ) -> None:
        allocate = allocate or array_module(grid).zeros
        low, high, n_valid = harmonic.value_range(grid)
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
        yield _step(harmonic.START_VOID, fine.is_void, (self._grid, fine.is_void))
        yield _step(harmonic.START, fine.u, (self._grid, fine.u), self._offset)
        if self._n_void == 0:
            return
        for fine, coarse in pairwise(levels):
            yield _step(harmonic.PUSH_VOID, coarse.is_void, (fine.is_void, coarse.is_void))
            yield _step(harmonic.PUSH, coarse.u, (fine.u, fine.is_void, coarse.u))
        for coarse, fine in zip(levels[:0:-1], levels[-2::-1], strict=True):
            yield _step(harmonic.PULL, fine.u, (coarse.u, fine.is_void, fine.u))
        first = levels[1] if len(levels) > 1 else None
        if first is not None:
            for drivers, written in (
                (pyramid.FIRST_CX, first.cx),
                (pyramid.FIRST_CY, first.cy),
                (pyramid.FIRST_SHORE, first.shore),
            ):
                yield _step(drivers, written, (levels[0].is_void, written))
        for fine, coarse in pairwise(levels[1:]):
            yield _step(pyramid.NEXT_CX, coarse.cx, (fine.cx, coarse.cx))
            yield _step(pyramid.NEXT_CY, coarse.cy, (fine.cy, coarse.cy))
            yield _step(pyramid.NEXT_SHORE, coarse.shore, (fine.shore, coarse.shore))
        for _ in range(self._cycles):
            yield from self._cycle()

    def _cycle(self) -> Iterator[Step]:
        levels = self._levels
        for fine, coarse in pairwise(levels):
            yield from _relaxed(fine, _SWEEPS)
            if fine is levels[0]:
                yield _step(harmonic.RESTRICT, coarse.rhs, (fine.u, fine.rhs, fine.is_void, coarse.rhs))
            else:
                yield _step(pyramid.RESTRICT, coarse.rhs, (fine.u, fine.rhs, fine.cx, fine.cy, fine.shore, coarse.rhs))
            yield _step(harmonic.CLEAR, coarse.u, (coarse.u,))
        yield from _relaxed(levels[-1], _BOTTOM_SWEEPS)
        for coarse, fine in zip(levels[:0:-1], levels[-2::-1], strict=True):
            if fine is levels[0]:
                yield _step(harmonic.PROLONG, fine.u, (coarse.u, fine.is_void, fine.u))
            else:
                yield _step(pyramid.PROLONG, fine.u, (coarse.u, fine.u))
            yield from _relaxed(fine, _SWEEPS)

    def filled(self) -> NDArray[np.float32]:
        """Return the filled raster as a new (ny, nx) float32 array, after the last step."""
        out: NDArray[np.float32] = array_module(self._grid).empty(self._grid.shape, np.float32)
        harmonic.finish(self._grid, self._levels[0].u, self._offset, out)
        return out


def _step(drivers: Drivers, written: NDArray[Any], arrays: tuple[Any, ...], *numbers: Any) -> Step:
    if on_gpu(*arrays):
        ny, nx = max(a.shape for a in arrays)  # of the finer level

        def run(j0: int, j1: int) -> None:
            drivers.gpu((j1 - j0, written.shape[1]), *arrays, *numbers, ny, nx, j0)

        return Step(written.shape[0], run, written)
    driver = drivers.threaded if written.size >= _THREADED_CELLS and get_num_threads() > 1 else drivers.serial
    return Step(written.shape[0], lambda j0, j1: driver(*arrays, *numbers, j0, j1), written)


def _relaxed(level: _Level, sweeps: int) -> Iterator[Step]:
    # Forth and back, so an even number of sweeps ends in `u` again.
    for _ in range(sweeps // 2):
        for u, out in ((level.u, level.twin), (level.twin, level.u)):
            if level.cx.size:
                yield _step(pyramid.RELAX, out, (u, level.rhs, level.cx, level.cy, level.shore, out))
            else:
                yield _step(harmonic.RELAX, out, (u, level.rhs, level.is_void, out))
