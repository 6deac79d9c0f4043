import subprocess
import sys

import pytest

from felsina.jobs.cli import _LATER, JOBS, main


def test_help_lists_every_verb_that_is_built_and_no_other(capsys):
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"  {verb} " in out for verb in JOBS)
    assert not any(f"  {verb} " in out for verb in _LATER)


@pytest.mark.parametrize("verb", _LATER)
def test_a_verb_of_a_later_level_exits_2_with_a_sentence(verb, capsys):
    assert main([verb, "anything"]) == 2
    assert f"'{verb}' is not built yet" in capsys.readouterr().err


def test_a_misspelt_verb_gets_the_nearest(capsys):
    assert main(["terain"]) == 2
    assert "Did you mean 'terrain'?" in capsys.readouterr().err


def test_no_verb_prints_the_overview_and_exits_2(capsys):
    assert main([]) == 2
    assert "usage" in capsys.readouterr().out


@pytest.mark.parametrize("verb", JOBS)
def test_every_verb_explains_itself(verb, capsys):
    assert main([verb, "--help"]) == 0
    assert "usage: felsina" in capsys.readouterr().out


def test_help_imports_neither_mpi_nor_kernels():
    code = (
        "import sys; from felsina.jobs.cli import main; main(['--help']);"
        "heavy = {'mpi4py', 'numba', 'h5py', 'laspy', 'xarray', 'matplotlib'} & set(sys.modules); sys.exit(bool(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_errors_are_one_sentence_and_a_traceback_only_when_asked(tmp_path, capsys):
    assert main(["run", str(tmp_path / "no.toml")]) == 2
    quiet = capsys.readouterr().err
    assert quiet.count("\n") == 1 and "cannot be read" in quiet
    assert main(["run", str(tmp_path / "no.toml"), "-v"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_gpu_without_cupy_is_an_error_not_a_fall_back(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    (tmp_path / "city.toml").write_text("")
    assert main(["run", str(tmp_path / "city.toml"), "--device", "gpu", "--out", str(tmp_path / "run")]) == 4
    told = capsys.readouterr().err
    assert "need CuPy" in told and "--device cpu" in told
