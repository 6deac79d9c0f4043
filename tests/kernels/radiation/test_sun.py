"""The sun's place against NREL's Solar Position Algorithm (pvlib), and the properties of its coordinates."""

import math

import numpy as np
import pytest

from felsina.kernels.radiation.sun import SOLAR_CONSTANT, extraterrestrial_normal, solar_position

PLACES = [(44.49, 11.34), (-33.87, 151.21), (69.65, 18.96), (0.0, -78.5), (-54.8, -68.3), (21.0, 105.8)]


def _times(years, per_year, seed):
    # Days since J2000.0; random so that no hour or season is left out.
    start = (years[0] - 2000) * 365.25 - 0.5
    return np.sort(np.random.default_rng(seed).uniform(start, start + (years[1] - years[0]) * 365.25, per_year))


@pytest.mark.parametrize(("latitude", "longitude"), PLACES)
def test_elevation_and_azimuth_stay_within_a_hundredth_of_a_degree_of_spa_from_1950_to_2050(latitude, longitude):
    pandas = pytest.importorskip("pandas")
    spa = pytest.importorskip("pvlib").solarposition
    time = _times((1950, 2050), 4000, 1)
    index = pandas.DatetimeIndex(pandas.Timestamp("2000-01-01 12:00", tz="UTC") + pandas.to_timedelta(time, unit="D"))
    years = index.year + index.day_of_year / 365.25
    want = spa.get_solarposition(
        index, latitude, longitude, altitude=0, method="nrel_numpy", delta_t=29.0 + 0.57 * (np.asarray(years) - 1950)
    )
    got = solar_position(time, math.radians(latitude), math.radians(longitude))
    up = want["elevation"].to_numpy() > 0
    error = np.degrees(got["elevation"]) - want["elevation"].to_numpy()
    assert np.abs(error[up]).max() < 0.01
    turn = (np.degrees(got["azimuth"]) - want["azimuth"].to_numpy() + 180.0) % 360.0 - 180.0
    # Azimuth loses meaning at the zenith: what counts is the arc on the sky.
    arc = np.abs(turn) * np.cos(got["elevation"])
    assert arc[up].max() < 0.01
    assert np.abs(turn[up & (want["elevation"].to_numpy() < 60)]).max() < 0.01


def test_apparent_elevation_follows_spa_near_the_horizon():
    pandas = pytest.importorskip("pandas")
    pvlib = pytest.importorskip("pvlib")
    index = pandas.date_range("2023-03-01", "2023-03-08", freq="3min", tz="UTC")
    time = (index - pandas.Timestamp("2000-01-01 12:00", tz="UTC")) / pandas.Timedelta("1D")
    want = pvlib.solarposition.get_solarposition(index, 44.5, 11.3, altitude=0, pressure=101325.0, temperature=12.0)
    got = solar_position(np.asarray(time), math.radians(44.5), math.radians(11.3))
    low = (want["elevation"].to_numpy() > -0.5) & (want["elevation"].to_numpy() < 10)
    # 0.01 degrees of place, and half as much again where refraction is steep.
    assert np.abs(np.degrees(got["apparent_elevation"]) - want["apparent_elevation"].to_numpy())[low].max() < 0.015


def test_extraterrestrial_irradiance_is_the_solar_constant_at_one_astronomical_unit():
    assert extraterrestrial_normal(1.0) == SOLAR_CONSTANT
    distance = solar_position(np.arange(0.0, 366.0), 0.0, 0.0)["distance"]
    # Perihelion and aphelion of the earth: 0.9833 and 1.0167 au.
    np.testing.assert_allclose([distance.min(), distance.max()], [0.9833, 1.0167], atol=2e-4)


def test_no_time_gives_no_row_and_one_gives_one():
    assert solar_position(np.empty(0), 0.5, 0.2)["azimuth"].shape == (0,)
    many = solar_position(np.arange(10.0), 0.5, 0.2)
    for name, value in many.items():
        np.testing.assert_array_equal(value[3:4], solar_position([3.0], 0.5, 0.2)[name])
