from itertools import pairwise

import numpy as np
import pytest
from numba import set_num_threads

from felsina.kernels.air.boundary import fill_boundary
from felsina.kernels.air.implicit import LANES, relax_columns
from felsina.kernels.air.transport import HALO, air_neighbours, stable_step, transport_stage
from felsina.kernels.air.wind import air_cells, fit_wind

SPACING = (3.0, 4.0, 4.0)
INNER = (slice(HALO, -HALO),) * 3


class Quarter:
    """Wind between two houses, with a heated cell in the street."""

    def __init__(self, dtype=np.float64, ny=11, nx=14, nz=6):
        self.roof = np.zeros((ny, nx), np.int32)
        self.roof[3:6, 4:8], self.roof[7:9, 9:12] = 3, 2
        shape = (nz + 4, ny + 4, nx + 4)
        self.wind = [np.zeros(shape, dtype) for _ in range(3)]
        fit_wind(self.roof, np.linspace(0.5, 3.0, nz), 0.7, SPACING, 12.0, *self.wind)
        self.air = air_cells(self.roof, nz)
        self.diffusivity = np.full(shape, 0.8, dtype)
        self.source = np.zeros(shape, dtype)
        self.source[HALO, 6 + HALO, 6 + HALO] = 0.02
        self.temperature = np.full(shape, 300.0, dtype)
        self.inflow = np.full(nz, 300.0, dtype)

    def boundary(self, t):
        fill_boundary(t, self.wind[0], self.wind[1], self.inflow, 300.0)

    def sweep(self, t, start, dt):
        change = np.zeros(t.shape[1] - 2 * HALO, t.dtype)
        for colour in (0, 1):
            self.boundary(t)
            relax_columns(t, start, *self.wind, self.diffusivity, self.air, self.source, SPACING, dt, colour, change)
        return float(change.max())


def solved(case, dt, sweeps=400):
    t = case.temperature.copy()
    for _ in range(sweeps):
        change = case.sweep(t, case.temperature, dt)
    return t, change


def test_the_steady_state_is_where_explicit_upwind_stages_end():
    case = Quarter()
    steady, change = solved(case, float("inf"))
    assert change < 1e-10
    t, out, bits = case.temperature.copy(), case.temperature.copy(), air_neighbours(case.air)
    dt = 0.9 * stable_step(*case.wind, case.diffusivity, case.air, SPACING)
    for _ in range(6000):
        case.boundary(t)
        transport_stage(t, t, *case.wind, case.diffusivity, bits, case.source, out, SPACING, dt, scheme="upwind")
        t, out = out, t
    # 6000 steps are more than ten flushes: what is left of the start is below 1e-6 of a warming of 0.07 K.
    assert (steady[INNER] - 300).max() > 0.05
    np.testing.assert_allclose(t[INNER], steady[INNER], atol=1e-6)


