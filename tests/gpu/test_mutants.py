"""The checks of the GPU drivers notice nearly every change of one statement of the PTX."""

import functools

import pytest
from gpu_twins.every_case import DRIVERS, identifier
from gpu_twins.mutants import Trial, exemptions

ENOUGH = 0.95  # the brief of the harness; what is left are changes below the bounds of the cases


@functools.cache
def trial(index):
    return Trial(*DRIVERS[index])


def score(number, seed):
    """Return the number of mutants and those that survive."""
    tried, survivors = 0, []
    for index in range(len(DRIVERS)):
        for mutant in trial(index).sample(number, seed):
            tried += 1
            if trial(index).survives(mutant):
                survivors.append(mutant)
    return tried, survivors


def demand(number, seed, report):
    tried, survivors = score(number, seed)
    killed = 1 - len(survivors) / tried
    report[f"Changes of the PTX that were noticed, of {tried}"] = killed, f"{len(survivors)} were not"
    print(*survivors, sep="\n")
    assert killed >= ENOUGH, "\n".join(map(str, survivors))


def test_a_sample_of_mutants_is_noticed(stand_in, report):
    demand(4, 1, report)


@pytest.mark.slow
def test_many_mutants_are_noticed(stand_in, report):
    demand(40, 2, report)


def test_every_exemption_still_covers_a_mutant(stand_in):
    for exemption in exemptions():
        names = [identifier(*d) for d in DRIVERS]
        mutants = [m for k, name in enumerate(names) for m in trial(k).mutants() if _may(exemption, name)]
        assert any(exemption.covers(m) for m in mutants), exemption
        assert exemption.reason


def _may(exemption, name):
    import re

    return re.fullmatch(exemption.kernel, name) is not None
