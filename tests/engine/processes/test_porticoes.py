"""Porticoes, underpasses and overhangs of single buildings whose truth is known."""

import math

import numpy as np
import pytest

from felsina.engine.io.vector import ATTRIBUTES as COLUMNS
from felsina.engine.processes.porticoes import (
    ATTRIBUTES,
    SOURCE,
    Openings,
    find_openings,
    opening_columns,
    roof_overhang,
    solid_planes,
    with_attributes,
)
from felsina.kernels.geometry.roof_solid import RoofSolid

WEST, SOUTH, FLOOR = 680_000_000, 4_930_000_000, 54_000
LENGTH, DEPTH = 24.0, 12.0
RING = np.array([(0, 0), (24_000, 0), (24_000, 12_000), (0, 12_000)], np.int64) + np.array([WEST, SOUTH])
OFFSETS = np.array([0, 4], np.int64)


def sown(rng, west, south, east, north, z, density=6.0):
    n = rng.poisson(density * (east - west) * (north - south))
    xy = np.stack([rng.uniform(west, east, n), rng.uniform(south, north, n)], axis=1)
    return np.rint(np.column_stack([xy, np.full(n, z)]) * 1000.0).astype(np.int64) + np.array([WEST, SOUTH, FLOOR])


def house(rng):
    """The roof of a house 9 m high."""
    return sown(rng, 0, 0, LENGTH, DEPTH, 9.0, 11.5)


def facade(rng, below, above, edge=3.7):
    """Returns of the street's facade, 0 to 5 cm inside: so many below and above the edge of the arcade."""
    z = np.r_[rng.uniform(0.1, edge, below), rng.uniform(edge, 9.0, above)]
    xyz = np.column_stack([rng.uniform(0.0, LENGTH, len(z)), rng.uniform(0.0, 0.05, len(z)), z])
    return np.rint(xyz * 1000.0).astype(np.int64) + np.array([WEST, SOUTH, FLOOR])


def test_ground_along_the_street_is_a_portico_of_the_assumed_depth():
    rng = np.random.default_rng(1)
    lit = sown(rng, 0, 0, LENGTH, 1.2, 0.0)
    found = find_openings(lit, np.concatenate([house(rng), facade(rng, 15, 150)]), RING, OFFSETS, FLOOR)
    assert found.portico_source == SOURCE["points"]
    assert found.portico_area == pytest.approx(3.0 * LENGTH, rel=0.05)
    assert found.portico_height == pytest.approx(3.7, abs=0.2)
    # The margin of 0.2 m is ground as well: lit is what reaches from the outline to the deepest return of each metre.
    assert found.seen_area == pytest.approx(1.1 * LENGTH, rel=0.15)
    assert found.confidence == pytest.approx(found.seen_area / found.portico_area)
    assert (found.underpass_area, found.underpass_source) == (0.0, 0)


def test_a_facade_met_in_bands_begins_between_the_lowest_and_the_next():
    rng = np.random.default_rng(12)
    lit = sown(rng, 0, 0, LENGTH, 1.2, 0.0)
    # Scans every 1.5 m of the facade, half a metre wide; the edge at 3.7 m hides the one from 3.0 m.
    bands = np.concatenate([facade(rng, 0, 40, edge=4.5)] * 3)
    height = bands[:, 2] - FLOOR
    bands = bands[(height % 1_500) < 500]
    inside = find_openings(lit, np.concatenate([house(rng), bands]), RING, OFFSETS, FLOOR)
    assert inside.portico_height == pytest.approx(4.0, abs=0.15)  # the middle of 3.5 and 4.5
    beside = find_openings(lit, house(rng), RING, OFFSETS, FLOOR, beside=bands)
    assert beside.portico_height == pytest.approx(inside.portico_height, abs=0.1)


def test_a_wall_behind_tells_the_depth():
    rng = np.random.default_rng(2)
    lit = sown(rng, 0, 0, LENGTH, 4.0, 0.0)
    rear = sown(rng, 0, 4.0, LENGTH, 4.1, 1.0, 20.0)
    found = find_openings(lit, np.concatenate([house(rng), rear]), RING, OFFSETS, FLOOR)
    assert found.portico_area == pytest.approx(4.05 * LENGTH, rel=0.05)


def test_a_portico_goes_round_a_corner_and_is_counted_once_there():
    rng = np.random.default_rng(3)
    lit = np.concatenate([sown(rng, 0, 0, LENGTH, 1.0, 0.0), sown(rng, LENGTH - 1.0, 1.0, LENGTH, DEPTH, 0.0)])
    found = find_openings(lit, house(rng), RING, OFFSETS, FLOOR)
    assert found.portico_area == pytest.approx(3.0 * (LENGTH + DEPTH) - 9.0, rel=0.05)


