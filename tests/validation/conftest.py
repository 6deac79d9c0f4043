"""Buildings of the published scenes and of the built-in district, one cloud each, from an origin of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import laspy
import numpy as np
import pytest
import shapely
from numpy.typing import NDArray

from felsina.engine.district.scene import build_district
from felsina.engine.io.vector import clean_polygons, read_footprints
from felsina.kernels.geometry.solids import check_solids

GROUND, BUILDING = 2, 6
AROUND_MM = 4000  # ground is looked for this far around a footprint


class Cloud(NamedTuple):
    """Points (n, 3) of a building and rings of its parts [mm] from an origin of its own; height of the ground [mm]."""

    name: str
    points: NDArray[np.int64]
    parts: list[list[NDArray[np.int64]]]
    ground: int

    @property
    def shape(self) -> shapely.MultiPolygon:
        return shapely.MultiPolygon([shapely.Polygon(rings[0], rings[1:]) for rings in self.parts])


def cloud_of(name: str, geometry: shapely.Geometry, points: NDArray[np.int64], ground: int) -> Cloud | None:
    """Return the points [mm] inside a footprint [m] that is repaired as felsina does; None where that cannot be done."""
    parts, reason, _ = clean_polygons(geometry)
    if reason != "none":
        return None
    rings = [[np.rint(np.asarray(r.coords)[:-1] * 1000).astype(np.int64) for r in (p.exterior, *p.interiors)] for p in parts]
    origin = np.concatenate([r for part in rings for r in part]).min(axis=0)
    inside = shapely.intersects_xy(shapely.MultiPolygon(parts), points[:, 0] / 1000, points[:, 1] / 1000)
    return Cloud(name, points[inside] - (*origin, 0), [[r - origin for r in part] for part in rings], ground)


def read_las(files: list[Path]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Return positions [mm] and classes."""
    clouds = [laspy.read(file) for file in files]
    positions = [np.rint(np.stack((c.x, c.y, c.z), axis=1) * 1000).astype(np.int64) for c in clouds]
    return np.concatenate(positions), np.concatenate([np.asarray(c.classification) for c in clouds])


