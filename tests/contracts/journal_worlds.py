"""Places where the journals' contract is tried, one per store, and builders for what goes into them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from registry.base.clock import ManualClock
from runner.adapters.stores.memory import MemoryJournals
from runner.adapters.stores.sqlite import SqliteJournals
from runner.ports import NO_BLOBS, Blobs, Hold, Journals, NewRun, Note, Signal
from runner.saga.journal import Begun, Done, encode

RUNNING = Note(status="running")
ENDED = Note(status="completed", ended=True)


class World(Protocol):
    """One store that outlives its owners."""

    clock: ManualClock

    async def open(self, owner: str, *, name: str = "shop") -> Journals:
        """The journals as `owner` has them, after every former owner has died without a word."""
        ...

    async def close(self) -> None: ...


class MemoryWorld:
    """The store in memory: each owner gets a sibling."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self._first = MemoryJournals(self.clock, name="shop")
        self._now: Journals = self._first

    async def open(self, owner: str, *, name: str = "shop") -> Journals:
        await self._now.close()
        self._now = self._first.sibling(name=name)
        await self._now.open(owner)
        return self._now

    async def close(self) -> None:
        await self._now.close()


class SqliteWorld:
    """The store in a file: each owner opens it after the former let it go."""

    def __init__(self, path: Path) -> None:
        self.clock = ManualClock()
        self._path = path
        self._now: Journals | None = None

    async def open(self, owner: str, *, name: str = "shop") -> Journals:
        await self.close()
        self._now = SqliteJournals(self._path, self.clock, name=name)
        await self._now.open(owner)
        return self._now

    async def close(self) -> None:
        if self._now is not None:
            await self._now.close()


def begun(path: str = "reserve", *, t: int = 1) -> bytes:
    return encode(Begun(t=t, path=path, dir="f", attempt=1, digest="0" * 64))


def done(path: str = "reserve", *, t: int = 2) -> bytes:
    return encode(Done(t=t, path=path, dir="f", output={"ok": True}))


def new_run(
    run: str = "r1",
    *,
    fingerprint: str = "",
    saga: str = "checkout",
    bundle: str = "b1",
    labels: dict[str, str] | None = None,
    started_at: int = 1_000,
    records: Sequence[bytes] = (b'["S",1]',),
    blobs: Blobs = NO_BLOBS,
) -> NewRun:
    return NewRun(
        id=run,
        fingerprint=fingerprint,
        saga=saga,
        version=1,
        bundle=bundle,
        labels=labels or {},
        started_at=started_at,
        records=tuple(records),
        blobs=blobs,
    )


def copy_of(hold: Hold) -> Hold:
    """The hold as somebody who does not see it move on keeps it."""
    return Hold(run=hold.run, owner=hold.owner, epoch=hold.epoch, length=hold.length)


def signal(number: int = 1, *, name: str = "approve") -> Signal:
    return Signal(id=f"s{number}", name=name, body={"number": number}, subject="ann", roles=("clerk",), reason="asked")


def waiting(until: int | None) -> Note:
    return Note(status="waiting", reason="until", release=True, due_at=until)


async def started(journals: Journals, run: str = "r1", *, labels: dict[str, str] | None = None) -> Hold:
    """A run that the journals' owner has just created."""
    created = await journals.create(new_run(run, labels=labels), RUNNING)
    assert created.hold is not None
    return created.hold


async def ended(journals: Journals, run: str, *, bundle: str = "b1") -> None:
    """A run that has ended."""
    created = await journals.create(new_run(run, bundle=bundle), RUNNING)
    assert created.hold is not None
    await journals.append(created.hold, [b'["Z",9]'], ENDED)
