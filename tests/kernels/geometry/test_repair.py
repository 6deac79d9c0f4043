from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from felsina.kernels.geometry.extrusion import extrude_prisms
from felsina.kernels.geometry.repair import Repairs, repaired
from felsina.kernels.geometry.solids import check_solids


def _solid(vertices, faces):
    rings = [ring for face in faces for ring in face]
    return SimpleNamespace(
        vertices=np.array(vertices, np.int64),
        face_rings=np.array([v for ring in rings for v in ring], np.int64),
        ring_offsets=np.cumsum([0, *map(len, rings)]).astype(np.int64),
        face_offsets=np.cumsum([0, *map(len, faces)]).astype(np.int64),
    )


def _faces(solid):
    o = solid.ring_offsets
    rings = [solid.face_rings[a:b].tolist() for a, b in pairwise(o)]
    return [rings[a:b] for a, b in pairwise(solid.face_offsets)]


def _prism(rings, height=3000):
    xy = np.concatenate([np.asarray(r, np.int64) for r in rings])
    offsets = np.cumsum([0, *map(len, rings)]).astype(np.int64)
    return extrude_prisms(xy, offsets, np.array([0, len(rings)]), np.array([0]), np.array([height]))


def _code(solid):
    one = np.array([0, len(solid.face_offsets) - 1])
    return check_solids(solid.vertices, solid.face_rings, solid.ring_offsets, solid.face_offsets, one)[0]


L_SHAPE = [[(0, 0), (9000, 0), (9000, 4000), (5000, 4000), (5000, 8000), (0, 8000)], [(1000, 1000), (1000, 2000), (2000, 1000)]]


@pytest.fixture
def block():
    prism = _prism(L_SHAPE)
    return prism.vertices.tolist(), _faces(prism)


def test_a_valid_solid_comes_back_as_it_is(random_polygons):
    for rings in random_polygons:
        prism = _prism(rings)
        made = repaired(prism)
        assert made.code == 0 and made.done == Repairs()
        for name in ("vertices", "face_rings", "ring_offsets", "face_offsets"):
            assert getattr(made, name) is getattr(prism, name)
        assert made.face_source.tolist() == list(range(len(prism.face_offsets) - 1))


def test_faces_turned_over_are_turned_back(block):
    vertices, faces = block
    broken = [[ring[::-1] for ring in face] if f in (0, 3, 7) else face for f, face in enumerate(faces)]
    made = repaired(_solid(vertices, broken))
    assert made.code == 0 and made.done == Repairs(faces_turned=3)
    assert _faces(made) == faces


def test_a_solid_inside_out_is_turned(block):
    vertices, faces = block
    made = repaired(_solid(vertices, [[ring[::-1] for ring in face] for face in faces]))
    assert made.code == 0 and made.done == Repairs(faces_turned=len(faces))


def test_a_hole_that_runs_the_wrong_way_is_turned(block):
    vertices, faces = block
    roof = len(faces) - 1
    faces[roof] = [faces[roof][0], faces[roof][1][::-1]]
    made = repaired(_solid(vertices, faces))
    assert made.code == 0 and made.done == Repairs(rings_turned=1)


def test_repeated_points_and_spikes_go(block):
    vertices, faces = block
    roof = len(faces) - 1
    a, b = faces[roof][0][:2]
    spike = len(vertices)
    vertices.append((np.array(vertices[a]) * 3 - np.array(vertices[b])).tolist())  # beyond a, in line with b and a
    faces[roof][0] = [a, a, *faces[roof][0][1:]]
    faces[3][0] = [*faces[3][0], faces[3][0][0]]
    faces[roof][0] = [a, spike, *faces[roof][0]]
    made = repaired(_solid(vertices, faces))
    assert made.code == 0
    assert made.done == Repairs(repeated=3, spikes=1)  # what is left of the spike is a point twice


