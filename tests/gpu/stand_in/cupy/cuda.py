"""`cupy.cuda` of the stand-in."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from cupy._memory import MemoryPool, OutOfMemoryError, alloc_pinned_memory, pool
from cupy._state import CUDARuntimeError, stand_in
from cupy._streams import Event, Stream, get_current_stream, synchronise_device

memory = SimpleNamespace(OutOfMemoryError=OutOfMemoryError)


class Device:
    """A device by its number; it need not be there."""

    def __init__(self, device: int | None = None) -> None:
        self.id = stand_in.require_device() if device is None else int(device)
        self._before: list[int] = []

    def use(self) -> None:
        stand_in.current_device = stand_in.require_device(self.id)

    def __enter__(self) -> Device:
        self._before.append(stand_in.require_device())
        self.use()
        return self

    def __exit__(self, *_: Any) -> None:
        stand_in.current_device = self._before.pop()

    def synchronize(self) -> None:
        synchronise_device(stand_in.require_device(self.id))

    @property
    def compute_capability(self) -> str:
        stand_in.require_device(self.id)
        return stand_in.compute_capability

    @property
    def mem_info(self) -> tuple[int, int]:
        with self:
            return stand_in.memory - pool.total_bytes(), stand_in.memory

    @property
    def pci_bus_id(self) -> str:
        return f"0000:{stand_in.visible()[stand_in.require_device(self.id)]:02X}:00.0"


def set_allocator(allocator: Any = None) -> None:
    if getattr(allocator, "__self__", None) is not pool:
        raise NotImplementedError("The stand-in allocates from CuPy's default pool only.")


def _count() -> int:
    if stand_in.driver < 12_000:
        raise CUDARuntimeError(35)
    if not stand_in.visible():
        raise CUDARuntimeError(100)
    return len(stand_in.visible())


def _properties(device: int) -> dict[str, Any]:
    real = stand_in.visible()[stand_in.require_device(device)]
    return {
        "name": stand_in.name.encode(),
        "totalGlobalMem": stand_in.memory,
        "major": int(stand_in.compute_capability[:-1]),
        "minor": int(stand_in.compute_capability[-1]),
        "multiProcessorCount": 108,
        "uuid": b"stand-in %d" % real,
    }


runtime = SimpleNamespace(
    CUDARuntimeError=CUDARuntimeError,
    getDevice=lambda: stand_in.require_device(),
    setDevice=lambda device: Device(device).use(),
    getDeviceCount=_count,
    getDeviceProperties=_properties,
    driverGetVersion=lambda: stand_in.driver,
    runtimeGetVersion=lambda: 12_090,
    # What lies in the memory of the host is "unregistered"; a device's pointer would be of type 2.
    pointerGetAttributes=lambda ptr: SimpleNamespace(type=0, device=stand_in.require_device()),
    memoryTypeDevice=2,
)

__all__ = [
    "Device", "Event", "MemoryPool", "Stream", "alloc_pinned_memory", "get_current_stream", "memory", "runtime",
    "set_allocator",
]  # fmt: skip
