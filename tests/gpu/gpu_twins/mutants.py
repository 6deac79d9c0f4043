"""Change one statement of a kernel's PTX at a time: a check that does not notice is too weak.

Only statements that the cases carry out, and whose result is used, are changed. Comparisons of whole numbers lose or gain
equality, those of floats are turned round: that two random floats are equal does not happen.
"""

from __future__ import annotations

import csv
import functools
import math
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from felsina.kernels._gpu import GpuKernel
from gpu_twins.every_case import cases_of, identifier
from gpu_twins.harness import Case, difference, on_cpu, on_device
from gpu_twins.interpreter import Counts, use_interpreter
from gpu_twins.ptx import SIZES, Instruction
from gpu_twins.translate import translate
from gpu_twins.used import used

ARCHITECTURE = (8, 0)
EXEMPTIONS = Path(__file__).resolve().parent.parent / "mutants_exempt.csv"
KINDS = ("index", "constant", "comparison", "stride", "operator")
_ENDLESS = 20  # times the statements of the unchanged kernel

_STATEMENT = re.compile(r"\s*(?:@!?%p\d+\s+)?([a-z]\w*)((?:\.\w+)*)\s+(.*);\s*")
_TURNED = {"lt": "gt", "gt": "lt", "le": "ge", "ge": "le", "eq": "ne", "ne": "eq"}
_SHIFTED = {
    "lt": "le",
    "le": "lt",
    "gt": "ge",
    "ge": "gt",
    "eq": "ne",
    "ne": "eq",
    "lo": "ls",
    "ls": "lo",
    "hi": "hs",
    "hs": "hi",
}
_OTHER = {"add": "sub", "sub": "add", "min": "max", "max": "min", "and": "or", "or": "and"}
_WITH_CONSTANTS = {"add", "sub", "mul", "mad", "fma", "mov", "selp", "setp", "min", "max", "and", "or", "xor", "div", "rem"}


@dataclass(frozen=True)
class Mutant:
    """A kernel with one statement changed."""

    driver: str
    kind: str
    before: str
    after: str
    line: int
    changed: str  # the line as it has become

    def __str__(self) -> str:
        return f"{self.driver}: {self.kind}: '{self.before}' -> '{self.after}'"


@dataclass(frozen=True)
class Exemption:
    """Mutants that nothing can tell from the kernel."""

    kernel: str  # regular expressions
    before: str
    after: str
    reason: str

    def covers(self, mutant: Mutant) -> bool:
        """Say whether a mutant is one of these."""
        pairs = ((self.kernel, mutant.driver), (self.before, mutant.before), (self.after, mutant.after))
        return all(re.fullmatch(pattern, text) for pattern, text in pairs)


def exemptions() -> list[Exemption]:
    """Return the mutants that are not counted."""
    with EXEMPTIONS.open(newline="", encoding="utf-8") as file:
        return [Exemption(**row) for row in csv.DictReader(file)]


@dataclass(frozen=True)
class Score:
    """How the checks of a driver did."""

    driver: str
    tried: int
    survivors: list[str]
    exemptions: set[int]  # of the table that cover a mutant of the driver
    statements: int  # of the kernel itself
    executed: int
    called: int  # statements of functions that it calls: the long ways of libdevice
    called_executed: int


