"""Ray tables: what a ray from a cell centre crosses, one line per cell along its main axis.

All pixels share the directions, so a ray is a table of offsets. Between half a cell before and half a cell behind step k of the
main axis a ray touches no more than two cells, the near and the far one along the other axis; it enters one or both, and passes
between their centres. Azimuths are clockwise from north; row 0 is north, column 0 is west.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from felsina.kernels._backend import rows
from felsina.kernels.radiation.obstacles import Obstacles, cells_in_reach

_SNAP = 1e-9  # cells; a ray through a cell corner does not visit the two cells that it only touches


class Rays(NamedTuple):
    """Tables of some rays; the arrays in the memory of the host or of the GPU.

    offset : (n_azimuth, n_step, 2, 2) int32
        Row and column offset of the near and of the far cell of each step.
    distance : (n_azimuth, n_step, 5) float32
        [m] Entry and exit of the near cell, of the far cell, and the distance at which the ray passes between their centres. A
        negative entry or passage marks an absent sample; a step without an entry ends the ray.
    inverse : (n_azimuth, n_step, 5) float32
        1 / distance [m-1].
    weight : (n_azimuth, n_step) float32
        Weight of the far cell at the passage [1]; the near cell has 1 - weight.
    azimuth : tuple of float
        Of each ray [rad].
    resolution : float
        Cell size [m].
    """

    offset: NDArray[Any]
    distance: NDArray[Any]
    inverse: NDArray[Any]
    weight: NDArray[Any]
    azimuth: tuple[float, ...]
    resolution: float

    def moved(self, put: Callable[[Any], Any]) -> Rays:
        """Return the same with all arrays moved by `put`, such as to the GPU."""
        offset, distance, inverse, weight = (put(array) for array in self[:4])
        return Rays(offset, distance, inverse, weight, self.azimuth, self.resolution)

    def one(self, a: int) -> Rays:
        """Return ray `a` alone, as views."""
        part = slice(a, a + 1)
        arrays = (self.offset[part], self.distance[part], self.inverse[part], self.weight[part])
        return Rays(*arrays, self.azimuth[part], self.resolution)


def even_azimuths(n_azimuth: int) -> list[float]:
    """Return the azimuths 2 pi (a + 1/2) / n_azimuth [rad] of a sky view."""
    return [2.0 * math.pi * (a + 0.5) / n_azimuth for a in range(n_azimuth)]


def ray_tables(azimuths: Sequence[float], resolution: float, max_distance: float) -> Rays:
    """Make the tables of rays towards some azimuths, on the host.

    Parameters
    ----------
    azimuths : directions, clockwise from north [rad]
    resolution, max_distance : float
        Cell size [m], and the distance behind which there are no samples [m]: a property of the model, not of a tile.
    """
    n_step = cells_in_reach(resolution, max_distance)
    given = tuple(float(a) for a in azimuths)
    offset = np.zeros((len(given), n_step, 2, 2), np.int32)
    distance = np.zeros((len(given), n_step, 5), np.float32)
    weight = np.zeros((len(given), n_step), np.float32)
    for a, azimuth in enumerate(given):
        _fill_ray(azimuth, float(resolution), float(max_distance), offset[a], distance[a], weight[a])
    return Rays(offset, distance, np.float32(1.0) / distance, weight, given, float(resolution))


@rows
def _fill_ray(azimuth, resolution, max_distance, offset, distance, weight):
    east, south = math.sin(azimuth), -math.cos(azimuth)
    column_major = abs(east) >= abs(south)
    main, minor = (east, south) if column_major else (south, east)
    sign_main = 1 if main > 0 else -1
    sign_minor = 1 if minor > 0 else -1
    slope = abs(minor) / abs(main)
    if slope < _SNAP:
        slope = 0.0
    stretch = 1.0 / abs(main)  # length of the ray per cell along the main axis
    for n in range(offset.shape[0]):
        k = n + 1
        near = math.floor(slope * k + _SNAP)
        share = max(0.0, slope * k - near)
        if share < 1e-6:
            share = 0.0
        # Cells entered: `first` and `last` are the near or the far one, or both in this order.
        first = math.floor(slope * (k - 0.5) + 0.5 + _SNAP)
        last = max(first, math.ceil(slope * (k + 0.5) + 0.5 - _SNAP) - 1)
        far = near + 1 if share > 0.0 or last > near else near
        for which, cells in enumerate((near, far)):
            offset[n, which, 1 if column_major else 0] = sign_main * k
            offset[n, which, 0 if column_major else 1] = sign_minor * cells
        entry, leave = (k - 0.5) * stretch * resolution, (k + 0.5) * stretch * resolution
        between = k * stretch * resolution
        distance[n, 0], distance[n, 1], distance[n, 2], distance[n, 3] = -1.0, -1.0, -1.0, -1.0
        if last > first:
            cross = (first + 0.5) / abs(minor) * resolution
            distance[n, 0], distance[n, 1], distance[n, 2], distance[n, 3] = entry, cross, cross, leave
            if cross > max_distance:
                distance[n, 2] = -1.0
        elif first > near:
            distance[n, 2], distance[n, 3] = entry, leave
        else:
            distance[n, 0], distance[n, 1] = entry, leave
        if entry > max_distance:
            distance[n, 0], distance[n, 2] = -1.0, -1.0
        distance[n, 4] = between if between <= max_distance else -1.0
        weight[n] = share


def require_reach(obstacles: Obstacles, rays: Rays) -> None:
    """Raise ValueError where rays go farther than the obstacles were prepared for."""
    if rays.offset.shape[1] > obstacles.reach:
        raise ValueError(
            f"The rays take {rays.offset.shape[1]} steps, but the obstacles were prepared for {obstacles.reach}. "
            "Prepare them with the largest distance of all rays."
        )
