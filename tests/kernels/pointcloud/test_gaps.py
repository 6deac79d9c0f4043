"""The filling is harmonic, leaves valid cells alone, and does not know how its rows are shared."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.sparse import coo_matrix
from scipy.sparse.linalg import spsolve

from felsina.kernels.pointcloud.gaps import GapFilling, fill_gaps


def holed(ny, nx, share, seed, edge=0):
    random = np.random.default_rng(seed)
    grid = random.normal(50, 20, (ny, nx)).astype(np.float32)
    void = random.random((ny, nx)) < share
    if edge:
        void[:edge] = void[-edge:] = False
        void[:, :edge] = void[:, -edge:] = False
    return grid, void


def harmonic(grid):
    """Solve the same equations directly in float64."""
    ny, nx = grid.shape
    void = np.isnan(grid)
    number = np.full(grid.shape, -1)
    number[void] = np.arange(void.sum())
    entries, rhs = [], np.zeros(void.sum())
    for j, i in np.argwhere(void):
        for jj, ii in ((j - 1, i), (j + 1, i), (j, i - 1), (j, i + 1)):
            if 0 <= jj < ny and 0 <= ii < nx:
                entries.append((number[j, i], number[j, i], 1.0))
                if void[jj, ii]:
                    entries.append((number[j, i], number[jj, ii], -1.0))
                else:
                    rhs[number[j, i]] += grid[jj, ii]
    row, column, value = zip(*entries)
    filled = grid.astype(np.float64)
    filled[void] = spsolve(coo_matrix((value, (row, column))).tocsc(), rhs)
    return filled


@pytest.mark.parametrize("shape", [(120, 150), (37, 211), (3, 64), (129, 3)])
def test_restores_a_plane_over_interior_voids(shape):
    ny, nx = shape
    y, x = np.mgrid[:ny, :nx]
    plane = (400 + 0.3 * x - 0.2 * y).astype(np.float32)
    _, void = holed(ny, nx, 0.6, 3, edge=1)
    void |= np.hypot(y - ny / 2, x - nx / 2) < 0.4 * min(ny, nx)
    void[[0, -1]] = False
    void[:, [0, -1]] = False
    filled = fill_gaps(np.where(void, np.float32(np.nan), plane))
    # A void of 100 cells adds up the rounding of its cells: ten float32 steps at 400 m, 0.3 mm.
    np.testing.assert_allclose(filled, plane, rtol=0, atol=10 * np.spacing(np.float32(400)))


def test_equals_the_direct_solution_of_laplace_with_insulated_edges():
    grid, void = holed(41, 53, 0.5, 4)
    void[10:30, 20:53] = True
    grid[void] = np.nan
    # 16 cycles at a factor of about one half from an error of some 20 m: 3e-4 m; measured 1e-4 m.
    np.testing.assert_allclose(fill_gaps(grid), harmonic(grid), rtol=0, atol=5e-4)


def test_valid_cells_keep_their_bits():
    grid, void = holed(50, 61, 0.7, 5)
    grid[void] = np.nan
    filled = fill_gaps(grid)
    np.testing.assert_array_equal(filled[~void].view(np.int32), grid[~void].view(np.int32))
    assert np.isfinite(filled).all()


def test_stays_between_the_lowest_and_the_highest_value():
    grid, void = holed(90, 70, 0.9, 6)
    grid[void] = np.nan
    filled = fill_gaps(grid)
    assert filled.min() >= np.nanmin(grid) - 1e-3 and filled.max() <= np.nanmax(grid) + 1e-3


@pytest.mark.parametrize("seed", range(4))
def test_random_row_cuts_give_the_same_bits(seed):
    random = np.random.default_rng(seed)
    grid, void = holed(*random.integers(150, 300, 2), 0.6, seed)
    grid[void] = np.nan
    filling = GapFilling(grid, 3)
    for step in filling.steps():
        cuts = np.unique([0, *random.integers(0, step.n_row + 1, 3), step.n_row])
        parts = list(pairwise(cuts))
        random.shuffle(parts)
        for j0, j1 in parts:
            step.run(int(j0), int(j1))
    np.testing.assert_array_equal(filling.filled(), fill_gaps(grid, 3))


def test_a_step_writes_the_array_it_names_and_its_own_rows_only():
    # Ranks on several nodes exchange `step.written` and nothing else.
    grid, void = holed(70, 90, 0.6, 7)
    grid[void] = np.nan
    made = []
    filling = GapFilling(grid, 2, allocate=lambda shape, dtype: made.append(np.zeros(shape, dtype)) or made[-1])
    for step in filling.steps():
        before = [a.copy() for a in made]
        j0, j1 = step.n_row // 3, (2 * step.n_row + 2) // 3
        step.run(j0, j1)
        for a, b in zip(made, before):
            if a is step.written:
                np.testing.assert_array_equal(a[:j0], b[:j0])
                np.testing.assert_array_equal(a[j1:], b[j1:])
            else:
                np.testing.assert_array_equal(a, b)
        step.run(0, j0)
        step.run(j1, step.n_row)
        assert any(a is step.written for a in made) and step.written.shape[0] == step.n_row


def test_one_valid_cell_fills_the_grid_with_its_value():
    grid = np.full((19, 33), np.nan, np.float32)
    grid[7, 30] = 12.5
    np.testing.assert_array_equal(fill_gaps(grid), np.full((19, 33), 12.5, np.float32))


def test_full_single_and_empty_grids_come_back_as_they_are():
    for grid in (np.float32([[3.0]]), np.arange(12, dtype=np.float32).reshape(3, 4), np.empty((0, 5), np.float32)):
        np.testing.assert_array_equal(fill_gaps(grid), grid)


def test_a_raster_without_a_valid_cell_is_refused_with_a_sentence():
    with pytest.raises(ValueError, match=r"2 x 3 cells has no valid cell.*\."):
        fill_gaps(np.full((2, 3), np.nan, np.float32))


@pytest.mark.parametrize("shape", [(260, 256), (65, 200), (97, 33), (130, 40)])
@pytest.mark.parametrize("edge", ["south", "east"])
@pytest.mark.parametrize("width", [3, 8, 20])
def test_a_void_strip_along_an_edge_stays_within_the_values_beside_it(shape, edge, width):
    # An odd number of rows leaves half a cell on a coarse level: counted as a whole one, its correction once grew without end.
    rng = np.random.default_rng(1)
    grid = (60.0 + rng.normal(0.0, 1.0, shape)).astype("f4")
    grid[{"south": np.s_[-width:, :], "east": np.s_[:, -width:]}[edge]] = np.nan
    low, high = np.nanmin(grid), np.nanmax(grid)
    for cycles in (4, 60):
        filled = fill_gaps(grid, cycles)
        # The maximum principle of Laplace's equation, and 1 mm for an iteration that is not at its end.
        assert filled.min() >= low - 1e-3
        assert filled.max() <= high + 1e-3


def test_more_cycles_come_nearer_whatever_the_shape_of_the_void():
    rng = np.random.default_rng(7)
    grid = rng.normal(50.0, 5.0, (231, 177)).astype("f4")
    grid[rng.random(grid.shape) < 0.5] = np.nan
    grid[140:, :] = np.nan
    grid[:, 150:] = np.nan
    exact = fill_gaps(grid, 100)
    errors = [float(np.abs(fill_gaps(grid, c) - exact).max()) for c in (2, 8, 32)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[1] < 0.01
