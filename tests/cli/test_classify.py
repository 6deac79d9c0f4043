"""`felsina classify`: one LAZ out per LAZ in, in the same order, with everything but the classes kept."""

from __future__ import annotations

import laspy
import numpy as np
import pytest

from felsina.jobs.cli import main


@pytest.fixture(scope="module")
def tiles(district):
    return sorted((district.parent / "tiles").glob("*.laz"))


@pytest.fixture(scope="module")
def classified(tiles, tmp_path_factory):
    out = tmp_path_factory.mktemp("classified")
    assert main(["classify", *map(str, tiles), "-o", str(out), "-q", "--threads", "1"]) == 0
    return out


def test_order_and_all_other_dimensions_are_kept(tiles, classified):
    for tile in tiles:
        before, after = laspy.read(tile), laspy.read(classified / tile.name)
        assert list(before.point_format.dimension_names) == list(after.point_format.dimension_names)
        for name in before.point_format.dimension_names:
            if name != "classification":
                np.testing.assert_array_equal(before[name], after[name], err_msg=name)
        assert before.header.parse_crs() == after.header.parse_crs()


def test_ground_and_buildings_are_those_of_the_truth(tiles, classified):
    """The district knows what each pulse hit; ISPRS total errors of good filters are a few per cent."""
    true = np.concatenate([laspy.read(t).classification for t in tiles])
    found = np.concatenate([laspy.read(classified / t.name).classification for t in tiles])
    assert set(np.unique(found)) <= {2, 3, 4, 5, 6, 7}
    ground = true == 2
    error = np.mean(ground != (found == 2))
    assert error < 0.08
    roof = true == 6
    assert np.mean(found[roof] == 6) > 0.85
    assert np.mean(true[found == 6] == 6) > 0.85


def test_the_truth_in_the_files_is_not_looked_at(tiles, classified, tmp_path):
    for tile in tiles:
        cloud = laspy.read(tile)
        cloud.classification[:] = 1
        cloud.write(str(tmp_path / tile.name))
    out = tmp_path / "out"
    assert main(["classify", *(str(tmp_path / t.name) for t in tiles), "-o", str(out), "-q", "--threads", "1"]) == 0
    for tile in tiles:
        np.testing.assert_array_equal(
            laspy.read(out / tile.name).classification, laspy.read(classified / tile.name).classification
        )


def test_existing_files_are_not_written_over_untold(tiles, classified, capsys):
    before = (classified / tiles[0].name).read_bytes()
    assert main(["classify", str(tiles[0]), "-o", str(classified), "-q"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and tiles[0].name in said and "--force" in said
    assert (classified / tiles[0].name).read_bytes() == before


def test_a_truncated_file_leaves_nothing(tiles, tmp_path, capsys):
    broken = tmp_path / "broken.laz"
    broken.write_bytes(tiles[0].read_bytes()[:20_000])
    assert main(["classify", str(broken), "-o", str(tmp_path / "out"), "-q"]) == 3
    assert "broken.laz" in capsys.readouterr().err
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_a_missing_file_is_a_sentence(tmp_path, capsys):
    assert main(["classify", str(tmp_path / "no.laz"), "-o", str(tmp_path / "out")]) == 3
    said = capsys.readouterr().err
    assert "no.laz" in said and "Traceback" not in said
