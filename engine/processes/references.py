"""Footprints and heights against each other and against what is known: overlaps, the vertical datum and its unit."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from felsina.engine.io.crs import METRE, units
from felsina.engine.io.las import read_header
from felsina.engine.processes.quality import Finding
from felsina.kernels.quality.heights import (
    AGREES,
    ELLIPSOID,
    FEET_FOUND,
    FEET_KNOWN,
    OFFSET,
    TOO_FEW,
    UNRELATED,
    compare_heights,
)

if TYPE_CHECKING:
    from pyproj import CRS

SAME_SHARE = 0.9  # of the area: two outlines of one building, or one within the other
SLIVER_WIDTH_M = 0.2  # of an overlap that drawing explains: large-scale maps are that exact
LEAST_OVERLAP_M2 = 0.01
OVERLAPS = ("duplicate", "contained", "overlap", "sliver")
_VERDICTS = {
    AGREES: "agrees",
    FEET_FOUND: "points_in_feet",
    FEET_KNOWN: "reference_in_feet",
    ELLIPSOID: "ellipsoidal_against_orthometric",
    OFFSET: "constant_offset",
    UNRELATED: "unrelated",
    TOO_FEW: "too_few",
}


class Overlaps(NamedTuple):
    """Pairs of footprints that overlap, (n,) each, by first, then second row.

    first, second : rows, first < second
    area : common area [m2]
    width : of the common area, twice its area over its perimeter [m]
    kind : number in `OVERLAPS`
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    area: NDArray[np.float64]
    width: NDArray[np.float64]
    kind: NDArray[np.int8]


class Vertical(NamedTuple):
    """What the header of a point file says of its heights.

    datum : name of the vertical CRS, "" where none is stated
    is_ellipsoidal : heights above the ellipsoid, by a three-dimensional CRS or the name of the vertical one
    horizontal, vertical : metres per unit of x and y, and of z; None where not stated
    """

    datum: str
    is_ellipsoidal: bool
    horizontal: float | None
    vertical: float | None


def find_overlaps(geometry: Sequence[Sequence[shapely.Polygon]]) -> Overlaps:
    """Find the pairs of footprints that cover common ground. For one rank.

    duplicate: the common area is nine tenths of what both cover; contained: nine tenths of the smaller one; sliver: narrower
    than `SLIVER_WIDTH_M`; overlap: the rest.
    """
    shapes = np.array([shapely.MultiPolygon(list(parts)) for parts in geometry], object)
    if len(shapes) == 0:
        return Overlaps(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0), np.zeros(0), np.zeros(0, np.int8))
    left, right = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    left, right = left[left < right], right[left < right]
    order = np.lexsort((right, left))
    left, right = left[order], right[order]
    common = shapely.intersection(shapes[left], shapes[right])
    area, round_it = np.round(shapely.area(common), 6), shapely.length(common)
    kept = area >= LEAST_OVERLAP_M2
    left, right, area, round_it = left[kept], right[kept], area[kept], round_it[kept]
    own = shapely.area(shapes)
    width = 2.0 * area / round_it
    smaller, union = np.minimum(own[left], own[right]), own[left] + own[right] - area
    kind = np.full(len(area), OVERLAPS.index("overlap"), np.int8)
    kind[width < SLIVER_WIDTH_M] = OVERLAPS.index("sliver")
    kind[area >= SAME_SHARE * smaller] = OVERLAPS.index("contained")
    kind[area >= SAME_SHARE * union] = OVERLAPS.index("duplicate")
    return Overlaps(left.astype(np.int64), right.astype(np.int64), area, width, kind)


def overlap_figures(overlaps: Overlaps, ids: Sequence[str], limit_m2: float) -> Finding:
    """Return the counts and areas of overlaps, and a sentence where they are more than drawing explains.

    Parameters
    ----------
    overlaps : of `find_overlaps`
    ids : of the rows
    limit_m2 : a pair with less common area is not told, nor are slivers [m2]
    """
    o = overlaps
    figures: dict[str, Any] = {f"{name}_pairs": int(np.count_nonzero(o.kind == k)) for k, name in enumerate(OVERLAPS)}
    figures["area_m2"] = round(math.fsum(o.area.tolist()), 3)
    told = np.flatnonzero((o.kind != OVERLAPS.index("sliver")) & (o.area >= limit_m2))
    if len(told) == 0:
        return Finding(figures, [])
    told = told[np.argsort(-o.area[told], kind="stable")]
    figures["pairs"] = [
        {"ids": [ids[o.first[k]], ids[o.second[k]]], "area_m2": round(float(o.area[k]), 2), "kind": OVERLAPS[o.kind[k]]}
        for k in told[:20]
    ]
    first, kinds = figures["pairs"][0], Counter(OVERLAPS[k] for k in o.kind[told])
    counts = ", ".join(f"{kinds[name]:,} {name}" for name in OVERLAPS if kinds[name])
    sentence = (
        f"{len(told):,} pairs of footprints overlap by {limit_m2:g} m2 or more (quality.overlap_m2), "
        f"{math.fsum(o.area[told].tolist()):,.1f} m2 in all ({counts}); the largest are '{first['ids'][0]}' and "
        f"'{first['ids'][1]}', {first['area_m2']:,.1f} m2. Their points, volumes and walls count twice: drop duplicates, "
        "cut the others where the buildings meet."
    )
    return Finding(figures, [sentence])


