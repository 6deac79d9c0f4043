"""Tests of the GPU drivers: on the stand-in for CuPy, or on a device, never on both in one process.

`pytest -m gpu` on a node that has a GPU and a real CuPy takes the device; anything else takes the stand-in, whatever there is.
"""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
MANY = 300  # tests; compiling all is for a run of the whole folder
REPORT: dict[str, tuple[float, str]] = {}  # what the tests have to say at the end: (value, which) by sentence


def _devices() -> int:
    """Return how many GPUs the driver knows, without any Python package."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    return count.value if driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 else 0


def pytest_configure(config: pytest.Config) -> None:
    # Looked for before the stand-in is put on the path: what is found is a real one.
    on_device = config.option.markexpr == "gpu" and _devices() > 0 and importlib.util.find_spec("cupy") is not None
    config.stash[ON_DEVICE] = on_device
    for folder in (HERE,) if on_device else (HERE, HERE / "stand_in"):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))


ON_DEVICE = pytest.StashKey[bool]()


@pytest.fixture
def device(request: pytest.FixtureRequest) -> str:
    """The name of the GPU; skips where the process has the stand-in."""
    if not request.config.stash[ON_DEVICE]:
        pytest.skip("no GPU in this process: run 'pytest -m gpu tests/gpu' on a node that has one, with CuPy installed")
    import cupy

    assert not hasattr(cupy, "stand_in"), f"{cupy.__file__} is the stand-in: it must not be on the path of this process"
    return cupy.cuda.runtime.getDeviceProperties(cupy.cuda.runtime.getDevice())["name"].decode()


@pytest.fixture
def stand_in(request: pytest.FixtureRequest):
    """The stand-in for CuPy, as new."""
    if request.config.stash[ON_DEVICE]:
        pytest.skip("this process has a real GPU")
    from cupy import stand_in

    from felsina.kernels import _gpu

    stand_in.reset()
    _gpu._loaded.cache_clear()
    yield stand_in
    stand_in.reset()
    _gpu._loaded.cache_clear()


@pytest.fixture(scope="session")
def workers(request: pytest.FixtureRequest):
    """Processes that have the stand-in."""
    if request.config.stash[ON_DEVICE]:
        pytest.skip("this process has a real GPU")
    from gpu_twins.workers import pool

    with pool() as made:
        yield made


@pytest.fixture(scope="session")
def compiled(request: pytest.FixtureRequest) -> None:
    """A cache that is filled by all processors, unless few tests are run: those compile what they need."""
    from gpu_twins.workers import compile_all, is_compiled

    if len(request.session.items) > MANY and not is_compiled():
        compile_all(request.getfixturevalue("workers"))


@pytest.fixture(scope="session")
def report() -> dict[str, tuple[float, str]]:
    """Sentences with the largest value that was seen, printed at the end."""
    return REPORT


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for sentence, (value, which) in sorted(REPORT.items()):
        terminalreporter.write_line(f"{sentence}: {value:.3g} ({which})")
