"""`cupy.cuda` of the stand-in."""

from __future__ import annotations

from types import SimpleNamespace

from cupy._device import stand_in


class Device:
    def __init__(self, id: int = 0) -> None:
        self.id = id

    @property
    def compute_capability(self) -> str:
        return stand_in.compute_capability


runtime = SimpleNamespace(getDevice=lambda: 0)
