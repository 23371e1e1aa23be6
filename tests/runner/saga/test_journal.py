"""Records: every letter goes to bytes and back, and a person can read them."""

import json

import msgspec
import pytest

from runner.saga.fault import Fault
from runner.saga.journal import (
    INLINE,
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
    decode,
    encode,
    pack,
    unpack,
)

FAULT = Fault(
    kind="sold-out",
    status=410,
    detail="no more",
    step="a",
    body={"n": [1, None]},
    headers={"x": "y"},
    title="Sold out",
    errors=[{"pointer": "/a", "detail": "b"}],
    raised=True,
)
RECORDS: list[Record] = [
    Started(t=1, bundle="b", saga="s@1", input={"a": 10**30}, event={"id": "x"}, labels={"l": "1"}, deadline=5),
    Begun(t=2, path="a", dir="f", attempt=1, digest="d"),
    Done(t=3, path="a", dir="f", output=[1.5, None], status=201, headers={"x": "y"}, attempt=2),
    Refused(t=4, path="a", dir="u", fault=FAULT, attempt=3, after=1000),
    Unknown(t=5, path="a", dir="c", fault=FAULT, crash=True),
    RetryPlanned(t=6, path="a", dir="f", attempt=2, at=99),
    Waiting(t=7, path="a", dir="f", until=8, signal="go"),
    Signalled(t=8, id="1", name="go", body={"é": "\u0000"}, subject="bob", roles=("a",), reason="r"),
    ScopeTurned(t=9, path="a", fault=FAULT, undo=("b", "c")),
    Turned(t=10, cause="error", fault=FAULT, undo=()),
    Snapshot(t=10, records=(Done(t=3, path="a", dir="f", output=1), Snapshot(t=4))),
    Ended(
        t=11,
        status="failed",
        error=FAULT,
        headers={"a": "b"},
        leftovers=(Leftover(step="a", outcome="done"),),
        undo_errors=(UndoError(step="a", kind="503", status=503),),
    ),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_record_comes_back_as_it_was(record: Record) -> None:
    assert decode(encode(record)) == record


def test_each_kind_has_a_letter_of_its_own_in_front() -> None:
    letters = [json.loads(encode(record))[0] for record in RECORDS]
    assert letters == ["S", "B", "D", "F", "U", "R", "W", "G", "Y", "X", "K", "Z"]


def test_what_is_no_record_is_refused() -> None:
    for data in (b"", b"{}", b'["Q",1]', b'["B",1,"a"]', b'["B","now","a","f",1,"d"]'):
        with pytest.raises(msgspec.MsgspecError):
            decode(data)


def test_an_output_that_is_too_large_lies_beside_its_record_once() -> None:
    large = "x" * INLINE  # two quotes more than may be
    records = [
        Done(t=1, path="a", dir="f", output=large, status=200),
        Done(t=2, path="b", dir="f", output="x" * (INLINE - 2)),
        Ended(t=3, status="completed", output=large),
    ]
    bodies, blobs = pack(records)
    assert list(blobs.values()) == [json.dumps(large).encode()]
    assert [len(body) > INLINE for body in bodies] == [False, True, False]
    assert unpack(bodies, blobs) == records


def test_records_of_before_there_were_blobs_are_read() -> None:
    assert decode(b'["D","a","f",[1],200,{},2,5]') == Done(t=5, path="a", dir="f", output=[1], status=200, attempt=2)
    assert decode(b'["Z","completed",1,null,{},[],[],5]') == Ended(t=5, status="completed", output=1)


def test_small_records_are_stored_as_they_are() -> None:
    assert pack(RECORDS) == ([encode(record) for record in RECORDS], {})
    assert unpack([encode(record) for record in RECORDS], {}) == RECORDS


def test_a_record_whose_blob_is_lost_is_none() -> None:
    bodies, _ = pack([Done(t=1, path="a", dir="f", output="x" * INLINE)])
    with pytest.raises(msgspec.MsgspecError, match="not in the store"):
        unpack(bodies, {})
