import importlib.metadata
import json
import logging
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from felsina.engine.errors import MachineError
from felsina.engine.parallel import device as device_module
from felsina.engine.parallel import gpu, gpu_aware
from felsina.engine.parallel.device import CpuDevice, DeviceMemoryError, open_device
from felsina.engine.parallel.world import Exchange, World


@pytest.fixture
def opened(cupy):
    """The GPU of a serial run."""
    with open_device(World.serial(), "gpu") as device:
        yield device


# -- the processor ------------------------------------------------------------------------------------------------------
def test_the_processor_answers_every_call_with_numpy():
    with open_device(World.serial(), "cpu") as device:
        assert isinstance(device, CpuDevice) and device.kind == "cpu" and not device.is_asynchronous
        values = np.arange(6, dtype="f4").reshape(2, 3)
        assert device.put(values) is not None and device.get(device.put(values)).tolist() == values.tolist()
        out = device.zeros((2, 3), "f4")
        assert device.put(values, out) is out and device.get(out).tolist() == values.tolist()
        assert device.full(3, 2.5, "f8").tolist() == [2.5] * 3 and device.empty((0, 4), "i4").shape == (0, 4)
        with device.stream("halo"), device.guard("a sum"):
            device.wait("main", for_="halo")
        device.synchronise()
        assert json.dumps(device.facts())
        assert "processor" in device.describe()


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_a_stream_that_is_not_there_is_named(cupy, kind):
    device = open_device(World.serial(), kind)
    for call in (
        lambda: device.stream("side"),
        lambda: device.wait("side", for_="main"),
        lambda: device.wait("main", for_="side"),
        lambda: device.synchronise("side"),
    ):
        with pytest.raises(ValueError, match="no stream 'side'; expected main or halo"):
            call()
    device.close()


def test_the_processor_is_never_taken_in_place_of_a_gpu(cupy, monkeypatch):
    cupy.stand_in.devices = 0
    with pytest.raises(MachineError, match="sees no GPU"):
        open_device(World.serial(), "gpu")


# -- what is missing ----------------------------------------------------------------------------------------------------
def test_without_cupy_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(MachineError, match=r"CuPy, which is not installed. Run pip install .*cuda12.*--device cpu") as error:
        gpu.find_gpus()
    assert error.value.exit_code == 4


def test_without_the_compiler_of_kernels_the_extra_is_named(cupy, monkeypatch):
    real = importlib.metadata.version

    def version(name):
        if name == "numba-cuda":
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(MachineError, match=r"need numba-cuda, which compiles kernels and is not installed. Run pip install"):
        gpu.find_gpus()


@pytest.mark.parametrize(
    ("driver", "says"),
    [(0, "has no NVIDIA driver. Run on a node with a GPU"), (11_040, "has a driver for CUDA 11.4, and CuPy needs CUDA 12")],
)
def test_without_a_driver_that_will_do_the_node_is_named(cupy, driver, says):
    cupy.stand_in.driver = driver
    with pytest.raises(MachineError, match=f"The node .* {says}.*Use --device cpu"):
        gpu.find_gpus()


