"""Names of the numbers of a zone and its elements, and the multipliers that a block of sixteen zones is eliminated to."""

from __future__ import annotations

import numpy as np

from felsina.kernels._backend import rows
from felsina.kernels.energy.iso52016_cells import eliminated

LANES = 16
U = np.uint64
W = U(LANES)  # a constant of at least 16, or LLVM leaves scalar code

OPAQUE = (
    "area", "capacity_0", "capacity_1", "capacity_2", "capacity_3", "capacity_4", "conductance_0", "conductance_1",
    "conductance_2", "conductance_3", "interior_convection", "interior_radiation", "exterior_convection",
    "exterior_convection_wind", "exterior_radiation", "boundary_conductance", "sky_share", "absorptance", "solar_share",
)  # fmt: skip
WINDOW = (
    "area", "conductance", "interior_convection", "interior_radiation", "exterior_convection", "exterior_convection_wind",
    "exterior_radiation", "sky_share", "solar_share",
    "transmittance_1", "transmittance_2", "transmittance_3", "transmittance_4", "transmittance_5", "transmittance_diffuse",
    "outer_1", "outer_2", "outer_3", "outer_4", "outer_diffuse", "inner_1", "inner_2", "inner_3", "inner_4", "inner_diffuse",
)  # fmt: skip
ZONE = (
    "air_capacity", "infiltration", "ventilation", "gain", "convective_gain", "convective_solar", "heating_limit",
    "cooling_limit", "controlled_radiant", "ground_mean", "ground_cosine", "ground_sine",
)  # fmt: skip
GEOMETRY = ("normal_east", "normal_north", "normal_up", "sky_view", "tilt_sine", "ground_view", "sunlit")
SCHEDULE = ("gain", "ventilation", "heating_setpoint", "cooling_setpoint")
WEATHER = (
    "air_temperature", "sky_temperature", "year_cosine", "year_sine", "sun_east", "sun_north", "sun_up", "beam", "dome",
    "horizon", "ground",
)  # fmt: skip
HOURLY = ("air_temperature", "operative_temperature", "heating_load", "cooling_load")


def _names(text: str) -> list[np.uint64]:
    """Return the places of the rows of a block, in numbers of lanes."""
    return [U(i * LANES) for i in range(len(text.split()))]


_OPAQUE = "p0 p1 p2 p3 p4 s1 s2 s3 s4 w0 w1 w2 w3 b g f ah oe os ob oa ig ix size"
(O_P0, O_P1, O_P2, O_P3, O_P4, O_S1, O_S2, O_S3, O_S4, O_W0, O_W1, O_W2, O_W3, O_B, O_G, O_F, O_AH, O_OE, O_OS, O_OB, O_OA,
 O_IG, O_IX, O_SIZE) = _names(_OPAQUE)  # fmt: skip
_WINDOW = "f ah we ws wo wi wt a1 a2 a3 a4 ad t1 t2 t3 t4 t5 td size"
(W_F, W_AH, W_WE, W_WS, W_WO, W_WI, W_WT, W_A1, W_A2, W_A3, W_A4, W_AD, W_T1, W_T2, W_T3, W_T4, W_T5, W_TD,
 W_SIZE) = _names(_WINDOW)  # fmt: skip
Z_ZB, Z_ZS, Z_ZA, Z_ZI, Z_XF, Z_XH, Z_RF, Z_RH, Z_RS, Z_SIZE = _names("zb zs za zi xf xh rf rh rs size")
(F_CA, F_H0, F_H1, F_GN, F_FC, F_FS, F_PH, F_PC, F_WR, F_G0, F_G1, F_G2, F_AR, F_SIZE) = _names(
    "ca h0 h1 gn fc fs ph pc wr g0 g1 g2 ar size"
)
G_NX, G_NY, G_NZ, G_VS, G_VH, G_VG, G_SUN, G_SIZE = _names("nx ny nz vs vh vg sun size")

