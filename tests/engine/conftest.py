"""A small run with every product, as any number of ranks, tiles and write orders may write it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from felsina.engine.fields import Field
from felsina.engine.grid import Grid
from felsina.engine.io.results import ProductWriter
from felsina.engine.parallel.world import World
from felsina.engine.schema import rows

N_BUILDING, N_TIME = 5, 3
GRID = Grid("EPSG:7791", 685_000.0, 4_929_600.0, 2.0, 150, 130)
TIME = np.datetime64("2015-07-14T23:00:00") + np.arange(1, N_TIME + 1) * np.timedelta64(1, "h")
BOUNDS = np.stack([TIME - np.timedelta64(1, "h"), TIME], axis=1)
SIZES = {"y": GRID.ny, "x": GRID.nx, "time": N_TIME, "building": N_BUILDING, "month": 12, "surface": 6 * N_BUILDING, "tree": 4}


def boxes_mesh(n: int):
    """n cubes of 8 m: points (8n, 3), faces (12n, 3), building, surface and surface type of each face."""
    corner = np.array([[x, y, z] for z in (0, 8) for y in (0, 8) for x in (0, 8)], float)
    quads = [(0, 2, 3, 1), (4, 5, 7, 6), (0, 1, 5, 4), (1, 3, 7, 5), (3, 2, 6, 7), (2, 0, 4, 6)]
    faces = np.array([t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))])
    points = np.concatenate(
        [corner + np.array([685_010.1234 + 20 * k, 4_929_500.0, 50.0]) for k in range(n)] or [np.zeros((0, 3))]
    )
    owner = np.repeat(np.arange(n), 12)
    surface = np.repeat(np.arange(6 * n), 2)
    kind = np.tile(np.repeat([0, 2, 1, 1, 1, 1], 2), n)
    return points, (faces[None] + 8 * np.arange(n)[:, None, None]).reshape(-1, 3), owner, surface, kind


def values_of(field: Field, sizes: dict[str, int] = SIZES) -> np.ndarray:
    """Values of a field that depend on its name and place alone and keep within its limits."""
    shape = tuple(sizes[d] for d in field.dims)
    if field.dtype == "str":
        return np.array([f"{field.name[:3]}-è-{k % 7}" * (1 + k % 2) for k in range(shape[0])], object)
    rng = np.random.default_rng(sum(field.name.encode()))
    if field.name.endswith(("_status", "_reason")):
        # Rows succeed in turn; those that do not have the first reason.
        return np.arange(shape[0]) % 2
    if field.flags:
        return rng.choice([k for k in field.flags if k >= 0], shape)
    if field.name.endswith("_building"):
        return np.arange(shape[0]) * sizes["building"] // max(1, shape[0])
    if field.dtype.startswith("i"):
        high = {"building_index": N_BUILDING - 1}.get(field.name, min(field.high or 90, 90))
        return rng.integers(0, int(high) + 1, shape)
    values = rng.uniform(0.0, min(1.0, field.high or 1.0), shape)
    if "y" in field.dims:
        values[..., 3, 1] = np.nan
        values[..., 2, 1] = -0.0
    return values


def windows(shape: tuple[int, ...], cut: int):
    """Regions that cover a field; other cuts for other `cut`."""
    edges = [sorted({0, n, *(n * k // (cut + 1) for k in range(1, cut + 1))}) for n in shape]
    for index in np.ndindex(*(len(e) - 1 for e in edges)):
        yield tuple(slice(e[i], e[i + 1]) for e, i in zip(edges, index))


@dataclass
class Maker:
    """Writes products; `cut` and `seed` choose tiling and order, `world` and `writer` who writes how."""

    n_building: int = N_BUILDING

    def writer(self, world: World, directory: Path, product: str, **options) -> ProductWriter:
        sizes = {**SIZES, "building": self.n_building, "surface": 6 * self.n_building}
        used = {d for f in rows(product).values() for d in f.dims} & set(sizes)
        coordinates = {"x": GRID.x, "y": GRID.y, "time": TIME}
        coordinates = {k: v for k, v in coordinates.items() if k in used}
        if "time" in used:
            coordinates["time_bnds"] = BOUNDS
        defaults = {"attrs": {"utc_offset": 1.0, "institution": "Città"}, "configuration": {"terrain": {"resolution_m": 2.0}}}
        defaults["inputs"] = {"tile.laz": "0" * 64}
        return ProductWriter(
            world,
            directory,
            product,
            dims={d: sizes[d] for d in sizes if d in used},
            crs="EPSG:7791",
            coordinates=coordinates,
            **{**defaults, **options},
        )

    def fill(self, made: ProductWriter, *, cut: int = 0, seed: int = 0, leave_out: tuple[str, ...] = ()) -> ProductWriter:
        world = made._world
        sizes = {**SIZES, "building": self.n_building, "surface": 6 * self.n_building}
        jobs = []
        for field in rows(made.product).values():
            if field.name in leave_out or "mesh_face" in field.dims:
                continue
            values = values_of(field, sizes)
            if not values.size:
                made.write(field.name, values)
            jobs += [(field.name, values[w], [s.start for s in w]) for w in windows(values.shape, cut)]
        order = np.random.default_rng(seed).permutation(len(jobs)) if seed else np.arange(len(jobs))
        for place, k in enumerate(order):
            if place % world.size == world.rank:
                made.write(*jobs[k])
        if made.product in ("buildings", "city"):
            points, faces, owner, surface, kind = boxes_mesh(self.n_building)
            face_fields = {"mesh_face_building": owner, "mesh_face_surface": surface, "mesh_face_surface_type": kind}
            heat = {}
            if made.product == "city":
                heat = {"annual_heating_need": np.arange(self.n_building) * 10.0}
                heat["heating_load"] = np.arange(N_TIME)[:, None] * 100.0 + np.arange(self.n_building)
            made.mesh(points, faces, face_fields, heat)
        return made

    def make(self, world: World, directory: Path, product: str, *, cut=0, seed=0, leave_out=(), **options) -> Path:
        return self.fill(self.writer(world, directory, product, **options), cut=cut, seed=seed, leave_out=leave_out).publish()


@pytest.fixture(scope="session")
def maker() -> Maker:
    return Maker()


@pytest.fixture(scope="session")
def no_buildings() -> Maker:
    return Maker(n_building=0)


@pytest.fixture(scope="session")
def small_run(maker, tmp_path_factory) -> Path:
    """A run directory with every product, written by one rank."""
    directory = tmp_path_factory.mktemp("small_run")
    for product in ("terrain", "buildings", "energy", "microclimate", "city"):
        maker.make(World.serial(), directory, product)
    return directory
