"""Halo exchange: every tile carries a frame of read-only copies of its neighbours' cells, on whichever device the tiles live.

    halo.update(arrays)            all at once, or

    halo.begin(arrays)             pack the cells that neighbours need and send them off;
    ...                            meanwhile compute what needs no frame and changes no cell within `width` of a tile's edge
    halo.finish()                  wait for what comes and unpack it

On a GPU packing goes to the stream "halo" and computing to "main"; the host waits only for packing. What "main" got before
`begin` is done before packing, and what it gets after `finish` sees the frames.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from types import EllipsisType
from typing import Any

import numpy as np

from felsina.engine.parallel.device import CpuDevice, Device, MpiBuffer
from felsina.engine.parallel.partition import Partition, Tile
from felsina.engine.parallel.world import Exchange, World
from felsina.kernels.halo import pack, unpack

Box = tuple[int, int, int, int]  # rows [j0, j1) and columns [i0, i1) of the grid
Window = tuple[EllipsisType, slice, slice]
Copy = tuple[Tile, Tile, Box]  # from the owner, to the frame of


@dataclass(frozen=True)
class _Buffers:
    """One message to and from each rank that is a neighbour; the rank's own tiles pass theirs through one buffer."""

    send: dict[int, MpiBuffer]
    receive: dict[int, MpiBuffer]


