"""The join by identifier, and the heat around each building against a search over all pairs."""

from __future__ import annotations

import numpy as np
import pytest

from felsina.engine.grid import Grid
from felsina.engine.processes import thematic
from felsina.engine.processes.thematic import cells_of_buildings, heat_at_buildings, join_energy, match_rows, street_air

COARSE = Grid("EPSG:7791", 1000.0, 2000.0, 2.0, 31, 23)
FINE = Grid("EPSG:7791", 1000.0, 2000.0, 0.5, 124, 92)


def blocks(rng, n=9, shape=(92, 124)):
    """Rectangles at random, some side by side, some smaller than a heat cell; -1 elsewhere."""
    index = np.full(shape, -1, np.int32)
    for k in range(n):
        j, i = rng.integers(0, shape[0] - 24), rng.integers(0, shape[1] - 24)
        index[j : j + rng.integers(2, 24), i : i + rng.integers(2, 24)] = k
    return index


def by_search(index, n, maps, radius, coarse=COARSE, factor=4):
    """The definition in the module, cell by cell over all pairs."""
    ny, nx = coarse.shape
    cells = index.reshape(ny, factor, nx, factor).swapaxes(1, 2).reshape(ny, nx, -1)
    open_ = 2 * (cells >= 0).sum(-1) < factor**2
    rows = []
    for k in range(n):
        covered = (cells == k).sum(-1)
        own = 2 * covered >= factor**2
        roof = own.copy()
        if not own.any():
            own = (covered > 0) & (covered == covered.max())
        around = np.zeros((ny, nx), bool)
        for j, i in np.argwhere(own):
            jj, ii = np.mgrid[:ny, :nx]
            around |= (jj - j) ** 2 + (ii - i) ** 2 <= (radius / coarse.resolution) ** 2
        around &= open_
        mean, top, ground = (m[around & np.isfinite(m)] for m in maps)
        own_roof = maps[2][roof & np.isfinite(maps[2])]
        rows.append([mean.mean() if mean.size else np.nan] + [v.max() if v.size else np.nan for v in (top, ground, own_roof)])
    return np.array(rows).T


def random_maps(rng, shape):
    maps = [np.round(rng.uniform(20, 60, shape), 2) for _ in range(3)]
    maps[0][rng.random(shape) < 0.1] = np.nan
    maps[2][rng.random(shape) < 0.1] = np.nan
    return maps


def test_rows_meet_by_identifier_and_not_by_number():
    assert match_rows(["c", "a", "x", "b"], ["a", "b", "c"]).tolist() == [2, 0, -1, 1]


def test_rows_of_one_identifier_meet_in_their_order():
    assert match_rows(["a", "b", "a", "a"], ["a", "a", "b"]).tolist() == [0, 2, 1, -1]


def test_a_building_without_an_energy_row_is_missing_and_flagged():
    energy = {
        "building_id": np.array(["b", "a"], object),
        "energy_status": np.array([0, 1], np.int8),
        "energy_reason": np.array([0, 2], np.int8),
        "energy_archetype": np.array(["IT.1", "IT.2"], object),
        "annual_heating_need": np.array([1000.0, np.nan], np.float32),
        "overheating_hours": np.array([12, 0], np.int16),
    }
    joined = join_energy(np.array(["a", "b", "c"], object), energy)
    assert joined["energy_status"].tolist() == [1, 0, -1]
    assert joined["energy_reason"].tolist() == [2, 0, -1]
    assert joined["energy_archetype"].tolist() == ["IT.2", "IT.1", ""]
    np.testing.assert_array_equal(joined["annual_heating_need"], [np.nan, 1000.0, np.nan])
    # 0 hours in a row that failed is no result.
    np.testing.assert_array_equal(joined["overheating_hours"], [np.nan, 12.0, np.nan])


def test_an_empty_energy_table_leaves_every_building_without_a_row():
    energy = {
        "building_id": np.array([], object),
        "energy_status": np.array([], np.int8),
        "overheating_hours": np.array([], int),
    }
    joined = join_energy(np.array(["a", "b"], object), energy)
    assert joined["energy_status"].tolist() == [-1, -1]
    assert np.isnan(joined["overheating_hours"]).all()