def test_where_no_gpu_is_visible_the_variable_that_hides_it_is_shown(cupy, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    with pytest.raises(MachineError, match=r"CUDA_VISIBLE_DEVICES is '-1'.*--gpus-per-task=1"):
        gpu.find_gpus()


def test_a_gpu_that_is_too_old_is_refused(cupy):
    cupy.stand_in.compute_capability, cupy.stand_in.name = "61", "NVIDIA Tesla P100"
    with pytest.raises(MachineError, match=r"Tesla P100 has compute capability 6.1, and felsina needs 7.0 with CUDA 12.9"):
        gpu.find_gpus()
    cupy.stand_in.compute_capability = "70"
    assert gpu.find_gpus()[0].compute_capability == "70"


@pytest.mark.parametrize(
    "text",
    [
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.274.02  Wed Sep  3 20:14:41 UTC 2025\nGCC version: 13",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  535.274.02  Release Build  (dvs-builder)\n",
    ],
)
def test_the_drivers_version_is_read_from_the_kernel_module(monkeypatch, tmp_path, text):
    (tmp_path / "version").write_text(text)
    monkeypatch.setattr(gpu, "_DRIVER_FILE", tmp_path / "version")
    assert gpu.driver_version() == "535.274.02"
    monkeypatch.setattr(gpu, "_DRIVER_FILE", tmp_path / "nothing")
    assert gpu.driver_version() == ""


# -- one GPU a rank -----------------------------------------------------------------------------------------------------
def test_the_log_names_the_real_device(cupy, caplog):
    with caplog.at_level(logging.INFO, "felsina"):
        device = open_device(World.serial(), "gpu")
    assert device.describe() == "NVIDIA A100-SXM-64GB (stand-in) (sm_80, 64.0 GB, driver for CUDA 12.9)"
    assert caplog.messages == [f"Kernels run on 1 GPU, one a rank: {device.describe()}."]
    facts = json.loads(json.dumps(device.facts()))
    assert facts["compute_capability"] == "8.0" and facts["limit_bytes"] == 57_600_000_000 and facts["ranks_per_gpu"] == 1
    device.close()


@pytest.mark.mpi(2, 4)
def test_each_rank_takes_the_gpu_of_its_place_in_the_node_and_its_share_of_the_memory(world, cupy, caplog, monkeypatch):
    for devices in (1, 2, 3, 4):
        cupy.stand_in.reset(devices=devices)
        caplog.clear()
        with caplog.at_level(logging.INFO, "felsina"), open_device(world, "gpu", memory_limit=0.8) as device:
            place, sharing = world.rank % devices, sum(r % devices == world.rank % devices for r in range(world.size))
            assert device.gpu.index == cupy.cuda.runtime.getDevice() == device.zeros(3, "f4").device.id == place
            assert cupy.get_default_memory_pool().get_limit() == device.limit == int(0.8 * 64e9 / sharing)
        used, most = min(devices, world.size), -(-world.size // devices)
        plural = "s" if used > 1 else ""
        shared = f"Kernels of {world.size} ranks run on {used} GPU{plural}, up to {most} ranks on one: "
        told = [f"Kernels run on {used} GPU{plural}, one a rank: " if most == 1 else shared] if world.is_root else []
        assert [m[: len(t)] for m, t in zip(caplog.messages, told, strict=True)] == told
    if world.size == 4:  # two nodes with two GPUs each, that bear the same names
        cupy.stand_in.reset(devices=2)
        with open_device(World(world.handle, ranks_per_node=2), "gpu") as device:
            assert device.gpu.index == world.rank % 2 and device.ranks == 1
    # Slurm shows each task a GPU of its own.
    cupy.stand_in.reset(devices=4)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", str(world.rank))
    with open_device(world, "gpu", memory_limit=0.5) as device:
        assert device.gpu.index == 0 and device.ranks == 1 and device.limit == 32_000_000_000
        assert len(set(world.allgather(device.gpu.identity))) == world.size
    cupy.stand_in.devices = 1 if world.rank == 0 else 0
    with pytest.raises(MachineError, match=f"Rank 1 of {world.size}: This process sees no GPU") as error:
        open_device(world, "gpu")
    assert error.value.collective


# -- memory -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("order", ["late", "early"])
@pytest.mark.parametrize("dtype", ["f4", "f8", "i8", "u1", "?"])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 5, 7), (1000, 1000)])
def test_arrays_go_there_and_back_whole(opened, cupy, monkeypatch, order, dtype, shape):
    cupy.stand_in.order = order
    monkeypatch.setattr(gpu, "_CHUNK", 1 << 18)  # pieces: 32 of the largest
    values = np.random.default_rng(1).integers(0, 100, shape).astype(dtype)
    host = values.copy()
    there = opened.put(host)
    host[...] = 0  # the copy was taken
    assert there.shape == shape and there.dtype == values.dtype
    np.testing.assert_array_equal(opened.get(there), values)
    out = opened.empty(shape, dtype)
    assert opened.put(values, out) is out
    into = np.zeros(shape, dtype)
    assert opened.get(out, into) is into
    np.testing.assert_array_equal(into, values)


