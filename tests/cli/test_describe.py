import json

import pytest

from felsina.jobs.cli import JOBS, main


def test_every_option_field_and_job_is_described(capsys):
    assert main(["describe", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"[terrain]", "[execution]", "terrain.nc", "buildings.nc", "microclimate.nc", "jobs"} <= set(found)
    tile = next(r for r in found["[execution]"] if r["name"] == "tile_m")
    assert tile["unit"] == "m" and tile["help"]
    height = next(r for r in found["buildings.nc"] if r["name"] == "building_height")
    assert height["units"] == "m"
    assert {r["name"] for r in found["jobs"]} == set(JOBS)


@pytest.mark.parametrize(
    "topic", ["options", "fields", "jobs", "terrain", "heatwave", "buildings.nc", "tile_m", "air_temperature"]
)
def test_a_topic_prints_its_rows(topic, capsys):
    assert main(["describe", topic]) == 0
    assert topic.split(".")[0] in capsys.readouterr().out or topic in ("options", "fields", "jobs")


def test_an_unknown_topic_is_answered_with_the_nearest(capsys):
    assert main(["describe", "tile_n"]) == 2
    assert "Did you mean 'tile_m'?" in capsys.readouterr().err
