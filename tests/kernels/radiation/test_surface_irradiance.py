"""Sun on surfaces with horizons: the open place is the existing transposition; laws of views, cuts, condensed form."""

import math

import numpy as np
import pytest

from felsina.kernels.radiation.surface_horizon import SurfaceHorizons, surface_azimuths
from felsina.kernels.radiation.surface_irradiance import (
    area_weights,
    group_irradiance,
    group_means,
    shaded_beam,
    sunlit_share,
    suns_of,
    surface_views,
)
from felsina.kernels.radiation.transposition import mean_sky, sky_states, tilted_irradiance

LATITUDE, LONGITUDE = math.radians(44.49), math.radians(11.34)
NO_CROWNS = np.zeros((0, 0), np.float32)
N = 40


@pytest.fixture(scope="module")
def sky():
    """Hours of four weeks of a year, from overcast to clear."""
    random = np.random.default_rng(4)
    end = np.concatenate([8400 + 91 * q + np.arange(1, 24 * 7 + 1) / 24 for q in range(4)])
    up = np.maximum(0, np.sin((end + LONGITUDE / 2 / math.pi + 0.25) * 2 * math.pi))
    direct, diffuse = 700 * up * random.uniform(0, 1, up.size), 200 * up * random.uniform(0.2, 1, up.size)
    return sky_states(end, 3600.0, LATITUDE, LONGITUDE, direct, diffuse, direct * up + diffuse, 0.2)


@pytest.fixture(scope="module")
def facing():
    random = np.random.default_rng(5)
    tilt, azimuth = np.radians(random.uniform(0, 115, N)), random.uniform(0, 2 * math.pi, N)
    tilt[:3] = 0, math.pi / 2, math.pi / 2
    across = np.sin(tilt)
    return tilt, azimuth, np.stack([across * np.sin(azimuth), across * np.cos(azimuth), np.cos(tilt)], axis=1)


def rough(n, seed=6):
    random = np.random.default_rng(seed)
    t = np.abs(random.normal(0, 0.5, (32, n))).astype(np.float32)
    base = np.abs(random.normal(0.2, 0.2, (32, n))).astype(np.float32)
    return SurfaceHorizons(t, base + np.float32(0.4), base)


def open_place(n):
    return SurfaceHorizons(np.zeros((32, n), np.float32), NO_CROWNS, NO_CROWNS)


def test_an_open_place_is_the_transposition(sky, facing):
    tilt, azimuth, normal = facing
    views = surface_views(normal, open_place(N))
    got = group_irradiance(sky, normal, np.ones(N), open_place(N), np.arange(N + 1), views)
    # float32 beam of up to 1,000 W m-2
    np.testing.assert_allclose(got, tilted_irradiance(sky, tilt, azimuth), atol=3e-4)


def test_views_of_an_open_place_are_exact_and_all_views_add_up_to_one(facing):
    tilt, _, normal = facing
    views = surface_views(normal, open_place(N))
    np.testing.assert_allclose(views[:, 0], 0.5 * (1 + np.cos(tilt)), rtol=1e-14)
    np.testing.assert_allclose(views[:, 1], np.sin(tilt), atol=1e-14)
    np.testing.assert_allclose(views[:, 4], 0.5 * (1 - np.cos(tilt)), atol=1e-14)
    for h in (rough(N), open_place(N)):
        v = surface_views(normal, h)
        np.testing.assert_allclose(v[:, 0] + v[:, 2] + v[:, 3], 1.0, rtol=1e-14)
        assert (v >= -1e-15).all()


def test_sky_view_equals_the_hemisphere_summed_by_rays(facing):
    _, _, normal = facing
    h = rough(N)._replace(crown_top=NO_CROWNS, crown_base=NO_CROWNS)
    n = 2000
    elevation = (np.arange(n) + 0.5) / n * math.pi / 2
    azimuth = surface_azimuths(32)
    u = np.stack([np.sin(azimuth), np.cos(azimuth)])
    seen = np.zeros((2, N))
    for a in range(32):
        ray = np.stack(
            [np.outer(np.cos(elevation), u[:, a])[:, 0], np.outer(np.cos(elevation), u[:, a])[:, 1], np.sin(elevation)]
        )
        light = np.maximum(normal @ ray, 0) * np.cos(elevation)
        seen[0] += light.sum(axis=1)
        seen[1] += (light * (np.tan(elevation)[None] > h.tangent[a][:, None])).sum(axis=1)
    open_sky = 0.5 * (1 + normal[:, 2])
    # 2,000 rays of an azimuth err by half a ray at the horizon
    np.testing.assert_allclose(surface_views(normal, h)[:, 0], open_sky * seen[1] / seen[0], atol=1.5e-3)


def test_higher_horizons_never_give_more_light(sky, facing):
    _, _, normal = facing
    low = rough(N)._replace(crown_top=NO_CROWNS, crown_base=NO_CROWNS)
    high = low._replace(tangent=low.tangent * np.float32(1.3))
    first = np.arange(N + 1)
    # Reflected light may grow, a facade in place of the sky, and a horizon darker than the dome may go: without both.
    dark = sky.copy()
    dark[:, :, 5:] = 0
    less, more = (group_irradiance(dark, normal, np.ones(N), h, first, surface_views(normal, h)) for h in (high, low))
    assert (less <= more + 1e-4).all()
    assert less.sum() < 0.95 * more.sum()


