"""`emit`: a record on a stream."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import msgspec

from registry.base.clock import iso
from runner.saga.exchange import Lost, Put, StreamRecord
from runner.saga.fault import Fault
from runner.saga.journal import Done, Refused, Unknown
from runner.saga.shape import Entry, Filled, FilledText, Record, Table, Word
from runner.saga.state import State
from runner.saga.template import Template, TextTemplate, text, texts
from runner.saga.tree import Spot
from runner.steps.leaf import Leaf


@dataclass(frozen=True, slots=True, kw_only=True)
class Emit(Leaf):
    """A record; with `type` a CloudEvent in binary mode."""

    stream: str
    key: Template | None = None
    type: TextTemplate | None = None
    body: Template | None = None
    headers: Mapping[str, Template] = field(default_factory=dict)

    KEY: ClassVar[str] = "emit"
    SHAPE: ClassVar[Record] = Record(
        doc="A record on a Kafka topic or in-process stream.",
        keys={
            "stream": Entry(shape=Word(), doc="Alias of the stream in the settings.", required=True),
            "key": Entry(shape=Filled(), doc="Record key: records of one key keep their order."),
            "type": Entry(shape=FilledText(), doc="CloudEvents type; makes the record a CloudEvent."),
            "body": Entry(shape=Filled(), doc="The record's value as JSON; null is a tombstone."),
            "headers": Entry(shape=Table(of=Filled()), doc="Record headers; null ones are left out."),
        },
    )

    @classmethod
    def build(cls, v: Mapping[str, Any]) -> Self:
        return cls(
            stream=v["stream"],
            key=v.get("key"),
            type=v.get("type"),
            body=v.get("body"),
            headers=v.get("headers", {}),
        )

    @property
    def effects(self) -> bool:
        return True

    def begin(self, run: State, spot: Spot) -> None:
        run.ask(spot)

    def render(self, run: State, spot: Spot, now: int) -> StreamRecord:
        """The record as it leaves. Raises ExpressionFailed."""
        scope = spot.scope
        key = run.key(spot)
        headers = [(name.lower(), value.encode()) for name, values in texts(self.headers, scope) for value in values]
        headers.append(("idempotency-key", key.encode()))
        body = None if self.body is None else self.body(scope)
        if self.type is not None:
            begun = spot.first_at if spot.first_at is not None else now
            headers += [
                ("ce_specversion", b"1.0"),
                ("ce_id", key.encode()),
                ("ce_source", f"/sagas/{spot.frame.saga.id}".encode()),
                ("ce_type", self.type(scope).encode()),
                ("ce_time", iso(begun / 1000).encode()),
            ]
        if body is not None:
            headers.append(("content-type", b"application/json"))
        record_key = None if self.key is None else self.key(scope)
        return StreamRecord(
            stream=self.stream,
            key=None if record_key is None else text(record_key, "emit.key").encode(),
            value=None if body is None else msgspec.json.encode(body),
            headers=tuple(headers),
        )

    def judge(self, run: State, spot: Spot, came: Put | Lost, now: int, attempt: int) -> Done | Refused | Unknown:
        """What became of the attempt, as a record."""
        direction = spot.block.dir
        if isinstance(came, Put):
            output = {"partition": came.partition, "offset": came.offset}
            return Done(t=now, path=spot.path, dir=direction, attempt=attempt, output=output)
        fault = Fault(kind=came.kind, detail=came.detail, step=spot.step.place)
        kind = Unknown if came.sent else Refused
        return kind(t=now, path=spot.path, dir=direction, attempt=attempt, fault=fault)
