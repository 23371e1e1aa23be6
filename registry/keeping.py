"""Keeping an instance listed, without a wire: what to say to a registry, and when."""

from collections.abc import Iterable, Mapping
from typing import Final, Never

from registry.base.values import Json
from registry.conversation import RETRY, Conversation, Pause, Record, RegistryError, Talk, log

#: Seconds between heartbeats until the registry has said how often.
_DEFAULT_INTERVAL: Final = 30.0


def wish(name: str, url: str, capabilities: Iterable[str], optional: Mapping[str, Json]) -> dict[str, Json]:
    """The body of a registration."""
    return {"service_name": name, "service_url": url, "capabilities": list(capabilities), **optional}


class Keeping:
    """Keeps one instance listed: talks for its begin, its beats and its end. Logs what it cannot do."""

    def __init__(self, conversation: Conversation, wish: Mapping[str, Json]) -> None:
        self._conversation = conversation
        self._wish = dict(wish)
        self.name: str = wish["service_name"]
        self._interval = _DEFAULT_INTERVAL
        self._listed = False
        #: The id the registry knows it by; kept, so that it is the same instance after any gap.
        self._id: str | None = wish.get("service_id")

    def begin(self) -> Talk[None]:
        try:
            answered = yield from self._conversation.register(self._wish)
        except RegistryError as reason:
            self._listed = False
            log.warning("%s is not registered, the next try follows: %s", self.name, reason)
            return
        self._listed = True
        self._learn(answered)
        log.info("%s is registered as %s", self.name, self._id)

    def beats(self) -> Talk[Never]:
        while True:
            yield Pause(self._interval if self._listed else min(self._interval, RETRY))
            if not self._listed:
                yield from self.begin()
                continue
            try:
                self._learn((yield from self._conversation.heartbeat(self.name, self._id)))
            except RegistryError as reason:
                log.warning("heartbeat of %s failed, registering again: %s", self.name, reason)
                yield from self.begin()

    def end(self) -> Talk[None]:
        # Also when it seems not to be listed: an answer may have been lost on its way.
        if self._id is None:
            return
        try:
            yield from self._conversation.unregister(self.name, self._id, everything=False)
        except RegistryError as reason:
            log.warning("%s could not be unregistered, it will expire: %s", self.name, reason)

    def _learn(self, answered: Record) -> None:
        self._id = answered.get("service_id") or self._id
        if self._id is not None:
            self._wish["service_id"] = self._id
        interval = answered.get("heartbeat_interval")
        if isinstance(interval, int | float) and interval > 0:
            self._interval = interval
