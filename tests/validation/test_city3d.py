"""The buildings that City3D publishes: every one is built, valid and without the last resort."""

from __future__ import annotations

import pytest

from felsina.engine.processes.reconstruction import reconstruct
from felsina.engine.processes.roof_ladder import REASON


def _assert_built(cloud, codes_of):
    made = reconstruct(cloud.points, cloud.parts, cloud.ground)
    assert made.level == "2.2" and made.reason in (REASON["none"], REASON["relabelled"]), cloud.name
    assert {lod: set(codes) for lod, codes in codes_of(made).items()} == {lod: {0} for lod in ("1.2", "1.3", "2.2")}, cloud.name


def test_buildings_that_were_hard_once_are_valid_without_merged_parts(city3d_clouds, codes_of):
    hard = ("AHN3/10200", "AHN3/14400", "AHN3/15000", "AHN3/18000", "Vaihingen/00002", "Vaihingen/00008")
    found = [c for c in city3d_clouds if c.name in hard]
    assert len(found) == len(hard)
    for cloud in found:
        _assert_built(cloud, codes_of)


@pytest.mark.slow
def test_every_building_is_valid_without_merged_parts(city3d_clouds, codes_of):
    assert len(city3d_clouds) == 129
    for cloud in city3d_clouds:
        _assert_built(cloud, codes_of)
