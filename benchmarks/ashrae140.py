"""ASHRAE 140-2020 and EnergyPlus beside this engine: value, range and the six programs of every case, as tables.

    python benchmarks/ashrae140.py DATA [--docs docs/ashrae140.md]

DATA holds energy/ with the weather, the reference results and the hourly files of EnergyPlus. The ranges are those of
the results of six programs; the standard does not call them criteria of acceptance.
"""

from __future__ import annotations

import argparse
import csv
import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from felsina.engine.building.description import read_description
from felsina.engine.building.simulation import BuildingResult, simulate_building
from felsina.engine.io.weather import Weather, read_epw

CASES = Path(__file__).resolve().parents[1] / "tests" / "validation" / "ashrae140"
TARGET = [
    "600", "610", "620", "630", "640", "650", "900", "910", "920", "930", "940", "950", "600FF", "650FF", "900FF", "950FF",
]  # fmt: skip
FURTHER = ["670", "685", "985"]  # never looked at while constants were chosen
ENERGYPLUS = ["600", "610", "620", "650", "900", "910", "940", "600FF", "900FF", "950FF"]
PROGRAMS = ("BSIMAC", "CSE", "DeST", "EnergyPlus", "ESP-r", "TRNSYS")
METRICS = {
    "annual_heating": ("annual_heating_need", 1e-3),
    "annual_sensible_cooling": ("annual_cooling_need", 1e-3),
    "peak_heating_hourly": ("peak_heating_load", 1e-3),
    "peak_sensible_cooling_hourly": ("peak_cooling_load", 1e-3),
    "freefloat_min": ("least_air_temperature", 1.0),
    "freefloat_max": ("greatest_air_temperature", 1.0),
    "freefloat_mean": ("mean_air_temperature", 1.0),
}
SKIPPED = 72  # hours, in which EnergyPlus and this engine start from different walls


@dataclass(frozen=True)
class Row:
    """One metric of one case."""

    case: str
    metric: str
    unit: str
    value: float
    low: float
    high: float
    mean: float
    programs: tuple[str, ...]

    @property
    def outside(self) -> float:
        """How far the value lies outside the range, with sign; 0 inside."""
        return min(self.value - self.low, 0.0) + max(self.value - self.high, 0.0)


def weather_of(data: Path) -> Weather:
    """Read the weather of the 2020 edition."""
    return read_epw(data / "energy" / "725650TYCST.epw")


def simulate_case(case: str, weather: Weather) -> BuildingResult:
    """Simulate a case as its description says."""
    return simulate_building(read_description(CASES / f"{case}.toml"), weather)


def compare(case: str, result: BuildingResult, data: Path) -> list[Row]:
    """Return the metrics of a case beside the reference; loads that are nothing in all programs are left out."""
    found = []
    with (data / "energy" / "bestest140_2020_reference_results.csv").open(encoding="utf-8") as stream:
        for r in csv.DictReader(stream):
            if r["case"] != case or r["metric"] not in METRICS or float(r["max"]) == float(r["min"]) == 0.0:
                continue
            name, factor = METRICS[r["metric"]]
            value = float(result.values[name][0]) * factor
            numbers = (float(r[k]) for k in ("min", "max", "mean"))
            found.append(Row(case, r["metric"], r["unit"], value, *numbers, tuple(r[p] for p in PROGRAMS)))
    return found


@dataclass(frozen=True)
class Hours:
    """One case beside the hours of EnergyPlus."""

    case: str
    temperature_rmse: float  # K, after the first hours
    loads: dict[str, tuple[float, float, float, int, int]]  # kind: MWh, MWh, CV(RMSE), hour of the day of the peaks


def beside_energyplus(case: str, result: BuildingResult, data: Path) -> Hours:
    """Compare the hours of a case with those of EnergyPlus 25.2."""
    with gzip.open(data / "energy" / "eplus_hourly" / f"case{case}.csv.gz", "rt") as stream:
        table = np.genfromtxt(stream, delimiter=",", skip_header=1)
    off = result.values["indoor_air_temperature"][0] - table[:, 1]
    loads = {}
    for kind, column in (("heating", 2), ("cooling", 3)):
        theirs, ours = table[:, column], result.values[f"{kind}_load"][0]
        if np.isfinite(theirs).all() and theirs.sum() > 0:
            cv = float(np.sqrt(((ours - theirs) ** 2).mean()) / theirs.mean())
            peaks = int(ours.argmax() % 24), int(theirs.argmax() % 24)
            loads[kind] = (float(ours.sum() / 1e6), float(theirs.sum() / 1e6), cv, *peaks)
    return Hours(case, float(np.sqrt((off[SKIPPED:] ** 2).mean())), loads)


def tables(data: Path) -> str:
    """Simulate all cases and return the tables as Markdown."""
    weather = weather_of(data)
    lines = [f"| case | metric | unit | felsina | range | | {' | '.join(PROGRAMS)} |", "|---" * (6 + len(PROGRAMS)) + "|"]
    results, inside, total = {}, 0, 0
    for case in TARGET + FURTHER:
        results[case] = simulate_case(case, weather)
        for row in compare(case, results[case], data):
            mark = "" if row.outside == 0 else f"{row.outside:+.2f}"
            if case in TARGET:
                total, inside = total + 1, inside + (row.outside == 0)
            programs = " | ".join(f"{float(p):.2f}" if p else "" for p in row.programs)
            name = row.metric.replace("_", " ").replace(" hourly", "").replace("sensible ", "")
            lines.append(
                f"| {case} | {name} | {row.unit} | {row.value:.2f} | {row.low:.2f} to {row.high:.2f} | {mark} | {programs} |"
            )
    lines += [
        "",
        f"{inside} of {total} metrics of the {len(TARGET)} target cases inside the range ({100 * inside / total:.0f} %).",
        "",
        "| case | RMSE air [K] | heating [MWh]: felsina, EnergyPlus | CV(RMSE) | cooling [MWh] | CV(RMSE) | hour of peaks |",
        "|---|---|---|---|---|---|---|",
    ]
    for case in ENERGYPLUS:
        h = beside_energyplus(case, results[case], data)
        cells = []
        for kind in ("heating", "cooling"):
            x = h.loads.get(kind)
            cells += ["", ""] if x is None else [f"{x[0]:.2f}, {x[1]:.2f}", f"{x[2]:.2f}"]
        peaks = "; ".join(f"{kind} {x[3] + 1}, {x[4] + 1}" for kind, x in h.loads.items())
        lines.append(f"| {case} | {h.temperature_rmse:.2f} | {' | '.join(cells)} | {peaks} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--docs", type=Path, help="page whose tables, after the line '<!-- tables -->', are replaced")
    options = parser.parse_args()
    text = tables(options.data)
    print(text)
    if options.docs:
        mark = "<!-- tables -->\n"
        page = options.docs.read_text(encoding="utf-8")
        options.docs.write_text(page.partition(mark)[0] + mark + "\n" + text, encoding="utf-8")


if __name__ == "__main__":
    main()
