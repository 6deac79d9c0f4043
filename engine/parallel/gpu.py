"""One GPU of this rank: what there is, memory with a limit, streams, and copies through pinned memory. Sole owner of CuPy.

Nothing here needs a kernel of CuPy's own: those are compiled at run time, by a compiler that a compute node may not have.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from felsina.engine.errors import MachineError
from felsina.engine.parallel.device import STREAMS, Device, DeviceMemoryError, MpiBuffer, megabytes

WAY_OUT = "Use --device cpu"
_INSTALL = "Run pip install 'felsina[cuda12]' (or [cuda13], for a driver of CUDA 13)"
LEAST_CAPABILITY = (7, 0)  # whose cubins are made
_LEAST_OF_CUDA_13 = (7, 5)  # it no longer knows Volta
_INSUFFICIENT_DRIVER, _NO_DEVICE = 35, 100  # cudaError_t
_DRIVER_FILE = Path("/proc/driver/nvidia/version")
_CHUNK = 32 << 20  # bytes of a pinned buffer; a larger copy goes in pieces through two of them
_SMALLEST = 1 << 16  # bytes


@dataclass(frozen=True)
class Gpu:
    """A GPU that this process sees.

    Attributes
    ----------
    index : int
        Among the visible ones.
    identity : str
        The same for two processes that see the same GPU of a node.
    memory : int
        [bytes]
    compute_capability : str
        Such as "80".
    driver : str
        Version of the driver, or the CUDA version that it serves where it does not say.
    """

    index: int
    identity: str
    name: str
    memory: int
    compute_capability: str
    driver: str

    def describe(self) -> str:
        """Return name, architecture, memory and driver in a line."""
        return f"{self.name} (sm_{self.compute_capability}, {self.memory / 1e9:,.1f} GB, driver {self.driver})"


def find_gpus() -> list[Gpu]:
    """Return the GPUs that this process sees; never an empty list.

    Raises
    ------
    MachineError
        When there is no CuPy, no compiler of kernels, no driver, no GPU or only one that is too old.
    """
    cupy = _cupy()
    runtime = cupy.cuda.runtime
    serves = runtime.driverGetVersion()
    try:
        count = runtime.getDeviceCount()
    except runtime.CUDARuntimeError as error:
        if error.status == _INSUFFICIENT_DRIVER:
            needed = runtime.runtimeGetVersion() // 1000
            has = f"a driver for CUDA {_cuda(serves)}, and CuPy needs CUDA {needed}" if serves else "no NVIDIA driver"
            way = "Update it, or install the extra that fits it ([cuda12], [cuda13])" if serves else "Run on a node with a GPU"
            raise MachineError(f"The node {platform.node()} has {has}. {way}. {WAY_OUT} to do without.") from error
        if error.status != _NO_DEVICE:
            raise MachineError(f"CUDA does not start on {platform.node()}: {error}. {WAY_OUT} to do without.") from error
        count = 0
    if count == 0:
        limit = os.environ.get("CUDA_VISIBLE_DEVICES")
        seen = "" if limit is None else f" (CUDA_VISIBLE_DEVICES is '{limit}')"
        raise MachineError(
            f"This process sees no GPU on the node {platform.node()}{seen}. Ask Slurm for one (--gpus-per-task=1 or "
            f"--gres=gpu:N). {WAY_OUT} to do without."
        )
    found = [_gpu(cupy, k, serves) for k in range(count)]
    least = LEAST_CAPABILITY if runtime.runtimeGetVersion() < 13_000 else _LEAST_OF_CUDA_13
    for gpu in found:
        capability = int(gpu.compute_capability[:-1]), int(gpu.compute_capability[-1])
        if capability < least:
            has, needs = (".".join(map(str, c)) for c in (capability, least))
            raise MachineError(
                f"The GPU {gpu.name} has compute capability {has}, and felsina needs {needs} "
                f"with CUDA {_cuda(runtime.runtimeGetVersion())}. {WAY_OUT}."
            )
    return found


def driver_version() -> str:
    """Return the version of the NVIDIA driver of this node, "" where it does not say."""
    try:
        text = _DRIVER_FILE.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    found = re.search(r"NVRM version:.*?\s(\d{3,}(?:\.\d+)+)\s", text)
    return found[1] if found else ""


def _cupy() -> Any:
    try:
        import cupy
    except ImportError as error:
        why = "is not installed" if isinstance(error, ModuleNotFoundError) and error.name == "cupy" else f"fails: {error}"
        raise MachineError(f"Kernels on the GPU need CuPy, which {why}. {_INSTALL}. {WAY_OUT} to do without.") from error
    for name, what in (("numba-cuda", "compiles kernels"), ("cuda-bindings", "assembles them")):
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError as error:
            raise MachineError(
                f"Kernels on the GPU need {name}, which {what} and is not installed. {_INSTALL}. {WAY_OUT} to do without."
            ) from error
    return cupy


def _gpu(cupy: Any, index: int, serves: int) -> Gpu:
    properties = cupy.cuda.runtime.getDeviceProperties(index)
    device = cupy.cuda.Device(index)
    unique = properties.get("uuid", b"")
    return Gpu(
        index=index,
        identity=f"{device.pci_bus_id} {unique.hex() if isinstance(unique, bytes) else unique}",
        name=properties["name"].decode(errors="replace"),
        memory=int(properties["totalGlobalMem"]),
        compute_capability=device.compute_capability,
        driver=driver_version() or f"for CUDA {_cuda(serves)}",
    )


def _cuda(version: int) -> str:
    return f"{version // 1000}.{version % 1000 // 10}"


class GpuDevice(Device):
    """The GPU of this rank; `device.open_device` makes it.

    Parameters
    ----------
    gpu : Gpu
    limit : int
        Bytes that this rank may take.
    gpu_aware : bool
        MPI takes memory of the GPU.
    ranks : int
        That share the GPU.
    """

    kind, is_asynchronous = "gpu", True

    def __init__(self, gpu: Gpu, *, limit: int, gpu_aware: bool = False, ranks: int = 1) -> None:
        self.gpu, self.limit, self.gpu_aware, self.ranks = gpu, limit, gpu_aware, ranks
        self._cupy = cupy = _cupy()
        try:
            cupy.cuda.Device(gpu.index).use()
            self._pool = cupy.get_default_memory_pool()
            # CuPy's asynchronous pool breaks the sharing of memory between processes that GPU-aware MPI rests on.
            cupy.cuda.set_allocator(self._pool.malloc)
            self._pool.set_limit(size=limit)
            self._streams = {name: cupy.cuda.Stream(non_blocking=True) for name in STREAMS}
            self._streams["main"].use()
        except cupy.cuda.runtime.CUDARuntimeError as error:
            raise MachineError(
                f"The GPU {gpu.name} of the node {platform.node()} cannot be used: {error}. Another process may hold it "
                f"(nvidia-smi shows which). {WAY_OUT} to do without."
            ) from error
        self._staging = _Staging(cupy)

    def describe(self) -> str:
        return self.gpu.describe()

    def facts(self) -> dict[str, Any]:
        runtime = self._cupy.cuda.runtime
        return {
            "kind": self.kind,
            "name": self.gpu.name,
            "compute_capability": f"{self.gpu.compute_capability[:-1]}.{self.gpu.compute_capability[-1]}",
            "memory_bytes": self.gpu.memory,
            "limit_bytes": self.limit,
            "ranks_per_gpu": self.ranks,
            "driver": self.gpu.driver,
            "cuda_driver": _cuda(runtime.driverGetVersion()),
            "cuda_runtime": _cuda(runtime.runtimeGetVersion()),
            "cupy": self._cupy.__version__,
            "gpu_aware_mpi": self.gpu_aware,
        }

    # -- memory ---------------------------------------------------------------------------------------------------------
    def put(self, array: NDArray[Any], out: Any = None) -> Any:
        source = np.ascontiguousarray(array)
        if out is not None and not out.flags.c_contiguous:
            raise ValueError("Only contiguous arrays of the GPU are copied to.")
        made = self.empty(array.shape, source.dtype) if out is None else _same(out, array)
        if not source.size:
            return made
        there, here = _bytes(made), _bytes(source)
        for start in range(0, here.size, _CHUNK):
            piece = here[start : start + _CHUNK]
            pinned = self._staging.take(piece.size)
            pinned[: piece.size] = piece
            there[start : start + piece.size].set(pinned[: piece.size])
            self._staging.give_back(pinned)
        return made

    def get(self, array: Any, out: NDArray[Any] | None = None) -> NDArray[Any]:
        made = np.empty(array.shape, array.dtype) if out is None else _same(out, array)
        if not array.size:
            return made
        if not array.flags.c_contiguous or not made.flags.c_contiguous:
            raise ValueError("Only contiguous arrays are copied from the GPU.")
        there, here = _bytes(array), _bytes(made)
        under_way: deque[tuple[Any, int, int]] = deque()
        for start in range(0, here.size, _CHUNK):
            size = min(_CHUNK, here.size - start)
            pinned = self._staging.take(size)
            there[start : start + size].get(out=pinned[:size], blocking=False)
            under_way.append((pinned, start, size))
            self._staging.mark(pinned)
            if len(under_way) == 2:
                self._land(here, *under_way.popleft())
        while under_way:
            self._land(here, *under_way.popleft())
        return made

    def _land(self, here: NDArray[np.uint8], pinned: Any, start: int, size: int) -> None:
        self._staging.wait_for(pinned)
        here[start : start + size] = pinned[:size]
        self._staging.give_back(pinned)

    def empty(self, shape: int | tuple[int, ...], dtype: DTypeLike) -> Any:
        with self.guard(f"an array of {np.dtype(dtype)} {shape}, {megabytes(shape, dtype):,.1f} MB"):
            return self._cupy.empty(shape, dtype)

    def zeros(self, shape: int | tuple[int, ...], dtype: DTypeLike) -> Any:
        with self.guard(f"an array of {np.dtype(dtype)} {shape}, {megabytes(shape, dtype):,.1f} MB"):
            return self._cupy.zeros(shape, dtype)

    def full(self, shape: int | tuple[int, ...], value: float, dtype: DTypeLike) -> Any:
        if value == 0:
            return self.zeros(shape, dtype)
        made = self.empty(shape, dtype)
        flat = made.reshape(-1)
        step = max(1, _CHUNK // np.dtype(dtype).itemsize)
        for start in range(0, flat.size, step):
            self.put(np.full(min(step, flat.size - start), value, dtype), flat[start : start + step])
        return made

    @contextmanager
    def _guarded(self, what: str) -> Iterator[None]:
        try:
            yield
        except self._cupy.cuda.memory.OutOfMemoryError as error:
            free, total = self._cupy.cuda.Device(self.gpu.index).mem_info
            used = self._pool.used_bytes()
            asked = re.search(r"allocating ([\d,]+) bytes", str(error))
            more = f" ({int(asked[1].replace(',', '')) / 1e6:,.1f} MB at once)" if asked and "MB" not in what else ""
            raise DeviceMemoryError(
                f"The GPU {self.gpu.name} has no room for {what}{more}: this rank holds {used / 1e6:,.1f} of the "
                f"{self.limit / 1e6:,.1f} MB that it may take, and {free / 1e6:,.1f} of {total / 1e6:,.1f} MB are free. Use "
                "smaller tiles (execution.tile_m), more GPUs, or fewer ranks on one."
            ) from error

    def guard(self, what: str) -> AbstractContextManager[Any]:
        return self._guarded(what)

    # -- order ----------------------------------------------------------------------------------------------------------
    def stream(self, name: str) -> AbstractContextManager[Any]:
        super().stream(name)
        return self._streams[name]

    def wait(self, stream: str, *, for_: str) -> None:
        super().wait(stream, for_=for_)
        event = self._cupy.cuda.Event(disable_timing=True)
        event.record(self._streams[for_])
        self._streams[stream].wait_event(event)

    def synchronise(self, stream: str | None = None) -> None:
        super().synchronise(stream)
        for name in STREAMS if stream is None else (stream,):
            self._streams[name].synchronize()

    # -- messages -------------------------------------------------------------------------------------------------------
    def buffer(self, length: int, dtype: DTypeLike) -> MpiBuffer:
        array = self.empty(length, dtype)
        if self.gpu_aware:
            return MpiBuffer(array, array)
        size = length * np.dtype(dtype).itemsize
        return MpiBuffer(array, pinned_memory(self._cupy, size)[:size].view(dtype))

    def close(self) -> None:
        self.synchronise()
        self._staging.clear()
        self._cupy.cuda.Stream.null.use()
        self._pool.free_all_blocks()


def pinned_memory(cupy: Any, size: int) -> NDArray[np.uint8]:
    """Return at least so many bytes of memory that the GPU reads and writes by itself."""
    try:
        return np.frombuffer(cupy.cuda.alloc_pinned_memory(max(size, 1)), np.uint8)
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise MachineError(
            f"The node {platform.node()} could not pin {size / 1e6:,.1f} MB of memory: {error}. Raise the limit of locked "
            "memory (ulimit -l), or use fewer ranks a node."
        ) from error


class _Staging:
    """Pinned buffers by size; one is used again when the copy from or to it is over, and there are two of a size at most."""

    def __init__(self, cupy: Any) -> None:
        self._cupy = cupy
        self._idle: dict[int, deque[Any]] = defaultdict(deque)
        self._made: dict[int, int] = defaultdict(int)
        self._events: dict[int, Any] = {}

    def take(self, size: int) -> NDArray[np.uint8]:
        room = max(_SMALLEST, 1 << (size - 1).bit_length())
        idle = self._idle[room]
        if idle and (self._made[room] >= 2 or self._events[idle[0].ctypes.data].done):
            buffer = idle.popleft()
            self.wait_for(buffer)
            return buffer
        self._made[room] += 1
        return pinned_memory(self._cupy, room)[:room]

    def mark(self, buffer: NDArray[np.uint8]) -> None:
        """Remember that the current stream has a copy of this buffer to do."""
        event = self._events.setdefault(buffer.ctypes.data, self._cupy.cuda.Event(disable_timing=True))
        event.record(self._cupy.cuda.get_current_stream())

    def wait_for(self, buffer: NDArray[np.uint8]) -> None:
        """Wait until the last copy of this buffer is done."""
        self._events[buffer.ctypes.data].synchronize()

    def give_back(self, buffer: NDArray[np.uint8]) -> None:
        """Let the buffer be used again after what the current stream has to do."""
        self.mark(buffer)
        self._idle[buffer.size].append(buffer)

    def clear(self) -> None:
        self._idle.clear()
        self._made.clear()
        self._events.clear()


def _bytes(array: Any) -> Any:
    return array.reshape(-1).view(np.uint8)


def _same(out: Any, array: Any) -> Any:
    if out.shape != array.shape or out.dtype != array.dtype:
        raise ValueError(f"A copy of {array.dtype} {array.shape} does not fit an array of {out.dtype} {out.shape}.")
    return out
