"""A generated weather year of the Po valley, with a heatwave, as EPW text.

Seasons, days and clouds are drawn (auto-regressive, by counter); what follows from them is computed: the beam from the air
mass, the diffuse share from the clouds, the longwave from dew point and clouds. Irradiances are means over the hour that the
label ends, averaged from ten-minute suns, so the ratio (GHI - DHI) / DNI is the sine of the sun's altitude of that hour and of
no other.

References
----------
Meinel & Meinel (1976), Applied solar energy: beam of a clear sky, 0.7^(m^0.678).
Liu & Jordan (1960), doi:10.1016/0038-092X(60)90062-1: diffuse transmittance of a clear sky, 0.271 - 0.294 tau_b.
Kasten & Czeplak (1980), doi:10.1016/0038-092X(80)90391-6: global irradiance under cloud, 1 - 0.75 N^3.4.
Kasten & Young (1989), doi:10.1364/AO.28.004735: relative air mass.
EnergyPlus Engineering Reference, Sky radiation modelling: sky emissivity (Clark & Allen 1978, Walton 1983).
"""

from __future__ import annotations

import datetime
import math

import numpy as np

from felsina.kernels.counter import uniform
from felsina.kernels.radiation.sun import SOLAR_CONSTANT, solar_position

YEAR = 2015
LATITUDE, LONGITUDE, UTC_OFFSET, ELEVATION = 44.492, 11.328, 1.0, 54.0  # degree north, degree east, h, m: the district's corner
HEATWAVE_FIRST = datetime.date(YEAR, 7, 15)
HEATWAVE_LENGTH = 7  # d
# What a run simulates: from the second day, when walls and soil have taken up the heat.
HEATWAVE_START, HEATWAVE_DAYS = (HEATWAVE_FIRST + datetime.timedelta(days=1)).isoformat(), 2
_HEATWAVE_MEAN, _HEATWAVE_HALF_RANGE, _HEATWAVE_DEW_POINT = 32.0, 6.0, 17.5  # degC, K, degC: 26 at dawn, 38 in the afternoon
_ANNUAL_MEAN, _ANNUAL_HALF_RANGE, _WARMEST_DAY = 14.3, 11.3, 205  # degC, K, day: monthly means 3 to 26, as Bologna's
_STEFAN_BOLTZMANN = 5.670374419e-8  # W m-2 K-4, CODATA 2018
_SUB_STEPS = 6
_DAYS, _HOURS = 1, 2  # streams of random numbers, above those of the scene
_STREAM = 32
_FLAGS = "?9?9?9?9E0?9?9?9?9?9?9?9?9?9?9?9?9?9?9?9*9*9?9?9?9"


def _normal(u: float, v: float) -> float:
    return math.sqrt(-2.0 * math.log(u)) * math.cos(2.0 * math.pi * v)


def _suns() -> list[list[tuple[float, float]]]:
    """Return, per hour and sub-step, the sine of the sun's altitude [1] and the irradiance above the air, facing it [W m-2]."""
    start = (datetime.datetime(YEAR, 1, 1) - datetime.datetime(2000, 1, 1, 12)) / datetime.timedelta(days=1) - UTC_OFFSET / 24.0
    time = start + (np.arange(8760 * _SUB_STEPS) + 0.5) / (24.0 * _SUB_STEPS)
    place = solar_position(time, math.radians(LATITUDE), math.radians(LONGITUDE))
    pairs = zip(place["elevation"].tolist(), place["distance"].tolist(), strict=True)
    suns = [(math.sin(elevation), SOLAR_CONSTANT / (distance * distance)) for elevation, distance in pairs]
    return [suns[k : k + _SUB_STEPS] for k in range(0, len(suns), _SUB_STEPS)]


