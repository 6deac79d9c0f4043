"""The stand-in for CuPy has to fail where a GPU would: each of its checks is seen to find what it is for."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).resolve().parent
POISON = np.frombuffer(b"\xa5" * 4, np.float32)[0]


@pytest.fixture
def cupy(stand_in):
    """The stand-in with two small devices."""
    import cupy

    stand_in.reset(devices=2, memory=64_000_000)
    return cupy


def streams(cupy):
    return cupy.cuda.Stream(non_blocking=True), cupy.cuda.Stream(non_blocking=True)


def pinned(cupy, values):
    values = np.asarray(values)
    held = np.frombuffer(cupy.cuda.alloc_pinned_memory(values.nbytes), values.dtype, values.size)
    held[...] = values
    return held


# -- streams ------------------------------------------------------------------------------------------------------------
def test_a_copy_that_nobody_waited_for_has_not_happened(cupy):
    stream, _ = streams(cupy)
    out = pinned(cupy, np.zeros(3, np.float32))
    with stream:
        array = cupy.asarray(np.float32([1, 2, 3]))
        array.get(out=out, blocking=False)
    assert out.tolist() == [0, 0, 0] and not stream.done
    stream.synchronize()
    assert out.tolist() == [1, 2, 3] and stream.done


def test_memory_that_is_not_pinned_is_copied_before_the_call_returns(cupy):
    out, source = np.zeros(3, np.float32), np.float32([1, 2, 3])
    array = cupy.asarray(source)
    source[...] = 9
    array.get(out=out, blocking=False)
    assert out.tolist() == [1, 2, 3]


def test_pinned_memory_that_is_changed_too_early_arrives_changed(cupy):
    stream, _ = streams(cupy)
    source, array = pinned(cupy, np.float32([1, 2])), cupy.empty(2, np.float32)
    array.set(source, stream)
    source[...] = 7
    assert array.get(stream).tolist() == [7, 7]


@pytest.mark.parametrize("order", ["late", "early"])
@pytest.mark.parametrize("ordered", [True, False])
def test_only_an_event_orders_two_streams(cupy, order, ordered):
    cupy.stand_in.order = order
    main, halo = streams(cupy)
    with main:
        array = cupy.zeros(4, np.float32)
        main.synchronize()
        array.fill(1)
    if ordered:
        halo.wait_event(main.record())
    with halo:
        copy = array.copy()
        array.fill(2)
    if ordered:
        main.wait_event(halo.record())
    seen_by_main, seen_by_halo = array.get(main)[0], copy.get(halo)[0]
    if ordered:
        assert (seen_by_main, seen_by_halo) == (2, 1)
    else:  # each order shows one of the two races
        assert (seen_by_main, seen_by_halo) == {"late": (1, 1), "early": (1, 0)}[order]


def test_the_default_stream_waits_for_no_other(cupy):
    stream, _ = streams(cupy)
    array = cupy.zeros(1, np.float32)
    cupy.cuda.Device(0).synchronize()
    with stream:
        array.fill(1)
    assert array.get()[0] == 0
    stream.synchronize()
    assert array.get()[0] == 1


def test_an_event_stands_for_what_was_queued_before_it(cupy):
    main, halo = streams(cupy)
    with main:
        array = cupy.zeros(1, np.float32)
    event = main.record()
    with main:
        array.fill(5)
    assert not event.done
    event.synchronize()
    assert event.done and array._held[0] == 0
    halo.wait_event(cupy.cuda.Event())  # that nobody recorded
    halo.synchronize()


def test_streams_that_wait_for_each_other_a_thousand_times_come_to_an_end(cupy):
    main, halo = streams(cupy)
    for _ in range(2000):
        halo.wait_event(main.record())
        main.wait_event(halo.record())
    main.synchronize()
    assert main.done


# -- memory -------------------------------------------------------------------------------------------------------------
def test_what_nobody_wrote_is_no_number_that_anybody_expects(cupy):
    assert (cupy.empty(5, np.float32).get() == POISON).all()


def test_memory_that_was_let_go_is_given_again_and_spoilt(cupy):
    array = cupy.full(1000, 3.0, np.float32)
    where = array.data.ptr
    del array
    again = cupy.empty(1000, np.float32)
    assert again.data.ptr == where
    assert (again.get() == POISON).all()


@pytest.mark.parametrize("ordered", [True, False])
def test_an_array_that_another_stream_still_works_on_may_not_be_let_go(cupy, ordered):
    main, halo = streams(cupy)
    with main:
        array = cupy.zeros(100, np.float32)
    halo.wait_event(main.record())
    with halo:
        array.fill(1)
    if ordered:
        main.wait_event(halo.record())
    del array
    if ordered:
        main.synchronize()
    else:
        with pytest.raises(cupy.StandInFault, match="let go while another stream had work"):
            main.synchronize()


def test_memory_ends_at_the_limit_in_the_words_of_cupy(cupy):
    pool = cupy.get_default_memory_pool()
    pool.set_limit(size=10_240)
    kept = cupy.empty(1000, np.float64)
    assert pool.used_bytes() == 8192
    with pytest.raises(MemoryError) as error:
        cupy.empty(1000, np.float64)
    # what CuPy 14.2 says
    assert str(error.value) == (
        "Out of memory allocating 8,192 bytes (allocated so far: 8,192 bytes, limit set to: 10,240 bytes)."
    )
    del kept
    cupy.empty(1200, np.float64)  # the free block makes room


def test_memory_ends_where_the_device_ends(cupy):
    with pytest.raises(cupy.cuda.memory.OutOfMemoryError, match="Out of memory allocating 80,000,000 bytes"):
        cupy.empty(10_000_000, np.float64)
    free, total = cupy.cuda.Device(0).mem_info
    assert free == total == 64_000_000


# -- devices ------------------------------------------------------------------------------------------------------------
def test_an_array_belongs_to_its_device(cupy):
    array, (stream, _) = cupy.zeros(3, np.float32), streams(cupy)
    with cupy.cuda.Device(1):
        with pytest.raises(ValueError, match="array device = 0 while current = 1"):
            array.fill(1)
        with pytest.raises(RuntimeError, match="does not match with the current device"), stream:
            pass
    assert array.device.id == 0 and cupy.cuda.runtime.getDevice() == 0
    with pytest.raises(RuntimeError, match="cudaErrorInvalidDevice"):
        cupy.cuda.Device(2).use()


@pytest.mark.parametrize(("text", "count"), [("1", 1), ("1,0", 2), ("0,7,1", 1), ("", 0)])
def test_devices_are_hidden_as_cuda_hides_them(cupy, monkeypatch, text, count):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", text)
    if count:
        assert cupy.cuda.runtime.getDeviceCount() == count
        assert cupy.cuda.Device(0).pci_bus_id == f"0000:0{text[0]}:00.0"
    else:
        with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="cudaErrorNoDevice") as error:
            cupy.cuda.runtime.getDeviceCount()
        assert error.value.status == 100


def test_without_a_driver_nothing_begins(cupy):
    cupy.stand_in.driver = 0
    with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="driver version is insufficient") as error:
        cupy.empty(1)
    assert error.value.status == 35


# -- arrays and launches ------------------------------------------------------------------------------------------------
def test_host_and_device_do_not_mix(cupy):
    array, host = cupy.zeros(3, np.float32), np.ones(3, np.float32)
    with pytest.raises(TypeError, match="Implicit conversion to a NumPy array is not allowed"):
        np.asarray(array)
    with pytest.raises(TypeError, match=r"Unsupported type <class 'numpy\.ndarray'>"):
        array[...] = host
    with pytest.raises(TypeError):
        host + array
    with pytest.raises(TypeError, match="float64 array cannot be set to float32 array"):
        array.set(host.astype(float))
    with pytest.raises(ValueError, match="Shape mismatch"):
        array.set(host[:2].copy())
    with pytest.raises(RuntimeError, match="non-contiguous"):
        cupy.zeros((3, 2), np.float32)[:, 0].set(host)


def test_what_felsina_does_not_use_is_absent(cupy):
    for name in ("sum", "concatenate", "ElementwiseKernel"):
        with pytest.raises(AttributeError):
            getattr(cupy, name)
    with pytest.raises(NotImplementedError):
        cupy.cuda.Stream()


def test_kernels_of_cupys_own_are_noted(cupy):
    cupy.zeros(3, np.float32)
    assert cupy.stand_in.own_kernels == set()
    cupy.full(3, 1.0, np.float32)[:1] = 2
    assert cupy.stand_in.own_kernels == {"fill", "copy"}


@pytest.fixture
def launch(cupy):
    """A function of a cubin, with arguments that it takes."""
    from felsina.kernels.accumulate import whole_sum_gpu as kernel

    kernel.cubin((8, 0))
    path = kernel.file((8, 0), "", "cubin")
    values, total = cupy.asarray(np.float32([1, 2, 4])), cupy.asarray(np.int64([10]))
    function = cupy.RawModule(path=str(path)).get_function(kernel.entry())
    return function, [np.uint32(1), values, np.float64(1.0), total, np.uint32(3)]


def test_a_launch_waits_in_its_stream_and_then_runs(cupy, launch):
    function, arguments = launch
    total = arguments[3]
    function((1,), (128,), tuple(arguments))
    assert total._held[0] not in (10, 17)
    assert total.get()[0] == 17
    assert cupy.stand_in.launches == ["felsina_accumulate_whole_sum_gpu"]


@pytest.mark.parametrize(
    ("place", "wrong"),
    [(4, 3), (0, np.int64(3)), (0, np.float32(3)), (1, np.zeros(3, np.float32)), (1, np.uint32(3)), (2, 1.0), (2, np.uint8(1))],
)
def test_an_argument_that_the_cubin_does_not_take_is_refused(launch, place, wrong):
    function, arguments = launch
    arguments[place] = wrong
    with pytest.raises(TypeError):
        function((1,), (128,), tuple(arguments))


def test_the_number_of_arguments_and_their_stride_are_checked(cupy, launch):
    function, arguments = launch
    with pytest.raises(TypeError, match="takes 5 parameters, not 3"):
        function((1,), (128,), tuple(arguments[:3]))
    arguments[1] = cupy.zeros((3, 2), np.float32)[:, 0]
    with pytest.raises(TypeError, match="strided"):
        function((1,), (128,), tuple(arguments))


@pytest.mark.parametrize(("grid", "block"), [((0,), (128,)), ((1,), (1025,)), ((1, 65536), (32,)), ((1,), (32, 32, 2))])
def test_a_launch_beyond_the_limits_is_refused(launch, grid, block):
    function, arguments = launch
    with pytest.raises(RuntimeError, match="cudaErrorInvalidConfiguration"):
        function(grid, block, tuple(arguments))


@pytest.mark.parametrize(("capability", "runs"), [("80", True), ("86", True), ("75", False), ("90", False)])
def test_a_cubin_runs_on_its_own_generation_only(cupy, launch, capability, runs):
    from felsina.kernels.accumulate import whole_sum_gpu as kernel

    cupy.stand_in.compute_capability = capability
    path = str(kernel.file((8, 0), "", "cubin"))
    if runs:
        cupy.RawModule(path=path)
    else:
        with pytest.raises(RuntimeError, match="no kernel image"):
            cupy.RawModule(path=path)


PROGRAM = """
import cupy, numpy as np
from felsina.kernels.accumulate import whole_sum
total = cupy.asarray(np.int64([5]))
whole_sum(cupy.asarray(np.float32([1, 2, 4])), 1.0, total)
print(int(total.get()[0]), cupy.cuda.runtime.getDeviceCount())
"""


def test_on_the_path_of_a_process_it_carries_launches_out_by_itself():
    environment = {**os.environ, "PYTHONPATH": str(HERE / "stand_in"), "STAND_IN_GPUS": "3"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "12 3\n", done.stderr


INTERFACE = """
import inspect, sys
sys.path = [p for p in sys.path if not p.endswith("stand_in")]
try:
    import cupy
