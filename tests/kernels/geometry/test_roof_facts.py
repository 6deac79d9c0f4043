from __future__ import annotations

import itertools

import numpy as np
import pytest

from felsina.kernels.geometry.heights import NO_HEIGHT
from felsina.kernels.geometry.roof_facts import ROOF_TYPES, roof_facts


def _facts(*solids, building=None, n_building=None):
    """Return the names, ridges and eaves of solids, each of a building of its own unless told."""
    building = range(len(solids)) if building is None else building
    n_vertex = np.cumsum([0, *(len(s.vertices) for s in solids)])
    n_corner = np.cumsum([0, *(len(s.face_rings) for s in solids)])
    n_ring = np.cumsum([0, *(len(s.ring_offsets) - 1 for s in solids)])
    made = roof_facts(
        np.concatenate([s.vertices for s in solids]),
        np.concatenate([s.face_rings + n for s, n in zip(solids, n_vertex)]),
        np.concatenate([[0], *(s.ring_offsets[1:] + n for s, n in zip(solids, n_corner))]),
        np.concatenate([[0], *(s.face_offsets[1:] + n for s, n in zip(solids, n_ring))]),
        np.concatenate([s.face_type for s in solids]),
        np.repeat(np.array(building, np.int64), [len(s.face_type) for s in solids]),
        n_building or max(building) + 1,
    )
    return [ROOF_TYPES[t] for t in made.roof_type], made.ridge.tolist(), made.eaves.tolist()


EXPECTED = {
    "flat": ("flat", 3000, 3000),
    "two levels": ("flat", 6000, 4800),  # (16 m x 3 m + 24 m x 6 m) / 40 m
    "monopitch": ("monopitch", 6000, 3000),
    "gabled": ("gabled", 6000, 3000),
    "hipped": ("hipped", 6000, 3000),
    "long hipped": ("hipped", 6000, 3000),
    "pavilion": ("pavilion", 6000, 3000),
    "oblong pavilion": ("pavilion", 6000, 3000),
    "mansard": ("mansard", 7000, 3000),
    "gabled L": ("gabled", 6000, 3000),
    "hip at one end": ("hipped", 6000, 3000),
    "gable and flat": ("combination", 6000, 2714),  # (24 m x 3 m + 32 m x 2.5 m) / 56 m
    "tent": ("combination", 9000, 3000),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_roofs_have_the_type_ridge_and_eaves_that_they_were_drawn_with(name, roofs, make_solid):
    assert [x[0] for x in _facts(make_solid(roofs[name]))] == list(EXPECTED[name])


def test_all_roofs_at_once_are_what_they_are_alone(roofs, make_solid):
    names, ridges, eaves = _facts(*(make_solid(roofs[name]) for name in EXPECTED))
    assert list(zip(names, ridges, eaves)) == list(EXPECTED.values())


@pytest.mark.parametrize("angle", [17.0, 45.0, 90.0, 123.0, 200.0])
def test_a_turned_building_keeps_its_type(angle, roofs, make_solid):
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    solids = [make_solid(roofs[name]) for name in EXPECTED]
    turn = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
    names, ridges, eaves = _facts(*(x._replace(vertices=np.rint(x.vertices @ turn).astype(np.int64)) for x in solids))
    assert names == [name for name, _, _ in EXPECTED.values()]
    assert ridges == [ridge for _, ridge, _ in EXPECTED.values()]
    # A height of 1 mm where rounded lengths turn a half.
    np.testing.assert_allclose(eaves, [e for _, _, e in EXPECTED.values()], atol=1)


def test_place_and_order_of_faces_change_no_bit(roofs, make_solid):
    random = np.random.default_rng(2)
    solids, moved = [make_solid(roofs[name]) for name in EXPECTED], []
    for s in solids:
        order = random.permutation(len(s.face_type))
        rings = [
            [s.face_rings[a:b] for a, b in itertools.pairwise(s.ring_offsets[p : q + 1])]
            for p, q in itertools.pairwise(s.face_offsets)
        ]
        rings = [[np.roll(r, random.integers(len(r))) for r in rings[f]] for f in order]
        number = random.permutation(len(s.vertices))
        vertices = np.empty_like(s.vertices)
        vertices[number] = s.vertices
        flat = [number[r] for face in rings for r in face]
        moved.append(
            s._replace(
                vertices=vertices + np.array([100_000_000, -7_654_321, 0]),
                face_rings=np.concatenate(flat),
                ring_offsets=np.cumsum([0, *map(len, flat)]),
                face_offsets=np.cumsum([0, *map(len, rings)]),
                face_type=s.face_type[order],
            )
        )
    assert _facts(*moved) == _facts(*solids)


def test_heights_follow_the_ground(roofs, make_solid):
    solids = [make_solid(roofs[name]) for name in EXPECTED]
    lifted = [s._replace(vertices=s.vertices + np.array([0, 0, -41_777])) for s in solids]
    names, ridges, eaves = _facts(*lifted)
    assert (names, [z + 41_777 for z in ridges], [z + 41_777 for z in eaves]) == _facts(*solids)


def test_parts_of_one_building_are_one_roof(roofs, make_solid):
    flat, gable = make_solid(roofs["flat"]), make_solid(roofs["gabled"])
    away = gable._replace(vertices=gable.vertices + np.array([50_000, 0, 0]))
    # Two gables 50 m apart are gabled; a flat roof of 96 m2 beside one of 120 m2 is a combination, its outline 40 m to 24 m.
    assert _facts(gable, away, building=[0, 0]) == (["gabled"], [6000], [3000])
    assert _facts(away, flat, building=[0, 0])[0] == ["combination"]


def test_a_small_dormer_does_not_change_a_roof(roofs, make_solid):
    # A level dormer 2 m wide over the lower half of the south slope.
    south = [(0, 0, 3000), (5000, 0, 3000), (5000, 2000, 4500), (7000, 2000, 4500), (7000, 0, 3000), (12000, 0, 3000)]
    faces = [
        [*south, (12000, 4000, 6000), (0, 4000, 6000)],
        roofs["gabled"][1],
        [(5000, 0, 4500), (7000, 0, 4500), (7000, 2000, 4500), (5000, 2000, 4500)],
    ]
    names, ridges, eaves = _facts(make_solid(faces))
    assert names == ["gabled"] and ridges == [6000]
    assert eaves == [3125]  # (22 m x 3 m + 2 m x 4.5 m) / 24 m


def test_buildings_without_a_roof_are_unknown(roofs, make_solid):
    names, ridges, eaves = _facts(make_solid(roofs["flat"]), building=[1], n_building=3)
    assert names == ["unknown", "flat", "unknown"]
    assert ridges == [NO_HEIGHT, 3000, NO_HEIGHT] and eaves == ridges


def test_faces_out_of_order_are_refused(roofs, make_solid):
    with pytest.raises(ValueError, match="descends"):
        _facts(make_solid(roofs["flat"]), make_solid(roofs["flat"]), building=[1, 0])
