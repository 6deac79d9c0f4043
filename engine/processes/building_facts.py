"""What points and models say of the buildings of a unit: fit of the roof, its type and heights, openings, signs of change."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from felsina.engine.io.vector import Polygons
from felsina.engine.parallel.world import World
from felsina.engine.processes.footprint_points import ELSEWHERE, INSIDE, ON_GROUND, ON_ROOF, UnitPoints
from felsina.engine.processes.porticoes import (
    ATTRIBUTES,
    Openings,
    find_openings,
    opening_columns,
    roof_overhang,
    solid_planes,
    with_attributes,
)
from felsina.engine.processes.solids import Solids, roof_solid
from felsina.kernels.geometry.heights import NO_HEIGHT, pick_percentiles
from felsina.kernels.geometry.polygons import canonical_order
from felsina.kernels.geometry.roof_facts import roof_facts
from felsina.kernels.geometry.roof_solid import RoofSolid
from felsina.kernels.quality.change import NO_ROOF, roof_heights
from felsina.kernels.quality.offset import free_edges

Integers = NDArray[np.int64]

COLUMNS = (
    *("building_rmse", "building_bias", "building_distance_p95", "building_unexplained_share"),
    *("building_roof_type", "building_ridge_elevation", "building_eaves_elevation"),
    *opening_columns([], []),
)
UNEXPLAINED_MM = 500  # farther from the roof, a point is no noise: 3DBAG's reports count from here as well
_P95 = 0.95


def unit_columns(
    points: UnitPoints, shapes: Polygons, ground: Integers, attributes: Mapping[str, NDArray[Any]], solids: Solids
) -> dict[str, NDArray[Any]]:
    """Return the columns of the building table that follow from points and models, by field.

    Parameters
    ----------
    points : of n rows; `row` counts from the first
    shapes : footprints
    ground : (n,) int64
        Of the rows [mm].
    attributes : columns of the footprints' file
    solids : of the highest level of each row, in the CRS
    """
    n = len(ground)
    facts = roof_facts(
        solids.vertices, solids.face_rings, solids.ring_offsets, solids.face_offsets, solids.face_type, solids.face_row, n
    )
    fits, openings, overhangs = np.full((n, 4), np.nan), [], np.full(n, np.nan)
    cuts = np.searchsorted(points.row, np.arange(n + 1))
    first = np.searchsorted(solids.row, np.arange(n + 1))
    for k in range(n):
        rings = slice(int(shapes.shape_offsets[k]), int(shapes.shape_offsets[k + 1]))
        start, end = (int(shapes.ring_offsets[r]) for r in (rings.start, rings.stop))
        if start == end:
            openings.append(Openings())
            continue
        origin = np.append(shapes.xy[start:end].min(axis=0) // 1000 * 1000, 0)
        xy, ring_offsets = shapes.xy[start:end] - origin[:2], shapes.ring_offsets[rings.start : rings.stop + 1] - start
        mine = points.take(slice(int(cuts[k]), int(cuts[k + 1])))
        xyz = mine.xyz - origin
        is_inside, is_roof, is_ground, is_elsewhere = (mine.kind & bit != 0 for bit in (INSIDE, ON_ROOF, ON_GROUND, ELSEWHERE))
        models = [roof_solid(solids, m, origin) for m in range(int(first[k]), int(first[k + 1]))]
        fits[k] = _fit(xyz[is_inside & is_roof], models)
        beside = xyz[is_roof & ~is_inside]
        found = find_openings(xyz[is_ground & is_inside], xyz[is_roof & is_inside], xy, ring_offsets, int(ground[k]), beside)
        told = {name: float(attributes[name][k]) for name in ATTRIBUTES if name in attributes}
        openings.append(with_attributes(found, told))
        free = xyz[is_roof & ~is_inside & ~is_elsewhere]
        overhangs[k] = roof_overhang(free, xy, ring_offsets, solid_planes(models, xy[0].tolist()))
    has_roof = facts.ridge != NO_HEIGHT
    return {
        "building_rmse": fits[:, 0],
        "building_bias": fits[:, 1],
        "building_distance_p95": fits[:, 2],
        "building_unexplained_share": fits[:, 3],
        "building_roof_type": facts.roof_type,
        "building_ridge_elevation": np.where(has_roof, facts.ridge / 1000.0, np.nan),
        "building_eaves_elevation": np.where(has_roof, facts.eaves / 1000.0, np.nan),
        **opening_columns(openings, overhangs.tolist()),
    }


def shared_free_edges(world: World, shapes: Polygons) -> NDArray[np.bool_]:
    """Return which edges of all footprints have no other footprint beside them; every rank looks at some. Collective."""
    edges = np.arange(*world.share_of(len(shapes.xy)))
    return np.concatenate(world.allgather(free_edges(shapes.xy, shapes.ring_offsets, shapes.shape_offsets, edges)))


def _fit(points: Integers, models: list[RoofSolid]) -> tuple[float, float, float, float]:
    """Return root mean square, mean and 95th percentile of the vertical distances of points to the roof [m], share above 0.5 m.

    All are sums of whole millimetres; the percentile is that of the absolute distances.
    """
    points = points[canonical_order(points[:, 0], points[:, 1], points[:, 2])]
    xy = np.ascontiguousarray(points[:, :2])
    roof = np.full(len(points), NO_ROOF, np.int64)
    for model in models:
        roof = np.maximum(roof, roof_heights(xy, model))
    known = roof != NO_ROOF
    distance = points[known, 2] - roof[known]
    count = len(distance)
    if count == 0:
        return (math.nan,) * 4
    far = np.abs(distance)
    p95 = int(pick_percentiles(far, np.array([0, count]), _P95)[0])
    square = int((distance * distance).sum())
    beyond = int(np.count_nonzero(far > UNEXPLAINED_MM))
    return math.sqrt(square / count) / 1000.0, int(distance.sum()) / count / 1000.0, p95 / 1000.0, beyond / count
