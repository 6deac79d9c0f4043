"""Elements of buildings: areas exact, irradiance area-weighted, any set of buildings alike; shading of representative days."""

import math

import numpy as np
import pytest

from felsina.engine.processes.surface_sun import (
    ROOF,
    WALL,
    covered_points,
    element_irradiance,
    element_keys,
    representative_steps,
    shade_elements,
    terrain_model,
    year_shading,
    zone_geometry,
)
from felsina.kernels.radiation.surface_horizon import sample_surfaces
from felsina.kernels.radiation.transposition import mean_sky, sky_states, tilted_irradiance

LATITUDE, LONGITUDE = math.radians(44.49), math.radians(11.34)
HOURS = (
    5479.5 - LONGITUDE / (2 * math.pi) - 1 + np.arange(1, 24 * 60 + 1) / 24
)  # sixty days from 1 January 2015, local solar time
SIDE = 60


def house(x0, x1, y0, y1, eaves, ridge):
    """A gable house with its ridge along y: faces as (kind, vertices anticlockwise from outside)."""
    m = 0.5 * (x0 + x1)
    south = [(x0, y0, 0), (x1, y0, 0), (x1, y0, eaves), (m, y0, ridge), (x0, y0, eaves)]
    north = [(x, y1, z) for x, _, z in south]
    return [
        (0, [south[0], north[0], north[1], south[1]]),
        (1, south),
        (1, north[::-1]),
        (1, [south[1], north[1], north[2], south[2]]),
        (2, [south[2], north[2], north[3], south[3]]),
        (2, [south[3], north[3], north[4], south[4]]),
        (1, [south[4], north[4], north[0], south[0]]),
    ]


def tables(houses):
    """Surface table and mesh of houses."""
    vertices, triangles, of = [], [], []
    rows = []
    for b, faces in enumerate(houses):
        place = {}
        for kind, ring in faces:
            corners = np.array(ring, float)
            normal = sum(np.cross(corners[k] - corners[0], corners[k + 1] - corners[0]) for k in range(1, len(ring) - 1)) / 2
            area = np.linalg.norm(normal)
            tilt, azimuth = np.degrees(np.arccos(normal[2] / area)), np.degrees(np.arctan2(normal[0], normal[1])) % 360
            at = []
            for p in ring:
                if p not in place:
                    place[p] = len(vertices)
                    vertices.append(p)
                at.append(place[p])
            triangles += [(at[0], at[k], at[k + 1]) for k in range(1, len(ring) - 1)]
            of += [len(rows)] * (len(ring) - 2)
            rows.append((b, kind, area, 0.0, tilt, azimuth))
    return tuple(np.array(c) for c in zip(*rows, strict=True)), (np.array(vertices, float), np.array(triangles), np.array(of))


@pytest.fixture(scope="module")
def village():
    random = np.random.default_rng(3)
    houses, z, index = [], np.zeros((2 * SIDE, 2 * SIDE), np.float32), np.full((2 * SIDE, 2 * SIDE), -1, np.int32)
    for j in range(3):
        for i in range(3):
            x0, y0 = 5 + 18 * i, 5 + 18 * j
            eaves = random.uniform(4, 12)
            houses.append(house(x0, x0 + 10, y0, y0 + 12, eaves, eaves + 3))
            at = slice(2 * (SIDE - y0 - 12), 2 * (SIDE - y0)), slice(2 * x0, 2 * x0 + 20)
            z[at], index[at] = eaves + 1.5, len(houses) - 1
    terrain = terrain_model(z, np.zeros_like(z), index, (0.0, float(SIDE)), 0.5, 100.0)
    return terrain, *tables(houses)


@pytest.fixture(scope="module")
def sky():
    up = np.maximum(0, np.sin((np.arange(24 * 60) % 24 - 6.5) / 12 * math.pi))
    return sky_states(HOURS, 3600.0, LATITUDE, LONGITUDE, 600 * up, 100 * up, 300 * up, 0.2)


def test_areas_of_elements_are_those_of_their_surfaces(village):
    terrain, surfaces, mesh = village
    elements, points = shade_elements(terrain, surfaces, mesh)
    in_element = elements.of_surface >= 0
    assert (in_element == (surfaces[1] > 0)).all()
    area = np.bincount(elements.of_surface[in_element], surfaces[2][in_element])
    np.testing.assert_allclose(elements.area, area, rtol=1e-12)
    assert len(elements.area) == 9 * 6  # four walls and two roofs of each house
    assert set(elements.kind) == {WALL, ROOF}
    np.testing.assert_array_equal(np.sort(elements.building), elements.building)
    np.testing.assert_allclose(np.add.reduceat(points.weight, points.first[:-1]), 1.0, rtol=1e-12)


def test_light_of_an_element_is_the_area_weighted_light_of_its_surfaces(village, sky):
    terrain, surfaces, mesh = village
    _, _, area, _, tilt, azimuth = surfaces
    flat = terrain_model(np.zeros((8, 8), np.float32), np.zeros((8, 8), np.float32), np.full((8, 8), -1), (0.0, 8.0), 1.0, 50.0)
    # Nothing stands around: the sum over elements of area x light is that of the unshaded surfaces, to the float32 of the beam.
    elements, points = shade_elements(flat, surfaces, mesh)
    got = element_irradiance(sky, points, elements)[8:20] @ elements.area
    used = surfaces[1] > 0
    want = tilted_irradiance(sky, np.radians(tilt[used]), np.radians(azimuth[used]))[8:20] @ area[used]
    np.testing.assert_allclose(got, want, rtol=2e-6)
    shaded, shade = shade_elements(terrain, surfaces, mesh)
    less = element_irradiance(sky, shade, shaded)[8:20] @ shaded.area
    assert (less[:11] < 0.95 * want[:11]).all()


