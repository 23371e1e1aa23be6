"""The journal's URL: which store, and where."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from runner.settings.given import Given
from runner.settings.scalars import Report, Url, wrong
from runner.settings.secret import Secret

_POSTGRESQL: Final = Url(schemes=("postgresql",), secret=True)

#: Stores whose runs several processes can share.
SHARED: Final = ("postgresql", "redis")

#: Words that mean a store by another name.
_ALIASES: Final[Mapping[str, str]] = {"postgres": "postgresql", "sqlite3": "sqlite", "file": "sqlite"}


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalUrl:
    """A store, and where it is."""

    #: `memory`, `sqlite`, `postgresql` or `redis` (which is where `redis.url` says).
    store: str
    #: The file of an sqlite journal; None for the others.
    path: Path | None = None
    #: The address of a postgresql one; None for the others.
    address: Secret | None = None

    def __str__(self) -> str:
        """As it may be shown."""
        return f"sqlite:{self.path}" if self.path else str(self.address or self.store)


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalLocation:
    """`memory`, `sqlite:PATH`, `postgresql://...` or `redis`."""

    def read(self, given: Given, key: str, report: Report) -> JournalUrl:
        text = given.raw if given.raw is not None else given.value
        store, colon, rest = text.partition(":") if isinstance(text, str) else ("", "", "")
        if store in ("memory", "redis") and not colon:
            return JournalUrl(store=store)
        if store == "sqlite" and rest and rest != ":memory:" and "\0" not in rest:
            return JournalUrl(store=store, path=report.folder / rest)
        if store == "postgresql":
            address = _POSTGRESQL.read(given, key, report)
            assert isinstance(address, Secret)
            return JournalUrl(store=store, address=address)
        meant = _ALIASES.get(store, "memory" if rest == ":memory:" else "")
        mend = f"did you mean {meant}?" if meant else "write for example sqlite:.saga/journal.db"
        wrong(given, key, report, "memory, sqlite:PATH, postgresql://... or redis", mend, secret="@" in rest)
        return JournalUrl(store="memory")