def test_two_mouths_that_see_each_other_are_an_underpass():
    rng = np.random.default_rng(4)
    mouths = np.concatenate([sown(rng, 10.0, 0, 14.0, 1.0, 0.0, 8.0), sown(rng, 10.0, 11.0, 14.0, 12.0, 0.0, 8.0)])
    found = find_openings(mouths, house(rng), RING, OFFSETS, FLOOR)
    assert found.portico_area == 0.0
    assert found.underpass_source == SOURCE["points"]
    assert found.underpass_area == pytest.approx(4.0 * DEPTH, rel=0.15)


def test_a_passage_that_leaves_a_portico_is_taken_from_it():
    rng = np.random.default_rng(5)
    lit = np.concatenate([sown(rng, 0, 0, LENGTH, 1.2, 0.0), sown(rng, 10.0, 11.0, 14.0, 12.0, 0.0, 8.0)])
    found = find_openings(lit, house(rng), RING, OFFSETS, FLOOR)
    assert found.underpass_area == pytest.approx(4.0 * DEPTH, rel=0.2)
    assert found.portico_area == pytest.approx(3.0 * (LENGTH - 4.0), rel=0.1)


def test_one_bright_mouth_alone_is_a_passage_through_and_a_dim_one_is_not():
    rng = np.random.default_rng(13)
    bright = find_openings(sown(rng, 10.0, 0, 14.0, 1.0, 0.0, 12.0), house(rng), RING, OFFSETS, FLOOR)
    assert (bright.portico_area, bright.underpass_source) == (0.0, SOURCE["points"])
    assert bright.underpass_area == pytest.approx(4.0 * DEPTH, rel=0.15)
    assert bright.confidence < 0.1
    dim = find_openings(sown(rng, 10.0, 0, 14.0, 0.45, 0.0, 20.0), house(rng), RING, OFFSETS, FLOOR)
    assert dim.underpass_area == 0.0
    assert dim.portico_area == pytest.approx(3.0 * 4.0, rel=0.15)


@pytest.mark.parametrize("case", ["noise at the wall", "no roof above", "a court", "eaves"])
def test_what_is_no_portico_is_none(case):
    rng = np.random.default_rng(6)
    roof, lit = house(rng), sown(rng, 0, 0, LENGTH, 1.2, 0.0)
    if case == "noise at the wall":
        lit = sown(rng, 0, 0, LENGTH, 0.15, 0.0, 20.0)
    elif case == "no roof above":  # the footprint reaches 1.5 m into the street
        roof = roof[roof[:, 1] > SOUTH + 1_500]
    elif case == "a court":
        lit = sown(rng, 9.0, 3.0, 15.0, 8.0, 0.0)
        roof = roof[~((roof[:, 0] > WEST + 8_500) & (roof[:, 0] < WEST + 15_500) & (roof[:, 1] > SOUTH + 2_500))]
    else:  # the footprint is that of the eaves, half a metre before the wall
        lit = sown(rng, 0, 0, LENGTH, 0.5, 0.0, 12.0)
        roof = np.concatenate([roof, sown(rng, 0, 0.45, LENGTH, 0.55, 1.2, 60.0)])
    assert find_openings(lit, roof, RING, OFFSETS, FLOOR).portico_area == 0.0


def test_order_and_place_change_no_bit():
    rng = np.random.default_rng(7)
    lit = np.concatenate([sown(rng, 0, 0, LENGTH, 1.2, 0.0), sown(rng, 10.0, 11.0, 14.0, 12.0, 0.0, 8.0)])
    building = np.concatenate([house(rng), facade(rng, 15, 150)])
    one = find_openings(lit, building, RING, OFFSETS, FLOOR)
    assert one == find_openings(rng.permutation(lit), rng.permutation(building), RING, OFFSETS, FLOOR)
    by = np.array([5_000_000, -9_000_000, 0])
    assert one == find_openings(lit + by, building + by, RING + by[:2], OFFSETS, FLOOR)


def test_nothing_seen_is_nothing_open():
    none = np.empty((0, 3), np.int64)
    rng = np.random.default_rng(8)
    for lit, roof in ((none, none), (none, house(rng)), (sown(rng, 0, 0, LENGTH, 1.0, 0.0), none)):
        assert find_openings(lit, roof, RING, OFFSETS, FLOOR)[:2] == (0.0, 0.0)


FOUND = Openings(60.0, 0.0, 3.5, SOURCE["points"], 0, 20.0, 0.33)


