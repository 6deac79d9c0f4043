"""What surfaces and canopy air exchange, against the same written in NumPy."""

import numba
import numpy as np
import pytest

from felsina.kernels.air.exchange import beside_surface, fill_layers, heating_rate, near_ground, source_starts
from felsina.kernels.air.transport import HALO
from felsina.kernels.blocks import spread
from felsina.kernels.constants import AIR_VOLUMETRIC_HEAT_CAPACITY

NZ, NY, NX, RATIO = 5, 6, 9, 2
SPACING = (2.5, 4.0, 5.0)


def roofs(seed=0):
    return np.random.default_rng(seed).integers(0, NZ, (NY, NX)).astype(np.int32)


def padded(dtype=np.float32, seed=1):
    return np.random.default_rng(seed).normal(300, 5, (NZ + 4, NY + 4, NX + 4)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_surface_meets_the_lowest_open_layer(dtype):
    t, roof, out = padded(dtype), roofs(), np.zeros((NY * RATIO, NX * RATIO), dtype)
    j, i = np.indices(roof.shape)
    near_ground(t, roof, RATIO, out)
    np.testing.assert_array_equal(out, spread(t[roof + HALO, j + HALO, i + HALO], RATIO))
    kelvin = out.copy()
    near_ground(t, roof, RATIO, out, 273.15)
    np.testing.assert_array_equal(out, kelvin - dtype(273.15))


def test_a_profile_serves_the_uppermost_layer_where_none_is_open():
    roof, profile = roofs(), np.linspace(0.5, 4, NZ - 1, dtype=np.float32)
    out = np.zeros((NY * RATIO, NX * RATIO), np.float32)
    beside_surface(profile, roof, RATIO, out)
    np.testing.assert_array_equal(out, profile[np.minimum(spread(roof, RATIO), NZ - 2)])
    assert (roof == NZ - 1).any()


def test_layers_of_the_halo_take_the_outermost_values():
    profile, out = np.arange(1.0, NZ + 1), np.zeros((NZ + 4, NY + 4, NX + 4))
    fill_layers(profile, out)
    want = np.concatenate([[1.0, 1.0], profile, [NZ, NZ]])
    assert (out == want[:, None, None]).all()
    with pytest.raises(ValueError, match="does not fill"):
        fill_layers(profile[1:], out)


class Heat:
    """Rows of waste heat of buildings of very unlike size, and the sensible heat of surfaces."""

    def __init__(self, n_row=150, n_building=7):
        rng = np.random.default_rng(3)
        n_cell = NZ * NY * NX
        cell, building = rng.integers(0, n_cell, n_row), rng.integers(0, n_building, n_row)
        order = np.lexsort((building, cell))
        self.cell, self.building, self.weight = cell[order], building[order].astype(np.int32), rng.uniform(0.01, 1, n_row)
        self.waste = 10.0 ** rng.uniform(-2, 6, n_building)
        self.sensible = rng.normal(80, 60, (NY, NX)).astype(np.float32)
        self.start = source_starts(self.cell, n_cell)

    def rates(self):
        source, flux = np.zeros((NZ + 4, NY + 4, NX + 4), np.float32), np.zeros((NY, NX), np.float32)
        rows = self.start, self.building, self.weight, self.waste
        heating_rate(self.sensible, roofs(), *rows, SPACING, source, flux)
        return source, flux


def test_heating_is_the_sum_over_surfaces_and_rows():
    c, roof = Heat(), roofs()
    source, flux = c.rates()
    volume, (j, i) = AIR_VOLUMETRIC_HEAT_CAPACITY * SPACING[0], np.indices(roof.shape)
    want = np.zeros_like(source)
    want[roof + HALO, j + HALO, i + HALO] = c.sensible / np.float32(volume)
    heat = np.bincount(c.cell, c.weight * c.waste[c.building], minlength=NZ * NY * NX).reshape(NZ, NY, NX)
    want[HALO:-HALO, HALO:-HALO, HALO:-HALO] += (heat / (volume * 20.0)).astype(np.float32)
    # Sums in double precision may be contracted; float32 then rounds the same but for a tie in 1e8: one unit in the last place.
    np.testing.assert_allclose(source, want, rtol=1.2e-7)
    np.testing.assert_allclose(flux, heat.sum(0) / 20.0, rtol=1.2e-7)
    assert (heat > 0).any() and (heat == 0).any()


def test_heat_that_buildings_and_surfaces_give_is_the_heat_of_the_air():
    c = Heat()
    source, flux = c.rates()
    put = (c.weight * c.waste[c.building]).sum() + c.sensible.astype(float).sum() * 20.0
    got = source.astype(float).sum() * AIR_VOLUMETRIC_HEAT_CAPACITY * np.prod(SPACING)
    assert got == pytest.approx(put, rel=1e-6)  # 270 cells rounded to float32
    assert flux.astype(float).sum() * 20.0 == pytest.approx((c.weight * c.waste[c.building]).sum(), rel=1e-6)


def test_tiles_and_threads_give_the_same_bits():
    c, keep = Heat(), numba.get_num_threads()
    whole, whole_flux = c.rates()
    k, rest = np.divmod(c.cell, NY * NX)
    j, i = np.divmod(rest, NX)
    try:
        for threads, (j0, j1, i0, i1) in ((1, (0, 2, 0, NX)), (min(2, numba.config.NUMBA_NUM_THREADS), (2, NY, 3, 8))):
            numba.set_num_threads(threads)
            mine = (j >= j0) & (j < j1) & (i >= i0) & (i < i1)
            ny, nx = j1 - j0, i1 - i0
            start = source_starts((k[mine] * ny + j[mine] - j0) * nx + i[mine] - i0, NZ * ny * nx)
            source, flux = np.zeros((NZ + 4, ny + 4, nx + 4), np.float32), np.zeros((ny, nx), np.float32)
            parts = (np.ascontiguousarray(a[j0:j1, i0:i1]) for a in (c.sensible, roofs()))
            heating_rate(*parts, start, c.building[mine], c.weight[mine], c.waste, SPACING, source, flux)
            inner = np.s_[HALO:-HALO, HALO:-HALO, HALO:-HALO]
            assert source[inner].tobytes() == np.ascontiguousarray(whole[inner][:, j0:j1, i0:i1]).tobytes()
            assert flux.tobytes() == np.ascontiguousarray(whole_flux[j0:j1, i0:i1]).tobytes()
    finally:
        numba.set_num_threads(keep)


def test_a_tile_without_sources_has_the_heat_of_its_surfaces_alone():
    c = Heat(n_row=0)
    source, flux = c.rates()
    assert (c.start == 0).all() and (flux == 0).all()
    assert np.count_nonzero(source) == NY * NX


def test_rows_out_of_order_or_out_of_the_tile_are_refused():
    for rows in ([3, 2], [-1, 2], [2, 10]):
        with pytest.raises(ValueError, match="sorted by cell"):
            source_starts(np.array(rows), 10)


def test_arrays_that_do_not_fit_the_tile_are_refused():
    with pytest.raises(ValueError, match="do not fit a tile"):
        near_ground(padded(), roofs()[1:], RATIO, np.zeros((NY * RATIO, NX * RATIO), np.float32))
    with pytest.raises(ValueError, match="do not fit a tile"):
        beside_surface(np.ones(3), roofs(), RATIO, np.zeros((NY, NX)))
