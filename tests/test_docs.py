"""The docs speak of the code as it is: generated pages, links, verbs, options, fields, files, exit codes."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import pytest

from felsina.engine import errors
from felsina.engine.city import SECTIONS
from felsina.engine.fields import FIELDS
from felsina.engine.options import declared
from felsina.jobs.cli import JOBS
from felsina.jobs.describe import reference_page

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BY_NAME = {"argnames": "page", "argvalues": PAGES, "ids": lambda p: p.name}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE_ENDINGS = {"city", "epw", "gpkg", "nc", "toml", "vtkhdf"}  # `city.nc` is a file, `city.crs` an option
OPTIONS = {f"{section}.{row['name']}": row for section, kind in SECTIONS.items() for row in declared(kind)}


@cache
def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose_of(page: Path) -> str:
    return FENCE.sub("", text_of(page))


def code_of(page: Path) -> list[str]:
    """Return the lines of code blocks and the spans of inline code."""
    blocks = [line for _, block in FENCE.findall(text_of(page)) for line in block.splitlines()]
    return blocks + re.findall(r"`([^`\n]+)`", prose_of(page))


def anchors_of(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of the headings of a page."""
    titles = re.findall(r"^#+ (.+)$", prose_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", t.lower()).replace(" ", "-") for t in titles}


@pytest.mark.parametrize("topic", ["options", "fields"])
def test_reference_pages_are_what_the_declarations_say_now(topic):
    page = ROOT / "docs" / f"reference-{topic}.md"
    assert text_of(page) == reference_page(topic) + "\n", f"felsina describe {topic} --markdown > docs/{page.name}"


def test_the_reference_holds_every_option_and_every_field():
    options, fields = (text_of(ROOT / "docs" / f"reference-{t}.md") for t in ("options", "fields"))
    assert all(f"| `{name.split('.')[1]}` |" in options for name in OPTIONS)
    assert all(f"| `{field.name}` | {', '.join(field.dims)} | {field.dtype} | {field.units} |" in fields for field in FIELDS)


@pytest.mark.parametrize(**BY_NAME)
def test_every_relative_link_and_anchor_resolves(page):
    links = re.findall(r"\]\(([^)\s]+)\)", prose_of(page))
    for link in links:
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors_of(target), link


def test_every_page_is_in_the_index():
    index = text_of(ROOT / "docs" / "README.md")
    assert [p.name for p in PAGES[1:] if p.name != "README.md" and f"({p.name})" not in index] == []


@pytest.mark.parametrize(**BY_NAME)
def test_every_verb_exists(page):
    verbs = {verb for line in code_of(page) for verb in re.findall(r"(?:^|[\s/])felsina ([a-z]+)\b", line.split(" #")[0])}
    assert verbs <= set(JOBS)


@pytest.mark.parametrize(**BY_NAME)
def test_every_file_of_the_repository_that_is_named_exists(page):
    named = set(re.findall(r"(?<![\w./-])(?:tests|benchmarks|engine|kernels|jobs|slurm|examples)/[\w./-]*\w", text_of(page)))
    assert [n for n in sorted(named) if not (ROOT / n).exists()] == []


@pytest.mark.parametrize(**BY_NAME)
def test_every_option_that_is_named_is_declared(page):
    pattern = re.compile(rf"(?<![\w./=-])({'|'.join(SECTIONS)})\.([a-z]\w*)")
    named = {f"{s}.{o}" for line in code_of(page) for s, o in pattern.findall(line) if o not in FILE_ENDINGS}
    drivers = {f"{s}.{o}" for s, o in pattern.findall(text_of(page)) if (ROOT / "kernels" / s / f"{o}.py").exists()}
    assert named - drivers <= set(OPTIONS)


@pytest.mark.parametrize(**BY_NAME)
def test_tables_of_parameters_give_the_declared_default_and_unit(page):
    for name, default, unit in re.findall(r"^\| `(\w+\.\w+)` \| ([^|]*) \| ([^|]*) \|", text_of(page), re.MULTILINE):
        if name.split(".")[0] not in SECTIONS or name.split(".")[1] in FILE_ENDINGS:
            continue
        row = OPTIONS[name]
        want = "none" if row["default"] is None else json.dumps(row["default"])
        assert (default.strip("` "), unit.strip()) == (want, row["unit"]), name


def test_the_start_page_names_the_exit_code_of_every_kind_of_error():
    table = dict(re.findall(r"^\| (\d+) \| (.+?) \|$", text_of(ROOT / "docs" / "start.md"), re.MULTILINE))
    raised = {kind.exit_code for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)}
    assert {int(code) for code in table} == {0, *raised}


@pytest.mark.parametrize(**BY_NAME)
def test_python_in_the_docs_compiles(page):
    for language, block in FENCE.findall(text_of(page)):
        if language == "python":
            compile(block, page.name, "exec")


@pytest.mark.parametrize(**BY_NAME)
def test_no_page_names_a_path_of_a_machine(page):
    assert not re.search(r"(?<![\w.])/(?:work|tmp|home|root)\b", text_of(page))
