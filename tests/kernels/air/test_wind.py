"""Wind between buildings: no air is made, lost or pushed through walls; profiles against the published formulas."""

import math

import numba
import numpy as np
import pytest

from felsina.kernels.air.transport import HALO
from felsina.kernels.air.wind import (
    Roughness,
    air_cells,
    fit_wind,
    free_convection_diffusivity,
    morphometry_sums,
    roughness,
    wind_profile,
)
from felsina.kernels.constants import AIR_VOLUMETRIC_HEAT_CAPACITY, GRAVITY

SPACING = (2.0, 4.0, 5.0)


def city(seed=0, ny=24, nx=31, nz=10):
    rng = np.random.default_rng(seed)
    roof = np.zeros((ny, nx), np.int32)
    for _ in range(12):
        j, i = rng.integers(0, ny - 3), rng.integers(0, nx - 3)
        roof[j : j + 4, i : i + 3] = rng.integers(1, 7)
    return roof, np.linspace(0.4, 5.0, nz)


def fitted(roof, speed, direction=2.3, window=None, dtype=np.float32, shelter=22.0):
    j0, j1, i0, i1 = window or (0, roof.shape[0], 0, roof.shape[1])
    shape = (len(speed) + 2 * HALO, j1 - j0 + 2 * HALO, i1 - i0 + 2 * HALO)
    u, v, w = (np.zeros(shape, dtype) for _ in range(3))
    fit_wind(roof, speed, direction, SPACING, shelter, u, v, w, window)
    return u, v, w


@pytest.mark.parametrize(("dtype", "rounding"), [(np.float32, 1e-6), (np.float64, 1e-14)])
def test_no_air_is_made_or_lost(dtype, rounding):
    roof, speed = city()
    u, v, w = (a.astype(float) for a in fitted(roof, speed, dtype=dtype))
    c = np.s_[HALO:-HALO, HALO:-HALO, HALO:-HALO]
    dz, dy, dx = SPACING
    divergence = (w[HALO + 1 : -HALO + 1, HALO:-HALO, HALO:-HALO] - w[c]) / dz
    divergence += (v[HALO:-HALO, HALO + 1 : -HALO + 1, HALO:-HALO] - v[c]) / dy
    divergence += (u[HALO:-HALO, HALO:-HALO, HALO + 1 : -HALO + 1] - u[c]) / dx
    # A column's w sums up to nz layers of rounded faces.
    assert np.abs(divergence).max() < 10 * rounding * speed.max() / min(SPACING)
    assert np.abs(w).max() > 0.05  # it does rise and sink at walls


def test_no_air_passes_a_wall_a_roof_or_the_top():
    roof, speed = city()
    u, v, w = fitted(roof, speed)
    air = air_cells(roof, len(speed)).astype(bool)
    c = np.s_[HALO:-HALO, HALO:-HALO, HALO:-HALO]
    assert (u[c][~(air[c] & air[HALO:-HALO, HALO:-HALO, HALO - 1 : -HALO - 1])] == 0).all()
    assert (v[c][~(air[c] & air[HALO:-HALO, HALO - 1 : -HALO - 1, HALO:-HALO])] == 0).all()
    assert np.abs(w[c][~(air[c] & air[HALO - 1 : -HALO - 1, HALO:-HALO, HALO:-HALO])]).max() == 0
    assert (w[-HALO] == 0).all()


def test_over_open_land_the_wind_is_its_profile():
    roof, speed = np.zeros((6, 7), np.int32), np.linspace(1, 3, 5)
    u, v, w = fitted(roof, speed, math.radians(240), dtype=np.float64)  # from the south-west by west: to the north-east
    k = np.s_[HALO:-HALO, HALO:-HALO, HALO:-HALO]
    np.testing.assert_allclose(u[k], (speed * math.sin(math.radians(60)))[:, None, None] * np.ones((5, 6, 7)), rtol=1e-14)
    np.testing.assert_allclose(v[k], (-speed * math.cos(math.radians(60)))[:, None, None] * np.ones((5, 6, 7)), rtol=1e-14)
    assert np.abs(w).max() < 1e-13


def test_streets_feel_the_wind_along_them_and_less_across():
    roof = np.zeros((40, 41), np.int32)
    roof[:, 10:18] = roof[:, 22:30] = 4  # a street 4 cells wide running north-south
    speed = np.linspace(1, 3, 12)
    along = fitted(roof, speed, math.pi)[1]  # from the south
    across = fitted(roof, speed, 1.5 * math.pi)[0]  # from the west
    street = np.s_[HALO + 1, HALO + 20, HALO + 18 : HALO + 22]
    assert np.abs(along[street]).min() > 0.95 * speed[1]
    assert np.abs(across[street]).max() < 0.6 * speed[1]


def test_any_window_and_thread_count_gives_the_same_bits():
    roof, speed = city()
    whole, rng, keep = fitted(roof, speed), np.random.default_rng(4), numba.get_num_threads()
    try:
        for n in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
            numba.set_num_threads(n)
            for _ in range(5):
                j, i = sorted(rng.integers(0, 25, 2)), sorted(rng.integers(0, 32, 2))
                part = fitted(roof, speed, window=(*j, *i))
                for a, b in zip(part, whole):
                    cut = b[:, j[0] : j[1] + 2 * HALO, i[0] : i[1] + 2 * HALO]
                    c = np.s_[:, HALO:-HALO, HALO:-HALO]
                    assert a[c].tobytes() == np.ascontiguousarray(cut[c]).tobytes()
    finally:
        numba.set_num_threads(keep)