def test_attributes_win_and_the_source_tells_who_agrees():
    stated = with_attributes(FOUND, {"portico": 1.0, "portico_area_m2": 84.0, "portico_height_m": 4.0})
    assert stated[:3] == (84.0, 0.0, 4.0)
    assert (stated.portico_source, stated.confidence) == (SOURCE["both"], 1.0)
    alone = with_attributes(Openings(), {"portico_length_m": 20.0, "portico_depth_m": 3.5, "underpass_area_m2": 40.0})
    assert (alone.portico_area, alone.underpass_area) == (70.0, 40.0)
    assert alone.portico_source == alone.underpass_source == SOURCE["attributes"]
    assert math.isnan(alone.portico_height)
    # A depth without a length corrects the depth that was assumed.
    assert with_attributes(FOUND, {"portico_depth_m": 4.0}).portico_area == 80.0


def test_a_word_alone_says_that_there_is_one_and_not_how_large():
    unknown = with_attributes(Openings(), {"arcade": 1.0, "building_passage": 1.0})
    assert math.isnan(unknown.portico_area) and math.isnan(unknown.underpass_area)
    assert with_attributes(FOUND, {"arcade": 1.0})[:4] == (60.0, 0.0, 3.5, SOURCE["both"])


def test_points_are_believed_against_a_no_and_silence_changes_nothing():
    assert with_attributes(FOUND, {"portico": 0.0, "portico_area_m2": 0.0}) == FOUND
    assert with_attributes(FOUND, {"portico": math.nan}) == FOUND
    assert with_attributes(Openings(), {})[:2] == (0.0, 0.0)
    assert set(ATTRIBUTES) <= set(COLUMNS)


def gable(rng, reach):
    """Roof returns around a gabled house, ridge along x: eaves at 6 m fall on by half a metre a metre outside."""
    n = 11.5 * (LENGTH * 2.0 * reach)
    x = rng.uniform(0, LENGTH, rng.poisson(n))
    out = rng.uniform(-0.05, reach, x.size)
    south = rng.random(x.size) < 0.5
    y = np.where(south, -out, DEPTH + out)
    xyz = np.column_stack([x, y, 6.0 - 0.5 * out])
    return np.rint(xyz * 1000.0).astype(np.int64) + np.array([WEST, SOUTH, FLOOR])


PLANES = np.array([(0.0, 0.5, FLOOR + 6_000.0), (0.0, -0.5, FLOOR + 12_000.0)])


@pytest.mark.parametrize("reach", [0.4, 0.6])
def test_eaves_are_as_wide_as_they_are(reach):
    rng = np.random.default_rng(9)
    assert roof_overhang(gable(rng, reach), RING, OFFSETS, PLANES) == pytest.approx(reach, abs=0.05)


def test_walls_and_trees_are_no_eaves():
    rng = np.random.default_rng(10)
    wall = gable(rng, 0.1)
    tree = sown(rng, 0, -0.9, LENGTH, -0.2, 7.5)
    assert roof_overhang(np.concatenate([wall, tree]), RING, OFFSETS, PLANES) == 0.0
    assert roof_overhang(np.empty((0, 3), np.int64), RING, OFFSETS, PLANES) == 0.0
    assert math.isnan(roof_overhang(wall, RING, OFFSETS, PLANES[:0]))


def test_planes_are_those_of_the_roof_faces():
    corners = [
        (0, 0, 6_000),
        (24_000, 0, 6_000),
        (24_000, 6_000, 9_000),
        (0, 6_000, 9_000),
        (24_000, 12_000, 6_000),
        (0, 12_000, 6_000),
    ]
    vertices = np.array(corners, np.int64) + np.array([WEST, SOUTH, FLOOR])
    rings = np.array([0, 1, 2, 3, 3, 2, 4, 5, 0, 3, 2, 1], np.int64)
    offsets = np.array([0, 4, 8, 12], np.int64)
    faces = np.arange(4, dtype=np.int64)
    kind, none = np.array([2, 2, 1], np.int8), np.full(3, -1, np.int64)
    solid = RoofSolid(vertices, rings, offsets, faces, kind, none, none)
    found = solid_planes([solid], RING[0].tolist())
    np.testing.assert_allclose(found, PLANES[::-1], atol=1e-6)


def test_columns_have_the_names_of_the_fields():
    from felsina.engine.fields import fields_of

    columns = opening_columns([FOUND, Openings()], [0.5, 0.0])
    assert set(columns) <= set(fields_of("buildings"))
    assert columns["building_portico_source"].tolist() == [2, 0]
    np.testing.assert_array_equal(columns["building_opening_confidence"], [0.33, np.nan])
