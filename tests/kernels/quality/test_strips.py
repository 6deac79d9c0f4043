"""Differences of flight strips: exact sums, any order, pairs, smooth cells, seconds of GPS time."""

from __future__ import annotations

import math

import numpy as np
import pytest

from felsina.kernels.quality.strips import (
    LABELS,
    REACH_MM,
    labels_seen,
    merge_differences,
    merge_tallies,
    relabelled,
    strip_differences,
    strips_of_seconds,
    summarise,
    tally_strips,
)


def ground(n=20_000, n_cell=900, strips=(1, 2), lift=(0, 100), noise=20.0, seed=0):
    """Cells, strips and heights [mm] of a rolling ground that strips see with an offset each."""
    random = np.random.default_rng(seed)
    cells, strip = random.integers(0, n_cell, n), random.integers(0, len(strips), n)
    level = 20_000 + (300 * np.sin(cells / 40.0)).astype(np.int64)
    z = level + np.array(lift)[strip] + np.rint(random.normal(0, noise, n)).astype(np.int64)
    return cells, np.array(strips)[strip], z


def whole(d):
    return summarise(d.histogram.sum(axis=0), int(d.square.sum()))


@pytest.mark.parametrize("lift", [0, 100, -37])
def test_a_lifted_strip_is_recovered(lift):
    d = strip_differences(tally_strips(*ground(lift=(0, lift))))
    m = summarise(d.histogram[0], int(d.square[0]))
    # 900 cells, 11 returns a strip in each, 20 mm of noise: the median is known to a millimetre, read to a millimetre.
    assert (d.first.tolist(), d.second.tolist()) == ([1], [2])
    assert abs(m.median * 1000 - lift) <= 2 and m.n_cell > 850


def test_the_root_mean_square_is_offset_and_noise():
    m = whole(strip_differences(tally_strips(*ground(n=200_000, lift=(0, 60)))))
    # 111 returns a strip and cell: noise of the difference 20 sqrt(2 / 111) = 2.7 mm
    assert m.root_mean_square * 1000 == pytest.approx(math.hypot(60, 2.7), abs=0.5)
    assert 60 <= m.percentile_95 * 1000 <= 68


def test_no_order_and_no_cut_changes_a_number():
    cells, strip, z = ground(strips=(3, 9, 65_535), lift=(0, 20, -15))
    d = strip_differences(tally_strips(cells, strip, z))
    random = np.random.default_rng(5)
    mixed = random.permutation(len(z))
    cuts = np.split(mixed, np.sort(random.integers(0, len(z), 6)))
    again = strip_differences(merge_tallies(*(tally_strips(cells[c], strip[c], z[c]) for c in cuts)))
    halves = [cells % 2 == k for k in (0, 1)]
    owners = merge_differences(*(strip_differences(tally_strips(cells[h], strip[h], z[h])) for h in halves))
    for other in (again, owners):
        for a, b in zip(d, other, strict=True):
            np.testing.assert_array_equal(a, b)
    assert list(zip(d.first.tolist(), d.second.tolist(), strict=True)) == [(3, 9), (3, 65_535), (9, 65_535)]


def test_rough_cells_and_cells_of_few_returns_are_left_out():
    cells, strip, z = ground(n=4_000, n_cell=100)
    kerb = cells < 50
    z = z + np.where(kerb & (np.arange(len(z)) % 2 == 0), 150, 0)
    assert whole(strip_differences(tally_strips(cells, strip, z))).n_cell == 50
    sparse = np.array([0, 0, 0, 0, 0]), np.array([1, 1, 1, 2, 2]), np.full(5, 10)
    assert whole(strip_differences(tally_strips(*sparse))).n_cell == 0


def test_large_differences_count_as_the_largest():
    cells, strip, z = ground(lift=(0, 5 * REACH_MM))
    assert whole(strip_differences(tally_strips(cells, strip, z))).median * 1000 == REACH_MM


def test_the_datum_of_heights_cancels():
    cells, strip, z = ground()
    a, b = (strip_differences(tally_strips(cells, strip, z + up, up)) for up in (0, 2_000_000))
    np.testing.assert_array_equal(a.histogram, b.histogram)


def test_gaps_in_time_part_strips_and_the_clock_is_a_circle():
    seen = np.zeros(LABELS, np.bool_)
    seen[[0, 1, 5, 100, 101, 109, 300, LABELS - 2]] = True
    strip = strips_of_seconds(seen, 8)
    assert strip[[0, 1, 5]].tolist() == [1, 1, 1] and strip[[100, 101, 109]].tolist() == [2, 2, 2]
    assert strip[300] == 3 and strip[LABELS - 2] == 1 and strip[50] == 0
    assert strips_of_seconds(np.zeros(LABELS, np.bool_)).max() == 0


def test_seconds_and_strips_give_the_same_differences():
    cells, strip, z = ground()
    second = np.where(strip == 1, 40, 5_000) + np.random.default_rng(1).integers(0, 5, len(z))
    timed = tally_strips(cells, second, z)
    by_time = strip_differences(relabelled(timed, strips_of_seconds(labels_seen(timed))))
    by_strip = strip_differences(tally_strips(cells, strip, z))
    np.testing.assert_array_equal(by_time.histogram, by_strip.histogram)


def test_nothing_gives_nothing():
    empty = tally_strips(*(np.empty(0, np.int64),) * 3)
    d = strip_differences(merge_tallies(empty, empty))
    assert len(d.first) == 0 and whole(merge_differences(d, d)).n_cell == 0
    assert math.isnan(whole(d).median)
