import numpy as np
import pytest

from felsina.engine.district.imagery import materials
from felsina.engine.processes.imagery import cover_rules
from felsina.kernels.imagery.cover import BARE_SOIL, GRASS, PAVED, UNKNOWN, WATER, dark_cells, ground_cover

RULES = cover_rules()


def code(green, red, nir, silent=False):
    return int(ground_cover(*(np.array([v], "f4") for v in (green, red, nir)), np.array([silent]), RULES)[0])


@pytest.mark.parametrize(
    ("name", "want"),
    [("asphalt", PAVED), ("concrete", PAVED), ("grass", GRASS), ("tree", GRASS), ("bare_soil", BARE_SOIL)],
)
def test_materials_in_the_sun_are_told_apart(name, want):
    red, green, _, nir = materials()[name].reflectance
    assert code(green, red, nir) == want


def test_water_is_dark_and_sends_no_pulse_back_and_shadow_does():
    red, green, _, nir = materials()["water"].reflectance
    assert code(green, red, nir, silent=True) == WATER
    assert code(green, red, nir, silent=False) == UNKNOWN


@pytest.mark.parametrize("name", ["asphalt", "grass", "clay_tile", "white_membrane"])
def test_a_shadow_under_a_clear_sky_says_nothing(name):
    # Light of the sky: 15, 20 and 8 % of sunlight in red, green and near infrared, seven tenths of it in a street.
    red, green, _, nir = materials()[name].reflectance
    assert code(0.7 * 0.20 * green, 0.7 * 0.15 * red, 0.7 * 0.08 * nir) == UNKNOWN


def test_nothing_is_said_without_near_infrared():
    assert code(0.2, 0.2, np.nan) == UNKNOWN and code(0.2, np.nan, 0.4) == UNKNOWN


def test_dark_membranes_are_not_shadow_and_black_is_without_near_infrared_too():
    red, green, _, nir = materials()["bitumen"].reflectance
    bands = [np.array([a, b], "f4") for a, b in ((green, 0.02), (red, 0.02), (nir, np.nan))]
    np.testing.assert_array_equal(dark_cells(*bands, RULES), [False, True])
