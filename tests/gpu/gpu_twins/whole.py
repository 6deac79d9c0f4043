"""Statements that compute with whole numbers and predicates."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from gpu_twins import whole_arithmetic  # noqa: F401  # declares what the statements call by name
from gpu_twins.ptx import SIZES, Immediate, Operand

if TYPE_CHECKING:
    from gpu_twins.translate import Translator

INTEGERS = ("u16", "s16", "u32", "s32", "u64", "s64")


def widened(kind: str) -> str:
    """Return the type of twice the width."""
    return f"{kind[0]}{2 * int(kind[1:])}"


def sum_or_difference(t: Translator, d: Operand, a: Operand, b: Operand, kind: str, rest: list[str], function: str) -> None:
    bits = "u" + kind[1:]
    if "cc" in rest:
        carried(t, d, kind, rest, t.row(a, bits), b, function == "subtract", False)
        return
    t.done(rest)
    t.call(function, t.target(d, bits), t.row(a, bits), t.row(b, bits))


def carried(t: Translator, d: Operand, kind: str, rest: list[str], x: str, b: Operand, minus: bool, chained: bool) -> None:
    """Add to or subtract from x, with the carry flag as input (chained) and output (.cc)."""
    if SIZES[kind] not in (4, 8):
        t.unknown("type")
    bits, flag = "u" + kind[1:], t.code.carry
    y, target = t.row(b, bits), t.target(d, bits)
    if chained:
        t.reads.append(flag)
    carry = f"p[{flag.slot}]" if chained else t.constant(False, "?")
    t.lines.append(f"x = {x}; y = {y}; c = {carry}")
    x = f"x.view({'U4' if SIZES[kind] == 4 else 'U8'})"
    whole = f"subtract(subtract({x}, y), c)" if minus else f"add(add({x}, y), c)"
    if t.option(rest, "cc"):
        t.writes.append(flag)
        if SIZES[kind] == 8:
            out = f"{t.use('borrows' if minus else 'carries')}({x}, y, c)"
        elif minus:
            out = f"subtract(subtract({x}, y, dtype=I8), c) < 0"
        else:
            out = f"add(add({x}, y, dtype=U8), c) > {t.constant(2**32 - 1, 'u8')}"
        t.lines.append(f"o = {out}")
        t.put(target, whole)
        t.put(f"p[{flag.slot}]", "o")
    else:
        t.put(target, whole)
    t.done(rest)


def _chained(t: Translator, d: Operand, a: Operand, b: Operand, rest: list[str], minus: bool) -> None:
    kind = t.kind(rest, "u32", "s32", "u64", "s64")
    carried(t, d, kind, rest, t.row(a, "u" + kind[1:]), b, minus, True)


do_addc = partial(_chained, minus=False)
do_subc = partial(_chained, minus=True)


def multiply_add(t: Translator, d: Operand, a: Operand, b: Operand, c: Operand, rest: list[str]) -> None:
    kind = t.kind(rest, *INTEGERS)
    part = t.option(rest, "lo", "hi", "wide")
    if "cc" in rest:
        carried(t, d, kind, rest, halved(t, part, kind, a, b), c, False, False)
        return
    t.done(rest)
    to = widened(kind) if part == "wide" else kind
    t.lines.append(f"x = {product(t, part, kind, a, b)}")
    t.put(t.target(d, to), f"add(x, {t.row(c, to)})")


def do_madc(t: Translator, d: Operand, a: Operand, b: Operand, c: Operand, rest: list[str]) -> None:
    kind = t.kind(rest, "u32", "s32", "u64", "s64")
    carried(t, d, kind, rest, halved(t, t.option(rest, "lo", "hi"), kind, a, b), c, False, True)


def halved(t: Translator, part: str, kind: str, a: Operand, b: Operand) -> str:
    """Return the expression of a half of a product in the type's own width."""
    made = product(t, part, kind, a, b)
    return f"({made}).astype(U4)" if part == "hi" and SIZES[kind] == 4 else made


def product(t: Translator, part: str, kind: str, a: Operand, b: Operand) -> str:
    """Return the expression of lower half, upper half or whole of a product of whole numbers."""
    x, y = t.row(a, kind), t.row(b, kind)
    if part == "lo":
        return f"multiply({x}, {y})"
    if kind[1:] == "64":
        return f"{t.use({'u64': 'mulhi_u64', 's64': 'mulhi_signed_s64'}[kind])}({x}, {y})" if part == "hi" else t.unknown()
    whole = f"multiply({x}, {y}, dtype={'U8' if kind[0] == 'u' else 'I8'})"
    return {"wide": whole, "hi": f"({whole} >> {t.constant(int(kind[1:]), 'u8' if kind[0] == 'u' else 'i8')})"}.get(
        part
    ) or t.unknown()


def do_rem(t: Translator, d: Operand, a: Operand, b: Operand, rest: list[str]) -> None:
    division(t, "rem", d, a, b, t.kind(rest, *INTEGERS), rest)


def division(t: Translator, name: str, d: Operand, a: Operand, b: Operand, kind: str, rest: list[str]) -> None:
    t.done(rest)
    divisor = t.row(b, kind)
    t.lines.append(f"F.divisor({t.at}, {divisor}, {t.mask})")
    t.call(t.use(f"{name}_{kind}"), t.target(d, kind), t.row(a, kind), divisor)


