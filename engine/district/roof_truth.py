"""How far roofs, openings and overhangs found are from those of the district. Plain values in, plain values out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

OVERLAP = 0.5  # share of a plane that one other must cover to be the same
ANGLE = 10.0  # degrees between their normals, at most
DISTANCE = 0.5  # m between them in the middle of what they share, at most
MIN_AREA = 1.0  # m2 in plan; smaller faces are slivers between two planes, and nobody counts them
VISIBLE = 0.5  # m; an opening that the survey sees no deeper than this is not asked for
_FLAT, _SAME, _APART = 7.0, 15.0, 30.0  # degrees: flatter is level; azimuths this near are one; two of a gable are opposite
# What each figure should reach.
TARGETS = {
    "roof plane recall": 0.95,
    "roof plane precision": 0.95,
    "roof type accuracy": 0.95,
    "ridge height error, median": 0.10,
    "ridge height error, p95": 0.50,
    "eaves height error, median": 0.10,
    "eaves height error, p95": 0.50,
    # The ground of a building is low among what surrounds it, that of the truth the mean below it: 0.2 m of a house of 12 m.
    "LoD2.2 volume error, median": 3.0,
    "LoD2.2 volume error, p95": 6.0,
    "LoD2.2 roof area error, median": 1.0,
    "LoD2.2 roof area error, p95": 3.0,
    "portico recall": 0.80,
    "portico precision": 0.80,
    "portico height error, median": 0.30,
    "underpass recall": 0.80,
    "underpass precision": 0.80,
    "roof overhang error, median": 0.10,
}
FLOORS = (
    "roof plane recall", "roof plane precision", "roof type accuracy", "portico recall", "portico precision",
    "underpass recall", "underpass precision",
)  # fmt: skip

Row = tuple[str, float, str, float]


class RoofFaces(NamedTuple):
    """Roof surfaces of solids.

    Attributes
    ----------
    building : sequence of str
        Identifier of the building of each.
    rings : sequence of sequences of (n, 3) arrays
        Rings of each, the exterior first and anticlockwise from above, in the CRS [m].
    """

    building: Sequence[str]
    rings: Sequence[Sequence[NDArray[np.float64]]]


class _Plane(NamedTuple):
    """A roof plane in plan: its shape, z = a x + b y + c about the building's first corner, slope and azimuth [degree]."""

    shape: Any
    gradient: tuple[float, float]
    level: float
    slope: float
    azimuth: float

    @property
    def normal(self) -> tuple[float, float, float]:
        a, b = self.gradient
        n = math.sqrt(1.0 + a * a + b * b)
        return -a / n, -b / n, 1.0 / n

    def height(self, x: float, y: float) -> float:
        return self.gradient[0] * x + self.gradient[1] * y + self.level


def compare_roofs(truth: Sequence[Mapping[str, Any]], faces: RoofFaces) -> list[Row]:
    """Compare reconstructed roof surfaces with the planes of the district.

    A true plane is found when one surface of its building covers at least half of it in plan, their normals are within 10
    degrees and they are within half a metre of each other in the middle of what they share; a surface is right when one true
    plane covers it so. Surfaces below 1 m2 in plan count on neither side. The type of a roof is `roof_type` of its planes, on
    both sides. Ridge and eaves are the highest and the lowest corner of the roof.

    Parameters
    ----------
    truth : the rows `buildings` of what `engine.district.truth.truth_record` returns
    faces : the surfaces of all buildings

    Returns
    -------
    list of (metric, value, unit, target); metrics in `FLOORS` should lie above their target, the rest below
    """
    own: dict[str, list[int]] = {}
    for k, name in enumerate(faces.building):
        own.setdefault(name, []).append(k)
    n_true = n_found = n_made = n_right = n_type = 0
    ridge, eaves = [], []
    for b in truth:
        corner = b["roof_planes"][0]["rings"][0][0]
        true = [_true_plane(p, b, corner) for p in b["roof_planes"]]
        rings = [faces.rings[k] for k in own.get(b["building_id"], [])]
        found = [_found_plane(r, corner) for r in rings]
        n_true += len(true)
        n_found += sum(any(_same(t, f, t.shape.area) for f in found) for t in true)
        counted = [f for f in found if f.shape.area >= MIN_AREA]
        n_made += len(counted)
        n_right += sum(any(_same(t, f, f.shape.area) for t in true) for f in counted)
        n_type += bool(found) and roof_type(_triples(found)) == roof_type(_triples(true))
        if counted:
            large = [face for f, face in zip(found, rings, strict=True) if f.shape.area >= MIN_AREA]
            z = np.concatenate([ring[:, 2] for face in large for ring in face])
            ridge.append(abs(float(z.max()) - b["ground_elevation_m"] - b["ridge_height_m"]))
            eaves.append(abs(float(z.min()) - b["ground_elevation_m"] - b["lowest_roof_height_m"]))
    rows = [
        ("roof plane recall", _share(n_found, n_true), "1"),
        ("roof plane precision", _share(n_right, n_made), "1"),
        ("roof type accuracy", _share(n_type, len(truth)), "1"),
    ]
    for name, error in (("ridge", ridge), ("eaves", eaves)):
        rows.append((f"{name} height error, median", _quantile(error, 0.5), "m"))
        rows.append((f"{name} height error, p95", _quantile(error, 0.95), "m"))
    return [(metric, value, unit, TARGETS[metric]) for metric, value, unit in rows]


