from __future__ import annotations

import itertools

import numpy as np
import shapely

from felsina.kernels.geometry.polygons import canonical_order, rasterise_shapes, shape_area, signed_area


def test_areas_are_those_of_shapely(random_polygons, make_flat):
    area = shape_area(*make_flat(random_polygons))
    reference = [shapely.Polygon(p[0], p[1:]).area / 1e6 for p in random_polygons]
    np.testing.assert_allclose(area, reference, rtol=1e-12)  # shapely sums in float64


def test_areas_do_not_change_by_100_km_and_turn_sign_in_a_mirror(random_polygons, make_flat):
    xy, rings, shapes = make_flat(random_polygons)
    assert np.array_equal(shape_area(xy + 100_000_000, rings, shapes), shape_area(xy, rings, shapes))
    assert np.array_equal(signed_area(xy * [-1, 1], rings), -signed_area(xy, rings))


def test_rotation_keeps_areas_to_the_rounding_of_vertices(random_polygons, make_flat):
    xy, rings, shapes = make_flat(random_polygons)
    c, s = np.cos(np.radians(37)), np.sin(np.radians(37))
    turned = np.rint(xy @ np.array([[c, s], [-s, c]])).astype(np.int64)
    np.testing.assert_allclose(shape_area(turned, rings, shapes), shape_area(xy, rings, shapes), rtol=5e-3)


def test_cells_are_those_whose_centre_is_inside(make_flat):
    # A 2 m square from (0, 0): of 1 m cells exactly four centres lie in it.
    xy, rings, shapes = make_flat([[[(0, 0), (2000, 0), (2000, 2000), (0, 2000)]]])
    cells = rasterise_shapes(-1000, 3000, 1000, 4, 4, xy, rings, shapes)
    assert np.array_equal(np.argwhere(cells == 0), [[1, 1], [1, 2], [2, 1], [2, 2]])


def test_cells_do_not_depend_on_where_the_rows_are_cut(random_polygons, make_flat):
    arrays = make_flat(random_polygons)
    whole = rasterise_shapes(-70001, 70000, 333, 400, 420, *arrays)
    cuts = [0, 1, 57, 58, 200, 399, 400]
    parts = [rasterise_shapes(-70001, 70000, 333, 400, 420, *arrays, a, b) for a, b in itertools.pairwise(cuts)]
    assert (whole >= 0).any() and np.array_equal(np.concatenate(parts), whole)


def test_canonical_order_forgets_the_input_order_and_drops_duplicates():
    random = np.random.default_rng(1)
    xyz = random.integers(-5, 5, (3, 3000))
    reference = np.unique(xyz.T, axis=0)
    for scale in (1, 2**30):  # packed keys, and coordinates too wide for them
        order = canonical_order(*(xyz * scale))
        assert np.array_equal(xyz[:, order].T, reference)


def test_of_equal_points_the_lowest_rank_stays():
    x = np.array([1, 1, 1])
    for rank in ([3, 2, 9], [9, 3, 2]):
        order = canonical_order(x, x, x, np.array(rank))
        assert [rank[i] for i in order] == [2]
    assert len(canonical_order(x[:0], x[:0], x[:0])) == 0
