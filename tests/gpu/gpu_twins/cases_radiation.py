"""Cases of sun, sky, horizons, shadows and the radiation of streets.

A march takes maxima over the same samples on both sides. What may differ is the contraction of an interpolated height: a few
roundings of some 60 m, 1e-5 m over the shortest passage of 1 m in a tangent, and less in a sky view. In double precision the
transcendental functions of libdevice differ from the host's by one or two of the last bits. The sun turns by 3e6 degrees from
the epoch to 2023, and a rounding of that is 1e-11 radians of its hour angle: what contraction may change.
"""

from __future__ import annotations

import math

import numpy as np

from felsina.kernels.radiation import horizon, longwave, shadow, skyview, street, sun, transposition
from felsina.kernels.radiation.obstacles import obstacles
from felsina.kernels.radiation.rays import even_azimuths, ray_tables
from gpu_twins.harness import Work, case

RESOLUTION = 1.5
PLACE = (math.radians(44.49), math.radians(11.34))


def _model(rng, scale, crowns):
    """Rolling ground with blocks, unknown cells and crowns; two by five blocks of heights, with towers in the last two columns.

    The width is a multiple of the side of a block of heights, so that one column too many is one too many.
    """
    ny, nx = (69, 320) if scale == 1 else (16 * scale, 16 * scale)
    j, i = np.indices((ny, nx))
    z = (0.1 * (i % 60) - 0.07 * j + rng.normal(0, 0.4, (ny, nx))).astype(np.float32)
    is_block = rng.random((ny, nx)) < np.where(i < 192, 0.05, 0.25)
    z[is_block] += (rng.uniform(1, 5, (ny, nx)) * np.where(i < 192, 1, 6)).astype(np.float32)[is_block]
    z[rng.random((ny, nx)) < 0.03] = np.nan
    if not crowns:
        return z, is_block
    stands = rng.random((ny, nx)) < 0.15
    top = np.where(stands, z + rng.uniform(-1, 9, (ny, nx)), np.nan).astype(np.float32)
    return z, is_block, top, top - rng.uniform(0.5, 6, (ny, nx)).astype(np.float32)


def _march(rng, scale, put, azimuths, crowns, run):
    """Run a march in two opposite corners of the model and where four blocks of heights meet, or all over it."""
    z, is_block, *trees = _model(rng, scale, crowns)
    reach = 14.9 if scale == 1 else 200.0
    city = obstacles(z, is_block, RESOLUTION, reach, *trees).moved(put)
    rays = ray_tables(azimuths, RESOLUTION, reach).moved(put)
    ny, nx = z.shape
    windows = ((0, 5, 0, 9), (ny - 5, ny, nx - 17, nx), (62, 66, 183, 196)) if scale == 1 else ((0, ny, 0, nx),)
    found = {f"window_{k}": run(city, rays, window) for k, window in enumerate(windows)}
    return {**found, "faces": city.faces, "ground": city.ground}


# Towards all eight octants, along an axis, and through the corners of cells.
AZIMUTHS = [0.3, 1.5, 1.9, 2.8, 3.5, 4.2, 5.0, 5.9, math.pi, 0.25 * math.pi]


def _pixels(scale):
    return 45 + 85 + 52 if scale == 1 else (16 * scale) ** 2


def _samples(scale):
    """Pixels times directions."""
    return _pixels(scale) * (len(AZIMUTHS) if scale == 1 else 32)


def _directions(scale):
    return AZIMUTHS if scale == 1 else even_azimuths(32)


# Per direction some 20 steps before nothing in reach rises any more, each of two faces and a passage.
@case(horizon.horizon_gpu, relative=1e-6, absolute=1e-5, work=Work("pixel and direction", _samples, 4 + 8 / 32, 20 * 16))
def horizons(rng, scale, put):
    return _march(rng, scale, put, _directions(scale), False, horizon.horizon_tangents)


@case(skyview.sky_view_gpu, relative=1e-6, absolute=1e-6, work=Work("pixel and direction", _samples, 12 / 32, 20 * 16))
def sky_views(rng, scale, put):
    return _march(rng, scale, put, _directions(scale), False, skyview.sky_view)


@case(
    skyview.sky_view_with_crowns_gpu, relative=1e-6, absolute=1e-6, work=Work("pixel and direction", _samples, 20 / 32, 20 * 26)
)
def sky_views_with_crowns(rng, scale, put):
    def run(city, rays, window):
        return skyview.sky_view(city, rays, window, None, 0.15)

    return _march(rng, scale, put, _directions(scale), True, run)


def _suns(rng, scale, put, crowns):
    """Suns of all heights, one below the horizon."""
    elevations = [0.12, 0.4, 1.2, 0.7, -0.1] if scale == 1 else [0.5]

    def run(city, rays, window):
        shares = [
            shadow.sun_visible(city, rays.one(k), elevation, window, None, 0.15) for k, elevation in enumerate(elevations)
        ]
        for k, share in enumerate(shares):
            found[f"sun_{k}_{window[0]}"] = share
        return shares[0]

    found: dict[str, object] = {}
    return {**_march(rng, scale, put, [2.3, 4.0, 0.9, 5.3, 1.0][: len(elevations)], crowns, run), **found}


