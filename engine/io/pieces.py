"""Where values wait until publication: in memory (`gather`), or in one file per rank (`virtual`).

Both keep *regions*, blocks of one field with their place in it, and hand out what falls into a box. They do not publish.
A directory of pieces has a manifest with sizes and checksums, checked on opening, because a piece that is missing from a
virtual dataset would read as NaN without a word.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np
from numpy.typing import NDArray

from felsina.engine.errors import MachineError, ProductError
from felsina.engine.io.disk import LIBVER, DiskFile, close_hdf5, create_hdf5, refused, write_text
from felsina.engine.io.layout import GRID_CHUNK, ROW_CHUNK, Box
from felsina.engine.parallel.world import World

Part = tuple[tuple[int, ...], NDArray[Any]]  # where the block starts in the field, and its values

MANIFEST = "manifest.json"
MASTER = "live.h5"


@dataclass
class Region:
    """A block of a field: where it starts, how large it is, and the dataset of the piece that holds it."""

    name: str
    start: tuple[int, ...]
    shape: tuple[int, ...]
    dtype: str
    dataset: str = ""


class RegionIndex:
    """Finds the regions of one field that overlap a box, among thousands of tiles and steps."""

    def __init__(self, regions: Sequence[Region]) -> None:
        self._regions = regions
        self._first = np.array([r.start for r in regions], np.int64)
        self._last = np.array([np.add(r.start, r.shape) for r in regions], np.int64)

    def overlaps(self, box: Box) -> Iterator[tuple[int, tuple[int, ...], tuple[slice, ...]]]:
        """Yield for each overlap: number of the region, place in the field, window in the region."""
        low, high = np.array([a for a, _ in box]), np.array([b for _, b in box])
        for k in np.nonzero(((self._first < high) & (self._last > low)).all(axis=1))[0].tolist():
            start = self._regions[k].start
            first = np.maximum(low, self._first[k]).tolist()
            last = np.minimum(high, self._last[k]).tolist()
            yield k, tuple(first), tuple(slice(a - s, b - s) for a, b, s in zip(first, last, start, strict=True))


class Store(Protocol):
    """What a back-end does."""

    def add(self, name: str, start: tuple[int, ...], values: NDArray[Any], *, grows: bool) -> None:
        """Keep a region; `grows`: its first axis is time, and the next step may follow."""

    def flush(self) -> None:
        """Make what was added so far survive the process, where the back-end can."""

    def parts(self, name: str, box: Box) -> list[Part]:
        """Return what falls into a box."""

    def discard(self) -> None:
        """Let go of everything."""


class MemoryStore:
    """Regions in the memory of this rank."""

    def __init__(self) -> None:
        self._held: dict[str, list[tuple[Region, NDArray[Any]]]] = {}
        self._index: dict[str, RegionIndex] = {}

    def add(self, name: str, start: tuple[int, ...], values: NDArray[Any], *, grows: bool) -> None:
        if values.size:
            region = Region(name, start, values.shape, values.dtype.str)
            self._held.setdefault(name, []).append((region, values))
            self._index.pop(name, None)

    def flush(self) -> None:
        """Do nothing: memory does not survive."""

    def parts(self, name: str, box: Box) -> list[Part]:
        held = self._held.get(name)
        if held is None:
            return []
        if name not in self._index:
            self._index[name] = RegionIndex([region for region, _ in held])
        return [(place, held[k][1][inside]) for k, place, inside in self._index[name].overlaps(box)]

    def discard(self) -> None:
        self._held.clear()
        self._index.clear()


class PieceStore:
    """Regions in the piece file of this rank. Consecutive steps of the same window grow one dataset."""

    def __init__(self, world: World, folder: Path) -> None:
        self._world = world
        self.folder = folder
        world.on_root(lambda: _clean(folder))
        self.path = folder / f"piece_{world.rank:05d}.h5"
        self._disk = DiskFile(self.path)
        self._file = create_hdf5(self._disk)
        self.regions: list[Region] = []
        self._growing: dict[tuple[Any, ...], Region] = {}
        self._open = True

    def add(self, name: str, start: tuple[int, ...], values: NDArray[Any], *, grows: bool) -> None:
        with self._disk.guarded():
            key = (name, start[1:], values.shape[1:], values.dtype.str)
            region = self._growing.get(key)
            if region is not None and start[0] == region.start[0] + region.shape[0]:
                dataset = self._file[region.dataset]
                dataset.resize(region.shape[0] + len(values), axis=0)
                dataset[region.shape[0] :] = values
                region.shape = dataset.shape
            elif values.size:
                region = Region(name, start, values.shape, values.dtype.str, f"{name}/{len(self.regions):06d}")
                self._write(region, values, grows)
                self.regions.append(region)
                if grows:
                    self._growing[key] = region

    def _write(self, region: Region, values: NDArray[Any], grows: bool) -> None:
        edge = GRID_CHUNK if values.ndim - grows > 1 else ROW_CHUNK
        chunk = tuple(min(n, edge) for n in values.shape)
        self._file.create_dataset(
            region.dataset,
            data=values,
            chunks=(1, *chunk[1:]) if grows else chunk,
            maxshape=(None, *values.shape[1:]) if grows else None,
            compression="gzip",
            compression_opts=1,
            shuffle=True,
            track_times=False,
        )

    def flush(self) -> None:
        if self._open:
            with self._disk.guarded():
                self._file.flush()

    def seal(self) -> dict[str, Any]:
        """Close the piece and return its entry of the manifest."""
        if self._open:
            self._open = False
            close_hdf5(self._file, self._disk)
            self._disk.synchronise()
            self._disk.close()
            self._disk.check()
        return self.entry(_sha256(self.path))

    def entry(self, digest: str | None) -> dict[str, Any]:
        """Return what the manifest says of this piece; no digest while it grows."""
        regions = [vars(r) | {"start": list(r.start), "shape": list(r.shape)} for r in self.regions]
        return {"file": self.path.name, "bytes": self.path.stat().st_size, "sha256": digest, "regions": regions}

    def parts(self, name: str, box: Box) -> list[Part]:
        raise NotImplementedError("A piece is read by PieceReader, after it is sealed.")

    def discard(self) -> None:
        if self._open:
            self._open = False
            close_hdf5(self._file, self._disk)
            self._disk.close()


class PieceReader:
    """The pieces of all ranks, checked against their manifest.

    Raises
    ------
    ProductError
        Naming the piece that is missing, truncated or altered.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._regions: dict[str, list[tuple[str, Region]]] = {}
        self._files: dict[str, h5py.File] = {}
        for piece in read_manifest(folder)["pieces"]:
            _check_piece(folder / piece["file"], piece)
            for r in piece["regions"]:
                region = Region(r["name"], tuple(r["start"]), tuple(r["shape"]), r["dtype"], r["dataset"])
                self._regions.setdefault(region.name, []).append((piece["file"], region))
        self._index = {name: RegionIndex([r for _, r in held]) for name, held in self._regions.items()}

    def parts(self, name: str, box: Box) -> list[Part]:
        """Return what falls into a box."""
        if name not in self._regions:
            return []
        found = []
        for k, place, inside in self._index[name].overlaps(box):
            file, region = self._regions[name][k]
            found.append((place, self._piece(file)[region.dataset][inside]))
        return found

    def close(self) -> None:
        """Close the pieces."""
        for file in self._files.values():
            file.close()
        self._files.clear()

    def _piece(self, name: str) -> h5py.File:
        if name not in self._files:
            try:
                self._files[name] = h5py.File(self.folder / name, "r")
            except OSError as error:
                raise ProductError(f"The piece '{self.folder / name}' is damaged: {error}. Run again with --force.") from error
        return self._files[name]


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a folder of pieces."""
    path = folder / MANIFEST
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise ProductError(f"The manifest '{path}' cannot be read: {error}. Run again with --force.") from error
    return content


def write_manifest(folder: Path, product: str, dims: dict[str, int], pieces: list[dict[str, Any]]) -> None:
    """Write the manifest of a folder of pieces."""
    content = {"product": product, "dims": dims, "pieces": pieces}
    write_text(folder / MANIFEST, json.dumps(content, indent=1, sort_keys=True) + "\n")


def write_master(folder: Path, shapes: dict[str, tuple[int, ...]], pieces: list[dict[str, Any]]) -> None:
    """Write the virtual-dataset master of pieces that still grow: a look at a run that lives, never a product.

    Parameters
    ----------
    folder : of the pieces
    shapes : name -> full shape of the numeric fields
    pieces : entries of the manifest
    """
    part = folder / (MASTER + ".part")
    try:
        with h5py.File(part, "w", libver=LIBVER) as file:
            for name, shape in shapes.items():
                held = [(p["file"], r) for p in pieces for r in p["regions"] if r["name"] == name]
                if not held or np.dtype(held[0][1]["dtype"]).kind == "S":
                    continue
                dtype = np.dtype(held[0][1]["dtype"])
                layout = h5py.VirtualLayout(shape, dtype)
                for piece, r in held:
                    target = tuple(slice(s, s + n) for s, n in zip(r["start"], r["shape"], strict=True))
                    layout[target] = h5py.VirtualSource(piece, r["dataset"], tuple(r["shape"]), dtype)
                file.create_virtual_dataset(name, layout, fillvalue=np.nan if dtype.kind == "f" else None)
        os.replace(part, folder / MASTER)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise refused(folder / MASTER, error) from error


def remove_folder(folder: Path) -> None:
    """Remove a folder of pieces."""
    shutil.rmtree(folder, ignore_errors=True)


def _clean(folder: Path) -> None:
    remove_folder(folder)
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise MachineError(f"'{folder}' cannot be made: {error.strerror}. Choose another --out.") from error


def _check_piece(path: Path, piece: dict[str, Any]) -> None:
    if not path.exists():
        raise ProductError(f"The piece '{path}' is missing. Run again with --force.")
    size = path.stat().st_size
    if size < piece["bytes"] or (piece["sha256"] and size != piece["bytes"]):
        raise ProductError(f"The piece '{path}' has {size:,} bytes; expected {piece['bytes']:,}. Run again with --force.")
    if piece["sha256"] and _sha256(path) != piece["sha256"]:
        raise ProductError(f"The piece '{path}' was altered: its SHA-256 is not the manifest's. Run again with --force.")


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
