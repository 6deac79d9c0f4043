from __future__ import annotations

import itertools

import numpy as np
import pytest
import shapely

from felsina.kernels.geometry.arrangement import OUTSIDE, arrange, segments_meet


def _edges(*rings):
    rings = [np.asarray(r, np.int64) for r in rings]
    return np.concatenate([np.hstack((r, np.roll(r, -1, axis=0))) for r in rings])


SQUARE = [(0, 0), (10_000, 0), (10_000, 10_000), (0, 10_000)]
COURT = [(4000, 4000), (4000, 6000), (6000, 6000), (6000, 4000)]  # clockwise


def _lines(*lines):
    return np.array(lines, np.int64).reshape(-1, 4)


def test_two_lines_cut_a_square_into_four_exact_quarters():
    made = arrange(_edges(SQUARE), _lines((5000, -1000, 5000, 12_000), (-1000, 5000, 12_000, 5000)))
    assert made.area2.tolist() == [2 * 25_000_000] * 4


def test_lines_that_close_no_face_leave_no_trace():
    made = arrange(_edges(SQUARE), _lines((2000, 2000, 2000, 8000), (1000, 3000, 5000, 3000)))
    assert made.area2.tolist() == [2 * 10**8]
    assert len(made.xy) == 4


def test_a_court_stays_outside_and_an_island_takes_its_area_from_the_face_around_it():
    island = [(1000, 1000, 2000, 1000), (2000, 1000, 2000, 2000), (2000, 2000, 1000, 2000), (1000, 2000, 1000, 1000)]
    made = arrange(_edges(SQUARE, COURT), _lines(*island))
    assert sorted(made.area2.tolist()) == [2 * 1_000_000, 2 * (10**8 - 4_000_000 - 1_000_000)]
    assert (made.face == OUTSIDE).sum() == 8


def test_edges_know_the_side_of_the_footprint_they_lie_on():
    outline = _edges(SQUARE)
    made = arrange(outline, _lines((5000, -1000, 5000, 12_000)))
    for e, source in enumerate(made.source):
        a, b = made.xy[made.origin[2 * e]], made.xy[made.origin[2 * e + 1]]
        if source >= 0:
            assert shapely.LineString(outline[source].reshape(2, 2)).covers(shapely.LineString([a, b]))
            assert (made.face[2 * e] == OUTSIDE) != (made.face[2 * e + 1] == OUTSIDE)
    assert sorted(made.source[made.source >= 0].tolist()) == [0, 0, 1, 2, 2, 3]


@pytest.mark.parametrize("seed", range(30))
def test_random_lines_in_random_polygons_meet_in_vertices_only_and_fill_the_polygon(seed, random_polygons):
    random = np.random.default_rng(seed)
    rings = random_polygons[seed]
    outline = _edges(*rings)
    low, high = outline[:, :2].min(axis=0) - 2000, outline[:, :2].max(axis=0) + 2000
    ends = random.integers(low, high, (int(random.integers(1, 25)), 2, 2))
    # Also lines on lines, along the outline and through its vertices.
    lines = np.concatenate((ends.reshape(-1, 4), ends[:3].reshape(-1, 4), outline[:1], outline[:1] + np.array([1, 0, 1, 0])))
    made = arrange(outline, lines)
    segments = np.hstack((made.xy[made.origin[0::2]], made.xy[made.origin[1::2]]))
    for p, q in itertools.combinations(segments, 2):
        if segments_meet(*p, *q):
            ends_p, ends_q = {tuple(p[:2]), tuple(p[2:])}, {tuple(q[:2]), tuple(q[2:])}
            assert len(ends_p & ends_q) == 1
    polygon = shapely.Polygon(rings[0], rings[1:])
    # Snapping moves each side of the outline by less than a millimetre.
    assert abs(made.area2.sum() / 2 - polygon.area) <= polygon.length
    expected = shapely.get_parts(shapely.polygonize([shapely.MultiLineString(list(segments.reshape(-1, 2, 2)))]))
    inside = [p for p in expected if polygon.covers(p.representative_point())]
    assert sorted(made.area2.tolist()) == sorted(round(2 * p.area) for p in inside)


def test_the_order_and_direction_of_lines_do_not_matter(random_polygons):
    random = np.random.default_rng(5)
    outline = _edges(*random_polygons[3])
    low, high = outline[:, :2].min(axis=0), outline[:, :2].max(axis=0)
    lines = random.integers(low, high, (20, 2, 2)).reshape(-1, 4)
    here = arrange(outline, lines)
    there = arrange(outline, np.roll(lines, 2, axis=1)[random.permutation(20)])
    for a, b in zip(here, there, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_slit_becomes_an_edge_inside_and_a_spike_goes():
    slit = [(0, 0), (10_000, 0), (10_000, 5000), (5000, 5000), (10_000, 5000), (10_000, 10_000), (0, 10_000)]
    made = arrange(_edges(slit), _lines((5000, 5000, 0, 5000)))
    assert made.area2.tolist() == [10**8] * 2
    spike = [(0, 0), (10_000, 0), (10_000, 5000), (15_000, 5000), (10_000, 5000), (10_000, 10_000), (0, 10_000)]
    made = arrange(_edges(spike), _lines())
    assert made.area2.tolist() == [2 * 10**8]
    assert made.xy[:, 0].max() == 10_000


def test_rings_that_cross_are_refused():
    assert arrange(_edges([(0, 0), (10_000, 10_000), (10_000, 0), (0, 10_000)]), _lines()) is None
