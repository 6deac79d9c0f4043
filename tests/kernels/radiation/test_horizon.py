"""The horizon march against a plain cell-by-cell reference, and its independence of windows and threads."""

import math

import numba
import numpy as np
import pytest

from felsina.kernels.radiation.horizon import horizon_tangents
from felsina.kernels.radiation.obstacles import block_cells, obstacles
from felsina.kernels.radiation.rays import even_azimuths, ray_tables
from felsina.kernels.radiation.shadow import shadow_fraction, sun_visible
from felsina.kernels.radiation.skyview import sky_view


def rays(n_azimuth, max_distance):
    return ray_tables(even_azimuths(n_azimuth), 1.0, max_distance)


def sky(z, block, n_azimuth, max_distance, window=None, trees=()):
    return sky_view(obstacles(z, block, 1.0, max_distance, *trees), rays(n_azimuth, max_distance), window)


def light(z, block, azimuth, elevation, max_distance=60.0, window=None, trees=()):
    return sun_visible(
        obstacles(z, block, 1.0, max_distance, *trees), ray_tables([azimuth], 1.0, max_distance), elevation, window
    )


def scene(ny=70, nx=171, seed=3):
    rng = np.random.default_rng(seed)
    z = (300.0 + 0.03 * np.arange(nx)[None, :] + rng.normal(0, 0.05, (ny, nx))).astype(np.float32)
    building = np.zeros((ny, nx), bool)
    for _ in range(14):
        j, i = rng.integers(0, ny - 8), rng.integers(0, nx - 10)
        z[j : j + 8, i : i + 10] = 300.0 + rng.uniform(5, 25)
        building[j : j + 8, i : i + 10] = True
    top, base = np.full_like(z, np.nan), np.full_like(z, np.nan)
    for _ in range(20):
        j, i = rng.integers(0, ny - 4), rng.integers(0, nx - 4)
        top[j : j + 4, i : i + 4], base[j : j + 4, i : i + 4] = z[j, i] + 9.0, z[j, i] + 3.0
    return z, block_cells(z, building), top, base


def plain_tangent(z, block, j, i, azimuth, max_distance):
    """The definition with sets and math only: faces at entry, continuous surface at the crossings of the main axis."""
    e, s = math.sin(azimuth), -math.cos(azimuth)
    best, z0 = 0.0, float(z[j, i])
    ny, nx = z.shape
    cuts = sorted(
        [((k + 0.5) / abs(e), "x") for k in range(nx) if abs(e) > 1e-12]
        + [((k + 0.5) / abs(s), "y") for k in range(ny) if abs(s) > 1e-12]
    )
    x, y = i, j
    for d, axis in cuts:
        x, y = (x + (1 if e > 0 else -1), y) if axis == "x" else (x, y + (1 if s > 0 else -1))
        if d > max_distance or not (0 <= x < nx and 0 <= y < ny):
            break
        if block[y, x]:
            best = max(best, (float(z[y, x]) - z0) / d)
    for k in range(1, max(nx, ny)):
        d = k / max(abs(e), abs(s))
        px, py = i + d * e, j + d * s
        if d > max_distance:
            break
        if abs(e) >= abs(s):
            a, b, w = (math.floor(py), round(px)), (math.floor(py) + 1, round(px)), py - math.floor(py)
        else:
            a, b, w = (round(py), math.floor(px)), (round(py), math.floor(px) + 1), px - math.floor(px)
        if all(0 <= q[0] < ny and 0 <= q[1] < nx and not block[q] for q in (a, b)):
            best = max(best, ((1 - w) * float(z[a]) + w * float(z[b]) - z0) / d)
    return best


def test_horizons_equal_the_plain_cell_by_cell_definition():
    z, block, *_ = scene()
    got = horizon_tangents(obstacles(z, block, 1.0, 60.0), rays(16, 60.0))
    rng = np.random.default_rng(0)
    for _ in range(120):
        a, j, i = rng.integers(16), rng.integers(z.shape[0]), rng.integers(z.shape[1])
        want = plain_tangent(z, block, j, i, 2 * math.pi * (a + 0.5) / 16, 60.0)
        # float32 heights of 300 m are spaced by 3e-5 m, and the nearest face stands half a cell away
        assert got[a, j, i] == pytest.approx(want, abs=2e-4, rel=1e-5)


@pytest.mark.parametrize("crowns", [False, True])
def test_any_window_gives_the_same_bits(crowns):
    z, block, top, base = scene()
    trees = (top, base) if crowns else ()
    city, table, ray = obstacles(z, block, 1.0, 60.0, *trees), rays(16, 40.0), ray_tables([2.1], 1.0, 60.0)
    whole, lit, high = sky_view(city, table), sun_visible(city, ray, 0.4), horizon_tangents(city, table)
    rng = np.random.default_rng(1)
    for _ in range(5):
        j0, i0 = rng.integers(0, z.shape[0]), rng.integers(0, z.shape[1])
        window = (j0, rng.integers(j0, z.shape[0] + 1), i0, rng.integers(i0, z.shape[1] + 1))
        cut = np.s_[..., window[0] : window[1], window[2] : window[3]]
        assert sky_view(city, table, window).tobytes() == whole[cut].tobytes()
        assert sun_visible(city, ray, 0.4, window).tobytes() == lit[cut].tobytes()
        assert horizon_tangents(city, table, window).tobytes() == high[cut].tobytes()


