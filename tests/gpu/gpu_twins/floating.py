"""Statements that compute with floats."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from gpu_twins import arithmetic, whole
from gpu_twins.ptx import Immediate, Operand, dtype_of
from gpu_twins.whole import INTEGERS

if TYPE_CHECKING:
    from gpu_twins.translate import Translator

ROUNDINGS = ("rn", "rz", "rm", "rp")


def real(t: Translator, d: Operand, kind: str, rest: list[str], function: str, arguments: list[str]) -> None:
    """Apply a function to floats, with .ftz and .sat where the statement has them."""
    ftz, sat = t.option(rest, "ftz"), t.option(rest, "sat")
    t.done(rest)
    target = t.target(d, kind)
    if ftz and kind == "f32":
        flush = t.use("flush")
        arguments = [a if a.startswith("K") and a in modes(t) else f"{flush}({a})" for a in arguments]
        result = f"{flush}({function}({', '.join(arguments)}))"
    elif sat:
        result = f"{function}({', '.join(arguments)})"
    elif ftz:
        t.unknown("modifier 'ftz'")
    else:
        t.call(function, target, *arguments)
        return
    t.put(target, f"{t.use(f'saturate_{kind}')}({result})" if sat else result)


def modes(t: Translator) -> set[str]:
    return {t.constant(k, "u1") for k in range(4)}


def rounded(
    t: Translator, d: Operand, kind: str, rest: list[str], nearest: str, directed: dict[str, str], *sources: Operand
) -> None:
    mode = arithmetic.MODES[t.option(rest, *ROUNDINGS) or "rn"]
    arguments = [t.row(s, kind) for s in sources]
    if mode:
        real(t, d, kind, rest, t.use(f"{directed[kind]}_{kind}"), [*arguments, t.constant(mode, "u1")])
    else:
        real(t, d, kind, rest, nearest, arguments)


def do_add(t: Translator, d: Operand, a: Operand, b: Operand, rest: list[str]) -> None:
    kind = t.kind(rest, "f32", "f64", *INTEGERS)
    if kind[0] == "f":
        rounded(t, d, kind, rest, "add", {"f32": "add_directed", "f64": "sum_directed"}, a, b)
    else:
        whole.sum_or_difference(t, d, a, b, kind, rest, "add")


def do_sub(t: Translator, d: Operand, a: Operand, b: Operand, rest: list[str]) -> None:
    kind = t.kind(rest, "f32", "f64", *INTEGERS)
    if kind[0] == "f":
        mode = arithmetic.MODES[t.option(rest, *ROUNDINGS) or "rn"]
        x, y = t.row(a, kind), t.row(b, kind)
        if mode:
            name = t.use({"f32": "add_directed_f32", "f64": "sum_directed_f64"}[kind])
            real(t, d, kind, rest, name, [x, f"negative({y})", t.constant(mode, "u1")])
        else:
            real(t, d, kind, rest, "subtract", [x, y])
    else:
        whole.sum_or_difference(t, d, a, b, kind, rest, "subtract")


def do_mul(t: Translator, d: Operand, a: Operand, b: Operand, rest: list[str]) -> None:
    kind = t.kind(rest, "f32", "f64", *INTEGERS)
    if kind[0] == "f":
        rounded(t, d, kind, rest, "multiply", {"f32": "mul_directed", "f64": "product_directed"}, a, b)
        return
    part = t.option(rest, "lo", "hi", "wide")
    t.done(rest)
    t.put(t.target(d, whole.widened(kind) if part == "wide" else kind), whole.product(t, part, kind, a, b))


def do_fma(t: Translator, d: Operand, a: Operand, b: Operand, c: Operand, rest: list[str]) -> None:
    kind = t.kind(rest, "f32", "f64")
    if not set(rest) & set(ROUNDINGS):
        t.unknown("rounding")
    rounded(t, d, kind, rest, t.use(f"fma_{kind}"), {"f32": "fma_directed", "f64": "fused_directed"}, a, b, c)


def do_mad(t: Translator, d: Operand, a: Operand, b: Operand, c: Operand, rest: list[str]) -> None:
    if rest and rest[-1] in ("f32", "f64"):
        do_fma(t, d, a, b, c, rest)
        return
    whole.multiply_add(t, d, a, b, c, rest)


def do_div(t: Translator, d: Operand, a: Operand, b: Operand, rest: list[str]) -> None:
    kind = t.kind(rest, "f32", "f64", *INTEGERS)
    if kind[0] != "f":
        whole.division(t, "div", d, a, b, kind, rest)
    elif kind == "f32" and t.option(rest, "approx", "full"):
        real(t, d, kind, rest, t.use("div_approx_f32"), [t.row(a, kind), t.row(b, kind)])
    elif not set(rest) & set(ROUNDINGS):
        t.unknown("rounding")
    else:
        rounded(t, d, kind, rest, "divide", {"f32": "div_directed", "f64": "quotient_directed"}, a, b)


def do_sqrt(t: Translator, d: Operand, a: Operand, rest: list[str]) -> None:
    kind = t.kind(rest, "f32", "f64")
    if kind == "f32" and t.option(rest, "approx"):
        rest.append("rn")
    if not set(rest) & set(ROUNDINGS):
        t.unknown("rounding")
    rounded(t, d, kind, rest, "sqrt", {"f32": "sqrt_directed", "f64": "root_directed"}, a)


def do_rcp(t: Translator, d: Operand, a: Operand, rest: list[str]) -> None:
    kind = t.kind(rest, "f32", "f64")
    if t.option(rest, "approx"):
        approximated(t, d, a, kind, rest, "rcp_f32", "rcp_high_f64")
        return
    if not set(rest) & set(ROUNDINGS):
        t.unknown("rounding")
    one = Immediate("0f3F800000" if kind == "f32" else "0d3FF0000000000000")
    rounded(t, d, kind, rest, "divide", {"f32": "div_directed", "f64": "quotient_directed"}, one, a)


def do_rsqrt(t: Translator, d: Operand, a: Operand, rest: list[str]) -> None:
    kind = t.kind(rest, "f32", "f64")
    if not t.option(rest, "approx"):
        t.unknown("rounding")
    approximated(t, d, a, kind, rest, "rsqrt_f32", "rsqrt_high_f64")


def approximated(t: Translator, d: Operand, a: Operand, kind: str, rest: list[str], single: str, double: str) -> None:
    if kind == "f64":
        if rest != ["ftz"]:
            t.unknown("modifier")
        real(t, d, kind, [], t.use(double), [t.row(a, kind)])
    else:
        real(t, d, kind, rest, t.use(single), [t.row(a, kind)])


def _approximate(t: Translator, d: Operand, a: Operand, rest: list[str], name: str) -> None:
    kind = t.kind(rest, "f32")
    if not t.option(rest, "approx"):
        t.unknown("rounding")
    real(t, d, kind, rest, t.use(name), [t.row(a, kind)])


do_ex2 = partial(_approximate, name="ex2_f32")
do_lg2 = partial(_approximate, name="lg2_f32")
do_sin = partial(_approximate, name="sin_approx_f32")
do_cos = partial(_approximate, name="cos_approx_f32")
do_tanh = partial(_approximate, name="tanh_approx_f32")


def _extreme(t: Translator, d: Operand, a: Operand, b: Operand, rest: list[str], plain: str, ordered: str) -> None:
    kind = t.kind(rest, "f32", "f64", *INTEGERS)
    arguments = [t.row(a, kind), t.row(b, kind)]
    if kind[0] == "f":
        real(t, d, kind, rest, plain if t.option(rest, "NaN") else t.use(f"{ordered}_{kind}"), arguments)
    else:
        t.done(rest)
        t.call(plain, t.target(d, kind), *arguments)


do_min = partial(_extreme, plain="minimum", ordered="fmin")
do_max = partial(_extreme, plain="maximum", ordered="fmax")


def _signed(t: Translator, d: Operand, a: Operand, rest: list[str], function: str) -> None:
    kind = t.kind(rest, "f32", "f64", "s16", "s32", "s64")
    if kind[0] == "f":
        real(t, d, kind, rest, function, [t.row(a, kind)])
    else:
        t.done(rest)
        t.call(function, t.target(d, kind), t.row(a, kind))


do_neg = partial(_signed, function="negative")
do_abs = partial(_signed, function="absolute")


def do_copysign(t: Translator, d: Operand, a: Operand, b: Operand, rest: list[str]) -> None:
    kind = t.kind(rest, "f32", "f64")
    real(t, d, kind, rest, "copysign", [t.row(b, kind), t.row(a, kind)])  # sign of a, magnitude of b


def do_testp(t: Translator, d: Operand, a: Operand, rest: list[str]) -> None:
    kind = t.kind(rest, "f32", "f64")
    what = t.option(rest, "finite", "infinite", "number", "notanumber", "normal", "subnormal")
    t.done(rest)
    x, least = t.row(a, kind), t.constant(np.finfo(dtype_of(kind)).tiny, dtype_of(kind))
    infinity, zero = t.constant(np.inf, dtype_of(kind)), t.constant(0, dtype_of(kind))
    size = f"absolute({x})"
    made = {
        "finite": f"less({size}, {infinity})", "infinite": f"equal({size}, {infinity})", "number": f"~isnan({x})",
        "notanumber": f"isnan({x})", "normal": f"(less({size}, {infinity}) & greater_equal({size}, {least}))",
        "subnormal": f"(less({size}, {least}) & greater({size}, {zero}))",
    }.get(what) or t.unknown()  # fmt: skip
    t.put(t.target(d, "pred"), made)


HANDLERS = {
    "add": do_add,
    "sub": do_sub,
    "mul": do_mul,
    "fma": do_fma,
    "mad": do_mad,
    "div": do_div,
    "sqrt": do_sqrt,
    "rcp": do_rcp,
    "rsqrt": do_rsqrt,
    "ex2": do_ex2,
    "lg2": do_lg2,
    "sin": do_sin,
    "cos": do_cos,
    "tanh": do_tanh,
    "min": do_min,
    "max": do_max,
    "neg": do_neg,
    "abs": do_abs,
    "copysign": do_copysign,
    "testp": do_testp,
}
