"""What an answer to a `call` means: done, not done, or unknown. The whole outcome table is on this page.

Not done means that there is provably nothing to undo; whatever is not provable is unknown, and must be undone.
"""

import base64
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

import msgspec

from registry.base.values import Json
from runner.saga.evaluation import ExpressionFailed
from runner.saga.exchange import Answer, Exchange
from runner.saga.expression import falsy
from runner.saga.fault import Fault
from runner.saga.journal import Done, Refused, Unknown
from runner.saga.tree import Spot

if TYPE_CHECKING:
    from runner.steps.call import Call

#: An error's body beyond this is left out of the journal (bytes).
LARGEST_ERROR: Final = 65_536
#: 4xx that may have had an effect all the same.
UNKNOWN_4XX: Final = frozenset({408, 425})
#: Redirects whose target was told to get the request again, so this one had no effect.
NOT_DONE_3XX: Final = frozenset({307, 308})
#: Reads that need an answer's headers.
_OF_RESPONSE: Final = frozenset({"response", "*"})
_decode: Final = msgspec.json.Decoder().decode


class _Unreadable(Exception):
    """The body is not what its type says."""


def judged(call: "Call", spot: Spot, came: Exchange, now: int, attempt: int) -> Done | Refused | Unknown:
    """The record of one attempt."""
    if not isinstance(came, Answer):
        fault = Fault(kind=came.kind, status=came.status, detail=came.detail, step=spot.step.place)
        made = Unknown if came.sent and not (came.kind == "redirect" and not call.effects) else Refused
        return made(t=now, path=spot.path, dir=spot.block.dir, attempt=attempt, fault=fault)
    status = came.status
    if 200 <= status < 300 or (status == 304 and not call.effects):
        return _succeeded(call, spot, came, now, attempt)
    kind = "redirect" if 300 <= status < 400 else str(status) if 400 <= status < 600 else "unexpected"
    fault = Fault(
        kind=kind,
        status=status,
        detail=f"{call.service or 'the service'} answered {status} to {call.method}",
        step=spot.step.place,
        body=_error_body(came),
        headers=_headers(came),
    )
    refused = (400 <= status < 500 and status not in UNKNOWN_4XX) or (
        kind == "redirect" and (status in NOT_DONE_3XX or not call.effects)
    )
    made = Refused if refused else Unknown
    after = _after(came.headers.get("retry-after"), now)
    return made(t=now, path=spot.path, dir=spot.block.dir, attempt=attempt, fault=fault, after=after)


def _succeeded(call: "Call", spot: Spot, came: Answer, now: int, attempt: int) -> Done | Refused | Unknown:
    status = came.status
    try:
        output = _body(came)
    except _Unreadable as error:
        detail = f"{call.service or 'the service'} answered {status}, but {error}"
        return _unknown(spot, came, now, attempt, "unexpected", detail)
    if call.graphql is not None:
        errors = output.get("errors") if isinstance(output, dict) else None
        if (
            not isinstance(output, dict)
            or not (errors is None or isinstance(errors, list))
            or not (errors or "data" in output)
        ):
            detail = "the answer is no GraphQL response: neither `data` nor a list of `errors`"
            return _unknown(spot, came, now, attempt, "unexpected", detail)
        if errors:
            body = output if len(came.body) <= LARGEST_ERROR else None
            detail = "the answer holds errors"
            fault = Fault(kind="graphql", status=status, detail=detail, step=spot.step.place, body=body)
            made = Refused if output.get("data") is None else Unknown
            return made(t=now, path=spot.path, dir=spot.block.dir, attempt=attempt, fault=fault)
        output = output.get("data")
    if call.expect is not None:
        extra = {"output": output, "response": {"status": status, "headers": _headers(came)}}
        try:
            holds = not falsy(call.expect(spot.scope.inner(extra=extra)))
        except ExpressionFailed as failed:
            return _unknown(spot, came, now, attempt, "expression", failed.detail)
        if not holds:
            body = output if len(came.body) <= LARGEST_ERROR else None
            return _unknown(spot, came, now, attempt, "unexpected", "the answer is not what `expect` asks for", body)
    kept = {} if spot.step.read.isdisjoint(_OF_RESPONSE) else _headers(came)
    return Done(t=now, path=spot.path, dir=spot.block.dir, attempt=attempt, output=output, status=status, headers=kept)


def _unknown(spot: Spot, came: Answer, now: int, attempt: int, kind: str, detail: str, body: Json = None) -> Unknown:
    """Of a 2xx that is not what was asked for."""
    fault = Fault(kind=kind, status=came.status, detail=detail, step=spot.step.place, body=body)
    return Unknown(t=now, path=spot.path, dir=spot.block.dir, attempt=attempt, fault=fault)


def _body(came: Answer) -> Json:
    """JSON parsed, `text/*` a string, empty null, else base64. Raises _Unreadable."""
    if not came.body or came.status == 304:
        return None
    media = came.headers.get("content-type", "")
    if media != "application/json":
        media = media.partition(";")[0].strip().lower()
    if media == "application/json" or media.endswith("+json"):
        try:
            return _decode(came.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _Unreadable(f"its body is not JSON: {error}") from error
    if media.startswith("text/"):
        try:
            return came.body.decode()
        except UnicodeDecodeError as error:
            raise _Unreadable("its text is not UTF-8") from error
    return base64.b64encode(came.body).decode()


def _headers(came: Answer) -> dict[str, str]:
    """As expressions name them: `retry_after`."""
    return {name.replace("-", "_"): value for name, value in came.headers.items()}


def _error_body(came: Answer) -> Json:
    if len(came.body) > LARGEST_ERROR:
        return None
    try:
        return _body(came)
    except _Unreadable:
        return None


def _after(value: str | None, now: int) -> int | None:
    """`Retry-After` in milliseconds: seconds, or an HTTP date."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return int(value.strip()[:9]) * 1000
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0, int(moment.timestamp() * 1000) - now)
