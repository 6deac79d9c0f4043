"""Diffusion against the Gaussian, T = exp(-r^2 / (4 K t)) / (4 pi K t)^(d/2): explicit in a box, implicit in a column."""

import math

import numpy as np
import pytest

from felsina.kernels.air.diffusion import diffuse_vertically
from felsina.kernels.air.transport import HALO, SSP_RK2, air_neighbours, stable_step, transport_stage

K, T0, T1 = 0.5, 0.010, 0.020


def gaussian(n, time):
    x = (np.arange(-HALO, n + HALO) + 0.5) / n - 0.5
    r2 = x[:, None, None] ** 2 + x[None, :, None] ** 2 + x[None, None, :] ** 2
    return np.exp(-r2 / (4 * K * time)) / (4 * math.pi * K * time) ** 1.5


def explicit_error(n):
    t = gaussian(n, T0)
    zero, air, k = np.zeros_like(t), np.ones(t.shape, np.uint8), np.full_like(t, K)
    spacing = (1 / n,) * 3
    steps = math.ceil((T1 - T0) / stable_step(zero, zero, zero, k, air, spacing))
    dt = (T1 - T0) / steps
    for step in range(steps):
        start = t
        for stage, keep in enumerate(SSP_RK2):
            # the halo is exact, at the time that the stage stands for
            edge = gaussian(n, T0 + (step + stage) * dt)
            edge[HALO:-HALO, HALO:-HALO, HALO:-HALO] = t[HALO:-HALO, HALO:-HALO, HALO:-HALO]
            out = edge.copy()
            transport_stage(edge, start, zero, zero, zero, k, air_neighbours(air), zero, out, spacing, dt, keep)
            t = out
    c = np.s_[HALO:-HALO, HALO:-HALO, HALO:-HALO]
    return np.sqrt(((t - gaussian(n, T1))[c] ** 2).mean())


def test_explicit_diffusion_is_of_second_order():
    errors = [explicit_error(n) for n in (8, 16, 32)]
    assert math.log2(errors[1] / errors[2]) >= 1.9


def column_error(n, dt):
    z = (np.arange(-HALO, n + HALO) + 0.5) / n - 0.5
    shape = (n + 2 * HALO, 1 + 2 * HALO, 1 + 2 * HALO)
    t = np.broadcast_to(np.exp(-(z[:, None, None] ** 2) / (4 * K * 0.002)), shape).copy()
    air = np.ones(shape, np.uint8)
    air[:HALO] = air[-HALO:] = 0
    for _ in range(round(0.004 / dt)):
        diffuse_vertically(t, np.full(shape, K), air, 1 / n, dt)
    exact = math.sqrt(0.002 / 0.006) * np.exp(-(z**2) / (4 * K * 0.006))
    return np.abs(t[HALO:-HALO, HALO, HALO] - exact[HALO:-HALO]).mean()


def test_implicit_diffusion_is_of_second_order_in_space_and_first_in_time():
    # dt falls with the square of the spacing, so both errors fall by 4; the closed ends are 5 widths away
    errors = [column_error(n, 0.004 / (n * n / 32)) for n in (32, 64, 128)]
    assert math.log2(errors[1] / errors[2]) >= 1.9
    steps = [column_error(256, 0.004 / m) for m in (4, 8)]
    assert math.log2(steps[0] / steps[1]) == pytest.approx(1.0, abs=0.25)
