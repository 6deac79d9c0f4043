"""What rasters of the terrain and evidence of all buildings say: roofs seen from above, changes, gaps, shifts, datums."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from felsina.engine.city import QualityOptions
from felsina.engine.grid import BLOCK, Grid
from felsina.engine.io.vector import Footprints
from felsina.engine.parallel.world import World
from felsina.engine.processes.imagery import roofs_of_terrain
from felsina.engine.processes.quality import (
    Finding,
    change_columns,
    change_figures,
    completeness_figures,
    eaves_cells,
    footprint_cells,
    offset_figures,
    outside_groups,
)
from felsina.engine.processes.references import datum_figures, find_overlaps, overlap_figures

Read = Callable[[str, slice], NDArray[Any]]


class Survey(NamedTuple):
    """Columns of the building table, whole on every rank; figures for the record and sentences, on the root."""

    columns: dict[str, NDArray[Any]]
    figures: dict[str, Any]
    notes: list[str]


def survey(
    world: World,
    grid: Grid,
    held: Collection[str],
    read: Read,
    footprints: Footprints,
    area: NDArray[np.float64],
    ground: NDArray[np.int64],
    evidence: NDArray[np.float64],
    options: QualityOptions,
) -> Survey:
    """Hold buildings, footprints and rasters against each other. Collective.

    Parameters
    ----------
    grid : of the terrain
    held : fields of terrain.nc
    read : returns rows of a field of terrain.nc, whole width
    footprints, area : of all n buildings; area [m2]
    ground : (n,) of all buildings [mm]
    evidence : (n, len(quality.Evidence)) of all buildings
    options : section [quality]
    """
    first, last = world.share_of(grid.ny, BLOCK)
    mine, halo = slice(first, last), eaves_cells(grid)
    around = slice(max(0, first - halo), min(grid.ny, last + halo)) if first < last else mine
    index = read("building_index", around)
    count = read("building_point_count", mine)
    seen = np.isfinite(read("first_return_elevation", mine)).astype(np.int32)
    own = index[first - around.start : last - around.start]
    cells = footprint_cells(world, len(footprints), own, seen, count, read("ground_point_count", mine))
    height = read("surface_elevation", mine) - read("ground_elevation", mine)
    outside = outside_groups(world, grid, index, around.start, count, height, options.missing_area_m2)
    eaves, foot = (footprints.attributes.get(f"height_{n}_m", np.full(len(area), np.nan)) for n in ("eaves", "foot"))
    columns = change_columns(evidence, cells, area, eaves - foot, options)
    columns |= roofs_of_terrain(world, grid.ny, held, read, len(footprints))
    if not world.is_root:
        return Survey(columns, {}, [])
    known = np.isfinite(foot) & ~footprints.rejected
    foot_mm = np.rint(np.where(known, foot, 0.0) * 1000).astype(np.int64)
    findings: dict[str, Finding] = {
        "offset": offset_figures(evidence, options.offset_m),
        "completeness": completeness_figures(
            outside, cells, grid, footprints.rejected, footprints.ids, options.missing_area_m2
        ),
        "change": change_figures(columns, footprints.ids, footprints.rejected),
        "overlap": overlap_figures(find_overlaps(footprints.geometry), footprints.ids, options.overlap_m2),
    }
    if known.any():
        findings["datum"] = datum_figures(ground[known], foot_mm[known], "the footprints", options.datum_m)
    return Survey(columns, {n: f.figures for n, f in findings.items()}, [note for f in findings.values() for note in f.notes])
