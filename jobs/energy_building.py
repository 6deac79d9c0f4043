"""Simulate one described building: `felsina energy --building B.toml --weather W.epw --out B.nc`."""

from __future__ import annotations

import argparse
from pathlib import Path

from felsina.engine.building.description import read_description
from felsina.engine.building.simulation import UNITS, simulate_building
from felsina.engine.building.tables import sources
from felsina.engine.errors import UsageError
from felsina.engine.io.building_file import write_building_file
from felsina.engine.io.weather import read_epw
from felsina.engine.record import file_sha256


def configure_building(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of a single building."""
    group = parser.add_argument_group("one described building, in place of a city")
    group.add_argument("--building", metavar="B.toml", help="description of the building; --out then names the file B.nc")
    group.add_argument("--weather", metavar="W.epw", help="weather of a year")


def main_building(options: argparse.Namespace) -> int:
    """Simulate a building, write its file and print what its zones need."""
    if options.city is not None:
        raise UsageError(f"Give a city file or --building, not both: '{options.city}' and '{options.building}'.")
    if options.weather is None:
        raise UsageError("--building needs the weather of a year: --weather W.epw.")
    source, epw = Path(options.building), Path(options.weather)
    out = Path(options.out) if options.out else source.with_suffix(".nc")
    if out.exists() and not options.force:
        raise UsageError(f"'{out}' is there already. Give --force to make it anew, or another --out.")
    building, weather = read_description(source), read_epw(epw)
    result = simulate_building(building, weather)
    files = sources(source)
    digests = {"weather": file_sha256(epw), "description": file_sha256(source)}
    digests |= {f"description_{k}": file_sha256(path) for k, path in enumerate(files[1:], 2)}
    write_building_file(
        out,
        f"Energy need of {building.name}",
        weather.clock,
        result.zones,
        result.values,
        UNITS,
        {"incident_irradiance": result.incident, "transmitted_irradiance": result.transmitted},
        digests,
    )
    for remark in weather.notes:
        print(f"Weather: {remark}.")
    for z, name in enumerate(result.zones):
        v = {key: values[z] for key, values in result.values.items()}
        print(
            f"{building.name}, {name}: heating {v['annual_heating_need']:,.1f} kWh (peak {v['peak_heating_load']:,.0f} W), "
            f"cooling {v['annual_cooling_need']:,.1f} kWh (peak {v['peak_cooling_load']:,.0f} W), air "
            f"{v['least_air_temperature']:.1f} to {v['greatest_air_temperature']:.1f} degC, "
            f"{v['overheating_hours']:,.0f} h above 26 degC operative."
        )
    print(f"Wrote {out}.")
    return 0
