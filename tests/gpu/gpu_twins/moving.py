"""Statements that move, compare, select and convert, and those that reach into memory."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from gpu_twins.arithmetic import MODES
from gpu_twins.memory import LOCAL_WINDOW, SHARED_WINDOW
from gpu_twins.ptx import SIZES, Address, Operand, Register, Symbol, Vector, dtype_of
from gpu_twins.whole import INTEGERS

if TYPE_CHECKING:
    from gpu_twins.translate import Translator

_FLOATS = ("f32", "f64")
_ANY = ("pred", "b16", "b32", "b64", *INTEGERS, *_FLOATS)
_MEMORY = ("b8", "u8", "s8", *_ANY[1:])
_WHOLE = {"rni": "rint", "rzi": "trunc", "rmi": "floor", "rpi": "ceil"}
_CACHE_HINTS = ("nc", "ca", "cg", "cs", "lu", "cv", "wb", "wt")
_ORDERS = ("relaxed", "acquire", "release", "acq_rel", "volatile", "weak")
_SCOPES = ("gpu", "cta", "sys")
_ORDERED = {"eq": "equal", "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal"}
_UNSIGNED = {"lo": "lt", "ls": "le", "hi": "gt", "hs": "ge"}
_OPPOSITE = {"equ": "ne", "ltu": "ge", "leu": "gt", "gtu": "le", "geu": "lt"}


def do_mov(t: Translator, d: Operand, a: Operand, rest: list[str]) -> None:
    kind = t.kind(rest, *_ANY)
    t.done(rest)
    if isinstance(a, Vector):
        half = _half(t, kind, a)
        low, high = (t.row(part, half) for part in a.parts)
        bits = t.constant(8 * SIZES[half], dtype_of(kind))
        wide = "U8" if kind == "b64" else "U4"
        t.put(t.target(d, kind), f"({low}.astype({wide}) | ({high}.astype({wide}) << {bits}))")
    elif isinstance(d, Vector):
        half = _half(t, kind, d)
        t.lines.append(f"x = {t.row(a, kind)}.copy()")
        for k, part in enumerate(d.parts):
            if part != "_":
                t.put(t.target(part, half), f"x >> {t.constant(8 * SIZES[half] * k, dtype_of(kind))}")
    else:
        t.put(t.target(d, kind), t.row(a, kind))


def _half(t: Translator, kind: str, vector: Vector) -> str:
    if kind not in ("b32", "b64") or len(vector.parts) != 2:
        t.unknown("vector")
    return f"b{4 * SIZES[kind]}"


def do_cvta(t: Translator, d: Operand, a: Operand, rest: list[str]) -> None:
    t.kind(rest, "u64")
    to, space = t.option(rest, "to"), t.option(rest, "global", "const", "shared", "local")
    t.done(rest)
    window = {"shared": SHARED_WINDOW, "local": LOCAL_WINDOW}.get(space, 0)
    if not space:
        t.unknown("space")
    t.call("subtract" if to else "add", t.target(d, "u64"), t.row(a, "u64"), t.constant(window, "u8"))


def comparison(t: Translator, how: str, kind: str, a: Operand, b: Operand) -> str:
    """Return the expression of a comparison; those of floats are false for NaN, or true (`ltu`)."""
    x, y = t.row(a, kind), t.row(b, kind)
    if kind[0] != "f":
        if how == "ne" or (kind[0] == "b" and how == "eq"):
            return f"{'not_equal' if how == 'ne' else 'equal'}({x}, {y})"
        if kind[0] == "b" or (how in _UNSIGNED and kind[0] != "u"):
            t.unknown("comparison")
        return (
            f"{_ORDERED[_UNSIGNED.get(how, how)]}({x}, {y})" if _UNSIGNED.get(how, how) in _ORDERED else t.unknown("comparison")
        )
    if how in _ORDERED:
        return f"{_ORDERED[how]}({x}, {y})"
    if how == "neu":
        return f"not_equal({x}, {y})"
    if how in ("num", "nan"):
        return f"{'~' if how == 'num' else ''}(isnan({x}) | isnan({y}))"
    different = f"(less({x}, {y}) | greater({x}, {y}))"
    if how == "ne":
        return different
    if how not in _OPPOSITE:
        t.unknown("comparison")
    return f"~{different}" if how == "equ" else f"~{_ORDERED[_OPPOSITE[how]]}({x}, {y})"


def _compared(t: Translator, rest: list[str], a: Operand, b: Operand, also: tuple[Operand, ...]) -> str:
    """Return the expression of a comparison, combined with a predicate where the statement says so."""
    kind = t.kind(rest, "b16", "b32", "b64", *INTEGERS, *_FLOATS)
    how = rest.pop(0) if rest else ""
    together = t.option(rest, "and", "or", "xor")
    if kind == "f32" and t.option(rest, "ftz"):
        t.unknown("modifier 'ftz'")
    t.done(rest)
    made = comparison(t, how, kind, a, b)
    if bool(together) != bool(also):
        t.unknown("comparison")
    return f"bitwise_{together}({made}, {t.row(also[0], 'pred')})" if together else made


def do_setp(t: Translator, d: Operand, a: Operand, b: Operand, *also: Operand, rest: list[str]) -> None:
    made = _compared(t, rest, a, b, also)
    if isinstance(d, Vector):
        t.unknown("second predicate")
    t.put(t.target(d, "pred"), made)


def do_set(t: Translator, d: Operand, a: Operand, b: Operand, *also: Operand, rest: list[str]) -> None:
    if len(rest) < 3:
        t.unknown()
    to = rest.pop(-2)
    if to not in ("u32", "s32", "f32"):
        t.unknown("type")
    made = _compared(t, rest, a, b, also)
    yes = t.constant(1.0, "f4") if to == "f32" else t.constant(2**32 - 1, "u4")
    kind = "f32" if to == "f32" else "u32"
    t.put(t.target(d, kind), f"where({made}, {yes}, {t.constant(0, dtype_of(kind))})")


def do_selp(t: Translator, d: Operand, a: Operand, b: Operand, c: Operand, rest: list[str]) -> None:
    kind = t.kind(rest, *_ANY[1:])
    t.done(rest)
    t.put(t.target(d, kind), f"where({t.row(c, 'pred')}, {t.row(a, kind)}, {t.row(b, kind)})")


def do_slct(t: Translator, d: Operand, a: Operand, b: Operand, c: Operand, rest: list[str]) -> None:
    by = t.kind(rest, "s32", "f32")
    kind = t.kind(rest, *_ANY[1:])
    t.done(rest)
    positive = f"greater_equal({t.row(c, by)}, {t.constant(0, dtype_of(by))})"
    t.put(t.target(d, kind), f"where({positive}, {t.row(a, kind)}, {t.row(b, kind)})")


# -- conversion ---------------------------------------------------------------------------------------------------------------
def do_cvt(t: Translator, d: Operand, a: Operand, rest: list[str]) -> None:
    kinds = ("u8", "s8", *INTEGERS, *_FLOATS)
    source, to = t.kind(rest, *kinds), t.kind(rest, *kinds)
    rounding = t.option(rest, *MODES, *_WHOLE)
    sat, ftz = bool(t.option(rest, "sat")), bool(t.option(rest, "ftz"))
    t.done(rest)
    if ftz and "f32" not in (source, to):
        t.unknown("modifier 'ftz'")
    x = t.row(a, source, narrow=True)
    if ftz and source == "f32":
        x = f"{t.use('flush')}({x})"
    if source[0] != "f" and to[0] != "f":
        if rounding:
            t.unknown("rounding")
        _whole_to_whole(t, d, x, source, to, sat)
        return
    if to[0] != "f":
        if rounding not in _WHOLE:
            t.unknown("rounding")
        bits = t.constant(8 * SIZES[to], "u1")
        function = t.use("to_signed" if to[0] == "s" else "to_unsigned")
        t.put(t.target(d, to, wider=True), f"{function}({_WHOLE[rounding]}({x}), {bits})")
        return
    made = _to_float(t, x, source, to, rounding)
    if ftz and to == "f32":
        made = f"{t.use('flush')}({made})"
    t.put(t.target(d, to), f"{t.use(f'saturate_{to}')}({made})" if sat else made)


def _whole_to_whole(t: Translator, d: Operand, x: str, source: str, to: str, sat: bool) -> None:
    if sat:
        if SIZES[source] == 8:
            t.unknown("saturation")
        bits = 8 * SIZES[to]
        low, high = (0, 2**bits - 1) if to[0] == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        low, high = max(low, -(2**62)), min(high, 2**62)  # what a 32-bit number cannot reach
        x = f"minimum(maximum({x}, {t.constant(low, 'i8')}), {t.constant(high, 'i8')})"
    narrow = t.target(d, to, wider=True)
    if isinstance(d, Register) and d.size > SIZES[to]:
        t.names[f"T_{dtype_of(to).str[1:]}"] = dtype_of(to)
        x = f"({x}).astype(T_{dtype_of(to).str[1:]})"  # the register takes the converted number, widened again
    t.put(narrow, x)


def _to_float(t: Translator, x: str, source: str, to: str, rounding: str) -> str:
    if source[0] == "f":
        if source == to:
            if rounding in _WHOLE:
                return f"{_WHOLE[rounding]}({x})"
            return x if not rounding else t.unknown("rounding")
        if to == "f64":
            return x if not rounding else t.unknown("rounding")
        if rounding not in MODES:
            t.unknown("rounding")
        return f"{t.use('narrow')}({x}, {t.constant(MODES[rounding], 'u1')})"
    if rounding not in MODES:
        t.unknown("rounding")
    name = {"f32": "shorten", "f64": "widen"}[to] + ("_s" if source[0] == "s" else "_unsigned_u")
    return f"{t.use(name)}({x}, {t.constant(MODES[rounding], 'u1')})"


# -- memory -------------------------------------------------------------------------------------------------------------------
def _address(t: Translator, place: Operand, space: str) -> str:
    """Return the expressions of base and offset of an address."""
    if not isinstance(place, Address) or isinstance(place.base, str):
        return t.unknown("address")
    offset = t.constant(place.offset % 2**64, "u8")
    if isinstance(place.base, Symbol):
        if place.base.variable.space != space:
            t.unknown("use of a variable")
        return f"F.everywhere({t.row(place.base, 'u64')}), {offset}"
    size = place.base.size
    if size != 8 and not (size == 4 and space in ("shared", "local")):
        t.unknown("width of an address")
    return f"{t.row(place.base, 'u64' if size == 8 else 'u32')}, {offset}"


def _count(t: Translator, rest: list[str]) -> int:
    return {"": 1, "v2": 2, "v4": 4}[t.option(rest, "v2", "v4")]


def do_ld(t: Translator, d: Operand, place: Operand, rest: list[str]) -> None:
    kind, count = t.kind(rest, *_MEMORY), _count(t, rest)
    space = t.option(rest, "param", "global", "const", "shared", "local")
    if space == "param":
        t.done(rest)
        if isinstance(place, Register):
            t.put(t.target(d, kind), t.row(place, kind))
        elif isinstance(place, Address) and isinstance(place.base, str) and place.offset == 0 and count == 1:
            names = [name for name, _, _ in t.code.parameters]
            t.names[f"T_{dtype_of(kind).str[1:]}"] = dtype_of(kind)
            expression = f"F.parameter({names.index(place.base)}, T_{dtype_of(kind).str[1:]})"
            t.put(t.target(d, kind, wider=True), expression)
        else:
            t.unknown("parameter")
        return
    coherent = "nc" not in rest
    if not coherent and space != "global":
        t.unknown("modifier 'nc'")
    _hints(t, rest)
    parts = d.parts if isinstance(d, Vector) else (d,)
    if len(parts) != count:
        t.unknown("vector")
    targets = [f"{t.target(p, kind, wider=True)}" for p in parts]
    dtype = dtype_of(kind)
    t.names[f"T_{dtype.str[1:]}"] = dtype
    given = f"{t.at}, {space!r}, {_address(t, place, space)}, T_{dtype.str[1:]}, ({', '.join(targets)},)"
    t.lines.append(f"F.load({given}, {t.mask}, {coherent})")


def _hints(t: Translator, rest: list[str]) -> None:
    t.option(rest, *_CACHE_HINTS)
    t.option(rest, *_ORDERS)
    t.option(rest, *_SCOPES)
    t.done(rest)


def do_st(t: Translator, place: Operand, a: Operand, rest: list[str]) -> None:
    kind, count = t.kind(rest, *_MEMORY), _count(t, rest)
    space = t.option(rest, "param", "global", "shared", "local")
    if space == "param":
        t.done(rest)
        t.put(t.target(place, kind), t.row(a, kind))
        return
    _hints(t, rest)
    parts = a.parts if isinstance(a, Vector) else (a,)
    if len(parts) != count:
        t.unknown("vector")
    values = [f"{t.row(p, kind, narrow=True)}" for p in parts]
    t.lines.append(f"F.store({t.at}, {space!r}, {_address(t, place, space)}, ({', '.join(values)},), {t.mask})")


_ATOMICS = {"add": 1, "min": 1, "max": 1, "exch": 1, "and": 1, "or": 1, "xor": 1, "inc": 1, "dec": 1, "cas": 2}


def _atomic(t: Translator, target: Operand | None, place: Operand, values: tuple[Operand, ...], rest: list[str]) -> None:
    kind = t.kind(rest, "b32", "b64", "u32", "s32", "u64", "s64", "f32", "f64")
    space = t.option(rest, "global", "shared")
    operation = t.option(rest, *_ATOMICS)
    t.option(rest, *_ORDERS)
    t.option(rest, *_SCOPES)
    t.done(rest)
    if not operation or len(values) != _ATOMICS[operation] or not isinstance(place, Address):
        t.unknown()
    if (kind[0] == "f" and operation not in ("add", "exch")) or (
        kind[0] == "b" and operation in ("add", "min", "max", "inc", "dec")
    ):
        t.unknown("type")
    if operation in ("inc", "dec") and kind != "u32":
        t.unknown("type")
    dtype = dtype_of(kind)
    t.names[f"T_{dtype.str[1:]}"] = dtype
    given = ", ".join(t.row(v, kind) for v in values)
    to = t.target(target, kind) if target is not None else "None"
    address = _address(t, place, space)
    t.lines.append(f"F.atomic({t.at}, {space!r}, {address}, T_{dtype.str[1:]}, {operation!r}, ({given},), {to}, {t.mask})")


def do_atom(t: Translator, d: Operand, place: Operand, *values: Operand, rest: list[str]) -> None:
    _atomic(t, None if d == "_" else d, place, values, rest)


def do_red(t: Translator, place: Operand, *values: Operand, rest: list[str]) -> None:
    _atomic(t, None, place, values, rest)


def do_enter(t: Translator, *variables: Operand, rest: list[str]) -> None:
    """Begin a function whose call has been replaced by its statements: its local variables are new."""
    for v in variables:
        if isinstance(v, Symbol):
            t.lines.append(f"F.forget({v.variable.start}, {v.variable.size}, {t.mask})")


def do_trap(t: Translator, rest: list[str]) -> None:
    t.done(rest)
    t.lines.append(f"F.trap({t.at}, {t.mask})")


def _nothing(t: Translator, rest: list[str], allowed: tuple[str, ...]) -> None:
    """Order memory: here every access is carried out in order."""
    for word in allowed:
        t.option(rest, word)
    t.done(rest)


HANDLERS = {
    "mov": do_mov, "cvta": do_cvta, "setp": do_setp, "set": do_set, "selp": do_selp, "slct": do_slct, "cvt": do_cvt,
    "ld": do_ld, "st": do_st, "atom": do_atom, "red": do_red, "enter": do_enter, "trap": do_trap,
    "membar": partial(_nothing, allowed=("cta", "gl", "sys")), "fence": partial(_nothing, allowed=("sc", "acq_rel", *_SCOPES)),
}  # fmt: skip
