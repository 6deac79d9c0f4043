"""The horizon march against a plain cell-by-cell reference, and its independence of windows and threads."""

import math

import numba
import numpy as np
import pytest

from felsina.kernels.radiation.horizon import block_cells, horizon_tangents, ray_table
from felsina.kernels.radiation.shadow import shadow_fraction, sun_visible
from felsina.kernels.radiation.skyview import sky_view


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
    got = horizon_tangents(z, block, 1.0, 16, 60.0)
    rng = np.random.default_rng(0)
    for _ in range(120):
        a, j, i = rng.integers(16), rng.integers(z.shape[0]), rng.integers(z.shape[1])
        want = plain_tangent(z, block, j, i, 2 * math.pi * (a + 0.5) / 16, 60.0)
        # float32 heights of 300 m are spaced by 3e-5 m, and the nearest face stands half a cell away
        assert got[a, j, i] == pytest.approx(want, abs=2e-4, rel=1e-5)


@pytest.mark.parametrize("azimuth", [0.0, math.pi / 4, math.pi / 2, math.pi, 1.5 * math.pi, 0.3, 4.0])
def test_a_ray_enters_each_cell_where_it_left_the_last(azimuth):
    offset, distance, _ = ray_table(azimuth, 1.0, 50.0)
    ends = [0.5 / max(abs(math.sin(azimuth)), abs(math.cos(azimuth)))]
    for k in range(len(offset)):
        for slot in (0, 1):
            entry, leave = distance[k, 2 * slot], distance[k, 2 * slot + 1]
            if entry >= 0:
                assert entry == pytest.approx(ends[-1], abs=1e-4)
                ends.append(float(leave))
                middle = 0.5 * (entry + leave)
                expected = (-math.cos(azimuth) * middle, math.sin(azimuth) * middle)
                assert np.abs(offset[k, slot] - expected).max() <= 0.5 + 1e-5


@pytest.mark.parametrize("crowns", [False, True])
def test_any_window_gives_the_same_bits(crowns):
    z, block, top, base = scene()
    trees = {"canopy_top": top, "canopy_base": base} if crowns else {}
    whole = sky_view(z, block, 1.0, 16, 40.0, **trees)
    light = sun_visible(z, block, 1.0, 2.1, 0.4, 60.0, **trees)
    rng = np.random.default_rng(1)
    for _ in range(5):
        j0, i0 = rng.integers(0, z.shape[0]), rng.integers(0, z.shape[1])
        window = (j0, rng.integers(j0, z.shape[0] + 1), i0, rng.integers(i0, z.shape[1] + 1))
        cut = np.s_[window[0] : window[1], window[2] : window[3]]
        assert sky_view(z, block, 1.0, 16, 40.0, window, **trees).tobytes() == whole[cut].tobytes()
        assert sun_visible(z, block, 1.0, 2.1, 0.4, 60.0, window, **trees).tobytes() == light[cut].tobytes()


def test_a_tile_with_its_reach_gives_the_bits_of_the_whole():
    z, block, top, base = scene(60, 200)
    whole = sky_view(z, block, 1.0, 16, 30.0, canopy_top=top, canopy_base=base)
    tile = np.s_[:, 40:160]
    part = sky_view(z[tile], block[tile], 1.0, 16, 30.0, (0, 60, 33, 87), None, top[tile], base[tile])
    assert part.tobytes() == whole[:, 73:127].tobytes()


def test_thread_counts_give_the_same_bits():
    z, block, top, base = scene()
    bits = set()
    keep = numba.get_num_threads()
    try:
        for n in {1, min(2, numba.config.NUMBA_NUM_THREADS)}:
            numba.set_num_threads(n)
            bits.add(sky_view(z, block, 1.0, 16, 40.0, canopy_top=top, canopy_base=base).tobytes())
    finally:
        numba.set_num_threads(keep)
    assert len(bits) == 1


def test_stopping_early_drops_nothing():
    # A tower far outside the reach lifts the highest height of the cut and with it the point where the march stops.
    z, block, *_ = scene()
    high = np.pad(z, ((0, 0), (0, 41)), constant_values=np.float32(300.0))
    tall = high.copy()
    tall[:, -1] = 5000.0
    wide = np.pad(block, ((0, 0), (0, 41)))
    window = (0, 70, 100, 171)
    assert (
        horizon_tangents(high, wide, 1.0, 8, 40.0, window).tobytes()
        == horizon_tangents(tall, wide, 1.0, 8, 40.0, window).tobytes()
    )


def test_empty_and_single_cells_work():
    one, no = np.array([[7.0]], np.float32), np.zeros((1, 1), bool)
    assert sky_view(one, no, 1.0)[0, 0] == 1.0
    assert sun_visible(one, no, 1.0, 1.0, 0.1)[0, 0] == 1.0
    assert sky_view(one, no, 1.0, window=(0, 0, 0, 1)).shape == (0, 1)
    assert sun_visible(np.zeros((0, 0), np.float32), np.zeros((0, 0), bool), 1.0, 1.0, 0.1).shape == (0, 0)


def test_unknown_surface_stays_unknown_and_shades_nobody():
    z = np.zeros((9, 9), np.float32)
    z[4, 6] = np.nan
    psi = sky_view(z, np.ones((9, 9), bool), 1.0)
    assert np.isnan(psi[4, 6]) and np.isnan(psi).sum() == 1
    assert (psi[~np.isnan(psi)] == 1.0).all()


def test_the_sun_below_the_horizon_lights_nothing():
    z, block, *_ = scene()
    assert (sun_visible(z, block, 1.0, 1.0, -0.01) == 0).all()
    assert (shadow_fraction(z, block, 1.0, np.array([1.0]), np.array([-0.1])) == 0).all()


def test_more_building_never_opens_the_sky():
    z, block, *_ = scene()
    taller = np.where(block, z + 5, z).astype(np.float32)
    open_sky, less = sky_view(z, block, 1.0, 16, 40.0), sky_view(taller, block, 1.0, 16, 40.0)
    assert (less[~block] <= open_sky[~block]).all()


def test_block_cells_are_building_edges_and_steps_but_not_slopes():
    z = np.tile(np.arange(8, dtype=np.float32), (6, 1))  # a 45 degree plane
    assert not block_cells(z, np.zeros(z.shape, bool)).any()
    z[2:5, 2:6] = 30.0
    building = np.zeros(z.shape, bool)
    building[2:5, 2:6] = True
    expected = building.copy()
    expected[3, 3:5] = False  # inside of the flat roof
    assert (block_cells(z, building) == expected).all()
    assert (block_cells(z, np.zeros(z.shape, bool)) == expected).all()  # a cliff is a wall without being a building
