"""The PTX interpreter computes as PTX says."""

import math
from fractions import Fraction

import numpy as np
import pytest
from gpu_twins.snippets import A4, A8, B4, I4, I8, J4, J8, U4, V4, apply, rng


# -- floating point ---------------------------------------------------------------------------------------------------
def exact(operation, *values):
    """Return the exact result as a fraction."""
    a, *rest = (Fraction(float(v)) for v in values)
    return {"add": lambda b: a + b, "sub": lambda b: a - b, "mul": lambda b: a * b, "div": lambda b: a / b,
            "fma": lambda b, c: a * b + c}[operation](*rest)  # fmt: skip


def rounded(value, mode, dtype):
    """Round a fraction to a float type: the definition, by comparing neighbours."""
    dtype = np.dtype(dtype)
    near = dtype.type(float(value))
    below = above = near
    while Fraction(float(below)) > value:
        below = np.nextafter(below, dtype.type(-np.inf))
    while Fraction(float(above)) < value:
        above = np.nextafter(above, dtype.type(np.inf))
    while Fraction(float(np.nextafter(below, dtype.type(np.inf)))) <= value:
        below = np.nextafter(below, dtype.type(np.inf))
    while Fraction(float(np.nextafter(above, dtype.type(-np.inf)))) >= value:
        above = np.nextafter(above, dtype.type(-np.inf))
    if mode == "rm" or (mode == "rz" and value >= 0):
        return below
    if mode == "rp" or mode == "rz":
        return above
    low, high = value - Fraction(float(below)), Fraction(float(above)) - value
    if low == high:
        return below if int(below.view(f"u{dtype.itemsize}")) % 2 == 0 else above
    return below if low < high else above


@pytest.mark.parametrize("mode", ["rn", "rz", "rm", "rp"])
@pytest.mark.parametrize("kind", ["f4", "f8"])
@pytest.mark.parametrize("operation", ["add", "sub", "mul", "div", "fma"])
def test_floats_are_rounded_once_and_as_the_mode_says(operation, kind, mode):
    count = 3 if operation == "fma" else 2
    values = [(rng.normal(size=60) * 2.0 ** rng.integers(-30, 30, 60)).astype(kind) for _ in range(count)]
    if operation == "fma":  # results near a tie of the narrower type, where rounding twice goes wrong
        values[0][:20] = 1 + rng.integers(0, 2**11, 20) * 2.0**-11
        values[1][:20] = 1 + 2.0**-12
        values[2][:20] = 2.0 ** -rng.integers(40, 70, 20).astype(float)
    statement = f"{operation}.{mode}.f{8 * np.dtype(kind).itemsize} {{d}}, " + ", ".join(f"{{{k}}}" for k in range(count))
    found = apply(statement, kind, *values)
    expected = [rounded(exact(operation, *v), mode, kind) for v in zip(*values, strict=True)]
    assert found.tolist() == [float(e) for e in expected]


def test_a_fused_multiply_add_of_float32_does_not_round_twice():
    # a*b + c lies 2^-60 above the middle of two floats: float64 drops that and rounds to even, downwards.
    a, b, c = np.float32([1 + 2**-12]), np.float32([1 + 2**-12]), np.float32([2**-60])
    twice = np.float32(np.float64(a) * np.float64(b) + np.float64(c))
    found = apply("fma.rn.f32 {d}, {0}, {1}, {2}", "f4", a, b, c)
    assert found[0] == rounded(exact("fma", a[0], b[0], c[0]), "rn", "f4") != twice[0]


@pytest.mark.parametrize(("kind", "suffix"), [("f4", "f32"), ("f8", "f64")])
def test_square_roots_are_rounded_once(kind, suffix):
    values = np.abs(A4).astype(kind)
    np.testing.assert_array_equal(apply(f"sqrt.rn.{suffix} {{d}}, {{0}}", kind, values), np.sqrt(values))


