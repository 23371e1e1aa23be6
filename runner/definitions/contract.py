"""`schema.input` and `schema.output` as self-contained JSON Schemas, checked against their meta-schema.

A `$ref` to a file is relative to the file that says it and stays below one folder, the settings file's. What
it means is copied into `$defs`, so that a run under way depends on no file.
"""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from registry.base.values import Json, canonical
from runner.definitions.findings import Findings
from runner.definitions.node import MAPPING, Node, plain

#: Words under which data stands, not schemas.
_DATA: Final = frozenset({"const", "enum", "examples", "example", "default"})
MAX_SCHEMA_BYTES: Final = 1_048_576
#: Definitions that one schema may pull in.
_MOST_PARTS: Final = 1_000


class _Unusable(Exception):
    """A schema that cannot be taken: code, sentence, hint."""

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.code, self.message, self.hint = code, message, hint


class Contracts:
    """Reads schemas below `root`; each file once."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._files: dict[Path, Json] = {}
        self._done: dict[tuple[Path, bytes], Json | _Unusable] = {}

    def resolve(self, node: Node, findings: Findings) -> Json:
        """The self-contained schema that a node says; None with a finding where it says none."""
        written = plain(node)
        base = Path(node.source.file).resolve().parent if node.source.file else self._root
        key = (base, canonical(written))
        if key not in self._done:
            try:
                self._done[key] = self._self_contained(written, base)
            except _Unusable as error:
                self._done[key] = error
        found = self._done[key]
        if isinstance(found, _Unusable):
            findings.add(found.code, _place(node), found.message, found.hint)
            return None
        return found

    def _self_contained(self, schema: Json, base: Path) -> Json:
        home: Path | None = None
        if isinstance(schema, dict) and set(schema) == {"$ref"} and isinstance(schema["$ref"], str):
            # A document that is nothing but a reference to a whole file becomes that file.
            target, pointer = self._split(schema["$ref"], base)
            if target is not None and not pointer:
                home, schema, base = target, self._file(target), target.parent
        checked = _wrong(canonical(schema))
        if checked:
            where = f"{home.name}: " if home is not None else ""
            raise _Unusable("SG229", f"{where}{checked}", "see json-schema.org for what may stand there")
        parts = _Parts(self, home if home is not None else base / "", schema)
        whole = parts.rewrite(schema, base, own=None)
        if parts.defs and isinstance(whole, dict):
            whole = {**whole, "$defs": {**whole.get("$defs", {}), **parts.defs}}
        return whole

    def _split(self, reference: str, base: Path) -> tuple[Path | None, str]:
        """The file (None: the same document) and the fragment of a reference. Raises _Unusable."""
        address, _, fragment = reference.partition("#")
        if not address:
            return None, unquote(fragment)
        if "://" in address or address.startswith(("//", "urn:")):
            raise _Unusable(
                "SG230",
                f"`$ref: {reference[:120]}` leads to another machine",
                "copy the schema below the settings file's folder",
            )
        path = (base / unquote(address)).resolve()
        if not path.is_relative_to(self._root):
            raise _Unusable(
                "SG230",
                f"`$ref: {reference[:120]}` leads out of the settings file's folder",
                "copy the schema below it",
            )
        return path, unquote(fragment)

    def _file(self, path: Path) -> Json:
        if path not in self._files:
            shown = path.relative_to(self._root)
            try:
                data = path.read_bytes()
                if len(data) > MAX_SCHEMA_BYTES:
                    raise _Unusable("SG229", f"{shown} has more than {MAX_SCHEMA_BYTES} bytes", "split it")
                value = json.loads(data)
                canonical(value)
            except OSError as error:
                raise _Unusable(
                    "SG230",
                    f"the schema {shown} cannot be read: {error.strerror}",
                    "a `$ref` is relative to its own file",
                ) from None
            except (ValueError, RecursionError) as error:
                raise _Unusable(
                    "SG229",
                    f"{shown} is not JSON: {str(error)[:120]}",
                    "a schema file holds one JSON document",
                ) from None
            self._files[path] = value
        return self._files[path]


class _Parts:
    """Gathers what one schema refers to elsewhere, each once, as entries of `$defs`."""

    def __init__(self, contracts: Contracts, home: Path, schema: Json) -> None:
        self._contracts = contracts
        self._home = home
        self._schema = schema
        self._names: dict[tuple[Path, str], str] = {}
        own = schema.get("$defs") if isinstance(schema, dict) else None
        self._taken = set(own) if isinstance(own, dict) else set()
        self.defs: dict[str, Json] = {}

    def rewrite(self, value: Json, base: Path, own: Path | None) -> Json:
        """A copy whose references are all within the one document.

        `own` is the file it comes from, None: home.
        """
        if isinstance(value, list):
            return [self.rewrite(item, base, own) for item in value]
        if not isinstance(value, dict):
            return value
        copy: dict[str, Json] = {}
        for key, item in value.items():
            if key in ("$ref", "$dynamicRef") and isinstance(item, str):
                copy[key] = self._reference(item, base, own)
            elif key == "$id" and isinstance(item, str):
                continue  # it would move the base of every reference below it
            elif key in _DATA:
                copy[key] = item
            else:
                copy[key] = self.rewrite(item, base, own)
        return copy

    def _reference(self, reference: str, base: Path, own: Path | None) -> str:
        file, fragment = self._contracts._split(reference, base)
        if file is None:
            file = own
        elif file == self._home:
            file = None
        if file is None:
            _point(self._schema, fragment, reference)
            return f"#{fragment}"
        known = self._names.get((file, fragment))
        if known is None:
            if len(self._names) >= _MOST_PARTS:
                raise _Unusable("SG229", f"the schema refers to more than {_MOST_PARTS} others", "flatten it")
            document = self._contracts._file(file)
            checked = _wrong(canonical(document))
            if checked:
                raise _Unusable("SG229", f"{file.name}: {checked}", "see json-schema.org for what may stand there")
            known = self._names[(file, fragment)] = self._name(file, fragment)
            self.defs[known] = True
            self.defs[known] = self.rewrite(_point(document, fragment, reference), file.parent, file)
        return f"#/$defs/{known}"

    def _name(self, file: Path, fragment: str) -> str:
        stem = file.name.partition(".")[0] + ("." + fragment.rsplit("/", 1)[-1] if fragment else "")
        stem = "".join(sign if sign.isalnum() or sign in "._-" else "_" for sign in stem)
        name, count = stem, 2
        while name in self._taken:
            name, count = f"{stem}.{count}", count + 1
        self._taken.add(name)
        return name


def _point(document: Json, fragment: str, reference: str) -> Json:
    """What a JSON Pointer or an anchor names. Raises _Unusable."""
    value = document
    if fragment and not fragment.startswith("/"):
        found = _anchored(document, fragment)
        if found is not None:
            return found
        raise _Unusable("SG230", f"`$ref: {reference[:120]}` names an anchor that is not there", "check its spelling")
    for part in fragment.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        else:
            raise _Unusable(
                "SG230",
                f"`$ref: {reference[:120]}` leads to nothing: there is no `{key}`",
                "check its spelling",
            )
    return value


def _anchored(value: Json, name: str) -> Json:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if name in (one.get("$anchor"), one.get("$dynamicAnchor")):
                return one
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
    return None


@lru_cache(maxsize=4_096)
def _wrong(schema: bytes) -> str:
    """What the meta-schema says against a schema, as one sentence; empty if nothing."""
    # Imported here: definitions without schemas, and every command's --help, do without.
    import jsonschema
    from jsonschema.validators import validator_for

    value = json.loads(schema)
    kind: Any = jsonschema.Draft202012Validator
    if isinstance(value, dict) and "$schema" in value:
        unknown: Any = None
        kind = validator_for(value, default=unknown)
        if kind is None:
            return f"`$schema: {str(value['$schema'])[:120]}` is no version of JSON Schema that is known here"
    errors = sorted(kind(kind.META_SCHEMA).iter_errors(value), key=lambda error: error.json_path)
    if not errors:
        return ""
    first = errors[0]
    pointer = "".join(f"/{part}" for part in first.absolute_path)
    return f"at `{pointer or '/'}`: {first.message[:200]}"


def wrong_sample(schema: Json) -> str:
    """What is wrong with the sample that a schema gives of itself, which a mock replies with; empty if nothing is."""
    if not isinstance(schema, dict):
        return ""
    for key in ("examples", "example", "default", "const", "enum"):
        if key not in schema:
            continue
        value = schema[key]
        if key in ("examples", "enum"):
            if not isinstance(value, list) or not value:
                continue
            value = value[0]
        from jsonschema.validators import validator_for

        error = next(iter(validator_for(schema)(schema).iter_errors(value)), None)
        return "" if error is None else f"`{key}` does not fit its own schema: {error.message[:200]}"
    return ""


def _place(node: Node) -> Node:
    """The reference itself where a schema is nothing else."""
    found = node.get("$ref") if node.kind == MAPPING else None
    return found or node
