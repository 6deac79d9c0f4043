"""The driver: what a job depends on, what is skipped, what is recorded."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from felsina.engine.city import City, EnergyOptions, ExecutionOptions, TerrainOptions, WeatherOptions
from felsina.engine.driver import JobSpec, job_key, open_run_directory, run_jobs, scientific_config
from felsina.engine.errors import MachineError, ProductError, UsageError
from felsina.engine.parallel.world import World
from felsina.engine.record import Record
from felsina.engine.rundir import RunDirectory

CALLS: list[str] = []


def spec(name, product, sections=(), needs=(), inputs=(), uses=(), content="made"):
    def run(context):
        CALLS.append(name)
        with context.timer("work"):
            context.note(f"A remark of {name}.")
        if content is not None:
            context.run.product(product).write_text(f"{content} {context.city.energy.seed if name == 'energy' else ''}")
        return {"rows": 3}

    return JobSpec(name, product, sections, needs, lambda city: [Path(p) for p in inputs], run, uses=uses)


@pytest.fixture
def setting(tmp_path):
    CALLS.clear()
    weather = tmp_path / "weather.epw"
    weather.write_text("cold")
    jobs = [
        spec("terrain", "terrain", ("terrain",)),
        spec("buildings", "buildings", ("buildings",), ("terrain",)),
        spec("energy", "energy", ("weather", "energy"), ("buildings",), [weather]),
    ]
    return City(), World.serial(), RunDirectory(tmp_path), jobs


def calls():
    made = list(CALLS)
    CALLS.clear()
    return made


def test_jobs_run_in_order_and_each_is_recorded(setting):
    city, world, run, jobs = setting
    record = run_jobs(city, world, run, jobs, command="felsina run")
    assert calls() == ["terrain", "buildings", "energy"]
    saved = json.loads((run.path / "run.json").read_text())
    assert saved == json.loads(json.dumps(record.values))
    entry = saved["jobs"]["energy"]
    assert entry["metrics"] == {"rows": 3} and entry["product"] == "energy.nc" and "work" in entry["timings_s"]
    assert saved["notes"] == ["A remark of terrain.", "A remark of buildings.", "A remark of energy."]
    assert saved["history"][0]["command"] == "felsina run" and saved["world"]["ranks"] == 1


def test_resume_skips_what_still_holds_and_no_more(setting):
    city, world, run, jobs = setting
    run_jobs(city, world, run, jobs)
    calls()
    run_jobs(city, world, run, jobs, resume=True)
    assert calls() == []
    run_jobs(dataclasses.replace(city, energy=EnergyOptions(seed=2)), world, run, jobs, resume=True)
    assert calls() == ["energy"]


def test_without_resume_everything_is_made_anew(setting):
    city, world, run, jobs = setting
    run_jobs(city, world, run, jobs)
    run_jobs(city, world, run, jobs)
    assert calls() == ["terrain", "buildings", "energy"] * 2


def test_a_changed_product_makes_what_stands_on_it_anew(setting):
    city, world, run, jobs = setting
    run_jobs(city, world, run, jobs)
    calls()
    run.product("buildings").write_text("damaged")
    run_jobs(city, world, run, jobs, resume=True)
    assert calls() == ["buildings"]  # the same bytes again, so energy still holds
    run.product("terrain").unlink()
    run_jobs(city, world, run, jobs, resume=True)
    assert calls() == ["terrain"]


def test_a_changed_input_changes_the_key_and_its_name_does_not(setting, tmp_path):
    city, world, run, jobs = setting
    run.product("buildings").write_text("made")
    energy = jobs[2]
    key = job_key(energy, city, world, run)
    (tmp_path / "other.epw").write_text("cold")
    renamed = spec("energy", "energy", ("weather", "energy"), ("buildings",), [tmp_path / "other.epw"])
    assert job_key(renamed, city, world, run) == key
    (tmp_path / "weather.epw").write_text("warm")
    assert job_key(energy, city, world, run) != key


def test_execution_options_do_not_change_a_key(setting):
    city, world, run, jobs = setting
    other = dataclasses.replace(city, execution=ExecutionOptions(tile_m=97.0, threads=2, writer="virtual"))
    assert job_key(jobs[0], city, world, run) == job_key(jobs[0], other, world, run)


def test_a_job_that_ends_without_its_product_is_a_defect_with_a_sentence(setting):
    city, world, run, _ = setting
    with pytest.raises(ProductError, match="ended without"):
        run_jobs(city, world, run, [spec("terrain", "terrain", content=None)])


def test_a_job_that_fails_loses_its_entry_and_keeps_those_before(setting):
    city, world, run, jobs = setting
    run_jobs(city, world, run, jobs)

    def fails(context):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_jobs(city, world, run, [jobs[0], dataclasses.replace(jobs[1], run=fails)])
    assert set(Record.load(run.path).values["jobs"]) == {"terrain", "energy"}


def test_a_missing_upstream_product_is_named_with_its_job(setting):
    city, world, run, jobs = setting
    with pytest.raises(ProductError, match=r"buildings\.nc' is missing.*felsina buildings"):
        run_jobs(city, world, run, jobs[2:])


def test_scientific_config_holds_the_sections_of_all_jobs_below(setting):
    city, _, _, jobs = setting
    city = dataclasses.replace(city, terrain=TerrainOptions(resolution_m=1.0), weather=WeatherOptions(file="a.epw"))
    made = scientific_config(jobs[2], city, jobs)
    assert set(made) == {"terrain", "buildings", "weather", "energy"} and made["terrain"]["resolution_m"] == 1.0


def test_a_run_directory_with_products_is_not_written_over_untold(setting):
    _, world, run, jobs = setting
    run.product("terrain").write_text("made")
    with pytest.raises(UsageError, match=r"terrain\.nc.*--resume.*--force.*--out"):
        open_run_directory(world, run.path, jobs=jobs, resume=False, force=False)
    for told in ({"resume": True, "force": False}, {"resume": False, "force": True}):
        assert open_run_directory(world, run.path, jobs=jobs, **told) == run
    assert open_run_directory(world, run.path, jobs=jobs[2:], resume=False, force=False) == run


def test_a_file_in_place_of_the_run_directory_is_a_sentence(setting, tmp_path):
    _, world, _, jobs = setting
    (tmp_path / "file").write_text("")
    with pytest.raises((UsageError, MachineError), match="Choose another --out"):
        open_run_directory(world, tmp_path / "file", jobs=jobs, resume=False, force=False)
    with pytest.raises(MachineError, match="Choose another --out"):
        open_run_directory(world, tmp_path / "file" / "below", jobs=jobs, resume=False, force=False)
