"""A runner's API as the command line uses it: one request, one reply, and failures as one line.

Every answer is read into one of `runner.cli.documents`, here and nowhere else: what is none is not a runner's.
"""

import http.client
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import urlencode, urlsplit

import click
import msgspec

from registry.base.values import Json
from runner.cli.documents import Sagas

_F = TypeVar("_F", bound=Callable[..., Any])
_D = TypeVar("_D", bound=msgspec.Struct)

DEFAULT_SERVER: Final = "http://127.0.0.1:8080"

#: Longer than a runner lets a caller wait (`runner.replyTimeout`), so that the runner speaks first.
_TIMEOUT_S: Final = 90.0
_MAX_BODY_BYTES: Final = 64 * 1_048_576


class Unreachable(click.ClickException):
    """Nobody answered. Exit code 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a server answered."""

    #: Who answered, as URL.
    server: str
    status: int
    #: Names in lower case.
    headers: Mapping[str, str]
    body: bytes

    def read(self, document: type[_D]) -> _D:
        """The body as such a document. Raises `click.ClickException` where it is refused, or no such document."""
        if self.status >= 400:
            raise click.ClickException(self.problem())
        try:
            return msgspec.json.decode(self.body, type=document)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise click.ClickException(self._strange(str(error))) from None

    def json(self) -> Json:
        """The body as JSON. Raises `click.ClickException` where it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise click.ClickException(self._strange("not JSON")) from None

    def _strange(self, why: str) -> str:
        return (
            f"{self.server} answers {self.status}, but not as a runner does ({' '.join(why.split())}); "
            "name one with --server"
        )

    def document(self) -> dict[str, Json]:
        """The body as a JSON object, `{}` where it is anything else."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}

    def problem(self) -> str:
        """What a problem document says, in one line."""
        said = self.document()
        title = str(said.get("title") or http.client.responses.get(self.status, "no success"))
        errors = said.get("errors")
        each = [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
        detail = said.get("detail") or "; ".join(f"{error.get('pointer')}: {error.get('detail')}" for error in each)
        return " ".join(f"{self.status} {title}{f': {detail}' if detail else ''}".split())


class Server:
    """A runner, by its URL."""

    def __init__(self, url: str, *, timeout_s: float = _TIMEOUT_S) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise click.BadParameter(f"{url} is no http:// or https:// URL", param_hint="--server")
        self.url = url.rstrip("/")
        self._parts = parts
        self._timeout_s = timeout_s

    def get(self, path: str, document: type[_D], query: Sequence[tuple[str, str]] = ()) -> _D:
        """The document that a GET answers. Raises `click.ClickException` where it answers none."""
        return self.send("GET", path, query=query).read(document)

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """One request, never sent twice. Raises `Unreachable` where there is no answer."""
        kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        assert self._parts.hostname is not None
        connection = kind(self._parts.hostname, self._parts.port, timeout=self._timeout_s)
        target = self._parts.path.rstrip("/") + path + (f"?{urlencode(query)}" if query else "")
        try:
            connection.request(method, target, body, dict(headers or {}))
            answer = connection.getresponse()
            came = answer.read(_MAX_BODY_BYTES)
            if answer.length:  # the library says nothing of a part where one asked for a part
                raise http.client.IncompleteRead(came, answer.length)
            return Reply(
                server=self.url,
                status=answer.status,
                headers={name.lower(): value for name, value in answer.getheaders()},
                body=came,
            )
        except TimeoutError:
            raise Unreachable(
                f"{self.url} did not answer within {self._timeout_s:g} s; what it did is in: saga runs list"
            ) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise Unreachable(
                f"no runner answers at {self.url} ({' '.join(reason.split())}); "
                "start one with `saga dev`, or name another with --server"
            ) from None
        finally:
            connection.close()

    def link(self, path: str) -> str:
        """The absolute URL of a path, or of a `Location`."""
        return path if "://" in path else self.url + path


def server_option(command: _F) -> _F:
    """The option of every command that asks a runner."""
    return click.option(
        "--server",
        envvar="SAGA_RUNNER_URL",
        default=DEFAULT_SERVER,
        show_default=True,
        show_envvar=True,
        metavar="URL",
        help="The runner to ask.",
    )(command)


def pages(server: Server, query: Sequence[tuple[str, str]] = ()) -> Iterator[tuple[Sagas, Reply]]:
    """The list of sagas page by page, at most 100 of them, each also as it came."""
    cursor: str | None = None
    for _ in range(100):
        reply = server.send("GET", "/api/v1/sagas", query=[*query, *([("cursor", cursor)] if cursor else [])])
        page = reply.read(Sagas)
        yield page, reply
        cursor = page.next
        if not cursor:
            return
