"""Simulate the heat of summer days in the streets: sky view, shadows, surface and air temperature, by hour."""

from __future__ import annotations

import datetime
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from felsina.engine.city import City
from felsina.engine.clock import Clock
from felsina.engine.driver import JobContext, JobSpec
from felsina.engine.errors import UsageError
from felsina.engine.fields import fields_of
from felsina.engine.grid import Grid
from felsina.engine.io.results import ProductWriter, product_grid, read_field
from felsina.engine.io.weather import Weather, read_epw
from felsina.engine.parallel.partition import Partition
from felsina.engine.processes.daily import DailyMaps, Ranges
from felsina.engine.processes.forcing import forcings, soil_temperature
from felsina.engine.processes.heatwave import AIR_TOLERANCE, Air, StreetHeat
from felsina.engine.processes.scene import build_scene, covered_columns
from felsina.engine.processes.waste_heat import waste_heat_sources
from felsina.jobs.common import digests, product_identity, tile_cells, weather_file
from felsina.jobs.energy import heat_to_street
from felsina.jobs.run import single_job

_FAR_KM = 100.0  # a weather station farther than this from the scene is worth a remark


def _inputs(city: City) -> list[Path]:
    return [weather_file(city)]


def run(context: JobContext) -> dict[str, Any]:
    """Run the hours of the heatwave and publish microclimate.nc; returns figures for the record."""
    city, world, options = context.city, context.world, context.city.heatwave
    path = weather_file(city)
    start = datetime.date.fromisoformat(options.start)
    weather: Weather = world.on_root(lambda: _weather(path, start, options.days))
    for remark in weather.notes:
        context.note(f"Weather: {remark}.")
    terrain_file = context.run.needed("terrain")
    terrain: Grid = world.on_root(lambda: product_grid(terrain_file))
    surfaces, air_grid = terrain.coarsened(options.resolution_m), terrain.coarsened(options.air_resolution_m)
    _note_distance(context, weather, terrain)

    def read(name: str, rows: slice) -> NDArray[Any]:
        return read_field(terrain_file, name, (rows, slice(None)))

    with context.timer("scene"):
        scene = build_scene(world, terrain, surfaces, air_grid, options.air_level_m, options.air_levels, read)
    high = int(np.count_nonzero(scene.building_height > (options.air_levels - 0.5) * options.air_level_m))
    if high:
        context.note(
            f"{high:,} columns of buildings reach above the {options.air_levels} levels of air of {options.air_level_m:g} m "
            "and were cut one level below the top. Raise heatwave.air_levels."
        )
    spin_up = min(options.spin_up_days, (start - weather.clock.first_day).days)
    period = weather.select(start - datetime.timedelta(days=spin_up), spin_up + options.days)
    clock = weather.select(start, options.days).clock
    with context.timer("waste heat"):
        waste, sources = _waste(context, terrain, air_grid, scene.roof_layer, weather, clock, read)
    block_m = math.lcm(round(64 * terrain.resolution * 1000), round(air_grid.resolution * 1000)) / 1000
    partition = Partition.of(
        air_grid.shape,
        tile_cells(context, air_grid),
        world.size,
        block=round(block_m / air_grid.resolution),
    )
    first = (period.clock.first_day - weather.clock.first_day).days * 24
    with context.timer("sky view"):
        streets = StreetHeat(
            world,
            scene,
            Air(options.air_levels, options.air_level_m, air_grid.resolution),
            partition,
            options,
            sources,
            soil_temperature(weather.air_temperature, first),
            float(period.air_temperature[0]),
            context.device,
        )
    writer = _writer(context, surfaces, clock, city)
    statistics = DailyMaps(streets.tiles, context.device)
    progress = context.progress("hours", len(period.air_temperature), "h")
    for hour, forcing in enumerate(forcings(period)):
        shown = hour - spin_up * 24
        with context.timer("spin-up" if shown < 0 else "hours"):
            streets.step(forcing, waste[:, max(shown, 0)], with_air=shown >= 0)
        if shown >= 0:
            with context.timer("output"):
                _write_hour(context, writer, streets, shown)
            statistics.add()
        progress.advance()
    progress.close()
    ranges = Ranges(surfaces.shape, round(options.buffer_m / surfaces.resolution))
    for tile, maps in statistics.maps():
        ranges.add(tile, maps)
        for name, values in maps.items():
            writer.write(name, values, (tile.j0, tile.i0))
    with context.timer("publish"):
        writer.publish()
    if streets.residual > AIR_TOLERANCE:
        context.note(f"The air stood still to {streets.residual:.3g} K only, after {streets.sweeps:,} sweeps in an hour.")
    air = {"air_sweeps": streets.sweeps, "air_residual_k": round(streets.residual, 6)}
    return {"hours": options.days * 24, **air, **ranges.figures(world)}