def test_the_smaller_of_a_number_and_nan_is_the_number_and_minus_zero_is_less_than_zero():
    a, b = np.float32([1, np.nan, np.nan, -0.0, 0.0]), np.float32([np.nan, 2, np.nan, 0.0, -0.0])
    low, high = (apply(f"{f}.f32 {{d}}, {{0}}, {{1}}", "f4", a, b) for f in ("min", "max"))
    assert low[:2].tolist() == high[:2].tolist() == [1, 2] and np.isnan(low[2])
    assert np.signbit(low[3:]).all() and not np.signbit(high[3:]).any()
    assert np.isnan(apply("min.NaN.f32 {d}, {0}, {1}", "f4", a, b)[:3]).all()


def test_subnormal_numbers_are_flushed_only_where_the_statement_says_so():
    a, b = np.float32([1e-40, 1e-30, -1e-40]), np.float32([1, 1e-10, 1])
    assert apply("mul.f32 {d}, {0}, {1}", "f4", a, b).tolist() == (a * b).tolist()
    flushed = apply("mul.ftz.f32 {d}, {0}, {1}", "f4", a, b)
    assert flushed.tolist() == [0, 0, 0] and np.signbit(flushed).tolist() == [False, False, True]


def test_saturation_ends_at_zero_and_one():
    assert apply("add.sat.f32 {d}, {0}, {0}", "f4", np.float32([-1, 0.25, 3, np.nan])).tolist() == [0, 0.5, 1, 0]


def test_sign_statements_change_the_sign_alone():
    np.testing.assert_array_equal(apply("neg.f64 {d}, {0}", "f8", A8), -A8)
    np.testing.assert_array_equal(apply("abs.f32 {d}, {0}", "f4", A4), np.abs(A4))
    # PTX: the sign of the first, the rest of the second
    np.testing.assert_array_equal(apply("copysign.f32 {d}, {0}, {1}", "f4", A4, B4), np.copysign(B4, A4))


APPROXIMATED = {"rcp": lambda x: 1 / x, "rsqrt": lambda x: 1 / np.sqrt(x), "ex2": np.exp2, "lg2": np.log2, "sin": np.sin,
                "cos": np.cos, "tanh": np.tanh}  # fmt: skip


@pytest.mark.parametrize(("name", "function"), APPROXIMATED.items(), ids=APPROXIMATED.keys())
def test_approximations_are_within_one_unit_of_the_last_place(name, function):
    values = np.abs(rng.normal(size=200)).astype("f4") + np.float32(0.01)
    expected = function(values.astype("f8"))
    found = apply(f"{name}.approx.f32 {{d}}, {{0}}", "f4", values)
    assert (np.abs(found - expected) <= np.spacing(np.abs(expected).astype("f4"))).all()


def test_the_high_word_of_a_reciprocal_is_all_that_rcp_approx_f64_gives():
    values = np.abs(A8[np.isfinite(A8) & (A8 != 0)])
    found = apply("rcp.approx.ftz.f64 {d}, {0}", "f8", values)
    assert not (found.view("u8") & 0xFFFFFFFF).any()
    assert (np.abs(found * values - 1) < 2.0**-20).all()


# -- comparison -------------------------------------------------------------------------------------------------------
COMPARED = {"eq": lambda a, b: a == b, "ne": lambda a, b: (a < b) | (a > b), "lt": lambda a, b: a < b,
            "le": lambda a, b: a <= b, "gt": lambda a, b: a > b, "ge": lambda a, b: a >= b}  # fmt: skip


@pytest.mark.parametrize("how", [*COMPARED, *(f"{h}u" for h in COMPARED), "num", "nan"])
def test_comparisons_with_nan_are_false_unless_they_are_unordered(how):
    a, b = np.float32([1, 1, 2, np.nan, 1, np.nan]), np.float32([1, 2, 1, 1, np.nan, np.nan])
    either = np.isnan(a) | np.isnan(b)
    if how in ("num", "nan"):
        expected = either == (how == "nan")
    else:
        expected = COMPARED[how.removesuffix("u")](a, b) | (either if how.endswith("u") else False)
    found = apply(f"setp.{how}.f32 %p1, {{0}}, {{1}}; selp.u32 {{d}}, 1, 0, %p1", "u4", a, b)
    assert found.astype(bool).tolist() == expected.tolist()


