"""The transport stage against a plain reference, its limits, and its independence of cuts and threads."""

import numba
import numpy as np
import pytest

from felsina.kernels.air.boundary import fill_boundary
from felsina.kernels.air.transport import HALO, SSP_RK3, air_neighbours, stable_step, transport_stage
from felsina.kernels.air.wind import air_cells, fit_wind

SPACING = (2.0, 4.0, 5.0)
IN = np.s_[HALO:-HALO, HALO:-HALO, HALO:-HALO]


def case(shape=(6, 9, 37), dtype=np.float64, seed=0, solid=0.2):
    rng = np.random.default_rng(seed)
    padded = tuple(n + 2 * HALO for n in shape)
    t, u, v, w = (rng.normal(0, 1, padded).astype(dtype) for _ in range(4))
    return {
        "t": (t + 300).astype(dtype), "u": u, "v": v, "w": w,
        "k": rng.uniform(0.1, 2, padded).astype(dtype),
        "air": (rng.random(padded) > solid).astype(np.uint8),
        "s": (rng.normal(0, 1e-3, padded)).astype(dtype),
    }  # fmt: skip


def stage(c, dt, keep=0.0, start=None, box=None, out=None, **options):
    out = c["t"].copy() if out is None else out
    start = c["t"] if start is None else start
    bits = air_neighbours(c["air"])
    transport_stage(c["t"], start, c["u"], c["v"], c["w"], c["k"], bits, c["s"], out, SPACING, dt, keep, box=box, **options)
    return out


def dt_of(c):
    return stable_step(c["u"], c["v"], c["w"], c["k"], c["air"], SPACING)


def plain_stage(c, dt, scheme):
    """Cell by cell from the formulas: flux form plus T div u, solid faces closed, Koren's limiter of the ratio."""
    t, air, out = c["t"].astype(float), c["air"], c["t"].astype(float).copy()
    sizes = {0: SPACING[0], 1: SPACING[1], 2: SPACING[2]}
    fields = {0: c["w"], 1: c["v"], 2: c["u"]}
    for q in np.argwhere(np.ones_like(air[IN])) + HALO:
        here = tuple(q)
        if not air[here]:
            continue
        rate = float(c["s"][here])
        for axis, h in sizes.items():
            e = np.eye(3, dtype=int)[axis]
            for side in (0, 1):
                a, b = tuple(q - e + side * e), tuple(q + side * e)
                if not (air[a] and air[b]):
                    continue
                vel = float(fields[axis][b])
                up, centre, down = (tuple(np.array(a) - e), a, b) if vel > 0 else (tuple(np.array(b) + e), b, a)
                face, g2 = t[centre], t[down] - t[centre]
                if scheme == "koren" and g2 != 0:
                    r = (t[centre] - t[up]) * air[up] / g2
                    face += 0.5 * max(0, min(2 * r, (2 + r) / 3, 2)) * g2
                k_face = 0.5 * (float(c["k"][a]) + float(c["k"][b]))
                flux = vel * (face - t[here]) - k_face * (t[b] - t[a]) / h
                rate += (flux if side == 0 else -flux) / h
        out[here] = t[here] + dt * rate
    return out


@pytest.mark.parametrize("scheme", ["koren", "upwind"])
def test_equals_the_plain_formula(scheme):
    c = case()
    np.testing.assert_allclose(stage(c, 0.3, scheme=scheme)[IN], plain_stage(c, 0.3, scheme)[IN], rtol=1e-13)


