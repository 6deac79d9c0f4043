"""Make ground, surface (ground + buildings), canopy, trees, land cover and building index from the points."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from felsina.engine.city import LAND_COVER_LAYERS, City
from felsina.engine.driver import JobContext, JobSpec
from felsina.engine.errors import InputError
from felsina.engine.fields import LAND_COVER, fields_of
from felsina.engine.footprints import city_footprints
from felsina.engine.grid import BLOCK, Grid
from felsina.engine.io.imagery import Image, open_image, read_targets
from felsina.engine.io.las import PointFile, Points, scan_headers
from felsina.engine.io.raster import Raster, read_raster
from felsina.engine.io.results import ProductWriter
from felsina.engine.io.vector import rasterise, read_polygons
from felsina.engine.parallel.partition import Partition
from felsina.engine.parallel.world import Window
from felsina.engine.processes.classify import HALO_M, classify_shared
from felsina.engine.processes.ground import filter_ground
from felsina.engine.processes.identity import PointDigest, features_digest, footprints_digest
from felsina.engine.processes.imagery import ImageRasters, PointIndex, cover_from_ndvi, image_rasters
from felsina.engine.processes.ingest import Ingested, concatenated, ingest, route
from felsina.engine.processes.quality import Finding
from felsina.engine.processes.references import stated_vertical, vertical_figures
from felsina.engine.processes.strips import COLUMNS as STRIP_COLUMNS
from felsina.engine.processes.strips import StripCheck, strip_figures
from felsina.engine.processes.terrain import (
    BUILDING,
    GROUND,
    VEGETATION,
    Binning,
    PointRasters,
    canopy_height,
    ground_elevation,
    highest_return,
    land_cover,
    lowest_return,
    roof_cells,
    surface_elevation,
)
from felsina.engine.processes.trees import KeptPoints, ReturnTally, close_canopy, find_crowns, measure_trees
from felsina.engine.record import file_sha256
from felsina.jobs.common import (
    digests,
    footprint_files,
    image_files,
    landcover_files,
    point_files,
    product_identity,
    tile_cells,
)
from felsina.jobs.run import single_job

_COLUMNS = ("red", "nir")  # of points, for the vegetation index


def _inputs(city: City) -> list[Path]:
    images = [path for _, path in image_files(city)]
    targets = city.files([city.imagery.targets]) if images and city.imagery.targets else []
    return [*point_files(city), *footprint_files(city), *landcover_files(city).values(), *images, *targets]


def run(context: JobContext) -> dict[str, Any]:
    """Bin the points, filter the ground where classes are not trusted, and publish terrain.nc; returns figures."""
    city, world = context.city, context.world
    headers: list[PointFile] = world.on_root(lambda: scan_headers(point_files(city), city.city.crs))
    grid = scene_grid(city, headers)
    partition = Partition.of(grid.shape, tile_cells(context, grid), world.size)
    windows: list[Window] = [t.window for t in partition.tiles_of(world.rank)]
    cell_mm = round(grid.resolution * 1000)
    rasters = PointRasters.empty(world, grid.shape)
    binning = Binning(context.device, rasters, windows, cell_mm)
    images: list[Image] = world.on_root(lambda: [open_image(path, kind, grid.crs) for kind, path in image_files(city)])
    digest, kept, index_of_points = PointDigest(), KeptPoints(), PointIndex(world, headers, images, grid)
    strips = StripCheck(grid)
    progress = context.progress("points", sum(h.count for h in headers), "points")
    uses_classes = city.points.use_classes

    def take(points: Points) -> None:
        binning.add_heights(points.x, points.y, points.z)
        if uses_classes:
            binning.add_classes(points.x, points.y, points.z, points.classification)
            strips.add(points, points.classification == GROUND)
        digest.add(points)
        index_of_points.add(points)
        points.extra.clear()
        kept.add(points)
        progress.advance(len(points) * world.size)

    with context.timer("points"):
        read = ingest(world, headers, grid, take, partition, (*index_of_points.columns, *STRIP_COLUMNS))
        binning.finish(world)
        ndvi = index_of_points.finish(windows)
    progress.close()
    seen = None
    if images:
        with context.timer("imagery"):
            seen = _seen(context, grid, images, rasters)
        ndvi = seen.ndvi if seen.ndvi is not None else ndvi
    for remark in (*read.notes, *_remarks(read)):
        context.note(remark)
    trusts_classes = uses_classes and bool(read.classes[GROUND] and read.classes[BUILDING])
    if not trusts_classes:
        with context.timer("ground filter"):
            strips.clear()
            _classify(context, headers, grid, partition, rasters, windows, strips, seen.ndvi if seen else None)
        context.note(
            "Ground, buildings and vegetation were classified here: the files have no class of ground or none of buildings, or "
            "points.use_classes is false."
        )
    with context.timer("ground"):
        ground = ground_elevation(world, rasters, context.device)
    with context.timer("footprints"):
        index, n_building, identity = _building_index(context, grid, rasters)
    with context.timer("surface"):
        is_roof = roof_cells(world, rasters, ground, index, n_building)
        surface = surface_elevation(world, rasters, ground, is_roof, context.device)
        has_vegetation = not trusts_classes or any(read.classes[c] for c in VEGETATION)
        canopy = canopy_height(rasters, ground, is_roof, has_vegetation)
    with context.timer("trees"):
        canopy = close_canopy(world, canopy, (rasters.count == 0) & ~is_roof)
        crowns = find_crowns(world, canopy, grid.resolution)
        tally = ReturnTally(world, crowns, ground, windows, cell_mm)

        def count(points: Points) -> None:
            tally.add(points, points.classification if trusts_classes else np.zeros(len(points), np.uint8))

        batches = kept.batches(world)
        if batches is None:
            ingest(world, headers, grid, count, partition)
        for batch in batches or []:
            count(batch)
        trees, vegetation, refused = measure_trees(world, crowns, tally, grid)
        tally.release(world)
    with context.timer("land cover"):
        told = seen.cover if seen else cover_from_ndvi(ndvi) if ndvi is not None else None
        cover, layers = _land_cover(context, grid, index, canopy, told)
    files = {"points": digest.over(world), **identity, **layers, **_image_digests(context)}
    writer = ProductWriter(
        world,
        context.run.path,
        "terrain",
        dims={"y": grid.ny, "x": grid.nx, "tree": len(trees)},
        crs=grid.crs,
        coordinates={"x": grid.x, "y": grid.y},
        attrs={"point_classes": "input" if trusts_classes else "felsina", **(seen.attributes() if seen else {})},
        writer=city.execution.writer,
        precision={k: v for k, v in city.output.precision.items() if k in fields_of("terrain")},
        **product_identity(context, SPEC, files),
    )
    maps: dict[str, NDArray[Any]] = {
        "ground_elevation": ground,
        "surface_elevation": surface,
        "canopy_height": canopy,
        "land_cover": cover,
        "building_index": index,
        "ground_point_count": rasters.ground_count,
        "building_point_count": rasters.building_count,
        "first_return_elevation": highest_return(rasters),
        "tree_index": vegetation.index,
        "canopy_base_height": vegetation.base,
        "leaf_area_index": vegetation.leaf_area_index,
    }
    if ndvi is not None:
        maps["ndvi"] = ndvi
    if seen is not None:
        maps["surface_albedo"] = seen.albedo
    for tile in partition.tiles_of(world.rank):
        for name, values in maps.items():
            writer.write(name, values[tile.window], (tile.j0, tile.i0))
    if world.is_root:
        for name, values in trees.columns().items():
            writer.write(name, values)
    with context.timer("publish"):
        writer.publish()
    quality = _checks(context, headers, strips)
    filled = rasters.ground_count[slice(*world.share_of(grid.ny))] == 0
    void = world.reduce_exact(np.array([np.count_nonzero(filled)], np.int64), "sum")
    rasters.release(world)
    return {
        "points": read.n_point,
        "points_kept": read.n_kept,
        **{f"points_{reason}": n for reason, n in read.dropped.items()},
        "cells": grid.nx * grid.ny,
        "cells_without_ground_points": int(void[0]),
        "footprints": n_building,
        "trees": len(trees),
        **{f"crowns_{reason}": n for reason, n in refused.items() if n},
        "quality": quality,
    }


def _checks(context: JobContext, headers: list[PointFile], strips: StripCheck) -> dict[str, Any]:
    """Tell how well the flight strips agree and what the files say of their heights."""
    world, limit = context.world, context.city.quality.strip_misfit_m
    misfit, sentences = strip_figures(*strips.over(world), limit)

    def vertical() -> Finding:
        return vertical_figures([stated_vertical(h.path) for h in headers], [h.path.name for h in headers])

    stated = world.on_root(vertical)
    for sentence in (*sentences, *stated.notes):
        context.note(sentence)
    return {"strips": misfit, "vertical": stated.figures}


def scene_grid(city: City, headers: list[PointFile]) -> Grid:
    """Return the grid that covers all points and the margin."""
    bounds = np.array([h.bounds for h in headers if h.bounds is not None])
    margin = city.terrain.margin_m
    box = (*(bounds[:, :2].min(axis=0) - margin).tolist(), *(bounds[:, 2:].max(axis=0) + margin).tolist())
    grid = Grid.covering(headers[0].crs, box, city.terrain.resolution_m, city.terrain.snap_m)
    if grid.nx * grid.ny > 2**31:
        raise InputError(
            f"The points span {grid.nx:,} x {grid.ny:,} cells of {grid.resolution} m. A file far from the others may be in "
            "another CRS; else take a coarser terrain.resolution_m."
        )
    return grid


def _classify(
    context: JobContext,
    headers: list[PointFile],
    grid: Grid,
    partition: Partition,
    rasters: PointRasters,
    windows: list[Window],
    strips: StripCheck,
    seen: NDArray[np.float32] | None,
) -> None:
    """Label the points that this rank owns and bin them by class; a second pass over the files.

    `seen` is the vegetation index from images, (ny, nx).
    """
    world, city = context.world, context.city
    cell_mm = round(grid.resolution * 1000)
    options = city.terrain
    lowest = lowest_return(world, rasters)
    surface = filter_ground(world, lowest, grid.resolution, options.window_m, options.slope, context.device)
    parts: list[Points] = []

    def take(points: Points) -> None:
        parts.append(route(world, partition, grid, points, HALO_M))

    columns = (*_COLUMNS, *STRIP_COLUMNS)
    ingest(world, headers, grid, take, None, columns)
    cloud = concatenated(parts, columns)
    parts.clear()
    is_mine = partition.owner(cloud.y // cell_mm, cloud.x // cell_mm) == world.rank
    classes = classify_shared(world, cloud, is_mine, surface, cell_mm, seen)
    rasters.clear_classes(world)
    binning = Binning(context.device, rasters, windows, cell_mm)
    binning.add_classes(cloud.x[is_mine], cloud.y[is_mine], cloud.z[is_mine], classes[is_mine])
    strips.add(cloud.take(is_mine), classes[is_mine] == GROUND)
    binning.finish(world)


def _building_index(context: JobContext, grid: Grid, rasters: PointRasters) -> tuple[NDArray[np.int32], int, dict[str, str]]:
    """Return the row of the building table in each cell, -1 outside, the number of rows, and the digest of a footprint file."""
    world, city = context.world, context.city
    file = next(iter(footprint_files(city)), None)
    footprints, derived = world.on_root(lambda: city_footprints(file, city.footprints, grid, lambda: rasters.building_count))
    for remark in footprints.notes:
        context.note(remark)
    index: NDArray[np.int32] = world.shared(grid.shape, np.int32, -1)
    j0, j1 = world.share_of(grid.ny, BLOCK)
    if j0 < j1 and len(footprints):
        index[j0:j1] = rasterise(footprints.geometry, grid.west, grid.north, grid.resolution, grid.nx, grid.ny, j0, j1)
    world.synchronise(index, [(slice(j0, j1),)])
    return index, len(footprints), {} if derived else {"footprints": footprints_digest(footprints)}


def _seen(context: JobContext, grid: Grid, images: list[Image], rasters: PointRasters) -> ImageRasters:
    """Bring the images of the city to the grid."""
    city, world = context.city, context.world
    options = city.imagery
    targets = world.on_root(lambda: read_targets(city.files([options.targets])[0]) if options.targets else [])
    made = image_rasters(world, grid, images, rasters.count, options.gain, options.offset, targets)
    for remark in made.notes:
        context.note(remark)
    return made


def _image_digests(context: JobContext) -> dict[str, str]:
    """Return the digests of images by kind, whatever the order and the names of the files, and of their targets."""
    city, world = context.city, context.world
    files = image_files(city)
    if not files:
        return {}
    mine = {k: file_sha256(path) for k, (_, path) in list(enumerate(files))[world.rank :: world.size]}
    every = {k: text for part in world.allgather(mine) for k, text in part.items()}
    found = {}
    for kind in sorted({kind for kind, _ in files}):
        texts = sorted(every[k] for k, (of, _) in enumerate(files) if of == kind)
        found[f"imagery.{kind}"] = texts[0] if len(texts) == 1 else hashlib.sha256("".join(texts).encode()).hexdigest()
    if city.imagery.targets:
        found |= digests(context, {"imagery.targets": city.files([city.imagery.targets])[0]})
    return found


def _land_cover(
    context: JobContext,
    grid: Grid,
    index: NDArray[np.int32],
    canopy: NDArray[np.float32],
    seen: NDArray[np.int8] | None,
) -> tuple[NDArray[np.int8], dict[str, str]]:
    """Return the land cover of the whole grid from the city's layers or raster, else as seen, and digests of their files."""
    world, city = context.world, context.city
    files = landcover_files(city)
    layers: list[tuple[int, NDArray[np.bool_]]] = []
    identity: dict[str, str] = {}
    rows = world.share_of(grid.ny, BLOCK)
    for kind, code in LAND_COVER_LAYERS.items():
        if kind in files:
            polygons, notes = world.on_root(lambda path=files[kind]: read_polygons(path, grid.crs))  # type: ignore[misc]
            for remark in notes:
                context.note(remark)
            identity[f"landcover.{kind}"] = features_digest(polygons)
            member: NDArray[np.bool_] = world.shared(grid.shape, np.bool_)
            if rows[0] < rows[1]:
                member[slice(*rows)] = rasterise(polygons, grid.west, grid.north, grid.resolution, grid.nx, grid.ny, *rows) >= 0
            world.synchronise(member, [(slice(*rows),)])
            layers.append((code, member))
    if "raster" in files:
        identity |= digests(context, {"landcover.raster": files["raster"]})
        codes = world.on_root(lambda: land_cover_on(grid, read_raster(files["raster"], grid.crs), files["raster"].name))
        layers += [(int(code), codes == code) for code in np.unique(codes) if code]
    return land_cover(grid.shape, layers, index, canopy, seen), identity


