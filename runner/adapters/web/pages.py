"""`/docs/problems/...` and `/docs/findings/...`: the manual of codes over HTTP, as HTML or as Markdown.

Nothing of a page comes from another host. A problem's `type` is the address of its page; of a type that a saga
raises, the page says which sagas do.
"""

import re
from collections.abc import Callable
from typing import Annotated, Final

from fastapi import APIRouter, Header
from fastapi.responses import HTMLResponse, Response

from runner.adapters.web import manual
from runner.adapters.web.manual.html import document
from runner.definitions.catalog import Catalog
from runner.saga.definition import walk
from runner.steps.raise_ import Raise

#: Characters of an unknown code that a page repeats.
_SHOWN: Final = 128
#: Sagas that the page of a raised type names.
_MOST_SAGAS: Final = 20
#: A page needs its own style and nothing else, whatever somebody may have written into its address.
_HEADERS: Final = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'", "vary": "accept"}
_INTRO: Final = {
    manual.PROBLEMS: "What a runner answers where it refuses a request, or a run failed, as "
    "`application/problem+json`. `type` names the page of its code. A `raise` makes types of its own.",
    manual.FINDINGS: "What `saga check` finds in definitions. Errors keep a file out of service; warnings do not.",
}


def pages(catalog: Callable[[], Catalog]) -> APIRouter:
    """The routes. `catalog` gives the definitions in service, which know who raises an unknown type.

    HTML, or Markdown where the path ends in `.md` or `Accept` asks for `text/markdown`; 404 with a page, too.
    """
    router = APIRouter(prefix="/docs", include_in_schema=False)
    for kind in manual.KINDS:
        _serve(router, kind, catalog)
    return router


def _serve(router: APIRouter, kind: str, catalog: Callable[[], Catalog]) -> None:
    @router.get(f"/{kind}")
    async def contents(accept: Annotated[str, Header()] = "") -> Response:
        return _answer(manual.TITLES[kind], _contents(kind), markdown=_wants_markdown(accept))

    @router.get(f"/{kind}.md")
    async def plain_contents() -> Response:
        return _answer(manual.TITLES[kind], _contents(kind), markdown=True)

    @router.get(f"/{kind}/{{code}}")
    async def one(code: str, accept: Annotated[str, Header()] = "") -> Response:
        name = code.removesuffix(".md")
        markdown = name != code or _wants_markdown(accept)
        found = manual.find(kind, name)
        if found is not None:
            return _answer(found.code, found.text, markdown=markdown)
        return _answer(name[:_SHOWN], _missing(kind, name, catalog()), markdown=markdown, status=404)


def _wants_markdown(accept: str) -> bool:
    """Whether `Accept` prefers `text/markdown`; who does not say so gets HTML."""
    return _quality(accept, "text/markdown") > _quality(accept, "text/html")


def _quality(accept: str, media: str) -> float:
    for part in accept.lower().split(","):
        name, _, rest = part.partition(";")
        if name.strip() == media:
            found = re.search(r"q=([01](?:\.[0-9]{1,3})?)", rest)
            return float(found[1]) if found else 1.0
    return 0.0


def _answer(title: str, markdown_text: str, *, markdown: bool, status: int = 200) -> Response:
    if markdown:
        return Response(markdown_text, status_code=status, media_type="text/markdown", headers=_HEADERS)
    return HTMLResponse(document(title, markdown_text), status_code=status, headers=_HEADERS)


def _contents(kind: str) -> str:
    out = [f"# {manual.TITLES[kind]}", "", _INTRO[kind], ""]
    for chapter in manual.chapters(kind):
        out += [f"## {chapter.title}", ""]
        if chapter.intro:
            out += [chapter.intro, ""]
        out += [*(f"- [{page.code}](/docs/{kind}/{page.code}): {page.lead}" for page in chapter.pages), ""]
    return "\n".join(out)


def _missing(kind: str, code: str, catalog: Catalog) -> str:
    shown = code[:_SHOWN].replace("`", "'").replace("\n", " ")
    if kind == manual.FINDINGS:
        return f"# {shown}\n\nThere is no such finding; see [all there are](/docs/findings).\n"
    raisers = _raisers(code, catalog)
    out = [
        f"# {shown}",
        "",
        "The runner itself has no such problem. A type that is not among [its own](/docs/problems) is one "
        "that a saga raised: a step `raise` of its definition names it, and says its status, title and detail.",
        "",
    ]
    if raisers:
        out += [
            f"Of the definitions in service, it is raised by:\n\n{chr(10).join(f'- `{one}`' for one in raisers)}",
            "",
        ]
    else:
        out += ["None of the definitions that are in service now raises it.", ""]
    return "\n".join(out)


def _raisers(code: str, catalog: Catalog) -> list[str]:
    """The sagas (`id@version`) that raise a type, in order."""
    found = {
        saga.ref
        for saga in catalog
        if any(isinstance(step.verb, Raise) and step.verb.type == code for step in walk(saga.steps))
    }
    return sorted(found)[:_MOST_SAGAS]
