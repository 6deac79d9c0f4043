"""A digest of what a product says: names, order, attributes and values, whatever HDF5 build, chunks or compression hold it.

Two files with the same digest are the same to every reader. Files of one machine are compared by their bytes instead.
"""

from __future__ import annotations

import hashlib
import json
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from felsina.engine.errors import ProductError
from felsina.engine.fields import PRODUCTS

_BLOCK = 1 << 22  # values hashed at a time
# HDF5 keeps the dimensions of a variable as addresses in the file; what they mean is hashed in their place.
_ADDRESSES = ("DIMENSION_LIST", "REFERENCE_LIST")
_EXTRA_FILES = ("buildings.city.jsonl",)


def digest_file(path: str | Path) -> str:
    """Return the SHA-256 of names, order, attributes and values of an HDF5 file.

    Texts are hashed as UTF-8 and numbers as little-endian bytes of their dtype, in C order; a second name of a dataset (hard
    link) is hashed as the first name.
    """
    path = Path(path)
    if not path.is_file():
        raise ProductError(f"'{path}' is missing. Run the job that makes it first.")
    digest = hashlib.sha256()
    try:
        with h5py.File(path, "r") as file:
            _group(digest, file, "/", {})
    except OSError as error:
        raise ProductError(f"'{path}' is damaged or no HDF5 file: {error}. Make it anew with --force.") from error
    return digest.hexdigest()


def digest_run(directory: str | Path) -> str:
    """Return the SHA-256 of the digests of all products of a run directory, in the order of the table of products."""
    folder = Path(directory)
    names = [p.file for p in PRODUCTS.values() if (folder / p.file).exists()]
    if not names:
        raise ProductError(f"'{folder}' holds no product. Run a job first.")
    digests = {name: digest_file(folder / name) for name in names}
    for name in _EXTRA_FILES:
        if (folder / name).exists():
            with (folder / name).open("rb") as stream:
                digests[name] = hashlib.file_digest(stream, "sha256").hexdigest()
    return hashlib.sha256(json.dumps(list(digests.items())).encode()).hexdigest()


def _group(digest: Any, group: Any, name: str, seen: dict[Any, str]) -> None:
    _tell(digest, "group", name)
    _attributes(digest, group)
    for key, item in group.items():
        inner = f"{name.rstrip('/')}/{key}"
        identity = h5py.h5o.get_info(item.id).addr
        if identity in seen:
            _tell(digest, "link", inner, seen[identity])
            continue
        seen[identity] = inner
        if isinstance(item, h5py.Group):
            _group(digest, item, inner, seen)
        else:
            _dataset(digest, item, inner)
    _tell(digest, "end", name)


def _dataset(digest: Any, dataset: Any, name: str) -> None:
    is_text = h5py.check_string_dtype(dataset.dtype) is not None
    kind = "text" if is_text else dataset.dtype.newbyteorder("<").str
    _tell(digest, "dataset", name, kind, list(dataset.shape))
    _attributes(digest, dataset)
    if dataset.shape == ():
        _values(digest, np.asarray(dataset[()]), is_text)
        return
    if dataset.id.get_offset() is None and dataset.chunks is None and dataset.id.get_storage_size() == 0:
        return  # a dimension without values
    rows = max(1, _BLOCK // max(1, prod(dataset.shape[1:])))
    for first in range(0, dataset.shape[0], rows):
        _values(digest, dataset[first : first + rows], is_text)


def _values(digest: Any, values: Any, is_text: bool) -> None:
    if is_text:
        for value in values.reshape(-1).tolist():
            raw = value.encode() if isinstance(value, str) else bytes(value)
            digest.update(len(raw).to_bytes(8, "little") + raw)
    else:
        digest.update(np.ascontiguousarray(values, values.dtype.newbyteorder("<")))


def _attributes(digest: Any, item: Any) -> None:
    for name in item.attrs:
        if name in _ADDRESSES:
            continue
        value = np.asarray(item.attrs[name])
        is_text = value.dtype.kind in "SUO"
        _tell(digest, "attribute", name, "text" if is_text else value.dtype.newbyteorder("<").str, list(value.shape))
        _values(digest, value, is_text)
    if isinstance(item, h5py.Dataset):
        _tell(digest, "dims", [[scale.name for scale in axis.values()] for axis in item.dims])


def _tell(digest: Any, *words: Any) -> None:
    digest.update(json.dumps(words).encode() + b"\n")
