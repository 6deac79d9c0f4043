"""Journals: what was added is read, what was half-written is not, and a full disk is a sentence."""

from __future__ import annotations

import os

import numpy as np
import pytest

from felsina.engine.errors import MachineError, ProductError
from felsina.engine.io.journal import Journal, Reader, read_places

UNITS = {
    3: {"table.a": np.arange(6).reshape(2, 3), "b": np.array([1.5, np.nan]), "none": np.zeros((0, 3), np.int8)},
    0: {"table.a": np.arange(4, dtype=np.int32), "b": np.array([2.5]), "none": np.ones((1, 3), np.int8)},
}


@pytest.fixture
def written(tmp_path):
    with Journal(tmp_path / "units-00000.journal") as journal:
        places = {unit: journal.add(unit, arrays) for unit, arrays in UNITS.items()}
    return places


def test_the_arrays_of_a_unit_come_back_as_they_were(written):
    with Reader() as reader:
        for unit, place in written.items():
            found = reader.load(place)
            assert list(found) == list(UNITS[unit])
            for name, values in UNITS[unit].items():
                assert found[name].dtype == values.dtype
                np.testing.assert_array_equal(found[name], values)


def test_some_arrays_are_read_without_the_others(written):
    with Reader() as reader:
        found = reader.load(written[3], ["b"])
    assert list(found) == ["b"] and found["b"][0] == 1.5


def test_another_process_finds_the_finished_units(written, tmp_path):
    assert read_places([tmp_path / "units-00000.journal"]) == written


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_a_record_that_was_not_finished_is_no_record(written, tmp_path, cut):
    path = tmp_path / "units-00000.journal"
    os.truncate(path, path.stat().st_size - cut)
    assert read_places([path]) == {3: written[3]}


def test_a_damaged_record_ends_the_journal(written, tmp_path):
    path = tmp_path / "units-00000.journal"
    raw = bytearray(path.read_bytes())
    raw[written[3].offset + written[3].described + 5] ^= 1
    path.write_bytes(raw)
    assert read_places([path]) == {}


def test_a_journal_that_became_shorter_is_named(written, tmp_path):
    path = tmp_path / "units-00000.journal"
    os.truncate(path, written[0].offset + 3)
    with Reader() as reader, pytest.raises(ProductError, match=r"units-00000\.journal' is shorter"):
        reader.load(written[0])


def test_a_full_disk_is_a_sentence(tmp_path):
    path = tmp_path / "units-00000.journal"
    path.symlink_to("/dev/full")
    with pytest.raises(MachineError, match="cannot be written"):
        Journal(path)  # never over something that is there
    journal = Journal(tmp_path / "units-00001.journal")
    journal._file = open("/dev/full", "wb", buffering=0)  # noqa: SIM115
    with pytest.raises(MachineError, match="No space left"):
        journal.add(0, UNITS[0])
