"""Trees of a city: crowns on the canopy raster, their returns, and a row of a table for each; every rank does its share.

Crowns are defined on the whole grid (`kernels.vegetation.crowns`), in rasters that the ranks of a node share, each rank working
on its rows. A rank adds up the cells of its rows and the returns of its tiles; whole numbers travel to the one owner of each
tree, which works out its row. Trees are numbered by their treetop, from north to south, then from west to east.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from felsina.engine.grid import BLOCK, Grid
from felsina.engine.io.las import Points
from felsina.engine.parallel.world import Rows, Window, World
from felsina.engine.processes.classify import Cloud
from felsina.kernels.vegetation import canopy as leaves
from felsina.kernels.vegetation.crowns import (
    canopy_millimetres,
    crown_rows,
    link_rows,
    number_crowns,
    smooth_rows,
    smoothings,
    treetops,
    window_table,
)
from felsina.kernels.vegetation.returns import (
    PULSE,
    CrownSums,
    Profiles,
    add_cells,
    add_returns,
    density_rows,
    empty_profiles,
    empty_sums,
    greatest_diameter,
)

# ASPRS classes that are no part of a crown nor of the ground below it: buildings, noise, wires and their towers, bridges.
NO_VEGETATION = (6, 7, 13, 14, 15, 16, 17, 18)
KEPT_POINTS = 4_000_000  # of a rank between two passes: 92 MB
CLOSINGS = 2  # pits of up to about 3 x 3 cells
REASONS = ("too_small", "too_narrow", "too_few_returns", "not_penetrated")


@dataclass(frozen=True, kw_only=True)
class CrownRules:
    """What makes a crown.

    Attributes
    ----------
    smoothing : standard deviation of the smoothing of the canopy [m]
    window_scale : factor of the window that holds no higher treetop [1]
    share : height of a crown's lowest cell over that of its treetop [1]
    reach : farthest cell of a crown from its treetop [m]
    min_area : of a crown [m2]; a pole or a sign is smaller
    min_roundness : area over that of a circle of the longest diameter [1]; a wire or a fence is narrower
    min_returns : that a crown has from 0.5 m above ground
    min_multiple : share of a crown's returns that come from pulses with several [1]; a van or an awning sends back one. Not
        asked where the files do not record it: where less than twice this share of all crowns' returns do
    density_reach : the density of pulses is that of the square of twice this width around a cell [m]
    extinction : of leaves at random, per leaf area index [1]
    """

    smoothing: float = 0.5
    window_scale: float = 1.0
    share: float = 0.45
    reach: float = 10.0
    min_area: float = 2.0
    min_roundness: float = 0.25
    min_returns: int = 5
    min_multiple: float = 0.05
    density_reach: float = 3.0
    extinction: float = leaves.EXTINCTION


@dataclass
class Crowns:
    """Crowns of the whole grid.

    Attributes
    ----------
    index : (ny, nx) int32 shared
        Number of the tree in each cell, -1 where none.
    canopy : (ny, nx) int32 shared
        Height of the canopy above ground [mm], 0 where none.
    top : (n_tree,) int64
        Flat index of each treetop, ascending.
    """

    index: NDArray[np.int32]
    canopy: NDArray[np.int32]
    top: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.top)

    def release(self, world: World) -> None:
        """Give the memory back; collective."""
        world.release(self.index)
        world.release(self.canopy)


@dataclass(frozen=True)
class Trees:
    """The table of trees; every column is (n_tree,).

    Attributes
    ----------
    x, y : middle of the crown's cells [m in the CRS]
    height : highest return above ground [m]
    crown_base : height above ground [m], NaN without returns
    crown_area : [m2]
    crown_diameter : of a circle of that area [m]
    crown_diameter_maximum : longest extent [m]
    gap_fraction : share of the pulses that pass the crown [1], NaN without returns
    leaf_area_index : effective leaf area over crown area [m2 m-2], NaN without returns
    return_count : returns from 0.5 m above ground
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    height: NDArray[np.float64]
    crown_base: NDArray[np.float64]
    crown_area: NDArray[np.float64]
    crown_diameter: NDArray[np.float64]
    crown_diameter_maximum: NDArray[np.float64]
    gap_fraction: NDArray[np.float64]
    leaf_area_index: NDArray[np.float64]
    return_count: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.x)

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return the columns under the names of the product."""
        return {
            "tree_x": self.x,
            "tree_y": self.y,
            "tree_height": self.height,
            "crown_base_height": self.crown_base,
            "crown_area": self.crown_area,
            "crown_diameter": self.crown_diameter,
            "crown_diameter_maximum": self.crown_diameter_maximum,
            "crown_gap_fraction": self.gap_fraction,
            "crown_leaf_area_index": self.leaf_area_index,
            "crown_return_count": self.return_count,
        }

    def take(self, chosen: NDArray[np.bool_]) -> Trees:
        """Return the rows that a mask chooses."""
        return Trees(**{name: values[chosen] for name, values in vars(self).items()})


@dataclass(frozen=True)
class CanopyRasters:
    """What the heat of the streets asks of the canopy, (ny, nx) shared.

    Attributes
    ----------
    index : int32, row of the table of trees in each cell, -1 where none
    base : float32, height above ground at which the canopy begins [m], 0 where there is none
    leaf_area_index : float32, leaf area over the cell [m2 m-2], 0 without canopy, NaN where vegetation is of no tree
    """

    index: NDArray[np.int32]
    base: NDArray[np.float32]
    leaf_area_index: NDArray[np.float32]


def close_canopy(
    world: World, canopy: NDArray[np.float32], unseen: NDArray[np.bool_], passes: int = CLOSINGS
) -> NDArray[np.float32]:
    """Return a canopy whose pits are filled: cells without any return among canopy. Collective.

    Parameters
    ----------
    canopy : (ny, nx) float32
        Height of the vegetation above ground [m], 0 where there is none; on every rank.
    unseen : (ny, nx) bool
        Cells without a return that are not roofs; this rank's share of the rows at least.
    passes : each fills pits from the canopy before it

    Returns
    -------
    (ny, nx) float32 shared [m], whole millimetres
    """
    shape = canopy.shape
    mine = world.share_of(shape[0], BLOCK)
    written: list[Window] = [(slice(*mine),)]
    height, spare = (world.shared(shape, np.int32) for _ in range(2))
    canopy_millimetres(canopy, mine, height)
    for _ in range(passes):
        world.synchronise(height, written)
        leaves.close_rows(height, unseen, mine, spare)
        height, spare = spare, height
    closed: NDArray[np.float32] = world.shared(shape, np.float32)
    closed[slice(*mine)] = height[slice(*mine)] / 1000.0
    world.synchronise(closed, written)
    for array in (height, spare):
        world.release(array)
    return closed


def find_crowns(world: World, canopy: NDArray[np.float32], cell_m: float, rules: CrownRules | None = None) -> Crowns:
    """Return the crowns of the whole grid; what `kernels.vegetation.crowns.delineate` finds. Collective.

    Parameters
    ----------
    canopy : (ny, nx) float32
        Height of the vegetation above ground [m], 0 where there is none and on roofs; on every rank.
    cell_m : cell size [m]
    """
    rules = rules or CrownRules()
    shape = canopy.shape
    mine = world.share_of(shape[0], BLOCK)
    written: list[Window] = [(slice(*mine),)]
    raw, height, spare, link = (world.shared(shape, np.int32) for _ in range(4))
    canopy_millimetres(canopy, mine, raw)
    height[slice(*mine)] = raw[slice(*mine)]
    for array in (raw, height):
        world.synchronise(array, written)
    for _ in range(smoothings(rules.smoothing, cell_m)):
        smooth_rows(height, mine, spare)
        world.synchronise(spare, written)
        height, spare = spare, height
    link_rows(height, window_table(round(cell_m * 1000), rules.window_scale), mine, link)
    world.synchronise(link, written)
    index = world.shared(shape, np.int32)
    crown_rows(raw, height, link, math.floor(rules.reach / cell_m), mine, index, round(1000 * rules.share))
    top = np.concatenate(world.allgather(treetops(index, mine)))
    number_crowns(index, top, mine)
    world.synchronise(index, written)
    for array in (height, spare, link):
        world.release(array)
    return Crowns(index, raw, top)


class KeptPoints:
    """Points of a first pass over the files, kept for a second one that need not read them again: up to a number per rank.

    Parameters
    ----------
    limit : points beyond which a rank keeps none
    """

    def __init__(self, limit: int = KEPT_POINTS) -> None:
        self._limit, self._n = limit, 0
        self._parts: list[Points] = []

    def add(self, points: Points) -> None:
        """Keep a batch, while there is room for it."""
        self._n += len(points)
        if self._n > self._limit:
            self._parts.clear()
        elif len(points):
            self._parts.append(points)

    def batches(self, world: World) -> list[Points] | None:
        """Return the batches of this rank; None on every rank, to read again, where any had more than the limit. Collective."""
        over = world.reduce_exact(np.array([self._n > self._limit], np.int64), "max")
        return None if over[0] else self._parts


class ReturnTally:
    """Counts the returns of crowns, batch by batch, in memory that grows with cells and trees and not with points; collective.

    Parameters
    ----------
    crowns : of the whole grid
    ground : (ny, nx) float32 [m]
    windows : of the grid that this rank owns, as `Partition.tiles_of` gives them
    cell_mm : [mm]

    Attributes
    ----------
    ids : (m,) int64 trees that have cells in the windows
    profiles : their returns, in the order of `ids`
    pulses : (ny, nx) int32 shared, pulses by the cell of their first return
    """

    def __init__(
        self, world: World, crowns: Crowns, ground: NDArray[np.float32], windows: Sequence[Window], cell_mm: int
    ) -> None:
        self._crowns, self._ground, self._cell_mm, self._windows = crowns, ground, cell_mm, list(windows)
        self.ids = _trees_in([crowns.index[w] for w in windows])
        self._slot = _slots(self.ids, len(crowns))
        self._left_out = np.zeros(256, np.bool_)
        self._left_out[list(NO_VEGETATION)] = True
        self.profiles = empty_profiles(len(self.ids))
        self.pulses: NDArray[np.int32] = world.shared(crowns.index.shape, np.int32)

    def add(self, points: Cloud, classification: NDArray[np.uint8]) -> None:
        """Count points in cells that this rank owns; class 0 where a point has none."""
        columns = points.x, points.y, points.z, classification, points.return_number, points.number_of_returns
        grids = self._crowns.index, self._ground, self._cell_mm
        add_returns(*columns, self._left_out, *grids, self._slot, self.pulses, self.profiles)

    def synchronise(self, world: World) -> None:
        """Show every rank the pulses that were counted; collective."""
        world.synchronise(self.pulses, self._windows)

    def release(self, world: World) -> None:
        """Give the memory back; collective."""
        world.release(self.pulses)


def measure_trees(
    world: World, crowns: Crowns, tally: ReturnTally, grid: Grid, rules: CrownRules | None = None
) -> tuple[Trees, CanopyRasters, dict[str, int]]:
    """Return the table of trees, the rasters of the canopy, and how many crowns were no trees, by reason. Collective.

    Crowns that are no trees are taken out of `crowns`, and their cells stay canopy without a tree.
    """
    rules = rules or CrownRules()
    n, cell_m = len(crowns), grid.resolution
    mine = world.share_of(crowns.index.shape[0], BLOCK)
    ids = _trees_in([crowns.index[slice(*mine)]])
    sums = empty_sums(len(ids))
    tally.synchronise(world)
    density = np.empty(crowns.index.shape, np.int32)  # pages that nobody writes take no memory
    density_rows(tally.pulses, max(1, round(rules.density_reach / cell_m)), mine, density)
    add_cells(crowns.index, crowns.canopy, density, mine, _slots(ids, n), sums)
    owned = _share(world.rank, world.size, n)
    m = owned[1] - owned[0]
    whole, returns = empty_sums(m), empty_profiles(m)
    _to_owners(world, n, ids, sums.total, whole.total, np.add)
    _to_owners(world, n, ids, sums.greatest, whole.greatest, np.maximum)
    for part, total in zip(tally.profiles, returns, strict=True):
        _to_owners(world, n, tally.ids, part, total, np.add)
    trees, multiple = _table(whole, returns, grid, rules)
    # Whether pulses with several returns are recorded at all is asked of the whole city.
    every = world.reduce_exact(np.array([multiple.sum(), trees.return_count.sum()], np.int64), "sum")
    reason = _reasons(trees, multiple, rules, records_multiple=every[0] >= 2.0 * rules.min_multiple * every[1])
    trees, reason = _gathered(world, trees), np.concatenate(world.allgather(reason))
    kept = reason == 0
    counts = {name: int(np.count_nonzero(reason == k)) for k, name in enumerate(REASONS, 1)}
    _number_again(world, crowns, kept, mine)
    trees = trees.take(kept)
    return trees, _rasters(world, crowns, trees, cell_m, mine), counts


def _number_again(world: World, crowns: Crowns, kept: NDArray[np.bool_], mine: Rows) -> None:
    """Number the crowns that are kept from 0 and take the others out, in place; collective."""
    number = np.append(np.where(kept, np.cumsum(kept) - 1, -1), -1).astype(np.int32)  # -1 finds the last entry
    part = crowns.index[slice(*mine)]
    part[...] = number[part]
    crowns.top = crowns.top[kept]
    world.synchronise(crowns.index, [(slice(*mine),)])


def _table(sums: CrownSums, returns: Profiles, grid: Grid, rules: CrownRules) -> tuple[Trees, NDArray[np.int64]]:
    """Return the rows of the trees that this rank owns, and their returns of pulses with several."""
    cell = grid.resolution
    cells = np.maximum(sums.total[:, 0], 1)
    area = (sums.total[:, 0] * (cell * cell)).astype(np.float64)
    base, count = leaves.crown_base(returns.every)
    gap = leaves.gap_fraction(returns.energy, base, sums.total[:, 3] / float(PULSE))
    trees = Trees(
        x=grid.west + (sums.total[:, 1] / cells + 0.5) * cell,
        y=grid.north - (sums.total[:, 2] / cells + 0.5) * cell,
        height=sums.greatest[:, 0] / 1000.0,
        crown_base=base,
        crown_area=area,
        crown_diameter=np.sqrt(area * (4.0 / math.pi)).astype(np.float64),
        crown_diameter_maximum=greatest_diameter(sums.greatest, cell),
        gap_fraction=gap,
        leaf_area_index=leaves.leaf_area_index(gap, rules.extinction),
        return_count=count,
    )
    return trees, returns.multiple.astype(np.int64)


def _reasons(trees: Trees, multiple: NDArray[np.int64], rules: CrownRules, records_multiple: bool) -> NDArray[np.int8]:
    """Return why a crown is no tree: 0 where it is one, else the place of the reason in `REASONS`, from 1."""
    reason = np.zeros(len(trees), np.int8)
    longest = trees.crown_diameter_maximum
    narrow = trees.crown_area < rules.min_roundness * 0.25 * math.pi * longest * longest
    solid = multiple < rules.min_multiple * trees.return_count if records_multiple else np.zeros(len(trees), np.bool_)
    few = trees.return_count < rules.min_returns
    for k, holds in reversed(list(enumerate((trees.crown_area < rules.min_area, narrow, few, solid), 1))):
        reason[holds] = k
    return reason


def _rasters(world: World, crowns: Crowns, trees: Trees, cell_m: float, mine: Rows) -> CanopyRasters:
    """Return the canopy's base and leaf area; collective."""
    n = len(crowns)
    base_mm = np.rint(np.nan_to_num(trees.crown_base, nan=0.0) * 1000.0).astype(np.int32)
    ids = _trees_in([crowns.index[slice(*mine)]])
    part = np.zeros(len(ids), np.int64)
    leaves.add_depths(crowns.index, crowns.canopy, base_mm, mine, _slots(ids, n), part)
    owned = _share(world.rank, world.size, n)
    depth = np.zeros(owned[1] - owned[0], np.int64)
    _to_owners(world, n, ids, part, depth, np.add)
    volume = np.concatenate(world.allgather(depth)) * (1e-3 * cell_m * cell_m)
    # A crown without depth, all at its base, has no volume to spread its leaves in.
    density = np.where(volume > 0.0, trees.leaf_area_index * trees.crown_area / np.where(volume > 0.0, volume, 1.0), np.nan)
    base, leaf = (world.shared(crowns.index.shape, np.float32) for _ in range(2))
    leaves.base_rows(crowns.index, crowns.canopy, base_mm, mine, base)
    leaves.leaf_rows(crowns.index, crowns.canopy, base_mm, density, mine, leaf)
    for array in (base, leaf):
        world.synchronise(array, [(slice(*mine),)])
    return CanopyRasters(crowns.index, base, leaf)


