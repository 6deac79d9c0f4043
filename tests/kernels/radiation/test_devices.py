"""Overhangs, fins and blinds: rays through a grid, closed forms, published shading coefficients."""

import math

import numpy as np
import pytest

from felsina.kernels.radiation.devices import Devices, blinds_closed, diffuse_shares, sunlit_fraction, window_devices

AZIMUTH = math.radians(200.0)


def traced(sun, azimuth, devices: Devices, q, n=100):
    """Sunlit share of window q by n x n rays."""
    w, h, od, oo, ol, orr, ld, lo, rd, ro, fa, fb = (c[q] for c in devices)
    sx = sun @ np.array([-math.cos(azimuth), math.sin(azimuth), 0])
    sz = sun @ np.array([math.sin(azimuth), math.cos(azimuth), 0])
    sy = sun[2]
    if sz <= 0 or sy <= 0:
        return 0.0
    x, y = np.meshgrid((np.arange(n) + 0.5) / n * w, (np.arange(n) + 0.5) / n * h)
    t = (h + oo - y) / sy
    dark = (od > 0) & (t * sz <= od) & (x + t * sx >= -ol) & (x + t * sx <= w + orr)
    for depth, at in ((ld, -lo), (rd, w + ro)):
        if depth > 0:
            t = (at - x) / sx
            dark |= (t > 0) & (t * sz <= depth) & (y + t * sy >= -fb) & (y + t * sy <= h + fa)
    return 1.0 - dark.mean()


def test_sunlit_share_equals_rays():
    random = np.random.default_rng(2)
    n = 12
    one = lambda low, high: random.uniform(low, high, n)  # noqa: E731
    devices = window_devices(
        one(0.5, 4), one(0.5, 3), one(-0.5, 1.5), one(0, 0.8), one(0, 1), one(0, 1), one(-0.5, 1), one(0, 0.5), one(-0.5, 1),
        one(0, 0.5), one(-0.2, 1), one(0, 0.5),
    )  # fmt: skip
    sun = random.normal(size=(60, 3))
    sun[:, 2] = np.abs(sun[:, 2])
    sun /= np.linalg.norm(sun, axis=1)[:, None]
    got = sunlit_fraction(sun, AZIMUTH, devices)
    want = np.array([[traced(s, AZIMUTH, devices, q) for q in range(n)] for s in sun])
    assert 0.2 < (want > 0).mean() < 0.8
    # A shadow's edge crosses a row of 100 rays between two of them: at most half a ray of each row, two edges.
    assert np.abs(got - want).max() < 0.02
    assert np.abs(got - want).mean() < 0.001


def test_overhang_as_long_as_the_wall_follows_the_profile_angle():
    # ASHRAE 140, case 610: 1 m of overhang 0.5 m above 2 m of glass; endless here. Shadow depth D tan(e) / cos(azimuth gap).
    device = window_devices(3.0, 2.0, 1.0, 0.5, 1e4, 1e4)
    for elevation, gap in ((10, 0), (30, 20), (50, -40), (70, 10)):
        e, a = math.radians(elevation), math.radians(gap)
        sun = [-math.sin(a) * math.cos(e), -math.cos(a) * math.cos(e), math.sin(e)]
        depth = math.tan(e) / math.cos(a)
        want = 1.0 - min(1.0, max(0.0, (depth - 0.5) / 2.0))
        assert sunlit_fraction([sun], math.pi, device)[0, 0] == pytest.approx(want, abs=1e-9)


def test_east_and_west_mirror_each_other():
    right = window_devices(3, 2, right_depth=1.0, fin_above=0.5)
    left = window_devices(3, 2, left_depth=1.0, fin_above=0.5)
    sun = np.array([[0.5, -0.6, 0.4], [-0.5, -0.6, 0.4]])
    np.testing.assert_allclose(sunlit_fraction(sun, math.pi, right)[0], sunlit_fraction(sun, math.pi, left)[1], rtol=1e-13)
    # Seen from outside a south wall has east on the right, so a fin there shades the morning.
    assert sunlit_fraction(sun, math.pi, right)[0, 0] < sunlit_fraction(sun, math.pi, right)[1, 0] == 1.0


def test_no_sun_behind_the_wall_or_below_the_horizon():
    bare = window_devices(1, 1)
    assert (sunlit_fraction([[0, 1, 0.2], [0, -1, -0.2], [0, 0, 0]], math.pi, bare) == 0).all()
    assert (sunlit_fraction([[0, -1, 0.2]], math.pi, bare) == 1).all()


def view_of_overhang(w, h):
    """View factor from a rectangle to one at a right angle with a common edge (Howell C-14); w, h over the edge."""
    w2, h2, s2 = w * w, h * h, w * w + h * h
    log = math.log((1 + w2) * (1 + h2) / (1 + s2)) + w2 * math.log(w2 * (1 + s2) / ((1 + w2) * s2))
    log += h2 * math.log(h2 * (1 + s2) / ((1 + h2) * s2))
    s = math.sqrt(s2)
    return (w * math.atan(1 / w) + h * math.atan(1 / h) - s * math.atan(1 / s) + 0.25 * log) / (math.pi * w)


@pytest.mark.parametrize(("width", "height", "depth"), [(3, 2, 1.0), (1, 2, 0.3), (8, 2.7, 1.0), (2, 2, 2)])
def test_overhang_takes_its_view_factor_from_the_sky(width, height, depth):
    sky, level, ground = diffuse_shares(window_devices(width, height, depth))[0]
    # An overhang covers sky alone, which is half of the view: 1 - 2 F. 24 x 24 points leave 0.0012 beside the common edge.
    assert sky == pytest.approx(1 - 2 * view_of_overhang(height / width, depth / width), abs=0.0015)
    assert level == ground == 1.0


def test_a_fin_takes_its_view_factor_from_sky_and_ground_alike():
    sky, level, ground = diffuse_shares(window_devices(3, 2, right_depth=1.0))[0]
    assert 1 - 0.5 * (sky + ground) == pytest.approx(view_of_overhang(3 / 2, 1 / 2), abs=0.0015)
    assert sky == pytest.approx(ground, rel=1e-12)
    assert level < sky


def test_blinds_follow_their_rule_and_its_hysteresis():
    light = np.array([[100.0], [250.0], [180.0], [120.0], [180.0], [210.0]])
    assert blinds_closed(light, 200.0)[:, 0].tolist() == [0, 1, 0, 0, 0, 1]
    assert blinds_closed(light, 200.0, 150.0)[:, 0].tolist() == [0, 1, 1, 0, 0, 1]
