"""The lanes of the 5R1C zone against the standard's own procedure in plain Python, and the laws that it keeps."""

import math

import numba
import numpy as np
import pytest

from felsina.kernels.energy.zone import PARAMETERS, simulate

HOURS = 24 * 70
MONTH = np.arange(HOURS) * 3 // HOURS


def _buildings(n, seed=0):
    r = np.random.default_rng(seed)
    floor = r.uniform(60, 3000, n)
    p = np.zeros((len(PARAMETERS), n))
    p[0], p[1] = floor * r.uniform(0.2, 2, n), floor * 0.125 * r.uniform(1.2, 5, n)
    p[2], p[3] = floor * r.uniform(0.1, 0.4, n), floor * 0.2
    p[4], p[5], p[6], p[7] = 165000 * floor, 2.5 * floor, 4.5 * floor, floor
    p[8], p[9], p[10] = 40 * floor, 30 * floor, 0.02 * floor
    p[11:] = floor * r.uniform(0.001, 0.02, (10, n))
    return p


def _forcing(n_class=2, seed=1):
    r = np.random.default_rng(seed)
    t = np.arange(HOURS)
    wx = np.empty((HOURS, 12))
    wx[:, 0] = 14 - 14 * np.cos(math.pi * t / HOURS) - 5 * np.cos(2 * np.pi * (t - 2) / 24) + r.normal(0, 1, HOURS)
    wx[:, 1] = r.uniform(0, 20, HOURS)
    wx[:, 2:] = np.maximum(-np.cos(2 * np.pi * t / 24), 0)[:, None] * r.uniform(50, 700, (HOURS, 10))
    s = np.empty((n_class, HOURS, 4))
    for k in range(n_class):
        s[k, :, 0] = r.uniform(0, 6, HOURS)
        s[k, :, 1] = (t % 24 > 6 + k) & (t % 24 < 20)
        s[k, :, 2] = np.where((t % 24 > 5) & (t % 24 < 22), 20, 16 - k)
        s[k, :, 3] = 26 + k
    return s, wx


def _standard(p, s, wx, warm_up):
    """ISO 13790 annex C for one building, step by step: none, ten watts a square metre, and the four cases of C.4."""
    op, hw, vi, vf, cm, am, at, ga, ph, pc, sk = p[:11]
    tm, out = 20.0, []
    hours = [*range(HOURS - warm_up, HOURS), *range(HOURS)]
    for t in hours:
        te, (gain, vent, th, tc) = wx[t, 0], s[t]
        ve, ms, si = vi + vent * vf, 9.1 * am, 3.45 * at
        em = 1 / (1 / op - 1 / ms)
        h1 = 1 / (1 / ve + 1 / si)  # C.6
        h2 = h1 + hw  # C.7
        h3 = 1 / (1 / h2 + 1 / ms)  # C.8
        internal, solar = gain * ga, float(wx[t, 2:] @ p[11:]) - sk * wx[t, 1]
        ia = 0.5 * internal  # C.1
        m = am / at * (0.5 * internal + solar)  # C.2
        st = (1 - am / at - hw / (9.1 * at)) * (0.5 * internal + solar)  # C.3

        def zone(q, tm=tm, te=te, ve=ve, ms=ms, si=si, em=em, h1=h1, h2=h2, h3=h3, ia=ia, m=m, st=st):
            total = m + em * te + h3 * (st + hw * te + h1 * ((ia + q) / ve + te)) / h2  # C.5
            new = (tm * (cm / 3600 - 0.5 * (h3 + em)) + total) / (cm / 3600 + 0.5 * (h3 + em))  # C.4
            mean = 0.5 * (tm + new)  # C.9
            ts = (ms * mean + st + hw * te + h1 * (te + (ia + q) / ve)) / (ms + hw + h1)  # C.10
            ta = (si * ts + ve * te + ia + q) / (si + ve)  # C.11
            return ta, 0.3 * ta + 0.7 * ts, new

        free = zone(0.0)[0]
        q = 0.0
        if free < th or free > tc:
            goal = th if free < th else tc
            probe = 10 * ga
            q = probe * (goal - free) / (zone(probe)[0] - free)  # C.13
            q = min(max(q, -pc), ph)
        ta, top, tm = zone(q)
        out.append((ta, top, max(q, 0.0), max(-q, 0.0)))
    return np.array(out[warm_up:]).T


@pytest.fixture(scope="module")
def case():
    p, (s, wx) = _buildings(37), _forcing()
    return p, np.arange(37) % 2, s, wx


