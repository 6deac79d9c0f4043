"""The PTX interpreter computes as PTX says, and refuses what a kernel may not do."""

import math
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from gpu_twins.interpreter import Counts, Fault, PtxError, interpret

HEADER = ".version 8.8\n.target sm_80\n.address_size 64\n"
THREADS = 64
REGISTERS = ".reg .pred %p<9>; .reg .b16 %rs<9>; .reg .b32 %r<19>; .reg .f32 %f<9>; .reg .f64 %fd<9>; .reg .b64 %rd<19>;"


class Array:
    """Device memory without a stand-in."""

    def __init__(self, values):
        self._held = np.ascontiguousarray(values)
        raw = self._held.reshape(-1).view(np.uint8)
        self.block = SimpleNamespace(ptr=raw.ctypes.data, bytes=raw)

    def part(self, first, last):
        """Return a view, which is an allocation of its own with the same memory."""
        made = Array.__new__(Array)
        made._held, made.block = self._held[first:last], self.block
        return made


def run(body, *arguments, grid=(1,), block=(THREADS,), module="", **options):
    """Carry a body out with %rd1, %rd2 ... the arguments and %r0 the number of the thread in the grid."""
    kinds = ["u64" if isinstance(a, Array) else f"{'f' if a.dtype.kind == 'f' else 'u'}{8 * a.itemsize}" for a in arguments]
    listed = ", ".join(f".param .{kind} k_param_{i}" for i, kind in enumerate(kinds))
    loads = "".join(f"ld.param.u64 %rd{i + 1}, [k_param_{i}];" for i, kind in enumerate(kinds) if kind == "u64")
    thread = "mov.u32 %r1, %ctaid.x; mov.u32 %r2, %ntid.x; mov.u32 %r3, %tid.x; mad.lo.s32 %r0, %r1, %r2, %r3;"
    text = f"{HEADER}{module}\n.visible .entry k({listed})\n{{ {REGISTERS} {loads} {thread} {body} ret; }}"
    interpret(text, "k", grid, block, arguments, **options)


def at(pointer, size, register="%rd9"):
    """Return statements that make the address of this thread's element."""
    return f"mul.wide.u32 {register}, %r0, {size}; add.s64 {register}, {pointer}, {register};"


NAMES = {"f4": "%f", "f8": "%fd", "u4": "%r", "i4": "%r", "u8": "%rd", "i8": "%rd", "u2": "%rs", "i2": "%rs"}
BASE = {"%r": 10, "%rd": 11, "%f": 1, "%fd": 1, "%rs": 1}
PTX = {"f": "f", "u": "u", "i": "s"}


