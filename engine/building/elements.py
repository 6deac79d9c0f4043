"""From a described building to the numbers of the kernels: nodes, films, common walls, schedules, weather, light."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from felsina.engine.building.description import Building, Element, Shade, Week, Window
from felsina.engine.errors import InputError
from felsina.engine.io.weather import Weather
from felsina.kernels.constants import STEFAN_BOLTZMANN, ZERO_CELSIUS
from felsina.kernels.energy import iso52016
from felsina.kernels.energy.envelope import element_nodes, sky_share, wind_classes
from felsina.kernels.energy.surface_light import OPEN, light_through, received_light
from felsina.kernels.radiation.devices import diffuse_shares, sunlit_fraction, window_devices

_GAS_CONSTANT = 287.05  # J kg-1 K-1, dry air
_O = {name: i for i, name in enumerate(iso52016.OPAQUE)}
_W = {name: i for i, name in enumerate(iso52016.WINDOW)}
_FILMS = ("interior_convection", "interior_radiation", "exterior_convection", "exterior_convection_wind", "exterior_radiation")


@dataclass(frozen=True, kw_only=True)
class Part:
    """An element as one zone sees it: a whole one, or its half of a common wall."""

    element: Element
    zone: int
    layers: tuple[tuple[float, float], ...]  # resistance, storage; outside to inside
    mate: int | None  # index of the other half
    resistance: float  # of the link to the mate or to the ground, beyond the outer node


def parts_of(building: Building) -> list[Part]:
    """Return the elements of all zones, each common wall as two halves that meet where its resistance is halved."""
    index = {z.name: i for i, z in enumerate(building.zones)}
    parts: list[Part] = []
    for e in building.elements:
        layers = tuple(zip(e.construction.resistance, e.construction.storage))
        if e.adjacent not in index:
            parts.append(Part(element=e, zone=index[e.zone], layers=layers, mate=None, resistance=building.ground[3]))
            continue
        inner, outer = _halves(layers)
        at = len(parts)
        parts.append(Part(element=e, zone=index[e.zone], layers=inner, mate=at + 1, resistance=0.0))
        parts.append(Part(element=e, zone=index[e.adjacent], layers=outer, mate=at, resistance=0.0))
    return parts


def _halves(
    layers: tuple[tuple[float, float], ...],
) -> tuple[tuple[tuple[float, float], ...], tuple[tuple[float, float], ...]]:
    """Cut layers at half their resistance; both halves run from the middle to their zone."""
    middle = 0.5 * math.fsum(r for r, _ in layers)
    outer: list[tuple[float, float]] = []
    inner: list[tuple[float, float]] = []
    passed = 0.0
    for r, c in layers:
        share = min(max((middle - passed) / r, 0.0), 1.0)
        if share > 0.0:
            outer.append((share * r, share * c))
        if share < 1.0:
            inner.append(((1.0 - share) * r, (1.0 - share) * c))
        passed += r
    return tuple(inner), tuple(reversed(outer))


@dataclass(frozen=True, kw_only=True)
class Model:
    """The arguments of `iso52016.simulate`, and what is needed to read its answer."""

    arguments: dict[str, object]
    incident: dict[str, NDArray[np.float64]]  # of each surface, (n_hour,) W m-2
    transmitted: dict[str, NDArray[np.float64]]  # of each window, (n_hour,) W m-2


def model_of(building: Building, weather: Weather) -> Model:
    """Return the numbers of a building under a weather."""
    parts = parts_of(building)
    sky = weather.sky(building.albedo)
    steps = building.sub_steps
    light = _Light(sky, steps)
    opaque, window, stream, partner = _elements(building, parts, light)
    step_weather, speed, wind = _weather(building, weather, steps)
    schedules = np.stack([_schedule(building, weather, i) for i in range(len(building.zones))])
    return Model(
        arguments={
            "opaque": opaque,
            "window": window,
            "zone": _zones(building, weather),
            "schedule_class": np.arange(len(building.zones)),
            "schedules": schedules,
            "weather": step_weather,
            "wind_class": wind,
            "wind_speed": speed,
            "month": np.repeat([d.month - 1 for d in weather.clock.days()], weather.clock.per_day),
            "stream": stream,
            "partner": partner,
            "building": np.zeros(len(building.zones), np.int64),
            "sub_steps": steps,
            "warm_up": 24 * building.warm_up_days,
        },
        incident=light.incident,
        transmitted=light.transmitted,
    )


class _Light:
    """Computes the light of each surface once."""

    def __init__(self, sky: NDArray[np.float64], steps: int) -> None:
        self.sky, self.steps = sky, steps
        self.incident: dict[str, NDArray[np.float64]] = {}
        self.transmitted: dict[str, NDArray[np.float64]] = {}

    def _shade(self, shade: Shade | None, azimuth: float) -> tuple[NDArray[np.float64] | None, tuple[float, float, float]]:
        """Return the share in the sun in each sub-step, and of sky, horizon and ground."""
        if shade is None:
            return None, OPEN
        devices = window_devices(**shade.numbers)
        beam = self.sky[..., 3]
        sun = self.sky[..., :3] / np.where(beam > 0.0, beam, 1.0)[..., None]
        lit = sunlit_fraction(sun.reshape(-1, 3), [azimuth], devices).reshape(beam.shape)
        views = diffuse_shares(devices)[0]
        return lit, (float(views[0]), float(views[1]), float(views[2]))

    def on(self, e: Element | Window) -> NDArray[np.float64]:
        """Return the irradiance of a surface in each step."""
        flux = received_light(self.sky, e.tilt, e.azimuth, self.steps, *self._shade(e.shade, e.azimuth))
        self.incident[e.name] = flux.reshape(-1, self.steps).sum(axis=1) / self.steps
        return flux

    def through(self, w: Window) -> NDArray[np.float64]:
        """Return light transmitted, absorbed at the outer and at the inner node in each step, (n_step, 3)."""
        self.on(w)
        g = w.glazing
        curves = [g.transmittance, g.absorptance_outer, g.absorptance_inner]
        shade = self._shade(w.shade, w.azimuth)
        flux = light_through(self.sky, w.tilt, w.azimuth, self.steps, g.angle, curves, g.diffuse, *shade)
        self.transmitted[w.name] = flux[:, 0].reshape(-1, self.steps).sum(axis=1) / self.steps
        return flux


def _elements(
    building: Building, parts: list[Part], light: _Light
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.int64] | None]:
    n_zone = len(building.zones)
    of_zone = [[i for i, p in enumerate(parts) if p.zone == z] for z in range(n_zone)]
    glass = [[w for w in building.windows if w.zone == zone.name] for zone in building.zones]
    n_opaque, n_window = max(map(len, of_zone)), max(map(len, glass))
    opaque, window = np.zeros((n_zone, n_opaque, len(_O))), np.zeros((n_zone, n_window, len(_W)))
    stream = np.zeros((n_zone, light.sky.shape[0] * light.steps, 3 * n_window + n_opaque))
    partner = np.full((n_zone, n_opaque, 2), -1, np.int64)
    place = {i: (z, k) for z, mine in enumerate(of_zone) for k, i in enumerate(mine)}
    nodes = [_nodes(p) for p in parts]
    for i, part in enumerate(parts):
        z, k = place[i]
        mates = None if part.mate is None else nodes[part.mate]
        opaque[z, k] = _opaque(building, part, nodes[i], mates)
        if part.mate is not None:
            partner[z, k] = place[part.mate]
        elif part.element.adjacent == "outdoor":
            stream[z, :, 3 * n_window + k] = light.on(part.element)
    for z, mine in enumerate(glass):
        for k, w in enumerate(mine):
            window[z, k] = _glass(building, w)
            stream[z, :, 3 * k : 3 * k + 3] = light.through(w)
        _share_sun(opaque[z], of_zone[z], parts, glass[z])
    return opaque, window, stream, partner if any(p.mate is not None for p in parts) else None


def _nodes(part: Part) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    resistance, storage = zip(*part.layers)
    capacity, conductance = element_nodes(resistance, storage, [0, len(resistance)])
    if part.mate is not None:
        # The outer node stands half its interval inside the half: what is beyond belongs to the link between both nodes.
        conductance[0, 0] *= 2.0
    return capacity[0], conductance[0]


def _opaque(
    building: Building,
    part: Part,
    nodes: tuple[NDArray[np.float64], NDArray[np.float64]],
    mates: tuple[NDArray[np.float64], NDArray[np.float64]] | None,
) -> NDArray[np.float64]:
    e, row = part.element, np.zeros(len(_O))
    row[_O["area"]] = e.area
    row[_O["capacity_0"] : _O["capacity_0"] + 5] = nodes[0]
    row[_O["conductance_0"] : _O["conductance_0"] + 4] = nodes[1]
    # The far side of a common floor is the near side of a ceiling.
    far = mates is not None and building.zones[part.zone].name != e.zone
    kind = {"roof": "floor", "floor": "roof"}.get(e.kind, e.kind) if far else e.kind
    films = _films(building, kind, e)
    row[_O["interior_convection"] : _O["interior_convection"] + 2] = films[:2]
    if mates is not None:
        row[_O["boundary_conductance"]] = 1.0 / (1.0 / nodes[1][0] + 1.0 / mates[1][0])
    elif e.adjacent == "ground":
        row[_O["boundary_conductance"]] = 1.0 / part.resistance
    elif e.adjacent == "outdoor":
        row[_O["exterior_convection"] : _O["exterior_convection"] + 3] = films[2:]
        row[_O["sky_share"]] = e.films.get("sky_share", sky_share(e.tilt))
        row[_O["absorptance"]] = e.construction.absorptance
    return row


def _films(building: Building, kind: str, e: Element | Window) -> tuple[float, ...]:
    f = building.films
    return (
        e.films.get("interior_convection", f.interior_convection[kind]),
        f.interior_radiation,
        e.films.get("exterior_convection", f.exterior_convection[kind]),
        e.films.get("exterior_wind", f.exterior_wind[kind]),
        e.films.get("exterior_radiation", f.exterior_radiation),
    )


def _glass(building: Building, w: Window) -> NDArray[np.float64]:
    row = np.zeros(len(_W))
    row[_W["area"]], row[_W["conductance"]] = w.area, w.glazing.conductance
    row[_W["interior_convection"] : _W["interior_convection"] + 5] = _films(building, "window", w)
    row[_W["sky_share"]] = w.films.get("sky_share", sky_share(w.tilt))
    row[_W["solar_share"]] = w.solar_share
    return row


def _share_sun(opaque: NDArray[np.float64], mine: list[int], parts: list[Part], glass: list[Window]) -> None:
    """Share the sun of a zone among its surfaces: as described, else all of it by area among opaque elements."""
    shares = [parts[i].element.solar_share for i in mine]
    if any(s is not None for s in shares):
        opaque[: len(mine), _O["solar_share"]] = [0.0 if s is None else s for s in shares]
        return
    left = 1.0 - math.fsum(w.solar_share for w in glass)
    total = math.fsum(opaque[:, _O["area"]])
    opaque[:, _O["solar_share"]] = left * opaque[:, _O["area"]] / total


def _zones(building: Building, weather: Weather) -> NDArray[np.float64]:
    density = building.air_density
    if density is None:
        pressure, kelvin = math.fsum(weather.air_pressure), math.fsum(weather.air_temperature)
        density = pressure / (_GAS_CONSTANT * kelvin)
    held = density * building.air_heat
    mean, amplitude, coldest, _ = building.ground
    if mean is None:
        mean = math.fsum(weather.air_temperature) / weather.clock.n - ZERO_CELSIUS
    phase = 2.0 * math.pi * (coldest - 0.5) * 24.0 / weather.clock.n
    rows = []
    for z in building.zones:
        rows.append((
            held * z.volume + z.furniture,
            held * z.infiltration * z.volume / 3600.0 + z.thermal_bridges,
            held * z.ventilation,
            z.gain,
            z.convective_gain,
            z.convective_solar,
            z.heating_limit,
            z.cooling_limit,
            z.controlled_radiant,
            mean,
            -amplitude * math.cos(phase),
            -amplitude * math.sin(phase),
        ))  # fmt: skip
    return np.array(rows)


def _hours(week: Week, weather: Weather) -> NDArray[np.float64]:
    days = (week.weekday,) * 5 + (week.saturday, week.sunday)
    return np.concatenate([days[d.weekday()] for d in weather.clock.days()])


def _schedule(building: Building, weather: Weather, z: int) -> NDArray[np.float64]:
    zone = building.zones[z]
    weeks = (zone.gain_schedule, zone.ventilation_schedule, zone.heating, zone.cooling)
    return np.stack([_hours(w, weather) for w in weeks], axis=1)


def _weather(
    building: Building, weather: Weather, steps: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.uint64]]:
    if not np.isfinite(weather.air_temperature).all():
        raise InputError(f"The weather of {weather.name} has hours without air temperature. Fill them in.")
    n = weather.clock.n
    wx = np.zeros((n * steps, len(iso52016.WEATHER)))
    wx[:, 0] = _between(weather.air_temperature - ZERO_CELSIUS, steps)
    kelvin4 = weather.downwelling_longwave / STEFAN_BOLTZMANN
    wx[:, 1] = _between(np.sqrt(np.sqrt(kelvin4)) - ZERO_CELSIUS, steps)
    year = [2.0 * math.pi * (i + 0.5) / (n * steps) for i in range(n * steps)]
    wx[:, 2], wx[:, 3] = [math.cos(t) for t in year], [math.sin(t) for t in year]
    speed, member = wind_classes(_between(weather.wind_speed, steps), building.wind_classes)
    return wx, speed, member


def _between(values: NDArray[np.float64], steps: int) -> NDArray[np.float64]:
    """Return the means of steps of a quantity that a file tells at the ends of hours: linear between them.

    An observation is of the moment (Wilcox and Marion 2008, Users Manual for TMY3 Data Sets, table 1-2); the year closes on
    itself.
    """
    before = np.roll(values, 1)
    share = (np.arange(steps) + 0.5) / steps
    return (before[:, None] + (values - before)[:, None] * share).ravel()