def _gathered(world: World, trees: Trees) -> Trees:
    """Return the rows of all ranks in order."""
    parts = world.allgather(trees)
    return Trees(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Trees)})


def _share(rank: int, size: int, n: int) -> Rows:
    """Return the trees that a rank owns: as `World.share_of`, for any rank."""
    return rank * n // size, (rank + 1) * n // size


def _trees_in(parts: Sequence[NDArray[np.int32]]) -> NDArray[np.int64]:
    """Return the numbers of the trees in parts of the index, ascending."""
    found = [np.unique(p) for p in parts]
    every = np.unique(np.concatenate(found)) if found else np.zeros(0, np.int32)
    return every[every >= 0].astype(np.int64)


def _slots(ids: NDArray[np.int64], n: int) -> NDArray[np.int32]:
    """Return the place of each of `n` trees among `ids`, -1 where it is not there."""
    slot = np.full(n, -1, np.int32)
    slot[ids] = np.arange(len(ids), dtype=np.int32)
    return slot


def _to_owners(world: World, n: int, ids: NDArray[np.int64], rows: NDArray[Any], into: NDArray[Any], merge: np.ufunc) -> None:
    """Send the rows of trees to their owners and merge what comes there into the owner's rows, in place; collective.

    Whole numbers, so that the order in which parts come is nothing.
    """
    shares = [_share(r, world.size, n) for r in range(world.size)]
    cuts = np.searchsorted(ids, [first for first, _ in shares[1:]])
    theirs = world.exchange(np.split(ids, cuts))
    parts = world.exchange(np.split(rows, cuts))
    first = shares[world.rank][0]
    for numbers, values in zip(theirs, parts, strict=True):
        into[numbers - first] = merge(into[numbers - first], values)  # a rank names a tree once: no index comes twice
