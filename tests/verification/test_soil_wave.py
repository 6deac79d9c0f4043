"""Conduction against closed forms of a half-space: daily wave and step of flux (Carslaw and Jaeger 1959, 2.6 and 2.9)."""

import math

import numpy as np
import pytest

from felsina.kernels.energy.conduction import conduct, conduction_tables

CONDUCTIVITY, CAPACITY = 1.0, 2.0e6
OMEGA = 2 * math.pi / 86400
DAMPING_DEPTH = math.sqrt(2 * CONDUCTIVITY / CAPACITY / OMEGA)


def columns(thickness, time_step):
    one = np.ones((1, len(thickness)))
    return conduction_tables(CONDUCTIVITY * one, CAPACITY * one, thickness[None], time_step)


def amplitude_and_phase(time, y):
    design = np.stack([np.sin(OMEGA * time), np.cos(OMEGA * time), np.ones_like(time)], 1)
    s, c, _ = np.linalg.lstsq(design, y, rcond=None)[0]
    return math.hypot(s, c), math.atan2(c, s)


@pytest.mark.parametrize(("dtype", "dt"), [(np.float64, 600.0), (np.float32, 600.0), (np.float64, 300.0)])
def test_daily_wave_decays_and_lags_with_depth_and_its_flux_leads(dtype, dt):
    # T = A exp(-z / D) sin(w t - z / D), G = A sqrt(lambda C w) sin(w t + pi / 4). 12 layers from 8 mm, ratio 1.4.
    thickness = 0.008 * 1.4 ** np.arange(12)
    tables = conduction_tables(np.full((1, 12), CONDUCTIVITY), np.full((1, 12), CAPACITY), thickness[None], dt, None, dtype)
    t = np.full((12, 1), 290.0, dtype)
    surface, flux, grip = np.zeros(1, dtype), np.zeros(1, dtype), np.full(1, 1e5, dtype)
    rows, day = [], round(86400 / dt)
    for step in range(1, 15 * day + 1):
        forced = 290.0 + 10.0 * math.sin(OMEGA * step * dt)
        conduct(t, np.zeros(1, np.uint8), tables, (grip * forced).astype(dtype), grip, grip, surface, flux)
        if step > 14 * day:
            rows.append([step * dt, *t[:, 0], flux[0]])
    record = np.array(rows, float)
    depth = np.cumsum(thickness) - thickness / 2
    at = int(np.argmin(np.abs(depth - DAMPING_DEPTH)))
    amplitude, phase = amplitude_and_phase(record[:, 0], record[:, 1 + at])
    assert amplitude == pytest.approx(10 * math.exp(-depth[at] / DAMPING_DEPTH), rel=0.01)
    assert abs(phase + depth[at] / DAMPING_DEPTH) / OMEGA < 180  # 3 minutes
    amplitude, phase = amplitude_and_phase(record[:, 0], record[:, -1])
    assert amplitude == pytest.approx(10 * math.sqrt(CONDUCTIVITY * CAPACITY * OMEGA), rel=0.01)
    # Backward Euler acts as s -> (1 - exp(-s dt)) / dt: the flux, which goes with its root, leads by a quarter step less; the
    # rest is the half layer between the surface and the first node.
    assert abs(phase - math.pi / 4) / OMEGA < 0.25 * dt + 60


def test_step_of_flux_warms_the_surface_with_the_root_of_time():
    # T_s - T_0 = 2 q sqrt(t / (pi lambda C)); backward Euler needs some steps to forget the jump, so from 1 h on: 1 %.
    dt, thickness, q = 60.0, 0.004 * 1.25 ** np.arange(20), 100.0
    tables, t = columns(thickness, dt), np.full((20, 1), 290.0)
    surface, flux = np.zeros(1), np.zeros(1)
    zero = np.zeros(1)
    for step in range(1, 12 * 60 + 1):
        conduct(t, np.zeros(1, np.uint8), tables, np.full(1, q), zero, zero, surface, flux)
        assert flux[0] == pytest.approx(q)
        if step >= 60:
            want = 2 * q * math.sqrt(step * dt / (math.pi * CONDUCTIVITY * CAPACITY))
            assert surface[0] - 290.0 == pytest.approx(want, rel=0.01)


def test_steady_wall_is_the_series_of_its_resistances():
    lam, d = np.array([[0.6, 0.04, 1.5]]), np.array([[0.3, 0.1, 0.2]])
    tables = conduction_tables(lam, np.full((1, 3), 1e6), d, 1e9, np.array([2 * 1.5 / 0.2]))
    t, surface, flux = np.full((3, 1), 290.0), np.zeros(1), np.zeros(1)
    for _ in range(50):
        conduct(t, np.zeros(1, np.uint8), tables, np.full(1, 25.0 * 310), np.full(1, 25.0), np.full(1, 290.0), surface, flux)
    assert flux[0] == pytest.approx(20.0 / (1 / 25 + (d / lam).sum()), rel=1e-6)
