"""What a block of sixteen zones does in a step of ISO 52016-1 on the CPU.

The loop over elements stands inside force-inlined row functions: a call for every row costs more than its 60 vector
instructions.
"""

# ruff: noqa: I001  one name a line would be longer than the code

from __future__ import annotations

from felsina.kernels._backend import cell
from felsina.kernels.energy.iso52016_cells import back, closed, forward, greatest, incident
from felsina.kernels.energy.iso52016_rows import (
    F_CA, F_FC, F_G0, F_G1, F_G2, F_GN, F_H0, F_H1, F_PC, F_PH, F_WR, G_NX, G_NY, G_NZ, G_SIZE, G_SUN, G_VG, G_VH, G_VS, L_AA,
    L_AN, L_AT, L_AX, L_DH, L_GF, L_HC, L_HH, L_HV, L_MA, L_MC, L_MH, L_MO, L_OV, L_PC, L_PH, L_QC, L_QH, L_QR, L_QX, L_RHS,
    L_SC, L_SH, L_TA, L_TB, L_TC, L_TG, L_TH, L_TM, L_TO, L_VF, NONE, O_AH, O_B, O_F, O_G, O_IG, O_IX, O_OA, O_OB, O_OE, O_OS,
    O_P0, O_P1, O_P2, O_P3, O_P4, O_S1, O_S2, O_S3, O_S4, O_SIZE, O_W0, O_W1, O_W2, O_W3, R0, R1, R2, R3, R4, R_SIZE, R_SO,
    STREAM, U, W, W_A1, W_A2, W_A3, W_A4, W_AD, W_AH, W_F, W_SIZE, W_T1, W_T2, W_T3, W_T4, W_T5, W_TD, W_WE, W_WI, W_WO, W_WS,
    W_WT, Z_RF, Z_RH, Z_RS, Z_XF, Z_XH, Z_ZA, Z_ZB, Z_ZI, Z_ZS,
)  # fmt: skip


@cell
def fill(z, row, value):
    """Give all lanes of a row one value."""
    for j in range(W):
        z[row + j] = value


@cell
def start(fx, z, te, yc, ys, audited):
    """Begin a step: air side of the balance, gains, temperature of the ground."""
    zero = z.dtype.type(0)
    for j in range(W):
        gain = z[L_GF + j] * fx[F_GN + j]
        to_air = gain * fx[F_FC + j]
        hv = fx[F_H0 + j] + z[L_VF + j] * fx[F_H1 + j]
        z[L_HV + j] = hv
        if audited is not None:
            z[L_TO + j] = z[L_TA + j]
        z[L_RHS + j] = fx[F_CA + j] * z[L_TA + j] + hv * te + to_air
        z[L_QR + j] = gain - to_air
        ground = fx[F_G0 + j] + fx[F_G1 + j] * yc + fx[F_G2 + j] * ys
        z[L_TG + j] = ground
        z[L_TB + j] = ground
        z[L_AA + j] = zero
        z[L_QX + j] = zero


@cell
def windows_stream(cw, c, n, z, r, q, stream, i, te, ts, audited):
    for _ in range(n):
        for j in range(W):
            a = (
                cw[c + W_WE + j] * te + cw[c + W_WS + j] * ts
                + cw[c + W_WO + j] * stream[i + W + j] + cw[c + W_WI + j] * stream[i + W + W + j]
            )  # fmt: skip
            if audited is not None:
                r[q + j] = a
            z[L_QX + j] += cw[c + W_WT + j] * stream[i + j]
            z[L_AA + j] += cw[c + W_F + j] * a
            z[L_RHS + j] += cw[c + W_AH + j] * a
        c += W_SIZE
        i += STREAM * W
        q += W


