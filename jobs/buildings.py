"""Make building models from points and footprints: solids of LoD1.2, 1.3 and 2.2, surfaces, party walls, quality."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from felsina.engine.city import City
from felsina.engine.driver import JobContext, JobSpec
from felsina.engine.fields import BUILDING_REASONS, BUILDING_STATUS, RECONSTRUCTION_REASONS, fields_of
from felsina.engine.footprints import city_footprints
from felsina.engine.grid import BLOCK, Grid
from felsina.engine.io.cityjson import feature_line, header_line, write_lines
from felsina.engine.io.crs import has_code
from felsina.engine.io.journal import Place, Reader
from felsina.engine.io.las import PointFile, Points, scan_headers
from felsina.engine.io.read import product_attrs, product_grid, read_field, variables
from felsina.engine.io.results import ProductWriter
from felsina.engine.io.spool import SpoolReader
from felsina.engine.io.vector import Footprints, Polygons
from felsina.engine.io.work_folder import WorkFolder
from felsina.engine.parallel.balance import Claims, dearest_first
from felsina.engine.processes.building_facts import shared_free_edges
from felsina.engine.processes.building_surfaces import Shells, joined_shells, party_areas, shells_of
from felsina.engine.processes.building_survey import Survey, survey
from felsina.engine.processes.building_tables import (
    SOLIDS,
    TABLES,
    Rows,
    building_columns,
    features,
    joined_rows,
    packed,
    rows_between,
    surface_columns,
    unpacked_rows,
    unpacked_shells,
    unpacked_solids,
)
from felsina.engine.processes.building_unit import UNIT, Unit, UnitOptions, build_unit
from felsina.engine.processes.buildings import footprint_areas, ground_heights, rows_of
from felsina.engine.processes.footprint_points import RECORD, FootprintPoints, unit_points
from felsina.engine.processes.identity import footprints_digest
from felsina.engine.processes.ingest import ingest
from felsina.engine.processes.reconstruction import LODS, Options
from felsina.jobs.common import digests, footprint_files, point_files, product_identity
from felsina.jobs.run import single_job

_COST_OF_A_ROW = 100  # in points: what a building costs beside its points


def _inputs(city: City) -> list[Path]:
    return [*point_files(city), *footprint_files(city)]


@dataclass(frozen=True)
class _Task:
    """What every rank knows of the job."""

    context: JobContext
    grid: Grid
    footprints: Footprints
    shapes: Polygons
    ground: NDArray[np.float32]
    work: WorkFolder
    trusts: bool
    is_free: NDArray[np.bool_]
    options: UnitOptions

    @property
    def n_unit(self) -> int:
        return -(-len(self.footprints) // UNIT)

    def rows(self, unit: int) -> tuple[int, int]:
        """Return the first row of a unit and the one behind its last."""
        return unit * UNIT, min(len(self.footprints), (unit + 1) * UNIT)


@dataclass(frozen=True)
class _Share:
    """Consecutive rows that one rank publishes: `first` to `last` (exclusive)."""

    first: int
    last: int
    rows: Rows
    shells: Shells


def run(context: JobContext) -> dict[str, Any]:
    """Gather the points of every footprint, build each building on any rank, publish buildings.nc; returns figures."""
    city, world = context.city, context.world
    terrain = context.run.needed("terrain")
    grid: Grid = world.on_root(lambda: product_grid(terrain))
    file = next(iter(footprint_files(city)), None)

    def returns() -> NDArray[np.int32]:
        return read_field(terrain, "building_point_count")

    footprints, derived = world.on_root(lambda: city_footprints(file, city.footprints, grid, returns))
    trusts = world.on_root(lambda: product_attrs(terrain)["point_classes"] == "input")
    work = WorkFolder(world, context.run.work / "buildings_units", context.key, context.resume)
    shapes = footprints.polygons()
    roofs = Options(min_points=city.buildings.min_points, roofs=city.reconstruction)
    options = UnitOptions(city.buildings, roofs, city.quality)
    ground = _ground(context, terrain, grid)
    task = _Task(context, grid, footprints, shapes, ground, work, trusts, shared_free_edges(world, shapes), options)
    with context.timer("points"):
        spool = _spooled(task)
    with context.timer("buildings"), spool:
        places = _build(task, spool)
    with context.timer("surfaces"):
        share = _share(task, places)
        party = _party_areas(task, share)
    with context.timer("checks"):
        seen = _survey(task, share, terrain)
    columns, surfaces = _columns(share, footprints, party, derived, set(city.buildings.lods) <= {LODS[0]})
    columns |= {name: values[share.first : share.last] for name, values in seen.columns.items()}
    files = digests(context, {"terrain": terrain})
    files |= {} if derived else {"footprints": footprints_digest(footprints)}
    files["points"] = world.on_root(lambda: product_attrs(terrain)["inputs"]["points"])
    with context.timer("publish"):
        _publish(task, share, columns, surfaces, files)
        _write_cityjson(task, share, places, columns, surfaces)
    work.remove()
    return world.bcast({**figures(_whole(task, share, columns)), "quality": seen.figures})


def _ground(context: JobContext, terrain: Path, grid: Grid) -> NDArray[np.float32]:
    """Return the ground of the whole city, shared by the ranks of a node."""
    world = context.world
    ground: NDArray[np.float32] = world.shared(grid.shape, np.float32)
    rows = slice(*world.share_of(grid.ny, BLOCK))
    if rows.start < rows.stop:
        ground[rows] = read_field(terrain, "ground_elevation", (rows, slice(None)))
    world.synchronise(ground, [(rows,)])
    return ground


def _spooled(task: _Task) -> SpoolReader:
    """Put the points in and around all footprints on disk by units, unless an earlier process did, and return a reader."""
    context, world = task.context, task.context.world
    if not task.work.is_sealed():
        headers: list[PointFile] = world.on_root(lambda: scan_headers(point_files(context.city), task.grid.crs))
        progress = context.progress("points", sum(h.count for h in headers), "points")
        with task.work.spool(RECORD) as spool:
            taken = FootprintPoints(task.grid, task.shapes, task.ground, task.trusts, spool, UNIT)

            def take(points: Points) -> None:
                taken.add(points)
                progress.advance(len(points) * world.size)

            ingest(world, headers, task.grid, take, alone=True)
            task.work.seal(spool.index())
        progress.close()
    return task.work.reader(RECORD, task.n_unit)


def _build(task: _Task, spool: SpoolReader) -> list[Place]:
    """Build the units that no earlier process finished, each on the rank that is free; return where each unit is."""
    context, world = task.context, task.context.world
    finished = task.work.finished()
    if finished:
        context.note(f"{len(finished)} of {task.n_unit} units of {UNIT} buildings were finished before.")
    left = np.array([u for u in range(task.n_unit) if u not in finished], np.int64)
    costs = spool.counts()[left] + _COST_OF_A_ROW * UNIT
    progress = context.progress("buildings", len(left) * UNIT, "buildings")
    claims = Claims(world, left[dearest_first(costs)], lambda n: progress.advance(n * UNIT))
    with task.work.journal() as journal:
        for unit in claims:
            result = build_unit(_unit(task, unit, spool), task.options, claims.serve)
            finished[unit] = journal.add(unit, packed(result, shells_of(result.solids)))
    progress.close()
    known: dict[int, Place] = {u: p for part in world.allgather(finished) for u, p in part.items()}
    return [known[u] for u in range(task.n_unit)]


def _unit(task: _Task, unit: int, spool: SpoolReader) -> Unit:
    first, last = task.rows(unit)
    footprints = rows_between(task.footprints, first, last)
    shapes = rows_of(task.shapes, np.arange(first, last))
    west, north, cell = (round(v * 1000) for v in (task.grid.west, task.grid.north, task.grid.resolution))
    points = unit_points(spool.take(unit), task.grid)
    return Unit(
        ids=footprints.ids,
        shapes=shapes,
        rejected=footprints.rejected,
        reason=footprints.reason,
        attributes=footprints.attributes,
        terrain=ground_heights(shapes, task.ground, west, north, cell),
        points=points._replace(row=points.row - first),
        is_free=task.is_free[slice(*(int(task.shapes.ring_offsets[r]) for r in task.shapes.shape_offsets[[first, last]]))],
    )


def _share(task: _Task, places: list[Place]) -> _Share:
    """Read the tables of the units that this rank publishes."""
    a, b = task.context.world.share_of(task.n_unit)
    # A unit of no rows: what there is to join where a rank publishes nothing.
    nothing = build_unit(_empty_unit(task), task.options)
    rows = [Rows(nothing.heights, nothing.roofs, nothing.volume, nothing.columns, nothing.evidence)]
    shells = [(0, shells_of(nothing.solids))]
    with Reader() as reader:
        for unit in range(a, b):
            arrays = reader.load(places[unit], TABLES)
            rows.append(unpacked_rows(arrays))
            shells.append(((unit - a) * UNIT, unpacked_shells(arrays)))
    first, last = min(a * UNIT, len(task.footprints)), min(b * UNIT, len(task.footprints))
    return _Share(first, last, joined_rows(rows), joined_shells(shells))


def _empty_unit(task: _Task) -> Unit:
    none = rows_between(task.footprints, 0, 0)
    points = unit_points(np.zeros(0, RECORD), task.grid)
    shapes = rows_of(task.shapes, np.zeros(0, np.int64))
    nothing = np.zeros(0, np.bool_)
    return Unit([], shapes, none.rejected, none.reason, none.attributes, np.zeros(0, np.int64), points, nothing)


def _party_areas(task: _Task, share: _Share) -> NDArray[np.float64]:
    """Return the area of each surface of a share that belongs to a neighbour's wall as well [m2].

    Walls are few numbers each: the root pairs those of all buildings at once.
    """
    world, distance_m = task.context.world, task.context.city.buildings.party_wall_distance_m
    shells = share.shells
    owner = shells.surfaces.row[shells.surfaces.wall] + share.first
    gathered = world.gather((shells.walls, owner))
    parts: list[NDArray[np.float64]] = []
    if gathered is not None:
        total = party_areas([w for w, _ in gathered], np.concatenate([o for _, o in gathered]), distance_m)
        parts = np.split(total, np.cumsum([len(o) for _, o in gathered])[:-1])
    area = np.zeros(len(shells.surfaces.row))
    area[shells.surfaces.wall] = world.scatter(parts)
    return area


def _survey(task: _Task, share: _Share, terrain: Path) -> Survey:
    """Hold all buildings against the rasters of the terrain, and say what a professional should look at."""
    context, world = task.context, task.context.world
    evidence = np.concatenate(world.allgather(share.rows.evidence))
    ground = np.concatenate(world.allgather(share.rows.heights.ground))

    def read(name: str, rows: slice) -> NDArray[Any]:
        return read_field(terrain, name, (rows, slice(None)))

    held, area = variables(terrain), footprint_areas(task.shapes)
    seen = survey(world, task.grid, held, read, task.footprints, area, ground, evidence, context.city.quality)
    for sentence in seen.notes:
        context.note(sentence)
    return seen


def _columns(
    share: _Share, footprints: Footprints, party: NDArray[np.float64], derived: bool, only_blocks: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the columns of a share of the building table and of the surface table."""
    mine = rows_between(footprints, share.first, share.last)
    surfaces = share.shells.surfaces
    shared = np.bincount(surfaces.row, party, len(mine)).astype(np.float64)
    columns = building_columns(mine, share.rows, shared, derived, only_blocks)
    return columns, surface_columns(surfaces, party, share.first)


