"""Openings equal a plain reference wherever rows are cut, and the passes of the GPU make the same window."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage

from felsina.kernels.pointcloud import opening
from felsina.kernels.pointcloud.opening import octagon, open_rows


def footprint(radius):
    window = octagon(radius)
    square = np.ones((2 * window.square + 1,) * 2, bool)
    if not window.diamond:
        return square
    cross = ndimage.generate_binary_structure(2, 1)
    return ndimage.binary_dilation(np.pad(square, window.diamond), cross, iterations=window.diamond)


def opened(surface, radius):
    window = footprint(radius)
    low = ndimage.grey_erosion(surface, footprint=window, mode="constant", cval=np.inf)
    return ndimage.grey_dilation(low, footprint=window, mode="constant", cval=-np.inf)


def whole(surface, radius):
    out = np.empty_like(surface)
    open_rows(surface, radius, 0, surface.shape[0], out)
    return out


@pytest.mark.parametrize(
    ("shape", "radius"), [((50, 40), 1), ((61, 33), 4), ((40, 70), 9), ((5, 90), 7), ((1, 1), 3), ((230, 30), 18)]
)
def test_opening_equals_the_plain_octagon_of_scipy(shape, radius):
    surface = np.random.default_rng(radius).normal(0, 5, shape).astype(np.float32)
    np.testing.assert_array_equal(whole(surface, radius), opened(surface, radius))


@pytest.mark.parametrize("seed", range(5))
def test_random_row_cuts_give_the_same_bits(seed):
    random = np.random.default_rng(seed)
    ny, radius = int(random.integers(20, 260)), int(random.integers(1, 12))
    surface = random.normal(10, 4, (ny, 37)).astype(np.float32)
    out = np.empty_like(surface)
    for j0, j1 in pairwise(np.unique([0, *random.integers(0, ny, 4), ny])):
        open_rows(surface, radius, int(j0), int(j1), out)
    np.testing.assert_array_equal(out, whole(surface, radius))


def test_an_octagon_is_as_wide_as_its_radius_and_reaches_little_further_at_its_corners():
    for radius in range(1, 200):
        window = octagon(radius)
        assert window.square + window.diamond == radius
    # Corners lie at (r, 0.58 r): 1.16 r from the centre.
    assert np.hypot(*(np.argwhere(footprint(50)) - 50).T).max() == pytest.approx(1.16 * 50, abs=0.5)


def test_the_passes_of_the_gpu_add_up_to_the_window_and_fit_into_shared_memory():
    for radius in range(1, 300):
        window, rows, columns, diamond = octagon(radius), 0, 0, 0
        for kernel, *widths in opening._passes(window):
            if kernel is opening._tile_pass:
                rows, columns, diamond = rows + widths[0], columns + widths[0], diamond + widths[1]
                assert sum(widths) <= opening._MARGIN
            elif kernel is opening._row_pass:
                rows += widths[0]
                assert 2 * widths[0] < opening._SEGMENT
            else:
                columns += widths[0]
                assert 2 * widths[0] < opening._STRIP
        assert (rows, columns, diamond) == (window.square, window.square, window.diamond)
