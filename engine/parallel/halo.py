"""Halo exchange: every tile carries a frame of read-only copies of its neighbours' cells."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from felsina.engine.parallel.partition import Partition, Tile
from felsina.engine.parallel.world import World


class HaloExchange:
    """Fills the frames of all tiles of a partition from their owners.

    Arrays have shape (..., rows + 2 width, columns + 2 width). Cells beyond the grid's edge belong to the boundary condition
    and are left alone.
    """

    def __init__(self, world: World, partition: Partition, width: int) -> None:
        self._world, self._width = world, width
        copies = [
            (source, target, box)
            for target in partition.tiles
            for source in partition.tiles
            if source is not target and (box := _overlap(source, target, width)) is not None
        ]
        mine = world.rank
        self._local = [c for c in copies if c[0].rank == mine and c[1].rank == mine]
        self._send: dict[int, list[tuple[Tile, Tile, Box]]] = defaultdict(list)
        self._receive: dict[int, list[tuple[Tile, Tile, Box]]] = defaultdict(list)
        for c in copies:
            if c[0].rank == mine and c[1].rank != mine:
                self._send[c[1].rank].append(c)
            elif c[1].rank == mine and c[0].rank != mine:
                self._receive[c[0].rank].append(c)
        self._cells = np.array([sum(map(_area, self._receive.get(r, ()))) for r in range(world.size)], np.int64)

    def update(self, arrays: dict[int, NDArray[Any]]) -> None:
        """Fill the frames of this rank's tiles; `arrays` maps tile index to array. Collective over all ranks."""
        w = self._width
        for source, target, box in self._local:
            arrays[target.index][_inside(box, target, w)] = arrays[source.index][_inside(box, source, w)]
        if self._world.size == 1:
            return
        # Every rank knows what it will get, so one round of messages does; a rank without tiles sends and gets nothing.
        sample = next(iter(arrays.values()), np.empty((0, 0), np.uint8))
        depth = int(np.prod(sample.shape[:-2], dtype=np.int64))
        empty = np.empty(0, sample.dtype)
        parts = [
            np.concatenate([arrays[s.index][_inside(box, s, w)].reshape(-1) for s, _, box in self._send[r]])
            if self._send.get(r)
            else empty
            for r in range(self._world.size)
        ]
        for rank, data in enumerate(self._world.exchange(parts, self._cells * depth)):
            start = 0
            for _, target, box in self._receive.get(rank, ()):
                view = arrays[target.index][_inside(box, target, w)]
                view[...] = data[start : start + view.size].reshape(view.shape)
                start += view.size


Box = tuple[int, int, int, int]


def _overlap(source: Tile, target: Tile, width: int) -> Box | None:
    """Cells that `source` owns inside the frame of `target`."""
    j0, j1 = max(source.j0, target.j0 - width), min(source.j1, target.j1 + width)
    i0, i1 = max(source.i0, target.i0 - width), min(source.i1, target.i1 + width)
    return (j0, j1, i0, i1) if j0 < j1 and i0 < i1 else None


def _area(copy: tuple[Tile, Tile, Box]) -> int:
    j0, j1, i0, i1 = copy[2]
    return (j1 - j0) * (i1 - i0)


def _inside(box: Box, tile: Tile, width: int) -> tuple[Any, ...]:
    j0, j1, i0, i1 = box
    return (
        Ellipsis,
        slice(j0 - tile.j0 + width, j1 - tile.j0 + width),
        slice(i0 - tile.i0 + width, i1 - tile.i0 + width),
    )
