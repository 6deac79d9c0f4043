"""Shared by all tests: the data folder, and tests that run under mpiexec.

`@pytest.mark.mpi(2, 3)`: plain pytest starts that test again under mpiexec with each number of ranks; there, it just runs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
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
