"""Longwave radiation of the sky and the humidity that it needs, for weather files that leave them out.

References
----------
Clark, Allen (1978), The estimation of atmospheric radiation for clear and cloudy skies. Proc. 2nd National Passive Solar
Conference, 675-678; cloud factor of Walton (1983), NBSIR 83-2655.
Sonntag (1990), Important new values of the physical constants of 1986, vapour pressure formulations based on the ITS-90.
Z. Meteorol. 40, 340-344 (Magnus form, over water).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from felsina.kernels._backend import array_module, cell, gpu, on_gpu, rows
from felsina.kernels.bounds import at_least
from felsina.kernels.constants import STEFAN_BOLTZMANN, ZERO_CELSIUS

_MAGNUS_A, _MAGNUS_B = 17.62, 243.12  # 1, K: Sonntag 1990


@cell
def sky_emittance(dew_point, cloud):
    """Return the emittance of the sky [1] from the dew point [K] and the cloud cover [0 to 1] (Clark and Allen 1978)."""
    n = 10.0 * cloud
    clear = 0.787 + 0.764 * math.log(dew_point / 273.0)
    return clear * (1.0 + n * (0.0224 + n * (-0.0035 + n * 0.00028)))


@cell
def dew_point_of(temperature, relative_humidity):
    """Return the dew point [K] of air at a temperature [K] and relative humidity [1] (Magnus form)."""
    degrees = temperature - ZERO_CELSIUS
    g = math.log(at_least(relative_humidity, 1e-3)) + _MAGNUS_A * degrees / (_MAGNUS_B + degrees)
    return ZERO_CELSIUS + _MAGNUS_B * g / (_MAGNUS_A - g)


@cell
def humidity_of(temperature, dew_point):
    """Return the relative humidity [1] of air at a temperature and dew point [K] (Magnus form)."""
    t = temperature - ZERO_CELSIUS
    d = dew_point - ZERO_CELSIUS
    return math.exp(_MAGNUS_A * (d / (_MAGNUS_B + d) - t / (_MAGNUS_B + t)))


@cell
def standard_pressure(elevation):
    """Return the air pressure [Pa] of the standard atmosphere at an elevation [m] (ISO 2533:1975, troposphere)."""
    return 101325.0 * (1.0 - 2.25577e-5 * elevation) ** 5.25588


@cell
def sky_radiation(temperature, dew_point, cloud):
    """Return the downwelling longwave [W m-2] from temperature and dew point [K] and cloud cover [1]: eps sigma T^4."""
    squared = temperature * temperature
    return sky_emittance(dew_point, cloud) * STEFAN_BOLTZMANN * squared * squared


@rows
def _radiation(temperature, dew_point, cloud, out):
    for i in range(out.size):
        out[i] = sky_radiation(temperature[i], dew_point[i], cloud[i])


@gpu("f8* f8* f8* f8*")
def sky_radiation_gpu(i, temperature, dew_point, cloud, out):
    out[i] = sky_radiation(temperature[i], dew_point[i], cloud[i])


def downwelling_longwave(
    temperature: NDArray[np.float64], dew_point: NDArray[np.float64], cloud: NDArray[np.float64], out: NDArray[np.float64]
) -> None:
    """Fill out (n,) with eps sigma T^4 [W m-2] from temperature and dew point [K] and cloud cover [1], all on one side."""
    if on_gpu(temperature, dew_point, cloud, out):
        sky_radiation_gpu((out.size,), temperature, dew_point, cloud, out)
    else:
        _radiation(temperature, dew_point, cloud, out)


@rows
def _dew_points(temperature, humidity, out):
    for i in range(out.size):
        out[i] = dew_point_of(temperature[i], humidity[i])


@gpu("f8* f8* f8*")
def dew_point_gpu(i, temperature, humidity, out):
    out[i] = dew_point_of(temperature[i], humidity[i])


@rows
def _humidities(temperature, dew_point, out):
    for i in range(out.size):
        out[i] = humidity_of(temperature[i], dew_point[i])


@gpu("f8* f8* f8*")
def relative_humidity_gpu(i, temperature, dew_point, out):
    out[i] = humidity_of(temperature[i], dew_point[i])


def dew_point(temperature: NDArray[np.float64], relative_humidity: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute dew points [K] of air from temperatures [K] and relative humidities [1], all (n,) and on one side."""
    out = array_module(temperature).empty(temperature.size, np.float64)
    if on_gpu(temperature, relative_humidity, out):
        dew_point_gpu((out.size,), temperature, relative_humidity, out)
    else:
        _dew_points(temperature, relative_humidity, out)
    return out


def relative_humidity(temperature: NDArray[np.float64], dew_point: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute relative humidities [1] of air from temperatures and dew points [K], all (n,) and on one side."""
    out = array_module(temperature).empty(temperature.size, np.float64)
    if on_gpu(temperature, dew_point, out):
        relative_humidity_gpu((out.size,), temperature, dew_point, out)
    else:
        _humidities(temperature, dew_point, out)
    return out
