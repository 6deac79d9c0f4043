"""The linearised surface balance: equilibrium, its tangent, and the whole balance closed with the column below."""

import numba
import numpy as np
import pytest

from felsina.kernels.air.surface_balance import linearise_surface, surface_fluxes
from felsina.kernels.constants import STEFAN_BOLTZMANN
from felsina.kernels.energy.conduction import conduct, conduction_tables

ALBEDO, EMISSIVITY, SHARE = np.array([0.2, 0.1, 0.6]), np.array([0.95, 0.9, 0.85]), np.array([0.0, 0.6, 0.1])


def case(n=2000, dtype=np.float64):
    rng = np.random.default_rng(0)
    low_high = {"k": (0, 900), "l": (300, 450), "air": (285, 315), "wind": (0, 6), "t": (280, 335)}
    c = {name: rng.uniform(*ends, n).astype(dtype) for name, ends in low_high.items()}
    c["group"] = rng.integers(0, 3, n).astype(np.uint8)
    return c


def ab(c, surfaces=None):
    a, b = np.zeros_like(c["t"]), np.zeros_like(c["t"])
    tables = (x.astype(c["t"].dtype) for x in (ALBEDO, EMISSIVITY, SHARE))
    linearise_surface(c["k"], c["l"], c["air"], c["wind"], c["t"], c["group"], *tables, a, b, surfaces)
    return a, b


def balance(c, t):
    g = c["group"]
    net = (1 - ALBEDO[g]) * c["k"] + EMISSIVITY[g] * (c["l"] - STEFAN_BOLTZMANN * t**4)
    return net, net - (4 + 4 * c["wind"]) * (t - c["air"])


def test_value_and_slope_are_those_of_the_nonlinear_balance():
    c = case()
    a, b = ab(c)
    net, g = balance(c, c["t"])
    latent = SHARE[c["group"]] * np.maximum(0, net)
    np.testing.assert_allclose(a - b * c["t"], g - latent, atol=1e-9)
    h = 1e-3
    slope = (balance(c, c["t"] + h)[1] - balance(c, c["t"] - h)[1]) / (2 * h)
    np.testing.assert_allclose(-b, slope, rtol=1e-6)


def test_an_isothermal_enclosure_exchanges_nothing():
    c = case()
    c["k"][:] = 0
    c["air"][:] = c["t"]
    c["l"][:] = STEFAN_BOLTZMANN * c["t"] ** 4
    a, b = ab(c)
    np.testing.assert_allclose(a - b * c["t"], 0, atol=1e-9)


def test_the_balance_closes_with_the_column_below():
    # Noon on asphalt, grass and a roof after 10 min steps, repeated twice at the new temperature: residual < 0.1 W m-2.
    c = case(300)
    n = 300
    one = np.ones((3, 10))
    tables = conduction_tables(one * 0.9, one * 2e6, one * 0.01 * 1.4 ** np.arange(10), 600.0)
    column, surface, flux = np.tile(c["t"], (10, 1)), c["t"].copy(), np.zeros(n)
    net, sensible, latent = np.zeros(n), np.zeros(n), np.zeros(n)
    for _ in range(3):
        start = column.copy()
        for _ in range(3):
            column[:] = start
            c["t"] = surface.copy()
            a, b = ab(c)
            conduct(column, c["group"], tables, a, b, np.zeros(n), surface, flux)
        surface_fluxes(
            c["k"], c["l"], c["air"], c["wind"], surface, c["t"], c["group"], ALBEDO, EMISSIVITY, SHARE, net, sensible, latent
        )
        assert np.abs(net - sensible - latent - flux).max() < 0.1
        np.testing.assert_allclose(net, balance(c, surface)[0], atol=1e-9)
        assert (latent[SHARE[c["group"]] == 0] == 0).all() and latent.max() > 100


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_any_cut_and_thread_count_gives_the_same_bits(dtype):
    c, keep = case(dtype=dtype), numba.get_num_threads()
    whole = ab(c)
    assert whole[0].dtype == dtype
    try:
        for threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
            numba.set_num_threads(threads)
            for c0, c1 in ((0, 2000), (3, 701), (1999, 2000), (5, 5)):
                for part, all_ in zip(ab(c, (c0, c1)), whole):
                    assert part[c0:c1].tobytes() == all_[c0:c1].tobytes()
                    assert not part[:c0].any() and not part[c1:].any()
    finally:
        numba.set_num_threads(keep)
