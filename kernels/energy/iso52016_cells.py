"""Cells of the condensed ISO 52016-1 zone: what one opaque element, one window and one zone do in a time step.

An opaque element is a chain of five nodes, 0 outside to 4 inside, in implicit Euler; c_i = C_i / dt and g_i, the conductance
between nodes i and i + 1. Chains meet only at the air T_a and at the mean radiant temperature T_m, so each is swept to its
inner surface and no matrix is left:

    D_0 = c_0 + H + g_0,  D_i = c_i + g_i + g_(i-1) (1 - w_(i-1)),  D_4 = c_4 + g_3 (1 - w_3) + h_ci + h_ri
    w_i = g_i / D_i,  p_i = c_i / D_i,  s_i = g_(i-1) / D_i
    r_i = p_i T_i + s_i r_(i-1) + sources / D_i                forward, T of the step before
    T_4 = r_4 + b T_a + g T_m,  b = h_ci / D_4,  g = h_ri / D_4
    T_i = r_i + w_i T_(i+1)                                    back

with H all conductances at the outer face. With f the share of a surface in sum(A h_ri), which closes the exchange of longwave

    T_m = (sum f a + T_a sum f b) / (1 - sum f g)
    (C_a/dt + H_ve + sum A h_ci (1 - b) - S sum f b) T_a = C_a/dt T_a' + H_ve T_e + gains + sum A h_ci a + S sum f a + q
    S = sum A h_ci g / (1 - sum f g)

The answer is linear in the power q: what holds a set-point comes from the free temperature, without a second solve. The back
sweep of a step and the forward sweep of the next run in one pass, so only r is kept.

References: ISO 52016-1:2017, 6.5.6 (the balance of zone, surfaces and nodes); Press et al. 2007, Numerical Recipes, 2.4 (the
elimination of a tridiagonal system).
"""

from __future__ import annotations

from felsina.kernels._backend import cell

OVERHEATING_LIMIT = 26.0  # degC, operative; upper limit of category II for sedentary work in EN 16798-1:2019, table B.5


@cell
def eliminated(c0, c1, c2, c3, c4, g0, g1, g2, g3, h_in, h_out):
    """Eliminate a chain: c C/dt, g, h_in = h_ci + h_ri and h_out [W m-2 K-1].

    Returns
    -------
    (p0 .. p4, s1 .. s4, w0 .. w3 [1], 1/D_0, 1/D_4 [m2 K W-1])
    """
    one = type(c0)(1)
    i0 = one / (c0 + h_out + g0)
    w0 = g0 * i0
    i1 = one / (c1 + g1 + g0 * (one - w0))
    w1 = g1 * i1
    i2 = one / (c2 + g2 + g1 * (one - w1))
    w2 = g2 * i2
    i3 = one / (c3 + g3 + g2 * (one - w2))
    w3 = g3 * i3
    i4 = one / (c4 + g3 * (one - w3) + h_in)
    return (
        c0 * i0, c1 * i1, c2 * i2, c3 * i3, c4 * i4, g0 * i1, g1 * i2, g2 * i3, g3 * i4, w0, w1, w2, w3, i0, i4
    )  # fmt: skip


@cell
def back(r0, r1, r2, r3, r4, w0, w1, w2, w3, b, g, air, radiant):
    """Return the temperatures of the five nodes at the end of the last step [degC]."""
    t4 = r4 + b * air + g * radiant
    t3 = r3 + w3 * t4
    t2 = r2 + w2 * t3
    t1 = r1 + w1 * t2
    return r0 + w0 * t1, t1, t2, t3, t4


@cell
def forward(p0, p1, p2, p3, p4, s1, s2, s3, s4, t0, t1, t2, t3, t4, outer, inner):
    """Return r0 .. r4 [degC] of this step; outer, inner: the sources of node 0 and node 4 over D_0 and D_4 [K]."""
    r0 = p0 * t0 + outer
    r1 = p1 * t1 + s1 * r0
    r2 = p2 * t2 + s2 * r1
    r3 = p3 * t3 + s3 * r2
    return r0, r1, r2, r3, p4 * t4 + s4 * r3 + inner


@cell
def closed(num, den, aa, ab, inverse_ag, share, response, t_heat, t_cool, p_heat, p_cool):
    """Close the balance of a zone and find the power that holds the set-points.

    Parameters
    ----------
    num, den : right-hand side [W] and coefficient [W K-1] of the air without power
    aa, ab, inverse_ag : sum f a [K], sum f b [1], 1 / (1 - sum f g) [1]
    share : of T_m in the temperature that is controlled [1]: 0 air, 0.5 operative
    response : 1 / (1 - share + share ab inverse_ag) [1], the controlled temperature's reply to the air's
    t_heat, t_cool, p_heat, p_cool : set-points [degC] and limits of power >= 0 [W]

    Returns
    -------
    (T_a, T_m [degC], heating, cooling >= 0 [W])
    """
    real = type(num)
    zero = real(0)
    inverse = real(1) / den
    free = num * inverse
    radiant = (aa + ab * free) * inverse_ag
    controlled = free + share * (radiant - free)
    slope = den * response
    heating = min(max((t_heat - controlled) * slope, zero), p_heat)
    cooling = min(max((controlled - t_cool) * slope, zero), p_cool)
    air = free + (heating - cooling) * inverse
    return air, (aa + ab * air) * inverse_ag, heating, cooling


@cell
def incident(nx, ny, nz, vs, vh, vg, sx, sy, sz, d0, d1, gr):
    """Return the cosine of incidence, >= 0 [1], and the irradiance from sky and ground [W m-2] of a surface.

    The Perez sky as seven scalars of the hour and six numbers of the surface (`radiation.transposition`): s unit vector to the
    sun, d0 and d1 dome and horizon, gr light from the ground; vs, vg views of sky and ground, vh sine of the tilt.
    """
    zero = type(sx)(0)
    return max(nx * sx + ny * sy + nz * sz, zero), max(d0 * vs + d1 * vh, zero) + gr * vg


@cell
def greatest(value, hour, best, best_hour):
    """Return the greater of a value and the best so far, with its hour."""
    higher = value > best
    return (value if higher else best), (hour if higher else best_hour)
