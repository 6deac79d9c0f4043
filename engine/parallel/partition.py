"""Who owns what: tiles of whole blocks, each with one owner, and the owner of every cell.

A tile is a rectangle of cells. Its edges lie on whole blocks of 64 cells of the grid, counted from the grid's north-west
corner, whatever `tile_m` says, and tiles go to ranks in Morton order, so that a rank's tiles lie together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from felsina.engine.grid import BLOCK


@dataclass(frozen=True)
class Tile:
    """Rows [j0, j1) and columns [i0, i1) of the grid, owned by `rank`."""

    index: int
    j0: int
    j1: int
    i0: int
    i1: int
    rank: int

    @property
    def window(self) -> tuple[slice, slice]:
        return slice(self.j0, self.j1), slice(self.i0, self.i1)

    @property
    def shape(self) -> tuple[int, int]:
        return self.j1 - self.j0, self.i1 - self.i0


@dataclass(frozen=True)
class Partition:
    """The tiles of a grid, in Morton order.

    Attributes
    ----------
    shape : (ny, nx)
    tile_cells : int
        Edge of a full tile, a whole number of blocks.
    tiles : all tiles, of all ranks
    """

    shape: tuple[int, int]
    tile_cells: int
    tiles: tuple[Tile, ...]

    @classmethod
    def of(
        cls, shape: tuple[int, int], tile_cells: int, ranks: int, block: int = BLOCK, cost: NDArray[np.float64] | None = None
    ) -> Partition:
        """Cut a grid into tiles and give them to ranks.

        Parameters
        ----------
        shape : (ny, nx) cells
        tile_cells : wanted edge; rounded to whole blocks, at least one
        ranks : number of ranks; some get nothing when there are fewer tiles
        block : cells of a block
        cost : (tile rows, tile columns) relative cost of each tile; the number of cells when absent

        Returns
        -------
        Partition
            Runs of Morton-ordered tiles of about equal cost.
        """
        ny, nx = shape
        edge = max(1, round(tile_cells / block)) * block
        boxes = [
            (_morton(j // edge, i // edge), j, min(ny, j + edge), i, min(nx, i + edge))
            for j in range(0, ny, edge)
            for i in range(0, nx, edge)
        ]
        boxes.sort()
        weight = np.array(
            [(b[2] - b[1]) * (b[4] - b[3]) if cost is None else cost[b[1] // edge, b[3] // edge] for b in boxes], float
        )
        # The rank of a tile is where the middle of its share of the cost falls: contiguous, and independent of any other tile.
        middle = (np.cumsum(weight) - 0.5 * weight) / max(weight.sum(), np.finfo(float).tiny)
        rank = np.minimum((middle * ranks).astype(int), ranks - 1)
        return cls(shape, edge, tuple(Tile(k, *b[1:], rank=int(rank[k])) for k, b in enumerate(boxes)))

    def tiles_of(self, rank: int) -> list[Tile]:
        """Return the tiles that this rank owns; may be empty."""
        return [t for t in self.tiles if t.rank == rank]

    def owner(self, row: NDArray[np.integer], column: NDArray[np.integer]) -> NDArray[np.int32]:
        """Return the owning rank of cells; rows and columns outside the grid are clipped to its edge."""
        table = np.empty((-(-self.shape[0] // self.tile_cells), -(-self.shape[1] // self.tile_cells)), np.int32)
        for t in self.tiles:
            table[t.j0 // self.tile_cells, t.i0 // self.tile_cells] = t.rank
        j = np.clip(row, 0, self.shape[0] - 1) // self.tile_cells
        i = np.clip(column, 0, self.shape[1] - 1) // self.tile_cells
        return table[j, i]


def _morton(j: int, i: int) -> int:
    code = 0
    for bit in range(24):
        code |= (i >> bit & 1) << (2 * bit) | (j >> bit & 1) << (2 * bit + 1)
    return code
