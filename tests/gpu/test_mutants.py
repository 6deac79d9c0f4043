"""The checks of the GPU drivers notice nearly every change of one statement of the PTX."""

import re

import pytest
from gpu_twins.every_case import DRIVERS, identifier
from gpu_twins.mutants import exemptions
from gpu_twins.workers import try_mutants

pytestmark = pytest.mark.usefixtures("compiled")
ENOUGH = 0.95
COVERED = 0.8  # of a kernel's own statements: what is left are the rare ways of functions that are inlined
FEW, MANY = (4, 1), (40, 2)  # mutants of a kernel, seed


@pytest.fixture(scope="module")
def few(workers):
    return try_mutants(workers, *FEW)


def demand(scores, report):
    tried, survivors = sum(s.tried for s in scores), [m for s in scores for m in s.survivors]
    killed = 1 - len(survivors) / tried
    report[f"Changes of the PTX that were noticed, of {tried}"] = killed, f"{len(survivors)} were not"
    print(*survivors, sep="\n")
    assert killed >= ENOUGH, "\n".join(survivors)


def test_a_sample_of_mutants_is_noticed(few, report):
    demand(few, report)


@pytest.mark.slow
def test_many_mutants_are_noticed(workers, report):
    demand(try_mutants(workers, *MANY), report)


def test_the_cases_carry_out_most_statements_of_every_kernel(few, report):
    print(
        *(f"{s.driver:60} {s.executed:5} of {s.statements:5}, called {s.called_executed} of {s.called}" for s in few), sep="\n"
    )
    done, every = sum(s.executed for s in few), sum(s.statements for s in few)
    long_way, all_long = sum(s.called_executed for s in few), sum(s.called for s in few)
    report[f"Statements of kernels that were carried out, of {every}"] = done / every, f"{every - done} were not"
    report[f"Statements of functions that kernels call, of {all_long}"] = long_way / all_long, f"{all_long - long_way} were not"
    least = min(few, key=lambda s: s.executed / s.statements)
    assert least.executed >= COVERED * least.statements, least


def test_every_exemption_still_covers_a_mutant(few):
    used = set().union(*(s.exemptions for s in few))
    for k, exemption in enumerate(exemptions()):
        assert any(re.fullmatch(exemption.kernel, identifier(*d)) for d in DRIVERS), exemption
        assert k in used, exemption
        assert exemption.reason
