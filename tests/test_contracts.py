"""The house rules that a machine can check: who imports whom, sizes, sources of data, and what the documents promise."""

import csv
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from felsina.jobs.cli import _LATER, JOBS

ROOT = Path(__file__).resolve().parent.parent
LINTER = Path(sys.executable).with_name("lint-imports")
LONGEST_MODULE = 500
ROOMS = ("engine", "kernels", "jobs")


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on a checkout; its own sources come before any installed felsina."""
    program = "import sys; sys.path.insert(0, 'src'); from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run(
        [sys.executable, "-c", program, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.fixture
def house(tmp_path) -> Path:
    """A copy of the three floors and the name plate, to plant violations in."""
    pytest.importorskip("importlinter", reason="import-linter is not installed")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for room in ROOMS:
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "src", tmp_path / "src", symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_nobody_looks_up_the_stairs(house):
    done = lint(house)
    assert done.returncode == 0, done.stdout
    assert " 0 broken" in done.stdout


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("kernels/counter.py", "import felsina.jobs.run", "jobs -> engine -> kernels"),
        ("kernels/air/wind.py", "import felsina.engine.grid", "jobs -> engine -> kernels"),
        ("engine/grid.py", "import felsina.jobs.run", "jobs -> engine -> kernels"),
        ("kernels/counter.py", "import h5py", "kernels stay pure"),
        ("kernels/counter.py", "import logging", "kernels stay pure"),
        ("engine/io/pieces.py", "import mpi4py", "mpi4py and cupy only in engine.parallel"),
        ("engine/processes/energy.py", "import h5py", "files only in engine.io"),
        ("engine/io/read.py", "import felsina.engine.analysis.open", "no rank imports the analysis room"),
        ("jobs/run.py", "import mpi4py", "jobs reach MPI, HDF5 and kernels only through the engine"),
        ("jobs/run.py", "import felsina.kernels.counter", "jobs reach MPI, HDF5 and kernels only through the engine"),
    ],
)
def test_a_planted_violation_is_reported(house, module, line, contract):
    source = house / module
    text = source.read_text(encoding="utf-8")
    first = re.search(r"^(import|from) (?!__future__)", text, re.MULTILINE)
    at = first.start() if first else len(text)
    source.write_text(f"{text[:at]}{line}\n{text[at:]}", encoding="utf-8")
    done = lint(house)
    assert done.returncode != 0
    assert f"{contract} BROKEN" in " ".join(done.stdout.split())


def tracked() -> list[Path]:
    """Return the tracked text files."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout")
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    files = [ROOT / name for name in done.stdout.split("\0") if name]
    return [f for f in files if f.is_file() and not f.is_symlink() and b"\0" not in f.read_bytes()[:4096]]


def test_no_module_holds_two_ideas():
    long = {
        p.relative_to(ROOT).as_posix(): n
        for room in (*ROOMS, "tests", "benchmarks")
        for p in (ROOT / room).rglob("*.py")
        if (n := len(p.read_text(encoding="utf-8").splitlines())) > LONGEST_MODULE
    }
    assert not long


def test_no_tracked_file_knows_a_machine_by_its_paths():
    # A home, a scratch disk, a temporary folder: what one machine has and another has not.
    pattern = re.compile(r"(?<![\w./${}~*-])/(?:home|root|work|tmp|Users|mnt|scratch|leonardo)/[\w.-]+")
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in tracked()
        for match in pattern.finditer(path.read_text(encoding="utf-8", errors="replace"))
    ]
    assert not found


def test_every_verb_that_a_document_shows_exists():
    documents = [p for p in tracked() if p.suffix in (".md", ".toml", ".sbatch") and "tests" not in p.parts]
    shown = {}
    for path in documents:
        for verb in re.findall(r"(?:^|[`\s(/])felsina ([a-z]+)(?=[\s`.)/,:;]|$)", _code(path), re.MULTILINE):
            shown.setdefault(verb, path.name)
    unknown = {verb: name for verb, name in shown.items() if verb not in JOBS and verb not in _LATER}
    assert shown and not unknown


def _code(path: Path) -> str:
    """Return what a document shows as code: of a script or a city file, all but the prose of its comments."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".md":
        return re.sub(r"^# ?[^ ].*$", "", text, flags=re.MULTILINE)
    return "\n".join(re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL))


@pytest.mark.parametrize("path", sorted((ROOT / "engine" / "data").glob("*.csv")), ids=lambda p: p.name)
def test_every_row_of_a_data_table_names_its_source(path):
    with open(path, encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(line for line in stream if not line.startswith("#")))
    assert rows
    assert "source" in rows[0]
    assert not [row for row in rows if not (row["source"] or "").strip()]


def test_every_version_that_an_extra_asks_for_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(r for extra in project["optional-dependencies"].values() for r in extra)]
    # What differs between the two extras of CUDA cannot be in one list of constraints: it is pinned where it is asked for.
    free = [r for r in wanted if not re.match(r"cuda-(bindings|toolkit)==[\d.]+;", r)]
    names = {re.match(r"[\w-]+", r).group().lower().replace("_", "-") for r in free} - {"felsina"}
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {line.partition("==")[0].lower().replace("_", "-") for line in lines if "==" in line}
    assert not names - pinned
