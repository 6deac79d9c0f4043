"""Blocks of the district: what stands on a quadrilateral between four streets.

A block knows its own corners and its own random numbers, so it is the same in a district of any size. Shares, sizes and dates
follow what Bologna's quarters look like from above; nothing is fitted, and nothing downstream may rely on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from felsina.engine.district import shapes
from felsina.engine.district.openings import ROOF_THICKNESS, Opening, Passage, area, house_over
from felsina.engine.district.shapes import Body, Point, Prism, Strip

# Of sixteen blocks of four by four, each kind has its share: even a small district holds every kind.
KINDS = ("perimeter",) * 5 + ("row",) * 2 + ("detached",) * 3 + ("tower",) * 2 + ("commercial",) * 2 + ("church", "park")
STOREY_HEIGHT = 3.2  # m, floor to floor
FLOOR_AREA_PER_RESIDENT = 40.0  # m2, gross
PASSAGE_HEIGHT = 3.6  # m, clear, where the house has no arcade of its own height

Legs = list[tuple[int, float, float]]


class Draws:
    """The random numbers of one block, read in a fixed order."""

    def __init__(self, numbers: Sequence[float]) -> None:
        self._next = iter(numbers)

    def between(self, low: float, high: float) -> float:
        """Return a number of (low, high)."""
        return low + (high - low) * next(self._next)

    def whole(self, low: int, high: int) -> int:
        """Return a whole number from low to high, both included."""
        return min(high, int(self.between(low, high + 1)))

    def chance(self, share: float) -> bool:
        """Return true with probability `share`."""
        return next(self._next) < share


@dataclass(frozen=True, kw_only=True)
class Building:
    """A building as it was built; heights are above the mean ground of its footprint.

    Attributes
    ----------
    ring : list of points
        Outline, counter-clockwise [m].
    prisms : list of Prism
        Partition of the outline under roof planes.
    eaves : float
        Lowest edge of the main roof [m].
    portico_length, portico_depth, portico_height : float
        Arcade on the ground floor along the street; 0 where there is none [m].
    roof_overhang : float
        How far the eaves reach over the walls; 0 where they end at them [m].
    bodies : list of Body
        What stands there, where that is more than the prisms: storeys over openings, pillars, eaves.
    openings : list of Opening
        Open space under the building.
    """

    building_id: str
    kind: str
    roof_type: str
    use: str
    construction_year: int
    floors: int
    residents: int
    eaves: float
    ring: list[Point]
    prisms: list[Prism]
    portico_length: float = 0.0
    portico_depth: float = 0.0
    portico_height: float = 0.0
    roof_overhang: float = 0.0
    bodies: list[Body] = field(default_factory=list)
    openings: list[Opening] = field(default_factory=list)

    def standing(self) -> list[Body]:
        """Return all that a laser can hit."""
        return self.bodies or [Body(*prism) for prism in self.prisms]


@dataclass(frozen=True, kw_only=True)
class Tree:
    """A tree or a bush: position, height, height of the crown's base and diameter of the crown [m]."""

    tree_id: str
    x: float
    y: float
    height: float
    crown_base: float
    crown_diameter: float


@dataclass(kw_only=True)
class Block:
    """One block: outline, buildings, trees, the cover of its open ground, and ponds."""

    name: str
    kind: str
    ring: list[Point]
    cover: str = "green"
    buildings: list[Building] = field(default_factory=list)
    trees: list[Tree] = field(default_factory=list)
    ponds: list[list[Point]] = field(default_factory=list)
    # Per house of a perimeter: the strips of the block, the legs of the house on them, eaves [m] and slope [1].
    houses: list[tuple[list[Strip], Legs, tuple[float, float]]] = field(default_factory=list, repr=False)

    def at(self, u: float, v: float) -> Point:
        """Return the point at shares u, v of the block."""
        return shapes.along(shapes.along(self.ring[0], self.ring[1], u), shapes.along(self.ring[3], self.ring[2], u), v)

    def build(self, draws: Draws, prisms: list[Prism], ring: Sequence[Point], **facts: object) -> None:
        """Add a building; its use decides whether people live in it."""
        floors, use = int(str(facts["floors"])), facts["use"]
        density = draws.between(0.8, 1.2) / FLOOR_AREA_PER_RESIDENT
        residents = int(area(ring) * floors * density) if use == "residential" else 0
        name = f"{self.name}-{len(self.buildings):02d}"
        made = Building(building_id=name, prisms=prisms, ring=list(ring), residents=residents, **facts)  # type: ignore[arg-type]
        self.buildings.append(made)

    def plant(self, draws: Draws, where: Point, height: tuple[float, float], bush: bool = False) -> None:
        """Add a tree, or a bush that is all crown."""
        tall = draws.between(*height)
        base = 0.05 if bush else tall * draws.between(0.25, 0.4)
        width = tall * (draws.between(0.9, 1.4) if bush else draws.between(0.4, 0.65))
        name = f"{self.name}-T{len(self.trees):02d}"
        self.trees.append(Tree(tree_id=name, x=where[0], y=where[1], height=tall, crown_base=base, crown_diameter=width))


