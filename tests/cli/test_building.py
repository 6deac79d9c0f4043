"""One described building from the command line."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

CASES = Path(__file__).resolve().parents[1] / "validation" / "ashrae140"


@pytest.fixture(scope="module")
def weather(felsina_data) -> Path:
    file = felsina_data / "energy" / "725650TYCST.epw"
    if not file.exists():
        pytest.skip("no weather of ASHRAE 140 in FELSINA_DATA")
    return file


def test_a_building_is_simulated_and_written_alike_twice(felsina, weather, tmp_path):
    written = []
    for name in ("a.nc", "b.nc"):
        done = felsina()("energy", "--building", CASES / "600.toml", "--weather", weather, "--out", tmp_path / name)
        assert done.returncode == 0, done.stderr
        assert "600, room: heating 4,3" in done.stdout
        written.append((tmp_path / name).read_bytes())
    assert written[0] == written[1]
    with h5py.File(tmp_path / "a.nc") as file:
        load, months = file["heating_load"][0], file["monthly_heating_need"][0]
        assert file["heating_load"].dims[1][0].name == "/time"
        np.testing.assert_allclose(months.sum(), load.sum() / 1000, rtol=1e-9)
        assert file["annual_heating_need"][0] == pytest.approx(months.sum(), rel=1e-12)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Name a city file, or one building"),
        (["--building", CASES / "600.toml"], "--building needs the weather of a year"),
        (["city.toml", "--building", CASES / "600.toml"], "Give a city file or --building, not both"),
    ],
)
def test_what_is_missing_is_said(felsina, arguments, sentence):
    done = felsina()("energy", *arguments)
    assert done.returncode == 2
    assert sentence in done.stderr


def test_a_file_that_is_there_stays(felsina, weather, tmp_path):
    out = tmp_path / "a.nc"
    out.write_text("mine")
    done = felsina()("energy", "--building", CASES / "600.toml", "--weather", weather, "--out", out)
    assert done.returncode == 2
    assert "is there already" in done.stderr
    assert out.read_text() == "mine"
