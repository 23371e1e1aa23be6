"""What people ask of runs: cancel and signals, and the keeper who looks after runs that nobody drives."""

import asyncio

import pytest

from registry.base.clock import ManualClock
from runner.adapters.stores.memory import MemoryJournals
from runner.engine.operate import signal_of
from runner.ports import Filter, TooManySignals
from runner.saga.advance import MOST_SIGNALS
from tests.runner.engine.door import door, said

pytestmark = pytest.mark.anyio

LISTENS = """
id: a
path: /a
methods: [POST]
respond: accepted
steps:
  - name: one
    call: {service: backend, path: /one, body: 1}
    compensate: {call: {service: backend, method: DELETE, path: /one}}
  - name: word
    listen: {signal: word}
  - name: pay
    pivot: true
    call: {service: backend, path: /pay, body: 1}
  - name: tell
    call: {service: backend, path: /tell, body: 1}
output: "${ steps.word.output }"
"""

WAITS = """
id: a
path: /a
methods: [POST]
respond: accepted
steps:
  - name: pause
    wait: 1h
  - name: one
    call: {service: backend, path: /one, body: 1}
    compensate: none
"""


async def test_a_signal_is_heard_once_per_id() -> None:
    async with door(LISTENS) as at:
        run = (await at.ask()).headers["x-saga-run"]
        await at.ended(run, "waiting")
        first = signal_of("word", "yes", id="s1", subject="", roles=())
        assert await at.operator.signal(run, first) == "taken"
        view = await at.ended(run, "completed")
        assert view["output"] == "yes"
        assert await at.operator.signal(run, first) == "again"
        other = signal_of("word", "yes", id="s2", subject="", roles=())
        assert await at.operator.signal(run, other) == "ended"
        assert await at.operator.signal("nope", first) == "unknown"


async def test_a_signal_that_could_not_be_kept_is_refused_and_one_that_is_awaited_is_not() -> None:
    async with door(LISTENS) as at:
        run = (await at.ask()).headers["x-saga-run"]
        await at.ended(run, "waiting")
        for number in range(MOST_SIGNALS):
            early = signal_of("other", number, id=f"s{number}", subject="", roles=())
            assert await at.operator.signal(run, early) == "taken"
        live = at.driver.live
        while run in live or (await at.journals.due(at.clock.millis(), 1)):
            await asyncio.sleep(0)
        with pytest.raises(TooManySignals):
            await at.operator.signal(run, signal_of("other", 0, id="more", subject="", roles=()))
        assert await at.operator.signal(run, signal_of("word", 1, id="w", subject="", roles=())) == "taken"
        await at.ended(run, "completed")


async def test_a_cancel_undoes_the_run() -> None:
    async with door(LISTENS) as at:
        run = (await at.ask()).headers["x-saga-run"]
        await at.ended(run, "waiting")
        assert await at.operator.cancel(run, subject="", reason="no longer wanted") == "taken"
        view = await at.ended(run, "cancelled")
        assert [one.method for one in at.service.sent] == ["POST", "DELETE"]
        assert view["error"]["kind"] == "cancelled"
        assert await at.operator.cancel(run, subject="", reason="") == "ended"
        assert await at.operator.cancel("nope", subject="", reason="") == "unknown"


async def test_a_cancel_past_the_pivot_comes_too_late() -> None:
    async with door(LISTENS) as at:
        run = (await at.ask()).headers["x-saga-run"]
        await at.ended(run, "waiting")
        at.service.gate.clear()
        at.service.asked.clear()
        await at.operator.signal(run, signal_of("word", 1, id="", subject="", roles=()))
        await at.service.asked.wait()
        at.service.asked.clear()
        at.service.gate.set()
        at.service.gate.clear()
        await at.service.asked.wait()
        assert at.service.sent[-1].target == "/tell"
        assert await at.operator.cancel(run, subject="", reason="") == "late"
        at.service.gate.set()
        await at.ended(run, "completed")


PIVOT = """
id: a
path: /a
methods: [POST]
respond: accepted
compensation: {retry: {delay: 1h, jitter: none}}
steps:
  - name: pay
    pivot: true
    call: {service: backend, path: /pay, body: 1}
"""


async def test_a_pivot_can_be_resolved_between_two_attempts_and_not_while_it_is_on_its_way() -> None:
    async with door(PIVOT, answers={"POST /pay": said(503)}) as at:
        run = (await at.ask()).headers["x-saga-run"]
        await at.ended(run, "waiting")
        at.service.gate.clear()
        at.service.asked.clear()
        at.clock.advance(3_601)
        at.keeper.wake()
        await at.service.asked.wait()
        answer, why = await at.operator.act(run, "resolve", {"done": False}, subject="", reason="")
        assert (answer, why.startswith("pay is on its way")) == ("late", True)
        at.service.gate.set()
        await at.ended(run, "waiting")
        answer, why = await at.operator.act(run, "resolve", {"done": False, "step": "other"}, subject="", reason="")
        assert (answer, why) == ("late", "Nothing is parked at other.")
        assert (await at.operator.act(run, "resolve", {"done": False}, subject="", reason=""))[0] == "taken"
        view = await at.ended(run, "failed")
        assert (view["error"]["kind"], view["leftovers"]) == ("503", [])


async def test_a_wait_is_over_when_the_clock_says_so_and_not_before() -> None:
    async with door(WAITS) as at:
        run = (await at.ask()).headers["x-saga-run"]
        view = await at.ended(run, "waiting")
        assert view["steps"][0]["waitingFor"].endswith("Z")
        while at.driver.live:  # a run that only waits is soon in nobody's hands
            await asyncio.sleep(0)
        at.clock.advance(3_599)
        assert await at.journals.due(at.clock.millis(), 10) == ()
        at.clock.advance(2)
        at.keeper.wake()
        await at.ended(run, "completed")
        assert len(at.service.sent) == 1


async def test_a_run_of_a_runner_that_died_is_taken_over_and_its_call_repeated() -> None:
    clock = ManualClock()
    first = MemoryJournals(clock, name="shop")
    text = WAITS.replace("  - name: pause\n    wait: 1h\n", "")
    async with door(text, journals=first, clock=clock, closed=True) as dead:
        reply = await dead.ask()
        await dead.service.asked.wait()
        [sent] = dead.service.sent
    async with door(text, journals=first.sibling(), clock=clock) as at:
        view = await at.ended(reply.headers["x-saga-run"], "completed")
        [again] = at.service.sent
        assert (again.key, again.digest()) == (sent.key, sent.digest())
        assert view["steps"][0]["unknown"] is True


async def test_an_ended_run_is_forgotten_after_its_retention() -> None:
    async with door(WAITS.replace("wait: 1h", "set: 1")) as at:
        run = (await at.ask()).headers["x-saga-run"]
        await at.ended(run, "completed")
        assert len((await at.journals.list(Filter())).rows) == 1
        at.clock.advance(120)
        at.keeper.wake()
        while (await at.journals.list(Filter())).rows:
            await asyncio.sleep(0)
