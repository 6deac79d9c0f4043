"""Terrain from binned points: ground, surface (ground + buildings, vegetation removed), canopy and land cover.

Everything is defined on the whole grid of the city, in arrays that the ranks of a node share. Points are binned by the owner of
their cell; each later step works on a rank's share of the rows, and no cell depends on where shares or tiles are cut.

With GPUs, points are binned on that of their owner, and one GPU fills the whole grid: it has the bandwidth of many processors,
and ranks that shared the rows would send each other every step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from felsina.engine.errors import InputError
from felsina.engine.grid import BLOCK
from felsina.engine.parallel.device import CpuDevice, Device
from felsina.engine.parallel.world import Window, World
from felsina.kernels.pointcloud.gaps import CYCLES, GapFilling, fill_gaps
from felsina.kernels.pointcloud.raster import (
    NO_MAX,
    NO_MIN,
    bin_highest,
    bin_lowest,
    bin_sums,
    cell_height,
    cell_mean,
    hide_others,
)

ROOF_MIN_HEIGHT = 1.5  # m above ground; a building return below it (a low wall, the edge of a car port) does not hide the sky
CANOPY_MIN_HEIGHT = 2.0  # m above ground; lower plants shade nobody who stands
CANOPY_MIN_CELLS = 3  # of the 3 x 3 around a cell: fewer is a lamp post or a stray return, not a crown
ROOF_MIN_POINTS = 5  # roof returns below which a footprint stays ground: nothing says how high it is

# ASPRS classes. Water returns lie on the terrain's surface.
GROUND, WATER, BUILDING = 2, 9, 6
VEGETATION = (3, 4, 5)
UNCLASSIFIED = (0, 1)
# UMEP land cover
PAVED, BUILDING_COVER, GRASS = 1, 2, 5


@dataclass
class PointRasters:
    """What the points say about each cell, as exact integers that the ranks of a node share; all (ny, nx).

    lowest, highest [mm] of all points; sum [mm] and count of ground returns and of building returns; top [mm] and count of
    vegetation and of unclassified returns.
    """

    lowest: NDArray[np.int32]
    highest: NDArray[np.int32]
    count: NDArray[np.int32]
    ground_sum: NDArray[np.int64]
    ground_count: NDArray[np.int32]
    building_sum: NDArray[np.int64]
    building_count: NDArray[np.int32]
    vegetation_top: NDArray[np.int32]
    vegetation_count: NDArray[np.int32]
    other_top: NDArray[np.int32]
    other_count: NDArray[np.int32]

    @classmethod
    def empty(cls, world: World, shape: tuple[int, int]) -> PointRasters:
        """Return the rasters before the first point; collective."""
        fills = {"lowest": (np.int32, int(NO_MIN)), "ground_sum": (np.int64, 0), "building_sum": (np.int64, 0)}
        tops = dict.fromkeys(("highest", "vegetation_top", "other_top"), (np.int32, int(NO_MAX)))
        return cls(**{name: world.shared(shape, *(fills | tops).get(name, (np.int32, 0))) for name in cls.__dataclass_fields__})

    def clear_classes(self, world: World) -> None:
        """Forget the classes binned so far; collective. Heights stay."""
        rows = slice(*world.share_of(len(self.count)))
        for name in ("ground", "building"):
            getattr(self, f"{name}_sum")[rows], getattr(self, f"{name}_count")[rows] = 0, 0
        for name in ("vegetation", "other"):
            getattr(self, f"{name}_top")[rows], getattr(self, f"{name}_count")[rows] = NO_MAX, 0
        self.synchronise(world, [(rows,)])

    def synchronise(self, world: World, windows: Sequence[Window]) -> None:
        """Show every rank what the owners wrote; collective."""
        for array in vars(self).values():
            world.synchronise(array, windows)

    def release(self, world: World) -> None:
        """Give the memory back; collective."""
        for array in vars(self).values():
            world.release(array)


class Binning:
    """Bins points into rasters: at once on the processor, or on a GPU, which holds the part of the rasters that the rank owns.

    Parameters
    ----------
    device : Device
    rasters : PointRasters
    windows : that this rank owns
    cell_mm : [mm]
    """

    def __init__(self, device: Device, rasters: PointRasters, windows: Sequence[Window], cell_mm: int) -> None:
        self._device, self._rasters, self._windows, self._cell_mm = device, rasters, windows, cell_mm
        self._j0 = self._i0 = 0
        self._held = rasters
        if device.kind == "gpu":
            rows, columns = ([w[axis] for w in windows] for axis in (0, 1))
            self._j0, self._i0 = (min((s.start for s in part), default=0) for part in (rows, columns))
            j1, i1 = (max((s.stop for s in part), default=0) for part in (rows, columns))
            part = {name: device.put(a[self._j0 : j1, self._i0 : i1]) for name, a in vars(rasters).items()}
            self._held = PointRasters(**part)

    def add_heights(self, x: NDArray[Any], y: NDArray[Any], z: NDArray[np.int32]) -> None:
        """Bin the extremes of all points: x east and y south of the grid's corner [mm], z [mm], in cells this rank owns."""
        held = self._held
        points = self._put(x, y, z)
        bin_lowest(*points, held.lowest)
        bin_highest(*points, held.highest, held.count)

    def add_classes(self, x: NDArray[Any], y: NDArray[Any], z: NDArray[np.int32], classification: NDArray[np.uint8]) -> None:
        """Bin classified points, in cells this rank owns."""
        held, put = self._held, self._device.put
        x, y, z, cell = self._put(x, y, z)
        classification, shown = put(classification), self._device.empty(x.shape, x.dtype)
        for classes, add, into in (
            ((GROUND, WATER), bin_sums, (held.ground_sum, held.ground_count)),
            ((BUILDING,), bin_sums, (held.building_sum, held.building_count)),
            (VEGETATION, bin_highest, (held.vegetation_top, held.vegetation_count)),
            (UNCLASSIFIED, bin_highest, (held.other_top, held.other_count)),
        ):
            hide_others(x, classification, put(np.isin(np.arange(256), classes)), shown)
            add(shown, y, z, cell, *into)

    def _put(self, x: NDArray[Any], y: NDArray[Any], z: NDArray[np.int32]) -> tuple[Any, Any, Any, int]:
        if self._held is self._rasters:
            return x, y, z, self._cell_mm
        put, cell = self._device.put, self._cell_mm
        return put(x - x.dtype.type(self._i0 * cell)), put(y - y.dtype.type(self._j0 * cell)), put(z), cell

    def finish(self, world: World) -> None:
        """Show every rank what was binned, and leave the GPU's memory to what follows; the last call. Collective."""
        if self._held is not self._rasters:
            held, self._held = self._held, self._rasters
            for name, array in vars(held).items():
                part, whole = self._device.get(array), getattr(self._rasters, name)
                for rows, columns in self._windows:
                    j, i = rows.start - self._j0, columns.start - self._i0
                    whole[rows, columns] = part[j : rows.stop - self._j0, i : columns.stop - self._i0]
        self._rasters.synchronise(world, self._windows)


