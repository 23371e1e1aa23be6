"""The tours hold: each console block of these pages is run for real, and shows what the page shows."""

from pathlib import Path

import pytest

from tests.docs.transcript import blocks, playing
from tests.support.processes import ROOT
from tests.support.require import require_command

#: Pages with console blocks, and whether they begin in a folder that has the shop's definitions.
PAGES = {
    "README.md": True,
    "docs/tutorial/first-saga.md": False,
    "docs/how-to/operate.md": True,
    "docs/how-to/use-the-registry.md": True,
    "docs/how-to/wait-for-a-person.md": True,
}


@pytest.mark.process
@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_shows_is_what_happens(page: str, tmp_path: Path) -> None:
    for name in ("bash", "curl", "grep", "sed"):
        require_command(name)
    with playing(tmp_path, shop=PAGES[page]) as player:
        player.play(ROOT / page)
        consoles = [block for block in blocks(ROOT / page) if block.language == "console"]
        assert player.played >= len(consoles) > 1


def test_every_page_with_a_console_block_is_played() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    found = {
        str(page.relative_to(ROOT)) for page in pages if any(block.language == "console" for block in blocks(page))
    }
    assert found == set(PAGES)
