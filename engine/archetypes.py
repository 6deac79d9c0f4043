"""From what a register knows of a building (year, use, size) to what its heat balance needs: envelopes, schedules, factors.

Tables are CSV files with a source column under `engine/data`. Credit: IEE Projects TABULA + EPISCOPE (www.episcope.eu).
What is not known is drawn from the documented shares of the stock by a counter keyed on the building's identifier, so a draw
does not depend on the other buildings, and the building is flagged. Non-residential uses borrow the envelope of the TABULA
apartment block of their period: an assumption, flagged too.
"""

from __future__ import annotations

import datetime
import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from felsina.engine.clock import Clock
from felsina.engine.errors import UsageError
from felsina.engine.tables import read_table
from felsina.kernels.counter import uniform
from felsina.kernels.energy.zone import SCHEDULE

VARIANTS = ("existing", "usual", "advanced")
SIZE_CLASSES = ("SFH", "TH", "MFH", "AB")
NEVER = 1e6  # degC: a set-point that is never reached; finite, so that single precision keeps it
_STREAM = 0x656E6572  # "ener": draws of this module share no number with others
# Size classes of TABULA told from geometry, since registers seldom count dwellings: AB from five storeys or above the floor
# area at which TABULA's largest multi-family house (1,110 m2) ends; single houses up to its largest (199 m2) with some margin.
_SINGLE_AREA, _MULTI_AREA, _MULTI_FLOORS, _TERRACE_PARTY = 250.0, 1150.0, 4, 0.2
_PARAMETERS = (
    "u_roof", "u_wall", "u_floor", "b_floor", "u_window", "g_window", "frame_share", "thermal_bridge", "heat_capacity",
    "reference_need",
)  # fmt: skip


@functools.cache
def factors() -> dict[str, float]:
    """Return the factors of `energy_factors.csv` by name, in the units of the table."""
    return {row["name"]: float(row["value"]) for row in read_table("energy_factors.csv")}


@functools.cache
def uses() -> tuple[str, ...]:
    """Return the uses that have schedules, in the order of their class index."""
    return tuple(row["use"] for row in read_table("building_uses.csv"))


@dataclass(frozen=True, kw_only=True)
class Archetypes:
    """Parameters of n buildings, all (n,) in the order asked for.

    Parameters
    ----------
    name : list of str
        Archetype, for instance `AB.IT.04.existing`.
    use : list of str
        Use, given or drawn.
    schedule_class : int
        Index into `uses()`.
    assumed : bool
        Use or period was drawn, the use is not in the tables, or its envelope or schedule is an assumption.
    drawn_year, drawn_use : bool
        What was drawn.
    conditioned : bool
        False for unheated uses.
    values : dict of (n,) float
        `u_roof`, `u_wall`, `u_floor`, `u_window` [W m-2 K-1]; `b_floor`, `g_window`, `frame_share`, `window_share`,
        `net_floor_share`, `cooling_share` [1]; `thermal_bridge` [W m-2 K-1]; `infiltration`, `air_change` [h-1];
        `ventilation` [m3 s-1 m-2]; `heat_capacity` [J m-2 K-1]; `reference_need`, TABULA's seasonal need [kWh m-2].
    """

    name: list[str]
    use: list[str]
    schedule_class: NDArray[np.int64]
    assumed: NDArray[np.bool_]
    drawn_year: NDArray[np.bool_]
    drawn_use: NDArray[np.bool_]
    conditioned: NDArray[np.bool_]
    values: dict[str, NDArray[np.float64]]


def identity(ids: Sequence[str]) -> NDArray[np.uint64]:
    """Hash identifiers to 64 bits (BLAKE2b): the key of a building's draws, the same on every machine."""
    digest = b"".join(hashlib.blake2b(str(i).encode(), digest_size=8).digest() for i in ids)
    return np.frombuffer(digest, "<u8").astype(np.uint64)


def size_class(floor_area: ArrayLike, floors: ArrayLike, party_share: ArrayLike) -> NDArray[np.int64]:
    """Tell the TABULA size class, an index into `SIZE_CLASSES`, from gross floor area [m2], floors, party share [1]."""
    area, floors, party = (np.asarray(v, np.float64) for v in (floor_area, floors, party_share))
    single = np.where(party > _TERRACE_PARTY, 1, 0)
    return np.where(area <= _SINGLE_AREA, single, np.where((area <= _MULTI_AREA) & (floors <= _MULTI_FLOORS), 2, 3)).astype(
        np.int64
    )


