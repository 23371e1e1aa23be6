"""Builders of calls, with defaults."""

from collections.abc import Sequence

from runner.adapters.streams.http import HttpSink
from runner.saga.exchange import Exchange, Lost, Request

#: Longer than any test should take, in seconds: for calls that are to end by themselves.
AMPLE_S = 15.0


def a_request(
    method: str = "POST",
    target: str = "/charges",
    *,
    headers: tuple[tuple[str, str], ...] = (),
    body: bytes | None = None,
    key: str = "run-1.charge",
    url: str = "",
) -> Request:
    """A request to the service `payment`."""
    return Request(
        service="" if url else "payment",
        url=url,
        method=method,
        target="" if url else target,
        headers=headers,
        body=body,
        key=key,
    )


async def send(
    sink: HttpSink,
    base_url: str,
    request: Request | None = None,
    *,
    extra_headers: Sequence[tuple[str, str]] = (),
    timeout: float = AMPLE_S,
) -> Exchange:
    """One attempt of `request`, by default a POST of a small body."""
    return await sink.send(
        a_request(body=b'{"amount":5}') if request is None else request,
        base_url=base_url,
        extra_headers=extra_headers,
        timeout=timeout,
    )


def verdict(exchange: Exchange) -> tuple[str, bool, int]:
    """Kind, sent and status of a lost call; fails on an answer."""
    assert isinstance(exchange, Lost), exchange
    assert exchange.detail.endswith("."), f"not a sentence: {exchange.detail}"
    return exchange.kind, exchange.sent, exchange.status
