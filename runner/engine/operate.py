"""What people ask of runs: to see them, to cancel them, to send them a signal."""

import secrets
from collections.abc import Callable
from typing import Final

from registry.base.clock import iso
from registry.base.values import Json
from runner.engine.drive import Driver
from runner.engine.live import verdict_of
from runner.ports import Filter, Journals, RunRow, Signal, TooManySignals
from runner.saga.advance import MOST_SIGNALS, RunState, advance
from runner.saga.journal import CANCEL, Ended, Started, unpack
from runner.saga.steering import objection
from runner.saga.view import end_of, fault_view, steps_of

#: Reasons for which a runner leaves a run alone until somebody says `resume`.
LEFT_ALONE: Final = ("poison", "definition-missing", "journal-invalid", "runner-fault")


class Operator:
    """The management side of the engine."""

    def __init__(self, *, driver: Driver, journals: Journals, wake: Callable[[], None]) -> None:
        self._driver = driver
        self._journals = journals
        #: Lets the scan look for runs that have become due.
        self._wake = wake

    async def runs(self, wanted: Filter) -> tuple[list[dict[str, Json]], str | None]:
        """A page of runs, newest first, and the cursor of the next."""
        page = await self._journals.list(wanted)
        return [summary(row) for row in page.rows], page.next

    async def show(self, run: str) -> dict[str, Json] | None:
        """A whole run: its summary, input, end and steps; None where there is none."""
        stored = await self._journals.read(run)
        if stored is None:
            return None
        records = unpack(stored.records, stored.blobs)
        started = records[0]
        assert isinstance(started, Started)
        last = records[-1]
        view = summary(stored.row) | {
            "input": started.input,
            **end_of(last if isinstance(last, Ended) else None),
        }
        program = await self._driver.programs.get(stored.row.bundle)
        state = None if program is None else advance(program, run, records)
        view["steps"] = [] if state is None else steps_of(state)
        if state is not None and state.ended is None:
            view["error"] = fault_view(verdict_of(state).fault)
        return view

    async def cancel(self, run: str, *, subject: str, reason: str) -> str:
        """Ask a run to turn: `taken`, `unknown`, `ended`, or `late` where it turned already or is past its pivot."""
        state = await self._state(run)
        if isinstance(state, str):
            return state
        if not state.cancellable:
            return "ended" if state.ended is not None else "late"
        return await self._send(run, Signal(id=secrets.token_hex(8), name=CANCEL, subject=subject, reason=reason))

    async def signal(self, run: str, signal: Signal) -> str:
        """Send a signal: `taken`, `again`, `ended` or `unknown`. Raises TooManySignals where it could not be kept."""
        state = await self._state(run)
        if isinstance(state, RunState) and state.kept >= MOST_SIGNALS and not state.listeners.get(signal.name):
            raise TooManySignals(f"{run} has {MOST_SIGNALS} signals that no step has listened for")
        return await self._send(run, signal)

    async def act(self, run: str, action: str, body: dict[str, Json], *, subject: str, reason: str) -> tuple[str, str]:
        """An operator's `retry`, `skip`, `resolve` or `resume`: the answer as of `cancel`, or `late` and why.

        Each is a signal with id, actor and reason, so it holds after a crash, too.
        """
        state = await self._state(run)
        if isinstance(state, str) and action != "resume":
            return state, "Its definition is missing here." if state == "late" else ""
        if state == "unknown" or state == "ended":
            return str(state), ""
        if action == "resume":
            stored = await self._journals.read(run)
            held = stored is not None and stored.row.status == "parked" and stored.row.reason in LEFT_ALONE
            if not held:
                return "late", f"Only a run that is parked by its runner ({', '.join(LEFT_ALONE)}) is resumed."
        else:
            assert isinstance(state, RunState)
            why = objection(state, f"${action}", body)
            if why:
                return "late", why
        signal = Signal(id=secrets.token_hex(8), name=f"${action}", body=body, subject=subject, reason=reason)
        return await self._send(run, signal), ""

    async def _state(self, run: str) -> RunState | str:
        live = self._driver.live.get(run)
        if live is not None:
            return live.state
        stored = await self._journals.read(run)
        if stored is None:
            return "unknown"
        if stored.row.ended_at is not None:
            return "ended"
        program = await self._driver.programs.get(stored.row.bundle)
        if program is None:
            return "late"
        return advance(program, run, unpack(stored.records, stored.blobs))

    async def _send(self, run: str, signal: Signal) -> str:
        answer = await self._journals.signal(run, signal)
        if answer in ("taken", "again"):
            if run in self._driver.live:
                await self._driver.signals(await self._journals.heartbeat())
            self._wake()
        return answer


def summary(row: RunRow) -> dict[str, Json]:
    """A run as lists show it."""
    return {
        "id": row.id,
        "saga": row.saga,
        "version": row.version,
        "status": row.status,
        "reason": row.reason or None,
        "labels": row.labels,
        "startedAt": iso(row.started_at / 1000),
        "endedAt": None if row.ended_at is None else iso(row.ended_at / 1000),
    }


def signal_of(name: str, body: Json, *, id: str, subject: str, roles: tuple[str, ...]) -> Signal:  # noqa: A002
    """A signal from outside, with an id of its own where the sender gave none."""
    return Signal(id=id or secrets.token_hex(8), name=name, body=body, subject=subject, roles=roles)