def _irradiance(suns: list[tuple[float, float]], cloud: float) -> tuple[float, float, float, float, float]:
    """Return hourly means of global, beam and diffuse, and of the extraterrestrial horizontal and normal irradiance [W m-2]."""
    total = [0.0] * 5
    for sine, outside in suns:
        if sine <= 0.0:
            continue
        altitude = math.degrees(math.asin(min(1.0, sine)))
        mass = 1.0 / (sine + 0.50572 * (altitude + 6.07995) ** -1.6364)
        beam = 0.7 ** (mass**0.678)
        clear = outside * sine * (beam + 0.271 - 0.294 * beam)
        normal = outside * beam * (1.0 - cloud)
        horizontal = clear * (1.0 - 0.75 * cloud**3.4)
        for i, value in enumerate((horizontal, normal, horizontal - normal * sine, outside * sine, outside)):
            total[i] += value / _SUB_STEPS
    return total[0], total[1], total[2], total[3], total[4]


def _vapour_pressure(temperature: float) -> float:
    """Return the saturation pressure over water at a temperature in degC [Pa] (Magnus, coefficients of Sonntag 1990)."""
    return 611.2 * math.exp(17.62 * temperature / (243.12 + temperature))


def _heat(day: float) -> float:
    """Return the weight of the heatwave, 0 to 1, with a ramp of a day and a half before and after."""
    first = (HEATWAVE_FIRST - datetime.date(YEAR, 1, 1)).days
    outside = max(first - day, day - first - HEATWAVE_LENGTH, 0.0)
    return max(0.0, 1.0 - outside / 1.5)


def _days(seed: int) -> list[tuple[float, float, float, float, float]]:
    """Draw days: anomaly of temperature [K], cloud [1], depression of the dew point [K], anomaly of pressure [Pa], wind [1]."""
    draws = uniform(seed, _STREAM + _DAYS, np.arange(366, dtype=np.uint64), 10).tolist()
    memory = 0.75, 0.55, 0.6, 0.85, 0.4
    state = [0.0] * 5
    days = []
    for day in range(366):
        u = draws[day]
        for i, a in enumerate(memory):
            state[i] = a * state[i] + math.sqrt(1.0 - a * a) * _normal(u[2 * i], u[2 * i + 1])
        winter = 0.5 + 0.5 * math.cos(2.0 * math.pi * (day - _WARMEST_DAY + 182.5) / 365.0)
        cloud = min(1.0, max(0.0, 0.40 + 0.20 * winter + 0.38 * state[1]))
        depression = max(1.0, 9.0 - 6.5 * winter + 2.0 * state[2] - 2.0 * (cloud - 0.4))
        days.append((2.4 * state[0] * (1.0 + 0.2 * winter), cloud, depression, 600.0 * state[3], math.exp(0.35 * state[4])))
    return days


