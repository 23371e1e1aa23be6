"""The judge of a simulated world: he hears the services' tables, the requests and the journals, never a runner's word.

Every rule names the invariant that it holds and is written down from the records alone: what may have run is read off
`B`, `D`, `F`, `U`, and what had to be undone follows from that. What an operator said of a step is his word, and binds
nobody else. The invariants, and where each is held:

- I1 every run ends once, or is left to a person for a reason (`_end`); I11 one run per trigger (`judge`, `_end`)
- I2, I3 what is in force at the services is what the end says (`_effects`), and no run turns behind its pivot (`_turn`)
- I4 nothing is sent without a durable intent (`_requests`), nothing is undone that cannot have run (`_turn`)
- I5 nothing is sent behind the turn or the end by who wrote it (`_requests`); I6 no record goes on there (`_records`)
- I7 undo in the order of the tree (`_turn`, `_attempt`); I8 all that may have run is undone, or listed (`_undone`)
- I9 one writer per epoch, epochs never fall (`_writers`); I10 one key, one content (`_requests`)
- I12 the fold comes to the same from everywhere (`_replayed`); I13 owned and due is what is unfinished (`judge`)
- I14 a sweep forgets what has ended, and nothing else (`judge`); I15 one key, one answer (`judge`)
- signals are merged once, in their order, and none that was taken is forgotten (`_signals`)
- what `onFail` names is started once, by the append of the end (`_followed`)
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from runner.engine.identify import keyed_run_id
from runner.engine.intake import ON_FAIL
from runner.saga.advance import RunState, advance
from runner.saga.journal import (
    TIMEOUT,
    UNDO,
    Begun,
    Done,
    Ended,
    Refused,
    ScopeTurned,
    Signalled,
    Started,
    Turned,
    Unknown,
    decode,
    encode,
)
from runner.saga.scope import key_of, undo_key
from runner.saga.state import JournalInvalid
from tests.support.playing import picture
from tests.support.sim_chronicle import Appended, Kept, Left, known_id
from tests.support.sim_definitions import NONE
from tests.support.sim_definitions import UNDO as HAS_UNDO
from tests.support.sim_fate import STEERING, Fate, steer, take_into
from tests.support.sim_plan import Played, Told

ENDS = frozenset({"completed", "compensated", "failed", "cancelled"})
#: Why a run may be left to a person.
PARKED_FOR = frozenset({"undo-exhausted", "pivot-unknown", "failed-after-pivot", "poison"})
#: Refusals that say nothing about an attempt before.
UNSETTLING = frozenset({"unreachable", "timeout", "circuitOpen", "serviceNotFound", "408", "409", "425", "429"})
_UNDO_MARK = "/$undo/"


@dataclass(slots=True)
class _Case:
    """One run before the judge."""

    run: str
    told: Told
    appended: list[tuple[int, Appended]]
    left: list[tuple[int, Left]]
    kept: list[Kept]
    fates: dict[str, Fate] = field(default_factory=dict)
    #: Paths whose undo has begun.
    tried: set[str] = field(default_factory=set)
    #: Everything that an `X` or `Y` wanted undone.
    wanted: set[str] = field(default_factory=set)

    def name(self, path: str) -> str:
        return next((part for part in reversed(path.split("/")) if part in self.told.made.facts), "")

    def knows(self, path: str) -> bool:
        """Whether a path's step has effects, or is part of an undo."""
        facts = self.told.made.facts.get(self.name(path))
        return facts is not None and (facts.effects or _UNDO_MARK in path)

    def place(self, path: str) -> tuple[int, ...]:
        """Where a path stands in the tree: what comes later is greater."""
        places = self.told.made.places
        return tuple(
            1_000_000 + int(part[7:]) if part.startswith("$catch.") else int(part) if part.isdigit() else places[part]
            for part in path.split("/")
        )

    def to_undo(self, below: str | None) -> set[str]:
        """What must be undone now: all of the run, or what is at or below a path."""
        found = set()
        for path, fate in self.fates.items():
            if _UNDO_MARK in path:
                continue
            if below is not None and path != below and not path.startswith(below + "/"):
                continue
            facts = self.told.made.facts[self.name(path)]
            if facts.undo == HAS_UNDO and fate.may_have_run and path not in self.tried:
                found.add(path)
        return found


