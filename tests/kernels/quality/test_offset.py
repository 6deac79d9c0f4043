"""Shifts of footprints against roofs: known ones come back, others stay away."""

from __future__ import annotations

import math

import numpy as np
import pytest

from felsina.engine.io.vector import read_footprints
from felsina.kernels.geometry.membership import locate_points_in_all, locate_points_nearby
from felsina.kernels.quality.offset import SEARCH_MM, common_offset, fit_offset, free_edges, solve_offsets


def ring(west, south, east, north):
    return np.array([(west, south), (east, south), (east, north), (west, north)], np.int64)


def returns(west, south, east, north, density=10.0, seed=0):
    """Returns of a roof [mm], `density` a square metre."""
    random = np.random.default_rng(seed)
    n = random.poisson((east - west) * (north - south) * 1e-6 * density)
    return np.stack((random.integers(west, east, n), random.integers(south, north, n)), axis=1)


def fit(points, outline, is_free=(True,) * 4):
    return fit_offset(points, outline, np.array([0, len(outline)], np.int64), np.array(is_free))


def solved(*fits):
    return solve_offsets(np.array([f.information for f in fits]), np.array([f.vector for f in fits]))


@pytest.mark.parametrize("overhang", [0, 500, -300])
def test_a_shifted_outline_tells_shift_and_overhang(overhang):
    roof = returns(-overhang, -overhang, 15_000 + overhang, 10_000 + overhang)
    made = fit(roof, ring(-700, 400, 14_300, 10_400))
    x, y, deviation = solved(made)[0]
    # 10 returns a square metre along 9 m: the end of a roof is known to a few centimetres; 0.1 m are three of these.
    assert abs(x - 0.7) < 0.1 and abs(y + 0.4) < 0.1
    assert abs(made.overhang - overhang / 1000) < 0.1
    assert made.n_edge == 4 and 0.1 < deviation < 0.2  # what a bay or a gutter may do to an edge is in the deviation


def test_order_and_place_of_the_points_change_no_bit():
    roof, outline = returns(0, 0, 15_000, 10_000), ring(-700, 400, 14_300, 10_400)
    made = fit(roof, outline)
    again = fit(roof[np.random.default_rng(3).permutation(len(roof))], outline)
    far = np.array([684_000_000, 4_930_000_000])
    moved = fit(roof + far, outline + far)
    for other in (again, moved):
        np.testing.assert_array_equal(made.information, other.information)
        np.testing.assert_array_equal(made.vector, other.vector)


def test_terraced_houses_tell_one_direction_and_together_with_others_both():
    terraced = [
        fit(returns(0, 0, 6_000, 10_000, seed=s), ring(0, -500, 6_000, 9_500), (True, False, True, False)) for s in range(20)
    ]
    assert np.isnan(solved(*terraced)).all()
    information = np.array([f.information for f in terraced])
    assert (information[:, 0] == 0).all() and (information[:, 2] > 0).all()
    turned = [
        fit(returns(0, 0, 10_000, 6_000, seed=s), ring(300, 0, 10_300, 6_000), (False, True, False, True)) for s in range(20)
    ]
    fits = terraced + turned
    common = common_offset(*(np.array([getattr(f, n) for f in fits]) for n in ("information", "vector", "overhang")))
    assert abs(common.x + 0.3) < 0.05 and abs(common.y - 0.5) < 0.05 and common.n_building == 40


def test_a_street_of_one_side_alone_tells_nothing():
    # The roof ends beyond the outline: an overhang, or a shift? One edge cannot say.
    made = fit(returns(0, 0, 6_000, 10_000), ring(0, -500, 6_000, 9_500), (True, False, False, False))
    assert made.n_edge == 1 and np.abs(made.information).max() < 1e-9


def test_the_common_shift_does_not_follow_a_third_of_moved_buildings():
    random = np.random.default_rng(1)
    n = 90
    information = np.tile((50.0, 0.0, 50.0), (n, 1))
    shift = np.tile((0.2, -0.1), (n, 1)) + random.normal(0, 0.2, (n, 2))
    shift[:30] += (1.5, 0.5)
    common = common_offset(information, shift * 50.0, np.full(n, 0.3))
    mean = shift.mean(axis=0)
    assert math.hypot(common.x - 0.2, common.y + 0.1) < 0.5 * math.hypot(mean[0] - 0.2, mean[1] + 0.1)
    assert common.overhang == 0.3


def test_standard_errors_are_those_of_the_scatter():
    random = np.random.default_rng(2)
    n, found = 400, []
    for _ in range(40):
        shift = random.normal(0, 0.25, (n, 2))
        made = common_offset(np.tile((30.0, 5.0, 20.0), (n, 1)), shift @ np.array([(30.0, 5.0), (5.0, 20.0)]), np.full(n, 0.0))
        found.append((made.x, made.y, made.error_x))
    x, _, error = np.array(found).T
    # The scatter of 40 estimates is known to a ninth: three of these.
    assert abs(x.std() / error.mean() - 1.0) < 0.34


