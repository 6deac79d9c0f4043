"""Roofs: accuracy, validity and speed of all buildings of a scene beside roofer's published model of it.

    FELSINA_DATA=<folder> python benchmarks/reconstruction.py [delft|ign] [--keep 0.25] [--shuffle 1] [--crop] [--out FILE]

Points of the building class in each footprint, ground from the returns around it. RMSE of these points to the roof faces and to
all faces of the solid, per building, percentiles over buildings; median number of faces; solids that the ISO 19107 check
accepts; processor milliseconds a building by stage and buildings a second on one thread, the three levels of detail together,
reading counted apart. roofer 1.1.0-beta.1 gave on Delft 0.458/1.225 m (roof), 0.188/0.480 m (solid), 20 faces, 43 buildings a
second on the machine it was measured on; its model is measured here by the same routine where the data folder has it.
`--keep` thins the cloud, `--shuffle` permutes it, `--crop` gives each building a cloud of its own: the bytes must not change.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import laspy
import numpy as np
from numpy.typing import NDArray

from felsina.engine.io.cityjson import Feature, Solid, write_cityjsonseq
from felsina.engine.io.vector import Footprints, read_footprints
from felsina.engine.processes import reconstruction, roof_ladder
from felsina.engine.processes.buildings import GROUND_REACH_MM, ground_of_returns
from felsina.kernels.geometry.extrusion import ROOF
from felsina.kernels.geometry.membership import locate_points_in_all, locate_points_nearby
from felsina.kernels.geometry.roof_solid import RoofSolid
from felsina.kernels.geometry.solids import check_solids
from felsina.kernels.geometry.triangulation import triangulate

SCENES: dict[str, tuple[list[str], str, str, str, str]] = {
    "delft": (
        ["3dfier_delft_ahn3/ahn3_cropped_1.laz", "3dfier_delft_ahn3/ahn3_cropped_2.laz"],
        "peer_outputs/delft_pand.gpkg",
        "EPSG:28992",
        "gml_id",
        "peer_outputs/delft_roofer_1.1.0b1.city.jsonl.gz",
    ),
    "ign": (
        ["ign_lidarhd/870000_6618000.postValidation.laz"],
        "peer_outputs/ign_fp.gpkg",
        "EPSG:2154",
        "fid",
        "peer_outputs/ign_roofer_1.1.0b1.city.jsonl.gz",
    ),
}
STAGES = {
    "sorting": ("canonical_order",),
    "neighbours, normals": ("find_neighbours",),
    "planes": ("detect_planes",),
    "lines": ("find_roof_lines",),
    "arrangement": ("arrange",),
    "costs": ("locate_points_in_faces", "data_costs", "smoothness_costs", "face_centroids"),
    "labels": ("label_faces",),
    "partition": ("dissolve", "tidy"),
    "solids": ("build_solid",),
    "ISO 19107 check": ("check_solids",),
}
STOREY_MM = 3000  # below the lowest roof point, where no ground is seen
MOST_POINTS = 400  # of a building that are measured, every k-th: as many as the published figures rest on
BUILDING, GROUND = 6, 2


def read_points(files: list[Path]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Return positions [mm] and classes."""
    positions, classes = [], []
    for file in files:
        cloud = laspy.read(file)
        positions.append(np.rint(np.stack((cloud.x, cloud.y, cloud.z), axis=1) * 1000).astype(np.int64))
        classes.append(np.asarray(cloud.classification))
    return np.concatenate(positions), np.concatenate(classes)


