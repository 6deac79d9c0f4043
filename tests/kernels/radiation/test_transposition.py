"""The Perez sky against pvlib, and laws that a sum over the sky has to keep."""

import math

import numpy as np
import pytest

from felsina.kernels.radiation.sun import SOLAR_CONSTANT, solar_position
from felsina.kernels.radiation.transposition import (
    mean_sky,
    sector_irradiance,
    sky_states,
    split_global,
    tilted_irradiance,
)

LATITUDE, LONGITUDE = math.radians(44.49), math.radians(11.34)
DAY = 8571.5  # 2023-06-21 00:00 UTC


@pytest.fixture(scope="module")
def weather():
    """A year of instants with irradiances from overcast to clear."""
    random = np.random.default_rng(3)
    time = DAY - 171 + np.sort(random.uniform(0, 365, 6000))
    up = np.maximum(np.sin(solar_position(time, LATITUDE, LONGITUDE)["elevation"]), 0)
    direct = 950 * up**0.3 * random.uniform(0, 1, up.size) ** 2 * (up > 0)
    diffuse = up * random.uniform(20, 450, up.size)
    return time, direct, diffuse, diffuse + direct * up


@pytest.mark.parametrize(
    ("tilt", "azimuth"), [(0, 0), (30, 180), (90, 90), (90, 180), (90, 270), (90, 0), (60, 211), (120, 135)]
)
def test_irradiance_equals_pvlib_perez(weather, tilt, azimuth):
    irradiance = pytest.importorskip("pvlib").irradiance
    from pvlib.atmosphere import get_relative_airmass

    time, direct, diffuse, total = weather
    # One sub-step of 60 s ending 30 s later is the instant itself.
    sky = sky_states(time + 30 / 86400, 60.0, LATITUDE, LONGITUDE, direct, diffuse, total, albedo=0.2)
    got = tilted_irradiance(sky, math.radians(tilt), math.radians(azimuth))[:, 0]
    sun = solar_position(time, LATITUDE, LONGITUDE)
    zenith, bearing = 90 - np.degrees(sun["elevation"]), np.degrees(sun["azimuth"])
    want = irradiance.get_total_irradiance(
        tilt, azimuth, zenith, bearing, direct, total, diffuse, model="perez", model_perez="allsitescomposite1990",
        dni_extra=SOLAR_CONSTANT / sun["distance"] ** 2, airmass=get_relative_airmass(zenith), albedo=0.2,
    )["poa_global"]  # fmt: skip
    up = zenith < 90
    assert up.sum() > 2000
    # 0.1 W m-2 is far below any sensor; what remains is the clipping of a negative sky and the 30 s.
    assert np.abs(got - np.asarray(want))[up].max() < 0.1


def test_a_sun_below_the_horizon_gives_no_beam_and_an_isotropic_sky():
    sky = sky_states([DAY], 3600.0, LATITUDE, LONGITUDE, [100.0], [10.0], [10.0])
    assert (sky[0, :, :4] == 0).all()
    assert (sky[0, :, 5] == 0).all()
    np.testing.assert_allclose(tilted_irradiance(sky, [0.0], [0.0]), 10.0, rtol=1e-15)


def test_an_isotropic_sky_over_bright_ground_gives_every_surface_the_same():
    sky = np.zeros((1, 1, 7))
    sky[0, 0, 4] = sky[0, 0, 6] = 100.0
    tilt = np.linspace(0, math.pi, 19)
    np.testing.assert_allclose(tilted_irradiance(sky, tilt, tilt), 100.0, rtol=1e-14)


def test_sub_steps_of_an_hour_with_sunrise_keep_the_mean_beam():
    # Sunrise in Bologna on 21 June is at 03:32 UTC.
    sky = sky_states([DAY + 4 / 24], 3600.0, LATITUDE, LONGITUDE, [60.0], [0.0], [0.0])
    lit = sky[0, :, 3] > 0
    assert 0 < lit.sum() < 6
    np.testing.assert_allclose(mean_sky(sky)[0, 3], 60.0, rtol=1e-14)


