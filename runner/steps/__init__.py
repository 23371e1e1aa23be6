"""The step kinds: one file each, and this table that names them all."""

from typing import Final, TypeAlias

from runner.saga.shape import (
    NAME,
    Bare,
    Duration,
    Either,
    Entry,
    Filled,
    Flag,
    Kinds,
    Many,
    Record,
    Steps,
    Whole,
    Word,
)
from runner.steps.call import Call
from runner.steps.emit import Emit
from runner.steps.for_ import For
from runner.steps.fork import Fork
from runner.steps.listen import Listen
from runner.steps.raise_ import Raise
from runner.steps.return_ import Return
from runner.steps.run import Run
from runner.steps.set import Set
from runner.steps.switch import Switch
from runner.steps.wait import Wait

Kind: TypeAlias = (
    type[Call]
    | type[Emit]
    | type[Set]
    | type[Switch]
    | type[Fork]
    | type[For]
    | type[Wait]
    | type[Listen]
    | type[Run]
    | type[Raise]
    | type[Return]
)

#: Every step kind by its YAML word.
KINDS: Final[dict[str, Kind]] = {
    kind.KEY: kind for kind in (Call, Emit, Set, Switch, Fork, For, Wait, Listen, Run, Raise, Return)
}

RETRY: Final = Record(
    doc="How often, how fast and on what an attempt is made again.",
    keys={
        "attempts": Entry(shape=Whole(low=1, high=1000), doc="Tries, the first included.", default="3"),
        "maxDuration": Entry(shape=Duration(), doc="No try begins later than this after the first."),
        "delay": Entry(shape=Duration(), doc="Before the second try.", default="200ms"),
        "backoff": Entry(
            shape=Word(choices=("exponential", "linear", "constant")),
            doc="How the delay grows.",
            default="exponential",
        ),
        "maxDelay": Entry(shape=Duration(), doc="No delay is longer.", default="10s"),
        "jitter": Entry(shape=Word(choices=("full", "none")), doc="Spread over the delay, or none.", default="full"),
        "errors": Entry(shape=Kinds(), doc="What is tried again.", default="[unreachable, timeout, 429, 5xx]"),
    },
)

#: The keys that steps share beside their one verb.
STEP_KEYS: Final[dict[str, Entry]] = {
    "name": Entry(shape=Word(pattern=NAME, told="a name"), doc="Unique in the saga; expressions say `steps.<name>`."),
    "when": Entry(shape=Bare(), doc="Falsy: the step is skipped."),
    "timeout": Entry(shape=Duration(), doc="Per attempt.", default="10s for call, 30s for emit"),
    "idempotent": Entry(shape=Flag(), doc="Does the service apply a key once? false: never resent.", default="true"),
    "retry": Entry(shape=Either(of=(RETRY, Word())), doc="A policy, or the name of one in the settings."),
    "catch": Entry(
        shape=Either(
            of=(
                Word(choices=("continue",)),
                Many(
                    of=Record(
                        doc="What to do about these errors.",
                        keys={
                            "errors": Entry(shape=Kinds(), doc="Kinds that this entry takes.", required=True),
                            "when": Entry(shape=Bare(sees=("error",)), doc="Further condition."),
                            "steps": Entry(shape=Steps(), doc="Steps that stand in."),
                            "output": Entry(shape=Filled(), doc="Output of the step."),
                        },
                    )
                ),
            )
        ),
        doc="Who takes an error of this step, after its retries and its undo.",
    ),
    "compensate": Entry(
        shape=Either(of=(Word(choices=("none",)), Steps())),
        doc="The step (or list) that undoes this one, or `none`.",
    ),
    "pivot": Entry(shape=Flag(), doc="The point of no return: after it the saga only goes forward.", default="false"),
    "cache": Entry(
        shape=Record(
            doc="Keep this step's output.",
            keys={
                "state": Entry(shape=Word(), doc="Alias of the state in the settings.", default="default"),
                "key": Entry(shape=Bare(), doc="What the output is kept under."),
                "ttl": Entry(shape=Duration(), doc="How long."),
            },
        ),
        doc="Keep the output of a `call`.",
    ),
}

#: On which verbs the keys may stand that not every verb takes.
ALLOWED: Final[dict[str, frozenset[str]]] = {
    "timeout": frozenset({"call", "emit", "listen", "run"}),
    "retry": frozenset({"call", "emit"}),
    "idempotent": frozenset({"call", "emit"}),
    "cache": frozenset({"call"}),
    "catch": frozenset(KINDS) - {"raise", "return"},
    "compensate": frozenset({"call", "emit", "run", "listen"}),
    "pivot": frozenset({"call", "emit", "run"}),
}
