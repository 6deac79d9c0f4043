import os
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_the_cache_follows_the_sources_that_a_kernel_is_made_of():
    # The imports as the text shows them are those that Python runs.
    for module, others in (
        ("radiation.skyview", {"radiation.horizon"}),
        ("pointcloud.ground", {"pointcloud.gaps", "pointcloud.pyramid", "pointcloud.raster"}),
    ):
        code = f"import sys, felsina.kernels.{module}; print(*[m for m in sys.modules if m.startswith('felsina.kernels.')])"
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
        inner = {m.removeprefix("felsina.kernels.") for m in run}
        assert others <= backend._made_of(module)
        assert {m for m in inner if m in backend._modules()} - {"_gpu"} <= backend._made_of(module) | {"_backend"}


def test_the_digest_of_a_kernel_changes_with_what_it_imports_and_with_nothing_else(tmp_path, monkeypatch):
    folder = tmp_path / "k"
    folder.mkdir()
    sources = {
        "_backend": "a = 1\n",
        "physics": "b = 1\n",
        "other": "c = 1\n",
        "driver": "from felsina.kernels.physics import (\n    b,  # a comment\n)\nfrom felsina.kernels import _backend as x\n",
    }

    def digest(**changed):
        for name, text in {**sources, **changed}.items():
            (folder / f"{name}.py").write_text(text)
        for cached in (backend._made_of, backend._modules, backend._source):
            cached.cache_clear()
        return backend.source_digest.__wrapped__("driver")

    monkeypatch.setattr(backend, "__file__", str(folder / "_backend.py"))
    try:
        first = digest()
        assert digest(other="c = 2\n") == first
        assert len({first, digest(physics="b = 2\n"), digest(_backend="a = 2\n"), digest(driver="d = 1\n")}) == 4
        assert digest() == first
    finally:
        for cached in (backend._made_of, backend._modules, backend._source):
            cached.cache_clear()


def write_miniature(folder, factor=2.0):
    """Write a package of the backend, one cell and one driver."""
    package = folder / "kernels"
    package.mkdir(parents=True, exist_ok=True)
    (package / "_backend.py").write_text(Path(backend.__file__).read_text(encoding="utf-8"))
    (package / "__init__.py").write_text("")
    (folder / "miniature.py").write_text("from kernels.driver import driver\n")
    (package / "driver.py").write_text(
        "from kernels._backend import rows\nfrom kernels.physics import double\n\n@rows\ndef driver(x):\n    return double(x)\n"
    )
    (package / "physics.py").write_text(
        f"from kernels._backend import cell\n\n@cell\ndef double(x):\n    return {factor} * x\n"
    )


def run_miniature(folder, cache, before="", **environment):
    """Run the driver of a miniature in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", before + PROGRAM.format(folder=str(folder))],
        env={**os.environ, "FELSINA_CACHE_DIR": str(cache), "PYTHONDONTWRITEBYTECODE": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    """The folder of a miniature whose driver has been compiled."""
    folder = tmp_path_factory.mktemp("warm")
    write_miniature(folder)
    run_miniature(folder, folder / "cache", SLURM_JOB_NUM_NODES="1")
    assert compiled(folder / "cache")
    return folder


def compiled(cache):
    """Return each file of machine code and when it was written."""
    return {p.relative_to(cache): p.stat().st_mtime_ns for p in cache.rglob("*.nbc")}


def test_an_edited_cell_in_another_file_is_compiled_anew(tmp_path):
    # numba's own cache looks at the file of the driver only and would go on using the old cell.
    results = []
    for factor in (2.0, 5.0):
        write_miniature(tmp_path, factor)
        results.append(float(run_miniature(tmp_path, tmp_path / "cache").stdout))
    assert results == [6.0, 15.0]


def test_an_installation_elsewhere_uses_the_same_machine_code(tmp_path):
    # An environment that is staged to another disk must not compile again.
    files = []
    for name in ("login", "node"):
        write_miniature(tmp_path / name)
        assert run_miniature(tmp_path / name, tmp_path / "cache").stdout == "6.0\n"
        files.append(compiled(tmp_path / "cache"))
    assert files[0] == files[1] and files[0]


def test_a_warm_cache_is_only_read(warm):
    # A cache on a read-only disk: any attempt to write would fail there, and numba would pass the cache over in silence.
    refuse = (
        "import os, sys\n"
        "def watch(event, args):\n"
        "    writes = event in ('os.mkdir', 'os.rename') or event == 'open' and args[2] & (os.O_WRONLY | os.O_RDWR)\n"
        f"    if writes and str(args[0]).startswith({str(warm)!r}):\n"
        "        print('refused', event, args, file=sys.stderr)\n"
        "        raise OSError(30, 'Read-only file system')\n"
        "sys.addaudithook(watch)\n"
    )
    done = run_miniature(warm, warm / "cache", refuse)
    assert done.stdout == "6.0\n" and not done.stderr, done.stderr


def test_a_job_of_several_nodes_names_the_kernel_that_is_not_compiled(tmp_path):
    write_miniature(tmp_path)
    done = run_miniature(tmp_path, tmp_path / "cache", SLURM_JOB_NUM_NODES="2")
    assert done.returncode != 0
    assert "The kernel kernels.driver.driver is not in the cache" in done.stderr
    assert "felsina warmup" in done.stderr
    assert not compiled(tmp_path / "cache")


def test_a_job_of_several_nodes_runs_what_was_compiled_before(warm):
    assert run_miniature(warm, warm / "cache", SLURM_JOB_NUM_NODES="2").stdout == "6.0\n"


def test_the_process_that_fills_the_cache_may_compile_in_any_job(tmp_path):
    write_miniature(tmp_path)
    allow = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import kernels._backend as b; b.allow_compilation()\n"
    assert run_miniature(tmp_path, tmp_path / "cache", allow, SLURM_JOB_NUM_NODES="2").stdout == "6.0\n"


def test_the_global_numba_setting_is_left_as_it_was():
    from numba import config

    before = config.CACHE_DIR
    backend.rows(lambda x: x)
    assert before == config.CACHE_DIR
