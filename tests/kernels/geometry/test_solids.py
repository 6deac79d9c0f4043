from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from felsina.kernels.geometry.extrusion import extrude_prisms, triangulate_prisms
from felsina.kernels.geometry.solids import check_solids, list_errors

A, B, C, D, E, F, G, H = range(8)
CUBE = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (1, 1, 1), (0, 1, 1)]
FACES = [[[A, D, C, B]], [[A, B, F, E]], [[B, C, G, F]], [[C, D, H, G]], [[D, A, E, H]], [[E, F, G, H]]]


def _arrays(vertices, faces, scale=10_000):
    rings = [ring for face in faces for ring in face]
    return (
        np.rint(np.array(vertices, float) * scale).astype(np.int64),
        np.array([v for ring in rings for v in ring], np.int64),
        np.cumsum([0, *map(len, rings)]).astype(np.int64),
        np.cumsum([0, *map(len, faces)]).astype(np.int64),
        np.array([0, len(faces)], np.int64),
    )


def _code(vertices, faces, scale=10_000, **options):
    return check_solids(*_arrays(vertices, faces, scale), **options)[0]


def _codes(vertices, faces, scale=10_000):
    return set(list_errors(*_arrays(vertices, faces, scale)).code.tolist())


def _roof(*rings):
    return [*FACES[:5], list(rings)]


def _two_cubes(shift, faces=FACES):
    """Two cubes, the second one moved."""
    vertices = CUBE + [tuple(np.add(v, shift)) for v in CUBE]
    return vertices, FACES + [[[v + 8 for v in ring] for ring in face] for face in faces]


def _moebius(n=3):
    """A closed strip of three quadrilaterals with one twist, doubled over by a cone from its rim."""
    angle = [2 * math.pi * k / n for k in range(n)]
    vertices = []
    for k, a in enumerate(angle):
        turn = math.pi * k / n
        for side in (-0.5, 0.5):
            r = 2 + side * math.cos(turn)
            vertices.append((r * math.cos(a), r * math.sin(a), side * math.sin(turn)))
    vertices.append((0.3, 0.2, 5.0))
    faces, rim = [], []
    for k in range(n):
        a, b = 2 * k, 2 * k + 1
        c, d = (2 * k + 2, 2 * k + 3) if k + 1 < n else (1, 0)
        faces += [[[a, c, b]], [[b, c, d]]]
        rim += [(a, c), (b, d)]
    return vertices, faces + [[[a, b, 2 * n]] for a, b in rim]


