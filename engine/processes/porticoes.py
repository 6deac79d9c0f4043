"""Porticoes, underpasses and overhanging roofs of a building, from its points and from what the footprints' file says.

Solids are 2.5-D: walls stand on the footprint, from the ground to the roof, so an arcade is closed and eaves end at the wall.
What is open below and what reaches out above is told by fields instead. All functions take one building and depend on nothing
else; the order of the points changes no bit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from felsina.engine.fields import OPENING_SOURCES
from felsina.kernels.geometry.extrusion import ROOF
from felsina.kernels.geometry.porticoes import (
    change_height,
    lies_under_roof,
    lit_runs,
    outline_positions,
    overhang_width,
    ring_lengths,
    strip_area,
)
from felsina.kernels.geometry.roof_solid import RoofSolid

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

SOURCE = {name: code for code, name in OPENING_SOURCES.items()}
ATTRIBUTES = (
    "portico", "arcade", "portico_area_m2", "portico_length_m", "portico_depth_m", "portico_height_m", "building_passage",
    "underpass_area_m2",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class OpeningOptions:
    """How openings are found; lengths in m.

    Attributes
    ----------
    margin : ground nearer to the outline than this is not inside: noise, and footprints that are a little off
    reach : ground farther inside belongs to no side: a hall without walls
    clearance : least height of the roof above the ground below it
    step, gap : length of a step along the outline; a run goes on over a gap this wide, as behind a parked van or a pillar
    least_points, least_length : fewest points and least length of a mouth of a passage
    portico_points, portico_length, least_depth : fewest points, least length and least lit depth of a portico
    assumed_depth : depth of a portico whose rear wall no pulse reached, unless more of it was lit
    rear_depth : walls nearer to the outline are pillars, or the wall of a house whose footprint follows the eaves
    mouth, lone_mouth : longest run that can be the mouth of a passage; the same where no other end is seen
    longest_passage : longest passage of which only one end is seen
    height_depth : least lit depth of a run whose facade tells the clear height: a steeper view meets it in too few scans
    facade : returns this near to the outline are of the facade
    outside : roof points nearer to the outline than this are on its wall; farther than `overhang` they are not looked at
    plane_distance : a point this near to a roof plane, vertically, is of it
    """

    margin: float = 0.2
    reach: float = 6.0
    clearance: float = 2.2
    step: float = 1.0
    gap: float = 3.0
    least_points: int = 4
    least_length: float = 1.5
    portico_points: int = 6
    portico_length: float = 2.5
    least_depth: float = 0.3
    assumed_depth: float = 3.0
    rear_depth: float = 1.2
    mouth: float = 8.0
    lone_mouth: float = 6.0
    longest_passage: float = 20.0
    height_depth: float = 0.5
    facade: float = 0.15
    outside: float = 0.12
    overhang: float = 1.0
    plane_distance: float = 0.15


OPENING_OPTIONS = OpeningOptions()


class Openings(NamedTuple):
    """What is open under a building.

    Attributes
    ----------
    portico_area, underpass_area : float
        Area of the ground under the storeys above [m2]; NaN where only their existence is known.
    portico_height : float
        Clear height [m]; NaN unknown.
    portico_source, underpass_source : int
        Code of `fields.OPENING_SOURCES`.
    seen_area : float
        Area of the ground that was seen under the roof [m2].
    confidence : float
        1 by attributes; by points the share of the area that was seen; NaN where nothing is open.
    """

    portico_area: float = 0.0
    underpass_area: float = 0.0
    portico_height: float = math.nan
    portico_source: int = 0
    underpass_source: int = 0
    seen_area: float = 0.0
    confidence: float = math.nan


class _Run(NamedTuple):
    ring: int
    start: float
    end: float
    n_point: int
    depth: float
    area: float


def find_openings(
    ground: Integers,
    building: Integers,
    xy: Integers,
    ring_offsets: Integers,
    ground_mm: int,
    beside: Integers | None = None,
    options: OpeningOptions = OPENING_OPTIONS,
) -> Openings:
    """Find the porticoes and underpasses of a building from its points.

    Ground under the roof, in runs along the outline of at least a few metres, is open from there. A short run whose view across
    the building meets another run is a passage between them, and so is one alone; the rest is portico. Its depth is
    that of the wall behind, where its returns are seen; else what was lit, or `assumed_depth` where that is more.

    Parameters
    ----------
    ground : (n, 3) int64
        Returns of class ground inside the footprint [mm].
    building : (m, 3) int64
        Returns of class building inside the footprint, walls and roofs [mm].
    xy, ring_offsets
        All rings of the footprint, interiors to the left [mm].
    ground_mm : int
        Elevation of the ground at the building [mm].
    beside : (k, 3) int64, optional
        Returns of class building next to the footprint [mm]: noise puts half of those of a facade outside. They tell of the
        clear height alone.
    """
    o = options
    if len(ground) < o.least_points or len(building) == 0:
        return Openings()
    footprint = 0.5e-6 * abs(_twice_area(xy, ring_offsets))
    # Three returns of the roof a cell, so that one cell in twenty is empty by chance.
    cell = max(0.5, min(2.0, math.sqrt(3.0 * footprint / len(building))))
    under = ground[lies_under_roof(ground, building, round(o.clearance * 1000), round(cell * 1000))]
    runs, lengths = _runs(under, xy, ring_offsets, o)
    if not runs:
        return Openings()
    wall = _wall(building, xy, ring_offsets, ground_mm)
    outer = wall if beside is None else _wall(beside, xy, ring_offsets, ground_mm)
    passages, used, taken = _passages(runs, xy, ring_offsets, o)
    portico = 0.0
    seen = sum(run.area for k, run in enumerate(runs) if k in used)
    facade: list[Floats] = []
    for k, run in enumerate(runs):
        length = _length(run) - taken.get(k, 0.0)
        if k in used or length < o.portico_length or run.n_point < o.portico_points or run.depth < o.least_depth:
            continue
        rear = _rear_depth(run, wall, lengths, o)
        if rear < o.rear_depth:
            continue
        depth = rear if math.isfinite(rear) else max(run.depth, o.assumed_depth)
        first, last = ring_offsets[run.ring], ring_offsets[run.ring + 1]
        whole = strip_area(xy[first:last], run.start, run.end, depth * 1000.0) * 1e-6
        portico += max(0.0, whole * _length(run) / ((run.end - run.start) * 1e-3) - taken.get(k, 0.0) * depth)
        seen += run.area
        if run.depth < o.height_depth:
            continue
        for side in (wall,) if outer is wall else (wall, outer):
            facade.append(side.height[_along(run, side, lengths) & (side.distance <= o.facade)])
    underpass = min(passages, footprint)
    portico = min(portico, footprint - underpass)
    if portico + underpass <= 0.0:
        return Openings()
    points = SOURCE["points"]
    return Openings(
        portico_area=portico,
        underpass_area=underpass,
        portico_height=_clear_height(np.concatenate(facade)) if facade else math.nan,
        portico_source=points if portico > 0.0 else 0,
        underpass_source=points if underpass > 0.0 else 0,
        seen_area=seen,
        confidence=min(1.0, seen / (portico + underpass)),
    )


def with_attributes(found: Openings, attributes: Mapping[str, float]) -> Openings:
    """Put what the footprints' file says in place of what points say, where it says something.

    Parameters
    ----------
    found : of `find_openings`
    attributes : of `ATTRIBUTES`; absent or NaN where the file says nothing
        `portico` or `arcade` (0 or 1), `portico_area_m2`, or `portico_length_m` and `portico_depth_m` in its place,
        `portico_height_m`; `building_passage` (0 or 1), `underpass_area_m2`.

    A length and a depth alone are completed by the points: area over assumed depth. Where the file says that there is none and
    points lie under the roof all the same, the points are believed: `seen_area` and the confidence tell how many.
    """
    value = {name: attributes.get(name, math.nan) for name in ATTRIBUTES}
    area, depth, length = value["portico_area_m2"], value["portico_depth_m"], value["portico_length_m"]
    if math.isnan(area) and depth > 0.0:
        area = depth * length if length > 0.0 else depth * found.portico_area / OPENING_OPTIONS.assumed_depth or math.nan
    stated = max((v for v in (value["portico"], value["arcade"]) if not math.isnan(v)), default=math.nan)
    portico, source = _stated(area, stated, found.portico_area)
    passage, other = _stated(value["underpass_area_m2"], value["building_passage"], found.underpass_area)
    height = value["portico_height_m"] if value["portico_height_m"] > 0.0 else found.portico_height
    confidence = 1.0 if {source, other} & {SOURCE["attributes"], SOURCE["both"]} else found.confidence
    return Openings(portico, passage, height if source else math.nan, source, other, found.seen_area, confidence)


def roof_overhang(
    outside: Integers,
    xy: Integers,
    ring_offsets: Integers,
    planes: Floats,
    options: OpeningOptions = OPENING_OPTIONS,
) -> float:
    """Return how far a roof reaches over the walls [m], as far as it does: the median over the metres of outline where it does.

    Roof points outside the footprint change no solid, for walls stand at the footprint; this width says what is left out. 0
    where fewer than 3 m of the outline have such points, NaN without planes.

    Parameters
    ----------
    outside : (n, 3) int64
        Returns of class building within `overhang` outside the footprint and in no other footprint [mm].
    xy, ring_offsets
        All rings of the footprint [mm].
    planes : (n_plane, 3) float64
        a [1], b [1], c [mm] of the roof planes, z = a x + b y + c with x and y from the first vertex of `xy` [mm].
    """
    if len(planes) == 0:
        return math.nan
    x, y, z = ((outside[:, k] - (xy[0, k] if k < 2 else 0)).astype(np.float64) for k in range(3))
    height = planes[:, :1] * x + planes[:, 1:2] * y + planes[:, 2:]
    near = (np.abs(height - z) <= options.plane_distance * 1000.0).any(axis=0)
    edge, along, distance = outline_positions(outside[near, :2], xy, ring_offsets)
    least = options.outside * 1000.0
    kept = (distance > least) & (distance <= options.overhang * 1000.0)
    ring, lengths = _ring_of(edge[kept], ring_offsets), ring_lengths(xy, ring_offsets)
    width = overhang_width(ring, along[kept], distance[kept] - least, lengths, options.step * 1000.0, 3)
    return (width + least) / 1000.0 if width > 0.0 else 0.0


def solid_planes(solids: Sequence[RoofSolid], origin: Sequence[int]) -> Floats:
    """Return the planes of the roof faces of solids, (n_plane, 3) as `roof_overhang` takes them, about an origin (x, y) [mm].

    The normal of a face is the sum over its outer ring of the cross products of neighbouring corners (Newell).
    """
    planes = []
    for solid in solids:
        for face in np.flatnonzero(solid.face_type == ROOF).tolist():
            ring = int(solid.face_offsets[face])
            corners = solid.face_rings[solid.ring_offsets[ring] : solid.ring_offsets[ring + 1]]
            p = solid.vertices[corners]
            nx, ny, nz = _normal((p - p[0]).tolist())
            if nz > 0:
                a, b = -nx / nz, -ny / nz
                planes.append((a, b, int(p[0, 2]) - a * (int(p[0, 0]) - origin[0]) - b * (int(p[0, 1]) - origin[1])))
    return np.array(sorted(set(planes)), np.float64).reshape(-1, 3)


def opening_columns(rows: Sequence[Openings], overhang: Sequence[float]) -> dict[str, NDArray[Any]]:
    """Return the fields of buildings.nc that tell of openings and overhangs, (n_building,) each."""

    def column(name: str, dtype: type = np.float64) -> NDArray[Any]:
        return np.array([getattr(row, name) for row in rows], dtype)

    return {
        "building_portico_area": column("portico_area"),
        "building_portico_height": column("portico_height"),
        "building_portico_source": column("portico_source", np.int8),
        "building_underpass_area": column("underpass_area"),
        "building_underpass_source": column("underpass_source", np.int8),
        "building_covered_ground_area": column("seen_area"),
        "building_opening_confidence": column("confidence"),
        "building_roof_overhang": np.array(overhang, np.float64),
    }


class _Wall(NamedTuple):
    """Returns of class building: ring, way along it [mm], distance inside it and height above the ground [m]."""

    ring: Integers
    along: Floats
    distance: Floats
    height: Floats


def _stated(area: float, exists: float, found: float) -> tuple[float, int]:
    """Return area [m2] and source of an opening from what is stated and what was found."""
    if area > 0.0 or exists > 0.0:
        source = SOURCE["both"] if found > 0.0 else SOURCE["attributes"]
        return (area if area > 0.0 else found if found > 0.0 else math.nan), source
    return found, SOURCE["points"] if found > 0.0 else SOURCE["none"]


def _twice_area(xy: Integers, ring_offsets: Integers) -> int:
    total = 0
    for first, last in zip(ring_offsets[:-1].tolist(), ring_offsets[1:].tolist(), strict=True):
        p = (xy[first:last] - xy[first]).tolist()
        total += sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(p, [*p[1:], p[0]], strict=True))
    return total


def _normal(p: Sequence[Sequence[int]]) -> tuple[int, int, int]:
    x = y = z = 0
    for a, b in zip(p, [*p[1:], p[0]], strict=True):
        x += a[1] * b[2] - a[2] * b[1]
        y += a[2] * b[0] - a[0] * b[2]
        z += a[0] * b[1] - a[1] * b[0]
    return x, y, z


def _ring_of(edge: Integers, ring_offsets: Integers) -> Integers:
    return np.searchsorted(ring_offsets, edge, side="right").astype(np.int64) - 1


def _wall(points: Integers, xy: Integers, ring_offsets: Integers, ground_mm: int) -> _Wall:
    edge, along, distance = outline_positions(points[:, :2], xy, ring_offsets)
    return _Wall(_ring_of(edge, ring_offsets), along, distance / 1000.0, (points[:, 2] - ground_mm) / 1000.0)


def _clear_height(heights: Floats) -> float:
    """Return the height where the facade begins [m], looked for from 0.5 m up to 8 m or to the eaves.

    Scans may meet a facade in bands: it begins between the lowest one and where the next would be.
    """
    top = min(8.0, float(heights.max(initial=0.0)) - 0.5)
    lowest = change_height(heights, 0.5, top) if top > 2.5 else math.nan
    if math.isnan(lowest):
        return lowest
    above = np.sort(heights[(heights >= lowest) & (heights < top)])
    return lowest - 0.5 * float(np.diff(above).max(initial=0.0))


def _length(run: _Run) -> float:
    """Return the length of a run [m]: that of the uniform spread of which its points are a sample."""
    return (run.end - run.start) * 1e-3 * (run.n_point + 1) / max(1, run.n_point - 1)


def _runs(under: Integers, xy: Integers, ring_offsets: Integers, o: OpeningOptions) -> tuple[list[_Run], Floats]:
    lengths = ring_lengths(xy, ring_offsets)
    edge, along, distance = outline_positions(under[:, :2], xy, ring_offsets)
    kept = (distance >= o.margin * 1000.0) & (distance <= o.reach * 1000.0)
    ring = _ring_of(edge[kept], ring_offsets)
    made = lit_runs(ring, along[kept], distance[kept], lengths, o.step * 1000.0, o.gap * 1000.0)
    rows = zip(*(values.tolist() for values in made), strict=True)
    runs = [_Run(r, start, end, n, deep / 1000.0, area * 1e-6) for r, start, end, n, deep, area in rows]
    runs = [_within_sides(run, xy[ring_offsets[run.ring] : ring_offsets[run.ring + 1]]) for run in runs]
    return [run for run in runs if run.n_point >= o.least_points and _length(run) >= o.least_length], lengths


def _within_sides(run: _Run, xy: Integers) -> _Run:
    """End a run at the corner that it passes by no more than it is deep: lit ground there is nearest to the wrong side."""
    corners, way = [], 0.0
    p = xy.tolist()
    for k, b in enumerate(p):
        a, c = p[k - 1], p[(k + 1) % len(p)]
        ux, uy, vx, vy = b[0] - a[0], b[1] - a[1], c[0] - b[0], c[1] - b[1]
        if ux * vy - uy * vx > 0.5 * abs(ux * vx + uy * vy):  # convex, more than 27 degrees
            corners.append(way)
        way += math.sqrt(vx * vx + vy * vy)
    turn = [c + k * way for k in (0, 1, 2) for c in corners]
    over = 1.5 * run.depth * 1000.0
    start = max((c for c in turn if run.start < c <= run.start + over), default=run.start)
    end = min((c for c in turn if run.end - over <= c < run.end), default=run.end)
    return run._replace(start=start, end=end) if start < end else run


def _along(run: _Run, wall: _Wall, lengths: Floats) -> NDArray[np.bool_]:
    """Tell which returns have their nearest position in a run."""
    over = wall.along + lengths[run.ring]
    inside = ((wall.along >= run.start) & (wall.along <= run.end)) | ((over >= run.start) & (over <= run.end))
    return np.asarray(inside & (wall.ring == run.ring))


def _rear_depth(run: _Run, wall: _Wall, lengths: Floats, o: OpeningOptions) -> float:
    """Return how far behind the outline a wall stands [m], from its returns up to 2 m above the ground; inf unseen."""
    low = _along(run, wall, lengths) & (wall.height > 0.3) & (wall.height < 2.0) & (wall.distance <= o.reach)
    # Pillars stand at the outline: a wall that stands back is one only where it is seen along a fifth of the run.
    depths = np.sort(wall.distance[low & (wall.distance > o.margin)])
    behind = depths[depths > 0.8]
    if len(behind) >= max(o.portico_points, 0.2 * _length(run)):
        return float(behind[len(behind) // 2])
    near = depths[depths <= 0.8]
    # A wall gives as many returns as the ground before it: that of a house whose footprint follows the eaves.
    return float(near[len(near) // 2]) if len(near) >= max(o.portico_points, 0.5 * run.n_point) else math.inf


def _passages(
    runs: Sequence[_Run], xy: Integers, ring_offsets: Integers, o: OpeningOptions
) -> tuple[float, set[int], dict[int, float]]:
    """Pair mouths; return the area of passages [m2], the runs that are mouths, and the length that longer runs lose [m]."""
    area = 0.0
    used: set[int] = set()
    taken: dict[int, float] = {}
    for k in sorted(range(len(runs)), key=lambda i: (_length(runs[i]), i)):
        run = runs[k]
        if k in used or _length(run) > o.mouth:
            continue
        hit = _view_across(run, xy, ring_offsets)
        if hit is None:
            continue
        ring, along, way = hit
        length = float(ring_lengths(xy, ring_offsets)[ring])
        for other, end in enumerate(runs):
            if other == k or other in used or end.ring != ring:
                continue
            if not any(end.start - 500.0 <= s <= end.end + 500.0 for s in (along, along + length)):
                continue
            width = _length(run)
            used.add(k)
            if _length(end) <= o.mouth:
                width = 0.5 * (width + _length(end))
                used.add(other)
            else:
                taken[other] = taken.get(other, 0.0) + width
            area += width * way
            break
        else:
            # Arcades are long: one short and bright mouth alone leads through, and the far end is dark or behind a tree.
            if len(runs) == 1 and _length(run) <= o.lone_mouth and run.depth >= o.height_depth and way <= o.longest_passage:
                used.add(k)
                area += _length(run) * way
    return area, used, taken


def _view_across(run: _Run, xy: Integers, ring_offsets: Integers) -> tuple[int, float, float] | None:
    """Look from the middle of a run straight into the building; return ring, way along it [mm], distance [m] of what it meets.

    None where the far side does not face this one within 25 degrees.
    """
    first, last = int(ring_offsets[run.ring]), int(ring_offsets[run.ring + 1])
    ring, middle, way = xy[first:last].tolist(), 0.5 * (run.start + run.end), 0.0
    lengths = [math.sqrt((b[0] - a[0]) ** 2 + (b[1] - a[1]) ** 2) for a, b in zip(ring, [*ring[1:], ring[0]], strict=True)]
    middle %= sum(lengths)
    i = 0
    while i + 1 < len(ring) and way + lengths[i] < middle:
        way += lengths[i]
        i += 1
    a, b = ring[i], ring[(i + 1) % len(ring)]
    ex, ey = (b[0] - a[0]) / lengths[i], (b[1] - a[1]) / lengths[i]
    px, py = a[0] + ex * (middle - way), a[1] + ey * (middle - way)
    best: tuple[int, float, float] | None = None
    nearest, faces = math.inf, False
    for r in range(len(ring_offsets) - 1):
        corners, along = xy[ring_offsets[r] : ring_offsets[r + 1]].tolist(), 0.0
        for c, d in zip(corners, [*corners[1:], corners[0]], strict=True):
            ux, uy = d[0] - c[0], d[1] - c[1]
            length = math.sqrt(ux * ux + uy * uy)
            # Along the inward normal (-ey, ex) from p to the line through c and d.
            cross = -ey * uy - ex * ux
            if length > 0.0 and cross != 0.0:
                t = ((c[0] - px) * uy - (c[1] - py) * ux) / cross
                s = -((c[0] - px) * ex + (c[1] - py) * ey) * length / (ux * ex + uy * ey)
                if t > 1000.0 and 0.0 <= s <= length and t < nearest:
                    nearest, best, faces = t, (r, along + s, t / 1000.0), ux * ex + uy * ey < -0.9 * length
            along += length
    return best if faces else None