class Trial:
    """A driver with its cases: what the CPU gives, and which statements its PTX carries out to some effect."""

    def __init__(self, kernel: GpuKernel, kind: str) -> None:
        self.cases: list[Case] = cases_of(kernel, kind)
        if not self.cases:
            raise LookupError(f"{identifier(kernel, kind)} has no case.")
        self.entry, self.driver = kernel.entry(kind), identifier(kernel, kind)
        self.text = kernel.ptx(ARCHITECTURE, kind)
        self.expected = {case.name: on_cpu(case) for case in self.cases}
        counts: dict[str, Counts] = {}
        for case in self.cases:
            with use_interpreter(ARCHITECTURE, counts=counts):
                if difference(case, self.expected[case.name], on_device(case)) > 1:
                    raise ValueError(f"{case.name} fails without any change of {self.driver}.")
        program = translate(self.text, self.entry)
        self.seen = used(program, counts[self.entry].ways)
        self.limit = _ENDLESS * max(c.statements for c in counts.values()) + 1000
        self.instructions = [i for i in program.code.items if isinstance(i, Instruction) and i.opcode != "enter"]

    def coverage(self) -> tuple[int, int, int, int]:
        """Return the statements of the kernel, those carried out, and both of the functions that it calls."""
        every = {i.place for i in self.instructions}
        own = {place for place in every if place[0] == self.entry}
        return len(own), len(own & self.seen), len(every - own), len((every - own) & self.seen)

    def mutants(self) -> list[Mutant]:
        """Return every mutant that we know how to make."""
        lines = self.text.splitlines()
        start = next(k for k, line in enumerate(lines) if re.match(rf"\.visible \.entry {re.escape(self.entry)}\(", line))
        stop = next(k for k in range(start, len(lines)) if lines[k] == "}")
        guards, bounds = _division_guards(lines[start:stop]), _bounds(lines[start:stop])
        executed = {i.source for i in self.instructions if i.place[0] == self.entry and i.place in self.seen}
        made = []
        for k in range(start, stop):
            before = " ".join(lines[k].split()).rstrip(";")
            if before not in executed or guards.fullmatch(before) or without_registers(before) in library():
                continue
            for kind, after in _changes(lines[k], before in bounds):
                made.append(Mutant(self.driver, kind, before, " ".join(after.split()).rstrip(";"), k, after))
        return made

    def sample(self, number: int, seed: int) -> list[Mutant]:
        """Return some mutants, as many of each kind as there are; fewer of very long kernels, which take long to translate."""
        number = max(1, min(number, number * 2000 // len(self.seen)))
        rng = random.Random(f"{self.driver} {seed}")
        exempt = exemptions()
        by_kind: dict[str, list[Mutant]] = {kind: [] for kind in KINDS}
        for mutant in self.mutants():
            if not any(e.covers(mutant) for e in exempt):
                by_kind[mutant.kind].append(mutant)
        for group in by_kind.values():
            rng.shuffle(group)
        kinds = list(KINDS)
        rng.shuffle(kinds)
        chosen: list[Mutant] = []
        while len(chosen) < number and any(by_kind.values()):
            for kind in kinds:
                if by_kind[kind] and len(chosen) < number:
                    chosen.append(by_kind[kind].pop())
        return chosen

    def survives(self, mutant: Mutant) -> bool:
        """Say whether nothing notices the change."""
        lines = self.text.splitlines()
        lines[mutant.line] = mutant.changed
        try:
            with use_interpreter(ARCHITECTURE, replace={self.entry: "\n".join(lines)}, limit=self.limit):
                return all(difference(case, self.expected[case.name], on_device(case)) <= 1 for case in self.cases)
        except Exception:  # whatever it is, it was noticed
            return False


def score(kernel: GpuKernel, kind: str, number: int, seed: int) -> Score:
    """Try a sample of the mutants of a driver."""
    trial = Trial(kernel, kind)
    chosen, every = trial.sample(number, seed), trial.mutants()
    survivors = [str(m) for m in chosen if trial.survives(m)]
    used = {k for k, e in enumerate(exemptions()) if any(e.covers(m) for m in every)}
    return Score(trial.driver, len(chosen), survivors, used, *trial.coverage())


def without_registers(statement: str) -> str:
    """Return a statement with its registers left blank."""
    return re.sub(r"%[a-z]+\d+", "%", statement)


@functools.cache
def library() -> frozenset[str]:
    """Return the statements with a number of their own, registers left blank, that libdevice's functions in double are made of.

    They are NVIDIA's and not ours, inlined into the kernels that call them. Most are the terms of polynomials: a change of the
    last ones stays far below what a case can allow. Numbers that anybody may write, such as 1 or 0.5, are none of their own.
    """
    from numba import cuda, types

    def probe(x, out):
        a = x[0]
        out[0] = math.sin(a) + math.cos(a) + math.tan(a) + math.asin(a) + math.atan2(a, x[1])
        out[1] = math.log(a) + math.exp(a) + a ** x[1]

    pointer = types.CPointer(types.float64)
    text = cuda.compile_ptx(probe, (pointer, pointer), cc=ARCHITECTURE)[0]
    statements = (" ".join(line.split()).rstrip(";") for line in text.splitlines())
    own = re.compile(r"0d(?![0-9A-F]{6}0{10})[0-9A-F]{16}|(?<![\w%])-?\d{6,}")
    return frozenset(without_registers(statement) for statement in statements if own.search(statement))


def _division_guards(lines: list[str]) -> re.Pattern[str]:
    """Return what matches the tests for a zero divisor that numba adds to every division, and the quotients that they give.

    No case divides by zero (the interpreter would see it), so that nothing can tell a change of these.
    """
    divisions = [d for line in lines if (d := re.match(r"\s*(?:div|rem)\.[us](?:32|64)\s+(%r\w+), [^,]+, (%r\w+);", line))]
    results = "|".join(re.escape(d[1]) for d in divisions) or "none"
    divisors = "|".join(re.escape(d[2]) for d in divisions) or "none"
    return re.compile(rf"setp\.eq\.s\d+ %p\d+, ({divisors}), 0|mov\.u\d+ ({results}), .*")


def _bounds(lines: list[str]) -> set[str]:
    """Return the comparisons of whole numbers by which alone the larger or the smaller of the two is chosen.

    Where both are equal it is the same which: nothing can tell 'less' from 'less or equal'.
    """
    found = set()
    for line in lines:
        compared = re.match(r"\s*setp\.(?:lt|le|gt|ge|lo|ls|hi|hs)\.[us]\d+\s+(%p\d+), (\S+), (\S+);", line)
        if compared is None:
            continue
        predicate, a, b = compared.groups()
        uses = [u for u in lines if u is not line and re.search(rf"{re.escape(predicate)}\b", u)]
        pair = f"(?:{re.escape(a)}, {re.escape(b)}|{re.escape(b)}, {re.escape(a)})"
        if uses and all(re.match(rf"\s*selp\.\w+\s+\S+, {pair}, {re.escape(predicate)};", u) for u in uses):
            found.add(" ".join(line.split()).rstrip(";"))
    return found


def _changes(line: str, is_bound: bool = False) -> Iterator[tuple[str, str]]:
    """Yield (kind, changed line) of a statement."""
    found = _STATEMENT.fullmatch(line)
    if found is None:
        return
    opcode, suffix, rest = found.groups()
    words = suffix.split(".")[1:]
    if opcode in ("ld", "st", "atom", "red") and "param" not in words:
        size = SIZES[words[-1]] * {"v2": 2, "v4": 4}.get(words[-2] if len(words) > 1 else "", 1)
        yield "index", re.sub(r"\[([^\]+]+)(?:\+(-?\d+))?\]", lambda m: f"[{m[1]}+{int(m[2] or 0) + size}]", line)
    if opcode == "setp":
        how, kind = words[0], words[-1]
        table = _TURNED if kind[0] == "f" else _SHIFTED
        unordered = how.endswith("u") and how[:-1] in table
        if (plain := how[:-1] if unordered else how) in table and not is_bound:
            yield "comparison", line.replace(f"setp.{how}", f"setp.{table[plain]}{'u' if unordered else ''}", 1)
    if opcode in _OTHER and not {"cc", "pred"} & set(words):
        yield (
            "operator",
            line.replace(f"{opcode}.", f"{_OTHER[opcode]}.", 1).replace(".rn.", "." if opcode in ("min", "max") else ".rn."),
        )
    if opcode == "fma":
        first, *others = [w.strip() for w in rest.split(",")]
        if others[0].startswith("%"):
            minus = f"neg.{words[-1]} minus, {others[0]}; {opcode}{suffix} {first}, minus, {', '.join(others[1:])};"
            yield "operator", f"{{ .reg .{words[-1]} minus; {minus} }}"
    if opcode == "shl" or (opcode == "mul" and "wide" in words):
        if number := re.search(r", (\d+);", line):
            more = int(number[1]) + 1 if opcode == "shl" else 2 * int(number[1])
            yield "stride", line[: number.start()] + f", {more};" + line[number.end() :]
    elif opcode in _WITH_CONSTANTS and not is_bound:
        yield from (("constant", c) for c in _other_constants(line, opcode == "setp" and words[-1][0] == "f", opcode == "and"))


def _other_constants(line: str, only_float: bool, is_mask: bool) -> Iterator[str]:
    """Yield the line with one of its constants changed; the ends of a wide mask often meet bits that are zero anyway."""
    for number in re.finditer(r"(?<=[ ,])(0[fd][0-9A-F]{8,16}|-?\d+)(?=[,;])", line):
        word = number[1]
        if word[:2] in ("0f", "0d"):
            kind, bits = ("f4", "u4") if word[1] == "f" else ("f8", "u8")
            value = np.array(int(word[2:], 16), bits).view(kind)
            digits = 8 if word[1] == "f" else 16
            if not np.isfinite(value):
                continue
            for other in (value * 1.01, -value) if value != 0 else (value + 1,):
                changed = np.asarray(other, kind)
                yield f"{line[: number.start()]}{word[:2]}{int(changed.view(bits)):0{digits}X}{line[number.end() :]}"
        elif not only_float and not (is_mask and int(word) > 1024):
            for step in (1, -1):
                yield f"{line[: number.start()]}{int(word) + step}{line[number.end() :]}"
