"""A described building over a year of weather: needs, loads and temperatures of its zones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from felsina.engine.building.description import Building
from felsina.engine.building.elements import model_of
from felsina.engine.io.weather import Weather
from felsina.kernels.energy import iso52016

JOULES_PER_KWH = 3.6e6


@dataclass(frozen=True, kw_only=True)
class BuildingResult:
    """What a simulated building needs; arrays of zones in the order of the description.

    Attributes
    ----------
    zones : names
    values : name -> (n_zone,), (n_zone, 12) or, of the hours, (n_zone, n_hour), in the units of `UNITS`
    incident, transmitted : light on each surface and through each window by name, (n_hour,) [W m-2]
    """

    zones: tuple[str, ...]
    values: dict[str, NDArray[np.float64]]
    incident: dict[str, NDArray[np.float64]]
    transmitted: dict[str, NDArray[np.float64]]


UNITS = {
    "annual_heating_need": ("kWh", "heat needed in the year"),
    "annual_cooling_need": ("kWh", "cold needed in the year"),
    "monthly_heating_need": ("kWh", "heat needed in the month"),
    "monthly_cooling_need": ("kWh", "cold needed in the month"),
    "peak_heating_load": ("W", "largest hourly heating load"),
    "peak_cooling_load": ("W", "largest hourly cooling load"),
    "peak_heating_hour": ("1", "hour of the year of the heating peak, from 1; 0 where none"),
    "peak_cooling_hour": ("1", "hour of the year of the cooling peak, from 1; 0 where none"),
    "overheating_hours": ("h", "hours with operative temperature above 26 degC"),
    "overheating_degree_hours": ("K h", "degree-hours of operative temperature above 26 degC"),
    "mean_air_temperature": ("degC", "mean indoor air temperature of the year"),
    "least_air_temperature": ("degC", "least hourly indoor air temperature"),
    "greatest_air_temperature": ("degC", "greatest hourly indoor air temperature"),
    "energy_residual": ("1", "sum of the residuals of the heat balance over the sum of its flows"),
    "periodic_error": ("K", "change of the mean radiant temperature over the year"),
    "indoor_air_temperature": ("degC", "indoor air temperature"),
    "operative_temperature": ("degC", "operative temperature"),
    "heating_load": ("W", "heating load"),
    "cooling_load": ("W", "cooling load"),
}
HOURLY = ("indoor_air_temperature", "operative_temperature", "heating_load", "cooling_load")


def simulate_building(building: Building, weather: Weather, dtype: type = np.float64) -> BuildingResult:
    """Simulate the zones of a building over all hours of a weather."""
    model = model_of(building, weather)
    arguments: dict[str, Any] = dict(model.arguments)
    found = iso52016.simulate(**arguments, keep=(0, weather.clock.n), dtype=dtype)
    values = {name: found[name] for name in UNITS if name in found}
    values["indoor_air_temperature"] = found["air_temperature"]
    for kind in ("heating", "cooling"):
        months = found[f"monthly_{kind}_need"] / JOULES_PER_KWH
        year = np.zeros(len(months))
        for m in range(12):  # in the order of the months, whatever the processor
            year = year + months[:, m]
        values[f"monthly_{kind}_need"], values[f"annual_{kind}_need"] = months, year
    return BuildingResult(
        zones=tuple(z.name for z in building.zones),
        values={name: np.asarray(values[name], np.float64) for name in UNITS},
        incident=model.incident,
        transmitted=model.transmitted,
    )
