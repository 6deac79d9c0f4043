"""Longwave of the sky and the humidity of the air against hand calculations."""

import math

import numpy as np

from felsina.kernels.radiation.longwave import dew_point, downwelling_longwave, relative_humidity, standard_pressure


def test_clear_sky_longwave_matches_hand_calculation():
    out = np.empty(2)
    downwelling_longwave(np.full(2, 293.15), np.full(2, 283.15), np.array([0.0, 1.0]), out)
    clear = (0.787 + 0.764 * math.log(283.15 / 273.0)) * 5.670374419e-8 * 293.15**4
    np.testing.assert_allclose(out, [clear, clear * (1 + 0.224 - 0.35 + 0.28)], rtol=1e-12)


def test_dew_point_and_humidity_are_inverse():
    temperature = np.linspace(250.0, 315.0, 50)
    humidity = np.linspace(0.05, 1.0, 50)
    np.testing.assert_allclose(relative_humidity(temperature, dew_point(temperature, humidity)), humidity, rtol=1e-12)


def test_saturated_air_is_at_its_dew_point():
    np.testing.assert_allclose(dew_point(np.array([290.0]), np.array([1.0])), 290.0, rtol=1e-14)


def test_standard_pressure_at_1000_m():
    # ISO 2533: 898.76 hPa
    assert abs(standard_pressure(1000.0) - 89876.0) < 10.0
