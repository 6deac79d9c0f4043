"""Pixels to cells: means of those whose centre is in a cell, any cut of the image, any placement."""

import numpy as np
import pytest

from felsina.kernels.imagery.resample import STEP, add_pixels, pick_pixels, reflectance


def nodes(n_j, n_i, origin, size, turn=0.0):
    """Nodes of an image at `origin` [m], pixels of `size` [m], turned by `turn` [rad]."""
    j, i = np.meshgrid(np.arange(0, n_j + STEP, STEP, float), np.arange(0, n_i + STEP, STEP, float), indexing="ij")
    east = origin[0] + size * (np.cos(turn) * i - np.sin(turn) * j)
    south = origin[1] + size * (np.sin(turn) * i + np.cos(turn) * j)
    return east, south


def plain_means(image, valid, origin, size, turn, cell, shape):
    """The definition, pixel by pixel in Python."""
    total, count = np.zeros((image.shape[0], *shape), int), np.zeros(shape, int)
    for j in range(image.shape[1]):
        for i in range(image.shape[2]):
            x = origin[0] + size * (np.cos(turn) * (i + 0.5) - np.sin(turn) * (j + 0.5))
            y = origin[1] + size * (np.sin(turn) * (i + 0.5) + np.cos(turn) * (j + 0.5))
            r, c = (int(np.floor(v * 1000 + 0.5)) // round(cell * 1000) for v in (y, x))  # places in whole millimetres
            if valid[j, i] and 0 <= r < shape[0] and 0 <= c < shape[1]:
                total[:, r, c] += image[:, j, i]
                count[r, c] += 1
    return total, count


def filled(shape, n_band):
    return np.zeros((n_band, *shape), np.int64), np.zeros(shape, np.int64)


@pytest.mark.parametrize("turn", [0.0, 0.3])
def test_a_cell_holds_the_pixels_whose_centres_lie_in_it(turn):
    random = np.random.default_rng(3)
    image, valid = random.integers(0, 255, (3, 90, 130)).astype("u1"), random.random((90, 130)) > 0.1
    origin, size, shape = (3.037, -1.213), 0.2, (30, 40)
    sums, count = filled(shape, 3)
    high = add_pixels(image, valid, (0, 0), *nodes(90, 130, origin, size, turn), 500, 0, 1.0, sums, count)
    want, n = plain_means(image, valid, origin, size, turn, 0.5, shape)
    np.testing.assert_array_equal(count, n)
    np.testing.assert_array_equal(sums, want)
    assert 0 < high <= 254 and n.max() >= 6


def test_parts_of_an_image_and_rows_of_a_grid_add_up_to_the_whole():
    random = np.random.default_rng(4)
    image, valid = random.integers(0, 65535, (1, 200, 300)).astype("u2"), random.random((200, 300)) > 0.2
    origin, size, turn, shape = (1.1, 0.7), 0.3, 0.05, (120, 170)
    whole, n = filled(shape, 1)
    add_pixels(image, valid, (0, 0), *nodes(200, 300, origin, size, turn), 500, 0, 1.0, whole, n)
    east, south = nodes(200, 300, origin, size, turn)
    sums, count = filled(shape, 1)
    for first, last in ((0, 37), (37, 38), (38, 120)):
        for j0, j1 in ((0, 64), (64, 200)):
            for i0, i1 in ((0, 128), (128, 192), (192, 300)):
                part = np.s_[j0 // STEP :, i0 // STEP :]
                window = np.s_[j0:j1, i0:i1]
                into = sums[:, first:last], count[first:last]
                add_pixels(image[0][window][None], valid[window], (j0, i0), east[part], south[part], 500, first, 1.0, *into)
    np.testing.assert_array_equal(sums, whole)
    np.testing.assert_array_equal(count, n)


def test_a_wide_pixel_gives_its_value_to_every_cell_with_its_centre_inside():
    image = np.arange(12, dtype=float).reshape(1, 3, 4) + 0.25
    sums, count = filled((7, 9), 1)
    # Pixels four cells wide whose corner lies one cell into the grid.
    j, i = np.meshgrid([-0.25, 15.75], [-0.25, 15.75], indexing="ij")
    pick_pixels(image, np.ones((3, 4), bool), (0, 0), i, j, 100.0, sums, count)
    assert count[0].sum() == 0 and count[:, 0].sum() == 0 and (count[1:, 1:] == 1).all()
    assert (sums[0, 1:5, 1:5] == 25).all() and (sums[0, 5:, 5:] == 525).all()


def test_reflectance_is_gain_times_mean_plus_offset_and_unknown_without_pixels():
    sums, count = np.array([[30, 0, -4]]), np.array([[3, 0, 2]])
    found = reflectance(sums, count, 0.02, 0.1, 0.5)
    np.testing.assert_allclose(found, [[0.2, np.nan, 0.08]], rtol=1e-6)


def test_too_few_nodes_and_a_loose_corner_are_refused():
    sums, count = filled((4, 4), 1)
    image, valid = np.zeros((1, 70, 70)), np.ones((70, 70), bool)
    with pytest.raises(ValueError, match="do not span"):
        add_pixels(image, valid, (0, 0), *nodes(60, 60, (0, 0), 1.0), 500, 0, 1.0, sums, count)
    with pytest.raises(ValueError, match="multiple"):
        add_pixels(image, valid, (3, 0), *nodes(70, 70, (0, 0), 1.0), 500, 0, 1.0, sums, count)