@pytest.mark.parametrize("how", COMPARED)
@pytest.mark.parametrize(("kind", "a", "b"), [("s32", I4, J4), ("u32", U4, V4), ("s64", I8, J8)])
def test_whole_numbers_compare_with_or_without_sign(how, kind, a, b):
    width = a.dtype.itemsize * 8
    found = apply(f"setp.{how}.{kind} %p1, {{0}}, {{1}}; selp.b{width} {{d}}, {{0}}, {{1}}, %p1", a.dtype, a, b)
    np.testing.assert_array_equal(found, np.where(COMPARED[how](a, b), a, b))


def test_predicates_combine():
    a, b = np.uint32([0, 0, 1, 1]), np.uint32([0, 1, 0, 1])
    for name, function in (("and", np.logical_and), ("or", np.logical_or), ("xor", np.logical_xor)):
        first = "setp.ne.u32 %p1, {0}, 0; "
        found = apply(first + f"setp.ne.{name}.u32 %p2, {{1}}, 0, %p1; selp.u32 {{d}}, 1, 0, %p2", "u4", a, b)
        assert found.astype(bool).tolist() == function(a, b).tolist()
    guarded = "setp.eq.u32 %p1, {0}, {1}; not.pred %p1, %p1; @%p1 mov.u32 {0}, 7; mov.u32 {d}, {0}"
    assert apply(guarded, "u4", a, b).tolist() == [0, 7, 7, 1]


# -- whole numbers ----------------------------------------------------------------------------------------------------
def wrapped(values, dtype):
    bits = 8 * np.dtype(dtype).itemsize
    return np.array([int(v) % 2**bits for v in values], f"u{bits // 8}").view(dtype)


