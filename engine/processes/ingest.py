"""Points of all files to the ranks that own their tiles: stripes, rounds, routing, and an order that no rank count changes.

Every rank reads a stripe of the files, about an equal share of all points in whole LAZ chunks, and works through it in rounds.
All ranks make the same number of rounds, so a consumer may be collective; a rank that is done takes part with no points.
A consumer sees the points in an order that depends on the ranks: it accumulates integers, or sorts with `canonical_order`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from felsina.engine.errors import FelsinaError
from felsina.engine.grid import Grid
from felsina.engine.io.las import PointFile, Points, read_chunks
from felsina.engine.parallel.partition import Partition
from felsina.engine.parallel.world import World

ROUND = 500_000  # points a rank holds while it reads: 25 MB raw and unpacked
MESSAGE_BYTES = 2**30  # most bytes that one rank receives in a round, when all send to it


@dataclass(frozen=True)
class Ingested:
    """What was read, the same on every rank.

    Attributes
    ----------
    n_point : points in the files
    n_kept : points that consumers saw
    dropped : points left out, by reason; "overlap" counts points that were kept
    classes : (256,) int64 number of kept points by class
    notes : sentences of the files, each with its file
    """

    n_point: int
    n_kept: int
    dropped: dict[str, int]
    classes: NDArray[np.int64]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stripe:
    """Points [first, first + count) of a file, the index-th of all."""

    index: int
    first: int
    count: int


def stripe(files: Sequence[PointFile], rank: int, size: int) -> list[Stripe]:
    """Return the share of one rank: every chunk belongs to the rank in whose share of all points its middle lies.

    Parameters
    ----------
    files : all files, in the same order on every rank
    rank, size : the rank and the number of ranks

    Returns
    -------
    list of Stripe
        Contiguous and in order of the files; empty for ranks beyond the chunks.
    """
    total = first_numbers(files)[-1]
    share = []
    for index, file in enumerate(files):
        starts = file.chunk_first + first_numbers(files)[index]
        owner = (starts[:-1] + starts[1:]) * size // max(2 * int(total), 1)
        mine = np.flatnonzero((owner == rank) & (np.diff(starts) > 0))
        if len(mine):
            first, last = int(file.chunk_first[mine[0]]), int(file.chunk_first[mine[-1] + 1])
            share.append(Stripe(index, first, last - first))
    return share


def first_numbers(files: Sequence[PointFile]) -> NDArray[np.int64]:
    """Return the number of each file's first point among all points, and the number of all: (n_file + 1,)."""
    return np.concatenate([[0], np.cumsum([f.count for f in files])]).astype(np.int64)


def ingest(
    world: World,
    files: Sequence[PointFile],
    grid: Grid,
    consume: Callable[[Points], None],
    partition: Partition | None = None,
    columns: Sequence[str] = (),
    keep_all: bool = False,
    round_points: int = ROUND,
    threads: int = 1,
    alone: bool = False,
) -> Ingested:
    """Read all points and hand them to `consume`, round by round. Collective.

    Parameters
    ----------
    files : headers, the same on every rank
    grid : its north-west corner is the origin of x and y
    consume : called the same number of times on every rank, with no points where a rank has none. With a partition it gets the
        points whose cell this rank owns; those outside the grid go to the owner of the nearest cell.
    partition : tiles of `grid`; None hands each rank its own stripe
    columns, keep_all, threads : as in `read_chunks`
    round_points : about how many points a rank reads in a round
    alone : there is no partition and `consume` tells nobody anything, so that no rank has to wait for another in each round

    Raises
    ------
    InputError
        On every rank, when any rank cannot read its part.
    """
    limit = MESSAGE_BYTES // (_record(columns).itemsize * world.size)
    batch = max(1, min(round_points, limit))
    reader = _Reader(files, grid, stripe(files, world.rank, world.size), batch, columns, keep_all, threads)
    totals = _Totals()
    rounds = max(_rounds(files, stripe(files, r, world.size), batch) for r in range(world.size))
    if alone:
        world.on_every_rank(lambda: _read_alone(reader, rounds, totals, consume))
    for _ in range(0 if alone else rounds):
        error: FelsinaError | None = None
        points = Points.empty(0, columns)
        try:
            points = reader.take()
        except FelsinaError as raised:
            error = raised
        _agree(world, error)
        totals.add(points)
        consume(points if partition is None else route(world, partition, grid, points))
    if reader.left():
        raise RuntimeError(f"Rank {world.rank} still has points to read after {rounds} rounds.")
    return totals.over(world, files)


