"""What operators see: log lines on stderr, and progress of the running stage. Only rank 0 speaks unless a rank differs."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import TextIO

LOGGER = logging.getLogger("felsina")
_INTERVAL_S = 5.0  # between grep-able progress lines; a terminal is redrawn ten times a second


class _Json(logging.Formatter):
    def __init__(self, rank: int) -> None:
        super().__init__()
        self._rank = rank

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _utc(record.created),
            "level": record.levelname.lower(),
            "rank": self._rank,
            "message": record.getMessage(),
        }
        line.update(getattr(record, "values", {}))
        return json.dumps(line)


def configure(rank: int, verbosity: int = 0, style: str = "text", stream: TextIO | None = None) -> None:
    """Set up the log of this rank.

    Parameters
    ----------
    rank : ranks other than 0 only log warnings and errors
    verbosity : -1 quiet, 0 normal, 1 and more verbose
    style : "text" or "json" (one object a line)
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    who = "" if rank == 0 else f"rank {rank}: "
    handler.setFormatter(_Json(rank) if style == "json" else logging.Formatter(f"%(asctime)s {who}%(message)s", "%H:%M:%S"))
    LOGGER.handlers[:] = [handler]
    LOGGER.propagate = False
    level = logging.WARNING if verbosity < 0 or rank else logging.DEBUG if verbosity > 0 else logging.INFO
    LOGGER.setLevel(level)


class Progress:
    """Progress of one stage: done, total, rate and time left, on rank 0.

    A terminal shows one line that is redrawn; anything else gets one `key=value` line every few seconds.
    """

    def __init__(self, stage: str, total: int, unit: str, rank: int = 0, stream: TextIO | None = None) -> None:
        self._stage, self._total, self._unit = stage, max(total, 1), unit
        self._stream = stream or sys.stderr
        self._silent = rank != 0 or not LOGGER.isEnabledFor(logging.INFO)
        self._terminal = self._stream.isatty()
        self._start = self._last = time.monotonic()
        self._done = 0

    def advance(self, count: int = 1) -> None:
        """Count some more as done."""
        self._done += count
        now = time.monotonic()
        if self._silent or now - self._last < (0.1 if self._terminal else _INTERVAL_S):
            return
        self._last = now
        self._print(now)

    def close(self) -> None:
        """Wipe the line of a terminal."""
        if self._terminal and not self._silent:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def _print(self, now: float) -> None:
        rate = self._done / max(now - self._start, 1e-9)
        eta = (self._total - self._done) / rate if rate else float("inf")
        values = {
            "stage": self._stage,
            "done": self._done,
            "total": self._total,
            "unit": self._unit,
            "rate": round(rate, 1),
            "eta_s": round(max(eta, 0.0), 1),
        }
        if self._terminal:
            percent = 100 * self._done / self._total
            self._stream.write(f"\r\x1b[K{self._stage}: {percent:.0f} % ({rate:,.0f} {self._unit}/s, {max(eta, 0):.0f} s left)")
            self._stream.flush()
        elif isinstance(LOGGER.handlers[0].formatter if LOGGER.handlers else None, _Json):
            LOGGER.info("progress", extra={"values": values})
        else:
            self._stream.write(" ".join(f"{k}={v}" for k, v in values.items()) + "\n")
            self._stream.flush()


def _utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