@pytest.mark.parametrize("scheme", ["koren", "upwind"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_any_box_gives_the_same_bits(scheme, dtype):
    # More rows than a block of the driver has, so that cuts fall inside blocks and blocks meet inside the whole.
    shape = (6, 41, 37)
    c = case(shape, dtype)
    whole, rng = stage(c, 0.3, 0.25, scheme=scheme), np.random.default_rng(1)
    assert whole.dtype == dtype
    for _ in range(8):
        box = [int(x) for n in shape for x in sorted(rng.integers(0, n + 1, 2))]
        part = stage(c, 0.3, 0.25, box=tuple(box), scheme=scheme)
        cut = tuple(slice(box[2 * a] + HALO, box[2 * a + 1] + HALO) for a in range(3))
        assert part[cut].tobytes() == whole[cut].tobytes()
        rest = np.ones(whole.shape, bool)
        rest[cut] = False
        assert (part[rest] == c["t"][rest]).all()


@pytest.mark.parametrize("scheme", ["koren", "upwind"])
def test_tiles_with_their_halo_give_the_bits_of_the_whole(scheme):
    c = case(dtype=np.float32)
    whole = stage(c, 0.3, scheme=scheme)
    for a, b in ((0, 11), (11, 18), (18, 37)):
        tile = {k: np.ascontiguousarray(x[:, :, a : b + 2 * HALO]) for k, x in c.items()}
        assert stage(tile, 0.3, scheme=scheme)[IN].tobytes() == whole[IN][:, :, a:b].tobytes()


def test_thread_counts_give_the_same_bits():
    c, keep, bits = case((8, 30, 60), np.float32), numba.get_num_threads(), set()
    try:
        for n in {1, min(2, numba.config.NUMBA_NUM_THREADS)}:
            numba.set_num_threads(n)
            bits.add((stage(c, 0.3).tobytes(), dt_of(c)))
    finally:
        numba.set_num_threads(keep)
    assert len(bits) == 1


@pytest.mark.parametrize("scheme", ["koren", "upwind"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_isothermal_air_stays_isothermal_to_the_bit(scheme, dtype):
    c = case(dtype=dtype)
    c["t"][:], c["s"][:] = 299.37, 0
    dt, start = dt_of(c), c["t"].copy()
    for keep in SSP_RK3 * 3:
        c["t"] = stage(c, dt, keep, start, scheme=scheme)
    assert (c["t"] == start).all()


@pytest.mark.parametrize("scheme", ["koren", "upwind"])
def test_no_new_extremum_at_the_stable_step(scheme):
    # Even for a random wind that makes and loses air: each new value is a mean of old ones with weights >= 0.
    for seed in range(4):
        c = case(dtype=np.float64, seed=seed)
        c["s"][:] = 0
        out = stage(c, dt_of(c), scheme=scheme)
        air = c["air"][IN] == 1
        assert out[IN][air].max() <= c["t"].max() and out[IN][air].min() >= c["t"].min()


def test_nothing_passes_a_solid_face_whatever_the_wind():
    c = case(solid=0.0)
    c["air"][:, :, HALO + 18] = 0
    c["s"][:] = 0
    first = stage(c, 0.3)
    c["t"][:, :, HALO + 18 :] += 50.0
    second = stage(c, 0.3)
    assert (first[IN][:, :, :18] == second[IN][:, :, :18]).all()
    assert (second[:, :, HALO + 18] == c["t"][:, :, HALO + 18]).all()  # solid cells keep what they hold


def closed_city(dtype):
    """A court yard city in a box of walls: wind of a city inside, everything outside solid."""
    roof = np.zeros((20, 24), np.int32)
    roof[4:8, 5:10], roof[12:16, 6:9], roof[5:15, 16:18] = 4, 3, 5
    c = case((8, 20, 24), dtype)
    c["u"][:], c["v"][:], c["w"][:] = 0, 0, 0
    fit_wind(roof, np.linspace(1, 4, 8), 4.0, SPACING, 12.0, c["u"], c["v"], c["w"])
    c["air"] = air_cells(roof, 8)
    return c


@pytest.mark.parametrize("scheme", ["koren", "upwind"])
def test_a_closed_box_keeps_its_heat(scheme):
    # Vortices that close in themselves: a stream function on the edges, zero at every wall, gives div u = 0 to rounding.
    rng = np.random.default_rng(3)
    c = case((6, 16, 20), solid=0.0)
    for name in "uvw":
        c[name][:] = 0
    c["air"][:] = 0
    c["air"][IN] = 1
    psi = np.zeros((6, 17, 21))
    psi[:, 1:-1, 1:-1] = rng.normal(0, 5, (6, 15, 19))
    dy, dx = SPACING[1:]
    c["u"][HALO:-HALO, HALO:-HALO, HALO : HALO + 21] = np.diff(psi, axis=1) / dy
    c["v"][HALO:-HALO, HALO : HALO + 17, HALO:-HALO] = -np.diff(psi, axis=2) / dx
    dt, before, put = dt_of(c), c["t"][IN].sum(), 0.0
    for _ in range(10):
        start = c["t"]
        for keep in SSP_RK3:
            c["t"] = stage(c, dt, keep, start, scheme=scheme)
        put += dt * c["s"][IN].sum()
    assert c["t"][IN].sum() - before - put == pytest.approx(0, abs=1e-12 * before)
    assert abs(put) > 1e-6


def test_through_a_city_the_budget_closes_with_what_flows_in_and_out():
    c = closed_city(np.float64)
    c["s"][:], c["k"][:] = 0, 1e-30
    rng = np.random.default_rng(0)
    profile = rng.uniform(295, 305, 8)
    fill_boundary(c["t"], c["u"], c["v"], profile, 300.0)
    dt, air = 0.5 * dt_of(c), c["air"][IN] == 1
    out = stage(c, dt, scheme="upwind")
    gain = (out - c["t"])[IN][air].sum()
    u, v, t = c["u"], c["v"], c["t"]
    dy, dx = SPACING[1:]
    west, east = u[HALO:-HALO, HALO:-HALO, HALO], u[HALO:-HALO, HALO:-HALO, -HALO]
    north, south = v[HALO:-HALO, HALO, HALO:-HALO], v[HALO:-HALO, -HALO, HALO:-HALO]
    pick = lambda vel, a, b: np.where(vel > 0, vel * a, vel * b).sum()  # noqa: E731
    flow = (pick(west, t[IN[0], IN[1], HALO - 1], t[IN[0], IN[1], HALO]) - pick(east, t[IN[0], IN[1], -HALO - 1], t[IN[0], IN[1], -HALO])) / dx  # noqa: E501 # fmt: skip
    flow += (pick(north, t[IN[0], HALO - 1, IN[2]], t[IN[0], HALO, IN[2]]) - pick(south, t[IN[0], -HALO - 1, IN[2]], t[IN[0], -HALO, IN[2]])) / dy  # noqa: E501 # fmt: skip
    assert gain == pytest.approx(dt * flow, abs=1e-12 * c["t"][IN][air].sum())


def test_boundary_brings_the_profile_in_and_lets_the_air_out():
    c = case((3, 4, 5), solid=0.0)
    c["u"][:], c["v"][:] = 1.0, -1.0
    fill_boundary(c["t"], c["u"], c["v"], np.array([290.0, 291.0, 292.0]), 280.0)
    t = c["t"]
    assert (t[HALO : HALO + 3, 3, :HALO] == np.array([290.0, 291.0, 292.0])[:, None]).all()
    assert (t[HALO + 1, HALO : HALO + 4, -1] == t[HALO + 1, HALO : HALO + 4, -HALO - 1]).all()
    assert (t[HALO + 1, -1, HALO : HALO + 5] == 291.0).all()
    assert (t[HALO + 1, 0, HALO : HALO + 5] == t[HALO + 1, HALO, HALO : HALO + 5]).all()
    assert (t[-1] == 280.0).all()


def test_a_result_that_would_be_written_to_a_copy_is_an_error():
    c = case()
    with pytest.raises(ValueError, match="C-contiguous"):
        stage(c, 0.1, out=np.asfortranarray(c["t"]))


@pytest.mark.parametrize("scheme", ["koren", "upwind"])
def test_what_a_wall_holds_is_never_seen(scheme):
    c = case(dtype=np.float32)
    first = stage(c, 0.3, scheme=scheme)
    c["t"][c["air"] == 0] = 1e9
    air = c["air"][IN] == 1
    np.testing.assert_array_equal(stage(c, 0.3, scheme=scheme)[IN][air], first[IN][air])


def test_a_bare_mask_in_place_of_neighbours_is_an_error():
    c = case()
    with pytest.raises(ValueError, match="air_neighbours"):
        transport_stage(c["t"], c["t"], c["u"], c["v"], c["w"], c["k"], c["air"], c["s"], c["t"].copy(), SPACING, 0.1)


def test_empty_and_single_cells_work():
    for shape in ((0, 3, 3), (1, 1, 1), (2, 0, 5)):
        c = case(shape, solid=0.0)
        assert np.isfinite(stage(c, 0.1)).all()
        assert dt_of(c) > 0
