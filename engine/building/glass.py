"""The glazing of a description: a table by angle of incidence, or panes that are solved for one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from felsina.engine.building.tables import Table
from felsina.kernels.energy import glazing as optics


@dataclass(frozen=True, kw_only=True)
class Glazing:
    """Glass: conductance between its faces [W m-2 K-1]; shares of light by angle [rad] and of diffuse light [1]."""

    conductance: float
    angle: tuple[float, ...]
    transmittance: tuple[float, ...]
    absorptance_outer: tuple[float, ...]
    absorptance_inner: tuple[float, ...]
    diffuse: tuple[float, float, float]


def read_glazing(table: Table) -> Glazing:
    """Return a glazing from its panes, or from a table by angle of incidence."""
    if "panes" in table.values:
        return _paned(table)
    angle = table.numbers("angle", "degree", 0.0, 90.0)
    if len(angle) < 3 or angle[0] != 0.0 or angle[-1] != 90.0 or any(b <= a for a, b in pairwise(angle)):
        raise table.fail(f"has angle = {list(angle)}; expected angles of incidence that rise from 0 to 90 degrees.")
    curves = {}
    for key in ("transmittance", "absorptance_outer", "absorptance_inner"):
        curves[key] = table.numbers(key, "1", 0.0, 1.0)
        if len(curves[key]) != len(angle):
            raise table.fail(f"has {len(curves[key])} values of {key} for {len(angle)} angles.")
    for a, *parts in zip(angle, *curves.values()):
        if sum(parts) > 1.0 + 1e-9:
            raise table.fail(f"transmits and absorbs {sum(parts):.3f} of the light at {a:g} degrees; at most 1 is there.")
    diffuse = table.numbers("diffuse", "1", 0.0, 1.0)
    if len(diffuse) != 3:
        raise table.fail("has no three values of diffuse: transmittance, absorptance of the outer and of the inner node.")
    found = Glazing(
        conductance=table.number("conductance", "W m-2 K-1", 0.0, 1000.0, above=True),
        angle=tuple(math.radians(a) for a in angle),
        diffuse=(diffuse[0], diffuse[1], diffuse[2]),
        **curves,
    )
    table.done()
    return found


def _paned(table: Table) -> Glazing:
    """Solve panes for their properties by angle; what a pane absorbs goes to both faces by its place in the resistance."""
    layers = table.take("panes")
    if not isinstance(layers, list) or not layers:
        raise table.fail("has no panes. List them from outside to inside.")
    rows: list[tuple[float, float, float, bool]] = []
    passed, at = 0.0, []  # resistance before the middle of each pane
    for number, values in enumerate(layers, 1):
        pane = Table(values, f"{table.where} pane {number}", table.file)
        front = pane.number("reflectance", "1", 0.0, 1.0, above=True)
        back = pane.number("reflectance_back", "1", 0.0, 1.0, front, above=True)
        transmittance = pane.number("transmittance", "1", 0.0, 1.0, above=True)
        if transmittance + max(front, back) >= 1.0:
            raise pane.fail(f"passes on {transmittance:g} and throws back {max(front, back):g} of the light; together below 1.")
        own = pane.number("thickness", "m", 0.0, 0.1, above=True) / pane.number(
            "conductivity", "W m-1 K-1", 0.0, 10.0, 1.0, True
        )
        coated = pane.take("coated", False) is True
        rows.append((transmittance, front, back, coated))
        at.append(passed + 0.5 * own)
        passed += own
        if number < len(layers):
            passed += 1.0 / pane.number("gap_conductance", "W m-2 K-1", 0.0, 100.0, above=True)
        pane.done()
    described = optics.panes(*(np.array(c) for c in zip(*rows)))
    angles = [math.radians(a) for a in range(0, 90)]
    curves = optics.glazing_at(described, [math.cos(a) for a in angles])
    solved = optics.solve_glazing(described)
    inner = [a / passed for a in at]

    def weighted(values: NDArray[np.float64], shares: list[float]) -> float:
        return math.fsum(s * float(v) for s, v in zip(shares, values, strict=True))

    outer = [1.0 - s for s in inner]
    table.done()
    return Glazing(
        conductance=1.0 / passed,
        angle=(*angles, math.pi / 2),
        transmittance=(*(float(c[0]) for c in curves), 0.0),
        absorptance_outer=(*(weighted(c[2:], outer) for c in curves), 0.0),
        absorptance_inner=(*(weighted(c[2:], inner) for c in curves), 0.0),
        diffuse=(
            solved.transmittance_diffuse,
            weighted(solved.absorptance_diffuse, outer),
            weighted(solved.absorptance_diffuse, inner),
        ),
    )