def judge(played: Played) -> list[str]:
    """Every violation, as a sentence that begins with its invariant."""
    wrong = [f"I11 the trigger of {run} was taken, and there is no run" for run in played.lost]
    wrong += [f"I11 nothing accounts for {run}" for run in played.strangers]
    wrong += [f"I1 a runner's task broke: {what}" for what in played.broken]
    wrong += [f"I13 {run} is owned by somebody, at the end of everything" for run in played.owned]
    wrong += [f"I13 {run} is due, at the end of everything" for run in played.due]
    unfinished = {run for run, told in played.runs.items() if told.row.ended_at is None}
    for run in sorted(unfinished ^ set(played.unswept)):
        wrong.append(f"I14 {run} is {'forgotten, and has not ended' if run in unfinished else 'ended, and stays'}")
    for run, replies in played.replies.items():
        if len(set(replies)) > 1:
            wrong.append(f"I15 {run} was answered in several ways: {sorted(set(replies))}")
    appended: dict[str, list[tuple[int, Appended]]] = {}
    left: dict[str, list[tuple[int, Left]]] = {}
    kept: dict[str, list[Kept]] = {}
    for number, event in enumerate(played.chronicle.events):
        if isinstance(event, Appended):
            appended.setdefault(event.run, []).append((number, event))
        elif isinstance(event, Left):
            left.setdefault(event.run, []).append((number, event))
        elif isinstance(event, Kept):
            kept.setdefault(event.run, []).append(event)
    for run, told in played.runs.items():
        case = _Case(run, told, appended.get(run, []), left.get(run, []), kept.get(run, []))
        for verdict in (_end, _writers, _signals, _records, _requests, _effects, _followed):
            wrong += [f"{text} ({run})" for text in verdict(case, played)]
        wrong += [f"{text} ({run})" for text in _replayed(case, Random(played.seed))]
    return wrong


def _end(case: _Case, played: Played) -> Iterator[str]:
    """I1: it ends once, or is left to a person for a reason."""
    row, records = case.told.row, case.told.records
    if not isinstance(records[0], Started) or sum(isinstance(one, Started) for one in records) != 1:
        yield "I11 it was not started once"
    ends = [at for at, record in enumerate(records) if isinstance(record, Ended)]
    if row.status == "parked":
        reason = row.reason.partition(":")[0]
        if reason not in PARKED_FOR:
            yield f"I1 it is parked for {row.reason!r}"
        if ends:
            yield "I1 it is parked, and has an end"
    elif row.status not in ENDS:
        yield f"I1 it never ends: {row.status} {row.reason}"
    elif len(ends) != 1:
        yield f"I1 it has {len(ends)} ends"
    if ends and ends[0] != len(records) - 1:
        yield "I6 something follows the end"


def _writers(case: _Case, played: Played) -> Iterator[str]:
    """I9: one writer per epoch, epochs never fall, no gap and no overlap."""
    length, epoch, owner = 0, 0, ""
    for _, one in case.appended:
        if one.first != length:
            yield f"I9 an append at {one.first} came when {length} records were there"
        if one.epoch < epoch:
            yield f"I9 epoch {one.epoch} wrote after epoch {epoch}"
        if one.epoch == epoch and one.owner != owner:
            yield f"I9 {one.owner} and {owner} both wrote in epoch {epoch}"
        length, epoch, owner = one.first + one.count, max(epoch, one.epoch), one.owner
    if length != len(case.told.records):
        yield f"I9 {len(case.told.records)} records are stored, and {length} were appended"


def _signals(case: _Case, played: Played) -> Iterator[str]:
    """What lay in the inbox is in the journal: once, in order, and all of it where the run could still hear it."""
    merged = [record for record in case.told.records if isinstance(record, Signalled) and record.name != TIMEOUT]
    given = [(one.name, one.id) for one in case.kept]
    heard = [(record.name, known_id(record.name, record.id)) for record in merged]
    if heard != given[: len(heard)]:
        yield f"I11 the signals {given} were merged as {heard}"
    deaf = case.told.row.ended_at is not None or case.told.row.reason == "poison"
    if len(heard) < len(given) and not deaf:
        yield f"I13 of the signals {given} only {len(heard)} were merged"
    if len({record.id for record in merged}) != len(merged):
        yield "I11 a signal was merged twice"


