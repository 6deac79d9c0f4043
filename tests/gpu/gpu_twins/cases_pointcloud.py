"""Cases of points to rasters, the ground filter and the filling of gaps.

Binning is of whole numbers and openings are of comparisons: no bound is needed. Where there is none below, the same operations
round in the same order on both; sums of differences may be contracted otherwise, 1e-6 of values near 1.
"""

from __future__ import annotations

from math import isqrt

import numpy as np

from felsina.kernels.pointcloud import gaps, ground, harmonic, opening, pyramid, raster
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
    points[2][(points[0] % CELL == 0) | (points[1] % CELL == 0)] -= 60_000  # an edge shows only where it is the lowest
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


@case(ground.is_ground_gpu, scale=POINTS, work=points_work(12 + 32 + 1, 40))
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


# -- filling of gaps ------------------------------------------------------------------------------------------------------


@case(harmonic.range_gpu, scale=GRIDS, work=grid_work(4, 3))
def value_range(rng, scale, put):
    found = {}
    for ny, nx, middle, extreme in ((13, 21, 0, 0), (7, 11, 80, np.inf), (7, 10, -80, -np.inf), (1, 3, 0, 5), (1, 2, 0, 5)):
        grid = rng.normal(middle, 10, (ny * scale, nx * scale)).astype(np.float32)
        if ny > 1:
            grid[rng.random(grid.shape) < 0.4] = np.nan
            grid[0, :9] = -np.nan, *[extreme] * 8
        *ends, n = harmonic.value_range(put(grid))
        found |= {f"ends_{ny}_{nx}": put(np.array(ends)), f"n_{ny}_{nx}": put(np.array([n]))}
    return found


SHAPES = ((13, 18), (14, 17))  # rows and columns odd and even


def fine_level(rng, ny, nx):
    """Values, right-hand side and void mask."""
    shape = ny, nx
    u, rhs = (rng.normal(0, 1, shape).astype(np.float32) for _ in range(2))
    return {"u": u, "rhs": rhs, "is_void": (rng.random(shape) < 0.6).astype(np.uint8)}


def coarse_level(rng, ny, nx):
    """Values, right-hand side and conductances; some cells conduct nothing."""
    shape = ny, nx
    level = {name: rng.normal(0, 1, shape) for name in ("u", "rhs")}
    for name in ("cx", "cy", "shore"):
        level[name] = rng.uniform(0.1, 2, shape) * (rng.random(shape) < 0.7)
    quiet = np.s_[3:6, 4:8]
    level["cx"][3:6, 3:8] = level["cy"][2:6, 4:8] = level["shore"][quiet] = 0
    return {name: a.astype(np.float32) for name, a in level.items()}


def half(n):
    return (n + 1) // 2


def coarse(rng, ny, nx):
    return rng.normal(0, 1, (half(ny), half(nx))).astype(np.float32)


def pick(level, *names):
    return {name: level[name] for name in names}


def stepped(scale, put, drivers, arrays, *numbers):
    """All arrays after a step over some rows of the last of them; `arrays(ny, nx)` makes them by name."""
    found = {}
    for ny, nx in SHAPES:
        placed = {name: put(a) for name, a in arrays(ny * scale, nx * scale).items()}
        *_, written = placed.values()
        step = gaps._step(drivers, written, tuple(placed.values()), *numbers)
        step.run(0, 2)
        step.run(3, step.n_row)
        found |= {f"{name}_{ny}_{nx}": a for name, a in placed.items()}
    return found


def holed(level):
    return np.where(level["is_void"], np.float32(np.nan), level["u"])


@case(harmonic.start_void_gpu, scale=GRIDS, work=grid_work(5, 1))
def start_of_void_mask(rng, scale, put):
    def arrays(ny, nx):
        return {"grid": holed(fine_level(rng, ny, nx)), "is_void": np.full((ny, nx), 9, np.uint8)}

    return stepped(scale, put, harmonic.START_VOID, arrays)


@case(harmonic.start_gpu, scale=GRIDS, work=grid_work(8, 1))
def start_of_values(rng, scale, put):
    def arrays(ny, nx):
        level = fine_level(rng, ny, nx)
        return {"grid": holed(level), "u": level["rhs"]}

    return stepped(scale, put, harmonic.START, arrays, np.float32(1.25))


