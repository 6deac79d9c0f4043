"""All cases and all GPU drivers, whichever module declares them."""

from __future__ import annotations

import importlib
import pkgutil

import felsina.kernels
import gpu_twins
from felsina.kernels._gpu import KERNELS, GpuKernel
from gpu_twins.harness import CASES, Case

__all__ = ["CASES", "DRIVERS", "KERNELS", "case_of", "identifier"]

for _package, _prefix in ((felsina.kernels, ""), (gpu_twins, "cases_")):
    for _module in pkgutil.walk_packages(_package.__path__, _package.__name__ + "."):
        if _module.name.rpartition(".")[2].startswith(_prefix):
            importlib.import_module(_module.name)

DRIVERS: list[tuple[GpuKernel, str]] = [(k, t) for k in KERNELS.values() for t in k.types]


def identifier(kernel: GpuKernel, kind: str) -> str:
    """Return the name of a driver and its T."""
    return f"{kernel.name}:{kind}" if kind else kernel.name


def case_of(kernel: GpuKernel, kind: str) -> Case | None:
    """Return the case that launches a driver and the fewest others."""
    found = [c for c in CASES.values() if (kernel, kind) in c.kernels]
    return min(found, key=lambda c: len(c.kernels), default=None)
