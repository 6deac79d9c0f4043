"""Weather files (EPW) as arrays in SI units, checked against the sun.

An EPW row is named by the hour that ends: hour 1 is 00-01 local standard time; irradiances are means over that hour. Typical
years mix years: their years are ignored and the published calendar is that of `year` (2023 when absent; a file of one single
year keeps it). What a file leaves out is derived where physics allows (the notes say so) and is an error where it does not:

    longwave            Clark and Allen 1978 from dew point and cloud cover
    direct, diffuse     Erbs et al. 1982 from global; global from the other two
    dew point, humidity each from the other (Magnus)
    pressure            standard atmosphere at the station's elevation
    wind direction      the hour before
"""

from __future__ import annotations

import csv
import datetime
import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from felsina.engine.clock import REFERENCE_YEAR, Clock
from felsina.engine.errors import InputError
from felsina.kernels.constants import ZERO_CELSIUS
from felsina.kernels.radiation import longwave, sun, transposition

SHIFT_LIMIT = 20.0  # min: real files fit within 10, the mistakes to catch are 30 and 60
_SHIFT_STEP = 5  # min
_SHIFT_REACH = 90  # min
# Column, missing from this value on, least and largest credible value, of each quantity in the units of the file.
_COLUMNS = {
    "temperature": (6, 99.9, -90.0, 60.0),
    "dew point": (7, 99.9, -100.0, 50.0),
    "relative humidity": (8, 999.0, 0.0, 110.0),
    "pressure": (9, 999999.0, 31000.0, 120000.0),
    "longwave": (12, 9999.0, 0.0, 700.0),
    "global irradiance": (13, 9999.0, 0.0, 1600.0),
    "direct irradiance": (14, 9999.0, 0.0, 1500.0),
    "diffuse irradiance": (15, 9999.0, 0.0, 1000.0),
    "wind direction": (20, 999.0, 0.0, 360.0),
    "wind speed": (21, 999.0, 0.0, 60.0),
    "cloud cover": (22, 99.0, 0.0, 10.0),
}


@dataclass(frozen=True, kw_only=True)
class Weather:
    """Hourly weather of one station; arrays are (n,) float64, means over the intervals of `clock`.

    Parameters
    ----------
    air_temperature, dew_point_temperature : [K]
    relative_humidity : [1]
    air_pressure : [Pa]
    downwelling_longwave, global_horizontal, direct_normal, diffuse_horizontal : [W m-2]
    wind_speed : [m s-1]
    wind_from_direction : [degree], clockwise from north
    cloud_cover : [1]; nan where the file has none
    latitude, longitude : [degree]
    elevation : [m]
    clock : Clock
    name : str
        Place, as the file calls it.
    hour_shift : float
        Shift of the sun that fits the file best [min]; nan where it has too little sun to tell.
    notes : tuple of str
        What was derived.
    """

    air_temperature: NDArray[np.float64]
    dew_point_temperature: NDArray[np.float64]
    relative_humidity: NDArray[np.float64]
    air_pressure: NDArray[np.float64]
    downwelling_longwave: NDArray[np.float64]
    global_horizontal: NDArray[np.float64]
    direct_normal: NDArray[np.float64]
    diffuse_horizontal: NDArray[np.float64]
    wind_speed: NDArray[np.float64]
    wind_from_direction: NDArray[np.float64]
    cloud_cover: NDArray[np.float64]
    latitude: float
    longitude: float
    elevation: float
    clock: Clock
    name: str
    hour_shift: float
    notes: tuple[str, ...]

    def select(self, start: datetime.date | str, days: int) -> Weather:
        """Return the weather of some local days from `start` (a date or YYYY-MM-DD of the clock's calendar)."""
        clock, part = self.clock.select(start, days)
        arrays = {f.name: getattr(self, f.name)[part] for f in fields(self) if isinstance(getattr(self, f.name), np.ndarray)}
        return replace(self, clock=clock, **arrays)

    def sky(self, albedo: float = 0.2, put: Callable[[NDArray[Any]], Any] = np.asarray) -> Any:
        """Return the Perez sky of each sub-step, shape (n, n_sub, 7) [W m-2]; see `kernels.radiation.transposition`.

        `put` moves an array to where the kernel shall run.
        """
        return transposition.sky_states(
            put(self.clock.interval_end()),
            self.clock.step,
            math.radians(self.latitude),
            math.radians(self.longitude),
            put(self.direct_normal),
            put(self.diffuse_horizontal),
            put(self.global_horizontal),
            albedo,
        )


