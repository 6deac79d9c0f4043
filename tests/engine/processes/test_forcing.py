"""Hourly weather as the streets get it: the energy of the beam is kept, the sun stands where it should."""

from __future__ import annotations

import datetime
import math
from types import SimpleNamespace

import numpy as np
import pytest

from felsina.engine.clock import Clock
from felsina.engine.processes.forcing import SOIL_DAYS, SUB_STEPS, forcings, soil_temperature


def weather(day=datetime.date(2015, 6, 21), latitude=44.5, longitude=11.3, offset=1.0, days=1):
    clock = Clock(first_day=day, n_day=days, utc_offset=offset)
    hours = np.arange(clock.n, dtype=float)
    return SimpleNamespace(
        clock=clock,
        latitude=latitude,
        longitude=longitude,
        air_temperature=290.0 + hours,
        diffuse_horizontal=10.0 + hours,
        global_horizontal=20.0 + hours,
        direct_normal=np.full(clock.n, 300.0),
        downwelling_longwave=350.0 + hours,
        wind_speed=1.0 + hours,
        wind_from_direction=np.full(clock.n, 90.0),
    )


def test_every_hour_keeps_the_energy_of_its_beam():
    made = forcings(weather())
    for forcing in made:
        if (forcing.elevation > 0).any():
            assert math.fsum(forcing.direct_normal) / SUB_STEPS == pytest.approx(300.0, rel=1e-12)
        else:
            assert not forcing.direct_normal.any()


def test_the_hour_of_sunrise_gives_its_beam_to_the_steps_with_the_sun_up():
    made = forcings(weather())
    rising = next(f for f in made if 0 < np.count_nonzero(f.elevation > 0) < SUB_STEPS)
    up = rising.elevation > 0
    assert (rising.direct_normal[up] > 300.0).all() and not rising.direct_normal[~up].any()


def test_the_sun_is_highest_and_in_the_south_at_solar_noon():
    made = forcings(weather())
    elevation = np.concatenate([f.elevation for f in made])
    k = int(elevation.argmax())
    # 11.3 E is 14.8 min before the meridian of UTC+1: noon is at 12:17 on this day, in the second sub-step of the hour.
    assert k // SUB_STEPS == 12 and k % SUB_STEPS in (1, 2)
    assert math.degrees(elevation[k]) == pytest.approx(90.0 - 44.5 + 23.44, abs=0.1)
    azimuth = np.concatenate([f.azimuth for f in made])[k]
    assert math.degrees(azimuth) == pytest.approx(180.0, abs=5.0)


def test_in_sydney_the_sun_of_noon_stands_in_the_north():
    made = forcings(weather(datetime.date(2015, 12, 1), -33.9, 151.2, 10.0))
    best = max(made, key=lambda f: f.elevation.max())
    assert math.cos(best.azimuth[int(best.elevation.argmax())]) > 0.9


def test_the_polar_night_has_no_beam():
    made = forcings(weather(datetime.date(2015, 12, 21), 69.6, 18.9))
    assert not any(f.direct_normal.any() or any(f.sine_elevation) for f in made)


def test_the_rest_passes_hour_by_hour_in_radians():
    made = forcings(weather())
    assert len(made) == 24
    assert [f.air_temperature for f in made] == [290.0 + h for h in range(24)]
    assert [f.longwave for f in made] == [350.0 + h for h in range(24)]
    assert {f.wind_from for f in made} == {math.pi / 2}


def test_the_deep_ground_has_the_mean_of_the_month_before():
    air = np.arange(100 * 24, dtype=float)
    n = SOIL_DAYS * 24
    assert soil_temperature(air, 60 * 24) == pytest.approx(air[60 * 24 - n : 60 * 24].mean(), rel=1e-12)
    assert soil_temperature(air, 5 * 24) == pytest.approx(air[:n].mean(), rel=1e-12)
