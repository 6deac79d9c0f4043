from __future__ import annotations

import numpy as np
import pytest
import shapely

from felsina.kernels.geometry.extrusion import WALL, extrude_prisms
from felsina.kernels.geometry.party_walls import find_party_walls, sum_party_walls, wall_profiles


def _walls(houses, turn=0.0, shift=0):
    """Return walls and owner of rectangular houses (west, south, width, depth, ground, roof) in mm."""
    ring = np.array([[(x, y), (x + w, y), (x + w, y + d), (x, y + d)] for x, y, w, d, _, _ in houses], np.int64).reshape(-1, 2)
    if turn:
        c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
        ring = np.rint(ring @ np.array([[c, s], [-s, c]])).astype(np.int64)
    n = np.arange(len(houses) + 1)
    ground, roof = np.array([h[4:] for h in houses], np.int64).T
    return _prism_walls(extrude_prisms(ring + shift, 4 * n, n, np.ascontiguousarray(ground), np.ascontiguousarray(roof)))


def _prism_walls(made):
    faces = np.flatnonzero(made.face_type == WALL)
    owner = np.searchsorted(made.solid_offsets, faces, "right") - 1
    return wall_profiles(made.vertices, made.face_rings, made.ring_offsets, made.face_offsets, faces), owner


def _per_house(houses, turn=0.0, shift=0):
    walls, owner = _walls(houses, turn, shift)
    pairs, area = find_party_walls(walls, owner)
    return np.bincount(owner, sum_party_walls(pairs, area, len(owner)), len(houses)), pairs, area


