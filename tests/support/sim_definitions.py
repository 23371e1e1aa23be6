"""Random sagas for simulated worlds: small, valid, and told apart from the product's own reading of them.

Every name in a program is used once, so that a path of the journal says by its last named segment which step it is.
`Facts` is what a judge has to know of a step; it is written down where the step is made up, never read off the product.
"""

from dataclasses import dataclass, field
from functools import cache
from random import Random
from typing import Any

import yaml

from runner.definitions.bundle import bundle, entered_by, open_bundle
from runner.definitions.load import load_texts
from runner.definitions.world import World as Settings
from runner.saga.definition import Program

SERVICES = ("stock", "payment", "courier")
STREAM = "placed"
#: Names of the signals that a saga may listen for.
SIGNALS = ("go", "ok")
#: Kinds of undo: what takes the effect away, `none` (an effect that does not matter), or no word about it.
UNDO, NONE, ABSENT = "undo", "none", "absent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a judge knows of one step."""

    #: The verb.
    kind: str
    #: Whether its requests have effects.
    effects: bool = False
    undo: str = ABSENT
    pivot: bool = False
    #: As written; None: not said.
    idempotent: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A program with what a judge knows of it."""

    text: str
    program: Program
    body: bytes
    facts: dict[str, Facts]
    #: Place of each name among its neighbours: steps in a list, branches in a fork.
    places: dict[str, int]
    parallel_undo: bool
    #: What `onFail` of it starts.
    follow_up: "Made | None" = None


@dataclass(slots=True)
class _Maker:
    """Makes up one program."""

    rng: Random
    facts: dict[str, Facts] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)
    children: list[dict[str, Any]] = field(default_factory=list)
    #: Steps that came so far; keeps programs small.
    size: int = 0

    def name(self, letter: str, place: int) -> str:
        name = f"{letter}{len(self.places)}"
        self.places[name] = place
        return name

    def chance(self, part: float) -> bool:
        return self.rng.random() >= 1 - part  # so that a shrinking chance comes to no

    def steps(self, depth: int, low: int, high: int, *, forward: bool = False) -> list[dict[str, Any]]:
        return [self.step(depth, place, forward=forward) for place in range(self.rng.randint(low, high))]

    def step(self, depth: int, place: int, *, forward: bool) -> dict[str, Any]:
        kinds = ["call"] * 12 + ["emit"] * 2 + ["read", "set", "wait", "listen"]
        kinds += ["raise"] if self.chance(0.3) else []
        kinds += ["switch"] if depth < 3 and self.size < 14 else []
        if depth < 2 and self.size < 10:
            kinds += ["for", "for", "fork", "fork"] + ([] if forward else ["run", "run"])
        kind = self.rng.choice(kinds)
        if kind in ("call", "emit"):
            made = self.effect(kind, place, depth, forward=forward)
            return made | ({"when": "input.n > 2"} if self.chance(0.08) else {})
        if kind == "raise":
            if forward:
                return self.effect("call", place, depth, forward=True)
            return {"when": f"input.n > {self.rng.randint(5, 8)}", "raise": {"type": "no-more", "status": 409}}
        self.size += 1
        name = self.name("s", place)
        self.facts[name] = Facts(kind=kind)
        made: dict[str, Any] = {"name": name}
        if kind == "read":
            made |= {"call": {"service": self.service(), "method": "GET", "path": f"/{name}"}, "retry": self.retry()}
        elif kind == "set":
            made |= {"set": {"n": "${ input.n }"}}
        elif kind == "wait":
            made |= {"wait": self.rng.choice(("300ms", "1500ms", "4s"))}
        elif kind == "listen":
            made |= {"listen": {"signal": self.rng.choice(SIGNALS)}, "timeout": self.rng.choice(("2s", "6s", "15s"))}
            if not self.chance(0.25):
                made["catch"] = [{"errors": ["timeout"], "output": {"late": True}}]
        elif kind == "switch":
            some = self.steps(depth + 1, 1, 2, forward=forward)
            made |= {"switch": [{"when": "input.n > 4", "steps": some}]}
            if self.chance(0.5):
                made["switch"].append({"otherwise": self.steps(depth + 1, 1, 2, forward=forward)})
        elif kind == "for":
            loop: dict[str, Any] = {"each": f"x_{name}", "in": list(range(self.rng.randint(1, 3)))}
            if self.chance(0.5):
                loop["parallel"] = 2
            elif self.chance(0.3):
                loop = {"max": self.rng.randint(1, 3), "until": "index > 0"}
            made |= {"for": loop | {"steps": self.steps(depth + 1, 1, 2, forward=forward)}}
        elif kind == "fork":
            branches = {
                self.name("b", at): self.steps(depth + 1, 1, 2, forward=forward) for at in range(self.rng.randint(2, 3))
            }
            made |= {"fork": {"branches": branches, "failFast": self.chance(0.4)}}
        else:
            child = {"id": f"child{len(self.children)}", "compensation": self.policy()}
            self.children.append(child)
            if self.chance(0.15):
                child["timeout"] = "5s"
            child["steps"] = self.steps(depth + 1, 1, 3)
            if self.chance(0.2):
                child["steps"].append({"return": {"n": "${ input.n }"}})
            made |= {"run": {"saga": child["id"], "input": {"n": "${ input.n }"}}}
        if kind in ("for", "fork", "run", "switch") and self.chance(0.3):
            made["catch"] = self.catch(depth, forward=forward)
        return made

    def effect(
        self, kind: str, place: int, depth: int, *, forward: bool = False, pivot: bool = False, plain: bool = False
    ) -> dict[str, Any]:
        """A `call` or `emit`. `plain`: without a `catch`."""
        self.size += 1
        name = self.name("s", place)
        made: dict[str, Any] = {"name": name}
        content = {"id": f"${{ steps.{name}.key }}", "n": "${ input.n }"}
        if kind == "call":
            made["call"] = {"service": self.service(), "path": f"/{name}", "body": content}
        else:
            made["emit"] = {"stream": STREAM, "key": f"${{ steps.{name}.key }}", "body": content}
        if self.chance(0.45):
            made["retry"] = self.retry()
        made["timeout"] = self.rng.choice(("2s", "4s"))
        idempotent = None
        if self.chance(0.25):
            idempotent = made["idempotent"] = self.chance(0.6)
        if not plain and self.chance(0.2):
            made["catch"] = self.catch(depth, forward=forward or pivot)
        undo = ABSENT
        if pivot:
            made["pivot"] = True
        elif not forward:
            undo = self.rng.choice((UNDO, UNDO, UNDO, UNDO, UNDO, UNDO, NONE, ABSENT))
            if undo == NONE:
                made["compensate"] = "none"
            elif undo == UNDO:
                made["compensate"] = self.undo(name)
        self.facts[name] = Facts(kind=kind, effects=True, undo=undo, pivot=pivot, idempotent=idempotent)
        return made

    def undo(self, name: str) -> Any:
        call: dict[str, Any] = {
            "call": {"service": self.service(), "method": "DELETE", "path": f"/{name}/${{ steps.{name}.key }}"}
        }
        if self.chance(0.3):
            call["retry"] = {"attempts": 4, "delay": "500ms"}
        if self.chance(0.15):
            why = {"why": "${ error.kind }", "id": f"${{ steps.{name}.key }}"}
            return [call, {"call": {"service": self.service(), "path": f"/{name}/told", "body": why}}]
        return call

    def catch(self, depth: int, *, forward: bool) -> Any:
        choice = self.rng.randrange(4 if not forward else 3)
        if choice == 0:
            return "continue"
        if choice == 1:
            return [{"errors": ["any"], "output": {"instead": True}}]
        if choice == 2:
            instead = self.effect("call", 0, depth, forward=forward, plain=True)
            return [{"errors": ["4xx", "timeout", "5xx", "unreachable"], "steps": [instead]}]
        return [{"errors": ["4xx", "timeout"], "steps": {"raise": {"type": "gave-up", "status": 409}}}]

    def service(self) -> str:
        return self.rng.choice(SERVICES)

    def retry(self) -> dict[str, Any]:
        made: dict[str, Any] = {"attempts": self.rng.randint(2, 4), "delay": self.rng.choice(("100ms", "1s"))}
        if self.chance(0.3):
            made["errors"] = ["unreachable", "timeout", "409", "429", "5xx"]
        return made

    def policy(self) -> dict[str, Any]:
        made: dict[str, Any] = {"retry": {"maxDuration": "120s", "delay": "300ms", "maxDelay": "5s"}}
        if self.chance(0.25):
            made["order"] = "parallel"
        made["onExhausted"] = self.rng.choice(("park", "park", "continue", "fail"))
        return made

    def saga(self) -> dict[str, Any]:
        """The saga that is triggered."""
        main: dict[str, Any] = {"id": "main", "path": "/main", "compensation": self.policy()}
        if self.chance(0.2):
            main["timeout"] = self.rng.choice(("6s", "20s"))
        if self.chance(0.4):
            main["onFail"] = self.mourner()
        steps = self.steps(0, 2, 4)
        if self.chance(0.35):
            pivot = self.effect("call", len(steps), 0, pivot=True)
            steps.append(pivot | ({"when": "input.n > 2"} if self.chance(0.1) else {}))
            steps += [self.step(1, len(steps) + at, forward=True) for at in range(self.rng.randint(0, 2))]
        elif self.chance(0.2):
            steps.append({"when": "input.n > 6", "raise": {"type": "changed-my-mind", "status": 409}})
        elif self.chance(0.2):
            steps.append({"return": {"n": "${ input.n }"}})
        return main | {"steps": steps}

    def mourner(self) -> str:
        """The saga that an `onFail` starts; it names itself as its own, and that must start nothing."""
        mourner = {"id": "mourn", "compensation": self.policy(), "onFail": "mourn"}
        self.children.append(mourner)
        steps = [self.effect("emit", 0, 2), self.effect("call", 1, 2)]
        mourner["steps"] = steps[: self.rng.randint(1, 2)]
        return "mourn"

    def shop(self) -> dict[str, Any]:
        """An order: three effects, the last of them the pivot, and a record about it."""
        steps = [self.effect("call", 0, 2, plain=True), self.effect("call", 1, 2, plain=True)]
        steps.append(self.effect("call", 2, 2, pivot=True, plain=True))
        steps.append(self.effect("emit", 3, 2, forward=True, plain=True))
        return {"id": "main", "path": "/main", "compensation": self.policy(), "steps": steps}


@cache
def made(seed: int) -> Made:
    """The program of this seed. Every fifth is like the shop's."""
    return made_by(Random(f"definition {seed}"), shop=seed % 5 == 0)


def made_by(rng: Random, *, shop: bool = False) -> Made:
    """A program, as this chance would have it."""
    maker = _Maker(rng)
    main = maker.shop() if shop else maker.saga()
    text = "\n---\n".join(yaml.dump(saga, Dumper=yaml.CSafeDumper, sort_keys=False) for saga in [main, *maker.children])
    loaded = load_texts([("simulated.yaml", text.encode())], Settings(runner="simulator"))
    wrong = [finding for finding in loaded.findings if finding.severity == "error"]
    assert not wrong, "\n".join(f"{one.code} {one.line}: {one.message}" for one in wrong) + "\n" + text
    _, body = bundle(loaded.catalog, next(one for one in loaded.catalog if one.id == "main"), {})

    def entered(body: bytes, follow_up: Made | None) -> Made:
        return Made(
            text=text,
            program=open_bundle(body),
            body=body,
            facts=maker.facts,
            places=maker.places,
            parallel_undo=any(one["compensation"].get("order") == "parallel" for one in [main, *maker.children]),
            follow_up=follow_up,
        )

    after = entered(entered_by(body, main["onFail"])[1], None) if "onFail" in main else None
    return entered(body, after)