def stated_vertical(path: Path) -> Vertical:
    """Read what the header of a LAS or LAZ file says of its heights. For one rank."""
    stated = read_header(path)[1]
    crs = stated.crs
    across, up = (None, None) if crs is None else (units(crs)[0] if _is_flat(crs) else METRE, units(crs)[1])
    datum, is_ellipsoidal = ("", False) if crs is None else _vertical_of(crs)
    across, up = stated.horizontal or across, stated.vertical or up
    return Vertical(datum, is_ellipsoidal, None if across is None else float(across), None if up is None else float(up))


def vertical_figures(stated: Sequence[Vertical], names: Sequence[str]) -> Finding:
    """Return the vertical datums that the files state, and sentences where they differ, are ellipsoidal or leave z open.

    Parameters
    ----------
    stated : of each point file
    names : of the files, for messages
    """
    datums = sorted({s.datum for s in stated})
    figures: dict[str, Any] = {"datums": [d or "not stated" for d in datums]}
    notes = []
    if len(datums) > 1:
        of = {s.datum: n for s, n in zip(reversed(stated), reversed(names), strict=True)}
        notes.append(
            "The point files state different vertical datums: "
            + "; ".join(f"'{of[d]}' {d or 'none'}" for d in datums)
            + ". Heights of one city need one datum: transform the files that differ."
        )
    ellipsoidal = [n for s, n in zip(stated, names, strict=True) if s.is_ellipsoidal]
    if ellipsoidal:
        notes.append(
            f"'{ellipsoidal[0]}' states heights above the ellipsoid ({len(ellipsoidal):,} of {len(stated):,} files). "
            "Maps, footprints and flood levels give heights above the geoid, tens of metres apart: transform the points with a "
            "geoid model."
        )
    feet = [n for s, n in zip(stated, names, strict=True) if s.horizontal not in (None, 1.0) and s.vertical is None]
    if feet:
        notes.append(
            f"'{feet[0]}' has x and y in feet and says nothing of z ({len(feet):,} of {len(stated):,} files); z is taken to be "
            "in feet too. If it is in metres, state so in the CRS of the file: as it is, heights come out as a third."
        )
    return Finding(figures, notes)


def datum_figures(found: NDArray[np.int64], known: NDArray[np.int64], what: str, limit_m: float) -> Finding:
    """Compare heights found with heights known, and say what a difference looks like.

    Parameters
    ----------
    found, known : (n,) int64
        Heights of the same places [mm]: ground of the buildings and foot heights of the attributes, or terrain and control
        points.
    what : name of the known heights, for the sentence
    limit_m : largest median difference that passes [m]
    """
    d = compare_heights(found, known, limit_m)
    figures: dict[str, Any] = {"places": d.n, "verdict": _VERDICTS[d.verdict]}
    if d.verdict == TOO_FEW:
        return Finding(figures, [])
    figures |= {"median_m": round(d.median, 3), "deviation_m": round(d.deviation, 3)}
    if d.verdict == AGREES:
        return Finding(figures, [])
    side = "above" if d.median > 0 else "below"
    lead = (
        f"The ground of the points lies {abs(d.median):.2f} m {side} {what} in the median of {d.n:,} places (spread "
        f"{d.deviation:.2f} m), limit {limit_m:g} m (quality.datum_m)."
    )
    ways = {
        FEET_FOUND: "The heights of the points fit when they are read as feet: state the unit of z in the CRS of the files.",
        FEET_KNOWN: f"The heights of {what} fit when they are read as feet: convert them to metres.",
        ELLIPSOID: "A constant of this size is the height of the geoid above the ellipsoid (36 to 53 m in Italy, 39 to 41 m "
        "around Bologna): one of the two is ellipsoidal. Transform it with the geoid model of the country.",
        OFFSET: "It is constant: two vertical datums, or a wrong control height. Name the datum of both and transform one.",
        UNRELATED: "It is not constant: the two do not describe the same ground, or the attribute holds something else.",
    }
    return Finding(figures, [f"{lead} {ways[d.verdict]}"])


def _is_flat(crs: CRS) -> bool:
    """Tell whether the horizontal axes of a CRS are lengths."""
    return bool(crs.is_projected) or (crs.is_compound and bool(crs.sub_crs_list[0].is_projected))


def _vertical_of(crs: CRS) -> tuple[str, bool]:
    """Return the name of the vertical part of a CRS, and whether its heights are above the ellipsoid."""
    if crs.is_compound:
        name = str(crs.sub_crs_list[-1].name)
        return name, "ellips" in name.lower()
    if len(crs.axis_info) == 3 and units(crs)[1] is not None:
        return f"{crs.name}, ellipsoidal height", True
    return "", False
