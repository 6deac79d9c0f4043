"""Hourly heat balance of zones after ISO 52016-1, resolved over the real layers of their elements.

A zone is one air node and one mean radiant temperature; an opaque element is a chain of five nodes, a window two nodes without
capacity. The elimination is that of `iso52016_cells`. Power is convective and ideal within its limits.

Light comes in two ways. By the sky: seven scalars of a step times seven numbers of each surface, glass by polynomials of the
cosine of incidence; any number of zones shares one weather. By a stream: what each surface receives in each step, from any
model of shading and glass; for single buildings.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from felsina.kernels.energy.iso52016_cells import OVERHEATING_LIMIT
from felsina.kernels.energy.iso52016_lanes import simulate_lanes
from felsina.kernels.energy.iso52016_rows import GEOMETRY, HOURLY, LANES, OPAQUE, SCHEDULE, WEATHER, WINDOW, ZONE

__all__ = ["GEOMETRY", "HOURLY", "LANES", "OPAQUE", "OVERHEATING_LIMIT", "SCHEDULE", "WEATHER", "WINDOW", "ZONE", "simulate"]


def simulate(
    opaque: NDArray[np.floating],
    window: NDArray[np.floating],
    zone: NDArray[np.floating],
    schedule_class: ArrayLike,
    schedules: NDArray[np.floating],
    weather: NDArray[np.floating],
    wind_class: ArrayLike,
    wind_speed: ArrayLike,
    month: ArrayLike,
    *,
    geometry: NDArray[np.floating] | None = None,
    stream: NDArray[np.floating] | None = None,
    partner: NDArray[np.integer[Any]] | None = None,
    building: ArrayLike | None = None,
    sub_steps: int = 1,
    keep: tuple[int, int] = (0, 0),
    warm_up: int = 720,
    check: bool = True,
    dtype: type = np.float64,
) -> dict[str, NDArray[np.float64]]:
    """Simulate zones hour by hour.

    The last `warm_up` hours are run first, from 20 degC, so that the mass is periodic; `periodic_error` says how nearly.

    Parameters
    ----------
    opaque : (n, n_opaque, 19) float
        Numbers of `OPAQUE` of each zone: area [m2]; capacities of the nodes [J m-2 K-1] and conductances between them
        [W m-2 K-1], outside to inside (`envelope.element_nodes`); films: convection and radiation inside, convection outside as
        a constant [W m-2 K-1] and per wind speed [J m-3 K-1], radiation outside; conductance to the ground or to the partner
        [W m-2 K-1]; share of outside radiation that goes to the sky [1]; absorptance [1]; share of the sun in the zone that it
        absorbs [1]. All outside conductances 0: adiabatic. Area 0: no element.
    window : (n, n_window, 25) float
        Numbers of `WINDOW`: area; conductance between the outer and the inner face; films and sky as above; solar share;
        transmittance sum_i t_i c^i of beam at cosine of incidence c, and of diffuse light; what the outer and the inner node
        absorb of beam, sum_i a_i c^i, and of diffuse light [1]. Panes between them count to both by their place in the
        resistance. The polynomials are idle with a stream.
    zone : (n, 12) float
        Numbers of `ZONE`: capacity of air and furniture [J K-1]; air change with outdoors always and per share of the schedule
        [W K-1]; gains per share [W], their convective part [1]; convective part of the sun [1]; limits of power [W]; weight of
        T_m in the controlled temperature [1]; temperature of the ground, m + c cos(year) + s sin(year) [degC].
    schedule_class : (n,) int
        Index into `schedules`.
    schedules : (n_class, n_hour, 4) float
        Columns of `SCHEDULE`: share of the gains [1], of the ventilation [1], set-points of heating and cooling [degC].
    weather : (n_step, 11) float
        Columns of `WEATHER`: air and sky temperature [degC]; cosine and sine of the time of the year [1]; unit vector to the
        sun [1], beam, dome and horizon of the Perez sky and light of the ground [W m-2]. n_step = n_hour x sub_steps.
    wind_class, wind_speed : (n_step,) int, (n_class,) float
        Class of each step, and speed of each class [m s-1] (`envelope.wind_classes`).
    month : (n_hour,) int
        0 to 11.
    geometry : (n, n_window + n_opaque, 7) float
        Light by the sky: numbers of `GEOMETRY`, windows first: normal, views of sky, sine of tilt, view of the ground, share of
        the beam that arrives [1].
    stream : (n, n_step, 3 n_window + n_opaque) float
        Light by a stream [W m-2]: of each window transmitted, absorbed at the outer and at the inner node; then what each
        opaque element receives. Exactly one of geometry and stream is given.
    partner : (n, n_opaque, 2) int
        Zone and element of the other half of a common wall, -1 where none. Each zone has the half on its side; the boundary
        conductance is that of the middle, whose far node is taken from the step before.
    building : (n,) int
        Building of each zone, ascending; with `partner`, at most 16 zones each.
    sub_steps : int
        Steps of an hour.
    keep : (int, int)
        First hour and end of the hours whose series are returned.
    warm_up : int
        Hours of the warm-up, 30 days by default; all hours where there are fewer.
    check : bool
        Track the residual of the heat balance.
    dtype : type
        float64 or float32: precision of the balance. Multipliers are found in float64.

    Returns
    -------
    dict
        `monthly_heating_need`, `monthly_cooling_need` (n, 12) [J]; `peak_heating_load`, `peak_cooling_load` (n,) [W], hourly
        means; `peak_heating_hour`, `peak_cooling_hour` (n,), from 1, 0 where none; `overheating_hours` [h],
        `overheating_degree_hours` [K h] above 26 degC operative; `mean_air_temperature`, `least_air_temperature`,
        `greatest_air_temperature` (n,) [degC] of hourly means; `energy_residual` (n,) [1], the sum of |residual| over the sum
        of |flows|; `periodic_error` (n,) [K]; and the series of `HOURLY`, (n, keep) [degC, W].

    References
    ----------
    ISO 52016-1:2017, 6.5.6: the balance; its linear reply to power, 6.5.5.2.
    """
    o, w, p = (np.asarray(v, np.float64) for v in (opaque, window, zone))
    classes, month_of = np.asarray(schedule_class, np.int64), np.asarray(month, np.uint64)
    wind, speed = np.asarray(wind_class, np.uint64), np.asarray(wind_speed, np.float64)
    n, n_hour = p.shape[0], schedules.shape[1]
    n_step, n_opaque, n_window = n_hour * sub_steps, o.shape[1], w.shape[1]
    expected: list[tuple[str, Any, tuple[int, ...]]] = [
        ("opaque elements", o, (n, n_opaque, len(OPAQUE))),
        ("windows", w, (n, n_window, len(WINDOW))),
        ("zones", p, (n, len(ZONE))),
        ("schedule classes", classes, (n,)),
        ("schedules", schedules, (schedules.shape[0], n_hour, len(SCHEDULE))),
        ("weather", weather, (n_step, len(WEATHER))),
        ("wind classes", wind, (n_step,)),
        ("months", month_of, (n_hour,)),
    ]
    if (geometry is None) == (stream is None):
        raise ValueError("Give either the geometry or the stream of light.")
    if geometry is not None:
        expected.append(("geometry", geometry, (n, n_window + n_opaque, len(GEOMETRY))))
    if stream is not None:
        expected.append(("stream", stream, (n, n_step, 3 * n_window + n_opaque)))
    if partner is not None:
        expected.append(("partners", partner, (n, n_opaque, 2)))
    for name, array, shape in expected:
        if array.shape != shape:
            raise ValueError(f"The {name} have shape {array.shape}; expected {shape}.")
    if n_opaque < 1:
        raise ValueError("A zone needs an opaque element: it holds the mass.")
    if n and (classes.min() < 0 or classes.max() >= schedules.shape[0]):
        raise ValueError(f"The schedule classes run from {classes.min()} to {classes.max()}; there are {schedules.shape[0]}.")
    if wind.size and wind.max() >= speed.size:
        raise ValueError(f"The wind classes run to {wind.max()}; there are {speed.size}.")
    if not 0 <= keep[0] <= keep[1] <= n_hour:
        raise ValueError(f"The hours {keep[0]} to {keep[1]} cannot be kept of {n_hour}.")
    groups = np.arange(n) if building is None else np.asarray(building, np.int64)
    if partner is not None and n and np.unique(groups, return_counts=True)[1].max() > LANES:
        raise ValueError(f"A building has more than {LANES} zones with common walls.")
    return simulate_lanes(
        o, w, p, geometry, stream, None if partner is None else np.asarray(partner, np.int64), groups, classes, schedules,
        weather, wind, speed, month_of, sub_steps, keep, min(warm_up, n_hour), check, dtype,
    )  # fmt: skip