def _drawn(corners, places, ends):
    """Return the faces of walls given by the corners (s, z) of each, anticlockwise, and the two ends of its line (x, y).

    A corner lies at the share s / places of the way between the ends.
    """
    vertices, counts = [], []
    for ring, n, (start, end) in zip(corners, places, ends, strict=True):
        step = np.array(end) - np.array(start)
        assert (step % n == 0).all()
        vertices += [(*(np.array(start) + step // n * s), z) for s, z in ring]
        counts.append(len(ring))
    offsets = np.cumsum([0, *counts])
    faces = np.arange(len(counts))
    return np.array(vertices, np.int64), np.arange(len(vertices)), offsets, np.arange(len(counts) + 1), faces


ROW = [(6000 * k, 0, 6000, 10000, 0, 8000) for k in range(5)]


def test_a_row_of_identical_houses_shares_whole_side_walls():
    shared, pairs, area = _per_house(ROW)
    assert shared.tolist() == [80, 160, 160, 160, 80]
    assert len(pairs) == 4 and (area == 80).all()


def test_of_unlike_heights_the_common_height_is_shared():
    shared, _, _ = _per_house([(0, 0, 6000, 10000, 0, 8000), (6000, 0, 6000, 10000, 2000, 5000)])
    assert shared.tolist() == [30, 30]  # 10 m x (5 - 2) m


def test_offset_houses_share_the_overlap_of_their_walls():
    shared, _, _ = _per_house([(0, 0, 6000, 10000, 0, 8000), (6000, 4000, 6000, 10000, 0, 8000)])
    assert shared.tolist() == [48, 48]  # 6 m x 8 m


def test_three_houses_on_one_long_wall_add_up():
    houses = [(0, 0, 8000, 15000, 0, 6000)] + [(8000, 5000 * k, 5000, 5000, 0, 3000 * (k + 1)) for k in range(3)]
    shared, _, _ = _per_house(houses)
    assert shared[0] == 5 * (3 + 6 + 6)
    # The houses also share walls with each other: 5 m x the lower of the two heights.
    assert shared[1:].tolist() == [15 + 15, 30 + 15 + 30, 30 + 30]


def test_rectangles_share_length_times_common_height_to_the_square_millimetre():
    # Walls over the same line in a direction of whole numbers, 5 mm a step: overlaps and heights are known exactly.
    random = np.random.default_rng(8)
    for _ in range(200):
        a0, a1 = np.sort(random.choice(4000, 2, replace=False))
        b0, b1 = np.sort(random.choice(4000, 2, replace=False))
        (low_a, top_a), (low_b, top_b) = (np.sort(random.choice(9000, 2, replace=False)) for _ in range(2))
        line = np.array([3, 4])
        rings = [[(0, low_a), (1, low_a), (1, top_a), (0, top_a)], [(0, low_b), (1, low_b), (1, top_b), (0, top_b)]]
        walls = wall_profiles(*_drawn(rings, (1, 1), ((a0 * line, a1 * line), (b1 * line, b0 * line))))
        _, area = find_party_walls(walls, np.arange(2))
        overlap, common = 5 * (min(a1, b1) - max(a0, b0)), min(top_a, top_b) - max(low_a, low_b)
        assert area.tolist() == ([overlap * common / 1e6] if overlap >= 100 and common > 0 else [])


def test_a_gable_end_shares_what_is_below_both_outlines():
    # Gable 8 m wide, eaves 3 m, ridge 7 m; the neighbour is a block of 5 m: 8 x 3 + 2 x 2 x 2 / 2 + 4 x 2.
    gable = [(0, 0), (8, 0), (8, 3000), (4, 7000), (0, 3000)]
    block = [(0, 0), (8, 0), (8, 5000), (0, 5000)]
    line = ((0, 0), (0, 8000)), ((0, 8000), (0, 0))
    _, area = find_party_walls(wall_profiles(*_drawn([gable, block], (8, 8), line)), np.arange(2))
    assert area.tolist() == [36]
    _, area = find_party_walls(wall_profiles(*_drawn([gable, gable], (8, 8), line)), np.arange(2))
    assert area.tolist() == [40]  # 8 x 3 + 8 x 4 / 2
    # Sloping tops that cross: 0 to 8 m against 8 to 0 m is a triangle of 8 m x 4 m.
    up = [(0, 0), (8, 0), (8, 8000)]
    down = [(0, 0), (8, 0), (8, 8000)]
    _, area = find_party_walls(wall_profiles(*_drawn([up, down], (8, 8), line)), np.arange(2))
    assert area.tolist() == [16]


def test_a_raised_base_takes_away_what_lies_below_it():
    gable = [(0, 0), (8, 0), (8, 3000), (4, 7000), (0, 3000)]
    floating = [(0, 5000), (8, 5000), (8, 9000), (0, 9000)]
    line = ((0, 0), (0, 8000)), ((0, 8000), (0, 0))
    _, area = find_party_walls(wall_profiles(*_drawn([gable, floating], (8, 8), line)), np.arange(2))
    assert area.tolist() == [4]  # the top of the gable: 4 m x 2 m / 2


def _random_wall(random, n):
    """Return the corners of a wall over n steps: a base, then tops that rise, fall and jump, from the end to the start."""
    base = int(random.integers(-2000, 4000))
    places = np.unique(np.r_[0, n, random.integers(1, n, random.integers(0, 8))])
    ring = [(0, base), (n, base)]
    for place in places[::-1]:
        tops = base + random.integers(100, 9000, 1 if random.random() < 0.5 else 2)
        ring += [(int(place), int(z)) for z in tops]
    return ring


def test_shared_areas_are_those_of_the_polygons_that_both_walls_cover():
    random, n_shared = np.random.default_rng(12), 0
    for _ in range(400):
        n_a, n_b = (int(n) for n in random.integers(40, 2000, 2))
        a, b = _random_wall(random, n_a), _random_wall(random, n_b)
        offset, apart = int(random.integers(-1000, 1000)), int(random.integers(-19, 20))
        along, across = np.array([3, 4]), np.array([4, -3])  # 5 mm a step
        start = along * offset + across * apart
        faces = _drawn([a, b], (n_a, n_b), ((0 * along, n_a * along), (start + n_b * along, start)))
        _, area = find_party_walls(wall_profiles(*faces), np.arange(2))
        in_a = shapely.Polygon([(5 * s, z) for s, z in a]).buffer(0)
        in_b = shapely.Polygon([(5 * (offset + n_b - s), z) for s, z in b]).buffer(0)
        overlap = 5 * (min(n_a, offset + n_b) - max(0, offset))
        expected = in_a.intersection(in_b).area if overlap >= 100 else 0.0
        n_shared += expected > 0
        # Half a square millimetre of rounding, and that of the oracle on 1e7 mm2.
        assert (area[0] * 1e6 if len(area) else 0.0) == pytest.approx(expected, abs=0.51)
    assert n_shared > 150


def test_profiles_are_exact_and_straight_pieces_are_one():
    # Corners of the top at 2/8, 4/8 (on a straight line with the first two) and 6/8, where the top jumps.
    ring = [(0, 100), (8, 100), (8, 2000), (6, 2000), (6, 3000), (4, 5000), (2, 3000), (0, 1000)]
    walls = wall_profiles(*_drawn([ring], (8,), (((1000, 2000), (1000 + 8 * 30, 2000 + 8 * 40)),)))
    assert walls.edges.tolist() == [[1000, 2000, 1240, 2320]] and walls.base.tolist() == [100]
    step = 20_000  # an eighth of 400 mm squared
    assert walls.pieces.tolist() == [
        [0, 4 * step, 1000, 5000],
        [4 * step, 6 * step, 5000, 3000],
        [6 * step, 8 * step, 2000, 2000],
    ]


def test_a_profile_does_not_depend_on_where_the_ring_begins():
    ring = [(0, 100), (8, 100), (8, 2000), (6, 2000), (6, 3000), (4, 5000), (2, 3500), (0, 1000)]
    ends = (((1000, 2000), (1240, 2320)),)
    profiles = [wall_profiles(*_drawn([ring[k:] + ring[:k]], (8,), ends)) for k in range(8)]
    assert all(np.array_equal(x, y) for p in profiles for x, y in zip(p, profiles[0]))


def test_walls_of_a_roof_solid_have_its_outline(roofs, make_solid):
    solid = make_solid(roofs["gabled"])
    chosen = np.flatnonzero(solid.face_source >= 0)
    walls = wall_profiles(solid.vertices, solid.face_rings, solid.ring_offsets, solid.face_offsets, chosen)
    outline = {(0, 0, 12000, 0), (12000, 0, 12000, 8000), (12000, 8000, 0, 8000), (0, 8000, 0, 0)}
    # The gable ends were drawn as two walls each, one for each face of the roof.
    outline -= {(12000, 0, 12000, 8000), (0, 8000, 0, 0)}
    outline |= {(12000, 0, 12000, 4000), (12000, 4000, 12000, 8000), (0, 8000, 0, 4000), (0, 4000, 0, 0)}
    assert {tuple(e) for e in walls.edges.tolist()} == outline
    assert not walls.base.any()
    tops = {tuple(e): tuple(p[2:]) for e, p in zip(walls.edges.tolist(), walls.pieces.tolist(), strict=True)}
    assert tops[12000, 0, 12000, 4000] == (3000, 6000) and tops[0, 8000, 0, 4000] == (3000, 6000)


def test_a_wall_with_a_hole_is_refused():
    vertices, rings, _, _, _ = _drawn([[(0, 0), (8, 0), (8, 3000), (0, 3000)]], (8,), (((0, 0), (8000, 0)),))
    with pytest.raises(ValueError, match="Face 0 has 2 rings"):
        wall_profiles(vertices, np.r_[rings, 0, 1, 2], np.array([0, 4, 7]), np.array([0, 2]), np.array([0]))


def test_rotation_by_37_degrees_keeps_the_shared_area():
    shared, _, _ = _per_house(ROW, turn=37.0)
    # Vertices round to 1 mm on a 10 m wall.
    np.testing.assert_allclose(shared, [80, 160, 160, 160, 80], rtol=2e-4)


def test_translation_by_100_km_and_renumbering_change_no_bit():
    houses = [(6000 * k, 37 * k, 6000, 10000 + 111 * k, 10 * k, 8000 - 70 * k) for k in range(8)]
    shared, _, area = _per_house(houses)
    assert np.array_equal(_per_house(houses, shift=100_000_000)[2], area)
    order = np.random.default_rng(5).permutation(8)
    again, _, _ = _per_house([houses[i] for i in order])
    assert np.array_equal(again, shared[order])


def test_no_numbering_of_crowded_walls_changes_what_they_share():
    # Walls of many shapes over the same line, far more than it can serve: each is named by its profile.
    random = np.random.default_rng(4)
    rings, places, ends = [], [], []
    for k in range(60):
        n = int(random.integers(100, 400))
        start = np.array([3, 4]) * int(random.integers(0, 600)) + np.array([4, -3]) * int(random.integers(-9, 10))
        end = start + n * np.array([3, 4])
        rings.append(_random_wall(random, n))
        places.append(n)
        ends.append((start, end) if k % 2 else (end, start))
    faces = _drawn(rings, places, ends)
    pairs, area = find_party_walls(wall_profiles(*faces), np.arange(60))
    assert len(pairs) > 100
    order = random.permutation(60)
    pairs2, area2 = find_party_walls(wall_profiles(*faces[:4], order), np.arange(60))
    named = {tuple(sorted(order[p])): x for p, x in zip(pairs2, area2)}
    assert named == {tuple(p): x for p, x in zip(pairs, area)}
    far = faces[0] + np.array([123_456_789, -98_765_432, 0])
    assert np.array_equal(find_party_walls(wall_profiles(far, *faces[1:]), np.arange(60))[1], area)
    total = sum_party_walls(pairs, area, 60)
    own = [shapely.Polygon([(5 * s, z) for s, z in ring]).buffer(0).area / 1e6 for ring in rings]
    assert (total <= np.array(own) + 1e-9).all()


@pytest.mark.parametrize(("gap", "is_shared"), [(0, True), (100, True), (101, False), (-100, True), (2000, False)])
def test_walls_pair_up_to_a_decimetre_apart_or_over_each_other(gap, is_shared):
    shared, _, _ = _per_house([(0, 0, 6000, 10000, 0, 8000), (6000 + gap, 0, 6000, 10000, 0, 8000)])
    assert (shared == (80 if is_shared else 0)).all()


def test_walls_that_face_the_same_way_or_meet_in_a_corner_are_no_pair():
    shared, _, _ = _per_house([(0, 0, 6000, 6000, 0, 8000), (6000, 6000, 6000, 6000, 0, 8000)])
    assert not shared.any()
    walls, owner = _walls([(0, 0, 6000, 6000, 0, 8000)] * 2)
    assert len(find_party_walls(walls, owner)[0]) == 0


def test_no_wall_shares_more_than_it_has():
    # Two houses drawn over each other, both within the tolerance of one wall: the wall is given away once.
    houses = [(0, 0, 6000, 10000, 0, 8000), (6000, 0, 5000, 10000, 0, 8000), (6050, 0, 5000, 10000, 0, 8000)]
    walls, owner = _walls(houses)
    pairs, area = find_party_walls(walls, owner)
    total = sum_party_walls(pairs, area, len(owner))
    length = np.hypot(walls.edges[:, 2] - walls.edges[:, 0], walls.edges[:, 3] - walls.edges[:, 1])
    assert (total <= length * 8000 / 1e6).all()
    assert total[1] == 80  # the east wall of the first house, wholly


def test_a_shared_wall_is_found_across_the_cells_of_the_index():
    # 3 km of wall over hundreds of cells, against houses of 7 m along it.
    houses = [(0, 0, 6000, 3_000_000, 0, 8000)] + [(6000, 7000 * k, 5000, 7000, 0, 5000) for k in range(400)]
    shared, _, _ = _per_house(houses, turn=31.0)
    assert shared[0] == pytest.approx(2800 * 5, rel=1e-3)


def test_nothing_in_nothing_out():
    none, zero = np.empty(0, np.int64), np.zeros(1, np.int64)
    walls = wall_profiles(np.empty((0, 3), np.int64), none, zero, zero, none)
    pairs, area = find_party_walls(walls, none)
    assert pairs.shape == (0, 2) and area.shape == (0,)
    assert sum_party_walls(pairs, area, 0).shape == (0,)
