"""Solids in flat arrays: joining, choosing and ordering keep every solid as it is."""

from __future__ import annotations

import numpy as np
import pytest

from felsina.engine.processes.solids import chosen, highest, in_order_of_rows, joined, no_solids, of_prisms, offsets_of, ranges
from felsina.kernels.geometry.extrusion import extrude_prisms
from felsina.kernels.geometry.faces import solid_volumes


def box(x, size, height, row, level=0):
    """A box of `size` m at easting x; its volume tells it from others."""
    xy = np.array([(0, 0), (size, 0), (size, size), (0, size)], np.int64) * 1000 + (x * 1000, 0)
    start = np.array([0, 4]), np.array([0, 1])
    made = of_prisms(extrude_prisms(xy, *start, np.array([0]), np.array([height * 1000])), np.array([row]))
    return made._replace(level=np.array([level]))


def volumes(s):
    return solid_volumes(s.vertices, s.face_rings, s.ring_offsets, s.face_offsets, s.solid_offsets).tolist()


@pytest.fixture
def several():
    return joined(
        [box(0, 2, 3, 5), box(10, 4, 5, 2), no_solids(), box(0, 2, 4, 5, 2), box(30, 1, 6, 2, 0), box(10, 4, 7, 2, 1)]
    )


def test_joined_solids_keep_their_volumes_and_rows(several):
    assert several.n == 5 and several.row.tolist() == [5, 2, 5, 2, 2]
    assert volumes(several) == [12, 80, 16, 6, 112]
    assert several.face_row.tolist() == np.repeat(several.row, 6).tolist()
    assert several.is_outer.tolist() == [False, *[True] * 4, False] * 5


def test_chosen_solids_are_the_same_as_alone(several):
    picked = chosen(several, np.array([3, 0]))
    assert volumes(picked) == [6, 12] and picked.row.tolist() == [2, 5]
    for a, b in zip(chosen(several, np.array([3])), box(30, 1, 6, 2, 0), strict=True):
        np.testing.assert_array_equal(a, b)


def test_in_order_of_rows_levels_follow_each_other_and_parts_keep_their_order(several):
    ordered = in_order_of_rows(several)
    assert ordered.row.tolist() == [2, 2, 2, 5, 5] and ordered.level.tolist() == [0, 0, 1, 0, 2]
    assert volumes(ordered) == [80, 6, 112, 12, 16]


def test_the_highest_level_of_each_building_is_kept_with_all_its_parts(several):
    assert volumes(highest(in_order_of_rows(several))) == [112, 16]
    assert volumes(highest(in_order_of_rows(chosen(several, np.array([0, 1, 3]))))) == [80, 6, 12]


def test_nothing_stays_nothing():
    nothing = joined([])
    assert nothing.n == 0 and highest(in_order_of_rows(nothing)).n == 0
    assert chosen(nothing, np.zeros(0, np.int64)).n == 0 and volumes(nothing) == []


def test_ranges_and_offsets():
    assert ranges(np.array([3, 7, 7]), np.array([5, 7, 9])).tolist() == [3, 4, 7, 8]
    assert ranges(np.zeros(0, np.int64), np.zeros(0, np.int64)).tolist() == []
    assert offsets_of(np.array([2, 0, 3])).tolist() == [0, 2, 2, 5]
