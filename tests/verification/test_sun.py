"""What everybody knows of the sun: noon, seasons, polar night and polar day."""

import math

import numpy as np

from felsina.kernels.radiation.sun import solar_position

# Days since J2000.0 of 2023-06-21 00:00 and 2023-12-21 00:00 UTC.
JUNE, DECEMBER = 8571.5, 8754.5
MINUTES = np.arange(1440) / 1440.0


def _sun(day, latitude, longitude):
    return solar_position(day + MINUTES, math.radians(latitude), math.radians(longitude))


def test_the_sun_culminates_in_the_south_in_bologna_and_in_the_north_in_sydney():
    for day in (JUNE, DECEMBER):
        for latitude, longitude, south in ((44.49, 11.34, 180.0), (-33.87, 151.21, 0.0)):
            sun = _sun(day, latitude, longitude)
            azimuth = math.degrees(sun["azimuth"][sun["elevation"].argmax()])
            # The sun turns by up to 1 degree a minute near the zenith.
            assert abs((azimuth - south + 180.0) % 360.0 - 180.0) < 1.0


def test_noon_elevation_is_the_colatitude_plus_the_declination():
    sun = _sun(JUNE, 44.49, 11.34)
    noon = sun["elevation"].argmax()
    # The parallax, 0.0024 degrees, and the minute step stay below 0.01.
    assert abs(math.degrees(sun["elevation"][noon]) - (90.0 - 44.49 + math.degrees(sun["declination"][noon]))) < 0.01
    assert abs(math.degrees(sun["declination"][noon]) - 23.44) < 0.01


def test_tromso_has_no_night_in_june_and_no_day_in_december():
    assert _sun(JUNE, 69.65, 18.96)["elevation"].min() > 0
    assert _sun(DECEMBER, 69.65, 18.96)["elevation"].max() < 0


def test_the_sun_moves_from_east_to_west_clockwise_in_the_north():
    sun = _sun(JUNE, 44.49, 11.34)
    up = sun["elevation"] > 0
    azimuth = sun["azimuth"][up]
    assert (np.diff(azimuth) > 0).all()
    assert azimuth[0] < math.radians(90) < math.radians(270) < azimuth[-1]


def test_the_equation_of_time_has_its_known_extremes():
    year = solar_position(JUNE + np.arange(365.0), 0.0, 0.0)["equation_of_time"] * 720.0 / math.pi
    # Nautical Almanac: +16.4 min in early November, -14.2 min in mid-February; 0.1 min of spread between years.
    assert abs(year.max() - 16.45) < 0.1
    assert abs(year.min() + 14.2) < 0.1


def test_solar_noon_is_where_the_equation_of_time_says():
    sun = _sun(JUNE, 44.49, 11.34)
    noon = sun["elevation"].argmax()
    minutes = 720.0 - 4.0 * 11.34 - sun["equation_of_time"][noon] * 720.0 / math.pi
    assert abs(noon - minutes) <= 1.0
