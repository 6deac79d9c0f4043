from __future__ import annotations

import numpy as np
import pytest
import shapely
from scipy.spatial import ConvexHull, Delaunay

from felsina.kernels.geometry.facets import triangulate_face
from felsina.kernels.geometry.planarity import are_normals_close, is_flat, newell_normal
from felsina.kernels.geometry.rings import join_touching, ring_contacts


def _walk(rings):
    offsets = np.cumsum([0, *map(len, rings)])
    after = np.arange(1, offsets[-1] + 1)
    after[offsets[1:] - 1] = offsets[:-1]
    return np.concatenate([np.asarray(r, np.int64) for r in rings]), after


def _cut(rings, lift=None):
    flat, after = _walk(rings)
    p = np.concatenate((flat, np.zeros((len(flat), 1), np.int64) if lift is None else lift[:, None]), axis=1)
    triangles = np.full((len(flat) + 2 * len(rings), 3), -1)
    made = triangulate_face(p, flat, after, 0, triangles)
    return p, triangles[:made]


def test_triangles_fill_random_polygons_with_holes(random_polygons):
    for rings in random_polygons:
        p, triangles = _cut(rings)
        a, b, c = (p[triangles[:, k]] for k in range(3))
        area2 = np.cross(b - a, c - a)[:, 2]
        assert len(triangles) == len(p) + 2 * (len(rings) - 1) - 2
        assert (area2 > 0).all()
        assert area2.sum() / 2 == shapely.Polygon(rings[0], rings[1:]).area


def test_holes_that_touch_are_triangulated_with_what_surrounds_them():
    """Joined rings pass a corner twice; here it is the corner from which the bridge to the exterior starts."""
    for size, first, second in (
        (6, [(4, 2), (2, 1), (4, 4)], [(4, 4), (2, 2), (3, 4)]),
        (15, [(6, 7), (6, 9), (7, 8)], [(6, 5), (7, 8), (7, 5)]),
        (15, [(6, 7), (6, 9), (7, 8)], [(7, 5), (6, 5), (7, 8)]),
    ):
        rings = [[(0, 0), (size, 0), (size, size), (0, size)], first, second]
        flat, after = _walk(rings)
        before = np.empty(len(flat), np.int64)
        before[after] = np.arange(len(flat))
        which = np.repeat(np.arange(3), [4, 3, 3])
        is_simple, crossing, touches = ring_contacts(flat, before, after, which)
        assert is_simple and crossing[0] < 0 and join_touching(flat, before, after, which, touches)
        p = np.concatenate((flat, np.zeros((10, 1), np.int64)), axis=1)
        triangles = np.empty((20, 3), np.int64)
        made = triangulate_face(p, flat, after, 0, triangles)
        a, b, c = (p[triangles[:made, k]] for k in range(3))
        area2 = np.cross(b - a, c - a)[:, 2]
        assert made == 10 and (area2 > 0).all()
        assert area2.sum() / 2 == shapely.Polygon(rings[0], rings[1:]).area


def _circle_holds(p, triangle, q):
    a, b, c, d = (p[k, :2].astype(object) for k in (*triangle, q))
    rows = [(*(v - d), ((v - d) ** 2).sum()) for v in (a, b, c)]
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = rows
    return ax * (by * cz - bz * cy) - ay * (bx * cz - bz * cx) + az * (bx * cy - by * cx)


def test_no_diagonal_can_be_flipped_to_better_angles(random_polygons):
    # Lee and Lin (1986): a constrained triangulation is Delaunay when each inner edge is.
    n_inner = 0
    for rings in random_polygons[:60]:
        p, triangles = _cut(rings)
        apex = {}
        for t in triangles:
            for k in range(3):
                apex[t[k], t[(k + 1) % 3]] = (t, t[(k + 2) % 3])
        for (v, w), (t, _) in apex.items():
            if (w, v) in apex:
                n_inner += 1
                x = _circle_holds(p, t, apex[w, v][1])
                area2 = float(np.cross(p[t[1]] - p[t[0]], p[t[2]] - p[t[0]])[2])
                assert x <= 0 or float(x) < 1e-6 * area2**2  # four corners on a circle to within 1e-6
    assert n_inner > 500


def test_a_convex_polygon_gets_the_triangles_of_qhull():
    random = np.random.default_rng(2)
    for _ in range(20):
        points = random.integers(-100_000, 100_000, (40, 2))
        hull = points[ConvexHull(points).vertices]  # anticlockwise
        _, triangles = _cut([hull])
        expected = {tuple(sorted(t)) for t in Delaunay(hull).simplices.tolist()}
        assert {tuple(sorted(t)) for t in triangles.tolist()} == expected


@pytest.mark.parametrize("seed", range(3))
def test_flatness_is_that_of_the_plane_by_singular_values(seed):
    random = np.random.default_rng(seed)
    answers = []
    for _ in range(400):
        n = int(random.integers(4, 12))
        angle = np.sort(random.uniform(0, 2 * np.pi, n))
        frame = np.linalg.qr(random.normal(size=(3, 3)))[0]
        size = random.uniform(100, 20_000)
        ring = np.stack((size * np.cos(angle), random.uniform(0.02, 1) * size * np.sin(angle), random.uniform(-2, 2, n)), 1)
        p = np.rint(ring @ frame + 1e6 * random.normal(size=3)).astype(np.int64)
        normal = newell_normal(p, 0, n)
        if not any(normal):
            continue
        centred = p - p.mean(axis=0)
        distance = np.abs(centred @ np.linalg.svd(centred)[2][2]).max()
        if abs(distance - 1.0) < 1e-6:
            continue
        assert is_flat(p, *normal, 1.0) == (distance <= 1.0)
        answers.append(distance <= 1.0)
    assert 0.1 < np.mean(answers) < 0.9


def test_normals_are_compared_with_each_other():
    # Three triangles about one edge: 0, 15 and 30 degrees; the outer two are 30 apart, neighbours 15.
    turn = np.radians([0.0, 15.0, 30.0])
    p = [(0, 0, 0), (1000, 0, 0)] + [(0, 1e6 * np.cos(a), 1e6 * np.sin(a)) for a in turn]
    p = np.rint(np.array(p)).astype(np.int64)
    triangles = np.array([[0, 1, 2], [0, 1, 3], [0, 1, 4]])
    for order in ((0, 1, 2), (1, 0, 2), (2, 1, 0)):
        for limit, expected in ((29.9, False), (30.1, True), (15.1, False)):
            assert are_normals_close(p, np.ascontiguousarray(triangles[list(order)]), np.cos(np.radians(limit))) == expected
    assert are_normals_close(p, triangles[:2], np.cos(np.radians(15.1)))


def test_newell_normal_is_twice_the_area_seen_along_each_axis():
    ring = np.array([(0, 0, 0), (4000, 0, 3000), (4000, 5000, 3000), (0, 5000, 0)])
    assert newell_normal(ring + 10**8, 0, 4) == (-30_000_000, 0, 40_000_000)
