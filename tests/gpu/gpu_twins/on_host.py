"""Carry a launch out on the CPU: the very function of an element, compiled for the host, over all elements of the extent."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import os
import sys
import tempfile
from typing import Any

import numpy as np
from numba import cfunc, types

from felsina.kernels._backend import FASTMATH, cache_directory, source_digest
from felsina.kernels._gpu import KERNELS, GpuKernel

PACKAGE = "felsina.kernels."


@functools.cache
def _compiled(kernel: GpuKernel, kind: str) -> Any:
    signature = types.void(*(types.uint32,) * kernel.dims, *kernel.signature(kind))
    made = cfunc(signature, fastmath=set(FASTMATH), error_model="numpy", cache=True)(_loops(kernel))
    by_name = {"float32": ctypes.c_float, "float64": ctypes.c_double}
    takes = [
        ctypes.c_void_p if isinstance(t, types.CPointer) else by_name.get(str(t)) or getattr(ctypes, f"c_{t}")
        for t in signature.args
    ]
    # The compiled function is kept with its address.
    return made, ctypes.CFUNCTYPE(None, *takes)(made.address)


@functools.cache
def _loops(kernel: GpuKernel) -> Any:
    """Return the loops over an extent. They are a file by the sources of the kernel: numba keeps machine code beside files."""
    axes = "zyx"[3 - kernel.dims :]
    arguments = ", ".join(f"a{k}" for k in range(len(kernel.words)))
    lines = ["import numpy as np", "from felsina.kernels._gpu import KERNELS", f"element = KERNELS[{kernel.name!r}].cell"]
    lines += ["u4 = np.uint32", f"def launch({', '.join(f'n{a}' for a in axes)}, {arguments}):"]
    for depth, axis in enumerate(axes, 1):
        lines.append(f"{'    ' * depth}for {axis} in range(n{axis}):")
    lines.append(f"{'    ' * (kernel.dims + 1)}element({', '.join(f'u4({a})' for a in axes)}, {arguments})")
    text = "\n".join(lines)
    digest = f"{source_digest(kernel.cell.py_func.__module__.removeprefix(PACKAGE))[:12]}{source_digest('_gpu')[:8]}"
    path = cache_directory() / "on_host" / digest / f"{kernel.entry()}.py"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
            file.write(text)
        os.replace(file.name, path)  # several ranks may be here at once
    spec = importlib.util.spec_from_file_location(f"on_host_{kernel.entry()}", path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.launch


def run_on_host(entry: str, path: str, grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...]) -> None:
    """Run a launch; a kernel with shared memory needs an executor that knows blocks."""
    kernel, kind = by_entry()[entry]
    if kernel.shared:
        raise NotImplementedError(f"{kernel.name} works as a block.")
    _compiled(kernel, kind)[1](*[a.item() if isinstance(a, np.generic) else a.ptr for a in arguments])


@functools.cache
def by_entry() -> dict[str, tuple[GpuKernel, str]]:
    """Return kernel and T of each compiled function."""
    return {k.entry(t): (k, t) for k in KERNELS.values() for t in k.types}
