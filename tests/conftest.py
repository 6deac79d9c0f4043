"""Shared by all tests: the data folder, tests that run under mpiexec, and felsina run as a user runs it.

`@pytest.mark.mpi(2, 3)`: plain pytest starts that test again under mpiexec with each number of ranks; there, it just runs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

INSIDE = "FELSINA_TEST_RANKS" in os.environ
_ROOT = Path(__file__).resolve().parent.parent


def mpiexec() -> str | None:
    """Return the mpiexec of this environment, or the first on PATH."""
    own = Path(sys.executable).with_name("mpiexec")
    return str(own) if own.exists() else shutil.which("mpiexec")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests of `make acceptance` too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--slow"):
        return
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.skip(reason="takes long: make acceptance"))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    marker = pyfuncitem.get_closest_marker("mpi")
    if marker is None or INSIDE:
        return None
    launcher = mpiexec()
    if launcher is None:
        pytest.skip("no mpiexec: install felsina[mpi]")
    for ranks in marker.args:
        command = [launcher, "-n", str(ranks), sys.executable, "-m", "mpi4py", "-m", "pytest", "-q", "-x", "-p"]
        command += ["no:cacheprovider", pyfuncitem.nodeid]
        environment = {**os.environ, "FELSINA_TEST_RANKS": str(ranks), "NUMBA_NUM_THREADS": "1"}
        done = subprocess.run(
            command, env=environment, cwd=pyfuncitem.config.rootpath, capture_output=True, text=True, timeout=300, check=False
        )
        if done.returncode or "skipped" in done.stdout.splitlines()[-1]:
            pytest.fail(f"{ranks} ranks failed:\n{done.stdout[-4000:]}\n{done.stderr[-2000:]}", pytrace=False)
    return True


@pytest.fixture
def world():
    """The world of this test: the ranks under mpiexec, otherwise one."""
    from felsina.engine.parallel.world import World

    made = World.launched()
    yield made
    made.close()


@pytest.fixture
def shared_tmp(world, tmp_path) -> Path:
    """One temporary folder that all ranks of a test share."""
    return world.bcast(tmp_path)


@pytest.fixture(scope="session")
def felsina_data() -> Path:
    """The folder of real inputs: FELSINA_DATA, or shared/data beside the checkout."""
    folder = Path(os.environ.get("FELSINA_DATA", _ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no real data: set FELSINA_DATA")
    os.environ.setdefault("FELSINA_DATA", str(folder))
    return folder


@dataclass(frozen=True)
class Felsina:
    """Runs the command line in processes of its own, as a user does."""

    ranks: int = 1
    environment: Mapping[str, str] | None = None
    program: tuple[str, ...] = ("-m", "felsina.jobs.cli")

    def __call__(self, *arguments: object, timeout: float = 300.0) -> subprocess.CompletedProcess[str]:
        """Run one verb; what it says is in the answer, whatever its exit code."""
        return subprocess.run(
            self.command(*arguments), env=self.environ(), capture_output=True, text=True, timeout=timeout, check=False
        )

    def command(self, *arguments: object) -> list[str]:
        """Return the command line of a verb."""
        launcher = mpiexec()
        if self.ranks > 1 and launcher is None:
            pytest.skip("no mpiexec: install felsina[mpi]")
        prefix = [str(launcher), "-n", str(self.ranks)] if self.ranks > 1 else []
        return [*prefix, sys.executable, *self.program, *map(str, arguments)]

    def environ(self) -> dict[str, str]:
        """Return the environment: one thread a rank unless told, for several ranks share few cores here."""
        return {**os.environ, "NUMBA_NUM_THREADS": "1", **(self.environment or {})}


@pytest.fixture(scope="session")
def felsina() -> type[Felsina]:
    """`felsina(ranks=2)("run", city, ...)` runs the command line on two ranks."""
    return Felsina


# Grids and hours that a whole chain of the small district takes three seconds for.
_SMALL = {
    "[terrain]": "[terrain]\nsnap_m = 8.0",
    "days = 2": "days = 1\nspin_up_days = 0",
    "air_resolution_m = 4.0": "air_resolution_m = 8.0",
    "air_levels = 16": "air_levels = 8",
}


def write_small_district(folder: Path, size_m: float = 128.0) -> Path:
    """Write the built-in district with a city file for a short run; return the city file."""
    from felsina.engine.io.district_files import write_district

    city = write_district(folder, size_m)
    text = city.read_text(encoding="utf-8")
    for old, new in _SMALL.items():
        assert old in text, old
        text = text.replace(old, new)
    city.write_text(text, encoding="utf-8")
    return city


@pytest.fixture(scope="session")
def district(tmp_path_factory) -> Path:
    """The city file of a district of 128 m: 20 blocks of cells, 9 buildings, four point files. Not to be written to."""
    return write_small_district(tmp_path_factory.mktemp("district"))


@pytest.fixture(scope="session")
def finished(district, felsina, tmp_path_factory) -> Path:
    """A finished run of the district by one rank and one thread. Not to be written to."""
    run = tmp_path_factory.mktemp("finished") / "run"
    done = felsina()("run", district, "--out", run, "--no-report", "--threads", 1, "--set", "execution.writer=gather")
    assert done.returncode == 0, done.stderr
    return run


def published(run: Path) -> dict[str, str]:
    """Return the SHA-256 of every published file of a run by name."""
    import hashlib

    files = sorted([*run.glob("*.nc"), *run.glob("*.city.jsonl")])
    return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


@pytest.fixture(scope="session", name="published")
def published_fixture():
    """`published(run)`: the SHA-256 of every published file of a run by name."""
    return published


@pytest.fixture
def district_copy(district, tmp_path) -> Path:
    """The city file of a district of one's own, to be spoilt."""
    shutil.copytree(district.parent, tmp_path / "district")
    return tmp_path / "district" / district.name
