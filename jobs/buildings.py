"""Make building models from points and footprints: solids of LoD1.2, 1.3 and 2.2, surfaces, party walls, quality."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from felsina.engine.city import City
from felsina.engine.driver import JobContext, JobSpec
from felsina.engine.fields import BUILDING_REASONS, BUILDING_STATUS, RECONSTRUCTION_REASONS, fields_of
from felsina.engine.footprints import city_footprints
from felsina.engine.grid import BLOCK, Grid
from felsina.engine.io.cityjson import Feature, prism_solids, write_cityjsonseq
from felsina.engine.io.crs import has_code
from felsina.engine.io.las import PointFile, Points, scan_headers
from felsina.engine.io.results import ProductWriter, product_attrs, product_grid, read_field
from felsina.engine.io.vector import Footprints, Polygons
from felsina.engine.parallel.partition import Partition
from felsina.engine.processes.buildings import (
    Heights,
    Model,
    footprint_areas,
    ground_heights,
    ground_of_returns,
    measure,
    model,
)
from felsina.engine.processes.footprint_points import FootprintPoints
from felsina.engine.processes.identity import footprints_digest
from felsina.engine.processes.ingest import ingest
from felsina.engine.processes.reconstruction import LODS, Options
from felsina.engine.processes.roof_models import (
    RoofModels,
    RoofTable,
    gather_table,
    reconstruct_roofs,
    roof_columns,
    solids_by_block,
    without_geometry,
)
from felsina.jobs.common import digests, footprint_files, point_files, product_identity, tile_cells
from felsina.jobs.run import single_job


def _inputs(city: City) -> list[Path]:
    return [*point_files(city), *footprint_files(city)]


def run(context: JobContext) -> dict[str, Any]:
    """Gather the points of every footprint at its owner, measure and model, and publish buildings.nc; returns figures."""
    city, world = context.city, context.world
    terrain = context.run.needed("terrain")
    grid: Grid = world.on_root(lambda: product_grid(terrain))
    file = next(iter(footprint_files(city)), None)

    def returns() -> NDArray[np.int32]:
        return read_field(terrain, "building_point_count")

    footprints, derived = world.on_root(lambda: city_footprints(file, city.footprints, grid, returns))
    shapes = footprints.polygons()
    ground = _ground(context, terrain, grid)
    with context.timer("points"):
        owners = _owners(context, grid, footprints)
        taken = _points(context, grid, owners, shapes, ground)
    points = taken.collected()
    with context.timer("heights"):
        heights = _measure(context, grid, footprints, shapes, ground, taken, points, owners)
    with context.timer("roofs"):
        roofs = _reconstruct(context, shapes, heights, points, owners)
        roof_table = gather_table(world, roofs.table, owners) if roofs is not None else None
    del taken, points
    # LoD1.2 solids, surfaces and party walls follow from a small table: the root makes them, for all at once.
    with context.timer("model"):
        made: Model | None = model(shapes, heights, city.buildings.party_wall_distance_m) if world.is_root else None
    files = digests(context, {"terrain": terrain})
    files |= {} if derived else {"footprints": footprints_digest(footprints)}
    files["points"] = world.on_root(lambda: product_attrs(terrain)["inputs"]["points"])
    n_surface = world.bcast(len(made.surface_area) if made is not None else 0)
    writer = ProductWriter(
        world,
        context.run.path,
        "buildings",
        dims={"building": len(footprints), "surface": n_surface},
        crs=grid.crs,
        writer=city.execution.writer,
        precision={k: v for k, v in city.output.precision.items() if k in fields_of("buildings")},
        **product_identity(context, SPEC, files),
    )
    columns = table(footprints, shapes, made, derived, roof_table) if made is not None else {}
    if made is not None:
        for name, values in columns.items():
            writer.write(name, values)
        points_mm, faces, fields = mesh(made)
        writer.mesh(points_mm / 1000.0, faces, fields)
    with context.timer("publish"):
        writer.publish()
        _write_cityjson(context, grid, footprints, columns, made, {} if roofs is None else roofs.packed)
    world.barrier()
    return world.bcast(figures(footprints, made, columns) if made is not None else {})


def _ground(context: JobContext, terrain: Path, grid: Grid) -> NDArray[np.float32]:
    """Return the ground of the whole city, shared by the ranks of a node."""
    world = context.world
    ground: NDArray[np.float32] = world.shared(grid.shape, np.float32)
    rows = slice(*world.share_of(grid.ny, BLOCK))
    if rows.start < rows.stop:
        ground[rows] = read_field(terrain, "ground_elevation", (rows, slice(None)))
    world.synchronise(ground, [(rows,)])
    return ground


def _points(
    context: JobContext, grid: Grid, owners: NDArray[np.int32], shapes: Polygons, ground: NDArray[np.float32]
) -> FootprintPoints:
    """Return the points in and around the footprints that this rank owns."""
    city, world = context.city, context.world
    headers: list[PointFile] = world.on_root(lambda: scan_headers(point_files(city), grid.crs))
    trusts = world.on_root(lambda: product_attrs(context.run.needed("terrain"))["point_classes"] == "input")
    taken = FootprintPoints(world, grid, shapes, owners, ground, trusts_classes=trusts)
    progress = context.progress("points", sum(h.count for h in headers), "points")

    def take(points: Points) -> None:
        taken.add(points)
        progress.advance(len(points) * world.size)

    ingest(world, headers, grid, take)
    progress.close()
    return taken


def _owners(context: JobContext, grid: Grid, footprints: Footprints) -> NDArray[np.int32]:
    """Return the rank that owns each building: that of the tile which holds its representative point."""
    world = context.world
    partition = Partition.of(grid.shape, tile_cells(context, grid), world.size)
    x, y = representative_points(footprints)
    row = np.floor((grid.north - y) / grid.resolution).astype(np.int64)
    column = np.floor((x - grid.west) / grid.resolution).astype(np.int64)
    return partition.owner(row, column)


def representative_points(footprints: Footprints) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return easting and northing [m] of a point inside each footprint; of the largest part; 0 where there is no geometry."""
    places = []
    for parts in footprints.geometry:
        largest = max(parts, key=lambda p: p.area, default=None)
        point = None if largest is None else largest.representative_point()
        places.append((0.0, 0.0) if point is None else (point.x, point.y))
    xy = np.array(places, np.float64).reshape(-1, 2)
    return xy[:, 0], xy[:, 1]


