"""The regular grid of a city: where cells are, how coarser grids nest in it, and its blocks.

Row 0 is north and `y` descends; column 0 is west and `x` ascends; coordinates are cell centres. Edges of a grid that is made
here lie on whole multiples of the resolution in the CRS, so two runs over overlapping scenes share their cells.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from felsina.engine.errors import UsageError

BLOCK = 64  # cells; tiles are whole blocks, and partial sums run over whole blocks, so no tiling changes an order of addition


@dataclass(frozen=True)
class Grid:
    """A north-up regular grid.

    Attributes
    ----------
    crs : str
        Horizontal CRS with an authority, "EPSG:28992".
    west, north : float
        Outer edges of column 0 and row 0 [m].
    resolution : float
        Cell size [m].
    nx, ny : int
        Number of columns and rows.
    """

    crs: str
    west: float
    north: float
    resolution: float
    nx: int
    ny: int

    @classmethod
    def covering(
        cls, crs: str, bounds: tuple[float, float, float, float], resolution: float, snap: float | None = None
    ) -> Grid:
        """Return the smallest grid that covers `bounds` = (west, south, east, north) [m], edges on multiples of `snap` [m]."""
        snap = snap or resolution
        if not math.isclose(snap / resolution, round(snap / resolution), abs_tol=1e-9):
            raise UsageError(
                f"Grid snap {snap} m is no whole multiple of the resolution {resolution} m; choose nesting resolutions."
            )
        west, south = (math.floor(v / snap + 1e-9) * snap for v in bounds[:2])
        east, north = (math.ceil(v / snap - 1e-9) * snap for v in bounds[2:])
        return cls(
            crs, west, north, resolution, max(1, round((east - west) / resolution)), max(1, round((north - south) / resolution))
        )

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx)."""
        return self.ny, self.nx

    @property
    def x(self) -> NDArray[np.float64]:
        """(nx,) cell-centre eastings [m], ascending."""
        return np.asarray(self.west + (np.arange(self.nx) + 0.5) * self.resolution, np.float64)

    @property
    def y(self) -> NDArray[np.float64]:
        """(ny,) cell-centre northings [m], descending."""
        return np.asarray(self.north - (np.arange(self.ny) + 0.5) * self.resolution, np.float64)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(west, south, east, north) outer edges [m]."""
        return self.west, self.north - self.ny * self.resolution, self.west + self.nx * self.resolution, self.north

    def coarsened(self, resolution: float) -> Grid:
        """Return the grid of `resolution` [m] over the same area; it must be a whole multiple and nest exactly."""
        factor = round(resolution / self.resolution)
        if (
            factor < 1
            or not math.isclose(factor * self.resolution, resolution, rel_tol=1e-9)
            or self.nx % factor
            or self.ny % factor
        ):
            raise UsageError(
                f"A grid of {resolution} m does not nest in {self.nx} x {self.ny} cells of {self.resolution} m. "
                "Choose resolutions that are whole multiples of each other."
            )
        return Grid(self.crs, self.west, self.north, resolution, self.nx // factor, self.ny // factor)