def lowest_return(world: World, points: PointRasters) -> NDArray[np.float32]:
    """Return the lowest return of each cell [m], NaN where there is none; shared."""
    return _shared_rows(world, points.lowest.shape, lambda r: cell_height(points.lowest[r], points.count[r]))


def highest_return(points: PointRasters) -> NDArray[np.float32]:
    """Return the highest return of each cell [m], NaN where there is none."""
    return cell_height(points.highest, points.count)


def fill(
    world: World, grid: NDArray[np.float32], what: str, cycles: int = CYCLES, device: Device | None = None
) -> NDArray[np.float32]:
    """Fill the void (NaN) cells of a shared raster harmonically, all ranks together or on the GPU of one.

    Parameters
    ----------
    grid : (ny, nx) float32 shared
    what : the name of the thing in the error
    cycles : of the multigrid
    device : where kernels run

    Returns
    -------
    (ny, nx) float32
        The filled raster, whole on every rank.

    Raises
    ------
    InputError
        When no cell is valid.
    """
    device = device or CpuDevice()
    if device.kind == "gpu":
        (filled,) = on_one_gpu(world, grid.shape, (np.float32,), device, lambda: (fill_gaps(device.put(grid), cycles),), what)
        return filled
    taken: list[NDArray[Any]] = []

    def allocate(shape: tuple[int, int], dtype: Any) -> NDArray[Any]:
        taken.append(world.shared(shape, dtype))
        return taken[-1]

    try:
        filling = GapFilling(grid, cycles, allocate)
    except ValueError as error:
        raise _nothing_of(what) from error
    for step in filling.steps():
        j0, j1 = world.share_of(step.n_row)
        if j0 < j1:
            step.run(j0, j1)
        world.synchronise(step.written, [(slice(j0, j1),)] if j0 < j1 else [])
    filled = filling.filled()
    for array in taken:
        world.release(array)
    return filled


def on_one_gpu(
    world: World,
    shape: tuple[int, ...],
    kinds: Sequence[Any],
    device: Device,
    compute: Callable[[], Sequence[Any]],
    what: str,
) -> list[NDArray[Any]]:
    """Let the GPU of the root compute rasters of the whole grid; collective.

    Parameters
    ----------
    shape, kinds : of the rasters
    device : of this rank
    compute : makes the rasters on the device; called on the root
    what : the name of the thing in the error

    Returns
    -------
    list of arrays
        Shared, whole on every rank.

    Raises
    ------
    InputError
        When `compute` finds no valid cell.
    """
    out = [world.shared(shape, kind) for kind in kinds]

    def work() -> None:
        try:
            with device.guard(f"{what} on {shape[0]:,} x {shape[1]:,} cells"):
                made = compute()
        except ValueError as error:
            raise _nothing_of(what) from error
        for array, target in zip(made, out, strict=True):
            device.get(array, target)

    world.on_root(work)
    for array in out:
        world.synchronise(array, [(slice(0, shape[0]),)] if world.is_root else [])
    return out


