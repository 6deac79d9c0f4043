"""Speed of sky view and beam shadow in pixels per core-second, on the Athens surface model or on a generated city.

    FELSINA_DATA=../shared/data python benchmarks/horizon.py

References in the same terms: SOLWEIG (Rust) 29.5 kpx per core-second for its sky view; the scalar march this replaces 39 at 64
azimuths; target 40 at 64 and 80 at 32.
"""

from __future__ import annotations

import os
from pathlib import Path

import numba
import numpy as np
from triad import best_time, triad_bandwidth

from felsina.kernels.radiation.obstacles import block_cells, obstacles
from felsina.kernels.radiation.rays import even_azimuths, ray_tables
from felsina.kernels.radiation.shadow import sun_visible
from felsina.kernels.radiation.skyview import sky_view


def city(n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Return a generated city (heights [m], building mask): blocks of 24 m, streets of 8-16 m, towers here and there."""
    rng = np.random.default_rng(7)
    z, building = np.zeros((n, n), np.float32), np.zeros((n, n), bool)
    for j in range(4, n - 24, 36):
        for i in range(4, n - 24, 34):
            h = rng.choice([9.0, 12.0, 18.0, 24.0, 60.0], p=[0.3, 0.3, 0.25, 0.13, 0.02])
            z[j : j + 24, i : i + 24], building[j : j + 24, i : i + 24] = h, True
    return z, building


def scene() -> tuple[str, np.ndarray, np.ndarray]:
    folder = Path(os.environ.get("FELSINA_DATA", "../shared/data")) / "heat" / "athens_2023_heatwave"
    if not (folder / "DSM.tif").exists():
        return ("generated", *city())
    import rasterio

    with rasterio.open(folder / "DSM.tif") as dsm, rasterio.open(folder / "DEM.tif") as dem:
        z, ground = dsm.read(1).astype(np.float32), dem.read(1).astype(np.float32)
    return "Athens", z, z - ground > 2.0


def main() -> None:
    numba.set_num_threads(1)
    name, z, building = scene()
    block = block_cells(z, building)
    print(f"{name} {z.shape[0]} x {z.shape[1]} px at 1 m, {block.mean():.2f} block cells, 1 thread, CPU time")
    print(f"triad {triad_bandwidth() / 1e9:.1f} GB/s")
    t = best_time(lambda: obstacles(z, block, 1.0, 400.0), 3)
    print(f"preparation of the obstacles, once: {z.size / t / 1e6:.0f} Mpx/core-s")
    for n_azimuth, target in ((64, 40), (32, 80)):
        for distance in (400.0, 1000.0):
            city_heights, rays = obstacles(z, block, 1.0, distance), ray_tables(even_azimuths(n_azimuth), 1.0, distance)
            t = best_time(lambda o=city_heights, r=rays: sky_view(o, r), 2)  # type: ignore[misc]
            rate = z.size / t / 1e3
            print(f"sky view N={n_azimuth} to {distance:.0f} m: {rate:.0f} kpx/core-s = {rate / target:.1f} x target {target}")
    tree = np.where(building, np.nan, z + 8.0).astype(np.float32)
    tree[(np.indices(z.shape).sum(axis=0) // 6) % 5 > 0] = np.nan
    with_trees, rays = obstacles(z, block, 1.0, 400.0, tree, tree - 5), ray_tables(even_azimuths(32), 1.0, 400.0)
    t = best_time(lambda: sky_view(with_trees, rays), 2)
    print(f"sky view N=32 to 400 m with crowns: {z.size / t / 1e3:.0f} kpx/core-s")
    bare, ray = obstacles(z, block, 1.0, 2000.0), ray_tables([2.4], 1.0, 2000.0)
    for elevation in (10.0, 30.0, 60.0):
        t = best_time(lambda e=elevation: sun_visible(bare, ray, np.radians(e)), 3)  # type: ignore[misc]
        print(f"beam shadow at {elevation:.0f} degrees: {z.size / t / 1e6:.2f} Mpx/core-s")


if __name__ == "__main__":
    main()
