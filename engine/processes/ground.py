"""The ground filter over ranks: the stages of SMRF on rows that the ranks share, bit for bit what one process gets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from felsina.engine.grid import BLOCK
from felsina.engine.parallel.device import Device
from felsina.engine.parallel.world import World
from felsina.engine.processes.terrain import fill, on_one_gpu
from felsina.kernels.pointcloud.ground import (
    LOW_OUTLIER_SLOPE,
    SmrfSurface,
    mark_low_outliers,
    mark_objects,
    open_rows,
    remove_objects,
    slope_rows,
    smrf,
    window_cells,
)

FILL_CYCLES = 6  # as `kernels.pointcloud.ground.smrf`, which this must equal


def filter_ground(
    world: World,
    lowest: NDArray[np.float32],
    cell_m: float,
    window_m: float,
    slope: float,
    device: Device | None = None,
) -> SmrfSurface:
    """Return the provisional ground under the lowest points of the whole grid, by all ranks or the GPU of one; collective.

    Parameters
    ----------
    lowest : (ny, nx) float32 shared
        Lowest point of each cell [m], NaN where there is none.
    cell_m, window_m, slope : as in `kernels.pointcloud.ground.smrf`
    device : where kernels run

    Raises
    ------
    InputError
        When no cell has a point.
    """
    shape = (lowest.shape[0], lowest.shape[1])
    if device is not None and device.kind == "gpu":
        kinds = (np.float32, np.float32, np.bool_)
        made = on_one_gpu(world, shape, kinds, device, lambda: smrf(device.put(lowest), cell_m, window_m, slope), "point")
        return SmrfSurface(*made)
    j0, j1 = world.share_of(shape[0], BLOCK)
    mine = [(slice(j0, j1),)]
    surface = _shared_copy(world, fill(world, lowest, "point", FILL_CYCLES))
    is_object = world.shared(shape, np.bool_)
    mark_low_outliers(surface, LOW_OUTLIER_SLOPE * cell_m, j0, j1, is_object)
    world.synchronise(is_object, mine)
    if is_object.any():
        holes = _without_objects(world, surface, surface, is_object)
        surface = _shared_copy(world, fill(world, holes, "point", FILL_CYCLES))
    last, opened, spare = surface, world.shared(shape, np.float32), world.shared(shape, np.float32)
    for radius in range(1, window_cells(window_m, cell_m) + 1):
        if j0 < j1:
            open_rows(last, radius, j0, j1, opened)
            mark_objects(last, opened, slope * cell_m * radius, j0, j1, is_object)
        world.synchronise(opened, mine)
        last, opened = opened, last if radius > 1 else spare
    world.synchronise(is_object, mine)
    holes = _without_objects(world, surface, lowest, is_object)
    ground = _shared_copy(world, fill(world, holes, "ground", FILL_CYCLES))
    steepness = world.shared(shape, np.float32)
    if j0 < j1:
        slope_rows(ground, cell_m, j0, j1, steepness)
    world.synchronise(steepness, mine)
    return SmrfSurface(ground, steepness, is_object)


def _without_objects(
    world: World, surface: NDArray[np.float32], known: NDArray[np.float32], is_object: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Return what `remove_objects` leaves of a surface, as a shared array; each rank writes its share."""
    out: NDArray[np.float32] = world.shared((surface.shape[0], surface.shape[1]), np.float32)
    j0, j1 = world.share_of(surface.shape[0], BLOCK)
    remove_objects(surface, known, is_object, j0, j1, out)
    world.synchronise(out, [(slice(j0, j1),)])
    return out


def _shared_copy(world: World, array: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a shared array that holds an array which every rank has; each rank writes its share."""
    out: NDArray[np.float32] = world.shared((array.shape[0], array.shape[1]), np.float32)
    rows = slice(*world.share_of(array.shape[0], BLOCK))
    out[rows] = array[rows]
    world.synchronise(out, [(rows,)])
    return out
