import itertools
import math

import numba
import numpy as np
import pytest

from felsina.kernels.vegetation.crowns import (
    canopy_millimetres,
    crown_rows,
    delineate,
    link_rows,
    number_crowns,
    smooth_rows,
    smoothings,
    treetops,
    window_table,
)

CELL = 0.5


def cones(shape, tops, slope=1.0):
    """Return a canopy of cones, (j, i, height) each, that fall by `slope` and end at half their height [m]."""
    jj, ii = np.indices(shape)
    out = np.zeros(shape)
    for j, i, height in tops:
        z = height - slope * CELL * np.hypot(jj - j, ii - i)
        out = np.maximum(out, np.where(z >= 0.5 * height, z, 0.0))
    return out.astype("f4")


def forest(shape, seed, step=1.0):
    """Return a rough canopy with many equal heights: whole multiples of `step` [m]."""
    rng = np.random.default_rng(seed)
    tops = [(*rng.uniform(0, shape), rng.uniform(4.0, 18.0)) for _ in range(shape[0] * shape[1] // 60)]
    canopy = cones(shape, tops, 0.8) + rng.normal(0, 0.6, shape)
    canopy[rng.random(shape) < 0.05] = 0.0
    return np.where(canopy > 2.0, np.round(canopy / step) * step, 0.0).astype("f4")


def plain(canopy, n_smooth, reach, window):
    """Delineate crowns cell by cell, in Python, as the module's docstring says."""
    ny, nx = canopy.shape
    raw = [[int(math.floor(float(v) * 1000 + 0.5)) if v > 0 else 0 for v in row] for row in canopy]
    height = [row[:] for row in raw]

    def at(grid, j, i):
        return grid[j][i] if 0 <= j < ny and 0 <= i < nx else 0

    for _ in range(n_smooth):
        new = [[0] * nx for _ in range(ny)]
        for j in range(ny):
            for i in range(nx):
                if height[j][i]:
                    terms = ((2 - abs(a)) * (2 - abs(b)) * at(height, j + a, i + b) for a in (-1, 0, 1) for b in (-1, 0, 1))
                    new[j][i] = max((sum(terms) + 8) // 16, 1)
        height = new

    def rank(cell):
        return height[cell[0]][cell[1]], -cell[0], -cell[1]

    link = {}
    for j in range(ny):
        for i in range(nx):
            if not height[j][i]:
                continue
            r2 = int(window[min(height[j][i] // 100, len(window) - 1)])
            r = math.isqrt(r2)
            near = [(j + a, i + b) for a in range(-max(r, 1), max(r, 1) + 1) for b in range(-max(r, 1), max(r, 1) + 1)]
            near = [c for c in near if at(height, *c) and rank(c) > rank((j, i))]
            beside = [c for c in near if abs(c[0] - j) <= 1 and abs(c[1] - i) <= 1]

            def rise(c, j=j, i=i):
                straight = c[0] == j or c[1] == i
                return (height[c[0]][c[1]] - height[j][i]) * (140 if straight else 99), -c[0], -c[1]

            def distance(c, j=j, i=i):
                return (c[0] - j) ** 2 + (c[1] - i) ** 2

            within = [c for c in near if distance(c) <= r2]
            if beside:
                link[j, i] = max(beside, key=rise)
            elif within:
                nearest = min(map(distance, within))
                link[j, i] = max((c for c in within if distance(c) == nearest), key=rank)
            else:
                link[j, i] = (j, i)
    crown = np.full(canopy.shape, -1, np.int64)
    for start in link:
        c, ok = start, True
        while link[c] != c and ok:
            c = link[c]
            ok = (c[0] - start[0]) ** 2 + (c[1] - start[1]) ** 2 <= reach**2
        if ok and (c == start or raw[start[0]][start[1]] * 1000 >= 450 * height[c[0]][c[1]]):
            crown[start] = c[0] * nx + c[1]
    tops = np.array(sorted({int(v) for v in crown.ravel() if v >= 0 and crown.ravel()[v] == v}))
    number = {int(top): k for k, top in enumerate(tops)}
    return np.vectorize(lambda v: number.get(int(v), -1))(crown), tops


def by_rows(canopy, cuts, n_smooth=2, reach=20):
    """Delineate with every stage cut at the given rows."""
    parts = list(itertools.pairwise(cuts))
    raw, link, crown = (np.full(canopy.shape, 7, np.int32) for _ in range(3))
    for part in parts:
        canopy_millimetres(canopy, part, raw)
    height = raw.copy()
    for _ in range(n_smooth):
        spare = np.full_like(raw, 9)
        for part in parts:
            smooth_rows(height, part, spare)
        height = spare
    for part in parts:
        link_rows(height, window_table(500), part, link)
    for part in parts:
        crown_rows(raw, height, link, reach, part, crown)
    tops = np.concatenate([treetops(crown, part) for part in parts])
    for part in parts:
        number_crowns(crown, tops, part)
    return crown, tops


def test_a_cone_is_one_crown_whose_top_is_its_apex():
    canopy = cones((41, 51), [(20, 25, 10.0)])
    crown, tops = delineate(canopy, CELL)
    assert tops.tolist() == [20 * 51 + 25]
    np.testing.assert_array_equal(crown == 0, canopy > 0)


def test_two_touching_cones_part_in_the_middle():
    canopy = cones((41, 61), [(20, 20, 9.0), (20, 36, 9.0)])  # their crowns of 4.5 m touch at column 28
    crown, tops = delineate(canopy, CELL)
    assert tops.tolist() == [20 * 61 + 20, 20 * 61 + 36]
    inside = canopy > 0
    columns = np.indices(canopy.shape)[1]
    assert (crown[inside & (columns < 28)] == 0).all()
    assert (crown[inside & (columns > 28)] == 1).all()


def test_of_a_plateau_the_first_cell_is_the_top():
    canopy = np.zeros((40, 40), "f4")
    canopy[8:30, 10:25] = 12.0  # wider than the window of 3.8 m
    crown, tops = delineate(canopy, CELL, smoothing_m=0.0, reach_m=50.0)
    assert tops.tolist() == [8 * 40 + 10]
    np.testing.assert_array_equal(crown == 0, canopy > 0)


@pytest.mark.parametrize("degrees", [0, 17, 45, 63, 90, 128])
def test_a_row_of_trees_is_found_whatever_way_it_runs(degrees):
    step = 16 * np.array([math.sin(math.radians(degrees)), math.cos(math.radians(degrees))])
    where = [np.array([100.3, 100.6]) + k * step for k in range(-5, 6)]
    crown, tops = delineate(cones((200, 200), [(*p, 9.0) for p in where]), CELL)
    found = np.stack(np.divmod(tops, 200), axis=1)
    assert len(found) == 11
    gap = np.hypot(*(found[:, None] - np.array(where)).transpose(2, 0, 1)).min(axis=0)
    assert gap.max() <= math.sqrt(0.5) + 1e-9, "farther than the corner of a cell"
    sizes = np.bincount(crown[crown >= 0])
    assert sizes.min() > 0.9 * sizes.max()


def test_a_small_top_within_the_window_of_another_is_no_tree():
    canopy = cones((41, 41), [(20, 20, 12.0)])
    canopy[20, 23] += 1.2  # a bump 1.5 m from the apex, higher than all around; the window is 1.9 m
    assert len(delineate(canopy, CELL, smoothing_m=0.0)[1]) == 1
    canopy[20, 23] -= 1.2
    canopy[20, 26] += 1.6  # 3 m from the apex: a tree of its own
    assert len(delineate(canopy, CELL, smoothing_m=0.0)[1]) == 2


@pytest.mark.parametrize("mirror", [1, -1])
def test_between_two_trees_as_near_a_bump_is_of_the_higher(mirror):
    canopy = np.zeros((41, 41), "f4")
    canopy[20, [17, 20, 23][::mirror]] = 10.5, 10.0, 11.0  # 1.5 m apart, in the window of 1.7 m
    crown, tops = delineate(canopy, CELL, smoothing_m=0.0)
    assert len(tops) == 2
    assert crown[20, 20] == crown[20, 20 + 3 * mirror]


def test_a_pit_that_smoothing_makes_a_treetop_is_of_its_crown():
    canopy = np.zeros((9, 9), "f4")
    canopy[3:6, 3:6] = 10.0
    canopy[4, 4] = 2.5  # smoothed once: 8.1 m, its neighbours 6.6 m
    crown, tops = delineate(canopy, CELL, smoothing_m=0.36)
    assert tops.tolist() == [4 * 9 + 4]
    np.testing.assert_array_equal(crown == 0, canopy > 0)


def test_low_and_far_cells_are_of_no_crown():
    canopy = np.zeros((9, 80), "f4")
    canopy[4, :] = np.linspace(10.0, 2.0, 80)  # one slope that falls away from a single top
    crown, tops = delineate(canopy, CELL, smoothing_m=0.0, reach_m=50.0)
    assert len(tops) == 1
    np.testing.assert_array_equal(crown[4] == 0, np.rint(canopy[4] * 1000) >= 4500)
    crown, tops = delineate(canopy, CELL, smoothing_m=0.0, reach_m=10.0)
    np.testing.assert_array_equal(crown[4] == 0, np.arange(80) <= 20)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("step", [1.0, 0.001])
def test_equals_the_plain_definition(seed, step):
    canopy = forest((37, 44), seed, step)
    canopy[3, 5] = np.nan
    want = plain(canopy, 2, 20, window_table(500))
    got = delineate(canopy, CELL, smoothing_m=0.5, reach_m=10.0)
    assert len(want[1]) > 5
    np.testing.assert_array_equal(got[1], want[1])
    np.testing.assert_array_equal(got[0], want[0])


def test_rows_may_be_cut_anywhere():
    rng = np.random.default_rng(3)
    for seed in range(4):
        canopy = forest((120, 70), seed)
        cuts = [0, *sorted(rng.integers(0, 121, 6).tolist()), 120]
        for got, want in zip(by_rows(canopy, cuts), delineate(canopy, CELL), strict=True):
            np.testing.assert_array_equal(got, want)


def test_threads_change_nothing():
    canopy = forest((150, 90), 5)
    many = delineate(canopy, CELL)
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        one = delineate(canopy, CELL)
    finally:
        numba.set_num_threads(before)
    for a, b in zip(many, one, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_crown_looks_no_farther_than_its_halo():
    canopy = forest((150, 160), 6)
    window = math.isqrt(int(window_table(500).max(initial=0, where=np.arange(1201) <= 220)))
    halo = 10 + window + 1 + 2  # reach, window, neighbour, smoothings
    crown, tops = delineate(canopy, CELL, reach_m=5.0)
    part = slice(30, 120), slice(25, 140)
    inner, inner_tops = delineate(canopy[part], CELL, reach_m=5.0)
    middle = slice(halo, 90 - halo), slice(halo, 115 - halo)
    whole_top = np.where(crown >= 0, tops[crown], -1)[part][middle]
    j, i = np.divmod(inner_tops[inner], 115)
    part_top = np.where(inner >= 0, (j + 30) * 160 + i + 25, -1)[middle]
    assert (whole_top >= 0).mean() > 0.3
    np.testing.assert_array_equal(part_top, whole_top)


def test_the_window_is_the_crown_of_popescu_and_wynne():
    # 2004, deciduous and pine together: 2.51503 + 0.00901 h^2; 20 m: 6.119 m, a radius of 6.119 cells of 0.5 m.
    assert window_table(500)[200] == math.floor((2.51503 + 0.00901 * 400) ** 2)
    assert window_table(500, scale=2.0)[200] == math.floor((2 * (2.51503 + 0.00901 * 400)) ** 2)


def test_smoothings_add_up_to_the_width_asked_for():
    assert [smoothings(w, 0.5) for w in (0.0, 0.5, 1.0)] == [0, 2, 8]
    spike = np.full((31, 31), 1, np.int32)
    spike[15, 15] = 2_000_000
    for _ in range(smoothings(1.0, 0.5)):
        out = np.empty_like(spike)
        smooth_rows(spike, (0, 31), out)
        spike = out
    i = np.indices((31, 31))[1] - 15
    assert math.sqrt((spike * i**2).sum() / spike.sum()) * 0.5 == pytest.approx(1.0, abs=0.01)


def test_heights_are_rounded_to_whole_millimetres_and_never_smoothed_away():
    canopy = (np.arange(3001, 3101) / 1000).astype("f4").reshape(10, 10)
    out = np.zeros(canopy.shape, np.int32)
    canopy_millimetres(canopy, (2, 10), out)
    assert not out[:2].any()
    assert out[2:].ravel().tolist() == list(range(3021, 3101))
    lonely = np.zeros((3, 3), np.int32)
    lonely[1, 1] = 1
    smooth_rows(lonely, (0, 3), out[:3, :3])
    assert out[:3, :3].tolist() == lonely.tolist()


def test_an_empty_canopy_has_no_crowns():
    crown, tops = delineate(np.zeros((5, 6), "f4"), CELL)
    assert len(tops) == 0
    assert (crown == -1).all()
    crown, tops = delineate(np.full((1, 1), 5.0, "f4"), CELL)
    assert (crown.tolist(), tops.tolist()) == ([[0]], [0])