def test_rows_that_are_not_contiguous_are_copied_as_they_are_read(opened):
    values = np.arange(12.0).reshape(3, 4)
    np.testing.assert_array_equal(opened.get(opened.put(values[:, ::2])), values[:, ::2])
    with pytest.raises(ValueError, match="Only contiguous"):
        opened.get(opened.put(values)[:, 0])
    with pytest.raises(ValueError, match="Only contiguous"):
        opened.put(np.zeros(3), opened.put(values)[:, 0])


def test_a_copy_into_an_array_of_another_shape_or_type_is_refused(opened):
    with pytest.raises(ValueError, match=r"A copy of float64 \(3,\) does not fit an array of float32 \(3,\)"):
        opened.put(np.zeros(3), opened.zeros(3, "f4"))
    with pytest.raises(ValueError, match="does not fit"):
        opened.get(opened.zeros(3, "f4"), np.zeros(4, "f4"))


def test_arrays_of_one_value_need_no_kernel_that_is_compiled_at_run_time(opened, cupy, monkeypatch):
    monkeypatch.setattr(gpu, "_CHUNK", 1000)
    assert (opened.get(opened.full((50, 30), -1.5, "f4")) == np.float32(-1.5)).all()
    assert (opened.get(opened.full(7, 0, "i8")) == 0).all()
    opened.put(np.ones(5))
    assert cupy.stand_in.own_kernels == set()


def test_pinned_buffers_are_made_once_and_used_again(opened, cupy, monkeypatch):
    monkeypatch.setattr(gpu, "_CHUNK", 1 << 17)
    made, real = [], cupy.cuda.alloc_pinned_memory
    monkeypatch.setattr(cupy.cuda, "alloc_pinned_memory", lambda size: made.append(size) or real(size))
    values = np.random.default_rng(2).random(1 << 18)
    for _ in range(3):
        np.testing.assert_array_equal(opened.get(opened.put(values)), values)
        np.testing.assert_array_equal(opened.get(opened.put(values[:10])), values[:10])
    assert sorted(made) == [1 << 16, 1 << 16, 1 << 17, 1 << 17]  # two of each size


def test_what_does_not_fit_names_its_size_what_is_free_and_the_way_out(cupy):
    cupy.stand_in.memory = 100_000_000
    device = open_device(World.serial(), "gpu", memory_limit=0.5)
    kept = device.empty((1000, 1000), "f8")
    with pytest.raises(
        DeviceMemoryError, match=r"no room for an array of float64 \(3000, 2000\), 48.0 MB: this rank "
    ) as error:
        device.empty((3000, 2000), "f8")
    assert "holds 8.0 of the 50.0 MB that it may take, and 92.0 of 100.0 MB are free. Use smaller tiles" in str(error.value)
    assert isinstance(error.value, MemoryError) and error.value.exit_code == 4
    n = 6_000_000
    for make in (lambda: device.zeros(n, "f8"), lambda: device.full(n, 1.0, "f8"), lambda: device.put(np.zeros(n))):
        with pytest.raises(DeviceMemoryError, match="float64"):
            make()
    with pytest.raises(DeviceMemoryError, match=r"no room for the sky view \(48.0 MB at once\)"), device.guard("the sky view"):
        cupy.empty(6_000_000, "f8")
    with pytest.raises(ZeroDivisionError), device.guard("the sky view"):
        1 / 0  # noqa: B018
    del kept
    device.close()


def test_after_the_end_nothing_is_held(cupy):
    with open_device(World.serial(), "gpu") as device:
        device.put(np.zeros(1000))
    assert cupy.get_default_memory_pool().total_bytes() == 0
    assert cupy.cuda.get_current_stream() is cupy.cuda.Stream.null


# -- order --------------------------------------------------------------------------------------------------------------
def test_kernels_go_to_main_and_within_halo_to_halo(opened, cupy):
    main = cupy.cuda.get_current_stream()
    with opened.stream("halo"):
        halo = cupy.cuda.get_current_stream()
        with opened.stream("main"):
            assert cupy.cuda.get_current_stream() is main
    assert cupy.cuda.get_current_stream() is main and main is not halo
    assert cupy.cuda.Stream.null not in (main, halo)


@pytest.mark.parametrize("order", ["late", "early"])
def test_a_stream_that_was_told_to_wait_sees_what_the_other_wrote(opened, cupy, order):
    cupy.stand_in.order = order
    array = opened.put(np.zeros(4))
    opened.synchronise()
    opened.put(np.ones(4), array)
    opened.wait("halo", for_="main")
    with opened.stream("halo"):
        seen = opened.get(array)
    assert seen.tolist() == [1, 1, 1, 1]