# Of a million rays, each past some twenty edges, tens graze one by less than the rounding of a height.
GRAZING = 1e-4


# Light, dimmed light or none: no rounding changes which, where no ray grazes an edge by less than 1e-5 m.
@case(shadow.sun_visible_gpu, rare=GRAZING, work=Work("pixel", _pixels, 12, 20 * 10))
def suns(rng, scale, put):
    return _suns(rng, scale, put, False)


@case(shadow.sun_visible_gpu, rare=GRAZING)
def suns_behind_crowns(rng, scale, put):
    return _suns(rng, scale, put, True)


@case(shadow.add_shade_gpu, shadow.sun_visible_gpu, relative=1e-6, absolute=1e-7, rare=GRAZING)
def shaded_shares(rng, scale, put):
    def run(city, rays, window):
        return shadow.shadow_fraction(city, rays, [0.3, 0.5, -0.1], [1.0, 2.0, 4.0], window, None, 0.15)

    return _march(rng, scale, put, [2.3, 4.0, 1.0], True, run)


# -- sun and sky --------------------------------------------------------------------------------------------------------------


def _hours(rng, scale):
    n = 60 * scale
    return 8500.0 + np.arange(n) / 24.0 + rng.uniform(0, 0.01, n)


@case(sun.positions_gpu, absolute=2e-11, work=Work("time", lambda scale: 60 * scale, 7 * 8, 400))
def sun_positions(rng, scale, put):
    day = _hours(rng, scale)
    day[3] = np.inf  # no time, so no place
    return sun.solar_position(put(day), *PLACE, 99000.0, 291.0)


def _step(scale):
    """Length of an interval [s]: two sub-steps, or the six of an hour."""
    return 1200.0 if scale == 1 else 3600.0


def _weather(rng, end):
    """Direct, diffuse and global irradiance under the sun of each interval, overcast to clear, with hours of night."""
    up = np.maximum(np.sin(sun.solar_position(end, *PLACE)["elevation"]), 0.0)
    diffuse = up * rng.uniform(20, 450, end.size)
    diffuse[rng.random(end.size) < 0.1] = 0.0
    diffuse[7] = np.nan  # missing: stays so
    direct = 950 * up**0.3 * rng.uniform(0, 1, end.size) ** 2
    return direct, diffuse, diffuse + direct * up - 5.0 * (rng.random(end.size) < 0.1)


def _first_hours(rng):
    """Hours about the epoch, where angles are small and what is rounded of them is less still."""
    return np.arange(60) / 24.0 + rng.uniform(-1.3, -1.29, 60)


# Here each of the functions must be right to its last bits: four roundings of an angle, and 229 minutes of time to the radian.
@case(sun.positions_gpu, absolute=2e-13)
def sun_positions_about_the_epoch(rng, scale, put):
    return sun.solar_position(put(_first_hours(rng)), *PLACE, 99000.0, 291.0)


@case(transposition.sky_states_gpu, relative=1e-14, absolute=1e-12)
def skies_about_the_epoch(rng, scale, put):
    end = _first_hours(rng)
    inputs = [put(v) for v in (end, *_weather(rng, end))]
    return {"sky": transposition.sky_states(inputs[0], 1200.0, *PLACE, *inputs[1:], 0.23)}


@case(transposition.split_global_gpu, relative=1e-14, absolute=1e-12)
def split_irradiance_about_the_epoch(rng, scale, put):
    end = _first_hours(rng)
    total = put(_weather(rng, end)[2])
    diffuse, direct = transposition.split_global(put(end), 1200.0, *PLACE, total)
    return {"diffuse": diffuse, "direct": direct}


@case(
    transposition.sky_states_gpu,
    relative=1e-12,
    absolute=1e-8,
    work=Work("interval", lambda scale: 60 * scale, 46 * 8, 12 * 400),
)
def skies(rng, scale, put):
    end = _hours(rng, scale)
    inputs = [put(v) for v in (end, *_weather(rng, end))]
    return {"sky": transposition.sky_states(inputs[0], _step(scale), *PLACE, *inputs[1:], 0.23)}


def _sky(rng, scale):
    # The compiler carries out four sub-steps at a time: eleven take that loop twice and the one for the rest.
    sky = rng.uniform(-300, 600, (23 * scale, 11 if scale == 1 else 6, transposition.N_SKY))
    sky[..., 6] = np.abs(sky[..., 6])
    sky[3, 2, 4] = np.nan
    return sky


# Sums of a few terms of some 600 W m-2; contraction and the last bit of a sine.
@case(transposition.mean_sky_gpu, relative=1e-14, absolute=1e-12, work=Work("value", lambda scale: 161 * scale, 7 * 8, 7))
def mean_skies(rng, scale, put):
    sky = _sky(rng, scale)
    few = {f"mean_of_{n}": transposition.mean_sky(put(np.ascontiguousarray(sky[:, :n]))) for n in (1, 2, 4)}
    return {"mean": transposition.mean_sky(put(sky)), **few}