def _measure(
    context: JobContext,
    grid: Grid,
    footprints: Footprints,
    shapes: Polygons,
    ground: NDArray[np.float32],
    taken: FootprintPoints,
    points: tuple[NDArray[np.int64], NDArray[np.int64]],
    owner: NDArray[np.int32],
) -> Heights:
    """Measure the buildings that this rank owns and return the table of all."""
    world = context.world
    west, north, cell = (round(v * 1000) for v in (grid.west, grid.north, grid.resolution))
    base = ground_of_returns(*taken.ground(), ground_heights(shapes, ground, west, north, cell))
    mine = measure(*points, shapes, base, footprints.rejected, footprints.attributes, context.city.buildings.min_points)
    parts = world.allgather(mine)
    rows = np.arange(len(owner))
    columns = [np.stack([getattr(p, name) for p in parts])[owner, rows] for name in Heights._fields]
    whole = Heights(*columns)
    # A row that was rejected keeps the reason of its footprint.
    return whole._replace(reason=np.where(footprints.rejected, footprints.reason, whole.reason).astype(np.int8))


def _reconstruct(
    context: JobContext,
    shapes: Polygons,
    heights: Heights,
    points: tuple[NDArray[np.int64], NDArray[np.int64]],
    owner: NDArray[np.int32],
) -> RoofModels | None:
    """Reconstruct the buildings that this rank owns and whose points gave a height; None where LoD1.2 is all that is wanted."""
    options, world = context.city.buildings, context.world
    if set(options.lods) <= {LODS[0]}:
        return None
    wanted = (owner == world.rank) & (heights.status == 0)
    progress = context.progress("roofs", int(np.count_nonzero(wanted)), "buildings")
    roofs = reconstruct_roofs(
        *points, shapes, heights.ground, wanted, options.lods, Options(min_points=options.min_points), progress.advance
    )
    progress.close()
    return roofs