@cell
def windows_sky(cw, c, n, z, r, y, ge, te, ts, sx, sy, sz, bn, d0, d1, gr, audited):
    q = NONE
    for _ in range(n):
        for j in range(W):
            cs, dif = incident(
                ge[q + G_NX + j], ge[q + G_NY + j], ge[q + G_NZ + j], ge[q + G_VS + j], ge[q + G_VH + j], ge[q + G_VG + j],
                sx, sy, sz, d0, d1, gr,
            )  # fmt: skip
            sun = cs * cs * bn * ge[q + G_SUN + j]
            a = (
                cw[c + W_WE + j] * te + cw[c + W_WS + j] * ts + cw[c + W_AD + j] * dif
                + sun * (cw[c + W_A1 + j] + cs * (cw[c + W_A2 + j] + cs * (cw[c + W_A3 + j] + cs * cw[c + W_A4 + j])))
            )  # fmt: skip
            if audited is not None:
                r[y + j] = a
            z[L_QX + j] += cw[c + W_TD + j] * dif + sun * (
                cw[c + W_T1 + j]
                + cs * (cw[c + W_T2 + j] + cs * (cw[c + W_T3 + j] + cs * (cw[c + W_T4 + j] + cs * cw[c + W_T5 + j])))
            )
            z[L_AA + j] += cw[c + W_F + j] * a
            z[L_RHS + j] += cw[c + W_AH + j] * a
        c += W_SIZE
        q += G_SIZE
        y += W


@cell
def _element(co, p, c, r, q, z, j, te, ts, sun, audited):
    """Sweep one element back for the last step (multipliers at p) and forward for this one (at c)."""
    t0, t1, t2, t3, t4 = back(
        r[q + R0 + j], r[q + R1 + j], r[q + R2 + j], r[q + R3 + j], r[q + R4 + j], co[p + O_W0 + j], co[p + O_W1 + j],
        co[p + O_W2 + j], co[p + O_W3 + j], co[p + O_B + j], co[p + O_G + j], z[L_TA + j], z[L_TM + j],
    )  # fmt: skip
    outer = co[c + O_OE + j] * te + co[c + O_OS + j] * ts + co[c + O_OB + j] * z[L_TB + j] + co[c + O_OA + j] * sun
    inner = co[c + O_IG + j] * z[L_QR + j] + co[c + O_IX + j] * z[L_QX + j]
    r0, r1, r2, r3, a = forward(
        co[c + O_P0 + j], co[c + O_P1 + j], co[c + O_P2 + j], co[c + O_P3 + j], co[c + O_P4 + j], co[c + O_S1 + j],
        co[c + O_S2 + j], co[c + O_S3 + j], co[c + O_S4 + j], t0, t1, t2, t3, t4, outer, inner,
    )  # fmt: skip
    r[q + R0 + j] = r0
    r[q + R1 + j] = r1
    r[q + R2 + j] = r2
    r[q + R3 + j] = r3
    r[q + R4 + j] = a
    if audited is not None:
        r[q + R_SO + j] = sun
    z[L_AA + j] += co[c + O_F + j] * a
    z[L_RHS + j] += co[c + O_AH + j] * a


@cell
def elements_stream(co, p, c, n, r, z, tb, coupled, stream, i, te, ts, audited):
    q = NONE
    y = NONE
    for _ in range(n):
        if coupled:
            for j in range(W):
                z[L_TB + j] = tb[y + j]
        for j in range(W):
            _element(co, p, c, r, q, z, j, te, ts, stream[i + j], audited)
        p += O_SIZE
        c += O_SIZE
        q += R_SIZE
        i += W
        y += W


@cell
def elements_sky(co, p, c, n, r, z, tb, coupled, ge, g, te, ts, sx, sy, sz, bn, d0, d1, gr, audited):
    q = NONE
    y = NONE
    for _ in range(n):
        if coupled:
            for j in range(W):
                z[L_TB + j] = tb[y + j]
        for j in range(W):
            cs, dif = incident(
                ge[g + G_NX + j], ge[g + G_NY + j], ge[g + G_NZ + j], ge[g + G_VS + j], ge[g + G_VH + j], ge[g + G_VG + j],
                sx, sy, sz, d0, d1, gr,
            )  # fmt: skip
            sun = cs * bn * ge[g + G_SUN + j] + dif
            _element(co, p, c, r, q, z, j, te, ts, sun, audited)
        p += O_SIZE
        c += O_SIZE
        q += R_SIZE
        g += G_SIZE
        y += W


