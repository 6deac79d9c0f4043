"""A small run with every product, written without simulating anything: six blocks on a slope, one of them failed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from felsina.engine.city import canonical_json, city_of
from felsina.engine.fields import fields_of
from felsina.engine.io.results import ProductWriter
from felsina.engine.parallel.world import World
from felsina.engine.record import Record, file_sha256

CRS = "EPSG:7791"
WEST, NORTH = 686_000.0, 4_929_000.0
NY, NX = 120, 160  # cells of 1 m
# west, south, width, depth, height [m] from the grid's south-west corner; the last one has no geometry
BLOCKS = (
    (12, 14, 30, 20, 12.0),
    (56, 14, 24, 24, 18.5),
    (96, 12, 48, 16, 9.0),
    (14, 60, 22, 40, 15.0),
    (60, 62, 30, 30, 31.0),
    (120, 70, 2, 2, np.nan),
)
IDS = ["via <Rizzoli> & 3", "b-1", "b-2", "b-3", "b-4", "b-5"]


def box(west: float, south: float, width: float, depth: float, low: float, high: float) -> tuple[Any, Any, Any]:
    """Return points, triangles and surface types of a box, outward normals."""
    x, y = np.array([0, width, width, 0]) + west, np.array([0, 0, depth, depth]) + south
    points = np.array([(a, b, z) for z in (low, high) for a, b in zip(x, y)])
    faces = [(0, 2, 1), (0, 3, 2), (4, 5, 6), (4, 6, 7)]
    kinds = [0, 0, 2, 2]
    for k in range(4):
        n = (k + 1) % 4
        faces += [(k, n, 4 + n), (k, 4 + n, 4 + k)]
        kinds += [1, 1]
    return points, np.array(faces), np.array(kinds)


def write(folder: Path, product: str, values: dict[str, Any], mesh: Any = None, **header: Any) -> None:
    """Publish one product; numeric fields that are required and not given are NaN or 0."""
    writer = ProductWriter(World.serial(), folder, product, crs=CRS, writer="gather", **header)
    for name, field in fields_of(product).items():
        if "mesh_face" in field.dims or (name not in values and not field.required):
            continue
        shape = tuple(header["dims"][d] for d in field.dims)
        empty: Any = "" if field.dtype == "str" else np.nan if field.dtype.startswith("f") else 0
        writer.write(name, values.get(name, np.full(shape, empty, object if field.dtype == "str" else None)))
    if mesh:
        writer.mesh(*mesh)
    writer.publish()


def small_run(folder: Path) -> Path:
    """Write terrain, buildings, energy and microclimate of the small run, and its record."""
    folder.mkdir(parents=True, exist_ok=True)
    x, y = WEST + np.arange(NX) + 0.5, NORTH - np.arange(NY) - 0.5
    ground = 54.0 + 0.02 * (x - WEST)[None, :] + 0.01 * (NORTH - y)[:, None]
    index = np.full((NY, NX), -1, np.int32)
    for k, (west, south, width, depth, _) in enumerate(BLOCKS):
        index[NY - south - depth : NY - south, west : west + width] = k
    heights = np.array([b[4] for b in BLOCKS])
    roof = np.where(index >= 0, np.nan_to_num(heights)[index], 0.0)
    canopy = np.where((index < 0) & (((x - WEST) % 37 < 4)[None, :] & ((NORTH - y) % 23 < 4)[:, None]), 7.5, 0.0)
    configuration = {"city": {"name": "Small <quarter>"}, "output": {"precision": {}}}
    write(
        folder,
        "terrain",
        {"ground_elevation": ground, "surface_elevation": ground + roof, "canopy_height": canopy, "building_index": index}
        | {"land_cover": np.where(index >= 0, 2, 1)},
        dims={"y": NY, "x": NX},
        coordinates={"x": x, "y": y},
        configuration=configuration,
    )
    _buildings(folder, heights, configuration)
    _energy(folder, configuration)
    _microclimate(folder, index, configuration)
    _record(folder)
    return folder


def _buildings(folder: Path, heights: Any, configuration: dict[str, Any]) -> None:
    parts, owner, n = [], [], 0
    for k, (west, south, width, depth, height) in enumerate(BLOCKS[:-1]):
        points, faces, kinds = box(WEST + west, NORTH - NY + south, width, depth, 54.0, 54.0 + height)
        parts.append((points, faces + n, kinds))
        owner += [k] * len(faces)
        n += len(points)
    points, faces, kinds = (np.concatenate(v) for v in zip(*parts))
    area = np.array([b[2] * b[3] for b in BLOCKS], float)
    values = {
        "building_id": np.array(IDS, object),
        "building_status": np.array([0, 0, 1, 0, 0, 2]),
        "building_reason": np.array([0, 0, 3, 0, 0, 1]),
        "building_lod": np.array(["1.2"] * 5 + [""], object),
        "building_height": heights,
        "building_footprint_area": area,
        "building_volume": area * heights,
        "building_rmse": np.array([0.1, 0.08, np.nan, 0.2, 0.12, np.nan]),
        "building_party_wall_area": np.array([0, 0, 0, 35.0, 0, np.nan]),
        "building_x": WEST + np.array([b[0] + b[2] / 2 for b in BLOCKS]),
        "building_y": NORTH - NY + np.array([b[1] + b[3] / 2 for b in BLOCKS]),
    }
    write(
        folder,
        "buildings",
        values | {n: np.zeros(1, int) for n in ("surface_building", "surface_type")},
        (points, faces, {"mesh_face_building": np.array(owner), "mesh_face_surface": np.zeros(len(owner), int)}
         | {"mesh_face_surface_type": kinds}),
        dims={"building": len(BLOCKS), "surface": 1},
        configuration=configuration,
    )  # fmt: skip


def _energy(folder: Path, configuration: dict[str, Any]) -> None:
    # Other order than the buildings, and one building less.
    order = [4, 2, 0, 5, 1]
    failed = np.array([k == 5 for k in order])
    specific = np.array([40.0, 155.0, 96.5, np.nan, 120.0])
    floor = np.array([6000.0, 2300.0, 2400.0, np.nan, 3400.0])
    share = np.array([0.18, 0.16, 0.14, 0.09, 0.02, 0, 0, 0, 0, 0.06, 0.15, 0.20])
    cold = np.array([0, 0, 0, 0, 0.05, 0.2, 0.35, 0.3, 0.1, 0, 0, 0])
    write(
        folder,
        "energy",
        {
            "building_id": np.array([IDS[k] for k in order], object),
            "energy_status": failed.astype(int),
            "energy_reason": failed.astype(int),
            "conditioned_floor_area": floor,
            "specific_heating_need": specific,
            "specific_cooling_need": specific / 8,
            "annual_heating_need": specific * floor,
            "annual_cooling_need": specific * floor / 8,
            "monthly_heating_need": (specific * floor)[:, None] * share,
            "monthly_cooling_need": (specific * floor / 8)[:, None] * cold,
            "peak_cooling_load": floor * 20.0,
            "overheating_hours": np.array([300, 410, 120, 0, 250]),
        },
        dims={"building": len(order), "month": 12},
        coordinates={},
        configuration=configuration,
    )


def _microclimate(folder: Path, index: Any, configuration: dict[str, Any]) -> None:
    ny, nx = NY // 2, NX // 2
    built = (index.reshape(ny, 2, nx, 2) >= 0).sum(axis=(1, 3)) >= 2
    x, y = WEST + 2 * np.arange(nx) + 1.0, NORTH - 2 * np.arange(ny) - 1.0
    hours = np.arange(24)
    cycle = np.cos((hours - 14.5) / 24 * 2 * np.pi)
    east = (x - WEST)[None, :] / NX + 0 * y[:, None]
    air = 27.0 + 6.0 * cycle[:, None, None] + east
    surface = 30.0 + 18.0 * np.maximum(cycle, -0.3)[:, None, None] + 8.0 * built + east
    ends = np.datetime64("2015-07-15T00:00:00") + (hours + 1) * np.timedelta64(3600, "s")  # local hour 1 ends at 00:00 UTC
    ends = ends - np.timedelta64(3600, "s")
    air_seen = np.where(built, np.nan, air)
    write(
        folder,
        "microclimate",
        {
            "sky_view_factor": np.where(built, 0.95, 0.6),
            "air_temperature": air_seen,
            "surface_temperature": surface,
            "shadow_fraction": np.where(cycle > 0, 0.2, 1.0)[:, None, None] + 0 * air,
            "air_temperature_mean": air_seen.mean(axis=0),
            "air_temperature_maximum": air_seen.max(axis=0),
            "surface_temperature_maximum": surface.max(axis=0),
            "sun_hours": np.where(built, 14.0, 8.0),
        },
        dims={"time": 24, "y": ny, "x": nx},
        coordinates={"x": x, "y": y, "time": ends, "time_bnds": np.stack([ends - np.timedelta64(3600, "s"), ends], axis=1)},
        attrs={"utc_offset": 1.0},
        configuration=configuration,
    )


def _record(folder: Path) -> None:
    city = city_of({"city": {"name": "Small <quarter>", "crs": CRS}, "points": {"files": []}}, folder / "city.toml")
    record = Record(folder)
    record.values |= {
        "started": "2026-01-01T00:00:00Z",
        "city": city.city.name,
        "felsina": "0.1.0",
        "configuration": {**city.scientific(), "execution": city.execution.as_dict()},
        "machine": {"cpu": "test", "cores": 2, "versions": {"numpy": "2"}},
        "world": {"ranks": 2, "threads": 1},
        "policies": [{"path": "tiles/*.laz", "licence": "CC0-1.0", "holder": "A & <B>", "purposes": ["research"]}],
        "notes": ["Wind was <assumed>."],
    }
    for job, product in (
        ("terrain", "terrain"),
        ("buildings", "buildings"),
        ("energy", "energy"),
        ("heatwave", "microclimate"),
    ):
        path = folder / f"{product}.nc"
        record.values["jobs"][job] = {
            "key": "", "product": path.name, "sha256": file_sha256(path), "bytes": path.stat().st_size, "seconds": 1.25,
            "finished": "2026-01-01T00:00:02Z", "timings_s": {"read": [0.5, 0.25]}, "peak_memory_mb": [100.0, 90.0],
            "metrics": {"rows": 6},
        }  # fmt: skip
    assert canonical_json(record.values)
    record.save()


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small run with its thematic city."""
    from felsina.jobs.cli import main

    folder = small_run(tmp_path_factory.mktemp("small") / "run")
    assert main(["city", str(folder), "-q"]) == 0
    return folder
