"""Streams that put everything off: what is queued runs when somebody waits for it, and not before.

Nothing that the program did not order is in order, so a missing synchronisation or event shows as wrong data.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from cupy._state import CUDARuntimeError, stand_in


class Operation:
    """One thing to do: a launch, a copy, a fill, or the wait for an operation of another stream."""

    def __init__(self, queue: Queue, run: Callable[[], None], blocks: tuple[Any, ...], after: Operation | None = None) -> None:
        self.queue, self.run, self.blocks, self.after = queue, run, blocks, after
        self.is_done = False


class Queue:
    """What a stream has still to do."""

    def __init__(self, device: int) -> None:
        self.device = device
        self.waiting: deque[Operation] = deque()
        self.last: Operation | None = None

    def add(self, run: Callable[[], None], *blocks: Any, after: Operation | None = None) -> Operation:
        """Put an operation at the end; `blocks` is the memory that it touches."""
        operation = Operation(self, run, blocks, after)
        self.waiting.append(operation)
        self.last = operation
        return operation

    def run_until(self, last: Operation | None) -> None:
        """Do everything up to an operation, and what it waits for; all there is without one."""
        todo: list[tuple[Queue, Operation | None]] = [(self, last)]
        while todo:
            queue, end = todo[-1]
            if not queue.waiting or (end is not None and end.is_done):
                todo.pop()
                continue
            operation = queue.waiting[0]
            if operation.after is not None and not operation.after.is_done:
                todo.append((operation.after.queue, operation.after))
                continue
            queue.waiting.popleft()
            operation.run()
            operation.is_done = True


class _Queues:
    def __init__(self) -> None:
        self.all: dict[tuple[int, int], Queue] = {}

    def of(self, pointer: int, device: int) -> Queue:
        return self.all.setdefault((pointer, device), Queue(device))


_queues = _Queues()
_pointers = itertools.count(0x1000, 0x10)


def queues_of(device: int) -> list[Queue]:
    """Return the streams of a device."""
    return [q for (_, d), q in _queues.all.items() if d == device]


def wait_for(queue: Queue, last: Operation | None) -> None:
    """Let the host wait until an operation is done, in the worst allowed order of everything else."""
    if stand_in.order == "early":
        for other in queues_of(queue.device):
            if other is not queue:
                other.run_until(None)
    queue.run_until(last)
    stand_in.check()


def before(last: Operation | None) -> Iterator[Operation]:
    """Yield the pending operations that a stream has to see done before what is queued next."""
    todo, seen = [last] if last is not None else [], set()
    while todo:
        end = todo.pop()
        if end.is_done or id(end) in seen:
            continue
        for operation in end.queue.waiting:
            if id(operation) not in seen:
                seen.add(id(operation))
                yield operation
                if operation.after is not None:
                    todo.append(operation.after)
            if operation is end:
                break


class Stream:
    """A stream that does not wait for the legacy default stream; the others are not used."""

    null: Stream

    def __init__(self, null: bool = False, non_blocking: bool = False) -> None:
        if not null and not non_blocking:
            raise NotImplementedError("The stand-in has non-blocking streams only, and the default stream.")
        self.ptr = 0 if null else next(_pointers)
        self.device_id = -1 if null else stand_in.require_device()

    def __repr__(self) -> str:
        return f"<Stream {self.ptr} (device {self.device_id})>"

    @property
    def queue(self) -> Queue:
        return _queues.of(self.ptr, stand_in.require_device() if self.device_id < 0 else self.device_id)

    def use(self) -> Stream:
        _check_device(self)
        _current[stand_in.current_device] = self
        return self

    def __enter__(self) -> Stream:
        _check_device(self)
        device = stand_in.require_device()
        _stack.append((device, get_current_stream(device)))
        _current[device] = self
        return self

    def __exit__(self, *_: Any) -> None:
        device, stream = _stack.pop()
        _current[device] = stream

    @property
    def done(self) -> bool:
        return not self.queue.waiting

    def synchronize(self) -> None:
        wait_for(self.queue, None)

    def record(self, event: Event | None = None) -> Event:
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        if event.mark is not None and not event.mark.is_done:
            self.queue.add(lambda: None, after=event.mark)


Stream.null = Stream(null=True)
_current: dict[int, Stream] = {}
_stack: list[tuple[int, Stream]] = []


def get_current_stream(device_id: int = -1) -> Stream:
    return _current.get(stand_in.require_device() if device_id < 0 else device_id, Stream.null)


class Event:
    """A point in a stream."""

    def __init__(self, block: bool = False, disable_timing: bool = False) -> None:
        stand_in.require_device()
        self.mark: Operation | None = None

    def record(self, stream: Stream | None = None) -> None:
        queue = (stream or get_current_stream()).queue
        if queue.device != stand_in.current_device:
            raise CUDARuntimeError(400)
        self.mark = queue.add(lambda: None)

    @property
    def done(self) -> bool:
        return self.mark is None or self.mark.is_done

    def synchronize(self) -> None:
        if self.mark is not None and not self.mark.is_done:
            wait_for(self.mark.queue, self.mark)


def queue_here(stream: Stream | None = None) -> Queue:
    """Return the queue of a stream on the current device; the current stream by default."""
    queue = (stream or get_current_stream()).queue
    if queue.device != stand_in.require_device():
        raise CUDARuntimeError(400)
    return queue


def synchronise_device(device: int) -> None:
    """Do everything that the streams of a device have to do."""
    for queue in reversed(queues_of(device)):
        wait_for(queue, None)


def forget() -> None:
    """Drop all streams and what they had to do."""
    _queues.all.clear()
    _current.clear()
    _stack.clear()


def _check_device(stream: Stream) -> None:
    here = stand_in.require_device()
    if stream.device_id not in (-1, here):
        raise RuntimeError(
            f"The device that the stream is created on ({stream.device_id}) does not match with the current device ({here})"
        )
