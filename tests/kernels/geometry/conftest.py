"""Polygons for the geometry tests (flat arrays from lists of rings, random ones, the footprints of Delft), and drawn solids."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from felsina.kernels.geometry.extrusion import GROUND, ROOF, WALL
from felsina.kernels.geometry.roof_solid import RoofSolid


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


def solid_under(faces, ground=0):
    """Return the solid under roof faces given as lists of (x, y, z) [mm], anticlockwise from above, above a level ground.

    Where two faces have an edge at different heights a wall is between them.
    """
    numbers: dict[tuple[int, int, int], int] = {}

    def number(x, y, z):
        return numbers.setdefault((int(x), int(y), int(z)), len(numbers))

    edges = {}
    for face in faces:
        for v, w in zip(face, face[1:] + face[:1], strict=True):
            edges[v[:2], w[:2]] = (v[2], w[2])
    rings, kinds, sources = [], [], []
    around = {v: w for v, w in edges if (w, v) not in edges}
    while around:  # the ground looks down
        first = next(iter(around))
        loop = [first]
        while (following := around.pop(loop[-1])) != first:
            loop.append(following)
        rings.append([number(*v, ground) for v in loop[::-1]])
    n_ground = len(rings)
    for (v, w), (zv, zw) in edges.items():
        lv, lw = edges[w, v][::-1] if (w, v) in edges else (ground, ground)
        if lv + lw >= zv + zw:
            continue
        ring = [number(*v, lv), number(*w, lw), number(*w, zw), number(*v, zv)]
        rings.append([p for k, p in enumerate(ring) if p != ring[k - 1]])
        kinds.append(WALL)
        sources.append(-1 if (w, v) in edges else len(sources))
    rings += [[number(*v) for v in face] for face in faces]
    kinds, sources = [GROUND, *kinds, *[ROOF] * len(faces)], [-1, *sources, *[-1] * len(faces)]
    offsets = np.cumsum([0, *map(len, rings)]).astype(np.int64)
    of_face = np.concatenate(([0], np.arange(n_ground, len(rings) + 1))).astype(np.int64)
    vertices = np.array(list(numbers), np.int64)
    corners = np.concatenate([np.array(r, np.int64) for r in rings])
    none = np.full(len(kinds), -1, np.int64)
    return RoofSolid(vertices, corners, offsets, of_face, np.array(kinds, np.int8), none, np.array(sources, np.int64))


@pytest.fixture
def make_solid():
    return solid_under


def _hipped(w, d, eaves, rise, inset):
    """Return the faces of a hipped roof w x d [mm]: the ridge, along x, begins `inset` from the ends."""
    a, b, c, e = (0, 0, eaves), (w, 0, eaves), (w, d, eaves), (0, d, eaves)
    p, q = (inset, d // 2, eaves + rise), (w - inset, d // 2, eaves + rise)
    if p == q:
        return [[a, b, p], [b, c, p], [c, e, p], [e, a, p]]
    return [[a, b, q, p], [b, c, q], [c, e, p, q], [e, a, p]]


def _mansard():
    """Return the faces of a mansard roof 12 m x 8 m: 1 m in plan at 3 : 1, then a hip of 1 : 3."""
    low = [(0, 0, 3000), (12000, 0, 3000), (12000, 8000, 3000), (0, 8000, 3000)]
    high = [(1000, 1000, 6000), (11000, 1000, 6000), (11000, 7000, 6000), (1000, 7000, 6000)]
    steep = [[low[k], low[k - 3], high[k - 3], high[k]] for k in range(4)]
    a, b, c, e = high
    p, q = (4000, 4000, 7000), (8000, 4000, 7000)
    return [*steep, [a, b, q, p], [b, c, q], [c, e, p, q], [e, a, p]]


@pytest.fixture
def roofs():
    """Roofs of each type as lists of faces."""
    x, y = 12000, 8000
    return {
        "flat": [[(0, 0, 3000), (x, 0, 3000), (x, y, 3000), (0, y, 3000)]],
        "two levels": [
            [(0, 0, 3000), (4000, 0, 3000), (4000, y, 3000), (0, y, 3000)],
            [(4000, 0, 6000), (x, 0, 6000), (x, y, 6000), (4000, y, 6000)],
        ],
        "monopitch": [[(0, 0, 3000), (x, 0, 3000), (x, y, 6000), (0, y, 6000)]],
        "gabled": [
            [(0, 0, 3000), (x, 0, 3000), (x, 4000, 6000), (0, 4000, 6000)],
            [(0, 4000, 6000), (x, 4000, 6000), (x, y, 3000), (0, y, 3000)],
        ],
        "hipped": _hipped(x, y, 3000, 3000, 4000),
        "long hipped": _hipped(40000, y, 3000, 3000, 4000),
        "pavilion": _hipped(y, y, 3000, 3000, 4000),
        "oblong pavilion": _hipped(x, y, 3000, 3000, 6000),
        "mansard": _mansard(),
        # Arms of 20 m, 8 m wide, along both axes: a hip over the outer corner, a valley over the inner one, two gables.
        "gabled L": [
            [(0, 0, 3000), (20000, 0, 3000), (20000, 4000, 6000), (4000, 4000, 6000)],
            [(4000, 4000, 6000), (20000, 4000, 6000), (20000, 8000, 3000), (8000, 8000, 3000)],
            [(4000, 4000, 6000), (8000, 8000, 3000), (8000, 20000, 3000), (4000, 20000, 6000)],
            [(0, 0, 3000), (4000, 4000, 6000), (4000, 20000, 6000), (0, 20000, 3000)],
        ],
        # The end of a row: a hip at the east, a gable at the west.
        "hip at one end": [
            [(0, 0, 3000), (x, 0, 3000), (8000, 4000, 6000), (0, 4000, 6000)],
            [(0, 4000, 6000), (8000, 4000, 6000), (x, y, 3000), (0, y, 3000)],
            [(x, 0, 3000), (x, y, 3000), (8000, 4000, 6000)],
        ],
        # A gable with a level part as long beside it.
        "gable and flat": [
            [(0, 0, 3000), (x, 0, 3000), (x, 4000, 6000), (0, 4000, 6000)],
            [(0, 4000, 6000), (x, 4000, 6000), (x, y, 3000), (0, y, 3000)],
            [(x, 0, 2500), (2 * x, 0, 2500), (2 * x, y, 2500), (x, y, 2500), (x, 4000, 2500)],
        ],
        # A pyramid on eight sides.
        "tent": [
            [(-2000, -5000, 3000), (2000, -5000, 3000), (0, 0, 9000)],
            [(2000, -5000, 3000), (5000, -2000, 3000), (0, 0, 9000)],
            [(5000, -2000, 3000), (5000, 2000, 3000), (0, 0, 9000)],
            [(5000, 2000, 3000), (2000, 5000, 3000), (0, 0, 9000)],
            [(2000, 5000, 3000), (-2000, 5000, 3000), (0, 0, 9000)],
            [(-2000, 5000, 3000), (-5000, 2000, 3000), (0, 0, 9000)],
            [(-5000, 2000, 3000), (-5000, -2000, 3000), (0, 0, 9000)],
            [(-5000, -2000, 3000), (-2000, -5000, 3000), (0, 0, 9000)],
        ],
    }
