"""Buildings at LoD1.2 from the points in their footprints: ground, roof, quality, and blocks that are valid solids.

Whoever works on a building has all its points, sorted by value, so the building is the same whatever the tiles, ranks or order
of the files.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from felsina.engine.fields import BUILDING_REASONS, BUILDING_STATUS
from felsina.engine.io.vector import Polygons
from felsina.engine.processes.solids import offsets_of, ranges
from felsina.kernels.geometry.extrusion import Prisms, extrude_prisms, triangulate_prisms
from felsina.kernels.geometry.heights import NO_HEIGHT, level_roofs, measure_coverage, pick_percentiles
from felsina.kernels.geometry.polygons import shape_area
from felsina.kernels.geometry.solids import check_solids
from felsina.kernels.pointcloud.raster import sample_nearest

REASON = {name: code for code, name in BUILDING_REASONS.items()}
STATUS = {name: code for code, name in BUILDING_STATUS.items()}

GROUND_REACH_MM = 4000  # around a footprint; a street's width
GROUND_MIN_POINTS = 10  # fewer ground returns than these do not tell a percentile
GROUND_STEP_MM = 1000  # between samples of the ground along a footprint: about two cells of terrain
GROUND_PERCENTILE = 0.05  # the lowest ground that meets the walls, less outliers
LEAST_HEIGHT_MM = 500  # a roof lower than this above its ground is a terrace or a mistake
ASSUMED_STOREY_MM = 3000  # height of a storey where floors are all that is known


class Shapes(Protocol):
    """Polygons of all buildings as flat integer millimetres; see `engine.io.vector.Polygons`."""

    @property
    def xy(self) -> NDArray[np.int64]: ...
    @property
    def ring_offsets(self) -> NDArray[np.int64]: ...
    @property
    def polygon_offsets(self) -> NDArray[np.int64]: ...
    @property
    def row_offsets(self) -> NDArray[np.int64]: ...
    @property
    def shape_offsets(self) -> NDArray[np.int64]: ...


class Heights(NamedTuple):
    """What the points say about each building; (n,) each.

    ground, roof [mm] (NO_HEIGHT where unknown); rmse [m], coverage [1] and density [m-2] (NaN where unknown); number of roof
    points; status and reason codes of `engine.fields`.
    """

    ground: NDArray[np.int64]
    roof: NDArray[np.int64]
    rmse: NDArray[np.float64]
    coverage: NDArray[np.float64]
    density: NDArray[np.float64]
    n_point: NDArray[np.int64]
    status: NDArray[np.int8]
    reason: NDArray[np.int8]


def ground_heights(shapes: Shapes, ground: NDArray[np.float32], west_mm: int, north_mm: int, cell_mm: int) -> NDArray[np.int64]:
    """Return the ground of each building [mm]: a low percentile of the terrain along its outline.

    Parameters
    ----------
    shapes : footprints
    ground : (ny, nx) float32
        Bare ground [m], without voids.
    west_mm, north_mm, cell_mm : of the grid [mm]
    """
    samples, owner = _along_outlines(shapes)
    z = sample_nearest(ground, samples[:, 0] - west_mm, north_mm - samples[:, 1], cell_mm)
    offsets = np.searchsorted(owner, np.arange(len(shapes.row_offsets)))
    return pick_percentiles(z, offsets.astype(np.int64), GROUND_PERCENTILE)


def ground_of_returns(z: NDArray[np.int64], building: NDArray[np.int64], otherwise: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the ground of each building [mm]: a low percentile of the ground returns around it.

    Returns and not cells: turning the city turns no return into another.

    Parameters
    ----------
    z, building : (n_return,) int64
        Heights of ground returns [mm] and the building that each lies near, in any order.
    otherwise : (n_building,) int64
        Ground where there are fewer than `GROUND_MIN_POINTS` returns, from the terrain.
    """
    n = len(otherwise)
    order = np.argsort(building, kind="stable")
    offsets = np.searchsorted(building[order], np.arange(n + 1)).astype(np.int64)
    found = pick_percentiles(np.ascontiguousarray(z[order]), offsets, GROUND_PERCENTILE)
    return np.where(np.diff(offsets) >= GROUND_MIN_POINTS, found, otherwise)


