"""The weather of the built-in district: a whole year in the form that others read, with the climate of its place."""

import datetime
import io
import math

import numpy as np
import pvlib
import pytest

from felsina.engine.district.weather import HEATWAVE_FIRST, HEATWAVE_LENGTH, LATITUDE, LONGITUDE, epw_text


@pytest.fixture(scope="module")
def weather():
    return pvlib.iotools.read_epw(io.StringIO(epw_text(1)))


def test_the_year_is_a_whole_epw_that_others_read(weather):
    lines = epw_text(1).splitlines()
    assert len(lines) == 8 + 8760
    assert {line.count(",") for line in lines[8:]} == {34}
    data, meta = weather
    assert len(data) == 8760
    assert (meta["latitude"], meta["longitude"], meta["TZ"]) == (LATITUDE, LONGITUDE, 1.0)
    assert not data.drop(columns=["data_source_unct"]).isna().any().any()


def test_the_heatwave_is_where_it_is_said_to_be_and_nowhere_else(weather):
    air = weather[0]["temp_air"].to_numpy().reshape(365, 24)
    first = (HEATWAVE_FIRST - datetime.date(2015, 1, 1)).days
    wave = slice(first, first + HEATWAVE_LENGTH)
    np.testing.assert_allclose(air[wave].max(axis=1), 38.0, atol=0.3)
    np.testing.assert_allclose(air[wave].min(axis=1), 26.0, atol=0.5)
    rest = np.delete(air, np.r_[first - 2 : first + HEATWAVE_LENGTH + 2], axis=0)
    assert rest.max() < 37.0
    assert (rest.min(axis=1) < 25.0).all()


def test_the_seasons_are_those_of_the_po_valley(weather):
    monthly = weather[0]["temp_air"].groupby(weather[0]["month"]).mean()
    assert 0.0 < monthly[1] < 7.0
    assert 22.0 < monthly[7] < 29.0
    assert 12.0 < weather[0]["temp_air"].mean() < 16.5
    assert 1200.0 < weather[0]["ghi"].sum() / 1000.0 < 1700.0  # kWh m-2; Bologna receives about 1,450
    assert (weather[0]["temp_dew"] < weather[0]["temp_air"]).all()
    assert weather[0]["relative_humidity"].between(5, 100).all()
    assert weather[0]["atmospheric_pressure"].between(97_000, 104_000).all()
    assert weather[0]["wind_speed"].between(0.2, 15).all()
    assert weather[0]["ghi_infrared"].between(180, 480).all()
    assert weather[0]["temp_air"].diff().abs().max() < 6.0


def test_diffuse_never_exceeds_global_and_the_night_is_dark(weather):
    data = weather[0]
    assert (data["dhi"] <= data["ghi"]).all()
    assert (data["ghi"] <= data["etr"] + 1).all()
    dark = data["etr"] == 0
    assert 3500 < dark.sum() < 4500
    assert (data.loc[dark, ["ghi", "dni", "dhi"]] == 0).all().all()


def test_only_the_middle_of_the_hour_before_the_label_explains_the_beam(weather):
    import pandas as pd

    data = weather[0]
    bright = (data["dni"] > 200).to_numpy()
    ratio = ((data["ghi"] - data["dhi"]) / data["dni"]).to_numpy()[bright]

    def misfit(minutes):
        at = data.index[bright] + pd.Timedelta(minutes=minutes)  # pvlib's index is the start of the hour
        sine = np.sin(np.radians(pvlib.solarposition.get_solarposition(at, LATITUDE, LONGITUDE)["elevation"].to_numpy()))
        return math.sqrt(((ratio - sine) ** 2).mean())

    assert misfit(30) < 0.01
    assert min(misfit(m) for m in (-30, 0, 60, 90)) > 4.0 * misfit(30)
