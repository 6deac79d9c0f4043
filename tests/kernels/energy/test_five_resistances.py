"""The hour of the 5R1C zone against a dense solve of its three balances, and what becomes of numbers that are none."""

import math

import numpy as np
import pytest
from numba import njit

from felsina.kernels.energy.five_resistances import clipped, greatest, hour, imbalance, multipliers, overheating, solar_gain

OP, HW, VI, VF, CM, AM, AT = 1.3, 0.4, 0.2, 0.3, 1.6e5, 2.5, 4.6
SHARE, OUTDOOR, MASS, INTERNAL, SOLAR = 0.7, -3.0, 18.0, 2.5, 11.0


@njit
def _hour(heating_setpoint, cooling_setpoint, heating_power, cooling_power):
    m = multipliers(OP, HW, VI, VF, CM, AM, AT, SHARE)
    found = hour(MASS, OUTDOOR, INTERNAL, SOLAR, heating_setpoint, cooling_setpoint, heating_power, cooling_power, m)
    return found, imbalance(MASS, found[0], found[1], found[2], OUTDOOR, INTERNAL, SOLAR, found[4] - found[5], HW, m)


def _solved(power):
    """Return T_m, T_s, T_a of the three balances as the module states them, the mass with the mean of its two temperatures."""
    ve, si, ms = VI + SHARE * VF, 3.45 * AT, 9.1 * AM
    em, x = 1 / (1 / OP - 1 / ms), INTERNAL + SOLAR
    pm, st = AM / AT * x, (1 - AM / AT - HW / (9.1 * AT)) * x
    matrix = [
        [CM / 3600 + 0.5 * (ms + em), -ms, 0],
        [-0.5 * ms, si + HW + ms, -si],
        [0, -si, ve + si],
    ]
    right = [(CM / 3600 - 0.5 * (ms + em)) * MASS + em * OUTDOOR + pm, st + HW * OUTDOOR + 0.5 * ms * MASS]
    return np.linalg.solve(matrix, [*right, ve * OUTDOOR + INTERNAL + power])


def test_an_hour_solves_the_three_balances():
    for limits in ((-math.inf, math.inf), (20.0, 26.0), (0.0, 5.0)):
        (tm, ts, ta, top, heating, cooling), _ = _hour(*limits, math.inf, math.inf)
        np.testing.assert_allclose([tm, ts, ta], _solved(heating - cooling), rtol=1e-12)
        assert top == pytest.approx(0.3 * ta + 0.7 * ts, rel=1e-14)


def test_power_holds_the_set_point_or_is_all_that_is_installed():
    (_, _, ta, _, heating, cooling), _ = _hour(20.0, 26.0, math.inf, math.inf)
    assert ta == pytest.approx(20.0, abs=1e-12) and heating > 0 and cooling == 0
    (_, _, ta, _, heating, cooling), _ = _hour(0.0, 5.0, math.inf, math.inf)
    assert ta == pytest.approx(5.0, abs=1e-12) and heating == 0 and cooling > 0
    (_, _, ta, _, heating, cooling), _ = _hour(20.0, 26.0, 1.5, math.inf)
    assert ta < 20.0 and heating == 1.5
    (_, _, ta, _, heating, cooling), _ = _hour(0.0, 5.0, math.inf, 0.5)
    assert ta > 5.0 and cooling == 0.5


def test_the_account_of_an_hour_closes():
    residual, flows = _hour(20.0, 26.0, math.inf, math.inf)[1]
    assert flows > 0 and residual < 1e-13 * flows


def test_what_is_not_a_number_stays():
    nan = math.nan
    assert np.isnan(clipped(nan, 3.0)) and clipped(-1.0, 3.0) == 0.0 and clipped(2.0, 3.0) == 2.0 and clipped(4.0, 3.0) == 3.0
    assert greatest(nan, 5.0, 2.0, 1.0) == (2.0, 1.0) and greatest(3.0, 5.0, 2.0, 1.0) == (3.0, 5.0)
    assert greatest(2.0, 5.0, 2.0, 1.0) == (2.0, 1.0)  # the first of two equal peaks


def test_only_counted_hours_above_the_limit_overheat():
    assert overheating(27.5, 26.0, 1.0) == (1.5, 1.0)
    assert overheating(27.5, 26.0, 0.0) == (0.0, 0.0)
    assert overheating(25.0, 26.0, 1.0) == (0.0, 0.0)


def test_the_sun_comes_through_each_aperture_and_the_sky_takes():
    for k in range(10):
        apertures = tuple(float(i == k) for i in range(10))
        assert solar_gain(apertures, tuple(10.0 + i for i in range(10)), 0.5, 4.0) == 10.0 + k - 2.0
