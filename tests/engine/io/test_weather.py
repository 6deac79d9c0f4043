"""EPW files: units, calendar, missing values, and the sun as a witness of the hours."""

import datetime
import math

import numpy as np
import pytest

from felsina.engine.errors import InputError
from felsina.engine.io.weather import read_epw
from felsina.kernels.radiation.sun import solar_position

BOLOGNA = "energy/ITA_ER_Bologna-Marconi.AP.161400_TMYx.2004-2018.epw"
REAL = ["energy/725650TYCST.epw", "energy/DRYCOLDTMY.epw", BOLOGNA, "heat/athens_2023_heatwave/athens_2023.epw"]


@pytest.fixture(scope="module")
def lines(felsina_data):
    return (felsina_data / BOLOGNA).read_text(encoding="latin-1").splitlines()


def _write(tmp_path, lines):
    path = tmp_path / "made.epw"
    path.write_text("\n".join(lines) + "\n", encoding="latin-1")
    return path


def _put(lines, column, value, rows=slice(None)):
    body = [line.split(",") for line in lines[8:]]
    for row in body[rows]:
        row[column] = value
    return lines[:8] + [",".join(row) for row in body]


@pytest.mark.parametrize("path", REAL)
def test_real_files_agree_with_the_sun(felsina_data, path):
    weather = read_epw(felsina_data / path)
    assert weather.clock.n == 8760
    # The four fit at 5, 5, 0 and 0 minutes (the last is made from ERA5: its hours too are means that end at their label);
    # 10 is half the limit that refuses a file.
    assert abs(weather.hour_shift) <= 10
    for name in ("air_temperature", "downwelling_longwave", "global_horizontal", "direct_normal", "relative_humidity"):
        assert np.isfinite(getattr(weather, name)).all()


def test_units_are_si_and_the_first_hour_is_local_hour_one(felsina_data):
    weather = read_epw(felsina_data / BOLOGNA)
    assert weather.air_temperature[0] == 7.0 + 273.15
    assert weather.relative_humidity[0] == 0.93
    assert weather.air_pressure[0] == 100869.0
    assert weather.wind_from_direction[0] == 270.0
    assert (weather.latitude, weather.longitude, weather.elevation) == (44.5308, 11.2969, 37.0)
    assert weather.clock.labels()[0] == "2023-01-01T00:00:00Z"


def test_a_single_year_keeps_its_calendar_and_mixed_years_get_the_reference_year_or_the_one_asked_for(felsina_data):
    assert read_epw(felsina_data / REAL[3]).clock.first_day.year == 2023
    assert read_epw(felsina_data / BOLOGNA).clock.first_day.year == 2023
    assert read_epw(felsina_data / BOLOGNA, year=2021).clock.first_day.year == 2021
    with pytest.raises(InputError, match="no 29 February but 2024 has one"):
        read_epw(felsina_data / BOLOGNA, year=2024)


@pytest.mark.parametrize(("hours", "word"), [(1, "late"), (-1, "early"), (2, "late")])
def test_rows_shifted_by_whole_hours_are_refused_by_name(tmp_path, lines, hours, word):
    body = [line.split(",") for line in lines[8:]]
    solar = [row[10:20] for row in body]
    for i, row in enumerate(body):
        row[10:20] = solar[(i - hours) % len(body)]
    with pytest.raises(InputError, match=f"runs {60 if abs(hours) == 1 else 90} minutes {word}|runs 5[05] minutes {word}"):
        read_epw(_write(tmp_path, lines[:8] + [",".join(row) for row in body]))


@pytest.mark.parametrize(("minutes", "word"), [(30, "late"), (-30, "early")])
def test_rows_shifted_by_half_an_hour_are_refused_by_name(tmp_path, lines, minutes, word):
    # Means of neighbouring hours are what an instrument with a clock off by half an hour writes.
    body = [line.split(",") for line in lines[8:]]
    for column in (13, 14, 15):
        v = np.array([float(row[column]) for row in body])
        for row, value in zip(body, 0.5 * (v + np.roll(v, 1 if minutes > 0 else -1))):
            row[column] = f"{value:.1f}"
    with pytest.raises(InputError, match=f"runs (25|30|35) minutes {word}"):
        read_epw(_write(tmp_path, lines[:8] + [",".join(row) for row in body]))


