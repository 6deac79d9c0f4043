"""Shapes of houses: convex footprints under roof planes, heights above the mean ground of the building.

A prism is four corners, counter-clockwise (a triangle repeats its last), and a plane z = a x + b y + c. Points are (x, y) pairs
of plain floats: with square roots as the only function, the same seed gives the same bits everywhere.
"""

from __future__ import annotations

import math
from typing import NamedTuple

Point = tuple[float, float]
Plane = tuple[float, float, float]


class Prism(NamedTuple):
    """Four corners [m] and the plane on top [m above the mean ground of the building]."""

    ring: tuple[Point, Point, Point, Point]
    plane: Plane


class Body(NamedTuple):
    """What stands between four corners [m]: the planes of top and underside, None on the ground [m above mean ground]."""

    ring: tuple[Point, Point, Point, Point]
    plane: Plane
    base: Plane | None = None


def between(a: tuple[Point, Point], b: tuple[Point, Point], d0: float, d1: float) -> tuple[Point, Point, Point, Point]:
    """Return the ring between two lines across a strip and two shares of its depth, counted from the street."""
    return along(*a, d0), along(*b, d0), along(*b, d1), along(*a, d1)


def along(p: Point, q: Point, t: float) -> Point:
    """Return the point at share `t` of the way from p to q."""
    return p[0] + t * (q[0] - p[0]), p[1] + t * (q[1] - p[1])


def direction(p: Point, q: Point) -> Point:
    """Return the unit vector from p to q."""
    dx, dy = q[0] - p[0], q[1] - p[1]
    length = math.sqrt(dx * dx + dy * dy)
    return dx / length, dy / length


def left(e: Point) -> Point:
    """Return a vector turned left by a right angle: inwards for the side of a counter-clockwise ring."""
    return -e[1], e[0]


def moved(p: Point, e: Point, s: float) -> Point:
    """Return p moved by s [m] along the unit vector e."""
    return p[0] + s * e[0], p[1] + s * e[1]


def rising(edge: Point, normal: Point, eaves: float, slope: float) -> Plane:
    """Return the roof plane of height `eaves` [m] on the line through `edge`, rising by `slope` [1] along `normal`."""
    return slope * normal[0], slope * normal[1], eaves - slope * (normal[0] * edge[0] + normal[1] * edge[1])


def inset(ring: list[Point], distance: list[float]) -> list[Point]:
    """Return a convex ring with side k (from corner k to k + 1) moved inwards by `distance[k]` [m]."""
    n = len(ring)
    sides = []
    for k in range(n):
        e = direction(ring[k], ring[(k + 1) % n])
        sides.append((moved(ring[k], left(e), distance[k]), e))
    corners = []
    for k in range(n):
        (p, e), (q, f) = sides[k - 1], sides[k]
        cross = e[0] * f[1] - e[1] * f[0]
        corners.append(moved(p, e, ((q[0] - p[0]) * f[1] - (q[1] - p[1]) * f[0]) / cross))
    return corners


class Strip(NamedTuple):
    """A row of lots between the street line (outer) and a line parallel to it at `depth` [m] (inner)."""

    outer: tuple[Point, Point]
    inner: tuple[Point, Point]
    depth: float

    @property
    def length(self) -> float:
        """Length along the street [m]."""
        e = direction(*self.outer)
        return (self.outer[1][0] - self.outer[0][0]) * e[0] + (self.outer[1][1] - self.outer[0][1]) * e[1]

    def lot(self, t0: float, t1: float) -> list[Point]:
        """Return the ring of the lot between two shares of the strip."""
        return [along(*self.outer, t0), along(*self.outer, t1), along(*self.inner, t1), along(*self.inner, t0)]

    def across(self, t: float) -> tuple[Point, Point]:
        """Return the ends, on the street and inside, of the line at a share of the strip that walls between lots follow."""
        return along(*self.outer, t), along(*self.inner, t)

    def square(self, t: float) -> tuple[Point, Point]:
        """Return the ends of the line at right angles to the street."""
        p = along(*self.outer, t)
        return p, moved(p, left(direction(*self.outer)), self.depth)

    def prisms(self, t0: float, t1: float, eaves: float, slope: float) -> list[Prism]:
        """Return a house over a lot: ridge at mid-depth, parallel to the street; slope 0 is a flat roof."""
        p0, p1, q1, q0 = self.lot(t0, t1)
        m0, m1 = along(p0, q0, 0.5), along(p1, q1, 0.5)
        normal = left(direction(*self.outer))
        away = -normal[0], -normal[1]
        street = Prism((p0, p1, m1, m0), rising(self.outer[0], normal, eaves, slope))
        return [street, Prism((m0, m1, q1, q0), rising(self.inner[0], away, eaves, slope))]


