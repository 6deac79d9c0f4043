"""Simulate the energy need of every building over a year."""

from __future__ import annotations

import argparse
import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from felsina.engine.city import City
from felsina.engine.clock import Clock
from felsina.engine.driver import JobContext, JobSpec
from felsina.engine.errors import UsageError
from felsina.engine.fields import PRODUCTS, fields_of
from felsina.engine.io.results import ProductWriter, product_attrs, read_table
from felsina.engine.io.weather import Weather, read_epw
from felsina.engine.processes.energy import Buildings, EnergyResult, Surfaces, simulate_year
from felsina.jobs.common import digests, product_identity, weather_file
from felsina.jobs.energy_building import configure_building, main_building
from felsina.jobs.run import single_job

LANES = 16  # buildings that are simulated together; shares of ranks are whole lanes, though no result depends on it
_HOURLY = ("indoor_air_temperature", "operative_temperature", "heating_load", "cooling_load")
_BUILDING_COLUMNS = ("building_id", "building_footprint_area", "building_height", "building_volume")
_OPTIONAL_COLUMNS = ("building_construction_year", "building_use", "building_floors")
_SURFACE_COLUMNS = ("surface_building", "surface_type", "surface_area", "surface_party_area", "surface_tilt", "surface_azimuth")


def _inputs(city: City) -> list[Path]:
    return [weather_file(city)]


def run(context: JobContext) -> dict[str, Any]:
    """Simulate the buildings of buildings.nc, each rank its share, and publish energy.nc; returns figures."""
    city, world = context.city, context.world
    weather: Weather = world.on_root(lambda: read_epw(weather_file(city), city.energy.year))
    for remark in weather.notes:
        context.note(f"Weather: {remark}.")
    period = (weather.clock.first_day, weather.clock.n_day) if city.energy.hourly else None
    file = context.run.needed("buildings")
    n, (first, last) = _share(context, file)
    with context.timer("simulation"):
        ids, result = _simulate(context, weather, first, last, period)
    ends = weather.clock.seconds_since_1970().astype("datetime64[s]")
    bounds = np.stack([ends - np.timedelta64(round(weather.clock.step), "s"), ends], axis=1)
    writer = ProductWriter(
        world,
        context.run.path,
        "energy",
        dims={"building": n, "month": 12} | ({"time": weather.clock.n} if period else {}),
        crs=world.on_root(lambda: str(product_attrs(file)["crs"])),
        coordinates={"time": ends, "time_bnds": bounds} if period else {},
        attrs={"utc_offset": weather.clock.utc_offset} if period else {},
        writer=city.execution.writer,
        precision={k: v for k, v in city.output.precision.items() if k in fields_of("energy")},
        **product_identity(context, SPEC, digests(context, {"weather": weather_file(city), "buildings": file})),
    )
    _write(writer, ids, result, first, bool(period))
    with context.timer("publish"):
        writer.publish()
    return _figures(context, result, n)


def heat_to_street(context: JobContext, weather: Weather, clock: Clock) -> NDArray[np.float64]:
    """Return the heat that each building gives to the street in the hours of some days, (n_building, n_hour) [W].

    Never below zero: a building that takes heat from the street does so through its walls, which the streets hold at the
    temperature of their air. A building that cannot be simulated gives none.
    """
    n, (first, last) = _share(context, context.run.needed("buildings"))
    _, result = _simulate(context, weather, first, last, (clock.first_day, clock.n_day))
    mine = np.maximum(np.nan_to_num(result.values["heat_rejected"], nan=0.0), 0.0)
    parts = context.world.allgather(mine)
    return np.concatenate(parts) if n else np.zeros((0, clock.n))


def _share(context: JobContext, file: Path) -> tuple[int, tuple[int, int]]:
    n = context.world.on_root(lambda: len(read_table(file, ("building_status",))["building_status"]))
    return n, context.world.share_of(n, LANES)