except ImportError:
    print("absent")
    sys.exit()
for line in sys.stdin.read().splitlines():
    name, *parameters = line.split()
    found = cupy
    for part in name.split("."):
        found = getattr(found, part, None)
        if found is None:
            print(name, "is not in CuPy")
            break
    else:
        try:
            takes = list(inspect.signature(found).parameters)
        except (TypeError, ValueError):
            continue
        missing = [p for p in parameters if p not in takes]
        if missing:
            print(name, "of CuPy takes", takes, "not", missing)
"""


def test_every_name_and_parameter_of_it_is_one_of_cupys(cupy):
    import inspect

    lines = []

    def look(prefix, owner, names):
        for name in names:
            member = getattr(owner, name)
            takes = list(inspect.signature(member).parameters) if inspect.isfunction(member) else []
            lines.append(" ".join([f"{prefix}{name}", *(p for p in takes if p not in ("self", "args", "kwargs", "key", "_"))]))

    own = {"stand_in", "StandInFault"}
    look("", cupy, [n for n in cupy.__all__ if n not in own])
    look("cuda.", cupy.cuda, cupy.cuda.__all__)
    # how the stand-in keeps things, and what CuPy's cython does not show
    hidden = {"queue", "reset", "give_back", "ptr", "device_id", "null", "mark"}
    for owner in ("ndarray", "cuda.Stream", "cuda.Event", "cuda.Device", "cuda.MemoryPool"):
        kind = cupy
        for part in owner.split("."):
            kind = getattr(kind, part)
        look(f"{owner}.", kind, [n for n in vars(kind) if not n.startswith("_") and n not in hidden])
    lines += [f"cuda.runtime.{n}" for n in vars(cupy.cuda.runtime)]
    assert len(lines) > 60
    environment = {k: v for k, v in os.environ.items() if "stand_in" not in v}
    done = subprocess.run(
        [sys.executable, "-c", INTERFACE], input="\n".join(lines), env=environment, capture_output=True, text=True, check=True
    )
    if done.stdout == "absent\n":
        pytest.skip("CuPy is not installed: pip install 'felsina[cuda12]'")
    assert done.stdout == ""
