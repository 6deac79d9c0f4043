"""The device of the stand-in: its state, and modules whose functions are carried out by an executor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class StandIn:
    """What the stand-in claims, and what it has seen."""

    compute_capability: str = "80"
    execute: Callable[..., None] | None = None  # (entry, path, grid, block, arguments)
    launches: list[str] = field(default_factory=list)


stand_in = StandIn()


class RawModule:
    """A module loaded from a cubin."""

    def __init__(self, *, path: str) -> None:
        if Path(path).read_bytes()[:4] != b"\x7fELF":
            raise ValueError(f"'{path}' is no cubin.")
        self._path = path

    def get_function(self, name: str) -> Callable[..., None]:
        def launch(grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...]) -> None:
            if stand_in.execute is None:
                raise RuntimeError("The stand-in has no executor.")
            stand_in.launches.append(name)
            stand_in.execute(name, self._path, tuple(grid), tuple(block), arguments)

        return launch
