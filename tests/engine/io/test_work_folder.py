"""Work folders: unfinished work of the same key is found, anything else is gone."""

from __future__ import annotations

import numpy as np
import pytest

from felsina.engine.io.journal import Reader
from felsina.engine.io.work_folder import WorkFolder

KIND = np.dtype([("x", "<i4")])


def started(world, path, key="one", resume=True):
    """Spool ten records a rank and finish one unit a rank."""
    work = WorkFolder(world, path, key, resume)
    with work.spool(KIND) as spool:
        made = np.empty(10, KIND)
        made["x"] = np.arange(10) + 100 * world.rank
        spool.add(made, np.arange(10) % 3)
        work.seal(spool.index())
    with work.journal() as journal:
        journal.add(world.rank, {"values": np.full(2, world.rank)})
    world.barrier()
    return work


@pytest.mark.mpi(1, 3)
def test_the_next_process_goes_on_where_the_last_one_stopped(world, shared_tmp):
    path = shared_tmp / "units"
    started(world, path)
    work = WorkFolder(world, path, "one", resume=True)
    assert work.is_sealed()
    with work.reader(KIND, 3) as reader:
        assert reader.counts().tolist() == [4 * world.size, 3 * world.size, 3 * world.size]
        expected = np.sort(np.concatenate([100 * r + np.array([1, 4, 7]) for r in range(world.size)]))
        np.testing.assert_array_equal(np.sort(reader.take(1)["x"]), expected)
    finished = work.finished()
    assert sorted(finished) == list(range(world.size))
    with Reader() as reader:
        assert all(reader.load(place)["values"].tolist() == [unit] * 2 for unit, place in finished.items())
    with work.journal() as journal:  # beside those that are there
        journal.add(10 + world.rank, {"values": np.zeros(1)})
    world.barrier()
    assert len(work.finished()) == 2 * world.size


@pytest.mark.parametrize(("key", "resume"), [("another", True), ("one", False)])
def test_work_of_another_key_or_that_is_not_wanted_is_gone(world, tmp_path, key, resume):
    started(world, tmp_path / "units")
    work = WorkFolder(world, tmp_path / "units", key, resume)
    assert not work.is_sealed() and work.finished() == {}


def test_without_its_index_the_points_are_not_complete(world, tmp_path):
    work = WorkFolder(world, tmp_path / "units", "one", resume=True)
    with work.spool(KIND):
        pass
    assert not work.is_sealed()


def test_the_folder_is_removed_at_the_end(world, tmp_path):
    work = started(world, tmp_path / "units")
    work.remove()
    assert not (tmp_path / "units").exists()