def _publish(task: _Task, share: _Share, columns: dict[str, Any], surfaces: dict[str, Any], files: dict[str, str]) -> None:
    """Write buildings.nc: each rank its rows, the root the meshes."""
    context, world = task.context, task.context.world
    counts = world.allgather(len(share.shells.surfaces.row))
    before = sum(counts[: world.rank])
    writer = ProductWriter(
        world,
        context.run.path,
        "buildings",
        dims={"building": len(task.footprints), "surface": sum(counts)},
        crs=task.grid.crs,
        writer=context.city.execution.writer,
        precision={k: v for k, v in context.city.output.precision.items() if k in fields_of("buildings")},
        **product_identity(context, SPEC, files),
    )
    for table, first in ((columns, share.first), (surfaces, before)):
        for name, values in table.items():
            writer.write(name, values, (first,))
    shells = joined_shells([(part.first, part.shells) for part in world.gather(share) or [share]])
    mesh = shells.mesh
    fields: dict[str, NDArray[Any]] = {
        "mesh_face_building": mesh.row.astype(np.int32),
        "mesh_face_surface": mesh.surface.astype(np.int32),
        "mesh_face_surface_type": mesh.kind,
    }
    writer.mesh(mesh.vertices / 1000.0, mesh.triangles.astype(np.int32), fields)
    if set(context.city.buildings.lods) > {LODS[0]}:
        blocks = shells.lowest
        fields = {"mesh_face_building": blocks.row.astype(np.int32), "mesh_face_surface_type": blocks.kind}
        writer.mesh(blocks.vertices / 1000.0, blocks.triangles.astype(np.int32), fields, group="/lod12")
    writer.publish()


