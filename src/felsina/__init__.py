"""felsina: a physical-twin compute engine for cities.

`felsina.run(city)` runs jobs on a city file; `felsina.open(run)` opens the results as an `xarray.DataTree`.
Both import what they need when called, so `import felsina` costs nothing on a thousand ranks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from felsina.engine.version import __version__

if TYPE_CHECKING:
    from os import PathLike

    from xarray import DataTree

    from felsina.engine.rundir import RunDirectory

__all__ = ["__version__", "open", "run"]


def run(city: str | PathLike[str], out: str | PathLike[str] | None = None, **options: Any) -> RunDirectory:
    """Run a city file through its jobs and return the run directory.

    Parameters
    ----------
    city : path
        The city file (TOML).
    out : path, optional
        The run directory; the city file's folder plus `runs/<name>` when absent.
    **options
        `until`, `from_`, `resume`, `force` and `set` as on the command line (`felsina run --help`).

    Raises
    ------
    FelsinaError
        With one sentence that names the thing, the value and the way out.
    """
    from felsina.jobs.run import run_city

    return run_city(city, out, **options)


def open(run: str | PathLike[str]) -> DataTree:
    """Open the products of a run lazily, as an `xarray.DataTree` with dask chunks.

    Parameters
    ----------
    run : path
        A run directory, or one product file of it.

    Raises
    ------
    InputError
        When there is no product, or a file is not felsina's.
    """
    from felsina.engine.analysis.open import open_run

    return open_run(run)