def furnish(block: Block, draws: Draws, wide: list[bool]) -> None:
    """Fill a block of its kind; `wide` tells which streets are wide enough for trees."""
    _FILL[block.kind](block, draws)
    for side in (0, 3):
        if wide[side]:
            p, q = block.ring[side], block.ring[(side + 1) % 4]
            outwards = shapes.left(shapes.direction(q, p))
            for k in range(5):
                where = shapes.moved(shapes.along(p, q, 0.1 + 0.2 * k), outwards, 2.3)
                block.plant(draws, where, (6.0, 8.5))
    # Drawn last: what was here before they came stands as it stood.
    _open_ground_floors(block, draws)
    _hang_eaves(block, draws)


def _open_ground_floors(block: Block, draws: Draws) -> None:
    """Set houses of a perimeter on their arcades, and lead a passage to the court through one of them in half of the blocks."""
    if not block.houses:
        return
    strips = block.houses[0][0]
    has_passage, side, width = draws.chance(0.5), 1 if draws.chance(0.5) else 3, draws.between(3.6, 4.6)
    where, middle = 0, 0.0
    for k, (_, legs, _) in enumerate(block.houses):
        last, t0, t1 = legs[-1]
        if last == side:  # the last house that has a leg here: not the one on the corner, where there is another
            corner = strips[side].depth / strips[side].length if t0 == 0.0 else 0.0
            where, middle = k, 0.5 * (max(t0, corner) + t1)
    half = 0.5 * width / strips[side].length
    for k, (_, legs, roof) in enumerate(block.houses):
        b = block.buildings[k]
        way = None
        if has_passage and k == where:
            way = Passage(side, middle - half, middle + half, b.portico_height or PASSAGE_HEIGHT)
        if way or b.portico_length:
            bodies, openings = house_over(strips, legs, roof, (b.portico_depth, b.portico_height), way)
            block.buildings[k] = replace(b, bodies=bodies, openings=openings)


def _hang_eaves(block: Block, draws: Draws) -> None:
    """Let the roofs of some gabled houses reach over their walls: villas on all sides, rows over street and garden."""
    if block.kind not in ("detached", "row"):
        return
    for k, b in enumerate(block.buildings):
        reach, has_eaves = draws.between(0.4, 0.6), draws.chance(0.7)
        if has_eaves and b.roof_type == "gabled":
            rake = reach if block.kind == "detached" else 0.0
            bodies = [*b.standing(), *shapes.overhung(b.prisms, reach, rake, ROOF_THICKNESS)]
            block.buildings[k] = replace(b, roof_overhang=reach, bodies=bodies)


