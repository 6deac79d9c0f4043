"""Run the built-in district through all jobs, then say how near the results are to its known truth and where to look."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from felsina.engine.city import City, read_city
from felsina.engine.errors import UsageError
from felsina.engine.log import LOGGER
from felsina.engine.parallel.world import World
from felsina.engine.record import Record
from felsina.engine.rundir import RunDirectory
from felsina.engine.threads import use_threads
from felsina.jobs.run import CHAIN, conclude, errors_name, overrides_of, run_chain


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `felsina demo`."""
    from felsina.jobs.cli import run_options

    run_options(parser)
    parser.add_argument("--size", type=float, default=256.0, metavar="M", help="edge of the district in metres (default: 256)")
    parser.add_argument("--district-seed", type=int, default=1, metavar="S", help="key of the district (default: 1)")
    parser.add_argument("--no-report", action="store_true", help="do not draw report.html at the end")


def main(options: argparse.Namespace) -> int:
    """Make the district, run the chain, print the summary."""
    world = World.launched()
    start = time.perf_counter()
    out = Path(options.out) if options.out else Path("runs") / "demo"
    use_threads(options.threads or 0)
    with errors_name(world):
        source = world.on_root(lambda: make_district(out, options.size, options.district_seed, options.force))
        city: City = world.on_root(lambda: read_city(source, overrides_of(options)))
        run, record = run_chain(
            city,
            world,
            list(CHAIN),
            out,
            resume=options.resume,
            force=options.force,
            command=" ".join(["felsina", *sys.argv[1:]]),
        )
    is_root = world.is_root
    code = conclude(run, record, world, report=not options.no_report)
    if is_root:
        print(summary(source.parent, run, record, time.perf_counter() - start))
    return code


def make_district(out: Path, size_m: float, seed: int, force: bool) -> Path:
    """Write the district's inputs under the run directory and return its city file; inputs that are there already are kept.

    Raises
    ------
    UsageError
        When those that are there are of another district, and `force` was not said.
    """
    from felsina.engine.io.district_files import write_district

    folder = out / "input"
    city = folder / "city.toml"
    if city.exists() and not force:
        held = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
        if (held["size_m"], held["seed"]) != (size_m, seed):
            raise UsageError(
                f"'{folder}' holds a district of {held['size_m']:g} m with seed {held['seed']}, not of {size_m:g} m with seed "
                f"{seed}. Use --force to make all anew, or another --out."
            )
        return city
    start = time.perf_counter()
    path = write_district(folder, size_m, seed)
    LOGGER.info("Made a district of %.0f m and scanned it in %.1f s.", size_m, time.perf_counter() - start)
    return path


def summary(inputs: Path, run: RunDirectory, record: Record, seconds: float) -> str:
    """Return the closing summary: what was made, how near it is to the truth, how long it took."""
    from felsina.engine.skill import district_skill

    lines = ["", f"felsina demo: a generated district, {seconds:.1f} s", ""]
    for name, entry in record.values["jobs"].items():
        figures = ", ".join(
            f"{k} {v:,}" if isinstance(v, int) else f"{k} {v:.4g}" for k, v in entry["metrics"].items() if _is_number(v)
        )
        lines.append(f"  {name:<10} {entry['seconds']:6.1f} s  {figures}")
    lines += ["", "  against the district's truth"]
    for metric, value, unit, target in district_skill(inputs, run):
        lines.append(f"  {metric:<42} {value:10.4g} {unit:<6} {target}")
    lines += ["", f"  look at     {run.path / 'report.html'}", f"  notebook    felsina.open('{run.path}')"]
    lines += [f"  ParaView    {run.path / 'city.vtkhdf'}", f"  check       felsina validate {run.path}"]
    return "\n".join(lines)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
