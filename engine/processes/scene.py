"""The city as the heat of the streets sees it: terrain rasters brought to the grid of surfaces and the grid of air."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from felsina.engine.grid import BLOCK, Grid
from felsina.engine.parallel.world import World
from felsina.kernels.blocks import block_mean, block_mean_where, block_mode, block_share
from felsina.kernels.radiation.obstacles import (
    HEIGHT_BLOCK,
    Obstacles,
    block_cells,
    cells_in_reach,
    height_blocks,
    highest_in_reach,
    highest_of_blocks,
    split_heights,
)

ROOF_STEP = 1.0  # m above ground from which a cell of the surface model is a building
BUILDING_COVER = 2  # UMEP

ReadRows = Callable[[str, slice], NDArray[Any]]


@dataclass(frozen=True)
class Scene:
    """City-wide rasters that all ranks of a node see.

    Fine grid (ny, nx): surface and ground [m], block cells of the horizon scan, building mask, UMEP land cover, crown top and
    base [m]. Air grid (ny / r, nx / r): solid layers of each column and building height [m].
    """

    resolution: float
    ratio: int
    surface: NDArray[np.float32]
    is_block: NDArray[np.bool_]
    is_building: NDArray[np.bool_]
    land_cover: NDArray[np.int8]
    canopy_top: NDArray[np.float32]
    canopy_base: NDArray[np.float32]
    roof_layer: NDArray[np.int32]
    building_height: NDArray[np.float32]


def build_scene(world: World, terrain: Grid, surfaces: Grid, air: Grid, layer_m: float, n_layer: int, read: ReadRows) -> Scene:
    """Bring the terrain to the grids of surfaces and air; every rank does its share of the rows.

    A coarse cell is a building where at least half of it is; it then has the mean height of its roofs, else of its ground. An
    air column is solid up to the mean height of the buildings in it where they cover at least half of it.

    Parameters
    ----------
    terrain, surfaces, air : nested grids, fine to coarse
    layer_m, n_layer : thickness [m] and number of air layers
    read : returns rows of a field of terrain.nc, whole width
    """
    factor, ratio = round(surfaces.resolution / terrain.resolution), round(air.resolution / surfaces.resolution)
    shape = surfaces.shape
    surface, top = world.shared(shape, np.float32), world.shared(shape, np.float32)
    base, building = world.shared(shape, np.float32), world.shared(shape, np.bool_)
    cover = world.shared(shape, np.int8)
    height = world.shared(shape, np.float32)
    j0, j1 = world.share_of(shape[0], BLOCK * ratio)
    if j0 < j1:
        rows = slice(j0 * factor, j1 * factor)
        ground, model = read("ground_elevation", rows), read("surface_elevation", rows)
        canopy, codes = read("canopy_height", rows), read("land_cover", rows)
        canopy_base = read("canopy_base_height", rows)
        roof = model - ground > np.float32(ROOF_STEP)
        is_building = block_share(roof, factor) >= np.float32(0.5)
        floor = block_mean(ground, factor)
        building[j0:j1] = is_building
        surface[j0:j1] = np.where(is_building, np.nan_to_num(block_mean_where(model, roof, factor)), floor)
        height[j0:j1] = np.where(is_building, surface[j0:j1] - floor, np.float32(0.0))
        # Under a building's edge the code of the street may be the more frequent one.
        cover[j0:j1] = np.where(is_building, np.int8(BUILDING_COVER), block_mode(np.where(roof, np.int8(0), codes), factor))
        cover[j0:j1][(cover[j0:j1] == 0) | (~is_building & (cover[j0:j1] == BUILDING_COVER))] = 1
        has_crown = (block_share(canopy > 0, factor) >= np.float32(0.5)) & ~is_building
        crown = np.where(has_crown, np.nan_to_num(block_mean_where(canopy, canopy > 0, factor)), np.float32(0.0))
        below = np.where(has_crown, np.nan_to_num(block_mean_where(canopy_base, canopy > 0, factor)), np.float32(0.0))
        top[j0:j1] = np.where(has_crown, floor + crown, np.float32(np.nan))
        base[j0:j1] = np.where(has_crown, floor + below, np.float32(np.nan))
    written = [(slice(j0, j1),)]
    for array in (surface, top, base, building, cover, height):
        world.synchronise(array, written)
    # Block cells look at neighbours, so they follow once all rows are there.
    is_block = block_cells((surface / np.float32(surfaces.resolution)).astype(np.float32), building)
    share = block_share(building, ratio)
    mean = np.nan_to_num(block_mean_where(height, building, ratio))
    solid = share >= np.float32(0.5)
    highest = n_layer - 1  # the wind needs an open layer above every roof
    layers = np.where(solid, np.clip(np.rint(mean / np.float32(layer_m)), 1, highest), 0).astype(np.int32)
    return Scene(
        resolution=surfaces.resolution,
        ratio=ratio,
        surface=surface,
        is_block=is_block,
        is_building=building,
        land_cover=cover,
        canopy_top=top,
        canopy_base=base,
        roof_layer=layers,
        building_height=np.where(solid, mean, np.float32(0.0)).astype(np.float32),
    )


def covered_columns(world: World, terrain: Grid, air: Grid, read: ReadRows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """List the air columns that each building touches.

    Returns
    -------
    building, column : (n,) int64
        Row of the building table and flat index in (ny, nx) of the air grid; each pair once, by building, then column.
    """
    factor = round(air.resolution / terrain.resolution)
    j0, j1 = world.share_of(air.ny, BLOCK)
    pairs = np.zeros(0, np.int64)
    if j0 < j1:
        index = read("building_index", slice(j0 * factor, j1 * factor))
        j, i = np.nonzero(index >= 0)
        column = (j // factor + j0) * air.nx + i // factor
        pairs = np.unique(index[j, i].astype(np.int64) * (air.nx * air.ny) + column)
    every = np.unique(np.concatenate(world.allgather(pairs)))
    return every // (air.nx * air.ny), every % (air.nx * air.ny)


def city_obstacles(world: World, scene: Scene, max_distance: float) -> Obstacles:
    """Prepare the city for all marches up to a distance [m], once per node: every rank does its share of the rows."""
    shape = scene.surface.shape
    faces, ground = world.shared(shape, np.float32), world.shared(shape, np.float32)
    blocks = world.shared(height_blocks(shape), np.float32)
    j0, j1 = world.share_of(shape[0], HEIGHT_BLOCK)
    b0, b1 = j0 // HEIGHT_BLOCK, -(-j1 // HEIGHT_BLOCK)
    split_heights(scene.surface, scene.is_block, faces, ground, (j0, j1))
    highest_of_blocks(faces, ground, scene.canopy_top, blocks, (b0, b1))
    world.synchronise(faces, [(slice(j0, j1),)])
    world.synchronise(ground, [(slice(j0, j1),)])
    world.synchronise(blocks, [(slice(b0, b1),)])
    reach = cells_in_reach(scene.resolution, max_distance)
    return Obstacles(faces, ground, scene.canopy_top, scene.canopy_base, highest_in_reach(blocks, reach), reach)
