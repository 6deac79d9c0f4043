"""Where kernels run: the processor of this rank or one GPU, behind one interface that is passed along as the World is.

    device = open_device(world, "gpu")
    t = device.put(temperature)                # NumPy -> here
    with device.stream("halo"):                # what is launched in here runs beside `main`
        ...
    device.wait("main", for_="halo")
    temperature = device.get(t)                # here -> NumPy, when it is ready

Kernels look at their arrays and move nothing; only what holds a device moves data. A GPU is asked for and found, or the run
ends with a sentence: nothing falls back to the processor. `gpu` has what is particular to CuPy.
"""

from __future__ import annotations

import logging
import math
import platform
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from felsina.engine.errors import MachineError
from felsina.engine.parallel.world import Exchange, World

LOGGER = logging.getLogger("felsina")
STREAMS = ("main", "halo")


class DeviceMemoryError(MachineError, MemoryError):
    """The GPU has no room for an array."""


class MpiBuffer:
    """One message: an array for kernels, and what MPI reads or fills of it.

    Attributes
    ----------
    array : (n,) on the device
    wire : (n,) the same memory where MPI can take it, else pinned memory of the host
    """

    def __init__(self, array: Any, wire: Any) -> None:
        self.array, self.wire = array, wire

    @property
    def is_staged(self) -> bool:
        return self.wire is not self.array


class Device(ABC):
    """Memory and streams of the place where kernels run.

    Attributes
    ----------
    kind : "cpu" or "gpu"
    is_asynchronous : bool
        Kernels return before they are done.
    """

    kind: str
    is_asynchronous: bool

    @abstractmethod
    def describe(self) -> str:
        """Return what the log says of it: "NVIDIA A100-SXM-64GB (sm_80, 64.0 GB, driver 535.54.03)"."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """Return what `run.json` says of it."""

    # -- memory ---------------------------------------------------------------------------------------------------------
    @abstractmethod
    def put(self, array: NDArray[Any], out: Any = None) -> Any:
        """Return a host array on this device, contiguous; on a CPU it may be the same array.

        The copy is in the order of the current stream. The host array may be changed at once.

        Parameters
        ----------
        array : host array of any shape
        out : array on the device of this shape and dtype to be overwritten, in place of a new one
        """

    @abstractmethod
    def get(self, array: Any, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Return an array as a host array, once the current stream is done with it; on a CPU it may be the same array."""

    @abstractmethod
    def empty(self, shape: int | tuple[int, ...], dtype: DTypeLike) -> Any:
        """Return a new array with arbitrary content."""

    @abstractmethod
    def zeros(self, shape: int | tuple[int, ...], dtype: DTypeLike) -> Any:
        """Return a new array of zeros."""

    @abstractmethod
    def full(self, shape: int | tuple[int, ...], value: float, dtype: DTypeLike) -> Any:
        """Return a new array of one value."""

    def guard(self, what: str) -> AbstractContextManager[Any]:
        """Return a context in which a kernel that finds no room for its scratch arrays names `what` it computed."""
        return nullcontext()

    # -- order ----------------------------------------------------------------------------------------------------------
    def stream(self, name: str) -> AbstractContextManager[Any]:
        """Return a context in which kernels and copies go to a stream, "main" or "halo"; outside of any it is "main"."""
        _require_stream(name)
        return nullcontext()

    def wait(self, stream: str, *, for_: str) -> None:
        """Let what comes in one stream wait for what is in another one now; the host goes on."""
        _require_stream(stream)
        _require_stream(for_)

    def synchronise(self, stream: str | None = None) -> None:
        """Let the host wait for a stream, or for all."""
        if stream is not None:
            _require_stream(stream)

    # -- messages -------------------------------------------------------------------------------------------------------
    @abstractmethod
    def buffer(self, length: int, dtype: DTypeLike) -> MpiBuffer:
        """Return memory for a message of so many elements."""

    def leave(self, buffer: MpiBuffer) -> None:
        """Copy a packed message to where MPI reads it, in the order of the current stream."""
        if buffer.is_staged:
            buffer.array.get(out=buffer.wire, blocking=False)

    def arrive(self, buffer: MpiBuffer) -> None:
        """Copy a message from where MPI left it, in the order of the current stream."""
        if buffer.is_staged:
            buffer.array.set(buffer.wire)

    def start_exchange(
        self, world: World, send: Mapping[int, MpiBuffer], receive: Mapping[int, MpiBuffer], stream: str = "halo"
    ) -> Exchange:
        """Start messages between ranks when a stream is done with them, and return their handle.

        All data of a device goes to MPI through here: MPI knows no streams and would send what a kernel has not written yet, or
        overwrite what one still reads.
        """
        self.synchronise(stream)
        return world.start_exchange({r: b.wire for r, b in send.items()}, {r: b.wire for r, b in receive.items()})

    def close(self) -> None:
        """Wait for everything and give the memory back. Arrays of the device must not be used afterwards."""
        self.synchronise()

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class CpuDevice(Device):
    """The processor: its arrays are NumPy's and everything is done when the call returns."""

    kind, is_asynchronous = "cpu", False

    def describe(self) -> str:
        return f"the processor ({platform.machine()})"

    def facts(self) -> dict[str, Any]:
        return {"kind": self.kind}

    def put(self, array: NDArray[Any], out: Any = None) -> Any:
        if out is None:
            return np.ascontiguousarray(array).reshape(array.shape)
        np.copyto(out, array, casting="no")
        return out

    def get(self, array: Any, out: NDArray[Any] | None = None) -> NDArray[Any]:
        if out is None:
            return np.asarray(array)
        np.copyto(out, array, casting="no")
        return out

    def empty(self, shape: int | tuple[int, ...], dtype: DTypeLike) -> Any:
        return np.empty(shape, dtype)

    def zeros(self, shape: int | tuple[int, ...], dtype: DTypeLike) -> Any:
        return np.zeros(shape, dtype)

    def full(self, shape: int | tuple[int, ...], value: float, dtype: DTypeLike) -> Any:
        return np.full(shape, value, dtype)

    def buffer(self, length: int, dtype: DTypeLike) -> MpiBuffer:
        array = np.empty(length, dtype)
        return MpiBuffer(array, array)


