"""What the stand-in claims to be and what it has seen; tests set the first and read the second.

A run of the command line sets it by the environment: STAND_IN_GPUS (number of devices), STAND_IN_MEMORY_MB, STAND_IN_ORDER.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ERRORS = {
    2: "cudaErrorMemoryAllocation: out of memory",
    9: "cudaErrorInvalidConfiguration: invalid configuration argument",
    35: "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version",
    100: "cudaErrorNoDevice: no CUDA-capable device is detected",
    101: "cudaErrorInvalidDevice: invalid device ordinal",
    209: "cudaErrorNoKernelImageForDevice: no kernel image is available for execution on the device",
    400: "cudaErrorInvalidResourceHandle: invalid resource handle",
}


class CUDARuntimeError(RuntimeError):
    """An error of the CUDA run-time; `status` is its number."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(ERRORS[status])


class StandInFault(RuntimeError):
    """What a real device would do without a word: a race, or a kernel that needs what may not be there."""


def _number(name: str, default: int) -> int:
    return int(os.environ.get(name, default))


@dataclass
class StandIn:
    """What the stand-in claims, and what it has seen.

    Attributes
    ----------
    compute_capability : str
        Of every device, such as "80".
    devices : int
        That the node has; CUDA_VISIBLE_DEVICES hides some, as it does for real ones.
    memory : int
        Bytes of each device.
    driver : int
        CUDA version of the driver; 0: there is none.
    order : str
        What a stream does that nobody waits for. "late": nothing until somebody does; "early": all of it, before the stream
        that is waited for. Either is allowed on a real device, so a correct program gives the same results.
    execute : (entry, path, grid, block, arguments)
        What carries a launch out; absent: the element's function compiled for the host.
    launches : names of the functions launched
    faults : what would be wrong on a real device
    own_kernels : CuPy's own kernels that the program used; a real CuPy compiles them at run time, by NVRTC
    found : devices that were asked for and are there; as with CUDA, hiding one later changes nothing
    """

    compute_capability: str = "80"
    name: str = "NVIDIA A100-SXM-64GB (stand-in)"
    devices: int = field(default_factory=lambda: _number("STAND_IN_GPUS", 1))
    memory: int = field(default_factory=lambda: _number("STAND_IN_MEMORY_MB", 64_000) * 10**6)
    driver: int = 12_090
    order: str = field(default_factory=lambda: os.environ.get("STAND_IN_ORDER", "late"))
    execute: Callable[..., None] | None = None
    launches: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    own_kernels: set[str] = field(default_factory=set)
    found: set[int] = field(default_factory=set)
    current_device: int = 0

    def visible(self) -> list[int]:
        """Return the devices that this process may see."""
        text = os.environ.get("CUDA_VISIBLE_DEVICES")
        if text is None:
            return list(range(self.devices))
        seen: list[int] = []
        for word in text.split(","):  # CUDA stops at the first that is not there
            if not word.strip().isdigit() or int(word) >= self.devices:
                break
            seen.append(int(word))
        return seen

    def require_device(self, index: int | None = None) -> int:
        """Return the number of a device that is there; the current one by default."""
        if self.driver < 12_000:
            raise CUDARuntimeError(35)
        chosen = self.current_device if index is None else index
        if chosen in self.found:
            return chosen
        count = len(self.visible())
        if count == 0:
            raise CUDARuntimeError(100)
        if not 0 <= chosen < count:
            raise CUDARuntimeError(101)
        self.found.add(chosen)
        return chosen

    def executor(self) -> Callable[..., None]:
        """Return what carries launches out."""
        return self.execute or _default_executor

    def reset(self, **settings: Any) -> None:
        """Be as new: no array, stream or fault of before, and these settings."""
        from cupy._memory import pool
        from cupy._streams import forget

        self.__init__(**settings)  # type: ignore[misc]
        forget()
        pool.reset()

    def check(self) -> None:
        """Raise what has gone wrong so far: a device would have gone on with wrong data."""
        if self.faults:
            found = "; ".join(self.faults)
            self.faults.clear()
            raise StandInFault(found)


def _default_executor(entry: str, path: str, grid: Any, block: Any, arguments: Any) -> None:
    by_entry, run_on_host, interpret = _executors()
    kernel, kind = by_entry()[entry]
    if kernel.shared is None:
        run_on_host(entry, path, grid, block, arguments)
        return
    capability = stand_in.compute_capability  # as blocks of threads
    interpret(kernel.ptx((int(capability[:-1]), int(capability[-1])), kind), entry, grid, block, arguments)


@functools.cache
def _executors() -> tuple[Any, Any, Any]:
    folder = str(Path(__file__).resolve().parents[2])
    if folder not in sys.path:
        sys.path.append(folder)
    from gpu_twins.interpreter import interpret
    from gpu_twins.on_host import by_entry, run_on_host

    return by_entry, run_on_host, interpret


stand_in = StandIn()