@case(transposition.tilted_gpu, relative=1e-14, absolute=5e-13)
def tilted_surfaces(rng, scale, put):
    tilt, azimuth = rng.uniform(0, 3.1, 5), rng.uniform(0, 6.2, 5)
    # Angles that take the long way to their quadrant, and one that has none.
    tilt[1], azimuth[2:] = 3e11, (-7e10, 1e300, np.inf)
    return {"irradiance": transposition.tilted_irradiance(put(_sky(rng, scale)), put(tilt), put(azimuth))}


@case(transposition.sectors_gpu, relative=1e-14, absolute=5e-13)
def sectors(rng, scale, put):
    return {"irradiance": transposition.sector_irradiance(put(_sky(rng, scale)))}


# The beam is a quotient by the sine of the elevation, 0.01 at least.
@case(transposition.split_global_gpu, relative=1e-9, absolute=1e-7)
def split_irradiance(rng, scale, put):
    end = _hours(rng, scale)
    total = put(_weather(rng, end)[2])
    diffuse, direct = transposition.split_global(put(end), _step(scale), *PLACE, total)
    return {"diffuse": diffuse, "direct": direct}


def _air(rng, scale):
    n = 60 * scale
    share = rng.uniform(0, 1, n)
    share[5:9] = np.nan, 1e-4, 0.0, 1.0
    return rng.uniform(250, 315, n), share


@case(longwave.sky_radiation_gpu, relative=4e-15)
def sky_radiation(rng, scale, put):
    temperature, cloud = _air(rng, scale)
    dew_point = temperature - rng.uniform(0, 15, temperature.size)
    dew_point[:4] = 0.0, -5.0, 5e-307, np.inf  # where a logarithm is special
    out = put(np.full(temperature.size, np.nan))
    longwave.downwelling_longwave(put(temperature), put(dew_point), put(cloud), out)
    return {"out": out}


@case(longwave.dew_point_gpu, relative=4e-15)
def dew_points(rng, scale, put):
    temperature, humidity = _air(rng, scale)
    return {"out": longwave.dew_point(put(temperature), put(humidity))}


@case(longwave.relative_humidity_gpu, relative=1e-14, absolute=1e-307)
def humidities(rng, scale, put):
    temperature, _ = _air(rng, scale)
    dew_point = temperature - rng.uniform(0, 15, temperature.size)
    # Colder than any air: an exponential that is subnormal, zero, large, infinite.
    temperature[:4], dew_point[:4] = (273.15, 273.15, 36.2, 273.15), (35.84, 31.0, 273.15, 29.9)
    return {"out": longwave.relative_humidity(put(temperature), put(dew_point))}


# -- streets ------------------------------------------------------------------------------------------------------------------


def _surfaces(rng, scale, *ranges):
    n = 150 * scale
    values = [rng.uniform(low, high, n).astype(np.float32) for low, high in ranges]
    values[0][n // 2] = np.nan
    return values


def _surface_work(arrays, flops):
    return Work("surface", lambda scale: 150 * scale, 4 * arrays, flops)


@case(street.ambient_gpu, relative=5e-7, work=_surface_work(4, 9))
def ambient_radiation(rng, scale, put):
    sky, air = _surfaces(rng, scale, (0, 1), (280, 315))
    out = [put(np.full_like(sky, 7)) for _ in range(2)]
    street.ambient_radiation(put(sky), put(air), 341.7, 120.3, 655.1, 0.23, *out)
    return {"longwave": out[0], "diffuse": out[1]}


@case(street.beam_gpu, relative=5e-7, work=_surface_work(9, 9))
def beams(rng, scale, put):
    ranges = ((0, 400), (0, 1), (0, 500), (0, 1), (0, 1))
    diffuse, visible, *sums = (put(v) for v in _surfaces(rng, scale, *ranges))
    shortwave = put(np.full(diffuse.size, 7, np.float32))
    street.add_beam(diffuse, visible, 510.3, 0.17, 0.25, 0.125, shortwave, *sums)
    return {"shortwave": shortwave, "total": sums[0], "shaded": sums[1], "sunlit": sums[2], "visible": visible}


@case(street.surface_sums_gpu, relative=5e-7, absolute=1e-5, work=_surface_work(6, 4))
def surface_sums(rng, scale, put):
    temperature, sensible, *sums = (put(v) for v in _surfaces(rng, scale, (280, 330), (-50, 300), (0, 300), (-50, 200)))
    street.add_surface(temperature, sensible, 0.17, *sums)
    return {"temperature": sums[0], "sensible": sums[1], "surface": temperature}


@case(street.kelvin_to_celsius_gpu, work=_surface_work(2, 1))
def celsius(rng, scale, put):
    kelvin = put(_surfaces(rng, scale, (250, 330))[0])
    degrees = put(np.full(kelvin.size, 7, np.float32))
    street.kelvin_to_celsius(kelvin, degrees)
    return {"degrees": degrees, "kelvin": kelvin}
