"""Trees: cells and points a second on one core, the chain from a file to trees, and errors on the built-in district.

    FELSINA_DATA=<folder> python benchmarks/trees.py [file.laz ...]

Processor seconds of one thread, best of several, warm. Kernels on a canopy of `SIZE` cells of crowns; the reference for the
crowns is what one would write with scipy: Gaussian smoothing, maxima of a window of 3.5 m, watershed from them. The chain is
ingest, ground filter, terrain model, canopy, crowns, returns, table; the reference is lasR, 0.85 Mpts/s for reading, terrain
model, heights above it, canopy and crowns on one core of an i7-1355U (a published figure of another machine, without a ground
filter). Files without vegetation classes have their unclassified returns from 2 m above ground taken as canopy.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("NUMBA_NUM_THREADS", "1")
os.environ.setdefault("RAYON_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from felsina.engine.district.scan import scan_tile
from felsina.engine.district.scene import District, build_district
from felsina.engine.district.tree_truth import MIN_HEIGHT, compare_trees
from felsina.engine.district.truth import truth_record
from felsina.engine.grid import Grid
from felsina.engine.io.las import PointFile, Points, scan_headers
from felsina.engine.parallel.device import CpuDevice
from felsina.engine.parallel.world import World
from felsina.engine.processes.classify import classify_points
from felsina.engine.processes.ground import filter_ground
from felsina.engine.processes.ingest import ingest
from felsina.engine.processes.terrain import (
    VEGETATION,
    Binning,
    PointRasters,
    canopy_height,
    ground_elevation,
    lowest_return,
    roof_cells,
)
from felsina.engine.processes.trees import KeptPoints, ReturnTally, Trees, close_canopy, find_crowns, measure_trees
from felsina.kernels.pointcloud.scanner import Scanner
from felsina.kernels.vegetation.canopy import EXTINCTION
from felsina.kernels.vegetation.crowns import delineate

CELL = 0.5  # m
SIZE = 2000  # cells
REPEATS = 5
LASR = 0.85  # Mpts/s


def seconds(run: Callable[[], Any], repeats: int = REPEATS) -> float:
    """Return the least processor time of `run` [s]."""
    best = np.inf
    for _ in range(repeats):
        start = time.process_time()
        run()
        best = min(best, time.process_time() - start)
    return best


def forest(seed: int = 1) -> NDArray[np.float32]:
    """Return a canopy of ellipsoids, a third of the ground under crowns, with the noise of a scan [m]."""
    rng = np.random.default_rng(seed)
    out = np.zeros((SIZE, SIZE), np.float32)
    for _ in range(SIZE * SIZE // 400):
        height = rng.uniform(5.0, 20.0)
        radius = 0.25 * height / CELL
        j, i = rng.uniform(0, SIZE, 2)
        r = int(radius) + 1
        box = slice(max(int(j) - r, 0), int(j) + r + 1), slice(max(int(i) - r, 0), int(i) + r + 1)
        jj, ii = np.mgrid[box[0].start : min(box[0].stop, SIZE), box[1].start : min(box[1].stop, SIZE)]
        d2 = ((jj - j) ** 2 + (ii - i) ** 2) / radius**2
        crown = 0.65 * height + 0.35 * height * np.sqrt(np.maximum(1.0 - d2, 0.0)) + rng.normal(0.0, 0.15, d2.shape)
        part = out[jj[0, 0] : jj[-1, 0] + 1, ii[0, 0] : ii[0, -1] + 1]
        np.maximum(part, np.where(d2 < 1.0, crown, 0.0), out=part)
    return out


def reference(canopy: NDArray[np.float32]) -> int:
    """Delineate crowns with scipy and return how many there are."""
    smooth = ndimage.gaussian_filter(canopy, 1.0)
    top = (ndimage.maximum_filter(smooth, size=7) == smooth) & (canopy > 2.0)
    marker, n = ndimage.label(top)
    depth = (65535 - np.clip(smooth * 1000.0, 0, 65535)).astype(np.uint16)
    ndimage.watershed_ift(depth, np.where(canopy > 2.0, marker, -1).astype(np.int32))
    return int(n)


def chain(files: list[PointFile], cell: float) -> tuple[Trees, dict[str, int], dict[str, float]]:
    """Make trees of files as the terrain job would, and return them, what was no tree, and the seconds of each part."""
    world, clock, marks = World.serial(), time.process_time, {}
    bounds = np.array([f.bounds for f in files])
    grid = Grid.covering(files[0].crs, (*bounds[:, :2].min(axis=0).tolist(), *bounds[:, 2:].max(axis=0).tolist()), cell)
    windows, cell_mm = [(slice(0, grid.ny), slice(0, grid.nx))], round(cell * 1000)
    rasters = PointRasters.empty(world, grid.shape)
    binning = Binning(CpuDevice(), rasters, windows, cell_mm)

    kept = KeptPoints()

    def bin_all(points: Points) -> None:
        binning.add_heights(points.x, points.y, points.z)
        binning.add_classes(points.x, points.y, points.z, points.classification)
        kept.add(points)

    start = clock()
    read = ingest(world, files, grid, bin_all)
    marks["read and bin"], start = clock() - start, clock()
    filter_ground(world, lowest_return(world, rasters), cell, 18.0, 0.18)
    marks["ground filter"], start = clock() - start, clock()
    ground = ground_elevation(world, rasters)
    marks["terrain model"], start = clock() - start, clock()
    roof = roof_cells(world, rasters, ground, np.full(grid.shape, -1, np.int32), 0)
    canopy = canopy_height(rasters, ground, roof, any(read.classes[c] for c in VEGETATION))
    canopy = close_canopy(world, canopy, (rasters.count == 0) & ~roof)
    marks["canopy"], start = clock() - start, clock()
    crowns = find_crowns(world, canopy, cell)
    marks["crowns"], start = clock() - start, clock()
    tally = ReturnTally(world, crowns, ground, windows, cell_mm)
    batches = kept.batches(world)
    if batches is None:
        ingest(world, files, grid, lambda points: tally.add(points, points.classification))
    for points in batches or []:
        tally.add(points, points.classification)
    marks["returns"], start = clock() - start, clock()
    trees, _, refused = measure_trees(world, crowns, tally, grid)
    marks["table and rasters"] = clock() - start
    return trees, refused, marks


def district(seed: int, own_classes: bool = False, size: float = 256.0) -> None:
    """Print the errors on the district, with the classes it was scanned with or with those that felsina finds."""
    made = build_district(size, seed)
    truth = truth_record(made)
    west, south = map(float, truth["terrain"]["origin"])
    grid = Grid(truth["crs"], west, south + size, CELL, round(size / CELL), round(size / CELL))
    points = scanned(made, size)
    if own_classes:
        points.classification[:] = classify_points(points, grid.shape, round(CELL * 1000))
    world, windows = World.serial(), [(slice(0, grid.ny), slice(0, grid.nx))]
    rasters = PointRasters.empty(world, grid.shape)
    binning = Binning(CpuDevice(), rasters, windows, round(CELL * 1000))
    binning.add_classes(points.x, points.y, points.z, points.classification)
    ground = ground_elevation(world, rasters)
    roof = roof_cells(world, rasters, ground, np.full(grid.shape, -1, np.int32), 0)
    crowns = find_crowns(world, canopy_height(rasters, ground, roof, True), CELL)
    tally = ReturnTally(world, crowns, ground, windows, round(CELL * 1000))
    tally.add(points, points.classification)
    trees, _, _ = measure_trees(world, crowns, tally, grid)
    words = "classes found" if own_classes else "classes given"
    print(f"district of {size:g} m, seed {seed}, {words}: {len(trees)} trees found;", end=" ")
    print("{} of {} true ones stand below another crown".format(*hidden(truth["trees"])))
    figures = compare_trees(truth["trees"], trees.columns(), (west, south, west + size, south + size))
    print("\n".join(f"  {metric:30s}{value:7.3f} {unit:2s} target {target:g}" for metric, value, unit, target in figures))
    found = np.nanmedian(trees.leaf_area_index)
    print(f"  leaf area index, median: {found:.1f}; by pulses that meet nothing {unmet_leaf_area(truth['trees']):.1f}")
    if seed == 1:
        spent = seconds(lambda: tally.add(points, points.classification))
        print(f"  returns of crowns: {len(points) / spent / 1e6:.0f} Mpts/s")


def unmet_leaf_area(trees: list[dict[str, Any]]) -> float:
    """Return the median leaf area index behind the share of vertical pulses that meet nothing in the trees' ellipsoids.

    P = 2 (1 - (1 + m) exp(-m)) / m^2, m = hits per metre times depth of the crown: the mean of exp(-path) over its disc
    """
    tall = [t for t in trees if t["height_m"] >= MIN_HEIGHT]
    m = Scanner().extinction * np.array([t["height_m"] - t["crown_base_m"] for t in tall])
    return float(np.median(-np.log(2.0 * (1.0 - (1.0 + m) * np.exp(-m)) / (m * m)) / EXTINCTION))


def scanned(made: District, size: float) -> Points:
    """Return the points of a district in the frame of its grid."""
    edge = round(1000 * size)
    scan = scan_tile(made, (0, 0, edge, edge))
    points = Points.empty(len(scan["X"]))
    points.x, points.y, points.z = (v.astype(np.int32) for v in (scan["X"], edge - 1 - scan["Y"], scan["Z"]))
    for name in ("return_number", "number_of_returns", "classification"):
        setattr(points, name, scan[name].astype(np.uint8))
    return points


def hidden(trees: list[dict[str, Any]]) -> tuple[int, int]:
    """Return how many of the trees of 2 m and more have their top within the crown of another, and how many there are."""
    names = ("x", "y", "height_m", "crown_base_m", "crown_diameter_m")
    x, y, height, base, diameter = (np.array([t[n] for t in trees if t["height_m"] >= MIN_HEIGHT]) for n in names)
    r2 = ((x[:, None] - x) ** 2 + (y[:, None] - y) ** 2) / (0.5 * diameter) ** 2
    surface = 0.5 * (height + base) + 0.5 * (height - base) * np.sqrt(np.maximum(1.0 - r2, 0.0))
    covered = (r2 < 1.0) & (surface > height[:, None]) & ~np.eye(len(x), dtype=bool)
    return int(covered.any(axis=1).sum()), len(x)


def main() -> int:
    """Print speeds and errors."""
    canopy = forest()
    delineate(canopy, CELL)
    ours, theirs = seconds(lambda: delineate(canopy, CELL), 3), seconds(lambda: reference(canopy), 1)
    n = len(delineate(canopy, CELL)[1])
    print(f"crowns: {canopy.size / ours / 1e6:.1f} Mcells/s ({n:,} crowns, {100 * (canopy > 0).mean():.0f} % canopy);", end=" ")
    print(f"scipy {canopy.size / theirs / 1e6:.1f} Mcells/s, ratio {theirs / ours:.1f}")
    for seed in (1, 2, 3):
        district(seed)
    district(1, own_classes=True)
    folder = Path(os.environ.get("FELSINA_DATA", "../shared/data")) / "lidar"
    named = [Path(a) for a in sys.argv[1:]]
    defaults = {
        "3dfier_delft_ahn3/ahn3_cropped_1.laz": "EPSG:28992",
        "lidR/Megaplot.laz": "EPSG:26917",
        "ign_lidarhd/870000_6618000.postCompletion.laz": "EPSG:2154",
    }
    jobs = [([p], "") for p in named] or [([folder / p], crs) for p, crs in defaults.items() if (folder / p).is_file()]
    if not jobs:
        print(f"There is no folder '{folder}'; set FELSINA_DATA to the folder of real data.", file=sys.stderr)
    for paths, crs in jobs:
        files = scan_headers(paths, crs or None)
        points, bounds = sum(f.count for f in files), np.array([f.bounds for f in files])
        area = float(np.prod(bounds[:, 2:].max(axis=0) - bounds[:, :2].min(axis=0)))
        cell = max(CELL, round(np.sqrt(area / points) / CELL) * CELL)  # about the spacing of the points
        runs = [chain(files, cell) for _ in range(4)]
        trees, refused, marks = min(runs, key=lambda run: sum(run[2].values()))
        rate = points / sum(marks.values()) / 1e6
        print(f"{paths[0].name}, {points:,} points, cells of {cell} m: {rate:.2f} Mpts/s, lasR {LASR}, ratio {rate / LASR:.2f}")
        print("  ms: " + ", ".join(f"{name} {1000 * spent:.0f}" for name, spent in marks.items()))
        spread = [", ".join(f"{q:.1f}" for q in np.nanpercentile(v, [5, 25, 50, 75, 95])) for v in spreads(trees)]
        print(f"  {len(trees)} trees, no trees: {refused}; 5, 25, 50, 75, 95 %:")
        print(f"  height {spread[0]} m, diameter {spread[1]} m, base {spread[2]} m, LAI {spread[3]}")
    return 0


def spreads(trees: Trees) -> tuple[NDArray[np.float64], ...]:
    """Return the columns whose distribution is printed."""
    return trees.height, trees.crown_diameter, trees.crown_base, trees.leaf_area_index


if __name__ == "__main__":
    sys.exit(main())
