import math

import numpy as np
import pytest

from felsina.kernels.vegetation.returns import (
    LAYER,
    N_DIRECTION,
    N_LAYER,
    PULSE,
    add_cells,
    add_returns,
    density_rows,
    empty_profiles,
    empty_sums,
    greatest_diameter,
)

SHAPE = 30, 40
CELL_MM = 500


def scene(seed, n=4000, n_tree=6):
    """Return crowns of blocks of cells, a sloping ground, slots with a tree that is not wanted, and points, some outside."""
    rng = np.random.default_rng(seed)
    crown = rng.integers(-1, n_tree, (6, 8)).astype(np.int32).repeat(5, 0).repeat(5, 1)
    ground = (50 + 0.1 * np.indices(SHAPE).sum(0) + rng.uniform(0, 0.01, SHAPE)).astype("f4")
    slot = rng.permutation(n_tree).astype(np.int32)
    slot[2] = -1
    x, y = rng.integers(-2000, 22000, n).astype(np.int32), rng.integers(-2000, 17000, n).astype(np.int32)
    z = rng.integers(48_000, 110_000, n).astype(np.int32)
    classes = rng.choice([0, 2, 5, 6], n).astype(np.uint8)
    n_return = rng.integers(0, 6, n).astype(np.uint8)
    number = np.minimum(rng.integers(0, 6, n), n_return).astype(np.uint8)
    left_out = np.zeros(256, bool)
    left_out[6] = True
    return (x, y, z, classes, number, n_return), left_out, crown, ground, slot


def add(points, left_out, crown, ground, slot):
    pulses, profiles = np.zeros(SHAPE, np.int32), empty_profiles(len(slot))
    add_returns(*points, left_out, crown, ground, CELL_MM, slot, pulses, profiles)
    return pulses, *profiles


def test_returns_are_counted_by_tree_and_layer():
    points, left_out, crown, ground, slot = scene(1)
    pulses, every, energy, multiple = (np.zeros_like(a) for a in add(*scene(1)))
    for x, y, z, c, number, n in zip(*(a.tolist() for a in points), strict=True):
        j, i = y // CELL_MM, x // CELL_MM
        if not (0 <= j < SHAPE[0] and 0 <= i < SHAPE[1]):
            continue
        pulses[j, i] += number <= 1
        tree = crown[j, i]
        if tree < 0 or slot[tree] < 0 or left_out[c]:
            continue
        layer = min(max(z - round(float(ground[j, i]) * 1000), 0) // LAYER, N_LAYER - 1)
        every[slot[tree], layer] += 1
        energy[slot[tree], layer] += PULSE // max(n, 1)
        multiple[slot[tree]] += n > 1
    assert every[:, 0].any()
    assert every[:, -1].any()
    for got, want in zip(add(*scene(1)), (pulses, every, energy, multiple), strict=True):
        np.testing.assert_array_equal(got, want)


def test_order_and_batches_of_points_are_nothing():
    points, *rest = scene(2)
    order = np.random.default_rng(0).permutation(points[0].size)
    whole = add(points, *rest)
    halves = [add([c[order][part] for c in points], *rest) for part in (slice(0, 1500), slice(1500, None))]
    for a, b, want in zip(*halves, whole, strict=True):
        np.testing.assert_array_equal(a + b, want)


def test_pulses_of_several_returns_are_shared_to_the_whole():
    assert all(PULSE % n == 0 for n in range(1, 11))


def test_sums_of_parts_merge_to_those_of_the_whole():
    rng = np.random.default_rng(4)
    _, _, crown, _, _ = scene(4)
    canopy = rng.integers(2000, 20000, SHAPE).astype(np.int32)
    density = rng.integers(0, 9999, SHAPE).astype(np.int32)
    slot = rng.permutation(6).astype(np.int32)
    whole, top, bottom = (empty_sums(6) for _ in range(3))
    add_cells(crown, canopy, density, (0, 30), slot, whole)
    add_cells(crown, canopy, density, (0, 13), slot, top)
    add_cells(crown, canopy, density, (13, 30), slot, bottom)
    np.testing.assert_array_equal(top.total + bottom.total, whole.total)
    np.testing.assert_array_equal(np.maximum(top.greatest, bottom.greatest), whole.greatest)
    for tree in range(6):
        j, i = np.nonzero(crown == tree)
        assert whole.total[slot[tree]].tolist() == [len(i), i.sum(), j.sum(), density[j, i].sum()]
        assert whole.greatest[slot[tree], 0] == canopy[j, i].max()


@pytest.mark.parametrize("degrees", [0, 20, 45, 77, 90, 150])
def test_the_longest_extent_of_a_line_is_its_length(degrees):
    t = np.arange(-40, 41)
    j = np.rint(60 + t * math.sin(math.radians(degrees))).astype(int)
    i = np.rint(60 + t * math.cos(math.radians(degrees))).astype(int)
    crown = np.full((121, 121), -1, np.int32)
    crown[j, i] = 0
    sums, zero = empty_sums(1), np.zeros((121, 121), np.int32)
    add_cells(crown, zero, zero, (0, 121), np.zeros(1, np.int32), sums)
    length = math.hypot(j[-1] - j[0], i[-1] - i[0]) + 1
    # The nearest of the directions is at most half a step, pi / 32, away.
    least = (length - 1) * math.cos(math.pi / (2 * N_DIRECTION)) + 1
    assert 0.5 * least - 0.01 <= greatest_diameter(sums.greatest, 0.5)[0] <= 0.5 * (length + 0.1)


@pytest.mark.parametrize("reach", [1, 6, 50])
def test_density_is_the_mean_of_the_square_around(reach):
    pulses = np.random.default_rng(5).integers(0, 9, (23, 31)).astype(np.int32)
    want = np.empty_like(pulses)
    for j in range(23):
        for i in range(31):
            box = pulses[max(j - reach, 0) : j + reach + 1, max(i - reach, 0) : i + reach + 1]
            want[j, i] = int(box.sum()) * PULSE // box.size
    got = np.empty_like(pulses)
    for part in ((0, 4), (4, 17), (17, 23)):
        density_rows(pulses, reach, part, got)
    np.testing.assert_array_equal(got, want)
