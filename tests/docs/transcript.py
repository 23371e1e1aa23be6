"""Plays the console blocks of a page on the real product and compares what comes with what the page shows.

The conventions of a page:

- A ```console block holds commands. `$ ` begins one and `> ` goes on with it; other lines are what it prints, both
  streams as a terminal mixes them. Each command is a bash of its own (`$?` is that of the one before), all in one
  folder.
- `$ make dev` or `$ saga dev` starts the product (or starts it again), and `$ pkill -9 -f 'saga dev'` kills it; each
  stands alone in its block. What `make dev` shows is looked for among what it says.
- A block of another language right after `<!-- file: PATH -->` is written to that file.
- The commands of a block right after `<!-- by and by -->` are asked again until they show it.
- A block right after `<!-- said -->` is what the running product says by and by.
- ```yaml broken is a definition that has errors on purpose, ```yaml settings is a settings file.
- A block right after `<!-- not run: REASON -->` is left alone.

What differs from run to run is matched by form (`VOLATILE`), and an id that a page shows stands for the id that came
in its place from there on, in later commands, too. White space counts as one blank. A line `...` stands for any lines.
"""

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.support.ports import free_ports
from tests.support.processes import PATIENCE_S, ROOT, SAGA, Server, eventually

#: What may differ: how it looks on the page, and what may come in its place.
VOLATILE: Final = (
    (r"│[^│]*│", r"│[^│]*│"),  # the bars of a timeline
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"),
    (r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT"),
    (r"\b\d+(?:\.\d+)? (?:ms|s)\b", r"\d+(?:\.\d+)? (?:ms|s)"),
    (r"\b00-[0-9a-f]{32}-[0-9a-f]{16}-01\b", r"00-[0-9a-f]{32}-[0-9a-f]{16}-01"),
)
#: Ids, which are the same wherever a page names them: runs, registered instances, shipments.
IDS: Final = (
    r"\b[0-9a-z]{26}\b",
    r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b",
    r"\bshp-[0-9a-f]{10}\b",
)
#: Ports on a page, and the options by which `saga dev` is told others.
PORTS: Final = {
    "8080": "--port",
    "8030": "--registry-port",
    "9001": "--stock-port",
    "9002": "--payment-port",
    "9003": "--courier-port",
}
#: The folder on a page, for what prints whole paths.
HOME: Final = "/srv/gifts"
SERVICES: Final = {"9001": "stock", "9002": "payment", "9003": "courier"}
_BLOCK: Final = re.compile(
    r"(?:<!-- ([^\n]*?) -->\n)?^```(\w+)(?: (broken|settings))?\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
_START: Final = ("make dev", "saga dev")
_KILL: Final = "pkill -9 -f 'saga dev'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fenced block of a page."""

    language: str
    #: The word after the language: `broken`, `settings`, or empty.
    kind: str
    #: The comment right above it: `file: PATH`, `said`, `by and by`, `not run: REASON`, or empty.
    note: str
    text: str
    #: Line of the page on which its text begins.
    line: int

    @property
    def commands(self) -> list[tuple[str, list[str]]]:
        """Each command with the lines that it prints."""
        found: list[tuple[str, list[str]]] = []
        for line in self.text.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            elif (line == ">" or line.startswith("> ")) and found and not found[-1][1]:
                found[-1] = (found[-1][0] + "\n" + line[2:], [])
            else:
                assert found, f"a console block begins with a command, not with {line!r}"
                found[-1][1].append(line)
        return found


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text()
    return [
        Block(
            language=found[2],
            kind=found[3] or "",
            note=found[1] or "",
            text=found[4],
            line=text.count("\n", 0, found.start(4)) + 1,
        )
        for found in _BLOCK.finditer(text)
    ]


@dataclass(slots=True, kw_only=True)
class Player:
    """Plays one page in `folder`."""

    server: Server
    folder: Path
    #: Port on the page -> port of this run.
    ports: Mapping[str, str]
    #: Id on the page -> id of this run.
    ids: dict[str, str] = field(default_factory=dict)
    #: Blocks that were run.
    played: int = 0

    def play(self, page: Path) -> None:
        """Raises AssertionError with the page's line where something else came."""
        for block in blocks(page):
            where = f"{page.name}:{block.line}"
            if block.note.startswith("not run: "):
                continue
            if block.note.startswith("file: "):
                path = self.folder / block.note.removeprefix("file: ")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block.text)
            elif block.note == "said":
                self._said(block.text, where)
            elif block.language == "console":
                self._console(block, where)
            else:
                continue
            self.played += 1

    def _console(self, block: Block, where: str) -> None:
        commands = block.commands
        first = commands[0][0]
        if first.startswith(_START):
            self.server.start()
            if commands[0][1]:
                self._said("\n".join(commands[0][1]), where)
            return
        if first == _KILL:
            self.server.kill()
            return
        code = 0
        for command, lines in commands:
            shown = "\n".join(lines)
            if block.note == "by and by":
                eventually(lambda command=command, shown=shown: self._matches(shown, self._bash(command, 0).stdout))
                continue
            done = self._bash(command, code)
            code = done.returncode
            assert self._matches(shown, done.stdout), _told(where, command, shown, done.stdout)

    def _bash(self, command: str, code: int) -> "subprocess.CompletedProcess[str]":
        """A command of the page, run here; `code` is what `$?` says before it."""
        return subprocess.run(
            ["bash", "-c", f"(exit {code})\n{self._here(command)}"],
            cwd=self.folder,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    def _said(self, shown: str, where: str) -> None:
        def heard() -> bool:
            return self._matches(f"...\n{shown}\n...", self.server.said)

        try:
            eventually(heard)
        except AssertionError:
            raise AssertionError(_told(where, "the running product", shown, self.server.said)) from None

    def _matches(self, shown: str, came: str) -> bool:
        expected = [line for line in shown.strip().splitlines() if line.strip()]
        names: dict[str, str] = {}
        pattern = "".join(
            r"(?:[^\n]*\n)*?" if line.strip() == "..." else self._form(line, names) + r" ?\n" for line in expected
        )
        text = "".join(" ".join(line.split()) + "\n" for line in self._shown(came).splitlines() if line.strip())
        found = re.fullmatch(pattern, text)
        if found is None:
            return False
        for group, id_on_page in names.items():
            self.ids[id_on_page] = found[group]
        return True

    def _form(self, line: str, names: dict[str, str]) -> str:
        """A line of the page as a pattern; `names` gets the groups of ids that are seen for the first time."""
        line = " ".join(line.split())
        any_id = "|".join(IDS)
        volatile = "|".join(f"(?:{shown})" for shown, _ in VOLATILE)
        out, at = "", 0
        for token in re.finditer(f"(?P<id>{any_id})|{volatile}", line):
            out += re.escape(line[at : token.start()])
            at = token.end()
            if token["id"] is None:
                out += next(came for shown, came in VOLATILE if re.fullmatch(shown, token[0]))
            elif token[0] in self.ids:
                out += re.escape(self.ids[token[0]])
            else:
                known = next((group for group, name in names.items() if name == token[0]), None)
                if known is None:
                    known = f"id{len(names)}"
                    names[known] = token[0]
                    out += f"(?P<{known}>{next(form for form in IDS if re.fullmatch(form, token[0]))})"
                else:
                    out += f"(?P={known})"
        return out + re.escape(line[at:])

    def _here(self, command: str) -> str:
        """A command of the page as it must be here: with the ports and ids of this run."""
        for there, here in self.ids.items():
            command = command.replace(there, here)
        return re.sub(r"\b\d{4}\b", lambda port: self.ports.get(port[0], port[0]), command)

    def _shown(self, came: str) -> str:
        """What came, with the ports and the folder of the page."""
        back = {here: there for there, here in self.ports.items()}
        came = came.replace(str(self.folder), HOME)
        return re.sub(r"\b\d{4,5}\b", lambda port: back.get(port[0], port[0]), came)

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SAGA_", "REDIS_"))}
        return {
            **kept,
            "PATH": f"{SAGA.parent}{os.pathsep}{os.environ['PATH']}",
            "NO_COLOR": "1",
            "COLUMNS": "120",
            "SAGA_RUNNER_URL": self.server.url,
            "SAGA_SERVICE_URL": self.server.registry,
        }


@contextlib.contextmanager
def playing(folder: Path, *, shop: bool) -> Iterator[Player]:
    """A player in `folder`, its product not yet started. `shop`: the folder has the shop's definitions."""
    if shop:
        (folder / "definitions").symlink_to(ROOT / "definitions")
    here = dict(zip(PORTS, map(str, free_ports(len(PORTS))), strict=True))
    server = Server(
        arguments=["dev", *(word for port, option in PORTS.items() for word in (option, here[port]))],
        folder=folder,
        url=f"http://127.0.0.1:{here['8080']}",
        registry=f"http://127.0.0.1:{here['8030']}",
        services={name: f"http://127.0.0.1:{here[port]}" for port, name in SERVICES.items()},
    )
    try:
        yield Player(server=server, folder=folder, ports=here)
    finally:
        if server.process is not None:
            server.kill()


def _told(where: str, command: str, shown: str, came: str) -> str:
    return f"{where}: {command}\n--- the page shows\n{shown}\n--- what came\n{came}"