def read_epw(path: str | PathLike[str], year: int | None = None) -> Weather:
    """Read an EPW file of a whole year.

    Parameters
    ----------
    path : path
        The file.
    year : int, optional
        Calendar year of the published times.

    Returns
    -------
    Weather
        8,760 hours, or 8,784 of a leap year.

    Raises
    ------
    InputError
        A wrong header, a wrong row, a missing or doubled hour, a value that is missing and cannot be derived, or irradiance
        that is shifted against the sun.
    """
    name = Path(path).name
    head, table = _rows(path, name)
    try:
        latitude, longitude, offset, elevation = (float(v) for v in head[0][6:10])
    except ValueError:
        raise InputError(f"'{name}': the LOCATION line has no latitude, longitude, time zone and elevation.") from None
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180 and abs(offset) <= 14):
        raise InputError(
            f"'{name}': latitude {latitude:g}, longitude {longitude:g} and time zone {offset:g} h of LOCATION are on no map."
        )
    clock = _clock(name, table, year, offset)
    value, gone = _values(name, table)
    notes: list[str] = []
    series = _derive(name, value, gone, clock, math.radians(latitude), math.radians(longitude), elevation, notes)
    shift = fit_hour_shift(series["global_horizontal"], clock, latitude, longitude)
    if abs(shift) > SHIFT_LIMIT:
        way = "late" if shift < 0 else "early"
        raise InputError(
            f"'{name}': its irradiance runs {abs(shift):.0f} minutes {way} against the sun at {latitude:g}, {longitude:g} with "
            f"UTC offset {offset:g} h. Hour 1 must be the mean of 00-01 local standard time; correct rows or LOCATION."
        )
    return Weather(
        **series,
        latitude=latitude,
        longitude=longitude,
        elevation=elevation,
        clock=clock,
        name=head[0][1],
        hour_shift=shift,
        notes=tuple(notes),
    )


def fit_hour_shift(global_horizontal: NDArray[np.float64], clock: Clock, latitude: float, longitude: float) -> float:
    """Return the shift of the sun [min] with which daily multiples of mean cos z fit the global irradiance best.

    Morning and afternoon clouds are unlike on a day but nearly alike over weeks, so the sum of squares over all days has its
    least value within 10 minutes of the truth on real years. It is compared with a limit and never published. Positive: the
    file runs ahead of the sun. nan with fewer than 20 sunny days.
    """
    flux = global_horizontal.reshape(clock.n_day, -1)
    if clock.step != 3600.0 or (flux.max(axis=1) > 50.0).sum() < 20:
        return math.nan
    pad = _SHIFT_REACH // _SHIFT_STEP
    per = 60 // _SHIFT_STEP
    start = clock.interval_end()[0] - 1.0 / 24.0
    time = start + (np.arange(clock.n * per + 2 * pad) - pad + 0.5) * _SHIFT_STEP / 1440.0
    place = sun.solar_position(time, math.radians(latitude), math.radians(longitude))
    total = np.concatenate([[0.0], np.cumsum(np.maximum(np.sin(place["elevation"]), 0.0))])
    misfit = []
    for shift in range(-pad, pad + 1):
        first = pad + shift + np.arange(clock.n) * per
        cosine = ((total[first + per] - total[first]) / per).reshape(flux.shape)
        square = (cosine * cosine).sum(axis=1)
        misfit.append((flux * flux).sum() - ((flux * cosine).sum(axis=1) ** 2 / np.maximum(square, 1e-9)).sum())
    return float((int(np.argmin(misfit)) - pad) * _SHIFT_STEP)


