import asyncio
from collections.abc import Iterable, Mapping

import pytest

from registry.base.clock import ManualClock
from registry.directories.memory import MemoryDirectory
from registry.directory import DirectoryAway, Registered
from registry.listing import Listing, Registration
from runner.app.entry import Entry
from tests.registry.build import registration

pytestmark = pytest.mark.anyio


class Watched(MemoryDirectory):
    """A directory that says when it was written, and is away when it is told to be."""

    def __init__(self) -> None:
        self.time = ManualClock()
        super().__init__(self.time)
        self.away = False
        self.asked = asyncio.Semaphore(0)

    async def register(self, registration: Registration, *, by: str = "") -> Registered:
        self.asked.release()
        self._check()
        return await super().register(registration, by=by)

    async def beat(self, name: str, service_id: str) -> Listing | None:
        self.asked.release()
        self._check()
        return await super().beat(name, service_id)

    async def withdraw(self, name: str, service_ids: Iterable[str], *, by: str = "") -> tuple[Listing, ...]:
        self._check()
        return await super().withdraw(name, service_ids, by=by)

    def _check(self) -> None:
        if self.away:
            raise DirectoryAway("away")

    def urls(self) -> Mapping[str, str]:
        return {x.service_id: x.service_url for x in self.snapshot("saga-runner")}


@pytest.fixture
def directory() -> Watched:
    return Watched()


async def test_a_runner_is_listed_beats_and_leaves_its_namesakes_alone(directory: Watched) -> None:
    other = await directory.register(registration("http://b:1", service_name="saga-runner"))
    await directory.asked.acquire()
    mine = Entry(directory, "saga-runner", "http://a:1", interval=0.001)
    mine.announce()
    for _ in range(3):
        await directory.asked.acquire()
    assert sorted(directory.urls().values()) == ["http://a:1", "http://b:1"]
    await mine.withdraw()
    assert list(directory.urls()) == [other.listing.service_id]


async def test_a_registry_that_is_away_is_found_again_and_knows_the_same_instance(directory: Watched) -> None:
    directory.away = True
    mine = Entry(directory, "saga-runner", "http://a:1", interval=0.001)
    mine.announce()
    await directory.asked.acquire()
    directory.away = False
    await directory.asked.acquire()
    await directory.asked.acquire()
    [first] = directory.urls()
    await directory.withdraw("saga-runner", [first])
    while not directory.urls():
        await directory.asked.acquire()
    assert list(directory.urls()) == [first]
    directory.away = True
    await mine.withdraw()
