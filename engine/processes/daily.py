"""Maps of some days of heat: means, maxima and hours of sun of each cell, and their range over the city without its buffer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from felsina.engine.parallel.device import Device
from felsina.engine.parallel.partition import Tile
from felsina.engine.parallel.world import World
from felsina.engine.processes.heatwave import TileState
from felsina.kernels.accumulate import take_hour


class DailyMaps:
    """Takes the maps of the tiles hour by hour, on the device that they live on.

    Parameters
    ----------
    tiles : of this rank
    device : of this rank
    """

    def __init__(self, tiles: Sequence[TileState], device: Device) -> None:
        self._tiles, self._device = tiles, device
        self._n = 0
        n = [t.fine.shape[0] * t.fine.shape[1] for t in tiles]
        self._sums = [(device.zeros(m, np.float64), device.zeros(m, np.float64)) for m in n]
        self._most = [(device.full(m, -np.inf, np.float32), device.full(m, -np.inf, np.float32)) for m in n]

    def add(self) -> None:
        """Take the maps of the hour."""
        self._n += 1
        for tile, sums, most in zip(self._tiles, self._sums, self._most, strict=True):
            air, surface, sun = (tile.fields[n].reshape(-1) for n in ("air_temperature", "surface_temperature", "sun_hours"))
            take_hour(air, surface, sun, *sums, *most)

    def maps(self) -> Iterator[tuple[Tile, dict[str, NDArray[np.float32]]]]:
        """Yield each tile with its maps by published name, on the host."""
        for tile, sums, most in zip(self._tiles, self._sums, self._most, strict=True):
            air, sun, hottest_air, hottest_surface = (self._device.get(a).reshape(tile.fine.shape) for a in (*sums, *most))
            yield (
                tile.fine,
                {
                    "sky_view_factor": self._device.get(tile.sky),
                    "air_temperature_mean": (air / self._n).astype(np.float32),
                    "air_temperature_maximum": hottest_air,
                    "surface_temperature_maximum": hottest_surface,
                    "sun_hours": sun.astype(np.float32),
                },
            )


class Ranges:
    """Lowest and highest of the maps over the city, without its buffer.

    Parameters
    ----------
    shape : (ny, nx) of the whole grid
    frame : width of the buffer [cells]
    """

    def __init__(self, shape: tuple[int, int], frame: int) -> None:
        self._shape, self._frame = shape, frame
        self._low, self._high, self._surface = np.inf, -np.inf, -np.inf

    def add(self, box: Tile, maps: dict[str, Any]) -> None:
        """Take the maps of a tile."""
        ny, nx = self._shape
        j = slice(max(self._frame - box.j0, 0), max(min(ny - self._frame, box.j1) - box.j0, 0))
        i = slice(max(self._frame - box.i0, 0), max(min(nx - self._frame, box.i1) - box.i0, 0))
        mean = maps["air_temperature_mean"][j, i]
        if mean.size:
            self._low = min(self._low, float(mean.min()))
            self._high = max(self._high, float(maps["air_temperature_maximum"][j, i].max()))
            self._surface = max(self._surface, float(maps["surface_temperature_maximum"][j, i].max()))

    def figures(self, world: World) -> dict[str, float]:
        """Return the ranges over all ranks [degC]; collective."""
        every = world.allgather((self._low, self._high, self._surface))
        return {
            "coolest_mean_air_degc": round(min(e[0] for e in every), 2),
            "warmest_air_degc": round(max(e[1] for e in every), 2),
            "hottest_surface_degc": round(max(e[2] for e in every), 2),
        }
