"""The manual of codes: every code has its page, every page its code, and what a page shows is so."""

import json
import re
from dataclasses import replace

import pytest

from runner.adapters.web import manual
from runner.adapters.web.manual.html import document, fragment
from runner.definitions.findings import CODES
from runner.definitions.load import load_texts
from runner.engine.reply import STATUSES
from tests.runner.definitions.test_broken import SETTINGS
from tests.support.codes import emitted, findings

PROBLEM_PAGES = [page for chapter in manual.chapters(manual.PROBLEMS) for page in chapter.pages]
FINDING_PAGES = [page for chapter in manual.chapters(manual.FINDINGS) for page in chapter.pages]

#: What one definition cannot show: bytes, sizes, files, and what another file does to this one.
NOT_IN_A_DEFINITION = {"SG006", "SG007", "SG008", "SG012", "SG211", "SG308"}


def test_every_problem_that_can_be_answered_has_its_page_and_no_page_is_left_over() -> None:
    made = emitted()
    without = {code: where for code, where in made.items() if code not in manual.codes(manual.PROBLEMS)}
    assert without == {}
    assert set(manual.codes(manual.PROBLEMS)) == made.keys()


def test_every_finding_has_its_page_in_the_order_of_the_codes() -> None:
    assert manual.codes(manual.FINDINGS) == tuple(CODES)
    assert findings() == CODES.keys()


def test_no_code_has_two_pages() -> None:
    every = [code.lower() for kind in manual.KINDS for code in manual.codes(kind)]
    assert len(every) == len(set(every))


@pytest.mark.parametrize("page", [*PROBLEM_PAGES, *FINDING_PAGES], ids=lambda page: page.code)
def test_a_page_says_what_it_means_how_to_mend_it_and_shows_an_example(page: manual.Page) -> None:
    meaning, mend, example = re.split(r"\*\*(?:How to mend it|Example):\*\*", page.body)
    assert page.lead.endswith(".")
    assert len(meaning.strip()) > 20
    assert len(mend.strip()) > 10
    assert example.count("```") == 2


@pytest.mark.parametrize("page", FINDING_PAGES, ids=lambda page: page.code)
def test_what_the_page_of_a_finding_shows_has_that_finding(page: manual.Page) -> None:
    shown = re.search(r"```(yaml broken|text)\n(.*?)```", page.body, re.DOTALL)
    assert shown is not None
    assert (shown[1] == "text") is (page.code in NOT_IN_A_DEFINITION)
    if shown[1] == "text":
        return
    world = SETTINGS if page.code != "SG502" else replace(SETTINGS, raw_urls=True)
    found = load_texts([("page.yaml", shown[2].encode())], world).findings
    assert page.code in {finding.code for finding in found}


@pytest.mark.parametrize("page", PROBLEM_PAGES, ids=lambda page: page.code)
def test_the_example_of_a_problem_has_its_type_status_and_code(page: manual.Page) -> None:
    shown = re.search(r"```http\nHTTP/1.1 (\d+)\n.*?\n\n(\{.*?)```", page.body, re.DOTALL)
    assert shown is not None
    body = json.loads(shown[2])
    assert body["type"] == f"/docs/problems/{page.code}"
    assert (body["status"], body["code"]) == (int(shown[1]), page.code)
    if page.code not in ("refused", "cannot-act"):  # their titles say more than the page can
        assert page.lead == f"{shown[1]}. {body['title']}."
    if page.code in STATUSES:
        assert body["status"] == STATUSES[page.code]


def test_a_page_is_found_in_any_case() -> None:
    for asked, code in (("sg101", "SG101"), ("CIRCUITOPEN", "circuitOpen"), ("Run-Ended", "run-ended")):
        page = manual.find_anywhere(asked)
        assert page is not None
        assert page.code == code
    assert manual.find_anywhere("no-such-code") is None


def test_markdown_becomes_elements() -> None:
    text = "# A `b`\n\nOne **two**\nthree.\n\n- [x](/docs/findings/SG001): y\n- z\n\n```yaml\n# <a>\n\nb: `c`\n```\n"
    assert fragment(text) == (
        "<h1>A <code>b</code></h1>\n"
        "<p>One <strong>two</strong>\nthree.</p>\n"
        '<ul>\n<li><a href="/docs/findings/SG001">x</a>: y</li>\n<li>z</li>\n</ul>\n'
        "<pre><code># &lt;a&gt;\n\nb: `c`\n</code></pre>\n"
    )


@pytest.mark.parametrize("hostile", ["<script>", "[x](javascript:alert)", "[x](https://example.org)", '"><img src=x>'])
def test_a_text_from_outside_stays_text(hostile: str) -> None:
    page = document(hostile, f"# {hostile}\n\n`{hostile}`\n")
    assert "<script" not in page
    assert "<img" not in page
    assert re.findall(r'href="([^"]*)"', page) == ["/docs/problems", "/docs/findings"]