@cell
def neighbours(co, p, n, r, z, middle, partner, tb):
    """Bring the outer nodes of the last step from the halves of common walls; elsewhere the temperature of the ground."""
    q = NONE
    y = NONE
    for _ in range(n):
        for j in range(W):
            middle[y + j] = back(
                r[q + R0 + j], r[q + R1 + j], r[q + R2 + j], r[q + R3 + j], r[q + R4 + j], co[p + O_W0 + j], co[p + O_W1 + j],
                co[p + O_W2 + j], co[p + O_W3 + j], co[p + O_B + j], co[p + O_G + j], z[L_TA + j], z[L_TM + j],
            )[0]  # fmt: skip
        p += O_SIZE
        q += R_SIZE
        y += W
    y = NONE
    for _ in range(n):
        for j in range(W):
            other = partner[y + j]
            tb[y + j] = middle[U(other)] if other >= 0 else z[L_TG + j]
        y += W


@cell
def close(zs, c, fx, z, carry, weight, audited):
    """Close the zones of a block and add the step to the means of its hour; carry is 0 in its first step, then 1."""
    half = z.dtype.type(0.5)
    for j in range(W):
        qx = z[L_QX + j]
        qr = z[L_QR + j]
        aa = z[L_AA + j] + zs[c + Z_XF + j] * qx + zs[c + Z_RF + j] * qr
        num = z[L_RHS + j] + zs[c + Z_XH + j] * qx + zs[c + Z_RH + j] * qr + zs[c + Z_ZS + j] * aa
        den = fx[F_CA + j] + z[L_HV + j] + zs[c + Z_ZB + j]
        ta, tm, qh, qc = closed(
            num, den, aa, zs[c + Z_ZA + j], zs[c + Z_ZI + j], fx[F_WR + j], zs[c + Z_RS + j], z[L_TH + j], z[L_TC + j],
            fx[F_PH + j], fx[F_PC + j],
        )  # fmt: skip
        z[L_TA + j] = ta
        z[L_TM + j] = tm
        if audited is not None:
            z[L_QH + j] = qh
            z[L_QC + j] = qc
        z[L_MA + j] = carry * z[L_MA + j] + weight * ta
        z[L_MO + j] = carry * z[L_MO + j] + weight * (half * (ta + tm))
        z[L_MH + j] = carry * z[L_MH + j] + weight * qh
        z[L_MC + j] = carry * z[L_MC + j] + weight * qc


@cell
def count(z, on, off, limit, number):
    """Add the means of an hour to the sums of the year: arithmetic without a branch; on, off = 1, 0, in the warm-up 0, 1e9."""
    zero = z.dtype.type(0)
    one = z.dtype.type(1)
    for j in range(W):
        ta = z[L_MA + j]
        heat = z[L_MH + j] * on
        cold = z[L_MC + j] * on
        z[L_SH + j] += heat
        z[L_SC + j] += cold
        z[L_PH + j], z[L_HH + j] = greatest(heat, number, z[L_PH + j], z[L_HH + j])
        z[L_PC + j], z[L_HC + j] = greatest(cold, number, z[L_PC + j], z[L_HC + j])
        warm = max(z[L_MO + j] - limit, zero) * on
        z[L_DH + j] += warm
        z[L_OV + j] += one if warm > zero else zero
        z[L_AT + j] += ta * on
        z[L_AN + j] = min(z[L_AN + j], ta + off)
        z[L_AX + j] = max(z[L_AX + j], ta - off)
