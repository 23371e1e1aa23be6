"""Every code of a problem that the sources can answer, found by walking them: nobody keeps a list.

A code is a text that stands where a `Problem`, or what becomes one, is made. Where a name or a call stands there, its
text is looked for in the same module; what cannot be resolved so is an error, so that no code goes unseen.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.support.processes import ROOT

#: What is made, and the keyword that says its code. A fault's kind becomes the code of the problem that tells it.
MAKERS: Final = {"Problem": "code", "Fault": "kind", "Lost": "kind"}
#: Names under which a class says the code of all its instances.
OF_A_CLASS: Final = frozenset({"code"})
#: Attributes that hand on what one of these was made with, or what a saga raises.
HANDED_ON: Final = frozenset({"kind", "code", "type"})


def emitted() -> dict[str, str]:
    """Each code, with a place that makes it; statuses of services aside, which are no words."""
    found: dict[str, str] = {}
    for package in ("runner", "registry"):
        for file in sorted((ROOT / package).rglob("*.py")):
            for code, line in codes_of(file):
                if not code.isdigit():
                    found.setdefault(code, f"{file.relative_to(ROOT)}:{line}")
    return found


def codes_of(file: Path) -> Iterator[tuple[str, int]]:
    """The codes that one module makes, with their lines."""
    module = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MAKERS:
            for word in node.keywords:
                if word.arg == MAKERS[node.func.id]:
                    yield from ((text, node.lineno) for text in _texts(word.value, module, f"{file}:{node.lineno}"))
        elif isinstance(node, ast.ClassDef):
            for line in node.body:
                match line:
                    case ast.AnnAssign(target=ast.Name(id=name), value=ast.Constant(value=str() as text)):
                        if name in OF_A_CLASS:
                            yield text, line.lineno


def findings() -> set[str]:
    """Every code of a finding that stands in the sources of the definitions, outside their own table."""
    return {
        node.value
        for file in (ROOT / "runner").rglob("*.py")
        if file.name != "findings.py"
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"SG[0-9]{3}", node.value)
    }


def _texts(node: ast.expr, module: ast.Module, where: str) -> Iterator[str]:
    """What a code may come out as."""
    match node:
        case ast.Constant(value=str() as text):
            yield text
        case ast.IfExp(body=one, orelse=other):
            yield from _texts(one, module, where)
            yield from _texts(other, module, where)
        case ast.Subscript(value=ast.Dict() as table):
            yield from _values(table, module, where)
        case ast.Call(func=ast.Attribute(value=ast.Dict() as table, attr="get"), args=[_, other]):
            yield from _values(table, module, where)
            yield from _texts(other, module, where)
        case ast.Attribute(attr=name) if name in HANDED_ON:
            return
        case ast.Call(func=ast.Name(id="str")):  # a status
            return
        case ast.Call(func=ast.Name(id=name)):
            for function in _functions(module, name):
                for inner in ast.walk(function):
                    if isinstance(inner, ast.Return) and inner.value is not None:
                        yield from _texts(inner.value, module, where)
        case ast.Name(id=name):
            given = [*_assigned(module, name), *_passed(module, name)]
            assert given, f"{where}: where does {name} come from?"
            for value in given:
                yield from _texts(value, module, where)
        case _:
            raise AssertionError(f"{where}: nobody can tell which code this is: {ast.unparse(node)}")


def _values(table: ast.Dict, module: ast.Module, where: str) -> Iterator[str]:
    for value in table.values:
        yield from _texts(value, module, where)


def _functions(module: ast.Module, name: str) -> list[ast.FunctionDef]:
    found = [node for node in ast.walk(module) if isinstance(node, ast.FunctionDef) and node.name == name]
    assert found, f"{name}() is of another module"
    return found


def _assigned(module: ast.Module, name: str) -> Iterator[ast.expr]:
    """What is assigned to a name, anywhere in the module."""
    for node in ast.walk(module):
        if isinstance(node, ast.Assign) and any(isinstance(to, ast.Name) and to.id == name for to in node.targets):
            yield node.value


def _passed(module: ast.Module, name: str) -> Iterator[ast.expr]:
    """What is passed for a parameter of this name, in the module."""
    for function in ast.walk(module):
        if not isinstance(function, ast.FunctionDef):
            continue
        names = [one.arg for one in (*function.args.posonlyargs, *function.args.args)]
        if name in names:
            at = names.index(name) - (names[0] == "self")
            for node in ast.walk(module):
                if isinstance(node, ast.Call) and function.name == _name(node.func):
                    yield from (word.value for word in node.keywords if word.arg == name)
                    yield from node.args[at : at + 1]


def _name(called: ast.expr) -> str:
    return getattr(called, "id", "") or getattr(called, "attr", "")
