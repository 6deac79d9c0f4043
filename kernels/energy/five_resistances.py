"""One hour of a building as one zone with five resistances and one capacity (ISO 13790 5R1C): the formula of one building.

    air      H_ve (T_a - T_e) + H_is (T_a - T_s) = P_ia + Q
    surface  H_is (T_s - T_a) + H_w (T_s - T_e) + H_ms (T_s - T_m) = P_st
    mass     C_m dT_m/dt = H_ms (T_s - T_m) - H_em (T_m - T_e) + P_m          (Crank-Nicolson, 1 h)

    P_ia = P_int/2,  P_m = A_m/A_t x,  P_st = (1 - A_m/A_t - H_w/(9.1 A_t)) x,  x = P_int/2 + P_sol
    H_ms = 9.1 A_m,  H_em = 1/(1/H_op - 1/H_ms),  H_is = 3.45 A_t,  T_op = 0.3 T_a + 0.7 T_s

The answer is linear in the power Q, so the power that holds a set-point comes from two evaluations (none and one watt), cut
at the installed power.

`min` and `max` are spelt out: a GPU's own return the other argument where one is not a number, and a building whose balance is
not finite would come out with a need of zero.

References
----------
ISO 13790:2008, 12.2.2 and annex C (C.1 to C.11); 11.4.6 for the radiation to the sky.
"""

from __future__ import annotations

from felsina.kernels._backend import cell
from felsina.kernels.radiation.transposition import N_SECTOR

PARAMETERS = (
    "opaque_transmission",  # H_op [W K-1], thermal bridges and unheated spaces included
    "window_transmission",  # H_w [W K-1]
    "infiltration",  # W K-1
    "ventilation",  # W K-1 at full flow
    "heat_capacity",  # C_m [J K-1]
    "mass_area",  # A_m [m2]
    "internal_area",  # A_t [m2]
    "gain_area",  # floor area of the internal gains [m2]
    "heating_power",  # W, inf where unlimited
    "cooling_power",  # W, 0 where there is no cooling
    "sky_loss",  # W K-1 times air minus sky temperature
    *(f"aperture_{i}" for i in range(N_SECTOR)),  # m2: eight walls, horizontal, ground reflection
)
SCHEDULE = ("gain", "ventilation", "heating_setpoint", "cooling_setpoint")  # W m-2, 1, degC, degC
WEATHER = ("air_temperature", "sky_depression", *(f"irradiance_{i}" for i in range(N_SECTOR)))  # degC, K, W m-2
HOURLY = ("indoor_air_temperature", "operative_temperature", "heating_load", "cooling_load")  # degC, degC, W, W
OVERHEATING_LIMIT = 26.0  # degC operative


@cell
def multipliers(opaque, window, infiltration, ventilation, capacity, mass_area, internal_area, share):
    """What an hour multiplies by, for a share of the ventilation: it changes only when the share does.

    Returns
    -------
    (ventilation H_ve, mass share A_m/A_t, surface share, H_em, H_ms/2, H_is, H_w + H_1, H_is/(H_is + H_ve), 1/(H_is + H_ve),
    1/(H_ms + H_w + H_1), H_ms/(H_ms + H_w + H_1), 1/denominator of T_m, factor of the old T_m, T_m, T_s and T_a per watt,
    watts per kelvin of T_a, C_m per hour)
    """
    real = type(opaque)
    one, half, nine = real(1), real(0.5), real(9.1)
    ve = infiltration + share * ventilation
    ms = nine * mass_area
    em = opaque * ms / (ms - opaque)
    si = real(3.45) * internal_area
    ra = mass_area / internal_area
    ia = one / (si + ve)
    c1 = si * ia
    h1 = ve * c1
    i2 = one / (ms + window + h1)
    h3 = (h1 + window) * ms * i2
    cd = capacity / real(3600)
    den = one / (cd + half * (h3 + em))
    tn = ms * i2 * c1 * den
    ts = (ms * half * tn + c1) * i2
    ta = (si * ts + one) * ia
    rs = one - ra - window / (nine * internal_area)
    dif = cd - half * (h3 + em)
    return ve, ra, rs, em, ms * half, si, window + h1, c1, ia, i2, ms * i2, den, dif, tn, ts, ta, one / ta, cd


@cell
def solar_gain(apertures, irradiances, sky_loss, sky):
    """Heat of the sun through ten apertures [m2], less that radiated to a sky colder than the air by `sky` [K]; [W]."""
    a0, a1, a2, a3, a4, a5, a6, a7, a8, a9 = apertures
    i0, i1, i2, i3, i4, i5, i6, i7, i8, i9 = irradiances
    return (
        a0 * i0 + a1 * i1 + a2 * i2 + a3 * i3 + a4 * i4 + a5 * i5 + a6 * i6 + a7 * i7 + a8 * i8 + a9 * i9 - sky_loss * sky
    )  # fmt: skip


@cell
def clipped(value, most):
    """Return a value cut to 0 and `most`; what is not a number stays."""
    zero = type(value)(0)
    above = zero if zero > value else value
    return most if most < above else above


@cell
def hour(mass, outdoor, internal, solar, heating_setpoint, cooling_setpoint, heating_power, cooling_power, m):
    """Advance a building by one hour.

    Parameters
    ----------
    mass, outdoor : T_m at the start and T_e [degC]
    internal, solar : P_ia = P_int/2 and P_sol [W]
    heating_setpoint, cooling_setpoint : [degC]
    heating_power, cooling_power : installed [W]
    m : tuple
        Of `multipliers`.

    Returns
    -------
    (T_m at the end, T_s, T_a, T_op [degC], heating, cooling [W])
    """
    real = type(mass)
    ve, ra, rs, em, ms, si, hs, c1, ia, i2, h3, den, dif, tq, sq, aq, iq, _ = m
    x = internal + solar
    inner = rs * x + hs * outdoor + c1 * internal
    tn = (mass * dif + ra * x + em * outdoor + h3 * inner) * den
    ts = (ms * (mass + tn) + inner) * i2
    ta = (si * ts + ve * outdoor + internal) * ia
    heating = clipped((heating_setpoint - ta) * iq, heating_power)
    cooling = clipped((ta - cooling_setpoint) * iq, cooling_power)
    q = heating - cooling
    tn += tq * q
    ts += sq * q
    ta += aq * q
    return tn, ts, ta, real(0.3) * ta + real(0.7) * ts, heating, cooling


@cell
def imbalance(mass, new, surface, air, outdoor, internal, solar, power, window, m):
    """Return |residual| of the heat balance of an hour and the sum of its |flows| [W]: an account that `hour` never makes."""
    ve, ra, rs, em, _, _, _, _, _, _, _, _, _, _, _, _, _, cd = m
    x = internal + solar
    half = type(mass)(0.5)
    loss = ve * (air - outdoor) + window * (surface - outdoor) + em * (half * (mass + new) - outdoor)
    store = cd * (new - mass)
    gains = internal + ra * x + rs * x
    return abs(gains + power - loss - store), abs(gains) + abs(power) + abs(loss) + abs(store)


@cell
def greatest(load, hour_number, peak, peak_hour):
    """Return the peak so far and its hour, counted from 1."""
    return (load, hour_number) if load > peak else (peak, peak_hour)


@cell
def overheating(operative, limit, on):
    """Return the kelvins above a limit and the hour, 1, if there are any; nothing where `on` is 0."""
    zero = type(operative)(0)
    above = operative - limit
    warm = (zero if zero > above else above) * on
    return warm, on if warm > zero else zero
