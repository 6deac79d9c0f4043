"""The first law, checked: what the balance of a step leaves over, from the physical numbers and the temperatures alone."""

# ruff: noqa: I001  one name a line would be longer than the code

from __future__ import annotations

from felsina.kernels._backend import cell
from felsina.kernels.energy.iso52016_cells import back
from felsina.kernels.energy.iso52016_rows import (
    F_AR, F_CA, F_FS, F_GN, I_A, I_AL, I_C0, I_C1, I_C2, I_C3, I_C4, I_E0, I_E1, I_HB, I_RE, I_SD, I_SIZE, I_SK, J_A, J_E0,
    J_E1, J_G, J_HC, J_HR, J_RE, J_SD, J_SIZE, J_SK, L_FL, L_GF, L_HV, L_QC, L_QH, L_QR, L_QX, L_RS, L_TA, L_TG, L_TM, L_TO,
    O_B, O_G, O_SIZE, O_W0, O_W1, O_W2, O_W3, R0, R1, R2, R3, R4, R_SIZE, R_SO, U, W,
)  # fmt: skip


@cell
def audit(po, pw, n_opaque, n_window, co, c, fx, r, old, tb, coupled, z, te, ts, speed, dt, on):
    """Add what the balance of a step leaves over, and the sum of its flows, from the physical numbers."""
    for j in range(W):
        ta = z[L_TA + j] * 1.0
        tm = z[L_TM + j] * 1.0
        air = fx[F_CA + j] * (ta - z[L_TO + j])
        vent = z[L_HV + j] * (te - ta)
        gain = z[L_GF + j] * fx[F_GN + j]
        power = z[L_QH + j] - z[L_QC + j]
        lit = z[L_QX + j] * (1.0 - fx[F_FS + j])
        left = gain + power + vent - air + z[L_QX + j] * fx[F_FS + j]
        flow = abs(gain) + abs(power) + abs(vent) + abs(air) + abs(z[L_QX + j])
        for k in range(n_opaque):
            i = U(k) * I_SIZE + j
            m = c + U(k) * O_SIZE + j
            q = U(k) * R_SIZE + j
            area = po[i + I_A]
            if area <= 0.0:
                continue
            t0, t1, t2, t3, t4 = back(
                r[q + R0], r[q + R1], r[q + R2], r[q + R3], r[q + R4], co[m + O_W0], co[m + O_W1], co[m + O_W2], co[m + O_W3],
                co[m + O_B], co[m + O_G], ta, tm,
            )  # fmt: skip
            stored = area / dt * (
                po[i + I_C0] * (t0 - old[q + R0]) + po[i + I_C1] * (t1 - old[q + R1]) + po[i + I_C2] * (t2 - old[q + R2])
                + po[i + I_C3] * (t3 - old[q + R3]) + po[i + I_C4] * (t4 - old[q + R4])
            )  # fmt: skip
            old[q + R0], old[q + R1], old[q + R2], old[q + R3], old[q + R4] = t0, t1, t2, t3, t4
            he = po[i + I_E0] + po[i + I_E1] * speed
            re = po[i + I_RE]
            sky = po[i + I_SK]
            hb = po[i + I_HB]
            ground = tb[U(k) * W + j] if coupled else z[L_TG + j]
            through = area * (
                (he + re * (1.0 - sky)) * (te - t0) + re * sky * (ts - t0) + hb * (ground - t0)
                + po[i + I_AL] * r[q + R_SO]
            )  # fmt: skip
            left += through - stored + po[i + I_SD] * lit
            flow += abs(through) + abs(stored)
        for k in range(n_window):
            i = U(k) * J_SIZE + j
            area = pw[i + J_A]
            if area <= 0.0:
                continue
            he, re, sky, through = pw[i + J_E0] + pw[i + J_E1] * speed, pw[i + J_RE], pw[i + J_SK], pw[i + J_G]
            to_out = through * (1.0 - through / (he + re + through))
            d1 = to_out + pw[i + J_HC] + pw[i + J_HR]
            a = r[U(n_opaque) * R_SIZE + U(k) * W + j]
            onto = pw[i + J_SD] * lit
            inner = a + (onto / area + z[L_QR + j] / fx[F_AR + j]) / d1 + (pw[i + J_HC] * ta + pw[i + J_HR] * tm) / d1
            passed = area * (d1 * a - to_out * inner)
            left += passed + onto
            flow += abs(passed)
        z[L_RS + j] += abs(left) * on
        z[L_FL + j] += flow * on
