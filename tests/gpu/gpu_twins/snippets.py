"""Snippets of PTX for the tests of the interpreter: a kernel around some statements, and values to feed it with."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from gpu_twins.interpreter import interpret

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