def compare_openings(truth: Sequence[Mapping[str, Any]], results: Mapping[str, NDArray[Any]]) -> list[Row]:
    """Compare what a table of buildings says of LoD2.2, of openings and of overhangs with the truth.

    Recall is the share of the true area that was found, building by building, among openings that can be known: those in the
    footprints' file and those that the survey sees at least half a metre deep. Precision is the share of the area found that
    is true, with all true openings.

    Parameters
    ----------
    truth : the rows `buildings` of what `engine.district.truth.truth_record` returns
    results : `building_id` and (n,) columns; what is absent is not compared
        `building_lod22_volume` [m3], `building_roof_area` [m2], `building_portico_area`, `building_underpass_area` [m2],
        `building_portico_height`, `building_roof_overhang` [m].

    Returns
    -------
    list of (metric, value, unit, target), as of `compare_roofs`
    """
    rows: list[Row] = []

    def add(metric: str, value: float, unit: str) -> None:
        rows.append((metric, value, unit, TARGETS[metric]))

    place = {str(name): i for i, name in enumerate(np.asarray(results["building_id"]).tolist())}
    pick = np.array([place.get(b["building_id"], -1) for b in truth], np.int64)

    def found(name: str) -> NDArray[np.float64]:
        return np.append(np.asarray(results[name], np.float64), np.nan)[pick]

    def true(name: str) -> NDArray[np.float64]:
        return np.array([b[name] for b in truth], np.float64)

    for name, of, word in (
        ("building_lod22_volume", "volume_m3", "volume"), ("building_roof_area", "roof_area_m2", "roof area")
    ):  # fmt: skip
        if name in results:
            error = np.abs(found(name) / true(of) - 1.0) * 100.0
            add(f"LoD2.2 {word} error, median", _quantile(error, 0.5), "%")
            add(f"LoD2.2 {word} error, p95", _quantile(error, 0.95), "%")
    for kind in ("portico", "underpass"):
        if f"building_{kind}_area" not in results:
            continue
        area, all_of = np.nan_to_num(found(f"building_{kind}_area")), true(f"{kind}_area_m2")
        known = np.array([_knowable(b, kind) for b in truth])
        add(f"{kind} recall", _share(np.minimum(area, known).sum(), known.sum()), "1")
        add(f"{kind} precision", _share(np.minimum(area, all_of).sum(), area.sum()), "1")
    if "building_portico_height" in results:
        # Where the file tells the height there is nothing to find.
        asked = (true("portico_area_m2") > 0.0) & ~np.array([bool(b["is_surveyed"]) for b in truth])
        error = np.abs(found("building_portico_height") - true("portico_height_m"))[asked]
        add("portico height error, median", _quantile(error, 0.5), "m")
    if "building_roof_overhang" in results:
        reach = true("roof_overhang_m")
        hung = reach > 0.0
        add("roof overhang error, median", _quantile(np.abs(found("building_roof_overhang") - reach)[hung], 0.5), "m")
    return rows


