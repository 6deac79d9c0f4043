"""Open space under roofs: positions along outlines, runs, strips, the change of a rate, overhangs."""

import math

import numpy as np
import pytest
import shapely
from shapely.ops import substring

from felsina.kernels.geometry.porticoes import (
    change_height,
    lies_under_roof,
    lit_runs,
    outline_positions,
    overhang_width,
    ring_lengths,
    strip_area,
)

SQUARE = np.array([(0, 0), (20_000, 0), (20_000, 10_000), (0, 10_000)], np.int64)
ONE = np.array([0, 4], np.int64)


def test_positions_are_those_of_shapely():
    rng = np.random.default_rng(1)
    outer = np.array([(0, 0), (30_000, 2_000), (26_000, 21_000), (12_000, 9_000), (-3_000, 18_000)], np.int64)
    hole = np.array([(6_000, 5_000), (6_000, 9_000), (9_000, 8_000)], np.int64)
    xy, offsets = np.concatenate([outer, hole]) + 700_000_000, np.array([0, 5, 8], np.int64)
    points = rng.integers(-5_000, 35_000, (1_500, 2)) + 700_000_000
    edge, along, distance = outline_positions(points, xy, offsets)
    rings = [shapely.LinearRing(xy[a:b]) for a, b in ((0, 5), (5, 8))]
    at = shapely.points(points)
    apart = np.stack([shapely.distance(r, at) for r in rings])
    np.testing.assert_allclose(distance, apart.min(axis=0), atol=1e-5)
    which = np.where(edge < 5, 0, 1)
    np.testing.assert_array_equal(which, apart.argmin(axis=0))
    for k, ring in enumerate(rings):
        mine = which == k
        assert mine.sum() > 20
        place = shapely.line_interpolate_point(ring, along[mine])
        np.testing.assert_allclose(shapely.distance(place, at[mine]), distance[mine], atol=1e-5)
    np.testing.assert_allclose(ring_lengths(xy, offsets), shapely.length(rings), rtol=1e-12)


def test_a_roof_covers_what_is_in_its_cell_and_low_enough():
    roof = np.array([(0, 0, 9_000), (500, 500, 8_000), (2_500, 500, 5_000)], np.int64)
    points = np.array([(100, 100, 0), (100, 100, 6_900), (1_500, 500, 0), (2_100, 900, 3_000), (-500, 500, 0)], np.int64)
    assert lies_under_roof(points, roof, 2_200, 1_000).tolist() == [True, False, False, False, False]
    assert lies_under_roof(points, roof, 2_000, 1_000).tolist() == [True, True, False, True, False]
    assert not lies_under_roof(points, roof[:0], 2_200, 1_000).any()


def runs(along, depth=None, length=60_000.0, step=1_000.0, gap=3_000.0):
    along = np.asarray(along, float)
    depth = np.full(len(along), 1_000.0) if depth is None else np.asarray(depth, float)
    made = lit_runs(np.zeros(len(along), np.int64), along, depth, np.array([length]), step, gap)
    return [tuple(v[k] for v in made) for k in range(len(made[0]))]


def test_runs_end_at_wide_gaps_only():
    along = [*range(5_000, 12_001, 500), *range(14_500, 20_001, 500), *range(30_000, 33_001, 500)]
    made = runs(along)
    assert [(r[1], r[2], r[3]) for r in made] == [(5_000.0, 20_000.0, 27), (30_000.0, 33_000.0, 7)]
    assert [(r[1], r[2]) for r in runs(along, gap=2_000.0)] == [(5_000, 12_000), (14_500, 20_000), (30_000, 33_000)]


def test_a_run_may_pass_the_first_vertex_and_go_all_round():
    (run,) = runs([*range(0, 4_001, 500), *range(55_000, 60_000, 500)])
    assert run[1:4] == (55_000.0, 64_000.0, 19)
    (whole,) = runs(range(100, 60_000, 500))
    assert whole[3] == 120 and whole[2] - whole[1] == pytest.approx(59_500.0)
    assert runs([]) == []