def _perimeter(block: Block, draws: Draws) -> None:
    """Houses in a ring around a courtyard, with porticoes along the street and now and then a passage to the court."""
    block.cover = "green" if draws.chance(0.6) else "bare"
    depth = draws.between(10.5, 12.5)
    inner = shapes.inset(block.ring, [depth] * 4)
    strips = [Strip((block.ring[k], block.ring[(k + 1) % 4]), (inner[k], inner[(k + 1) % 4]), depth) for k in range(4)]
    cuts = [
        [draws.between(0.42, 0.58)] if draws.chance(0.5) else [draws.between(0.3, 0.36), draws.between(0.64, 0.7)]
        for _ in strips
    ]
    arcade = draws.chance(0.7)
    portico = draws.between(3.0, 4.0), draws.between(3.5, 4.0)
    year = draws.whole(1650, 1935)
    for k in range(4):
        lots = [[(k - 1, cuts[k - 1][-1], 1.0), (k, 0.0, cuts[k][0])]]
        if len(cuts[k]) == 2:
            lots.append([(k, cuts[k][0], cuts[k][1])])
        for pieces in lots:
            floors = draws.whole(3, 5)
            has_arcade = arcade and draws.chance(0.85)
            eaves = (portico[1] + 0.8 if has_arcade else 4.0) + STOREY_HEIGHT * (floors - 1)
            is_flat = draws.chance(0.12)
            slope = 0.0 if is_flat else draws.between(0.3, 0.45)
            prisms = [p for side, t0, t1 in pieces for p in strips[side].prisms(t0, t1, eaves, slope)]
            rings = [strips[side].lot(t0, t1) for side, t0, t1 in pieces]
            ring = rings[0] if len(rings) == 1 else [*rings[0][:2], *rings[1][1:3], rings[0][2], rings[0][3]]
            street = sum((t1 - t0) * strips[side].length for side, t0, t1 in pieces)
            block.build(
                draws, prisms, ring, kind="perimeter", roof_type="flat" if is_flat else "gabled",
                use="residential" if draws.chance(0.85) else "services", construction_year=year + draws.whole(0, 40),
                floors=floors, eaves=eaves, portico_length=street if has_arcade else 0.0,
                portico_depth=portico[0] if has_arcade else 0.0, portico_height=portico[1] if has_arcade else 0.0,
            )  # fmt: skip
            block.houses.append((strips, pieces, (eaves, slope)))
    for _ in range(draws.whole(0, 4)):
        block.plant(draws, block.at(draws.between(0.38, 0.62), draws.between(0.38, 0.62)), (5.0, 10.0))


def _row(block: Block, draws: Draws) -> None:
    """Two rows of houses that share party walls, back to back over gardens."""
    n_lot = 4
    for k in (0, 2):
        p, q = block.ring[k], block.ring[k + 1]
        depth = draws.between(8.5, 10.5)
        distance = [0.0] * 4
        distance[k] = depth
        inner = shapes.inset(block.ring, distance)
        strip = Strip((p, q), (inner[k], inner[k + 1]), depth)
        year, slope = draws.whole(1920, 1975), draws.between(0.35, 0.5)
        for lot in range(n_lot):
            t0, t1 = lot / n_lot, (lot + 1) / n_lot
            floors = draws.whole(2, 3)
            eaves = STOREY_HEIGHT * floors + draws.between(0.0, 0.6)
            block.build(
                draws, strip.prisms(t0, t1, eaves, slope), strip.lot(t0, t1), kind="row", roof_type="gabled", use="residential",
                construction_year=year, floors=floors, eaves=eaves,
            )  # fmt: skip
    for _ in range(draws.whole(3, 7)):
        block.plant(draws, block.at(draws.between(0.1, 0.9), draws.between(0.38, 0.62)), (4.0, 8.0))
    for _ in range(6):
        block.plant(draws, block.at(draws.between(0.05, 0.95), draws.between(0.35, 0.65)), (1.0, 1.9), bush=True)


def _detached(block: Block, draws: Draws) -> None:
    """Four villas in gardens, gabled or hipped."""
    e = shapes.direction(block.ring[0], block.ring[1])
    for u in (0.25, 0.75):
        for v in (0.25, 0.75):
            centre = block.at(u + draws.between(-0.03, 0.03), v + draws.between(-0.03, 0.03))
            across = draws.between(4.3, 5.8)
            half = across * draws.between(1.05, 1.3)
            floors = draws.whole(1, 3)
            eaves, slope = STOREY_HEIGHT * floors + 0.5, draws.between(0.35, 0.6)
            is_hipped = draws.chance(0.5)
            roof = shapes.hipped_roof if is_hipped else shapes.gabled_roof
            turn = shapes.left(e) if draws.chance(0.4) else e
            block.build(
                draws, roof(centre, turn, half, across, eaves, slope), shapes.rectangle(centre, turn, half, across),
                kind="detached", roof_type="hipped" if is_hipped else "gabled", use="residential",
                construction_year=draws.whole(1946, 2012), floors=floors, eaves=eaves,
            )  # fmt: skip
    for _ in range(draws.whole(4, 8)):
        block.plant(draws, block.at(draws.between(0.47, 0.53), draws.between(0.05, 0.95)), (5.0, 12.0))
    for _ in range(10):
        block.plant(draws, block.at(draws.between(0.05, 0.95), draws.between(0.46, 0.54)), (1.0, 1.9), bush=True)