def _rows(path: str | PathLike[str], name: str) -> tuple[list[list[str]], list[list[str]]]:
    try:
        text = Path(path).read_text(encoding="latin-1")
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror}.") from None
    lines = list(csv.reader(text.splitlines()))
    if len(lines) < 9 or not lines[0] or lines[0][0].strip().upper() != "LOCATION":
        raise InputError(f"'{name}' is no EPW file: its first line does not begin with LOCATION.")
    periods = next((line for line in lines[:8] if line and line[0].strip().upper() == "DATA PERIODS"), None)
    if periods is None or len(periods) < 3 or periods[2].strip() != "1":
        raise InputError(f"'{name}': the eighth line must say 'DATA PERIODS,1,1,...': one period, one record an hour.")
    table = [line for line in lines[8:] if line]
    width = len(table[0]) if table else 0
    if width < 24:
        raise InputError(f"'{name}': line 9 has {width} values; an EPW row has at least 24.")
    for number, line in enumerate(table, 9):
        if len(line) != width:
            raise InputError(f"'{name}': line {number} has {len(line)} values where line 9 has {width}. Correct the row.")
    return lines[:8], table


def _clock(name: str, table: list[list[str]], year: int | None, offset: float) -> Clock:
    try:
        stamp = [(int(r[1]), int(r[2]), int(r[3])) for r in table]
        years = {int(r[0]) for r in table}
    except ValueError:
        raise InputError(f"'{name}': a row does not begin with whole numbers year, month, day, hour.") from None
    leap = (2, 29, 1) in stamp
    own = next(iter(years)) if len(years) == 1 else REFERENCE_YEAR + (1 if leap else 0)
    calendar = own if year is None else year
    first = datetime.date(calendar, 1, 1)
    n_day = (datetime.date(calendar + 1, 1, 1) - first).days
    if leap != (n_day == 366):
        raise InputError(
            f"'{name}' has {'a' if leap else 'no'} 29 February but {calendar} has {'one' if n_day == 366 else 'none'}. "
            f"Set `year` to a {'leap year' if leap else 'year that is not a leap year'}."
        )
    clock = Clock(first_day=first, n_day=n_day, utc_offset=offset)
    want = [(d.month, d.day, hour) for d in clock.days() for hour in range(1, 25)]
    for i, (got, due) in enumerate(zip(stamp, want)):
        if got == due:
            continue
        where = f"'{name}': line {i + 9} is month {got[0]}, day {got[1]}, hour {got[2]}"
        if i and got == stamp[i - 1]:
            raise InputError(f"{where}, the same as the line before. Remove the doubled hour.")
        if got[2] == 0:
            raise InputError(f"{where}; EPW hours run from 1 to 24 and name the hour that ends.")
        raise InputError(
            f"{where}, but month {due[0]}, day {due[1]}, hour {due[2]} is due. An hour is missing or out of order."
        )
    if len(stamp) != clock.n:
        raise InputError(f"'{name}' has {len(stamp):,} hours; the year has {clock.n:,}. The file is cut short or too long.")
    return clock


def _values(name: str, table: list[list[str]]) -> tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.bool_]]]:
    value, gone = {}, {}
    for quantity, (column, missing, low, high) in _COLUMNS.items():
        try:
            v = np.array([float(r[column]) if r[column].strip() else missing for r in table])
        except ValueError:
            raise InputError(f"'{name}': {quantity} (value {column + 1} of a row) is not a number somewhere.") from None
        absent = ~(v < missing)  # nan is missing too
        wrong = ~absent & ((v < low) | (v > high))
        if wrong.any():
            row = int(wrong.argmax())
            raise InputError(f"'{name}': line {row + 9} has {quantity} {v[row]:g}; expected {low:g} to {high:g}.")
        value[quantity], gone[quantity] = v, absent
    return value, gone


