"""Carry a launch out on the CPU: the very function of an element, compiled for the host, over all elements of the extent."""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import numpy as np
from numba import cfunc, types

from felsina.kernels._backend import FASTMATH
from felsina.kernels._gpu import KERNELS, GpuKernel


@functools.cache
def _compiled(kernel: GpuKernel, kind: str) -> Any:
    axes = "zyx"[3 - kernel.dims :]
    arguments = ", ".join(f"a{k}" for k in range(len(kernel.words)))
    lines = [f"def launch({', '.join(f'n{a}' for a in axes)}, {arguments}):"]
    for depth, axis in enumerate(axes, 1):
        lines.append(f"{'    ' * depth}for {axis} in range(n{axis}):")
    lines.append(f"{'    ' * (kernel.dims + 1)}element({', '.join(f'u4({a})' for a in axes)}, {arguments})")
    scope = {"element": kernel.cell, "u4": np.uint32}
    exec("\n".join(lines), scope)
    signature = types.void(*(types.uint32,) * kernel.dims, *kernel.signature(kind))
    made = cfunc(signature, fastmath=set(FASTMATH), error_model="numpy")(scope["launch"])
    by_name = {"float32": ctypes.c_float, "float64": ctypes.c_double}
    takes = [
        ctypes.c_void_p if isinstance(t, types.CPointer) else by_name.get(str(t)) or getattr(ctypes, f"c_{t}")
        for t in signature.args
    ]
    # The compiled function is kept with its address.
    return made, ctypes.CFUNCTYPE(None, *takes)(made.address)


def run_on_host(entry: str, path: str, grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...]) -> None:
    """Run a launch; a kernel with shared memory needs an executor that knows blocks."""
    kernel, kind = by_entry()[entry]
    if kernel.shared:
        raise NotImplementedError(f"{kernel.name} works as a block.")
    _compiled(kernel, kind)[1](*(a.ptr if hasattr(a, "ptr") else a.item() for a in arguments))


@functools.cache
def by_entry() -> dict[str, tuple[GpuKernel, str]]:
    """Return kernel and T of each compiled function."""
    return {k.entry(t): (k, t) for k in KERNELS.values() for t in k.types}
