from __future__ import annotations

import numpy as np
import pytest

from felsina.kernels.geometry.extrusion import extrude_prisms
from felsina.kernels.geometry.solids import check_solids

A, B, C, D, E, F, G, H = range(8)
CUBE = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (1, 1, 1), (0, 1, 1)]
FACES = [[[A, D, C, B]], [[A, B, F, E]], [[B, C, G, F]], [[C, D, H, G]], [[D, A, E, H]], [[E, F, G, H]]]


def _code(vertices, faces, scale=10_000):
    rings = [ring for face in faces for ring in face]
    return check_solids(
        np.rint(np.array(vertices, float) * scale).astype(np.int64),
        np.array([v for ring in rings for v in ring], np.int64),
        np.cumsum([0, *map(len, rings)]).astype(np.int64),
        np.cumsum([0, *map(len, faces)]).astype(np.int64),
        np.array([0, len(faces)], np.int64),
    )[0]


def _roof(*rings):
    return [*FACES[:5], list(rings)]


def _two_cubes(shift):
    """Two cubes, the second one moved."""
    vertices = CUBE + [tuple(np.add(v, shift)) for v in CUBE]
    return vertices, FACES + [[[v + 8 for v in ring] for ring in face] for face in FACES]


HOLE = [(0.2, 0.2, 1), (0.2, 0.4, 1), (0.4, 0.4, 1), (0.4, 0.2, 1)]
INNER = [(0.25, 0.25, 1), (0.25, 0.35, 1), (0.35, 0.35, 1), (0.35, 0.25, 1)]
BROKEN = {
    101: (CUBE, _roof([E, F])),
    102: (CUBE, _roof([E, F, F, G, H])),
    104: (CUBE, _roof([E, G, F, H])),
    201: ([*CUBE, (0.5, 0.5, 1), (0.5, 1.5, 1), (0.7, 1.5, 1), (0.7, 0.5, 1)], _roof([E, F, G, H], [8, 9, 10, 11])),
    203: ([*CUBE[:7], (0, 1, 1.01)], FACES),
    206: ([*CUBE, *(np.add(HOLE, (2, 0, 0)).tolist())], _roof([E, F, G, H], [8, 9, 10, 11])),
    207: ([*CUBE, *HOLE, *INNER], _roof([E, F, G, H], [8, 9, 10, 11], [12, 13, 14, 15])),
    208: ([*CUBE, *HOLE], _roof([E, F, G, H], [11, 10, 9, 8])),
    301: (CUBE, FACES[:3]),
    302: (CUBE, FACES[:5]),
    303: _two_cubes((1, 1, 0)),  # they share one vertical edge
    305: _two_cubes((3, 0, 0)),
    307: (CUBE, _roof([H, G, F, E])),
    405: (CUBE, [[ring[::-1] for ring in face] for face in FACES]),
}


def test_a_cube_is_valid():
    assert _code(CUBE, FACES) == 0


@pytest.mark.parametrize("code", BROKEN)
def test_each_way_to_break_a_solid_gets_its_own_code(code):
    assert _code(*BROKEN[code]) == code


def test_a_fold_thinner_than_the_plane_tolerance_is_seen_by_its_normal():
    # A corner 3 mm wide that leans 0.9 mm out of a 10 m roof: within 1 mm of the plane, 17 degrees at most unless it is narrow.
    vertices = [*(np.array(CUBE) * 10_000).tolist(), (5000, -2, 10_002), (5004, 0, 10_000), (4996, 0, 10_000)]
    roof = [[E, 10, 8, 9, F, G, H]]
    wall = [[A, B, F, 9, 8, 10, E]]
    faces = [FACES[0], wall, *FACES[2:5], roof]
    assert _code(vertices, faces, scale=1) in (203, 204)


def test_cubes_that_touch_in_one_corner_are_no_manifold():
    # No edge is shared, so the two shells are two components before they are anything else.
    assert _code(*_two_cubes((1, 1, 1))) == 305


def test_prisms_of_random_polygons_with_holes_are_valid(random_polygons, make_flat):
    arrays = make_flat(random_polygons)
    n = len(random_polygons)
    made = extrude_prisms(*arrays, np.zeros(n, np.int64), np.full(n, 3000))
    codes = check_solids(made.vertices, made.face_rings, made.ring_offsets, made.face_offsets, made.solid_offsets)
    assert not codes.any()


def test_the_160_prisms_of_delft_are_valid(delft):
    n = len(delft.polygon_offsets) - 1
    made = extrude_prisms(*delft[:3], np.zeros(n, np.int64), np.full(n, 7000))
    codes = check_solids(made.vertices, made.face_rings, made.ring_offsets, made.face_offsets, made.solid_offsets)
    assert n == 160 and not codes.any()
