"""Spools: each bucket gets its records back, whatever the rounds and ranks that brought them."""

from __future__ import annotations

import os

import numpy as np
import pytest

from felsina.engine.errors import MachineError, ProductError
from felsina.engine.io.spool import Spool, SpoolReader

KIND = np.dtype([("x", "<i4"), ("kind", "u1")])


def records(n, seed):
    random = np.random.default_rng(seed)
    made = np.empty(n, KIND)
    made["x"], made["kind"] = random.integers(-1000, 1000, n), random.integers(0, 8, n)
    return made, random.integers(0, 5, n)


@pytest.fixture
def spooled(tmp_path):
    """Three files of rounds of several sizes, one of them without a record."""
    rounds = [[records(n, 10 * k + n) for n in sizes] for k, sizes in enumerate(((7, 0, 30), (), (1, 12)))]
    paths, index = [], []
    for number, of_rank in enumerate(rounds):
        paths.append(tmp_path / f"points-{number}.spool")
        with Spool(paths[-1], number, KIND) as spool:
            for made, bucket in of_rank:
                spool.add(made, bucket)
            index.append(spool.index())
    whole = [r for of_rank in rounds for r in of_rank]
    return paths, np.concatenate(index), whole


def test_every_bucket_gets_its_records_and_no_others(spooled):
    paths, index, whole = spooled
    made, bucket = (np.concatenate([r[k] for r in whole]) for k in range(2))
    with SpoolReader(paths, index[::-1], KIND, 6) as reader:
        assert reader.counts().tolist() == np.bincount(bucket, minlength=6).tolist()
        for b in range(6):
            np.testing.assert_array_equal(np.sort(reader.take(b)), np.sort(made[bucket == b]))


def test_a_file_that_became_shorter_is_named(spooled):
    paths, index, _ = spooled
    os.truncate(paths[0], 20)
    last = int(index[index[:, 1] == 0][-1, 0])
    with SpoolReader(paths, index, KIND, 6) as reader, pytest.raises(ProductError, match=r"points-0\.spool' is shorter"):
        reader.take(last)


def test_a_full_disk_is_a_sentence(tmp_path):
    path = tmp_path / "points-0.spool"
    path.symlink_to("/dev/full")
    with Spool(path, 0, KIND) as spool, pytest.raises(MachineError, match="No space left"):
        spool.add(*records(5, 1))