def squared_distances(points: NDArray[np.float64], triangles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the least squared distance of each point (n, 3) to triangles (m, 3, 3): to their planes, then to their edges."""
    least = np.full(len(points), np.inf)
    for a, b, c in triangles:
        normal = np.cross(b - a, c - a)
        size = float(normal @ normal)
        if size < 1e-12:
            continue
        height = (points - a) @ normal
        inside = np.ones(len(points), bool)
        distance = np.full(len(points), np.inf)
        for p, q in ((a, b), (b, c), (c, a)):
            inside &= (points - p) @ np.cross(normal, q - p) >= 0
            t = np.clip((points - p) @ (q - p) / float((q - p) @ (q - p)), 0, 1)
            distance = np.minimum(distance, ((points - p - t[:, None] * (q - p)) ** 2).sum(axis=1))
        least = np.minimum(least, np.where(inside, height**2 / size, distance))
    return least


def face_triangles(vertices: NDArray[np.int64], rings: list[list[int]]) -> NDArray[np.float64]:
    """Return the triangles (n, 3, 3) [m] of a face by dropping the axis that it is seen largest along."""
    p = vertices[rings[0]].astype(float)
    q = np.roll(p, -1, axis=0)
    normal = np.cross(p - p[0], q - p[0]).sum(axis=0)
    axis = int(np.abs(normal).argmax())
    kept = [(1, 2), (2, 0), (0, 1)][axis]
    ids = np.concatenate([np.array(r, np.int64) for r in rings])
    xy = vertices[ids][:, kept].copy()
    if normal[axis] < 0:
        xy[:, 0] *= -1
    offsets = np.cumsum([0, *map(len, rings)]).astype(np.int64)
    corners, _, is_complete = triangulate(np.ascontiguousarray(xy), offsets, np.array([0, len(rings)], np.int64))
    if not is_complete[0]:
        corners = np.array([(0, k, k + 1) for k in range(1, len(rings[0]) - 1)])
    return vertices[ids[corners]] / 1000.0


Faces = tuple[NDArray[np.int64], list[list[list[int]]], list[bool]]  # vertices [mm], rings of each face, is it a roof


def faces_of(solid: RoofSolid) -> Faces:
    """Return the faces of a solid of ours."""
    rings = [solid.face_rings[a:b].tolist() for a, b in itertools.pairwise(solid.ring_offsets)]
    faces = [rings[a:b] for a, b in itertools.pairwise(solid.face_offsets)]
    return solid.vertices, faces, (solid.face_type == ROOF).tolist()


def rmse(parts: list[Faces], points: NDArray[np.int64]) -> tuple[float, float, int]:
    """Return the RMSE [m] of points to roofs and to all faces, and the number of faces."""
    sample = points[:: max(1, -(-len(points) // MOST_POINTS))] / 1000.0
    roofs, others = [], []
    for vertices, faces, is_roof in parts:
        for rings, up in zip(faces, is_roof, strict=True):
            (roofs if up else others).append(face_triangles(vertices, rings))
    roof = squared_distances(sample, np.concatenate(roofs))
    solid = np.minimum(roof, squared_distances(sample, np.concatenate(others)))
    return float(np.sqrt(roof.mean())), float(np.sqrt(solid.mean())), len(roofs) + len(others)


def peer_faces(path: Path, lod: str) -> dict[str, list[Faces]]:
    """Return the solids of a CityJSONSeq by building, in the millimetres of the CRS."""
    found: dict[str, list[Faces]] = {}
    transform: dict[str, Any] = {}
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            data = json.loads(line)
            transform = data.get("transform", transform)
            if data["type"] != "CityJSONFeature":
                continue
            metres = np.array(data["vertices"], float) * transform["scale"] + transform["translate"]
            vertices = np.rint(metres * 1000).astype(np.int64)
            for part in data["CityObjects"].values():
                for geometry in part.get("geometry", []):
                    if geometry["type"] == "Solid" and geometry["lod"] == lod:
                        names = [s["type"] for s in geometry["semantics"]["surfaces"]]
                        up = [v is not None and names[v] == "RoofSurface" for v in geometry["semantics"]["values"][0]]
                        found.setdefault(data["id"], []).append((vertices, geometry["boundaries"][0], up))
    return found


class Scene:
    """Points by building, ground and footprints of a scene."""

    def __init__(self, name: str, keep: float = 1.0, shuffle: int | None = None) -> None:
        data = Path(os.environ.get("FELSINA_DATA", "../shared/data")) / "lidar"
        files, footprints, self.crs, column, peer = SCENES[name]
        self.peer = data / peer
        start = time.process_time()
        points, classes = read_points([data / f for f in files])
        self.reading = time.process_time() - start
        random = np.random.default_rng(1 if shuffle is None else shuffle)
        if keep < 1.0:
            chosen = random.random(len(points)) < keep
            points, classes = points[chosen], classes[chosen]
        if shuffle is not None:
            order = random.permutation(len(points))
            points, classes = points[order], classes[order]
        self.footprints: Footprints = read_footprints(data / footprints, self.crs, None if column == "fid" else column)
        self.points, self.classes = points, classes

    def cropped(self) -> tuple[list[NDArray[np.int64]], NDArray[np.int64]]:
        """Do as `shared` with a cloud for each building that ends 10 m from it."""
        clouds, ground = [], np.empty(len(self.footprints), np.int64)
        for i, parts in enumerate(self.footprints.geometry):
            if not parts:
                clouds.append(np.empty((0, 3), np.int64))
                continue
            bounds = np.array([p.bounds for p in parts]) * 1000
            low, high = bounds[:, :2].min(axis=0) - 10_000, bounds[:, 2:].max(axis=0) + 10_000
            near = ((self.points[:, :2] >= low) & (self.points[:, :2] <= high)).all(axis=1)
            one, base = self.shared(self.points[near], self.classes[near])
            clouds.append(one[i])
            ground[i] = base[i]
        return clouds, ground

    def shared(self, cloud: NDArray[np.int64], classes: NDArray[np.uint8]) -> tuple[list[NDArray[np.int64]], NDArray[np.int64]]:
        """Return the building points of each footprint, and its ground [mm]."""
        flat = self.footprints.polygons()
        n = len(self.footprints)
        points = cloud[classes == BUILDING]
        xy = np.ascontiguousarray(points[:, :2])
        offsets, owner = locate_points_in_all(xy, flat.xy, flat.ring_offsets, flat.shape_offsets)
        row = np.repeat(np.arange(len(points)), np.diff(offsets))
        order = np.argsort(owner, kind="stable")
        cuts = np.searchsorted(owner[order], np.arange(n + 1))
        gathered = points[row[order]]
        clouds = [gathered[a:b] for a, b in itertools.pairwise(cuts)]
        bare = cloud[classes == GROUND]
        near, members = locate_points_nearby(
            np.ascontiguousarray(bare[:, :2]), GROUND_REACH_MM, flat.xy, flat.ring_offsets, flat.shape_offsets
        )
        otherwise = np.array([int(c[:, 2].min()) - STOREY_MM if len(c) else 0 for c in clouds])
        return clouds, ground_of_returns(bare[members, 2], np.repeat(np.arange(n), np.diff(near)), otherwise)


def rings_of(scene: Scene, row: int) -> tuple[list[list[NDArray[np.int64]]], NDArray[np.int64]]:
    """Return the rings of a footprint [mm] from its own origin, and that origin."""
    rings = [
        [np.rint(np.asarray(r.coords)[:-1, :2] * 1000).astype(np.int64) for r in (polygon.exterior, *polygon.interiors)]
        for polygon in scene.footprints.geometry[row]
    ]
    origin = np.concatenate([r for part in rings for r in part]).min(axis=0) // 1000 * 1000
    return [[r - origin for r in part] for part in rings], origin


def main() -> int:
    """Reconstruct a scene and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("scene", nargs="?", default="delft", choices=SCENES)
    parser.add_argument("--keep", type=float, default=1.0, help="share of the points kept")
    parser.add_argument("--shuffle", type=int, help="seed of a permutation of the points")
    parser.add_argument("--crop", action="store_true", help="a cloud of its own for each building")
    parser.add_argument("--out", type=Path, default=None, help="CityJSONSeq to write")
    parser.add_argument("--worst", type=int, default=0, help="buildings to list, largest RMSE first")
    parser.add_argument("--fast", action="store_true", help="measure no distances")
    arguments = parser.parse_args()
    scene = Scene(arguments.scene, arguments.keep, arguments.shuffle)
    n = len(scene.footprints)
    usable = [i for i in range(n) if not scene.footprints.rejected[i]]
    prepared = [rings_of(scene, i) for i in range(n)]
    clouds, ground = scene.cropped() if arguments.crop else scene.shared(scene.points, scene.classes)

    def build(i: int) -> reconstruction.Building:
        rings, origin = prepared[i]
        return reconstruction.reconstruct(clouds[i] - [*origin, 0], rings, int(ground[i]))

    for i in usable[:3]:  # compile, or load from the cache
        build(i)
    start = time.process_time()
    scene.shared(scene.points, scene.classes)
    sharing = time.process_time() - start
    made, seconds = {}, {}
    for i in usable:
        start = time.process_time()
        made[i] = build(i)
        seconds[i] = time.process_time() - start
    each = 1e3 * np.array(list(seconds.values()))
    total = each.sum() / 1e3 + sharing
    print(f"{arguments.scene}: {n} footprints, {len(usable)} usable, {sum(map(len, clouds)):,} points in them")
    print(f"  milliseconds a building: mean {each.mean():.2f}, p50 {np.median(each):.2f}, max {each.max():.1f}; ", end="")
    print(f"points to footprints and ground {1e3 * sharing / len(usable):.2f}")
    print(f"  {len(usable) / total:.0f} buildings/s, {len(usable) / (total + scene.reading):.0f} with reading", end="")
    print(f" ({scene.reading:.2f} s); roofer 43 with reading, on the machine it was measured on")
    print("  of which, in a pass of its own:", stages(build, usable))
    print("  reasons:", dict(Counter(reconstruction.REASONS[b.reason] for b in made.values())))
    wrong = Counter()
    for b in made.values():
        for lod, solids in b.solids.items():
            for s in solids:
                offsets = np.array([0, len(s.face_type)], np.int64)
                wrong[lod, int(check_solids(s.vertices, s.face_rings, s.ring_offsets, s.face_offsets, offsets)[0])] += 1
    print("  solids by level and code of the ISO 19107 check:", {f"{k[0]}: {k[1]}": v for k, v in sorted(wrong.items())})
    if not arguments.fast:
        report(scene, made, clouds, prepared, arguments.worst)
    if arguments.out:
        write(scene, made, prepared, arguments.out)
    return 0


def stages(build: Callable[[int], Any], rows: list[int]) -> str:
    """Return the milliseconds a building that each stage takes; the rest is Python between them."""
    spent = dict.fromkeys(STAGES, 0.0)
    modules = (reconstruction, roof_ladder)
    kept = {(m, n): getattr(m, n) for names in STAGES.values() for n in names for m in modules if hasattr(m, n)}

    def timed(stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **named: Any) -> Any:
            start = time.process_time()
            result = function(*arguments, **named)
            spent[stage] += time.process_time() - start
            return result

        return run

    try:
        for stage, names in STAGES.items():
            for (module, name), function in kept.items():
                if name in names:
                    setattr(module, name, timed(stage, function))
        start = time.process_time()
        for i in rows:
            build(i)
        total = time.process_time() - start
    finally:
        for (module, name), function in kept.items():
            setattr(module, name, function)
    spent["rest"] = total - sum(spent.values())
    return ", ".join(f"{stage} {1e3 * t / len(rows):.2f}" for stage, t in spent.items())


def report(scene: Scene, made: dict[int, Any], clouds: list[NDArray[np.int64]], prepared: list[Any], worst: int) -> None:
    """Print the RMSE by level of detail, ours and roofer's."""
    for lod in reconstruction.LODS:
        theirs = peer_faces(scene.peer, lod) if scene.peer.is_file() else {}
        rows = []
        for i, b in made.items():
            if len(clouds[i]) < 5:
                continue
            shift = np.array([*prepared[i][1], 0])
            ours = rmse([faces_of(s) for s in b.solids[lod]], clouds[i] - shift) if lod in b.solids else None
            name = scene.footprints.ids[i]
            other = rmse([(v - shift, f, up) for v, f, up in theirs[name]], clouds[i] - shift) if name in theirs else None
            rows.append((i, ours, other))
        for title, k in (("felsina", 1), ("roofer", 2)):
            found = np.array([r[k] for r in rows if r[k] is not None])
            if len(found) == 0:
                continue
            p = [np.percentile(found[:, c], [50, 95]) for c in (0, 1)]
            print(f"  LoD{lod} {title:8s}n {len(found)}: RMSE roof p50/p95 {p[0][0]:.3f}/{p[0][1]:.3f} m, solid ", end="")
            print(f"{p[1][0]:.3f}/{p[1][1]:.3f} m, faces {np.median(found[:, 2]):g}")
        if worst and lod == "2.2":
            for i, ours, other in sorted((r for r in rows if r[1]), key=lambda r: -r[1][0])[:worst]:
                b = made[i]
                print(f"    {i:4d} {scene.footprints.ids[i]}: ours {ours}, roofer {other}, {b.n_point} points,", end=" ")
                print(f"{b.n_plane} planes, {b.n_face} faces, {reconstruction.REASONS[b.reason]}")


def write(scene: Scene, made: dict[int, Any], prepared: list[Any], path: Path) -> None:
    """Write the solids as CityJSONSeq."""
    corner = np.floor(np.array([g[0].bounds[:2] for g in scene.footprints.geometry if g]).min(axis=0)).astype(int)

    def feature(i: int, b: Any) -> Feature:
        shift = np.array([*prepared[i][1], 0])
        solids = [
            Solid(lod, s.vertices + shift, faces_of(s)[1], s.face_type.tolist()) for lod in b.solids for s in b.solids[lod]
        ]
        return Feature(scene.footprints.ids[i], {"level": b.level, "reason": reconstruction.REASONS[b.reason]}, (), solids)

    write_cityjsonseq(path, {"crs": scene.crs, "translate": (*corner, 0)}, (feature(i, b) for i, b in made.items()))


if __name__ == "__main__":
    sys.exit(main())
