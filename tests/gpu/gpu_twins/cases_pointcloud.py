"""Cases of points to rasters and of the stages of the ground filter.

Binning is of whole numbers and openings are of comparisons: no bound is needed. Where there is none elsewhere, the same
operations round in the same order on both.
"""

from __future__ import annotations

from math import isqrt

import numpy as np

from felsina.kernels.pointcloud import ground, opening, raster
from gpu_twins.harness import Work, case

CELL = 49  # mm; 49 x (1 / 49) < 1 in float64, so that the index has to be put right
POINTS = 1 << 15  # scale of a run on hardware: 10 million points
GRIDS = 1 << 8  # 14 million cells
COUNT = 300


def points_work(bytes_each: float, flops: float) -> Work:
    return Work("point", lambda scale: COUNT * scale, bytes_each, flops)


def grid_work(bytes_each: float, flops: float) -> Work:
    return Work("cell", lambda scale: 13 * scale * 17 * scale, bytes_each, flops)


def cloud(rng, scale):
    """Points of which some lie beyond each edge, and some on the first and the last millimetre of a cell."""
    ny, nx, n = 5 * isqrt(scale), 7 * isqrt(scale), COUNT * scale
    x, y = (rng.integers(-CELL, (k + 1) * CELL, n).astype(np.int32) for k in (nx, ny))
    for v, k in ((x, nx), (y, ny)):
        edge = rng.random(n) < 0.4
        v[edge] = rng.integers(0, k + 1, edge.sum()) * CELL - rng.integers(0, 2, edge.sum())
    return x, y, rng.integers(-5_000, 90_000, n).astype(np.int32), ny, nx


def inputs(**arrays):
    """The arrays that a call may read and not write."""
    return {f"input_{name}": array for name, array in arrays.items()}


# -- points to rasters ----------------------------------------------------------------------------------------------------


@case(raster.bin_points_gpu, scale=POINTS, work=points_work(12 + 20, 8))
def binned_points(rng, scale, put):
    *points, ny, nx = cloud(rng, scale)
    x, y, z = (put(v) for v in points)
    bins = [put(a) for a in raster.empty_bins(ny, nx)]
    n = raster.bin_points(x, y, z, CELL, ny, nx, *bins)
    names = raster.Bins._fields
    return {"inside": put(np.array([n])), **dict(zip(names, bins, strict=True)), **inputs(x=x, y=y, z=z)}


@case(raster.bin_lowest_gpu, scale=POINTS, work=points_work(12 + 4, 8))
def lowest_points(rng, scale, put):
    *points, ny, nx = cloud(rng, scale)
    # A point in a wrong cell shows only where it is the lowest.
    for v, n in ((points[0], nx), (points[1], ny)):
        points[2][v % CELL == 0] -= 100_000
        points[2][(v < 0) | (v >= n * CELL)] -= 500_000
    x, y, z = (put(v) for v in points)
    lowest = put(np.full((ny, nx), 40_000, np.int32))
    raster.bin_lowest(x, y, z, CELL, lowest)
    return {"lowest": lowest, **inputs(x=x, y=y, z=z)}


@case(raster.bin_highest_gpu, scale=POINTS, work=points_work(12 + 8, 8))
def highest_points(rng, scale, put):
    *points, ny, nx = cloud(rng, scale)
    x, y, z = (put(v) for v in points)
    highest, count = put(np.full((ny, nx), 40_000, np.int32)), put(np.arange(ny * nx, dtype=np.int32).reshape(ny, nx))
    raster.bin_highest(x, y, z, CELL, highest, count)
    return {"highest": highest, "count": count, **inputs(x=x, y=y, z=z)}


@case(raster.bin_sums_gpu, scale=POINTS, work=points_work(12 + 12, 8))
def summed_points(rng, scale, put):
    *points, ny, nx = cloud(rng, scale)
    x, y, z = (put(v) for v in points)
    total, count = put(np.full((ny, nx), 2**40)), put(np.arange(ny * nx, dtype=np.int32).reshape(ny, nx))
    raster.bin_sums(x, y, z, CELL, total, count)
    return {"sum": total, "count": count, **inputs(x=x, y=y, z=z)}


@case(raster.hide_others_gpu, scale=POINTS, work=points_work(9, 1))
def hidden_points(rng, scale, put):
    x, *_ = cloud(rng, scale)
    x, classes = put(x), put(rng.integers(0, 256, len(x)).astype(np.uint8))
    chosen, out = put(rng.random(256) < 0.5), put(np.full(x.shape, 7, np.int32))
    raster.hide_others(x, classes, chosen, out)
    return {"out": out, **inputs(x=x, classes=classes, chosen=chosen)}


