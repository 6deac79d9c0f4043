"""Horizons of points on surfaces: the scan of pixels as reference, own edges by geometry, areas of points."""

import math

import numpy as np
import pytest

from felsina.kernels.radiation.horizon import horizon_tangents
from felsina.kernels.radiation.obstacles import block_cells, obstacles
from felsina.kernels.radiation.rays import ray_tables
from felsina.kernels.radiation.skyview import sky_view
from felsina.kernels.radiation.surface_horizon import (
    Samples,
    mesh_edges,
    sample_surfaces,
    surface_azimuths,
    surface_horizons,
)
from felsina.kernels.radiation.surface_irradiance import surface_views

NO_MESH = (np.zeros((0, 3)), np.zeros((0, 2), int), np.zeros(1, int))
N = 72


def city(resolution=1.0, trees=False):
    random = np.random.default_rng(1)
    z = (np.indices((N, N)).sum(axis=0) * 0.05).astype(np.float32)
    building = np.zeros((N, N), bool)
    for _ in range(9):
        j, i = random.integers(0, N - 14, 2)
        z[j : j + 12, i : i + 9] = random.uniform(5, 30)
        building[j : j + 12, i : i + 9] = True
    crowns = ()
    if trees:
        is_tree = ((np.indices((N, N)) // 4).sum(axis=0) % 5 == 0) & ~building
        top = np.where(is_tree, z + 8, np.nan).astype(np.float32)
        crowns = top, (top - 5).astype(np.float32)
    return z, obstacles(z, block_cells(z / np.float32(resolution), building), resolution, 60.0, *crowns)


def on_cells(z, resolution=1.0):
    j, i = np.indices(z.shape)
    x, y = (i.ravel() + 0.5) * resolution, (z.shape[0] - j.ravel() - 0.5) * resolution
    position = np.stack([x, y, z.ravel().astype(float)], axis=1)
    n = z.size
    return Samples(position, np.tile([0.0, 0.0, 1.0], (n, 1)), np.ones(n), np.arange(n))


def horizons_of(samples, model, resolution=1.0, n_azimuth=32, index=None, owner=None, mesh=NO_MESH):
    ny, nx = model.faces.shape
    index = np.full((ny, nx), -1, np.int32) if index is None else index
    owner = np.full(len(samples.area), -1) if owner is None else owner
    return surface_horizons(samples, owner, mesh, model, index, (0.0, ny * resolution), resolution, 60.0, n_azimuth)


@pytest.mark.parametrize("resolution", [1.0, 0.5])
def test_points_in_the_middle_of_cells_have_the_horizons_of_pixels(resolution):
    z, model = city(resolution)
    want = horizon_tangents(model, ray_tables(list(surface_azimuths(32)), resolution, 60.0))
    got = horizons_of(on_cells(z, resolution), model, resolution).tangent.reshape(want.shape)
    # The same samples; distances go through float64 here and through a float32 table there: one unit in the last place or two.
    np.testing.assert_allclose(got, want, rtol=3e-7, atol=1e-7)
    assert (got > 0.1).mean() > 0.2


def test_crowns_take_as_much_of_the_sky_as_from_pixels():
    z, model = city(trees=True)
    want = sky_view(model, ray_tables(list(surface_azimuths(32)), 1.0, 60.0))
    samples = on_cells(z)
    no_crown = np.isnan(model.crown_top).ravel()  # a pixel under its own crown is another matter
    got = surface_views(samples.normal, horizons_of(samples, model))[:, 0]
    np.testing.assert_allclose(got[no_crown], want.ravel()[no_crown], atol=2e-6)
    bare = sky_view(city()[1], ray_tables(list(surface_azimuths(32)), 1.0, 60.0))
    assert (bare.ravel() - got)[no_crown].mean() > 0.05


def test_what_is_left_out_changes_no_horizon():
    z, model = city(trees=True)
    samples = on_cells(z)
    random = np.random.default_rng(5)
    moved = samples._replace(position=samples.position + random.uniform([-0.5, -0.5, 0], [0.5, 0.5, 20], (z.size, 3)))
    got = horizons_of(moved, model)
    ny, nx = z.shape
    high = np.full((-(-ny // 16), -(-nx // 16)), 1e6, np.float32)  # nothing can be left out
    index = np.full((ny, nx), -1, np.int32)
    endless = model._replace(highest=np.full_like(model.highest, 1e6))
    whole = surface_horizons(moved, np.full(z.size, -1), NO_MESH, endless, index, (0, ny), 1.0, 60.0, 32, high)
    for a, b in zip(got, whole, strict=True):
        np.testing.assert_array_equal(a, b)


def test_any_cut_of_the_points_gives_the_same_bits():
    z, model = city(trees=True)
    samples = on_cells(z)
    whole = horizons_of(samples, model)
    for a, b in ((0, 700), (700, 701), (701, 2000)):
        part = horizons_of(Samples(*(c[a:b] for c in samples)), model)
        for x, y in zip(part, whole, strict=True):
            np.testing.assert_array_equal(x, y[:, a:b])
    assert horizons_of(Samples(*(c[:0] for c in samples)), model).tangent.shape == (32, 0)


def box(x0, x1, y0, y1, z0, z1):
    """Vertices and outward triangles of a box, 12 triangles, two of each face: ground, south, east, north, west, roof."""
    v = np.array([(x, y, z) for z in (z0, z1) for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))], float)
    quads = [(0, 3, 2, 1), (0, 1, 5, 4), (1, 2, 6, 5), (2, 3, 7, 6), (3, 0, 4, 7), (4, 5, 6, 7)]
    t = np.array([tri for a, b, c, d in quads for tri in ((a, b, c), (a, c, d))])
    return v, t


def test_points_add_up_to_area_and_first_moment():
    v, t = box(0, 7, 0, 13, 0, 9)
    s = sample_surfaces(v, t, np.repeat(np.arange(6), 2), largest_area=5.0, most_halvings=6)
    area = np.bincount(s.surface, s.area)
    np.testing.assert_allclose(area, [91, 63, 117, 63, 117, 91], rtol=1e-14)
    np.testing.assert_allclose(np.bincount(s.surface, s.area * s.position[:, 2]) / area, [0, 4.5, 4.5, 4.5, 4.5, 9], atol=1e-12)
    np.testing.assert_allclose(s.normal[s.surface == 1], [(0, -1, 0)] * (s.surface == 1).sum(), atol=1e-15)
    assert s.area.max() <= 5.0
    assert np.bincount(sample_surfaces(v, t, np.repeat(np.arange(6), 2), 0.01).surface).max() == 16  # 8 of a triangle
    # More than four points of a wall stand at different heights: it knows its foot from its head.
    assert len(np.unique(s.position[s.surface == 2, 2].round(6))) >= 4


def test_a_box_does_not_shade_itself():
    v, t = box(0, 7, 0, 13, 0, 9)
    s = sample_surfaces(v, t, np.repeat(np.arange(6), 2))
    edges, first = mesh_edges(t, np.zeros(12, int), 1)
    assert len(edges) == 18
    flat = obstacles(np.zeros((40, 40), np.float32), np.zeros((40, 40), bool), 1.0, 60.0)
    got = horizons_of(s, flat, index=np.zeros((40, 40), np.int32), owner=np.zeros(len(s.area), int), mesh=(v, edges, first))
    assert (got.tangent == 0).all()


def test_a_step_in_the_own_roof_shades_the_lower_roof_exactly():
    # A wall 6 m above a roof, 20 m long, seen from 3 m before its middle: tan h = 6 cos(phi) / 3 while |3 tan phi| < 10.
    low, tl = box(0, 10, 0, 20, 0, 5)
    high, th = box(10, 20, 0, 20, 0, 11)
    v, t = np.concatenate([low, high]), np.concatenate([tl, th + 8])
    edges, first = mesh_edges(t, np.zeros(24, int), 1)
    point = Samples(np.array([[7.0, 10.0, 5.0]]), np.array([[0.0, 0.0, 1.0]]), np.ones(1), np.zeros(1, int))
    model = obstacles(np.zeros((40, 40), np.float32), np.zeros((40, 40), bool), 1.0, 60.0)
    got = horizons_of(point, model, n_azimuth=64, index=np.full((40, 40), 0), owner=np.zeros(1, int), mesh=(v, edges, first))
    angle = surface_azimuths(64) - math.pi / 2
    facing = np.cos(angle) > 0.29  # beyond, the ray passes the end of the wall and meets the far side, 10 m off axis
    want = np.where(np.abs(3 * np.tan(angle)) < 10, 6 * np.cos(angle) / 3, 0)
    np.testing.assert_allclose(got.tangent[facing, 0], want[facing], rtol=1e-6)
    assert (got.tangent[np.cos(angle) < -0.01, 0] == 0).all()


def test_a_wall_passes_its_own_cells_and_meets_those_of_others():
    z = np.zeros((40, 40), np.float32)
    z[10:30, 5:15], z[10:30, 25:35] = 12.0, 9.0
    index = np.full((40, 40), -1, np.int32)
    index[10:30, 5:15], index[10:30, 25:35] = 0, 1
    model = obstacles(z, block_cells(z, index >= 0), 1.0, 60.0)
    v, t = box(5, 15, 10, 30, 0, 12)
    edges, first = mesh_edges(t, np.zeros(12, int), 1)
    point = Samples(np.array([[15.0, 20.0, 3.0]]), np.array([[1.0, 0.0, 0.0]]), np.ones(1), np.zeros(1, int))
    got = horizons_of(point, model, index=index, owner=np.zeros(1, int), mesh=(v, edges, first)).tangent[:, 0]
    assert got[8] == pytest.approx(6 / 10, rel=1e-6)  # due east: 9 m, seen from 3 m up, 10 m away
    assert got[0] == got[16] == 0.0  # along the wall
    assert got[10] == pytest.approx(6 / 10 * math.cos(math.pi / 8), rel=0.03)  # entry edges of cells, not the line of the wall


def test_a_sloping_roof_sees_no_lower_than_its_own_plane():
    slope = math.radians(30)
    point = Samples(
        np.array([[20.0, 20.0, 5.0]]), np.array([[0, -math.sin(slope), math.cos(slope)]]), np.ones(1), np.zeros(1, int)
    )
    model = obstacles(np.zeros((40, 40), np.float32), np.zeros((40, 40), bool), 1.0, 60.0)
    got = horizons_of(point, model).tangent[:, 0]
    assert got[0] == pytest.approx(math.tan(slope), rel=1e-6)
    assert got[16] == 0.0


def test_horizons_longer_than_the_model_was_prepared_for_are_refused():
    z, model = city()
    samples = on_cells(z)
    with pytest.raises(ValueError, match="reach 81 cells, but the obstacles were prepared for 61"):
        surface_horizons(samples, np.full(z.size, -1), NO_MESH, model, np.full((N, N), -1), (0.0, float(N)), 1.0, 80.0)
