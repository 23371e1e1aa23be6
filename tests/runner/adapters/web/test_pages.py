"""`/docs/problems` and `/docs/findings` over HTTP: HTML and Markdown, and types that sagas raise."""

import asyncio
import json
import re
from dataclasses import dataclass

import pytest
from fastapi import FastAPI

from runner.adapters.web import manual
from runner.adapters.web.pages import pages
from runner.definitions.load import load_texts
from tests.support.asgi import ask

RAISES = """
id: order
version: 3
path: /order
methods: [POST]
steps:
  - name: pick
    switch:
      - when: input.late
        steps:
          - raise: {type: too-late, status: 410}
  - raise: {type: never}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    status: int
    headers: dict[str, str]
    text: str


def get(path: str, accept: str = "text/html") -> Shown:
    """What a runner that serves RAISES shows at a path."""
    loaded = load_texts([("order.yaml", RAISES.encode())])
    assert loaded.errors == 0, loaded.findings
    app = FastAPI()
    app.include_router(pages(lambda: loaded.catalog))
    got = asyncio.run(ask(app, "GET", path, headers={"accept": accept}))
    return Shown(status=got.status, headers=got.headers, text=got.body.decode())


@pytest.mark.parametrize("kind", manual.KINDS)
def test_every_code_of_a_list_leads_to_its_page(kind: str) -> None:
    shown = get(f"/docs/{kind}")
    assert shown.status == 200
    links = re.findall(rf'<li><a href="(/docs/{kind}/[^"]+)">', shown.text)
    assert [link.rpartition("/")[2] for link in links] == list(manual.codes(kind))
    for link in links:
        page = get(link)
        assert page.status == 200
        assert f"<h1>{link.rpartition('/')[2]}</h1>" in page.text


def test_a_page_needs_nothing_from_elsewhere() -> None:
    page = get("/docs/problems/timeout")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert "<script" not in page.text
    addresses = re.findall(r"(?:src|href)=\"([^\"]*)|url\(([^)]*)", page.text)
    assert addresses
    assert all(address.startswith("/docs/") for address, _ in addresses)


@pytest.mark.parametrize(
    ("path", "accept"),
    [
        ("/docs/findings/SG101.md", "text/html"),
        ("/docs/findings/SG101", "text/markdown"),
        ("/docs/findings/sg101", "text/html;q=0.5, text/markdown;q=0.9"),
    ],
)
def test_a_page_is_to_be_had_as_markdown(path: str, accept: str) -> None:
    page = get(path, accept)
    found = manual.find(manual.FINDINGS, "SG101")
    assert found is not None
    assert page.headers["content-type"] == "text/markdown; charset=utf-8"
    assert page.text == found.text


@pytest.mark.parametrize(
    "accept", ["*/*", "text/html,*/*;q=0.8", "text/markdown;q=0.1, text/html", "text/markdown;q=0"]
)
def test_who_does_not_prefer_markdown_gets_html(accept: str) -> None:
    assert get("/docs/problems", accept).text.startswith("<!doctype html>")


def test_a_list_is_to_be_had_as_markdown() -> None:
    assert get("/docs/problems.md").text.startswith("# Problems\n")


def test_the_page_of_a_type_that_a_saga_raises_names_the_saga() -> None:
    page = get("/docs/problems/too-late.md")
    assert page.status == 404
    assert "- `order@3`\n" in page.text


def test_the_page_of_a_type_that_nobody_raises_says_so() -> None:
    page = get("/docs/problems/<b>odd")
    assert page.status == 404
    assert "<h1>&lt;b&gt;odd</h1>" in page.text
    assert "None of the definitions that are in service now raises it." in page.text


def test_an_unknown_finding_leads_to_the_list() -> None:
    page = get("/docs/findings/SG999")
    assert page.status == 404
    assert '<a href="/docs/findings">all there are</a>' in page.text


def test_the_pages_are_no_part_of_the_management_api() -> None:
    assert json.loads(get("/openapi.json").text)["paths"] == {}