def some_bins(rng, scale, put):
    shape = 13 * scale, 17 * scale
    low, high, count = (rng.integers(a, b, shape).astype(np.int32) for a, b in ((-9000, 9000), (-9000, 9000), (0, 4)))
    return raster.Bins(put(low), put(high), put(rng.integers(-(2**40), 2**40, shape)), put(count))


@case(raster.merge_bins_gpu, scale=GRIDS, work=grid_work(60, 4))
def merged_bins(rng, scale, put):
    into, other = some_bins(rng, scale, put), some_bins(rng, scale, put)
    raster.merge_bins(into, other)
    return {**into._asdict(), **inputs(**other._asdict())}


@case(raster.mean_gpu, scale=GRIDS, work=grid_work(16, 2))
def mean_heights(rng, scale, put):
    bins = some_bins(rng, scale, put)
    return {"mean": raster.cell_mean(bins.zsum, bins.n_point), **inputs(**bins._asdict())}


@case(raster.height_gpu, scale=GRIDS, work=grid_work(12, 1))
def lowest_heights(rng, scale, put):
    bins = some_bins(rng, scale, put)
    return {"height": raster.cell_height(bins.zmin, bins.n_point), **inputs(**bins._asdict())}


@case(raster.sample_nearest_gpu, scale=POINTS, work=points_work(28, 12))
def sampled_heights(rng, scale, put):
    x, y, _, ny, nx = cloud(rng, scale)
    # Half millimetres are exact in float32 below 2 m, and go to the even side.
    grid = put((rng.integers(-4000, 4000, (ny, nx)) / 2000).astype(np.float32))
    x, y = (put(v.astype(np.int64)) for v in (x, y))
    return {"height": raster.sample_nearest(grid, x, y, CELL), **inputs(grid=grid, x=x, y=y)}


# -- ground filter --------------------------------------------------------------------------------------------------------


def heights(rng, scale, put, shape=(13, 17)):
    return put(rng.normal(50, 8, (shape[0] * scale, shape[1] * scale)).astype(np.float32))


def surface(rng, ny, nx, put):
    grids = (rng.normal(40, 8, (ny, nx)), rng.uniform(0, 5, (ny, nx)))
    grids[0][0], grids[1][0] = 40, 0  # so that some points lie on their tolerance exactly
    return ground.SmrfSurface(*(put(g.astype(np.float32)) for g in grids), put(np.zeros((ny, nx), np.bool_)))


# Of ten million points some lie within a rounding of their tolerance.
@case(ground.is_ground_gpu, rare=1e-5, scale=POINTS, work=points_work(12 + 32 + 1, 40))
def ground_points(rng, scale, put):
    *points, ny, nx = cloud(rng, scale)
    points[2][::4] = 46_000
    x, y, z = (put(v) for v in points)
    made = surface(rng, ny, nx, put)
    return {"is_ground": ground.is_ground(x, y, z, made, CELL, 6.0, 3.0), **inputs(x=x, y=y, z=z, **made._asdict())}


# Heights of the ground near 40 m, differences down to nothing: the float64 of the formula leaves a rounding to float32.
@case(ground.height_above_gpu, relative=1e-6, absolute=1e-12, scale=POINTS, work=points_work(12 + 16 + 4, 20))
def heights_above_ground(rng, scale, put):
    *points, ny, nx = cloud(rng, scale)
    x, y, z = (put(v) for v in points)
    grid = surface(rng, ny, nx, put).ground
    return {"height": ground.height_above(x, y, z, grid, CELL), **inputs(x=x, y=y, z=z, grid=grid)}


@case(ground.mark_objects_gpu, scale=GRIDS, work=grid_work(10, 2))
def marked_objects(rng, scale, put):
    before = rng.normal(50, 3, (13 * scale, 17 * scale)).astype(np.float32)
    after = before - rng.choice(np.float32([0, 2, 4]), before.shape)  # 2 is the threshold
    before, after = put(before), put(after)
    marks = put(rng.random((13 * scale, 17 * scale)) < 0.2)
    ground.mark_objects(before, after, 2.0, 2, 11 * scale, marks)
    return {"marks": marks.view(np.uint8), **inputs(before=before, after=after)}


