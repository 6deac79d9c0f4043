"""The memories of a launch, every access checked: bounds, alignment, uninitialised reads, races.

Global memory is one allocation for each pointer argument, far apart: an address belongs to the argument that it was made from,
even where two arguments are parts of one array. Races are judged by the array that both belong to.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

SPACING = 40  # bits of the address within an allocation
SHARED_WINDOW, LOCAL_WINDOW = 1 << 62, 1 << 63  # of generic addresses
_NOBODY = np.int32(2**31 - 1)
_MOST_LOGGED = 1 << 21
_POISON = 0xA5A5A5A5A5A5A5A5  # that the stand-in fills new memory with


class Fault(AssertionError):
    """What a kernel may not do: the message names kernel, statement, block and thread."""


@dataclass
class Root:
    """The array that memory belongs to, with who read and who wrote each granule of it during a launch."""

    name: str
    size: int
    granule: int
    reads: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    logged: int = 0
    threads: Readers | None = None
    blocks: Readers | None = None
    sectors: tuple[np.ndarray, np.ndarray] | None = None  # of 32 bytes: loaded, stored


class Readers:
    """For each granule the least and the greatest reader and writer, and whether a write changed it."""

    def __init__(self, count: int) -> None:
        self.first_reader, self.first_writer = np.full(count, _NOBODY), np.full(count, _NOBODY)
        self.last_reader, self.last_writer = np.full(count, -1, np.int32), np.full(count, -1, np.int32)
        self.changed = np.zeros(count, bool)

    def read(self, at: np.ndarray, who: np.ndarray) -> None:
        np.minimum.at(self.first_reader, at, who)
        np.maximum.at(self.last_reader, at, who)

    def written(self, at: np.ndarray, who: np.ndarray, changed: np.ndarray) -> None:
        np.minimum.at(self.first_writer, at, who)
        np.maximum.at(self.last_writer, at, who)
        self.changed[at[changed]] = True

    def race(self) -> int | None:
        """Return a granule that one changed and another read."""
        other = (self.first_reader != self.first_writer) | (self.last_reader != self.last_writer)
        found = np.flatnonzero(self.changed & (self.last_reader >= 0) & (self.last_writer >= 0) & other)
        return int(found[0]) if found.size else None


class Allocation:
    """A piece of global memory: an argument, or a variable of the module."""

    def __init__(self, number: int, name: str, raw: np.ndarray, root: Root, start: int, constant: bool) -> None:
        self.name, self.raw, self.root, self.start, self.constant = name, raw, root, start, constant
        self.address = (number << SPACING) + start % 512  # as CuPy aligns what the array is a part of
        self._views: dict[Any, np.ndarray] = {}

    def view(self, dtype: np.dtype[Any]) -> np.ndarray:
        """Return the bytes as numbers of a type."""
        if dtype not in self._views:
            self._views[dtype] = self.raw[: self.raw.size // dtype.itemsize * dtype.itemsize].view(dtype)
        return self._views[dtype]


class GlobalMemory:
    """All allocations of a launch."""

    def __init__(self, launch: Any) -> None:
        self.launch = launch
        self.allocations: list[Allocation] = []
        self.roots: dict[int, Root] = {}
        self.places: dict[str, int] = {}  # addresses of variables
        self.loaded = self.stored = 0

    def add_array(self, name: str, array: Any) -> int:
        """Take an array of the stand-in and return its address."""
        held, block = array._held, array.block
        root = self.roots.setdefault(block.ptr, Root(name, block.bytes.size, held.itemsize))
        start = held.ctypes.data - block.ptr if held.size else 0
        raw = held.reshape(-1).view(np.uint8) if held.size else np.zeros(0, np.uint8)
        if held.size and not np.shares_memory(raw, held):
            raise Fault(f"{self.launch.name}: {name} is not contiguous.")
        return self._add(name, raw, root, start, False)

    def add_variable(self, name: str, content: bytes, constant: bool) -> None:
        """Take a variable of the module."""
        raw = np.frombuffer(bytearray(content), np.uint8)
        self.places[name] = self._add(f"variable {name}", raw, Root(name, raw.size, 1), 0, constant)

    def _add(self, name: str, raw: np.ndarray, root: Root, start: int, constant: bool) -> int:
        made = Allocation(len(self.allocations) + 1, name, raw, root, start, constant)
        self.allocations.append(made)
        return made.address

    # -- access ---------------------------------------------------------------------------------------------------------
    def load(self, at: int, address: np.ndarray, lanes: Any, dtype: Any, count: int, coherent: bool = True) -> list[np.ndarray]:
        """Return `count` consecutive numbers at each address."""
        parts = []
        who = self.launch.lane[lanes] if coherent else np.full(address.size, self.launch.threads, np.int32)
        for here, offset, chosen in self._found(at, address, lanes, dtype.itemsize * count):
            place = offset // np.uint64(dtype.itemsize)
            memory = here.view(dtype)
            values = [memory[place + np.uint64(k)] for k in range(count)]
            for k in range(count):
                self._log(here, offset + np.uint64(k * dtype.itemsize), who if chosen is None else who[chosen], dtype.itemsize)
            for value in values:
                self._require(at, here, value, lanes, chosen)
            parts.append((chosen, values))
        self.loaded += dtype.itemsize * count * address.size
        if len(parts) == 1 and parts[0][0] is None:
            return parts[0][1]
        out = [np.empty(address.size, dtype) for _ in range(count)]
        for chosen, values in parts:
            for k in range(count):
                out[k][chosen] = values[k]
        return out

    def store(self, at: int, address: np.ndarray, lanes: Any, values: list[np.ndarray]) -> None:
        """Write the numbers of each lane to consecutive places."""
        dtype = values[0].dtype
        who = self.launch.lane[lanes]
        for here, offset, chosen in self._found(at, address, lanes, dtype.itemsize * len(values)):
            mine = who if chosen is None else who[chosen]
            if here.constant:
                self.launch.fault(at, f"writes the constant {here.name}", lanes, np.ones(offset.size, bool), chosen)
            for k, value in enumerate(values):
                start = offset + np.uint64(k * dtype.itemsize)
                self._write(at, here, start, value if chosen is None else value[chosen], mine, lanes, chosen)
        self.stored += dtype.itemsize * len(values) * address.size

    def _require(self, at: int, here: Allocation, values: np.ndarray, lanes: Any, chosen: Any) -> None:
        """Refuse what nobody wrote; in one or two bytes the pattern may be a number of its own right."""
        if values.itemsize >= 4 and not here.constant:
            bits = values.view(f"u{values.itemsize}")
            if (bad := bits == bits.dtype.type(_POISON % (1 << 8 * bits.itemsize))).any():
                self.launch.fault(at, f"reads uninitialised memory of {here.name}", lanes, bad, chosen)

    def _write(
        self, at: int, here: Allocation, offset: Any, value: np.ndarray, who: np.ndarray, lanes: Any, chosen: Any
    ) -> None:
        bits = np.dtype(f"u{value.dtype.itemsize}")
        memory, place, new = here.view(bits), offset // np.uint64(bits.itemsize), value.view(bits)
        changed = memory[place] != new
        memory[place] = new
        if (lost := memory[place] != new).any():
            self.launch.fault(at, f"races: two threads write different values to {here.name}", lanes, lost, chosen)
        self._stored(here, offset, bits.itemsize)
        readers = self._threads(here.root)
        for granule in self._granules(here, offset, bits.itemsize):
            first, last = readers.first_writer[granule], readers.last_writer[granule]
            clash = changed & (last >= 0) & ((first != who) | (last != who))
            if clash.any():
                self.launch.fault(at, f"races: two threads write different values to {here.name}", lanes, clash, chosen)
            readers.written(granule, who, changed)

    def exchange(self, at: int, address: np.ndarray, lanes: Any, dtype: Any, operation: Any, values: list[np.ndarray]) -> Any:
        """Carry out `operation(old, *values)` lane after lane; return the old values."""
        old = np.empty(address.size, dtype)
        for here, offset, chosen in self._found(at, address, lanes, dtype.itemsize):
            if here.constant:
                self.launch.fault(at, f"writes the constant {here.name}", lanes, np.ones(offset.size, bool), chosen)
            self._require(at, here, here.view(dtype)[offset // np.uint64(dtype.itemsize)], lanes, chosen)
            which = np.arange(address.size) if chosen is None else chosen
            sequence(here.view(dtype), offset // np.uint64(dtype.itemsize), which, operation, values, old)
            self._stored(here, offset, dtype.itemsize)
            self._loaded(here, offset, dtype.itemsize)
        self.stored += dtype.itemsize * address.size
        self.loaded += dtype.itemsize * address.size
        return old

    def _found(self, at: int, address: np.ndarray, lanes: Any, size: int) -> list[tuple[Allocation, np.ndarray, Any]]:
        """Return the allocations that the addresses lie in, with offsets and which lanes (None: all)."""
        if (address & np.uint64(size - 1)).any():
            bad = (address & np.uint64(size - 1)) != 0
            self.launch.fault(at, f"is not aligned to {size} bytes, {self._nearest(address[bad][0], size)}", lanes, bad)
        number = int(address[0]) >> SPACING
        if 1 <= number <= len(self.allocations):
            here = self.allocations[number - 1]
            offset = address - np.uint64(here.address)
            if here.raw.size >= size and offset.max() <= here.raw.size - size:
                return [(here, offset, None)]
        found = []
        inside = np.zeros(address.size, bool)
        for here in self.allocations:
            offset = address - np.uint64(here.address)
            ok = (offset <= np.uint64(max(here.raw.size - size, 0))) & (here.raw.size >= size)
            if ok.any():
                found.append((here, offset[ok], np.flatnonzero(ok)))
                inside |= ok
        if not inside.all():
            self.launch.fault(at, f"is out of bounds, {self._nearest(address[~inside][0], size)}", lanes, ~inside)
        return found

    def _nearest(self, address: Any, size: int) -> str:
        """Say which allocation an address is nearest to."""
        if not self.allocations:
            return "and the launch has no arrays"
        place = int(address)
        here = min(self.allocations, key=lambda a: max(a.address - place, place + size - a.address - a.raw.size))
        return f"{place - here.address:+,} bytes from the start of {here.name}, which has {here.raw.size:,}"

    # -- races ----------------------------------------------------------------------------------------------------------
    @staticmethod
    def _granules(here: Allocation, offset: np.ndarray, size: int) -> list[np.ndarray]:
        start = (offset + np.uint64(here.start)).astype(np.int64)
        step = here.root.granule
        return [(start + k) // step for k in range(0, size, step)]

    @staticmethod
    def _threads(root: Root) -> Readers:
        if root.threads is None:
            root.threads = Readers(-(-root.size // root.granule))
        return root.threads

    def _log(self, here: Allocation, offset: np.ndarray, who: np.ndarray, size: int) -> None:
        if here.constant:
            return
        for granule in self._granules(here, offset, size):
            here.root.reads.append((granule, who))
            here.root.logged += who.size
        if here.root.logged > _MOST_LOGGED:
            self._flush(here.root)
        self._loaded(here, offset, size)

    def _flush(self, root: Root) -> None:
        if root.reads:
            self._threads(root).read(
                np.concatenate([g for g, _ in root.reads]), np.concatenate([w for _, w in root.reads]).astype(np.int32)
            )
        root.reads, root.logged = [], 0

    def meet(self) -> None:
        """Judge the races since the last barrier: behind it, threads of a block see what the others wrote."""
        for root in self._roots():
            if root.threads is None and not root.reads:
                continue  # nobody touched it
            mine = self._judged(root)
            if root.blocks is None:
                root.blocks = Readers(mine.changed.size)
            self._fold(root, root.blocks, mine)
            root.threads = None

    def finish(self) -> None:
        """Judge the races of the launch."""
        for root in self._roots():
            if root.threads is None and root.blocks is None:
                continue  # nobody wrote
            mine = self._judged(root)
            if root.blocks is not None:
                self._fold(root, root.blocks, mine)
                if (found := root.blocks.race()) is not None:
                    self._race(root, found, root.blocks, "block")

    def _roots(self) -> list[Root]:
        return list({id(a.root): a.root for a in self.allocations if not a.constant}.values())

    def _judged(self, root: Root) -> Readers:
        self._flush(root)
        mine = self._threads(root)
        if (found := mine.race()) is not None:
            self._race(root, found, mine, "thread")
        return mine

    def _fold(self, root: Root, blocks: Readers, mine: Readers) -> None:
        """Add what threads did to what blocks did."""
        size = self.launch.block_threads
        wrote, read = np.flatnonzero(mine.last_writer >= 0), np.flatnonzero(mine.last_reader >= 0)
        first, last = mine.first_writer[wrote] // size, mine.last_writer[wrote] // size
        before = blocks.first_writer[wrote], blocks.last_writer[wrote]
        clash = mine.changed[wrote] & (before[1] >= 0) & ((before[0] != first) | (before[1] != last))
        if clash.any():
            raise Fault(
                f"{self.launch.name} races: two blocks write different values to element {wrote[clash][0]} of {root.name}."
            )
        for who in (mine.first_writer, mine.last_writer):
            blocks.written(wrote, who[wrote] // size, mine.changed[wrote])
        for who in (mine.first_reader, mine.last_reader):
            blocks.read(read, who[read] // size)

    def _race(self, root: Root, granule: int, readers: Readers, what: str) -> None:
        reader = readers.first_reader[granule]
        if reader == readers.first_writer[granule]:
            reader = readers.last_reader[granule]
        names = " and ".join(dict.fromkeys(a.name for a in self.allocations if a.root is root))
        describe = self.launch.describe if what == "thread" else (lambda k: f"block number {k}")
        writer = describe(int(readers.first_writer[granule]))
        raise Fault(
            f"{self.launch.name} races: element {granule} of {names} is written by {writer} "
            f"and read by {describe(int(reader))} in the same launch."
        )

    # -- traffic --------------------------------------------------------------------------------------------------------
    def _loaded(self, here: Allocation, offset: np.ndarray, size: int) -> None:
        if self.launch.counted:
            self._sectors(here.root)[0][(offset + np.uint64(here.start)) >> np.uint64(5)] = True

    def _stored(self, here: Allocation, offset: np.ndarray, size: int) -> None:
        if self.launch.counted:
            self._sectors(here.root)[1][(offset + np.uint64(here.start)) >> np.uint64(5)] = True

    @staticmethod
    def _sectors(root: Root) -> tuple[np.ndarray, np.ndarray]:
        if root.sectors is None:
            root.sectors = np.zeros(root.size // 32 + 1, bool), np.zeros(root.size // 32 + 1, bool)
        return root.sectors

    def sectors(self) -> tuple[int, int]:
        """Return the sectors of 32 bytes that were loaded and stored."""
        every = [s for s in {id(a.root): a.root.sectors for a in self.allocations}.values() if s is not None]
        return sum(int(s[0].sum()) for s in every), sum(int(s[1].sum()) for s in every)


def sequence(
    memory: np.ndarray, place: np.ndarray, which: np.ndarray, operation: Any, values: list[np.ndarray], old: Any
) -> None:
    """Apply `operation(old, *values)` to places one lane after the other."""
    if np.unique(place).size == place.size:
        old[which] = memory[place]
        memory[place] = operation(old[which], *(v[which] for v in values))
        return
    for lane, where in zip(which.tolist(), place.tolist(), strict=True):
        before = memory[where : where + 1].copy()
        old[lane] = before[0]
        memory[where] = operation(before, *(v[lane : lane + 1] for v in values))[0]


class Rows:
    """Shared or local memory: one row of bytes for each block or thread, each with its own contents and the same variables.

    What is filled and who used it is kept for units of the smallest access that the program has.
    """

    def __init__(self, launch: Any, space: str, rows: int, size: int, unit: int, variables: list[Any], races: bool) -> None:
        self.launch, self.space, self.size, self.unit = launch, space, size, unit
        self.bytes = np.full((rows, size), 0xA5, np.uint8)
        self.filled = np.zeros((rows, size // unit), bool)
        self.valid = np.zeros(size, bool)
        for variable in variables:
            self.valid[variable.start : variable.start + variable.size] = True
        self.writer = np.full((rows, size // unit), -1, np.int32) if races else None
        self.reader = np.full((rows, size // unit), -1, np.int32) if races else None

    def keep(self, rows: np.ndarray) -> None:
        """Keep these rows only."""
        self.bytes, self.filled = np.ascontiguousarray(self.bytes[rows]), np.ascontiguousarray(self.filled[rows])

    def forget(self, start: int, size: int, lanes: Any) -> None:
        """Make a variable uninitialised."""
        self.filled[lanes, start // self.unit : -(-(start + size) // self.unit)] = False

    def meet(self) -> None:
        """Forget who read and wrote: all threads have met."""
        if self.writer is not None and self.reader is not None:
            self.writer.fill(-1)
            self.reader.fill(-1)

    def _place(self, at: int, row: np.ndarray, address: np.ndarray, lanes: Any, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the checked places of an access of some bytes, and their units: (lanes, units of each)."""
        if (address & np.uint64(size - 1)).any():
            self.launch.fault(at, f"is not aligned to {size} bytes", lanes, (address & np.uint64(size - 1)) != 0)
        start = address.view(np.int64)
        inside = address <= self.size - size
        if inside.all():
            inside = self.valid[start] & self.valid[start + (size - 1)]
        if not inside.all():
            self.launch.fault(at, f"is out of bounds of {self.space} memory", lanes, ~inside)
        place = row * self.size + start
        first = (place // self.unit)[:, None]
        return place, first if size <= self.unit else first + np.arange(size // self.unit)

    def load(self, at: int, row: np.ndarray, address: np.ndarray, lanes: Any, dtype: Any, count: int) -> list[np.ndarray]:
        """Return `count` consecutive numbers at each address."""
        size = dtype.itemsize
        place, units = self._place(at, row, address, lanes, size * count)
        self._require(at, units, lanes)
        if self.writer is not None:
            self._read(at, units, lanes)
        memory = self.bytes.reshape(-1).view(dtype)
        return [memory[place // size + k] for k in range(count)]

    def store(self, at: int, row: np.ndarray, address: np.ndarray, lanes: Any, values: list[np.ndarray]) -> None:
        """Write the numbers of each lane to consecutive places."""
        size = values[0].dtype.itemsize
        place, units = self._place(at, row, address, lanes, size * len(values))
        self.filled.reshape(-1)[units] = True
        if self.writer is not None:
            self._wrote(at, units, lanes)
        memory = self.bytes.reshape(-1).view(values[0].dtype)
        for k, value in enumerate(values):
            memory[place // size + k] = value

    def exchange(self, at: int, row: Any, address: Any, lanes: Any, dtype: Any, operation: Any, values: Any) -> np.ndarray:
        """Carry out `operation(old, *values)` lane after lane; return the old values."""
        place, units = self._place(at, row, address, lanes, dtype.itemsize)
        self._require(at, units, lanes)
        if self.writer is not None:
            self._wrote(at, units, lanes, together=True)
        old = np.empty(address.size, dtype)
        memory = self.bytes.reshape(-1).view(dtype)
        sequence(memory, place // dtype.itemsize, np.arange(address.size), operation, values, old)
        return old

    def _require(self, at: int, units: np.ndarray, lanes: Any) -> None:
        filled = self.filled.reshape(-1)[units]
        if not filled.all():
            self.launch.fault(at, f"reads uninitialised {self.space} memory", lanes, ~filled.all(axis=1))

    # Who: a thread's number, -1 nobody, -2 several threads, -3 atomics only.
    def _read(self, at: int, units: np.ndarray, lanes: Any) -> None:
        who = self.launch.lane[lanes][:, None]
        writer, reader = self.writer.reshape(-1), self.reader.reshape(-1)  # type: ignore[union-attr]
        wrote = writer[units]
        if (race := (wrote != -1) & (wrote != who)).any():
            what = f"races: reads {self.space} memory that another thread wrote since the last barrier"
            self.launch.fault(at, what, lanes, race.any(axis=1))
        before = reader[units]
        reader[units] = who
        several = ((before != -1) & (before != who)) | (reader[units] != who)
        reader[units[several]] = -2

    def _wrote(self, at: int, units: np.ndarray, lanes: Any, together: bool = False) -> None:
        mine = self.launch.lane[lanes][:, None]
        who = np.int32(-3) if together else mine
        writer, reader = self.writer.reshape(-1), self.reader.reshape(-1)  # type: ignore[union-attr]
        before, used = writer[units], reader[units]
        writer[units] = who
        race = ((before != -1) & (before != who)) | (writer[units] != who) | ((used != -1) & (used != mine))
        if race.any():
            what = f"races: writes {self.space} memory that another thread used since the last barrier"
            self.launch.fault(at, what, lanes, race.any(axis=1))
