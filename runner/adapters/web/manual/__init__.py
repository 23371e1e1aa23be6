"""The manual of codes: a page for every problem that a runner answers and for every finding in definitions.

The text is in `problems.md` and `findings.md` beside this file, so that a runner explains itself without a
network: over HTTP (`/docs/problems/<code>`), in the terminal (`saga explain`), and in the reference, whose
pages are made from the same files. A page is one `###` section of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from runner.definitions.findings import CODES, Finding

PROBLEMS: Final = "problems"
FINDINGS: Final = "findings"
KINDS: Final = (PROBLEMS, FINDINGS)
#: What each kind is called, for headings.
TITLES: Final = {PROBLEMS: "Problems", FINDINGS: "Findings"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What there is to say about one code, in Markdown."""

    #: `problems` or `findings`.
    kind: str
    code: str
    #: One line: status and title of a problem, severity and rule of a finding.
    lead: str
    #: What it means, how to mend it, an example.
    body: str

    @property
    def text(self) -> str:
        """The whole page as Markdown."""
        return f"# {self.code}\n\n{self.lead}\n\n{self.body}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """Pages that belong together."""

    title: str
    #: Markdown; may be empty.
    intro: str
    pages: tuple[Page, ...]


@cache
def chapters(kind: str) -> tuple[Chapter, ...]:
    """All chapters of `problems` or `findings`, in order."""
    return tuple(_chapters(kind, (files(__name__) / f"{kind}.md").read_text(encoding="utf-8")))


def find(kind: str, code: str) -> Page | None:
    """The page of a code, without regard to case; None where there is none."""
    wanted = code.lower()
    return next((page for chapter in chapters(kind) for page in chapter.pages if page.code.lower() == wanted), None)


def find_anywhere(code: str) -> Page | None:
    """The page of a code of either kind; no code is of both."""
    return next((page for kind in KINDS if (page := find(kind, code)) is not None), None)


def codes(kind: str) -> tuple[str, ...]:
    """Every code that has a page."""
    return tuple(page.code for chapter in chapters(kind) for page in chapter.pages)


def severity(code: str) -> str:
    """`error` or `warning`, of a finding's code."""
    return Finding(file="", line=1, column=1, code=code, message="").severity


def _chapters(kind: str, text: str) -> Iterator[Chapter]:
    for part in _parts(text, "## "):
        title, _, rest = part.partition("\n")
        intro, *sections = rest.split("\n### ")
        yield Chapter(
            title=title.strip(),
            intro=intro.strip(),
            pages=tuple(_page(kind, section) for section in sections),
        )


def _parts(text: str, mark: str) -> list[str]:
    return f"\n{text}".split(f"\n{mark}")[1:]


def _page(kind: str, section: str) -> Page:
    code, _, rest = section.partition("\n")
    code = code.strip()
    if kind == FINDINGS:  # its rule is written where it is enforced
        return Page(
            kind=kind, code=code, lead=f"{severity(code).capitalize()}. {CODES.get(code, '')}", body=rest.strip()
        )
    lead, _, body = rest.strip().partition("\n\n")
    return Page(kind=kind, code=code, lead=lead, body=body.strip())
