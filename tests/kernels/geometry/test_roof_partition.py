from __future__ import annotations

import itertools

import numpy as np
import pytest
import shapely

from felsina.kernels.geometry.arrangement import arrange, segments_meet
from felsina.kernels.geometry.roof_partition import dissolve, tidy


def _edges(*rings):
    rings = [np.asarray(r, np.int64) for r in rings]
    return np.concatenate([np.hstack((r, np.roll(r, -1, axis=0))) for r in rings])


SQUARE = _edges([(0, 0), (10_000, 0), (10_000, 10_000), (0, 10_000)])
LEVEL = np.zeros((9, 3))


def _partition(outline, lines, choose):
    made = arrange(outline, np.array(lines, np.int64).reshape(-1, 4))
    label = np.array([choose(f) for f in range(len(made.area2))], np.int64)
    return dissolve(made.xy, made.origin, made.face, made.source, label)


def _segments(p):
    return np.hstack((p.xy[p.origin[0::2]], p.xy[p.origin[1::2]]))


def _areas(p):
    """Return twice the area to the left of each label, exactly."""
    a, b = p.xy[p.origin], p.xy[p.origin.reshape(-1, 2)[:, ::-1].ravel()]
    cross = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    return {label: int(cross[p.label == label].sum()) for label in np.unique(p.label)}


def _assert_valid(p):
    for s, t in itertools.combinations(_segments(p), 2):
        if segments_meet(*s, *t):
            assert len({tuple(s[:2]), tuple(s[2:])} & {tuple(t[:2]), tuple(t[2:])}) == 1
    assert (p.label[0::2] != p.label[1::2]).all()


def test_edges_inside_one_label_vanish():
    p = _partition(SQUARE, [(5000, -1, 5000, 10_001), (-1, 5000, 10_001, 5000)], lambda f: 0)
    assert (np.sort(p.label.reshape(-1, 2), axis=1) == (-1, 0)).all()
    assert len(tidy(p, LEVEL, SQUARE).source) == 4


def test_a_vertex_near_the_straight_line_goes_and_one_beside_it_stays():
    for bend, n_edge in ((20, 7), (200, 8)):
        lines = [(5000, -1, 5000 + bend, 5000), (5000 + bend, 5000, 5000, 10_001)]
        p = _partition(SQUARE, lines, int)
        assert len(tidy(p, LEVEL, SQUARE).source) == n_edge


def test_a_short_edge_collapses_and_the_areas_change_by_less_than_its_length_times_the_sides():
    # Two lines that meet the lower side 40 mm apart: between them a wedge.
    p = _partition(SQUARE, [(5000, -1, 5000, 10_001), (5040, -1, 8000, 10_001)], int)
    q = tidy(p, LEVEL, SQUARE, move_mm=0)
    _assert_valid(q)
    lengths = np.hypot(*(_segments(q)[:, 2:] - _segments(q)[:, :2]).T)
    assert lengths.min() > 60
    before, after = _areas(p), _areas(q)
    assert set(before) == set(after)
    assert all(abs(before[k] - after[k]) <= 2 * 60 * 10_500 for k in before)


def test_vertices_move_onto_the_intersection_of_the_planes_beside_them():
    planes = np.array([[0.5, 0.0, 1000.0], [-0.5, 0.0, 6030.0]])  # they meet at x = 5030
    p = _partition(SQUARE, [(4990, -1, 5010, 10_001)], int)
    q = tidy(p, planes, SQUARE)
    _assert_valid(q)
    inner = q.xy[q.origin[0::2][q.source < 0]], q.xy[q.origin[1::2][q.source < 0]]
    assert all((end[:, 0] == 5030).all() for end in inner)
    assert all(np.isin(end[:, 1], (0, 10_000)).all() for end in inner)


@pytest.mark.parametrize("seed", range(40))
def test_random_partitions_stay_valid_and_keep_the_footprint(seed, random_polygons):
    random = np.random.default_rng(seed)
    rings = random_polygons[seed]
    outline = _edges(*rings)
    low, high = outline[:, :2].min(axis=0) - 2000, outline[:, :2].max(axis=0) + 2000
    lines = random.integers(low, high, (int(random.integers(1, 16)), 2, 2)).reshape(-1, 4)
    made = arrange(outline, lines)
    label = random.integers(0, 4, len(made.area2))
    planes = np.column_stack((random.uniform(-1, 1, (4, 2)), random.uniform(2000, 9000, 4)))
    p = dissolve(made.xy, made.origin, made.face, made.source, label)
    _assert_valid(p)
    q = tidy(p, planes, outline)
    _assert_valid(q)
    # Corners stay, but for those that lie within 3 mm of the straight line.
    used = {tuple(v) for v in q.xy[q.origin]}
    outer = shapely.MultiLineString(list(_segments(q)[(q.label.reshape(-1, 2) < 0).any(axis=1)].reshape(-1, 2, 2)))
    for corner in outline[:, :2]:
        assert tuple(corner) in used or outer.distance(shapely.Point(corner)) <= 3.0
    footprint = shapely.Polygon(rings[0], rings[1:])
    areas = _areas(q)
    # Sides of the footprint keep within millimetres of where they were.
    assert abs(areas.pop(-1) / 2 + footprint.area) <= 2 * footprint.length
    assert abs(sum(areas.values()) / 2 - footprint.area) <= 2 * footprint.length
    assert all(area > 0 for area in areas.values())