(I_A, I_C0, I_C1, I_C2, I_C3, I_C4, I_G0, I_G1, I_G2, I_G3, I_HC, I_HR, I_E0, I_E1, I_RE, I_HB, I_SK, I_AL, I_SD,
 I_SIZE) = _names(" ".join(OPAQUE) + " size")  # fmt: skip
(J_A, J_G, J_HC, J_HR, J_E0, J_E1, J_RE, J_SK, J_SD, J_T1, J_T2, J_T3, J_T4, J_T5, J_TD, J_O1, J_O2, J_O3, J_O4, J_OD, J_I1,
 J_I2, J_I3, J_I4, J_ID, J_SIZE) = _names(" ".join(WINDOW) + " size")  # fmt: skip

_STATE = "ta tm rhs aa qx qr hv tb tg gf vf th tc to qh qc ma mo mh mc sh sc ph hh pc hc ov dh at an ax rs fl t0 size"
(L_TA, L_TM, L_RHS, L_AA, L_QX, L_QR, L_HV, L_TB, L_TG, L_GF, L_VF, L_TH, L_TC, L_TO, L_QH, L_QC, L_MA, L_MO, L_MH, L_MC, L_SH,
 L_SC, L_PH, L_HH, L_PC, L_HC, L_OV, L_DH, L_AT, L_AN, L_AX, L_RS, L_FL, L_T0, L_SIZE) = _names(_STATE)  # fmt: skip
R0, R1, R2, R3, R4, R_SO, R_SIZE = _names("r0 r1 r2 r3 r4 so size")  # so: light on the element [W m-2]
ONE, NONE = U(1), U(0)
N_WX, N_SCHEDULE = U(len(WEATHER)), U(len(SCHEDULE))
X_TE, X_TS, X_YC, X_YS, X_SX, X_SY, X_SZ, X_BN, X_D0, X_D1, X_GR = (U(i) for i in range(11))
STREAM = U(3)  # numbers of a window in a stream: transmitted, absorbed at the outer and at the inner node
START = 20.0  # degC, of all nodes before the warm-up


