"""Key figures of a run for people: a number, its unit and what it means, from the products alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from felsina.engine.analysis.plots import HOURLY, hourly_range, inner, street_cells

NIGHT = (0, 5)  # local standard hours: when a city differs most from its surroundings
AFTERNOON = (12, 18)


@dataclass(frozen=True)
class Figure:
    """One figure: what it is, the number with its unit, and a remark."""

    name: str
    value: str
    remark: str = ""


def key_figures(tree: Any, buffer_m: float = 0.0, air_m: float = 0.0) -> dict[str, list[Figure]]:
    """Return the key figures of every product that is there, by heading.

    Parameters
    ----------
    tree : xarray.DataTree of `felsina.open`
    buffer_m : frame of the heat maps that counts in no statistics [m]
    air_m : width of a column of air [m]; that of a cell when less
    """
    makers = {"Terrain": ("terrain", _terrain), "Buildings": ("buildings", _buildings), "Energy of a year": ("energy", _energy)}
    found = {heading: make(tree[name].dataset) for heading, (name, make) in makers.items() if name in tree.children}
    if "microclimate" in tree.children:
        found["Heat"] = _heat(tree["microclimate"].dataset, buffer_m, street_cells(tree, air_m))
    return found


def outcomes(dataset: Any, table: str) -> list[tuple[str, str, int]]:
    """Return (status, reason, rows) of a table, successes first, then the most frequent."""
    status, reason = (dataset[f"{table}_{n}"] for n in ("status", "reason"))
    pairs, counts = np.unique(np.stack([status.values, reason.values], axis=1), axis=0, return_counts=True)
    words = [_flag_words(v) for v in (status, reason)]
    order = sorted((int(s), -int(n), int(r)) for (s, r), n in zip(pairs, counts, strict=True))
    return [(words[0].get(s, str(s)), words[1].get(r, str(r)), -n) for s, n, r in order]


def number(value: float, digits: int = 0) -> str:
    """Return a number with thin spaces between thousands; a dash where there is none.

    >>> number(1234567.8).replace("\\u202f", " "), number(float("nan"))
    ('1 234 568', '–')
    """
    return "–" if not np.isfinite(value) else f"{value:,.{digits}f}".replace(",", "\u202f")


def _flag_words(variable: Any) -> dict[int, str]:
    values = np.atleast_1d(variable.attrs.get("flag_values", ())).tolist()
    meanings = str(variable.attrs.get("flag_meanings", "")).split()
    return {v: m.replace("_", " ") for v, m in zip(values, meanings, strict=False)}


def _terrain(terrain: Any) -> list[Figure]:
    y, x = terrain["y"].values, terrain["x"].values
    cell = abs(float(x[1] - x[0])) if len(x) > 1 else float("nan")
    ground = terrain["ground_elevation"]
    low, high = float(ground.min()), float(ground.max())
    trees = float((terrain["canopy_height"] > 0).mean())
    return [
        Figure("area", f"{number(len(x) * cell * len(y) * cell / 1e4, 2)} ha", f"{len(x)} × {len(y)} cells of {cell:g} m"),
        Figure("ground", f"{number(low, 1)} to {number(high, 1)} m", "elevation in the height system of the points"),
        Figure("under trees", f"{number(100 * trees, 1)} %", "cells with vegetation above them"),
    ]


def _buildings(buildings: Any) -> list[Figure]:
    status = buildings["building_status"].values
    words = _flag_words(buildings["building_status"])
    counts = {w: int(np.count_nonzero(status == v)) for v, w in words.items()}
    height, volume = buildings["building_height"].values, buildings["building_volume"].values
    party = buildings["building_party_wall_area"].values
    return [
        Figure("buildings", number(len(status)), ", ".join(f"{number(n)} {w}" for w, n in counts.items() if n)),
        Figure("median height", f"{_middle(height, 1)} m", f"the highest has {number(_most(height), 1)} m"),
        Figure("volume", f"{number(np.nansum(volume, dtype=np.float64))} m³", "of all solids"),
        Figure(
            "party walls",
            f"{number(np.nansum(party, dtype=np.float64))} m²",
            f"{number(int(np.count_nonzero(party > 0)))} buildings share a wall with a neighbour",
        ),
    ]


def _energy(energy: Any) -> list[Figure]:
    area = energy["conditioned_floor_area"].values.astype(np.float64)
    heat, cold = (energy[f"annual_{n}_need"].values.astype(np.float64) for n in ("heating", "cooling"))
    known = np.isfinite(heat) & np.isfinite(cold) & np.isfinite(area)
    total = area[known].sum()
    hours = energy["overheating_hours"].values[known]

    def both(name: str, need: Any) -> Figure:
        specific = need[known].sum() / total if total else np.nan
        return Figure(name, f"{number(need[known].sum() / 1e3)} MWh", f"{number(specific, 1)} kWh per m² of floor")

    return [
        Figure("simulated", number(known.sum()), f"of {number(len(known))} buildings; {number(total)} m² of heated floor"),
        both("heating need", heat),
        both("cooling need", cold),
        Figure("overheating", f"{_middle(hours, 0)} h", "median time above 26 °C operative temperature"),
    ]


def _heat(climate: Any, buffer_m: float, streets: NDArray[np.bool_] | None) -> list[Figure]:
    found = []
    if HOURLY[0] in climate:
        air = climate[HOURLY[0]]
        low, mean, high = hourly_range(air, buffer_m, streets)
        value = f"{number(np.nanmin(low), 1)} to {number(np.nanmax(high), 1)} °C"
        found.append(Figure("air in the streets", value, "coolest and warmest cell and hour"))
        if "local_time" in climate.coords:
            end = climate["local_time"].values[int(np.nanargmax(mean))].astype("datetime64[m]")
            begin = end - np.timedelta64(60, "m")
            value = f"{str(begin)[11:]}–{str(end)[11:]}"
            remark = f"local standard time on {str(begin)[:10]}; mean of the area {number(np.nanmax(mean), 1)} °C"
            found.append(Figure("warmest hour", value, remark))
            for name, hours in (("places differ by day", AFTERNOON), ("places differ by night", NIGHT)):
                spread = _spread(climate, air, hours, buffer_m, streets)
                remark = f"air, {hours[0]} to {hours[1]} o'clock: warmest less coolest place, 5 % left out at both ends"
                found.append(Figure(name, f"{number(spread, 1)} K", remark))
    surface = climate["surface_temperature_maximum"]
    hottest = surface.values[inner(surface, buffer_m)]
    found.append(Figure("hottest surface", f"{number(_most(hottest), 1)} °C", "ground or roof, hourly mean"))
    return found


def _spread(climate: Any, air: Any, hours: tuple[int, int], buffer_m: float, streets: NDArray[np.bool_] | None) -> float:
    """Return the distance of the 5th and 95th percentile of the mean over some hours [K]; NaN where none is there."""
    hour = (climate["local_time"].values.astype("datetime64[m]").astype(np.int64) - 1) // 60 % 24
    chosen = np.flatnonzero((hour >= hours[0]) & (hour < hours[1]))
    if not chosen.size:
        return float("nan")
    mean = sum(air.isel(time=int(k)).values[inner(air, buffer_m)].astype(np.float64) for k in chosen) / len(chosen)
    known = mean[np.isfinite(mean) & (True if streets is None else streets[inner(air, buffer_m)])]
    return float(np.diff(np.percentile(known, (5, 95)))[0]) if known.size else float("nan")


def _middle(values: Any, digits: int) -> str:
    known = values[np.isfinite(values)]
    return number(float(np.median(known)), digits) if known.size else "–"


def _most(values: Any) -> float:
    known = values[np.isfinite(values)]
    return float(known.max()) if known.size else float("nan")