@pytest.fixture(scope="module")
def result(case):
    return simulate(*case, MONTH, keep=(0, HOURS))


def test_lanes_equal_the_standards_procedure(case, result):
    p, k, s, wx = case
    for b in (0, 1, 17, 36):
        ta, top, qh, qc = _standard(p[:, b], s[k[b]], wx, 720)
        # Rounding of 2,400 hours; loads are of the order of 1e5 W.
        np.testing.assert_allclose(result["indoor_air_temperature"][b], ta, atol=1e-9)
        np.testing.assert_allclose(result["operative_temperature"][b], top, atol=1e-9)
        np.testing.assert_allclose(result["heating_load"][b], qh, atol=1e-5)
        np.testing.assert_allclose(result["cooling_load"][b], qc, atol=1e-5)
        for name, load in (("heating", qh), ("cooling", qc)):
            monthly = [load[m == MONTH].sum() * 3600 for m in range(3)]
            np.testing.assert_allclose(result[f"monthly_{name}_need"][b, :3], monthly, rtol=1e-9)
            assert result[f"peak_{name}_load"][b] == pytest.approx(load.max(), rel=1e-9)
            assert result[f"peak_{name}_hour"][b] == load.argmax() + 1
        assert result["overheating_hours"][b] == (top > 26).sum()
        assert result["overheating_degree_hours"][b] == pytest.approx(np.maximum(top - 26, 0).sum(), rel=1e-9)
    assert result["monthly_heating_need"].min(axis=0)[0] > 0 and result["monthly_cooling_need"].min(axis=0)[2] > 0


def test_the_heat_balance_closes_every_hour(result):
    assert (result["energy_residual"] > 0).all()
    assert result["energy_residual"].max() < 1e-9


def test_order_batches_and_threads_do_not_change_a_bit(case, result):
    p, k, s, wx = case
    order = np.random.default_rng(5).permutation(37)
    mixed = simulate(p[:, order], k[order], s, wx, MONTH, keep=(0, HOURS))
    for name, value in result.items():
        np.testing.assert_array_equal(mixed[name], value[order], err_msg=name)
    for part in (slice(0, 1), slice(3, 20), slice(20, 37)):
        cut = simulate(p[:, part], k[part], s, wx, MONTH, keep=(0, HOURS))
        for name, value in result.items():
            np.testing.assert_array_equal(cut[name], value[part], err_msg=name)
    threads = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        for name, value in simulate(*case, MONTH, keep=(0, HOURS)).items():
            np.testing.assert_array_equal(value, result[name], err_msg=name)
    finally:
        numba.set_num_threads(threads)


def test_single_precision_keeps_annual_needs_within_a_ten_thousandth(case, result):
    single = simulate(*case, MONTH, dtype=np.float32)
    for name in ("monthly_heating_need", "monthly_cooling_need"):
        want = result[name].sum(axis=1)
        assert (np.abs(single[name].sum(axis=1) - want) <= 1e-4 * want).all()


def test_a_building_that_is_not_finite_leaves_its_neighbours_alone(case, result):
    p = case[0].copy()
    p[0, 4] = np.nan
    bad = simulate(p, *case[1:], MONTH)
    assert np.isnan(bad["monthly_heating_need"][4]).any() or np.isnan(bad["energy_residual"][4])
    rest = np.arange(37) != 4
    np.testing.assert_array_equal(bad["monthly_heating_need"][rest], result["monthly_heating_need"][rest])


def test_no_building_gives_empty_rows():
    s, wx = _forcing()
    empty = simulate(np.empty((len(PARAMETERS), 0)), [], s, wx, MONTH)
    assert empty["monthly_heating_need"].shape == (0, 12)
    assert empty["peak_heating_load"].shape == (0,)


def test_only_the_hours_asked_for_are_kept(case, result):
    part = simulate(*case, MONTH, keep=(100, 124))
    np.testing.assert_array_equal(part["operative_temperature"], result["operative_temperature"][:, 100:124])
    assert part["cooling_load"].shape == (37, 24)


def test_arrays_of_another_shape_and_hours_that_are_not_there_are_refused(case):
    p, k, s, wx = case
    for wrong in ((p[:-1], k, s, wx), (p, k, s[:, :-1], wx), (p, k, s, wx[:, :-1])):
        with pytest.raises(ValueError, match="expected"):
            simulate(*wrong, MONTH)
    for keep in ((5, 3), (-1, 2), (0, HOURS + 1)):
        with pytest.raises(ValueError, match="cannot be kept"):
            simulate(*case, MONTH, keep=keep)
