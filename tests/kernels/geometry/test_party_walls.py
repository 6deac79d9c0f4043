from __future__ import annotations

import numpy as np
import pytest

from felsina.kernels.geometry.party_walls import find_party_walls, sum_party_walls


def _walls(houses):
    """Return edges, heights, owner of rectangular houses (west, south, width, depth, ground, roof) in mm."""
    edges, heights, owner = [], [], []
    for k, (x, y, w, d, low, high) in enumerate(houses):
        corners = [(x, y), (x + w, y), (x + w, y + d), (x, y + d)]
        for i in range(4):
            edges.append((*corners[i], *corners[(i + 1) % 4]))
            heights.append((low, high))
            owner.append(k)
    return np.array(edges, np.int64), np.array(heights, np.int64), np.array(owner, np.int64)


def _per_house(houses, turn=0.0, shift=0):
    edges, heights, owner = _walls(houses)
    if turn:
        c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
        edges = np.rint(edges.reshape(-1, 2) @ np.array([[c, s], [-s, c]])).astype(np.int64).reshape(-1, 4)
    pairs, area = find_party_walls(edges + shift, heights, owner)
    return np.bincount(owner, sum_party_walls(pairs, area, len(owner)), len(houses)), pairs, area


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


@pytest.mark.parametrize(("gap", "is_shared"), [(0, True), (100, True), (101, False), (-100, True), (2000, False)])
def test_walls_pair_up_to_a_decimetre_apart_or_over_each_other(gap, is_shared):
    shared, _, _ = _per_house([(0, 0, 6000, 10000, 0, 8000), (6000 + gap, 0, 6000, 10000, 0, 8000)])
    assert (shared == (80 if is_shared else 0)).all()


def test_walls_that_face_the_same_way_or_meet_in_a_corner_are_no_pair():
    shared, _, _ = _per_house([(0, 0, 6000, 6000, 0, 8000), (6000, 6000, 6000, 6000, 0, 8000)])
    assert not shared.any()
    edges, heights, _ = _walls([(0, 0, 6000, 6000, 0, 8000)] * 2)
    pairs, _ = find_party_walls(edges, heights, np.repeat([0, 1], 4))
    assert len(pairs) == 0


def test_no_wall_shares_more_than_it_has():
    # Two houses drawn over each other, both within the tolerance of one wall: the wall is given away once.
    houses = [(0, 0, 6000, 10000, 0, 8000), (6000, 0, 5000, 10000, 0, 8000), (6050, 0, 5000, 10000, 0, 8000)]
    edges, heights, owner = _walls(houses)
    pairs, area = find_party_walls(edges, heights, owner)
    total = sum_party_walls(pairs, area, len(owner))
    length = np.hypot(edges[:, 2] - edges[:, 0], edges[:, 3] - edges[:, 1])
    assert (total <= length * (heights[:, 1] - heights[:, 0]) / 1e6).all()
    assert total[1] == 80  # the east wall of the first house, wholly


def test_nothing_in_nothing_out():
    pairs, area = find_party_walls(np.empty((0, 4), np.int64), np.empty((0, 2), np.int64), np.empty(0, np.int64))
    assert pairs.shape == (0, 2) and area.shape == (0,)
