"""Reading the description of a building, TOML. Every mistake is a sentence that names the place, the value and the way out.

A description may extend another: its tables are laid over those of that file, key by key. Tables of a zone, an element or a
window stand under their name, so a case that differs in one window says that window alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from felsina.engine.building.glass import Glazing, read_glazing
from felsina.engine.building.tables import Table, merged
from felsina.engine.errors import InputError

KINDS = ("wall", "roof", "floor")
ADJACENT = ("outdoor", "ground", "adiabatic")
_MOST_ZONES = 16  # of a building: they share a block of lanes


@dataclass(frozen=True, kw_only=True)
class Films:
    """Surface coefficients [W m-2 K-1]; `exterior_wind` [J m-3 K-1] times wind speed is added. From ISO 52016-1, table 25."""

    interior_convection: Mapping[str, float]
    interior_radiation: float
    exterior_convection: Mapping[str, float]
    exterior_wind: Mapping[str, float]
    exterior_radiation: float


@dataclass(frozen=True, kw_only=True)
class Construction:
    """Layers outside to inside: resistance [m2 K W-1] and heat capacity [J m-2 K-1] of each; absorptance outside [1]."""

    resistance: tuple[float, ...]
    storage: tuple[float, ...]
    absorptance: float


@dataclass(frozen=True, kw_only=True)
class Shade:
    """Overhang and fins around a vertical surface, as `devices.window_devices` takes them [m]."""

    numbers: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Element:
    """An opaque element of a zone."""

    name: str
    zone: str
    construction: Construction
    area: float
    tilt: float
    azimuth: float
    adjacent: str  # outdoor, ground, adiabatic, or the name of a zone
    kind: str
    solar_share: float | None
    shade: Shade | None
    films: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Window:
    """A window of a zone."""

    name: str
    zone: str
    glazing: Glazing
    area: float
    tilt: float
    azimuth: float
    solar_share: float
    shade: Shade | None
    films: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Week:
    """24 values for weekdays, Saturdays and Sundays."""

    weekday: tuple[float, ...]
    saturday: tuple[float, ...]
    sunday: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Zone:
    """A thermal zone; flows at 1 of their schedules."""

    name: str
    volume: float
    floor_area: float
    infiltration: float  # 1/h
    ventilation: float  # m3/s
    ventilation_schedule: Week
    gain: float  # W
    gain_schedule: Week
    convective_gain: float
    convective_solar: float
    furniture: float  # J/K
    thermal_bridges: float  # W/K
    heating: Week
    cooling: Week
    heating_limit: float
    cooling_limit: float
    controlled_radiant: float


@dataclass(frozen=True, kw_only=True)
class Building:
    """A described building."""

    name: str
    albedo: float
    sub_steps: int
    warm_up_days: int
    wind_classes: int
    air_density: float | None
    air_heat: float
    ground: tuple[float | None, float, float, float]  # mean, amplitude [K], coldest day, resistance
    films: Films
    zones: tuple[Zone, ...]
    elements: tuple[Element, ...]
    windows: tuple[Window, ...]
    source: str = field(default="", compare=False)


def read_description(path: str | PathLike[str]) -> Building:
    """Read a building and check it."""
    return parse(merged(Path(path)), Path(path).name)


def parse(values: Mapping[str, Any], file: str) -> Building:
    """Turn the tables of a description into a building."""
    top = Table(values, "", file)
    head = top.table("building", {})
    name = str(head.take("name", file))
    weeks = {k: _week(t.values, t, {}) for k, t in top.tables("schedules").items()}
    materials = {k: _material(t) for k, t in top.tables("materials").items()}
    constructions = {k: _construction(t, materials) for k, t in top.tables("constructions").items()}
    glazings = {k: read_glazing(t) for k, t in top.tables("glazings").items()}
    zones = {k: _zone(k, t, weeks) for k, t in top.tables("zones", 1).items()}
    if len(zones) > _MOST_ZONES:
        raise InputError(f"'{file}' has {len(zones)} zones; a building has at most {_MOST_ZONES}. Join zones of one use.")
    elements = tuple(_element(k, t, zones, constructions) for k, t in top.tables("elements", 1).items())
    windows = tuple(_window(k, t, zones, glazings) for k, t in top.tables("windows").items())
    ground = top.table("ground", {})
    mean = None if ground.take("mean", None) is None else ground.number("mean", "degC", -30.0, 40.0)
    building = Building(
        name=name,
        albedo=head.number("albedo", "1", 0.0, 1.0, 0.2),
        sub_steps=_sub_steps(head),
        warm_up_days=int(head.number("warm_up_days", "d", 0, 366, 30)),
        wind_classes=int(head.number("wind_classes", "1", 1, 64, 4)),
        air_density=None if head.take("air_density", None) is None else head.number("air_density", "kg m-3", 0.5, 1.6),
        air_heat=head.number("air_heat", "J kg-1 K-1", 900.0, 1200.0, 1006.0),
        ground=(
            mean,
            ground.number("amplitude", "K", 0.0, 30.0, 0.0),
            ground.number("coldest_day", "1", 1.0, 366.0, 30.0),
            ground.number("resistance", "m2 K W-1", 0.0, 100.0, 0.25, above=True),
        ),
        films=_films(top.table("films", {})),
        zones=tuple(zones.values()),
        elements=elements,
        windows=windows,
        source=file,
    )
    for table in (ground, head, top):
        table.done()
    for zone in building.zones:
        _check_zone(zone, building, file)
    return building


def _sub_steps(head: Table) -> int:
    steps = head.take("sub_steps", 1)
    if steps not in (1, 2, 3, 6) or isinstance(steps, bool):
        raise head.fail(f"has sub_steps = {steps!r}; expected 1, 2, 3 or 6: steps of an hour in whole tens of minutes.")
    return int(steps)


def _check_zone(zone: Zone, building: Building, file: str) -> None:
    mine = [e for e in building.elements if zone.name in (e.zone, e.adjacent)]
    if not mine:
        raise InputError(f"'{file}': zones.{zone.name} has no element. Give it walls, a roof and a floor: [elements.NAME].")
    for label, shares in (
        ("solar_share", [e.solar_share for e in mine if e.zone == zone.name and e.solar_share is not None]),
        ("solar_share", [w.solar_share for w in building.windows if w.zone == zone.name]),
    ):
        if math.fsum(shares) > 1.0 + 1e-9:
            raise InputError(
                f"'{file}': the {label} of zones.{zone.name} add up to {math.fsum(shares):g}; at most 1 can be absorbed."
            )
    for day in ("weekday", "saturday", "sunday"):
        for hour, (low, high) in enumerate(zip(getattr(zone.heating, day), getattr(zone.cooling, day)), 1):
            if low > high:
                raise InputError(
                    f"'{file}': zones.{zone.name} is heated to {low:g} degC and cooled to {high:g} degC in hour {hour} of the "
                    f"{day}. The set-point of cooling must not be below that of heating."
                )


def _films(table: Table) -> Films:
    def by_kind(key: str, defaults: dict[str, float]) -> dict[str, float]:
        inner = table.table(key, {})
        found = {k: inner.number(k, "W m-2 K-1", 0.0, 1000.0, v) for k, v in defaults.items()}
        inner.done()
        return found

    same = dict.fromkeys((*KINDS, "window"), 20.0)
    films = Films(
        interior_convection=by_kind("interior_convection", {"wall": 2.5, "roof": 5.0, "floor": 0.7, "window": 2.5}),
        interior_radiation=table.number("interior_radiation", "W m-2 K-1", 0.0, 20.0, 5.13),
        exterior_convection=by_kind("exterior_convection", same),
        exterior_wind=by_kind("exterior_wind", dict.fromkeys(same, 0.0)),
        exterior_radiation=table.number("exterior_radiation", "W m-2 K-1", 0.0, 20.0, 4.14),
    )
    table.done()
    return films


def _own_films(table: Table) -> dict[str, float]:
    names = ("interior_convection", "exterior_convection", "exterior_wind", "exterior_radiation", "sky_share")
    found = {}
    for name in names:
        if table.take(name, None) is not None:
            found[name] = table.number(name, "1" if name == "sky_share" else "W m-2 K-1", 0.0, 1000.0)
    return found


def _material(table: Table) -> tuple[float, float]:
    found = (
        table.number("conductivity", "W m-1 K-1", 0.0, 500.0, above=True),
        table.number("density", "kg m-3", 0.0, 25_000.0) * table.number("specific_heat", "J kg-1 K-1", 0.0, 10_000.0),
    )
    table.done()
    return found


def _construction(table: Table, materials: Mapping[str, tuple[float, float]]) -> Construction:
    resistance, storage = [], []
    absorptance = table.number("absorptance", "1", 0.0, 1.0, 0.6)
    layers = table.take("layers")
    if not isinstance(layers, list) or not layers:
        raise table.fail("has no layers. List them from outside to inside.")
    for number, values in enumerate(layers, 1):
        layer = Table(values, f"{table.where} layer {number}", table.file)
        if "resistance" in layer.values:
            resistance.append(layer.number("resistance", "m2 K W-1", 0.0, 200.0, above=True))
            storage.append(layer.number("capacity", "J m-2 K-1", 0.0, 1e8, 0.0))
        else:
            conductivity, capacity = materials[layer.text("material", materials)]
            thickness = layer.number("thickness", "m", 0.0, 5.0, above=True)
            resistance.append(thickness / conductivity)
            storage.append(thickness * capacity)
        layer.done()
    table.done()
    return Construction(resistance=tuple(resistance), storage=tuple(storage), absorptance=absorptance)


def _week(values: Any, table: Table, weeks: Mapping[str, Week]) -> Week:
    """Return a schedule: a number, 24 numbers, a table of weekday, saturday and sunday, or the name of one."""
    if isinstance(values, str):
        if values not in weeks:
            raise table.fail(f"names the schedule '{values}', which is not there. Known: {', '.join(sorted(weeks)) or 'none'}.")
        return weeks[values]
    if isinstance(values, Mapping):
        unknown = sorted(set(values) - {"weekday", "saturday", "sunday"})
        if unknown:
            raise table.fail(f"has the day '{unknown[0]}'; expected weekday, saturday, sunday.")
        if "weekday" not in values:
            raise table.fail("has no weekday. Give 24 values, or one.")
        weekday = _day(values["weekday"], table)
        saturday = _day(values.get("saturday", values["weekday"]), table)
        return Week(weekday=weekday, saturday=saturday, sunday=_day(values.get("sunday", list(saturday)), table))
    day = _day(values, table)
    return Week(weekday=day, saturday=day, sunday=day)


def _day(values: Any, table: Table) -> tuple[float, ...]:
    day = [values] * 24 if isinstance(values, int | float) else values
    if not isinstance(day, list | tuple) or len(day) != 24 or any(isinstance(v, bool | str) for v in day):
        raise table.fail(f"has a schedule {values!r}; expected a number, or 24 numbers for hours 1 to 24.")
    if not all(math.isfinite(v) for v in day):
        raise table.fail("has a schedule with a value that is not finite.")
    return tuple(float(v) for v in day)


_NEVER_HEATED, _NEVER_COOLED = -1000.0, 1000.0  # degC


def _zone(name: str, table: Table, weeks: Mapping[str, Week]) -> Zone:
    def power(key: str, never: float) -> tuple[Week, float]:
        if table.take(key, None) is None:
            return _week(never, table, weeks), 0.0
        inner = table.table(key)
        week = _week(inner.take("setpoint"), inner, weeks)
        limit = inner.number("limit", "W", 0.0, 1e12, 1e12)
        inner.done()
        return week, limit

    heating, heating_limit = power("heating", _NEVER_HEATED)
    cooling, cooling_limit = power("cooling", _NEVER_COOLED)
    air, gains = table.table("ventilation", {}), table.table("gains", {})
    zone = Zone(
        name=name,
        volume=table.number("volume", "m3", 0.0, 1e7, above=True),
        floor_area=table.number("floor_area", "m2", 0.0, 1e7, above=True),
        infiltration=table.number("infiltration", "1/h", 0.0, 50.0, 0.0),
        ventilation=air.number("flow", "m3 s-1", 0.0, 1e6, 0.0),
        ventilation_schedule=_week(air.take("schedule", 1.0), air, weeks),
        gain=gains.number("power", "W", 0.0, 1e9, 0.0),
        gain_schedule=_week(gains.take("schedule", 1.0), gains, weeks),
        convective_gain=gains.number("convective", "1", 0.0, 1.0, 0.4),
        convective_solar=table.number("convective_solar", "1", 0.0, 0.9, 0.1),
        furniture=table.number("furniture", "J K-1", 0.0, 1e12, 0.0),
        thermal_bridges=table.number("thermal_bridges", "W K-1", 0.0, 1e6, 0.0),
        heating=heating,
        cooling=cooling,
        heating_limit=heating_limit,
        cooling_limit=cooling_limit,
        controlled_radiant={"air": 0.0, "operative": 0.5}[table.text("control", ("air", "operative"), "air")],
    )
    for inner in (air, gains, table):
        inner.done()
    return zone


def _place(table: Table) -> tuple[float, float, float]:
    tilt = table.number("tilt", "degree", 0.0, 180.0)
    azimuth = table.number("azimuth", "degree", -360.0, 360.0, 180.0 if tilt in (0.0, 180.0) else ...)
    return table.number("area", "m2", 0.0, 1e7, above=True), tilt, azimuth


def _element(name: str, table: Table, zones: Mapping[str, Zone], constructions: Mapping[str, Construction]) -> Element:
    area, tilt, azimuth = _place(table)
    zone = table.text("zone", zones, next(iter(zones)) if len(zones) == 1 else ...)
    share = table.take("solar_share", None)
    element = Element(
        name=name,
        zone=zone,
        construction=constructions[table.text("construction", constructions)],
        area=area,
        tilt=math.radians(tilt),
        azimuth=math.radians(azimuth),
        adjacent=table.text("adjacent", (*ADJACENT, *(z for z in zones if z != zone)), "outdoor"),
        kind="roof" if tilt < 60.0 else "floor" if tilt > 120.0 else "wall",
        solar_share=None if share is None else table.number("solar_share", "1", 0.0, 1.0),
        shade=_shade(table, area, tilt),
        films=_own_films(table),
    )
    table.done()
    return element


def _window(name: str, table: Table, zones: Mapping[str, Zone], glazings: Mapping[str, Glazing]) -> Window:
    area, tilt, azimuth = _place(table)
    window = Window(
        name=name,
        zone=table.text("zone", zones, next(iter(zones)) if len(zones) == 1 else ...),
        glazing=glazings[table.text("glazing", glazings)],
        area=area,
        tilt=math.radians(tilt),
        azimuth=math.radians(azimuth),
        solar_share=table.number("solar_share", "1", 0.0, 1.0, 0.0),
        shade=_shade(table, area, tilt),
        films=_own_films(table),
    )
    table.done()
    return window


def _shade(table: Table, area: float, tilt: float) -> Shade | None:
    """Return overhang and fins around a surface of `width` and `height`; distances from its edges."""
    parts = {key: table.take(key, None) for key in ("overhang", "left_fin", "right_fin")}
    width, height = table.take("width", None), table.take("height", None)
    if all(values is None for values in parts.values()):
        return None
    if tilt != 90.0:
        raise table.fail(f"has devices and a tilt of {tilt:g} degrees; they shade vertical surfaces, tilt = 90.")
    width, height = (table.number(key, "m", 0.0, 1000.0, above=True) for key in ("width", "height"))
    if area > 1.01 * width * height:
        raise table.fail(f"has an area of {area:g} m2, more than its width {width:g} m times its height {height:g} m.")
    numbers = {"width": width, "height": height}
    for key, values in parts.items():
        if values is None:
            continue
        part, side = table.table(key), key.removesuffix("_fin")
        numbers[f"{side}_depth"] = part.number("depth", "m", 0.0, 100.0, above=True)
        numbers[f"{side}_offset"] = part.number("gap", "m", 0.0, 100.0, 0.0)
        if side == "overhang":
            for end in ("left", "right"):
                numbers[f"overhang_{end}"] = part.number(end, "m", 0.0, 1000.0, 0.0)
        else:
            for end in ("above", "below"):
                value = part.number(end, "m", 0.0, 1000.0, 0.0)
                if numbers.setdefault(f"fin_{end}", value) != value:
                    raise table.fail(
                        f"has fins that reach {value:g} m and {numbers[f'fin_{end}']:g} m {end}; give both the same."
                    )
        part.done()
    return Shade(numbers=numbers)