def test_few_returns_or_none_say_nothing():
    outline = ring(0, 0, 15_000, 10_000)
    for points in (np.empty((0, 2), np.int64), returns(0, 0, 15_000, 10_000, density=0.2)):
        made = fit(points, outline)
        assert made.n_edge == 0 and math.isnan(made.overhang) and (made.information == 0).all()
    assert math.isnan(common_offset(np.zeros((3, 3)), np.zeros((3, 2)), np.full(3, np.nan)).x)


def test_edges_beside_other_footprints_are_not_free():
    # A row of three, and a yard 2 m wide behind the first.
    rings = [
        ring(0, 0, 8_000, 9_000),
        ring(8_000, 0, 16_000, 9_000),
        ring(16_000, 0, 24_000, 9_000),
        ring(0, 11_000, 8_000, 15_000),
    ]
    xy = np.concatenate(rings)
    offsets = np.arange(0, 17, 4).astype(np.int64)
    free = free_edges(xy, offsets, np.arange(5, dtype=np.int64)).reshape(4, 4)
    # south, east, north, west
    assert free.tolist() == [
        [True, False, False, True],
        [True, False, True, False],
        [True, True, True, False],
        [False, True, True, True],
    ]
    some = np.array([5, 2, 9])
    np.testing.assert_array_equal(free_edges(xy, offsets, np.arange(5, dtype=np.int64), some), free.ravel()[some])


def test_a_neighbour_without_a_footprint_does_not_pull_an_edge():
    beside = np.concatenate([returns(0, 0, 15_000, 10_000), returns(15_000, 0, 17_000, 10_000, seed=5)])
    made = fit(beside, ring(0, 0, 15_000, 10_000))
    # Returns go on as far as is looked: that edge is left out, and the two of the other direction still tell theirs.
    assert made.n_edge == 3 and abs(made.vector[1] / made.information[2]) < 0.1


@pytest.fixture(scope="module")
def delft(felsina_data):
    """Footprints of Delft and the building returns of the scene [mm]."""
    import laspy

    folder = felsina_data / "lidar" / "3dfier_delft_ahn3"
    if not (folder / "bgt_pand.sqlite").exists():
        pytest.skip("no Delft data in FELSINA_DATA")
    parts = []
    for name in ("ahn3_cropped_1.laz", "ahn3_cropped_2.laz"):
        cloud = laspy.read(folder / name)
        roof = np.asarray(cloud.classification) == 6
        parts.append(np.rint(np.stack((cloud.x[roof], cloud.y[roof], cloud.z[roof]), axis=1) * 1000).astype(np.int64))
    return read_footprints(folder / "bgt_pand.sqlite", "EPSG:28992").polygons(), np.unique(np.concatenate(parts), axis=0)[:, :2]


def city(delft, shift=(0, 0)):
    """Return the common shift of Delft with all footprints moved by whole millimetres."""
    shapes, points = delft
    xy = shapes.xy + np.array(shift)
    rings, rows = shapes.ring_offsets, shapes.shape_offsets
    free = free_edges(xy, rings, rows)
    near, members = locate_points_nearby(points, SEARCH_MM, xy, rings, rows)
    times, inside = locate_points_in_all(points, xy, rings, rows)
    owner = np.repeat(np.arange(len(points)), np.diff(times))
    order = np.argsort(inside, kind="stable")
    cuts = np.searchsorted(inside[order], np.arange(len(rows)))
    fits = []
    for b in range(len(rows) - 1):
        mine = np.concatenate((owner[order[cuts[b] : cuts[b + 1]]], members[near[b] : near[b + 1]]))
        first, last = rings[rows[b]], rings[rows[b + 1]]
        origin = xy[first:last].min(axis=0) // 1000 * 1000
        offsets = rings[rows[b] : rows[b + 1] + 1] - first
        fits.append(fit_offset(points[mine] - origin, xy[first:last] - origin, offsets, free[first:last]))
    return common_offset(*(np.array([getattr(f, n) for f in fits]) for n in ("information", "vector", "overhang")))


def test_the_footprints_of_delft_lie_on_their_roofs(delft):
    made = city(delft)
    assert math.hypot(made.x, made.y) < 0.1
    assert made.n_building > 100 and max(made.error_x, made.error_y) < 0.03
    assert 0.0 < made.overhang < 0.5


def test_moved_footprints_of_delft_are_found_out(delft):
    made = city(delft, (600, -400))
    assert abs(made.x + 0.6) < 0.1 and abs(made.y - 0.4) < 0.1
