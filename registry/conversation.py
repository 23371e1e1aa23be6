"""What a client says to a registry and what it makes of the answers, without a wire.

A talk is a generator: it yields an `Ask` or a `Look` and is sent the `Answer`, or is thrown `RegistryUnavailable` where
there was none; it yields a `Pause` and goes on after it. So the clients of `registry.client`, one for asyncio and one
for threads, differ in how they send and wait, and in nothing else.
"""

import logging
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypedDict, TypeVar, cast
from urllib.parse import quote, urlencode

import msgspec

from registry.base.clock import Clock
from registry.base.values import Json
from registry.settings import registry_token

log = logging.getLogger("registry.client")

MAX_ANSWER: Final = 16 * 1_048_576
_MAX_CACHED: Final = 4_096
#: Seconds until the next try where something did not succeed.
RETRY: Final = 5.0
#: Seconds that one question for news may stay open, and below which an answer without news came too soon.
_LONGEST: Final = 25.0
_SOON: Final = 1.0


class Record(TypedDict, total=False):
    """One service as the registry answers it; times are ISO 8601. A fallback has only the first four."""

    service_name: str
    service_url: str
    service_id: str
    capabilities: list[str]
    registered_at: str
    last_heartbeat: str
    weight: float
    zone: str | None
    version: str | None
    tags: list[str]
    metadata: dict[str, Json]
    health_check_url: str | None
    openapi_url: str | None
    #: Seconds.
    ttl: float
    heartbeat_interval: float
    instances: list["Record"]
    index: int


class Health(TypedDict, total=False):
    """How a registry says it is."""

    #: `healthy` or `unhealthy`.
    status: str
    service: str
    version: str
    #: `connected`, `disconnected`, or `embedded`.
    redis: str
    cache: dict[str, Json]


class _Told(msgspec.Struct, frozen=True, kw_only=True):
    """What must be so in a `Record` that a registry answers, whatever else it has."""

    service_name: str
    service_url: str
    service_id: str
    capabilities: list[str] = []
    last_heartbeat: str = ""
    zone: str | None = None
    version: str | None = None
    heartbeat_interval: float = 0
    instances: list["_Told"] = []


class RegistryError(Exception):
    """The registry could not do what was asked."""


class RegistryRefused(RegistryError):
    """The registry answered with `status`; `problem` is its document."""

    def __init__(self, message: str, *, status: int, problem: dict[str, Json]) -> None:
        super().__init__(message)
        self.status = status
        self.problem = problem


class ServiceNotFound(RegistryRefused):
    """No such service, or no such instance of it, is registered."""


class RegistryUnavailable(RegistryError):
    """The registry did not answer in time, or not as a registry does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request; `path` with its query, `patience` seconds beyond the usual time."""

    method: str
    path: str
    body: bytes | None = None
    patience: float = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Pause:
    """Go on after so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Look:
    """Read the record of one instance of `name` in Redis; answered as by a registry."""

    name: str


@dataclass(frozen=True, slots=True)
class Seen:
    """The instances of a name at one moment, under the registry's number for it."""

    instances: list[Record]
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What changed, as a registry's stream tells it; `instances` are all that the service has now."""

    #: `registered`, `changed`, `withdrawn` or `expired`; `opened` where nothing is missed from now on, and `reset`
    #: where changes are missing: after these two, who keeps a copy reads everything.
    kind: str
    service_name: str = ""
    service_ids: tuple[str, ...] = ()
    instances: tuple[Record, ...] = ()


_T = TypeVar("_T")
Talk: TypeAlias = Generator[Ask | Look | Pause, Answer | None, _T]