def measure(
    points: NDArray[np.int64],
    building: NDArray[np.int64],
    shapes: Shapes,
    ground: NDArray[np.int64],
    rejected: NDArray[np.bool_],
    attributes: dict[str, NDArray[Any]],
    min_points: int,
) -> Heights:
    """Measure buildings from the points in their footprints.

    The ladder: a roof from points; else the eaves height or the number of floors of the attributes; else a row without solid.

    Parameters
    ----------
    points : (n_point, 3) int64
        x, y, z [mm] in the CRS, in any order.
    building : (n_point,) int64
        Row of the building that holds each point.
    shapes, ground, rejected, attributes : of the n buildings
    min_points : fewest roof points that give a height
    """
    n = len(shapes.row_offsets) - 1
    order = np.lexsort((points[:, 2], points[:, 1], points[:, 0], building))
    points, building = points[order], building[order]
    # Strips overlap and tiles share edges: the same return twice is one return.
    if len(points):
        fresh = np.r_[True, (np.diff(points, axis=0) != 0).any(axis=1) | (np.diff(building) != 0)]
        points, building = points[fresh], building[fresh]
    offsets = np.searchsorted(building, np.arange(n + 1)).astype(np.int64)
    roofs = level_roofs(np.ascontiguousarray(points[:, 2]), offsets, ground)
    coverage, density, _ = measure_coverage(
        np.ascontiguousarray(points[:, :2]), offsets, shapes.xy, shapes.ring_offsets, shapes.shape_offsets
    )
    roof, status, reason = roofs.height.copy(), np.zeros(n, np.int8), np.zeros(n, np.int8)
    few = roofs.n_point < min_points
    low = ~few & (roof - ground < LEAST_HEIGHT_MM)
    reason[few] = np.where(np.diff(offsets)[few] == 0, REASON["no_points"], REASON["too_few_points"])
    reason[low] = REASON["roof_below_ground"]
    lost = few | low
    height = _attribute_height(attributes, n)
    helped = lost & (height > 0)
    roof[lost] = NO_HEIGHT
    roof[helped] = ground[helped] + height[helped]
    status[lost] = STATUS["failed"]
    status[helped], reason[helped] = STATUS["fallback"], REASON["height_from_attributes"]
    status[rejected], roof[rejected] = STATUS["rejected"], NO_HEIGHT
    unknown = lost | rejected
    return Heights(
        ground=ground,
        roof=roof,
        rmse=np.where(unknown, np.nan, roofs.rmse),
        coverage=np.where(rejected, np.nan, coverage),
        density=np.where(rejected, np.nan, density),
        n_point=np.where(rejected, 0, roofs.n_point),
        status=status,
        reason=reason,
    )


class Blocks(NamedTuple):
    """The prisms of all polygons with a valid block, in order of buildings.

    Attributes
    ----------
    prisms : Prisms
    building : (n_prism,) int64
        Building of each prism.
    heights : Heights
        The table, with what the validity check changed.
    """

    prisms: Prisms
    building: NDArray[np.int64]
    heights: Heights