HOLE = [(0.2, 0.2, 1), (0.2, 0.4, 1), (0.4, 0.4, 1), (0.4, 0.2, 1)]
INNER = [(0.25, 0.25, 1), (0.25, 0.35, 1), (0.35, 0.35, 1), (0.35, 0.25, 1)]
DIAMOND = [(0, 0.5, 1), (0.5, 1, 1), (1, 0.5, 1), (0.5, 0, 1)]  # touches all four edges of the roof
PULLED = [*CUBE[:6], (0.5, 0.5, -0.5), CUBE[7]]  # a corner of the roof under the ground, faces as triangles
TRIANGLES = [[[f[0][0], f[0][k], f[0][k + 1]]] for f in FACES for k in (1, 2)]
BROKEN = {
    "101": (CUBE, _roof([E, F])),
    "102": (CUBE, _roof([E, F, F, G, H])),
    "104 bow-tie": (CUBE, _roof([E, G, F, H])),
    "104 spike": ([*CUBE, (0.5, 0, 1), (0.5, 0.7, 1)], _roof([E, 8, 9, 8, F, G, H])),
    "104 no area": ([*CUBE, (0.5, 0, 1)], _roof([E, 8, F])),
    "104 touches itself": ([*CUBE, (0.5, 0, 1), (0.5, 1, 1)], _roof([E, 8, 9, 8, F, G, 9, H])),
    "201 cross": ([*CUBE, (0.5, 0.5, 1), (0.5, 1.5, 1), (0.7, 1.5, 1), (0.7, 0.5, 1)], _roof([E, F, G, H], [8, 9, 10, 11])),
    "201 pass through a corner": ([*CUBE, (0.5, 0.5, 1), (1.5, 1.5, 1), (0.9, 0.5, 1)], _roof([E, F, G, H], [8, 9, 10])),
    "201 common edge": ([*CUBE, (0.5, 0.5, 1)], _roof([E, F, G, H], [F, E, 8])),
    "202": ([*CUBE, *HOLE], _roof([E, F, G, H], [8, 9, 10, 11], [10, 11, 8, 9])),
    "203": ([*CUBE[:7], (0, 1, 1.01)], FACES),
    "205 diamond": ([*CUBE, *DIAMOND], _roof([E, F, G, H], [8, 9, 10, 11])),
    "205 two holes": (
        [*CUBE, (0.5, 0.2, 1), (0.3, 0.5, 1), (0.5, 0.8, 1), (0.4, 0.5, 1), (0.7, 0.5, 1), (0.6, 0.5, 1)],
        _roof([E, F, G, H], [8, 9, 10, 11], [10, 12, 8, 13]),
    ),
    "206": ([*CUBE, *(np.add(HOLE, (2, 0, 0)).tolist())], _roof([E, F, G, H], [8, 9, 10, 11])),
    "206 touching": ([*CUBE, (1.5, 1.2, 1), (1.2, 1.5, 1)], _roof([E, F, G, H], [G, 8, 9])),
    "207": ([*CUBE, *HOLE, *INNER], _roof([E, F, G, H], [8, 9, 10, 11], [12, 13, 14, 15])),
    "207 touching": ([*CUBE, *HOLE, *INNER[1:]], _roof([E, F, G, H], [8, 9, 10, 11], [8, 12, 13, 14])),
    "208": ([*CUBE, *HOLE], _roof([E, F, G, H], [11, 10, 9, 8])),
    "300 no face": (CUBE, []),
    "300 one-sided": _moebius(),
    "301": (CUBE, FACES[:3]),
    "302": (CUBE, FACES[:5]),
    "303 edge": _two_cubes((1, 1, 0)),  # they share one vertical edge
    "305": _two_cubes((3, 0, 0)),
    "306 pulled through": (PULLED, TRIANGLES),
    "307": (CUBE, _roof([H, G, F, E])),
    "405": (CUBE, [[ring[::-1] for ring in face] for face in FACES]),
}


def test_a_cube_is_valid():
    assert _code(CUBE, FACES) == 0
    assert _codes(CUBE, FACES) == set()


@pytest.mark.parametrize("case", BROKEN)
def test_each_way_to_break_a_solid_gets_its_own_code(case):
    code = int(case[:3])
    assert _code(*BROKEN[case]) == code
    assert code in _codes(*BROKEN[case])


def test_a_ring_that_does_not_come_back_to_its_first_vertex_is_open():
    closed = [[ring + ring[:1] for ring in face] for face in FACES]
    assert _code(CUBE, closed, repeats_first=True) == 0
    closed[2][0].pop()
    assert _code(CUBE, closed, repeats_first=True) == 103
    assert _code(CUBE, closed) == 102  # where the first vertex is not repeated, a repeated one is a mistake


def test_a_corner_moved_sideways_out_of_a_narrow_face_turns_its_triangle():
    # 3 mm wide, a corner lifted by 2 mm: half a millimetre from the plane of least squares, the normals 34 degrees apart.
    wide = [(0, 0, 0), (5000, 0, 0), (5000, 3, 0), (0, 3, 2), (2500, 1500, -4000)]
    faces = [[[0, 1, 2, 3]], [[1, 0, 4]], [[2, 1, 4]], [[3, 2, 4]], [[0, 3, 4]]]
    assert _code(wide, faces, scale=1) == 204
    assert _code(wide, faces, scale=1, normals_deg=60.0) == 0
    assert _code(wide, faces, scale=1, planarity_mm=0.1) == 203


def test_a_fold_thinner_than_the_plane_tolerance_is_seen_by_its_normal():
    vertices = [*(np.array(CUBE) * 10_000).tolist(), (5000, -2, 10_002), (5004, 0, 10_000), (4996, 0, 10_000)]
    roof = [[E, 10, 8, 9, F, G, H]]
    wall = [[A, B, F, 9, 8, 10, E]]
    faces = [FACES[0], wall, *FACES[2:5], roof]
    assert _code(vertices, faces, scale=1) in (203, 204)


