"""--resume skips what still holds, makes anew what does not, and finishes what was broken off, with the same bytes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

QUIET = ("--no-report", "--threads", 1)
JOBS = ("terrain", "buildings", "energy", "heatwave", "city")
PRODUCT = {"terrain": "terrain.nc", "buildings": "buildings.nc", "energy": "energy.nc", "heatwave": "microclimate.nc"}
PRODUCT["city"] = "city.nc"


def skipped(said: str) -> set[str]:
    return {job for job in JOBS if f"Skipped {job}:" in said}


def stamps(run: Path) -> dict[str, tuple[int, int]]:
    return {job: (s.st_ino, s.st_mtime_ns) for job in JOBS if (s := (run / PRODUCT[job]).stat())}


@pytest.fixture(scope="module")
def own(district, felsina, tmp_path_factory):
    """A district and a finished run of this module, which its tests change one after the other."""
    folder = tmp_path_factory.mktemp("own")
    shutil.copytree(district.parent, folder / "district")
    city, run = folder / "district" / district.name, folder / "run"
    assert felsina()("run", city, "--out", run, *QUIET).returncode == 0
    return city, run


def test_an_unchanged_run_is_left_alone(own, felsina):
    city, run = own
    before = stamps(run)
    done = felsina()("run", city, "--out", run, "--resume", *QUIET)
    assert done.returncode == 0
    assert skipped(done.stderr) == set(JOBS)
    assert stamps(run) == before


def test_execution_options_make_nothing_anew(own, felsina):
    city, run = own
    changed = ("--set", "execution.tile_m=97", "--set", "execution.writer=virtual")
    assert skipped(felsina(2)("run", city, "--out", run, "--resume", *QUIET, *changed).stderr) == set(JOBS)


def test_a_changed_option_makes_its_job_anew_and_what_stands_on_it(own, felsina):
    city, run = own
    before = stamps(run)
    done = felsina()("run", city, "--out", run, "--resume", *QUIET, "--set", "energy.variant=usual")
    assert done.returncode == 0
    assert skipped(done.stderr) == {"terrain", "buildings"}
    after = stamps(run)
    assert {job for job in JOBS if after[job] != before[job]} == {"energy", "heatwave", "city"}


def test_a_changed_input_file_makes_its_jobs_anew(own, felsina):
    city, run = own
    assert felsina()("run", city, "--out", run, "--resume", *QUIET).returncode == 0
    weather = city.parent / "weather.epw"
    lines = weather.read_text().splitlines()
    row = lines[8].split(",")
    row[6] = f"{float(row[6]) + 0.5:.1f}"
    weather.write_text("\n".join([*lines[:8], ",".join(row), *lines[9:]]) + "\n")
    done = felsina()("run", city, "--out", run, "--resume", *QUIET)
    assert done.returncode == 0
    assert skipped(done.stderr) == {"terrain", "buildings"}


def test_a_damaged_product_is_made_anew(own, felsina, published):
    city, run = own
    before = published(run)
    with (run / "energy.nc").open("r+b") as stream:
        stream.seek(-100, os.SEEK_END)
        stream.write(b"damaged")
    done = felsina()("run", city, "--out", run, "--resume", *QUIET)
    assert "energy" not in skipped(done.stderr)
    assert published(run) == before


# -- a rank that dies -------------------------------------------------------------------------------------------------------

# Runs the command line with one function replaced, on one rank, by an end: "kill" as the system's out-of-memory killer does it,
# "raise" an error that felsina does not expect, "input" one that it does.
SPOILT = """
import os, signal, sys
place, rank, how = sys.argv[1:4]
sys.argv[1:4] = []
module, name = place.split(":")
import importlib
owner = importlib.import_module(module)
*path, last = name.split(".")
for part in path:
    owner = getattr(owner, part)
kept = getattr(owner, last)

