"""The footprints of a city: those of a file, or outlines derived from building returns where there is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from felsina.engine.city import FootprintOptions
from felsina.engine.grid import Grid
from felsina.engine.io.vector import ATTRIBUTES, Footprints, clean_polygons, overlap_areas, read_footprints, unflatten
from felsina.kernels.geometry.outlines import derive_outlines

OUTLINE_CELL_M = 1.0  # about twice the spacing of the points that outlines are wanted from
COLUMNS = (*ATTRIBUTES, "residents")


def city_footprints(
    file: Path | None, options: FootprintOptions, grid: Grid, building_returns: Callable[[], NDArray[np.int32]]
) -> tuple[Footprints, bool]:
    """Return the footprints, and whether they were derived. For one rank; broadcast the answer.

    Parameters
    ----------
    file : vector file, or None
    options : section [footprints]: its column of identifiers and its layer
    grid : of the terrain
    building_returns : gives the (ny, nx) number of building returns in each cell, where outlines must be derived
    """
    if file is not None:
        return read_footprints(file, grid.crs, options.id, COLUMNS, options.layer), False
    return derived_footprints(building_returns(), grid), True


def derived_footprints(building_returns: NDArray[np.int32], grid: Grid) -> Footprints:
    """Derive footprints from the cells that hold building returns.

    A footprint is named by the position of its representative point, "derived-<easting>-<northing>" in decimetres, so that it
    keeps its name when others come or go.
    """
    j, i = np.nonzero(building_returns)
    cell = round(grid.resolution * 1000)
    x = round(grid.west * 1000) + i * cell + cell // 2
    y = round(grid.north * 1000) - j * cell - cell // 2
    outlines = derive_outlines(np.stack((x, y), axis=1).astype(np.int64), max(round(OUTLINE_CELL_M * 1000), 2 * cell))
    rows = []
    for shape in unflatten(*outlines):
        parts, reason, sentence = clean_polygons(shape)
        if reason == "none":
            point = parts[0].representative_point()
            rows.append((f"derived-{round(point.x * 10)}-{round(point.y * 10)}", parts, sentence))
    rows.sort(key=lambda row: row[0])
    geometry = [row[1] for row in rows]
    n = len(rows)
    return Footprints(
        ids=[row[0] for row in rows],
        geometry=geometry,
        attributes={},
        rejected=np.zeros(n, np.bool_),
        reason=np.zeros(n, np.int8),
        sentence=[row[2] for row in rows],
        overlap_area=overlap_areas(geometry),
        notes=[f"No footprint file was given: {n} footprints were derived from building returns."],
    )