def test_a_building_to_the_top_of_the_grid_is_an_error():
    roof, speed = city()
    roof[3, 3] = len(speed)
    with pytest.raises(ValueError, match="reach above every roof"):
        fitted(roof, speed)


def test_empty_and_single_columns_work():
    speed = np.array([1.0, 2.0])
    assert fitted(np.zeros((0, 0), np.int32), speed)[0].shape == (6, 4, 4)
    u, _, w = fitted(np.zeros((1, 1), np.int32), speed, 1.5 * math.pi)
    np.testing.assert_allclose(u[HALO:-HALO, HALO, HALO], speed, rtol=1e-6)
    assert np.abs(w).max() < 1e-6


def test_morphometry_of_cubes_and_its_sums_over_windows():
    height = np.zeros((40, 40), np.float32)
    for j in range(4, 40, 10):
        for i in range(4, 40, 10):
            height[j : j + 5, i : i + 5] = 10.0
    sums = morphometry_sums(height)
    assert sums.tolist() == [16 * 25, 16 * 25 * 10_000, 16 * 2 * 5 * 10_000, 16 * 2 * 5 * 10_000]
    parts = morphometry_sums(height, (0, 17, 0, 40)) + morphometry_sums(height, (17, 40, 0, 23))
    parts += morphometry_sums(height, (17, 40, 23, 40))
    assert (parts == sums).all()
    # lambda_p = 0.25; lambda_f = 5 x 10 / 100 from the west, root 2 times that from the north-west
    west = roughness(sums, 1600, 1.0, 1.5 * math.pi)
    assert west.frontal_density == pytest.approx(0.5)
    assert roughness(sums, 1600, 1.0, 1.75 * math.pi).frontal_density == pytest.approx(0.5 * math.sqrt(2))
    d = 10 * (1 + 4.43**-0.25 * (0.25 - 1))
    assert west.displacement == pytest.approx(d)
    assert west.length == pytest.approx(10 * (1 - d / 10) * math.exp(-((0.5 * 1.2 / 0.16 * (1 - d / 10) * 0.5) ** -0.5)))


def test_no_building_means_the_ground():
    assert roughness(np.zeros(4, np.int64), 100, 1.0, 0.0) == Roughness(0.0, 0.0, 0.0, 0.03)


def test_over_the_station_ground_the_profile_is_the_stations():
    u, k = wind_profile(np.array([2.0, 10.0, 50.0]), 4.0, Roughness(0.0, 0.0, 0.0, 0.03))
    np.testing.assert_allclose(u, 4.0 * np.log(np.array([2.0, 10.0, 50.0]) / 0.03) / math.log(10 / 0.03), rtol=1e-12)
    np.testing.assert_allclose(k, 0.16 * 4.0 / math.log(10 / 0.03) * np.array([2.0, 10.0, 50.0]), rtol=1e-12)


def test_the_profile_is_continuous_at_the_roofs_and_grows_with_height():
    surface = Roughness(15.0, 0.25, 9.0, 1.2)
    u, k = wind_profile(np.array([0.5, 5.0, 14.999999, 15.0, 20.0, 100.0]), 5.0, surface)
    assert u[2] == pytest.approx(u[3], rel=1e-5)
    assert (np.diff(u) > 0).all() and (k >= 0.05).all()
    assert u[0] == pytest.approx(u[3] * math.exp(-9.6 * 0.25 * (1 - 0.5 / 15)), rel=1e-12)


def test_free_convection_gives_the_gradient_of_priestley():
    # F = h* (g / T)^(1/2) z^2 |dT/dz|^(3/2): insert K back.
    z, flux = np.array([2.0, 8.0]), 250.0
    k = free_convection_diffusivity(z, flux, 300.0)
    kinematic = flux / AIR_VOLUMETRIC_HEAT_CAPACITY
    gradient = kinematic / k
    np.testing.assert_allclose(0.9 * (GRAVITY / 300.0) ** 0.5 * z**2 * gradient**1.5, kinematic, rtol=1e-12)


def test_no_free_convection_over_cool_surfaces():
    assert (free_convection_diffusivity(np.array([2.0]), -30.0, 290.0) == 0).all()


def test_a_face_is_sheltered_by_the_nearest_wall_of_its_layer():
    roof, speed = city(3)
    u, _, _ = (a[HALO:-HALO, HALO:-HALO, HALO:] for a in fitted(roof, speed, 1.5 * math.pi, dtype=np.float64))
    ny, nx = roof.shape
    for j in range(ny):
        row = np.r_[0, roof[j], 0]
        closed = np.maximum(row[1:], row[:-1])  # layers of each face, the edge of the grid included
        for i in range(nx + 1):
            # Distances in cells of 5 m to the closed faces of each layer, within 22 m.
            factor = np.array([
                0.0 if closed[i] > k else min([1.0, *(abs(n - i) * 5 / 22 for n in range(nx + 1) if closed[n] > k and n != i)])
                for k in range(len(speed))
            ])  # fmt: skip
            part = factor * speed
            np.testing.assert_allclose(u[:, j, i], part * speed.sum() / part.sum(), rtol=1e-13)


def test_wind_that_would_be_written_to_a_copy_is_an_error():
    roof, speed = city()
    fields = [np.zeros((14, 28, 35), order="F") for _ in range(3)]
    with pytest.raises(ValueError, match="C-contiguous"):
        fit_wind(roof, speed, 1.0, SPACING, 22.0, *fields)
