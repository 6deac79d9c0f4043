"""All cases and all GPU drivers, whichever module declares them."""

from __future__ import annotations

import importlib
import pkgutil

import felsina.kernels
import gpu_twins
from felsina.kernels._gpu import KERNELS, GpuKernel
from gpu_twins.harness import CASES, Case

__all__ = ["CASES", "DRIVERS", "KERNELS", "case_of", "cases_of", "identifier"]

for _package, _prefix in ((felsina.kernels, ""), (gpu_twins, "cases_")):
    for _module in pkgutil.walk_packages(_package.__path__, _package.__name__ + "."):
        if _module.name.rpartition(".")[2].startswith(_prefix):
            importlib.import_module(_module.name)

DRIVERS: list[tuple[GpuKernel, str]] = [(k, t) for k in KERNELS.values() for t in k.types]


def identifier(kernel: GpuKernel, kind: str) -> str:
    """Return the name of a driver and its T."""
    return f"{kernel.name}:{kind}" if kind else kernel.name


def cases_of(kernel: GpuKernel, kind: str) -> list[Case]:
    """Return the cases that launch a driver and the fewest others."""
    found = [c for c in CASES.values() if (kernel, kind) in c.kernels]
    return [c for c in found if len(c.kernels) == min(len(f.kernels) for f in found)]


def case_of(kernel: GpuKernel, kind: str) -> Case | None:
    """Return the first case that launches a driver and the fewest others."""
    return next(iter(cases_of(kernel, kind)), None)
