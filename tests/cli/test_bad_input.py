"""What cannot be used ends with one sentence that names the thing, the value and the way out; nothing half-written stays."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import laspy
import numpy as np
import pyogrio
import pytest
import shapely

from felsina.engine.fields import BUILDING_REASONS, BUILDING_STATUS
from felsina.engine.io.read import read_table
from felsina.jobs.cli import main

CRS = "EPSG:7791"


def run(capsys, city, out, *arguments):
    """Run in this process and return the exit code and the sentence: the last and only line that is no log."""
    code = main(["run", str(city), "--out", str(out), "--no-report", "-q", "--threads", "1", *map(str, arguments)])
    return code, capsys.readouterr().err


def refuses(capsys, city, out, code, *words, arguments=()):
    """The run ends with `code` and one sentence that holds `words`, and leaves no product and no half of one."""
    found, said = run(capsys, city, out, *arguments)
    assert found == code, said
    assert said.startswith("felsina: ") and said.count("\n") == 1, said
    for word in words:
        assert word in said
    assert said.rstrip().endswith((".", "?", "data"))
    assert not list(Path(out).rglob("*.part")) and not list(Path(out).glob("*.nc"))


def replaced(city: Path, old: str, new: str) -> None:
    text = city.read_text()
    assert old in text
    city.write_text(text.replace(old, new))


def first_tile(city: Path) -> Path:
    return min((city.parent / "tiles").glob("*.laz"))


# -- points -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.2, 0.97])
def test_a_truncated_laz_names_the_file(share, district_copy, tmp_path, capsys):
    tile = first_tile(district_copy)
    tile.write_bytes(tile.read_bytes()[: int(tile.stat().st_size * share)])
    refuses(capsys, district_copy, tmp_path / "run", 3, tile.name, "etch it again")


def test_an_empty_tile_among_tiles_is_noted_and_changes_nothing(district_copy, finished, tmp_path, capsys, published):
    header = laspy.LasHeader(version="1.4", point_format=6)
    header.scales, header.offsets = np.full(3, 0.001), laspy.open(first_tile(district_copy)).header.offsets
    laspy.LasData(header).write(str(district_copy.parent / "tiles" / "empty.laz"))
    replaced(district_copy, "[city]", f'[city]\ncrs = "{CRS}"') if "crs" not in district_copy.read_text() else None
    code, said = run(capsys, district_copy, tmp_path / "run", "--until", "terrain")
    assert code == 0, said
    notes = json.loads((tmp_path / "run" / "run.json").read_text())["notes"]
    assert any("empty.laz" in n and "no points" in n for n in notes)
    assert published(tmp_path / "run")["terrain.nc"] == published(finished)["terrain.nc"]


def test_a_crs_that_contradicts_the_file_is_refused(district_copy, tmp_path, capsys):
    replaced(district_copy, CRS, "EPSG:7792")
    refuses(capsys, district_copy, tmp_path / "run", 3, "EPSG:7791", "EPSG:7792", "tile_", "Correct")


def test_points_without_crs_need_one_from_the_city_file(district_copy, tmp_path, capsys):
    for tile in (district_copy.parent / "tiles").glob("*.laz"):
        cloud = laspy.read(tile)
        cloud.header.vlrs = [v for v in cloud.header.vlrs if v.user_id != "LASF_Projection"]
        cloud.header.global_encoding.wkt = False
        cloud.write(str(tile))
    replaced(district_copy, f'crs = "{CRS}"\n', "")
    refuses(capsys, district_copy, tmp_path / "run", 3, "carries no CRS", "[city] crs")


def test_an_unknown_crs_is_a_usage_error(district_copy, tmp_path, capsys):
    replaced(district_copy, CRS, "EPSG:99999")
    refuses(capsys, district_copy, tmp_path / "run", 2, "EPSG:99999", "Write an authority code")


# -- footprints -------------------------------------------------------------------------------------------------------------


def rewrite_footprints(city: Path, change) -> list[str]:
    """Change the shapes and return the identifiers, in the order of the file."""
    path = city.parent / "buildings.gpkg"
    meta, _, wkb, columns = pyogrio.raw.read(path)
    fields = list(meta["fields"])
    shapes = list(shapely.from_wkb(wkb))
    shapes, columns = change(shapes, columns, fields)
    path.unlink()
    pyogrio.raw.write(
        path, shapely.to_wkb(np.array(shapes, object)), columns, fields, crs=CRS, driver="GPKG", layer="buildings",
        geometry_type="Polygon",
    )  # fmt: skip
    return [str(v) for v in columns[fields.index("building_id")]]


def outcomes(run: Path, *names: str) -> dict[str, dict[str, object]]:
    table = read_table(run / "buildings.nc", ("building_id", "building_status", "building_reason", *names))
    return {str(row): {n: table[n][k] for n in table} for k, row in enumerate(table["building_id"])}


def spiked(shape):
    xy = np.array(shape.exterior.coords)
    tip = xy[1] + 30.0 * (xy[1] - xy[0]) / np.linalg.norm(xy[1] - xy[0])
    return shapely.Polygon([xy[0], tip, *xy[1:-1]])


def crossed(shape):
    """A small bow tie at one corner: the ring crosses itself there."""
    xy = np.array(shape.exterior.coords)[:-1]
    along = (xy[1] - xy[0]) / np.linalg.norm(xy[1] - xy[0])
    across = np.array([along[1], -along[0]])
    return shapely.Polygon(
        [xy[0], xy[0] + 2 * along + 0.5 * across, xy[0] + 2 * along - 0.5 * across, xy[0] + 4 * along, *xy[1:]]
    )


def pierced(shape):
    centre = shape.representative_point()
    return shapely.Polygon(shape.exterior, [shapely.box(centre.x - 1, centre.y - 1, centre.x + 1, centre.y + 1).exterior])


def test_spikes_crossings_and_holes_are_repaired_and_the_rows_succeed(district_copy, finished, tmp_path, capsys):
    def change(shapes, columns, fields):
        return [f(s) if f else s for f, s in zip((spiked, crossed, pierced, *[None] * len(shapes)), shapes)], columns

    ids = rewrite_footprints(district_copy, change)
    code, said = run(capsys, district_copy, tmp_path / "run", "--until", "buildings")
    assert code == 0, said
    before, after = (outcomes(r, "building_footprint_area", "building_roof_elevation") for r in (finished, tmp_path / "run"))
    assert all(after[i]["building_status"] == 0 for i in ids)
    changed = [after[i]["building_footprint_area"] - before[i]["building_footprint_area"] for i in ids]
    assert abs(changed[0]) < 0.05  # the spike has no width
    assert abs(changed[1]) < 1.0  # half of the bow tie of 2 m2 was added, half taken
    assert changed[2] == pytest.approx(-4.0, abs=0.01)  # the hole of 2 m by 2 m
    assert changed[3:] == [0.0] * len(changed[3:])


def add_meadow(shapes, columns, fields):
    """A footprint of 6 m by 6 m where there is no building, south-west of all points, and no attribute that helps."""
    west, south = np.min([s.bounds[:2] for s in shapes], axis=0)
    columns = [np.append(c, c[:1]) for c in columns]
    columns[fields.index("building_id")][-1] = "meadow"
    columns[fields.index("floors")][-1] = 0
    return [*shapes, shapely.box(west - 40, south - 40, west - 34, south - 34)], columns


def test_a_footprint_without_points_keeps_its_row_with_a_reason(district_copy, finished, tmp_path, capsys):
    rewrite_footprints(district_copy, add_meadow)
    out = tmp_path / "run"
    code, said = run(capsys, district_copy, out, "--until", "energy", "--set", "execution.max_failed=0.2")
    assert code == 0, said
    rows = outcomes(out, "building_volume", "building_roof_elevation")
    row = rows["meadow"]
    assert (BUILDING_STATUS[row["building_status"]], BUILDING_REASONS[row["building_reason"]]) == ("failed", "no_points")
    assert np.isnan(rows["meadow"]["building_volume"])
    before = outcomes(finished, "building_volume", "building_roof_elevation")
    assert all(rows[i] == before[i] for i in before)
    energy = read_table(out / "energy.nc", ("building_id", "energy_status", "annual_heating_need"))
    is_meadow = energy["building_id"].astype(str) == "meadow"
    assert energy["energy_status"][is_meadow] != 0 and (energy["energy_status"][~is_meadow] == 0).all()


def test_too_many_failed_rows_exit_5_with_all_products_there(district_copy, tmp_path, capsys):
    rewrite_footprints(district_copy, add_meadow)
    code, _ = run(capsys, district_copy, tmp_path / "run", "--until", "buildings", "--set", "execution.max_failed=0.05")
    assert code == 5
    assert (tmp_path / "run" / "buildings.nc").exists()


# -- weather ----------------------------------------------------------------------------------------------------------------


def spoil_weather(city: Path, change) -> None:
    path = city.parent / "weather.epw"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:8], *change(lines[8:])]) + "\n")


def shift_radiation(rows, hours):
    """Move the three irradiances later by some hours, linearly between hours."""
    table = [r.split(",") for r in rows]
    for column in (13, 14, 15):
        values = np.array([float(r[column]) for r in table])
        whole = int(hours)
        moved = (1 - (hours - whole)) * np.roll(values, whole) + (hours - whole) * np.roll(values, whole + 1)
        for r, v in zip(table, moved):
            r[column] = f"{v:.0f}"
    return [",".join(r) for r in table]


@pytest.fixture
def with_buildings(district_copy, finished, tmp_path):
    """A run that has terrain and buildings, so that energy is next."""
    out = tmp_path / "run"
    out.mkdir()
    for name in ("terrain.nc", "buildings.nc", "run.json"):
        shutil.copy(finished / name, out / name)
    return out


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows[:4000] + rows[4001:], ("line 4009", "hour")),
        (lambda rows: shift_radiation(rows, 1.0), ("60 minutes late", "local standard time")),
        (lambda rows: shift_radiation(rows, 0.5), ("minutes late", "local standard time")),
    ],
    ids=["an hour is missing", "an hour late", "half an hour late"],
)
def test_weather_that_does_not_fit_the_clock_is_refused(change, words, district_copy, with_buildings, published, capsys):
    spoil_weather(district_copy, change)
    before = published(with_buildings)
    code, said = run(capsys, district_copy, with_buildings, "--from", "energy", "--until", "energy")
    assert code == 3, said
    assert said.count("\n") == 1 and "weather.epw" in said
    assert all(word in said for word in words), said
    assert published(with_buildings) == before and not list(with_buildings.rglob("*.part"))


def test_a_heatwave_outside_the_weather_is_refused(district_copy, with_buildings, finished, capsys):
    shutil.copy(finished / "energy.nc", with_buildings)
    code, said = run(
        capsys, district_copy, with_buildings, "--from", "heatwave", "--until", "heatwave",
        "--set", "heatwave.start=2015-12-31", "--set", "heatwave.days=5",
    )  # fmt: skip
    assert code == 2, said
    assert said.count("\n") == 1 and "heatwave.days is 5 from 2015-12-31" in said and "ends on 2015-12-31" in said
    assert not (with_buildings / "microclimate.nc").exists()


# -- the city file and the run directory ------------------------------------------------------------------------------------


def test_an_unknown_key_gets_the_nearest(district_copy, tmp_path, capsys):
    replaced(district_copy, "resolution_m = 0.5", "resolution = 0.5")
    refuses(capsys, district_copy, tmp_path / "run", 2, "[terrain]", "'resolution'", "Did you mean 'resolution_m'?")


def test_an_unset_variable_in_a_path_is_named(district_copy, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("FELSINA_NOWHERE", raising=False)
    replaced(district_copy, "tiles/*.laz", "${FELSINA_NOWHERE}/*.laz")
    refuses(capsys, district_copy, tmp_path / "run", 2, "${FELSINA_NOWHERE}", "export FELSINA_NOWHERE=")


def test_a_pattern_without_files_is_named(district_copy, tmp_path, capsys):
    replaced(district_copy, "tiles/*.laz", "nothing/*.laz")
    refuses(capsys, district_copy, tmp_path / "run", 3, "nothing/*.laz", "names no file")


def test_a_method_that_is_not_built_is_refused_before_any_work(district, tmp_path, capsys):
    refuses(capsys, district, tmp_path / "run", 2, "iso52016", "5r1c", arguments=("--set", "energy.method=iso52016"))


def test_an_unknown_land_cover_code_is_named_with_the_known_ones(district_copy, tmp_path, capsys):
    import tifffile
    from pyproj import CRS as Crs

    header = laspy.open(first_tile(district_copy)).header
    west, north = float(header.mins[0]) - 200, float(header.maxs[1]) + 400
    keys = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, Crs(CRS).to_epsg())
    tags = [(33550, "d", 3, (2.0, 2.0, 0.0)), (33922, "d", 6, (0, 0, 0, west, north, 0)), (34735, "H", len(keys), keys)]
    codes = np.full((400, 400), 5, np.uint8)
    codes[200:, 200:] = 42
    tifffile.imwrite(district_copy.parent / "cover.tif", codes, extratags=[(*t, True) for t in tags])
    text = district_copy.read_text()
    start = text.index("layers =")
    district_copy.write_text(text.replace(text[start : text.index("\n", start)], 'raster = "cover.tif"'))
    refuses(capsys, district_copy, tmp_path / "run", 3, "42", "UMEP", "cover.tif")


def test_a_run_directory_with_products_needs_resume_or_force(district, finished, tmp_path, capsys, published):
    before = published(finished)
    code, said = run(capsys, district, finished)
    assert code == 2 and said.count("\n") == 1
    assert "terrain.nc" in said and "--resume" in said and "--force" in said and "--out" in said
    assert published(finished) == before


@pytest.mark.parametrize(("verb", "product"), [("buildings", "terrain"), ("energy", "buildings"), ("heatwave", "terrain")])
def test_a_missing_product_exits_5_and_says_how_to_make_it(verb, product, district, tmp_path, capsys):
    assert main([verb, str(district), "--out", str(tmp_path / "run"), "-q"]) == 5
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"{product}.nc" in said and f"felsina {product}" in said


# -- a full disk ------------------------------------------------------------------------------------------------------------

# From the first product or piece on, no file may grow past some bytes: the system refuses the write (EFBIG), as it does on a
# full disk (ENOSPC). Not before, for MPI keeps its shared memory in files.
SMALL_DISK = """
import resource, signal, sys
limit = int(sys.argv.pop(1))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from felsina.engine.io.disk import DiskFile
kept = DiskFile.__init__

def on_a_small_disk(self, path):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    kept(self, path)

DiskFile.__init__ = on_a_small_disk
from felsina.jobs.cli import main
sys.exit(main())
"""


@pytest.mark.parametrize(("ranks", "writer"), [(1, "gather"), (2, "virtual")])
def test_a_full_disk_leaves_the_older_product_and_no_half_of_the_new(
    ranks, writer, district, with_buildings, felsina, published, tmp_path
):
    before = published(with_buildings)
    runner = tmp_path / "small_disk.py"
    runner.write_text(SMALL_DISK)
    chosen = ("--out", with_buildings, "--force", "-q", "--threads", 1, "--set", f"execution.writer={writer}")
    done = felsina(ranks, program=(str(runner), "100000"))("terrain", district, *chosen, timeout=120)
    assert done.returncode == 4, done.stderr
    sentences = [line for line in done.stderr.splitlines() if line.startswith("felsina: ")]
    assert 1 <= len(sentences) <= ranks  # each rank that finds its disk full may say so before it is stopped
    sentence = sentences[0]
    assert "cannot be written" in sentence and os.strerror(27) in sentence and "--resume" in sentence
    assert published(with_buildings) == before
    assert not list(with_buildings.glob("*.part"))