def roof_type(planes: Sequence[tuple[float, float, float]]) -> str:
    """Name the type of a roof from its planes: (slope [degree], azimuth [degree], area) each.

    `flat` where less than a tenth of the area slopes by more than 7 degrees; `gabled` where all that slopes looks two opposite
    ways; `shed` for one way; `other`, as hipped roofs and those that go round a corner, for more.
    """
    total = sum(area for _, _, area in planes)
    sloping = [(azimuth, area) for slope, azimuth, area in planes if slope > _FLAT]
    if sum(area for _, area in sloping) < 0.1 * total:
        return "flat"
    ways: list[list[float]] = []
    for azimuth, area in sorted(sloping, key=lambda v: -v[1]):
        for way in ways:
            if _turn(way[0], azimuth) < _SAME:
                way[1] += area
                break
        else:
            ways.append([azimuth, area])
    ways = [way for way in ways if way[1] >= 0.05 * total]
    if len(ways) == 1:
        return "shed"
    return "gabled" if len(ways) == 2 and _turn(ways[0][0], ways[1][0]) > 180.0 - _APART else "other"


def _turn(a: float, b: float) -> float:
    return abs((a - b + 180.0) % 360.0 - 180.0)


def _triples(planes: Sequence[_Plane]) -> list[tuple[float, float, float]]:
    return [(p.slope, p.azimuth, p.shape.area) for p in planes]


def _knowable(building: Mapping[str, Any], kind: str) -> float:
    """Return the area of the openings of a kind that the file tells of or that the survey sees [m2]."""
    seen = [o for o in building["openings"] if building["is_surveyed"] or o["visible_depth_m"] >= VISIBLE]
    return math.fsum(o["area_m2"] for o in seen if o["kind"] == kind)


def _true_plane(plane: Mapping[str, Any], building: Mapping[str, Any], corner: Sequence[float]) -> _Plane:
    import shapely

    shape = shapely.union_all([shapely.Polygon(np.asarray(ring) - corner[:2]) for ring in plane["rings"]], grid_size=0.001)
    slope, azimuth = math.radians(plane["slope_deg"]), math.radians(plane["azimuth_deg"])
    a, b = -math.tan(slope) * math.sin(azimuth), -math.tan(slope) * math.cos(azimuth)
    # The mean height of a plane is that of its middle.
    middle = shape.centroid
    level = building["ground_elevation_m"] + plane["height_m"] - a * middle.x - b * middle.y
    return _Plane(shape, (a, b), level, plane["slope_deg"], plane["azimuth_deg"])


def _found_plane(rings: Sequence[NDArray[np.float64]], corner: Sequence[float]) -> _Plane:
    import shapely

    local = [np.asarray(r, np.float64) - [corner[0], corner[1], 0.0] for r in rings]
    p, q = local[0], np.roll(local[0], -1, axis=0)
    nx, ny, nz = ((p[:, i] * q[:, j] - p[:, j] * q[:, i]).sum() for i, j in ((1, 2), (2, 0), (0, 1)))
    shape = shapely.make_valid(shapely.Polygon(p[:, :2], [r[:, :2] for r in local[1:]]))
    if not nz > 0.0:
        return _Plane(shapely.Polygon(), (0.0, 0.0), 0.0, 90.0, 0.0)
    a, b = float(-nx / nz), float(-ny / nz)
    level = float(p[:, 2].mean() - a * p[:, 0].mean() - b * p[:, 1].mean())
    slope = math.degrees(math.atan(math.hypot(a, b)))
    return _Plane(shape, (a, b), level, slope, math.degrees(math.atan2(-a, -b)) % 360.0)


def _same(true: _Plane, found: _Plane, area: float) -> bool:
    cosine = sum(u * v for u, v in zip(true.normal, found.normal, strict=True))
    if cosine < math.cos(math.radians(ANGLE)):
        return False
    common = true.shape.intersection(found.shape)
    if common.area < OVERLAP * area or common.area <= 0.0:
        return False
    middle = common.centroid
    return abs(true.height(middle.x, middle.y) - found.height(middle.x, middle.y)) <= DISTANCE


def _share(part: float, whole: float) -> float:
    return float(part) / float(whole) if whole else math.nan


def _quantile(values: Sequence[float] | NDArray[np.float64], share: float) -> float:
    """Return the value below which `share` of the finite values lie (the nearest rank), NaN of none."""
    ordered = np.sort(np.asarray(values, np.float64))
    ordered = ordered[np.isfinite(ordered)]
    return float(ordered[max(0, math.ceil(share * ordered.size) - 1)]) if ordered.size else math.nan