@pytest.mark.parametrize("seed", range(4))
def test_heat_is_that_of_a_search_over_all_pairs(seed):
    rng = np.random.default_rng(seed)
    index, maps = blocks(rng), random_maps(rng, COARSE.shape)
    cells = cells_of_buildings(COARSE, FINE, lambda a, b: index[a:b])
    found = heat_at_buildings(cells, 9, *maps, radius=7.0)
    # Maps are multiples of 0.01; the search adds up to 500 doubles, which errs by less than 1e-9.
    np.testing.assert_allclose(np.array(list(found.values())), by_search(index, 9, maps, 7.0), rtol=0, atol=1e-9)


def test_heat_does_not_depend_on_how_much_is_looked_at_in_one_go(monkeypatch):
    rng = np.random.default_rng(11)
    index, maps = blocks(rng, 20), random_maps(rng, COARSE.shape)

    def heat():
        cells = cells_of_buildings(COARSE, FINE, lambda a, b: index[a:b])
        return np.array(list(heat_at_buildings(cells, 20, *maps).values()))

    whole = heat()
    monkeypatch.setattr(thematic, "_PAIRS", 1)
    monkeypatch.setattr(thematic, "_FINE_CELLS", 1)
    assert np.array_equal(whole, heat(), equal_nan=True)


def test_a_heat_grid_that_covers_a_part_of_the_city_takes_its_own_part():
    rng = np.random.default_rng(5)
    index, maps = blocks(rng), random_maps(rng, (11, 13))
    part = Grid("EPSG:7791", 1008.0, 1990.0, 2.0, 13, 11)
    cells = cells_of_buildings(part, FINE, lambda a, b: index[a:b])
    found = heat_at_buildings(cells, 9, *maps)
    inside = index[20:64, 16:68]
    np.testing.assert_allclose(
        np.array(list(found.values())), by_search(inside, 9, maps, thematic.RADIUS, part), rtol=0, atol=1e-9
    )


def test_cells_that_no_footprint_grid_covers_are_not_open():
    wide = Grid("EPSG:7791", 996.0, 2004.0, 2.0, 40, 40)
    cells = cells_of_buildings(wide, FINE, lambda a, b: np.full((b - a, 124), -1, np.int32))
    assert cells.is_open.sum() == COARSE.nx * COARSE.ny
    assert not cells.is_open[:2].any()
    assert not cells.is_open[:, :2].any()


def test_a_building_that_fills_the_grid_has_a_roof_and_nothing_around_it():
    cells = cells_of_buildings(COARSE, FINE, lambda a, b: np.zeros((b - a, 124), np.int32))
    maps = [np.full(COARSE.shape, 30.0)] * 3
    found = heat_at_buildings(cells, 2, *maps)
    assert np.isnan(found["outdoor_air_temperature_mean"]).all()
    np.testing.assert_array_equal(found["roof_surface_temperature_maximum"], [30.0, np.nan])


def test_the_street_beside_a_wall_is_around_both_its_buildings():
    index = np.full((92, 124), -1, np.int32)
    index[:, :40], index[:, 48:] = 0, 1  # a street of two heat cells
    maps = [np.arange(31.0) + np.zeros((23, 1))] * 3
    found = heat_at_buildings(cells_of_buildings(COARSE, FINE, lambda a, b: index[a:b]), 2, *maps)
    np.testing.assert_array_equal(found["outdoor_air_temperature_mean"], [10.5, 10.5])
    np.testing.assert_array_equal(found["outdoor_air_temperature_maximum"], [11.0, 11.0])
    np.testing.assert_array_equal(found["roof_surface_temperature_maximum"], [9.0, 30.0])


def test_air_above_a_roof_is_not_that_of_the_street_beside_it():
    index = np.full((92, 124), -1, np.int32)
    index[:, :12] = 0  # three heat cells wide: the second column of air (two cells wide) is half roof
    cells = cells_of_buildings(COARSE, FINE, lambda a, b: index[a:b])
    assert street_air(cells, 1)[5, :6].tolist() == [False, False, False, True, True, True]
    assert street_air(cells, 2)[5, :6].tolist() == [False, False, False, False, True, True]
    assert street_air(cells, 2)[:, 4:].all()  # the last, narrower row and column too