def table(
    footprints: Footprints, shapes: Polygons, made: Model, derived: bool, roofs: RoofTable | None = None
) -> dict[str, Any]:
    """Return the columns of the building and surface tables by field."""
    h = made.heights
    n = len(footprints)
    has_solid = np.isin(h.status, [0, 1])
    roofs = None if roofs is None else without_geometry(roofs, has_solid)
    lod = np.array(LODS, object)[np.zeros(n, np.int8) if roofs is None else roofs.level]
    height = np.where(has_solid, (h.roof - h.ground) / 1000.0, np.nan)
    x, y = representative_points(footprints)
    columns: dict[str, Any] = {
        "building_id": np.array(footprints.ids, object),
        "building_status": h.status,
        "building_reason": h.reason,
        "building_lod": np.where(has_solid, lod, np.where(footprints.rejected, "", "0")).astype(object),
        "building_derived": np.full(n, derived, np.int8),
        "building_height": height,
        "building_ground_elevation": np.where(footprints.rejected, np.nan, h.ground / 1000.0),
        "building_roof_elevation": np.where(has_solid, h.roof / 1000.0, np.nan),
        "building_footprint_area": footprint_areas(shapes),
        "building_volume": np.where(has_solid, made.volume, np.nan),
        "building_rmse": h.rmse,
        "building_coverage": h.coverage,
        "building_point_density": h.density,
        "building_point_count": h.n_point.astype(np.int32),
        "building_party_wall_area": np.where(has_solid, made.party_wall_area, np.nan),
        "building_overlap_area": footprints.overlap_area,
        "building_x": np.where(footprints.rejected, np.nan, x),
        "building_y": np.where(footprints.rejected, np.nan, y),
    }
    columns |= {} if roofs is None else roof_columns(roofs)
    known = footprints.attributes
    if "construction_year" in known:
        columns["building_construction_year"] = np.clip(known["construction_year"], 0, 32767).astype(np.int16)
    if "floors" in known:
        columns["building_floors"] = np.clip(known["floors"], 0, 32767).astype(np.int16)
    if "use" in known:
        columns["building_use"] = known["use"]
    if "residents" in known:
        columns["building_residents"] = known["residents"].astype(np.int32)
    surfaces = {
        "surface_building": made.surface_building.astype(np.int32),
        "surface_type": made.surface_type,
        "surface_area": made.surface_area,
        "surface_tilt": made.surface_tilt,
        "surface_azimuth": made.surface_azimuth,
        "surface_party_area": made.surface_party_area,
    }
    return columns | surfaces


def mesh(made: Model) -> tuple[NDArray[np.int64], NDArray[np.int32], dict[str, NDArray[Any]]]:
    """Return nodes [mm], triangles and the fields on triangles."""
    face = made.triangle_face
    fields: dict[str, NDArray[Any]] = {
        "mesh_face_building": made.surface_building[face].astype(np.int32),
        "mesh_face_surface": face.astype(np.int32),
        "mesh_face_surface_type": made.surface_type[face],
    }
    return made.prisms.vertices, made.triangles.astype(np.int32), fields


def figures(footprints: Footprints, made: Model, columns: dict[str, Any]) -> dict[str, Any]:
    """Return what the record says: rows, outcomes by reason, levels of detail, area, volume, quality."""
    h = made.heights
    has_solid = np.isin(h.status, [0, 1])
    counts = {f"status_{name}": int(np.count_nonzero(h.status == code)) for code, name in BUILDING_STATUS.items()}
    reasons = {f"reason_{name}": int(np.count_nonzero(h.reason == code)) for code, name in BUILDING_REASONS.items() if code}
    rmse = h.rmse[np.isfinite(h.rmse)]
    return {
        "rows": len(footprints),
        "with_geometry": int(np.count_nonzero(has_solid)),
        "failed": int(np.count_nonzero(~has_solid)),
        **counts,
        **{name: n for name, n in reasons.items() if n},
        **_levels(columns),
        "volume_m3": round(float(made.volume.sum()), 1),
        "party_wall_area_m2": round(float(made.party_wall_area.sum()), 1),
        "rmse_median_m": round(float(np.median(rmse)), 3) if len(rmse) else 0.0,
    }


