"""Cells of footprints, and building returns outside them: counted alike wherever rows are cut."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from felsina.kernels.quality.coverage import BARE, BUILDING, CELL, SEEN, blocks_outside, group_blocks, tally_footprints


@pytest.fixture
def scene():
    """Random footprints and returns on 90 by 70 cells."""
    random = np.random.default_rng(4)
    index = np.full((90, 70), -1, np.int32)
    for b in range(12):
        j, i = random.integers(0, 80), random.integers(0, 60)
        index[j : j + random.integers(2, 9), i : i + random.integers(2, 9)] = b
    building = random.poisson(0.5, index.shape).astype(np.int32)
    ground = random.poisson(0.5, index.shape).astype(np.int32)
    height = random.uniform(0.0, 6.0, index.shape).astype(np.float32)
    return index, building, ground, height


def cut(n, seed):
    return np.unique(np.r_[0, np.random.default_rng(seed).integers(0, n, 4), n])


def test_cells_of_footprints_are_counted_by_what_they_hold(scene):
    index, building, ground, _ = scene
    tally = np.zeros((12, 4), np.int64)
    for a, b in zip(cut(90, 1)[:-1], cut(90, 1)[1:], strict=True):
        tally_footprints(index[a:b], building[a:b] + ground[a:b], building[a:b], ground[a:b], tally)
    for b in range(12):
        mine = index == b
        assert tally[b, CELL] == mine.sum()
        assert tally[b, SEEN] == (mine & (building + ground > 0)).sum()
        assert tally[b, BUILDING] == (mine & (building > 0)).sum()
        assert tally[b, BARE] == (mine & (ground > 0) & (building == 0)).sum()


@pytest.mark.parametrize("block", [1, 2, 4])
@pytest.mark.parametrize("margin", [0, 2])
def test_blocks_outside_do_not_depend_on_where_rows_are_cut(scene, block, margin):
    index, building, _, height = scene
    whole = blocks_outside(index, building, height, 1.5, margin, block, 0, 0)
    near = np.zeros(index.shape, bool)
    for j, i in np.argwhere(index >= 0):
        near[max(0, j - margin) : j + margin + 1, max(0, i - margin) : i + margin + 1] = True
    expected = {}
    for j, i in np.argwhere((building > 0) & (height >= 1.5) & ~near):
        key = j // block * -(-70 // block) + i // block
        expected[key] = expected.get(key, 0) + building[j, i]
    assert dict(whole.tolist()) == expected
    parts, cuts = [], np.unique([*np.minimum(cut(90, 7) // block * block, 90).tolist(), 90])
    for a, b in itertools.pairwise(cuts):
        first = max(0, a - margin)
        parts.append(
            blocks_outside(index[first : b + margin], building[a:b], height[a:b], 1.5, margin, block, int(a), int(first))
        )
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_blocks_that_touch_are_one_group():
    picture = np.array(
        [
            [1, 0, 0, 0, 0, 1],
            [0, 1, 0, 0, 0, 1],
            [0, 0, 0, 1, 0, 0],
            [1, 1, 0, 1, 0, 0],
            [1, 0, 1, 0, 0, 1],
        ]
    )
    number = np.flatnonzero(picture)
    blocks = np.stack((number, 10 + np.arange(len(number))), axis=1)
    groups = group_blocks(blocks[::-1].copy(), 6, 1000, 1)
    assert groups.n_block.tolist() == [2, 2, 6, 1]
    # The last column does not touch the first one of the next row; the middle of the first group lies on a corner.
    assert (groups.x[0], groups.y[0]) == (1000, 1000) and groups.n_return.sum() == blocks[:, 1].sum()
    assert group_blocks(blocks, 6, 1000, 3).n_block.tolist() == [6]
    assert len(group_blocks(blocks[:0], 6, 1000, 1).n_block) == 0


def test_groups_are_those_of_another_library():
    ndimage = pytest.importorskip("scipy.ndimage")
    picture = np.random.default_rng(9).random((60, 45)) < 0.35
    labels, n = ndimage.label(picture, np.ones((3, 3)))
    number = np.flatnonzero(picture)
    groups = group_blocks(np.stack((number, np.ones_like(number)), axis=1), 45, 1000, 1)
    assert len(groups.n_block) == n
    assert sorted(groups.n_block.tolist()) == sorted(np.bincount(labels.ravel())[1:].tolist())