def test_any_set_of_whole_buildings_gives_the_same_bits(village):
    terrain, surfaces, mesh = village
    whole, points = shade_elements(terrain, surfaces, mesh)
    shading = year_shading(points, whole.normal, HOURS, 3600.0, LATITUDE, LONGITUDE)
    for chosen in ([0], [3, 4], [8, 2, 5]):
        rows = np.isin(surfaces[0], chosen)
        renumbered = np.cumsum(rows) - 1
        of = np.where(rows[mesh[2]], renumbered[mesh[2]], -1)
        part, own = shade_elements(terrain, tuple(c[rows] for c in surfaces), (mesh[0], mesh[1], of))
        same = np.isin(whole.building, chosen)
        for name in ("building", "kind", "sector", "area", "normal", "views"):
            np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[same])
        got = year_shading(own, part.normal, HOURS, 3600.0, LATITUDE, LONGITUDE)
        np.testing.assert_array_equal(got.projected, shading.projected[:, same])


def test_representative_days_stay_close_to_every_days_own_sun(village, sky):
    terrain, surfaces, mesh = village
    elements, points = shade_elements(terrain, surfaces, mesh)
    want = element_irradiance(sky, points, elements)
    mean = mean_sky(sky)
    v = elements.views
    diffuse = np.maximum(np.outer(mean[:, 4], v[:, 0]) + np.outer(mean[:, 5], v[:, 1]), 0) + np.outer(mean[:, 6], v[:, 4])
    off = {}
    for days in (1, 7):
        shading = year_shading(points, elements.normal, HOURS, 3600.0, LATITUDE, LONGITUDE, days)
        direct = np.where(shading.row[:, None] >= 0, shading.projected[shading.row], 0) * mean[:, 3:4]
        off[days] = direct + diffuse - want
        # Sums over two months: the path of the sun rises all along, so 7 days cancel within their block only.
        np.testing.assert_allclose((direct + diffuse).sum(axis=0), want.sum(axis=0), rtol=0.01 if days == 1 else 0.02)
    rms = {d: math.sqrt((e[want > 1] ** 2).mean()) for d, e in off.items()}
    # One day: what is left is the beam's strength within the hour, which here changes with the circumsolar light alone.
    assert rms[1] < 3.0
    assert rms[7] < 8.0


def test_the_numbers_of_a_zone_are_those_of_the_transposition_in_the_open():
    surfaces, mesh = tables([house(20, 30, 20, 32, 6, 9)])
    flat = terrain_model(np.zeros((8, 8), np.float32), np.zeros((8, 8), np.float32), np.full((8, 8), -1), (0.0, 8.0), 1.0, 50.0)
    elements, _ = shade_elements(flat, surfaces, mesh)
    numbers = zone_geometry(elements)
    up = numbers[:, 2]
    np.testing.assert_allclose(numbers[:, 3], 0.5 * (1 + up), atol=1e-12)
    np.testing.assert_allclose(numbers[:, 4], np.sqrt(1 - up**2), atol=1e-12)
    np.testing.assert_allclose(numbers[:, 5], 0.5 * (1 - up), atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(numbers[:, :3], axis=1), 1.0, rtol=1e-12)


def test_steps_take_the_sun_of_the_middle_day_that_has_one():
    is_day = np.zeros((9, 4), bool)
    is_day[:, 1:3] = True
    is_day[5, 3] = True
    row, chosen = representative_steps(is_day.ravel(), 4, 3)
    assert chosen.tolist() == [5, 6, 17, 18, 23, 29, 30]
    assert row.reshape(9, 4)[:, 0].tolist() == [-1] * 9
    assert row.reshape(9, 4)[5].tolist() == [-1, 2, 3, 4]
    assert row.reshape(9, 4)[8].tolist() == [-1, 5, 6, -1]


def test_surfaces_fall_into_eight_azimuths_and_three_tilts():
    key = element_keys([0] * 8, [1, 1, 1, 2, 2, 2, 0, 1], [90, 90, 90, 0, 30, 30, 180, 95], [0, 22, 23, 77, 180, 359, 0, 337.4])
    sector, level = key % 8, key // 8 % 3
    assert sector[:6].tolist() == [0, 0, 1, 0, 4, 0]
    assert level[:6].tolist() == [2, 2, 2, 0, 1, 1]
    assert key[6] == -1
    assert sector[7] == 7


def test_a_wall_behind_a_higher_neighbour_is_covered():
    index = np.full((20, 20), -1, np.int32)
    z = np.zeros((20, 20), np.float32)
    index[:, :10], index[:, 10:] = 0, 1
    z[:, :10], z[:, 10:] = 12, 6
    terrain = terrain_model(z, np.zeros_like(z), index, (0.0, 20.0), 1.0, 50.0)
    wall = np.array([(10, 0, 0), (10, 20, 0), (10, 20, 12), (10, 0, 12)], float)
    samples = sample_surfaces(wall, [(0, 1, 2), (0, 2, 3)], [0, 0], 4.0)
    hidden = covered_points(samples, np.zeros(len(samples.area), np.int64), terrain)
    np.testing.assert_array_equal(hidden, samples.position[:, 2] < 6)