def test_planarity_is_measured_from_the_plane_of_least_squares():
    # One corner of a square lifted by 4 d: the plane of least squares passes at distance d from all corners.
    for lift, code in ((3.9, 0), (4.1, 203)):
        vertices = (np.array(CUBE) * 100_000).tolist()
        vertices[G][2] += 10 * lift
        assert _code(vertices, FACES, scale=1, planarity_mm=10.0) == code


def test_cubes_that_touch_in_one_corner_are_no_manifold():
    # No edge is shared, so the two shells are two components before they are anything else.
    assert _code(*_two_cubes((1, 1, 1))) == 305
    assert _codes(*_two_cubes((1, 1, 1))) == {303, 305}


def test_a_vertex_that_two_fans_share_in_one_component_is_no_manifold():
    # A ring of two pits that meet in one point: a block with pyramids cut in from above and from below.
    top, bottom = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
    vertices = [*CUBE, top, bottom]
    sides = FACES[1:5]
    pit = [[[E, F, 8]], [[F, G, 8]], [[G, H, 8]], [[H, E, 8]]]
    cave = [[[B, A, 9]], [[C, B, 9]], [[D, C, 9]], [[A, D, 9]]]
    assert _code(vertices, sides + pit + cave) == 303
    vertices[9] = (0.5, 0.5, 0.3)
    assert _code(vertices, sides + pit + cave) == 0


def test_list_errors_names_the_faces():
    found = list_errors(*_arrays(*BROKEN["307"]))
    assert (found.code.tolist(), found.face.tolist(), found.other.tolist()) == ([307], [5], [-1])
    found = list_errors(*_arrays(*BROKEN["306 pulled through"]))
    assert set(found.code) == {306} and len(found.code) > 1
    assert ((found.face >= 0) & (found.face < found.other)).all()
    found = list_errors(*_arrays(CUBE, FACES[1:]))
    assert found.code.tolist() == [302] * 4 and found.face.tolist() == [0, 1, 2, 3]


def test_list_errors_sees_several_kinds_at_once():
    vertices, faces = _two_cubes((3, 0, 0))
    faces[3] = [faces[3][0][::-1]]
    vertices[14] = (4, 1, 1.5)
    assert _codes(vertices, faces) == {203, 305, 307}


def test_a_batch_gives_each_solid_its_own_code_whatever_its_size():
    cases = [BROKEN[k] for k in BROKEN] + [(CUBE, FACES)] * 3
    arrays = [_arrays(*case) for case in cases]
    base = np.cumsum([0, *(len(a[0]) for a in arrays)])
    corners = np.cumsum([0, *(a[2][-1] for a in arrays)])
    rings = np.cumsum([0, *(a[3][-1] for a in arrays)])
    batch = (
        np.concatenate([a[0] for a in arrays]),
        np.concatenate([a[1] + b for a, b in zip(arrays, base, strict=False)]),
        np.concatenate([[0], *(a[2][1:] + b for a, b in zip(arrays, corners, strict=False))]).astype(np.int64),
        np.concatenate([[0], *(a[3][1:] + b for a, b in zip(arrays, rings, strict=False))]).astype(np.int64),
        np.cumsum([0, *(a[4][-1] for a in arrays)]).astype(np.int64),
    )
    assert check_solids(*batch).tolist() == [int(k[:3]) for k in BROKEN] + [0] * 3
    found = list_errors(*batch)
    for s, a in enumerate(arrays):
        alone = list_errors(*a)
        mine = found.solid == s
        assert found.code[mine].tolist() == alone.code.tolist()


def test_a_corner_outside_the_vertices_is_refused():
    with pytest.raises(ValueError, match="outside the 8 vertices"):
        _code(CUBE, _roof([E, F, G, 8]))


def test_a_solid_too_large_for_integers_is_not_judged():
    assert _code(CUBE, FACES, scale=5 * 10**8) == 0
    assert _code(CUBE, FACES, scale=6 * 10**8) == 999


# --- valid solids


