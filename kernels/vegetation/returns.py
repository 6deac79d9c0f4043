"""What the cells and the returns of a crown add up to: whole numbers by tree, which the parts of a crown add to in any order.

A tree has a slot, a row of every table here; `slot` gives that row by the number of the tree. Tables of parts of a city merge
by + (sums, counts, profiles) and by the greater value (`greatest`) into those of the whole.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from felsina.kernels._backend import rows, threads
from felsina.kernels.pointcloud.raster import flat_cell, whole_millimetres

LAYER = 250  # mm; layer of a vertical profile
N_LAYER = 160  # 40 m; higher returns are counted in the last
N_DIRECTION = 16  # in half a circle: the longest chord is at most 0.5 % longer than what they see
PULSE = 2520  # parts of a pulse: a whole number for each of up to ten returns
_UNIT = 4096  # length of the vectors of the directions


class CrownSums(NamedTuple):
    """Sums over the cells of each crown.

    Attributes
    ----------
    total : (m, 4) int64
        Cells, sums of their column and row numbers, and pulses that would reach them [1 / `PULSE`].
    greatest : (m, 1 + 2 N_DIRECTION) int32
        Highest canopy [mm]; farthest cell along each direction and against it [cells / 4096].
    """

    total: NDArray[np.int64]
    greatest: NDArray[np.int32]


class Profiles(NamedTuple):
    """Returns of each crown.

    Attributes
    ----------
    every : (m, N_LAYER) int32
        Returns by height above ground in layers of `LAYER`.
    energy : (m, N_LAYER) int32
        Pulses that ended there [1 / `PULSE`]: a pulse of several returns is shared evenly by them.
    multiple : (m,) int32
        Returns of pulses that have several.
    """

    every: NDArray[np.int32]
    energy: NDArray[np.int32]
    multiple: NDArray[np.int32]


def empty_sums(m: int) -> CrownSums:
    """Return the sums of `m` crowns before their first cell."""
    return CrownSums(np.zeros((m, 4), np.int64), np.full((m, 1 + 2 * N_DIRECTION), np.iinfo(np.int32).min, np.int32))


def empty_profiles(m: int) -> Profiles:
    """Return the profiles of `m` crowns before their first return."""
    return Profiles(np.zeros((m, N_LAYER), np.int32), np.zeros((m, N_LAYER), np.int32), np.zeros(m, np.int32))


def density_rows(pulses: NDArray[np.int32], reach: int, rows: tuple[int, int], out: NDArray[np.int32]) -> None:
    """Write the mean of a count over the square of 2 `reach` + 1 cells around each cell, in the rows [j0, j1) [1 / `PULSE`].

    Pulses come aslant: what reaches the ground under a crown passed beside it. Counted over the crown and all around, as many
    arrive as were sent.

    Parameters
    ----------
    pulses : (ny, nx) int32
        Pulses by the cell of their first return.
    reach : [cells]
    rows : (j0, j1)
    out : (ny, nx) int32
    """
    _density(pulses, reach, *rows, out)


def add_cells(
    crown: NDArray[np.int32],
    canopy: NDArray[np.int32],
    density: NDArray[np.int32],
    rows: tuple[int, int],
    slot: NDArray[np.int32],
    sums: CrownSums,
) -> None:
    """Add the cells in the rows [j0, j1) to the sums of their crowns, in place.

    Parameters
    ----------
    crown : (ny, nx) int32
        Number of the tree, -1 where none.
    canopy : (ny, nx) int32
        Height [mm].
    density : (ny, nx) int32
        `density_rows`.
    rows : (j0, j1)
    slot : (n_tree,) int32
        Row of a tree in the sums; not negative for trees in these rows.
    sums : added to
    """
    _add_cells(crown, canopy, density, *rows, slot, _directions(), *sums)


def add_returns(
    x: NDArray[np.integer],
    y: NDArray[np.integer],
    z: NDArray[np.int32],
    classification: NDArray[np.uint8],
    return_number: NDArray[np.uint8],
    number_of_returns: NDArray[np.uint8],
    left_out: NDArray[np.bool_],
    crown: NDArray[np.int32],
    ground: NDArray[np.float32],
    cell_mm: int,
    slot: NDArray[np.int32],
    pulses: NDArray[np.int32],
    profiles: Profiles,
) -> None:
    """Add returns to the profiles of the trees whose cells they lie over, and all pulses to the raster of pulses, in place.

    Parameters
    ----------
    x, y, z : (n,)
        East and south of the grid's corner, and height [mm].
    classification : (n,) uint8
    return_number, number_of_returns : (n,) uint8
        Place of the return in its pulse, from 1, and returns of the pulse; 0 and 0 where unknown: it counts as first then.
    left_out : (256,) bool
        Classes that are of no tree.
    crown : (ny, nx) int32
        Number of the tree, -1 where none.
    ground : (ny, nx) float32
        Ground elevation [m].
    cell_mm : [mm]
    slot : (n_tree,) int32
        Row of a tree in the profiles, negative where its returns are not wanted.
    pulses : (ny, nx) int32
        Pulses by the cell of their first return; added to.
    profiles : added to
    """
    columns = x, y, z, classification, return_number, number_of_returns
    _add_returns(*columns, left_out, crown, ground, np.int64(cell_mm), slot, pulses, *profiles)


def greatest_diameter(greatest: NDArray[np.int32], cell_m: float) -> NDArray[np.float64]:
    """Return the longest extent of each crown in any direction [m], (m,): between centres of cells, and one cell more."""
    ahead, back = greatest[:, 1 : 1 + N_DIRECTION].astype(np.int64), greatest[:, 1 + N_DIRECTION :].astype(np.int64)
    return ((ahead + back).max(axis=1, initial=0) / _UNIT + 1.0) * cell_m


def _directions() -> NDArray[np.int64]:
    """Return the (N_DIRECTION, 2) vectors over half a circle, in whole numbers."""
    angle = [math.pi * k / N_DIRECTION for k in range(N_DIRECTION)]
    return np.array([(round(_UNIT * math.cos(a)), round(_UNIT * math.sin(a))) for a in angle], np.int64)


@rows
def _add_cells(crown, canopy, density, j0, j1, slot, directions, total, greatest):
    n = directions.shape[0]
    for j in range(j0, j1):
        for i in range(crown.shape[1]):
            if crown[j, i] < 0:
                continue
            s = slot[crown[j, i]]
            total[s, 0] += 1
            total[s, 1] += i
            total[s, 2] += j
            total[s, 3] += density[j, i]
            greatest[s, 0] = max(greatest[s, 0], canopy[j, i])
            for d in range(n):
                along = np.int32(directions[d, 0] * i + directions[d, 1] * j)
                greatest[s, 1 + d] = max(greatest[s, 1 + d], along)
                greatest[s, 1 + n + d] = max(greatest[s, 1 + n + d], np.int32(-along))


@rows
def _add_returns(
    x, y, z, classification, return_number, number_of_returns, left_out, crown, ground, cell_mm, slot, pulses,
    every, energy, multiple,
):  # fmt: skip
    ny, nx = crown.shape
    flat, floor, arrived = crown.ravel(), ground.ravel(), pulses.ravel()
    reciprocal = 1.0 / cell_mm
    n_layer = every.shape[1]
    for p in range(x.size):
        k = flat_cell(np.int64(x[p]), np.int64(y[p]), cell_mm, reciprocal, ny, nx)
        if k < 0:
            continue
        is_first = np.int32(return_number[p] <= 1)
        arrived[k] += is_first
        if flat[k] < 0 or left_out[classification[p]]:
            continue
        s = slot[flat[k]]
        if s < 0:
            continue
        height = np.int64(z[p]) - whole_millimetres(floor[k])
        layer = min(max(height, np.int64(0)) // LAYER, n_layer - 1)
        every[s, layer] += np.int32(1)
        energy[s, layer] += np.int32(PULSE // max(np.int64(number_of_returns[p]), np.int64(1)))
        multiple[s] += np.int32(number_of_returns[p] > 1)


@threads
def _density(pulses, reach, j0, j1, out):
    ny = pulses.shape[0]
    for j in prange(j0, j1):
        _density_row(pulses[max(j - reach, 0) : min(j + reach + 1, ny)], reach, out[j])


@rows
def _density_row(band, reach, out):
    """Write the mean over all rows of a band and 2 `reach` + 1 columns [1 / `PULSE`]."""
    n_row, nx = band.shape
    column = np.zeros(nx, np.int64)
    for j in range(n_row):
        for i in range(nx):
            column[i] += band[j, i]
    total, n = np.int64(0), np.int64(0)
    for i in range(min(reach, nx)):
        total += column[i]
        n += 1
    for i in range(nx):
        if i + reach < nx:
            total += column[i + reach]
            n += 1
        if i - reach - 1 >= 0:
            total -= column[i - reach - 1]
            n -= 1
        out[i] = np.int32(total * PULSE // (n * n_row))
