"""Carry a launch out by its PTX: every thread of the grid at once, on NumPy, each access checked.

Threads advance together; where they part, those furthest behind in the text go first, so that they meet again. A barrier lets a
block pass when all its threads wait there: threads of one block at different barriers, or a warp of which some have ended,
are a fault (PTX ISA, bar.sync: all threads of a warp have to execute the same barrier). Also faults: reads of registers,
local or shared memory that nothing wrote, races (see `memory`), a division by zero, and a launch without end.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gpu_twins.memory import LOCAL_WINDOW, SHARED_WINDOW, Fault, GlobalMemory, Rows
from gpu_twins.ptx import PtxError
from gpu_twins.translate import EXIT, Program, translate

__all__ = ["Counts", "Fault", "PtxError", "interpret", "run_interpreted", "use_interpreter"]

WARP = 32
_MOST_STATEMENTS = 3_000_000
_UNWRITTEN = 0xA5A5A5A5A5A5A5A5
Architecture = tuple[int, int]


@dataclass
class Counts:
    """What launches did, summed over all threads."""

    launches: int = 0
    threads: int = 0
    statements: int = 0  # of the interpreter: one for all threads that carry it out together
    instructions: int = 0
    flops_f32: int = 0  # a fused multiply-add is two
    flops_f64: int = 0
    bytes_loaded: int = 0  # of global memory
    bytes_stored: int = 0
    sectors_loaded: int = 0  # different sectors of 32 bytes of global memory
    sectors_stored: int = 0
    ways: set[tuple[int, int]] = field(default_factory=set, repr=False)  # from block to block


def interpret(
    ptx_text: str,
    entry: str,
    grid: tuple[int, ...],
    block: tuple[int, ...],
    arguments: tuple[Any, ...],
    *,
    counts: Counts | None = None,
    limit: int = _MOST_STATEMENTS,
) -> None:
    """Carry out a launch.

    Parameters
    ----------
    ptx_text, entry
        A PTX module and the name of the kernel in it.
    grid, block : (x, y, z)
        Blocks of the launch and threads of a block; trailing ones may be left out.
    arguments
        Arrays of the stand-in, and NumPy scalars of the type of the parameter.
    counts
        To be added to.
    limit
        Most statements; a launch that takes more is without end.

    Raises
    ------
    Fault
        When the kernel does what it may not do.
    PtxError
        When the text has what the interpreter does not know.
    """
    with np.errstate(all="ignore"):
        _Launch(translate(ptx_text, entry), grid, block, arguments, counts).run(limit)


class _Launch:
    """The state of a launch: registers, a row of numbers each, of the threads that have not ended (`lane`)."""

    def __init__(
        self, program: Program, grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...], counts: Counts | None
    ) -> None:
        self.program, self.code, self.name = program, program.code, program.code.entry
        self.grid, self.block = (*grid, 1, 1)[:3], (*block, 1, 1)[:3]
        self.block_threads = int(np.prod(self.block))
        self.threads = self.n = self.block_threads * int(np.prod(self.grid))
        self.ways: set[tuple[int, int]] = set()
        self.counts, self.counted, self.meets = counts, counts is not None, program.meets
        self.lane = np.arange(self.n, dtype=np.int32)
        self.block_row = (self.lane // self.block_threads).astype(np.int64)
        self.memory = GlobalMemory(self)
        self.places: dict[str, np.ndarray] = {}
        self._arguments(arguments)
        self._registers()
        variables = self.code.variables
        shared = [v for v in variables if v.space == "shared"]
        local = [v for v in variables if v.space == "local"]
        size = -(-self.code.shared_size // 16) * 16 if shared else 16
        self.shared = Rows(
            self, "shared", int(np.prod(self.grid)) if shared else 1, size, program.units["shared"], shared, True
        )
        size = -(-self.code.local_size // 16) * 16 if local else 16
        self.local = Rows(self, "local", self.n if local else 1, size, program.units["local"], local, False)
        self.has_local = bool(local)
        self.defined: dict[tuple[int, int], np.ndarray] = {}

    def _arguments(self, arguments: tuple[Any, ...]) -> None:
        if len(arguments) != len(self.code.parameters):
            raise Fault(f"{self.name} takes {len(self.code.parameters)} parameters, not {len(arguments)}.")
        self.parameters: list[np.ndarray] = []
        for k, ((_, kind, size), value) in enumerate(zip(self.code.parameters, arguments, strict=True)):
            if hasattr(value, "_held"):
                made = np.array(self.memory.add_array(f"parameter {k}", value), "u8")
            else:
                made = np.array(value)
            if made.dtype.itemsize != size or (kind[0] == "f") != (made.dtype.kind == "f"):
                raise Fault(f"Parameter {k} of {self.name} is a .{kind}, not {made.dtype}.")
            self.parameters.append(made)
        for variable in self.code.variables:
            if variable.space in ("global", "const"):
                self.memory.add_variable(variable.name, variable.content or b"", variable.space == "const")
                self.places[variable.name] = np.array(self.memory.places[variable.name], "u8")

    def _registers(self) -> None:
        slots, n = self.code.slots, self.n
        self.files = {
            size: np.full((count, n), _UNWRITTEN % (1 << 8 * size), f"u{size}") for size, count in slots.items() if size
        }
        self.files[0] = np.zeros((slots[0], n), bool)
        self._views()
        x, y, _ = self.block
        thread, number = self.lane % self.block_threads, self.lane // self.block_threads
        gx, gy, _ = self.grid
        values = [thread % x, thread // x % y, thread // (x * y), *self.block]
        values += [number % gx, number // gx % gy, number // (gx * gy), *self.grid, thread % WARP]
        for register, value in zip(self.code.special.values(), values, strict=True):
            self.u4[register.slot][:] = value

    def _views(self) -> None:
        self.p = list(self.files[0])
        self.u2, self.i2 = list(self.files[2]), list(self.files[2].view("i2"))
        self.u4, self.i4, self.f4 = (list(self.files[4].view(t)) for t in ("u4", "i4", "f4"))
        self.u8, self.i8, self.f8 = (list(self.files[8].view(t)) for t in ("u8", "i8", "f8"))

    def _keep(self, mask: np.ndarray) -> None:
        """Drop the threads that have ended."""
        rows = np.flatnonzero(mask)
        self.files = {size: np.ascontiguousarray(held[:, rows]) for size, held in self.files.items()}
        self._views()
        self.lane, self.block_row, self.n = self.lane[rows], self.block_row[rows], rows.size
        self.defined = {key: held[rows] for key, held in self.defined.items()}
        if self.has_local:
            self.local.keep(rows)

    # -- control --------------------------------------------------------------------------------------------------------
    def run(self, limit: int) -> None:
        """Let all threads run to their end."""
        blocks = self.program.blocks
        visits = np.zeros(len(blocks), np.int64)
        groups: dict[int, Any] = {}
        waiting: dict[int, np.ndarray] = {}
        alive, statements = self.n, 0
        here, m, count = 0, True, self.n
        while True:
            block = blocks[here] if here < len(blocks) else None
            if block is None:
                raise Fault(f"{self.name} runs beyond its last statement.")
            visits[here] += count
            statements += len(block.instructions)
            if statements > limit:
                raise Fault(f"{self.name} does not end: {statements:,} statements.")
            out = block.run(self, m)  # type: ignore[misc]
            kind, *targets = block.end
            following: list[tuple[int, Any, int]] = []
            if kind == "jump":
                following = [(targets[0], m, count)]
            elif kind == "branch":
                taken = out if m is True else out & m
                number = int(np.count_nonzero(taken))
                if number == count:
                    following = [(targets[0], m, count)]
                elif number == 0:
                    following = [(targets[1], m, count)]
                else:
                    following = [
                        (targets[0], taken.copy(), number),
                        (targets[1], ~taken if m is True else m & ~taken, count - number),
                    ]
            elif kind == "switch":
                following = self._switch(out, targets, m)
            elif kind == "exit":
                following = [(EXIT, m, count)]
            else:
                waiting[targets[0]] = self._mask(m)
                self.ways.add((here, targets[0]))
            for target, mask, number in following:
                self.ways.add((here, target))
                if target == EXIT:
                    alive -= number
                elif target in groups:
                    groups[target] = groups[target] | self._mask(mask)
                else:
                    groups[target] = mask
            if not groups:
                if not waiting:
                    break
                groups = self._meet(waiting)
                waiting = {}
            here = min(groups)
            m = groups.pop(here)
            count = self.n if m is True else int(np.count_nonzero(m))
            if m is not True and count == alive and not groups and not waiting:
                if count < self.n:
                    self._keep(m)
                m = True
        self.memory.finish()
        self._count(visits, statements)

    def _mask(self, m: Any) -> np.ndarray:
        return np.ones(self.n, bool) if m is True else m

    def _switch(self, out: np.ndarray, targets: list[int], m: Any) -> list[tuple[int, Any, int]]:
        mask = self._mask(m)
        if (out[mask] >= len(targets)).any():
            raise Fault(f"{self.name} branches beyond the end of its table.")
        made: dict[int, np.ndarray] = {}
        for k, target in enumerate(targets):
            mine = mask & (out == k)
            if mine.any():
                made[target] = made[target] | mine if target in made else mine
        return [(t, v, int(np.count_nonzero(v))) for t, v in made.items()]

    def _meet(self, waiting: dict[int, np.ndarray]) -> dict[int, Any]:
        """Let all blocks pass their barrier."""
        where = np.full(self.threads, -1)
        for target, mask in waiting.items():
            where[self.lane[mask]] = target
        by_block = where.reshape(-1, self.block_threads)
        for number, row in enumerate(by_block):
            waits = row[row >= 0]
            if waits.size == 0:
                continue
            sources = self.program.sources
            if (waits != waits[0]).any():
                lines = sorted({sources[self.program.blocks[t].first - 1] for t in set(waits.tolist())})
                raise Fault(f"{self.name}: threads of {self._block_name(number)} wait at different barriers: {lines}.")
            for warp in range(0, row.size, WARP):
                part = row[warp : warp + WARP] >= 0
                if part.any() and not part.all():
                    missing = number * self.block_threads + warp + int(np.flatnonzero(~part)[0])
                    raise Fault(f"{self.name}: a barrier is not reached by {self.describe(missing)}, which has ended.")
        self.shared.meet()
        self.memory.meet()
        return dict(waiting)

    def _count(self, visits: np.ndarray, statements: int) -> None:
        if self.counts is None:
            return
        c, blocks = self.counts, self.program.blocks
        c.launches += 1
        c.threads += self.threads
        c.statements += statements
        c.instructions += sum(int(v) * len(b.instructions) for v, b in zip(visits, blocks, strict=True))
        c.flops_f32 += sum(int(v) * b.flops["f32"] for v, b in zip(visits, blocks, strict=True))
        c.flops_f64 += sum(int(v) * b.flops["f64"] for v, b in zip(visits, blocks, strict=True))
        c.ways.update(self.ways)
        c.bytes_loaded += self.memory.loaded
        c.bytes_stored += self.memory.stored
        loaded, stored = self.memory.sectors()
        c.sectors_loaded += loaded
        c.sectors_stored += stored

    # -- what statements call ---------------------------------------------------------------------------------------------
    def guard(self, predicate: np.ndarray, m: Any) -> np.ndarray:
        """Return the threads that a guarded statement applies to."""
        return predicate.copy() if m is True else predicate & m

    def require(self, at: int, key: tuple[int, int], name: str, m: Any) -> None:
        """Refuse to read a register that was not written."""
        lanes = self._lanes(m)
        held = self.defined.get(key)
        bad = ~held[lanes] if held is not None else np.ones(self.lane[lanes].size, bool)
        if bad.any():
            self.fault(at, f"reads the register {name}, which nothing wrote", lanes, bad)

    def define(self, key: tuple[int, int], m: Any) -> None:
        """Mark a register as written."""
        if key not in self.defined:
            self.defined[key] = np.zeros(self.n, bool)
        self.defined[key][self._lanes(m)] = True

    def divisor(self, at: int, values: np.ndarray, m: Any) -> None:
        """Refuse a division by zero."""
        lanes = self._lanes(m)
        bad = np.broadcast_to(values, (self.n,))[lanes] == 0
        if bad.any():
            self.fault(at, "divides by zero", lanes, bad)

    def trap(self, at: int, m: Any) -> None:
        """Stop at a trap."""
        lanes = self._lanes(m)
        self.fault(at, "traps", lanes, np.ones(self.lane[lanes].size, bool))

    def parameter(self, k: int, dtype: np.dtype[Any]) -> np.ndarray:
        """Return a parameter of the launch."""
        held = self.parameters[k]
        if held.dtype.itemsize != dtype.itemsize:
            raise Fault(f"Parameter {k} of {self.name} is read as {dtype}, not {held.dtype}.")
        return held.view(dtype)

    def everywhere(self, value: np.ndarray) -> np.ndarray:
        """Return a number for each thread."""
        return np.broadcast_to(value, (self.n,))

    def forget(self, start: int, size: int, m: Any) -> None:
        """Make a local variable uninitialised."""
        self.local.forget(start, size, self._lanes(m))

    def load(
        self, at: int, space: str, base: np.ndarray, offset: np.ndarray, dtype: Any, targets: tuple[np.ndarray, ...], m: Any,
        coherent: bool,
    ) -> None:  # fmt: skip
        """Load numbers into registers."""
        lanes = self._lanes(m)
        for part, where, address in self._spaces(at, space, base, offset, lanes):
            if where in ("global", "const"):
                values = self.memory.load(at, address, part, dtype, len(targets), coherent)
            else:
                values = self._rows(where).load(at, self._row(where, part), address, part, dtype, len(targets))
            for target, value in zip(targets, values, strict=True):
                target[part] = value

    def store(self, at: int, space: str, base: np.ndarray, offset: np.ndarray, values: tuple[np.ndarray, ...], m: Any) -> None:
        """Store numbers."""
        lanes = self._lanes(m)
        for part, where, address in self._spaces(at, space, base, offset, lanes):
            given = [np.ascontiguousarray(np.broadcast_to(v, (self.n,))[part]) for v in values]
            if where == "global":
                self.memory.store(at, address, part, given)
            else:
                self._rows(where).store(at, self._row(where, part), address, part, given)

    def atomic(
        self, at: int, space: str, base: np.ndarray, offset: np.ndarray, dtype: Any, operation: str,
        values: tuple[np.ndarray, ...], target: np.ndarray | None, m: Any,
    ) -> None:  # fmt: skip
        """Change memory indivisibly."""
        lanes = self._lanes(m)
        for part, where, address in self._spaces(at, space, base, offset, lanes):
            given = [np.broadcast_to(v, (self.n,))[part] for v in values]
            if where == "global":
                old = self.memory.exchange(at, address, part, dtype, _ATOMIC[operation], given)
            elif where == "shared":
                old = self.shared.exchange(at, self._row(where, part), address, part, dtype, _ATOMIC[operation], given)
            else:
                self.fault(at, "is an atomic operation on local memory", part, np.ones(address.size, bool))
            if target is not None:
                target[part] = old

    def _lanes(self, m: Any) -> Any:
        return slice(None) if m is True else np.flatnonzero(m)

    def _rows(self, space: str) -> Rows:
        return self.shared if space == "shared" else self.local

    def _row(self, space: str, lanes: Any) -> np.ndarray:
        return self.block_row[lanes] if space == "shared" else np.arange(self.n)[lanes]

    def _spaces(
        self, at: int, space: str, base: np.ndarray, offset: np.ndarray, lanes: Any
    ) -> Iterator[tuple[Any, str, np.ndarray]]:
        """Yield lanes, space and address; a generic address says its space itself."""
        address = base[lanes]
        if address.size == 0:
            return
        address = (address if address.dtype.itemsize == 8 else address.astype("u8")) + offset
        if space:
            yield lanes, space, address
            return
        which = address >> np.uint64(62)
        window = {0: ("global", 0), 1: ("shared", SHARED_WINDOW), 2: ("local", LOCAL_WINDOW)}
        for key in np.unique(which).tolist():
            mine = np.flatnonzero(which == key)
            part = np.arange(self.n)[lanes][mine]
            if key not in window:
                self.fault(at, "is out of bounds of every space", part, np.ones(mine.size, bool))
            yield part, window[key][0], address[mine] - np.uint64(window[key][1])

    # -- faults ---------------------------------------------------------------------------------------------------------
    def fault(self, at: int, what: str, lanes: Any, bad: np.ndarray, chosen: np.ndarray | None = None) -> None:
        """Raise a fault of a statement in some of the threads that carry it out."""
        where = np.flatnonzero(bad)
        where = where if chosen is None else chosen[where]
        first = int(self.lane[lanes][where[0]])
        raise Fault(
            f"{self.name}: '{self.program.sources[at]}' {what}, in {where.size} threads, first in {self.describe(first)}."
        )

    def describe(self, lane: int) -> str:
        """Name a thread."""
        number, thread = divmod(lane, self.block_threads)
        x, y, _ = self.block
        return f"{self._block_name(number)} thread ({thread % x}, {thread // x % y}, {thread // (x * y)})"

    def _block_name(self, number: int) -> str:
        gx, gy, _ = self.grid
        return f"block ({number % gx}, {number // gx % gy}, {number // (gx * gy)})"


_ATOMIC: dict[str, Callable[..., np.ndarray]] = {
    "add": np.add, "min": np.minimum, "max": np.maximum, "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor,
    "exch": lambda old, new: new,
    "cas": lambda old, expected, new: np.where(old == expected, new, old),
    "inc": lambda old, top: np.where(old >= top, 0, old + 1).astype(old.dtype),
    "dec": lambda old, top: np.where((old == 0) | (old > top), top, old - 1).astype(old.dtype),
}  # fmt: skip


@contextlib.contextmanager
def use_interpreter(
    architecture: Architecture = (8, 0),
    replace: Mapping[str, str] | None = None,
    *,
    counts: dict[str, Counts] | None = None,
    limit: int = _MOST_STATEMENTS,
) -> Iterator[None]:
    """Let the launches of the stand-in be carried out by their PTX.

    Parameters
    ----------
    architecture
        Compute capability that the device claims and that the PTX is compiled for.
    replace
        PTX to be used in place of a kernel's own, by entry.
    counts
        Filled by entry.
    limit
        Most statements of a launch.
    """
    from cupy import stand_in

    from felsina.kernels import _gpu

    def execute(entry: str, path: str, grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...]) -> None:
        mine = counts.setdefault(entry, Counts()) if counts is not None else None
        text = (replace or {}).get(entry) or _beside(path)
        interpret(text, entry, grid, block, arguments, counts=mine, limit=limit)

    keep = stand_in.execute, stand_in.compute_capability
    stand_in.execute, stand_in.compute_capability = execute, f"{architecture[0]}{architecture[1]}"
    _gpu._loaded.cache_clear()
    try:
        yield
    except BaseException:
        stand_in.reset()  # what is still queued after a fault is void
        raise
    finally:
        stand_in.execute, stand_in.compute_capability = keep
        _gpu._loaded.cache_clear()


def run_interpreted(entry: str, path: str, grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...]) -> None:
    """Carry a launch out by the PTX that lies beside its cubin."""
    interpret(_beside(path), entry, grid, block, arguments)


@functools.lru_cache(maxsize=256)
def _beside(path: str) -> str:
    return Path(path).with_suffix(".ptx").read_text()
