"""Local standard days, intervals named by their end in UTC."""

import datetime

import numpy as np
import pytest

from felsina.engine.clock import Clock
from felsina.engine.errors import UsageError


def _clock(offset=1.0, days=2):
    return Clock(first_day=datetime.date(2023, 7, 18), n_day=days, utc_offset=offset)


def test_the_first_interval_is_local_hour_one_and_is_named_by_its_end_in_utc():
    assert _clock().labels()[:2] == ["2023-07-18T00:00:00Z", "2023-07-18T01:00:00Z"]
    assert _clock(-7.0).labels()[0] == "2023-07-18T08:00:00Z"
    assert _clock(5.5).labels()[0] == "2023-07-17T19:30:00Z"


def test_days_since_2000_and_labels_tell_the_same_time():
    clock = _clock()
    seconds = clock.interval_end() * 86400.0 + 946728000.0  # 2000-01-01 12:00 UTC
    np.testing.assert_allclose(seconds, clock.seconds_since_1970(), atol=1e-3)


def test_midpoints_lie_inside_their_interval_and_are_ten_minutes_apart():
    middle = _clock().midpoints()
    assert middle.shape == (48, 6)
    np.testing.assert_allclose(np.diff(middle.ravel()) * 1440.0, 10.0, atol=1e-5)
    np.testing.assert_allclose((_clock().interval_end()[:, None] - middle)[:, -1] * 1440.0, 5.0, atol=1e-5)


def test_months_weekdays_and_hours_are_local():
    clock = Clock(first_day=datetime.date(2023, 1, 31), n_day=2, utc_offset=1.0)
    assert clock.month().tolist() == [0] * 24 + [1] * 24
    assert clock.weekday()[[0, 24]].tolist() == [1, 2]
    assert clock.hour_of_day().tolist() == [*range(24), *range(24)]


def test_days_outside_the_weather_are_refused_with_its_period():
    with pytest.raises(UsageError, match="from 2023-07-18 to 2023-07-19"):
        _clock().select("2023-07-19", 2)
    part, where = _clock().select("2023-07-19", 1)
    assert (part.first_day.day, where) == (19, slice(24, 48))
    assert part.labels() == _clock().labels()[where]


@pytest.mark.parametrize("wrong", [{"n_day": 0}, {"step": 7000.0}, {"utc_offset": 20.0}])
def test_impossible_clocks_are_refused(wrong):
    with pytest.raises(UsageError):
        Clock(**{"first_day": datetime.date(2023, 1, 1), "n_day": 1, "utc_offset": 0.0, **wrong})