def _nothing_of(what: str) -> InputError:
    return InputError(f"There is no {what} in the scene: no cell to start from. Check the points and their classes.")


def ground_elevation(world: World, points: PointRasters, device: Device | None = None) -> NDArray[np.float32]:
    """Return the ground [m]: the mean of the ground returns of a cell, harmonic between them.

    Returns
    -------
    (ny, nx) float32 without voids
    """
    return fill(
        world,
        _shared_rows(world, points.lowest.shape, lambda r: cell_mean(points.ground_sum[r], points.ground_count[r])),
        "ground",
        device=device,
    )


def roof_cells(
    world: World, points: PointRasters, ground: NDArray[np.float32], building_index: NDArray[np.int32], n_building: int
) -> NDArray[np.bool_]:
    """Mark the cells that a building covers: those of footprints that hold roof returns, and of roofs without a footprint.

    Parameters
    ----------
    ground : (ny, nx) float32 [m]
    building_index : (ny, nx) int32, -1 outside footprints
    n_building : number of footprints

    Returns
    -------
    (ny, nx) bool
    """
    rows = slice(*world.share_of(len(ground), BLOCK))
    inside = building_index[rows] >= 0
    returns = np.zeros(n_building + 1, np.int64)
    np.add.at(returns, building_index[rows][inside], points.building_count[rows][inside].astype(np.int64))
    world.reduce_exact(returns, "sum")
    height = cell_mean(points.building_sum, points.building_count) - ground
    alone = (building_index < 0) & (points.building_count > 0) & (np.nan_to_num(height, nan=0.0) >= ROOF_MIN_HEIGHT)
    return ((building_index >= 0) & (returns[building_index] >= ROOF_MIN_POINTS)) | alone


def surface_elevation(
    world: World,
    points: PointRasters,
    ground: NDArray[np.float32],
    is_roof: NDArray[np.bool_],
    device: Device | None = None,
) -> NDArray[np.float32]:
    """Return ground and roofs [m], vegetation removed: the mean of the roof returns of a cell, harmonic between them.

    A roof cell without returns is filled from the roof cells around it, never from the street.
    """
    if not is_roof.any():
        return ground.copy()
    known = is_roof & (points.building_count > 0)

    def rows(r: slice) -> NDArray[np.float32]:
        return np.where(known[r], cell_mean(points.building_sum[r], points.building_count[r]), np.float32(np.nan))

    roof = fill(world, _shared_rows(world, ground.shape, rows), "roof", device=device)
    return np.where(is_roof, np.maximum(roof, ground), ground).astype(np.float32)


def canopy_height(
    points: PointRasters, ground: NDArray[np.float32], is_roof: NDArray[np.bool_], has_vegetation: bool
) -> NDArray[np.float32]:
    """Return the height of the vegetation above ground [m], 0 where there is none and on roofs.

    Vegetation is what the file classifies so. Files without vegetation classes (AHN) leave it unclassified: there, returns at
    least `CANOPY_MIN_HEIGHT` above ground that are no building.
    """
    top, count = (points.vegetation_top, points.vegetation_count) if has_vegetation else (points.other_top, points.other_count)
    height = np.nan_to_num(cell_height(top, count) - ground, nan=0.0)
    height[is_roof | (height < CANOPY_MIN_HEIGHT)] = 0.0
    near = np.zeros(height.shape, np.uint8)
    padded = np.pad((height > 0).astype(np.uint8), 1)
    for dj in range(3):
        for di in range(3):
            near += padded[dj : dj + height.shape[0], di : di + height.shape[1]]
    height[near < CANOPY_MIN_CELLS] = 0.0
    return height.astype(np.float32)


def land_cover(
    shape: tuple[int, int],
    layers: Sequence[tuple[int, NDArray[np.bool_]]],
    building_index: NDArray[np.int32],
    canopy: NDArray[np.float32],
    seen: NDArray[np.int8] | None = None,
) -> NDArray[np.int8]:
    """Return the UMEP land cover: the given layers in order, later ones on top, and buildings on all.

    Where no layer says anything it is as `seen` from above, (ny, nx) int8 with 0 where nothing was seen; else the ground is
    paved and, without any layer, grass under crowns. A crown hides its ground: what is seen there counts where it is green.
    """
    cover = np.full(shape, PAVED, np.int8)
    if not layers:
        cover[canopy > 0] = GRASS
    if seen is not None:
        np.copyto(cover, seen, where=(seen == GRASS) | ((seen > 0) & (canopy <= 0)))
    for code, member in layers:
        cover[member] = code
    cover[building_index >= 0] = BUILDING_COVER
    return cover


def _shared_rows(world: World, shape: tuple[int, ...], rows: Any) -> NDArray[np.float32]:
    """Return a shared raster whose rows each rank computes for its share."""
    out: NDArray[np.float32] = world.shared((shape[0], shape[1]), np.float32)
    mine = slice(*world.share_of(shape[0], BLOCK))
    out[mine] = rows(mine)
    world.synchronise(out, [(mine,)])
    return out