def test_vertices_a_millimetre_apart_become_one(block):
    vertices, faces = block
    roof = len(faces) - 1
    twin = len(vertices)
    v = faces[roof][0][2]
    vertices.append(np.add(vertices[v], (0, 0, 1)).tolist())
    faces[roof][0] = [twin if w == v else w for w in faces[roof][0]]
    solid = _solid(vertices, faces)
    assert _code(solid) == 302
    made = repaired(solid)
    assert made.code == 0 and made.done == Repairs(welded=1)
    assert repaired(solid, weld_mm=0.5).code == 302
    vertices[twin][2] += 1
    assert repaired(_solid(vertices, faces), planarity_mm=5.0).code == 302  # two millimetres are another vertex


def test_a_wall_a_millimetre_wide_closes(block):
    # A ring with two corners 1 mm apart: as it stands it is valid, but where one of its walls is left out it can be welded.
    rings = [[(0, 0), (9000, 0), (9000, 1), (9000, 6000), (0, 6000)]]
    prism = _prism(rings)
    faces = _faces(prism)
    made = repaired(_solid(prism.vertices, [f for k, f in enumerate(faces) if k != 2]))
    assert made.code == 0 and made.done == Repairs(welded=2, repeated=2)
    assert len(made.face_source) == 6
    # With a face turned over and the thin wall there, turning is enough, and nothing is welded.
    faces[1] = [faces[1][0][::-1]]
    assert repaired(_solid(prism.vertices, faces)).done == Repairs(faces_turned=1)


def test_faces_that_lose_their_area_go_and_the_others_say_where_they_come_from():
    rings = [[(0, 0), (9000, 0), (9000, 1), (9000, 6000), (0, 6000)]]
    prism = _prism(rings)
    vertices, faces = prism.vertices.copy(), _faces(prism)
    twin = len(vertices)
    vertices = np.concatenate((vertices, np.add(vertices[-1:], (0, 0, 1))))
    faces[-1] = [[twin if w == twin - 1 else w for w in faces[-1][0]]]
    made = repaired(_solid(vertices, faces))
    assert made.code == 0 and made.done.faces_dropped == 1 and made.done.welded == 3
    assert made.face_source.tolist() == [0, 1, 3, 4, 5, 6]


def test_what_cannot_be_repaired_comes_back_untouched(block):
    vertices, faces = block
    turned = [faces[0], [faces[1][0][::-1]], *faces[2:-1]]  # no roof
    solid = _solid(vertices, turned)
    made = repaired(solid)
    assert made.code == 302 and made.done == Repairs()
    assert made.face_rings is solid.face_rings
    assert repaired(_solid(vertices, [])).code == 300


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.data())
def test_random_damage_of_these_kinds_is_undone_and_nothing_gets_worse(seed, data):
    random = np.random.default_rng(seed)
    n = int(random.integers(3, 12))
    angle = np.sort(random.uniform(0, 2 * np.pi, n))
    ring = np.rint(np.stack((np.cos(angle), np.sin(angle)), 1) * random.uniform(3000, 20000, (n, 1))).astype(np.int64)
    prism = _prism([ring])
    faces, vertices = _faces(prism), prism.vertices.tolist()
    if _code(prism) != 0:
        assert repaired(prism).code in (0, _code(prism))
        return
    for f in data.draw(st.sets(st.integers(0, n + 1), max_size=4)):
        faces[f] = [faces[f][0][::-1]]
    for f in data.draw(st.lists(st.integers(0, n + 1), max_size=3)):
        k = int(random.integers(len(faces[f][0])))
        faces[f] = [faces[f][0][:k] + faces[f][0][k : k + 1] + faces[f][0][k:]]
    for f in data.draw(st.lists(st.integers(0, n + 1), max_size=2)):
        k = int(random.integers(len(faces[f][0])))
        moved = list(vertices[faces[f][0][k]])
        moved[int(random.integers(3))] += int(random.choice([-1, 1]))
        vertices.append(moved)
        faces[f] = [[len(vertices) - 1 if i == k else w for i, w in enumerate(faces[f][0])]]
    solid = _solid(vertices, faces)
    made = repaired(solid)
    assert made.code == 0 or made.face_rings is solid.face_rings
    assert _code(made) == made.code
    if len(vertices) == 2 * n:
        assert made.code == 0 and made.done.welded == 0
        volume = check_solids(made.vertices, made.face_rings, made.ring_offsets, made.face_offsets, np.array([0, n + 2]))
        assert volume[0] == 0 and len(made.face_offsets) == n + 3