class HaloExchange:
    """Fills the frames of all tiles of a partition from their owners.

    Arrays have shape (..., rows + 2 width, columns + 2 width), are contiguous, and all tiles of all ranks have the same leading
    shape and dtype. Cells beyond the grid's edge belong to the boundary condition and are left alone.

    Parameters
    ----------
    world : World
    partition : Partition
    width : int
        Cells of the frame.
    device : Device, optional
        That holds the arrays; the processor by default.
    """

    def __init__(self, world: World, partition: Partition, width: int, device: Device | None = None) -> None:
        self._world, self._width, self._device = world, width, device or CpuDevice()
        self._send: dict[int, list[Copy]] = defaultdict(list)
        self._receive: dict[int, list[Copy]] = defaultdict(list)
        # Both sides of a message go through this list in the same order.
        for target in partition.tiles:
            for source in partition.tiles:
                if source is target or world.rank not in (source.rank, target.rank):
                    continue
                if (box := _overlap(source, target, width)) is None:
                    continue
                if source.rank == world.rank:
                    self._send[target.rank].append((source, target, box))
                if target.rank == world.rank:
                    self._receive[source.rank].append((source, target, box))
        # In memory of the host, cells go from tile to tile at once: a buffer between them takes four times as long.
        self._direct: list[tuple[int, Window, int, Window]] = []
        if not self._device.is_asynchronous:
            self._receive.pop(world.rank, None)
            for source, target, box in self._send.pop(world.rank, ()):
                here, there = self._window(box, source), self._window(box, target)
                self._direct.append((source.index, here, target.index, there))
        self._buffers: dict[tuple[int, np.dtype[Any]], _Buffers] = {}
        self._arrays: Mapping[int, Any] | None = None
        self._exchange: Exchange | None = None

    @property
    def has_neighbours(self) -> bool:
        """Whether a tile of this rank has a neighbour on another one."""
        return any(rank != self._world.rank for rank in (*self._send, *self._receive))

    def update(self, arrays: Mapping[int, Any]) -> None:
        """Fill the frames of this rank's tiles; `arrays` maps tile index to array. Collective over all ranks."""
        self.begin(arrays)
        self.finish()

    def begin(self, arrays: Mapping[int, Any]) -> None:
        """Pack what other tiles need and let it go; neither it nor the frames may be touched before `finish`. Collective."""
        if self._arrays is not None:
            raise RuntimeError("A halo exchange began before the last one was finished.")
        self._arrays = arrays
        device, buffers = self._device, self._for(arrays)
        for source, here, target, there in self._direct:
            arrays[target][there] = arrays[source][here]
        device.wait("halo", for_="main")
        with device.stream("halo"):
            for rank, copies in self._send.items():
                start = 0
                for owner, _, box in copies:
                    array = _layers(arrays[owner.index])
                    start = pack(array, self._inside(array, box, owner), buffers.send[rank].array, start)
                if rank != self._world.rank:
                    device.leave(buffers.send[rank])
        if not device.is_asynchronous:
            self.post()

    def post(self) -> None:
        """Hand the packed cells to MPI as soon as they are packed, where `begin` has not; the host waits for packing.

        `finish` does it otherwise. For a caller whose computing makes the host wait, so that messages would start too late.
        """
        if self._arrays is None or self._exchange is not None:
            return
        buffers, me = self._for(self._arrays), self._world.rank
        send = {r: b for r, b in buffers.send.items() if r != me}
        receive = {r: b for r, b in buffers.receive.items() if r != me}
        self._exchange = self._device.start_exchange(self._world, send, receive, "halo") if send or receive else Exchange([])

    def finish(self) -> None:
        """Wait for what comes and fill the frames. Collective."""
        arrays, device = self._arrays, self._device
        if arrays is None:
            raise RuntimeError("A halo exchange was finished that had not begun.")
        self.post()
        assert self._exchange is not None
        self._exchange.wait()
        buffers = self._for(arrays)
        with device.stream("halo"):
            for rank, copies in self._receive.items():
                if rank != self._world.rank:
                    device.arrive(buffers.receive[rank])
                start = 0
                for _, framed, box in copies:
                    array = _layers(arrays[framed.index])
                    start = unpack(buffers.receive[rank].array, start, self._inside(array, box, framed), array)
        device.wait("main", for_="halo")
        self._arrays = self._exchange = None

    def _for(self, arrays: Mapping[int, Any]) -> _Buffers:
        """Return the buffers for arrays of this depth and type; made at the first use."""
        if not arrays:
            return _Buffers({}, {})
        sample = _layers(next(iter(arrays.values())))
        key = (int(sample.shape[0]), np.dtype(sample.dtype))
        if key not in self._buffers:
            send = {r: self._device.buffer(key[0] * sum(map(_area, c)), key[1]) for r, c in self._send.items()}
            own = {r: b for r, b in send.items() if r == self._world.rank}
            other = {r: c for r, c in self._receive.items() if r != self._world.rank}
            receive = {r: self._device.buffer(key[0] * sum(map(_area, c)), key[1]) for r, c in other.items()}
            self._buffers[key] = _Buffers(send, receive | own)
        return self._buffers[key]

    def _window(self, box: Box, tile: Tile) -> Window:
        """Return a box of the grid as the slices of a tile's array."""
        j0, j1, i0, i1 = box
        j, i = self._width - tile.j0, self._width - tile.i0
        return ..., slice(j0 + j, j1 + j), slice(i0 + i, i1 + i)

    def _inside(self, array: Any, box: Box, tile: Tile) -> tuple[int, int, int, int, int, int]:
        """Return a box of the grid as one of a tile's array of layers."""
        _, rows, columns = self._window(box, tile)
        return 0, array.shape[0], rows.start, rows.stop, columns.start, columns.stop


def _overlap(source: Tile, target: Tile, width: int) -> Box | None:
    """Cells that `source` owns inside the frame of `target`."""
    j0, j1 = max(source.j0, target.j0 - width), min(source.j1, target.j1 + width)
    i0, i1 = max(source.i0, target.i0 - width), min(source.i1, target.i1 + width)
    return (j0, j1, i0, i1) if j0 < j1 and i0 < i1 else None


def _area(copy: Copy) -> int:
    j0, j1, i0, i1 = copy[2]
    return (j1 - j0) * (i1 - i0)


def _layers(array: Any) -> Any:
    """Return an array of any number of leading axes as (layers, rows, columns), the same memory."""
    if not array.flags.c_contiguous:
        raise ValueError("A halo exchange takes contiguous arrays.")
    return array.reshape(-1, *array.shape[-2:])
