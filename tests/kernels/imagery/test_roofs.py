import itertools

import numpy as np

from felsina.kernels.imagery.roofs import add_roof_cells, empty_roof_sums, roof_means


def scene(seed=6, ny=60, nx=70):
    random = np.random.default_rng(seed)
    index = np.full((ny, nx), -1, np.int32)
    index[5:20, 5:20], index[5:20, 20:40], index[30:50, 10:60], index[55:58, 5:8] = 0, 1, 2, 3
    albedo, ndvi = random.random((ny, nx)).astype("f4"), (2 * random.random((ny, nx)) - 1).astype("f4")
    albedo[random.random((ny, nx)) < 0.05] = np.nan
    ndvi[random.random((ny, nx)) < 0.05] = np.nan
    return index, albedo, ndvi, random.random((ny, nx)) > 0.02


def plain(index, albedo, ndvi, usable, n):
    """The definition in Python."""
    out = {k: [[] for _ in range(n)] for k in ("albedo", "ndvi")}
    for j in range(1, index.shape[0] - 1):
        for i in range(1, index.shape[1] - 1):
            near = np.s_[j - 1 : j + 2, i - 1 : i + 2]
            k = index[j, i]
            if k >= 0 and (index[near] == k).all() and usable[near].all():
                for name, values in (("albedo", albedo), ("ndvi", ndvi)):
                    if not np.isnan(values[j, i]):
                        out[name][k].append(float(values[j, i]))
    return out


def test_means_are_over_cells_well_inside_a_roof():
    index, albedo, ndvi, usable = scene()
    sums = empty_roof_sums(5)
    add_roof_cells(index, albedo, ndvi, usable, 0.3, 0, len(index), sums)
    found, want = roof_means(sums), plain(index, albedo, ndvi, usable, 5)
    for k in range(3):
        np.testing.assert_allclose(found["albedo"][k], np.mean(want["albedo"][k]), atol=5e-5)  # half a unit of the sums
        np.testing.assert_allclose(found["ndvi"][k], np.mean(want["ndvi"][k]), atol=5e-5)
        assert found["green_share"][k] == np.mean(np.array(want["ndvi"][k]) > 0.3)
    assert np.isnan([found[name][4] for name in found]).all()  # no cell at all


def test_neighbours_under_one_roof_line_do_not_mix():
    index, albedo, ndvi, _ = scene()
    albedo[...], ndvi[...] = np.where(index == 0, 0.1, 0.9), 0.0
    sums = empty_roof_sums(4)
    add_roof_cells(index, albedo.astype("f4"), ndvi, np.ones(index.shape, bool), 0.3, 0, len(index), sums)
    np.testing.assert_allclose(roof_means(sums)["albedo"][:2], [0.1, 0.9], atol=5e-5)


def test_rows_cut_anywhere_with_a_row_more_on_either_side_add_up_to_the_whole():
    arrays = scene(7)
    whole, parts = empty_roof_sums(4), empty_roof_sums(4)
    add_roof_cells(*arrays, 0.3, 0, 60, whole)
    cuts = [0, *np.sort(np.random.default_rng(8).integers(1, 60, 5)), 60]
    for first, last in itertools.pairwise(cuts):
        lower, upper = max(0, first - 1), min(60, last + 1)
        held = [a[lower:upper] for a in arrays]
        add_roof_cells(*held, 0.3, first - lower, last - lower, parts)
    np.testing.assert_array_equal(parts, whole)
