"""What the engine is measured against: a program written for this one job, with nothing of an engine in it.

    python -m bench.bare TARGET_URL [JOURNAL]

The same server, the same client (`HttpSink`), the same three calls, and, with a journal, the same four appends of the
same bytes through the same store; no definition, no fold, no expressions, no choice of instances, no undo.
"""

import asyncio
import json
import sys
from typing import Any

import msgspec
import uvloop

from bench.sample import SERVICES, appends
from registry.base.clock import SystemClock
from registry.base.guest import Guest, listening, url_of
from runner.adapters.stores.sqlite import SqliteJournals
from runner.adapters.streams.http import HttpSink
from runner.ports import NewRun
from runner.saga.exchange import Answer, Request

_PATHS = ("/reservations", "/shipments", "/charges")
_HEADERS = [(b"content-type", b"application/json"), (b"cache-control", b"no-store"), (b"x-saga-version", b"1")]


async def serve(target: str, journal: str | None) -> None:
    """Serve until the process is ended."""
    sink = HttpSink()
    first, *others = await appends()
    journals = None
    if journal is not None:
        journals = SqliteJournals(journal, SystemClock(), name="shop")
        await journals.open("shop#bare")
        await journals.put_bundle("d" * 64, b"{}")
    number = 0

    async def call(run: str, step: int, body: Any) -> Any:
        request = Request(
            service=SERVICES[step],
            url="",
            method="POST",
            target=_PATHS[step],
            headers=(),
            body=msgspec.json.encode(body),
            key=f"{run}.{_PATHS[step][1:]}",
        )
        extra = (("x-saga-run", run), ("traceparent", f"00-{'a' * 32}-{'b' * 16}-01"))
        came = await sink.send(request, base_url=target, extra_headers=extra, timeout=10)
        if not isinstance(came, Answer) or came.status != 200:
            raise RuntimeError(f"the target answered {came}")
        return msgspec.json.decode(came.body)

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        nonlocal number
        order = msgspec.json.decode((await receive())["body"])
        number += 1
        run = f"{number:026d}"
        hold = None
        if journals is not None:
            new = NewRun(
                id=run,
                fingerprint="",
                saga="order",
                version=1,
                bundle="d" * 64,
                labels={},
                started_at=1_700_000_000_000 + number,
                records=first[0],
            )
            hold = (await journals.create(new, first[1])).hold
        given = (
            {"id": run, "sku": order["sku"], "qty": order["qty"]},
            {"order": order["orderId"], "city": order["city"]},
            {"id": run, "order": order["orderId"], "amount": order["total"]},
        )
        ids = []
        for step in range(3):
            ids.append((await call(run, step, given[step]))["id"])
            if journals is not None:
                assert hold is not None
                await journals.append(hold, *others[step])
        body = msgspec.json.encode(
            {"orderId": order["orderId"], "reservation": ids[0], "shipment": ids[1], "charge": ids[2]}
        )
        headers = [*_HEADERS, (b"x-saga-run", run.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    with listening("127.0.0.1", 0, "the bare program") as listener:
        guest = Guest(app, listener, grace=1)
        await guest.open()
        print(json.dumps({"url": url_of("127.0.0.1", guest.port)}), flush=True)
        await asyncio.get_running_loop().create_future()


def main() -> None:
    """Serve; the process is ended by a signal."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(serve(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None))


if __name__ == "__main__":
    main()
