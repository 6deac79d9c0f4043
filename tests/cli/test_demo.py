"""`felsina demo`: one command from nothing to results, with how near they are to the truth."""

from __future__ import annotations

import re

import pytest

from felsina.jobs.cli import main

SMALL = ("--size", "96", "--set", "heatwave.days=1", "--set", "heatwave.spin_up_days=0", "--threads", "1")


@pytest.fixture(scope="module")
def demo(felsina, tmp_path_factory):
    run = tmp_path_factory.mktemp("demo") / "run"
    done = felsina()("demo", "--out", run, "--no-report", *SMALL)
    assert done.returncode == 0, done.stderr
    return run, done.stdout


def test_it_makes_its_own_input_and_every_product(demo):
    run, _ = demo
    assert (run / "input" / "city.toml").exists() and (run / "input" / "truth.json").exists()
    assert {p.name for p in run.glob("*.nc")} == {"terrain.nc", "buildings.nc", "energy.nc", "microclimate.nc", "city.nc"}
    assert main(["validate", str(run)]) == 0


def test_the_summary_names_every_job_the_truth_and_where_to_look(demo):
    run, said = demo
    for job in ("terrain", "buildings", "energy", "heatwave", "city"):
        assert re.search(rf"^  {job} +\d+\.\d s", said, re.M), job
    assert "against the district's truth" in said
    assert str(run / "report.html") in said and f"felsina.open('{run}')" in said and f"felsina validate {run}" in said


def test_a_second_demo_needs_to_be_told_and_resumes(demo, capsys):
    run, _ = demo
    assert main(["demo", "--out", str(run), "--no-report", "-q", *SMALL]) == 2
    assert "--resume" in capsys.readouterr().err
    before = {p.name: p.stat().st_mtime_ns for p in run.glob("*.nc")}
    assert main(["demo", "--out", str(run), "--no-report", "-q", "--resume", *SMALL]) == 0
    assert {p.name: p.stat().st_mtime_ns for p in run.glob("*.nc")} == before


def test_another_size_over_the_same_folder_is_not_taken_for_the_old_one(demo, capsys):
    run, _ = demo
    other = ("--size", "128", *SMALL[2:])
    assert main(["demo", "--out", str(run), "--no-report", "-q", "--resume", *other]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "96 m" in said and "--force" in said
