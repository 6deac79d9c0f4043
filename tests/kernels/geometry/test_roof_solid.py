from __future__ import annotations

import numpy as np
import pytest
import shapely

from felsina.kernels.geometry.arrangement import arrange
from felsina.kernels.geometry.extrusion import GROUND, ROOF, WALL
from felsina.kernels.geometry.roof_partition import dissolve, tidy
from felsina.kernels.geometry.roof_solid import BUILT, PINCHED, SUNK, UNEVEN, build_solid, find_uneven
from felsina.kernels.geometry.solids import check_solids


def _edges(*rings):
    rings = [np.asarray(r, np.int64) for r in rings]
    return np.concatenate([np.hstack((r, np.roll(r, -1, axis=0))) for r in rings])


SQUARE = _edges([(0, 0), (10_000, 0), (10_000, 10_000), (0, 10_000)])
ACROSS, UP = (-1, 5000, 10_001, 5000), (5000, -1, 5000, 10_001)


def _partition(outline, lines, label):
    made = arrange(outline, np.array(lines, np.int64).reshape(-1, 4))
    label = np.asarray(label, np.int64) if np.ndim(label) else np.full(len(made.area2), label)
    return made, dissolve(made.xy, made.origin, made.face, made.source, label)


def _faces(solid):
    rings = np.split(solid.face_rings, solid.ring_offsets[1:-1])
    return [rings[a:b] for a, b in zip(solid.face_offsets[:-1], solid.face_offsets[1:], strict=True)]


def _volume(solid):
    """Return the volume [m3] by the divergence theorem over fans of triangles."""
    v = solid.vertices / 1000.0
    total = 0.0
    for rings in _faces(solid):
        for ring in rings:
            p = v[ring]
            total += np.cross(p[1:-1] - p[0], p[2:] - p[0]).sum(axis=0) @ p[0] / 6
    return total


def _code(solid):
    offsets = np.array([0, len(solid.face_type)], np.int64)
    return check_solids(solid.vertices, solid.face_rings, solid.ring_offsets, solid.face_offsets, offsets)[0]


def test_a_gable_is_a_prism_with_a_triangle_on_each_end():
    planes = np.array([[0.0, 0.5, 3000.0], [0.0, -0.5, 8000.0]])
    made, _ = _partition(SQUARE, [ACROSS], [0, 0])
    order = np.argsort([made.xy[made.origin[made.face == f], 1].mean() for f in range(2)])
    label = np.empty(2, np.int64)
    label[order] = (0, 1)
    solid, outcome, _ = build_solid(dissolve(made.xy, made.origin, made.face, made.source, label), planes, 0)
    assert outcome == BUILT and _code(solid) == 0
    assert _volume(solid) == pytest.approx(10 * 10 * (3 + 5.5) / 2)
    # One wall a side of the footprint, the gable ends with a corner at the ridge.
    assert np.bincount(solid.face_type).tolist() == [1, 4, 2]
    assert sorted(solid.face_source[solid.face_type == WALL].tolist()) == [0, 1, 2, 3]
    assert len(solid.vertices) == 10


def test_a_step_has_a_wall_between_its_roofs():
    _, p = _partition(SQUARE, [UP], [0, 1])
    solid, outcome, _ = build_solid(p, np.array([[0.0, 0.0, 3000.0], [0.0, 0.0, 6000.0]]), 0)
    assert outcome == BUILT and _code(solid) == 0
    assert _volume(solid) == pytest.approx(50 * 3 + 50 * 6)
    inner = (solid.face_type == WALL) & (solid.face_source < 0)
    assert inner.sum() == 1 and solid.face_label[inner][0] == 1


def test_heights_that_cross_along_an_edge_meet_in_a_vertex_of_their_own():
    _, p = _partition(SQUARE, [UP], [0, 1])
    solid, outcome, _ = build_solid(p, np.array([[0.0, 0.2, 3000.0], [0.0, -0.2, 5000.0]]), 0)
    assert outcome == BUILT and _code(solid) == 0
    assert _volume(solid) == pytest.approx(100 * 4)
    assert [5000, 5000, 4000] in solid.vertices.tolist()
    assert ((solid.face_type == WALL) & (solid.face_source < 0)).sum() == 2


def test_a_court_and_a_tower_within_a_roof_are_closed():
    court = [(1000, 1000), (1000, 2000), (2000, 2000), (2000, 1000)]
    tower = [(6000, 6000, 8000, 6000), (8000, 6000, 8000, 8000), (8000, 8000, 6000, 8000), (6000, 8000, 6000, 6000)]
    outline = _edges([(0, 0), (10_000, 0), (10_000, 10_000), (0, 10_000)], court)
    made, _ = _partition(outline, tower, 0)
    label = (made.area2 == 8_000_000).astype(np.int64)
    solid, outcome, _ = build_solid(
        dissolve(made.xy, made.origin, made.face, made.source, label), np.array([[0.0, 0.0, 3000.0], [0.0, 0.0, 9000.0]]), 0
    )
    assert outcome == BUILT and _code(solid) == 0
    assert _volume(solid) == pytest.approx(95 * 3 + 4 * 9)
    assert np.bincount(solid.face_type).tolist() == [1, 12, 2]


