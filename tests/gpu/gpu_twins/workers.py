"""What takes long, in as many processes as there are processors: compiling, and trying mutants."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor

from gpu_twins.budgets import ARCHITECTURES, table
from gpu_twins.every_case import CASES, DRIVERS
from gpu_twins.harness import on_cpu, on_device, use_host
from gpu_twins.mutants import Score, score

_MOST = 8


def pool() -> ProcessPoolExecutor:
    """Return processes that have the stand-in for CuPy. They are started afresh: numba's threads do not survive a fork."""
    number = min(len(os.sched_getaffinity(0)), _MOST)
    return ProcessPoolExecutor(number, mp_context=multiprocessing.get_context("spawn"))


def is_compiled() -> bool:
    """Say whether every driver has its machine code for every architecture."""
    return all(k.file(a, t, "cubin").exists() for k, t in DRIVERS for a in ARCHITECTURES)


def compile_all(workers: ProcessPoolExecutor) -> None:
    """Fill the cache: PTX and cubin of every driver, the CPU's drivers and the element functions for the host."""
    groups: dict[str, list[str]] = {}
    for case in CASES.values():
        groups.setdefault(case.kernels[0][0].name.rpartition(".")[0], []).append(case.name)
    for done in [workers.submit(_run, names) for names in sorted(groups.values(), key=len, reverse=True)] + [
        workers.submit(_build, k) for k in longest_first(range(len(DRIVERS)))
    ]:
        done.result()


def longest_first(indices: Iterable[int]) -> list[int]:
    """Return indices of drivers, those of most instructions first."""
    sizes = {(name, kind): int(row["instructions"]) for (name, kind, _), row in table().items()}
    return sorted(indices, key=lambda k: -sizes.get((DRIVERS[k][0].name, DRIVERS[k][1]), 0))


def try_mutants(workers: ProcessPoolExecutor, number: int, seed: int) -> list[Score]:
    """Return the score of every driver."""
    order = longest_first(range(len(DRIVERS)))
    return sorted(workers.map(_score, order, [number] * len(order), [seed] * len(order)), key=lambda s: s.driver)


def _build(index: int) -> None:
    kernel, kind = DRIVERS[index]
    for architecture in ARCHITECTURES:
        kernel.cubin(architecture, kind)


def _run(names: list[str]) -> None:
    """Run cases once on the CPU, and by their element functions."""
    use_host()
    for name in names:
        on_cpu(CASES[name])
        if not any(kernel.shared for kernel, _ in CASES[name].kernels):
            on_device(CASES[name])


def _score(index: int, number: int, seed: int) -> Score:
    return score(*DRIVERS[index], number, seed)