def rectangle(centre: Point, e: Point, a: float, b: float) -> tuple[Point, Point, Point, Point]:
    """Return the ring of a rectangle of half-lengths a along the unit vector e and b across it [m]."""
    n = left(e)
    low, high = moved(centre, n, -b), moved(centre, n, b)
    return moved(low, e, -a), moved(low, e, a), moved(high, e, a), moved(high, e, -a)


def flat_roof(centre: Point, e: Point, a: float, b: float, height: float) -> list[Prism]:
    """Return a box."""
    return [Prism(rectangle(centre, e, a, b), (0.0, 0.0, height))]


def gabled_roof(centre: Point, e: Point, a: float, b: float, eaves: float, slope: float) -> list[Prism]:
    """Return a house with a ridge along e."""
    r0, r1, r2, r3 = rectangle(centre, e, a, b)
    k0, k1 = along(r0, r3, 0.5), along(r1, r2, 0.5)
    n = left(e)
    return [
        Prism((r0, r1, k1, k0), rising(r0, n, eaves, slope)),
        Prism((k0, k1, r2, r3), rising(r3, (-n[0], -n[1]), eaves, slope)),
    ]


def overhung(faces: list[Prism], eaves: float, rake: float, thickness: float) -> list[Body]:
    """Return the two plates of a gabled roof, which reach `eaves` over its long walls and `rake` over its gables [m].

    The faces are those of `gabled_roof` or of `Strip.prisms`: the first starts at its wall, the second ends there.
    """
    plates = []
    for k, (ring, plane) in enumerate(faces):
        e = direction(ring[0], ring[1])
        away = left(e) if k else (e[1], -e[0])
        wide = list(ring)
        for i in (2, 3) if k else (0, 1):
            wide[i] = moved(wide[i], away, eaves)
        for i, sign in enumerate((-1.0, 1.0, 1.0, -1.0)):
            wide[i] = moved(wide[i], e, sign * rake)
        below = plane[0], plane[1], plane[2] - thickness
        plates.append(Body((wide[0], wide[1], wide[2], wide[3]), plane, below))
    return plates


def hipped_roof(centre: Point, e: Point, a: float, b: float, eaves: float, slope: float) -> list[Prism]:
    """Return a house with four equal slopes, a >= b; a pyramid where a = b."""
    r0, r1, r2, r3 = rectangle(centre, e, a, b)
    k0, k1 = moved(centre, e, b - a), moved(centre, e, a - b)
    n = left(e)
    return [
        Prism((r0, r1, k1, k0), rising(r0, n, eaves, slope)),
        Prism((k0, k1, r2, r3), rising(r3, (-n[0], -n[1]), eaves, slope)),
        Prism((r1, r2, k1, k1), rising(r1, (-e[0], -e[1]), eaves, slope)),
        Prism((r3, r0, k0, k0), rising(r0, e, eaves, slope)),
    ]


def tower_roof(centre: Point, e: Point, a: float, b: float, height: float, plant: float) -> list[Prism]:
    """Return a flat tower whose middle ninth, the plant room, stands `plant` [m] higher."""
    n = left(e)
    prisms = []
    for i in (-1, 0, 1):
        for j in (-1, 0, 1):
            c = moved(moved(centre, e, i * a * 2.0 / 3.0), n, j * b * 2.0 / 3.0)
            prisms += flat_roof(c, e, a / 3.0, b / 3.0, height + (plant if i == j == 0 else 0.0))
    return prisms


def basilica_roof(centre: Point, e: Point, a: float, nave: float, aisle: float, eaves: float, slope: float) -> list[Prism]:
    """Return a hall with a gabled nave of half-width `nave` and two lower lean-to aisles of width `aisle` [m]."""
    n = left(e)
    prisms = gabled_roof(centre, e, a, nave, eaves, slope)
    for side in (-1.0, 1.0):
        ring = rectangle(moved(centre, n, side * (nave + 0.5 * aisle)), e, a, 0.5 * aisle)
        edge = ring[0] if side < 0.0 else ring[3]
        prisms.append(Prism(ring, rising(edge, (-side * n[0], -side * n[1]), 0.55 * eaves, 0.4)))
    return prisms
