"""Classes of points that have none: ground filter, local shape, echoes, roofs; for whole clouds held in memory."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from felsina.kernels.pointcloud.classify import classify
from felsina.kernels.pointcloud.ground import SLOPE, WINDOW_M, SmrfSurface, smrf
from felsina.kernels.pointcloud.raster import NO_MIN, bin_lowest, cell_height

CLASS_NAMES = {
    2: "ground",
    3: "low vegetation",
    4: "medium vegetation",
    5: "high vegetation",
    6: "building",
    7: "noise",
}


class Cloud(Protocol):
    """Points in the frame of a grid [mm]; see `engine.io.las.Points`."""

    @property
    def x(self) -> NDArray[np.int32]: ...
    @property
    def y(self) -> NDArray[np.int32]: ...
    @property
    def z(self) -> NDArray[np.int32]: ...
    @property
    def return_number(self) -> NDArray[np.uint8]: ...
    @property
    def number_of_returns(self) -> NDArray[np.uint8]: ...
    @property
    def extra(self) -> dict[str, NDArray[np.uint16]]: ...


def classify_points(
    points: Cloud, shape: tuple[int, int], cell_mm: int, window_m: float = WINDOW_M, slope: float = SLOPE
) -> NDArray[np.uint8]:
    """Return the ASPRS class of each point of a whole scene.

    Parameters
    ----------
    points : in the frame of the grid [mm], with `red` and `nir` where the sensor has them
    shape : (ny, nx) of the grid
    cell_mm : of the grid [mm]
    window_m, slope : of the ground filter

    Returns
    -------
    (n,) uint8
        2 ground, 3 to 5 vegetation, 6 building, 7 noise, in the order of the points; the same class in any order.
    """
    lowest = np.full(shape, NO_MIN)
    bin_lowest(points.x, points.y, points.z, cell_mm, lowest)
    surface = smrf(cell_height(lowest, (lowest != NO_MIN).astype(np.int32)), cell_mm / 1000, window_m, slope)
    return label(points, surface, cell_mm)


def label(points: Cloud, surface: SmrfSurface, cell_mm: int) -> NDArray[np.uint8]:
    """Return the class of each point, given the ground filter's surface."""
    return classify(
        points.x, points.y, points.z, points.return_number, points.number_of_returns, surface, cell_mm, vegetation_index(points)
    )


def vegetation_index(points: Cloud) -> NDArray[np.float32] | None:
    """Return (NIR - red) / (NIR + red) of each point, NaN where both are 0; None where the sensor has no near infrared."""
    if not {"red", "nir"} <= set(points.extra):
        return None
    red, nir = (points.extra[name].astype(np.float32) for name in ("red", "nir"))
    if not nir.any():
        return None
    total = nir + red
    with np.errstate(invalid="ignore"):
        return np.where(total > 0, (nir - red) / total, np.float32(np.nan)).astype(np.float32)
