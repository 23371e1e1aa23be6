"""The rules of the house that no other tool enforces; each failure says which rule, where, and what to do."""

import ast
import io
import re
import subprocess
import sys
import tokenize
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.support.require import require_command

ROOT = Path(__file__).resolve().parent.parent

#: A command of this file that takes longer than this hangs.
PATIENCE_S = 120

#: Packages that cost more to import than `saga --help` may take as a whole.
HEAVY = {"fastapi", "redis", "aiohttp", "aiokafka", "rich"}

#: Of a module; more needs a reason.
CEILING_LINES = 400

# Written so that none of these patterns is found in this file.
CHECKOUT_PATH = re.compile(r"(?<![\w.~})-])/(?:home|root|Users|work|workspace|builds)/\w")
REGISTRY_HOST = re.compile(
    r"\b(?:pypi|pythonhosted|npmjs|crates|maven|anaconda|golang|debian)\.(?:org|com|io)\b", re.IGNORECASE
)
POSTPONED = re.compile(r"\b(?:TO[D]O|FIX[M]E)\b")
BARE_NOQA = re.compile(r"#\s*(?:(?:ruff|flake8):\s*)?noqa\b(?!:\s*[A-Z]+[0-9])", re.IGNORECASE)
BARE_TYPE_IGNORE = re.compile(r"#\s*type:\s*ignore\b(?!\[[a-z])")


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


@cache
def sources() -> dict[str, str]:
    """Path from the root -> text, of every text file that is tracked or about to be."""
    git = require_command("git")
    listing = run(git, "ls-files", "--cached", "--others", "--exclude-standard", "-z")
    assert listing.returncode == 0, f"git cannot list this checkout: {listing.stderr}"
    texts = {}
    for name in sorted(set(filter(None, listing.stdout.split("\0")))):
        path = ROOT / name
        if not path.is_file():
            continue  # deleted, and the deletion not yet recorded
        try:
            texts[name] = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
    assert "pyproject.toml" in texts, "git lists another folder than this checkout"
    return texts


def python_sources(*folders: str) -> dict[str, str]:
    prefixes = tuple(f"{folder}/" for folder in folders)
    return {n: t for n, t in sources().items() if n.endswith(".py") and n.startswith(prefixes)}


def places(pattern: re.Pattern[str], texts: dict[str, str]) -> list[str]:
    """Where `pattern` occurs, as `path:line: text`."""
    return [
        f"{name}:{number}: {line.strip()}"
        for name, text in texts.items()
        for number, line in enumerate(text.splitlines(), start=1)
        if pattern.search(line)
    ]


def comments(texts: dict[str, str]) -> dict[str, str]:
    """The same files with nothing left but their comments: strings may speak of directives freely."""

    def only_comments(text: str) -> Iterator[str]:
        lines = [""] * (text.count("\n") + 2)
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                lines[token.start[0] - 1] = token.string
        yield from lines

    return {name: "\n".join(only_comments(text)) for name, text in texts.items()}


def listed(findings: list[str]) -> str:
    return "\n  ".join(["", *findings])


def test_imports_go_down_the_floors_only() -> None:
    outcome = run(Path(sys.executable).parent / "lint-imports")
    assert outcome.returncode == 0, f"A contract of pyproject.toml is broken:\n{outcome.stdout}{outcome.stderr}"


@pytest.fixture(scope="module")
def wheel_files(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """What the wheel of this checkout would install, without its metadata."""
    folder = tmp_path_factory.mktemp("wheel")
    outcome = run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder)
    assert outcome.returncode == 0, f"The wheel cannot be built:\n{outcome.stdout}{outcome.stderr}"
    [wheel] = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def test_the_wheel_holds_runner_and_registry_and_nothing_else(wheel_files: set[str]) -> None:
    tops = {name.split("/")[0] for name in wheel_files}
    assert tops == {"runner", "registry"}, f"The wheel installs {sorted(tops)}: runner and registry only, please"


