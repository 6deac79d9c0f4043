import os
import subprocess
import sys
from pathlib import Path

import felsina.kernels._backend as backend

PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, {folder!r})
import miniature
print(miniature.driver(3.0))
"""


def test_fastmath_never_lets_a_value_depend_on_its_place():
    # arcp, afn and reassoc change a value with its position in a vectorised row.
    assert frozenset({"contract", "nsz"}) == backend.FASTMATH


def test_the_cache_is_keyed_by_all_kernel_sources(tmp_path, monkeypatch):
    monkeypatch.setenv("FELSINA_CACHE_DIR", str(tmp_path))
    (tmp_path / "k").mkdir()
    source = tmp_path / "k" / "_backend.py"
    source.write_text("a = 1\n")
    other = tmp_path / "k" / "physics.py"
    other.write_text("b = 1\n")
    monkeypatch.setattr(backend, "__file__", str(source))
    keys = []
    for text in ("b = 1\n", "b = 2\n", "b = 1\n"):
        other.write_text(text)
        keys.append(backend.cache_directory.__wrapped__())
    assert keys[0] == keys[2] != keys[1]
    assert keys[0].is_relative_to(tmp_path)


def test_an_edited_cell_in_another_file_is_compiled_anew(tmp_path):
    # numba's own cache looks at the file of the driver only and would go on using the old cell.
    package = tmp_path / "kernels"
    package.mkdir()
    text = Path(backend.__file__).read_text(encoding="utf-8")
    (package / "_backend.py").write_text(text)
    (package / "__init__.py").write_text("")
    (tmp_path / "miniature.py").write_text("from kernels.driver import driver\n")
    (package / "driver.py").write_text(
        "from kernels._backend import rows\nfrom kernels.physics import double\n\n@rows\ndef driver(x):\n    return double(x)\n"
    )
    results = []
    for factor in (2.0, 5.0):
        (package / "physics.py").write_text(
            f"from kernels._backend import cell\n\n@cell\ndef double(x):\n    return {factor} * x\n"
        )
        environment = {**os.environ, "FELSINA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM.format(folder=str(tmp_path))],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        results.append(float(done.stdout))
    assert results == [6.0, 15.0]


def test_the_global_numba_setting_is_left_as_it_was():
    from numba import config

    before = config.CACHE_DIR
    backend.rows(lambda x: x)
    assert before == config.CACHE_DIR