class Conversation:
    """Every question that there is to the registry at `saga_url`, and the services that were found lately."""

    def __init__(
        self, saga_url: str, *, redis: bool, cache_ttl: float, fallback: Mapping[str, str], clock: Clock
    ) -> None:
        self.saga_url = saga_url
        self._redis = redis
        self._cache_ttl = cache_ttl
        self._fallback = dict(fallback)
        self._clock = clock
        self._cache: dict[str, tuple[float, Record]] = {}

    def register(self, wish: Mapping[str, Json]) -> Talk[Record]:
        return self._record((yield from self._ask("POST", "/services/register", body=wish)))

    def discover(self, name: str) -> Talk[Record]:
        kept = self._cache.get(name)
        if kept is not None and self._clock.monotonic() < kept[0]:
            return kept[1]
        try:
            found = self._record((yield from self._ask("GET", _service(name))))
        except RegistryError as reason:
            self._cache.pop(name, None)
            looked = (yield from self._looked(name)) if isinstance(reason, RegistryUnavailable) else None
            if looked is None:
                url = self._fallback.get(name)
                if url is None:
                    raise
                log.warning("%s is taken from the fallback: %s", name, reason)
                return Record(service_name=name, service_url=url, service_id="", capabilities=[])
            log.warning("%s is taken from Redis: %s", name, reason)
            found = looked
        self._keep(name, found)
        return found

    def services(self, filters: Mapping[str, str]) -> Talk[list[Record]]:
        listed = (yield from self._ask("GET", "/services", query=filters)).get("services")
        if not isinstance(listed, list):
            raise RegistryUnavailable(f"{self.saga_url} answered no list of services: is it a registry?")
        return [self._record(each) for each in listed]

    def heartbeat(self, name: str, service_id: str | None) -> Talk[Record]:
        query = _given(service_id=service_id)
        return self._record((yield from self._ask("POST", f"{_service(name)}/heartbeat", query=query)))

    def unregister(self, name: str, service_id: str | None, everything: bool) -> Talk[list[Record]]:
        query = _given(service_id=service_id, all="true" if everything else None)
        answered = yield from self._ask("DELETE", _service(name), query=query)
        removed = answered.get("removed")
        if not isinstance(removed, list):
            raise RegistryUnavailable(f"{self.saga_url} did not say what it removed: is it a registry?")
        self._cache.pop(name, None)
        return [self._record(each) for each in removed]

    def health(self) -> Talk[Health]:
        answered = yield from self._ask("GET", "/health")
        if not all(isinstance(answered.get(member), str) for member in ("status", "service", "version", "redis")):
            raise RegistryUnavailable(f"{self.saga_url} did not say how it is: is it a registry?")
        return cast(Health, answered)

    def resolve(self, name: str, wishes: Mapping[str, str | None]) -> Talk[dict[str, Json]]:
        answered = yield from self._ask("GET", f"{_service(name)}/resolve", query=_given(**wishes))
        if not isinstance(answered.get("reasons"), list):
            raise RegistryUnavailable(f"{self.saga_url} did not say why it would choose: is it a registry?")
        return answered

    def steer(self, name: str, service_id: str | None, word: str) -> Talk[Record]:
        """Drain or enable one instance, the only one where none is named."""
        if service_id is None:
            instances = (yield from self._seen(name, None)).instances
            if len(instances) != 1:
                ids = ", ".join(x["service_id"] for x in instances) or "none"
                raise RegistryError(f"{name} has {len(instances)} instances, so say which by its id: {ids}.")
            service_id = instances[0]["service_id"]
        path = f"{_service(name)}/instances/{quote(service_id, safe='')}/{word}"
        return self._record((yield from self._ask("POST", path)))

    def news(self, name: str, seen: Seen | None) -> Talk[Seen]:
        """The instances of the name as soon as they are others than those seen; waits as long as it takes."""
        while True:
            begun = self._clock.monotonic()
            try:
                found = yield from self._seen(name, seen)
            except RegistryError as reason:
                log.warning("%s cannot be watched, the next try follows: %s", name, reason)
                yield Pause(RETRY)
                continue
            if seen is None or (found.index, bool(found.instances)) != (seen.index, bool(seen.instances)):
                self._cache.pop(name, None)
                return found
            if self._clock.monotonic() - begun < _SOON:
                yield Pause(RETRY)  # it does not hold questions open, so it is asked now and then

    def _looked(self, name: str) -> Talk[Record | None]:
        """What Redis says while the registry says nothing."""
        if not self._redis:
            return None
        try:
            answer = yield Look(name)
            assert answer is not None, "a Look is sent its answer"
            return self._record(self._accepted(answer))
        except RegistryError as reason:
            log.warning("%s", reason)
            return None

    def _seen(self, name: str, seen: Seen | None) -> Talk[Seen]:
        query = {"instances": "only"}
        if seen is not None:
            query |= {"index": str(seen.index), "wait": f"{_LONGEST:g}s"}
        try:
            answered = yield from self._ask("GET", _service(name), query=query, patience=_LONGEST)
        except ServiceNotFound as gone:
            index = gone.problem.get("index")
            return Seen([], index if isinstance(index, int) else 0)
        listed, index = answered.get("instances"), answered.get("index")
        if not isinstance(listed, list) or not isinstance(index, int):
            raise RegistryUnavailable(f"{self.saga_url} answered no instances: is it a registry?")
        return Seen([self._record(each) for each in listed], index)

    def event(self, block: bytes) -> Event | None:
        """A block of a registry's stream of events; None for a comment alone."""
        fields = dict(line.partition(b":")[::2] for line in block.split(b"\n") if not line.startswith(b":"))
        if b"data" not in fields:
            return Event(kind="opened") if b"id" in fields else None
        told = self._accepted(Answer(status=200, body=fields[b"data"]))
        kind, name = fields.get(b"event", b"").strip().decode(), told.get("service_name")
        if name is None:
            return Event(kind="reset")
        instances, ids = told.get("instances"), told.get("service_ids")
        if not isinstance(instances, list) or not isinstance(ids, list) or not isinstance(name, str):
            raise RegistryUnavailable(f"{self.saga_url} answered no stream of changes: is it a registry?")
        return Event(
            kind=kind, service_name=name, service_ids=tuple(ids), instances=tuple(self._record(x) for x in instances)
        )

    def refused(self, answer: Answer) -> RegistryError:
        """Why an answer that is no success is none."""
        try:
            self._accepted(answer)
        except RegistryError as reason:
            return reason
        return RegistryUnavailable(f"{self.saga_url} answered {answer.status}, but no stream: is it a registry?")

    def _keep(self, name: str, found: Record) -> None:
        if len(self._cache) >= _MAX_CACHED:
            self._cache.clear()  # in one step, because threads may share it
        self._cache[name] = (self._clock.monotonic() + self._cache_ttl, found)

    def _ask(
        self,
        method: str,
        path: str,
        *,
        body: Json = None,
        query: Mapping[str, str] | None = None,
        patience: float = 0,
    ) -> Talk[dict[str, Any]]:
        """The JSON object of a successful answer."""
        answer = yield Ask(
            method=method,
            path=f"/api/v1{path}" + (f"?{urlencode(query)}" if query else ""),
            body=None if body is None else msgspec.json.encode(body),
            patience=patience,
        )
        assert answer is not None, "an Ask is sent its answer"
        return self._accepted(answer)

    def _accepted(self, answer: Answer) -> dict[str, Any]:
        status = answer.status
        try:
            answered = msgspec.json.decode(answer.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            answered = None
        if status in (200, 201) and isinstance(answered, dict):
            return answered
        if not isinstance(answered, dict) or status < 400:
            raise RegistryUnavailable(f"{self.saga_url} answered {status}, but not as a registry: is it one?")
        message = str(answered.get("error") or answered.get("detail") or f"The registry answered {status}.")
        raised = ServiceNotFound if status == 404 else RegistryRefused
        raise raised(message, status=status, problem=answered)

    def _record(self, answered: Json) -> Record:
        """The answer as it came, if it is a service."""
        try:
            msgspec.convert(answered, _Told)
        except msgspec.ValidationError as wrong:
            raise RegistryUnavailable(f"{self.saga_url} answered no service ({wrong}): is it a registry?") from None
        return cast(Record, answered)


def headers(token: str | None) -> dict[str, str]:
    """Those of every request; the token is `SAGA_SERVICE_TOKEN` where none is given."""
    token = token or registry_token()
    return {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}


def check_size(size: int) -> None:
    """Raises ValueError for an answer that is absurdly large."""
    if size > MAX_ANSWER:
        raise ValueError(f"its answer is larger than {MAX_ANSWER} bytes")


def unavailable(url: str, reason: Exception, timeout: float) -> RegistryUnavailable:
    """Why there was no answer, as its one error."""
    said = str(reason) if not isinstance(reason, TimeoutError) else ""
    return RegistryUnavailable(f"The registry at {url} cannot be reached: {said or f'no answer within {timeout:g} s'}.")


def _service(name: str) -> str:
    return f"/services/{quote(name, safe='')}"


def _given(**query: str | None) -> dict[str, str]:
    return {name: value for name, value in query.items() if value is not None}