def _write_cityjson(task: _Task, share: _Share, places: list[Place], columns: dict[str, Any], surfaces: dict[str, Any]) -> None:
    """Write buildings.city.jsonl beside buildings.nc: every row with an identifier of its own.

    Every rank formats its rows into a file of its own, and the root puts these together.
    """
    context, world, grid = task.context, task.context.world, task.grid
    translate = (int(grid.bounds[0]), int(grid.bounds[1]), 0)
    piece = task.work.path / f"features-{world.rank:05d}.jsonl"
    # A rejected duplicate: its row is in the table, its identifier belongs to another building.
    ids = task.footprints.ids
    repeated = {k for k in range(share.first, share.last) if k and ids[k] == ids[k - 1]}
    mine = rows_between(task.footprints, share.first, share.last)
    offsets = np.searchsorted(share.shells.surfaces.row, np.arange(len(mine) + 1))

    def lines() -> Iterator[bytes]:
        a, b = world.share_of(task.n_unit)
        with Reader() as reader:
            for unit in range(a, b):
                first, last = (row - share.first for row in task.rows(unit))
                solids = unpacked_solids(reader.load(places[unit], SOLIDS))
                part = {name: values[first:last] for name, values in columns.items()}
                faces = {name: values[offsets[first] : offsets[last]] for name, values in surfaces.items()}
                rows = features(rows_between(mine, first, last), part, share.rows.heights.ground[first:last], solids, faces)
                for row, feature in enumerate(rows, share.first + first):
                    if row not in repeated:
                        yield feature_line(feature, translate)

    world.on_every_rank(lambda: write_lines(piece, lines()))
    if not has_code(grid.crs):
        context.note("The CRS has no authority code, so buildings.city.jsonl names none; buildings.nc holds it in full.")
    pieces = [task.work.path / f"features-{rank:05d}.jsonl" for rank in range(world.size)]

    def whole() -> Iterator[bytes]:
        yield header_line({"crs": grid.crs, "translate": translate, "title": context.city.city.name})
        for path in pieces:
            with open(path, "rb") as file:
                while block := file.read(1 << 22):
                    yield block

    world.on_root(lambda: write_lines(context.run.path / "buildings.city.jsonl", whole()))


