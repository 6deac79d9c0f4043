"""Carry launches out in numba's CUDA simulator: element functions as plain Python, a Python thread for each of a block.

Run as `NUMBA_ENABLE_CUDASIM=1 python -m gpu_twins.simulate CASE...`; prints one line `CASE ratio` each.
"""

from __future__ import annotations

import os
import sys
from types import FunctionType
from typing import Any

import numpy as np
from numba import cuda


class _Pointer:
    """An array as a kernel sees it: flat, and an index beyond it fails."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values.reshape(-1)

    def __getitem__(self, index: Any) -> Any:
        return self.values[self._checked(index)]

    def __setitem__(self, index: Any, value: Any) -> None:
        self.values[self._checked(index)] = value

    def _checked(self, index: Any) -> int:
        if not 0 <= int(index) < self.values.size:
            raise IndexError(f"{int(index)} of {self.values.size}")
        return int(index)


def plain(function: Any, replaced: dict[str, Any], made: dict[int, Any] | None = None) -> Any:
    """Return a compiled function as plain Python, with all that it calls; `replaced` by the name in its module."""
    made = {} if made is None else made
    source = function.py_func
    if id(source) not in made:
        scope = dict(source.__globals__)
        copy = FunctionType(source.__code__, scope, source.__name__, source.__defaults__, source.__closure__)
        made[id(source)] = copy
        for name, value in list(scope.items()):
            if name in replaced:
                scope[name] = replaced[name]
            elif hasattr(value, "py_func") and name in source.__code__.co_names:
                scope[name] = plain(value, replaced, made)
    return made[id(source)]


# The simulator puts its own `cuda` into the globals of the kernel, which are those of this module, while the kernel runs.
def _barrier() -> None:
    cuda.syncthreads()


def _add(pointer: _Pointer, index: Any, value: Any) -> None:
    cuda.atomic.add(pointer.values, int(index), value)


def _min(pointer: _Pointer, index: Any, value: Any) -> None:
    cuda.atomic.min(pointer.values, int(index), value)


def _max(pointer: _Pointer, index: Any, value: Any) -> None:
    cuda.atomic.max(pointer.values, int(index), value)


_REPLACED = {"barrier": _barrier, "atomic_add": _add, "atomic_min": _min, "atomic_max": _max, "atomic_raise": _max}


def execute(entry: str, path: str, grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...]) -> None:
    """Carry a launch out."""
    from gpu_twins.on_host import by_entry

    kernel, _ = by_entry()[entry]
    element, dims = plain(kernel.cell, _REPLACED), kernel.dims
    values = [_Pointer(a._held) if hasattr(a, "_held") else a for a in arguments]
    extents, rest = (values[:dims], values[dims:]) if not kernel.shared else ([], values)
    axes = "zyx"[3 - dims :]

    @cuda.jit
    def thread() -> None:
        threads = [np.uint32(getattr(cuda.threadIdx, a)) for a in axes]
        blocks = [np.uint32(getattr(cuda.blockIdx, a)) for a in axes]
        if kernel.shared:
            words = cuda.shared.array(kernel.shared[1], np.dtype(kernel.shared[0]))
            element(*blocks, *threads, words, *rest)
            return
        index = [np.uint32(b * getattr(cuda.blockDim, a) + t) for a, b, t in zip(axes, blocks, threads, strict=True)]
        if all(i < n for i, n in zip(index, extents, strict=True)):
            element(*index, *rest)

    with np.errstate(all="ignore"):
        thread[grid, block]()


def main(names: list[str]) -> None:
    """Print how far each case is from the CPU, as a part of what is allowed."""
    # The simulator has no compiler, so that launches go to it without a cubin.
    from felsina.kernels import _gpu
    from gpu_twins.every_case import CASES
    from gpu_twins.harness import difference, on_cpu, on_device

    def function(self: Any, kind: str) -> Any:
        from cupy._module import Pointer

        def launch(grid: Any, block: Any, arguments: Any) -> None:
            import cupy

            cupy.cuda.Device().synchronize()
            given = tuple(Pointer(a) if hasattr(a, "_held") else a for a in arguments)
            execute(self.entry(kind), "", tuple(grid), tuple(block), given)

        return launch

    _gpu.GpuKernel._function = function  # type: ignore[method-assign]
    for name in names:
        case = CASES[name]
        print(name, difference(case, on_cpu(case), on_device(case)), flush=True)


if __name__ == "__main__":
    if os.environ.get("NUMBA_ENABLE_CUDASIM") != "1":
        raise SystemExit("Set NUMBA_ENABLE_CUDASIM=1.")
    main(sys.argv[1:])
