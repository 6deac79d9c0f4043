"""Glazings and blinds of the shipped table, solved: `engine/data/glazing.csv`."""

from __future__ import annotations

import functools
from typing import NamedTuple

from felsina.engine.errors import UsageError
from felsina.engine.tables import read_table
from felsina.kernels.energy.glazing import Glazing, Panes, panes, solve_glazing


class Blind(NamedTuple):
    """A movable blind: share of the light that it lets through and throws back [1], and its rule [W m-2]."""

    transmittance: float
    reflectance: float
    close_above: float
    open_below: float


@functools.cache
def _rows() -> dict[str, dict[str, str]]:
    return {row["name"]: row for row in read_table("glazing.csv")}


def _row(name: str, kind: str) -> dict[str, str]:
    row = _rows().get(name)
    if row is None or row["kind"] != kind:
        known = ", ".join(n for n, r in _rows().items() if r["kind"] == kind)
        raise UsageError(f"There is no {kind} '{name}'; known are {known}.")
    return row


@functools.cache
def glazing_panes(name: str) -> Panes:
    """Return the panes of a glazing of the table, outside to inside."""
    layers = [_rows()[pane] for pane in _row(name, "glazing")["panes"].split("+")]
    tau, front, back = ([float(r[c]) for r in layers] for c in ("transmittance", "front_reflectance", "back_reflectance"))
    return panes(tau, front, back, [r["kind"] == "coated_pane" for r in layers])


@functools.cache
def glazing(name: str, polarised: bool = True) -> Glazing:
    """Return the solar properties of a glazing of the table by angle (`kernels.energy.glazing.solve_glazing`)."""
    return solve_glazing(glazing_panes(name), polarised)


@functools.cache
def blind(name: str) -> Blind:
    """Return a blind of the table and its rule."""
    row = _row(name, "blind")
    return Blind(*(float(row[c]) for c in ("transmittance", "front_reflectance", "close_above_W_m2", "open_below_W_m2")))