def _pyramid():
    return [*CUBE[:4], (0.5, 0.5, 1)], [FACES[0], [[A, B, 4]], [[B, C, 4]], [[C, D, 4]], [[D, A, 4]]]


def _saddle():
    """A roof of eight faces around one vertex, by turns up and down."""
    rim = [(math.cos(k * math.pi / 4), math.sin(k * math.pi / 4), 1.0 + 0.3 * (k % 2)) for k in range(8)]
    vertices = [(x, y, 0.0) for x, y, _ in rim] + rim + [(0, 0, 1.1)]
    faces = [[[7, 6, 5, 4, 3, 2, 1, 0]]]
    for k in range(8):
        m = (k + 1) % 8
        faces += [[[k, m, m + 8, k + 8]], [[k + 8, m + 8, 16]]]
    return vertices, faces


def _chimney_at_a_corner():
    """A block on a roof whose foot touches the corner of the roof: the roof is a polygon with a hole at its own corner."""
    foot = [(1, 1, 1), (0.8, 0.9, 1), (0.5, 0.5, 1), (0.9, 0.8, 1)]
    vertices = [*CUBE, *foot[1:], *[(x, y, 1.5) for x, y, _ in foot]]
    ring = [G, 8, 9, 10]
    top = [11, 12, 13, 14]
    faces = [*FACES[:5], [[E, F, G, H], [G, 10, 9, 8]]]
    faces += [[[ring[k], ring[(k + 1) % 4], top[(k + 1) % 4], top[k]]] for k in range(4)]
    return vertices, [*faces, [top]]


def _courtyard(depth):
    """A block with a court, down to the ground (0) or a pit of some depth."""
    court = [(0.3, 0.3), (0.3, 0.6), (0.7, 0.6), (0.7, 0.3)]
    vertices = [*CUBE, *((x, y, 1) for x, y in court), *((x, y, depth) for x, y in court)]
    upper, lower = [8, 9, 10, 11], [12, 13, 14, 15]
    walls = [[[upper[k], lower[k], lower[(k + 1) % 4], upper[(k + 1) % 4]]] for k in range(4)]
    roof = [[E, F, G, H], upper]
    if depth == 0:
        return vertices, [[[A, D, C, B], lower[::-1]], *FACES[1:5], roof, *walls]
    return vertices, [*FACES[:5], roof, *walls, [lower[::-1]]]


VALID = {
    "pyramid": _pyramid(),
    "tetrahedron": ([(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)], [[[0, 2, 1]], [[0, 1, 3]], [[1, 2, 3]], [[2, 0, 3]]]),
    "cube of triangles": (CUBE, TRIANGLES),
    "eight roofs around a vertex": _saddle(),
    "court": _courtyard(0),
    "pit": _courtyard(0.4),
    "hole that touches a corner": _chimney_at_a_corner(),
}


@pytest.mark.parametrize("case", VALID)
def test_valid_solids_pass_turned_and_far_away(case):
    vertices, faces = VALID[case]
    assert _codes(vertices, faces) == set()
    assert _code(vertices, faces) == 0
    assert _code(np.add(vertices, (85.0, 447.0, 0.0)), faces) == 0
    # Quarter turns about x keep whole millimetres.
    x, y, z = np.array(vertices, float).T
    assert _code(np.stack((x, -z, y), 1), faces) == 0
    assert _code(np.stack((y, z, x), 1), faces) == 0
    assert _code(np.stack((-x, y, z), 1), faces) == 405  # a mirror turns it inside out


@st.composite
def footprints(draw):
    """Star-shaped rings of 3 to 12 corners and L-shapes, anticlockwise, turned by any angle [mm]."""
    turn = draw(st.floats(0, 2 * math.pi))
    if draw(st.booleans()):
        n = draw(st.integers(3, 12))
        parts = draw(st.lists(st.floats(0.3, 1.0), min_size=n, max_size=n))
        angle = turn + 2 * math.pi * np.cumsum(parts) / sum(parts)
        radius = np.array(draw(st.lists(st.floats(3000, 20_000), min_size=n, max_size=n)))
        if (np.array(parts) / sum(parts)).max() > 0.45:  # the centre has to see every edge
            radius[:] = 10_000
        return np.rint(np.stack((radius * np.cos(angle), radius * np.sin(angle)), 1)).astype(np.int64)
    a, b = draw(st.integers(4000, 30_000)), draw(st.integers(4000, 30_000))
    c, d = draw(st.integers(1000, a - 1000)), draw(st.integers(1000, b - 1000))
    ring = np.array([(0, 0), (a, 0), (a, d), (c, d), (c, b), (0, b)], float)
    cos, sin = math.cos(turn), math.sin(turn)
    return np.rint(np.stack((ring[:, 0] * cos - ring[:, 1] * sin, ring[:, 0] * sin + ring[:, 1] * cos), 1)).astype(np.int64)