def land_cover_on(grid: Grid, raster: Raster, name: str) -> NDArray[np.int8]:
    """Return the codes of a land-cover raster at the cell centres of the grid; 0 where it has none.

    Raises
    ------
    InputError
        For a code that is no UMEP land cover.
    """
    values = np.nan_to_num(np.asarray(raster.values, np.float64), nan=0.0)
    known = np.isin(values, [0, *LAND_COVER])
    if not known.all():
        raise InputError(
            f"The land-cover raster '{name}' has the code {values[~known][0]:g}; UMEP codes are "
            f"{', '.join(map(str, LAND_COVER))}. Reclassify it."
        )
    i = np.floor((grid.x - raster.west) / raster.resolution).astype(np.int64)
    j = np.floor((raster.north - grid.y) / raster.resolution).astype(np.int64)
    inside = ((j >= 0) & (j < values.shape[0]))[:, None] & ((i >= 0) & (i < values.shape[1]))[None, :]
    picked = values[np.clip(j, 0, values.shape[0] - 1)][:, np.clip(i, 0, values.shape[1] - 1)]
    return np.where(inside, picked, 0).astype(np.int8)


def _remarks(read: Ingested) -> list[str]:
    """Return what the record should say of the points that were left out or looked odd."""
    words = {
        "noise": "points of noise classes were left out",
        "withheld": "points that the files withhold were left out",
        "overlap": "points flagged as overlap were kept",
    }
    return [f"{n:,} {words[reason]}." for reason, n in read.dropped.items() if n]


SPEC = JobSpec(
    name="terrain",
    product="terrain",
    sections=("city", "points", "footprints", "landcover", "imagery", "terrain", "output"),
    needs=(),
    inputs=_inputs,
    run=run,
)

configure, main = single_job("terrain")