def assign(
    ids: Sequence[str],
    construction_year: ArrayLike,
    use: Sequence[str | None],
    floors: ArrayLike,
    floor_area: ArrayLike,
    party_share: ArrayLike = 0.0,
    variant: str = "existing",
    seed: int = 0,
) -> Archetypes:
    """Assign archetypes to buildings.

    Parameters
    ----------
    ids : n str
        Identifiers: the keys of the draws.
    construction_year : (n,) float
        Year; nan, 0 or less where unknown.
    use : n str
        A use of `uses()`; empty or None where unknown; any other word counts as unknown and is flagged.
    floors, floor_area, party_share : (n,) float
        Storeys [1], gross floor area [m2], share of the wall that is shared with neighbours [1].
    variant : str
        `existing`, `usual` or `advanced` refurbishment.
    seed : int
        Key of all draws.
    """
    if variant not in VARIANTS:
        raise UsageError(f"Archetype variant '{variant}' is not known; expected one of {', '.join(map(repr, VARIANTS))}.")
    n = len(ids)
    year = np.broadcast_to(np.asarray(construction_year, np.float64), n)
    sizes = size_class(*(np.broadcast_to(np.asarray(v, np.float64), n) for v in (floor_area, floors, party_share)))
    draw = uniform(seed, _STREAM, identity(ids), 2) if n else np.empty((0, 2))
    periods, table = read_table("construction_periods.csv"), read_table("building_uses.csv")
    drawn_year = ~(year > 0)
    first = np.array([float(p["first_year"]) for p in periods])
    given = np.searchsorted(first, np.where(drawn_year, 0, year), "right") - 1
    period = np.where(drawn_year, _pick(draw[:, 0], periods), given)
    known = {row["use"]: k for k, row in enumerate(table)}
    drawn_use = np.array([u not in known for u in use], bool)
    kind = np.where(drawn_use, _pick(draw[:, 1], table), [known.get(u or "", 0) for u in use]).astype(np.int64)
    envelope = {(r["size_class"], r["period"], r["variant"]): r for r in read_table("archetypes_residential.csv")}
    names, rows = [], []
    for s, p, k in zip(sizes, period, kind):
        key = (SIZE_CLASSES[s] if k == 0 else "AB", periods[p]["period"], variant)
        names.append(".".join(key))
        rows.append(envelope[key])
    values = {name: np.array([float(r[name]) for r in rows], np.float64) for name in _PARAMETERS}
    values["heat_capacity"] = values["heat_capacity"] * 3600.0  # the table holds Wh m-2 K-1
    for name in ("ventilation", "air_change", "net_floor_share", "cooling_share"):
        values[name] = np.array([float(table[k][name]) for k in kind], np.float64)
    for name in ("window_share", "infiltration"):
        # Empty in the table of uses: the archetype's own.
        own = [table[k][name] or r[name] for k, r in zip(kind, rows)]
        values[name] = np.array([float(v) for v in own], np.float64)
    return Archetypes(
        name=names,
        use=[table[k]["use"] for k in kind],
        schedule_class=kind,
        assumed=drawn_year | drawn_use | np.array([table[k]["assumed"] == "1" for k in kind], bool),
        drawn_year=drawn_year,
        drawn_use=drawn_use,
        conditioned=np.array([table[k]["conditioned"] == "1" for k in kind], bool),
        values=values,
    )


def schedules(clock: Clock, heating_zone: str = "E") -> NDArray[np.float64]:
    """Spread the weekly schedules of all uses over the hours of a clock.

    Outside the heating season of the Italian climatic zone there is no heating; inside it, no cooling.

    Parameters
    ----------
    clock : Clock
        Hours.
    heating_zone : str
        A to F of DPR 412/1993.

    Returns
    -------
    (n_use, n_hour, 4) float
        Internal gain [W m-2], share of the ventilation [1], set-points of heating and cooling [degC], by `uses()`.
    """
    seasons = {row["zone"]: row for row in read_table("heating_seasons.csv")}
    if heating_zone not in seasons:
        raise UsageError(f"Heating zone '{heating_zone}' is not known; expected one of {', '.join(seasons)}.")
    week = np.zeros((len(uses()), 3, 24, len(SCHEDULE)))
    week[:, :, :, 2], week[:, :, :, 3] = -NEVER, NEVER
    day = {"weekday": 0, "saturday": 1, "sunday": 2}
    columns = ("gain", "ventilation_share", "heating_setpoint", "cooling_setpoint")
    for row in read_table("schedules.csv"):
        week[uses().index(row["use"]), day[row["day"]], int(row["hour"]) - 1] = [float(row[c]) for c in columns]
    kind = np.maximum(clock.weekday() - 4, 0)
    out = week[:, kind, clock.hour_of_day()]
    heated = np.repeat([_in_season(d, seasons[heating_zone]) for d in clock.days()], clock.per_day)
    out[:, ~heated, 2] = -NEVER
    if not heated.all():
        out[:, heated, 3] = NEVER
    return out


def _in_season(day: datetime.date, season: dict[str, str]) -> bool:
    stamp, first, last = f"{day.month:02d}-{day.day:02d}", season["first_day"], season["last_day"]
    return first <= stamp <= last if first <= last else stamp >= first or stamp <= last


def _pick(draw: NDArray[np.float64], rows: list[dict[str, str]]) -> NDArray[np.int64]:
    """Return the row whose share of the stock holds each draw."""
    edges = np.array([float(r["share"]) for r in rows])
    for i in range(1, edges.size):
        edges[i] += edges[i - 1]
    return np.minimum(np.searchsorted(edges, draw, "right"), np.flatnonzero([float(r["share"]) > 0 for r in rows])[-1])