def _prism(ring, height=6000):
    made = extrude_prisms(ring, np.array([0, len(ring)]), np.array([0, 1]), np.array([0]), np.array([height]))
    return [made.vertices, made.face_rings, made.ring_offsets, made.face_offsets, made.solid_offsets]


def _shuffled(arrays, seed):
    """Number the vertices anew and let each ring start elsewhere."""
    random = np.random.default_rng(seed)
    vertices, rings, offsets = arrays[:3]
    order = random.permutation(len(vertices))
    where = np.empty(len(order), np.int64)
    where[order] = np.arange(len(order))
    rings = where[rings]
    for a, b in pairwise(offsets):
        rings[a:b] = np.roll(rings[a:b], int(random.integers(b - a)))
    return [np.ascontiguousarray(vertices[order]), rings, *arrays[2:]]


@settings(max_examples=150, deadline=None)
@given(footprints(), st.integers(0, 10**6))
def test_random_extrusions_are_valid_however_they_are_numbered(ring, seed):
    arrays = _prism(ring)
    assert check_solids(*arrays)[0] == 0
    assert check_solids(*_shuffled(arrays, seed))[0] == 0


@settings(max_examples=60, deadline=None)
@given(footprints(), st.data())
def test_random_damage_is_found(ring, data):
    arrays = _prism(ring)
    n, n_face = len(ring), len(ring) + 2
    # A face turned over.
    f = data.draw(st.integers(0, n_face - 1))
    a, b = arrays[2][f], arrays[2][f + 1]
    turned = arrays[1].copy()
    turned[a:b] = turned[a:b][::-1]
    found = list_errors(arrays[0], turned, *arrays[2:])
    assert found.code.tolist() == [307] and found.face.tolist() == [f]
    # A face left out.
    kept = np.delete(np.arange(n_face), f)
    rings = [arrays[1][arrays[2][k] : arrays[2][k + 1]] for k in kept]
    offsets = np.cumsum([0, *map(len, rings)])
    single = np.arange(n_face)
    found = list_errors(arrays[0], np.concatenate(rings), offsets, single, np.array([0, n_face - 1]))
    assert set(found.code) == ({302} if n_face > 4 else {301, 302})
    # A corner of the roof lifted by 10 cm: out of plane unless the other corners are on one line or only two.
    v = n + data.draw(st.integers(0, n - 1))
    moved = arrays[0].copy()
    moved[v, 2] += 100
    centred = moved[n:] - moved[n:].mean(axis=0)
    distance = np.abs(centred @ np.linalg.svd(centred)[2][2]).max()
    assert (203 in list_errors(moved, *arrays[1:]).code) == (distance > 1.0) or abs(distance - 1.0) < 1e-6
    # All faces cut into triangles, and a corner of the roof pulled through the ground.
    one = np.array([0, n]), np.array([0, 1])
    made = extrude_prisms(ring, *one, np.array([0]), np.array([6000]))
    triangles, face, _ = triangulate_prisms(made, ring, *one)
    corners = triangles.ravel(), 3 * np.arange(len(face) + 1), np.arange(len(face) + 1), np.array([0, len(face)])
    assert check_solids(made.vertices, *corners)[0] == 0
    ground = made.vertices[triangles[face == 0]]
    widest = np.abs(np.cross(ground[:, 1] - ground[:, 0], ground[:, 2] - ground[:, 0])[:, 2]).argmax()
    pulled = made.vertices.copy()
    pulled[v] = (*(ground[widest].sum(axis=0) // 3)[:2], -10)
    assert 306 in list_errors(pulled, *corners).code


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
