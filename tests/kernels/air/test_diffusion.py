"""Implicit vertical diffusion against a dense solve, its budget, and its independence of cuts and threads."""

import numba
import numpy as np
import pytest

from felsina.kernels.air.diffusion import diffuse_vertically
from felsina.kernels.air.transport import HALO


def case(shape=(9, 7, 300), dtype=np.float64, closed=True):
    rng = np.random.default_rng(0)
    padded = tuple(n + 2 * HALO for n in shape)
    t = rng.uniform(290, 310, padded).astype(dtype)
    k = rng.uniform(0, 8, padded).astype(dtype)
    air = np.ones(padded, np.uint8)
    air[:HALO] = 0
    roof = rng.integers(0, max(1, shape[0] - 1), padded[1:])
    for l in range(shape[0]):
        air[HALO + l][roof > l] = 0
    if closed:
        air[-HALO:] = 0
    return t, k, air


def solved(t, k, air, dt=60.0, columns=None):
    out = t.copy()
    diffuse_vertically(out, k, air, 2.0, dt, columns)
    return out


@pytest.mark.parametrize("closed", [True, False])
def test_equals_a_dense_solve(closed):
    t, k, air = case((9, 2, 3), closed=closed)
    out = solved(t, k, air)
    for j in range(HALO, HALO + 2):
        for i in range(HALO, HALO + 3):
            m, r = np.eye(9), t[HALO:-HALO, j, i].copy()
            for l in range(9):
                for other in (l - 1, l + 1):
                    a, b = l + HALO, other + HALO
                    g = 60.0 / 4.0 * 0.5 * (k[a, j, i] + k[b, j, i]) * air[a, j, i] * air[b, j, i]
                    m[l, l] += g
                    if 0 <= other < 9:
                        m[l, other] -= g
                    else:
                        r[l] += g * t[b, j, i]
            np.testing.assert_allclose(out[HALO:-HALO, j, i], np.linalg.solve(m, r), rtol=1e-13)


def test_a_closed_column_keeps_its_heat_and_makes_no_new_extremum():
    t, k, air = case()
    out = solved(t, k, air, 3600.0)
    c = np.s_[HALO:-HALO, HALO:-HALO, HALO:-HALO]
    np.testing.assert_allclose(out[c].sum(0), t[c].sum(0), rtol=1e-13)
    assert out.max() <= t.max() and out.min() >= t.min()
    assert (out[air == 0] == t[air == 0]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_any_cut_and_thread_count_gives_the_same_bits(dtype):
    t, k, air = case(dtype=dtype)
    whole, rng, keep = solved(t, k, air), np.random.default_rng(1), numba.get_num_threads()
    try:
        for n in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
            numba.set_num_threads(n)
            for _ in range(4):
                j, i = sorted(rng.integers(0, 8, 2)), sorted(rng.integers(0, 301, 2))
                part = solved(t, k, air, columns=(*j, *i))
                cut = np.s_[:, HALO + j[0] : HALO + j[1], HALO + i[0] : HALO + i[1]]
                assert part[cut].tobytes() == whole[cut].tobytes()
                part[cut] = t[cut]
                assert part.tobytes() == t.tobytes()
    finally:
        numba.set_num_threads(keep)


def test_a_temperature_that_would_be_written_to_a_copy_is_an_error():
    t, k, air = case()
    with pytest.raises(ValueError, match="C-contiguous"):
        diffuse_vertically(np.asfortranarray(t), k, air, 2.0, 60.0)


def test_isothermal_air_stays_to_the_bit_and_empty_boxes_work():
    t, k, air = case(dtype=np.float32)
    t[:] = 301.7
    assert (solved(t, k, air) == t).all()
    for shape in ((0, 2, 2), (1, 1, 1), (3, 0, 2)):
        t, k, air = case(shape)
        assert np.isfinite(solved(t, k, air)).all()
    assert (solved(t, k, air, 0.0) == t).all()