def _followed(case: _Case, played: Played) -> Iterator[str]:
    """`onFail`: a run of its own, once, in the append of the end; never where there is none, or of what it started."""
    follower = keyed_run_id(ON_FAIL, case.run)
    after, last = case.told.made.follow_up, case.told.records[-1]
    due = after is not None and isinstance(last, Ended) and last.status != "completed"
    told = played.runs.get(follower)
    if told is None or not due:
        if due or told is not None:
            yield f"I11 onFail was {'not ' if due else ''}started"
        return
    behind, _ = case.appended[-1]
    births = [one for one in played.chronicle.events[behind + 1 : behind + 2] if isinstance(one, Appended)]
    if [(one.run, one.first, one.by) for one in births] != [(follower, 0, case.run)]:
        yield "I11 what onFail started was not started by the append of the end"
    started = told.records[0]
    assert isinstance(started, Started)
    given = started.input
    assert isinstance(last, Ended)
    if not isinstance(given, dict) or given["run"]["status"] != last.status or given["run"]["id"] != case.run:  # type: ignore[index,call-overload]
        yield f"I11 what onFail started was told {given}"


def _records(case: _Case, played: Played) -> Iterator[str]:
    """I4, I6, I7, I8 and the pivot's rules: what the journal says in which order."""
    turned = False
    begun_undos: list[str] = []
    for record in case.told.records:
        path = getattr(record, "path", "")
        direction = getattr(record, "dir", "")
        if turned and (isinstance(record, ScopeTurned) or (direction and direction != UNDO)):
            yield f"I6 {type(record).__name__} of {path} goes forward after the turn"
        if isinstance(record, Turned | ScopeTurned):
            below = path if isinstance(record, ScopeTurned) else None
            yield from _turn(case, record, below)
            turned = turned or isinstance(record, Turned)
        elif isinstance(record, Signalled) and record.name in STEERING:
            steer(case.fates, record)
        else:
            if isinstance(record, Begun | Done | Refused | Unknown):
                yield from _attempt(case, record, begun_undos)
            if case.knows(path):
                take_into(case.fates, record)
    yield from _undone(case)


def _turn(case: _Case, record: Turned | ScopeTurned, below: str | None) -> Iterator[str]:
    kinds = case.told.made.facts
    listed = [path for path in record.undo if kinds[case.name(path)].effects]
    expected = case.to_undo(below)
    for path in sorted(expected - set(listed)):
        yield f"I8 {path} may have run and is not undone"
    for path in sorted(set(listed) - expected):
        yield f"I4 {path} is to be undone and cannot have run, or was undone before"
    if listed != sorted(listed, key=case.place, reverse=True):
        yield f"I7 the order of the undo is {listed}"
    case.wanted |= set(listed)
    if below is not None:
        return
    for path, fate in case.fates.items():
        facts = kinds[case.name(path)]
        if not facts.pivot or _UNDO_MARK in path or fate.denied:
            continue
        if fate.done:
            yield f"I2 the run turns behind its pivot {path}"
        elif fate.may_have_run:
            settled = facts.idempotent is True and fate.refused and fate.refused not in UNSETTLING
            if not settled:
                yield f"I2 the run turns, and nobody knows of its pivot {path}"


def _attempt(case: _Case, record: Begun | Done | Refused | Unknown, begun_undos: list[str]) -> Iterator[str]:
    path = record.path
    facts = case.told.made.facts.get(case.name(path))
    if facts is None:
        return
    base, undo, _ = path.partition(_UNDO_MARK)
    if undo:
        if base not in case.tried:
            case.tried.add(base)
            begun_undos.append(base)
            if base not in case.wanted:
                yield f"I4 the undo of {base} begins, and no turn asked for it"
            before = [other for other in begun_undos[:-1] if case.place(other) < case.place(base)]
            if before and not case.told.made.parallel_undo and _same_turn(case, before[-1], base):
                yield f"I7 {base} is undone after {before[-1]}, which came before it"
        return
    fate = case.fates.get(path, Fate())
    again = fate.open or fate.unknown
    if isinstance(record, Begun) and facts.idempotent is False and again and not fate.may_be_sent:
        yield f"I10 {path} is not idempotent, and is sent again"


def _same_turn(case: _Case, one: str, other: str) -> bool:
    """Whether one `X` or `Y` lists both."""
    return any(
        one in record.undo and other in record.undo
        for record in case.told.records
        if isinstance(record, Turned | ScopeTurned)
    )


