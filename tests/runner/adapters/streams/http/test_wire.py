"""What exactly leaves: the request line, the header fields and the body."""

import asyncio
from collections.abc import Sequence

import pytest

from runner.saga.exchange import Answer, Request
from tests.runner.adapters.streams.http.calls import a_request, send, verdict
from tests.runner.adapters.streams.http.conftest import Net
from tests.support.services import Peer, Received, always, answer


def sent(
    net: Net, request: Request, *, prefix: str = "", extra_headers: Sequence[tuple[str, str]] = ()
) -> tuple[Received, str]:
    """The one request that a service received, and the `host:port` of that service."""
    got: list[tuple[Received, str]] = []

    async def scenario() -> None:
        async with net.service(always(answer())) as service, net.sink() as sink:
            exchange = await send(sink, service.url + prefix, request, extra_headers=extra_headers)
            assert isinstance(exchange, Answer), exchange
            [received] = service.received
            got.append((received, service.url.partition("://")[2]))

    net.run(scenario())
    return got[0]


def test_a_request_carries_its_key_bare_and_says_what_it_is_and_reads(net: Net) -> None:
    received, host = sent(net, a_request("PUT", "/charges/1?a=%2F&b=", body=b'{"a":1}', key="run-1.charge"))
    assert (received.method, received.target, received.body) == ("PUT", "/charges/1?a=%2F&b=", b'{"a":1}')
    assert {name.lower(): value for name, value in received.headers} == {
        "host": host,
        "accept": "application/json, */*;q=0.5",
        "accept-encoding": "identity",
        "user-agent": "saga-runner",
        "idempotency-key": "run-1.charge",
        "content-type": "application/json",
        "content-length": "7",
    }


@pytest.mark.parametrize(("method", "length"), [("GET", None), ("HEAD", None), ("DELETE", "0"), ("POST", "0")])
def test_without_a_body_there_is_no_content_type(net: Net, method: str, length: str | None) -> None:
    received, _ = sent(net, a_request(method))
    assert received.header("content-type") is None
    assert received.header("content-length") == length
    assert received.header("transfer-encoding") is None
    assert received.header("idempotency-key") == "run-1.charge"


def test_without_a_key_none_is_sent(net: Net) -> None:
    received, _ = sent(net, a_request("GET", key=""))
    assert received.header("idempotency-key") is None


def test_the_steps_headers_replace_the_defaults_and_settings_replace_both(net: Net) -> None:
    request = a_request(
        headers=(
            ("content-type", "text/plain"),
            ("accept", "text/*"),
            ("authorization", "Basic mine"),
            ("x-tag", "one"),
            ("x-tag", "two"),
        ),
        body=b"hi",
    )
    extra = [("Authorization", "Bearer theirs"), ("X-Saga-Run", "r1"), ("traceparent", "00-1-2-01")]
    received, _ = sent(net, request, extra_headers=extra)
    assert received.header("content-type") == "text/plain"
    assert received.header("accept") == "text/*"
    assert received.header("authorization") == "Bearer theirs"
    assert received.header("x-saga-run") == "r1"
    assert received.header("traceparent") == "00-1-2-01"
    assert [value for name, value in received.headers if name.lower() == "x-tag"] == ["one", "two"]


def test_text_beyond_ascii_goes_as_utf_8(net: Net) -> None:
    received, _ = sent(net, a_request(headers=(("x-city", "Łódź\tno 1"),)))
    assert (received.header("x-city") or "").encode("latin-1").decode() == "Łódź\tno 1"


@pytest.mark.parametrize("prefix", ["/api/v1", "/api/v1/"])
def test_the_path_of_an_instances_url_comes_before_the_target(net: Net, prefix: str) -> None:
    received, _ = sent(net, a_request("GET", "/stock/a%2Fb?x=1"), prefix=prefix)
    assert received.target == "/api/v1/stock/a%2Fb?x=1"


def test_an_absolute_url_stands_for_itself(net: Net) -> None:
    async def scenario() -> None:
        async with net.service(always(answer())) as service, net.sink() as sink:
            for tail, target in (("", "/"), ("?q=1", "/?q=1"), ("/a%20b?q=%C3%A9#part", "/a%20b?q=%C3%A9")):
                got = await send(sink, "", a_request("GET", url=service.url + tail))
                assert isinstance(got, Answer)
                assert service.received[-1].target == target

    net.run(scenario())


@pytest.mark.parametrize(
    "request_",
    [
        a_request(headers=(("x-a", "1\r\nx-evil: 2"),)),
        a_request(headers=(("x-a", "1\n"),)),
        a_request(headers=(("x-a", "\0"),)),
        a_request(headers=(("x-a", "\ud800"),)),
        a_request(headers=(("x a", "1"),)),
        a_request(headers=(("x-a:", "1"),)),
        a_request(headers=(("Content-Length", "5"),)),
        a_request(headers=(("transfer-encoding", "chunked"),)),
        a_request(key="k\r\nx-evil: 1"),
        a_request(target="/a b"),
        a_request(target="/a\r\nx-evil: 1"),
        a_request(target="/é"),
        a_request(target="no-slash"),
        a_request("PO ST"),
        a_request(""),
    ],
    ids=lambda request: (
        repr((request.method, request.target, request.headers, request.key)).encode("ascii", "replace").decode()
    ),
)
def test_what_would_not_be_one_http_request_is_not_sent(net: Net, request_: Request) -> None:
    async def scenario() -> None:
        async with net.service(always(answer())) as service, net.sink() as sink:
            assert verdict(await send(sink, service.url, request_)) == ("unexpected", False, 0)
            assert service.connections == 0

    net.run(scenario())


@pytest.mark.parametrize(
    "address",
    [
        "",
        "payment",
        "ftp://127.0.0.1",
        "http://",
        "http://127.0.0.1:99999",
        "http://127.0.0.1:x",
        "http://[::1",
        "http://a b/",
        "http://user:secret@127.0.0.1:1",
        "http://127.0.0.1:1/?q=1",
    ],
)
def test_an_address_that_cannot_be_called_is_unreachable_and_its_secret_is_not_shown(net: Net, address: str) -> None:
    async def scenario() -> None:
        async with net.sink() as sink:
            got = await send(sink, address)
            assert verdict(got) == ("unreachable", False, 0)
            assert "secret" not in got.detail  # type: ignore[union-attr]  # verdict has made sure

    net.run(scenario())


def test_several_calls_at_once_each_get_their_own_answer(net: Net) -> None:
    async def scenario() -> None:
        async def echo(peer: Peer) -> None:
            while True:
                got = await peer.request()
                peer.write(answer(200, got.body))

        async with net.service(echo) as service, net.sink(max_connections=8) as sink:
            bodies = [str(n).encode() for n in range(200)]
            answers = await asyncio.gather(*(send(sink, service.url, a_request(body=b)) for b in bodies))
            assert [one.body for one in answers if isinstance(one, Answer)] == bodies
            assert service.connections <= 8

    net.run(scenario())
