"""What is true of the district, and how far results are from it. Plain values in, plain values out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from felsina.engine.district.blocks import Building
from felsina.engine.district.openings import area, is_surveyed, open_area
from felsina.engine.district.scan import DENSITY, visible_depth
from felsina.engine.district.scene import CRS, ORIGIN, District, ring_integral, sum_by
from felsina.kernels.pointcloud.scanner import Scanner, scanner_of_density
from felsina.kernels.pointcloud.surface import terrain_height

TERRAIN_FORMULA = "z = z0 + sx X + sy Y + A sin(2 pi X / Lx + px) sin(2 pi Y / Ly + py); X, Y from the origin"
_TERRAIN_NAMES = ("z0", "sx", "sy", "A", "Lx", "Ly", "px", "py")
_MM = 1000.0
# What each figure should reach; the heights of LoD1.2 stand for sloping roofs, so they carry more than the noise of a scan.
TARGETS = {
    "ground RMSE": 0.10,
    "footprints with geometry": 100.0,
    "building height error, median": 0.30,
    "building height error, p95": 1.00,
    "building volume error, median": 5.0,
    "building volume error, p95": 15.0,
    "party wall area error, median": 10.0,
    "party wall area error, p95": 15.0,
    "ground F1": 0.97,
    "building F1": 0.95,
    "vegetation F1": 0.90,
}


def building_truth(district: District) -> dict[str, NDArray[np.float64]]:
    """Measure every building of a district exactly.

    Returns (n_building,) arrays: `ground_elevation_m` (mean under the footprint), `height_m` (volume over footprint area),
    `eaves_height_m`, `ridge_height_m`, `lowest_roof_height_m` (above that ground; the last at the eaves of an aisle where there
    is one), `volume_m3`, `footprint_area_m2`, `roof_area_m2`, `party_wall_area_m2`.
    """
    ring, plane, owner, n = district.prism_ring, district.prism_plane, district.prism_building, len(district.buildings)
    a, b, c = (plane[:, k] for k in range(3))
    area, roof = ring_integral(ring, lambda x, y: a * x + b * y + c)
    footprint = sum_by(owner, area, n)
    volume = sum_by(owner, roof - area * district.ground[owner], n)
    ridge, lowest = np.full(n, -np.inf), np.full(n, np.inf)
    corner = a[:, None] * ring[..., 0] + b[:, None] * ring[..., 1] + c[:, None]
    np.maximum.at(ridge, owner, corner.max(axis=1))
    np.minimum.at(lowest, owner, corner.min(axis=1))
    return {
        "ground_elevation_m": district.ground,
        "height_m": volume / footprint,
        "eaves_height_m": np.array([b.eaves for b in district.buildings]),
        "ridge_height_m": ridge - district.ground,
        "lowest_roof_height_m": lowest - district.ground,
        "volume_m3": volume,
        "footprint_area_m2": footprint,
        "roof_area_m2": sum_by(owner, area * np.sqrt(1.0 + a * a + b * b), n),
        "party_wall_area_m2": _party_walls(district),
    }


def _party_walls(district: District) -> NDArray[np.float64]:
    """Integrate the lower of two roofs above the ground along every wall that two buildings share [m2]."""
    ring, plane, owner = district.prism_ring, district.prism_plane, district.prism_building
    start, end = ring.reshape(-1, 2), np.roll(ring, -1, axis=1).reshape(-1, 2)
    prism = np.repeat(np.arange(len(ring)), 4)
    p, q = np.rint(start * 100.0).astype(np.int64), np.rint(end * 100.0).astype(np.int64)
    swap = (p[:, 0] > q[:, 0]) | ((p[:, 0] == q[:, 0]) & (p[:, 1] > q[:, 1]))
    key = np.where(swap[:, None], np.concatenate([q, p], axis=1), np.concatenate([p, q], axis=1))
    order = np.lexsort((prism, *(key[:, k] for k in range(4))))
    one, two = order[:-1], order[1:]
    shared = (key[one] == key[two]).all(axis=1) & (owner[prism[one]] != owner[prism[two]]) & (p[one] != q[one]).any(axis=1)
    one, two = one[shared], two[shared]
    step = end[one] - start[one]
    length = np.sqrt(step[:, 0] * step[:, 0] + step[:, 1] * step[:, 1])

    def roof(edge: NDArray[np.int64], at: NDArray[np.float64]) -> NDArray[np.float64]:
        f = plane[prism[edge]]
        return f[:, 0] * at[:, 0] + f[:, 1] * at[:, 1] + f[:, 2]

    z0, z1 = roof(one, start[one]), roof(one, end[one])
    d0, d1 = roof(two, start[one]) - z0, roof(two, end[one]) - z1
    low, high = np.minimum(d0, d1), np.maximum(d0, d1)
    # The mean of min(d, 0) of a linear d along the wall.
    lower = np.where(
        high <= 0.0, 0.5 * (d0 + d1), np.where(low >= 0.0, 0.0, -low * low / (2.0 * np.maximum(high - low, 1e-300)))
    )
    x, y = start[one].T
    g0, gm, g1 = (terrain_height(district.terrain, x + s * step[:, 0], y + s * step[:, 1]) for s in (0.0, 0.5, 1.0))
    wall = length * (0.5 * (z0 + z1) + lower - (g0 + 4.0 * gm + g1) / 6.0)
    n = len(district.buildings)
    return sum_by(owner[prism[one]], wall, n) + sum_by(owner[prism[two]], wall, n)


def roof_planes(district: District) -> list[list[dict[str, Any]]]:
    """Return the roof planes of each building; faces on one plane are one.

    `slope_deg`, `azimuth_deg` (of the outward normal in plan, clockwise from north; 0 of a level roof), `area_m2` along the
    slope, `height_m` (mean, above the mean ground of the building), `rings` (outlines of its faces in the CRS [m]).
    """
    ring, plane = district.prism_ring, district.prism_plane
    out: list[list[dict[str, Any]]] = [[] for _ in district.buildings]
    known: dict[tuple[int, float, float, float], dict[str, Any]] = {}
    level = ring_integral(ring, lambda x, y: plane[:, 0] * x + plane[:, 1] * y + plane[:, 2])
    for face, owner in enumerate(district.prism_building.tolist()):
        a, b, c = plane[face].tolist()
        at = known.get(key := (owner, round(a, 6), round(b, 6), round(c, 4)))
        if at is None:
            azimuth = math.degrees(math.atan2(-a, -b)) % 360.0 if a or b else 0.0
            slope = math.degrees(math.atan(math.sqrt(a * a + b * b)))
            at = {"slope_deg": round(slope, 3), "azimuth_deg": round(azimuth, 3), "area_m2": 0.0, "height_m": 0.0, "rings": []}
            known[key] = at
            out[owner].append(at)
        flat = float(level[0][face])
        at["area_m2"] += flat * math.sqrt(1.0 + a * a + b * b)
        at["height_m"] += float(level[1][face]) - flat * float(district.ground[owner])
        at["rings"].append(_absolute(ring[face].tolist()))
    for planes in out:
        for at in planes:
            at["height_m"] = round(at["height_m"] / (at["area_m2"] * math.cos(math.radians(at["slope_deg"]))), 3)
            at["area_m2"] = round(at["area_m2"], 3)
    return out


def _openings(building: Building, scanner: Scanner) -> list[dict[str, Any]]:
    rows = []
    for kind, ring, height in building.openings:
        sides = [(ring[0], ring[1])] + ([(ring[2], ring[3])] if kind == "underpass" else [])
        depth = area(ring) / math.dist(ring[0], ring[1])
        seen = min(depth, max(visible_depth(scanner, side, height) for side in sides))
        row = {"kind": kind, "area_m2": round(area(ring), 3), "height_m": round(height, 3), "visible_depth_m": round(seen, 3)}
        rows.append(row | {"ring": _absolute(ring)})
    return rows


def _absolute(ring: Sequence[Sequence[float]]) -> list[list[float]]:
    return [[round(x + ORIGIN[0], 3), round(y + ORIGIN[1], 3)] for x, y in ring]


def truth_record(district: District) -> dict[str, Any]:
    """Return all that is known of a district as plain JSON values, coordinates in the CRS.

    `is_surveyed` tells which buildings have their openings in the footprints' file; `visible_depth_m` of an opening is how far
    the survey can see the ground in it (`scan.visible_depth`, the deepest of its open sides, no deeper than it is).
    """
    scanner, planes = scanner_of_density(DENSITY), roof_planes(district)
    measured = {name: values.tolist() for name, values in building_truth(district).items()}
    buildings = []
    for i, b in enumerate(district.buildings):
        row: dict[str, Any] = {"building_id": b.building_id, "kind": b.kind, "roof_type": b.roof_type, "use": b.use}
        row |= {"construction_year": b.construction_year, "floors": b.floors, "residents": b.residents}
        row |= {name: round(values[i], 4) for name, values in measured.items()}
        row |= {f"portico_{k}_m": round(getattr(b, f"portico_{k}"), 3) for k in ("length", "depth", "height")}
        row |= {f"{kind}_area_m2": round(open_area(b.openings, kind), 3) for kind in ("portico", "underpass")}
        row |= {"roof_overhang_m": round(b.roof_overhang, 3), "is_surveyed": is_surveyed(b.building_id)}
        row |= {"openings": _openings(b, scanner), "roof_planes": planes[i]}
        buildings.append(row)
    trees = [
        {
            "tree_id": t.tree_id,
            "x": round(t.x + ORIGIN[0], 3),
            "y": round(t.y + ORIGIN[1], 3),
            "height_m": round(t.height, 3),
            "crown_base_m": round(t.crown_base, 3),
            "crown_diameter_m": round(t.crown_diameter, 3),
        }
        for t in district.trees
    ]
    terrain: dict[str, Any] = {"formula": TERRAIN_FORMULA, "origin": list(ORIGIN)}
    terrain |= dict(zip(_TERRAIN_NAMES, district.terrain.tolist(), strict=True))
    head = {"crs": CRS, "seed": district.seed, "size_m": district.size, "terrain": terrain}
    return {**head, "buildings": buildings, "trees": trees}


def compare_with_truth(
    truth: Mapping[str, Any], results: Mapping[str, NDArray[Any]]
) -> list[tuple[str, float, str, float]]:  # fmt: skip
    """Compare results with the truth of a district.

    Parameters
    ----------
    truth : mapping
        What `truth_record` returns, or truth.json as read.
    results : mapping of arrays; what is absent is not compared
        `ground_elevation` (ny, nx) [m] at `y` (ny,) and `x` (nx,) [m in the CRS], NaN where unknown;
        `building_id` (n,) with `building_height` [m], `building_volume` [m3], `building_party_wall_area` [m2], each (n,), NaN
        without geometry; `point_class` and `point_class_true` (n,) ASPRS classes.

    Returns
    -------
    list of (metric, value, unit, target)
        Errors are absolute values; the share of footprints and the F1 scores should lie above their targets, the rest below.
    """
    rows: list[tuple[str, float, str, float]] = []

    def add(metric: str, value: float, unit: str) -> None:
        rows.append((metric, float(value), unit, TARGETS[metric]))

    if "ground_elevation" in results:
        add("ground RMSE", _ground_rmse(truth["terrain"], results), "m")
    if "building_id" in results:
        place = {str(name): i for i, name in enumerate(np.asarray(results["building_id"]).tolist())}
        pick = np.array([place.get(b["building_id"], -1) for b in truth["buildings"]], np.int64)

        def found(name: str) -> NDArray[np.float64]:
            values = np.append(np.asarray(results[name], np.float64), np.nan)
            return values[pick]

        def true(name: str) -> NDArray[np.float64]:
            return np.array([b[name] for b in truth["buildings"]], np.float64)

        if "building_volume" in results:
            volume = found("building_volume")
            add("footprints with geometry", 100.0 * np.count_nonzero(np.isfinite(volume)) / max(1, volume.size), "%")
            error = np.abs(volume / true("volume_m3") - 1.0) * 100.0
            add("building volume error, median", _quantile(error, 0.5), "%")
            add("building volume error, p95", _quantile(error, 0.95), "%")
        if "building_height" in results:
            error = np.abs(found("building_height") - true("height_m"))
            add("building height error, median", _quantile(error, 0.5), "m")
            add("building height error, p95", _quantile(error, 0.95), "m")
        if "building_party_wall_area" in results:
            wall = true("party_wall_area_m2")
            shared = wall > 0.0
            error = np.abs(found("building_party_wall_area")[shared] / wall[shared] - 1.0) * 100.0
            add("party wall area error, median", _quantile(error, 0.5), "%")
            add("party wall area error, p95", _quantile(error, 0.95), "%")
    if "point_class" in results and "point_class_true" in results:
        got, want = np.asarray(results["point_class"]), np.asarray(results["point_class_true"])
        for name, classes in (("ground", (2,)), ("building", (6,)), ("vegetation", (3, 4, 5))):
            add(f"{name} F1", _f1(np.isin(got, classes), np.isin(want, classes)), "1")
    return rows


def _ground_rmse(terrain: Mapping[str, Any], results: Mapping[str, NDArray[Any]]) -> float:
    """Return the root mean square error over the known cells, summed as whole square millimetres: no order of addition."""
    x, y = np.meshgrid(np.asarray(results["x"], np.float64), np.asarray(results["y"], np.float64))
    origin = terrain["origin"]
    parameters = np.array([terrain[name] for name in _TERRAIN_NAMES])
    error = np.asarray(results["ground_elevation"], np.float64) - terrain_height(parameters, x - origin[0], y - origin[1])
    error = error[np.isfinite(error)]
    if not error.size:
        return math.nan
    millimetres = np.rint(error * _MM).astype(np.int64)
    return math.sqrt(int((millimetres * millimetres).sum()) / error.size) / _MM


def _quantile(values: NDArray[np.float64], share: float) -> float:
    """Return the value below which `share` of the finite values lie (the nearest rank), NaN of none."""
    ordered = np.sort(values[np.isfinite(values)])
    return float(ordered[max(0, math.ceil(share * ordered.size) - 1)]) if ordered.size else math.nan


def _f1(got: NDArray[np.bool_], want: NDArray[np.bool_]) -> float:
    hits = np.count_nonzero(got & want)
    total = np.count_nonzero(got) + np.count_nonzero(want)
    return 2.0 * hits / total if total else math.nan