WHOLE = {
    "add.s32": (I4, J4, lambda a, b: a + b), "sub.s64": (I8, J8, lambda a, b: a - b),
    "mul.lo.s32": (I4, J4, lambda a, b: a * b), "mul.hi.s32": (I4, J4, lambda a, b: a * b >> 32),
    "mul.hi.u32": (U4, V4, lambda a, b: a * b >> 32),
    "mul.hi.s64": (I8, J8, lambda a, b: a * b >> 64), "mul.hi.u64": (I8.view("u8"), J8.view("u8"), lambda a, b: a * b >> 64),
    "mul.lo.s64": (I8, J8, lambda a, b: a * b), "min.s32": (I4, J4, min), "max.u32": (U4, V4, max),
    "and.b32": (U4, V4, lambda a, b: a & b), "or.b64": (I8.view("u8"), J8.view("u8"), lambda a, b: a | b),
    "xor.b32": (U4, V4, lambda a, b: a ^ b),
    "div.s32": (I4, np.where(J4 == 0, 7, J4).astype("i4"), lambda a, b: int(math.copysign(1, a * b)) * (abs(a) // abs(b))),
    "rem.s32": (I4, np.where(J4 == 0, 7, J4).astype("i4"), lambda a, b: abs(a) % abs(b) * (1 if a >= 0 else -1)),
    "div.u64": (I8.view("u8"), np.abs(J8 >> 40).view("u8") + np.uint64(1), lambda a, b: a // b),
}  # fmt: skip


@pytest.mark.parametrize("name", WHOLE)
def test_whole_numbers_wrap_around(name):
    a, b, function = WHOLE[name]
    found = apply(f"{name} {{d}}, {{0}}, {{1}}", a.dtype, a, b)
    assert found.tolist() == wrapped([function(int(x), int(y)) for x, y in zip(a, b, strict=True)], a.dtype).tolist()


def test_wide_products_are_whole():
    assert apply("mul.wide.s32 {d}, {0}, {1}", "i8", I4, J4).tolist() == [int(x) * int(y) for x, y in zip(I4, J4, strict=True)]
    c = I8[: U4.size] if I8.size >= U4.size else np.resize(I8, U4.size)
    expected = wrapped([int(x) * int(y) + int(z) for x, y, z in zip(U4, V4, c, strict=True)], "u8")
    np.testing.assert_array_equal(apply("mad.wide.u32 {d}, {0}, {1}, {2}", "u8", U4, V4, c.view("u8")), expected)


def test_shifts_by_the_width_or_more_move_everything_out():
    n = np.resize(np.uint32([0, 1, 31, 32, 33, 2**31]), I4.size)
    count = [int(k) for k in n]
    left = [int(x) << k & 0xFFFFFFFF if k < 32 else 0 for x, k in zip(U4, count, strict=True)]
    assert apply("shl.b32 {d}, {0}, {1}", "u4", U4, n).tolist() == left
    assert apply("shr.u32 {d}, {0}, {1}", "u4", U4, n).tolist() == [
        int(x) >> k if k < 32 else 0 for x, k in zip(U4, count, strict=True)
    ]
    assert apply("shr.s32 {d}, {0}, {1}", "i4", I4, n).tolist() == [
        int(x) >> min(k, 31) for x, k in zip(I4, count, strict=True)
    ]
    wide = np.resize(n, I8.size)
    assert apply("shr.s64 {d}, {0}, {1}", "i8", I8, wide).tolist() == [
        int(x) >> min(int(k), 63) for x, k in zip(I8, wide, strict=True)
    ]


def test_bits_are_counted_reversed_and_picked():
    assert apply("popc.b32 {d}, {0}", "u4", U4).tolist() == [int(x).bit_count() for x in U4]
    assert apply("clz.b32 {d}, {0}", "u4", U4).tolist() == [32 - int(x).bit_length() for x in U4]
    assert apply("clz.b64 {d}, {0}", "u4", I8.view("u8")).tolist() == [64 - int(x).bit_length() for x in I8.view("u8")]
    assert apply("brev.b32 {d}, {0}", "u4", U4).tolist() == [int(f"{x:032b}"[::-1], 2) for x in U4]
    assert apply("bfe.u32 {d}, {0}, 5, 9", "u4", U4).tolist() == [int(x) >> 5 & 511 for x in U4]
    assert apply("bfe.s32 {d}, {0}, 5, 9", "i4", I4).tolist() == [((int(x) >> 5 & 511) ^ 256) - 256 for x in I4]
    expected = [(int(y) & ~(511 << 5)) | (int(x) & 511) << 5 for x, y in zip(U4, V4, strict=True)]
    assert apply("bfi.b32 {d}, {0}, {1}, 5, 9", "u4", U4, V4).tolist() == expected
    assert apply("shf.l.wrap.b32 {d}, {0}, {1}, 35", "u4", U4, V4).tolist() == [
        ((int(y) << 32 | int(x)) << 3) >> 32 & 0xFFFFFFFF for x, y in zip(U4, V4, strict=True)
    ]
    assert apply("shf.r.clamp.b32 {d}, {0}, {1}, 35", "u4", U4, V4).tolist() == V4.tolist()
    low, high = 0x93221180, 0x77F65544
    found = apply("prmt.b32 {d}, {0}, {1}, 29833", "u4", np.uint32([low]), np.uint32([high]))  # 0x7489
    assert found.tolist() == [prmt(low, high, 29833)]
    chosen = [(int(x) & int(y)) | (~int(x) & 15) for x, y in zip(U4, V4, strict=True)]
    assert apply("lop3.b32 {d}, {0}, {1}, 15, 202", "u4", U4, V4).tolist() == chosen


def prmt(a, b, selector):
    """PTX ISA, prmt: byte k of the result is byte (selector >> 4 k) & 7 of {b, a}; with bit 3 its sign, eight times."""
    source = a.to_bytes(4, "little") + b.to_bytes(4, "little")
    out = bytearray()
    for k in range(4):
        pick = selector >> 4 * k & 15
        byte = source[pick & 7]
        out.append((255 if byte & 128 else 0) if pick & 8 else byte)
    return int.from_bytes(out, "little")


def test_carries_run_through_long_sums_and_products():
    add = "add.cc.u32 %r14, {0}, {1}; addc.u32 {d}, 0, 0"
    assert apply(add, "u4", U4, V4).tolist() == [int(x) + int(y) >> 32 for x, y in zip(U4, V4, strict=True)]
    subtract = "sub.cc.u32 %r14, {0}, {1}; subc.u32 {d}, 5, 0"
    assert apply(subtract, "u4", U4, V4).tolist() == [5 - (int(x) < int(y)) for x, y in zip(U4, V4, strict=True)]
    product = "mad.lo.cc.u32 %r14, {0}, {1}, {0}; madc.hi.u32 {d}, {0}, {1}, 0"
    assert apply(product, "u4", U4, V4).tolist() == [int(x) * int(y) + int(x) >> 32 for x, y in zip(U4, V4, strict=True)]


# -- conversion -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("mode", "function"), [("rni", np.rint), ("rzi", np.trunc), ("rmi", np.floor), ("rpi", np.ceil)])
def test_floats_become_whole_numbers_within_the_range_of_the_type(mode, function):
    values = np.float32([0.5, 1.5, -0.5, -2.7, 3e9, -3e9, np.inf, -np.inf, np.nan, 1e-40])
    clipped = np.nan_to_num(function(values.astype("f8")), nan=0.0)
    assert apply(f"cvt.{mode}.s32.f32 {{d}}, {{0}}", "i4", values).tolist() == np.clip(clipped, -(2**31), 2**31 - 1).tolist()
    assert apply(f"cvt.{mode}.u32.f32 {{d}}, {{0}}", "u4", values).tolist() == np.clip(clipped, 0, 2**32 - 1).tolist()
    np.testing.assert_array_equal(apply(f"cvt.{mode}.f32.f32 {{d}}, {{0}}", "f4", values), function(values))


@pytest.mark.parametrize("mode", ["rn", "rz", "rm", "rp"])
def test_whole_numbers_and_doubles_become_floats_by_the_mode(mode):
    for name, whole in (("s32", I4), ("s64", I8)):
        expected = [float(rounded(Fraction(int(x)), mode, "f4")) for x in whole]
        assert apply(f"cvt.{mode}.f32.{name} {{d}}, {{0}}", "f4", whole).tolist() == expected
    unsigned = I8.view("u8")
    expected = [float(rounded(Fraction(int(x)), mode, "f8")) for x in unsigned]
    assert apply(f"cvt.{mode}.f64.u64 {{d}}, {{0}}", "f8", unsigned).tolist() == expected
    doubles = A8[np.isfinite(A8)]
    expected = [float(rounded(Fraction(x), mode, "f4")) for x in doubles.tolist()]
    assert apply(f"cvt.{mode}.f32.f64 {{d}}, {{0}}", "f4", doubles).tolist() == expected


def test_narrow_whole_numbers_keep_their_sign_when_widened():
    assert apply("cvt.s32.s8 {d}, {0}", "i4", I4).tolist() == I4.astype("i1").tolist()
    assert apply("cvt.u32.u16 {d}, {0}", "u4", I4.view("u4").astype("u2")).tolist() == I4.astype("u2").tolist()
    assert apply("cvt.sat.u8.s32 {d}, {0}", "u4", I4).tolist() == np.clip(I4, 0, 255).tolist()
    assert apply("cvt.s64.s32 {d}, {0}", "i8", I4).tolist() == I4.tolist()


def test_halves_of_a_register_are_taken_apart_and_put_together():
    swap = "mov.b64 {{%r14, %r15}}, {0}; mov.b64 {d}, {{%r15, %r14}}"
    values = I8.view("u8")
    np.testing.assert_array_equal(apply(swap, "u8", values), values >> np.uint64(32) | values << np.uint64(32))