def apply(statement, out, *inputs):
    """Carry `statement` out on inputs, one thread each; {d} and {0}, {1} ... are its registers."""
    out = np.dtype(out)
    inputs = [np.asarray(v) for v in inputs]
    count = inputs[0].size
    body, registers, used = "", [], {}
    for k, values in enumerate([np.zeros(count, out), *inputs]):
        name = NAMES[values.dtype.str[1:]]
        number = BASE[name] + used.get(name, 0)
        used[name] = used.get(name, 0) + 1
        registers.append(f"{name}{number}")
        if k:
            kind = f"{PTX[values.dtype.kind]}{8 * values.itemsize}"
            body += at(f"%rd{k + 1}", values.itemsize) + f"ld.global.{kind} {registers[-1]}, [%rd9];"
    body += statement.format(*registers[1:], d=registers[0]) + ";"
    body += at("%rd1", out.itemsize) + f"st.global.{PTX[out.kind]}{8 * out.itemsize} [%rd9], {registers[0]};"
    result = Array(np.zeros(count, out))
    guarded = f"setp.ge.u32 %p8, %r0, {count}; @%p8 bra $end; {body} $end:"
    run(guarded, result, *map(Array, inputs), grid=(-(-count // THREADS),))
    return result._held


rng = np.random.default_rng(5)
F4 = np.concatenate([rng.normal(size=300) * 10.0 ** rng.uniform(-12, 12, 300), [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40]])
A4, B4, C4 = F4.astype("f4"), rng.permutation(F4).astype("f4"), rng.permutation(F4).astype("f4")
A8, B8, C8 = F4.astype("f8"), rng.permutation(F4), rng.permutation(F4)
I4 = np.concatenate([rng.integers(-(2**31), 2**31, 200), [0, 1, -1, 2**31 - 1, -(2**31), 31, 32, 33]]).astype("i4")
J4 = rng.permutation(I4)
U4, V4 = I4.view("u4"), J4.view("u4")
I8 = rng.integers(-(2**63), 2**63, 200)
J8 = rng.permutation(I8)


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


# -- memory -----------------------------------------------------------------------------------------------------------
def test_vectors_load_and_store_neighbours():
    values, out = np.arange(4 * THREADS, dtype="f4"), Array(np.zeros(4 * THREADS, "f4"))
    body = at("%rd1", 16) + "ld.global.v4.f32 {%f1, %f2, %f3, %f4}, [%rd9];" + at("%rd2", 16)
    run(body + "st.global.v2.f32 [%rd9], {%f4, %f3}; st.global.v2.f32 [%rd9+8], {%f2, %f1};", Array(values), out)
    assert out._held.tolist() == values.reshape(-1, 4)[:, ::-1].ravel().tolist()


def test_bytes_are_widened_by_their_sign():
    values, out = rng.integers(-128, 128, THREADS).astype("i1"), Array(np.zeros(THREADS, "i4"))
    body = at("%rd1", 1) + "ld.global.s8 %r9, [%rd9];" + at("%rd2", 4) + "st.global.u32 [%rd9], %r9;"
    run(body, Array(values), out)
    assert out._held.tolist() == values.tolist()


@pytest.mark.parametrize("space", ["const", "global"])
def test_tables_of_the_module_are_read_and_not_written(space):
    module = f".{space} .align 4 .b8 table[8] = {{1, 0, 0, 0, 2, 1}};"
    out = Array(np.zeros(THREADS, "u4"))
    run("and.b32 %r9, %r0, 1; mul.wide.u32 %rd10, %r9, 4; mov.u64 %rd11, table; add.s64 %rd10, %rd11, %rd10;"
        f"ld.{space}.u32 %r9, [%rd10];" + at("%rd1", 4) + "st.global.u32 [%rd9], %r9;", out, module=module)  # fmt: skip
    assert out._held.tolist() == [1, 258] * (THREADS // 2)
    with pytest.raises(Fault, match=r"out of bounds, \+8 bytes from the start of variable table"):
        run(f"mov.u64 %rd10, table; ld.{space}.u32 %r9, [%rd10+8];", module=module)


SQUARE = """
.func (.param .b32 back) square(.param .b32 x) {
 .local .align 4 .b8 depot[4]; .reg .b32 %r<3>; .reg .b64 %SP;
 ld.param.u32 %r1, [x]; mov.u64 %SP, depot; st.local.u32 [%SP], %r1; ld.local.u32 %r2, [depot];
 mul.lo.s32 %r1, %r1, %r2; st.param.b32 [back+0], %r1; ret;
}"""
CALL = """{ .reg .b32 t; .param .b32 p0; st.param.b32 [p0+0], %r9; .param .b32 r0; call.uni (r0), square, (p0);
 ld.param.b32 %r9, [r0+0]; }"""


def test_a_device_function_gives_back_what_it_computes():
    out = Array(np.zeros(THREADS, "u4"))
    run("mov.u32 %r9, %r0;" + CALL + CALL + at("%rd1", 4) + "st.global.u32 [%rd9], %r9;", out, module=SQUARE)
    assert out._held.tolist() == [k**4 % 2**32 for k in range(THREADS)]


def test_loops_of_different_length_meet_again():
    out = Array(np.zeros(THREADS, "u4"))
    body = "mov.u32 %r9, 0; mov.u32 %r10, 0; $loop: add.s32 %r9, %r9, %r10; add.s32 %r10, %r10, 1; setp.le.u32 %p1, %r10, %r0;"
    counts = Counts()
    run(body + "@%p1 bra $loop;" + at("%rd1", 4) + "st.global.u32 [%rd9], %r9;", out, counts=counts)
    assert out._held.tolist() == [k * (k + 1) // 2 for k in range(THREADS)]
    assert counts.statements < 5 * THREADS + 20  # not one thread after the other
    assert (counts.bytes_stored, counts.sectors_stored, counts.bytes_loaded) == (4 * THREADS, THREADS // 8, 0)


def test_a_jump_table_leads_each_thread_its_way():
    out = Array(np.zeros(THREADS, "u4"))
    body = "and.b32 %r9, %r0, 1; $table: .branchtargets $even, $odd; brx.idx %r9, $table; $even: mov.u32 %r10, 5; bra $end;"
    run(body + "$odd: mov.u32 %r10, 6; $end:" + at("%rd1", 4) + "st.global.u32 [%rd9], %r10;", out)
    assert out._held.tolist() == [5, 6] * (THREADS // 2)


def test_flops_are_counted_and_a_fused_multiply_add_is_two():
    counts = Counts()
    run("mov.f32 %f1, 0f3F800000; fma.rn.f32 %f2, %f1, %f1, %f1; mul.f32 %f2, %f2, %f1; mov.f64 %fd1, 0d3FF0000000000000;"
        "add.f64 %fd1, %fd1, %fd1; max.f32 %f1, %f1, %f2;", counts=counts)  # fmt: skip
    assert (counts.flops_f32, counts.flops_f64, counts.threads) == (3 * THREADS, THREADS, THREADS)


# -- blocks -----------------------------------------------------------------------------------------------------------
SHARED = f".shared .align 4 .b8 held[{4 * THREADS}];"
STORE = "mul.lo.u32 %r11, %r3, 4; mov.u32 %r12, held; add.s32 %r12, %r12, %r11; st.shared.u32 [%r12], %r0;"
TREE = """mov.u32 %r13, 32; $again: bar.sync 0; setp.ge.u32 %p1, %r3, %r13; @%p1 bra $skip; shl.b32 %r14, %r13, 2;
 add.s32 %r14, %r12, %r14; ld.shared.u32 %r15, [%r14]; ld.shared.u32 %r16, [%r12]; add.s32 %r16, %r16, %r15;
 st.shared.u32 [%r12], %r16; $skip: shr.u32 %r13, %r13, 1; setp.ne.u32 %p2, %r13, 0; @%p2 bra $again;
 setp.ne.u32 %p3, %r3, 0; @%p3 bra $end; mul.wide.u32 %rd9, %r1, 4;
 add.s64 %rd9, %rd1, %rd9; st.global.u32 [%rd9], %r16; $end:"""


def test_a_block_sums_by_halves_between_barriers():
    out = Array(np.zeros(3, "u4"))
    run(STORE + TREE, out, grid=(3,), module=SHARED)
    assert out._held.tolist() == np.arange(3 * THREADS).reshape(3, -1).sum(axis=1).tolist()


def test_a_missing_barrier_is_a_race():
    with pytest.raises(Fault, match=r"races: .* shared memory .* since the last barrier"):
        run(STORE + TREE.replace("bar.sync 0;", ""), Array(np.zeros(3, "u4")), grid=(3,), module=SHARED)


def test_a_barrier_that_only_some_threads_of_a_warp_reach_is_refused():
    with pytest.raises(Fault, match=r"not reached by block \(0, 0, 0\) thread \(5, 0, 0\), which has ended"):
        run("setp.ge.u32 %p1, %r0, 5; @%p1 bra $end; bar.sync 0; $end:")
    with pytest.raises(Fault, match="different barriers"):
        run("setp.ge.u32 %p1, %r0, 5; @%p1 bra $other; bar.sync 0; bra $end; $other: barrier.sync 0; $end:")


def test_shared_memory_is_read_only_after_it_was_written():
    with pytest.raises(Fault, match="uninitialised shared memory"):
        run("ld.shared.u32 %r9, [held];", module=SHARED)
    with pytest.raises(Fault, match="out of bounds of shared memory"):
        run(STORE.replace("[%r12]", "[%r12+4]"), module=SHARED)


def test_threads_of_a_block_see_after_a_barrier_what_the_others_wrote_to_global_memory():
    body = at("%rd1", 4) + "st.global.u32 [%rd9], %r0; bar.sync 0; xor.b32 %r0, %r0, 1;" + at("%rd1", 4, "%rd10")
    body += "ld.global.u32 %r9, [%rd10]; xor.b32 %r0, %r0, 1;" + at("%rd2", 4) + "st.global.u32 [%rd9], %r9;"
    out = Array(np.zeros(THREADS, "u4"))
    run(body, Array(np.full(THREADS, 99, "u4")), out)
    assert out._held.tolist() == [k ^ 1 for k in range(THREADS)]
    with pytest.raises(Fault, match="races: element 0 of parameter 0 is written by block"):
        run(body.replace("bar.sync 0;", ""), Array(np.full(THREADS, 99, "u4")), out)


# -- atomic operations ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("name", "kind", "expected"), [
    ("add", "u32", THREADS * (THREADS - 1) // 2 + 10), ("min", "s32", 0), ("max", "u32", THREADS - 1), ("or", "b32", 63 | 10),
    ("and", "b32", 0), ("xor", "b32", 10), ("exch", "b32", THREADS - 1),
])  # fmt: skip
def test_atomic_operations_lose_nothing(name, kind, expected):
    held = Array(np.uint32([10]))
    run(f"red.global.{name}.{kind} [%rd1], %r0;" if name != "exch" else "atom.global.exch.b32 %r9, [%rd1], %r0;", held)
    assert held._held.tolist() == [expected]


def test_an_atomic_operation_returns_what_was_there():
    held, out = Array(np.zeros(1, "u8")), Array(np.zeros(THREADS, "u8"))
    body = "mov.u64 %rd10, 1; atom.global.relaxed.gpu.add.u64 %rd11, [%rd1], %rd10;"
    run(body + at("%rd2", 8) + "st.global.u64 [%rd9], %rd11;", held, out)
    assert sorted(out._held.tolist()) == list(range(THREADS)) and held._held.tolist() == [THREADS]


def test_only_one_thread_wins_a_compare_and_swap():
    held, out = Array(np.uint32([7])), Array(np.zeros(THREADS, "u4"))
    run("atom.global.cas.b32 %r9, [%rd1], 7, %r0;" + at("%rd2", 4) + "st.global.u32 [%rd9], %r9;", held, out)
    assert (out._held == 7).sum() == 1


# -- faults -----------------------------------------------------------------------------------------------------------
def test_an_access_beyond_an_argument_names_statement_thread_and_argument():
    where = r"\+240 bytes from the start of parameter 0, which has 240, in 4 threads"
    first = r"first in block \(0, 0, 0\) thread \(60, 0, 0\)"
    with pytest.raises(Fault, match=rf"'ld.global.f32 %f1, \[%rd9\]' is out of bounds, {where}, {first}"):
        run(at("%rd1", 4) + "ld.global.f32 %f1, [%rd9];", Array(np.zeros(60, "f4")))


def test_a_view_ends_where_it_ends_though_its_array_goes_on():
    whole = Array(np.zeros(2 * THREADS, "f4"))
    run(at("%rd1", 4) + "ld.global.f32 %f1, [%rd9];", whole.part(0, THREADS))
    for offset in (4, -4):
        with pytest.raises(Fault, match="out of bounds"):
            run(at("%rd1", 4) + f"ld.global.f32 %f1, [%rd9+{offset}];", whole.part(THREADS // 2, THREADS + THREADS // 2))


def test_an_address_that_is_not_aligned_is_refused():
    with pytest.raises(Fault, match="not aligned to 4 bytes"):
        run("ld.global.f32 %f1, [%rd1+2];", Array(np.zeros(4, "f4")))
    with pytest.raises(Fault, match="not aligned to 8 bytes"):
        run("ld.global.v2.f32 {%f1, %f2}, [%rd1];", Array(np.zeros(8, "f4")).part(1, 5))


def test_what_nothing_wrote_is_not_read():
    with pytest.raises(Fault, match="register %r9, which nothing wrote"):
        run("setp.lt.u32 %p1, %r0, 5; @%p1 mov.u32 %r9, 1; add.s32 %r10, %r9, 1;")
    with pytest.raises(Fault, match="uninitialised local memory"):
        run("ld.local.u32 %r9, [depot];", module=".local .align 4 .b8 depot[8];")
    poisoned = np.frombuffer(b"\xa5" * 4 * THREADS, "f4").copy()  # as the stand-in fills new memory
    with pytest.raises(Fault, match="uninitialised memory of parameter 0"):
        run(at("%rd1", 4) + "ld.global.f32 %f1, [%rd9];", Array(poisoned))


def test_two_threads_that_write_different_values_race():
    with pytest.raises(Fault, match="two threads write different values"):
        run("st.global.u32 [%rd1], %r0;", Array(np.zeros(1, "u4")))
    run("st.global.u32 [%rd1], 3;", Array(np.zeros(1, "u4")))


def test_arguments_that_share_memory_race_too():
    whole = Array(np.arange(THREADS + 1, dtype="u4"))
    body = at("%rd1", 4) + "ld.global.u32 %r9, [%rd9];" + at("%rd2", 4) + "st.global.u32 [%rd9], %r9;"
    with pytest.raises(Fault, match="races: element 1 of parameter 0 and parameter 1"):
        run(body, whole.part(0, THREADS), whole.part(1, THREADS + 1))


def test_a_cached_read_of_what_the_launch_writes_is_a_race():
    body = at("%rd1", 4) + "ld.global{nc}.u32 %r9, [%rd9]; add.s32 %r9, %r9, 1; st.global.u32 [%rd9], %r9;"
    run(body.format(nc=""), Array(np.zeros(THREADS, "u4")))
    with pytest.raises(Fault, match="races"):
        run(body.format(nc=".nc"), Array(np.zeros(THREADS, "u4")))


def test_a_division_by_zero_a_trap_and_a_loop_without_end_are_faults():
    with pytest.raises(Fault, match=r"divides by zero, in 1 threads, first in block \(0, 0, 0\) thread \(0, 0, 0\)"):
        run("div.u32 %r9, 1, %r0;")
    with pytest.raises(Fault, match="traps, in 3 threads"):
        run("setp.lt.u32 %p1, %r0, 3; @%p1 trap;")
    with pytest.raises(Fault, match="does not end"):
        run("$loop: bra $loop;", limit=1000)


@pytest.mark.parametrize("statement", [
    "vote.sync.all.pred %p1, %p1, -1;", "add.rx.f32 %f1, %f1, %f1;", "ld.surf.u32 %r9, [%rd1];", "add.f16 %rs1, %rs1, %rs1;",
    "mul.f32 %f1, %f1;", "bar.arrive 0, 64;", "fma.f32 %f1, %f1, %f1, %f1;", "mov.u32 %r99, 1;", "div.f32 %f1, %f1, %f1;",
    "cvt.s32.f32 %r9, %f1;", "add.s32 %r9, %r9, 4294967296;", "atom.global.add.b32 %r9, [%rd1], %r0;", "mov.u64 %rd9, nowhere;",
    "setp.lt.b32 %p1, %r0, %r0;", "call.uni nobody, (p);", ".reg .b128 %q<2>;", "mov.b32 %rd9, %r9;",
])  # fmt: skip
def test_what_the_interpreter_does_not_know_is_refused(statement):
    with pytest.raises(PtxError, match="Unknown"):
        run(statement, Array(np.zeros(4, "u4")))
