"""Files that tell when the disk is full, and publication in one atomic step.

HDF5 answers a full disk late (at close) and may keep the file open for ever. `DiskFile` stands under it: the first refused
write is remembered, later ones are dropped, HDF5 closes in peace, and the error is raised here, once, as a sentence.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py

from felsina.engine.errors import MachineError

# Explicit, so that every HDF5 build writes the same structures and HDF5 1.10 can read them.
LIBVER = ("earliest", "v110")


class DiskFile(io.RawIOBase):
    """An unbuffered file that remembers the first refused write instead of raising in the middle of HDF5."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.error: OSError | None = None
        try:
            self._raw = open(path, "w+b", buffering=0)  # noqa: SIM115  # closed by close()
        except OSError as error:
            raise refused(path, error) from error

    def readinto(self, buffer: Any) -> int | None:
        return self._raw.readinto(buffer)

    def write(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        done = 0
        while done < len(view) and self.error is None:
            try:
                done += self._raw.write(view[done:])
            except OSError as error:
                self.error = error
        return len(view)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._raw.seek(offset, whence)

    def tell(self) -> int:
        return self._raw.tell()

    def truncate(self, size: int | None = None) -> int:
        if self.error is None:
            try:
                return self._raw.truncate(size)
            except OSError as error:
                self.error = error
        return size or 0

    def flush(self) -> None:
        """Do nothing: there is no buffer."""

    def synchronise(self) -> None:
        """Force the bytes to the disk."""
        if self.error is None:
            try:
                os.fsync(self._raw.fileno())
            except OSError as error:
                self.error = error

    def check(self) -> None:
        """Raise MachineError when a write was refused."""
        if self.error is not None:
            raise refused(self.path, self.error)

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """Run a block of HDF5 calls: it stumbles over a refused write in many ways, and the disk has the reason."""
        try:
            yield
        except (OSError, RuntimeError, ValueError, KeyError):
            self.check()
            raise
        self.check()

    def close(self) -> None:
        if not self.closed:
            with contextlib.suppress(OSError):
                self._raw.close()
            super().close()


def refused(path: Path, error: OSError) -> MachineError:
    """Return the error of a file that cannot be written."""
    name = str(path).removesuffix(".part")
    return MachineError(
        f"'{name}' cannot be written: {error.strerror or error}. What was there before is untouched. "
        "Free some space or choose another --out, and run again with --resume."
    )


# Files that HDF5 writes through Python. One that is still open when the interpreter is gone (an error ended the run before its
# writer was closed) would be flushed by HDF5's own exit through an object that no longer exists: a crash, not the error.
_open_files: dict[int, tuple[h5py.File, DiskFile]] = {}


def create_hdf5(disk: DiskFile, **options: Any) -> h5py.File:
    """Create an HDF5 file on a `DiskFile`; `close_hdf5` closes it, or the end of the process does."""
    file = h5py.File(disk, "w", libver=LIBVER, track_order=True, **options)
    _open_files[id(disk)] = (file, disk)
    return file


@atexit.register
def _close_open_files() -> None:
    for file, disk in list(_open_files.values()):
        close_hdf5(file, disk)


@contextlib.contextmanager
def hdf5_file(disk: DiskFile, **options: Any) -> Iterator[h5py.File]:
    """Create an HDF5 file on a `DiskFile`; it is closed at the end even where the disk is full."""
    file = create_hdf5(disk, **options)
    try:
        yield file
    finally:
        close_hdf5(file, disk)


def close_hdf5(file: h5py.File, disk: DiskFile) -> None:
    """Close an HDF5 file; what HDF5 says after a refused write is noise, the disk knows the reason."""
    _open_files.pop(id(disk), None)
    try:
        file.close()
    except (OSError, RuntimeError, ValueError, KeyError):
        if disk.error is None:
            raise


def publish(
    path: Path,
    fill: Callable[[h5py.File, DiskFile], None],
    check: Callable[[Path], None],
    link: Path | None = None,
) -> tuple[str, list[str]]:
    """Write a product under a temporary name, check it, and put it in place in one step: readers never see half a file.

    Parameters
    ----------
    path : the published name
    fill : writes the content
    check : raises where the written file is not valid
    link : second name of the same file, made by a hard link

    Returns
    -------
    sha256, notes
        SHA-256 of the bytes, and a note where the file system refused the hard link.

    Raises
    ------
    MachineError
        When the disk is full or the folder cannot be written; no temporary file stays, and an older product is untouched.
    """
    part = path.with_name(path.name + ".part")
    disk = DiskFile(part)
    try:
        try:
            # Chunks go to the file the moment they are written (no cache), so that their order is the order of writing.
            with disk.guarded(), hdf5_file(disk, rdcc_nbytes=0) as file:
                fill(file, disk)
            disk.synchronise()
        finally:
            disk.close()
        disk.check()
        check(part)
        digest = _sha256(part)
        try:
            os.replace(part, path)
            _synchronise_directory(path.parent)
        except OSError as error:
            raise refused(path, error) from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return digest, [] if link is None else _link(path, link)


def write_text(path: Path, text: str) -> None:
    """Write a small text file in one step."""
    part = path.with_name(path.name + ".part")
    try:
        with part.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise refused(path, error) from error


def _link(path: Path, link: Path) -> list[str]:
    part = link.with_name(link.name + ".part")
    part.unlink(missing_ok=True)
    try:
        os.link(path, part)
        os.replace(part, link)
    except OSError as error:
        part.unlink(missing_ok=True)
        link.unlink(missing_ok=True)  # the old link is the old product
        return [
            f"The file system refused the hard link '{link.name}' ({error.strerror}): "
            f"give VTK readers a copy of '{path.name}' under that name."
        ]
    return []


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _synchronise_directory(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
