"""Speed of horizons, of the sun's year on surfaces and of glass, on a generated city of gable houses or on a run.

    python benchmarks/surface_sun.py [RUN]

RUN is a folder with terrain.nc and buildings.nc. Targets: 60,000 buildings of 25 surfaces within minutes of one core, and the
hours of their year within 15 s per core; the reference is the sun of every sub-step without representative days.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numba
import numpy as np
from triad import best_time, triad_bandwidth

from felsina.engine.processes.surface_sun import (
    Terrain,
    element_irradiance,
    shade_elements,
    terrain_model,
    year_shading,
)
from felsina.kernels.energy.glazing import panes, solve_glazing, window_numbers
from felsina.kernels.radiation.devices import sunlit_fraction, window_devices
from felsina.kernels.radiation.surface_light import wall_light, window_light
from felsina.kernels.radiation.transposition import mean_sky, sky_states

CITY = 60_000  # buildings
PLACE = math.radians(44.49), math.radians(11.34)
DISTANCE = 200.0  # m


def generated(n: int = 20) -> tuple[Terrain, tuple, tuple]:  # type: ignore[type-arg]
    """Return n x n gable houses of seven faces, 10 x 12 m, streets of 8 and 6 m, on a raster of half a metre."""
    random = np.random.default_rng(7)
    side = 36 * n
    z, index = np.zeros((side, side), np.float32), np.full((side, side), -1, np.int32)
    vertices, triangles, of, rows = [], [], [], []
    for b in range(n * n):
        x0, y0, e = 4.0 + 18 * (b % n), 3.0 + 18 * (b // n), random.uniform(6, 24)
        x1, y1, m, r = x0 + 10, y0 + 12, x0 + 5, e + 3
        south = [(x0, y0, 0), (x1, y0, 0), (x1, y0, e), (m, y0, r), (x0, y0, e)]
        v = [*south, *((x, y1, h) for x, _, h in south)]
        faces = [
            (0, (0, 5, 6, 1), 120, 180, 0),
            (1, (0, 1, 2, 3, 4), 10 * e + 15, 90, 180), (1, (9, 8, 7, 6, 5), 10 * e + 15, 90, 0),
            (1, (1, 6, 7, 2), 12 * e, 90, 90), (2, (2, 7, 8, 3), 12 * math.hypot(5, 3), 31, 90),
            (2, (3, 8, 9, 4), 12 * math.hypot(5, 3), 31, 270), (1, (4, 9, 5, 0), 12 * e, 90, 270),
        ]  # fmt: skip
        for kind, at, area, tilt, azimuth in faces:
            triangles += [(10 * b + at[0], 10 * b + at[k], 10 * b + at[k + 1]) for k in range(1, len(at) - 1)]
            of += [len(rows)] * (len(at) - 2)
            rows.append((b, kind, area, 0.0, tilt, azimuth))
        vertices += v
        cells = slice(int(side - 2 * y1), int(side - 2 * y0)), slice(int(2 * x0), int(2 * x1))
        z[cells], index[cells] = e + 1.5, b
    terrain = terrain_model(z, np.zeros_like(z), index, (0.0, side / 2), 0.5, DISTANCE)
    mesh = np.array(vertices, float), np.array(triangles), np.array(of)
    return terrain, tuple(np.array(c) for c in zip(*rows, strict=True)), mesh


def of_run(folder: Path) -> tuple[Terrain, tuple, tuple]:  # type: ignore[type-arg]
    """Read rasters, surfaces and mesh of a run."""
    import h5py

    with h5py.File(folder / "buildings.nc") as f:
        surfaces = tuple(f[f"surface_{n}"][...] for n in ("building", "type", "area", "party_area", "tilt", "azimuth"))
        nodes = np.stack([f[f"mesh_node_{c}"][...] for c in "xyz"], axis=1)
        mesh = nodes, f["mesh_face_nodes"][...], f["mesh_face_surface"][...]
    with h5py.File(folder / "terrain.nc") as f:
        g = f["terrain"]
        x, y = g["x"][...], g["y"][...]
        names = ["surface_elevation", "ground_elevation", "building_index", "canopy_height"]
        surface, ground, index, canopy = (g[n][...] for n in names)
        base = g["canopy_base_height"][...] if "canopy_base_height" in g else None
    r = float(x[1] - x[0])
    corner = float(x[0]) - r / 2, float(y.max()) + r / 2
    return terrain_model(surface, ground, index, corner, r, DISTANCE, canopy, base), surfaces, mesh


def main() -> None:
    numba.set_num_threads(1)
    name = sys.argv[1] if len(sys.argv) > 1 else "generated"
    terrain, surfaces, mesh = of_run(Path(name)) if len(sys.argv) > 1 else generated()
    n_building, n_surface = len(np.unique(surfaces[0])), len(surfaces[0])
    elements, points = shade_elements(terrain, surfaces, mesh)
    print(f"{name}: {n_building} buildings, {n_surface} surfaces, {len(points.weight)} points, {len(elements.area)} elements")
    print(f"triad {triad_bandwidth() / 1e9:.1f} GB/s, 1 thread, CPU time")
    for n_azimuth in (32, 64):
        t = best_time(lambda n=n_azimuth: shade_elements(terrain, surfaces, mesh, n), 2)  # type: ignore[misc]
        city = 25 * CITY / (n_surface / t)
        print(f"horizons and views, {n_azimuth} azimuths: {n_surface / t:,.0f} surfaces/core-s, city {city:.0f} core-s")
    end = 5478.5 + np.arange(1, 8761) / 24
    up = np.maximum(0, np.sin((np.arange(8760) % 24 - 6) / 12 * math.pi))
    sky = sky_states(end, 3600.0, *PLACE, 600 * up, 100 * up, 300 * up)
    reference = best_time(lambda: element_irradiance(sky, points, elements), 2)
    print(f"every sub-step of the year (reference): {n_building / reference:,.0f} building-years/core-s")
    for days in (1, 3, 7, 14):
        t = best_time(lambda d=days: year_shading(points, elements.normal, end, 3600.0, *PLACE, d), 2)  # type: ignore[misc]
        rows = year_shading(points, elements.normal, end, 3600.0, *PLACE, days).projected
        print(
            f"sunlit shares, {days} days alike: {n_building / t:,.0f} building-years/core-s = {reference / t:.1f} x reference, "
            f"{rows.nbytes / n_building / 1024:.0f} KiB a building"
        )
    shading = year_shading(points, elements.normal, end, 3600.0, *PLACE)
    mean, view = mean_sky(sky), (shading.row, shading.projected)
    t = best_time(lambda: wall_light(mean, *view, elements.views), 3)
    print(f"stream of walls: {len(elements.area) * len(end) / t / 1e6:.0f} M element-hours/core-s")
    glass = list(window_numbers(solve_glazing(panes([0.834] * 2, [0.075] * 2, [0.075] * 2, [False] * 2))).values())
    at = np.arange(min(400, len(elements.area)))
    windows = np.tile(glass, (len(at), 1))
    t = best_time(lambda: window_light(mean, *view, elements.normal, elements.views, at, windows), 3)
    print(f"stream of windows: {len(at) * len(end) / t / 1e6:.0f} M window-hours/core-s")
    layers = panes([0.834] * 3, [0.075] * 3, [0.075] * 3, [False] * 3)
    print(f"glazing of three panes: {1e3 * best_time(lambda: solve_glazing(layers), 3):.2f} ms, once per construction")
    window = window_devices(3.0, np.full(100, 2.0), 1.0, 0.5, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.5)
    sun = sky[:, 0, :3] / np.maximum(sky[:, 0, 3:4], 1e-9)
    t = best_time(lambda: sunlit_fraction(sun, math.pi, window), 2)
    print(f"overhang and two fins: {100 * (up > 0).sum() / t / 1e6:.2f} M window-hours/core-s")


if __name__ == "__main__":
    main()
