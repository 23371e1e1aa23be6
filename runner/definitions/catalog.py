"""The checked sagas of a runner, ready to be asked for."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from runner.definitions.node import Node
from runner.saga.definition import Mark, Saga


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One saga with what a bundle needs of it."""

    saga: Saga
    #: The document, redirect resolved, named retries written out.
    document: Node
    #: References as they are written (`child`, `child@2`) -> `id@version`: of its `run` steps, and of its
    #: `onFail`.
    links: Mapping[str, str] = field(default_factory=dict)
    #: Two-level context paths that its expressions read.
    reads: frozenset[str] = frozenset()


class Catalog:
    """Sagas by id and version, redirects resolved. Never changes: a reload makes another one."""

    __slots__ = ("_active", "_by_id", "_by_path", "_entries", "runner")

    def __init__(self, entries: Iterable[Listed] = (), runner: str | None = None) -> None:
        listed = tuple(entries)
        #: Name of the runner that these are for; None: any.
        self.runner = runner
        #: In the order in which they are declared: files in sorted path order.
        self._entries: Mapping[str, Listed] = MappingProxyType({entry.saga.ref: entry for entry in listed})
        by_id: dict[str, list[Saga]] = {}
        by_path: dict[str, list[Saga]] = {}
        for entry in listed:
            saga = entry.saga
            by_id.setdefault(saga.id, []).append(saga)
            if saga.path is not None:
                by_path.setdefault(saga.path, []).append(saga)
        self._by_id = {id_: tuple(sorted(sagas, key=lambda one: -one.version)) for id_, sagas in by_id.items()}
        self._by_path = {path: tuple(sagas) for path, sagas in by_path.items()}
        self._active = {path: tuple(s for s in sagas if s.status == "active") for path, sagas in by_path.items()}

    def get(self, id: str, version: int | None = None) -> Saga | None:  # noqa: A002  # the language's own word
        """This version; without one the highest active version allowed on the catalog's runner."""
        sagas = self._by_id.get(id, ())
        if version is not None:
            return next((saga for saga in sagas if saga.version == version), None)
        runner = self.runner
        return next(
            (s for s in sagas if s.status == "active" and (runner is None or not s.runners or runner in s.runners)),
            None,
        )

    def find(self, reference: str) -> Saga | None:
        """What `id` or `id@version` means."""
        name, _, version = reference.partition("@")
        if version and not version.isdecimal():
            return None
        return self.get(name, int(version) if version else None)

    def by_path(self, path: str) -> tuple[Saga, ...]:
        """The active sagas of a path, in the order in which they are declared."""
        return self._active.get(path, ())

    @property
    def paths(self) -> tuple[str, ...]:
        """Every path that a saga names."""
        return tuple(self._by_path)

    @property
    def active(self) -> tuple[Saga, ...]:
        """The active sagas, in the order in which they are declared."""
        return tuple(saga for saga in self if saga.status == "active")

    def source(self, reference: str) -> Mark | None:
        """Where the saga `id@version` (or what `id` means) was written."""
        saga = self.find(reference)
        return None if saga is None else saga.mark

    def entry(self, reference: str) -> Listed | None:
        """The saga `id@version` with its document and links."""
        return self._entries.get(reference)

    def __iter__(self) -> Iterator[Saga]:
        return (entry.saga for entry in self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)
