"""What expressions see at one place of a run, and the keys that its requests carry."""

import hashlib
from typing import TYPE_CHECKING, Final

import msgspec

from registry.base.values import Json

if TYPE_CHECKING:
    from runner.saga.tree import Frame, Spot

#: Keys sent to services stay below this, so that `.undo.NN` fits into 128.
LONGEST_KEY: Final = 96


#: What of a step expressions see.
_FIELDS: Final = ("output", "response", "status", "attempts", "error", "key", "event")

#: Segments that no step name can be.
UNDO_SEGMENT: Final = "$undo"


def key_of(run: str, path: str) -> str:
    """The idempotency key of the step at `path`: stable, in `[A-Za-z0-9._-]`, at most 96 characters."""
    return whole_key(run, spelled(path))


def whole_key(run: str, spelled: str) -> str:
    """The key of the step whose path, in the letters of a key, is `spelled`."""
    key = f"{run}.{spelled}"
    if len(key) <= LONGEST_KEY:
        return key
    return f"{run[:40]}.{hashlib.blake2b(key.encode(), digest_size=16).hexdigest()}"


def undo_key(run: str, path: str) -> str:
    """The key of a request inside an undo, by its place: `<key>.undo`, `<key>.undo.2`, `<key>.undo.2.<below>`."""
    step, _, below = path.rpartition(f"/{UNDO_SEGMENT}/")
    place, _, rest = below.partition("/")
    key = key_of(run, step) + ".undo"
    if place != "0":
        key += f".{int(place) + 1}"
    if rest:
        key += "." + spelled(rest)
    return key if len(key) <= 128 else f"{key[:90]}.{hashlib.blake2b(key.encode(), digest_size=16).hexdigest()}"


def spelled(path: str) -> str:
    """A path in the letters of a key. A step that is itself called `undo` or `catch` is told apart by a hyphen."""
    if "undo" in path or "catch" in path:
        path = "/".join(f"-{one}" if one in ("undo", "catch") else one for one in path.split("/"))
    return path.replace("/", ".").replace("$", "")


class Scope(msgspec.Struct, eq=False):
    """What expressions see at one place; answers the expression compiler's questions."""

    frame: "Frame"
    outer: "Scope | None" = None
    #: Steps that belong here.
    names: "dict[str, Spot]" = {}
    #: The `for` name, `index`, and what else is seen only here.
    extra: dict[str, Json] | None = None
    #: Index of each `for` around it.
    indices: tuple[int, ...] = ()
    error: dict[str, Json] | None = None

    def inner(
        self,
        *,
        names: "dict[str, Spot] | None" = None,
        extra: dict[str, Json] | None = None,
        index: int | None = None,
        error: dict[str, Json] | None = None,
    ) -> "Scope":
        """One inside this one, with all that is not given here. Without `names` its steps belong out here."""
        return Scope(
            self.frame,
            self,
            self.names if names is None else names,
            extra,
            self.indices if index is None else (*self.indices, index),
            self.error if error is None else error,
        )

    def root(self, name: str) -> Json:
        """The value of a context name."""
        frame = self.frame
        if name == "input":
            return frame.input
        at: Scope | None = self
        while at is not None:
            if at.extra is not None and name in at.extra:
                return at.extra[name]
            at = at.outer
        if name == "event":
            return frame.events
        if name == "saga":
            return frame.meta
        if name == "vars":
            return frame.vars
        if name == "error":
            return self.error
        if name == "steps":
            return self.steps()
        return None

    def find(self, name: str) -> "Spot | None":
        """The occurrence of a step that its name means here."""
        at: Scope | None = self
        while at is not None:
            spot = at.names.get(name)
            if spot is not None:
                return spot
            at = at.outer
        return None

    def field(self, step: str, name: str) -> Json:
        """A field of `steps.<step>`: `output`, `response`, `status`, `attempts`, `error`, `key` or `event`."""
        if name == "key":
            return self.key(step)
        spot = self.names.get(step)
        if spot is None and self.outer is not None:
            spot = self.outer.find(step)
        if spot is None:
            return "pending" if name == "status" else None
        if name == "output":
            return spot.output
        if name == "status":
            return spot.status
        if name == "response":
            return spot.response
        if name == "attempts":
            return spot.attempts
        if name == "error":
            return None if spot.fault is None else spot.fault.view()
        if name == "event":
            return spot.event
        return None

    def view(self, step: str) -> dict[str, Json]:
        """`steps.<step>` as a whole."""
        return {name: self.field(step, name) for name in _FIELDS}

    def steps(self) -> dict[str, Json]:
        return {name: self.view(name) for name in self.frame.saga.named if self.find(name) is not None}

    def key(self, name: str) -> str:
        """The idempotency key that a step has, or will have, in this scope."""
        step = self.frame.saga.named[name]
        if step.spelled and not self.frame.prefix:
            return whole_key(self.frame.run, step.spelled)
        indices = iter(self.indices)
        segments = [segment if segment is not None else str(next(indices, 0)) for segment in step.trail]
        path = self.frame.prefix + "/".join(segments)
        return undo_key(self.frame.run, path) if UNDO_SEGMENT in segments else key_of(self.frame.run, path)
