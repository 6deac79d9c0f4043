"""The command line: one verb, one module. A module is imported only when its verb is called.

Exit codes: 0 ok; 1 findings, or a defect in felsina; 2 usage or configuration; 3 bad input; 4 environment; 5 a product is
missing or too many rows failed; 85 checkpointed, asks to be requeued.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NamedTuple

from felsina.engine import log
from felsina.engine.errors import FelsinaError
from felsina.engine.version import __version__


class Verb(NamedTuple):
    """A verb: the module that does it, and its line of help."""

    module: str
    help: str


JOBS: dict[str, Verb] = {
    "run": Verb("felsina.jobs.run", "run a city file through all jobs"),
    "demo": Verb("felsina.jobs.demo", "run the built-in district through all jobs"),
    "terrain": Verb("felsina.jobs.terrain", "make ground, surface, canopy and land cover from the points"),
    "buildings": Verb("felsina.jobs.buildings", "make building models from points and footprints"),
    "energy": Verb("felsina.jobs.energy", "simulate the energy of every building over a year"),
    "heatwave": Verb("felsina.jobs.heatwave", "simulate the heat of summer days in the streets"),
    "city": Verb("felsina.jobs.city", "join the products into the thematic city"),
    "classify": Verb("felsina.jobs.classify", "classify points: ground, vegetation, building, noise"),
    "describe": Verb("felsina.jobs.describe", "list options, fields and jobs"),
    "validate": Verb("felsina.jobs.validate", "check a product or a run against the schema"),
    "inspect": Verb("felsina.jobs.inspect", "show what is in a product or a run"),
    "digest": Verb("felsina.jobs.digest", "print a digest of values, independent of compression"),
    "export": Verb("felsina.jobs.export", "write a product as CityJSON, VTK XML, GeoTIFF or GeoParquet"),
    "report": Verb("felsina.jobs.report", "draw the pictures and report.html of a finished run"),
    "gallery": Verb("felsina.jobs.gallery", "draw a page of buildings of a run, level by level"),
    "doctor": Verb("felsina.jobs.doctor", "show what this machine has"),
    "warmup": Verb("felsina.jobs.warmup", "compile and cache every kernel once"),
}

# Verbs of the contract that later levels bring: absent from --help, answered with a sentence.
_LATER = ("mobility", "civic", "scenarios", "assign", "behaviour", "plan", "status", "compare", "view")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    verbose = any(a in ("-v", "--verbose", "-vv") for a in arguments)
    try:
        return _dispatch(arguments)
    except FelsinaError as error:
        return _fail(error, verbose)
    except RuntimeError as error:
        # A kernel that may not be compiled here knows its exit code too; anything else is a defect and shows its traceback.
        if not hasattr(error, "exit_code"):
            raise
        return _fail(error, verbose)
    except KeyboardInterrupt:
        print("felsina: interrupted.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of a pipe (head, less) left: not an error of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def common_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that every verb knows."""
    group = parser.add_argument_group("common options")
    group.add_argument("-v", "--verbose", action="count", default=0, help="say more; a traceback on errors")
    group.add_argument("-q", "--quiet", action="store_true", help="say only warnings and errors")
    group.add_argument("--log-format", choices=("text", "json"), default="text", help="format of the log (default: text)")


def run_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of every verb that runs jobs."""
    parser.add_argument("--out", metavar="RUN", help="run directory (default: runs/<name of the city>)")
    parser.add_argument("--resume", action="store_true", help="skip jobs that are finished and unchanged")
    parser.add_argument("--force", action="store_true", help="make products anew that are there already")
    parser.add_argument("--device", choices=("cpu", "gpu"), help="where kernels run (default: execution.device)")
    parser.add_argument("--threads", type=int, metavar="N", help="threads per rank (default: execution.threads)")
    parser.add_argument("--max-failed", type=float, metavar="SHARE", help="building rows that may fail (default: 0.05)")
    parser.add_argument("--seed", type=int, metavar="S", help="key of the draws (default: energy.seed)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="section.option=value", help="override an option of the city file"
    )


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        print(f"felsina {__version__}")
        return 0
    verb = arguments[0]
    if verb in _LATER:
        print(f"felsina: '{verb}' is not built yet in version {__version__}.", file=sys.stderr)
        return 2
    if verb not in JOBS:
        import difflib

        near = difflib.get_close_matches(verb, JOBS, 1)
        hint = f" Did you mean '{near[0]}'?" if near else " See felsina --help."
        print(f"felsina: unknown verb '{verb}'.{hint}", file=sys.stderr)
        return 2
    module = importlib.import_module(JOBS[verb].module)
    parser = argparse.ArgumentParser(prog=f"felsina {verb}", description=(module.__doc__ or "").strip().split("\n\n")[0])
    module.configure(parser)
    common_options(parser)
    try:
        options = parser.parse_args(arguments[1:])
    except SystemExit as leave:
        return int(leave.code or 0)
    log.configure(_environment_rank(), -1 if options.quiet else options.verbose, options.log_format)
    return int(module.main(options))


def _fail(error: Exception, verbose: bool) -> int:
    if verbose:
        import traceback

        traceback.print_exception(error)
    world = getattr(error, "world", None)
    if not getattr(error, "collective", False) or _environment_rank() == 0:
        print(f"felsina: {error}", file=sys.stderr)
    code = int(getattr(error, "exit_code", 1))
    if world is not None and world.size > 1 and not getattr(error, "collective", False):
        # Only this rank knows; the others wait in a collective call that it will never make.
        world.abort(code)
    return code


def _environment_rank() -> int:
    for name in ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "PMIX_RANK", "SLURM_PROCID"):
        if os.environ.get(name, "").isdigit():
            return int(os.environ[name])
    return 0


def _overview() -> str:
    lines = [
        f"felsina {__version__}: physical-twin compute engine for cities",
        "",
        "usage: felsina VERB [options]      felsina VERB --help",
        "       mpiexec -n 4 felsina run CITY.toml --out RUN",
        "",
    ]
    width = max(map(len, JOBS))
    lines += [f"  {name:<{width}}  {verb.help}" for name, verb in JOBS.items()]
    lines += ["", "Exit codes: 0 ok, 1 findings, 2 usage, 3 bad input, 4 environment, 5 missing product or failed rows."]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
