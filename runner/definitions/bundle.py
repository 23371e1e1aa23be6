"""The bundle: everything a run depends on, as bytes that are named by their digest.

Keys keep the order in which they were written: the branches of a `fork` have one, and so have headers and
bodies. A live run goes through the bytes, too (`program`), so that what recovers it later cannot be anything
else.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from registry.base.values import Json, digest
from runner.definitions.build import build
from runner.definitions.catalog import Catalog, Listed
from runner.definitions.findings import ERROR, Findings
from runner.definitions.node import node_of, plain
from runner.definitions.parse import parse
from runner.saga.definition import Program, Saga

#: Of the bundle's layout and the language; another one cannot be opened.
FORMAT: Final = 1
#: Of the functions in expressions: a change of what one gives is a new number.
FUNCTIONS: Final = 1

_encoder = msgspec.json.Encoder()


class BundleUnreadable(Exception):
    """A bundle that this version of the runner cannot open; the message says why."""


def bundle(catalog: Catalog, saga: Saga, vars: Mapping[str, Json]) -> tuple[str, bytes]:  # noqa: A002  # the language's own word
    """The digest (SHA-256, hex) and the bytes of everything that a run of `saga` depends on.

    `saga` is one of the catalog's. Of `vars` it holds what is read. Raises KeyError for a saga of another
    catalog.
    """
    entries = reach(catalog, saga.ref)
    reads = frozenset().union(*(entry.reads for entry in entries.values()))
    content = {
        "format": FORMAT,
        "functions": FUNCTIONS,
        "saga": saga.ref,
        "links": dict(sorted({word: ref for entry in entries.values() for word, ref in entry.links.items()}.items())),
        "vars": {name: vars[name] for name in sorted(vars) if "vars" in reads or f"vars.{name}" in reads},
        "reads": sorted(reads),
        "sagas": {ref: _document(entry) for ref, entry in sorted(entries.items())},
    }
    data = _encoder.encode(content)
    return digest(data), data


def open_bundle(data: bytes) -> Program:
    """The program that a bundle holds. Raises BundleUnreadable."""
    try:
        content = msgspec.json.decode(data)
        if (content["format"], content["functions"]) != (FORMAT, FUNCTIONS):
            raise BundleUnreadable(
                f"the bundle has format {content['format']} and functions {content['functions']}, and this runner "
                f"opens {FORMAT} and {FUNCTIONS}: let a runner of the version that wrote it finish its runs"
            )
        sagas = {ref: _saga(ref, document) for ref, document in content["sagas"].items()}
        return Program(
            saga=sagas[content["saga"]],
            links={word: sagas[ref] for word, ref in content["links"].items()},
            vars=content["vars"],
            digest=digest(data),
            reads=frozenset(content["reads"]),
        )
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError) as error:
        raise BundleUnreadable(f"the bytes are no bundle: {type(error).__name__}: {error}") from error


def program(catalog: Catalog, saga: Saga, vars: Mapping[str, Json]) -> Program:  # noqa: A002  # the language's own word
    """What a run of `saga` that starts now runs. Raises KeyError for a saga of another catalog."""
    return open_bundle(bundle(catalog, saga, vars)[1])


def entered_by(data: bytes, reference: str) -> tuple[str, bytes]:
    """The same bundle for a run of another saga that it holds, named as an `onFail` or `run` of it writes it.

    So what follows a run is pinned with the run. Raises KeyError where the bundle does not hold it.
    """
    content = msgspec.json.decode(data)
    content["saga"] = content["links"][reference]
    made = _encoder.encode(content)
    return digest(made), made


def reach(catalog: Catalog, start: str) -> dict[str, Listed]:
    """The saga and everything that it runs, or that runs when one of them fails, by `id@version`; itself first.

    Raises KeyError for a saga of another catalog.
    """
    found: dict[str, Listed] = {}
    waiting = [start]
    while waiting:
        ref = waiting.pop()
        if ref in found:
            continue
        entry = catalog.entry(ref)
        if entry is None:
            raise KeyError(f"the catalog has no saga {ref}")
        found[ref] = entry
        waiting.extend(entry.links.values())
    return found


def _document(entry: Listed) -> dict[str, Json]:
    """The document as it is in force: what files and defaults said is written out."""
    saga = entry.saga
    document: dict[str, Any] = plain(entry.document)
    document.update(id=saga.id, version=saga.version, status=saga.status)
    document.pop("timeout", None)
    if saga.timeout is not None:
        document["timeout"] = f"{saga.timeout}ms"
    if "schema" in document:
        document["schema"] = dict(document["schema"])
        for key, schema in (("input", saga.schema.input), ("output", saga.schema.output)):
            if key in document["schema"]:
                document["schema"][key] = schema
    return {
        "document": document,
        "executed": list(saga.executed),
        "hopRoles": [list(roles) for roles in saga.hop_roles],
    }


def _saga(ref: str, stored: dict[str, Any]) -> Saga:
    findings = Findings()
    draft = parse(node_of(stored["document"]), findings)
    wrong = [finding for finding in findings.sorted() if finding.severity == ERROR]
    if draft is None or wrong:
        reason = wrong[0].message if wrong else "it is no mapping"
        raise BundleUnreadable(f"the saga {ref} of the bundle cannot be read: {reason}")
    draft.executed = (stored["executed"][0], stored["executed"][1])
    draft.hop_roles = tuple(tuple(roles) for roles in stored["hopRoles"])
    schema = draft.box.get("schema", {})
    return build(
        draft,
        timeout=draft.box.get("timeout"),
        input_schema=schema.get("input"),
        output_schema=schema.get("output"),
    )