def scene_clouds(files: list[Path], footprints: Path, crs: str, column: str | None) -> Iterator[Cloud]:
    """Yield the buildings of a classified scene that have points; the ground is a low percentile around them."""
    points, classes = read_las(files)
    roofs, bare = points[classes == BUILDING], points[classes == GROUND]
    found = read_footprints(footprints, crs, column)
    for name, parts in zip(found.ids, found.geometry, strict=True):
        shape = shapely.MultiPolygon(parts)
        bounds = np.array(shape.bounds) * 1000
        around = np.sort(_near(bare, bounds, AROUND_MM)[:, 2])
        mine = _near(roofs, bounds, 0)
        ground = int(around[len(around) // 20]) if len(around) else int(mine[:, 2].min(initial=3000)) - 3000
        cloud = cloud_of(str(name), shape, mine, ground)
        if cloud is not None:
            yield cloud


def _near(cloud: NDArray[np.int64], bounds: NDArray[np.float64], reach: int) -> NDArray[np.int64]:
    xy = cloud[:, :2]
    return cloud[((xy >= bounds[:2] - reach) & (xy <= bounds[2:] + reach)).all(axis=1)]


@pytest.fixture(scope="session")
def delft_clouds(felsina_data) -> list[Cloud]:
    folder = felsina_data / "lidar" / "3dfier_delft_ahn3"
    files = [folder / "ahn3_cropped_1.laz", folder / "ahn3_cropped_2.laz"]
    return list(scene_clouds(files, folder / "bgt_pand.sqlite", "EPSG:28992", "gml_id"))


def read_ply(path: Path) -> NDArray[np.int64]:
    """Return the positions [mm] of a binary PLY file."""
    data = path.read_bytes()
    start = data.index(b"end_header\n") + len(b"end_header\n")
    kinds = {"float": "<f4", "uchar": "u1", "int": "<i4", "double": "<f8"}
    columns, n, is_vertex = [], 0, False
    for words in map(str.split, data[:start].decode("latin-1").splitlines()):
        if words[0] == "element":
            is_vertex = words[1] == "vertex"
            n = int(words[2]) if is_vertex else n
        elif words[0] == "property" and is_vertex:
            columns.append((words[2], kinds[words[1]]))
    rows = np.frombuffer(data, np.dtype(columns), n, start)
    return np.rint(np.stack([rows[axis].astype(float) for axis in "xyz"], axis=1) * 1000).astype(np.int64)


def read_obj(path: Path) -> tuple[NDArray[np.float64], list[list[int]]]:
    """Return vertices [m] and faces of an OBJ file."""
    vertices, faces = [], []
    for words in map(str.split, path.read_text().splitlines()):
        if words[:1] == ["v"]:
            vertices.append([float(w) for w in words[1:4]])
        elif words[:1] == ["f"]:
            faces.append([int(w.partition("/")[0]) - 1 for w in words[1:]])
    return np.array(vertices), faces


def city3d_cloud(ply: Path, obj: Path) -> Cloud:
    """Return a building of City3D: its footprint is the plan of the published model."""
    points, (vertices, faces) = read_ply(ply), read_obj(obj)
    polygons = [shapely.Polygon(vertices[f][:, :2]) for f in faces if len(f) >= 3]
    plan = shapely.union_all([p.buffer(0) for p in polygons if p.is_valid and p.area > 1e-4], grid_size=0.001)
    plan = plan.buffer(0.01, join_style="mitre").buffer(-0.01, join_style="mitre")
    ground = int(min(vertices[:, 2].min() * 1000, points[:, 2].min() + 2000)) - 3000
    cloud = cloud_of(f"{ply.parent.name}/{ply.stem}", plan, points, ground)
    assert cloud is not None, ply
    return cloud


@pytest.fixture(scope="session")
def city3d_files(felsina_data) -> list[tuple[Path, Path]]:
    """PLY and OBJ of the published buildings: AHN3, Vaihingen, and example 001, of which the footprint alone is published."""
    folder = felsina_data / "lidar" / "city3d"
    files = [(p, p.with_suffix(".obj")) for name in ("AHN3", "Vaihingen") for p in sorted((folder / name).glob("*.ply"))]
    if not files:
        pytest.skip("no City3D data in FELSINA_DATA")
    return [*files, (folder / "001.ply", folder / "001_footprint.obj")]


@pytest.fixture(scope="session")
def city3d_clouds(city3d_files) -> list[Cloud]:
    return [city3d_cloud(*pair) for pair in city3d_files]


@pytest.fixture(scope="session")
def district_clouds() -> list[Cloud]:
    """Buildings of the district, sampled at 10 points/m2 with 3 cm of noise."""
    district = build_district(256.0, 1)
    random = np.random.default_rng(1)
    clouds = []
    for k, building in enumerate(district.buildings):
        shape = shapely.Polygon(building.ring)
        west, south, east, north = shape.bounds
        n = int(10 * (east - west) * (north - south))
        x, y, z = random.uniform(west, east, n), random.uniform(south, north, n), np.full(n, np.nan)
        for ring, plane in zip(
            district.prism_ring[district.prism_building == k], district.prism_plane[district.prism_building == k], strict=True
        ):
            on = shapely.contains_xy(shapely.Polygon(ring), x, y)
            z[on] = plane[0] * x[on] + plane[1] * y[on] + plane[2]
        seen = np.isfinite(z)
        points = np.rint(np.stack((x, y, z + random.normal(0, 0.03, n)), axis=1)[seen] * 1000).astype(np.int64)
        cloud = cloud_of(building.building_id, shape, points, round(district.ground[k] * 1000))
        assert cloud is not None
        clouds.append(cloud)
    return clouds


@pytest.fixture(scope="session", name="cloud_of")
def cloud_of_fixture():
    """`cloud_of(name, geometry, points, ground)`: the points inside a repaired footprint."""
    return cloud_of


@pytest.fixture(scope="session")
def codes_of():
    """`codes_of(building)`: level -> codes of the ISO 19107 check of its solids."""

    def codes(building) -> dict[str, list[int]]:
        found = {}
        for lod, solids in building.solids.items():
            offsets = [np.array([0, len(s.face_type)], np.int64) for s in solids]
            found[lod] = [
                int(check_solids(s.vertices, s.face_rings, s.ring_offsets, s.face_offsets, o)[0])
                for s, o in zip(solids, offsets, strict=True)
            ]
        return found

    return codes
