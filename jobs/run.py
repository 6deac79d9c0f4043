"""Run a city file through its jobs: terrain, buildings, energy, heatwave, city, and the report at the end."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from felsina.engine.city import City, read_city
from felsina.engine.driver import JobSpec, open_run_directory, run_jobs
from felsina.engine.errors import FelsinaError, UsageError
from felsina.engine.log import LOGGER
from felsina.engine.parallel.device import open_device
from felsina.engine.parallel.world import World
from felsina.engine.record import Record
from felsina.engine.rundir import RunDirectory
from felsina.engine.threads import use_threads

CHAIN: dict[str, str] = {
    "terrain": "felsina.jobs.terrain",
    "buildings": "felsina.jobs.buildings",
    "energy": "felsina.jobs.energy",
    "heatwave": "felsina.jobs.heatwave",
    "city": "felsina.jobs.city",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `felsina run`."""
    from felsina.jobs.cli import run_options

    parser.add_argument("city", metavar="CITY.toml", help="the city file")
    run_options(parser)
    parser.add_argument("--until", choices=tuple(CHAIN), help="stop after this job")
    parser.add_argument("--from", dest="from_", choices=tuple(CHAIN), help="start at this job; earlier products must be there")
    parser.add_argument("--no-report", action="store_true", help="do not draw report.html at the end")


def main(options: argparse.Namespace) -> int:
    """Run the chain of `felsina run`."""
    names = chain(options.from_, options.until)
    run, record, world = run_verb(options, names)
    return conclude(run, record, world, report=not options.no_report)


def run_city(
    city: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    until: str | None = None,
    from_: str | None = None,
    resume: bool = False,
    force: bool = False,
    set: list[str] | None = None,
    world: World | None = None,
) -> RunDirectory:
    """Run a city file through its jobs and return the run directory; the Python face of `felsina run`."""
    world = world or World.launched()
    loaded = world.on_root(lambda: read_city(Path(city), set or ()))
    run, _ = run_chain(loaded, world, chain(from_, until), None if out is None else Path(out), resume=resume, force=force)
    return run


@contextmanager
def errors_name(world: World) -> Iterator[None]:
    """Let an error carry the world it happened in: the door aborts the other ranks when only this one knows."""
    try:
        yield
    except (FelsinaError, RuntimeError) as error:  # the second: a kernel that may not be compiled here
        error.world = world  # type: ignore[union-attr]
        raise


def run_verb(options: argparse.Namespace, names: list[str]) -> tuple[RunDirectory, Record, World]:
    """Read the city file of a verb's options and run some jobs on it."""
    world = World.launched()
    with errors_name(world):
        city = world.on_root(lambda: read_city(Path(options.city), overrides_of(options)))
        run, record = run_chain(
            city,
            world,
            names,
            None if options.out is None else Path(options.out),
            resume=options.resume,
            force=options.force,
            command=" ".join(["felsina", *sys.argv[1:]]),
        )
    return run, record, world


def run_chain(
    city: City,
    world: World,
    names: list[str],
    out: Path | None,
    *,
    resume: bool = False,
    force: bool = False,
    command: str = "felsina.run",
) -> tuple[RunDirectory, Record]:
    """Run the named jobs of the chain on a city; collective over all ranks of the world."""
    execution = city.execution
    use_threads(execution.threads)
    specs = [spec_of(n) for n in names]
    run = open_run_directory(world, out or Path("runs") / city.city.name.lower(), jobs=specs, resume=resume, force=force)
    chosen = open_device(world, execution.device, memory_limit=execution.gpu_memory, gpu_aware=execution.gpu_aware)
    with chosen as device:
        record = run_jobs(city, world, run, specs, device=device, resume=resume, command=command)
    world.close()
    return run, record


def conclude(run: RunDirectory, record: Record, world: World, *, report: bool) -> int:
    """End a run: leave MPI, draw the report in a process of its own, print the last line and return the exit code."""
    is_root = world.is_root
    world.finalise()
    if not is_root:
        return 0
    if report:
        draw_report(run)
    failed, total = failed_rows(record)
    limit = record.values["configuration"]["execution"]["max_failed"]
    code = 5 if total and failed / total > limit else 0
    print(f"{run.path}: {', '.join(p.name for p in run.products.values())}; {failed} of {total} building rows failed.")
    return code


def draw_report(run: RunDirectory) -> None:
    """Draw report.html by a child process, so that no rank ever imports the analysis stack."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PMI", "OMPI_", "MPI_", "HYDI", "HYDRA", "PMIX"))}
    command = [sys.executable, "-m", "felsina.jobs.cli", "report", str(run.path), "--if-possible"]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    for line in (done.stdout + done.stderr).splitlines():
        LOGGER.info("%s", line)
    if done.returncode:
        LOGGER.warning(
            "The report of '%s' was not drawn; the products are complete. Try: felsina report %s", run.path, run.path
        )


def failed_rows(record: Record) -> tuple[int, int]:
    """Return how many building rows have no geometry, and how many rows there are."""
    metrics: dict[str, Any] = record.values["jobs"].get("buildings", {}).get("metrics", {})
    return int(metrics.get("failed", 0)), int(metrics.get("rows", 0))


def chain(first: str | None, last: str | None) -> list[str]:
    """Return the jobs from `first` to `last`."""
    names = list(CHAIN)
    start, stop = names.index(first) if first else 0, names.index(last) + 1 if last else len(names)
    if start >= stop:
        raise UsageError(f"--from {first} comes after --until {last}. The order is {', '.join(names)}.")
    return names[start:stop]


def spec_of(name: str) -> JobSpec:
    """Return the declaration of a job of the chain."""
    spec: JobSpec = import_module(CHAIN[name]).SPEC
    return spec


def upstream() -> list[JobSpec]:
    """Return the declarations of all jobs of the chain."""
    return [spec_of(n) for n in CHAIN]


def overrides_of(options: argparse.Namespace) -> list[str]:
    """Return the overrides of a verb's options as `section.option=value`."""
    overrides = list(options.set)
    if options.device:
        overrides.append(f"execution.device={options.device}")
    if options.threads is not None:
        overrides.append(f"execution.threads={options.threads}")
    if options.max_failed is not None:
        overrides.append(f"execution.max_failed={options.max_failed}")
    if options.seed is not None:
        overrides.append(f"energy.seed={options.seed}")
    return overrides


def single_job(name: str) -> tuple[Any, Any]:
    """Return `configure` and `main` of a verb that runs one job of the chain."""

    def configure_one(parser: argparse.ArgumentParser) -> None:
        from felsina.jobs.cli import run_options

        parser.add_argument("city", metavar="CITY.toml", help="the city file")
        run_options(parser)

    def main_one(options: argparse.Namespace) -> int:
        run, record, world = run_verb(options, [name])
        return conclude(run, record, world, report=False)

    return configure_one, main_one


__all__ = ["CHAIN", "configure", "main", "run_chain", "run_city", "single_job"]
