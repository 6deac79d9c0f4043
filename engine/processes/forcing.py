"""Weather as the streets get it: one forcing per hour, the sun at the middle of each sub-step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from felsina.engine.clock import Clock
from felsina.kernels.radiation.sun import solar_position

SUB_STEPS = 6  # per hour; conduction needs 600 s to hold amplitude and phase of the day
SOIL_DAYS = 30  # days before the first one whose mean air temperature the deep ground has


@dataclass(frozen=True)
class Forcing:
    """Weather of one hour: interval means, and the sun at the middle of each sub-step.

    Temperature [K]; diffuse and global horizontal irradiance and downwelling longwave [W m-2]; wind [m s-1] and where it comes
    from [rad]; per sub-step, (n_sub,): sun azimuth and elevation [rad], its sine, direct normal irradiance [W m-2].
    """

    air_temperature: float
    diffuse: float
    global_horizontal: float
    longwave: float
    wind_speed: float
    wind_from: float
    azimuth: NDArray[np.float64]
    elevation: NDArray[np.float64]
    direct_normal: NDArray[np.float64]
    sine_elevation: NDArray[np.float64]


class HourlyWeather(Protocol):
    """What the streets need of a weather file; see `engine.io.weather.Weather`."""

    @property
    def clock(self) -> Clock: ...
    @property
    def latitude(self) -> float: ...
    @property
    def longitude(self) -> float: ...
    @property
    def air_temperature(self) -> NDArray[np.float64]: ...
    @property
    def diffuse_horizontal(self) -> NDArray[np.float64]: ...
    @property
    def global_horizontal(self) -> NDArray[np.float64]: ...
    @property
    def direct_normal(self) -> NDArray[np.float64]: ...
    @property
    def downwelling_longwave(self) -> NDArray[np.float64]: ...
    @property
    def wind_speed(self) -> NDArray[np.float64]: ...
    @property
    def wind_from_direction(self) -> NDArray[np.float64]: ...


def forcings(weather: HourlyWeather) -> list[Forcing]:
    """Return the forcing of each hour of some weather.

    The direct normal irradiance of an hour is the mean over the whole hour; the sub-steps with the sun up share it, so that
    sunrise and sunset keep their energy.
    """
    times = weather.clock.midpoints(60.0 / SUB_STEPS)
    sun = solar_position(times.reshape(-1), math.radians(weather.latitude), math.radians(weather.longitude))
    elevation, azimuth = sun["elevation"].reshape(times.shape), sun["azimuth"].reshape(times.shape)
    made = []
    for h in range(len(times)):
        up = elevation[h] > 0.0
        share = SUB_STEPS / max(int(up.sum()), 1)
        made.append(
            Forcing(
                air_temperature=float(weather.air_temperature[h]),
                diffuse=float(weather.diffuse_horizontal[h]),
                global_horizontal=float(weather.global_horizontal[h]),
                longwave=float(weather.downwelling_longwave[h]),
                wind_speed=float(weather.wind_speed[h]),
                wind_from=math.radians(float(weather.wind_from_direction[h])),
                azimuth=azimuth[h],
                elevation=elevation[h],
                direct_normal=np.where(up, float(weather.direct_normal[h]) * share, 0.0),
                sine_elevation=np.array([max(0.0, math.sin(float(e))) for e in elevation[h]]),
            )
        )
    return made


def soil_temperature(air_temperature: NDArray[np.float64], first: int) -> float:
    """Return the temperature of the deep ground [K]: the mean air temperature of the `SOIL_DAYS` before hour `first`.

    At the beginning of a file, whose past is unknown, of its first `SOIL_DAYS`.
    """
    stop = max(first, SOIL_DAYS * 24)
    return math.fsum(air_temperature[stop - SOIL_DAYS * 24 : stop].tolist()) / (SOIL_DAYS * 24)
