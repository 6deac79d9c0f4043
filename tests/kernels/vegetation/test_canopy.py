import math

import numpy as np
import pytest

from felsina.kernels.vegetation.canopy import (
    add_depths,
    base_rows,
    close_rows,
    crown_base,
    gap_fraction,
    leaf_area_index,
    leaf_rows,
)
from felsina.kernels.vegetation.returns import N_LAYER, PULSE


def profile(**layers):
    """Return one profile: `m3_8=100` puts 100 returns in each layer from 3 to 8 m."""
    out = np.zeros((1, N_LAYER), np.int32)
    for name, n in layers.items():
        low, high = (int(4 * float(v.replace("p", "."))) for v in name[1:].split("_"))
        out[0, low:high] += n
    return out


def test_the_base_of_an_even_crown_is_its_lowest_hundredth():
    base, count = crown_base(profile(m3_8=100))
    assert base[0] == pytest.approx(3.0 + 0.01 * 5.0)
    assert count[0] == 2000


def test_a_hedge_below_a_gap_is_not_of_the_crown():
    base, _ = crown_base(profile(m0_1=300, m1_2=80, m3_8=100))
    assert base[0] == pytest.approx(3.05)


def test_a_hedge_may_hold_most_returns_and_a_spire_few():
    base, _ = crown_base(profile(m0p5_2=500, m3_8=60))  # 3,000 and 1,200
    assert base[0] == pytest.approx(3.05)
    base, _ = crown_base(profile(m3_8=60, m10_12=49))  # 1,200 and 392, which is less than a quarter
    assert base[0] < 3.1
    base, _ = crown_base(profile(m3_8=60, m10_12=50))  # 400 are a quarter: the crown is above
    assert base[0] == pytest.approx(10.0 + 0.01 * 2.0)


def test_a_hedge_that_touches_the_crown_is():
    base, _ = crown_base(profile(m1_2=80, m2p75_8=100))
    assert base[0] < 2.0


def test_a_stray_return_below_the_crown_changes_little():
    base, _ = crown_base(profile(m1_1p25=1, m3_8=100))
    assert base[0] == pytest.approx(3.05)


def test_strays_in_the_gap_are_of_no_crown():
    base, count = crown_base(profile(m1_2=21, m2_3=4, m3_8=95))  # four in 2,000 a layer: just as good as empty
    assert count[0] == 2000
    assert base[0] == pytest.approx(3.05)
    base, _ = crown_base(profile(m0p5_1p5=4, m1p5_8=100))  # a gap that reaches the lowest layer
    assert base[0] == pytest.approx(1.5 + 0.01 * 6.5)


def test_ground_and_grass_are_of_no_crown():
    base, count = crown_base(profile(m0_0p5=500))
    assert np.isnan(base[0])
    assert count[0] == 0
    assert crown_base(profile(m0_0p5=500, m4_6=10))[0][0] > 4.0


def test_gap_fraction_gives_back_the_leaf_area_of_beer_and_lambert():
    for leaf_area in (0.5, 2.0, 4.0):
        n = 1_000_000
        energy = np.zeros((1, N_LAYER), np.int64)
        energy[0, 12:32] = round(n * (1 - math.exp(-0.5 * leaf_area)) / 20 * PULSE)
        energy[0, 2] = PULSE * 5000  # a hedge below the base stops nothing
        gap = gap_fraction(energy, np.array([3.0]), np.array([float(n)]))
        assert leaf_area_index(gap)[0] == pytest.approx(leaf_area, rel=1e-4)
        assert leaf_area_index(gap, 0.25)[0] == pytest.approx(2 * leaf_area, rel=1e-4)


def test_where_no_pulse_passes_half_a_pulse_stands_for_the_gap():
    energy = np.zeros((3, N_LAYER), np.int32)
    energy[:, 20] = 50 * PULSE
    gap = gap_fraction(energy, np.array([3.0, np.nan, 3.0]), np.array([40.0, 40.0, 0.5]))
    assert gap[0] == 0.5 / 40
    assert np.isnan(gap[1:]).all()
    assert np.isnan(leaf_area_index(gap)[1:]).all()


def crowns():
    """Return two crowns, a shrub of none and open ground, with heights [mm] and bases [mm]."""
    crown = np.array([[0, 0, 0, -1, 1, 1], [0, 0, -1, -1, 1, 1]], np.int32)
    canopy = np.array([[6000, 8000, 2500, 4000, 5000, 7000], [9000, 3000, 0, 0, 4000, 6500]], np.int32)
    return crown, canopy, np.array([3000, 2000], np.int32)


def test_the_canopy_begins_at_the_base_of_its_crown_and_not_above_its_height():
    crown, canopy, base = crowns()
    out = np.full(crown.shape, -1, "f4")
    base_rows(crown, canopy, base, (0, 1), out)
    assert (out[1] == -1).all(), "the second row is another's"
    base_rows(crown, canopy, base, (1, 2), out)
    np.testing.assert_allclose(out, [[3, 3, 2.5, 1, 2, 2], [3, 3, 0, 0, 2, 2]])


def test_leaves_over_the_cells_of_a_crown_add_up_to_its_leaf_area():
    crown, canopy, base = crowns()
    depth = np.zeros(2, np.int64)
    for part in ((0, 1), (1, 2)):
        add_depths(crown, canopy, base, part, np.array([1, 0], np.int32), depth)
    assert depth.tolist() == [3000 + 5000 + 2000 + 4500, 3000 + 5000 + 0 + 6000 + 0]
    index = np.array([3.0, 1.5])  # over cells of 1 m2
    cells = np.array([5, 4])
    density = index * cells / (depth[[1, 0]] / 1000.0)
    out = np.full(crown.shape, -1, "f4")
    leaf_rows(crown, canopy, base, density, (0, 2), out)
    for tree in range(2):
        assert out[crown == tree].mean() == pytest.approx(index[tree], rel=1e-6)
    assert np.isnan(out[0, 3])
    assert (out[1, 2:4] == 0).all()
    assert out[0, 2] == 0.0, "a cell below the base of its crown holds no leaf"


def test_pits_are_closed_and_gaps_are_not():
    height = np.full((7, 7), 6000, np.int32)
    height[:, 6] = 0
    height[3, 3] = height[1, 1] = 0
    height[2, 3] = 6005
    unseen = np.ones((7, 7), bool)
    unseen[1, 1] = False
    out = np.empty_like(height)
    for part in ((0, 2), (2, 7)):
        close_rows(height, unseen, part, out)
    assert out[3, 3] == 6001  # (7 x 6000 + 6005) / 8, rounded
    assert out[1, 1] == 0
    assert (out[:, 6] == 0).all(), "three of the five neighbours are canopy there, which is less than half of eight"
    assert out[2, 3] == 6005


@pytest.mark.parametrize("n", [3, 4])
def test_a_pit_has_canopy_on_half_of_its_sides(n):
    height = np.zeros((3, 3), np.int32)
    height.ravel()[[0, 2, 3, 8][:n]] = 5000
    out = np.empty_like(height)
    close_rows(height, np.ones((3, 3), bool), (0, 3), out)
    assert out[1, 1] == (5000 if n == 4 else 0)