def test_a_tile_with_its_reach_gives_the_bits_of_the_whole():
    z, block, top, base = scene(60, 200)
    whole = sky(z, block, 16, 30.0, trees=(top, base))
    tile = np.s_[:, 40:160]
    part = sky(z[tile], block[tile], 16, 30.0, (0, 60, 33, 87), (top[tile], base[tile]))
    assert part.tobytes() == whole[:, 73:127].tobytes()


def test_thread_counts_give_the_same_bits():
    z, block, top, base = scene()
    bits = set()
    keep = numba.get_num_threads()
    try:
        for n in {1, min(2, numba.config.NUMBA_NUM_THREADS)}:
            numba.set_num_threads(n)
            bits.add(sky(z, block, 16, 40.0, trees=(top, base)).tobytes())
    finally:
        numba.set_num_threads(keep)
    assert len(bits) == 1


def test_stopping_early_drops_nothing():
    # A tower outside the reach lifts the highest height of its block and with it the point where the march stops.
    z, block, *_ = scene()
    high = np.pad(z, ((0, 0), (0, 42)), constant_values=np.float32(300.0))
    tall = high.copy()
    tall[:, -1] = 5000.0
    wide = np.pad(block, ((0, 0), (0, 42)))
    window = (0, 70, 100, 171)
    low, lifted = (obstacles(z, wide, 1.0, 40.0) for z in (high, tall))
    assert (low.highest != lifted.highest).any()
    table = rays(8, 40.0)
    assert horizon_tangents(low, table, window).tobytes() == horizon_tangents(lifted, table, window).tobytes()
    never = lifted._replace(highest=np.full_like(lifted.highest, 1e9))
    assert horizon_tangents(never, table).tobytes() == horizon_tangents(lifted, table).tobytes()


def test_empty_and_single_cells_work():
    one, no = np.array([[7.0]], np.float32), np.zeros((1, 1), bool)
    assert sky(one, no, 32, 500.0)[0, 0] == 1.0
    assert light(one, no, 1.0, 0.1)[0, 0] == 1.0
    assert sky(one, no, 32, 500.0, (0, 0, 0, 1)).shape == (0, 1)
    assert light(np.zeros((0, 0), np.float32), np.zeros((0, 0), bool), 1.0, 0.1).shape == (0, 0)


def test_rays_longer_than_the_obstacles_were_prepared_for_are_refused():
    city = obstacles(np.zeros((9, 9), np.float32), np.zeros((9, 9), bool), 1.0, 20.0)
    for march in (sky_view, horizon_tangents):
        with pytest.raises(ValueError, match="22 steps, but the obstacles were prepared for 21"):
            march(city, rays(8, 21.0))
    with pytest.raises(ValueError, match="prepared for 21"):
        sun_visible(city, ray_tables([0.0], 1.0, 21.0), 0.1)


def test_the_sun_stands_in_one_direction():
    city = obstacles(np.zeros((9, 9), np.float32), np.zeros((9, 9), bool), 1.0, 20.0)
    with pytest.raises(ValueError, match="holds 2"):
        sun_visible(city, ray_tables([0.0, 1.0], 1.0, 20.0), 0.1)


def test_unknown_surface_stays_unknown_and_shades_nobody():
    z = np.zeros((9, 9), np.float32)
    z[4, 6] = np.nan
    psi = sky(z, np.ones((9, 9), bool), 32, 500.0)
    assert np.isnan(psi[4, 6]) and np.isnan(psi).sum() == 1
    assert (psi[~np.isnan(psi)] == 1.0).all()


def test_the_sun_below_the_horizon_lights_nothing():
    z, block, *_ = scene()
    assert (light(z, block, 1.0, -0.01) == 0).all()
    z[3, 5] = np.nan
    assert np.argwhere(np.isnan(light(z, block, 1.0, -0.01))).tolist() == [[3, 5]]
    assert (shadow_fraction(obstacles(z, block, 1.0, 60.0), ray_tables([1.0], 1.0, 60.0), [-0.1]) == 0).all()


def test_more_building_never_opens_the_sky():
    z, block, *_ = scene()
    taller = np.where(block, z + 5, z).astype(np.float32)
    open_sky, less = sky(z, block, 16, 40.0), sky(taller, block, 16, 40.0)
    assert (less[~block] <= open_sky[~block]).all()