def make_blocks(shapes: Shapes, heights: Heights) -> Blocks:
    """Extrude the footprints from ground to roof and check the solids.

    A building with a solid that fails the ISO 19107 check keeps its row, without geometry, with the reason `invalid_solid`.
    """
    n = len(shapes.row_offsets) - 1
    owner = np.repeat(np.arange(n), np.diff(shapes.row_offsets))
    chosen = np.flatnonzero(heights.roof[owner] != NO_HEIGHT)
    prisms, is_complete = _extruded(shapes, chosen, owner[chosen], heights)
    codes = check_solids(prisms.vertices, prisms.face_rings, prisms.ring_offsets, prisms.face_offsets, prisms.solid_offsets)
    broken = np.unique(owner[chosen[(codes != 0) | ~is_complete]])
    if len(broken):
        roof, status, reason = heights.roof.copy(), heights.status.copy(), heights.reason.copy()
        roof[broken], status[broken], reason[broken] = NO_HEIGHT, STATUS["failed"], REASON["invalid_solid"]
        heights = heights._replace(roof=roof, status=status, reason=reason)
        chosen = chosen[~np.isin(owner[chosen], broken)]
        prisms, _ = _extruded(shapes, chosen, owner[chosen], heights)
    return Blocks(prisms, owner[chosen].astype(np.int64), heights)


def footprint_areas(shapes: Shapes) -> NDArray[np.float64]:
    """Return the area of each footprint [m2]."""
    return shape_area(shapes.xy, shapes.ring_offsets, shapes.shape_offsets)


def rows_of(shapes: Shapes, rows: NDArray[np.int64]) -> Polygons:
    """Return the footprints of some buildings, in the given order."""
    polygons = ranges(shapes.row_offsets[rows], shapes.row_offsets[rows + 1])
    xy, rings, offsets = _part(shapes, polygons)
    return Polygons(xy, rings, offsets, offsets_of(np.diff(shapes.row_offsets)[rows]))


def _extruded(
    shapes: Shapes, polygons: NDArray[np.int64], owner: NDArray[np.int64], heights: Heights
) -> tuple[Prisms, NDArray[np.bool_]]:
    """Return the prisms of some polygons, and whether each polygon can be triangulated."""
    xy, rings, offsets = _part(shapes, polygons)
    prisms = extrude_prisms(xy, rings, offsets, heights.ground[owner], heights.roof[owner])
    return prisms, triangulate_prisms(prisms, xy, rings, offsets)[2]


def _part(shapes: Shapes, polygons: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return vertices, ring offsets and polygon offsets of some polygons."""
    first, last = shapes.polygon_offsets[polygons], shapes.polygon_offsets[polygons + 1]
    rings = ranges(first, last)
    vertices = ranges(shapes.ring_offsets[rings], shapes.ring_offsets[rings + 1])
    counts = np.diff(shapes.ring_offsets)[rings]
    return np.ascontiguousarray(shapes.xy[vertices]), offsets_of(counts), offsets_of(last - first)


def _along_outlines(shapes: Shapes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return points about every metre along all rings [mm], and the building of each, ascending."""
    xy, rings = shapes.xy, shapes.ring_offsets
    following = np.arange(1, len(xy) + 1)
    following[rings[1:] - 1] = rings[:-1]
    step = xy[following] - xy
    longest = np.abs(step).max(axis=1, initial=0)
    pieces = np.maximum(1, -(-longest // GROUND_STEP_MM))
    start = np.repeat(np.arange(len(xy)), pieces)
    k = ranges(np.zeros(len(pieces), np.int64), pieces)
    samples = xy[start] + (step[start] * k[:, None]) // pieces[start][:, None]
    ring_row = np.searchsorted(shapes.shape_offsets, np.arange(len(rings) - 1), side="right") - 1
    return samples, np.repeat(ring_row, np.diff(rings))[start]


def _attribute_height(attributes: dict[str, NDArray[Any]], n: int) -> NDArray[np.int64]:
    """Return the height above ground that the attributes state [mm], 0 where they do not."""
    height = np.zeros(n, np.int64)
    if "floors" in attributes:
        height = np.maximum(attributes["floors"].astype(np.int64), 0) * ASSUMED_STOREY_MM
    if "height_eaves_m" in attributes:
        foot = attributes.get("height_foot_m", np.zeros(n))
        given = attributes["height_eaves_m"] - foot
        known = np.isfinite(given) & (given * 1000 >= LEAST_HEIGHT_MM)
        height[known] = np.rint(given[known] * 1000).astype(np.int64)
    return height
