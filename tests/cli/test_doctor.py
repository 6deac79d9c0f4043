import json
import os
import subprocess
import sys
from pathlib import Path

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
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert main(["doctor", "--need", "gpu"]) == 4
    told = capsys.readouterr().err
    assert told.startswith("felsina: 'gpu' was asked for and is not there. ") and "--device cpu" in told


def test_gpus_are_named_with_their_driver_or_what_hides_them(monkeypatch, capsys):
    # with the stand-in for CuPy in place of one that is installed
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parent.parent / "gpu" / "stand_in"))
    monkeypatch.setenv("STAND_IN_GPUS", "2")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    pytest.importorskip("numba_cuda", reason="numba-cuda is not installed")
    assert main(["doctor", "--json", "--need", "gpu"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["gpu"].count("NVIDIA A100-SXM-64GB (stand-in) (sm_80, 64.0 GB, driver") == 2
    assert found["gpu_missing"] == "" and found["numba_cuda"] and found["cuda_toolkit"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    assert main(["doctor", "--need", "gpu"]) == 4
    assert "sees no GPU on the node" in (told := capsys.readouterr().err) and "(CUDA_VISIBLE_DEVICES is '7')" in told


def test_a_driver_that_crashes_does_not_take_the_doctor_along(monkeypatch, capsys, tmp_path):
    (tmp_path / "cupy.py").write_text("import os, sys\nprint('Segmentation fault', file=sys.stderr)\nos._exit(139)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert main(["doctor", "--need", "gpu"]) == 4
    assert "Looking for GPUs ended with 139: Segmentation fault." in capsys.readouterr().err


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
