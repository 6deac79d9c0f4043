"""The PTX interpreter keeps memory, blocks and atomic operations as PTX says, and refuses what a kernel may not do."""

import numpy as np
import pytest
from gpu_twins.interpreter import Counts, Fault, PtxError
from gpu_twins.snippets import THREADS, Array, at, rng, run


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