def test_a_stream_that_was_not_told_to_wait_is_seen_to_read_too_early(opened, monkeypatch):
    array = opened.put(np.zeros(4))
    opened.synchronise()
    opened.put(np.ones(4), array)
    with opened.stream("halo"):
        assert opened.get(array).tolist() == [0, 0, 0, 0]


# -- messages -----------------------------------------------------------------------------------------------------------
def ring(world, device, number):
    """Send a number to the next rank through a device and return those that came."""
    left, right = (world.rank - 1) % world.size, (world.rank + 1) % world.size
    out, into = device.buffer(9, "f4"), device.buffer(9, "f4")
    with device.stream("halo"):
        device.put(np.full(9, number, "f4"), out.array)
        device.leave(out)
    device.start_exchange(world, {right: out}, {left: into}).wait()
    with device.stream("halo"):
        device.arrive(into)
        return device.get(into.array)


@pytest.mark.mpi(3)
def test_messages_go_from_device_to_device_and_are_seen_to_go_too_early_without_a_wait(world, cupy, monkeypatch):
    left = (world.rank - 1) % world.size
    for kind, aware in (("cpu", False), ("gpu", False), ("gpu", True)):
        with open_device(world, kind, gpu_aware=aware) as device:
            assert device.buffer(3, "f8").is_staged == (kind == "gpu" and not aware)
            for k in (10, 20):
                np.testing.assert_array_equal(ring(world, device, k + world.rank), k + left)
            if kind == "gpu":
                monkeypatch.setattr(device, "synchronise", lambda stream=None: None)
                assert (ring(world, device, 30 + world.rank) != 30 + left).all()
                monkeypatch.undo()


@pytest.mark.mpi(2)
def test_gpu_aware_mpi_is_tried_and_where_it_fails_the_switch_is_named(world, cupy, caplog, monkeypatch):
    start, wait, rounds, filled = World.start_exchange, Exchange.wait, [], []
    one_round = gpu_aware._round

    def remember(self, send, receive):
        filled.extend(b._held for b in receive.values())
        return start(self, send, receive)

    def spoil(exchange):
        wait(exchange)
        if world.rank == 1:
            filled[-1][-1] ^= 1

    def fail(exchange):
        raise MachineError("MPI lost a message between ranks: MPI_ERR_BUFFER.")

    def refused(says):
        with pytest.raises(MachineError, match=says) as error:
            open_device(world, "gpu", gpu_aware=True)
        assert "Set execution.gpu_aware = false" in str(error.value) and error.value.collective
        monkeypatch.undo()

    monkeypatch.setattr(gpu_aware, "_round", lambda w, d, n: rounds.append(n) or one_round(w, d, n))
    with caplog.at_level(logging.INFO, "felsina"):
        open_device(world, "gpu", gpu_aware=True).close()
    assert rounds == [16, 5_000, 1_000_003]
    assert ("Testing that MPI carries GPU memory. If the run ends here" in caplog.text) == world.is_root
    monkeypatch.undo()

    monkeypatch.setattr(World, "start_exchange", remember)
    monkeypatch.setattr(Exchange, "wait", spoil)
    refused(
        "Rank 1 of 2: execution.gpu_aware is true, but the MPI library delivered 1 of 16 numbers wrong from the GPU of rank 0"
    )

    monkeypatch.setattr(Exchange, "wait", fail)
    refused(r"execution.gpu_aware is true, but the MPI library fails to carry GPU memory \(MPI lost a message")

    # The MPICH of the tests answers that it knows nothing of CUDA; the memory of the stand-in is made to look like a GPU's.
    monkeypatch.setattr(cupy.cuda.runtime, "pointerGetAttributes", lambda pointer: SimpleNamespace(type=2))
    refused("the MPI library says that it cannot read GPU memory")


def test_a_run_of_one_rank_tests_no_mpi(cupy):
    device = open_device(World.serial(), "gpu", gpu_aware=True)
    assert device_module.STREAMS == ("main", "halo") and device.gpu_aware
    device.close()
