from __future__ import annotations

import numpy as np
import shapely

from felsina.kernels.geometry.membership import locate_points, locate_points_in_all, locate_points_nearby
from felsina.kernels.geometry.polygons import rasterise_shapes


def _brute(points, polygons):
    """(n_shape, n_point) membership by shapely; points on a boundary count as outside."""
    shapes = [shapely.Polygon(p[0], p[1:]) for p in polygons]
    return np.array([shapely.contains_xy(s, points[:, 0], points[:, 1]) for s in shapes])


def test_membership_is_that_of_shapely_and_the_lowest_shape_wins(random_polygons, make_flat):
    arrays = make_flat(random_polygons)
    points = np.random.default_rng(2).integers(-75000, 75000, (3000, 2))
    inside = _brute(points, random_polygons)
    shapes = [shapely.Polygon(p[0], p[1:]) for p in random_polygons]
    off = np.array([s.boundary.distance(shapely.points(points)) > 0 for s in shapes]).all(axis=0)
    expected = np.where(inside.any(axis=0), inside.argmax(axis=0), -1)
    assert np.array_equal(locate_points(points, *arrays)[off], expected[off])
    offsets, members = locate_points_in_all(points, *arrays)
    for p in np.flatnonzero(off)[:500]:
        assert np.array_equal(members[offsets[p] : offsets[p + 1]], np.flatnonzero(inside[:, p]))


def test_points_on_a_common_edge_belong_to_exactly_one_neighbour(make_flat):
    # Four unit squares around the origin, all 9 x 9 lattice points: the union is half open, nothing is lost or doubled.
    squares = [[[(x, y), (x + 4, y), (x + 4, y + 4), (x, y + 4)]] for x in (-4, 0) for y in (-4, 0)]
    points = np.array([(x, y) for x in range(-4, 5) for y in range(-4, 5)])
    offsets, _ = locate_points_in_all(points, *make_flat(squares))
    assert np.array_equal(np.diff(offsets), ((points < 4).all(axis=1)).astype(int))


def test_a_point_and_the_cell_it_centres_agree(random_polygons, make_flat):
    arrays = make_flat(random_polygons)
    cells = rasterise_shapes(-70000, 70000, 1000, 140, 140, *arrays)
    x, y = np.meshgrid(-70000 + 1000 * np.arange(140) + 500, 70000 - 1000 * np.arange(140) - 500)
    points = np.stack((x.ravel(), y.ravel()), axis=1)
    assert np.array_equal(locate_points(points, *arrays), cells.ravel())


def test_membership_does_not_change_by_100_km_or_where_points_are_cut(random_polygons, make_flat):
    xy, rings, shapes = make_flat(random_polygons)
    points = np.random.default_rng(3).integers(-75000, 75000, (20001, 2))
    found = locate_points(points, xy, rings, shapes)
    assert np.array_equal(locate_points(points + 100_000_000, xy + 100_000_000, rings, shapes), found)
    parts = [locate_points(part, xy, rings, shapes) for part in np.split(points, [1, 777, 15000])]
    assert np.array_equal(np.concatenate(parts), found)
    assert len(locate_points(points[:0], xy, rings, shapes)) == 0


def test_points_nearby_are_outside_and_within_reach(random_polygons, make_flat):
    points = np.random.default_rng(4).integers(-75000, 75000, (1500, 2))
    offsets, members = locate_points_nearby(points, 3000, *make_flat(random_polygons))
    for s, p in enumerate(random_polygons):
        distance = shapely.distance(shapely.Polygon(p[0], p[1:]), shapely.points(points))
        assert np.array_equal(members[offsets[s] : offsets[s + 1]], np.flatnonzero((distance > 0) & (distance <= 3000)))
