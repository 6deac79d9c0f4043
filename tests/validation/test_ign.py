"""IGN LiDAR HD: four tiles that touch are one cloud, and footprints without a building are told, not invented."""

from __future__ import annotations

import laspy
import numpy as np
import pytest

from felsina.engine.io.read import read_table

TILES = [f"test_data_{x}_{y}_LA93_IGN69.laz" for x in (77050, 77055) for y in (627755, 627760)]


@pytest.fixture(scope="module")
def folder(felsina_data):
    found = felsina_data / "lidar" / "ign_lidarhd"
    if not (found / TILES[0]).exists():
        pytest.skip("no IGN tiles in FELSINA_DATA")
    return found


def city(path, files, *lines):
    path.write_text(
        "\n".join(['[city]\nname = "ign"\ncrs = "EPSG:2154"\n[points]', f"files = {[str(f) for f in files]}", *lines])
    )
    return path


def test_four_tiles_give_what_the_merged_cloud_gives(folder, felsina, published, tmp_path):
    parts = [laspy.read(folder / name) for name in TILES]
    scales, offsets = parts[0].header.scales, parts[0].header.offsets
    for part in parts:  # one grid of millimetres
        np.testing.assert_array_equal(part.header.scales, scales)
    merged = laspy.LasData(parts[0].header)
    merged.points = laspy.ScaleAwarePointRecord.zeros(sum(len(p.points) for p in parts), header=merged.header)
    for name in parts[0].point_format.dimension_names:
        if name not in ("X", "Y", "Z"):
            merged[name] = np.concatenate([np.asarray(p[name]) for p in parts])
    for axis, offset, scale in zip("xyz", offsets, scales, strict=True):
        merged[axis.upper()] = np.rint((np.concatenate([np.asarray(p[axis]) for p in parts]) - offset) / scale).astype(np.int32)
    merged.write(str(tmp_path / "merged.laz"))
    runs = {}
    for name, files in (("tiles", [folder / t for t in TILES[::-1]]), ("merged", [tmp_path / "merged.laz"])):
        run = tmp_path / name
        chosen = city(tmp_path / f"{name}.toml", files)
        done = felsina()("run", chosen, "--until", "buildings", "--out", run, "--no-report", "--threads", 1, timeout=600)
        assert done.returncode == 0, done.stderr
        runs[name] = published(run)
    assert runs["tiles"] == runs["merged"]
    rows = read_table(tmp_path / "tiles" / "buildings.nc", ("building_lod", "building_volume"))
    assert len(rows["building_lod"]) > 0 and (rows["building_volume"] > 0).all()


def test_empty_footprints_are_told_and_not_invented(folder, felsina, tmp_path):
    """Of the footprints of the tile only a few lie on the cropped cloud."""
    chosen = city(
        tmp_path / "city.toml",
        [folder / "870000_6618000.postValidation.laz"],
        "[footprints]",
        f'file = "{folder / "870000_6618000.footprints.shp"}"',
    )
    run = tmp_path / "run"
    done = felsina()(
        "run", chosen, "--until", "buildings", "--out", run, "--no-report", "--threads", 1, "--max-failed", 1, timeout=600
    )
    assert done.returncode == 0, done.stderr
    names = ("building_status", "building_reason", "building_point_count", "building_volume", "building_lod")
    rows = read_table(run / "buildings.nc", names)
    empty = rows["building_point_count"] == 0
    assert empty.any() and (~empty).sum() >= 5
    assert (rows["building_status"][empty] >= 2).all() and np.isnan(rows["building_volume"][empty]).all()
    assert (rows["building_lod"][~empty & (rows["building_status"] == 0)] == "2.2").all()
