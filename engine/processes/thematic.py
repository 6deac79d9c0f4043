"""The thematic city: results of several products joined by building, and the heat around each building.

Rows are joined by identifier, never by number. Heat is taken from published maps with whole-number sums, so that a value
follows from the products alone.

A cell of the heat grid is *built* when at least half of the finer cells in it lie in footprints, and a building's *own* cell
when at least half of them lie in its footprint. A building too small for that takes the cells of which it covers the most.
*Around* a building are the cells that are not built and whose centre is within a radius of the centre of an own cell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from felsina.engine.grid import Grid

RADIUS = 10.0  # m; about the width of a street: what somebody at the building's door feels
STEP = 0.001  # K; maps are whole multiples of 0.01 K, so nothing is lost
_PAIRS = 4_000_000  # building-cell pairs at a time: 32 MB a column
_FINE_CELLS = 8_000_000  # cells of the building index at a time
_NOTHING = np.iinfo(np.int64).min

BUILDING_COLUMNS = (
    "building_id",
    "building_status",
    "building_reason",
    "building_lod",
    "building_derived",
    "building_height",
    "building_ground_elevation",
    "building_footprint_area",
    "building_volume",
    "building_x",
    "building_y",
    "building_construction_year",
    "building_floors",
    "building_use",
    "building_residents",
)
ENERGY_COLUMNS = (
    "energy_status",
    "energy_reason",
    "energy_archetype",
    "conditioned_floor_area",
    "annual_heating_need",
    "annual_cooling_need",
    "specific_heating_need",
    "specific_cooling_need",
    "peak_heating_load",
    "peak_cooling_load",
    "overheating_hours",
)


def match_rows(identifiers: Sequence[str] | NDArray[Any], others: Sequence[str] | NDArray[Any]) -> NDArray[np.int64]:
    """Return, for each identifier, the row of the other table that carries it.

    The k-th row of an identifier meets the k-th row of the same identifier: rejected duplicates stay apart.

    Parameters
    ----------
    identifiers : (n,) texts
    others : (m,) texts

    Returns
    -------
    (n,) int64
        Rows of the other table; -1 where it has none.

    >>> match_rows(["a", "b", "a"], ["b", "a"]).tolist()
    [1, 0, -1]
    """
    found: dict[tuple[str, int], int] = {}
    for row, key in enumerate(_numbered(others)):
        found[key] = row
    return np.array([found.get(key, -1) for key in _numbered(identifiers)], np.int64)


def join_energy(identifiers: NDArray[Any], energy: Mapping[str, NDArray[Any]], absent: int = -1) -> dict[str, NDArray[Any]]:
    """Return the columns of the energy table in the order of the buildings.

    Numbers without a row, and counts of a row that failed, become NaN; status and reason become `absent`; texts become empty.

    Parameters
    ----------
    identifiers : (n_building,) texts
    energy : name -> (n_row,); `building_id`, `energy_status` and any of `ENERGY_COLUMNS`

    Returns
    -------
    dict of str to (n_building,)
        In the order of `ENERGY_COLUMNS`.
    """
    rows = match_rows(identifiers, energy["building_id"])
    lacking = rows < 0
    at = np.where(lacking, 0, rows)
    failed = lacking | (_taken(energy["energy_status"], at, -1) != 0)
    joined: dict[str, NDArray[Any]] = {}
    for name in ENERGY_COLUMNS:
        if name not in energy:
            continue
        values = np.asarray(energy[name])
        if values.dtype.kind in "OUS":
            joined[name] = np.where(lacking, "", _taken(values.astype(object), at, "")).astype(object)
        elif name in ("energy_status", "energy_reason"):
            joined[name] = np.where(lacking, absent, _taken(values, at, absent)).astype(np.int8)
        else:
            column = _taken(values.astype(np.float64), at, np.nan)
            joined[name] = np.where(failed if values.dtype.kind in "iu" else lacking, np.nan, column)
    return joined


@dataclass(frozen=True)
class CellsOfBuildings:
    """Which cells of a grid are whose.

    Attributes
    ----------
    grid : the grid of the cells
    building, cell : (n,) int64
        Own cells of buildings, as row of the building table and flat index of the cell; ascending by building, then cell.
    is_roof : (n,) bool
        Whether the building covers at least half of the cell; false for the cells of a building too small for that.
    is_open : (ny, nx) bool
        Cells that are not built and of which something is known.
    """

    grid: Grid
    building: NDArray[np.int64]
    cell: NDArray[np.int64]
    is_roof: NDArray[np.bool_]
    is_open: NDArray[np.bool_]


def cells_of_buildings(coarse: Grid, fine: Grid, index_rows: Callable[[int, int], NDArray[np.integer]]) -> CellsOfBuildings:
    """Find the cells of each building on a coarser grid.

    Parameters
    ----------
    coarse : the grid of the heat maps
    fine : the grid of the building index
    index_rows : (first row, last row) -> (rows, fine.nx) int
        Building index of the fine grid, -1 outside footprints; asked for in ascending bands.
    """
    row_of = _coarse_index(coarse.north - fine.north, fine.resolution, fine.ny, coarse.resolution, coarse.ny)
    column_of = _coarse_index(fine.west - coarse.west, fine.resolution, fine.nx, coarse.resolution, coarse.nx)
    inside_x = column_of >= 0
    per_cell = np.outer(_counts(row_of, coarse.ny), _counts(column_of, coarse.nx)).reshape(-1)
    built = np.zeros(len(per_cell), np.int64)
    keys, counts = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for first, last in _bands(row_of, max(1, _FINE_CELLS // max(1, fine.nx))):
        index = np.asarray(index_rows(first, last))
        j, i = np.nonzero((index >= 0) & inside_x)
        cell = row_of[first + j] * coarse.nx + column_of[i]
        built += np.bincount(cell, minlength=len(built))
        key, count = np.unique(index[j, i].astype(np.int64) * len(built) + cell, return_counts=True)
        keys.append(key)
        counts.append(count)
    key, count = np.concatenate(keys), np.concatenate(counts)
    order = np.argsort(key, kind="stable")
    key, count = key[order], count[order]
    building, cell = key // len(built), key % len(built)
    is_roof = 2 * count >= per_cell[cell]
    n_building = int(building.max(initial=-1)) + 1
    has_roof = np.zeros(n_building, bool)
    has_roof[building[is_roof]] = True
    most = np.zeros(n_building, np.int64)
    np.maximum.at(most, building, count)
    own = is_roof | (~has_roof[building] & (count == most[building]))
    is_open = ((2 * built < per_cell) & (per_cell > 0)).reshape(coarse.shape)
    return CellsOfBuildings(coarse, building[own], cell[own], is_roof[own], is_open)


def street_air(cells: CellsOfBuildings, ratio: int) -> NDArray[np.bool_]:
    """Return the open cells whose air is that of the street, (ny, nx).

    Air is known in columns of ratio x ratio cells. A column of which at least half of the cells are not open holds the air
    above the roof, in its open cells too.
    """
    ny, nx = cells.grid.shape
    j, i = np.arange(ny) // ratio, np.arange(nx) // ratio
    width = int(i[-1]) + 1
    column = j[:, None] * width + i
    total = np.bincount(column.reshape(-1))
    closed = np.bincount(column[~cells.is_open], minlength=len(total))
    return cells.is_open & (2 * closed < total)[column]


def heat_at_buildings(
    cells: CellsOfBuildings,
    n_building: int,
    air_mean: NDArray[np.floating],
    air_maximum: NDArray[np.floating],
    surface_maximum: NDArray[np.floating],
    radius: float = RADIUS,
) -> dict[str, NDArray[np.float64]]:
    """Return the heat around each building and on its roof.

    Parameters
    ----------
    cells : whose the cells are
    n_building : rows of the building table
    air_mean, air_maximum, surface_maximum : (ny, nx) [degC]
        Maps of the heat grid; NaN where nothing is known, and for the air where it is not that of the street.
    radius : [m]

    Returns
    -------
    dict of str to (n_building,) float64 [degC]
        `outdoor_air_temperature_mean` (mean of the cells around), `outdoor_air_temperature_maximum`,
        `outdoor_surface_temperature_maximum` (largest of the cells around), `roof_surface_temperature_maximum` (largest of the
        own cells of which the building covers at least half). NaN where a building has no such cell.
    """
    mean, top, ground, roof = (np.full(n_building, _NOTHING, np.int64) for _ in range(4))
    count = np.zeros(n_building, np.int64)
    fixed = {n: _fixed(v) for n, v in (("mean", air_mean), ("top", air_maximum), ("ground", surface_maximum))}
    for building, cell in _around(cells, radius):
        known = fixed["mean"][cell] != _NOTHING
        owners, first = np.unique(building[known], return_index=True)
        if owners.size:
            mean[owners] = np.add.reduceat(fixed["mean"][cell[known]], first)
            count[owners] = np.diff(np.append(first, np.count_nonzero(known)))
        np.maximum.at(top, building, fixed["top"][cell])
        np.maximum.at(ground, building, fixed["ground"][cell])
    np.maximum.at(roof, cells.building[cells.is_roof], fixed["ground"][cells.cell[cells.is_roof]])
    average = np.full(n_building, np.nan)
    some = count > 0
    average[some] = mean[some] / count[some] * STEP
    return {
        "outdoor_air_temperature_mean": average,
        "outdoor_air_temperature_maximum": _floating(top),
        "outdoor_surface_temperature_maximum": _floating(ground),
        "roof_surface_temperature_maximum": _floating(roof),
    }


def _around(cells: CellsOfBuildings, radius: float) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield (building, cell) pairs of the open cells around whole buildings, each pair once, ascending."""
    ny, nx = cells.grid.shape
    building, cell = _rim(cells)
    reach = int(radius / cells.grid.resolution)
    dj, di = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    near = (dj**2 + di**2) * cells.grid.resolution**2 <= radius**2
    dj, di = dj[near], di[near]
    starts = np.flatnonzero(np.diff(building, prepend=-1))
    step = max(1, _PAIRS // len(dj))
    while starts.size:
        # Whole buildings only: a pair that came twice would count twice.
        n = max(1, int(np.searchsorted(starts, starts[0] + step, "right")) - 1)
        last = starts[n] if n < len(starts) else len(building)
        part = slice(starts[0], last)
        starts = starts[n:]
        j, i = cell[part, None] // nx + dj, cell[part, None] % nx + di
        owner = np.broadcast_to(building[part, None], j.shape)
        inside = (j >= 0) & (j < ny) & (i >= 0) & (i < nx)
        j, i, owner = j[inside], i[inside], owner[inside]
        is_open = cells.is_open[j, i]
        key = np.unique(owner[is_open] * (ny * nx) + j[is_open] * nx + i[is_open])
        yield key // (ny * nx), key % (ny * nx)


def _rim(cells: CellsOfBuildings) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the own cells that have a neighbour which is not of the same building: the nearest to any cell outside is one."""
    ny, nx = cells.grid.shape
    keys = cells.building * (ny * nx) + cells.cell
    j, i = cells.cell // nx, cells.cell % nx
    inner = (j > 0) & (j < ny - 1) & (i > 0) & (i < nx - 1)
    for shift in (-nx, nx, -1, 1):
        at = np.searchsorted(keys, keys + shift)
        inner &= keys[np.minimum(at, len(keys) - 1)] == keys + shift
    return cells.building[~inner], cells.cell[~inner]


def _bands(row_of: NDArray[np.int64], span: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of about `span` fine rows that hold whole rows of coarse cells: no cell is counted in two halves."""
    known = np.flatnonzero(row_of >= 0)
    while known.size:
        in_band = row_of[known] <= row_of[known[min(span, known.size) - 1]]
        yield int(known[in_band][0]), int(known[in_band][-1]) + 1
        known = known[~in_band]


def _coarse_index(offset: float, step: float, n_fine: int, size: float, n: int) -> NDArray[np.int64]:
    """Return the coarse cell of each fine cell along an axis, -1 outside; `offset` is from the coarse to the fine edge."""
    index = np.floor(((np.arange(n_fine) + 0.5) * step + offset) / size).astype(np.int64)
    return np.where((index >= 0) & (index < n), index, -1)


def _counts(index: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    return np.bincount(index[index >= 0], minlength=n)


def _fixed(values: NDArray[np.floating]) -> NDArray[np.int64]:
    wide = np.asarray(values, np.float64).reshape(-1)
    known = np.isfinite(wide)
    return np.where(known, np.rint(np.where(known, wide, 0.0) / STEP), float(_NOTHING)).astype(np.int64)


def _floating(fixed: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.where(fixed == _NOTHING, np.nan, fixed * STEP)


def _taken(values: NDArray[Any], rows: NDArray[np.int64], fill: Any) -> NDArray[Any]:
    return np.full(len(rows), fill, values.dtype) if not len(values) else np.asarray(values)[rows]


def _numbered(identifiers: Sequence[str] | NDArray[Any]) -> list[tuple[str, int]]:
    seen: dict[str, int] = {}
    keys = []
    for identifier in map(str, identifiers):
        seen[identifier] = count = seen.get(identifier, -1) + 1
        keys.append((identifier, count))
    return keys
