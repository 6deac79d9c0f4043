"""Closed forms and laws of the zone: steady loss, time constant, insulation, the sun's side of the house."""

import math

import numpy as np
import pytest

from felsina.kernels.energy.zone import PARAMETERS, simulate
from felsina.kernels.radiation.transposition import sector_irradiance, sky_states

HOURS = 24 * 60
MONTH = np.zeros(HOURS, int)
ROW = {name: i for i, name in enumerate(PARAMETERS)}


def _house(n=1, **rows):
    p = np.zeros((len(PARAMETERS), n))
    p[:11, :] = np.array([200.0, 100.0, 60.0, 0.0, 165000.0 * 100, 250.0, 450.0, 100.0, np.inf, np.inf, 0.0])[:, None]
    for name, value in rows.items():
        p[ROW[name]] = value
    return p


def _run(p, outdoor, heating=20.0, cooling=26.0, gain=0.0, irradiance=None, **rest):
    wx = np.zeros((HOURS, 12))
    wx[:, 0] = outdoor
    if irradiance is not None:
        wx[:, 2:] = irradiance
    s = np.zeros((1, HOURS, 4))
    s[0] = [gain, 1.0, heating, cooling]
    return simulate(p, np.zeros(p.shape[1], int), s, wx, MONTH, keep=(0, HOURS), **rest)


def test_outdoor_air_at_the_set_point_without_gains_needs_nothing():
    r = _run(_house(), 20.0)
    # Rounding of 20 degC times conductances of 1e3 W K-1.
    assert r["monthly_heating_need"].sum() < 1e-9 * 3600 * HOURS
    assert r["monthly_cooling_need"].sum() == 0
    np.testing.assert_allclose(r["indoor_air_temperature"], 20.0, atol=1e-11)


def test_steady_heating_is_the_loss_coefficient_of_the_network_times_the_difference():
    p = _house()
    op, hw, ve, am, at = 200.0, 100.0, 60.0, 250.0, 450.0
    si, ms = 3.45 * at, 9.1 * am
    # Air to surface in series with windows and opaque parts side by side; the mass node has no net flow in the end.
    fabric = 1 / (1 / si + 1 / (hw + 1 / (1 / ms + 1 / (1 / (1 / op - 1 / ms)))))
    r = _run(p, 0.0)
    np.testing.assert_allclose(r["heating_load"][0, -1], (ve + fabric) * 20.0, rtol=1e-9)
    # H_op and H_ms were joined so that the surface sees H_op itself.
    assert fabric == pytest.approx(1 / (1 / si + 1 / (hw + op)), rel=1e-12)


def test_need_is_the_load_times_the_hours_in_joules():
    r = _run(_house(), 0.0)
    np.testing.assert_allclose(r["monthly_heating_need"].sum(), r["heating_load"].sum() * 3600.0, rtol=1e-12)


def test_free_running_indoor_air_decays_with_the_time_constant():
    p = _house(heating_power=0.0, cooling_power=0.0)
    r = _run(p, 0.0, warm_up=0)
    # One capacity behind H_em and, towards air and windows, H_3: tau = C_m / (H_3 + H_em).
    op, hw, ve, am, at = 200.0, 100.0, 60.0, 250.0, 450.0
    si, ms = 3.45 * at, 9.1 * am
    h1 = 1 / (1 / ve + 1 / si)
    rate = (1 / (1 / (h1 + hw) + 1 / ms) + 1 / (1 / op - 1 / ms)) / 165000e2 * 3600
    step = (1 - rate / 2) / (1 + rate / 2)  # Crank-Nicolson
    ta = r["indoor_air_temperature"][0]
    np.testing.assert_allclose(ta[1:50] / ta[:49], step, rtol=1e-9)
    assert step == pytest.approx(math.exp(-rate), rel=rate**3)


def test_more_insulation_never_needs_more_heat():
    p = _house(12, opaque_transmission=np.linspace(20, 1500, 12))
    need = _run(p, np.linspace(-5, 15, HOURS), gain=3.0)["monthly_heating_need"].sum(axis=1)
    assert (np.diff(need) > 0).all()


def test_gains_lower_the_heating_by_no_more_than_themselves():
    cold = np.full(HOURS, 2.0)
    without, given = (_run(_house(), cold, gain=g)["monthly_heating_need"].sum() for g in (0.0, 2.0))
    assert 0 < without - given <= 2.0 * 100 * 3600 * HOURS * (1 + 1e-12)


def test_no_cooling_power_means_no_cooling_and_hot_rooms():
    r = _run(_house(cooling_power=0.0), 32.0, gain=5.0)
    assert r["monthly_cooling_need"].sum() == 0
    assert r["overheating_hours"][0] == HOURS
    assert r["indoor_air_temperature"].min() > 32.0


def test_limited_heating_leaves_the_room_below_its_set_point():
    r = _run(_house(heating_power=3000.0), -5.0)
    assert r["peak_heating_load"][0] == 3000.0
    assert r["indoor_air_temperature"].max() < 20.0


def _sunny(shift_hours):
    end = 8571.5 + (np.arange(HOURS) + 1 + shift_hours) / 24  # from 2023-06-21, clear, Bologna
    up = np.maximum(-np.cos(2 * math.pi * (np.arange(HOURS) % 24 - 0.25 + shift_hours) / 24), 0)
    sky = sky_states(end, 3600.0, math.radians(44.5), math.radians(0.0), 800 * (up > 0.1), 100 * (up > 0), 900 * up)
    return sector_irradiance(sky)


def test_an_east_window_peaks_before_noon_and_a_west_window_after():
    p = _house(2, aperture_2=np.array([20.0, 0.0]), aperture_6=np.array([0.0, 20.0]))
    r = _run(p, 26.0, cooling=26.0, irradiance=_sunny(0))
    east, west = (r["peak_cooling_hour"] - 1) % 24
    assert east < 12 < west


def test_a_sun_off_by_one_hour_changes_the_balance_of_east_and_west():
    p = _house(2, aperture_2=np.array([20.0, 0.0]), aperture_6=np.array([0.0, 20.0]))
    hours = np.arange(HOURS) % 24
    air = 22.0 + 8.0 * np.cos(2 * math.pi * (hours - 16) / 24)
    ratio = []
    for shift in (0, 1):
        need = _run(p, air, cooling=24.0, irradiance=_sunny(shift))["monthly_cooling_need"].sum(axis=1)
        ratio.append(need[0] / need[1])
    # The afternoon is the warm half: an early sun moves gains of the west away from it.
    assert abs(ratio[1] / ratio[0] - 1.0) > 0.01
