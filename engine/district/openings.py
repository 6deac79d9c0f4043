"""Arcades and passages under houses, and roofs that reach over walls: what a footprint does not tell.

An arcade (Bologna's portico) opens the ground floor to the street behind a row of pillars; a passage leads from the street to
the court. The storeys above stand over both, and the footprint is their outline.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from felsina.engine.district.shapes import Body, Point, Strip, along, between

PILLAR = 0.6  # m, edge of a square pillar
BAY = 4.0  # m, from pillar to pillar, about
ROOF_THICKNESS = 0.2  # m, of eaves


class Opening(NamedTuple):
    """Open space under a building.

    Attributes
    ----------
    kind : str
        "portico", open along its first side, or "underpass", open along its first and third side.
    ring : four points
        Outline, counter-clockwise; the first side is on the street [m].
    height : float
        Clear height above the mean ground of the building [m].
    """

    kind: str
    ring: tuple[Point, Point, Point, Point]
    height: float


class Passage(NamedTuple):
    """A passage through a house: the side of the block, the shares of it where it begins and ends, its clear height [m]."""

    side: int
    first: float
    last: float
    height: float


def house_over(
    strips: Sequence[Strip],
    pieces: Sequence[tuple[int, float, float]],
    roof: tuple[float, float],
    arcade: tuple[float, float],
    passage: Passage | None,
) -> tuple[list[Body], list[Opening]]:
    """Return the bodies of a house over an arcade and a passage, and its openings.

    Parameters
    ----------
    strips : the four strips of the block
    pieces : side and shares of each leg of the house
    roof : eaves [m] and slope [1]
    arcade : depth and clear height [m]; a depth of 0 is none
    passage : the passage, or None
    """
    bodies: list[Body] = []
    openings: list[Opening] = []
    for side, t0, t1 in pieces:
        strip = strips[side]
        street, court = (p.plane for p in strip.prisms(t0, t1, *roof))
        share = arcade[0] / strip.depth
        cuts = [(strip.across(t0), strip.across(t1), False)]
        if passage is not None and passage.side == side:
            # Its walls are parallel, those between lots are not.
            first, last = strip.square(passage.first), strip.square(passage.last)
            cuts = [(strip.across(t0), first, False), (first, last, True), (last, strip.across(t1), False)]
        for a, b, is_passage in cuts:
            if is_passage and passage is not None:
                base = 0.0, 0.0, passage.height
                bodies += [Body(between(a, b, 0.0, 0.5), street, base), Body(between(a, b, 0.5, 1.0), court, base)]
                openings.append(Opening("underpass", between(a, b, 0.0, 1.0), passage.height))
                continue
            if share > 0.0:
                bodies.append(Body(between(a, b, 0.0, share), street, (0.0, 0.0, arcade[1])))
                bodies += _pillars(a, b, strip.depth, arcade[1])
                openings.append(Opening("portico", between(a, b, 0.0, share), arcade[1]))
            bodies.append(Body(between(a, b, share, 0.5), street))
            bodies.append(Body(between(a, b, 0.5, 1.0), court))
    return bodies, openings


def _pillars(a: tuple[Point, Point], b: tuple[Point, Point], depth: float, height: float) -> list[Body]:
    """Return a pillar at both ends of a stretch of arcade and about every `BAY` between."""
    length = math.dist(a[0], b[0])
    width = PILLAR / length
    n = max(1, round((length - PILLAR) / BAY))
    bodies = []
    for i in range(n + 1):
        t = (1.0 - width) * i / n
        first, last = ((along(a[0], b[0], s), along(a[1], b[1], s)) for s in (t, t + width))
        bodies.append(Body(between(first, last, 0.0, PILLAR / depth), (0.0, 0.0, height)))
    return bodies


def is_surveyed(building_id: str) -> bool:
    """Tell whether the footprints' file knows the openings of a building: those of every other block, as on a chessboard."""
    i, j = building_id[1:].split("-")[:2]
    return (int(i) + int(j)) % 2 == 0


def area(ring: Sequence[Point]) -> float:
    """Return the area of a ring [m2], positive where it runs counter-clockwise."""
    twice = 0.0
    for (x0, y0), (x1, y1) in zip(ring, [*ring[1:], ring[0]], strict=True):
        twice += (x0 - ring[0][0]) * (y1 - ring[0][1]) - (x1 - ring[0][0]) * (y0 - ring[0][1])
    return 0.5 * twice


def open_area(openings: Sequence[Opening], kind: str) -> float:
    """Return the area of the openings of a kind [m2]."""
    return sum(area(o.ring) for o in openings if o.kind == kind)
