import json
import os
import subprocess
import sys

import pytest

from felsina.engine.version import __version__
from felsina.jobs.cli import main


def test_doctor_names_what_a_person_would_ask_about(capsys):
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"mpi", "launcher", "hdf5", "parallel_hdf5", "filters", "gpu", "threads", "kernel_cache", "analysis"} <= set(found)
    assert found["felsina"] == __version__
    assert found["filters"] == "gzip, shuffle"
    assert found["threads"] >= 1


def test_doctor_tells_people_the_same_as_machines(capsys):
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert main(["doctor", "--json"]) == 0
    assert [line.split()[0] for line in lines] == list(json.loads(capsys.readouterr().out))


def test_what_is_needed_and_missing_exits_4_with_the_way_out(monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")  # no nvidia-smi
    assert main(["doctor", "--need", "gpu"]) == 4
    assert "'gpu' was asked for and is not there." in capsys.readouterr().err


def test_what_is_needed_and_there_exits_0(capsys):
    pytest.importorskip("mpi4py", reason="mpi4py is not installed")
    assert main(["doctor", "--need", "mpi"]) == 0


def test_doctor_shows_the_cache_that_the_environment_names(tmp_path):
    environment = {**os.environ, "FELSINA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "felsina.jobs.cli", "doctor", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    cache = json.loads(done.stdout)["kernel_cache"]
    assert cache.startswith(str(tmp_path / "kernels")) and cache.endswith("(0 compiled)")
    assert not list(tmp_path.rglob("*.nb?"))


def test_looking_at_mpi_does_not_start_it():
    code = "from felsina.jobs.cli import main; main(['doctor']); import sys; sys.exit('mpi4py.MPI' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
