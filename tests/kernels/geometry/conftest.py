"""Polygons for the geometry tests: flat arrays from lists of rings, random ones, and the footprints of Delft."""

from __future__ import annotations

import numpy as np
import pytest
import shapely


def flat(polygons):
    """Return xy, ring_offsets, polygon_offsets of polygons given as lists of rings of (x, y) [mm]."""
    rings = [np.asarray(ring, np.int64) for polygon in polygons for ring in polygon]
    ring_offsets = np.cumsum([0, *(len(r) for r in rings)]).astype(np.int64)
    polygon_offsets = np.cumsum([0, *(len(p) for p in polygons)]).astype(np.int64)
    return np.concatenate(rings), ring_offsets, polygon_offsets


def star(random, n, size=20000, centre=(0, 0)):
    """Return a random star-shaped ring of n vertices, anticlockwise."""
    angle = np.sort(random.uniform(0, 2 * np.pi, n))
    radius = random.uniform(0.3, 1.0, n) * size
    return np.rint(np.stack((centre[0] + radius * np.cos(angle), centre[1] + radius * np.sin(angle)), 1)).astype(np.int64)


@pytest.fixture
def make_flat():
    return flat


@pytest.fixture
def random_polygons():
    """Valid random polygons with holes, as lists of rings; holes are small squares well inside."""
    random = np.random.default_rng(7)
    made = []
    while len(made) < 200:
        ring = star(random, int(random.integers(3, 40)), centre=random.integers(-50000, 50000, 2))
        shape = shapely.Polygon(ring)
        if not shape.is_valid or shapely.Polygon(ring).exterior.is_ccw is False:
            continue
        rings = [ring]
        inner = shape.buffer(-300)
        for _ in range(int(random.integers(0, 5))):
            x, y = random.integers(shape.bounds[:2], np.array(shape.bounds[2:]) + 1)
            s = int(random.integers(50, 900))
            hole = np.array([(x, y), (x, y + s), (x + s, y + s), (x + s, y)])  # clockwise
            square = shapely.Polygon(hole)
            if inner.contains(square) and all(shapely.Polygon(r).distance(square) > 1 for r in rings[1:]):
                rings.append(hole)
        made.append(rings)
    return made


@pytest.fixture(scope="session")
def delft(felsina_data):
    """Footprints of Delft as flat arrays, and their identifiers."""
    from felsina.engine.io.vector import read_footprints

    path = felsina_data / "lidar" / "3dfier_delft_ahn3" / "bgt_pand.sqlite"
    if not path.exists():
        pytest.skip("no Delft footprints")
    return read_footprints(path, "EPSG:28992", "gml_id").polygons()
