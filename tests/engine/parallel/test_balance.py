"""Claims: every unit to exactly one rank, the dearest first, and nobody waits for ever."""

from __future__ import annotations

import time

import numpy as np
import pytest

from felsina.engine.parallel.balance import Claims, dearest_first


def test_the_dearest_goes_first_and_equal_ones_keep_their_order():
    assert dearest_first(np.array([3, 9, 3, 9, 1])).tolist() == [1, 3, 0, 2, 4]
    assert dearest_first(np.zeros(0, np.int64)).tolist() == []


@pytest.mark.mpi(1, 2, 4)
@pytest.mark.parametrize("n", [0, 1, 3, 50])
def test_every_unit_goes_to_exactly_one_rank(world, n):
    handed = []
    claims = Claims(world, np.arange(n)[::-1], handed.append)
    mine = []
    for unit in claims:
        claims.serve()
        mine.append(unit)
    assert mine == sorted(mine, reverse=True)  # each rank sees the order in which they go out
    every = world.gather(mine)
    if world.is_root:
        assert sorted(u for part in every for u in part) == list(range(n))
        assert sum(handed) == n


@pytest.mark.mpi(3)
def test_a_rank_that_is_held_up_gets_less_and_holds_nobody_up(world):
    done = 0
    # Rank 1 works a hundred times as long a unit as the others: it is left with one unit at hand and one asked for.
    for _ in (claims := Claims(world, np.arange(60))):
        for _ in range(5):
            time.sleep(0.05 if world.rank == 1 else 0.0005)
            claims.serve()
        done += 1
    counts = world.gather(done)
    if world.is_root:
        assert sum(counts) == 60 and counts[1] < min(counts[0], counts[2])


@pytest.mark.mpi(2)
def test_two_sets_of_claims_follow_one_another(world):
    totals = []
    for n in (5, 7):
        totals.append(sum(1 for _ in Claims(world, np.arange(n))))
    every = world.gather(totals)
    if world.is_root:
        assert [sum(c) for c in zip(*every, strict=True)] == [5, 7]
