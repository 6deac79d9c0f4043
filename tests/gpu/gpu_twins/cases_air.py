"""Cases of the canopy air: transport, relaxation, diffusion and their boundary.

Temperatures are differences from a reference of about 1 K here, so that rounding is not hidden behind 300 K. A cell sums some
twenty terms of size 1, and contraction may round each of them differently: 5e-7 in float32, as many roundings in float64.
"""

from __future__ import annotations

import numpy as np

from felsina.kernels.air import boundary, diffusion, implicit, transport, wind
from felsina.kernels.air.transport import HALO
from gpu_twins.harness import Work, case

SPACING = (2.0, 4.0, 5.0)
# Loops over layers are unrolled by four: they run twice, and three times more. Neither fills blocks of four threads.
LAYERS, ROWS = 11, 7


def _columns(scale: int) -> int:
    return 34 * scale  # more than a block is wide


def _cells(scale: int) -> int:
    return LAYERS * (ROWS - 1) * (_columns(scale) - 3)


def air_box(rng, scale, kind, layers=LAYERS):
    """A box of air with obstacles: T, T_start, u, v, w, K, S and the mask, all different in every cell, halo included."""
    shape = (layers + 2 * HALO, ROWS + 2 * HALO, _columns(scale) + 2 * HALO)
    t, start, u, v, w, s = (rng.normal(0, 1, shape).astype(kind) for _ in range(6))
    k = rng.uniform(0.1, 2, shape).astype(kind)
    # Unknown temperature, wind, diffusivity and heat, far from each other.
    t[HALO + 3, 4, 8] = start[HALO + min(5, layers - 1), 7, 30] = u[HALO + 2, 6, 13] = v[HALO + 3, 4, 17] = np.nan
    w[HALO + 1, 5, 21] = k[HALO + min(6, layers - 2), 6, 25] = s[HALO, 3, 28] = np.nan
    # Rooms of air between obstacles, so that every combination of open and closed faces occurs.
    return t, start, u, v, w, k, s, (rng.random(shape) > 0.25).astype(np.uint8)


def _stage(rng, scale, put, kind, scheme):
    t, start, u, v, w, k, s, air = air_box(rng, scale, kind)
    bits = put(transport.air_neighbours(air))
    out = put(np.full(t.shape, 7.0, kind))
    inputs = [put(a) for a in (t, start, u, v, w, k)]
    box = (0, LAYERS, 1, ROWS, 2, _columns(scale) - 1)
    transport.transport_stage(*inputs, bits, put(s), out, SPACING, 0.21, 0.25, scheme, box=box)
    return {"out": out}


STAGE = Work("cell", _cells, 8 * 4 + 2, 110)


@case(transport.koren_gpu, relative=1e-6, absolute=5e-7, scale=1024, work=STAGE)
def koren_stage_f4(rng, scale, put):
    return _stage(rng, scale, put, np.float32, "koren")


@case((transport.koren_gpu, "f8"), relative=1e-14, absolute=4e-15)
def koren_stage_f8(rng, scale, put):
    return _stage(rng, scale, put, np.float64, "koren")


@case(transport.upwind_gpu, relative=1e-6, absolute=5e-7, scale=1024, work=Work("cell", _cells, 8 * 4 + 2, 60))
def upwind_stage_f4(rng, scale, put):
    return _stage(rng, scale, put, np.float32, "upwind")


@case((transport.upwind_gpu, "f8"), relative=1e-14, absolute=4e-15)
def upwind_stage_f8(rng, scale, put):
    return _stage(rng, scale, put, np.float64, "upwind")


@case(transport.neighbours_gpu, scale=1024, work=Work("cell", lambda scale: LAYERS * ROWS * _columns(scale), 1 + 2, 0))
def air_neighbours(rng, scale, put):
    air = put(air_box(rng, scale, np.float32)[-1])
    return {"bits": transport.air_neighbours(air), "air": air}


def _step(rng, scale, put, kind):
    steps = []
    for axis, layers in ((None, LAYERS), (0, 8), (1, 5), (2, 4)):
        steps += _steps_of_an_axis(air_box(rng, scale, kind, layers), rng, put, kind, axis)
    return {"step": put(np.array(steps, kind))}


