"""Cases of the filling of gaps, and of the ground filter that stands on it.

Sums of differences of values near 1 may be contracted otherwise: 1e-6. Where there is no bound, the same operations round in
the same order on both.
"""

from __future__ import annotations

import numpy as np

from felsina.kernels.pointcloud import gaps, ground, harmonic, opening, pyramid
from gpu_twins.cases_pointcloud import GRIDS, grid_work, inputs
from gpu_twins.harness import case


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


# An object more or less, where a height lies within a rounding of its threshold, changes what is filled around it.
@case(*FILLED, *STAGES, absolute=4e-5, scale=GRIDS, rare=1e-3)
def filtered_ground(rng, scale, put):
    lowest = (50 + rng.normal(0, 0.3, (9 * scale, 7 * scale))).astype(np.float32)
    lowest[2:5, 2:5] += 6
    lowest[7, 1] -= 20
    lowest[rng.random(lowest.shape) < 0.2] = np.nan
    lowest = put(lowest)
    return {**ground.smrf(lowest, 1.0, 2.0, fill_cycles=1)._asdict(), **inputs(lowest=lowest)}