def _simulate(
    context: JobContext, weather: Weather, first: int, last: int, period: tuple[datetime.date, int] | None
) -> tuple[NDArray[Any], EnergyResult]:
    """Simulate rows [first, last) of the building table."""
    file = context.run.needed("buildings")

    def tables() -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
        from felsina.engine.io.read import variables

        there = [c for c in _OPTIONAL_COLUMNS if c in variables(file)]
        return read_table(file, (*_BUILDING_COLUMNS, *there)), read_table(file, _SURFACE_COLUMNS)

    table, surfaces = context.world.on_root(tables)
    rows = slice(first, last)
    n = last - first

    def number(name: str) -> NDArray[np.float64]:
        values = table[name][rows].astype(np.float64) if name in table else np.zeros(n)
        return np.where(values > 0, values, np.nan)

    buildings = Buildings(
        ids=[str(v) for v in table["building_id"][rows]],
        footprint_area=table["building_footprint_area"][rows].astype(np.float64),
        height=table["building_height"][rows].astype(np.float64),
        construction_year=number("building_construction_year"),
        use=[str(v) for v in table["building_use"][rows]] if "building_use" in table else [""] * n,
        floors=number("building_floors"),
        volume=table["building_volume"][rows].astype(np.float64),
    )
    mine = (surfaces["surface_building"] >= first) & (surfaces["surface_building"] < last)
    part = {name: surfaces[name][mine] for name in _SURFACE_COLUMNS}
    envelope = Surfaces(
        building=part["surface_building"].astype(np.int64) - first,
        kind=part["surface_type"].astype(np.int64),
        area=part["surface_area"].astype(np.float64),
        party_area=part["surface_party_area"].astype(np.float64),
        tilt=part["surface_tilt"].astype(np.float64),
        azimuth=part["surface_azimuth"].astype(np.float64),
    )
    result = simulate_year(buildings, envelope, weather, context.city.energy, period, context.device)
    return table["building_id"][rows], result


def _write(writer: ProductWriter, ids: NDArray[Any], result: EnergyResult, first: int, hourly: bool) -> None:
    if len(ids) == 0:
        return
    columns: dict[str, Any] = {
        "building_id": ids,
        "energy_status": result.energy_status,
        "energy_reason": result.energy_reason,
        "energy_archetype": result.energy_archetype,
        "energy_assumed": result.energy_assumed,
    }
    for name, described in fields_of(PRODUCTS["energy"].name).items():
        if name in result.values and name not in _HOURLY:
            values = result.values[name]
            whole = described.dtype.startswith("i")
            columns[name] = np.rint(np.nan_to_num(values, nan=0.0)).astype(described.dtype) if whole else values
    for name, values in columns.items():
        writer.write(name, values, (first,))
    if hourly:
        for name in _HOURLY:
            writer.write(name, np.ascontiguousarray(result.values[name].T), (0, first))


def _figures(context: JobContext, result: EnergyResult, n: int) -> dict[str, Any]:
    """Return totals over all buildings, in whole kilowatt-hours, so that no order of addition shows."""

    def total(name: str) -> int:
        values = np.rint(np.nan_to_num(result.values[name], nan=0.0)).astype(np.int64)
        return int(context.world.reduce_exact(np.array([values.sum()], np.int64), "sum")[0])

    failed = np.array([np.count_nonzero(result.energy_status != 0)], np.int64)
    area = total("conditioned_floor_area")
    heating, cooling = total("annual_heating_need"), total("annual_cooling_need")
    return {
        "buildings": n,
        "not_simulated": int(context.world.reduce_exact(failed, "sum")[0]),
        "heating_need_kwh": heating,
        "cooling_need_kwh": cooling,
        "conditioned_floor_area_m2": area,
        "heating_kwh_per_m2": round(heating / area, 2) if area else 0.0,
        "cooling_kwh_per_m2": round(cooling / area, 2) if area else 0.0,
    }


SPEC = JobSpec(
    name="energy",
    product="energy",
    sections=("weather", "energy", "output"),
    needs=("buildings",),
    inputs=_inputs,
    run=run,
)

_, _main = single_job("energy")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `felsina energy`: a city, or one described building."""
    from felsina.jobs.cli import run_options

    parser.add_argument("city", metavar="CITY.toml", nargs="?", help="the city file")
    run_options(parser)
    configure_building(parser)


def main(options: argparse.Namespace) -> int:
    """Run the verb."""
    if options.building is not None:
        return main_building(options)
    if options.city is None:
        raise UsageError("Name a city file, or one building: felsina energy --building B.toml --weather W.epw --out B.nc.")
    code: int = _main(options)
    return code