def _steps_of_an_axis(box, rng, put, kind, axis):
    """Few faces have wind, along one axis at a time, so that each of a cell's faces decides in turn."""
    _, _, u, v, w, k, _, air = box
    # Beyond the cells whose step is asked for it is wilder: a thread too many would shorten the step.
    k[:, :, -1] = k[:, -1] = k[:, :, 0] = k[:, 0] = 90
    faces = [np.where(rng.random(a.shape) < 0.02, a, 0).astype(kind) if n == axis else a for n, a in enumerate((u, v, w))]
    placed = [put(a) for a in (*faces, k, air)]
    return [transport.stable_step(*placed, SPACING), transport.stable_step(*placed, SPACING, False)]


@case(transport.row_rates_gpu, relative=1e-6, scale=1024, work=Work("cell", _cells, 4 * 4 + 1, 30))
def stable_step_f4(rng, scale, put):
    return _step(rng, scale, put, np.float32)


@case((transport.row_rates_gpu, "f8"), relative=1e-14)
def stable_step_f8(rng, scale, put):
    return _step(rng, scale, put, np.float64)


def _boundary(rng, scale, put, kind):
    t, _, u, v, *_ = air_box(rng, scale, kind)
    profile = put(rng.normal(0, 1, LAYERS).astype(kind))
    some, every = put(t), put(t.copy())
    boundary.fill_boundary(some, put(u), put(v), profile, 0.625, (True, False, False, True))
    boundary.fill_boundary(every, put(u), put(v), profile, 0.375)
    return {"some": some, "every": every}


@case(boundary.side_gpu, boundary.caps_gpu)
def fill_boundary_f4(rng, scale, put):
    return _boundary(rng, scale, put, np.float32)


@case((boundary.side_gpu, "f8"), (boundary.caps_gpu, "f8"))
def fill_boundary_f8(rng, scale, put):
    return _boundary(rng, scale, put, np.float64)


def _relaxed(rng, scale, put, kind):
    t, start, u, v, w, k, s, air = air_box(rng, scale, kind)
    # A closed cell that no face feeds keeps its value even at an infinite step: its diagonal is 0.
    u[:, :, 5:7], v[:, 4:6, 5], w[:, 4, 5], k[:, 3:6, 4:7] = 0, 0, 0, 0
    inputs = [put(a) for a in (start, u, v, w, k, air, s)]
    change = put(np.zeros(ROWS, kind))
    odd, even = put(t), put(t.copy())
    nx = _columns(scale)
    # Whole columns at once, and cut into a strip and the rest, with a scratch of one's own and one for the call.
    scratch = implicit.relax_scratch(odd)
    implicit.relax_columns(odd, *inputs, SPACING, 40.0, 1, change, (3, 6), scratch=scratch)
    for box in ((1, 2, 0, nx), (2, ROWS, 1, nx)):
        implicit.relax_columns(even, *inputs, SPACING, float("inf"), 0, change, (2, 1), box)
    t, start, u, v, w, k, s, air = air_box(rng, scale, kind, 8)
    few, wide = put(t), _columns(scale) - 1
    implicit.relax_columns(
        few, *(put(a) for a in (start, u, v, w, k, air, s)), SPACING, 9.0, 1, change, (1, 0), (0, ROWS, 0, wide)
    )
    return {"odd": odd, "even": even, "few": few, "change": change}


# Of the elimination of a column of eleven: each of the terms above, divided by a diagonal of the size of the terms.
@case(
    implicit.relax_gpu,
    relative=1e-6,
    absolute=1e-6,
    scale=1024,
    work=Work("cell", lambda s: LAYERS * ROWS * _columns(s), 8 * 4 + 1 + 8, 60),
)
def relax_columns_f4(rng, scale, put):
    return _relaxed(rng, scale, put, np.float32)


@case((implicit.relax_gpu, "f8"), relative=1e-14, absolute=2e-14)
def relax_columns_f8(rng, scale, put):
    return _relaxed(rng, scale, put, np.float64)


