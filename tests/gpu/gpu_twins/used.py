"""Which statements of a kernel a run has carried out to some effect, by the ways that it took from block to block."""

from __future__ import annotations

from gpu_twins.ptx import Instruction, Register
from gpu_twins.translate import EXIT, Program

Place = tuple[str, int]
Uses = tuple[list[Register], list[Register]]


def used(program: Program, ways: set[tuple[int, int]]) -> set[Place]:
    """Return the places of statements whose result another one read, or that change memory or the way.

    Parameters
    ----------
    program
        A translated kernel.
    ways
        Pairs of blocks that some thread went through one after the other.
    """
    following: dict[int, list[int]] = {}
    for here, to in ways:
        following.setdefault(here, []).append(to)
    live: dict[int, set[Register]] = {k: set() for k in following}
    changed = True
    while changed:
        changed = False
        for k in sorted(following, reverse=True):
            before = _before(program, k, _behind(following[k], live))
            if before != live[k]:
                live[k], changed = before, True
    found: set[Place] = set()
    for k, to in following.items():
        wanted = _behind(to, live)
        for instruction, uses in reversed(list(zip(program.blocks[k].instructions, program.uses[k], strict=True))):
            if _matters(instruction, uses, wanted):
                found.add(instruction.place)
                _step(instruction, uses, wanted)
    return found


def _behind(following: list[int], live: dict[int, set[Register]]) -> set[Register]:
    return {r for to in following if to != EXIT for r in live.get(to, ())}


def _before(program: Program, block: int, wanted: set[Register]) -> set[Register]:
    for instruction, uses in reversed(list(zip(program.blocks[block].instructions, program.uses[block], strict=True))):
        if _matters(instruction, uses, wanted):
            _step(instruction, uses, wanted)
    return wanted


def _matters(instruction: Instruction, uses: Uses, wanted: set[Register]) -> bool:
    return instruction.opcode == "atom" or not uses[1] or not wanted.isdisjoint(uses[1])


def _step(instruction: Instruction, uses: Uses, wanted: set[Register]) -> None:
    if instruction.predicate is None:
        wanted.difference_update(uses[1])
    wanted.update(uses[0])