@case(ground.remove_objects_gpu, scale=GRIDS, work=grid_work(13, 1))
def removed_objects(rng, scale, put):
    values, out = heights(rng, scale, put), heights(rng, scale, put)
    shape = 13 * scale, 17 * scale
    known = put(np.where(rng.random(shape) < 0.3, np.nan, 5).astype(np.float32))
    is_object = put(rng.random(shape) < 0.3)
    ground.remove_objects(values, known, is_object, 1, 11 * scale, out)
    return {"out": out, **inputs(values=values, known=known, is_object=is_object)}


@case(ground.negate_gpu, opening.erode_tile_gpu, ground.mark_objects_gpu, scale=GRIDS, work=grid_work(4 + 4 + 16 + 9, 30))
def marked_low_outliers(rng, scale, put):
    values, marks = heights(rng, scale, put), put(rng.random((13 * scale, 17 * scale)) < 0.2)
    ground.mark_low_outliers(values, 9.0, 3, 12 * scale, marks)
    return {"marks": marks, **inputs(values=values)}


# A gradient from differences of heights that are exact, two quotients, a root: four roundings.
@case(ground.slope_gpu, relative=3e-7, scale=GRIDS, work=grid_work(8, 8))
def slopes(rng, scale, put):
    grid, out = heights(rng, scale, put), heights(rng, scale, put)
    ground.slope_rows(grid, 0.7, 0, 5, out)
    ground.slope_rows(grid, 0.7, 9, 13 * scale, out)
    return {"slope": out, **inputs(grid=grid)}


def one_pass(rng, put, shape, gpu_pass, cpu_pass, half):
    """The negative of a pass over rows 1 to the last but one of a raster."""
    values, out = put(rng.normal(0, 5, shape).astype(np.float32)), put(np.full((shape[0] - 2, shape[1]), 7, np.float32))
    if isinstance(values, np.ndarray):
        lowest = values.copy()
        cpu_pass(lowest)
        np.negative(lowest[1:-1], out=out)
    else:
        gpu_pass(values, [half], -1.0, 1, out)
    return {"out": out, **inputs(values=values)}


@case(opening.lowest_along_gpu, scale=GRIDS, work=Work("cell", lambda scale: 5 * scale * 509 * scale, 8, 5))
def lowest_along_rows(rng, scale, put):
    shape = 7 * scale, 509 * scale  # two segments a row, and a second block of rows

    def along(a):
        for row in a:
            opening._lowest_along(row, 5, np.empty(shape[1] + 10, np.float32), row)

    return one_pass(rng, put, shape, opening._row_pass, along, 5)


@case(opening.lowest_across_gpu, scale=GRIDS, work=Work("cell", lambda scale: 253 * scale * 17 * scale, 8, 5))
def lowest_across_rows(rng, scale, put):
    shape = 255 * scale, 17 * scale  # two strips, of two pieces each

    def across(a):
        opening._lowest_across(a, 6, np.empty((shape[0] + 12, shape[1]), np.float32))

    return one_pass(rng, put, shape, opening._column_pass, across, 6)


def opened(rng, put, shape, radius, j0, j1):
    values, out = put(rng.normal(0, 5, shape).astype(np.float32)), put(np.full(shape, 7, np.float32))
    ground.open_rows(values, radius, j0, j1, out)
    return {"opened": out, **inputs(values=values)}


@case(opening.erode_tile_gpu, scale=GRIDS, work=Work("cell", lambda scale: 36 * scale * 69 * scale, 16, 40))
def opening_in_tiles(rng, scale, put):
    return opened(rng, put, (39 * scale, 69 * scale), 5, 2, 38 * scale)


PASSES = (opening.lowest_along_gpu, opening.lowest_across_gpu, opening.erode_tile_gpu)


@case(*PASSES, scale=GRIDS, work=Work("cell", lambda scale: 17 * scale * 21 * scale, 48, 60))
def opening_in_three_passes(rng, scale, put):
    return opened(rng, put, (23 * scale, 21 * scale), 18, 4, 21 * scale)


@case(*PASSES, scale=GRIDS, work=Work("cell", lambda scale: 7 * scale * 40 * scale, 160, 200))
def opening_wider_than_a_pass(rng, scale, put):
    # Half-widths of 70 along rows and 35 twice across them, and a diamond of 50 in seven passes.
    return opened(rng, put, (9 * scale, 150 * scale), 120, 1, 8 * scale)
