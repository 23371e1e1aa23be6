"""Builders for tests of definitions: a text, loaded, with the settings of a runner that has a little of everything."""

from pathlib import Path
from textwrap import dedent

from runner.definitions.load import Loaded, load_texts
from runner.definitions.world import World
from runner.saga.definition import Saga, Step

SETTINGS = World(
    runner="shop",
    streams={"http": "http", "orders": "kafka", "placed": "inprocess"},
    states=frozenset({"default"}),
    retries={"standard": {"attempts": 4, "delay": "300ms"}},
    vars={"channel": "web", "unread": 1},
    raw_urls=False,
    auth=True,
)


def loaded(text: str, world: World = SETTINGS, *, root: Path = Path(), file: str = "a.yaml") -> Loaded:
    """What loading one file of this text gives."""
    return load_texts([(file, dedent(text).encode())], world, root)


def codes(text: str, world: World = SETTINGS) -> list[str]:
    """The codes of everything that is found in the text, by place."""
    return [finding.code for finding in loaded(text, world).findings]


def only_saga(text: str, world: World = SETTINGS) -> Saga:
    """The one saga of a text without errors."""
    result = loaded(text, world)
    assert not result.errors, [finding.message for finding in result.findings]
    [saga] = result.catalog
    return saga


def step_of(text: str, world: World = SETTINGS) -> Step:
    """The first step of a saga whose `steps` are this text."""
    body = dedent(text)
    indented = "".join(f"  {line}\n" for line in body.strip("\n").split("\n"))
    return only_saga(f"id: a\npath: /a\nmethods: [POST]\nsteps:\n{indented}", world).steps[0]