@case(harmonic.clear_gpu, scale=GRIDS, work=grid_work(4, 0))
def cleared(rng, scale, put):
    return stepped(scale, put, harmonic.CLEAR, lambda ny, nx: pick(fine_level(rng, ny, nx), "u"))


@case(harmonic.finish_gpu, scale=GRIDS, work=grid_work(12, 1))
def finished(rng, scale, put):
    level = fine_level(rng, 13 * scale, 17 * scale)
    grid, u = put(holed(level)), put(level["rhs"])
    out = put(np.full(grid.shape, 7, np.float32))
    harmonic.finish(grid, u, np.float32(1.25), out)
    return {"out": out, **inputs(grid=grid, u=u)}


@case(harmonic.push_void_gpu, scale=GRIDS, work=grid_work(1.25, 1))
def pushed_void_mask(rng, scale, put):
    def arrays(ny, nx):
        is_void = (rng.random((ny, nx)) < 0.8).astype(np.uint8)
        return {"is_void": is_void, "written": np.full((half(ny), half(nx)), 9, np.uint8)}

    return stepped(scale, put, harmonic.PUSH_VOID, arrays)


@case(harmonic.push_gpu, scale=GRIDS, work=grid_work(6, 2))
def pushed_values(rng, scale, put):
    def arrays(ny, nx):
        return {**pick(fine_level(rng, ny, nx), "u", "is_void"), "written": coarse(rng, ny, nx)}

    return stepped(scale, put, harmonic.PUSH, arrays)


# Values near 1 in three interpolations that may be contracted.
@case(harmonic.pull_gpu, relative=1e-6, absolute=2e-7, scale=GRIDS, work=grid_work(6, 9))
def pulled_values(rng, scale, put):
    def arrays(ny, nx):
        return {"coarse": coarse(rng, ny, nx), **pick(fine_level(rng, ny, nx), "is_void", "u")}

    return stepped(scale, put, harmonic.PULL, arrays)


@case(harmonic.prolong_gpu, scale=GRIDS, work=grid_work(10, 1))
def prolonged_in_voids(rng, scale, put):
    def arrays(ny, nx):
        return {"coarse": coarse(rng, ny, nx), **pick(fine_level(rng, ny, nx), "is_void", "u")}

    return stepped(scale, put, harmonic.PROLONG, arrays)


@case(harmonic.relax_gpu, relative=1e-6, absolute=1e-6, scale=GRIDS, work=grid_work(13, 11))
def relaxed_voids(rng, scale, put):
    def arrays(ny, nx):
        level = fine_level(rng, ny, nx)
        return {**level, "out": level["u"] + np.float32(2)}

    return stepped(scale, put, harmonic.RELAX, arrays)


@case(harmonic.restrict_gpu, relative=1e-6, absolute=1e-6, scale=GRIDS, work=grid_work(10, 9))
def restricted_voids(rng, scale, put):
    def arrays(ny, nx):
        return {**fine_level(rng, ny, nx), "written": coarse(rng, ny, nx)}

    return stepped(scale, put, harmonic.RESTRICT, arrays)


FIRST = {"east": pyramid.FIRST_CX, "south": pyramid.FIRST_CY, "shore": pyramid.FIRST_SHORE}
NEXT = {"east": pyramid.NEXT_CX, "south": pyramid.NEXT_CY, "shore": pyramid.NEXT_SHORE}


def first_table(rng, scale, put, which):
    def arrays(ny, nx):
        return {"is_void": (rng.random((ny, nx)) < 0.6).astype(np.uint8), "written": coarse(rng, ny, nx)}

    return stepped(scale, put, FIRST[which], arrays)


def next_table(rng, scale, put, which):
    def arrays(ny, nx):
        return {"fine": rng.uniform(0.1, 2, (ny, nx)).astype(np.float32), "written": coarse(rng, ny, nx)}

    return stepped(scale, put, NEXT[which], arrays)


@case(pyramid.first_cx_gpu, scale=GRIDS, work=grid_work(2, 1))
def first_conductance_east(rng, scale, put):
    return first_table(rng, scale, put, "east")


