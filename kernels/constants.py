"""Physical constants: name, value, unit, source. Material and species data are tables under `engine/data`, not here."""

from __future__ import annotations

STEFAN_BOLTZMANN = 5.670374419e-8  # W m-2 K-4, CODATA 2018 (exact from the SI of 2019)
ZERO_CELSIUS = 273.15  # K, SI
GRAVITY = 9.80665  # m s-2, 3rd CGPM 1901

VON_KARMAN = 0.40  # 1, Hogstrom 1988, Boundary-Layer Meteorol. 42, 55-78
DRY_AIR_GAS_CONSTANT = 287.05287  # J kg-1 K-1, ISO 2533:1975
AIR_HEAT_CAPACITY = 1004.67  # J kg-1 K-1, dry air at constant pressure, Stull 1988, appendix C
AIR_DENSITY = 1.225  # kg m-3, sea level and 15 degrees Celsius, ISO 2533:1975
AIR_VOLUMETRIC_HEAT_CAPACITY = AIR_DENSITY * AIR_HEAT_CAPACITY  # J m-3 K-1
VAPORISATION_HEAT = 2.501e6  # J kg-1, water at 0 degrees Celsius, Stull 1988, appendix C