def test_a_short_step_is_backward_euler():
    case = Quarter()
    t, change = solved(case, 2.0)
    assert change < 1e-12
    # Insert the solution into (T - T_start) / dt = L(T): one explicit stage of the negative step must give the start back.
    case.boundary(t)
    back = t.copy()
    transport_stage(
        t, t, *case.wind, case.diffusivity, air_neighbours(case.air), case.source, back, SPACING, -2.0, scheme="upwind"
    )
    np.testing.assert_allclose(back[INNER][case.air[INNER] == 1], 300.0, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_isothermal_field_stays_isothermal_to_the_bit(dtype):
    case = Quarter(dtype)
    case.source[...] = 0
    t = case.temperature.copy()
    assert case.sweep(t, case.temperature, 3600.0) == 0.0
    assert (t == dtype(300.0)).all()


def test_no_new_extremum_without_a_source():
    case = Quarter()
    case.source[...] = 0
    rng = np.random.default_rng(0)
    start = case.temperature.copy()
    start[INNER] = rng.uniform(295.0, 305.0, start[INNER].shape)
    case.temperature = start
    t, _ = solved(case, 600.0)
    air = case.air[INNER] == 1
    assert t[INNER][air].min() >= start[INNER].min() - 1e-9
    assert t[INNER][air].max() <= start[INNER].max() + 1e-9


def test_heat_that_enters_leaves_with_the_air():
    # Steady: the source equals what crosses the edges, K per second times the cell's volume.
    case = Quarter()
    t, _ = solved(case, float("inf"), 800)
    case.boundary(t)
    u, v, w = case.wind
    z, y, x = (slice(HALO, -HALO),) * 3
    dz, dy, dx = SPACING

    def out(vel, inside, outside, area, h):
        excess = np.where(vel > 0, inside, outside) - 300.0
        return ((vel * excess - 0.8 * (outside - inside) / h) * area).sum()

    leaves = out(u[z, y, -HALO], t[z, y, -HALO - 1], t[z, y, -HALO], dz * dy, dx)
    leaves += out(-u[z, y, HALO], t[z, y, HALO], t[z, y, HALO - 1], dz * dy, dx)
    leaves += out(v[z, -HALO, x], t[z, -HALO - 1, x], t[z, -HALO, x], dz * dx, dy)
    leaves += out(-v[z, HALO, x], t[z, HALO, x], t[z, HALO - 1, x], dz * dx, dy)
    leaves += out(w[-HALO, y, x], t[-HALO - 1, y, x], t[-HALO, y, x], dx * dy, dz)
    np.testing.assert_allclose(leaves, 0.02 * dz * dy * dx, rtol=1e-8)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tiles_and_threads_give_the_same_bits(dtype):
    case = Quarter(dtype)
    rng = np.random.default_rng(5)
    case.temperature[INNER] = rng.uniform(299, 301, case.temperature[INNER].shape)
    whole = case.temperature.copy()
    set_num_threads(1)
    for _ in range(3):
        case.sweep(whole, case.temperature, 60.0)
    set_num_threads(2)
    t = case.temperature.copy()
    arrays = (case.temperature, *case.wind, case.diffusivity, case.air, case.source)
    for _ in range(3):
        for colour in (0, 1):
            case.boundary(t)
            new = t.copy()
            for j0, j1 in ((0, 5), (5, 11)):
                for i0, i1 in ((0, 3), (3, 14)):
                    cut = (slice(None), slice(j0, j1 + 2 * HALO), slice(i0, i1 + 2 * HALO))
                    tile = np.ascontiguousarray(t[cut])
                    parts = [np.ascontiguousarray(a[cut]) for a in arrays]
                    relax_columns(tile, *parts, SPACING, 60.0, colour, np.zeros(j1 - j0, dtype), (j0, i0))
                    new[HALO:-HALO, j0 + HALO : j1 + HALO, i0 + HALO : i1 + HALO] = tile[INNER]
            t[INNER] = new[INNER]
    np.testing.assert_array_equal(t[INNER], whole[INNER])


def test_a_row_wider_than_a_block_of_lanes_gives_the_bits_of_its_parts():
    rng = np.random.default_rng(2)
    nx = 2 * LANES + 77
    shape = (4 + 4, 2 + 4, nx + 4)
    t, start, u, v, w, s = (rng.normal(0, 1, shape).astype(np.float32) for _ in range(6))
    k, air = rng.uniform(0, 1, shape).astype(np.float32), (rng.random(shape) > 0.3).astype(np.uint8)
    whole, change = t.copy(), np.zeros(2, np.float32)
    relax_columns(whole, start, u, v, w, k, air, s, SPACING, 30.0, 1, change)
    held = (np.arange(2)[:, None] + np.arange(nx)[None, :] + 1) % 2 == 1
    assert (whole[INNER][:, held] == t[INNER][:, held]).all()
    # Of float32 values near 1: T + d loses up to 1e-7 of d.
    np.testing.assert_allclose(change, np.abs(whole - t)[INNER].max((0, 2)), rtol=1e-5)
    cuts = (0, 1, 300, LANES + 5, nx)
    for a, b in pairwise(cuts):
        parts = [np.ascontiguousarray(x[:, :, a : b + 2 * HALO]) for x in (t, start, u, v, w, k, air, s)]
        relax_columns(*parts, SPACING, 30.0, 1, np.zeros(2, np.float32), (0, a))
        assert parts[0][INNER].tobytes() == whole[INNER][:, :, a:b].tobytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("colour", [0, 1])
def test_any_order_of_boxes_gives_the_bits_of_the_whole(dtype, colour):
    rng = np.random.default_rng(4)
    shape = (5 + 4, 9 + 4, LANES + 30 + 4)
    t, start, u, v, w, s = (rng.normal(0, 1, shape).astype(dtype) for _ in range(6))
    k, air = rng.uniform(0, 1, shape).astype(dtype), (rng.random(shape) > 0.3).astype(np.uint8)
    whole, change = t.copy(), np.zeros(9, dtype)
    relax_columns(whole, start, u, v, w, k, air, s, SPACING, 30.0, colour, change, (3, 4))
    for _ in range(4):
        j, i = sorted(rng.integers(0, 10, 2)), sorted(rng.integers(0, LANES + 31, 2))
        inside = (*j, *i)
        ring = [(0, j[0], 0, LANES + 30), (j[1], 9, 0, LANES + 30), (*j, 0, i[0]), (*j, i[1], LANES + 30)]
        parts, moved = t.copy(), np.zeros(9, dtype)
        for box in (*ring, inside):
            relax_columns(parts, start, u, v, w, k, air, s, SPACING, 30.0, colour, moved, (3, 4), box)
        assert parts.tobytes() == whole.tobytes()
        assert moved.tobytes() == change.tobytes()


def test_the_largest_change_is_raised_never_lowered():
    case, change = Quarter(), np.full(11, 0.5)
    case.boundary(case.temperature)
    t = case.temperature.copy()
    arrays = (*case.wind, case.diffusivity, case.air, case.source)
    relax_columns(t, case.temperature, *arrays, SPACING, 60.0, 0, change)
    assert (np.abs(t - case.temperature).max((0, 2))[HALO:-HALO] <= 0.5).all() and (change >= 0.5).all()
    relax_columns(t, case.temperature, *arrays, SPACING, 60.0, 0, change, box=(0, 0, 0, 14))
    assert (change >= 0.5).all()


def test_a_temperature_that_would_be_relaxed_in_a_copy_is_an_error():
    case = Quarter()
    arrays = (case.temperature, *case.wind, case.diffusivity, case.air, case.source)
    with pytest.raises(ValueError, match="C-contiguous"):
        relax_columns(np.asfortranarray(case.temperature), *arrays, SPACING, 60.0, 0, np.zeros(11))
