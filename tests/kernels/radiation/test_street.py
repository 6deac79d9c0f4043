"""Radiation of the street against the plain NumPy formulas, its laws, and its independence of cuts.

One rounding is saved where a product and a sum are contracted: 1.2e-7 of the largest term.
"""

import numpy as np
import pytest

from felsina.kernels.constants import STEFAN_BOLTZMANN, ZERO_CELSIUS
from felsina.kernels.radiation.street import add_beam, add_surface, ambient_radiation, kelvin_to_celsius

F = np.float32
ROUNDING = 2.4e-7  # two roundings of float32


def fields(n, seed=4):
    rng = np.random.default_rng(seed)
    sky, visible = rng.uniform(0, 1, n).astype(F), rng.choice(np.array([0, 0.03, 1], F), n)
    return sky, rng.uniform(280, 315, n).astype(F), visible, rng.uniform(0, 400, n).astype(F)


def ambient(sky, air):
    out = [np.full_like(sky, np.nan) for _ in range(2)]
    ambient_radiation(sky, air, 341.7, 120.3, 655.1, 0.23, *out)
    return out


@pytest.mark.parametrize("shape", [(0,), (1,), (57, 133), (3, 4096)])
def test_ambient_radiation_is_that_of_the_plain_formula(shape):
    sky, air, *_ = fields(shape)
    longwave, diffuse = ambient(sky, air)
    squared = air * air
    want = sky * F(341.7) + (F(1) - sky) * F(STEFAN_BOLTZMANN) * squared * squared
    np.testing.assert_allclose(longwave, want, rtol=ROUNDING)
    np.testing.assert_allclose(diffuse, sky * F(120.3) + (F(1) - sky) * F(0.5 * 0.23 * 655.1), rtol=ROUNDING)


def test_a_street_under_a_sky_as_warm_as_its_air_receives_a_black_body_whatever_it_sees():
    sky, _, _, _ = fields(500)
    longwave, diffuse = np.empty_like(sky), np.empty_like(sky)
    ambient_radiation(sky, np.full_like(sky, 300), STEFAN_BOLTZMANN * 300.0**4, 0.0, 0.0, 0.5, longwave, diffuse)
    np.testing.assert_allclose(longwave, STEFAN_BOLTZMANN * 300.0**4, rtol=4 * ROUNDING)
    assert (diffuse == 0).all()


def test_unknown_cells_stay_unknown():
    sky, air, *_ = fields(40)
    sky[7] = np.nan
    for out in ambient(sky, air):
        assert np.flatnonzero(np.isnan(out)).tolist() == [7]


def hour(n, seed=4, cuts=()):
    """Three sub-steps of an hour, the last at night, computed in parts."""
    sky, air, visible, diffuse = fields(n, seed)
    sums = [np.zeros(n, F) for _ in range(5)]
    shortwave = np.empty(n, F)
    for a, b in zip((0, *cuts), (*cuts, n)):
        v, d, k = visible[a:b], diffuse[a:b], shortwave[a:b]
        shortwave_sum, shaded, sunlit, surface, sensible = (s[a:b] for s in sums)
        for beam, dark, bright in ((510.0, 0.5, 0.0), (623.4, 0.5, 1 / 3), (0.0, 0.0, 0.0)):
            add_beam(d, v, beam, 1 / 3, dark, bright, k, shortwave_sum, shaded, sunlit)
            add_surface(air[a:b], sky[a:b], 1 / 3, surface, sensible)
    return sky, air, visible, diffuse, shortwave, sums


def test_an_hour_is_the_sum_of_its_sub_steps():
    sky, air, visible, diffuse, shortwave, (total, shaded, sunlit, surface, sensible) = hour(9000)
    np.testing.assert_array_equal(shortwave, diffuse)  # of the last, which has no sun
    third = F(1 / 3)
    want = third * (diffuse + F(510) * visible) + third * (diffuse + F(623.4) * visible) + third * diffuse
    np.testing.assert_allclose(total, want, rtol=3 * ROUNDING)
    np.testing.assert_allclose(shaded, 1 - visible, rtol=ROUNDING)
    np.testing.assert_allclose(sunlit, third * visible, rtol=ROUNDING)
    np.testing.assert_allclose(surface, air, rtol=3 * ROUNDING)
    np.testing.assert_allclose(sensible, sky, rtol=3 * ROUNDING)


def test_cells_cut_anywhere_give_the_same_bits():
    whole = hour(9000)
    parts = hour(9000, cuts=(1, 8, 4100, 8999))
    for a, b in zip((whole[4], *whole[5]), (parts[4], *parts[5])):
        assert a.tobytes() == b.tobytes()


def test_celsius_starts_at_the_melting_point():
    kelvin = np.array([273.15, 300.0, np.nan], F)
    kelvin_to_celsius(kelvin, kelvin)
    np.testing.assert_array_equal(kelvin, np.array([273.15, 300.0, np.nan], F) - F(ZERO_CELSIUS))


@pytest.mark.parametrize("wrong", [np.zeros((4, 8), F)[:, ::2], np.zeros(15, F)])
def test_arrays_that_could_not_be_written_in_place_are_refused(wrong):
    with pytest.raises(ValueError, match="expected contiguous with 16"):
        add_surface(np.zeros(16, F), np.zeros(16, F), 0.5, np.zeros(16, F), wrong)
