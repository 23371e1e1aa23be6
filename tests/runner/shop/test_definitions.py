"""The definitions that come with the shop are faultless, and between them they show every verb."""

from pathlib import Path

from runner.definitions.load import Loaded, load
from runner.definitions.world import World
from runner.steps import KINDS

FOLDER = Path(__file__).parents[3] / "definitions"
#: What `saga dev` gives them.
WORLD = World(
    runner="shop",
    streams={"http": "http", "placed": "inprocess"},
    states=frozenset({"default"}),
    retries={},
    vars={},
    services=frozenset({"stock", "payment", "courier"}),
    auth=False,
)


def shop() -> Loaded:
    return load([FOLDER], WORLD)


def test_nothing_is_found_wrong_with_them_and_all_of_them_are_in_force() -> None:
    loaded = shop()
    assert loaded.findings == ()
    assert loaded.not_yet == ()
    assert len(loaded.catalog.active) == len(list(FOLDER.rglob("*.yaml")))


def test_every_verb_is_shown() -> None:
    text = "\n".join(path.read_text() for path in FOLDER.rglob("*.yaml"))
    words = {word.strip(" -{") for line in text.splitlines() for word in line.split(":")[:-1]}
    assert set(KINDS) <= words


def test_each_of_them_names_its_schema_for_editors_and_tells_what_it_shows() -> None:
    for path in FOLDER.rglob("*.yaml"):
        first, _, rest = path.read_text().partition("\n")
        assert first == "# yaml-language-server: $schema=../../schemas/saga.schema.json", path
        assert "\ndescription: >-\n" in rest, path
