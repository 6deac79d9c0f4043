"""Turn PTX into Python: each basic block becomes a function that carries its statements out for all threads at once.

A register is a row of one number per thread; `m` says which threads take part (True: all).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gpu_twins import arithmetic, floating, moving, whole
from gpu_twins.ptx import LETTER, SIZES, Code, Immediate, Instruction, Operand, PtxError, Register, Symbol, dtype_of, read

HANDLERS: dict[str, Callable[..., None]] = {**floating.HANDLERS, **whole.HANDLERS, **moving.HANDLERS}
EXIT = -1
_COUNTED = {"add", "sub", "mul", "div", "sqrt", "rcp", "rsqrt", "ex2", "lg2", "sin", "cos", "tanh"}


@dataclass
class Block:
    """Statements that are carried out one after the other, and where to go then."""

    instructions: list[Instruction]
    first: int  # number of its first statement
    run: Callable[[Any, Any], Any] | None = None
    end: tuple[Any, ...] = ()  # ("jump", to) ("branch", taken, else) ("switch", to...) ("exit",) ("barrier", to)
    flops: dict[str, int] = field(default_factory=lambda: {"f32": 0, "f64": 0})


@dataclass
class Program:
    """A translated entry."""

    code: Code
    blocks: list[Block]
    sources: list[str]
    meets: bool  # whether there is a barrier
    units: dict[str, int]  # bytes of the smallest access to shared and to local memory
    uses: list[list[tuple[list[Register], list[Register]]]]  # registers that each statement of a block reads and writes


@functools.lru_cache(maxsize=64)
def translate(text: str, entry: str) -> Program:
    """Return the program of an entry of a PTX module."""
    return Translator(read(text, entry)).program()


class Translator:
    def __init__(self, code: Code) -> None:
        self.code = code
        self.names: dict[str, Any] = {
            "copyto": np.copyto, "add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.divide,
            "sqrt": np.sqrt, "rint": np.rint, "trunc": np.trunc, "floor": np.floor, "ceil": np.ceil, "absolute": np.absolute,
            "negative": np.negative, "invert": np.invert, "bitwise_and": np.bitwise_and, "bitwise_or": np.bitwise_or,
            "bitwise_xor": np.bitwise_xor, "minimum": np.minimum, "maximum": np.maximum, "where": np.where,
            "less": np.less, "less_equal": np.less_equal, "greater": np.greater, "greater_equal": np.greater_equal,
            "equal": np.equal, "not_equal": np.not_equal, "logical_not": np.logical_not, "isnan": np.isnan,
            "copysign": np.copysign, "W": np.uint64, "U4": np.dtype("u4"), "U8": np.dtype("u8"), "I8": np.dtype("i8"),
        }  # fmt: skip
        self.constants: dict[tuple[str, bytes], str] = {}
        self.tracked: set[Register] = set()
        self.lines: list[str] = []
        self.before: list[str] = []
        self.after: list[str] = []
        self.reads: list[Register] = []
        self.writes: list[Register] = []
        self.now: Instruction = Instruction("", (), (), None, False, "")
        self.at = 0
        self.mask = "m"

    # -- blocks ---------------------------------------------------------------------------------------------------------
    def program(self) -> Program:
        blocks, labels = self._split()
        sources = [i.source for b in blocks for i in b.instructions]
        for k, block in enumerate(blocks):
            block.end = self._end(block, k, labels)
        uses = [[self._emit(b, i, n) for n, i in enumerate(b.instructions)] for b in blocks]
        self.tracked = self._undefined(blocks, uses)
        source = []
        for k, block in enumerate(blocks):
            body: list[str] = []
            for n, instruction in enumerate(block.instructions):
                self._emit(block, instruction, n)
                body += self.before + self.lines + self.after
            if block.end[0] == "branch":
                body.append(f"return {self._guard(block.instructions[-1])}")
            elif block.end[0] == "switch":
                body.append(f"return {self.row(block.instructions[-1].operands[0], 'u32')}")
            source.append(f"def b{k}(F, m):\n    p=F.p; u2=F.u2; i2=F.i2; u4=F.u4; i4=F.i4; f4=F.f4; u8=F.u8; i8=F.i8; f8=F.f8")
            source += [f"    {line}" for line in body]
        exec(compile("\n".join(source), f"<{self.code.entry}>", "exec"), self.names)
        for k, block in enumerate(blocks):
            block.run = self.names[f"b{k}"]
            self._count(block)
        return Program(self.code, blocks, sources, any(b.end[0] == "barrier" for b in blocks), self._units(), uses)

    def _units(self) -> dict[str, int]:
        units = {"shared": 8, "local": 8}
        for item in self.code.items:
            if isinstance(item, Instruction) and item.opcode in ("ld", "st", "atom", "red"):
                named = {"global", "const", "param", "shared", "local"} & set(item.modifiers)
                for space in (named or set(units)) & set(units):  # without a name it may be any
                    units[space] = min(units[space], SIZES[item.modifiers[-1]])
        return units

    def _split(self) -> tuple[list[Block], dict[str, int]]:
        blocks: list[Block] = [Block([], 0)]
        labels: dict[str, int] = {}
        number = 0
        for item in self.code.items:
            if isinstance(item, str):
                if blocks[-1].instructions:
                    blocks.append(Block([], number))
                labels[item] = len(blocks) - 1
                continue
            blocks[-1].instructions.append(item)
            number += 1
            if item.opcode in ("bra", "brx", "ret", "exit", "bar", "barrier"):
                blocks.append(Block([], number))
        if not blocks[-1].instructions and len(blocks) - 1 not in labels.values():
            blocks.pop()
        return blocks, labels

    def _end(self, block: Block, k: int, labels: dict[str, int]) -> tuple[Any, ...]:
        last = block.instructions[-1] if block.instructions else None
        following = k + 1
        if last is None or last.opcode not in ("bra", "brx", "ret", "exit", "bar", "barrier"):
            return ("jump", following)
        if last.opcode in ("bar", "barrier"):
            self._barrier(last)
            return ("barrier", following)
        if unknown := set(last.modifiers) - ({"uni", "idx"} if last.opcode == "brx" else {"uni"}):
            raise PtxError(f"Unknown modifier {unknown}: '{last.source}'.")
        for target in last.targets:
            if target not in labels:
                raise PtxError(f"Unknown label '{target}': '{last.source}'.")
        if last.opcode == "brx":
            return ("switch", *(labels[t] for t in last.targets))
        target = labels[last.targets[0]] if last.targets else EXIT
        if last.predicate is None:
            return ("exit",) if target == EXIT else ("jump", target)
        return ("branch", following, target) if last.negated else ("branch", target, following)

    @staticmethod
    def _barrier(instruction: Instruction) -> None:
        rest = [m for m in instruction.modifiers if m not in ("sync", "cta", "aligned")]
        operands = [o.text if isinstance(o, Immediate) else o for o in instruction.operands]
        if rest or "sync" not in instruction.modifiers or operands != ["0"] or instruction.predicate is not None:
            raise PtxError(f"Unknown barrier: '{instruction.source}'.")

    @staticmethod
    def _count(block: Block) -> None:
        for i in block.instructions:
            kind = i.modifiers[-1] if i.modifiers else ""
            if kind in block.flops:
                block.flops[kind] += 2 if i.opcode in ("fma", "mad") else i.opcode in _COUNTED

    def _undefined(self, blocks: list[Block], uses: list[list[tuple[list[Register], list[Register]]]]) -> set[Register]:
        """Return the registers that some path reads before it writes them."""
        every = {r for block in uses for reads, writes in block for r in (*reads, *writes)}
        given = set(self.code.special.values())
        wrote = [{r for i, (_, w) in zip(b.instructions, u, strict=True) if i.predicate is None for r in w}
                 for b, u in zip(blocks, uses, strict=True)]  # fmt: skip
        known = [set(every) for _ in blocks]
        known[0] = set(given)
        todo = [0]
        seen = {0}
        while todo:
            k = todo.pop()
            out = known[k] | wrote[k]
            for target in (t for t in blocks[k].end[1:] if t != EXIT and t < len(blocks)):
                if not known[target] <= out or target not in seen:
                    known[target] &= out
                    seen.add(target)
                    todo.append(target)
        found = set()
        for k, block in enumerate(blocks):
            if k not in seen:
                continue
            have = set(known[k])
            for instruction, (reads, writes) in zip(block.instructions, uses[k], strict=True):
                found |= set(reads) - have
                if instruction.predicate is None:
                    have |= set(writes)
        return found

    # -- statements -----------------------------------------------------------------------------------------------------
    def _emit(self, block: Block, instruction: Instruction, number: int) -> tuple[list[Register], list[Register]]:
        """Make the lines of a statement; return the registers that it reads and writes."""
        self.now, self.at, self.mask = instruction, block.first + number, "m"
        self.lines, self.before, self.after, self.reads, self.writes = [], [], [], [], []
        opcode = instruction.opcode
        if instruction.predicate is not None:
            self.reads.append(instruction.predicate)
        if opcode in ("bra", "ret", "exit", "bar", "barrier"):
            pass
        elif opcode == "brx":
            self.row(instruction.operands[0], "u32")
        else:
            handler = HANDLERS.get(opcode)
            if handler is None:
                self.unknown()
            if instruction.predicate is not None:
                self.mask = "q"
            try:
                handler(self, *instruction.operands, rest=list(instruction.modifiers))
            except TypeError as error:  # too few operands or too many
                raise PtxError(f"Unknown operands: '{instruction.source}'.") from error
            if instruction.predicate is not None:
                inner = [f"    {line}" for line in self.lines]
                self.lines = [f"q = F.guard({self._guard(instruction)}, m)", "if q is True or q.any():", *inner]
        self.before = [
            f"F.require({self.at}, {self._index(r)}, {r.name!r}, m)" for r in dict.fromkeys(self.reads) if r in self.tracked
        ]
        self.after = [f"F.define({self._index(r)}, {self.mask})" for r in dict.fromkeys(self.writes) if r in self.tracked]
        if self.mask == "q":
            self.after = [f"if q is True or q.any(): {line}" for line in self.after]
        return self.reads, self.writes

    @staticmethod
    def _index(register: Register) -> str:
        return f"({register.size}, {register.slot})"

    def _guard(self, instruction: Instruction) -> str:
        assert instruction.predicate is not None
        row = f"p[{instruction.predicate.slot}]"
        return f"~{row}" if instruction.negated and instruction.opcode not in ("bra", "ret", "exit") else row

    def unknown(self, why: str = "instruction") -> Any:
        raise PtxError(f"Unknown {why}: '{self.now.source}'.")

    def kind(self, rest: list[str], *allowed: str) -> str:
        """Take the type, which stands last."""
        if not rest or rest[-1] not in allowed:
            self.unknown("type")
        return rest.pop()

    def option(self, rest: list[str], *allowed: str) -> str:
        """Take one of several modifiers, or none."""
        found = [m for m in rest if m in allowed]
        if len(found) > 1:
            self.unknown("combination of modifiers")
        if found:
            rest.remove(found[0])
        return found[0] if found else ""

    def done(self, rest: list[str]) -> None:
        """Refuse what is left over."""
        if rest:
            self.unknown(f"modifier '{rest[0]}'")

    def constant(self, value: Any, dtype: Any) -> str:
        made = np.array(value, dtype)
        key = (made.dtype.str, made.tobytes())
        if key not in self.constants:
            self.constants[key] = f"K{len(self.constants)}"
            self.names[self.constants[key]] = made
        return self.constants[key]

    def use(self, name: str) -> str:
        """Return the name of one of our own universal functions."""
        if not arithmetic.known(name):
            self.unknown()
        self.names[f"U_{name}"] = arithmetic.ufunc(name)
        return f"U_{name}"

    def row(self, operand: Operand, kind: str, narrow: bool = False) -> str:
        """Return the expression of a source operand as a type."""
        size, dtype = SIZES[kind], dtype_of(kind)
        if isinstance(operand, Register):
            self.reads.append(operand)
            if operand.size == 0 or size == 0:
                if operand.size or size:
                    self.unknown("use of a predicate")
                return f"p[{operand.slot}]"
            if operand.size == size:
                return f"{LETTER[kind[0]]}{size}[{operand.slot}]"
            if narrow and operand.size > size and kind[0] != "f":
                self.names[f"T_{dtype.str[1:]}"] = dtype
                return f"u{operand.size}[{operand.slot}].astype(T_{dtype.str[1:]})"
            self.unknown("width of a register")
        if isinstance(operand, Symbol):
            if kind not in ("u64", "b64", "s64") and not (operand.variable.space == "shared" and size == 4):
                self.unknown("use of an address")
            if operand.variable.space in ("global", "const"):
                return f"F.places[{operand.variable.name!r}]"
            return self.constant(operand.variable.start, f"u{size}")
        if not isinstance(operand, Immediate):
            self.unknown("operand")
        return self.constant(self._number(operand.text, kind), dtype)

    def _number(self, text: str, kind: str) -> Any:
        dtype = dtype_of(kind)
        if found := re.fullmatch(r"0[fF]([0-9a-fA-F]{8})", text):
            value: Any = np.array(int(found[1], 16), "u4").view("f4")
        elif found := re.fullmatch(r"0[dD]([0-9a-fA-F]{16})", text):
            value = np.array(int(found[1], 16), "u8").view("f8")
        else:
            if kind[0] == "f":
                return float(text) if "." in text else self.unknown("constant")
            if kind == "pred":
                return bool(int(text, 0))
            whole = int(text.rstrip("U"), 0)
            if not -(1 << 8 * dtype.itemsize - 1) <= whole < 1 << 8 * dtype.itemsize:
                self.unknown("constant, which does not fit its type,")
            return np.array(whole % (1 << 8 * dtype.itemsize), f"u{dtype.itemsize}").view(dtype)
        if kind[0] == "f" and value.dtype != dtype:
            if kind != "f32":
                self.unknown("constant")
            value = value.astype(dtype)  # 0d... for an f32 operand
        if value.dtype.itemsize != dtype.itemsize:
            self.unknown("constant")
        return value.view(dtype)

    def target(self, operand: Operand, kind: str, wider: bool = False) -> str:
        """Return the expression of the register that a statement writes."""
        if not isinstance(operand, Register):
            self.unknown("destination")
        self.writes.append(operand)
        size = SIZES[kind]
        if operand.size == 0 or size == 0:
            if operand.size or size:
                self.unknown("use of a predicate")
            return f"p[{operand.slot}]"
        if operand.size != size and not (wider and operand.size > size and kind[0] != "f"):
            self.unknown("width of a register")
        return f"{LETTER[kind[0]]}{operand.size}[{operand.slot}]"

    def call(self, function: str, target: str, *arguments: str) -> None:
        if function.startswith("U_"):  # numba's do not take `where`
            made = f"{function}({', '.join(arguments)}"
            self.lines.append(f"{made}, {target}) if {self.mask} is True else copyto({target}, {made}), where={self.mask})")
        else:
            self.lines.append(f"{function}({', '.join(arguments)}, out={target}, where={self.mask})")

    def put(self, target: str, expression: str) -> None:
        self.lines.append(f"copyto({target}, {expression}, casting='unsafe', where={self.mask})")
