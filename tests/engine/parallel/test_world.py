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


@pytest.mark.mpi(3)
def test_messages_are_started_now_and_awaited_later(world):
    left, right = (world.rank - 1) % 3, (world.rank + 1) % 3
    every = []
    for dtype in ("f4", "i8", "?", [("x", "i4"), ("c", "u1")]):
        send, receive = np.ones(5 + world.rank, dtype), np.zeros(5 + left, dtype)
        every.append((world.start_exchange({right: send}, {left: receive}), send, receive))
    for exchange, _, receive in every:
        exchange.wait()
        exchange.wait()
        assert (receive == np.ones(5 + left, receive.dtype)).all()
    world.start_exchange({}, {}).wait()
    World.serial().start_exchange({}, {}).wait()


@pytest.mark.mpi(2, 3)
def test_what_fails_on_some_ranks_is_raised_on_all_with_the_first_of_them(world):
    def fail():
        if world.rank > 0:
            raise InputError(f"'{world.rank}.laz' is truncated.")
        return world.rank

    assert world.on_every_rank(lambda: world.rank) == world.rank
    with pytest.raises(InputError, match=f"Rank 1 of {world.size}: '1.laz' is truncated") as error:
        world.on_every_rank(fail)
    assert error.value.collective


@pytest.mark.mpi(4)
def test_the_name_of_a_node_is_its_lowest_rank(world):
    assert World(world.handle, ranks_per_node=2).node == world.rank // 2 * 2
    assert world.node == 0 and World.serial().node == 0
