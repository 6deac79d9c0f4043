import numpy as np
import pytest

from felsina.engine.errors import InputError, MachineError
from felsina.engine.parallel.world import World, promised_size, refuse_singletons


def test_serial_world_answers_every_call_without_mpi():
    world = World.serial()
    assert (world.rank, world.size, world.local_size) == (0, 1, 1)
    assert world.allgather("a") == ["a"]
    (same,) = world.exchange([np.arange(3)])
    np.testing.assert_array_equal(same, [0, 1, 2])
    assert world.share_of(10) == (0, 10)


def test_outside_a_launcher_the_world_is_serial():
    assert promised_size({}) is None
    assert World.launched({}).size == 1


@pytest.mark.parametrize(
    "environ",
    [
        {"PMI_SIZE": "4"},
        {"OMPI_COMM_WORLD_SIZE": "4"},
        {"SLURM_STEP_ID": "0", "SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "4"},
    ],
)
def test_the_launchers_promise_is_read(environ):
    assert promised_size(environ) == 4


def test_a_slurm_allocation_without_a_step_promises_nothing():
    # A batch script runs once, whatever --ntasks says.
    assert promised_size({"SLURM_NTASKS": "8", "SLURM_JOB_ID": "7"}) is None


def test_copies_that_each_believe_to_be_alone_are_refused():
    with pytest.raises(MachineError, match="started 4 processes, but MPI sees a world of 1"):
        refuse_singletons(4, 1)
    refuse_singletons(4, 4)
    refuse_singletons(1, 1)


def test_a_float_sum_over_ranks_is_refused():
    with pytest.raises(TypeError, match="depend on the rank count"):
        World.serial().reduce_exact(np.zeros(2), "sum")


@pytest.mark.mpi(2, 3)
def test_exchange_delivers_every_row_to_its_rank(world):
    got = world.exchange([np.full((world.rank + to, 2), 10 * world.rank + to, np.int32) for to in range(world.size)])
    for source, part in enumerate(got):
        assert part.shape == (source + world.rank, 2)
        assert (part == 10 * source + world.rank).all()


@pytest.mark.mpi(3)
def test_exchange_carries_records_and_empty_parts(world):
    record = np.dtype([("x", "i4"), ("c", "u1")])
    parts = [np.zeros(0, record) for _ in range(world.size)]
    if world.rank == 1:
        parts[2] = np.array([(7, 6)], record)
    got = world.exchange(parts)
    assert [len(p) for p in got] == [0, int(world.rank == 2), 0]
    if world.rank == 2:
        assert got[1][0].tolist() == (7, 6)


@pytest.mark.mpi(2, 3, 4)
@pytest.mark.parametrize("ranks_per_node", [None, 1, 2])
def test_a_shared_array_is_whole_on_every_rank_and_node(world, ranks_per_node):
    over_nodes = World(world.handle, ranks_per_node)
    array = over_nodes.shared((10, 3), "f4", -1)
    rows = over_nodes.share_of(10)
    array[slice(*rows)] = over_nodes.rank
    over_nodes.synchronise(array, [(slice(*rows),)])
    expected = np.concatenate([np.full(((r + 1) * 10 // world.size - r * 10 // world.size, 3), r) for r in range(world.size)])
    np.testing.assert_array_equal(array, expected)
    over_nodes.close()


@pytest.mark.mpi(2)
def test_an_error_on_the_root_is_raised_on_every_rank(world):
    def fail():
        raise InputError("'a.laz' is truncated.")

    with pytest.raises(InputError, match="truncated"):
        world.on_root(fail)


@pytest.mark.mpi(2, 3)
def test_integer_sums_are_exact_over_ranks(world):
    total = world.reduce_exact(np.array([world.rank + 1, 2**40], np.int64), "sum")
    assert total.tolist() == [world.size * (world.size + 1) // 2, world.size * 2**40]
