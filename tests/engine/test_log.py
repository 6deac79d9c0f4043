"""What operators see: one line an event, progress that can be grepped, silence where it was asked for."""

from __future__ import annotations

import io
import json
import logging

import pytest

from felsina.engine import log


@pytest.fixture(autouse=True)
def kept():
    handlers, level = log.LOGGER.handlers[:], log.LOGGER.level
    yield
    log.LOGGER.handlers[:] = handlers
    log.LOGGER.setLevel(level)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def said(rank=0, verbosity=0, style="text"):
    stream = io.StringIO()
    log.configure(rank, verbosity, style, stream)
    log.LOGGER.debug("detail")
    log.LOGGER.info("Wrote %s buildings.", "1,204")
    log.LOGGER.warning("odd")
    return stream.getvalue().splitlines()


def test_rank_0_says_what_happened_and_no_details():
    assert [line.split(" ", 1)[1] for line in said()] == ["Wrote 1,204 buildings.", "odd"]


def test_other_ranks_only_warn_and_say_who_they_are():
    (line,) = said(rank=3)
    assert line.endswith("rank 3: odd")


def test_quiet_keeps_warnings_and_verbose_adds_details():
    assert len(said(verbosity=-1)) == 1
    assert len(said(verbosity=1)) == 3


def test_json_is_one_object_a_line():
    rows = [json.loads(line) for line in said(style="json")]
    assert [(r["level"], r["rank"], r["message"]) for r in rows] == [
        ("info", 0, "Wrote 1,204 buildings."),
        ("warning", 0, "odd"),
    ]
    assert all(r["time"].endswith("Z") for r in rows)


def progress(stream, clock, monkeypatch, rank=0):
    monkeypatch.setattr(log.time, "monotonic", lambda: clock[0])
    return log.Progress("terrain.points", 200, "points", rank, stream)


def test_progress_off_a_terminal_is_a_line_of_pairs_every_five_seconds(monkeypatch):
    stream, clock = io.StringIO(), [0.0]
    log.configure(0, stream=stream)
    shown = progress(stream, clock, monkeypatch)
    for _ in range(10):
        clock[0] += 1.0
        shown.advance(10)
    shown.close()
    first, second = stream.getvalue().splitlines()
    pairs = dict(p.split("=") for p in first.split())
    assert pairs == {
        "stage": "terrain.points", "done": "50", "total": "200", "unit": "points", "rate": "10.0", "eta_s": "15.0"
    }  # fmt: skip
    assert "done=100" in second


def test_progress_on_a_terminal_redraws_one_line_and_wipes_it(monkeypatch):
    stream, clock = Terminal(), [0.0]
    log.configure(0, stream=stream)
    shown = progress(stream, clock, monkeypatch)
    clock[0] = 1.0
    shown.advance(50)
    assert "25 %" in stream.getvalue() and "\n" not in stream.getvalue()
    shown.close()
    assert stream.getvalue().endswith("\r\x1b[K")


def test_progress_in_json_is_an_object(monkeypatch):
    stream, clock = io.StringIO(), [0.0]
    log.configure(0, style="json", stream=stream)
    shown = progress(stream, clock, monkeypatch)
    clock[0] = 6.0
    shown.advance(60)
    row = json.loads(stream.getvalue())
    assert row["stage"] == "terrain.points" and row["done"] == 60 and row["eta_s"] == 14.0


@pytest.mark.parametrize(("rank", "verbosity"), [(1, 0), (0, -1)])
def test_progress_is_silent_on_other_ranks_and_when_quiet(rank, verbosity, monkeypatch):
    stream, clock = io.StringIO(), [0.0]
    log.configure(rank, verbosity, stream=stream)
    shown = progress(stream, clock, monkeypatch, rank)
    clock[0] = 60.0
    shown.advance(60)
    assert stream.getvalue() == ""


def test_the_log_does_not_reach_other_loggers():
    log.configure(0, stream=io.StringIO())
    assert log.LOGGER.propagate is False and log.LOGGER is logging.getLogger("felsina")
