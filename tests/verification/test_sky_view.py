"""Sky view against closed forms. The value is that of an upward-facing horizontal receiver at the cell centre."""

import math

import numpy as np
import pytest

from felsina.kernels.radiation.obstacles import block_cells, obstacles
from felsina.kernels.radiation.rays import even_azimuths, ray_tables
from felsina.kernels.radiation.skyview import sky_view


def psi_at(z, building, j, i, n_azimuth, max_distance=1e4, resolution=1.0, trees=(), transmissivity=0.03):
    block = block_cells(z / np.float32(resolution), building)
    city = obstacles(z, block, resolution, max_distance, *trees)
    rays = ray_tables(even_azimuths(n_azimuth), resolution, max_distance)
    return float(sky_view(city, rays, (j, j + 1, i, i + 1), None, transmissivity)[0, 0])


def canyon(height, width, nx=101, ny=1601):
    z = np.zeros((ny, nx), np.float32)
    c = nx // 2
    z[:, : c - width // 2] = height
    z[:, c + width // 2 + 1 :] = height
    return z, z > 0


@pytest.mark.parametrize(("height", "width"), [(10, 21), (20, 21), (30, 15)])
def test_middle_of_a_long_street(height, width):
    z, building = canyon(height, width)
    want = math.cos(math.atan(2 * height / width))
    # 1e-4 of the tolerance is the finite length of the street: 800 m against an endless one
    assert psi_at(z, building, 800, 50, 32) == pytest.approx(want, abs=2e-4)
    assert psi_at(z.T.copy(), building.T.copy(), 50, 800, 32) == pytest.approx(want, abs=2e-4)


def street(i, n_azimuth=None):
    """Sky view of a long street, 20 m high, walls at 39.5 and 60.5 m; with `n_azimuth`, that of the midpoint rule itself.

    A wall of ratio a = H / d gives 1/2 mean of 1 / (1 + a^2 sin^2 phi): 1 / sqrt(1 + a^2) in the limit, and with N directions
    tanh(N/2 asinh(1/a)) times that (sum of the geometric series of the integrand's Fourier coefficients).
    """
    psi = 0.0
    for a in (20 / (i - 39.5), 20 / (60.5 - i)):
        sampled = 1.0 if n_azimuth is None else math.tanh(0.5 * n_azimuth * math.asinh(1 / a))
        psi += 0.5 * sampled / math.sqrt(1 + a * a)
    return psi


def test_off_the_middle_of_a_street():
    z, building = canyon(20, 21)
    for i in (42, 43, 45, 47, 55, 57):
        assert psi_at(z, building, 800, i, 64) == pytest.approx(street(i), abs=2e-4)
    for i in (46, 47, 48, 53, 54):
        assert psi_at(z, building, 800, i, 32) == pytest.approx(street(i), abs=2e-4)


def test_beside_a_wall_the_only_error_is_the_number_of_directions():
    # Half a metre from 20 m of wall the horizon turns by 87 degrees within one of 32 sectors: 0.008, all of it the sampling's.
    z, building = canyon(20, 21)
    for n in (16, 32, 64):
        for i in (40, 41, 42, 60):
            assert psi_at(z, building, 800, i, n) == pytest.approx(street(i, n), abs=2e-4)


@pytest.mark.parametrize("rotation_deg", [10.0, 27.0, 45.0])
def test_a_wall_at_an_angle_to_the_grid(rotation_deg):
    # One endless wall, height H at distance D: psi = (1 + cos atan(H / D)) / 2. The staircase of cells wanders about the line
    # by less than half a cell in 15, and averages out along it; 0.005 is d psi / d D = 0.012 per cell times 0.4 cells.
    n, height, distance, r = 1201, 12.0, 15.0, math.radians(rotation_deg)
    j, i = np.indices((n, n)) - n // 2
    building = i * math.cos(r) + j * math.sin(r) > distance
    z = np.where(building, np.float32(height), np.float32(0))
    want = 0.5 * (1 + math.cos(math.atan(height / distance)))
    assert psi_at(z, building, n // 2, n // 2, 64) == pytest.approx(want, abs=0.005)


def court_error(radius, height, n_azimuth):
    """Error in the middle of a circular court, psi = R^2 / (R^2 + H^2), R that of the disc with the area of its open cells."""
    n = 141
    j, i = np.indices((n, n)) - n // 2
    building = i**2 + j**2 > radius**2
    z = np.where(building, np.float32(height), np.float32(0))
    r2 = (~building).sum() / math.pi
    return psi_at(z, building, n // 2, n // 2, n_azimuth) - r2 / (r2 + height**2)


def test_middle_of_a_circular_court():
    # The edge of the staircase wanders about the circle by half a cell. With 256 directions that averages out; 64 directions
    # are 8 distinct ones by symmetry, and see it: d psi / d R = 0.014 per cell at R = 30, H = 45.
    errors = np.array([[court_error(r, h * r, n) for n in (64, 256)] for r in (15, 20, 30, 44) for h in (0.5, 1.0, 1.5)])
    assert np.abs(errors[:, 1]).max() < 0.001
    assert np.sqrt((errors[:, 0] ** 2).mean()) < 0.002


@pytest.mark.parametrize("slope_deg", [5, 10, 20, 30, 45])
@pytest.mark.parametrize("aspect_deg", [0.0, 33.0])
def test_a_tilted_plane(slope_deg, aspect_deg):
    # Horizontal receiver on a plane of slope b: the plane itself hides (1 - cos b) / 2 of the sky.
    n, b, a = 201, math.radians(slope_deg), math.radians(aspect_deg)
    j, i = np.indices((n, n)) - n // 2
    z = (math.tan(b) * (i * math.cos(a) + j * math.sin(a))).astype(np.float32)
    none = np.zeros((n, n), bool)
    assert psi_at(z, none, n // 2, n // 2, 32) == pytest.approx(0.5 * (1 + math.cos(b)), abs=5e-3)
    assert psi_at(z, none, n // 2, n // 2, 64) == pytest.approx(0.5 * (1 + math.cos(b)), abs=1e-3)


def test_a_street_on_a_slope_is_that_of_the_plane_and_the_walls():
    # Street along the fall line: across it the ground is level, so the walls (12 m above the ground beside them) are cut by the
    # slope alone. Reference: the same integral by quadrature over 3,600 directions of the exact horizon.
    n, half, height, s = 801, 10, 12.0, math.tan(math.radians(15))
    j, i = np.indices((n, n)) - n // 2
    ground = s * j
    building = np.abs(i) > half
    z = np.where(building, ground + height, ground).astype(np.float32)
    phi = (np.arange(3600) + 0.5) * 2 * math.pi / 3600
    along, across = s * np.cos(phi), np.abs(np.sin(phi))
    horizon = np.maximum(0, along)
    horizon = np.maximum(horizon, height * across / (half + 0.5) + along)
    want = np.mean(1 / (1 + horizon**2))
    assert psi_at(z, building, n // 2, n // 2, 64) == pytest.approx(want, abs=5e-3)


def test_resolution_only_scales():
    z, building = canyon(20, 21, ny=401)
    fine = psi_at(z, building, 200, 50, 32)
    assert psi_at((z * np.float32(0.5)), building, 200, 50, 32, resolution=0.5) == pytest.approx(fine, abs=1e-6)


def test_a_closed_crown_ring_passes_its_transmissivity():
    # A crown above the receiver from 10 m to the zenith everywhere: below its base horizon nothing of the far sky is open on a
    # wide disc, so psi tends to tau * 1 + (1 - tau) * psi(gap), gap = sky below the lowest base seen at the disc's edge.
    n, radius, base = 201, 60.0, 6.0
    j, i = np.indices((n, n)) - n // 2
    z = np.zeros((n, n), np.float32)
    crown = i**2 + j**2 <= radius**2
    top = np.where(crown, np.float32(14), np.float32(np.nan))
    low = np.where(crown, np.float32(base), np.float32(np.nan))
    r2 = crown.sum() / math.pi
    gap = 1 - r2 / (r2 + base**2)  # sky below the base seen at the far edge
    for tau in (0.0, 0.03, 0.5, 1.0):
        got = psi_at(z, np.zeros((n, n), bool), 100, 100, 64, trees=(top, low), transmissivity=tau)
        assert got == pytest.approx(gap + tau * (1 - gap), abs=5e-4)
