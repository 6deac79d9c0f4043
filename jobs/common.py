"""What several jobs need: the inputs of a city by kind, and the identity that a product carries."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from felsina.engine.city import City
from felsina.engine.driver import JobContext, JobSpec, scientific_config
from felsina.engine.errors import UsageError
from felsina.engine.grid import Grid
from felsina.engine.io.imagery import ORDERS
from felsina.engine.record import file_sha256

_LARGEST_TILE_M = 500.0
_TILES_PER_RANK = 4  # enough to share the work evenly, few enough to spend no time on edges

# Options that name files: what is in a file counts, not what it is called, and a product never holds a path.
_PATHS = {
    ("points", "files"),
    ("footprints", "file"),
    ("landcover", "raster"),
    ("weather", "file"),
    *(("imagery", name) for name in (*ORDERS, "targets")),
}


def point_files(city: City) -> list[Path]:
    """Return the point files of a city, sorted; an error without any."""
    if not city.points.files:
        raise UsageError("The city file has no [points] files. Name the LAS, LAZ or COPC files: files = ['tiles/*.laz'].")
    return city.files(city.points.files)


def footprint_files(city: City) -> list[Path]:
    """Return the footprint file of a city, or nothing."""
    return city.files([city.footprints.file]) if city.footprints.file else []


def landcover_files(city: City) -> dict[str, Path]:
    """Return the land-cover files of a city by kind; "raster" for a raster."""
    found = {kind: city.files([text])[0] for kind, text in city.landcover.layers.items()}
    if city.landcover.raster:
        found["raster"] = city.files([city.landcover.raster])[0]
    return found


def image_files(city: City) -> list[tuple[str, Path]]:
    """Return kind and path of the images of a city, by kind, sorted."""
    return [(kind, path) for kind in ORDERS for path in city.files(getattr(city.imagery, kind))]


def weather_file(city: City) -> Path:
    """Return the weather file of a city; an error without one."""
    if not city.weather.file:
        raise UsageError("The city file has no [weather] file. Name an EPW file of the place: file = 'city.epw'.")
    return city.files([city.weather.file])[0]


def tile_cells(context: JobContext, grid: Grid) -> int:
    """Return the wanted edge of a tile of a grid [cells]: `execution.tile_m`, or a few tiles per rank; no result knows it."""
    wanted = context.city.execution.tile_m
    if wanted == 0.0:
        share = math.sqrt(grid.nx * grid.ny / (_TILES_PER_RANK * context.world.size)) * grid.resolution
        wanted = _LARGEST_TILE_M if context.world.size == 1 else min(_LARGEST_TILE_M, share)
    return max(1, round(wanted / grid.resolution))


def product_identity(context: JobContext, spec: JobSpec, inputs: dict[str, str]) -> dict[str, Any]:
    """Return what a product says about its origin: the options that can change it, and digests of its inputs.

    Parameters
    ----------
    inputs : name -> digest of an input of this job
    """
    from felsina.jobs.run import upstream

    configuration = scientific_config(spec, context.city, upstream())
    for section, name in _PATHS:
        if section in configuration:
            configuration[section] = {k: v for k, v in configuration[section].items() if k != name}
    if not image_files(context.city):
        configuration.pop("imagery", None)
    if "landcover" in configuration:
        configuration["landcover"] = {**configuration["landcover"], "layers": sorted(context.city.landcover.layers)}
    return {"configuration": configuration, "inputs": inputs}


def digests(context: JobContext, files: dict[str, Path]) -> dict[str, str]:
    """Return the SHA-256 of some input files by name; read once, on the root."""
    return context.world.on_root(lambda: {name: file_sha256(path) for name, path in sorted(files.items())})
