"""GPU drivers: a Python function is compiled to PTX and to a cubin without a GPU, and launched through CuPy where there is one.

numba-cuda is the compiler, nvJitLink the assembler, CuPy the only run-time: arrays, streams and launches are its own. The
function of one element is a `cell`: what it calls is the same formula that the CPU's driver calls. A launch runs on CuPy's
current stream and does not wait.

Kernels take pointers and 32-bit extents. Nothing is approximate: division and square root round correctly and subnormal numbers
stay, so a GPU differs from a CPU only by contraction and by the last bits of transcendental functions.
"""

from __future__ import annotations

import functools
import math
import os
import re
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from felsina.kernels._backend import _PACKAGE, cache_directory, refuse_compilation, source_digest

_BLOCKS = {1: (128,), 2: (32, 4), 3: (32, 4, 2)}
_SCALARS = {
    "f4": types.float32, "f8": types.float64, "i1": types.int8, "u1": types.uint8, "i2": types.int16, "u2": types.uint16,
    "i4": types.int32, "u4": types.uint32, "i8": types.int64, "u8": types.uint64,
}  # fmt: skip
_BYTE = np.dtype("u1")  # as which a truth value travels
_MOST_ELEMENTS = 2**32 - 1  # indices are 32-bit
_MOST_BLOCKS = (2**31 - 1, 65535, 65535)  # of a grid, by axis (CUDA C++ Programming Guide, technical specifications)
Architecture = tuple[int, int]

KERNELS: dict[str, GpuKernel] = {}  # every GPU driver by name, such as "air.transport.koren"