def _levels(columns: dict[str, Any]) -> dict[str, int]:
    """Return the number of buildings by highest level of detail, and by what stood in the way of LoD2.2."""
    if "building_reconstruction_reason" not in columns:
        return {}
    counts = {f"lod{lod}": int(np.count_nonzero(columns["building_lod"] == lod)) for lod in LODS}
    reason = columns["building_reconstruction_reason"]
    told = {f"reconstruction_{name}": int(np.count_nonzero(reason == c)) for c, name in RECONSTRUCTION_REASONS.items() if c}
    return counts | {name: n for name, n in told.items() if n}


def _write_cityjson(
    context: JobContext,
    grid: Grid,
    footprints: Footprints,
    columns: dict[str, Any],
    made: Model | None,
    packed: Mapping[int, NDArray[np.int64]],
) -> None:
    """Write buildings.city.jsonl beside buildings.nc: every row with an identifier of its own, with attributes and solids.

    Collective: the root writes, the others send it the solids of their buildings.
    """
    blocks = solids_by_block(context.world, packed, len(footprints))
    if made is None:
        for _ in blocks:
            pass
        return
    west, south = (int(v) for v in grid.bounds[:2])
    names = [n for n in columns if n.startswith("building_") and n not in ("building_id", "building_x", "building_y")]
    first = np.searchsorted(made.building_of_prism, np.arange(len(footprints) + 1))

    def features() -> Iterator[Feature]:
        seen: set[str] = set()
        for rows, higher in blocks:
            for row in rows:
                name = footprints.ids[row]
                if name in seen:  # a rejected duplicate: its row is in the table, its identifier belongs to another building
                    continue
                seen.add(name)
                attributes = {n: _plain(n, columns[n][row]) for n in names}
                solids = prism_solids(made.prisms, int(first[row]), int(first[row + 1]))
                # Without a block there is no ladder.
                solids += higher.get(row, []) if solids else []
                ground = int(made.heights.ground[row])
                outline = [] if footprints.rejected[row] else _outline(footprints, row, ground)
                yield Feature(name, attributes, outline, solids)

    if not has_code(grid.crs):
        context.note("The CRS has no authority code, so buildings.city.jsonl names none; buildings.nc holds it in full.")
    metadata = {"crs": grid.crs, "translate": (west, south, 0), "title": context.city.city.name}
    write_cityjsonseq(context.run.path / "buildings.city.jsonl", metadata, features())


def _outline(footprints: Footprints, row: int, ground_mm: int) -> list[list[NDArray[np.int64]]]:
    """Return the polygons of a footprint at ground height, as rings of whole millimetres."""
    return [
        [
            np.column_stack(
                (np.rint(np.asarray(ring.coords)[:-1, :2] * 1000).astype(np.int64), np.full(len(ring.coords) - 1, ground_mm))
            )
            for ring in (polygon.exterior, *polygon.interiors)
        ]
        for polygon in footprints.geometry[row]
    ]


def _plain(name: str, value: Any) -> Any:
    """Return a value as JSON takes it: codes as words, numbers to their published step."""
    described = fields_of("buildings")[name]
    if described.flags:
        return described.flags[int(value)]
    if described.dtype == "str":
        return str(value)
    if described.dtype.startswith("i"):
        return int(value)
    return round(float(value), 4) if np.isfinite(value) else None


SPEC = JobSpec(
    name="buildings",
    product="buildings",
    sections=("city", "points", "footprints", "buildings", "output"),
    needs=("terrain",),
    inputs=_inputs,
    run=run,
)

configure, main = single_job("buildings")
