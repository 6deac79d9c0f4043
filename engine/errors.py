"""Errors that felsina raises on purpose. The command line prints them as one sentence and exits with their code."""

from __future__ import annotations


class FelsinaError(Exception):
    """Base of every error raised on purpose; `exit_code` is what the command line returns."""

    exit_code = 1


class UsageError(FelsinaError, ValueError):
    """An option, a configuration key or a command cannot be used as given."""

    exit_code = 2


class InputError(FelsinaError, ValueError):
    """An input file cannot be used as it is."""

    exit_code = 3


class MachineError(FelsinaError, RuntimeError):
    """The machine lacks something: MPI, a GPU, HDF5, disk space or inodes."""

    exit_code = 4


class ProductError(FelsinaError, RuntimeError):
    """A product is missing or damaged, or too many of its rows failed."""

    exit_code = 5