@rows
def prepare_block(po, pw, pz, n_opaque, n_window, dt, speed, co, cw, zs, fx):
    """Fill the multipliers of a block for every class of wind; all flat, lanes innermost.

    po (n_opaque, OPAQUE, W), pw (n_window, WINDOW, W), pz (ZONE, W) physical; co (class, n_opaque, 23, W),
    cw (class, n_window, 18, W), zs (class, 9, W), fx (13, W) out. An element without area does nothing.
    """
    one = 1.0
    for j in range(W):
        total, radiant = 0.0, 0.0
        for k in range(n_opaque):
            q = U(k) * I_SIZE + j
            total += po[q + I_A]
            radiant += po[q + I_A] * po[q + I_HR]
        for k in range(n_window):
            q = U(k) * J_SIZE + j
            total += pw[q + J_A]
            radiant += pw[q + J_A] * pw[q + J_HR]
        for i in range(F_AR // W):
            fx[U(i) * W + j] = pz[U(i) * W + j]
        fx[F_AR + j] = total
        fx[F_CA + j] = pz[F_CA + j] / dt
        lit = one - pz[F_FS + j]  # share of the sun that meets surfaces
        for s in range(speed.size):
            ab, ag, sg, sb, xf, xh, rf, rh = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
            for k in range(n_opaque):
                q = U(k) * I_SIZE + j
                c = (U(s) * U(n_opaque) + U(k)) * O_SIZE + j
                area = po[q + I_A]
                if area <= 0.0:
                    for i in range(O_SIZE // W):
                        co[c + U(i) * W] = 0.0
                    continue
                hc, hr, he = po[q + I_HC], po[q + I_HR], po[q + I_E0] + po[q + I_E1] * speed[s]
                re, hb, sky = po[q + I_RE], po[q + I_HB], po[q + I_SK]
                m = eliminated(
                    po[q + I_C0] / dt, po[q + I_C1] / dt, po[q + I_C2] / dt, po[q + I_C3] / dt, po[q + I_C4] / dt,
                    po[q + I_G0], po[q + I_G1], po[q + I_G2], po[q + I_G3], hc + hr, he + re + hb,
                )  # fmt: skip
                co[c + O_P0], co[c + O_P1], co[c + O_P2], co[c + O_P3], co[c + O_P4] = m[0], m[1], m[2], m[3], m[4]
                co[c + O_S1], co[c + O_S2], co[c + O_S3], co[c + O_S4] = m[5], m[6], m[7], m[8]
                co[c + O_W0], co[c + O_W1], co[c + O_W2], co[c + O_W3] = m[9], m[10], m[11], m[12]
                i0, i4 = m[13], m[14]
                b, g = hc * i4, hr * i4
                f = area * hr / radiant if radiant > 0.0 else area / total
                co[c + O_B], co[c + O_G], co[c + O_F], co[c + O_AH] = b, g, f, area * hc
                co[c + O_OE] = (he + re * (one - sky)) * i0
                co[c + O_OS] = re * sky * i0
                co[c + O_OB] = hb * i0
                co[c + O_OA] = po[q + I_AL] * i0
                co[c + O_IG] = i4 / total
                co[c + O_IX] = lit * po[q + I_SD] / area * i4
                ab += f * b
                ag += f * g
                sg += area * hc * g
                sb += area * hc * (one - b)
            for k in range(n_window):
                q = U(k) * J_SIZE + j
                c = (U(s) * U(n_window) + U(k)) * W_SIZE + j
                area = pw[q + J_A]
                if area <= 0.0:
                    for i in range(W_SIZE // W):
                        cw[c + U(i) * W] = 0.0
                    continue
                hc, hr, through = pw[q + J_HC], pw[q + J_HR], pw[q + J_G]
                he, re, sky = pw[q + J_E0] + pw[q + J_E1] * speed[s], pw[q + J_RE], pw[q + J_SK]
                # Glass holds next to nothing: both nodes go into the multipliers. Heat absorbed outside arrives in this share.
                outer = through / (he + re + through)
                i1 = one / (through * (one - outer) + hc + hr)
                b, g = hc * i1, hr * i1
                f = area * hr / radiant if radiant > 0.0 else area / total
                cw[c + W_F], cw[c + W_AH] = f, area * hc
                cw[c + W_WE] = outer * (he + re * (one - sky)) * i1
                cw[c + W_WS] = outer * re * sky * i1
                cw[c + W_WO], cw[c + W_WI], cw[c + W_WT] = outer * i1, i1, area
                cw[c + W_A1] = (outer * pw[q + J_O1] + pw[q + J_I1]) * i1
                cw[c + W_A2] = (outer * pw[q + J_O2] + pw[q + J_I2]) * i1
                cw[c + W_A3] = (outer * pw[q + J_O3] + pw[q + J_I3]) * i1
                cw[c + W_A4] = (outer * pw[q + J_O4] + pw[q + J_I4]) * i1
                cw[c + W_AD] = (outer * pw[q + J_OD] + pw[q + J_ID]) * i1
                cw[c + W_T1], cw[c + W_T2], cw[c + W_T3] = area * pw[q + J_T1], area * pw[q + J_T2], area * pw[q + J_T3]
                cw[c + W_T4], cw[c + W_T5], cw[c + W_TD] = area * pw[q + J_T4], area * pw[q + J_T5], area * pw[q + J_TD]
                ab += f * b
                ag += f * g
                sg += area * hc * g
                sb += area * hc * (one - b)
                sun, gain = lit * pw[q + J_SD] / area * i1, i1 / total
                xf += f * sun
                xh += area * hc * sun
                rf += f * gain
                rh += area * hc * gain
            c = U(s) * Z_SIZE + j
            closing = one / (one - ag)
            zs[c + Z_ZB], zs[c + Z_ZS] = sb - sg * ab * closing, sg * closing
            zs[c + Z_ZA], zs[c + Z_ZI] = ab, closing
            zs[c + Z_XF], zs[c + Z_XH] = xf, xh + pz[F_FS + j]
            zs[c + Z_RF], zs[c + Z_RH] = rf, rh
            share = pz[F_WR + j]
            zs[c + Z_RS] = one / (one - share + share * ab * closing)
