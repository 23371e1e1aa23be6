"""Reads a registration out of a request's JSON, and names every error of it at once.

What was read here is valid everywhere else: a name that is no path of the interface, an absolute URL with a
host and nothing secret in it, and nothing that is too long, too many or nested too deeply.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

from registry.base.networks import Networks, Refused
from registry.base.values import Json, canonical
from registry.listing import HEALTH, NAME, Registration, host_of

#: Longest time, in seconds, that an instance may ask to be believed without a heartbeat.
MAX_TTL: Final = 86_400.0

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}", re.ASCII)
_WORD = re.compile(r"[\x21-\x7e]{1,128}", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,252}", re.ASCII)
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*", re.ASCII)
_URL = re.compile(r"[\x21-\x5b\x5d-\x7e]{1,2048}", re.ASCII)
#: What no service may be called.
RESERVED: Final = frozenset({"register", "watch", "sd"})  # they are paths below /services
_MAX_WORDS = 64
_MAX_METADATA = 16_384
_MAX_DEPTH = 16
_MAX_WEIGHT = 1_000_000


class InvalidRegistration(Exception):
    """A registration breaks rules; `errors` are `{pointer, detail}` items, one per broken rule."""

    def __init__(self, errors: tuple[dict[str, str], ...]) -> None:
        super().__init__(" ".join(error["detail"] for error in errors))
        self.errors = errors


def read_registration(body: Json, *, default_ttl: float) -> Registration:
    """The registration in a request's JSON `body`; members it does not know are ignored.

    Raises `InvalidRegistration` with every error of the body.
    """
    form = _form(body)
    registration = _registration(form, default_ttl)
    form.done()
    return registration


async def admitted(body: Json, *, default_ttl: float, networks: Networks) -> Registration:
    """The same, and every address in it lies within `networks`, those that its names resolve to, too."""
    form = _form(body)
    registration = _registration(form, default_ttl)
    await form.admit(networks)
    form.done()
    return registration


async def read_change(body: Json, *, networks: Networks) -> dict[str, Json]:
    """What a request's JSON `body` sets of an instance, as `registry.listing.changed` takes it; null gives a member
    back.

    Raises `InvalidRegistration` with every error of the body.
    """
    if not isinstance(body, dict) or not body:
        raise InvalidRegistration(
            ({"pointer": "", "detail": f"The body must be a JSON object with some of {', '.join(_CHANGEABLE)}."},)
        )
    form = _Form(body)
    members: dict[str, Json] = {}
    for member, value in body.items():
        if member not in _CHANGEABLE:
            form.wrong(member[:80], f"cannot be set: it may be one of {', '.join(_CHANGEABLE)}.")
        else:
            members[_STANDS_FOR.get(member, member)] = None if value is None else _CHANGEABLE[member](form, member)
    await form.admit(networks)
    form.done()
    return members


def _form(body: Json) -> "_Form":
    if not isinstance(body, dict):
        raise InvalidRegistration(
            ({"pointer": "", "detail": "The body must be a JSON object with service_name and service_url."},)
        )
    return _Form(body)


def _registration(form: "_Form", default_ttl: float) -> Registration:
    capabilities = form.words("capabilities")
    return Registration(
        service_name=form.name(),
        service_url=form.address(capabilities),
        ttl=form.number("ttl", default_ttl, low=0, high=MAX_TTL, low_allowed=False),
        service_id=form.word("service_id", _ID, "1 to 128 letters, digits, dots, dashes, colons or underscores"),
        capabilities=capabilities,
        weight=form.weight(),
        zone=form.word("zone"),
        version=form.word("version"),
        tags=form.words("tags"),
        metadata=form.metadata(),
        health_check_url=form.link("health_check_url"),
        openapi_url=form.link("openapi_url"),
    )


class _Form:
    """Reads one body member by member; a wrong one is noted and replaced, so that reading goes on."""

    def __init__(self, body: dict[str, Json]) -> None:
        self._body = body
        self.errors: list[dict[str, str]] = []
        #: Valid URLs by their member.
        self.urls: list[tuple[str, str]] = []

    async def admit(self, networks: Networks) -> None:
        """Note the addresses that lie outside `networks`."""
        for member, url in self.urls:
            try:
                await networks.admit(host_of(url))
            except Refused as stranger:
                self.wrong(member, f"leads elsewhere: {stranger}")

    def done(self) -> None:
        """Raise `InvalidRegistration` if anything was wrong."""
        if self.errors:
            raise InvalidRegistration(tuple(self.errors))

    def wrong(self, member: str, detail: str) -> None:
        self.errors.append({"pointer": f"/{member}", "detail": f"{member} {detail}"})

    def name(self) -> str:
        value = self._body.get("service_name")
        if value is None:
            self.wrong("service_name", "is missing.")
        elif not isinstance(value, str) or NAME.fullmatch(value) is None:
            self.wrong(
                "service_name",
                "must be a letter or digit and then up to 127 letters, digits, dots, dashes or underscores.",
            )
        elif value in RESERVED:
            self.wrong("service_name", f"must not be {value}: that is a path of this interface.")
        else:
            return value
        return ""

    def address(self, capabilities: tuple[str, ...]) -> str:
        url, host, port = (self._body.get(member) for member in ("service_url", "host", "port"))
        if url is None and (host is not None or port is not None):
            wrong = len(self.errors)
            url = self._joined(host, port)
            if len(self.errors) == wrong:
                self.urls.append(("host", url))
        elif url is None:
            self.wrong("service_url", "is missing: send service_url, or host and port.")
        elif host is not None or port is not None:
            self.wrong("service_url", "and host with port exclude each other: send one of the two.")
        else:
            self._check_url("service_url", url, grpc="grpc" in capabilities)
        return url if isinstance(url, str) else ""

    def _joined(self, host: Json, port: Json) -> str:
        if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= 65_535:
            self.wrong("port", "must be a whole number from 1 to 65535.")
        if not isinstance(host, str) or not _is_host(host):
            self.wrong("host", "must be a host name or an IP address.")
        elif ":" in host:
            host = f"[{host}]"
        return f"http://{host}:{port}"

    def link(self, member: str) -> str | None:
        value = self._body.get(member)
        if value is None or (isinstance(value, str) and self._check_url(member, value)):
            return value
        if not isinstance(value, str):
            self.wrong(member, "must be an absolute http or https URL.")
        return None

    def _check_url(self, member: str, url: Json, *, grpc: bool = False) -> bool:
        flaw = _url_flaw(url, grpc=grpc)
        if flaw:
            self.wrong(member, flaw)
        elif isinstance(url, str):
            self.urls.append((member, url))
        return not flaw

    def word(
        self, member: str, pattern: re.Pattern[str] = _WORD, rule: str = "1 to 128 visible ASCII characters"
    ) -> str | None:
        value = self._body.get(member)
        if value is None or (isinstance(value, str) and pattern.fullmatch(value)):
            return value
        self.wrong(member, f"must be {rule}.")
        return None

    def words(self, member: str) -> tuple[str, ...]:
        value = self._body.get(member)
        if value is None:
            return ()
        if (
            isinstance(value, list)
            and len(value) <= _MAX_WORDS
            and all(isinstance(word, str) and _WORD.fullmatch(word) for word in value)
        ):
            return tuple(dict.fromkeys(value))
        self.wrong(member, f"must be a list of at most {_MAX_WORDS} words of 1 to 128 visible ASCII characters.")
        return ()

    def number(self, member: str, default: float, *, low: float, high: float, low_allowed: bool = True) -> float:
        value = self._body.get(member)
        if value is None:
            return default
        numeric = isinstance(value, int | float) and not isinstance(value, bool)
        if numeric and (low < value <= high or (low_allowed and value == low)):
            return float(value)
        reach = f"from {low:g}" if low_allowed else f"above {low:g}"
        self.wrong(member, f"must be a number {reach} to {high:g}.")
        return default

    def weight(self) -> float:
        return self.number("weight", 1, low=0, high=_MAX_WEIGHT)

    def flag(self, member: str) -> bool:
        value = self._body[member]
        if not isinstance(value, bool):
            self.wrong(member, "must be true or false.")
        return value is True

    def health(self, member: str) -> str:
        value = self._body[member]
        if isinstance(value, str) and value in HEALTH:
            return value
        self.wrong(member, f"must be one of {', '.join(HEALTH)}.")
        return ""

    def metadata(self) -> dict[str, Json]:
        value = self._body.get("metadata")
        if value is None:
            return {}
        if isinstance(value, dict) and _flat_enough(value, _MAX_DEPTH) and len(canonical(value)) <= _MAX_METADATA:
            return value
        self.wrong(
            "metadata",
            f"must be a JSON object of at most {_MAX_METADATA} bytes, nested at most {_MAX_DEPTH} deep.",
        )
        return {}


#: What an operator may set, and how it is read.
_CHANGEABLE: Final[Mapping[str, Callable[[_Form, str], Json]]] = {
    "drained": _Form.flag,
    "health": _Form.health,
    "weight": lambda form, _: form.weight(),
    "capabilities": _Form.words,
    "zone": _Form.word,
    "version": _Form.word,
    "tags": _Form.words,
    "metadata": lambda form, _: form.metadata(),
    "health_check_url": _Form.link,
    "openapi_url": _Form.link,
}
_STANDS_FOR: Final[Mapping[str, str]] = {"health": "health_override"}


def _url_flaw(url: Json, *, grpc: bool) -> str:
    """What is wrong with `url` as the address of a service, or nothing."""
    schemes = ("http", "https", "grpc") if grpc else ("http", "https")
    if not isinstance(url, str) or _URL.fullmatch(url) is None:
        return "must be an absolute URL of at most 2048 visible ASCII characters without backslashes."
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname or ""
    except ValueError:
        return "must be an absolute URL with a valid host and port."
    if parts.scheme not in schemes:
        return f"must be an absolute URL that begins with {', '.join(f'{s}://' for s in schemes)}."
    if "@" in parts.netloc:
        return "must not hold a user name or password: send credentials with the call."
    if "#" in url:
        return "must not hold a fragment (#...)."
    if port == 0 or not _is_host(host):
        return "must name a valid host, and a port from 1 to 65535 if it names one."
    return ""


def _flat_enough(value: Json, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return True
    inner = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(_flat_enough(each, levels - 1) for each in inner)


def _is_host(host: str) -> bool:
    """Whether this is a name or an address in its usual spelling; `0x7f.1` would be one address here, another there."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return _HOST.fullmatch(host) is not None and _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]) is None
    return "%" not in host  # a scoped address means something on one machine only