def ends(*arguments, **named):
    if os.environ.get("PMI_RANK", "0") == rank:
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "input":
            from felsina.engine.errors import InputError
            raise InputError("The test spoils this rank.")
        raise ZeroDivisionError("The test spoils this rank.")
    return kept(*arguments, **named)

setattr(owner, last, ends)
from felsina.jobs.cli import main
sys.exit(main())
"""

STAGES = {
    "terrain": "felsina.engine.processes.terrain:PointRasters.synchronise",
    "buildings": "felsina.jobs.buildings:_share",
    "energy": "felsina.jobs.energy:simulate_year",
    "heatwave": "felsina.jobs.heatwave:_write_hour",
}


def broken(felsina, tmp_path, job, rank, how):
    runner = tmp_path / "spoilt.py"
    runner.write_text(SPOILT)
    return felsina(2, program=(str(runner), STAGES[job], str(rank), how))


def nothing_half_written(run: Path, first_missing: str) -> None:
    assert not list(run.rglob("*.part"))
    made = JOBS[: JOBS.index(first_missing)]
    assert {p.name for p in run.glob("*.nc")} == {PRODUCT[job] for job in made}


@pytest.mark.parametrize(("job", "rank"), [("terrain", 1), ("buildings", 0), ("energy", 1), ("heatwave", 1)])
def test_a_killed_rank_ends_the_job_and_resume_finishes_it_with_the_same_bytes(
    job, rank, district, finished, felsina, published, tmp_path
):
    run = tmp_path / "run"
    done = broken(felsina, tmp_path, job, rank, "kill")("run", district, "--out", run, *QUIET, timeout=120)
    assert done.returncode != 0
    nothing_half_written(run, job)
    done = felsina(2 if job == "heatwave" else 1)("run", district, "--out", run, "--resume", *QUIET)
    assert done.returncode == 0, done.stderr
    assert skipped(done.stderr) == set(JOBS[: JOBS.index(job)])
    assert published(run) == published(finished)


@pytest.mark.parametrize(("how", "code"), [("raise", 1), ("input", 3)])
def test_an_error_on_one_rank_ends_all_with_its_exit_code(how, code, district, felsina, tmp_path):
    run = tmp_path / "run"
    done = broken(felsina, tmp_path, "terrain", 1, how)("run", district, "--out", run, *QUIET, timeout=120)
    assert done.returncode == code, done.stderr
    assert "The test spoils this rank." in done.stderr
    nothing_half_written(run, "terrain")


def test_buildings_that_were_finished_are_not_built_again(own, published, tmp_path, monkeypatch):
    """A run that is killed in the middle of its buildings goes on with the next unit, on any number of ranks."""
    import felsina
    from felsina.jobs import buildings

    city, whole = own
    run = tmp_path / "run"
    genuine, done = buildings.build_unit, []
    monkeypatch.setattr(buildings, "UNIT", 2)

    def killed(unit, *rest):
        if len(done) == 2 and unit.ids:
            raise KeyboardInterrupt
        done.append(len(unit.ids))
        return genuine(unit, *rest)

    monkeypatch.setattr(buildings, "build_unit", killed)
    with pytest.raises(KeyboardInterrupt):
        felsina.run(str(city), out=str(run), until="buildings")
    assert not (run / "buildings.nc").exists() and (run / "work" / "buildings_units").is_dir()
    monkeypatch.setattr(buildings, "build_unit", lambda unit, *rest: (done.append(len(unit.ids)), genuine(unit, *rest))[1])
    monkeypatch.setattr(buildings, "ingest", None)  # the points are there
    felsina.run(str(city), out=str(run), until="buildings", resume=True)
    # Each building once, and the unit of no rows with which a rank starts its share.
    built = [n for n in done if n]
    assert sum(built) == len(felsina.open(str(whole)).buildings.building_id)
    assert {n: h for n, h in published(run).items() if "buildings" in n} == {
        n: h for n, h in published(whole).items() if "buildings" in n
    }
    assert not (run / "work" / "buildings_units").exists()