def test_sun_over_a_wall_shines_in_the_hours_of_geometry():
    # A wall facing south, 10 m away a wall 10 m high along an endless street: lit where tan e / cos(gap) > (10 - z) / 10.
    azimuth = surface_azimuths(32)
    depth = np.maximum(-np.cos(azimuth), 0)
    heights = np.array([1.0, 5.0, 9.0])
    horizons = SurfaceHorizons(np.outer(depth, (10 - heights) / 10).astype(np.float32), NO_CROWNS, NO_CROWNS)
    normal = np.tile([0.0, -1.0, 0.0], (3, 1))
    end = 8571.5 + 91 + np.arange(1, 24 * 6 + 1) / 144
    sky = sky_states(end, 600.0, LATITUDE, LONGITUDE, np.ones(end.size), np.zeros(end.size), np.zeros(end.size), 0.0)
    beam, mean = suns_of(sky)
    got = shaded_beam(beam, normal, np.ones(3), horizons, np.arange(4))
    s = mean[:, :3]
    before = s @ normal[0] > 0
    lit = before[:, None] & (s[:, 2:] * 10 > -s[:, 1:2] * (10 - heights))
    want = np.where(lit, -s[:, 1:2], 0)
    assert 0.1 < lit.mean() < 0.9
    # Between two azimuths the horizon is a chord of the cosine: 0.5 % low at most, so a step of ten minutes can turn.
    assert (np.abs(got - want) > 1e-3).sum() <= 2
    np.testing.assert_allclose(got[np.abs(got - want) <= 1e-3], want[np.abs(got - want) <= 1e-3], atol=1e-5)


def test_crowns_dim_the_beam_between_base_and_top():
    beam = np.zeros((3, 1, 3))
    for i, e in enumerate((10.0, 30.0, 60.0)):
        beam[i, 0] = 0, -math.cos(math.radians(e)), math.sin(math.radians(e))
    one = np.ones((32, 1), np.float32)
    h = SurfaceHorizons(one * np.float32(0.1), one * np.float32(1.0), one * np.float32(0.3))
    got = shaded_beam(beam, [[0, 0, 1.0]], [1.0], h, [0, 1], transmissivity=0.25)
    want = [math.sin(math.radians(10)), 0.25 * math.sin(math.radians(30)), math.sin(math.radians(60))]
    np.testing.assert_allclose(got[:, 0], want, rtol=1e-6)


def test_any_cut_of_groups_and_steps_gives_the_same_bits(sky):
    random = np.random.default_rng(8)
    n = 700
    normal = random.normal(size=(n, 3))
    normal /= np.linalg.norm(normal, axis=1)[:, None]
    first = np.concatenate([[0], np.sort(random.choice(np.arange(1, n), 150, replace=False)), [n]])
    weight, h = area_weights(random.uniform(1, 9, n), first), rough(n)
    views = group_means(surface_views(normal, h), weight, first)
    whole = group_irradiance(sky, normal, weight, h, first, views)
    for g0, g1 in ((0, 1), (1, 70), (70, 151)):
        a, b = first[g0], first[g1]
        part = SurfaceHorizons(*(x[:, a:b] for x in h))
        got = group_irradiance(sky[100:300], normal[a:b], weight[a:b], part, first[g0 : g1 + 1] - a, views[g0:g1])
        np.testing.assert_array_equal(got, whole[100:300, g0:g1])
    np.testing.assert_allclose(group_means(np.ones((n, 1)), weight, first), 1.0, rtol=1e-14)


def test_projected_shares_times_the_hours_beam_are_the_beam(sky, facing):
    _, _, normal = facing
    h, first = rough(N), np.arange(N + 1)
    beam, mean = suns_of(sky)
    projected = shaded_beam(beam, normal, np.ones(N), h, first)
    want = shaded_beam(sky[:, :, :3], normal, np.ones(N), h, first)
    np.testing.assert_allclose(projected * mean[:, 3:], want, atol=2e-4)
    np.testing.assert_allclose(mean[:, 3], mean_sky(sky)[:, 3], rtol=1e-12)


def test_sunlit_shares_of_one_orientation_are_shares(sky, facing):
    _, _, normal = facing
    beam, mean = suns_of(sky)
    first = np.arange(N + 1)
    share = sunlit_share(shaded_beam(beam, normal, np.ones(N), open_place(N), first), mean, normal)
    high = (mean[:, :3] @ normal.T > 0.2) & (mean[:, 2:3] > 0.2)
    # The mean of the clipped cosine is that of the mean sun where the sun stays before the surface all hour.
    np.testing.assert_allclose(share[high], 1.0, atol=1e-5)


@pytest.mark.parametrize("ratio", [0.3, 1.0, 2.5])
def test_ground_before_a_wall_is_as_dark_as_that_of_an_endless_street(ratio):
    # Sky view of the ground across the street, in the mean: sqrt(1 + r^2) - r, r = H / W; of the walls half of q as below.
    q = (1 + ratio - math.sqrt(1 + ratio * ratio)) / ratio
    low, high = 0.0, 20.0
    for _ in range(60):  # the even horizon of a wall that keeps q
        t = 0.5 * (low + high)
        h = SurfaceHorizons(np.full((32, 1), t, np.float32), NO_CROWNS, NO_CROWNS)
        keeps = surface_views([[0, 1.0, 0]], h)[0, 0] / 0.5
        low, high = (t, high) if keeps > q else (low, t)
    v = surface_views([[0, 1.0, 0]], h)[0]
    ground = math.sqrt(1 + ratio * ratio) - ratio
    assert v[4] == pytest.approx(0.5 * ground + v[3] * q / 2, abs=1e-5)
