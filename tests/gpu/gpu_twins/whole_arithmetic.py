"""What PTX instructions on whole numbers compute, as universal functions; declared as those of `arithmetic`."""

from __future__ import annotations

import numpy as np
from numba import njit

from gpu_twins.arithmetic import of


def _shifts(bits: int, unsigned: str, signed: str) -> None:
    """Declare the shifts of a width; PTX clamps the count, so that all bits leave."""

    @of(f"_b{bits}: {unsigned}({unsigned},u4)")
    def shl(a, b):
        return a << b if b < bits else 0

    @of(f"_u{bits}: {unsigned}({unsigned},u4)")
    def shr(a, b):
        return a >> b if b < bits else 0

    @of(f"_s{bits}: {signed}({signed},u4)")
    def sar(a, b):
        return a >> (b if b < bits else bits - 1)


_shifts(16, "u2", "i2")
_shifts(32, "u4", "i4")
_shifts(64, "u8", "i8")


@of("_s32: i4(i4,i4)", "_s64: i8(i8,i8)", "_u32: u4(u4,u4)", "_u64: u8(u8,u8)", "_s16: i2(i2,i2)", "_u16: u2(u2,u2)")
def div(a, b):
    if b == 0:
        return 0  # refused before
    q = a // b
    return q + 1 if q < 0 and q * b != a else q  # towards zero


@of("_s32: i4(i4,i4)", "_s64: i8(i8,i8)", "_u32: u4(u4,u4)", "_u64: u8(u8,u8)", "_s16: i2(i2,i2)", "_u16: u2(u2,u2)")
def rem(a, b):
    if b == 0:
        return 0
    r = a % b
    return r - b if r != 0 and (r < 0) != (a < 0) else r


@of("_b32: u4(u4)", "_b64: u4(u8)")
def popc(a):
    n, x = 0, np.uint64(a)
    while x:
        x &= x - np.uint64(1)
        n += 1
    return n


@njit(cache=True)
def _length(a):
    n, x = 0, np.uint64(a)
    while x:
        x >>= np.uint64(1)
        n += 1
    return n


@of("_b32: u4(u4)")
def clz(a):
    return 32 - _length(a)


@of("_b64: u4(u8)")
def clz_long(a):
    return 64 - _length(a)


@of("_u32: u4(u4)", "_u64: u4(u8)")
def bfind(a):
    return _length(a) - 1


@of("_s32: u4(i4)", "_s64: u4(i8)")
def bfind_signed(a):
    return _length(a if a >= 0 else ~a) - 1


@of("_b32: u4(u4)")
def brev(a):
    r, x = np.uint32(0), a
    for _ in range(32):
        r = np.uint32((r << 1) | (x & 1))
        x >>= 1
    return r


@of("_b64: u8(u8)")
def brev_long(a):
    r, x = np.uint64(0), a
    for _ in range(64):
        r = (r << np.uint64(1)) | (x & np.uint64(1))
        x >>= np.uint64(1)
    return r


@of("_u32: u4(u4,u4,u4)")
def bfe(a, start, count):
    s, n = start & 255, count & 255
    x = np.uint64(a) >> np.uint64(s) if s < 32 else np.uint64(0)
    return x & ((np.uint64(1) << np.uint64(n)) - np.uint64(1)) if n < 32 else x


@of("_s32: i4(i4,u4,u4)")
def bfe_signed(a, start, count):
    s, n = start & 255, count & 255
    if n == 0:
        return 0
    x = np.int64(a) >> np.int64(s if s < 63 else 63)  # beyond the end stands the sign
    top = min(s + n, 32) - s
    if top <= 0:
        return -1 if a < 0 else 0
    keep = np.int64(64 - top)
    return (x << keep) >> keep


@of("_b32: u4(u4,u4,u4,u4)", "_b64: u8(u8,u8,u4,u4)")
def bfi(a, b, start, count):
    bits = np.uint64(64)
    s, n = np.uint64(start & 255), np.uint64(count & 255)
    if s >= bits or n == np.uint64(0):
        return b
    mask = (~np.uint64(0) >> (bits - n) if n < bits else ~np.uint64(0)) << s
    return (np.uint64(b) & ~mask) | ((np.uint64(a) << s) & mask)


@of("_b32: u4(u4,u4,u4)")
def prmt(a, b, selector):
    both, r = (np.uint64(b) << np.uint64(32)) | np.uint64(a), np.uint64(0)
    for k in range(4):
        pick = (np.uint64(selector) >> np.uint64(4 * k)) & np.uint64(15)
        byte = (both >> (np.uint64(8) * (pick & np.uint64(7)))) & np.uint64(255)
        if pick & np.uint64(8):
            byte = np.uint64(255) if byte & np.uint64(128) else np.uint64(0)
        r |= byte << np.uint64(8 * k)
    return r


@of(": u4(u4,u4,u4)")
def shf_left(low, high, n):
    both = (np.uint64(high) << np.uint64(32)) | np.uint64(low)
    return (both << np.uint64(n)) >> np.uint64(32)


@of(": u4(u4,u4,u4)")
def shf_right(low, high, n):
    both = (np.uint64(high) << np.uint64(32)) | np.uint64(low)
    return both >> np.uint64(n)


@of("_b32: u4(u4,u4,u4,u1)")
def lop3(a, b, c, table):
    r = np.uint32(0)
    for k in range(8):
        if (table >> k) & 1:
            x = a if k & 4 else ~a
            y = b if k & 2 else ~b
            z = c if k & 1 else ~c
            r |= x & y & z
    return r


@of("_u64: u8(u8,u8)")
def mulhi(a, b):
    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    a0, a1, b0, b1 = a & low, a >> half, b & low, b >> half
    middle = a1 * b0 + ((a0 * b0) >> half)
    other = a0 * b1 + (middle & low)
    return a1 * b1 + (middle >> half) + (other >> half)


@of("_s64: i8(i8,i8)")
def mulhi_signed(a, b):
    low, half = np.int64(0xFFFFFFFF), np.int64(32)
    a0, a1, b0, b1 = a & low, a >> half, b & low, b >> half
    middle = a1 * b0 + np.int64((np.uint64(a0) * np.uint64(b0)) >> np.uint64(32))
    other = a0 * b1 + (middle & low)
    return a1 * b1 + (middle >> half) + (other >> half)


@of(": ?(u8,u8,?)")
def carries(a, b, carry):
    s = a + b
    return s < a or (carry and s == ~np.uint64(0))


@of(": ?(u8,u8,?)")
def borrows(a, b, borrow):
    return a < b or (borrow and a == b)
