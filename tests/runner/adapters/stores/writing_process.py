"""A program that writes a journal until it is killed: `python writing_process.py PATH OWNER WRITERS`.

It prints `open`, and then a line `run length` for everything that the journal acknowledged, after it did.
"""

import asyncio
import itertools
import sys

from registry.base.clock import SystemClock
from runner.adapters.stores.sqlite import SqliteJournals
from runner.ports import NewRun, Note

RUNNING = Note(status="running")


def record(run: str, place: int) -> bytes:
    """The record that run `run` has at `place`."""
    return f'["D",{place},"{run}"]'.encode()


async def write(journals: SqliteJournals, owner: str, writer: int) -> None:
    for number in itertools.count():
        run = f"{owner}.{writer}.{number}"
        created = await journals.create(
            NewRun(
                id=run,
                fingerprint="",
                saga="checkout",
                version=1,
                bundle="b1",
                labels={"writer": str(writer)},
                started_at=number,
                records=(record(run, 0),),
            ),
            RUNNING,
        )
        assert created.hold is not None
        print(run, created.hold.length, flush=True)
        for _ in range(5):
            length = created.hold.length
            await journals.append(created.hold, (record(run, length), record(run, length + 1)), RUNNING)
            print(run, created.hold.length, flush=True)


async def main(path: str, owner: str, writers: int) -> None:
    journals = SqliteJournals(path, SystemClock(), name="shop")
    await journals.open(owner)
    print("open", flush=True)
    await asyncio.gather(*(write(journals, owner, writer) for writer in range(writers)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