@case(pyramid.first_cy_gpu, scale=GRIDS, work=grid_work(2, 1))
def first_conductance_south(rng, scale, put):
    return first_table(rng, scale, put, "south")


@case(pyramid.first_shore_gpu, scale=GRIDS, work=grid_work(2, 4))
def first_shore(rng, scale, put):
    return first_table(rng, scale, put, "shore")


@case(pyramid.next_cx_gpu, scale=GRIDS, work=grid_work(5, 0.5))
def next_conductance_east(rng, scale, put):
    return next_table(rng, scale, put, "east")


@case(pyramid.next_cy_gpu, scale=GRIDS, work=grid_work(5, 0.5))
def next_conductance_south(rng, scale, put):
    return next_table(rng, scale, put, "south")


@case(pyramid.next_shore_gpu, scale=GRIDS, work=grid_work(5, 1))
def next_shore(rng, scale, put):
    return next_table(rng, scale, put, "shore")


# A residual sums six products of size 1 to 4; the correction divides it by a diagonal down to 0.1 and so grows tenfold.
@case(pyramid.relax_gpu, relative=1e-6, absolute=1e-5, scale=GRIDS, work=grid_work(28, 24))
def relaxed_blocks(rng, scale, put):
    def arrays(ny, nx):
        level = coarse_level(rng, ny, nx)
        return {**level, "out": level["u"] + np.float32(2)}

    return stepped(scale, put, pyramid.RELAX, arrays)


@case(pyramid.restrict_gpu, relative=1e-6, absolute=4e-6, scale=GRIDS, work=grid_work(21, 20))
def restricted_blocks(rng, scale, put):
    def arrays(ny, nx):
        return {**coarse_level(rng, ny, nx), "written": coarse(rng, ny, nx)}

    return stepped(scale, put, pyramid.RESTRICT, arrays)


@case(pyramid.prolong_gpu, scale=GRIDS, work=grid_work(9, 1))
def prolonged_to_blocks(rng, scale, put):
    def arrays(ny, nx):
        return {"coarse": coarse(rng, ny, nx), **pick(fine_level(rng, ny, nx), "u")}

    return stepped(scale, put, pyramid.PROLONG, arrays)


# -- the chain ------------------------------------------------------------------------------------------------------------


FILLING = tuple(
    drivers.gpu
    for drivers in (
        harmonic.START_VOID, harmonic.START, harmonic.CLEAR, harmonic.PUSH_VOID, harmonic.PUSH, harmonic.PULL, harmonic.RELAX,
        harmonic.RESTRICT, harmonic.PROLONG, *FIRST.values(), *NEXT.values(), pyramid.RELAX, pyramid.RESTRICT, pyramid.PROLONG,
    )
)  # fmt: skip
FILLED = (*FILLING, harmonic.range_gpu, harmonic.finish_gpu)
STAGES = (ground.negate_gpu, ground.mark_objects_gpu, ground.remove_objects_gpu, ground.slope_gpu, opening.erode_tile_gpu)


# A filled height is the sum of an offset near 50 m, exact to 4e-6 m, and of relaxed heights that differ by a few times that.
@case(*FILLED, absolute=2e-5, scale=GRIDS)
def filled_raster(rng, scale, put):
    grid = rng.normal(50, 8, (9 * scale, 6 * scale)).astype(np.float32)
    grid[rng.random(grid.shape) < 0.6] = np.nan
    grid = put(grid)
    return {"filled": gaps.fill_gaps(grid, 1), **inputs(grid=grid)}


@case(*FILLED, *STAGES, absolute=4e-5, scale=GRIDS)
def filtered_ground(rng, scale, put):
    lowest = (50 + rng.normal(0, 0.3, (9 * scale, 7 * scale))).astype(np.float32)
    lowest[2:5, 2:5] += 6
    lowest[7, 1] -= 20
    lowest[rng.random(lowest.shape) < 0.2] = np.nan
    lowest = put(lowest)
    return {**ground.smrf(lowest, 1.0, 2.0, fill_cycles=1)._asdict(), **inputs(lowest=lowest)}
