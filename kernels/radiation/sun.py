"""Where the sun stands: declination, equation of time, elevation and azimuth at any place and time.

The apparent place of the sun is Meeus' series of 1900 with its five planetary terms, aberration and the main nutation term; the
place seen by an observer adds the parallax. Against NREL's SPA the error stays below 0.01 degrees from 1950 to 2050. Time is
UTC in days since J2000.0 (2000-01-01 12:00), so no calendar enters a kernel.

References
----------
Meeus, J. (1985), Astronomical Formulae for Calculators, 3rd ed., Willmann-Bell, chapter 18 (sun) and chapter 26 (parallax).
Meeus, J. (1998), Astronomical Algorithms, 2nd ed., eq. 12.4 (sidereal time), eq. 28.1 (equation of time).
Bennett, G. G. (1982), The calculation of astronomical refraction in marine navigation. J. Navigation 35, 255-259.
Kopp, G., Lean, J. L. (2011), A new, lower value of total solar irradiance. Geophys. Res. Lett. 38, L01706.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from felsina.kernels._backend import array_module, cell, gpu, on_gpu, rows
from felsina.kernels.bounds import at_least, at_most

SOLAR_CONSTANT = 1360.8  # W m-2, Kopp and Lean 2011
EQUATORIAL_PARALLAX = math.radians(8.794 / 3600.0)  # rad at 1 au, IAU 1976
_RADIAN = math.pi / 180.0
_EPOCH_1900 = 36525.0  # days from 1900 January 0.5 to J2000.0


@cell
def _wrap(angle):
    """Return an angle [rad] in (-pi, pi]."""
    return angle - 2.0 * math.pi * math.floor(angle / (2.0 * math.pi) + 0.5)


@cell
def sun_place(day):
    """Return apparent right ascension, declination [rad], distance [au], sidereal time at Greenwich, mean longitude [rad].

    day: UTC, days since J2000.0.
    """
    # TT - UTC grew almost evenly from 29 s (1950) to 69 s (2020); 10 s of it move the sun by 0.0001 degrees.
    terrestrial = day + (49.0 + 0.57 * (day / 365.25 - 15.0)) / 86400.0
    t = (terrestrial + _EPOCH_1900) / 36525.0
    mean_longitude = 279.69668 + t * (36000.76892 + t * 0.0003025)
    m = _RADIAN * (358.47583 + t * (35999.04975 - t * (0.000150 + t * 0.0000033)))
    eccentricity = 0.01675104 - t * (0.0000418 + t * 0.000000126)
    centre = (
        (1.919460 - t * (0.004789 + t * 0.000014)) * math.sin(m)
        + (0.020094 - t * 0.000100) * math.sin(2.0 * m)
        + 0.000293 * math.sin(3.0 * m)
    )
    # Venus, Jupiter, the Moon and a long-period term (Meeus 1985, chapter 18).
    planets = (
        0.00134 * math.cos(_RADIAN * (153.23 + 22518.7541 * t))
        + 0.00154 * math.cos(_RADIAN * (216.57 + 45037.5082 * t))
        + 0.00200 * math.cos(_RADIAN * (312.69 + 32964.3577 * t))
        + 0.00179 * math.sin(_RADIAN * (350.74 + 445267.1142 * t))
        + 0.00178 * math.sin(_RADIAN * (231.19 + 20.20 * t))
    )
    node = _RADIAN * (259.18 - 1934.142 * t)
    nutation = -0.00479 * math.sin(node)
    longitude = _RADIAN * (mean_longitude + centre + planets - 0.00569 + nutation)
    obliquity = _RADIAN * (23.452294 - 0.0130125 * t + 0.00256 * math.cos(node))
    right_ascension = math.atan2(math.cos(obliquity) * math.sin(longitude), math.cos(longitude))
    declination = math.asin(math.sin(obliquity) * math.sin(longitude))
    distance = 1.0000002 * (1.0 - eccentricity * eccentricity) / (1.0 + eccentricity * math.cos(m + _RADIAN * centre))
    sidereal = _RADIAN * (280.46061837 + 360.98564736629 * day + nutation * math.cos(obliquity))
    return (
        right_ascension,
        declination,
        distance,
        sidereal,
        _RADIAN * (mean_longitude + nutation * math.cos(obliquity) - 0.00569),
    )


@cell
def refraction(elevation, pressure, temperature):
    """Return the lift of the sun by refraction [rad] at a true elevation [rad] (Bennett 1982, in the form of the SPA).

    pressure [Pa], temperature [K]; zero once the upper limb is well below the horizon.
    """
    degrees = elevation / _RADIAN
    if degrees < -0.8333:
        return 0.0
    lift = 1.02 / (60.0 * math.tan(_RADIAN * (degrees + 10.3 / (degrees + 5.11))))
    return _RADIAN * lift * (pressure / 101000.0) * (283.0 / temperature)


@cell
def sun_seen(day, latitude, longitude):
    """Return true topocentric elevation, azimuth from north [0, 2 pi), declination, hour angle [rad], distance [au]."""
    right_ascension, declination, distance, sidereal, _ = sun_place(day)
    hour = _wrap(sidereal + longitude - right_ascension)
    sin_elevation = math.sin(latitude) * math.sin(declination) + math.cos(latitude) * math.cos(declination) * math.cos(hour)
    elevation = math.asin(at_most(at_least(sin_elevation, -1.0), 1.0))
    east = -math.cos(declination) * math.sin(hour)
    north = math.cos(latitude) * math.sin(declination) - math.sin(latitude) * math.cos(declination) * math.cos(hour)
    azimuth = math.atan2(east, north)
    if azimuth < 0.0:
        azimuth += 2.0 * math.pi
    return elevation - EQUATORIAL_PARALLAX / distance * math.cos(elevation), azimuth, declination, hour, distance


@cell
def sun_position(day, latitude, longitude, pressure, temperature):
    """Return elevation, apparent elevation, azimuth, declination, equation of time [rad], distance [au] (`solar_position`)."""
    elevation, azimuth, declination, _, distance = sun_seen(day, latitude, longitude)
    right_ascension, _, _, _, mean_longitude = sun_place(day)
    apparent = elevation + refraction(elevation, pressure, temperature)
    return elevation, apparent, azimuth, declination, _wrap(mean_longitude - right_ascension), distance


@rows
def _positions(day, latitude, longitude, pressure, temperature, out):
    for i in range(day.size):
        out[0, i], out[1, i], out[2, i], out[3, i], out[4, i], out[5, i] = sun_position(
            day[i], latitude, longitude, pressure, temperature
        )


@gpu("f8* f8* f8 f8 f8 f8 u4")
def positions_gpu(i, day, out, latitude, longitude, pressure, temperature, n):
    position = sun_position(day[i], latitude, longitude, pressure, temperature)
    for m in range(6):
        out[np.uint32(np.uint32(m) * n + i)] = position[m]


def vector(values: Any) -> Any:
    """Return values as a contiguous (n,) float64 vector: an array on the GPU stays there, all else becomes a NumPy array."""
    if type(values).__module__.partition(".")[0] == "cupy":
        return values.reshape(-1)
    return np.ascontiguousarray(values, np.float64).ravel()


def solar_position(
    time: ArrayLike, latitude: float, longitude: float, pressure: float = 101325.0, temperature: float = 285.15
) -> dict[str, NDArray[np.float64]]:
    """Compute where the sun stands at a place, for many times.

    Parameters
    ----------
    time : (n,) float
        UTC [days since 2000-01-01 12:00]; float64 where it is an array on the GPU, and then the result is there too.
    latitude, longitude : float
        Geographic latitude, positive north, and longitude, positive east [rad].
    pressure, temperature : float
        Air pressure [Pa] and temperature [K] of the refraction.

    Returns
    -------
    dict of (n,) float
        `elevation` (true, topocentric), `apparent_elevation` (refraction added), `azimuth` (clockwise from north, 0 to 2 pi),
        `declination`, `equation_of_time` as an angle, all [rad]; `distance` [au].

    References
    ----------
    See the head of the module.

    >>> noon = solar_position([0.0], math.radians(0.0), 0.0)
    >>> round(math.degrees(noon["declination"][0]), 2)
    -23.03
    """
    day = vector(time)
    out = array_module(day).empty((6, day.size), np.float64)
    place = (float(latitude), float(longitude), float(pressure), float(temperature))
    if on_gpu(day, out):
        positions_gpu((day.size,), day, out, *place, day.size)
    else:
        _positions(day, *place, out)
    names = ("elevation", "apparent_elevation", "azimuth", "declination", "equation_of_time", "distance")
    return {name: out[m] for m, name in enumerate(names)}


@cell
def extraterrestrial_normal(distance):
    """Return the irradiance on a plane facing the sun above the air [W m-2] at a distance [au]: S0 / r^2."""
    return SOLAR_CONSTANT / (distance * distance)
