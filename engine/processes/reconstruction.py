"""One building: its points and footprint to solids of LoD2.2, LoD1.3 and LoD1.2.

Planes by region growing, lines where they meet or end, the arrangement of these lines in the footprint, a label of least energy
for each face, then solids over the labelled faces. Everything is in whole millimetres from an origin of the building's own, and
the points are sorted by position first: the result depends on the set of points in the footprint, on the footprint and on the
ground, not on tiles, neighbours, the order of points or the clock. Work is bounded by the number of lines.

The ladder: where labels make no valid solid, something gives way (`roof_ladder`), and a level that fails is the one below it.
What was given up is in `Building.reason`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from felsina.engine.city import BuildingOptions, ReconstructionOptions
from felsina.engine.fields import RECONSTRUCTION_REASONS
from felsina.engine.processes.roof_ladder import REASON, Part, attempt, solid_code
from felsina.kernels.geometry.arrangement import arrange
from felsina.kernels.geometry.face_costs import (
    data_costs,
    face_centroids,
    label_residuals,
    locate_points_in_faces,
    smoothness_costs,
)
from felsina.kernels.geometry.labelling import label_faces
from felsina.kernels.geometry.membership import locate_points
from felsina.kernels.geometry.polygons import canonical_order
from felsina.kernels.geometry.roof_edges import LineOptions, find_roof_lines
from felsina.kernels.geometry.roof_levels import connected_parts, level_steps, measure_roof
from felsina.kernels.geometry.roof_partition import dissolve
from felsina.kernels.geometry.roof_solid import BUILT, RoofSolid, build_solid
from felsina.kernels.geometry.solids import VALID
from felsina.kernels.pointcloud.planes import Planes, detect_planes, find_neighbours

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

LODS = ("1.2", "1.3", "2.2")
REASONS = RECONSTRUCTION_REASONS

# Points that err together: a ridge in the wrong place. So chosen that 90 % of the buildings of thinned clouds are covered.
_POINTS_OF_ONE_MIND = 12
_UNKNOWN_HEIGHT_M = 6.0  # range of heights that a single point stands for
WIDEST_MM = 1_500_000  # coordinates of a footprint from its origin; squares of more, times a million points, leave 63 bits
TALLEST_MM = 1_000_000  # above and below the ground
_FARTHEST_MM = 2**62


@dataclass(frozen=True)
class Options:
    """How roofs are made.

    Attributes
    ----------
    min_points : with fewer points in the footprint no plane is looked for: a block at their median; `buildings.min_points`
    roofs : section `[reconstruction]` of the city file
    """

    min_points: int = BuildingOptions.min_points
    roofs: ReconstructionOptions = field(default_factory=ReconstructionOptions)


class Uncertainty(NamedTuple):
    """Standard deviations of a building: mean roof height [m], roof area [m2], volume [m3].

    They hold the covariances of the planes and what labels may miss. The
    footprint and the ground are taken to be exact.
    """

    height: float
    area: float
    volume: float


@dataclass
class Building:
    """What was made of a footprint.

    Attributes
    ----------
    solids : dict
        Level of detail -> solids, one for each part of the footprint; empty where there is no geometry.
    level : str
        Level of detail that the solids at "2.2" really have; "" without geometry.
    reason : int
        Code of REASONS; 0 where every step worked.
    n_point, n_plane, n_face : int
        Points used, planes found, faces of the arrangement.
    roof_height : float
        Mean height of the LoD2.2 roof [m] in the frame of the points: that of the LoD1.2 block.
    area, volume : float
        Area of the sloping roof [m2], volume under it [m3].
    uncertainty : Uncertainty
        From the covariances of the planes.
    """

    solids: dict[str, list[RoofSolid]] = field(default_factory=dict)
    level: str = ""
    reason: int = 0
    n_point: int = 0
    n_plane: int = 0
    n_face: int = 0
    roof_height: float = float("nan")
    area: float = float("nan")
    volume: float = float("nan")
    uncertainty: Uncertainty = field(default_factory=lambda: Uncertainty(*[float("nan")] * 3))


def reconstruct(
    points: Integers, parts: Sequence[Sequence[Integers]], ground_mm: int, options: Options = Options()
) -> Building:
    """Build the solids of one building.

    Parameters
    ----------
    points : (n, 3) int64
        Points in the footprint [mm], in any order; x, y from an origin of the building's own.
    parts : polygons, each a list of (n, 2) int64 rings
        The footprint in the same frame [mm]: exterior anticlockwise, then holes clockwise; not closed.
    ground_mm : int
        Height of the ground [mm].
    options : Options

    Returns
    -------
    Building
    """
    made = Building()
    if not _is_usable(parts):
        made.reason = REASON["invalid_footprint"]
        return made
    points = _near(points, ground_mm)
    points = np.ascontiguousarray(points[canonical_order(points[:, 0], points[:, 1], points[:, 2])])
    made.n_point = len(points)
    if len(points) == 0:
        made.reason = REASON["no_points"]
        return made
    median = _median(points)
    if median - ground_mm < options.roofs.least_height_m * 1000:
        made.reason = REASON["roof_below_ground"]
        return made
    outlines = [_outline(rings) for rings in parts]
    shares = _share(points, parts)
    worked = [_label_part(o, p, ground_mm, median, options) for o, p in zip(outlines, shares, strict=True)]
    if any(w is None for w in worked):
        made.reason = REASON["invalid_footprint"]
        return made
    labelled = [w for w in worked if w is not None]
    made.n_plane = sum(len(p.planes.coefficients) for p in labelled)
    made.n_face = sum(len(p.arrangement.area2) for p in labelled)
    if made.n_plane == 0:
        made.reason = REASON["no_plane" if len(points) >= options.min_points else "too_few_points"]
    _measure(made, labelled, ground_mm)
    _build_levels(made, labelled, ground_mm, options)
    return made


def _is_usable(parts: Sequence[Sequence[Integers]]) -> bool:
    """Tell whether there is a footprint, each part of it with corners, near enough to its origin."""
    corners = [ring for part in parts for ring in part if len(ring)]
    is_whole = len(parts) > 0 and all(len(part) and all(map(len, part)) for part in parts)
    return is_whole and max(int(r.max()) for r in corners) <= WIDEST_MM and min(int(r.min()) for r in corners) >= -WIDEST_MM


def _near(points: Integers, ground: int) -> Integers:
    """Return the points that may be of a building at the origin: squares of others would overflow."""
    low, high = (min(max(ground + d, -_FARTHEST_MM), _FARTHEST_MM) for d in (-TALLEST_MM, TALLEST_MM))
    is_near = (points >= (-WIDEST_MM, -WIDEST_MM, low)) & (points <= (WIDEST_MM, WIDEST_MM, high))
    return points[is_near.all(axis=1)]


def _median(points: Integers) -> int:
    """Return the upper median of the heights."""
    return int(np.sort(points[:, 2])[len(points) // 2])


def line_options(o: ReconstructionOptions) -> LineOptions:
    """Return the numbers of the search for lines, angles in radians."""
    return LineOptions(
        free_angle=math.radians(o.free_angle_deg),
        window=o.window_m,
        run_gap=o.run_gap_m,
        least_length=o.least_length_m,
        least_points=o.least_points,
        shift=o.shift_m,
        direction_tolerance=math.radians(o.direction_tolerance_deg),
        merge_offset=o.merge_offset_m,
        extension=o.extension_m,
        plenty=o.plenty,
        meeting_distance=o.meeting_distance_m,
        least_slope=o.least_slope,
    )


def _outline(rings: Sequence[Integers]) -> Integers:
    """Return the edges x0, y0, x1, y1 of a polygon."""
    return np.ascontiguousarray(np.concatenate([np.hstack((r, np.roll(r, -1, axis=0))) for r in rings]))


def _share(points: Integers, parts: Sequence[Sequence[Integers]]) -> list[Integers]:
    """Return the points of each part."""
    if len(parts) == 1:
        return [points]
    rings = [ring for part in parts for ring in part]
    ring_offsets = np.cumsum([0, *map(len, rings)]).astype(np.int64)
    offsets = np.cumsum([0, *map(len, parts)]).astype(np.int64)
    owner = locate_points(np.ascontiguousarray(points[:, :2]), np.concatenate(rings), ring_offsets, offsets)
    return [np.ascontiguousarray(points[owner == k]) for k in range(len(parts))]


def _label_part(outline: Integers, points: Integers, ground: int, median: int, options: Options) -> Part | None:
    """Find planes and lines, arrange and label; None where the outline cannot be arranged.

    `median` is the level of a part without points: that of the whole building.
    """
    x, y = outline[:, 0], outline[:, 1]
    area = float((x * outline[:, 3] - outline[:, 2] * y).sum()) * 0.5e-6
    planes = _find_planes(points, area, options)
    lines = np.empty((0, 4), np.int64)
    if len(planes[0].coefficients):
        lines = find_roof_lines(
            points, planes[1], planes[0].label, planes[0].coefficients, outline, line_options(options.roofs)
        )
    arrangement = arrange(outline, lines)
    if arrangement is None:
        return None
    found = planes[0]
    is_used = found.label >= 0
    if np.count_nonzero(is_used) < 3:
        is_used[:] = True
    used = np.ascontiguousarray(points[is_used])
    # A level roof at the median is a label too: there is always one that is possible everywhere.
    level = _median(points) if len(points) else median
    level = max(level, ground + round(options.roofs.least_height_m * 1000))
    coefficients = np.concatenate((found.coefficients * (1.0, 1.0, 1000.0), [(0.0, 0.0, float(level))]))
    highest = int(points[:, 2].max()) + 1000 if len(points) else level
    face = locate_points_in_faces(points, arrangement)
    cap = round(options.roofs.cap_m * 1e3)
    cost = data_costs(used, face[is_used], arrangement, coefficients, ground + 300, highest, cap)
    pairs, weight = smoothness_costs(arrangement, round(options.roofs.smoothness * 1e6))
    label = label_faces(cost, pairs, weight)
    n_point, mean_square = label_residuals(points, face, label, coefficients, cap)
    n, spread = len(points), _UNKNOWN_HEIGHT_M
    if n > 1:
        # n draws from a range reach over (n - 1) / (n + 1) of it.
        spread = float(points[:, 2].max() - points[:, 2].min()) * 1e-3 * (n + 1) / (n - 1)
    # Beside the planes' own errors, what the labels miss: residuals, with one point's worth of not knowing anything.
    guess = spread**2 / 12.0
    variance = (n_point * mean_square + guess) / (n_point + 1) / np.maximum(n_point / _POINTS_OF_ONE_MIND, 1.0)
    return Part(outline, arrangement, coefficients, cost, label, face_centroids(arrangement), found, variance)


def _find_planes(points: Integers, area: float, options: Options) -> tuple[Planes, NDArray[np.int32]]:
    """Detect planes, less strictly in a sparse cloud; return them with the neighbours."""
    density, o = len(points) / max(area, 1.0), options.roofs
    search = (o.neighbours, o.normal_neighbours, o.plane_distance_m, o.plane_cosine, o.plane_points)
    # Eight points 1 m apart lie on more than one plane of a small roof, and their normals are rough.
    if density < o.scant_density:
        search = (
            o.scant_neighbours,
            o.scant_normal_neighbours,
            o.scant_plane_distance_m,
            o.scant_plane_cosine,
            o.scant_plane_points,
        )
    elif density < o.sparse_density:
        search = (
            o.sparse_neighbours,
            o.sparse_normal_neighbours,
            o.sparse_plane_distance_m,
            o.sparse_plane_cosine,
            o.sparse_plane_points,
        )
    k, k_normal, distance, cosine, least = search
    if len(points) < options.min_points:
        least = options.min_points
    neighbours = find_neighbours(points, k, k_normal)
    return detect_planes(points, neighbours, distance, cosine, least), neighbours.nearest


def _measure(made: Building, parts: Sequence[Part], ground: int) -> None:
    """Set height, area and volume under the labelled planes, and their standard deviations."""
    total = [0.0] * 5
    for p in parts:
        sums = measure_roof(
            p.arrangement.area2, p.label, p.centroid, p.variance, p.coefficients, p.planes.centroid, p.planes.covariance
        )
        total = [a + float(b) for a, b in zip(total, sums, strict=True)]
    area, under, roof, under_variance, roof_variance = total
    made.roof_height = under / area
    made.area = roof
    made.volume = under - area * ground * 1e-3
    sigma = math.sqrt(under_variance)
    made.uncertainty = Uncertainty(sigma / area, math.sqrt(roof_variance), sigma)


def _build_levels(made: Building, parts: Sequence[Part], ground: int, options: Options) -> None:
    """Build LoD1.2, LoD1.3 and LoD2.2 of all parts, each level no better than the one below where it fails."""
    block = [_block(p, made.roof_height, ground) for p in parts]
    if any(b is None for b in block):
        made.reason = REASON["invalid_footprint"]
        return
    made.solids["1.2"] = [b for b in block if b is not None]
    stepped = [attempt(p, *_steps(p, ground, options), ground) for p in parts]
    full = [attempt(p, p.label, p.coefficients, ground) for p in parts]
    made.solids["1.3"] = [s[0] or b for s, b in zip(stepped, made.solids["1.2"], strict=True)]
    made.solids["2.2"] = [f[0] or s for f, s in zip(full, made.solids["1.3"], strict=True)]
    if any(f[0] is None for f in full):
        is_block = any(f[0] is None and s[0] is None for f, s in zip(full, stepped, strict=True))
        made.level, made.reason = ("1.2", REASON["no_lod1.3"]) if is_block else ("1.3", REASON["no_lod2.2"])
        return
    made.level = "2.2" if made.n_plane else "1.2"
    if made.reason == 0:
        made.reason = max(f[1] for f in full)


def _block(part: Part, height: float, ground: int) -> RoofSolid | None:
    """Return the prism of a part, None where it is not valid."""
    arrangement = arrange(part.outline, np.empty((0, 4), np.int64))
    if arrangement is None:
        return None
    label = np.zeros(len(arrangement.area2), np.int64)
    partition = dissolve(arrangement.xy, arrangement.origin, arrangement.face, arrangement.source, label)
    level = np.array([[0.0, 0.0, np.floor(height * 1000 + 0.5)]])
    solid, outcome, _ = build_solid(partition, level, ground)
    return solid if outcome == BUILT and solid is not None and solid_code(solid) == VALID else None


def _steps(part: Part, ground: int, options: Options) -> tuple[Integers, Floats]:
    """Return labels and level planes of LoD1.3: parts that touch and differ by less than a step take their mean height."""
    a = part.arrangement
    connected = connected_parts(a.face, part.label)
    group, height = level_steps(
        a.face, a.area2, connected, part.label, part.centroid, part.coefficients, options.roofs.step_m * 1000
    )
    levels = np.zeros((len(height), 3))
    levels[:, 2] = np.maximum(np.floor(height + 0.5), ground + options.roofs.least_height_m * 1000)
    return group, levels
