"""What the pages name is there: links, files, definitions, settings, codes; and what is generated is current."""

import re
import runpy
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from runner.definitions.load import load_texts
from runner.saga.functions import FUNCTIONS
from runner.saga.journal import Record
from runner.settings import load as load_settings
from tests.docs.transcript import Block, blocks
from tests.support.codes import emitted
from tests.support.processes import ROOT

PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
PROBLEMS = ROOT / "docs" / "reference" / "problems.md"

_LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
_PATH = re.compile(r"(?<![\w/.-])(?:definitions|tests|runner|registry|bench|docs)/[\w./-]*\w")


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """What a fragment may name, formed as code hosts form it from headings."""
    found = set()
    for heading in re.findall(r"^#{1,6} +(.+)$", prose(page), flags=re.MULTILINE):
        kept = (c for c in heading.lower() if c in " -_" or unicodedata.category(c)[0] in "LN")
        found.add("".join(kept).strip().replace(" ", "-"))
    return found


def fenced(language: str) -> Iterator[tuple[str, Block]]:
    for page, name in zip(PAGES, NAMES, strict=True):
        for block in blocks(page):
            if block.language == language:
                yield f"{name}:{block.line}", block


@pytest.mark.parametrize("name", NAMES)
def test_every_internal_link_leads_somewhere(name: str) -> None:
    page = ROOT / name
    for link in _LINK.findall(prose(page)):
        if "://" in link:
            continue
        path, _, fragment = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name} links to {link}, and there is no such file"
        assert target.is_relative_to(ROOT), f"{name} links to {link}, out of the repository"
        if fragment:
            assert fragment in anchors(target), f"{name} links to {link}, and there is no such heading"


@pytest.mark.parametrize("name", NAMES)
def test_every_path_that_is_named_exists(name: str) -> None:
    page = ROOT / name
    written = {block.note.removeprefix("file: ") for block in blocks(page) if block.note.startswith("file: ")}
    for path in _PATH.findall(prose(page)):
        assert path in written or (ROOT / path).exists(), f"{name} names {path}, which is not there"


def test_every_page_of_the_documentation_is_found_from_the_index() -> None:
    index = ROOT / "docs" / "index.md"
    linked = {(index.parent / link.partition("#")[0]).resolve() for link in _LINK.findall(prose(index))}
    assert {page for page in PAGES if "docs" in page.parts and page != index} <= linked


def is_saga(block: Block) -> bool:
    found = yaml.load(block.text, yaml.CSafeLoader)
    return isinstance(found, dict) and "steps" in found and ("path" in found or "id" in found)


@pytest.mark.parametrize(
    ("where", "block"),
    [pytest.param(where, block, id=where) for where, block in fenced("yaml") if not block.kind and is_saga(block)],
)
def test_every_saga_that_a_page_shows_loads_without_errors(where: str, block: Block) -> None:
    loaded = load_texts([("page.yaml", block.text.encode())])
    assert loaded.errors == 0, f"{where}: {loaded.findings}"


def test_a_definition_that_is_broken_on_purpose_has_an_error() -> None:
    # What the findings show is looked at more closely beside the manual: for its very code, with settings.
    broken = [block for where, block in fenced("yaml") if block.kind == "broken" and "/findings.md:" not in where]
    assert broken
    for block in broken:
        assert load_texts([("page.yaml", block.text.encode())]).errors


def test_the_settings_that_pages_show_are_read(tmp_path: Path) -> None:
    shown = [block for _, block in fenced("yaml") if block.kind == "settings"]
    assert len(shown) >= 2
    for at, block in enumerate(shown):
        file = tmp_path / f"{at}.yml"
        file.write_text(block.text)
        read = load_settings(environment={"PAYMENT_AUTH": "x"}, config=str(file))
        assert read.file is not None


def test_the_python_that_pages_show_compiles() -> None:
    shown = list(fenced("python"))
    assert shown
    for where, block in shown:
        compile(block.text, where, "exec")


def test_every_problem_that_can_be_answered_has_its_section() -> None:
    assert set(re.findall(r"^### (\S+)$", PROBLEMS.read_text(), flags=re.MULTILINE)) == emitted().keys()


def test_every_kind_of_record_is_explained() -> None:
    text = (ROOT / "docs" / "reference" / "journal.md").read_text()
    letters = {kind.__struct_config__.tag for kind in Record.__args__}
    assert letters == set(re.findall(r"^\| `([A-Z])` \|", text, flags=re.MULTILINE))


def test_what_is_generated_is_current() -> None:
    maker: dict[str, Any] = runpy.run_path(str(ROOT / "docs" / "generate.py"))
    made = set()
    for page in sorted((ROOT / "docs" / "reference").glob("*.md")):
        text = page.read_text()
        assert maker["current"](text) == text, f"{page.name} is not current; run: python docs/generate.py"
        made |= set(re.findall(r"<!-- generated: ([a-z-]+) -->", text))
    assert made == set(maker["PARTS"]), "each part stands in a page"
    expressions = (ROOT / "docs" / "reference" / "expressions.md").read_text()
    assert all(f"`{name}(" in expressions for name in FUNCTIONS)
