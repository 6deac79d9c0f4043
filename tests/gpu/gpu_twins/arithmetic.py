"""What single PTX instructions compute, as NumPy universal functions where NumPy has none of its own.

Each is compiled from a scalar function for the types that the instruction has. Fused multiply-add is LLVM's `llvm.fma`: the
CPU's own instruction (or libm's `fma`), which rounds once. A rounding towards zero, down or up (`mode` 1, 2, 3) starts from the
nearest value and its exact error: two-sum for sums, a fused residual for products, quotients and roots, and Boldo and Muller's
three-term error for a fused multiply-add (IEEE Trans. Comput. 60, 2011); float32 goes through float64, made odd where
the result is inexact (Boldo and Melquiond, IEEE Trans. Comput. 57, 2008). The payload of a NaN is not modelled.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types, vectorize
from numba.extending import intrinsic

MODES = {"rn": 0, "rz": 1, "rm": 2, "rp": 3}
_FUNCTIONS: dict[str, tuple[str, Callable[..., Any]]] = {}


def of(*signatures: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare universal functions of a scalar function: "suffix of the name: signature" each."""

    def declare(function: Callable[..., Any]) -> Callable[..., Any]:
        for signature in signatures:
            suffix, _, kind = signature.partition(":")
            _FUNCTIONS[function.__name__ + suffix] = kind.strip(), function
        return function

    return declare


@functools.cache
def ufunc(name: str) -> Any:
    """Return a universal function; compiled at its first use, then from numba's cache."""
    signature, function = _FUNCTIONS[name]
    return vectorize([signature], cache=True)(function)


def known(name: str) -> bool:
    """Say whether there is such a function."""
    return name in _FUNCTIONS


# -- building blocks ----------------------------------------------------------------------------------------------------------
@intrinsic
def _fused(typing_context, a, b, c):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        kind = context.get_value_type(signature.return_type)
        name = f"llvm.fma.{'f32' if signature.return_type == types.float32 else 'f64'}"
        function = builder.module.declare_intrinsic(name, fnty=ir.FunctionType(kind, (kind, kind, kind)))
        return builder.call(function, arguments)

    return a(a, b, c), generate


@intrinsic
def _bits_of(typing_context, x):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.bitcast(arguments[0], context.get_value_type(signature.return_type))

    return (types.int64 if x == types.float64 else types.int32)(x), generate


@intrinsic
def _float_of(typing_context, x):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.bitcast(arguments[0], context.get_value_type(signature.return_type))

    return (types.float64 if x.bitwidth == 64 else types.float32)(x), generate


@njit(cache=True, error_model="numpy")
def _step(x, up):
    """Return the next float64 above (up > 0) or below."""
    if x == 0.0:
        return 5e-324 if up > 0 else -5e-324
    step = 1 if (x > 0.0) == (up > 0) else -1
    return _float_of(_bits_of(x) + np.int64(step))


@njit(cache=True, error_model="numpy")
def _directed(x, error, mode):
    """Round x + error, where x is the nearest value and the error exact (or of the right sign), by a mode."""
    if error == 0.0 or error != error or not math.isfinite(x):
        return x
    if mode == 1:
        if error < 0.0 and x > 0.0:
            return _step(x, -1)
        return _step(x, 1) if error > 0.0 and x < 0.0 else x
    if mode == 2:
        return _step(x, -1) if error < 0.0 else x
    if mode == 3:
        return _step(x, 1) if error > 0.0 else x
    return x


@njit(cache=True, error_model="numpy")
def _odd(x, error):
    """Return x + error rounded to odd: where inexact, that neighbour whose last bit is set."""
    if error == 0.0 or error != error or not math.isfinite(x) or _bits_of(x) & 1:
        return x
    return _step(x, error)


@njit(cache=True, error_model="numpy")
def _two_sum_error(a, b, s):
    t = s - a
    return (a - (s - t)) + (b - t)


