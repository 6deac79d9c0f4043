"""Energy need of buildings over a year: tables of buildings and surfaces and a weather in; needs, loads, street heat out.

A building is one zone (`method="5r1c"`, ISO 13790). Its envelope is the sum of its exposed surfaces with the U-values of its
archetype; a wall's azimuth is shared linearly between the two nearest of eight sectors, its tilt between the horizontal and the
vertical. Party walls are adiabatic. Sums over the surfaces of a building go in an order that the surfaces alone decide, so the
order of rows changes nothing.

Heat to the street, first level: condensers, share of cooled area times Qc (1 + 1/COP); exhaust air at its lasting flow,
H_ve (T_in - T_out); envelope, (H_op + H_w) (T_in - T_out). What the sun leaves on the outer surfaces belongs to the surface
balance of the street and flue gas leaves above the roofs: neither is in it. Temperatures are those of a wholly cooled building.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from felsina.engine import archetypes
from felsina.engine.archetypes import Archetypes, factors
from felsina.engine.city import EnergyOptions
from felsina.engine.errors import InputError, UsageError
from felsina.engine.io.weather import Weather
from felsina.engine.parallel.device import CpuDevice, Device
from felsina.kernels.constants import STEFAN_BOLTZMANN, ZERO_CELSIUS
from felsina.kernels.energy import zone
from felsina.kernels.radiation.transposition import N_AZIMUTH, sector_irradiance

GROUND, WALL, ROOF = 0, 1, 2
SUCCESS, FAILED = 0, 1
NONE, NO_GEOMETRY, NO_VOLUME, NOT_FINITE, UNHEATED = 0, 1, 2, 3, 4
JOULES_PER_KWH = 3.6e6
UNITS = {
    "conditioned_floor_area": "m2",
    "annual_heating_need": "kWh",
    "annual_cooling_need": "kWh",
    "specific_heating_need": "kWh m-2",
    "specific_cooling_need": "kWh m-2",
    "monthly_heating_need": "kWh",
    "monthly_cooling_need": "kWh",
    "peak_heating_load": "W",
    "peak_cooling_load": "W",
    "peak_heating_hour": "1",
    "peak_cooling_hour": "1",
    "overheating_hours": "h",
    "overheating_degree_hours": "K h",
    "energy_residual": "1",
    "indoor_air_temperature": "degC",
    "operative_temperature": "degC",
    "heating_load": "W",
    "cooling_load": "W",
    "heat_rejected": "W",
    "condenser_heat": "W",
}


@dataclass(frozen=True, kw_only=True)
class Buildings:
    """Table of n buildings; nan stands for an unknown number, an empty text for an unknown use.

    Parameters
    ----------
    ids : n str
    footprint_area : (n,) [m2]
    height : (n,) [m]
    construction_year : (n,)
    use : n str
    floors : (n,)
        height / 3 m, at least one, where nan.
    volume : (n,) [m3]
        Geometry that is not above zero fails the row.
    """

    ids: Sequence[str]
    footprint_area: NDArray[np.float64]
    height: NDArray[np.float64]
    construction_year: NDArray[np.float64]
    use: Sequence[str | None]
    floors: NDArray[np.float64]
    volume: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Surfaces:
    """Table of m surfaces.

    Parameters
    ----------
    building : (m,) int
        Row of the building.
    kind : (m,) int
        0 ground, 1 wall, 2 roof.
    area, party_area : (m,) [m2]
        Whole area, and the part of it that touches a heated neighbour.
    tilt, azimuth : (m,) [degree]
        Angle of the outward normal from the zenith, 0 to 180; from north, clockwise.
    """

    building: NDArray[np.int64]
    kind: NDArray[np.int64]
    area: NDArray[np.float64]
    party_area: NDArray[np.float64]
    tilt: NDArray[np.float64]
    azimuth: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class EnergyResult:
    """Results of n buildings.

    Parameters
    ----------
    values : dict of arrays
        Names and units of `UNITS`; (n,), (n, 12) for months, (n, n_kept) for series; nan in a failed row.
    energy_status, energy_reason : (n,) int8
        Codes of `engine.fields`.
    energy_archetype : list of str
    energy_assumed : (n,) int8
        1 where something was drawn or assumed.
    kept : slice
        Hours of the series.
    """

    values: dict[str, NDArray[np.float64]]
    energy_status: NDArray[np.int8]
    energy_reason: NDArray[np.int8]
    energy_archetype: list[str]
    energy_assumed: NDArray[np.int8]
    kept: slice


def simulate_year(
    buildings: Buildings,
    surfaces: Surfaces,
    weather: Weather,
    options: EnergyOptions | None = None,
    period: tuple[datetime.date, int] | None = None,
    device: Device | None = None,
) -> EnergyResult:
    """Simulate the energy need of buildings over the hours of a weather.

    Parameters
    ----------
    buildings, surfaces : Buildings, Surfaces
        Tables.
    weather : Weather
        Hourly weather, a year as a rule.
    options : EnergyOptions, optional
        Section [energy] of a city.
    period : (first local day, days), optional
        Days of the hourly series; none without.
    device : Device, optional
        Where the kernels run; the processor by default.

    Returns
    -------
    EnergyResult
        One row per building; a building that cannot be simulated keeps its row, with a reason.
    """
    chosen, device = options or EnergyOptions(), device or CpuDevice()
    if chosen.method != "5r1c":
        raise UsageError(f"Energy method '{chosen.method}' is not built yet; use '5r1c'.")
    n = len(buildings.ids)
    surfaces, damaged = _checked(surfaces, n)
    clock = weather.clock
    kept = slice(0, 0)
    if period is not None:
        kept = clock.select(*period)[1]
    floors = np.where(
        buildings.floors > 0, buildings.floors, np.maximum(np.rint(buildings.height / factors()["storey_height"]), 1.0)
    )
    gross = buildings.footprint_area * floors
    sums = _Envelope(surfaces, n)
    party = sums.total(WALL, surfaces.party_area) / np.maximum(sums.total(WALL, surfaces.area), 1e-9)
    # A row without geometry gets any archetype and is thrown out below.
    types = archetypes.assign(
        buildings.ids, buildings.construction_year, buildings.use, np.nan_to_num(floors, nan=1.0), np.nan_to_num(gross), party,
        chosen.variant, chosen.seed,
    )  # fmt: skip
    floor_area = gross * types.values["net_floor_share"]
    parameters, bounded = _parameters(types, sums, floor_area)
    reason = np.full(n, NONE, np.int8)
    exposed = sums.total(WALL, surfaces.area) + sums.total(ROOF, surfaces.area)
    reason[damaged | ~bounded | ~np.isfinite(parameters[:8]).all(axis=0)] = NOT_FINITE
    reason[~(buildings.volume > 0) | ~(buildings.height > 0)] = NO_VOLUME
    reason[~(buildings.footprint_area > 0) | ~(exposed > 0)] = NO_GEOMETRY
    reason[(reason == NONE) & ~types.conditioned] = UNHEATED
    good = np.flatnonzero(reason == NONE)
    # The threads of a warp that follow one schedule read it together; results do not depend on the order of buildings.
    good = good[np.argsort(types.schedule_class[good], kind="stable")]
    kind = np.float64 if chosen.precision == "float64" else np.float32
    with device.guard(f"the year of {good.size:,} buildings"):
        found = zone.simulate(
            device.put(parameters[:, good].astype(kind)),
            device.put(types.schedule_class[good].astype(np.int32)),
            device.put(archetypes.schedules(clock, chosen.heating_zone).astype(kind)),
            device.put(_forcing(weather, chosen.albedo, device).astype(kind)),
            device.put(clock.month().astype(np.int32)),
            keep=(kept.start, kept.stop),
            dtype=kind,
        )
    found = {name: device.get(value).astype(np.float64) for name, value in found.items()}
    values = _published(found, good, n, floor_area)
    if kept.stop > kept.start:
        _to_street(values, parameters, types, weather.air_temperature[kept] - ZERO_CELSIUS)
    broken = (reason == NONE) & ~np.isfinite(values["annual_heating_need"] + values["annual_cooling_need"])
    reason[broken] = NOT_FINITE
    return EnergyResult(
        values=values,
        energy_status=np.where(reason == NONE, SUCCESS, FAILED).astype(np.int8),
        energy_reason=reason,
        energy_archetype=types.name,
        energy_assumed=types.assumed.astype(np.int8),
        kept=kept,
    )


class _Envelope:
    """Sums over the surfaces of each building, in an order fixed by the surfaces themselves."""

    def __init__(self, surfaces: Surfaces, n: int) -> None:
        s = surfaces
        self.order = np.lexsort((s.party_area, s.azimuth, s.tilt, s.area, s.kind, s.building))
        self.building, self.kind, self.n = s.building[self.order], s.kind[self.order], n
        self.exposed = np.maximum(s.area - s.party_area, 0.0)
        # Linear between the two nearest of eight sectors, and between the horizontal and the vertical.
        turn = np.mod(s.azimuth, 360.0) / (360.0 / N_AZIMUTH)
        self.sector = np.minimum(np.floor(turn), N_AZIMUTH - 1).astype(np.int64)
        self.beyond = turn - self.sector
        self.upright = np.clip(s.tilt, 0.0, 90.0) / 90.0

    def total(self, kind: int, weight: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sum of a weight over the surfaces of a kind, (n,)."""
        pick = self.kind == kind
        return np.bincount(self.building[pick], weight[self.order][pick], self.n).astype(np.float64)

    def apertures(self, kind: int) -> NDArray[np.float64]:
        """Return the exposed area of a kind that faces each sector, (10, n) [m2]."""
        out = np.zeros((N_AZIMUTH + 2, self.n))
        for k in range(N_AZIMUTH):
            share = np.where(self.sector == k, 1.0 - self.beyond, 0.0)
            share = share + np.where(self.sector == (k - 1) % N_AZIMUTH, self.beyond, 0.0)
            out[k] = self.total(kind, self.exposed * self.upright * share)
        out[N_AZIMUTH] = self.total(kind, self.exposed * (1.0 - self.upright))
        out[N_AZIMUTH + 1] = self.total(kind, self.exposed * self.upright * 0.5)  # a vertical wall sees half ground
        return out


