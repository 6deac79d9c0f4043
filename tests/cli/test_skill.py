"""What a run of the district says against the truth: every figure is printed, and held to its target."""

from __future__ import annotations

import pytest

from felsina.engine.district import roof_truth, tree_truth, truth
from felsina.engine.io.district_files import write_district
from felsina.engine.rundir import RunDirectory
from felsina.engine.skill import district_skill
from felsina.jobs.cli import main

# A run compares no classes of points: it takes those of the files.
OF_POINTS = {"ground F1", "building F1", "vegetation F1"}


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory) -> dict[str, str]:
    """Those of the district of the demo, 67 buildings: a smaller one has too few of a kind for a share or a quantile."""
    folder = tmp_path_factory.mktemp("skill")
    city = write_district(folder / "input", 256.0, 1)
    assert main(["run", str(city), "--out", str(folder / "run"), "--until", "buildings", "--no-report", "-q"]) == 0
    rows = district_skill(folder / "input", RunDirectory(folder / "run"))
    return {metric: f"{value:.4g} {unit} {target}" for metric, value, unit, target in rows}


def test_every_figure_is_given(verdicts):
    assert set(verdicts) == (set(truth.TARGETS) | set(roof_truth.TARGETS) | set(tree_truth.TARGETS)) - OF_POINTS


def test_every_figure_reaches_its_target(verdicts):
    assert {metric: said for metric, said in verdicts.items() if not said.endswith(" met")} == {}