@njit(cache=True, error_model="numpy")
def _narrow(x, mode):
    """Round a float64 to float32 by a mode."""
    y = np.float32(x)
    if mode == 0 or x != x or np.float64(y) == x:
        return y
    above = np.float64(y) > x
    down = (mode == 1 and x > 0.0) or mode == 2
    if math.isinf(y):
        finite = not math.isinf(x)
        if finite and ((x > 0.0 and down) or (x < 0.0 and (mode == 1 or mode == 3))):
            return np.float32(3.4028234663852886e38) if x > 0.0 else np.float32(-3.4028234663852886e38)
        return y
    if above == down:
        if y == np.float32(0.0):
            return _float_of(np.int32(1)) if not down else -_float_of(np.int32(1))
        step = 1 if (y > np.float32(0.0)) != down else -1
        return _float_of(np.int32(_bits_of(y) + step))
    return y


# -- fused and directed arithmetic --------------------------------------------------------------------------------------------
@of("_f32: f4(f4,f4,f4)", "_f64: f8(f8,f8,f8)")
def fma(a, b, c):
    return _fused(a, b, c)


@of("_f32: f4(f4,f4,u1)")
def add_directed(a, b, mode):
    x, y = np.float64(a), np.float64(b)
    s = x + y
    return _narrow(_odd(s, _two_sum_error(x, y, s)), mode)


@of("_f64: f8(f8,f8,u1)")
def sum_directed(a, b, mode):
    s = a + b
    return _directed(s, _two_sum_error(a, b, s), mode)


@of("_f32: f4(f4,f4,u1)")
def mul_directed(a, b, mode):
    return _narrow(np.float64(a) * np.float64(b), mode)  # exact in float64


@of("_f64: f8(f8,f8,u1)")
def product_directed(a, b, mode):
    p = a * b
    return _directed(p, _fused(a, b, -p), mode)


@of("_f32: f4(f4,f4,f4,u1)")
def fma_directed(a, b, c, mode):
    p, z = np.float64(a) * np.float64(b), np.float64(c)
    s = p + z
    return _narrow(_odd(s, _two_sum_error(p, z, s)), mode)


@of("_f64: f8(f8,f8,f8,u1)")
def fused_directed(a, b, c, mode):
    r = _fused(a, b, c)
    u1 = a * b
    u2 = _fused(a, b, -u1)
    a1 = c + u2
    a2 = _two_sum_error(c, u2, a1)
    b1 = u1 + a1
    b2 = _two_sum_error(u1, a1, b1)
    gamma = (b1 - r) + b2
    return _directed(r, gamma + a2, mode)


@of("_f32: f4(f4,f4,u1)")
def div_directed(a, b, mode):
    x, y = np.float64(a), np.float64(b)
    q = x / y
    rest = _fused(-q, y, x)
    return _narrow(_odd(q, rest if y > 0.0 else -rest), mode)


@of("_f64: f8(f8,f8,u1)")
def quotient_directed(a, b, mode):
    q = a / b
    rest = _fused(-q, b, a)
    return _directed(q, rest if b > 0.0 else -rest, mode)


@of("_f32: f4(f4,u1)")
def sqrt_directed(a, mode):
    x = np.float64(a)
    r = math.sqrt(x) if x >= 0.0 else math.nan
    return _narrow(_odd(r, _fused(-r, r, x)), mode)


@of("_f64: f8(f8,u1)")
def root_directed(a, mode):
    r = math.sqrt(a) if a >= 0.0 else math.nan
    return _directed(r, _fused(-r, r, a), mode)


@of(": f4(f8,u1)")
def narrow(x, mode):
    return _narrow(x, mode)


# -- approximations: the PTX bounds are 1-2 units of the last place; here they are rounded from float64 ---------------------
@of("_f32: f4(f4)")
def rcp(a):
    return np.float32(1.0 / np.float64(a))


@of("_f32: f4(f4)")
def rsqrt(a):
    return np.float32(1.0 / math.sqrt(np.float64(a))) if a >= 0.0 else np.float32(math.nan)


@of("_f32: f4(f4)")
def ex2(a):
    return np.float32(2.0 ** np.float64(a))


@of("_f32: f4(f4)")
def lg2(a):
    if a == np.float32(0.0):
        return np.float32(-math.inf)
    return np.float32(math.log2(np.float64(a))) if a > np.float32(0.0) else np.float32(math.nan)


@of("_f32: f4(f4)")
def sin_approx(a):
    return np.float32(math.sin(np.float64(a)))


@of("_f32: f4(f4)")
def cos_approx(a):
    return np.float32(math.cos(np.float64(a)))