def test_the_wheel_leaves_no_module_behind(wheel_files: set[str]) -> None:
    wanted = {*python_sources("runner", "registry"), "runner/py.typed", "registry/py.typed"}
    forgotten = sorted(wanted - wheel_files)
    assert not forgotten, f"Not in the wheel; does .gitignore name them?{listed(forgotten)}"


def test_a_long_module_says_why_it_is_long() -> None:
    unexplained = []
    for name, text in python_sources("runner", "registry").items():
        count = len(text.splitlines())
        docstring = ast.get_docstring(ast.parse(text)) or ""
        if count > CEILING_LINES and not re.search(r"\blines\b", docstring):
            unexplained.append(f"{name}: {count} lines")
    assert not unexplained, (
        f"Over {CEILING_LINES} lines a module needs a sentence in its docstring, with the word 'lines', "
        f"that says why it is not two modules:{listed(unexplained)}"
    )


def test_no_file_names_a_folder_of_somebodys_machine() -> None:
    found = places(CHECKOUT_PATH, sources())
    assert not found, f"These paths exist on one machine only; write them from the checkout's root:{listed(found)}"


def test_no_file_names_the_host_of_a_package_registry() -> None:
    found = places(REGISTRY_HOST, sources())
    assert not found, f"Which index packages come from is each machine's own setting; leave it out:{listed(found)}"


def test_nothing_is_put_off_in_a_comment() -> None:
    found = places(POSTPONED, sources())
    assert not found, f"Do it, or leave it out and say so in CHANGELOG or docs:{listed(found)}"


@pytest.mark.parametrize(
    ("pattern", "form"),
    [(BARE_NOQA, "noqa: CODE"), (BARE_TYPE_IGNORE, "type: ignore[code]")],
    ids=["noqa", "type-ignore"],
)
def test_what_is_silenced_is_named_by_its_code(pattern: re.Pattern[str], form: str) -> None:
    found = places(pattern, comments(python_sources("runner", "registry", "tests", "bench")))
    assert not found, f"A bare one silences errors nobody has seen yet; write {form}, with a reason:{listed(found)}"


def test_requirements_fit_any_index_and_pin_every_package_by_hash() -> None:
    files = {name: text for name, text in sources().items() if re.fullmatch(r"requirements/[a-z]+\.txt", name)}
    assert {"requirements/base.txt", "requirements/test.txt"} <= set(files)
    found = places(re.compile(r"://|^\s*-(?!-hash=)|@ "), files)
    assert not found, f"Requirements name no address, file or option; compile them with `make lock`:{listed(found)}"
    unpinned = [
        f"{name}: {requirement.split()[0]}"
        for name, text in files.items()
        for requirement in re.sub(r"\\\n", " ", text).splitlines()
        if requirement and not requirement.startswith("#") and not re.match(r"\S+==\S+ .*--hash=sha256:", requirement)
    ]
    assert not unpinned, f"Compile the requirements with `make lock`; these lack a version or a hash:{listed(unpinned)}"


@pytest.mark.parametrize("folder", ["runner", "registry", "tests"])
def test_every_folder_of_modules_is_a_package(folder: str) -> None:
    modules = python_sources(folder)
    bare = sorted(
        {str(Path(name).parent) for name in modules}
        - {str(Path(n).parent) for n in modules if n.endswith("/__init__.py")}
    )
    assert not bare, f"These folders need an __init__.py, or tools disagree about the modules' names:{listed(bare)}"


def test_the_command_line_starts_without_what_help_does_not_need() -> None:
    probe = "import sys, runner.cli; print(*{name.partition('.')[0] for name in sys.modules})"
    outcome = run(sys.executable, "-c", probe)
    assert outcome.returncode == 0, f"runner.cli cannot be imported:\n{outcome.stderr}"
    loaded = HEAVY & set(outcome.stdout.split())
    assert not loaded, (
        f"Importing runner.cli imports {sorted(loaded)}, which makes `saga --help` slow; import inside the "
        f"command that needs it. To see who does: python -X importtime -c 'import runner.cli'"
    )
