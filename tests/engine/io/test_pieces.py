"""Pieces survive the end of a process, and a damaged piece is named."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import h5py
import numpy as np
import pytest

from felsina.engine.errors import ProductError
from felsina.engine.io.pieces import MANIFEST, PieceReader, PieceStore, write_manifest
from felsina.engine.parallel.world import World


@pytest.fixture
def pieces(tmp_path):
    """A folder with one sealed piece: three steps of one tile in one dataset, and a table of texts."""
    store = PieceStore(World.serial(), tmp_path / "work")
    for step in range(3):
        store.add("air_temperature", (step, 2, 0), np.full((1, 4, 5), step, "f4"), grows=True)
    store.add("building_id", (7,), np.array([b"a", b"bcd"]), grows=False)
    write_manifest(tmp_path / "work", "microclimate", {"time": 3}, [store.seal()])
    return tmp_path / "work"


def test_parts_come_back_with_their_place(pieces):
    reader = PieceReader(pieces)
    ((start, values),) = reader.parts("air_temperature", ((1, 3), (0, 4), (1, 3)))
    assert start == (1, 2, 1)
    np.testing.assert_array_equal(values, np.array([1, 2], "f4")[:, None, None] * np.ones((2, 2, 2)))
    ((start, texts),) = reader.parts("building_id", ((8, 20),))
    assert start == (8,) and texts.tolist() == [b"bcd"]
    assert reader.parts("air_temperature", ((0, 3), (0, 2), (0, 5))) == []
    assert reader.parts("wind_speed", ((0, 1),)) == []
    reader.close()


def test_steps_of_one_tile_grow_one_dataset(pieces):
    assert len(json.loads((pieces / MANIFEST).read_text())["pieces"][0]["regions"]) == 2


def test_a_missing_piece_is_named(pieces):
    (pieces / "piece_00000.h5").unlink()
    with pytest.raises(ProductError, match=r"piece_00000\.h5' is missing"):
        PieceReader(pieces)


def test_a_truncated_piece_is_named(pieces):
    path = pieces / "piece_00000.h5"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ProductError, match=r"piece_00000\.h5' has [\d,]+ bytes; expected"):
        PieceReader(pieces)


def test_an_altered_piece_is_named(pieces):
    path = pieces / "piece_00000.h5"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(ProductError, match=r"piece_00000\.h5' was altered"):
        PieceReader(pieces)


def test_a_missing_manifest_is_named(tmp_path):
    with pytest.raises(ProductError, match=r"manifest\.json' cannot be read"):
        PieceReader(tmp_path)


def test_flushed_steps_survive_a_kill(tmp_path):
    script = """
import os, signal, sys, numpy as np
from pathlib import Path
from felsina.engine.io.pieces import PieceStore
from felsina.engine.parallel.world import World
store = PieceStore(World.serial(), Path(sys.argv[1]))
for step in range(4):
    store.add("air_temperature", (step, 0, 0), np.full((1, 300, 300), step, "f4"), grows=True)
    store.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "work")], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    with h5py.File(tmp_path / "work" / "piece_00000.h5") as file:
        values = file["air_temperature/000000"][:]
    np.testing.assert_array_equal(values, np.arange(4.0)[:, None, None] * np.ones((4, 300, 300)))


def test_a_process_that_forgets_its_writer_ends_as_it_meant_to(tmp_path):
    # HDF5 flushes open files when the process ends; through a Python file that is gone by then, it would crash.
    program = (
        "import gc, sys, numpy as np\n"
        "from felsina.engine.io.pieces import PieceStore\n"
        "from felsina.engine.parallel.world import World\n"
        f"store = PieceStore(World.serial(), __import__('pathlib').Path({str(tmp_path / 'work')!r}))\n"
        "store.add('a', (0, 0), np.ones((4, 4), 'f4'), grows=True)\n"
        "store.itself = store\n"
        "gc.freeze()\n"  # nobody collects it: as with the traceback of an error
        "sys.exit(4)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 4, done.stderr