def _undone(case: _Case) -> Iterator[str]:
    """I8: at the end, all that was to be undone is, or is listed."""
    last = case.told.records[-1]
    if not isinstance(last, Ended):
        return
    listed = {item.step for item in last.leftovers}
    for path in sorted(case.wanted):
        undos = [fate for at, fate in case.fates.items() if at.startswith(path + _UNDO_MARK)]
        clean = bool(undos) and all(fate.done or fate.refused in ("404", "410") for fate in undos)
        if not clean and path not in listed:
            yield f"I8 {path} was to be undone, was not, and is not listed"
    if last.status == "completed":
        for path in sorted(case.to_undo(None)):
            if not case.fates[path].done:
                yield f"I8 {path} may have run, was given up, and nobody tried to undo it"
    if last.status in ("compensated", "cancelled") and listed:
        yield f"I3 {last.status}, and {sorted(listed)} are left"


def _requests(case: _Case, played: Played) -> Iterator[str]:
    """Intents first, the same bytes (I10), nothing after the turn or the end by one who knew (I5, I6)."""
    intents: dict[str, list[int]] = {}
    durable = [(number, one) for number, one in case.appended for _ in range(one.count)]
    marks: dict[type, tuple[int, str]] = {}
    for record, (number, one) in zip(case.told.records, durable, strict=False):
        if isinstance(record, Begun):
            key = (undo_key if record.dir == UNDO else key_of)(case.run, record.path)
            intents.setdefault(key, []).append(number)
        if isinstance(record, Turned | Ended):
            marks[type(record)] = (number, one.owner)
    contents: dict[str, str] = {}
    sent: dict[str, int] = {}
    for number, left in case.left:
        if contents.setdefault(left.key, left.content) != left.content:
            yield f"I10 {left.key} was sent with other bytes"
        for mark, word in ((Ended, "end"), (Turned, "turn")):
            at, owner = marks.get(mark, (number, ""))
            if number > at and left.owner == owner and (mark is Ended or ".undo" not in left.key):
                yield f"I5 {left.key} was sent after the {word}, by the one who wrote it"
        if left.reads:
            continue
        count = sent[left.key] = sent.get(left.key, 0) + 1
        known = [at for at in intents.get(left.key, ()) if at < number]
        if len(known) < count:
            yield f"I4 {left.key} was sent {count} times upon {len(known)} durable intents"


def _effects(case: _Case, played: Played) -> Iterator[str]:
    """I2, I3: what the services have in force is what the end says."""
    last = case.told.records[-1]
    paths = {key_of(case.run, path): path for path in case.fates if _UNDO_MARK not in path}
    listed = {item.step for item in last.leftovers} if isinstance(last, Ended) else set()
    in_force = {key: many for key, many in played.effects.items() if key.startswith(case.run + ".")}
    by_hand = {path.partition(_UNDO_MARK)[0] for path, fate in case.fates.items() if fate.by_hand}
    for key, many in in_force.items():
        path = paths.get(key)
        if path is None:
            yield f"I4 {key} has an effect, and no step of the journal"
            continue
        if many > 1 and not case.fates[path].sent_again:
            yield f"I2 {key} has its effect {many} times"
        if path in by_hand:
            continue
        if not isinstance(last, Ended) or path in listed:
            continue
        facts = case.told.made.facts[case.name(path)]
        wanted = last.status == "completed" and case.fates[path].done and path not in case.tried
        if not wanted and facts.undo != NONE:
            yield f"I3 {key} is in force after {last.status}, and is not listed"
    if isinstance(last, Ended) and last.status == "completed":
        for key, path in paths.items():
            if case.fates[path].done and path not in case.tried | by_hand and key not in in_force:
                yield f"I2 {key} is done in a completed run, and not in force"


def _replayed(case: _Case, rng: Random) -> Iterator[str]:
    """I12: folded on or from the beginning, from memory or from bytes, it comes to the same."""
    records, program = case.told.records, case.told.made.program
    looks = {len(records), rng.randint(1, len(records)), rng.randint(1, len(records))}
    grown = RunState(program, case.run)
    try:
        for at, record in enumerate(records, 1):
            grown.apply(record)
            grown.take()
            if at in looks:
                afresh = advance(program, case.run, [decode(encode(one)) for one in records[:at]])
                if picture(afresh) != picture(grown):
                    yield f"I12 after {at} records the fold depends on how it was reached"
    except JournalInvalid as error:
        yield f"I12 its journal does not fit its definition: {error}"
        return
    if grown.status != case.told.row.status and case.told.row.reason != "poison":
        yield f"I12 the journal says {grown.status}, the store {case.told.row.status}"
