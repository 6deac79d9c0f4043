"""Footprints against the cells of the point rasters: what was seen of each footprint, and building returns outside all of them.

Everything is counts of cells. Rows may be cut anywhere: a driver that works on some rows adds to the tallies of others, or
returns the cells of its own rows; the groups of cells are made from all of them together.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from felsina.kernels._backend import rows

Integers = NDArray[np.int64]

CELL, SEEN, BUILDING, BARE = range(4)  # columns of `tally_footprints`


class Groups(NamedTuple):
    """Connected groups of blocks of cells, ordered by their first block; (n_group,) each.

    n_block : blocks
    n_return : building returns
    x, y : middle of the blocks [mm east and south of the grid's corner]
    """

    n_block: Integers
    n_return: Integers
    x: Integers
    y: Integers


def tally_footprints(
    index: NDArray[np.int32],
    count: NDArray[np.integer],
    building_count: NDArray[np.integer],
    ground_count: NDArray[np.integer],
    tally: Integers,
) -> None:
    """Add the cells of some rows to the tally of their footprints.

    Parameters
    ----------
    index : (n_row, nx) int32
        Row of the building in each cell, -1 outside.
    count, building_count, ground_count : (n_row, nx) integer
        Returns in each cell: of any class (or 0 and 1 for whether there is one), of buildings, of ground and water.
    tally : (n_building, 4) int64
        Added to: cells; cells with a return; with a building return; with ground returns and no building return.
    """
    _tally(index, count, building_count, ground_count, tally)


def blocks_outside(
    index: NDArray[np.int32],
    building_count: NDArray[np.integer],
    height: NDArray[np.floating],
    least_height: float,
    margin: int,
    block: int,
    j0: int,
    first: int,
) -> Integers:
    """Find the blocks of cells with building returns that are high and not near a footprint.

    Parameters
    ----------
    index : (n_index_row, nx) int32
        Row of the building in each cell, -1 outside: rows from `first` on, `margin` rows of the grid beyond those worked on
        where the grid has them.
    building_count, height : (n_row, nx)
        Rows to work on, from `j0` on: building returns; height of surface over ground [m].
    least_height : float
        Lower returns are walls and cars [m].
    margin : int
        Cells around a footprint that belong to it: eaves and gutters.
    block : int
        Cells along the edge of a block.
    j0, first : int
        Row of the grid where the rows to work on begin, a multiple of `block`, and where those of `index` begin.

    Returns
    -------
    (n, 2) int64
        Number of the block, row times columns of blocks plus column, ascending; building returns in it.
    """
    n_row, nx = building_count.shape
    n_column = -(-nx // block)
    returns = np.zeros((-(-n_row // block), n_column), np.int64)
    _outside(index, building_count, height, least_height, margin, block, j0 - first, returns)
    found = np.flatnonzero(returns)
    return np.stack((found + j0 // block * n_column, returns.ravel()[found]), axis=1)


def group_blocks(blocks: Integers, n_column: int, block_mm: int, least_block: int) -> Groups:
    """Join blocks that touch, by sides or corners, and keep the groups of enough blocks.

    Parameters
    ----------
    blocks : (n, 2) int64
        Of `blocks_outside`, of all rows, in any order.
    n_column : int
        Columns of blocks of the grid.
    block_mm : int
        Edge of a block [mm].
    least_block : int
        Fewest blocks of a group.
    """
    blocks = blocks[np.argsort(blocks[:, 0], kind="stable")]
    number = np.ascontiguousarray(blocks[:, 0])
    group, n = _join(number, n_column)
    sums = np.zeros((n, 4), np.int64)
    j, i = number // n_column, number % n_column
    for k, values in enumerate((np.ones(len(number), np.int64), blocks[:, 1], i, j)):
        np.add.at(sums[:, k], group, values)
    sums = sums[sums[:, 0] >= least_block]
    size = sums[:, 0]
    # The middle of the blocks, to the millimetre: block_mm (sum / n + 1/2).
    middle = [(2 * sums[:, k] + size) * block_mm // np.maximum(2 * size, 1) for k in (2, 3)]
    return Groups(size, sums[:, 1], *middle)


@rows
def _tally(index, count, building_count, ground_count, tally):
    for j in range(index.shape[0]):
        for i in range(index.shape[1]):
            b = index[j, i]
            if b < 0:
                continue
            tally[b, CELL] += 1
            tally[b, SEEN] += count[j, i] > 0
            tally[b, BUILDING] += building_count[j, i] > 0
            tally[b, BARE] += ground_count[j, i] > 0 and building_count[j, i] == 0


@rows
def _outside(index, building_count, height, least_height, margin, block, shift, returns):
    ny, nx = index.shape
    for row in range(building_count.shape[0]):
        j = row + shift
        for i in range(nx):
            if building_count[row, i] == 0 or index[j, i] >= 0 or not height[row, i] >= least_height:
                continue
            near = False
            for v in range(max(0, j - margin), min(ny, j + margin + 1)):
                for u in range(max(0, i - margin), min(nx, i + margin + 1)):
                    near = near or index[v, u] >= 0
            if not near:
                returns[row // block, i // block] += building_count[row, i]


@rows
def _join(number, n_column):
    """Return the group of each block, groups numbered by their first block, and how many there are."""
    n = len(number)
    parent = np.arange(n)
    for k in range(n):
        i = number[k] % n_column
        # To the left, and the three above: those below and to the right find this one.
        for step in range(4):
            left = (1, n_column + 1, n_column, n_column - 1)[step]
            if (i == 0 and step < 2) or (i == n_column - 1 and step == 3):
                continue
            wanted = number[k] - left
            at = np.searchsorted(number[:k], wanted)
            if at < k and number[at] == wanted:
                a, b = at, k
                while parent[a] != a:
                    parent[a] = parent[parent[a]]
                    a = parent[a]
                while parent[b] != b:
                    parent[b] = parent[parent[b]]
                    b = parent[b]
                parent[max(a, b)] = min(a, b)
    group = np.empty(n, np.int64)
    m = 0
    for k in range(n):
        root = k
        while parent[root] != root:
            root = parent[root]
        if root == k:
            group[k] = m
            m += 1
        else:
            group[k] = group[root]  # a root comes before its members
    return group, m
