"""Rings against GEOS, which judges the same things of plane polygons by other means."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import shapely

from felsina.kernels.geometry.rings import (
    are_duplicates,
    is_interior_connected,
    is_ring_within,
    join_touching,
    ring_area2,
    ring_contacts,
)


def _polygon(rings):
    p = np.concatenate([np.asarray(r, np.int64) for r in rings])
    offsets = np.cumsum([0, *map(len, rings)]).astype(np.int64)
    ring = np.repeat(np.arange(len(rings)), np.diff(offsets))
    after, before = np.arange(1, len(p) + 1), np.arange(-1, len(p) - 1)
    after[offsets[1:] - 1], before[offsets[:-1]] = offsets[:-1], offsets[1:] - 1
    return p, offsets, before, after, ring


def _verdict(rings):
    """Return the code of the first thing wrong with a polygon, 0 if nothing is."""
    p, offsets, before, after, ring = _polygon(rings)
    is_simple, crossing, touches = ring_contacts(p, before, after, ring)
    if not is_simple:
        return 104
    if crossing[0] >= 0:
        return 202 if are_duplicates(p, offsets, *crossing) else 201
    holes = range(1, len(rings))
    if not all(is_ring_within(p, offsets, before, after, ring, touches, 0, r) for r in holes):
        return 206
    if any(r != s and is_ring_within(p, offsets, before, after, ring, touches, s, r) for r in holes for s in holes):
        return 207
    return 0 if is_interior_connected(p, ring, touches, len(rings)) else 205


REASONS = {
    0: "Valid Geometry",
    205: "Interior is disconnected",
    206: "Hole lies outside shell",
    207: "Holes are nested",
}


def _random_rings(random, size):
    """A ring with holes on a small grid: corners, edges and whole rings coincide all the time."""
    rings = []
    for k in range(int(random.integers(1, 5))):
        n = int(random.integers(3, 6))
        low = 0 if k == 0 else int(random.integers(0, size // 2))
        high = size if k == 0 else int(random.integers(low + 2, size + 1))
        ring = random.integers(low, high + 1, (n, 2))
        if k == 0 and random.random() < 0.7:
            ring = np.array([(0, 0), (size, 0), (size, size), (0, size)])
        if k > 1 and random.random() < 0.05:
            ring = np.roll(rings[1], 1, axis=0)[:: random.choice([-1, 1])]
        rings.append(ring)
    return rings


@pytest.mark.parametrize("size", [4, 6, 9])
def test_verdicts_are_those_of_geos(size):
    random = np.random.default_rng(size)
    seen = Counter()
    for _ in range(4000):
        rings = _random_rings(random, size)
        if any((np.roll(r, -1, axis=0) == r).all(axis=1).any() for r in rings):
            continue  # repeated points are 102, which GEOS does not mind
        code = _verdict(rings)
        reason = shapely.is_valid_reason(shapely.Polygon(rings[0], rings[1:])).partition("[")[0]
        # Where rings cross, GEOS names whichever consequence it meets first.
        assert reason == REASONS[code] if code in REASONS else reason != REASONS[0], (rings, code, reason)
        seen[code] += 1
    assert set(seen) >= {0, 104, 201, 202, 205, 206, 207}


def test_joined_rings_keep_the_interior_on_their_left():
    # Two holes that touch the exterior and each other in corners: one walk of the same area is left.
    outer = [(0, 0), (10, 0), (10, 10), (0, 10)]
    first = [(0, 0), (2, 5), (5, 5)]
    second = [(5, 5), (6, 8), (8, 6)]
    p, offsets, before, after, ring = _polygon([outer, first, second])
    assert all(ring_area2(p, offsets[r], offsets[r + 1]) < 0 for r in (1, 2))
    is_simple, crossing, touches = ring_contacts(p, before, after, ring)
    assert is_simple and crossing[0] < 0
    area = sum(int(ring_area2(p, offsets[r], offsets[r + 1])) for r in range(3))
    assert join_touching(p, before, after, ring, touches)
    walk, i = [0], int(after[0])
    while i != 0:
        walk.append(i)
        i = int(after[i])
    assert sorted(walk) == list(range(10))
    assert (before[after] == np.arange(10)).all()
    assert ring_area2(np.ascontiguousarray(p[walk]), 0, 10) == area


def test_a_hole_with_a_corner_on_an_edge_is_not_joined():
    p, _, before, after, ring = _polygon([[(0, 0), (10, 0), (10, 10), (0, 10)], [(5, 0), (4, 5), (6, 5)]])
    _, crossing, touches = ring_contacts(p, before, after, ring)
    assert crossing[0] < 0 and len(touches) > 0
    assert not join_touching(p, before, after, ring, touches)


def test_a_comb_of_many_teeth_is_simple_until_a_tooth_bends():
    x = np.arange(400)
    ring = np.concatenate((np.stack((x, x % 2 * 7 + 10), 1), [(400, -5), (-1, -5)]))[::-1]
    p, _, before, after, which = _polygon([ring])
    assert ring_contacts(p, before, after, which)[0]
    k = 100 + int(ring[100:102, 1].argmax())
    ring[k, 0] += 3
    p, _, before, after, which = _polygon([ring])
    assert not ring_contacts(p, before, after, which)[0]