def test_depth_is_the_median_of_the_steps_and_area_their_sum():
    along = np.arange(500, 10_500, 1_000)
    (run,) = runs(np.repeat(along, 2), np.stack([np.arange(10) * 100.0, np.zeros(10)], axis=1).ravel())
    assert run[4] == 500.0
    assert run[5] == pytest.approx(1_000.0 * 4_500.0)


def test_runs_do_not_depend_on_the_order_of_points():
    rng = np.random.default_rng(4)
    along, depth = rng.uniform(0, 60_000, 80), rng.uniform(200, 2_000, 80)
    order = rng.permutation(80)
    assert runs(along, depth) == runs(along[order], depth[order])


@pytest.mark.parametrize(("start", "end"), [(2_000, 9_000), (15_000, 26_000), (25_000, 45_000), (55_000, 66_000)])
def test_a_strip_has_the_area_of_a_buffer_inside_the_ring(start, end):
    # From (0, 0): corners at 20, 30, 50 and 60 m. Square ends of the buffer are those of the strip.
    ring = shapely.LineString([*SQUARE.tolist()] * 2 + [SQUARE[0].tolist()])
    path = substring(ring, start, end)
    strip = shapely.buffer(path, 1_500.0, cap_style="flat", join_style="mitre", single_sided=True)
    assert strip_area(SQUARE, start, end, 1_500.0) == pytest.approx(strip.area, rel=1e-9)


def test_a_strip_goes_on_round_concave_corners_with_a_mitre():
    ell = np.array([(0, 0), (20_000, 0), (20_000, 8_000), (9_000, 8_000), (9_000, 20_000), (0, 20_000)], np.int64)
    # From (20, 3) up to (20, 8), back to (9, 8), up to (9, 15): a convex corner overlaps by d2, a concave one adds d2.
    assert strip_area(ell, 23_000, 46_000, 2_000.0) == pytest.approx(23_000 * 2_000)


def test_the_change_of_a_poisson_rate_is_found():
    rng = np.random.default_rng(7)
    found = []
    for _ in range(200):
        below, above = rng.poisson(0.15 * 60 * 3.2), rng.poisson(60 * 4.3)
        found.append(change_height(np.r_[rng.uniform(0.5, 3.7, below), rng.uniform(3.7, 8.0, above)], 0.5, 8.0))
    # A rate of 60 returns a metre places the change to a few spacings of 1/60 m.
    assert np.median(found) == pytest.approx(3.7, abs=0.03)
    assert np.quantile(np.abs(np.array(found) - 3.7), 0.95) < 0.15


def test_an_even_facade_and_a_few_returns_have_no_change():
    rng = np.random.default_rng(8)
    even = [change_height(rng.uniform(0.5, 8.0, 200), 0.5, 8.0) for _ in range(200)]
    # The maximum over all heights exceeds the bound of a single test more often than one time in a thousand.
    assert np.isnan(even).mean() > 0.95
    assert math.isnan(change_height(np.full(7, 6.0), 0.5, 8.0))
    assert math.isnan(change_height(rng.uniform(0.5, 3.0, 100), 0.5, 8.0))  # denser below: no opening


@pytest.mark.parametrize("width", [0.3, 0.5])
def test_the_width_of_an_overhang_has_no_bias(width):
    rng = np.random.default_rng(9)
    n = 60 * 6
    along, distance = rng.uniform(0, 30_000, n), rng.uniform(0, 1000.0 * width, n)
    found = overhang_width(np.zeros(n, np.int64), along, distance, np.array([60_000.0]), 1_000.0, 3)
    # Twelve points a step: a step's estimate spreads by width / 12, the median of 30 of them by a fifth of that.
    assert found == pytest.approx(1000.0 * width, rel=0.06)
    few = along < 2_000.0
    assert overhang_width(np.zeros(few.sum(), np.int64), along[few], distance[few], np.array([60_000.0]), 1_000.0, 3) == 0.0