def _diffused(rng, scale, put, kind):
    t, _, _, _, _, k, _, air = air_box(rng, scale, kind)
    inputs = put(k), put(air)
    whole, parts = put(t), put(t.copy())
    nx = _columns(scale)
    diffusion.diffuse_vertically(whole, *inputs, 2.0, 3.0, scratch=put(np.zeros(2 * LAYERS * ROWS * nx, kind)))
    diffusion.diffuse_vertically(parts, *inputs, 2.0, 300.0, (1, ROWS, 2, nx - 3))
    t, _, _, _, _, k, _, air = air_box(rng, scale, kind, 8)
    few = put(t)
    diffusion.diffuse_vertically(few, put(k), put(air), 2.0, 3.0)
    return {"whole": whole, "parts": parts, "few": few}


# As the relaxation, with a coefficient of up to 300 in the second call.
@case(diffusion.columns_gpu, relative=1e-6, absolute=1e-6, scale=1024, work=Work("cell", _cells, 3 * 4 + 1 + 16, 25))
def diffuse_vertically_f4(rng, scale, put):
    return _diffused(rng, scale, put, np.float32)


@case((diffusion.columns_gpu, "f8"), relative=1e-14, absolute=2e-14)
def diffuse_vertically_f8(rng, scale, put):
    return _diffused(rng, scale, put, np.float64)


def _roofs(rng, scale):
    """Heights of 0 to 4 layers in a window that reaches beyond the city's edge on no side, and on all sides."""
    return (rng.integers(0, LAYERS, (ROWS, _columns(scale))) * (rng.random((ROWS, _columns(scale))) < 0.4)).astype(np.int32)


def _wind(rng, scale, put, kind):
    roof, results = put(_roofs(rng, scale)), {}
    windows = (("city", LAYERS, (0, ROWS, 0, _columns(scale))), ("part", 12, (2, 5, 1, _columns(scale) - 4)))
    for name, layers, window in windows:
        speed = put(np.sort(rng.uniform(0.3, 6, layers)).astype(kind))
        shape = (layers + 2 * HALO, window[1] - window[0] + 2 * HALO, window[3] - window[2] + 2 * HALO)
        fields = [put(np.full(shape, 9.0, kind)) for _ in range(3)]
        wind.fit_wind(roof, speed, 2.3 if name == "city" else 5.1, SPACING, 13.0, *fields, window)
        results |= {f"{name}_{axis}": a for axis, a in zip("uvw", fields, strict=True)}
    return results


# Strips over high roofs carry up to 28 m/s, of which a unit in the last place is 1.9e-6 m/s, and w sums differences of them: so
# two units. CPU and GPU lie equally far, 3e-6 m/s, from the result in float64.
@case(wind.strip_gpu, wind.lift_gpu, relative=1e-6, absolute=4e-6, scale=1024, work=Work("cell", _cells, 3 * 4, 40))
def fit_wind_f4(rng, scale, put):
    return _wind(rng, scale, put, np.float32)


@case((wind.strip_gpu, "f8"), (wind.lift_gpu, "f8"), relative=1e-14, absolute=1e-14)
def fit_wind_f8(rng, scale, put):
    return _wind(rng, scale, put, np.float64)


@case(wind.air_cells_gpu, scale=1024, work=Work("cell", lambda scale: (LAYERS + 4) * (ROWS + 4) * (_columns(scale) + 4), 1, 0))
def air_cells(rng, scale, put):
    # A building in the very corner, and a number of layers that leaves the last block of threads whole.
    roofs = _roofs(rng, scale)
    roofs[0, 0] = 3
    roof = put(roofs)
    return {"city": wind.air_cells(roof, LAYERS + 1), "part": wind.air_cells(roof, LAYERS, (1, 4, 3, 9)), "roof": roof}


def _morphometry(rng, scale, put, kind):
    # More rows than a thread sums, and heights of the weights of whole millimetres and between them.
    shape = (wind._STRIP + 8, 9 * scale)
    height = put(np.where(rng.random(shape) < 0.4, rng.uniform(2, 60, shape), 0).astype(kind))
    return {"all": put(wind.morphometry_sums(height)), "part": put(wind.morphometry_sums(height, (1, 38, 2, 9 * scale - 1)))}


@case(wind.morphometry_gpu, scale=8192, work=Work("cell", lambda scale: 40 * 9 * scale, 4, 12))
def morphometry_f4(rng, scale, put):
    return _morphometry(rng, scale, put, np.float32)


@case((wind.morphometry_gpu, "f8"))
def morphometry_f8(rng, scale, put):
    return _morphometry(rng, scale, put, np.float64)
