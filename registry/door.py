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
from registry.listing import NAME
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
        self._guarded = bool(self._tokens)
        self._figures = office.figures
        self._monotonic = office.clock.monotonic
        self._services = services
        self._lookups = lookups
        self._looked_up = self._figures.durations("GET", _NAME, 200)
        self._beaten = self._figures.durations("POST", _NAME + _BEAT, 200)
        self._loud = log.isEnabledFor(logging.DEBUG)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        start = self._monotonic()
        path: str = scope["path"]
        method: str = scope["method"]
        caller: Caller | None = ANYBODY
        if self._guarded and path not in _OPEN:
            caller = self._tokens.caller(_field(scope, b"authorization"))
            if caller is None or (method == "GET" and not caller.reads):
                refused = _NO_TOKEN if caller is None else forbidden(f"{caller.name} may not read: that takes read.")
                await self._refuse(refused, start, scope, receive, send)
                return
        work: Awaitable[bytes] | None = None
        if method == "GET":
            name = path.removeprefix(_SERVICES)
            # What is left is a plain name, or another path.
            if NAME.fullmatch(name) and name not in RESERVED and not scope["query_string"]:
                work, durations, template = self._lookups.plain(name), self._looked_up, _NAME
        elif _too_large(scope):
            await self._refuse(TOO_LARGE, start, scope, receive, send)
            return
        elif method == "POST" and path.endswith(_BEAT) and path.startswith(_SERVICES) and caller is not None:
            work = self._beat(caller, path[len(_SERVICES) : -len(_BEAT)], scope)
            durations, template = self._beaten, _NAME + _BEAT
        if work is None:
            scope["saga.caller"] = caller
            await self._pass_on(start, scope, receive, send)
            return
        try:
            body = await work
        except Exception as failure:
            await self._refuse(_problem(failure, scope), start, scope, receive, send, template)
            return
        length = b"content-length", b"%d" % len(body)
        await send({"type": "http.response.start", "status": 200, "headers": [_JSON, length]})
        await send({"type": "http.response.body", "body": body})
        durations.add(self._monotonic() - start)
        if self._loud:
            log.debug("%s %s 200", method, path)

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
            template = getattr(scope.get("route"), "path", "").removeprefix(PREFIX)
            # Those that wait for a change would spoil the durations of those that do not.
            waits = template == _NAME and b"index=" in scope["query_string"]
            self._count(status, start, scope, f"{template}?index" if waits else template)

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


def _problem(failure: Exception, scope: Scope) -> Problem:
    """What is told of a failure; whatever it is, the caller gets a problem document and the log the rest."""
    if isinstance(failure, Refused):
        return failure.problem
    if isinstance(failure, DirectoryAway):
        return away(failure)
    log.error("%s %s could not be answered", scope["method"], scope["path"], exc_info=failure)
    return INTERNAL


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