def test_heights_that_rise_twice_around_a_vertex_are_reported_there():
    made, _ = _partition(SQUARE, [ACROSS, UP], 0)
    centre = [made.xy[made.origin[made.face == f]].mean(axis=0) for f in range(4)]
    label = np.array([int((x < 5000) == (y < 5000)) for x, y in centre])
    p = dissolve(made.xy, made.origin, made.face, made.source, label)
    solid, outcome, places = build_solid(p, np.array([[0.0, 0.0, 3000.0], [0.0, 0.0, 6000.0]]), 0)
    assert solid is None and outcome == UNEVEN
    assert places.tolist() == [[5000, 5000]]
    heights = np.array([[0.0, 0.0, 3000.0], [0.0, 0.0, 6000.0]])
    assert p.xy[find_uneven(p.xy, p.origin, p.label, heights, 0)].tolist() == [[5000, 5000]]


def test_a_roof_that_reaches_the_ground_is_reported_where_it_does():
    _, p = _partition(SQUARE, [], 0)
    solid, outcome, places = build_solid(p, np.array([[0.5, 0.0, -1000.0]]), 0)
    assert solid is None and outcome == SUNK
    assert (places[:, 0] == 0).all() and len(places) == 2


def test_a_footprint_that_falls_apart_is_reported():
    ring = [(0, 0), (5000, 0), (5000, 5000), (10_000, 5000), (10_000, 10_000), (5000, 10_000), (5000, 5000), (0, 5000)]
    made = arrange(_edges(ring), np.empty((0, 4), np.int64))
    p = dissolve(made.xy, made.origin, made.face, made.source, np.zeros(len(made.area2), np.int64))
    assert build_solid(p, np.array([[0.0, 0.0, 3000.0]]), 0)[1] in (PINCHED, UNEVEN)


@pytest.mark.parametrize("seed", range(60))
def test_solids_over_random_labels_are_valid_or_refused_and_enclose_what_is_under_their_roofs(seed, random_polygons):
    random = np.random.default_rng(seed)
    rings = random_polygons[seed]
    outline = _edges(*rings)
    low, high = outline[:, :2].min(axis=0) - 2000, outline[:, :2].max(axis=0) + 2000
    made = arrange(outline, random.integers(low, high, (int(random.integers(1, 8)), 2, 2)).reshape(-1, 4))
    label = random.integers(0, 3, len(made.area2))
    planes = np.column_stack((random.uniform(-0.5, 0.5, (3, 2)), random.uniform(3000, 9000, 3)))
    planes[:, 2] += 30_000 - planes[:, :2] @ outline[:, :2].mean(axis=0)
    p = tidy(dissolve(made.xy, made.origin, made.face, made.source, label), planes, outline)
    solid, outcome, _ = build_solid(p, planes, 0)
    if outcome != BUILT:
        return
    assert _code(solid) == 0
    # Volume under the planes over the same partition: the integral over polygons, exact up to the rounding of heights to 1 mm
    # and to corners of outer walls that lie up to 1 mm beside them.
    expected = 0.0
    for rings_of_face, kind, k in zip(_faces(solid), solid.face_type, solid.face_label, strict=True):
        if kind == ROOF:
            xy = [solid.vertices[r][:, :2] for r in rings_of_face]
            shape = shapely.Polygon(xy[0], xy[1:])
            expected += shape.area * (planes[k, :2] @ (shape.centroid.x, shape.centroid.y) + planes[k, 2]) * 1e-9
    footprint = shapely.Polygon(rings[0], rings[1:])
    walls = footprint.length * 1e-3 * solid.vertices[:, 2].max() * 1e-3
    assert _volume(solid) == pytest.approx(expected, abs=footprint.area * 1e-6 * 2e-3 + walls * 1e-3)
    assert (solid.face_type == GROUND).sum() == 1


def test_most_random_partitions_can_be_built(random_polygons):
    # The test above says nothing where everything is refused.
    built = 0
    for seed in range(40):
        random = np.random.default_rng(seed)
        outline = _edges(*random_polygons[seed])
        low, high = outline[:, :2].min(axis=0) - 2000, outline[:, :2].max(axis=0) + 2000
        made = arrange(outline, random.integers(low, high, (3, 2, 2)).reshape(-1, 4))
        label = np.arange(len(made.area2)) % 3
        planes = np.column_stack((np.zeros((3, 2)), [3000.0, 6000.0, 9000.0]))
        solid, _, _ = build_solid(dissolve(made.xy, made.origin, made.face, made.source, label), planes, 0)
        built += solid is not None and _code(solid) == 0
    assert built >= 30