def _weather(path: Path, start: datetime.date, days: int) -> Weather:
    """Read the weather of the year of a heatwave; an error where its days are not all inside."""
    weather = read_epw(path, start.year)
    first = weather.clock.first_day
    if (start - first).days + days > weather.clock.n_day:
        last = first + datetime.timedelta(days=weather.clock.n_day - 1)
        raise UsageError(
            f"heatwave.days is {days} from {start}, but the weather of '{path.name}' ends on {last}. Take an earlier "
            "heatwave.start or fewer heatwave.days."
        )
    return weather


def _writer(context: JobContext, grid: Grid, clock: Clock, city: City) -> ProductWriter:
    ends = clock.seconds_since_1970().astype("datetime64[s]")
    bounds = np.stack([ends - np.timedelta64(round(clock.step), "s"), ends], axis=1)
    files = digests(context, {"weather": weather_file(city), "terrain": context.run.needed("terrain")})
    if city.coupling.energy_heatwave != "none":
        files |= digests(context, {"buildings": context.run.needed("buildings")})
    return ProductWriter(
        context.world,
        context.run.path,
        "microclimate",
        dims={"time": clock.n, "y": grid.ny, "x": grid.nx},
        crs=grid.crs,
        coordinates={"x": grid.x, "y": grid.y, "time": ends, "time_bnds": bounds},
        attrs={"utc_offset": clock.utc_offset},
        writer=city.execution.writer,
        precision={k: v for k, v in city.output.precision.items() if k in fields_of("microclimate")},
        **product_identity(context, SPEC, files),
    )


def _write_hour(context: JobContext, writer: ProductWriter, streets: StreetHeat, hour: int) -> None:
    for tile in streets.tiles:
        for name in context.city.output.hourly:
            writer.write(name, context.device.get(tile.fields[name]), (hour, tile.fine.j0, tile.fine.i0))
    writer.flush()


def _waste(
    context: JobContext, terrain: Grid, air: Grid, roof_layer: NDArray[np.int32], weather: Weather, clock: Clock, read: Any
) -> tuple[NDArray[np.float64], Any]:
    """Return the waste heat of all buildings (n_building, n_hour) [W] and where it enters the air."""
    if context.city.coupling.energy_heatwave == "none":
        nothing = np.zeros(0, np.int64)
        return np.zeros((0, clock.n)), waste_heat_sources(nothing, nothing, roof_layer, context.city.heatwave.air_levels)
    waste = heat_to_street(context, weather, clock)
    building, column = covered_columns(context.world, terrain, air, read)
    return waste, waste_heat_sources(building, column, roof_layer, context.city.heatwave.air_levels)


def _note_distance(context: JobContext, weather: Weather, grid: Grid) -> None:
    def far() -> float:
        from felsina.engine.io.crs import distance_km

        west, south, east, north = grid.bounds
        return distance_km(grid.crs, 0.5 * (west + east), 0.5 * (south + north), weather.longitude, weather.latitude)

    distance = context.world.on_root(far)
    if distance > _FAR_KM:
        context.note(
            f"The weather station '{weather.name}' is {distance:,.0f} km from the scene; the sun is that of the station."
        )


SPEC = JobSpec(
    name="heatwave",
    product="microclimate",
    sections=("city", "weather", "energy", "heatwave", "coupling", "output"),
    needs=("terrain", "buildings", "energy"),
    inputs=_inputs,
    run=run,
)

configure, main = single_job("heatwave")
