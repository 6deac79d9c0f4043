"""The stand-in for CuPy, for tests of what uses a GPU."""

import sys
from pathlib import Path

import pytest

GPU = Path(__file__).resolve().parents[2] / "gpu"


@pytest.fixture
def cupy():
    """The stand-in, as new: one device of 64 GB."""
    for folder in (GPU, GPU / "stand_in"):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    module = pytest.importorskip("cupy")
    if not hasattr(module, "stand_in"):
        pytest.skip("the real CuPy is loaded in this process")
    from felsina.kernels import _gpu

    module.stand_in.reset()
    _gpu._loaded.cache_clear()
    yield module
    module.stand_in.reset()
    _gpu._loaded.cache_clear()