def _whole(task: _Task, share: _Share, columns: dict[str, Any]) -> dict[str, NDArray[Any]] | None:
    """Return the columns that the figures need, of all rows, on the root."""
    names = ("status", "reason", "lod", "volume", "party_wall_area", "rmse", "reconstruction_reason")
    mine = {n: columns[f"building_{n}"] for n in names if f"building_{n}" in columns}
    parts = task.context.world.gather(mine)
    return None if parts is None else {n: np.concatenate([p[n] for p in parts]) for n in mine}


def figures(columns: dict[str, NDArray[Any]] | None) -> dict[str, Any]:
    """Return what the record says: rows, outcomes by reason, levels of detail, area, volume, quality."""
    if columns is None:
        return {}
    status, reason = columns["status"], columns["reason"]
    has_solid = np.isin(status, [0, 1])
    counts = {f"status_{name}": int(np.count_nonzero(status == code)) for code, name in BUILDING_STATUS.items()}
    reasons = {f"reason_{name}": int(np.count_nonzero(reason == code)) for code, name in BUILDING_REASONS.items() if code}
    rmse = columns["rmse"][np.isfinite(columns["rmse"])]
    return {
        "rows": len(status),
        "with_geometry": int(np.count_nonzero(has_solid)),
        "failed": int(np.count_nonzero(~has_solid)),
        **counts,
        **{name: n for name, n in reasons.items() if n},
        **_levels(columns),
        "volume_m3": round(float(np.nansum(columns["volume"])), 1),
        "party_wall_area_m2": round(float(np.nansum(columns["party_wall_area"])), 1),
        "rmse_median_m": round(float(np.median(rmse)), 3) if len(rmse) else 0.0,
    }


def _levels(columns: dict[str, NDArray[Any]]) -> dict[str, int]:
    """Return the number of buildings by highest level of detail, and by what stood in the way of LoD2.2."""
    if "reconstruction_reason" not in columns:
        return {}
    counts = {f"lod{lod}": int(np.count_nonzero(columns["lod"] == lod)) for lod in LODS}
    reason = columns["reconstruction_reason"]
    told = {f"reconstruction_{name}": int(np.count_nonzero(reason == c)) for c, name in RECONSTRUCTION_REASONS.items() if c}
    return counts | {name: n for name, n in told.items() if n}


SPEC = JobSpec(
    name="buildings",
    product="buildings",
    sections=("city", "points", "footprints", "buildings", "reconstruction", "quality", "output"),
    needs=("terrain",),
    inputs=_inputs,
    run=run,
)

configure, main = single_job("buildings")
