"""What people install: the wheel from the source distribution, in an environment of its own, run from another folder.

An editable installation hides a wheel without its sub-packages or its tables.
"""

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from felsina.engine.version import __version__

ROOT = Path(__file__).resolve().parent.parent.parent


def check(command, **options) -> str:
    """Run a command that must succeed and return what it printed."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False, timeout=900, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory) -> Path:
    """A folder with the source distribution and the wheel that is built from it, not from the checkout."""
    pytest.importorskip("build", reason="build is not installed")
    pytest.importorskip("hatchling", reason="hatchling is not installed")
    folder = tmp_path_factory.mktemp("dist")
    check([sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT])
    return folder


@pytest.fixture(scope="module")
def names(dist) -> set[str]:
    """The files of the wheel."""
    (wheel,) = dist.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.mark.parametrize("room", ["engine", "kernels", "jobs"])
def test_the_wheel_holds_every_file_of_a_room(room, names):
    sources = {p for p in (ROOT / room).rglob("*") if p.is_file() and p.suffix in (".py", ".csv", ".css")}
    assert sources
    assert not {f"felsina/{p.relative_to(ROOT).as_posix()}" for p in sources} - names


def test_the_wheel_holds_the_name_plate_the_types_and_the_licence(names):
    assert {"felsina/__init__.py", "felsina/py.typed", f"felsina-{__version__}.dist-info/licenses/LICENSE"} <= names
    assert "felsina/engine/analysis/report.css" in names
    assert any(n.startswith("felsina/engine/data/") and n.endswith(".csv") for n in names)


def test_the_wheel_holds_nothing_else(names):
    assert {n.split("/")[0] for n in names} == {"felsina", f"felsina-{__version__}.dist-info"}
    assert not [n for n in names if "test" in n.lower() or "__pycache__" in n]


def test_the_source_distribution_holds_the_tests_and_no_environment(dist):
    (source,) = dist.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        files = {n.partition("/")[2] for n in archive.getnames()}
    assert {"pyproject.toml", "LICENSE", "constraints.txt", "tests/conftest.py", "engine/version.py"} <= files
    assert not [f for f in files if f.startswith((".venv", "runs", "dist", ".git/"))]


def test_a_smoke_job_runs_from_the_wheel_in_a_clean_environment(dist, tmp_path):
    (wheel,) = dist.glob("*.whl")
    clean = tmp_path / "clean"
    venv.create(clean, with_pip=False)
    python = clean / "bin" / "python"
    hidden = ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONHOME")
    environment = {k: v for k, v in os.environ.items() if k not in hidden and not k.startswith(("PMI", "MPI_"))}
    # This pip installs into that environment: making a second pip would take longer than everything else.
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
    check([*pip, "install", "-q", "--no-compile", "-c", ROOT / "constraints.txt", wheel], env=environment)
    check([*pip, "check"], env=environment)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    felsina = clean / "bin" / "felsina"

    def run(*arguments: str) -> str:
        return check([felsina, *arguments], cwd=elsewhere, env=environment)

    assert run("--version") == f"felsina {__version__}\n"
    assert "heatwave" in run("describe")
    where = check([python, "-c", "import felsina.kernels as k; print(k.__file__)"], cwd=elsewhere, env=environment)
    assert Path(where.strip()).is_relative_to(clean)
    short = ["--set", "heatwave.days=1", "--set", "heatwave.spin_up_days=0", "--no-report"]
    summary = run("demo", "--size", "96", *short, "--out", "run")
    assert "against the district's truth" in summary
    run("validate", "run")
