"""The journal as one simulated runner reaches it: late, away for a while, or gone with the answer still to come."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from runner.ports import (
    NO_BLOBS,
    Blobs,
    Claimed,
    Compaction,
    Created,
    Fenced,
    Filter,
    Hold,
    NewRun,
    Note,
    Page,
    Signal,
    Stored,
    StoreUnavailable,
    Unread,
)
from tests.support.sim_chronicle import Appended, Chronicle, Kept, known_id
from tests.support.sim_life import ALIVE, Life, Reaper

T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class StoreWeather:
    """How the store is to be reached."""

    #: Chance per operation that it is not done, and that it is, without an answer.
    before: float = 0.0
    after: float = 0.0
    #: Nobody reaches it.
    away: bool = False
    #: Mean seconds on the way, each way.
    lag: float = 0.002


@dataclass(slots=True, kw_only=True, eq=False)
class SimJournals:
    """`Journals` of one runner."""

    life: Life
    weather: StoreWeather
    reaper: Reaper
    chronicle: Chronicle
    rng: Random

    async def _reach(self, work: Callable[[], Awaitable[T]], forget: Callable[[], None] | None = None) -> T:
        """`forget`: takes back what the store told the caller, where its answer is lost."""
        life, weather = self.life, self.weather
        await life.gate()
        self.reaper.pass_by(life, "before the store")
        await asyncio.sleep(self.rng.expovariate(1 / weather.lag))
        # What a runner had sent before it fell may arrive all the same.
        if life.state != ALIVE and self.rng.random() < 0.5:
            await life.gate()
        if weather.away or self.rng.random() < weather.before:
            await life.gate()
            raise StoreUnavailable("the store is away")
        answer = await work()
        lost = self.rng.random() < weather.after
        await asyncio.sleep(self.rng.expovariate(1 / weather.lag))
        self.reaper.pass_by(life, "behind the store")
        await life.gate()
        if lost:
            self.chronicle.count("answer of the store lost")
            if forget is not None:
                forget()
            raise StoreUnavailable("the store took it, and its answer was lost")
        return answer

    async def _look(self, work: Callable[[], Awaitable[T]]) -> T:
        """A question that changes nothing and is asked all the time: no lag."""
        await self.life.gate()
        if self.weather.away:
            raise StoreUnavailable("the store is away")
        return await work()

    async def open(self, owner: str) -> None:
        """It was opened when its runner came to life."""

    async def close(self) -> None:
        """Nobody closes a runner in here: it dies."""

    async def ping(self) -> None:
        await self._look(self.life.store.ping)

    async def create(self, new: NewRun, note: Note, *, start: bool = True) -> Created:
        async def work() -> Created:
            before = await self.life.store.read(new.id)
            created = await self.life.store.create(new, note, start=start)
            if before is None and created.existing is None:
                self._tell(new.id, 0, len(new.records), created.hold)
            elif created.hold is not None:
                self.chronicle.count("create sent twice")
            return created

        return await self._reach(work)

    async def append(
        self,
        hold: Hold,
        records: Sequence[bytes],
        note: Note,
        *,
        blobs: Blobs = NO_BLOBS,
        compaction: Compaction | None = None,
        taken: int = 0,
        spawn: Sequence[tuple[NewRun, Note]] = (),
    ) -> tuple[Unread, ...]:
        length = hold.length

        async def work() -> tuple[Unread, ...]:
            before = await self.life.store.read(hold.run)
            born = [new for new, _ in spawn if await self.life.store.read(new.id) is None]
            try:
                unread = await self.life.store.append(
                    hold, records, note, blobs=blobs, compaction=compaction, taken=taken, spawn=spawn
                )
            except Fenced:
                self.chronicle.count("fenced")
                await self.life.gate()
                raise
            after = await self.life.store.read(hold.run)
            if before is not None and after is not None and after.row.length > before.row.length:
                self._tell(hold.run, before.row.length, after.row.length - before.row.length, hold)
            elif records:
                self.chronicle.count("append sent twice")
            for new in born:
                if await self.life.store.read(new.id) is not None:
                    self._tell(new.id, 0, len(new.records), None, by=hold.run)
            if note.status == "parked":
                self.chronicle.count(f"parked for {note.reason.partition(':')[0]}")
            if note.release and unread and not note.deaf:
                self.chronicle.count("signal raced release")
            return unread

        def forget() -> None:
            hold.length = length

        return await self._reach(work, forget)

    def _tell(self, run: str, first: int, count: int, hold: Hold | None, *, by: str = "") -> None:
        at = asyncio.get_running_loop().time()
        owner, epoch = ("", 1) if hold is None else (hold.owner, hold.epoch)
        self.chronicle.tell(Appended(run=run, first=first, count=count, owner=owner, epoch=epoch, by=by, at=at))

    async def claim(self, run: str) -> Claimed | None:
        async def work() -> Claimed | None:
            before = await self.life.store.read(run)
            claimed = await self.life.store.claim(run)
            if claimed is not None and before is not None and before.row.owner == self.life.owner:
                self.chronicle.count("claim sent twice")
            return claimed

        return await self._reach(work)

    async def put_bundle(self, digest: str, body: bytes) -> None:
        await self._reach(lambda: self.life.store.put_bundle(digest, body))

    async def get_bundle(self, digest: str) -> bytes | None:
        return await self._reach(lambda: self.life.store.get_bundle(digest))

    async def read(self, run: str) -> Stored | None:
        return await self._reach(lambda: self.life.store.read(run))

    async def signal(self, run: str, signal: Signal) -> str:
        async def work() -> str:
            kept = await self.life.store.read(run)
            if kept is not None and kept.row.status == "waiting" and not kept.row.owner:
                self.chronicle.count("signal to a released run")
            elif kept is not None and kept.row.owner not in ("", self.life.owner):
                self.chronicle.count("signal through another runner")
            answer = await self.life.store.signal(run, signal)
            if answer == "taken":
                self.chronicle.tell(Kept(run=run, name=signal.name, id=known_id(signal.name, signal.id)))
            return answer

        return await self._reach(work)

    async def orphans(self, limit: int) -> tuple[str, ...]:
        async def in_any_order() -> tuple[str, ...]:
            found = sorted(await self.life.store.orphans(limit))
            self.rng.shuffle(found)
            return tuple(found)

        return await self._look(in_any_order)

    async def due(self, now: int, limit: int) -> tuple[str, ...]:
        return await self._look(lambda: self.life.store.due(now, limit))

    async def next_due(self) -> int | None:
        return await self._look(self.life.store.next_due)

    async def heartbeat(self) -> tuple[Unread, ...]:
        async def by_run() -> tuple[Unread, ...]:
            return tuple(sorted(await self.life.store.heartbeat(), key=lambda one: one.run))

        return await self._look(by_run)

    async def list(self, wanted: Filter) -> Page:
        return await self._look(lambda: self.life.store.list(wanted))

    async def sweep(self, ended_before: int, limit: int) -> int:
        return await self._look(lambda: self.life.store.sweep(ended_before, limit))