def test_a_wrong_time_zone_in_the_header_is_refused(tmp_path, lines):
    first = lines[0].split(",")
    first[8] = "2.0"
    with pytest.raises(InputError, match=r"runs (55|60|65) minutes early against the sun"):
        read_epw(_write(tmp_path, [",".join(first), *lines[1:]]))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda x: x[:100] + x[101:], "line 101 is .* is due. An hour is missing"),
        (lambda x: x[:101] + x[100:], "line 102 .* Remove the doubled hour"),
        (lambda x: x[:-1], "8,759 hours"),
        (lambda x: [*x[:50], x[50] + ",1", *x[51:]], "line 51 has 36 values where line 9 has 35"),
        (lambda x: x[1:], "begin with LOCATION"),
        (lambda x: _put(x, 6, "99.9", slice(3, 5)), "line 12 and 1 more have no temperature"),
        (lambda x: _put(x, 21, "999", slice(3, 4)), "no wind speed"),
        (lambda x: _put(x, 6, "77", slice(3, 4)), "line 12 has temperature 77; expected -90 to 60"),
        (lambda x: _put(x, 6, "warm", slice(3, 4)), "temperature .* is not a number"),
        (lambda x: _put(_put(x, 12, "9999"), 22, "99"), "no longwave and no cloud cover"),
        (lambda x: _put(_put(x, 13, "9999"), 14, "9999"), "no global irradiance"),
    ],
)
def test_a_damaged_file_is_refused_in_a_sentence(tmp_path, lines, change, sentence):
    with pytest.raises(InputError, match=sentence):
        read_epw(_write(tmp_path, change(lines)))


def test_missing_longwave_and_humidity_are_derived_near_the_values_of_the_file(tmp_path, lines, felsina_data):
    whole = read_epw(felsina_data / BOLOGNA)
    bare = read_epw(_write(tmp_path, _put(_put(_put(lines, 12, "9999"), 8, "999"), 9, "999999")))
    assert len(bare.notes) == 3 and "longwave of 8,760 hours" in " ".join(bare.notes)
    # The file's own longwave is a model of the same kind; its humidity is rounded to 1 % and its dew point to 0.1 K.
    assert abs((bare.downwelling_longwave - whole.downwelling_longwave).mean()) < 10.0
    # A few hours of the file contradict themselves by 20 %.
    assert np.abs(bare.relative_humidity - whole.relative_humidity).mean() < 0.02
    assert abs(bare.air_pressure[0] - 100880.0) < 20.0


def test_missing_components_are_split_from_the_global_and_close_with_it(tmp_path, lines):
    weather = read_epw(_write(tmp_path, _put(_put(lines, 14, "9999"), 15, "9999")))
    cosine = np.zeros(8760)
    for middle in weather.clock.midpoints().T:
        sun = solar_position(middle, math.radians(weather.latitude), math.radians(weather.longitude))
        cosine += np.maximum(np.sin(sun["elevation"]), 0) / 6
    closure = weather.diffuse_horizontal + weather.direct_normal * cosine - weather.global_horizontal
    assert np.abs(closure).max() < 1e-8
    assert any("Erbs" in note for note in weather.notes)


def test_a_leap_year_has_8784_hours(tmp_path, lines):
    cut = 8 + 59 * 24
    extra = [",".join([*line.split(",")[:1], "2", "29", *line.split(",")[3:]]) for line in lines[cut - 24 : cut]]
    weather = read_epw(_write(tmp_path, lines[:cut] + extra + lines[cut:]))
    assert (weather.clock.n, weather.clock.first_day.year) == (8784, 2024)


def test_selecting_a_heatwave_keeps_hours_and_values_together(felsina_data):
    whole = read_epw(felsina_data / REAL[3])
    wave = whole.select("2023-07-22", 3)
    skip = (datetime.date(2023, 7, 22) - datetime.date(2023, 1, 1)).days * 24
    np.testing.assert_array_equal(wave.air_temperature, whole.air_temperature[skip : skip + 72])
    assert wave.clock.labels() == whole.clock.labels()[skip : skip + 72]
    assert wave.air_temperature.max() == 41.8 + 273.15
