"""The record of a run: saved whole, read back, never half."""

from __future__ import annotations

import errno
import hashlib
import importlib.metadata
import json
import os
import re

import pytest

from felsina.engine.errors import MachineError, ProductError
from felsina.engine.record import Record, file_sha256, machine, peak_memory_mb, utc_now


def test_what_is_saved_is_read_back(tmp_path):
    record = Record(tmp_path)
    record.values["city"] = "Città"
    record.note("The sun is that of the station.")
    record.save()
    assert Record.load(tmp_path).values == record.values
    assert not (tmp_path / "run.json.part").exists()


def test_a_folder_without_a_record_has_an_empty_one(tmp_path):
    assert Record.load(tmp_path).values["jobs"] == {}


def test_a_note_is_kept_once(tmp_path):
    record = Record(tmp_path)
    for _ in range(3):
        record.note("once")
    assert record.values["notes"] == ["once"]


def test_a_damaged_record_is_a_sentence_with_a_way_out(tmp_path):
    (tmp_path / "run.json").write_text('{"jobs": {')
    with pytest.raises(ProductError, match=r"run\.json' cannot be read.*--force"):
        Record.load(tmp_path)


def test_a_record_that_finds_the_disk_full_leaves_the_older_one(tmp_path, monkeypatch):
    record = Record(tmp_path)
    record.save()
    before = record.path.read_bytes()

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    record.note("too much")
    with pytest.raises(MachineError, match=r"run\.json' cannot be written: No space left on device"):
        record.save()
    assert record.path.read_bytes() == before and list(tmp_path.iterdir()) == [record.path]


def test_keys_are_sorted_so_that_records_compare_line_by_line(tmp_path):
    record = Record(tmp_path)
    record.values |= {"zeta": 1, "alpha": 2}
    record.save()
    keys = list(json.loads(record.path.read_text()))
    assert keys == sorted(keys)


def test_the_hash_of_a_file_is_that_of_its_bytes(tmp_path):
    content = bytes(range(256)) * 20_000  # more than one block
    (tmp_path / "file").write_bytes(content)
    assert file_sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_the_machine_names_what_explains_a_byte():
    facts = machine()
    assert {"platform", "python", "cpu", "cores", "hdf5", "geos", "versions"} <= facts.keys()
    assert {"numpy", "numba", "h5py"} <= facts["versions"].keys()
    assert facts["cores"] >= 1


def test_times_are_utc_and_memory_is_in_megabytes():
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", utc_now())
    assert 10 < peak_memory_mb() < 1e6


def test_versions_of_what_compiles_and_launches_gpu_drivers_are_recorded(monkeypatch):
    ask = importlib.metadata.version
    there = {"cupy-cuda12x": "14.2.0", "numba-cuda": "0.30.4", "cuda-bindings": "12.9.10", "cuda-toolkit": "12.9.2.0"}

    def version(name):
        if name in there:
            return there[name]
        if name.startswith("cupy"):
            raise importlib.metadata.PackageNotFoundError(name)
        return ask(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    versions = machine()["versions"]
    assert there.items() <= versions.items() and "cupy-cuda13x" not in versions
