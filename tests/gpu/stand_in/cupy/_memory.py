"""Memory of the stand-in: blocks in a pool with a limit, as CuPy's own, and pinned memory of the host.

Blocks belong to the stream that was current when they were taken, and go back to it: the next array of that stream gets them
without any wait. So an array that another stream still works on may not be let go before the first stream waits for the other.
"""

from __future__ import annotations

import weakref
from collections import defaultdict
from typing import Any

import numpy as np

from cupy._state import stand_in
from cupy._streams import Queue, before, queue_here, queues_of

UNIT = 512  # bytes; CuPy's pool rounds up to it
POISON = 0xA5  # of bytes that nobody wrote: no number that anybody expects


class OutOfMemoryError(MemoryError):
    """Out-of-memory error, as CuPy words it."""

    def __init__(self, size: int, total: int, limit: int = 0) -> None:
        self._size, self._total, self._limit = size, total, limit
        more = f", limit set to: {limit:,} bytes" if limit else ""
        super().__init__(f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes{more}).")


class Block:
    """Bytes on a device, aligned as CUDA's are."""

    def __init__(self, size: int, queue: Queue, pool: MemoryPool) -> None:
        self.epoch = pool.epoch
        room = np.empty(size + UNIT, np.uint8)
        first = -room.ctypes.data % UNIT
        self.bytes, self.size, self.queue, self.device = room[first : first + size], size, queue, queue.device
        self.bytes[...] = POISON

    @property
    def ptr(self) -> int:
        return self.bytes.ctypes.data


class MemoryPool:
    """The pool of all devices; each has its limit."""

    def __init__(self) -> None:
        self.epoch = -1
        self.reset()

    def reset(self) -> None:
        """Begin anew: arrays that are still there no longer count."""
        self.epoch += 1
        self._free: dict[int, list[Block]] = defaultdict(list)
        self._used: dict[int, int] = defaultdict(int)
        self._limit: dict[int, int] = defaultdict(int)

    def malloc(self, size: int) -> Lease:
        queue = queue_here()
        device, rounded = queue.device, -(-size // UNIT) * UNIT
        free = self._free[device]
        for k, block in enumerate(free):
            if block.size == rounded and block.queue is queue:
                self._used[device] += rounded
                return Lease(self, free.pop(k))
        limit = self._limit[device]
        if self.total_bytes() + rounded > min(limit or stand_in.memory, stand_in.memory):
            self.free_all_blocks()
        if self.total_bytes() + rounded > min(limit or stand_in.memory, stand_in.memory):
            raise OutOfMemoryError(rounded, self.total_bytes(), limit)
        self._used[device] += rounded
        return Lease(self, Block(rounded, queue, self))

    def give_back(self, block: Block) -> None:
        """Take a block back; what its own stream queues from now on may overwrite it."""
        if block.epoch != self.epoch:
            return
        ordered = {id(o) for o in before(block.queue.last)}
        for queue in queues_of(block.device):
            if queue is not block.queue and any(block in o.blocks and id(o) not in ordered for o in queue.waiting):
                stand_in.faults.append(f"An array of {block.size} bytes was let go while another stream had work to do on it")
        block.queue.add(lambda: block.bytes.fill(POISON), block)
        self._used[block.device] -= block.size
        self._free[block.device].append(block)

    def used_bytes(self) -> int:
        return self._used[stand_in.require_device()]

    def free_bytes(self) -> int:
        return sum(b.size for b in self._free[stand_in.require_device()])

    def total_bytes(self) -> int:
        return self.used_bytes() + self.free_bytes()

    def set_limit(self, size: int | None = None, fraction: float | None = None) -> None:
        if size is not None and fraction is not None:
            raise ValueError("size and fraction cannot be specified at the same time")
        self._limit[stand_in.require_device()] = round(fraction * stand_in.memory) if fraction else int(size or 0)

    def get_limit(self) -> int:
        return self._limit[stand_in.require_device()]

    def free_all_blocks(self) -> None:
        # cudaFree waits for the device.
        device = stand_in.require_device()
        for block in self._free[device]:
            block.queue.run_until(None)
        self._free[device].clear()


class Lease:
    """Holds a block while an array or a view of one lives."""

    def __init__(self, pool: MemoryPool, block: Block) -> None:
        self.block = block
        self._end = weakref.finalize(self, pool.give_back, block)
        self._end.atexit = False


pool = MemoryPool()


class PinnedMemoryPointer(np.ndarray):
    """Pinned memory; CuPy's own is a buffer, not an array, so only `numpy.frombuffer` may be used on it."""


_pinned: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()


def alloc_pinned_memory(size: int) -> PinnedMemoryPointer:
    """Return pinned memory of the host."""
    stand_in.require_device()
    owner = np.empty(max(size, 1), np.int8)
    owner.fill(-0x5B)
    _pinned[owner.ctypes.data] = owner  # a view of a view holds the owner alone
    return owner.view(PinnedMemoryPointer)


def is_pinned(array: np.ndarray) -> bool:
    """Say whether all bytes of a contiguous array are pinned."""
    first = array.ctypes.data
    return any(p <= first and first + array.nbytes <= p + m.nbytes for p, m in _pinned.items())
