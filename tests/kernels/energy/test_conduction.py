"""The column solver against a dense solve, its heat budget, and its independence of cuts, threads and neighbours."""

import itertools

import numba
import numpy as np
import pytest

from felsina.kernels.energy.conduction import conduct, conduction_tables


def case(n=1000, n_class=4, n_layer=9, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    material = (
        rng.uniform(0.1, 2.0, (n_class, n_layer)),
        rng.uniform(0.3e6, 3e6, (n_class, n_layer)),
        rng.uniform(0.01, 0.3, (n_class, n_layer)),
    )
    bottom = np.where(np.arange(n_class) % 2, rng.uniform(0.5, 20, n_class), 0.0)
    state = {
        "temperature": rng.uniform(280, 320, (n_layer, n)).astype(dtype),
        "group": rng.integers(0, n_class, n).astype(np.uint8),
        "a": rng.uniform(2000, 9000, n).astype(dtype),
        "b": rng.uniform(5, 30, n).astype(dtype),
        "bottom": rng.uniform(285, 295, n).astype(dtype),
    }
    return material, bottom, state


def run(material, bottom, s, dt=600.0, columns=None):
    t = s["temperature"].copy()
    surface, flux = np.zeros(t.shape[1], t.dtype), np.zeros(t.shape[1], t.dtype)
    tables = conduction_tables(*material, dt, bottom, t.dtype.type)
    for part in columns or [None]:
        conduct(t, s["group"], tables, s["a"], s["b"], s["bottom"], surface, flux, part)
    return t, surface, flux


@pytest.mark.parametrize("n_layer", [1, 2, 9])
def test_equals_a_dense_solve_of_the_same_equations(n_layer):
    material, bottom, s = case(40, n_layer=n_layer)
    got, surface, flux = run(material, bottom, s)
    lam, c, d = material
    for i in range(40):
        k = s["group"][i]
        g = 1 / (0.5 * d[k, :-1] / lam[k, :-1] + 0.5 * d[k, 1:] / lam[k, 1:])
        skin = 2 * lam[k, 0] / d[k, 0]
        m, r = np.diag(c[k] * d[k] / 600.0), c[k] * d[k] / 600.0 * s["temperature"][:, i]
        for l in range(n_layer - 1):
            m[[l, l + 1], [l, l + 1]] += g[l]
            m[[l, l + 1], [l + 1, l]] -= g[l]
        m[0, 0] += skin * s["b"][i] / (s["b"][i] + skin)
        r[0] += skin * s["a"][i] / (s["b"][i] + skin)
        m[-1, -1] += bottom[k]
        r[-1] += bottom[k] * s["bottom"][i]
        want = np.linalg.solve(m, r)
        np.testing.assert_allclose(got[:, i], want, rtol=1e-12)
        assert surface[i] == pytest.approx((s["a"][i] + skin * want[0]) / (s["b"][i] + skin), rel=1e-12)
        assert flux[i] == pytest.approx(s["a"][i] - s["b"][i] * surface[i], abs=1e-8)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-11), (np.float32, 3e-5)])
def test_stores_what_flows_in(dtype, tolerance):
    # float64: 300 K of 1e6 J m-3 in 0.1 m rounds at 1e-9 of a flux of 100 W m-2 over 600 s. float32: temperatures of 300 K are
    # spaced by 3e-5 K, and that is what the sum over the layers may lose in a step, relative to the heat content.
    material, bottom, s = case(500, dtype=dtype)
    got, _, flux = run(material, bottom, s)
    capacity = (material[1] * material[2])[s["group"]].T
    stored = (capacity * (got.astype(float) - s["temperature"])).sum(0)
    leaves = bottom[s["group"]] * (got[-1].astype(float) - s["bottom"])
    budget = stored - 600.0 * (flux - leaves)
    assert np.abs(budget / capacity.sum(0)).max() < tolerance


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_any_cut_of_the_columns_gives_the_same_bits(dtype):
    material, bottom, s = case(1000, dtype=dtype)
    whole = run(material, bottom, s)
    rng = np.random.default_rng(5)
    for _ in range(5):
        cuts = [0, *sorted(rng.integers(0, 1001, 7).tolist()), 1000]
        parts = run(material, bottom, s, columns=list(itertools.pairwise(cuts)))
        assert all(a.tobytes() == b.tobytes() for a, b in zip(whole, parts))


def test_one_and_two_threads_give_the_same_bits():
    material, bottom, s = case(2000)
    keep, bits = numba.get_num_threads(), set()
    try:
        for n in {1, min(2, numba.config.NUMBA_NUM_THREADS)}:
            numba.set_num_threads(n)
            bits.add(run(material, bottom, s)[0].tobytes())
    finally:
        numba.set_num_threads(keep)
    assert len(bits) == 1


def test_a_column_does_not_see_its_neighbours():
    material, bottom, s = case(300)
    whole = run(material, bottom, s)[0]
    pick = np.random.default_rng(2).permutation(300)[:37]
    few = {k: np.ascontiguousarray(v[..., pick]) for k, v in s.items()}
    assert run(material, bottom, few)[0].tobytes() == np.ascontiguousarray(whole[:, pick]).tobytes()


def test_empty_and_single_columns_work():
    for n in (0, 1):
        material, bottom, s = case(n)
        assert np.isfinite(run(material, bottom, s)[0]).all()


def test_equilibrium_stays():
    # A = B T: every layer, the surface and the bottom at 300 K exchange nothing.
    material, bottom, s = case(100)
    s["temperature"][:], s["a"], s["bottom"][:] = 300.0, s["b"] * 300.0, 300.0
    got, surface, flux = run(material, bottom, s)
    np.testing.assert_allclose(got, 300.0, atol=1e-11)
    np.testing.assert_allclose(surface, 300.0, atol=1e-11)
    np.testing.assert_allclose(flux, 0.0, atol=1e-9)
