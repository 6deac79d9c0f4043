"""Join the products of a run into the thematic city: meshes with chosen results of every building, for people and ParaView.

CITY.toml may also be the run directory itself: all that the city needs is there.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from felsina.engine.city import City, city_of
from felsina.engine.driver import JobContext, JobSpec
from felsina.engine.errors import ProductError, UsageError
from felsina.engine.io.read import product_attrs, product_grid, read_field, read_mesh, read_table, variables
from felsina.engine.io.results import ProductWriter
from felsina.engine.parallel.world import World
from felsina.engine.processes import thematic
from felsina.engine.record import Record, file_sha256
from felsina.engine.rundir import RunDirectory
from felsina.jobs.run import conclude, errors_name, run_chain, single_job

_FACES = ("mesh_face_building", "mesh_face_surface_type")


def make_city(context: JobContext) -> dict[str, Any]:
    """Join the products and publish city.nc; the root reads and joins, all ranks publish."""
    world, run = context.world, context.run
    made: list[dict[str, NDArray[Any]]] = []

    def join() -> dict[str, Any]:
        with context.timer("join"):
            made.append(joined_table(run))
        return header_of(run, made[0])

    header = world.on_root(join)
    writer = ProductWriter(world, run.path, "city", writer="gather", **header)
    metrics: dict[str, Any] = {}
    if world.is_root:
        table = made[0]
        for name, values in table.items():
            writer.write(name, values)
        with context.timer("mesh"):
            source = run.needed("buildings")
            numbers = {n: v for n, v in table.items() if v.dtype.kind in "iuf" and n not in ("building_x", "building_y")}
            writer.mesh(*read_mesh(source), face_fields=read_table(source, _FACES), building_fields=numbers)
        metrics = metrics_of(table)
    with context.timer("publish"):
        writer.publish()
    for note in writer.notes:
        context.note(note)
    return world.bcast(metrics)


def joined_table(run: RunDirectory) -> dict[str, NDArray[Any]]:
    """Return the columns of the city, one row a building, read from the products of a run."""
    source = run.needed("buildings")
    present = set(variables(source))
    table = read_table(source, [n for n in thematic.BUILDING_COLUMNS if n in present])
    energy = run.needed("energy")
    wanted = ("building_id", *thematic.ENERGY_COLUMNS)
    present = set(variables(energy))
    table |= thematic.join_energy(table["building_id"], read_table(energy, [n for n in wanted if n in present]))
    if {"terrain", "microclimate"} <= run.products.keys():
        table |= _heat(run, len(table["building_id"]))
    return table


def header_of(run: RunDirectory, table: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """Return what the writer of city.nc is told on every rank: sizes, CRS, and what the city was made from."""
    used = {n: p for n, p in run.products.items() if n in (*SPEC.needs, *SPEC.uses)}
    attrs = {name: product_attrs(path) for name, path in used.items()}
    precision: dict[str, float] = {}
    for name in SPEC.needs:
        precision |= attrs[name]["configuration"].get("output", {}).get("precision", {})
    return {
        "dims": {"building": len(table["building_id"])},
        "crs": attrs["buildings"]["crs"],
        "precision": precision,
        "configuration": {name: a["configuration"] for name, a in attrs.items()},
        "inputs": {name: file_sha256(path) for name, path in used.items()},
    }


def metrics_of(table: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """Return the figures of the join for run.json."""
    heat = table.get("outdoor_air_temperature_mean")
    return {
        "rows": len(table["building_id"]),
        "with_energy": int(np.count_nonzero(table["energy_status"] == 0)),
        "with_heat": 0 if heat is None else int(np.count_nonzero(np.isfinite(heat))),
    }


def _heat(run: RunDirectory, n_building: int) -> dict[str, NDArray[Any]]:
    terrain, climate = run.product("terrain"), run.product("microclimate")

    def index_rows(first: int, last: int) -> NDArray[Any]:
        rows = read_field(terrain, "building_index", (slice(first, last), slice(None)))
        if rows.max(initial=-1) >= n_building:
            raise ProductError(
                f"'{terrain}' speaks of building {rows.max()}, but '{run.product('buildings')}' has {n_building} rows. "
                "They are of different runs; run again from the buildings on: --from buildings --force."
            )
        return rows

    cells = thematic.cells_of_buildings(product_grid(climate), product_grid(terrain), index_rows)
    names = ("air_temperature_mean", "air_temperature_maximum", "surface_temperature_maximum")
    mean, maximum, surface = read_table(climate, names).values()
    # Beside a wall, a column of air may be that above the roof: cooler, and nobody walks there.
    air_m = product_attrs(climate)["configuration"].get("heatwave", {}).get("air_resolution_m", cells.grid.resolution)
    streets = thematic.street_air(cells, max(1, round(air_m / cells.grid.resolution)))
    mean, maximum = (np.where(streets, air, np.float32(np.nan)) for air in (mean, maximum))
    return dict(thematic.heat_at_buildings(cells, n_building, mean, maximum, surface))


SPEC = JobSpec(
    name="city",
    product="city",
    sections=(),
    needs=("buildings", "energy"),
    uses=("terrain", "microclimate"),
    inputs=lambda city: [],
    run=make_city,
)

configure, _main_of_file = single_job("city")


def main(options: argparse.Namespace) -> int:
    """Make the city of a city file, or of a run directory."""
    if not Path(options.city).is_dir():
        return int(_main_of_file(options))
    return _main_of_run(options)


def _main_of_run(options: argparse.Namespace) -> int:
    world = World.launched()
    path = Path(options.city)
    if options.out and Path(options.out).resolve() != path.resolve():
        raise UsageError(f"'{path}' is a run directory, so city.nc goes there, not to '{options.out}'. Leave --out away.")
    with errors_name(world):
        city = world.on_root(lambda: city_of_run(path, options.threads))
        command = " ".join(["felsina", *sys.argv[1:]])
        run, record = run_chain(city, world, ["city"], path, resume=options.resume, force=options.force, command=command)
    return conclude(run, record, world, report=False)


def city_of_run(path: Path, threads: int | None = None) -> City:
    """Return the configuration that a run was made with, from its record."""
    values = Record.load(path).values
    if "configuration" not in values:
        raise UsageError(f"'{path}' has no record of a run (run.json). Give the city file: felsina city CITY.toml --out {path}")
    tables: dict[str, Any] = {s: {k: v for k, v in t.items() if v is not None} for s, t in values["configuration"].items()}
    if threads is not None:
        tables["execution"]["threads"] = threads
    return city_of(tables | {"input": values.get("policies", [])}, path.resolve() / "run.json")
