"""Time of a run: local standard days of the weather file, cut into equal intervals that are named by their end in UTC.

A day has 24 hours; its first interval is local hour 1 (00-01). Kernels get UTC in days since J2000.0; no clock of the machine
and no daylight-saving rule is asked.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from felsina.engine.errors import UsageError

REFERENCE_YEAR = 2023  # of files that mix years: not a leap year, and it begins on a Sunday as their headers say
_NOON_2000 = datetime.date(2000, 1, 1).toordinal() + 0.5  # J2000.0 on the scale of date.toordinal


@dataclass(frozen=True, kw_only=True)
class Clock:
    """Equal intervals from local midnight of a first day.

    Parameters
    ----------
    first_day : date
        Local standard day of the first interval.
    n_day : int
        Number of days.
    utc_offset : float
        Local standard time minus UTC [h].
    step : float
        Length of an interval [s]; divides a day.
    """

    first_day: datetime.date
    n_day: int
    utc_offset: float
    step: float = 3600.0

    def __post_init__(self) -> None:
        if self.n_day < 1:
            raise UsageError(f"A period of {self.n_day} days has no interval; ask for at least 1 day.")
        if self.step <= 0 or 86400.0 % self.step:
            raise UsageError(f"A step of {self.step:g} s does not divide a day.")
        if not -14.0 <= self.utc_offset <= 14.0:
            raise UsageError(f"A UTC offset of {self.utc_offset:g} h is on no map; expected -14 to 14.")

    @property
    def per_day(self) -> int:
        """Intervals of a day."""
        return round(86400.0 / self.step)

    @property
    def n(self) -> int:
        """Intervals in all."""
        return self.n_day * self.per_day

    def interval_end(self) -> NDArray[np.float64]:
        """Return the end of each interval, UTC [days since 2000-01-01 12:00], shape (n,)."""
        start = self.first_day.toordinal() - _NOON_2000
        return start + (np.arange(1.0, self.n + 1.0) * self.step - self.utc_offset * 3600.0) / 86400.0

    def seconds_since_1970(self) -> NDArray[np.int64]:
        """Return the end of each interval, UTC [s since 1970-01-01], shape (n,): the label of a published time."""
        start = (self.first_day.toordinal() - datetime.date(1970, 1, 1).toordinal()) * 86400.0 - self.utc_offset * 3600.0
        return np.rint(start + np.arange(1, self.n + 1) * self.step).astype(np.int64)

    def labels(self) -> list[str]:
        """Return the end of each interval as UTC ISO 8601."""
        return [f"{stamp}Z" for stamp in np.datetime_as_string(self.seconds_since_1970().astype("datetime64[s]"), unit="s")]

    def midpoints(self, minutes: float = 10.0) -> NDArray[np.float64]:
        """Return the middle of equal sub-steps, UTC [days since 2000-01-01 12:00], shape (n, n_sub)."""
        n_sub = max(1, -int(-self.step // (60.0 * minutes)))
        into = (np.arange(n_sub) + 0.5) / n_sub - 1.0
        return np.asarray(self.interval_end()[:, None] + into * (self.step / 86400.0), np.float64)

    def days(self) -> list[datetime.date]:
        """Return the local days."""
        return [self.first_day + datetime.timedelta(days=i) for i in range(self.n_day)]

    def month(self) -> NDArray[np.int64]:
        """Return the local month of each interval, 0 to 11, shape (n,)."""
        return np.repeat(np.array([d.month - 1 for d in self.days()], np.int64), self.per_day)

    def weekday(self) -> NDArray[np.int64]:
        """Return the local day of the week of each interval, Monday 0 to Sunday 6, shape (n,)."""
        return np.repeat(np.array([d.weekday() for d in self.days()], np.int64), self.per_day)

    def hour_of_day(self) -> NDArray[np.int64]:
        """Return the local clock hour in which each interval begins, 0 to 23, shape (n,)."""
        return (np.arange(self.n) % self.per_day * self.step // 3600).astype(np.int64)

    def select(self, start: datetime.date | str, days: int) -> tuple[Clock, slice]:
        """Return the clock of some days and the slice of their intervals."""
        first = datetime.date.fromisoformat(start) if isinstance(start, str) else start
        skip = (first - self.first_day).days
        if skip < 0 or skip + days > self.n_day or days < 1:
            last = self.first_day + datetime.timedelta(days=self.n_day - 1)
            raise UsageError(
                f"{days} days from {first} are not inside the weather, which runs from {self.first_day} to {last}."
            )
        part = Clock(first_day=first, n_day=days, utc_offset=self.utc_offset, step=self.step)
        return part, slice(skip * self.per_day, (skip + days) * self.per_day)
