"""What `felsina warmup` promises: nothing is left to compile for the runs that follow, whatever their size or their ranks."""

import importlib.metadata
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from felsina.jobs.cli import main

# Which kernels a verb calls, and with which types: what numba looks up in the cache. Reading them from the process and not from
# the folder of the cache keeps the answer independent of what other tests have compiled before.
PROGRAM = """
import atexit, json, os, sys
from pathlib import Path
from felsina.jobs import cli

def dump():
    used = []
    for name, module in list(sys.modules.items()):
        if name.startswith("felsina.kernels."):
            for kernel in vars(module).values():
                if hasattr(kernel, "py_func") and kernel.py_func.__module__ == name:
                    used += [f"{name}.{kernel.py_func.__qualname__}{signature}" for signature in kernel.signatures]
    Path(sys.argv[1] + os.environ.get("PMI_RANK", "0")).write_text(json.dumps(used))

atexit.register(dump)
sys.exit(cli.main(sys.argv[2:]))
"""
SHORT = ["--set", "heatwave.days=1", "--set", "heatwave.spin_up_days=0", "--no-report"]


@pytest.fixture(scope="module")
def called(tmp_path_factory):
    """Return a function that runs a verb and returns the kernels that it called with their types."""
    folder = tmp_path_factory.mktemp("called")
    (folder / "verb.py").write_text(PROGRAM)

    def run(*arguments: str, ranks: int = 1) -> set[str]:
        for old in folder.glob("used-*"):
            old.unlink()
        command = [sys.executable, str(folder / "verb.py"), str(folder / "used-"), *arguments]
        if ranks > 1:
            launcher = Path(sys.executable).with_name("mpiexec")
            if not launcher.exists():
                pytest.skip("no mpiexec in this environment: install felsina[mpi]")
            command = [str(launcher), "-n", str(ranks), *command]
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PMI", "MPI_", "SLURM_"))}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=600)
        assert done.returncode == 0, done.stdout + done.stderr
        files = list(folder.glob("used-*"))
        assert len(files) == ranks
        return {kernel for path in files for kernel in json.loads(path.read_text())}

    return run


@pytest.fixture(scope="module")
def warmed(called):
    """The kernels that warmup compiles; GPU drivers for an A100 with them where their compiler is installed."""
    chosen: tuple[str, ...] = ()
    if find_spec("numba_cuda"):
        from felsina.kernels.accumulate import take_hour_gpu, whole_sum_gpu

        for kernel in (take_hour_gpu, whole_sum_gpu):  # two are not there, whatever ran before
            kernel.file((8, 0), "", "cubin").unlink(missing_ok=True)
        chosen = ("--capability", "8.0")
    kernels = called("warmup", "-q", *chosen)
    assert len(kernels) > 30
    return kernels


@pytest.fixture(scope="module")
def demo(called, warmed, tmp_path_factory):
    """A run directory of a larger district with another seed, and the kernels that it called."""
    run = tmp_path_factory.mktemp("demo") / "run"
    return run, called("demo", "--size", "144", "--district-seed", "7", "--threads", "2", "--out", str(run), *SHORT)


def test_a_demo_of_another_size_finds_every_kernel_compiled(demo, warmed):
    assert sorted(demo[1] - warmed) == []


def test_two_ranks_find_every_kernel_compiled(demo, warmed, called, tmp_path):
    city = str(demo[0] / "input" / "city.toml")
    used = called("run", city, "--threads", "1", "--out", str(tmp_path / "run"), *SHORT, ranks=2)
    assert sorted(used - warmed) == []


def test_a_city_without_footprints_and_land_cover_finds_every_kernel_compiled(demo, warmed, called, tmp_path):
    text = (demo[0] / "input" / "city.toml").read_text(encoding="utf-8")
    sections = [s for s in text.split("\n[") if not s.startswith(("footprints]", "landcover]"))]
    city = demo[0] / "input" / "bare.toml"
    city.write_text("\n[".join(sections), encoding="utf-8")
    used = called("run", str(city), "--until", "buildings", "--out", str(tmp_path / "run"), "--no-report")
    assert sorted(used - warmed) == []


# Runs a verb on the stand-in for CuPy and says which files of GPU drivers it made.
ON_GPU = """
import sys
from felsina.jobs import cli
from felsina.kernels import _gpu

def refuse(path, content):
    raise AssertionError(f"{path.name} is made")

_gpu._write = refuse
sys.exit(cli.main(sys.argv[1:]))
"""


def test_a_run_on_an_a100_finds_every_gpu_driver_compiled(district, warmed, tmp_path):
    pytest.importorskip("numba_cuda", reason="numba-cuda is not installed")
    gpu = Path(__file__).resolve().parent.parent / "gpu"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PMI", "MPI_", "SLURM_"))}
    environment["PYTHONPATH"] = os.pathsep.join([str(gpu / "stand_in"), str(gpu)])
    command = [sys.executable, "-c", ON_GPU, "run", str(district), "--device", "gpu", "--out", str(tmp_path / "run")]
    done = subprocess.run([*command, "--no-report"], env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_gpu_driver_is_compiled_for_a_capability_that_is_named_and_no_other_is_taken(warmed, capsys, monkeypatch):
    pytest.importorskip("numba_cuda", reason="numba-cuda is not installed")
    from felsina.engine.machine import compile_gpu_drivers
    from felsina.kernels import _gpu

    monkeypatch.setattr(_gpu, "_write", lambda path, content: pytest.fail(f"{path.name} is made"))
    assert compile_gpu_drivers((8, 0)) > 50
    for wrong, says in (("80", "is no compute capability"), ("6.0", "expected one of 7.0, "), ("8.3", "cannot be compiled")):
        assert main(["warmup", "-q", "--capability", wrong]) == 2
        assert says in capsys.readouterr().err


def test_without_the_compiler_of_gpu_drivers_warmup_says_how_to_get_it(monkeypatch, capsys):
    def version(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert main(["warmup", "-q", "--capability", "9.0"]) == 4
    assert "by numba-cuda, which is not installed. Run pip install 'felsina[cuda12]'" in capsys.readouterr().err
