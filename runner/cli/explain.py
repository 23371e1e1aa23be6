"""`saga explain`: the page of a problem or finding, in the terminal."""

import click

from runner.cli.screen import Line, Screen, print_json


@click.command("explain")
@click.argument("code")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def explain(code: str, output: str) -> None:
    """Explain a CODE: of a finding (SG101) or of a problem (run-in-progress), as /docs of a runner does."""
    from runner.adapters.web import manual
    from runner.definitions.findings import nearest

    page = manual.find_anywhere(code.rpartition("/")[2])
    if page is None:
        known = [one for kind in manual.KINDS for one in manual.codes(kind)]
        close = nearest(code, known)
        raise click.ClickException(
            f"there is no page about `{code}`; "
            + (f"did you mean {close}?" if close else "a type that is not the runner's own is one that a saga raised")
        )
    if output == "json":
        print_json({"kind": page.kind, "code": page.code, "lead": page.lead, "text": page.text})
        return
    Screen().lines(_lines(page.text))


def _lines(text: str) -> list[Line]:
    """Markdown as it reads in a terminal: without its marks, and code set off."""
    out: list[Line] = []
    fenced = False
    for line in text.splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced:
            out.append((("    " + line, "cyan"),))
        elif line.startswith("# "):
            out.append(((line.removeprefix("# "), "bold"),))
        else:
            out.append(((line.replace("**", ""), ""),))
    return out
