import numpy as np

from felsina.kernels.pointcloud.surface import surface_height, surface_model, terrain_height

LEVEL = np.array([10.0, 0.0, 0.0, 0.0, 100.0, 100.0, 0.0, 0.0])


def test_the_ground_is_a_plane_and_a_wave():
    terrain = np.array([5.0, 0.01, -0.02, 1.5, 300.0, 200.0, 0.3, 0.7])
    x, y = np.array([[0.0, 12.5], [250.0, 90.0]]), np.array([[0.0, 3.0], [80.0, -40.0]])
    wave = np.sin(2 * np.pi * x / 300.0 + 0.3) * np.sin(2 * np.pi * y / 200.0 + 0.7)
    np.testing.assert_allclose(terrain_height(terrain, x, y), 5.0 + 0.01 * x - 0.02 * y + 1.5 * wave, atol=1e-12)


def test_a_height_is_read_off_the_plane_not_off_a_cell():
    ring = np.array([[(2.0, 2.0), (8.0, 3.0), (7.0, 9.0), (1.0, 8.0)]])
    plane = np.array([[0.3, -0.2, 15.0]])
    rng = np.random.default_rng(1)
    x, y = rng.uniform(0, 10, (2, 20_000))
    for cell in (0.7, 2.0, 50.0):
        model = surface_model(LEVEL, ring, plane, np.array([6]), np.empty((0, 5)), (0.0, 0.0, 10.0, 10.0), cell)
        z, kind = surface_height(model, x, y)
        p, q = ring[0], np.roll(ring[0], -1, axis=0)
        inside = np.ones(x.size, bool)
        for (x0, y0), (x1, y1) in zip(p, q, strict=True):
            inside &= (x1 - x0) * (y - y0) - (y1 - y0) * (x - x0) >= 0.0
        np.testing.assert_array_equal(kind, np.where(inside, 6, 2))
        np.testing.assert_allclose(z, np.where(inside, 0.3 * x - 0.2 * y + 15.0, 10.0), atol=1e-12)


def test_the_higher_of_two_prisms_counts_and_an_empty_scene_is_ground():
    square = np.array([(0.0, 0.0), (4.0, 0.0), (4.0, 4.0), (0.0, 4.0)])
    planes = np.array([[0.0, 0.0, 12.0], [0.0, 0.0, 14.0]])
    model = surface_model(
        LEVEL, np.stack([square, square + 2.0]), planes, np.array([6, 9]), np.empty((0, 5)), (0.0, 0.0, 8.0, 8.0)
    )
    z, kind = surface_height(model, np.array([1.0, 3.0, 5.0, 7.0, -5.0]), np.array([1.0, 3.0, 5.0, 1.0, 1.0]))
    np.testing.assert_array_equal(z, [12.0, 14.0, 14.0, 10.0, 10.0])
    np.testing.assert_array_equal(kind, [6, 9, 9, 2, 2])
    raised = np.array([(0.0, 0.0, 11.0), (0.0, 0.0, -np.inf)])
    over = surface_model(
        LEVEL, np.stack([square, square + 2.0]), planes, np.array([6, 9]), np.empty((0, 5)), (0.0, 0.0, 8.0, 8.0),
        prism_base=raised,
    )  # fmt: skip
    assert surface_height(over, np.array([1.0]), np.array([1.0]))[0] == 12.0  # from above, undersides do not count
    empty = surface_model(LEVEL, np.empty((0, 4, 2)), np.empty((0, 3)), np.empty(0), np.empty((0, 5)), (0.0, 0.0, 8.0, 8.0))
    assert surface_height(empty, np.array([1.0]), np.array([1.0]))[0] == 10.0
