"""The stream of a zone: every sub-step's sun as reference, glass by its own angle, devices as factors."""

import math

import numpy as np
import pytest

from felsina.kernels.energy.glazing import glazing_at, panes, solve_glazing, window_numbers
from felsina.kernels.radiation.surface_horizon import SurfaceHorizons
from felsina.kernels.radiation.surface_irradiance import group_irradiance, shaded_beam, suns_of, surface_views
from felsina.kernels.radiation.surface_light import wall_light, window_light
from felsina.kernels.radiation.transposition import mean_sky, sky_states

LATITUDE, LONGITUDE = math.radians(44.49), math.radians(11.34)
NO_CROWNS = np.zeros((0, 0), np.float32)
LAYERS = panes([0.834] * 2, [0.075] * 2, [0.075] * 2, [False] * 2)
NUMBERS = list(window_numbers(solve_glazing(LAYERS)).values())


@pytest.fixture(scope="module")
def scene():
    """A week in spring, eleven surfaces behind rough horizons, sunlit shares of every hour by its own sun."""
    random = np.random.default_rng(4)
    end = 8491.5 - LONGITUDE / (2 * math.pi) + np.arange(1, 169) / 24
    up = np.maximum(0, np.sin((np.arange(1, 169) % 24 - 6.5) / 12 * math.pi))
    sky = sky_states(end, 3600.0, LATITUDE, LONGITUDE, 700 * up, 150 * up, 500 * up, 0.2)
    tilt, azimuth = random.uniform(0, math.pi / 2, 11), random.uniform(0, 2 * math.pi, 11)
    across = np.sin(tilt)
    normal = np.stack([across * np.sin(azimuth), across * np.cos(azimuth), np.cos(tilt)], axis=1)
    horizons = SurfaceHorizons(np.abs(random.normal(0, 0.4, (32, 11))).astype(np.float32), NO_CROWNS, NO_CROWNS)
    projected = shaded_beam(suns_of(sky)[0], normal, np.ones(11), horizons, np.arange(12))
    return sky, normal, horizons, projected, surface_views(normal, horizons)


def test_light_of_walls_is_that_of_every_sub_step(scene):
    sky, normal, horizons, projected, views = scene
    row = np.where(mean_sky(sky)[:, 3] > 0, np.arange(168), -1)
    got = wall_light(mean_sky(sky), row, projected, views)
    want = group_irradiance(sky, normal, np.ones(11), horizons, np.arange(12), views)
    # Only the clip of dome and horizon at zero tells the mean of an hour from its sub-steps, and float32 the rest.
    np.testing.assert_allclose(got, want, atol=0.5)
    assert np.abs(got - want).mean() < 0.01


def test_windows_let_through_what_their_glass_does_at_the_angle(scene):
    sky, normal, _, projected, views = scene
    mean = mean_sky(sky)
    row = np.arange(168)
    got = window_light(mean, row, projected, normal, views, np.arange(11), [NUMBERS] * 11)
    bn = np.where(mean[:, 3] > 0, mean[:, 3], 1)
    cosine = np.clip(mean[:, :3] @ normal.T / bn[:, None], 0.05, 1)
    direct = projected * mean[:, 3:4]
    dome = wall_light(mean, row, projected, views) - direct
    exact = glazing_at(LAYERS, cosine.ravel()).reshape(168, 11, 4)
    g = solve_glazing(LAYERS)
    want = direct * exact[:, :, 0] + dome * g.transmittance_diffuse
    # The polynomial of transmission is 0.006 off up to 80 degrees, 0.013 beyond, where little light falls.
    np.testing.assert_allclose(got[:, :, 0], want, atol=0.007 * 900)
    assert got[:, :, 0].sum() == pytest.approx(want.sum(), rel=0.003)
    for node in (0, 1):
        want = direct * exact[:, :, 2 + node] + dome * g.absorptance_diffuse[node]
        assert got[:, :, 1 + node].sum() == pytest.approx(want.sum(), rel=0.02)


def test_no_window_takes_more_than_falls_on_it(scene):
    sky, normal, _, projected, views = scene
    mean = mean_sky(sky)
    light = wall_light(mean, np.arange(168), projected, views)
    got = window_light(mean, np.arange(168), projected, normal, views, np.arange(11), [NUMBERS] * 11)
    assert (got.sum(axis=2) <= light * 1.0001 + 1e-3).all()
    assert (got >= 0).all()


def test_devices_take_their_shares_and_night_has_no_beam(scene):
    sky, normal, _, projected, views = scene
    mean = mean_sky(sky)
    bare = window_light(mean, np.arange(168), projected, normal, views, [3, 3], [NUMBERS] * 2)
    night = window_light(mean, np.full(168, -1), projected, normal, views, [3, 3], [NUMBERS] * 2)
    half = window_light(
        mean, np.arange(168), projected, normal, views, [3, 3], [NUMBERS] * 2, np.full((168, 2), 0.5), np.ones((2, 3))
    )
    np.testing.assert_allclose(half, 0.5 * (bare + night), atol=1e-4)
    covered = window_light(mean, np.full(168, -1), projected, normal, views, [3, 3], [NUMBERS] * 2, None, np.zeros((2, 3)))
    assert (covered == 0).all()
    assert bare.max() > night.max() > 0


def test_any_cut_of_steps_and_windows_gives_the_same_bits(scene):
    sky, normal, _, projected, views = scene
    mean, row = mean_sky(sky), np.arange(168)
    whole = window_light(mean, row, projected, normal, views, np.arange(11), [NUMBERS] * 11)
    for a, b, p, q in ((0, 1, 0, 11), (1, 100, 4, 5), (100, 168, 5, 11)):
        part = window_light(mean[a:b], row[a:b], projected, normal, views, np.arange(p, q), [NUMBERS] * (q - p))
        np.testing.assert_array_equal(part, whole[a:b, p:q])