def open_device(world: World, kind: str, *, memory_limit: float = 0.9, gpu_aware: bool = False) -> Device:
    """Return the device of this rank; collective, and before any other use of a GPU by this process.

    Parameters
    ----------
    world : World
        The GPU of a rank is its rank within the node, counted round the GPUs that it sees. Ranks may share one.
    kind : "cpu" or "gpu"
    memory_limit : float
        Share of a GPU's memory that the ranks on it may take together.
    gpu_aware : bool
        Give GPU memory to MPI as it is, after a test that MPI carries it; otherwise through the host.

    Raises
    ------
    MachineError
        On every rank, when any of them has no GPU that can be used: what is missing, and the way out.
    """
    if kind == "cpu":
        return CpuDevice()
    from felsina.engine.parallel import gpu

    found = world.on_every_rank(gpu.find_gpus)
    mine = found[world.local_rank % len(found)]
    every = world.allgather((world.node, mine.identity))
    sharing = every.count((world.node, mine.identity))
    limit = int(memory_limit * mine.memory / sharing)
    device = world.on_every_rank(lambda: gpu.GpuDevice(mine, limit=limit, gpu_aware=gpu_aware, ranks=sharing))
    _announce(world, device, len(set(every)), max(every.count(e) for e in every))
    if gpu_aware and world.size > 1:
        from felsina.engine.parallel.gpu_aware import require_gpu_aware

        require_gpu_aware(world, device)
    return device


def _announce(world: World, device: Any, gpus: int, most: int) -> None:
    text = f"Kernels run on {gpus} GPU{'s' if gpus > 1 else ''}, one a rank: {device.describe()}."
    if most > 1:
        text = (
            f"Kernels of {world.size} ranks run on {gpus} GPU{'s' if gpus > 1 else ''}, up to {most} ranks on one: "
            f"{device.describe()}. Each rank may take {device.limit / 1e9:,.1f} GB of it."
        )
    if world.is_root:
        LOGGER.info(text)


def _require_stream(name: str) -> None:
    if name not in STREAMS:
        raise ValueError(f"There is no stream '{name}'; expected {' or '.join(STREAMS)}.")


def megabytes(shape: int | tuple[int, ...], dtype: DTypeLike) -> float:
    """Return the size of an array [MB]."""
    return math.prod(shape if isinstance(shape, tuple) else (shape,)) * np.dtype(dtype).itemsize / 1e6
