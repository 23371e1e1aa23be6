"""Files to a catalog: read, parse, link, check, build. All findings of all files come in one go."""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from runner.definitions import check_header, check_links, check_steps
from runner.definitions.build import SAGA_TIMEOUT, build
from runner.definitions.catalog import Catalog, Listed
from runner.definitions.contract import Contracts, wrong_sample
from runner.definitions.draft import SagaDraft
from runner.definitions.findings import ERROR, Finding, Findings
from runner.definitions.later import not_yet
from runner.definitions.link import Index, redirected
from runner.definitions.node import MAPPING, Node, Source
from runner.definitions.parse import parse, stem_of
from runner.definitions.read import read
from runner.definitions.subject import Check, Subject
from runner.definitions.world import UNKNOWN, World

_SUFFIXES: Final = frozenset({".yaml", ".yml"})
_CHECKS: Final[tuple[Check, ...]] = (*check_header.CHECKS, *check_steps.CHECKS)
_LINK_CHECKS: Final[tuple[Check, ...]] = (check_links.runs, check_links.kinds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What loading gave. A file with an error contributes no saga."""

    catalog: Catalog
    findings: tuple[Finding, ...] = ()
    #: Sentences about what is checked but not in force on this runner yet.
    not_yet: tuple[str, ...] = ()

    @property
    def errors(self) -> int:
        """How many findings are errors."""
        return sum(finding.severity == ERROR for finding in self.findings)


def load(paths: Sequence[Path], world: World = UNKNOWN, root: Path = Path()) -> Loaded:
    """The sagas below `paths` (files or folders), checked against `world`.

    Schemas stay below `root`. Never raises.
    """
    with _undisturbed():
        findings = Findings()
        return link(_drafts(_files(paths, findings), findings), world, root, findings)


def load_texts(texts: Sequence[tuple[str, bytes]], world: World = UNKNOWN, root: Path = Path()) -> Loaded:
    """As `load`, of (file name, content) instead of files."""
    with _undisturbed():
        findings = Findings()
        return link(_drafts(texts, findings), world, root, findings)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Without the garbage collector.

    Nothing that loading makes is garbage, and looking costs a third of the time.
    """
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def files_below(paths: Sequence[Path]) -> list[Path]:
    """The definition files at and below `paths`, sorted, each once."""
    found: set[Path] = set()
    for path in paths:
        if path.is_dir():
            found.update(one for one in path.rglob("*") if one.suffix in _SUFFIXES and one.is_file())
        else:
            found.add(path)
    return sorted(found)


def _files(paths: Sequence[Path], findings: Findings) -> list[tuple[str, bytes]]:
    texts: list[tuple[str, bytes]] = []
    for path in files_below(paths):
        try:
            texts.append((str(path), path.read_bytes()))
        except OSError as error:
            reason = error.strerror or "it cannot be read"
            findings.add_at("SG012", Source(str(path)), 1, 1, f"{path}: {reason}", "check the name and the permissions")
    return texts


def _drafts(texts: Sequence[tuple[str, bytes]], findings: Findings) -> list[tuple[Node, str]]:
    return [(document.root, stem_of(file)) for file, data in texts for document in read(file, data, findings)]


def link(documents: Sequence[tuple[Node, str]], world: World, root: Path, findings: Findings) -> Loaded:
    """Sagas of documents: (root node, the id where none is written)."""
    return _Linker(world, Contracts(root), findings).link(documents)


class _Linker:
    """One loading."""

    def __init__(self, world: World, contracts: Contracts, findings: Findings) -> None:
        self._world = world
        self._contracts = contracts
        self._findings = findings
        self._index = Index()
        #: By identity of the draft as it is written: what it is with its redirect resolved.
        self._subjects: dict[int, Subject] = {}

    def link(self, documents: Sequence[tuple[Node, str]]) -> Loaded:
        findings = self._findings
        drafts: list[SagaDraft] = []
        redirects: list[SagaDraft] = []
        for node, stem in documents:
            redirect = node.kind == MAPPING and "redirectTo" in node.value
            # An entry is read again together with its target; only then are its expressions complete.
            draft = parse(node, Findings() if redirect else findings, stem=stem)
            if draft is None:
                continue
            earlier = self._index.add(draft)
            if earlier is not None:
                place = node.get("version") or node.get("id") or node
                hint = f"{earlier.file}:{earlier.node.line} has it already; give this one another `version`"
                findings.add("SG202", place, f"the saga `{draft.ref}` stands twice", hint)
                continue
            drafts.append(draft)
            if redirect:
                redirects.append(draft)
        closed = self._redirects(redirects)
        for draft in drafts:
            if id(draft) not in self._subjects:
                self._subjects[id(draft)] = self._subject(draft)
        subjects = [self._subjects[id(draft)] for draft in drafts]
        for subject in subjects:
            self._resolve_runs(subject)
        for subject in subjects:
            for check in (*_CHECKS, *_LINK_CHECKS):
                check(subject, findings)
        check_links.reached(subjects, drafts, self._index, findings)
        check_links.ties(subjects, findings)
        schemas = {id(one): self._schemas(one.saga) for one in subjects}
        self._spread(subjects)
        broken = findings.broken()
        entries = [
            self._entry(one, schemas[id(one)], closed=id(draft) in closed)
            for draft, one in zip(drafts, subjects, strict=True)
            if one.saga.file not in broken
        ]
        later = [
            sentence for one in subjects if one.saga.file not in broken for sentence in not_yet(one.saga, self._world)
        ]
        return Loaded(catalog=Catalog(entries, self._world.runner), findings=findings.sorted(), not_yet=tuple(later))

    def _subject(self, draft: SagaDraft) -> Subject:
        here = draft.allowed_on(self._world.runner)
        return Subject(saga=draft, world=self._world if here else UNKNOWN)

    def _redirects(self, entries: Sequence[SagaDraft]) -> set[int]:
        """Resolves entries; gives the identities of those that lead to no active saga, and so answer 404."""
        closed: set[int] = set()
        for entry in entries:
            found = redirected(entry, self._index, self._world.runner, self._findings)
            if found is None:
                # Read alone after all, so that its own errors are told.
                again = parse(entry.node, self._findings, stem=entry.id)
                assert again is not None
                self._subjects[id(entry)] = self._subject(again)
                closed.add(id(entry))
                continue
            saga, _ = found
            self._subjects[id(entry)] = self._subject(saga)
            own = {key: pair for key, pair in entry.node.value.items() if key == "steps"}
            if own:
                ignored = Node(MAPPING, own, entry.node.line, entry.node.column, "", entry.node.source)
                parse(ignored, self._findings, stem=entry.id)
        return closed

    def _find(self, reference: str, subject: Subject) -> SagaDraft | None:
        return self._index.find(reference, subject.world.runner)

    def _resolve_runs(self, subject: Subject) -> None:
        findings, saga = self._findings, subject.saga
        for draft in saga.runs():
            value, node = draft.box.get("run"), draft.node.get("run")
            reference = value.get("saga") if isinstance(value, dict) else None
            if not isinstance(reference, str) or node is None:
                continue
            target = self._find(reference, subject)
            if target is None:
                code, sentence, hint = self._index.missing(reference, subject.world.runner)
                findings.add(code, node.get("saga") or node, sentence, hint)
            else:
                subject.targets[id(draft)] = self._subjects[id(target)]
        on_fail = saga.box.get("onFail")
        if isinstance(on_fail, str) and self._find(on_fail, subject) is None:
            code, sentence, hint = self._index.missing(on_fail, subject.world.runner)
            findings.add(code, saga.node.get("onFail") or saga.node, sentence, hint)

    def _schemas(self, saga: SagaDraft) -> dict[str, object]:
        node, box = saga.node.get("schema"), saga.box.get("schema", {})
        found: dict[str, object] = {}
        for key in ("input", "output"):
            one = node.get(key) if node is not None else None
            if one is None or key not in box:
                continue
            found[key] = self._contracts.resolve(one, self._findings)
            if key == "output" and box.get("mock") is True and (wrong := wrong_sample(found[key])):
                self._findings.add("SG229", one, wrong, "a mock replies with it")
        return found

    def _spread(self, subjects: Sequence[Subject]) -> None:
        """A saga that needs one of a file with errors cannot be served either.

        Said once, at the reference.
        """
        spreading = True
        while spreading:
            broken = self._findings.broken()
            count = len(self._findings)
            for subject in subjects:
                if subject.saga.file in broken:
                    continue
                for node, target in self._needs(subject):
                    if target.file in broken:
                        wrong = f"`{target.ref}` stands in a file with errors: {target.file}"
                        self._findings.add("SG211", node, wrong, "mend that file first")
            spreading = len(self._findings) > count

    def _needs(self, subject: Subject) -> list[tuple[Node, SagaDraft]]:
        saga = subject.saga
        found: list[tuple[Node, SagaDraft]] = []
        for draft in saga.runs():
            target = subject.targets.get(id(draft))
            value = draft.node.get("run")
            if target is not None:
                found.append(((value.get("saga") if value is not None else None) or draft.node, target.saga))
        references: list[tuple[str, Callable[[], Node | None]]] = []
        on_fail = saga.box.get("onFail")
        if isinstance(on_fail, str):
            references.append((on_fail, lambda: saga.node.get("onFail")))
        if saga.executed is not None:
            references.append((f"{saga.executed[0]}@{saga.executed[1]}", lambda: saga.node.get("redirectTo")))
        for reference, node in references:
            target_draft = self._find(reference, subject)
            if target_draft is not None:
                found.append((node() or saga.node, target_draft))
        return found

    def _entry(self, subject: Subject, schemas: dict[str, object], *, closed: bool) -> Listed:
        saga = subject.saga
        if closed:
            # It leads to no active saga, so it answers 404 as an inactive one does.
            saga.box["status"] = "inactive" if saga.active else saga.box["status"]
        built = build(
            saga,
            timeout=subject.timeout(SAGA_TIMEOUT),
            input_schema=schemas.get("input"),
            output_schema=schemas.get("output"),
        )
        links = {draft.box["run"]["saga"]: subject.targets[id(draft)].saga.ref for draft in saga.runs()}
        on_fail = saga.box.get("onFail")
        target = self._find(on_fail, subject) if on_fail is not None else None
        if target is not None:
            links[on_fail] = target.ref
        return Listed(saga=built, document=saga.node, links=links, reads=frozenset(saga.paths))
