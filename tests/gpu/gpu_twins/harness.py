"""Cases: the same call of a public driver on host arrays and on device arrays, and how far the results may differ.

A case is a function `run(rng, scale, put)`: it makes inputs with `rng`, puts them where they belong (`put` is the identity for
the CPU), calls the driver and returns its results by name. `scale` 1 is the smallest input that takes every branch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from felsina.kernels._gpu import KERNELS, GpuKernel
from gpu_twins.on_host import run_on_host


@dataclass(frozen=True)
class Work:
    """What one launch has to do, from the formula: elements at a scale, and bytes and operations of each."""

    unit: str
    elements: Callable[[int], int]
    bytes: float  # that have to come from and go to memory, each array once
    flops: float


@dataclass(frozen=True)
class Case:
    """One checked twin."""

    name: str
    kernels: tuple[tuple[GpuKernel, str], ...]  # that the call launches, each with its T
    run: Callable[[np.random.Generator, int, Callable[[Any], Any]], dict[str, Any]]
    relative: float
    absolute: float
    scale: int  # of a run on hardware, where elements are timed
    work: Work | None
    rare: float = 0.0  # share of a result's elements that may be off: where a rounding turns a comparison round


CASES: dict[str, Case] = {}


def case(
    *kernels: GpuKernel | tuple[GpuKernel, str],
    relative: float = 0.0,
    absolute: float = 0.0,
    scale: int = 64,
    work: Work | None = None,
    rare: float = 0.0,
) -> Callable[[Callable[..., dict[str, Any]]], Callable[..., dict[str, Any]]]:
    """Declare a case for the kernels that it launches; results may differ by absolute + relative x |CPU|.

    `rare` is for large scales: at scale 1 a result has too few elements for one to be off.
    """

    def declare(run: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
        pairs = tuple(k if isinstance(k, tuple) else (k, k.types[0]) for k in kernels)
        CASES[run.__name__] = Case(run.__name__, pairs, run, relative, absolute, scale, work, rare)
        return run

    return declare


def on_cpu(chosen: Case, seed: int = 1, scale: int = 1) -> dict[str, np.ndarray]:
    """Return the results of the CPU driver."""
    return chosen.run(np.random.default_rng(seed), scale, lambda values: values)


def on_device(chosen: Case, seed: int = 1, scale: int = 1) -> dict[str, np.ndarray]:
    """Return the results of the GPU driver on whatever `cupy` is: the stand-in or a real device."""
    import cupy

    results = chosen.run(np.random.default_rng(seed), scale, cupy.asarray)
    return {name: cupy.asnumpy(value) for name, value in results.items()}


def difference(chosen: Case, cpu: dict[str, np.ndarray], gpu: dict[str, np.ndarray]) -> float:
    """Return the largest difference as a multiple of what is allowed: 1 is the bound; infinite where shapes or NaNs differ."""
    if cpu.keys() != gpu.keys():
        return float("inf")
    worst = 0.0
    for name, a in cpu.items():
        b = gpu[name]
        if a.shape != b.shape or a.dtype != b.dtype:
            return float("inf")
        if a.size == 0:
            continue
        exact = (a == b) | ((a != a) & (b != b))
        if exact.all():
            continue
        x, y = a[~exact].astype(float), b[~exact].astype(float)
        with np.errstate(all="ignore"):
            allowed = (chosen.absolute + chosen.relative * np.abs(x)) * (a.dtype.kind == "f")
            ratio = np.nan_to_num(np.where(allowed > 0, np.abs(x - y) / allowed, np.inf), nan=np.inf, posinf=np.inf)
        held = np.sort(ratio)[: ratio.size - min(ratio.size, int(chosen.rare * a.size))]
        worst = max(worst, float(held.max(initial=0.0)))
    return worst


def use_host() -> None:
    """Let launches of the stand-in run the element function, compiled for the CPU."""
    from cupy import stand_in

    stand_in.execute = run_on_host


def unchecked(cases: Sequence[Case]) -> set[str]:
    """Return the GPU drivers, with their T, that no case launches."""
    every = {f"{k.name}:{t}" for k in KERNELS.values() for t in k.types}
    return every - {f"{k.name}:{t}" for c in cases for k, t in c.kernels}
