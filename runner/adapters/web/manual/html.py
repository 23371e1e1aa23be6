"""The manual's Markdown as HTML: as much of Markdown as the manual uses, and a style that asks for nothing more.

Everything is escaped first; only then do marks become elements, so a name that somebody else chose stays text.
"""

import re
from html import escape
from typing import Final

_STYLE: Final = """
:root { color-scheme: light dark; }
body { font: 1rem/1.6 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
code, pre { font-family: ui-monospace, monospace; font-size: .92em; }
pre { padding: .8rem 1rem; overflow-x: auto; border: 1px solid #8886; border-radius: .4rem; }
li { margin: .3rem 0; }
nav { font-size: .9rem; }
"""
_BLOCK: Final = re.compile(r"^```[^\n]*\n(?P<code>.*?)^```$|(?P<text>(?:^(?!```)[^\n]+\n?)+)", re.MULTILINE | re.DOTALL)
_CODE: Final = re.compile(r"`([^`\n]+)`")
_BOLD: Final = re.compile(r"\*\*([^*\n]+)\*\*")
#: To pages of the manual only, whoever wrote it.
_LINK: Final = re.compile(r"\[([^\[\]\n]+)\]\((/docs/[A-Za-z0-9/._-]+)\)")
_HEADING: Final = re.compile(r"(#{1,3}) (.+)\n?\Z")


def document(title: str, markdown: str) -> str:
    """A whole HTML page."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)} - Saga Runner</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        '<nav><a href="/docs/problems">Problems</a> &middot; <a href="/docs/findings">Findings</a></nav>\n'
        f"{fragment(markdown)}</body>\n</html>\n"
    )


def fragment(markdown: str) -> str:
    """Headings, paragraphs, lists, fenced blocks, inline code, bold and links as HTML."""
    return "".join(
        f"<pre><code>{escape(found['code'])}</code></pre>\n" if found["text"] is None else _text(found["text"])
        for found in _BLOCK.finditer(markdown)
    )


def _text(block: str) -> str:
    heading = _HEADING.match(block)
    if heading is not None:
        level = len(heading[1])
        return f"<h{level}>{_inline(heading[2])}</h{level}>\n"
    if block.startswith("- "):
        items = "".join(f"<li>{_inline(item.strip())}</li>\n" for item in f"\n{block}".split("\n- ")[1:])
        return f"<ul>\n{items}</ul>\n"
    return f"<p>{_inline(block.strip())}</p>\n"


def _inline(text: str) -> str:
    out = _CODE.sub(r"<code>\1</code>", escape(text))
    return _LINK.sub(r'<a href="\2">\1</a>', _BOLD.sub(r"<strong>\1</strong>", out))