def epw_text(seed: int = 1) -> str:
    """Write a weather year as EPW text: 8 header lines and 8,760 rows of 35 columns, hours labelled by their end.

    Seven days from 15 July are a heatwave: 26 degC at dawn, 38 degC in the afternoon, clear skies, weak wind. Temperature,
    humidity, pressure and wind hold at the label; irradiances [Wh m-2] are the means of the hour before it.
    """
    days, suns = _days(seed), _suns()
    hours = uniform(seed, _STREAM + _HOURS, np.arange(8760, dtype=np.uint64), 6).tolist()
    lines = [*_header()]
    flicker = gust = 0.0
    bearing = 80.0
    january = datetime.date(YEAR, 1, 1)
    for index in range(8760):
        number, hour = index // 24, index % 24 + 1
        date, u = january + datetime.timedelta(days=number), hours[index]
        # Days blend at midnight through the hour, so nothing jumps between 24 and 1.
        share = hour / 24.0
        before, after = days[number], days[number + 1]
        anomaly, cloud, depression, low, windy = ((1.0 - share) * p + share * q for p, q in zip(before, after, strict=True))
        day = number + share
        heat = _heat(day)
        flicker = 0.8 * flicker + 0.6 * 0.12 * _normal(u[0], u[1])
        gust = 0.7 * gust + 0.714 * 0.3 * _normal(u[2], u[3])
        cloud = (1.0 - heat) * min(1.0, max(0.0, cloud + flicker)) + heat * 0.02
        # The warmest hour is 15, the coldest about 5: a half wave each, ten hours up and fourteen down.
        phase = math.pi * (hour - 5) / 10.0 if 5 <= hour <= 15 else math.pi * (1.0 + ((hour - 15) % 24) / 14.0)
        wave = -math.cos(phase)
        season = _ANNUAL_MEAN + _ANNUAL_HALF_RANGE * math.cos(2.0 * math.pi * (day - _WARMEST_DAY) / 365.0)
        half_range = (2.6 + 3.4 * (1.0 - before[1])) * (0.75 + 0.25 * math.cos(2.0 * math.pi * (day - 190) / 365.0))
        temperature = (1.0 - heat) * (season + anomaly + half_range * wave) + heat * (
            _HEATWAVE_MEAN + _HEATWAVE_HALF_RANGE * wave
        )
        dew = (1.0 - heat) * (season + anomaly - depression) + heat * (_HEATWAVE_DEW_POINT - 0.8 * wave)
        temperature, dew = round(temperature, 1), round(min(dew, temperature - 0.3), 1)
        humidity = min(100, round(100.0 * _vapour_pressure(dew) / _vapour_pressure(temperature)))
        pressure = round(101325.0 * (1.0 - 2.25577e-5 * ELEVATION) ** 5.2559 + low * (1.0 - 0.7 * heat))
        tenths = 10.0 * cloud
        emissivity = (0.787 + 0.764 * math.log((dew + 273.15) / 273.0)) * (
            1.0 + 0.0224 * tenths - 0.0035 * tenths**2 + 0.00028 * tenths**3
        )
        infrared = min(1.0, emissivity) * _STEFAN_BOLTZMANN * (temperature + 273.15) ** 4
        glob, beam, diffuse, outside, outside_normal = _irradiance(suns[index], cloud)
        if round(glob) == 0:
            beam = 0.0  # minutes of a sun on the horizon, whose global irradiance rounds to nothing
        # Valley wind: weak, fresher in the afternoon, weaker still under the high of a heatwave.
        speed = max(0.2, (1.6 + 0.7 * wave) * ((1.0 - heat) * windy + heat * 0.8) * math.exp(gust))
        bearing = (bearing + 25.0 * _normal(u[4], u[5])) % 360.0
        row = [
            date.year, date.month, date.day, hour, 60, _FLAGS, f"{temperature:.1f}", f"{dew:.1f}", humidity, pressure,
            round(outside), round(outside_normal), round(infrared), round(glob), round(beam), round(diffuse),
            round(110.0 * glob), round(100.0 * beam), round(120.0 * diffuse), 9999, round(bearing) % 360, f"{speed:.1f}",
            round(tenths), round(tenths), 16.1, 77777, 9, 999999999, 999, ".999", 0, 99, 0.2, 0.0, 0.0,
        ]  # fmt: skip
        lines.append(",".join(map(str, row)))
    return "\n".join(lines) + "\n"


def _header() -> list[str]:
    last = HEATWAVE_FIRST + datetime.timedelta(days=HEATWAVE_LENGTH - 1)
    week = f"{HEATWAVE_FIRST.month}/{HEATWAVE_FIRST.day},{last.month}/{last.day}"
    return [
        f"LOCATION,felsina district,ER,ITA,generated,000000,{LATITUDE:.5f},{LONGITUDE:.5f},{UTC_OFFSET:.1f},{ELEVATION:.1f}",
        "DESIGN CONDITIONS,0",
        f"TYPICAL/EXTREME PERIODS,1,Summer - Heatwave,Extreme,{week}",
        "GROUND TEMPERATURES,0",
        "HOLIDAYS/DAYLIGHT SAVINGS,No,0,0,0",
        "COMMENTS 1,Generated weather of the built-in district: no measurement",
        f"COMMENTS 2,Heatwave of {HEATWAVE_LENGTH} days from {HEATWAVE_FIRST.isoformat()}",
        "DATA PERIODS,1,1,Data,Thursday,1/ 1,12/31",
    ]
