"""The saga that is measured: three POSTs, two of them with an undo, the last one the pivot, an output mapped.

And what its engine does without a process around it: the program, a trigger, and the appends of one run.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from registry.base.clock import SystemClock
from registry.chooser import Chooser
from registry.directories.memory import MemoryDirectory
from runner.adapters.stores.memory import MemoryJournals
from runner.definitions.catalog import Catalog
from runner.definitions.load import load_texts
from runner.engine.dispatch import Dispatcher, Limits
from runner.engine.drive import Driver
from runner.engine.perform import Performer
from runner.guards.serving import refusal
from runner.ports import Compaction, Created, Hold, Journals, NewRun, Note, Sink, Unread
from runner.saga.definition import Saga
from runner.saga.exchange import Answer, Exchange, Request
from runner.saga.message import Message, Reply, Wishes

SERVICES = ("stock", "courier", "payment")
PATH = "/order"
NAME = "order.yaml"
DEFINITION = """\
path: /order
methods: [POST]
steps:
  - name: reserve
    call:
      service: stock
      path: /reservations
      body: {id: "${ steps.reserve.key }", sku: "${ input.sku }", qty: "${ input.qty }"}
    compensate:
      call: {service: stock, method: DELETE, path: "/reservations/${ steps.reserve.key }"}
  - name: ship
    call:
      service: courier
      path: /shipments
      body: {order: "${ input.orderId }", reservation: "${ steps.reserve.output.id }", city: "${ input.city }"}
    compensate:
      call: {service: courier, method: DELETE, path: "/shipments/${ steps.ship.key }"}
  - name: charge
    pivot: true
    call:
      service: payment
      path: /charges
      body: {id: "${ steps.charge.key }", order: "${ input.orderId }", amount: "${ input.total }"}
    compensate: none
output:
  orderId: "${ input.orderId }"
  reservation: "${ steps.reserve.output.id }"
  shipment: "${ steps.ship.output.id }"
  charge: "${ steps.charge.output.id }"
"""
ORDER = {"orderId": "o-1", "sku": "tea", "qty": 2, "total": 9, "city": "Paris"}
BODY = b'{"orderId":"o-1","sku":"tea","qty":2,"total":9,"city":"Paris"}'
#: What the target answers.
ANSWER = b'{"id":"c-1","status":"done"}'
#: And what comes with it.
FIELDS = {
    "content-type": "application/json",
    "server": "target",
    "date": "Thu, 01 Jan 2026 00:00:00 GMT",
    "content-length": "28",
}


def catalog(name: str = NAME, definition: str = DEFINITION) -> Catalog:
    """The checked definition. Raises RuntimeError where it has findings."""
    loaded = load_texts([(name, definition.encode())])
    if loaded.findings:
        raise RuntimeError(f"the measured saga has findings: {loaded.findings}")
    return loaded.catalog


def message(path: str = PATH) -> Message:
    """The trigger, as the HTTP source would make it of a small request."""
    return Message(
        stream="http",
        path=path,
        method="POST",
        input=dict(ORDER),
        headers={"host": "127.0.0.1:8080", "content_type": "application/json", "content_length": "62"},
        time=SystemClock().millis(),
    )


def _kept(reply: Reply) -> None:
    """Nobody is answered early: the measured saga is quick."""
    raise RuntimeError(f"the measured saga took too long and answered {reply.status}")


class Answering:
    """A sink whose every service answers at once, as the target does."""

    async def send(
        self, request: Request, *, base_url: str, extra_headers: Sequence[tuple[str, str]], timeout: float
    ) -> Exchange:
        return Answer(status=200, headers=FIELDS, body=ANSWER)

    async def close(self) -> None:
        """Nothing is kept open."""


class Forgetful(MemoryJournals):
    """A journal that costs next to nothing: it keeps no run, only what was appended last, if asked to."""

    def __init__(self) -> None:
        super().__init__(SystemClock())
        #: Appends: records and note. None: they are not kept.
        self.appends: list[tuple[tuple[bytes, ...], Note]] | None = None

    async def create(self, new: NewRun, note: Note, *, start: bool = True) -> Created:
        if self.appends is not None:
            self.appends.append((new.records, note))
        return Created(hold=Hold(run=new.id, owner="bench", epoch=1, length=len(new.records)), existing=None)

    async def append(
        self,
        hold: Hold,
        records: Sequence[bytes],
        note: Note,
        *,
        blobs: Mapping[str, bytes] = {},
        compaction: Compaction | None = None,
        taken: int = 0,
        spawn: Sequence[tuple[NewRun, Note]] = (),
    ) -> tuple[Unread, ...]:
        if self.appends is not None:
            self.appends.append((tuple(records), note))
        hold.length += len(records)
        return ()


def refused(saga: Saga, _catalog: Catalog) -> str:
    """Why the saga is not served; empty where it is."""
    return refusal([saga])


class Engine:
    """Dispatcher and driver over these ports, without HTTP in front."""

    def __init__(self, sink: Sink, journals: Journals, definitions: Catalog | None = None) -> None:
        clock = SystemClock()
        urls = dict.fromkeys((*SERVICES, "slow"), "http://127.0.0.1:1")
        performer = Performer(
            sink=sink,
            services=Chooser(MemoryDirectory(clock), clock, fallback=urls),
            streams=None,  # type: ignore[arg-type]  # the measured saga emits nothing
            clock=clock,
        )
        self.driver = Driver(journals=journals, performer=performer, clock=clock)
        self.dispatcher = Dispatcher(
            driver=self.driver,
            journals=journals,
            runner="shop",
            limits=Limits(in_flight=1_000_000),
            variables={},
            refused=refused,
        )
        self.dispatcher.serve(catalog() if definitions is None else definitions)

    async def order(self, path: str = PATH, *, at_once: bool = False) -> Reply:
        """One whole run; `at_once`: only its start. Raises RuntimeError where it does not complete, or start."""
        saga = self.dispatcher.choose(stream="http", path=path, method="POST", version=None)
        assert isinstance(saga, Saga)
        reply = await self.dispatcher.handle(saga, message(path), Wishes(at_once=at_once), _kept)
        if reply.status != (202 if at_once else 200):
            raise RuntimeError(f"the measured saga answered {reply.status}: {reply.body!r}")
        return reply


async def appends() -> list[tuple[tuple[bytes, ...], Note]]:
    """What one run of the measured saga appends: a creation and three more."""
    journals = Forgetful()
    await journals.open("bench")
    engine = Engine(Answering(), journals)
    made: list[tuple[tuple[bytes, ...], Note]] = []
    journals.appends = made
    await engine.order()
    return made


def settings(target: str, **more: Any) -> dict[str, Any]:
    """A settings file for `saga run` whose services are all at `target`: any port, a journal on disk."""
    return {
        "runner": {"port": 0},
        "registry": {"port": 0},
        "definitions": ["definitions"],
        "journal": {"url": "sqlite:journal.db"},
        "services": {name: {"url": target} for name in SERVICES},
        **more,
    }