def _checked(surfaces: Surfaces, n: int) -> tuple[Surfaces, NDArray[np.bool_]]:
    """Return surfaces of numbers alone, and the buildings that had one that is not; a flat surface needs no azimuth."""
    s = surfaces
    if s.building.size and not (s.building.min() >= 0 and s.building.max() < n):
        raise InputError(f"A surface belongs to building row {s.building.max()}; the table has {n:,} buildings.")
    if not np.isin(s.kind, (GROUND, WALL, ROOF)).all():
        raise InputError("A surface has a type that is not 0 (ground), 1 (wall) or 2 (roof).")
    turned = np.isfinite(s.azimuth)
    flat = (s.tilt < 1.0) | (s.tilt > 179.0)
    fine = np.isfinite(s.area) & np.isfinite(s.party_area) & np.isfinite(s.tilt) & (turned | flat)
    damaged = np.zeros(n, bool)
    damaged[s.building[~fine]] = True
    clean = {name: np.where(fine, getattr(s, name), 0.0) for name in ("area", "party_area", "tilt")}
    return replace(s, azimuth=np.where(turned, s.azimuth, 0.0), **clean), damaged


def _parameters(
    types: Archetypes, sums: _Envelope, floor_area: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return (21, n) parameters of the zone and where the five resistances exist."""
    f, v = factors(), types.values
    wall, roof = sums.total(WALL, sums.exposed), sums.total(ROOF, sums.exposed)
    ground = sums.total(GROUND, sums.exposed)
    window = wall * v["window_share"]
    opaque_wall = wall - window
    p = np.zeros((len(zone.PARAMETERS), floor_area.size))
    fabric = opaque_wall * v["u_wall"] + roof * v["u_roof"]
    p[0] = fabric + ground * v["u_floor"] * v["b_floor"] + (wall + roof + ground) * v["thermal_bridge"]
    p[1] = window * v["u_window"]
    rho_c = f["air_heat_capacity"]
    p[2] = rho_c / 3600.0 * (v["infiltration"] + v["air_change"]) * floor_area * f["room_height"]
    p[3] = rho_c * v["ventilation"] * floor_area
    p[4] = v["heat_capacity"] * floor_area
    p[5], p[6], p[7] = f["mass_area_ratio"] * floor_area, f["internal_area_ratio"] * floor_area, floor_area
    p[8] = p[9] = archetypes.NEVER * 1e3  # W: ideal loads
    # ISO 13790, 11.3: A_sol = F_sh alpha R_se U A of opaque parts, F_sh g F_w (1 - F_F) A of windows;
    # 11.4.6: to the sky F_r R_se U A h_r, with F_r 0.5 for walls and 1 for roofs.
    glass = v["window_share"] * v["g_window"] * f["glazing_angle_factor"] * (1.0 - v["frame_share"])
    skin = f["solar_absorptance"] * f["external_surface_resistance"]
    per_wall = (glass + (1.0 - v["window_share"]) * skin * v["u_wall"]) * f["shading_vertical"]
    p[11:] = sums.apertures(WALL) * per_wall + sums.apertures(ROOF) * (skin * v["u_roof"] * f["shading_horizontal"])
    radiating = 0.5 * (opaque_wall * v["u_wall"] + p[1]) + roof * v["u_roof"]
    p[10] = radiating * f["external_surface_resistance"] * f["radiative_coefficient"]
    bounded = (p[0] > 0) & (p[0] < 9.1 * p[5]) & (1.0 - p[5] / p[6] - p[1] / (9.1 * p[6]) > 0)
    return p, bounded


def _forcing(weather: Weather, albedo: float, device: Device) -> NDArray[np.float64]:
    """Return (n_hour, 12): air temperature [degC], air minus sky temperature [K], irradiance of the sectors [W m-2]."""
    out = np.empty((weather.clock.n, len(zone.WEATHER)))
    out[:, 0] = weather.air_temperature - ZERO_CELSIUS
    # Square roots are exact on every machine; a power of 0.25 is not.
    out[:, 1] = weather.air_temperature - np.sqrt(np.sqrt(weather.downwelling_longwave / STEFAN_BOLTZMANN))
    out[:, 2:] = device.get(sector_irradiance(weather.sky(albedo, device.put)))
    return out


def _published(
    found: dict[str, NDArray[np.float64]], good: NDArray[np.intp], n: int, floor_area: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Spread results over all rows, in published units; nan where a building failed."""
    values = {}
    for name, value in found.items():
        if name in UNITS:
            whole = np.full((n, *value.shape[1:]), np.nan)
            whole[good] = value / JOULES_PER_KWH if name.startswith("monthly") else value
            values[name] = whole
    values["conditioned_floor_area"] = floor_area
    for part in ("heating", "cooling"):
        total = np.zeros(n)
        for month in range(12):
            total = total + values[f"monthly_{part}_need"][:, month]
        values[f"annual_{part}_need"] = total
        values[f"specific_{part}_need"] = total / np.where(floor_area > 0, floor_area, np.nan)
    return values


def _to_street(
    values: dict[str, NDArray[np.float64]], p: NDArray[np.float64], types: Archetypes, outdoor: NDArray[np.float64]
) -> None:
    """Add the heat that buildings give to the street in the hours kept, (n, n_kept) [W]."""
    reject = (1.0 + 1.0 / factors()["cooling_cop"]) * types.values["cooling_share"]
    values["condenser_heat"] = values["cooling_load"] * reject[:, None]
    loss = p[0] + p[1] + p[2]
    values["heat_rejected"] = values["condenser_heat"] + loss[:, None] * (values["indoor_air_temperature"] - outdoor)
