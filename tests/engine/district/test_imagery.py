"""The orthophoto of the built-in district: its light, its shadows, its truth, and that a size and a seed fix every pixel."""

import numpy as np
import pytest

from felsina.engine.district.imagery import (
    GAIN,
    SUN_ELEVATION,
    TARGETS,
    _is_lit,
    compare_imagery,
    imagery_truth,
    materials,
    paint_district,
)
from felsina.engine.district.scene import build_district


@pytest.fixture(scope="module")
def district():
    return build_district(256.0, 1)


@pytest.fixture(scope="module")
def photo(district):
    return paint_district(district)


def test_the_same_district_is_painted_the_same_and_another_seed_is_not(district, photo):
    np.testing.assert_array_equal(paint_district(district).pixels, photo.pixels)
    assert not np.array_equal(paint_district(build_district(256.0, 2)).pixels, photo.pixels)


def test_level_ground_in_the_sun_has_the_reflectance_of_its_material(district, photo):
    pond = next(b.ponds[0] for b in district.blocks if b.ponds)
    x, y = (sum(p[k] for p in pond) / 4 for k in (0, 1))
    j, i = int((256.0 - y) / photo.resolution), int(x / photo.resolution)
    seen = photo.pixels[:, j - 5 : j + 6, i - 5 : i + 6].reshape(4, -1).mean(axis=1) * GAIN
    # 121 pixels of noise 0.017 (relative), a slope of the ground of 1 %, and rounding to half a value of the gain.
    np.testing.assert_allclose(seen, materials()["water"].reflectance, atol=0.5 * GAIN)


def test_a_wall_throws_a_shadow_as_long_as_its_height_over_the_tangent_of_the_sun():
    height = np.zeros((200, 200), np.float32)
    height[150:160, 90:110] = 10.0  # 5 m by 2.5 m, the sun in the south-south-east
    dark = ~_is_lit(height)
    reach = 150 - np.flatnonzero(dark[:, 80:105].any(axis=1)).min()
    # 10 m / tan 55 deg = 7.0 m, of which cos 30 deg northwards, in pixels of 0.25 m; two pixels are a step of the march.
    assert abs(reach - 10.0 / np.tan(SUN_ELEVATION) * np.cos(np.pi / 6) / 0.25) <= 2.0
    assert not dark[160:].any() and not dark[150:160, 90:110].any()


def test_the_truth_names_a_material_for_every_roof_and_some_are_green(district):
    truth = imagery_truth(district)
    assert [row["building_id"] for row in truth] == [b.building_id for b in district.buildings]
    assert {row["roof_material"] for row in truth} == {"clay_tile", "green_roof", "white_membrane", "bitumen", "concrete"}
    assert all(
        (row["roof_material"] == "clay_tile") == (b.roof_type != "flat")
        for row, b in zip(truth, district.buildings, strict=True)
    )
    assert all(0.0 < row["roof_albedo"] < 1.0 for row in truth)


def test_the_comparison_is_perfect_for_the_truth_and_tells_what_is_missing(district):
    truth = imagery_truth(district)
    results = {
        "building_id": np.array([row["building_id"] for row in truth])[::-1],
        "building_roof_albedo": np.array([row["roof_albedo"] for row in truth])[::-1].copy(),
        "building_roof_green_share": np.array([float(row["green_roof"]) for row in truth])[::-1].copy(),
    }
    rows = compare_imagery(truth, results)
    assert [(metric, value) for metric, value, *_ in rows] == list(zip(TARGETS, (0.0, 0.0, 100.0, 1.0, 0.0), strict=True))
    results["building_roof_albedo"][:] = np.nan
    results["building_roof_green_share"][:] = 0.0
    values = {metric: value for metric, value, *_ in compare_imagery(truth, results)}
    assert values["roofs with an albedo"] == 0.0 and values["green roof F1"] == 0.0
    assert np.isnan(values["roof albedo error, median"]) and values["green share error, largest"] == 1.0