def test_sub_steps_never_exceed_ten_minutes():
    assert sky_states([DAY], 3600.0, 0.1, 0.1, [0.0], [0.0], [0.0], minutes=60.0).shape[1] == 6


def test_the_mean_of_six_sub_steps_is_near_that_of_sixty():
    end = DAY + np.arange(24) / 24
    flux = (np.full(24, 700.0), np.full(24, 100.0), np.full(24, 500.0))
    rough = sector_irradiance(sky_states(end, 3600.0, LATITUDE, LONGITUDE, *flux))
    fine = sector_irradiance(sky_states(end, 3600.0, LATITUDE, LONGITUDE, *flux, minutes=1.0))
    day = slice(6, 18)  # the hours of sunrise and sunset differ by how much of them is lit
    # Mid-point rule: (15 degrees)^2 / 24 / 36 of the beam, and one sub-step at an edge of a wall.
    assert np.abs(rough - fine)[day].max() < 8.0


def test_sectors_are_the_surfaces_they_name():
    end = DAY + np.arange(24) / 24
    sky = sky_states(end, 3600.0, LATITUDE, LONGITUDE, np.full(24, 500.0), np.full(24, 100.0), np.full(24, 300.0), albedo=0.0)
    sectors = sector_irradiance(sky)
    np.testing.assert_array_equal(sectors[:, 2:3], tilted_irradiance(sky, [math.pi / 2], [math.pi / 2]))
    np.testing.assert_array_equal(sectors[:, 8:9], tilted_irradiance(sky, [0.0], [0.0]))
    assert (sectors[:, 9] == 0).all()
    assert sectors[:, 2].argmax() < 12 < sectors[:, 6].argmax()


def test_splitting_keeps_the_global_irradiance():
    end = DAY + np.arange(48) / 24
    cosine = np.zeros(48)
    for k in range(6):
        cosine += np.maximum(np.sin(solar_position(end - (k + 0.5) / 144, LATITUDE, LONGITUDE)["elevation"]), 0) / 6
    total = 900 * cosine * np.linspace(0.1, 1, 48)
    diffuse, direct = split_global(end, 3600.0, LATITUDE, LONGITUDE, total)
    np.testing.assert_allclose(diffuse + direct * cosine, total, atol=1e-9)
    assert (direct >= 0).all() and (diffuse <= total + 1e-12).all()


def test_splitting_agrees_with_pvlib_erbs():
    irradiance = pytest.importorskip("pvlib").irradiance
    time = DAY + np.linspace(0.2, 0.8, 200)
    zenith = 90 - np.degrees(solar_position(time, LATITUDE, LONGITUDE)["elevation"])
    distance = solar_position(time, LATITUDE, LONGITUDE)["distance"]
    total = np.linspace(50, 900, 200) * np.maximum(np.cos(np.radians(zenith)), 0)
    diffuse, _ = split_global(time + 30 / 86400, 60.0, LATITUDE, LONGITUDE, total)
    import pandas

    want = irradiance.erbs(total, zenith, pandas.DatetimeIndex(["2023-06-21"] * 200))
    # pvlib scales with its own solar constant and orbit: the clearness index differs by up to 0.5 %.
    up = (zenith < 85) & (distance > 0)
    assert np.abs(diffuse - np.asarray(want["dhi"]))[up].max() < 6.0


def test_cutting_the_hours_anywhere_gives_the_same_bits(weather):
    time, direct, diffuse, total = (v[:500] for v in weather)
    whole = sky_states(time, 3600.0, LATITUDE, LONGITUDE, direct, diffuse, total)
    for cut in (1, 7, 333):
        parts = [
            sky_states(time[s], 3600.0, LATITUDE, LONGITUDE, direct[s], diffuse[s], total[s])
            for s in (slice(cut), slice(cut, None))
        ]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
