"""Classes of points that have none: ground filter, local shape, echoes, roofs; for whole clouds held in memory."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from felsina.engine.parallel.world import World
from felsina.kernels.pointcloud.classify import (
    ISOLATION,
    RADIUS,
    ROOF_AREA,
    classify,
    is_leafy,
    is_roof_like,
    is_single,
    label_points,
    roof_cells,
    roof_evidence,
)
from felsina.kernels.pointcloud.ground import SLOPE, WINDOW_M, SmrfSurface, height_above, is_ground, smrf
from felsina.kernels.pointcloud.neighbourhood import local_shape
from felsina.kernels.pointcloud.raster import NO_MIN, bin_lowest, cell_height

HALO_M = max(RADIUS, ISOLATION)  # how far around a point its class looks, but for the roofs, which are counted in cells

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
    return classify(
        points.x, points.y, points.z, points.return_number, points.number_of_returns, surface, cell_mm, vegetation_index(points)
    )


def classify_shared(
    world: World,
    points: Cloud,
    is_mine: NDArray[np.bool_],
    surface: SmrfSurface,
    cell_mm: int,
    seen: NDArray[np.float32] | None = None,
) -> NDArray[np.uint8]:
    """Return the class of the points that this rank owns; what `classify_points` gives for the whole scene. Collective.

    Parameters
    ----------
    points : those that this rank owns and all within `HALO_M` of its tiles [mm in the frame of the grid]
    is_mine : (n,) bool
        Points in cells that this rank owns.
    surface : of the ground filter, over the whole grid
    cell_mm : of the grid [mm]
    seen : (ny, nx) float32
        Vegetation index from images, NaN where unknown: that of points without near infrared of their own.

    Returns
    -------
    (n,) uint8
        The class where `is_mine`, else 0.
    """
    x, y, z = points.x, points.y, points.z
    ndvi = vegetation_index(points) if seen is None else vegetation_index_with(points, seen, cell_mm)
    height = height_above(x, y, z, surface.ground, cell_mm)
    on_ground = is_ground(x, y, z, surface, cell_mm)
    shape = local_shape(x, y, z, round(RADIUS * 1000), round(ISOLATION * 1000), is_mine & ~on_ground)
    leafy = None if ndvi is None else is_leafy(shape, ndvi)
    roof_like = is_roof_like(shape, points.return_number, points.number_of_returns, leafy)
    single = is_single(points.number_of_returns, leafy)
    m = is_mine
    part = x[m], y[m], height[m], on_ground[m]
    counts = roof_evidence(*part, roof_like[m], single[m], cell_mm, *surface.ground.shape)
    high, flat, alone = (world.reduce_exact(c, "sum") for c in counts)
    roof = roof_cells(high, flat, alone, ROOF_AREA / (cell_mm * 1e-3) ** 2)
    found = np.zeros(len(x), np.uint8)
    found[m] = label_points(*part, shape.is_isolated[m], single[m], roof, cell_mm)
    return found


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


def vegetation_index_with(points: Cloud, seen: NDArray[np.float32], cell_mm: int) -> NDArray[np.float32]:
    """Return the (n,) float32 index of each point: its own where it has near infrared, else that of its cell in an image.

    Parameters
    ----------
    points : in the frame of the grid [mm]
    seen : (ny, nx) float32
        Vegetation index from images [1], NaN where unknown.
    cell_mm : of the grid [mm]
    """
    j = np.clip(points.y // cell_mm, 0, seen.shape[0] - 1)
    i = np.clip(points.x // cell_mm, 0, seen.shape[1] - 1)
    found = seen[j, i]
    own = vegetation_index(points)
    return found if own is None else np.where(points.extra["nir"] > 0, own, found)