class GpuKernel:
    """A GPU driver; `_backend.gpu` makes it.

    Attributes
    ----------
    name : str
        Module within the package and function, without leading underscores.
    cell : the function of one element
    words : argument types of the signature
    dims, block, shared : as given to `_backend.gpu`
    types : tuple of str
        ("f4", "f8") for a signature with T, else ("",).
    """

    def __init__(self, cell: Any, signature: str, dims: int, block: tuple[int, ...], shared: tuple[str, int] | None) -> None:
        function = cell.py_func
        self._module = function.__module__.removeprefix(_PACKAGE)
        self.name = f"{self._module}.{function.__name__.lstrip('_')}"
        self.cell, self.words, self.dims, self.shared = cell, tuple(signature.split()), dims, shared
        self.block = tuple(block) or _BLOCKS[dims]
        self.types = ("f4", "f8") if any(w.startswith("T") for w in self.words) else ("",)
        # Looked at in every launch.
        self._is_array = tuple(w.endswith("*") for w in self.words)
        self._expected = {
            kind: tuple(np.dtype(kind if w.startswith("T") else w.rstrip("*")) for w in self.words) for kind in self.types
        }
        KERNELS[self.name] = self

    def entry(self, kind: str = "") -> str:
        """Return the name of the compiled function."""
        return "felsina_" + "_".join([*self.name.split("."), *([kind] if kind else [])])

    def signature(self, kind: str = "") -> tuple[Any, ...]:
        """Return the numba types of the arguments after the extent, for T = `kind`."""
        made = []
        for word in self.words:
            scalar = _SCALARS[kind if word.startswith("T") else word.rstrip("*")]
            made.append(types.CPointer(scalar) if word.endswith("*") else scalar)
        return tuple(made)

    def grid(self, extent: tuple[int, ...]) -> tuple[int, ...]:
        """Return the blocks of a launch, fastest axis first."""
        return tuple(-(-n // b) for n, b in zip(reversed(extent), self.block, strict=True))

    # -- compilation ----------------------------------------------------------------------------------------------------
    def ptx(self, architecture: Architecture, kind: str = "") -> str:
        """Return the PTX for a compute capability, such as (8, 0)."""
        return self._cached(architecture, kind, "ptx").decode()

    def cubin(self, architecture: Architecture, kind: str = "") -> bytes:
        """Return the machine code for a compute capability: drivers older than the compiler refuse its PTX, not its cubin."""
        return self._cached(architecture, kind, "cubin")

    def resources(self, architecture: Architecture, kind: str = "") -> dict[str, int]:
        """Return what the assembler reports: registers, bytes of stack, spill_stores and spill_loads, shared bytes."""
        self._cached(architecture, kind, "cubin")
        log = self._cached(architecture, kind, "log").decode()

        def number(pattern: str) -> int:
            found = re.search(pattern, log)
            return int(found[1]) if found else 0

        return {
            "registers": number(r"Used (\d+) registers"),
            "stack": number(r"(\d+) bytes stack frame"),
            "spill_stores": number(r"(\d+) bytes spill stores"),
            "spill_loads": number(r"(\d+) bytes spill loads"),
            "shared": number(r"(\d+) bytes smem"),
        }

    def file(self, architecture: Architecture, kind: str, suffix: str) -> Path:
        """Return the place of a compiled file in the cache."""
        name = f"{self.entry(kind)}.sm_{architecture[0]}{architecture[1]}.{suffix}"
        made_of = f"{source_digest(self._module)[:12]}{source_digest('_gpu')[:8]}"
        return cache_directory() / "gpu" / _compiler() / made_of / name

    def _cached(self, architecture: Architecture, kind: str, suffix: str) -> bytes:
        path = self.file(architecture, kind, suffix)
        if not path.exists():
            refuse_compilation(self.name, f"compute capability {architecture[0]}.{architecture[1]}")
            if suffix == "ptx":
                _write(path, self._compile(architecture, kind).encode())
            else:
                code, log = _assemble(self.ptx(architecture, kind), architecture, self.entry(kind))
                _write(self.file(architecture, kind, "log"), log)
                _write(self.file(architecture, kind, "cubin"), code)
        return path.read_bytes()

    def _compile(self, architecture: Architecture, kind: str) -> str:
        from numba import cuda
        from numba.cuda import dispatcher

        signature = (types.uint32,) * (0 if self.shared else self.dims) + self.signature(kind)
        keep = dispatcher.get_current_device, dispatcher.compile_cuda

        def exact(*arguments: Any, **options: Any) -> Any:
            # numba-cuda takes any fastmath of a cell for all of it: approximate division and functions, subnormals to zero.
            options["fastmath"] = options["nvvm_options"]["fastmath"] = False
            return keep[1](*arguments, **options)

        # It also asks the device for the capability of nested cells; there is none here, so the answer is ours.
        dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=architecture)
        dispatcher.compile_cuda = exact
        try:
            text = cuda.compile_ptx(self.thread(), signature, cc=architecture)[0]
        finally:
            dispatcher.get_current_device, dispatcher.compile_cuda = keep
        mangled = re.search(r"\.entry\s+([\w$]+)", text)
        if mangled is None:
            raise RuntimeError(f"The compiler made no kernel of {self.name}.")
        return text.replace(mangled[1], self.entry(kind))

    def thread(self) -> Any:
        """Return the Python function of a GPU thread: find the element, and do what has to be done for it."""
        from numba import cuda

        axes = "zyx"[3 - self.dims :]
        arguments = ", ".join(f"a{k}" for k in range(len(self.words)))
        if self.shared:
            blocks = ", ".join(f"u4(cuda.blockIdx.{a})" for a in axes)
            threads = ", ".join(f"u4(cuda.threadIdx.{a})" for a in axes)
            lines = [
                f"def thread({arguments}):",
                f"    words = cuda.shared.array({self.shared[1]}, shared_type)",
                f"    element({blocks}, {threads}, words, {arguments})",
            ]
        else:
            extent = ", ".join(f"n{a}" for a in axes)
            lines = [f"def thread({extent}, {arguments}):"]
            lines += [f"    {a} = u4(cuda.threadIdx.{a}) + u4(cuda.blockIdx.{a}) * u4(cuda.blockDim.{a})" for a in axes]
            lines += [
                f"    if {' and '.join(f'u4({a}) < n{a}' for a in axes)}:",
                f"        element({', '.join(f'u4({a})' for a in axes)}, {arguments})",
            ]
        scope = {"cuda": cuda, "element": self.cell, "u4": np.uint32}
        if self.shared:
            scope["shared_type"] = _SCALARS[self.shared[0]]
        exec("\n".join(lines), scope)
        return scope["thread"]

    # -- launch ---------------------------------------------------------------------------------------------------------
    def __call__(self, extent: tuple[int, ...], *arguments: Any) -> None:
        """Launch on CuPy's current stream; returns at once. An extent with a zero launches nothing.

        Raises
        ------
        TypeError
            When an argument is not what the signature says.
        OverflowError
            When the extent has more elements than an index can count.
        """
        if len(extent) != self.dims:
            raise TypeError(f"The launch of {self.name} has {len(extent)} axes; it takes {self.dims}.")
        kind = self._kind(arguments)
        values = self._checked(arguments, kind)
        if 0 in extent:
            return
        grid = self.grid(extent)
        if math.prod(extent) > _MOST_ELEMENTS or any(g > m for g, m in zip(grid, _MOST_BLOCKS, strict=False)):
            raise OverflowError(f"The launch of {self.name} over {extent} elements is too large; use smaller tiles.")
        extents = () if self.shared else tuple(np.uint32(n) for n in extent)
        self._function(kind)(grid, self.block, (*extents, *values))

    def _kind(self, arguments: tuple[Any, ...]) -> str:
        if self.types == ("",):
            return ""
        for word, value in zip(self.words, arguments, strict=False):
            if word == "T*":
                kind = f"{value.dtype.kind}{value.dtype.itemsize}"
                if kind in self.types:
                    return kind
        raise TypeError(f"The kernel {self.name} takes arrays of float32 or float64.")

    def _checked(self, arguments: tuple[Any, ...], kind: str) -> tuple[Any, ...]:
        """Return the arguments as the compiled function takes them."""
        if len(arguments) != len(self.words):
            raise TypeError(f"The kernel {self.name} takes {len(self.words)} arguments, not {len(arguments)}.")
        values = []
        for k, (is_array, expected, value) in enumerate(zip(self._is_array, self._expected[kind], arguments, strict=True)):
            if not is_array:
                values.append(expected.type(value))  # CuPy passes plain Python numbers as 64-bit
                continue
            if isinstance(value, np.ndarray) or not hasattr(value, "data"):
                raise TypeError(f"Argument {k} of {self.name} is a {type(value).__name__}; it takes an array on the GPU.")
            held = _BYTE if value.dtype == np.bool_ else value.dtype
            if held != expected or not value.flags.c_contiguous:
                order = "contiguous" if value.flags.c_contiguous else "strided"
                raise TypeError(
                    f"Argument {k} of {self.name} is a {order} array of {value.dtype}; it takes contiguous {expected}."
                )
            values.append(value)
        return tuple(values)

    def _function(self, kind: str) -> Any:
        import cupy

        return _loaded(self, kind, cupy.cuda.runtime.getDevice())


@functools.cache
def _loaded(kernel: GpuKernel, kind: str, device: int) -> Any:
    """Return the function as CuPy launches it; one module per device."""
    import cupy

    capability = cupy.cuda.Device(device).compute_capability
    architecture = (int(capability[:-1]), int(capability[-1]))
    kernel.cubin(architecture, kind)
    return cupy.RawModule(path=str(kernel.file(architecture, kind, "cubin"))).get_function(kernel.entry(kind))


@functools.cache
def _compiler() -> str:
    from importlib.metadata import version

    return f"numba-cuda-{version('numba-cuda')}-nvjitlink-{_linker_version()}"


@functools.cache
def _linker_version() -> str:
    from cuda.bindings import nvjitlink

    return ".".join(map(str, nvjitlink.version()))


def _assemble(ptx: str, architecture: Architecture, name: str) -> tuple[bytes, bytes]:
    """Return cubin and log of the assembler."""
    from cuda.bindings import nvjitlink

    handle = nvjitlink.create(3, [f"-arch=sm_{architecture[0]}{architecture[1]}", "-O3", "-verbose"])
    try:
        source = ptx.encode() + b"\0"
        nvjitlink.add_data(handle, nvjitlink.InputType.PTX, source, len(source), name)
        nvjitlink.complete(handle)
        code = bytearray(nvjitlink.get_linked_cubin_size(handle))
        nvjitlink.get_linked_cubin(handle, code)
        log = bytearray(nvjitlink.get_info_log_size(handle))
        nvjitlink.get_info_log(handle, log)
    finally:
        nvjitlink.destroy(handle)
    return bytes(code), bytes(log).rstrip(b"\0")


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: ranks of a node may compile the same kernel at the same time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(content)
    os.replace(file.name, path)


def _read_modify_write(operation: str, of_floats: bool = False) -> Any:
    @intrinsic
    def apply(typing_context, pointer, index, value):
        if not isinstance(pointer, types.CPointer) or isinstance(pointer.dtype, types.Float) != of_floats:
            return None

        def generate(context, builder, signature, arguments):
            place, operand = builder.gep(arguments[0], [arguments[1]]), arguments[2]
            if of_floats:
                bits = ir.IntType(pointer.dtype.bitwidth)
                place, operand = builder.bitcast(place, bits.as_pointer()), builder.bitcast(operand, bits)
            builder.atomic_rmw(operation, place, operand, "monotonic")
            return context.get_dummy_value()

        return types.void(pointer, index, pointer.dtype), generate

    return apply


# p[i] = min(p[i], v) and so on as one indivisible operation on whole numbers, whose result no order of threads changes.
atomic_min = _read_modify_write("min")
atomic_max = _read_modify_write("max")
atomic_add = _read_modify_write("add")
# p[i] = max(p[i], v) of floats >= 0, whose bits have the same order as whole numbers; NaN counts as the largest.
atomic_raise = _read_modify_write("max", of_floats=True)


@intrinsic
def _barrier(typing_context):
    def generate(context, builder, signature, arguments):
        wait = builder.module.declare_intrinsic("llvm.nvvm.barrier0", fnty=ir.FunctionType(ir.VoidType(), ()))
        builder.call(wait, ())
        return context.get_dummy_value()

    return types.void(), generate


# Wait until all threads of the block are here, with what they wrote to shared memory.
barrier: Any = _barrier
