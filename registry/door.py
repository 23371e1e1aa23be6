"""The registry's ASGI application up to its handlers: who asks, how large, how long it took.

The two requests that services send all the time, a lookup by name and a heartbeat, are answered here without any
framework, which would cost several times what they do.
"""

import logging
from collections.abc import Awaitable, Mapping
from typing import Final
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from registry.base.problem import Problem
from registry.directory import DirectoryAway
from registry.form import RESERVED
from registry.office import Office, away, forbidden
from registry.pages.lookups import Lookups
from registry.pages.services import Services
from registry.tokens import ANYBODY, Caller
from registry.wire import INTERNAL, MAX_BODY, TOO_LARGE, Refused, refusal

log = logging.getLogger(__name__)

PREFIX: Final = "/api/v1"
_SERVICES: Final = f"{PREFIX}/services/"
_BEAT: Final = "/heartbeat"
#: Paths as the counters have them.
_NAME: Final = "/services/{name}"
#: Characters of what is no plain name: a path below it, or a version wished for.
_SPECIAL: Final = frozenset("/@")
#: What probes and scrapers ask without a token, at the root and under the prefix.
_OPEN: Final = frozenset(
    at + page for at in ("", PREFIX) for page in ("/health", "/health/live", "/health/ready", "/metrics")
) | {f"{PREFIX}/openapi.json"}

_NO_TOKEN: Final = Problem(
    status=401,
    code="unauthorized",
    title="A token is needed",
    detail="This registry answers to bearer tokens of REGISTRY_TOKENS: send one, as Authorization: Bearer TOKEN.",
    headers={"WWW-Authenticate": 'Bearer realm="registry"'},
)


class Door:
    """Lets requests in to `inner`, or answers them itself."""

    def __init__(self, inner: ASGIApp, office: Office, services: Services, lookups: Lookups) -> None:
        self._inner = inner
        self._tokens = office.settings.registry_tokens
        self._figures = office.figures
        self._monotonic = office.clock.monotonic
        self._services = services
        self._lookups = lookups
        self._loud = log.isEnabledFor(logging.DEBUG)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        start = self._monotonic()
        path: str = scope["path"]
        method: str = scope["method"]
        caller: Caller | None = ANYBODY
        if self._tokens and path not in _OPEN:
            caller = self._tokens.caller(_field(scope, b"authorization"))
            if caller is None or (method == "GET" and not caller.reads):
                refused = _NO_TOKEN if caller is None else forbidden(f"{caller.name} may not read: that takes read.")
                await self._refuse(refused, start, scope, receive, send)
                return
        if method == "GET":
            if path.startswith(_SERVICES) and not scope["query_string"]:
                name = path[len(_SERVICES) :]
                if name not in RESERVED and _SPECIAL.isdisjoint(name):
                    await self._at_once(self._lookups.plain(name), _NAME, start, scope, receive, send)
                    return
        elif _too_large(scope):
            await self._refuse(TOO_LARGE, start, scope, receive, send)
            return
        elif method == "POST" and path.endswith(_BEAT) and path.startswith(_SERVICES) and caller is not None:
            beat = self._beat(caller, path[len(_SERVICES) : -len(_BEAT)], scope)
            if beat is not None:
                await self._at_once(beat, f"{_NAME}{_BEAT}", start, scope, receive, send)
                return
        scope["saga.caller"] = caller
        await self._pass_on(start, scope, receive, send)

    async def _at_once(
        self, work: Awaitable[bytes], template: str, start: float, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Answer with what `work` makes, without any framework."""
        try:
            body = await work
        except Refused as refused:
            problem = refused.problem
        except DirectoryAway as reason:
            problem = away(reason)
        except Exception:  # whatever it is, the caller gets a problem document and the log the rest
            log.exception("%s %s could not be answered", scope["method"], scope["path"])
            problem = INTERNAL
        else:
            await send({"type": "http.response.start", "status": 200, "headers": [_JSON, _length(body)]})
            await send({"type": "http.response.body", "body": body})
            self._count(200, start, scope, template)
            return
        await self._refuse(problem, start, scope, receive, send, template)

    def _beat(self, caller: Caller, name: str, scope: Scope) -> Awaitable[bytes] | None:
        """A heartbeat that asks for nothing special; None if it does."""
        query = scope["query_string"]
        given = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True)) if query else _NOTHING
        if "/" in name or len(given) > 1 or (given and not 0 < len(given.get("service_id", "")) <= 128):
            return None
        client = scope.get("client")
        return self._services.beaten(caller, name, given.get("service_id"), client[0] if client else "")

    async def _pass_on(self, start: float, scope: Scope, receive: Receive, send: Send) -> None:
        status = 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._inner(scope, receive, watched)
        finally:
            route = scope.get("route")
            self._count(status, start, scope, getattr(route, "path", ""))

    async def _refuse(
        self, problem: Problem, start: float, scope: Scope, receive: Receive, send: Send, template: str = ""
    ) -> None:
        await refusal(problem)(scope, receive, send)
        self._count(problem.status, start, scope, template)

    def _count(self, status: int, start: float, scope: Scope, template: str) -> None:
        took = self._monotonic() - start
        self._figures.durations(scope["method"] if template else "other", template or "other", status).add(took)
        if self._loud:
            log.debug("%s %s %d in %.1f ms", scope["method"], scope["path"], status, took * 1000)


_NOTHING: Final[Mapping[str, str]] = {}
_JSON: Final = (b"content-type", b"application/json")


def _length(body: bytes) -> tuple[bytes, bytes]:
    return b"content-length", b"%d" % len(body)


def _field(scope: Scope, name: bytes) -> bytes | None:
    for each, value in scope["headers"]:
        if each == name:
            found: bytes = value
            return found
    return None


def _too_large(scope: Scope) -> bool:
    """Whether it declares a body above `MAX_BODY`; one that declares nothing is counted as it is read."""
    declared = _field(scope, b"content-length")
    return declared is not None and declared.isdigit() and int(declared[:32]) > MAX_BODY