@of("_f32: f4(f4)")
def tanh_approx(a):
    return np.float32(math.tanh(np.float64(a)))


@of("_f32: f4(f4,f4)")
def div_approx(a, b):
    # PTX: for 2^126 < |b| < 2^128 and finite a the result is 0.
    if np.abs(b) > np.float32(8.507059173023462e37) and math.isfinite(a) and math.isfinite(b):
        return np.float32(0.0)
    return np.float32(np.float64(a) / np.float64(b))


@of("_f64: f8(f8)")
def rcp_high(a):
    # rcp.approx.ftz.f64: 20 bits of the mantissa; the low word of the result is 0. Subnormals are flushed.
    x = 0.0 * a if np.abs(a) < 2.2250738585072014e-308 else a
    r = 1.0 / x
    r = 0.0 * r if np.abs(r) < 2.2250738585072014e-308 else r
    return _float_of(_bits_of(r) & ~np.int64(0xFFFFFFFF)) if r == r else r


@of("_f64: f8(f8)")
def rsqrt_high(a):
    x = 0.0 * a if np.abs(a) < 2.2250738585072014e-308 else a
    r = 1.0 / math.sqrt(x) if x >= 0.0 else math.nan
    return _float_of(_bits_of(r) & ~np.int64(0xFFFFFFFF)) if r == r else r


# -- floating point, the rest -------------------------------------------------------------------------------------------------
@of("_f32: f4(f4,f4)", "_f64: f8(f8,f8)")
def fmin(a, b):
    if a != a:
        return b
    if a == b:
        return a if math.copysign(1.0, a) < 0.0 else b  # -0 is less than +0
    return a if a < b or b != b else b


@of("_f32: f4(f4,f4)", "_f64: f8(f8,f8)")
def fmax(a, b):
    if a != a:
        return b
    if a == b:
        return b if math.copysign(1.0, a) < 0.0 else a
    return a if a > b or b != b else b


@of(": f4(f4)")
def flush(a):
    return math.copysign(np.float32(0.0), a) if np.abs(a) < np.float32(1.1754943508222875e-38) else a


@of("_f32: f4(f4)", "_f64: f8(f8)")
def saturate(a):
    return type(a)(0) if not a > 0 else (type(a)(1) if a > 1 else a)


@of(": i8(f8,u1)")
def to_signed(x, bits):
    # PTX: integers saturate and NaN becomes 0. 2^63 is a float64, 2^63 - 1 is none.
    if x != x:
        return 0
    top = 2.0 ** (bits - 1)
    if x >= top:
        return np.int64(np.uint64(1) << np.uint64(bits - 1)) - np.int64(1)
    return -np.int64(np.uint64(1) << np.uint64(bits - 1)) if x < -top else np.int64(x)


@of(": u8(f8,u1)")
def to_unsigned(x, bits):
    if not x > 0.0:
        return np.uint64(0)
    if x >= 2.0**bits:
        return ~np.uint64(0) >> np.uint64(64 - bits)
    return np.uint64(x)


@of("_s: f8(i8,u1)")
def widen(x, mode):
    y = np.float64(x)
    if y >= 9.223372036854775807e18:
        return _directed(y, -1.0, mode)
    return _directed(y, np.float64(x - np.int64(y)), mode)


@of("_u: f8(u8,u1)")
def widen_unsigned(x, mode):
    y = np.float64(x)
    if y >= 1.8446744073709552e19:
        return _directed(y, -1.0, mode)
    whole = np.uint64(y)
    return _directed(y, np.float64(x - whole) if x >= whole else -np.float64(whole - x), mode)


@of("_s: f4(i8,u1)")
def shorten(x, mode):
    y = np.float64(x)
    error = -1.0 if y >= 9.223372036854775807e18 else np.float64(x - np.int64(y))
    return _narrow(_odd(y, error), mode)


@of("_u: f4(u8,u1)")
def shorten_unsigned(x, mode):
    y = np.float64(x)
    if y >= 1.8446744073709552e19:
        return _narrow(_odd(y, -1.0), mode)
    whole = np.uint64(y)
    return _narrow(_odd(y, np.float64(x - whole) if x >= whole else -np.float64(whole - x)), mode)
