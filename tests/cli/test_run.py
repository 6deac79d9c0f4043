"""`felsina run`: the whole chain as a user starts it, and the same from Python."""

from __future__ import annotations

import json
import shutil

import pytest

from felsina.engine.errors import UsageError
from felsina.jobs.cli import main
from felsina.jobs.run import chain

JOBS = ["terrain", "buildings", "energy", "heatwave", "city"]
QUIET = ("--no-report", "-q", "--threads", "1")


def test_the_chain_makes_every_product_and_each_is_valid(finished, capsys):
    assert main(["validate", str(finished)]) == 0
    assert capsys.readouterr().out == f"{finished}: valid\n"
    names = {p.name for p in finished.iterdir()}
    assert names >= {"terrain.nc", "buildings.nc", "buildings.vtkhdf", "buildings.city.jsonl", "energy.nc", "microclimate.nc"}
    assert names >= {"city.nc", "city.vtkhdf", "run.json"}
    assert not list(finished.rglob("*.part"))


def test_the_record_holds_times_figures_and_the_configuration_of_the_run(finished):
    record = json.loads((finished / "run.json").read_text())
    assert list(record["jobs"]) == sorted(JOBS)
    assert record["jobs"]["buildings"]["metrics"]["rows"] == 9
    assert record["configuration"]["execution"]["writer"] == "gather"
    assert record["configuration"]["terrain"]["snap_m"] == 8.0
    assert record["world"] == {"ranks": 1, "threads": 1, "devices": [{"kind": "cpu"}]}
    assert record["history"][0]["command"].startswith("felsina run ")


def test_the_last_line_says_what_was_made(district, finished, tmp_path, capsys):
    shutil.copytree(finished, tmp_path / "run")
    assert main(["run", str(district), "--out", str(tmp_path / "run"), "--resume", *QUIET]) == 0
    assert capsys.readouterr().out == (
        f"{tmp_path / 'run'}: terrain.nc, buildings.nc, energy.nc, microclimate.nc, city.nc; 0 of 9 building rows failed.\n"
    )


def test_single_verbs_in_order_make_the_bytes_of_the_chain(district, finished, published, tmp_path):
    out = tmp_path / "run"
    for verb in JOBS:
        assert main([verb, str(district), "--out", str(out), "-q", "--threads", "1"]) == 0
    assert published(out) == published(finished)


def test_the_python_call_makes_the_bytes_of_the_command(district, finished, published, tmp_path):
    import felsina

    run = felsina.run(district, tmp_path / "run", until="buildings")
    made = published(run.path)
    assert made == {name: value for name, value in published(finished).items() if name in made}
    assert set(made) == {"terrain.nc", "buildings.nc", "buildings.city.jsonl"}


def test_from_and_until_choose_jobs():
    assert chain(None, None) == JOBS
    assert chain("buildings", "energy") == ["buildings", "energy"]
    with pytest.raises(UsageError, match="--from city comes after --until terrain"):
        chain("city", "terrain")


def test_energy_again_leaves_geometry_alone(district, finished, published, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    chosen = ("--from", "energy", "--until", "energy", "--force", "--set", "energy.variant=advanced")
    assert main(["run", str(district), "--out", str(tmp_path / "run"), *QUIET, *chosen]) == 0
    before, after = published(finished), published(tmp_path / "run")
    assert {name for name in before if before[name] != after[name]} == {"energy.nc"}


def test_no_product_holds_a_path_a_clock_or_a_rank(finished, district):
    for product in finished.glob("*.nc"):
        content = product.read_bytes()
        for word in (str(district.parent), str(finished), "tiles/", "threads", "tile_m"):
            assert word.encode() not in content, (product.name, word)


def test_coupling_can_be_left_out(district, finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    chosen = ("--from", "heatwave", "--until", "heatwave", "--force", "--set", "coupling.energy_heatwave=none")
    assert main(["run", str(district), "--out", str(tmp_path / "run"), *QUIET, *chosen]) == 0


def test_every_hourly_map_can_be_asked_for(district, finished, tmp_path):
    from felsina.engine.fields import fields_of
    from felsina.engine.io.read import variables

    shutil.copytree(finished, tmp_path / "run")
    hourly = [n for n, f in fields_of("microclimate").items() if "time" in f.dims]
    chosen = ("--from", "heatwave", "--until", "heatwave", "--force", "--set", f"output.hourly={json.dumps(hourly)}")
    assert main(["run", str(district), "--out", str(tmp_path / "run"), *QUIET, *chosen]) == 0
    assert set(hourly) <= set(variables(tmp_path / "run" / "microclimate.nc"))


def test_hourly_energy_can_be_asked_for(district, finished, tmp_path):
    from felsina.engine.io.read import variables

    shutil.copytree(finished, tmp_path / "run")
    chosen = ("--from", "energy", "--until", "energy", "--force", "--set", "energy.hourly=true")
    assert main(["run", str(district), "--out", str(tmp_path / "run"), *QUIET, *chosen]) == 0
    assert {"heating_load", "indoor_air_temperature", "time"} <= set(variables(tmp_path / "run" / "energy.nc"))
