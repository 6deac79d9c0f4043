"""Surface balance and conduction in one driver against the two of which it is made, and its independence of cuts."""

import itertools

import numpy as np
import pytest

from felsina.kernels.air.surface_balance import linearise_surface, surface_fluxes
from felsina.kernels.energy.conduction import conduct, conduction_tables
from felsina.kernels.energy.surface_column import balance_columns

CLASSES = 4


def _case(n=700, n_layer=8, dtype=np.float64, seed=0):
    r = np.random.default_rng(seed)
    shape = (CLASSES, n_layer)
    material = r.uniform(0.1, 2.0, shape), r.uniform(0.3e6, 3e6, shape), r.uniform(0.01, 0.3, shape)
    tables = conduction_tables(*material, 600.0, r.uniform(0, 5, CLASSES), dtype)
    sky = [r.uniform(low, high, n).astype(dtype) for low, high in ((0, 900), (250, 450), (285, 312), (0, 6))]
    properties = [r.uniform(low, high, CLASSES).astype(dtype) for low, high in ((0.1, 0.4), (0.9, 0.98), (0.0, 0.6))]
    layers, surface = r.uniform(280, 320, (n_layer, n)).astype(dtype), r.uniform(280, 330, n).astype(dtype)
    return (
        tables,
        sky,
        properties,
        layers,
        surface,
        r.integers(0, CLASSES, n).astype(np.int8),
        r.uniform(285, 295, n).astype(dtype),
    )


def _run(case, columns=(None,)):
    tables, sky, properties, layers, surface, group, bottom = case
    layers, surface = layers.copy(), surface.copy()
    flux, sensible = np.zeros_like(surface), np.zeros_like(surface)
    for part in columns:
        balance_columns(layers, group, tables, *sky, *properties, bottom, surface, flux, sensible, part)
    return layers, surface, flux, sensible


@pytest.mark.parametrize("n_layer", [1, 2, 8])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_equals_two_rounds_of_linearising_and_conducting(n_layer, dtype):
    tables, sky, properties, start, surface, group, bottom = case = _case(n_layer=n_layer, dtype=dtype)
    got = _run(case)
    surface = surface.copy()
    a, b, flux, net, sensible, latent = (np.zeros_like(surface) for _ in range(6))
    for _ in range(2):
        layers, about = start.copy(), surface.copy()
        linearise_surface(*sky, about, group, *properties, a, b)
        conduct(layers, group, tables, a, b, bottom, surface, flux)
    surface_fluxes(*sky, surface, about, group, *properties, net, sensible, latent)
    # The compiler may contract A - B T with the terms of A: a rounding of 300 K, times a B of up to 35 W m-2 K-1.
    tolerance = 35 * np.finfo(dtype).eps * 300
    for one, two in zip(got, (layers, surface, flux, sensible), strict=True):
        np.testing.assert_allclose(one, two, rtol=0, atol=tolerance)


def test_two_passes_leave_a_tenth_of_a_watt_and_four_nothing():
    _, sky, properties, start, surface, group, _ = case = list(_case())
    # Evaporation follows the net radiation of the last expansion, which is no matter of the surface temperature.
    properties[2] = np.zeros(CLASSES)
    case[4] = surface.copy()
    for limit in (0.1, 1e-8):
        _, new, flux, sensible = _run(case)
        net, h, latent = (np.zeros_like(new) for _ in range(3))
        surface_fluxes(*sky, new, new, group, *properties, net, h, latent)
        np.testing.assert_array_equal(h, sensible)
        assert np.abs(net - h - flux).max() < limit
        case[4] = new  # two passes more from the same layers
    assert case[3] is start


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_any_cut_of_the_columns_gives_the_same_bits(dtype):
    case = _case(dtype=dtype)
    whole = _run(case)
    rng = np.random.default_rng(5)
    for _ in range(5):
        cuts = [0, *sorted(rng.integers(0, 701, 7).tolist()), 700]
        parts = _run(case, list(itertools.pairwise(cuts)))
        assert all(a.tobytes() == b.tobytes() for a, b in zip(whole, parts, strict=True))


def test_no_column_is_no_work():
    assert all(v.size == 0 for v in _run(_case(n=0)))
