"""Check of solids: milliseconds a solid, and how the search for crossing faces grows, beside all pairs of triangles.

    FELSINA_DATA=<folder> python benchmarks/solids.py

Processor seconds of one thread, best of several, warm. The solids are those that roofer made of Delft (three levels of detail),
and extrusions of combs with ever more teeth. The reference tests every pair of triangles with the same predicate.
"""

from __future__ import annotations

import gzip
import json
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

from felsina.kernels._backend import rows
from felsina.kernels.geometry.crossing import crossing_pairs
from felsina.kernels.geometry.exact import cross, triangles_meet
from felsina.kernels.geometry.extrusion import extrude_prisms, triangulate_prisms
from felsina.kernels.geometry.facets import triangulate_face
from felsina.kernels.geometry.solids import check_solids

TENTHS = 10.0  # roofer writes tenths of millimetres: 1 mm


def seconds(run: Callable[[], object], repeats: int = 9) -> float:
    run()
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        run()
        best = min(best, time.process_time() - start)
    return best


def solids(path: Path) -> Iterator[tuple[NDArray[np.int64], Any]]:
    with gzip.open(path, "rt") as file:
        next(file)
        for line in file:
            feature = json.loads(line)
            points = np.array(feature["vertices"], np.int64)
            for thing in feature["CityObjects"].values():
                yield from ((points, g["boundaries"][0]) for g in thing.get("geometry", ()) if g["type"] == "Solid")


def flat(points: NDArray[np.int64], shell: Any) -> tuple[NDArray[np.int64], ...]:
    rings = [ring for face in shell for ring in face]
    corners = np.array([v for ring in rings for v in ring], np.int64)
    offsets = [np.cumsum([0, *map(len, parts)]).astype(np.int64) for parts in (rings, shell)]
    return points, corners, *offsets, np.array([0, len(shell)])


def comb(n: int) -> tuple[tuple[NDArray[np.int64], ...], NDArray[np.int64], NDArray[np.int64]]:
    """Return the prism of a comb with n corners, and the Delaunay triangles of its faces."""
    x = np.arange(n // 2) * 1000
    teeth = x // 1000 % 2 * 700
    ring = np.concatenate((np.stack((x, teeth), 1), np.stack((x[::-1], 5000 + teeth), 1))).astype(np.int64)
    one = np.array([0, n]), np.array([0, 1])
    made = extrude_prisms(ring, *one, np.array([0]), np.array([3000]))
    triangles, face, _ = triangulate_prisms(made, ring, *one)
    flat_triangles = np.zeros((n, 3), np.int64)
    level = np.concatenate((ring, np.zeros((n, 1), np.int64)), axis=1)
    n_flat = triangulate_face(level, ring, np.roll(np.arange(n), -1), 0, flat_triangles)
    delaunay = flat_triangles[:n_flat]
    is_wall = (face > 0) & (face <= n)
    triangles = np.concatenate((delaunay[:, ::-1], triangles[is_wall], delaunay + n))
    face = np.concatenate((np.zeros(n_flat, np.int64), face[is_wall], np.full(n_flat, n + 1)))
    return (made.vertices, made.face_rings, made.ring_offsets, made.face_offsets, made.solid_offsets), triangles, face


@rows
def all_pairs(p, triangles, face):
    normals = np.empty((len(triangles), 3), np.int64)
    for t in range(len(triangles)):
        normals[t, 0], normals[t, 1], normals[t, 2] = cross(p, triangles[t, 0], triangles[t, 1], triangles[t, 2])
    n = 0
    for t in range(len(triangles)):
        for u in range(t):
            n += face[t] != face[u] and triangles_meet(p, triangles, normals, t, u)
    return n


def main() -> None:
    path = Path(os.environ["FELSINA_DATA"]) / "lidar" / "peer_outputs" / "delft_roofer_1.1.0b1.city.jsonl.gz"
    models = [flat(*solid) for solid in solids(path)]
    sizes = np.array([len(m[3]) - 1 for m in models])
    took = np.array([seconds(partial(check_solids, *m, planarity_mm=TENTHS), 3) for m in models]) * 1e3
    print(f"Delft by roofer, {len(models)} solids: {took.mean():.3f} ms a solid, worst {took.max():.3f} ms")
    for low, high in ((5, 10), (15, 24), (24, 27), (40, 80), (100, 200)):
        chosen = (sizes >= low) & (sizes < high)
        print(f"  {low:3}-{high - 1:3} faces: median {np.median(took[chosen]):.3f} ms of {chosen.sum()} solids")
    print("Combs: whole check; crossing faces alone; all pairs of triangles; ratio")
    for n in (50, 100, 200, 500, 1000, 2000):
        arrays, triangles, face = comb(n)
        whole = seconds(partial(check_solids, *arrays), 5)
        tree = seconds(partial(crossing_pairs, arrays[0], triangles, face, False), 5)
        pairs = seconds(partial(all_pairs, arrays[0], triangles, face), 1)
        print(f"  {n + 2:5} faces: {whole * 1e3:8.2f} {tree * 1e3:8.2f} {pairs * 1e3:9.2f} ms {pairs / tree:7.1f}")


if __name__ == "__main__":
    main()