def do_popc(t: Translator, d: Operand, a: Operand, rest: list[str]) -> None:
    _count(t, d, a, rest, {"b32": "popc_b32", "b64": "popc_b64"})


def do_clz(t: Translator, d: Operand, a: Operand, rest: list[str]) -> None:
    _count(t, d, a, rest, {"b32": "clz_b32", "b64": "clz_long_b64"})


def do_bfind(t: Translator, d: Operand, a: Operand, rest: list[str]) -> None:
    _count(t, d, a, rest, {"u32": "bfind_u32", "u64": "bfind_u64", "s32": "bfind_signed_s32", "s64": "bfind_signed_s64"})


def _count(t: Translator, d: Operand, a: Operand, rest: list[str], names: dict[str, str]) -> None:
    kind = t.kind(rest, *names)
    t.done(rest)
    t.call(t.use(names[kind]), t.target(d, "u32"), t.row(a, kind))


def do_brev(t: Translator, d: Operand, a: Operand, rest: list[str]) -> None:
    kind = t.kind(rest, "b32", "b64")
    t.done(rest)
    t.call(t.use({"b32": "brev_b32", "b64": "brev_long_b64"}[kind]), t.target(d, kind), t.row(a, kind))


def do_bfe(t: Translator, d: Operand, a: Operand, b: Operand, c: Operand, rest: list[str]) -> None:
    kind = t.kind(rest, "u32", "s32")
    t.done(rest)
    name = {"u32": "bfe_u32", "s32": "bfe_signed_s32"}[kind]
    t.call(t.use(name), t.target(d, kind), t.row(a, kind), t.row(b, "u32"), t.row(c, "u32"))


def do_bfi(t: Translator, f: Operand, a: Operand, b: Operand, c: Operand, d: Operand, rest: list[str]) -> None:
    kind = t.kind(rest, "b32", "b64")
    t.done(rest)
    arguments = t.row(a, kind), t.row(b, kind), t.row(c, "u32"), t.row(d, "u32")
    t.call(t.use(f"bfi_{kind}"), t.target(f, kind), *arguments)


def do_prmt(t: Translator, d: Operand, a: Operand, b: Operand, c: Operand, rest: list[str]) -> None:
    kind = t.kind(rest, "b32")
    t.done(rest)
    t.call(t.use("prmt_b32"), t.target(d, kind), t.row(a, kind), t.row(b, kind), t.row(c, kind))


def do_shf(t: Translator, d: Operand, a: Operand, b: Operand, c: Operand, rest: list[str]) -> None:
    kind = t.kind(rest, "b32")
    way, wraps = t.option(rest, "l", "r"), t.option(rest, "wrap", "clamp")
    t.done(rest)
    if not way or not wraps:
        t.unknown()
    count = t.row(c, "u32")
    n = f"bitwise_and({count}, {t.constant(31, 'u4')})" if wraps == "wrap" else f"minimum({count}, {t.constant(32, 'u4')})"
    t.call(t.use("shf_left" if way == "l" else "shf_right"), t.target(d, kind), t.row(a, kind), t.row(b, kind), n)


def do_lop3(t: Translator, d: Operand, a: Operand, b: Operand, c: Operand, table: Operand, rest: list[str]) -> None:
    kind = t.kind(rest, "b32")
    t.done(rest)
    if not isinstance(table, Immediate):
        t.unknown("table")
    number = t.constant(int(table.text, 0), "u1")
    t.call(t.use("lop3_b32"), t.target(d, kind), t.row(a, kind), t.row(b, kind), t.row(c, kind), number)


def _shift(t: Translator, d: Operand, a: Operand, b: Operand, rest: list[str], left: bool) -> None:
    kind = t.kind(rest, "b16", "b32", "b64") if left else t.kind(rest, "b16", "b32", "b64", *INTEGERS)
    t.done(rest)
    kind = kind if left else kind.replace("b", "u")
    name = "shl" if left else "shr" if kind[0] == "u" else "sar"
    t.call(t.use(f"{name}_{kind}"), t.target(d, kind), t.row(a, kind), t.row(b, "u32"))


do_shl = partial(_shift, left=True)
do_shr = partial(_shift, left=False)


def _logic(t: Translator, d: Operand, a: Operand, b: Operand, rest: list[str], function: str) -> None:
    kind = t.kind(rest, "pred", "b16", "b32", "b64")
    t.done(rest)
    t.call(function, t.target(d, kind), t.row(a, kind), t.row(b, kind))


do_and = partial(_logic, function="bitwise_and")
do_or = partial(_logic, function="bitwise_or")
do_xor = partial(_logic, function="bitwise_xor")


def do_not(t: Translator, d: Operand, a: Operand, rest: list[str]) -> None:
    kind = t.kind(rest, "pred", "b16", "b32", "b64")
    t.done(rest)
    t.call("invert", t.target(d, kind), t.row(a, kind))


HANDLERS = {
    "addc": do_addc,
    "subc": do_subc,
    "madc": do_madc,
    "rem": do_rem,
    "popc": do_popc,
    "clz": do_clz,
    "bfind": do_bfind,
    "brev": do_brev,
    "bfe": do_bfe,
    "bfi": do_bfi,
    "prmt": do_prmt,
    "shf": do_shf,
    "lop3": do_lop3,
    "shl": do_shl,
    "shr": do_shr,
    "and": do_and,
    "or": do_or,
    "xor": do_xor,
    "not": do_not,
}
