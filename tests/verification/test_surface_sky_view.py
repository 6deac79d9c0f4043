"""Sky view of walls and grounds between the solids of buildings, against closed forms; the whole chain from mesh and raster."""

import math

import numpy as np
import pytest

from felsina.engine.processes.surface_sun import shade_elements, terrain_model
from felsina.kernels.radiation.surface_horizon import Samples, surface_horizons
from felsina.kernels.radiation.surface_irradiance import surface_views


def prism(x0, x1, y0, y1, z1, building):
    """Surface table rows and mesh of a box on the ground."""
    v = np.array([(x, y, z) for z in (0.0, z1) for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))])
    quads = [(0, 3, 2, 1), (0, 1, 5, 4), (1, 2, 6, 5), (2, 3, 7, 6), (3, 0, 4, 7), (4, 5, 6, 7)]
    t = np.array([tri for a, b, c, d in quads for tri in ((a, b, c), (a, c, d))])
    wx, wy = (x1 - x0) * z1, (y1 - y0) * z1
    area = np.array([(x1 - x0) * (y1 - y0), wx, wy, wx, wy, (x1 - x0) * (y1 - y0)])
    kind, tilt = np.array([0, 1, 1, 1, 1, 2]), np.array([180.0, 90, 90, 90, 90, 0])
    azimuth = np.array([0.0, 180, 90, 0, 270, 0])
    return v, t, np.full(6, building), kind, area, tilt, azimuth


def city(boxes, ny, nx, resolution, max_distance, n_azimuth, largest_area=1.0, party=None):
    z, index = np.zeros((ny, nx), np.float32), np.full((ny, nx), -1, np.int32)
    parts = [prism(*box, b) for b, box in enumerate(boxes)]
    for b, (x0, x1, y0, y1, height) in enumerate(boxes):
        at = (
            slice(round(ny - y1 / resolution), round(ny - y0 / resolution)),
            slice(round(x0 / resolution), round(x1 / resolution)),
        )
        z[at], index[at] = height, b
    terrain = terrain_model(z, np.zeros_like(z), index, (0.0, ny * resolution), resolution, max_distance)
    v = np.concatenate([p[0] for p in parts])
    t = np.concatenate([p[1] + 8 * b for b, p in enumerate(parts)])
    of = np.repeat(np.arange(6 * len(boxes)), 2)
    building, kind, area, tilt, azimuth = (np.concatenate([p[m] for p in parts]) for m in range(2, 7))
    shared = np.zeros_like(area) if party is None else party
    surfaces = (building, kind, area, shared, tilt, azimuth)
    return terrain, surfaces, (v, t, of), shade_elements(terrain, surfaces, (v, t, of), n_azimuth, largest_area=largest_area)


@pytest.mark.parametrize(("height", "width"), [(10, 10), (20, 10), (6, 15)])
def test_wall_of_an_endless_street(height, width):
    # Mean sky view of a wall: 1/2 (1 + r - sqrt(1 + r^2)) / r with r = H / W; at height z: (1 - sin atan((H - z) / W)) / 2.
    length = 600
    boxes = [(0, 8, 0, length, height), (8 + width, 16 + width, 0, length, height)]
    _, _, _, (elements, _) = city(boxes, length, 16 + width, 1.0, 400.0, 64, largest_area=2.0)
    r = height / width
    # A strip in the middle of the street would be endless; the mean over 600 m has two ends, 2 H / 600 of the wall.
    wall = elements.of_surface[2]
    assert (elements.building[wall], elements.sector[wall]) == (0, 2)
    want = 0.5 * (1 + r - math.sqrt(1 + r * r)) / r
    # Two ends of half a street: (1/2 - want) / 2 over a length of about W each.
    assert elements.views[wall, 0] == pytest.approx(want, abs=0.004 + (0.5 - want) * width / length)
    back = elements.of_surface[4]
    assert elements.views[back, 0] == pytest.approx(0.5, abs=1e-12)
    roof = elements.of_surface[5]
    assert elements.views[roof, 0] == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("z", [0.5, 5.0, 9.5])
def test_point_of_a_wall_across_an_endless_street(z):
    height, width, length = 10, 12, 800
    terrain, _, _, _ = city(
        [(0, 8, 0, length, height), (8 + width, 16 + width, 0, length, height)], length, 28, 1.0, 400.0, 8, 400.0
    )
    point = Samples(np.array([[8.0, length / 2, z]]), np.array([[1.0, 0.0, 0.0]]), np.ones(1), np.zeros(1, int))
    none = (np.zeros((0, 3)), np.zeros((0, 2), int), np.zeros(3, int))
    horizons = surface_horizons(
        point, [0], none, terrain.city, terrain.building_index, (0.0, float(length)), 1.0, 400.0, 64, terrain.tops
    )
    views = surface_views(point.normal, horizons)[0]
    want = 0.5 * (1 - math.sin(math.atan((height - z) / width)))
    # A row of cells along the grid is met at its face: what is left is 64 azimuths and the end of the street.
    assert views[0] == pytest.approx(want, abs=0.002)
    assert views[3] == pytest.approx(0.5 - want, abs=0.002)


def test_ground_of_a_square_court():
    # A level point under the middle of a square opening of side 2 a at height h, four corners of (1 / 2 pi) 2 X atan X each
    # (Howell, configuration B-3: element and rectangle, corner over the element): X = a / sqrt(a^2 + h^2).
    a, h = 10.0, 12.0
    boxes = [(0, 10, 0, 40, h), (30, 40, 0, 40, h), (10, 30, 0, 10, h), (10, 30, 30, 40, h)]
    terrain, _, _, _ = city(boxes, 160, 160, 0.25, 60.0, 8, 400.0)
    point = Samples(np.array([[20.0, 20.0, 0.0]]), np.array([[0.0, 0.0, 1.0]]), np.ones(1), np.zeros(1, int))
    none = (np.zeros((0, 3)), np.zeros((0, 2), int), np.zeros(1, int))
    horizons = surface_horizons(
        point, [-1], none, terrain.city, terrain.building_index, (0.0, 40.0), 0.25, 60.0, 64, terrain.tops
    )
    x = a / math.sqrt(a * a + h * h)
    want = 4 * 2 * x * math.atan(x) / (2 * math.pi)
    assert surface_views(point.normal, horizons)[0, 0] == pytest.approx(want, abs=0.003)


def test_what_a_neighbour_covers_counts_neither_as_area_nor_as_shade():
    # Two houses wall to wall, 12 m and 6 m: half of the higher one's east wall is shared.
    boxes = [(10, 20, 10, 30, 12.0), (20, 30, 10, 30, 6.0)]
    party = np.zeros(12)
    party[2] = party[10] = 120.0
    _, surfaces, _, (elements, _) = city(boxes, 40, 40, 1.0, 60.0, 32, party=party)
    east = elements.of_surface[2]
    assert elements.area[east] == pytest.approx(120.0, rel=1e-12)
    # The exposed half looks over the lower roof: an open wall.
    assert elements.views[east, 0] == pytest.approx(0.5, abs=1e-9)
    assert elements.of_surface[10] == -1  # wholly shared
    exposed = surfaces[2] - party
    assert elements.area.sum() == pytest.approx(exposed[surfaces[1] > 0].sum(), rel=1e-12)