def _derive(
    name: str,
    value: dict[str, NDArray[np.float64]],
    gone: dict[str, NDArray[np.bool_]],
    clock: Clock,
    latitude: float,
    longitude: float,
    elevation: float,
    notes: list[str],
) -> dict[str, NDArray[np.float64]]:
    def fill(quantity: str, computed: NDArray[np.float64] | float, how: str) -> None:
        mask = gone[quantity]
        if mask.any():
            value[quantity] = np.where(mask, computed, value[quantity])
            notes.append(f"{quantity} of {int(mask.sum()):,} hours from {how}")

    def need(quantity: str, mask: NDArray[np.bool_], beside: str = "") -> None:
        if mask.any():
            line, more = int(mask.argmax()) + 9, int(mask.sum()) - 1
            raise InputError(f"'{name}': line {line} and {more:,} more have no {quantity}{beside}. Fill them in.")

    need("temperature", gone["temperature"])
    need("wind speed", gone["wind speed"])
    need("dew point", gone["dew point"] & gone["relative humidity"], " and no relative humidity")
    need("global irradiance", gone["global irradiance"] & (gone["direct irradiance"] | gone["diffuse irradiance"]))
    need("longwave", gone["longwave"] & gone["cloud cover"], " and no cloud cover")
    kelvin = value["temperature"] + ZERO_CELSIUS
    humidity = np.minimum(value["relative humidity"] / 100.0, 1.0)
    dew = np.where(gone["dew point"], 280.0, value["dew point"] + ZERO_CELSIUS)
    value["relative humidity"], value["dew point"] = humidity, dew
    fill("relative humidity", np.minimum(longwave.relative_humidity(kelvin, dew), 1.0), "the dew point")
    fill("dew point", longwave.dew_point(kelvin, humidity), "the relative humidity")
    fill("pressure", float(longwave.standard_pressure(elevation)), "the standard atmosphere")
    cloud = np.where(gone["cloud cover"], np.nan, value["cloud cover"] / 10.0)
    sky = np.empty(clock.n)
    longwave.downwelling_longwave(kelvin, value["dew point"], np.nan_to_num(cloud), sky)
    fill("longwave", sky, "dew point and cloud cover")
    _irradiance(value, clock, latitude, longitude, gone, fill)
    # Unknown direction: the hour before, from the first known one on.
    known = np.flatnonzero(~gone["wind direction"])
    last = np.maximum.accumulate(np.where(gone["wind direction"], -1, np.arange(clock.n)))
    fill(
        "wind direction", value["wind direction"][np.where(last < 0, known[0], last)] if known.size else 0.0, "the hour before"
    )
    return {
        "air_temperature": kelvin,
        "dew_point_temperature": value["dew point"],
        "relative_humidity": value["relative humidity"],
        "air_pressure": value["pressure"],
        "downwelling_longwave": value["longwave"],
        "global_horizontal": value["global irradiance"],
        "direct_normal": value["direct irradiance"],
        "diffuse_horizontal": value["diffuse irradiance"],
        "wind_speed": value["wind speed"],
        "wind_from_direction": value["wind direction"],
        "cloud_cover": cloud,
    }


def _irradiance(value, clock, latitude, longitude, gone, fill):
    end = clock.interval_end()
    if gone["global irradiance"].any():
        # cos z of the hour is what splitting a beam of one would leave on the horizontal: the mean vertical sky of unit beam.
        unit = np.ones(clock.n)
        sky = transposition.sky_states(end, clock.step, latitude, longitude, unit, 0.0 * unit, unit)
        up = transposition.mean_sky(sky)[:, 2]
        fill("global irradiance", value["diffuse irradiance"] + value["direct irradiance"] * up, "direct and diffuse")
    if gone["direct irradiance"].any() or gone["diffuse irradiance"].any():
        either = gone["direct irradiance"] | gone["diffuse irradiance"]
        gone["direct irradiance"] = gone["diffuse irradiance"] = either
        diffuse, direct = transposition.split_global(end, clock.step, latitude, longitude, value["global irradiance"])
        fill("diffuse irradiance", diffuse, "global (Erbs)")
        fill("direct irradiance", direct, "global (Erbs)")