def route(world: World, partition: Partition, grid: Grid, points: Points, halo_m: float = 0.0) -> Points:
    """Send points to the owners of their cells and return those that this rank owns, from all ranks. Collective.

    Points outside the grid go to the owner of the nearest cell. With a halo, which must be shorter than a tile, each rank gets
    the points within that distance of its tiles too; `partition.owner` tells which are its own.
    """
    cell = round(grid.resolution * 1000)
    owner, order = _receivers(partition, points, cell, round(halo_m * 1000), world.size)
    packed = np.empty(len(order), _record(tuple(points.extra)))
    for name, values in points.columns().items():
        packed[name] = values[order]
    cuts = np.cumsum(np.bincount(owner, minlength=world.size))[:-1]
    received = np.concatenate(world.exchange(np.split(packed, cuts)))
    columns: dict[str, Any] = {name: np.ascontiguousarray(received[name]) for name in received.dtype.names or ()}
    extra = {name: columns.pop(name) for name in points.extra}
    return Points(**columns, extra=extra, dropped=dict.fromkeys(points.dropped, 0))


def _receivers(
    partition: Partition, points: Points, cell: int, halo: int, size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the receiving rank and the index of every copy of a point, by rank."""
    n = len(points)
    # A square that is smaller than a tile touches no more tiles than its corners do.
    corners = [(0, 0)] if halo == 0 else [(dy, dx) for dy in (-halo, halo) for dx in (-halo, halo)]
    owners = [partition.owner((points.y + dy) // cell, (points.x + dx) // cell) for dy, dx in corners]
    pairs = np.unique(np.concatenate([o.astype(np.int64) * max(n, 1) + np.arange(n) for o in owners]))
    return pairs // max(n, 1), pairs % max(n, 1)


def canonical_order(points: Points) -> NDArray[np.intp]:
    """Return the indices that sort points by x, y, z, class and return: the same for any files, stripes and ranks."""
    p = points
    return np.lexsort((p.number_of_returns, p.return_number, p.classification, p.z, p.y, p.x))


def without_duplicates(points: Points) -> Points:
    """Sort canonically and keep one of the points that share x, y, z: scans overlap by a row at the edges of tiles."""
    ordered = points.take(canonical_order(points))
    if len(ordered) == 0:
        return ordered
    new = np.ones(len(ordered), np.bool_)
    new[1:] = (np.diff(ordered.x) != 0) | (np.diff(ordered.y) != 0) | (np.diff(ordered.z) != 0)
    return ordered.take(new)


def concatenated(parts: Sequence[Points], columns: Sequence[str] = ()) -> Points:
    """Join points of several rounds."""
    if not parts:
        return Points.empty(0, columns)
    joined: dict[str, Any] = {name: np.concatenate([p.columns()[name] for p in parts]) for name in parts[0].columns()}
    extra = {name: joined.pop(name) for name in parts[0].extra}
    return Points(**joined, extra=extra, dropped={reason: sum(p.dropped[reason] for p in parts) for reason in parts[0].dropped})


def _read_alone(reader: _Reader, rounds: int, totals: _Totals, consume: Callable[[Points], None]) -> None:
    """Take all batches of this rank."""
    for _ in range(rounds):
        points = reader.take()
        totals.add(points)
        consume(points)


# -- one rank's reading ---------------------------------------------------------------------------------------------------


class _Reader:
    """Takes batches of bounded size from a rank's stripes; the number of batches follows from the headers alone."""

    def __init__(
        self,
        files: Sequence[PointFile],
        grid: Grid,
        stripes: Sequence[Stripe],
        batch: int,
        columns: Sequence[str],
        keep_all: bool,
        threads: int,
    ) -> None:
        self._batches = self._all(files, grid, stripes, batch, columns, keep_all, threads)
        self._columns = columns

    def take(self) -> Points:
        """Return the next batch; no points when all are taken."""
        batch = next(self._batches, None)
        return Points.empty(0, self._columns) if batch is None else batch

    def left(self) -> bool:
        """Tell whether a batch is left."""
        return next(self._batches, None) is not None

    @staticmethod
    def _all(
        files: Sequence[PointFile],
        grid: Grid,
        stripes: Sequence[Stripe],
        batch: int,
        columns: Sequence[str],
        keep_all: bool,
        threads: int,
    ) -> Iterator[Points]:
        numbers = first_numbers(files)
        for s in stripes:
            for first, count in _batches(files[s.index], s, batch):
                origin = (grid.west, grid.north)
                number = int(numbers[s.index])
                chunks = read_chunks(files[s.index], first, count, origin, count, columns, keep_all, number, threads)
                yield concatenated(list(chunks), columns)


def _batches(file: PointFile, s: Stripe, batch: int) -> Iterator[tuple[int, int]]:
    """Yield (first, count) of a stripe: whole chunks up to `batch` points; a longer chunk alone is cut."""
    starts = file.chunk_first
    k, last = int(np.searchsorted(starts, s.first, side="right")) - 1, s.first + s.count
    while starts[k] < last:
        end = k + 1
        while end < len(starts) - 1 and starts[end] < last and starts[end + 1] - starts[k] <= batch:
            end += 1
        for first in range(int(starts[k]), int(starts[end]), batch):
            yield first, min(batch, int(starts[end]) - first)
        k = end
        if k == len(starts) - 1:
            return


def _rounds(files: Sequence[PointFile], stripes: Sequence[Stripe], batch: int) -> int:
    return sum(1 for s in stripes for _ in _batches(files[s.index], s, batch))


def _agree(world: World, error: FelsinaError | None) -> None:
    """Raise the error of the lowest rank that has one, on every rank: nobody waits in an exchange for a rank that gave up."""
    found = next((e for e in world.allgather(error) if e is not None), None)
    if found is not None:
        found.collective = True  # type: ignore[attr-defined]  # every rank knows: no Abort needed
        raise found


def _record(columns: Sequence[str]) -> np.dtype[Any]:
    """Return the record that travels between ranks."""
    fixed = [("x", "i4"), ("y", "i4"), ("z", "i4"), ("classification", "u1"), ("return_number", "u1")]
    return np.dtype([*fixed, ("number_of_returns", "u1"), ("number", "i8"), *((name, "u2") for name in columns)])


@dataclass
class _Totals:
    """Counts of this rank, summed over all at the end."""

    kept: int = 0
    dropped: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("noise", "withheld", "overlap"), 0))
    classes: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))

    def add(self, points: Points) -> None:
        self.kept += len(points)
        for reason in self.dropped:
            self.dropped[reason] += points.dropped[reason]
        self.classes += np.bincount(points.classification, minlength=256)

    def over(self, world: World, files: Sequence[PointFile]) -> Ingested:
        counts = world.reduce_exact(np.array([self.kept, *self.dropped.values()], np.int64), "sum")
        classes = world.reduce_exact(self.classes, "sum")
        notes = tuple(f"{f.path.name}: {note}" for f in files for note in f.notes)
        return Ingested(
            int(first_numbers(files)[-1]),
            int(counts[0]),
            {reason: int(n) for reason, n in zip(self.dropped, counts[1:], strict=True)},
            classes,
            notes,
        )