def _tower(block: Block, draws: Draws) -> None:
    """One tall slab or two towers on a lawn."""
    e = shapes.direction(block.ring[0], block.ring[1])
    twin = draws.chance(0.5)
    for shift in (-11.0, 11.0) if twin else (0.0,):
        centre = shapes.moved(block.at(0.5, 0.5), e, shift)
        a, b = (
            (draws.between(6.0, 7.5), draws.between(5.5, 7.0)) if twin else (draws.between(9.0, 11.0), draws.between(7.0, 9.0))
        )
        floors = draws.whole(8, 14)
        height = STOREY_HEIGHT * floors + 1.0
        block.build(
            draws, shapes.tower_roof(centre, e, a, b, height, 3.0), shapes.rectangle(centre, e, a, b), kind="tower",
            roof_type="flat", use="residential", construction_year=draws.whole(1961, 1995), floors=floors, eaves=height,
        )  # fmt: skip
    for _ in range(draws.whole(4, 9)):
        v = draws.between(0.06, 0.16)
        block.plant(draws, block.at(draws.between(0.08, 0.92), v if draws.chance(0.5) else 1.0 - v), (6.0, 13.0))


def _commercial(block: Block, draws: Draws) -> None:
    """A hall and the office against its end wall, on a paved yard."""
    block.cover = "bare"
    e = shapes.direction(block.ring[0], block.ring[1])
    a, b = draws.between(10.5, 13.0), draws.between(8.0, 12.0)
    centre = shapes.moved(block.at(0.5, 0.5), e, -5.0)
    year = draws.whole(1965, 2008)
    height = draws.between(6.5, 9.0)
    block.build(
        draws, shapes.flat_roof(centre, e, a, b, height), shapes.rectangle(centre, e, a, b), kind="commercial",
        roof_type="flat", use="industrial" if draws.chance(0.5) else "shop", construction_year=year, floors=1, eaves=height,
    )  # fmt: skip
    office = shapes.moved(centre, e, a + 5.0)
    floors = draws.whole(2, 4)
    height = STOREY_HEIGHT * floors + 0.8
    block.build(
        draws, shapes.flat_roof(office, e, 5.0, b, height), shapes.rectangle(office, e, 5.0, b), kind="commercial",
        roof_type="flat", use="services", construction_year=year, floors=floors, eaves=height,
    )  # fmt: skip


def _church(block: Block, draws: Draws) -> None:
    """A hall with nave and aisles, and a bell tower against its end."""
    block.cover = "bare"
    e = shapes.direction(block.ring[0], block.ring[1])
    n = shapes.left(e)
    a, nave, aisle, belfry = draws.between(13.0, 15.0), draws.between(4.8, 5.8), draws.between(3.5, 4.5), 3.0
    centre = shapes.moved(block.at(0.5, 0.5), e, -belfry)
    eaves = draws.between(12.0, 15.0)
    bell = shapes.moved(centre, e, a + belfry)
    prisms = shapes.basilica_roof(centre, e, a, nave, aisle, eaves, draws.between(0.55, 0.8))
    prisms += shapes.hipped_roof(bell, e, belfry, belfry, draws.between(26.0, 34.0), 0.9)
    r0, r1, r2, r3 = shapes.rectangle(centre, e, a, nave + aisle)
    low, high = shapes.moved(shapes.moved(centre, e, a), n, -belfry), shapes.moved(shapes.moved(centre, e, a), n, belfry)
    ring = [r0, r1, low, shapes.moved(low, e, 2.0 * belfry), shapes.moved(high, e, 2.0 * belfry), high, r2, r3]
    block.build(
        draws, prisms, ring, kind="church", roof_type="basilica", use="worship", construction_year=draws.whole(1250, 1780),
        floors=1, eaves=eaves,
    )  # fmt: skip
    for k in range(4):
        block.plant(draws, block.at(0.08 + 0.28 * k, 0.07), (6.0, 9.0))


def _park(block: Block, draws: Draws) -> None:
    """Trees, bushes and a brim-full basin."""
    block.ponds.append([block.at(0.3, 0.35), block.at(0.65, 0.35), block.at(0.65, 0.6), block.at(0.3, 0.6)])
    for k in range(28):
        u, v = draws.between(0.04, 0.96), draws.between(0.04, 0.28)
        block.plant(draws, block.at(u, v if k % 2 else v + 0.68), (7.0, 18.0))
    for _ in range(14):
        block.plant(draws, block.at(draws.between(0.7, 0.96), draws.between(0.35, 0.6)), (1.0, 1.9), bush=True)


_FILL = {
    "perimeter": _perimeter, "row": _row, "detached": _detached, "tower": _tower, "commercial": _commercial,
    "church": _church, "park": _park,
}  # fmt: skip
