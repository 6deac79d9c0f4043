"""Beam shadow against closed forms: H / tan(alpha) on the level and on a slope, crowns, and the share of an interval."""

import math

import numpy as np
import pytest

from felsina.kernels.radiation.obstacles import block_cells, obstacles
from felsina.kernels.radiation.rays import ray_tables
from felsina.kernels.radiation.shadow import shadow_fraction, sun_visible

FAR = 2000.0  # m, longest shadow


def light_of(z, block, azimuth, elevation, trees=(), transmissivity=0.03):
    """Return the share of the beam on cells of one metre."""
    return sun_visible(
        obstacles(z, block, 1.0, FAR, *trees), ray_tables([azimuth], 1.0, FAR), elevation, None, None, transmissivity
    )


@pytest.mark.parametrize("elevation_deg", [5, 12, 30, 45, 60, 80])
@pytest.mark.parametrize("side", ["north", "east", "south", "west"])
def test_shadow_length_of_a_wall(elevation_deg, side):
    azimuth = {"north": 0.0, "east": 0.5 * math.pi, "south": math.pi, "west": 1.5 * math.pi}[side]
    turns = {"east": 0, "north": 1, "west": 2, "south": 3}[side]
    z = np.zeros((5, 401), np.float32)
    z[:, 380:] = 20.0  # the wall stands in the east, its face at the edge of column 380
    z = np.ascontiguousarray(np.rot90(z, turns))
    light = light_of(z, block_cells(z, z > 0), azimuth, math.radians(elevation_deg))
    line = np.rot90(light, -turns)[2, :380]
    length = 20.0 / math.tan(math.radians(elevation_deg))
    assert (line == 0).sum() == pytest.approx(min(380, length), abs=1.0)
    assert (np.diff(line) <= 0).all()  # lit far away, shaded next to the wall, one edge between


def test_shadow_length_at_an_angle():
    # Sun at 30 degrees to the wall's normal: across the wall the shadow is shorter by the cosine.
    z = np.zeros((401, 201), np.float32)
    z[:, 180:] = 20.0
    light = light_of(z, block_cells(z, z > 0), math.radians(60), math.radians(20))
    length = 20.0 / math.tan(math.radians(20)) * math.cos(math.radians(30))
    assert (light[300, :180] == 0).sum() == pytest.approx(length, abs=1.0)


def test_shadow_on_a_slope():
    # Ground rises with slope s towards the sun and the wall's top is level: length L solves H - L s = L tan(alpha).
    s, alpha, height = 0.2, math.radians(35), 20.0
    x = np.arange(301) - 260.5 + 0.5
    z = np.tile(np.where(x > 0, height, s * x), (5, 1)).astype(np.float32)
    building = np.tile(x > 0, (5, 1))
    light = light_of(z, block_cells(z, building), 0.5 * math.pi, alpha)
    got = (light[2, :260] == 0).sum()
    assert got == pytest.approx(height / (math.tan(alpha) - s), abs=1.5)


def test_a_plane_shades_itself_only_when_steeper_than_the_sun():
    i = np.arange(80, dtype=np.float32)
    z = np.tile(i * np.float32(math.tan(math.radians(30))), (80, 1))
    none = np.zeros(z.shape, bool)
    assert (light_of(z, none, math.pi / 2, math.radians(31)) == 1).all()
    assert (light_of(z, none, math.pi / 2, math.radians(29))[:, :70] == 0).all()
    assert (light_of(z, none, 1.5 * math.pi, math.radians(5)) == 1).all()


def test_a_crown_dims_between_its_base_and_its_top():
    z = np.zeros((3, 120), np.float32)
    top, base = np.full_like(z, np.nan), np.full_like(z, np.nan)
    top[:, 100:104], base[:, 100:104] = 12.0, 4.0
    light = light_of(z, np.zeros(z.shape, bool), math.pi / 2, math.radians(30), (top, base), 0.25)[1]
    slope = math.tan(math.radians(30))
    far, near = 12.0 / slope, 4.0 / slope  # the beam meets the near face under 12 m, leaves the far face above 4 m
    for i in range(100):
        distance = 99.5 - i
        if abs(distance - far) > 1 and abs(distance + 4 - near) > 1:
            assert light[i] == (0.25 if near - 4 < distance < far else 1.0)
    # Behind the crown, and right under it (the beam comes in below its base at the near edge, at most 4 m away).
    assert (light[100:] == 1).all()


def test_shadow_fraction_is_the_weighted_mean_of_the_steps():
    z = np.zeros((3, 60), np.float32)
    z[:, 50:] = 10.0
    block = block_cells(z, z > 0)
    elevations = np.radians([20.0, 45.0, 70.0, -3.0])
    azimuths = np.full(4, math.pi / 2)
    weights = np.array([1.0, 2.0, 5.0, 100.0])
    fraction = shadow_fraction(obstacles(z, block, 1.0, FAR), ray_tables(azimuths, 1.0, FAR), elevations, weights)[1]
    dark = [1.0 - light_of(z, block, math.pi / 2, float(e))[1] for e in elevations[:3]]
    np.testing.assert_allclose(fraction, (dark[0] + 2 * dark[1] + 5 * dark[2]) / 8, atol=1e-6)
    assert fraction[49] == pytest.approx(1.0) and fraction[5] == 0
