"""What watchers are told of a record: a stable name, a number, and nothing said in confidence."""

import json
from typing import get_args

import pytest

from runner.saga.fault import Fault
from runner.saga.happening import NAMES, event_of, numbered
from runner.saga.journal import (
    Begun,
    Done,
    Ended,
    Leftover,
    Record,
    Refused,
    RetryPlanned,
    ScopeTurned,
    Signalled,
    Snapshot,
    Started,
    Turned,
    UndoError,
    Unknown,
    Waiting,
)

SECRET = "s3cret"
FAULT = Fault(kind="409", status=409, detail="taken", step="pay", body={"card": SECRET}, headers={"x": SECRET})
RECORDS: dict[str, Record] = {
    "started": Started(
        t=1, bundle=SECRET, saga="a@1", input={"card": SECRET}, event={"headers": {"x": SECRET}}, labels={"id": "x"}
    ),
    "sent": Begun(t=1, path="pay", dir="f", attempt=1, digest=SECRET),
    "done": Done(t=1, path="pay", dir="u", output={"card": SECRET}, status=201, headers={"x": SECRET}, attempt=2),
    "refused": Refused(t=1, path="pay", dir="c", fault=FAULT),
    "unknown": Unknown(t=1, path="pay", dir="f", fault=FAULT),
    "retry": RetryPlanned(t=1, path="pay", dir="f", attempt=2, at=1_000),
    "waiting": Waiting(t=1, path="word", dir="f", until=1_000, signal="word"),
    "signalled": Signalled(t=1, id=SECRET, name="word", body={"card": SECRET}, roles=(SECRET,), reason="said so"),
    "scope-turned": ScopeTurned(t=1, path="pay", fault=FAULT, undo=("a", "b")),
    "folded": Snapshot(t=1, records=(Done(t=1, path="pay", dir="f", output={"card": SECRET}),)),
    "turned": Turned(t=1, cause="error", fault=FAULT, undo=("a",)),
    "ended": Ended(
        t=1,
        status="failed",
        output={"card": SECRET},
        error=FAULT,
        headers={"x": SECRET},
        leftovers=(Leftover(step="a", outcome="unknown"),),
        undo_errors=(UndoError(step="a", kind="503", status=503, detail="away"),),
    ),
}


def test_every_record_has_its_event_and_every_other_name_is_no_record() -> None:
    assert {type(record) for record in RECORDS.values()} == set(get_args(Record))
    assert set(NAMES) - set(RECORDS) == {"status", "closed"}


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_tells_its_name_number_and_time_and_no_secret(name: str) -> None:
    told = event_of(7, RECORDS[name])
    assert told is not None
    assert (told.seq, told.name) == (7, name)
    assert json.loads(told.data)["time"] == "1970-01-01T00:00:00.001000Z"
    assert b"\n" not in told.data
    assert SECRET.encode() not in told.data


def test_an_outcome_says_where_which_attempt_and_why() -> None:
    told = event_of(1, RECORDS["refused"])
    assert told is not None
    said = json.loads(told.data)
    assert (said["step"], said["direction"], said["attempt"], said["outcome"]) == ("pay", "catch", 1, "refused")
    assert said["error"] == {"kind": "409", "status": 409, "detail": "taken", "step": "pay"}


def test_numbers_are_counted_back_from_the_length_where_a_stretch_is_not_stored_any_more() -> None:
    assert [seq for seq, _ in numbered([b"S", b"B", b"D"], 3)] == [1, 2, 3]
    assert [seq for seq, _ in numbered([b"S", b"K", b"D"], 12)] == [1, 11, 12]
