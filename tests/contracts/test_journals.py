"""What every store of journals owes the engine: `runner.ports.Journals`, sentence by sentence.

Long, because it is one contract: whoever writes a store reads it from top to bottom.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runner.ports import Compaction, Conflict, Fenced, Filter, Hold, Journals, Note, StoreUnavailable, TooManySignals
from tests.contracts.journal_worlds import (
    ENDED,
    RUNNING,
    MemoryWorld,
    SqliteWorld,
    World,
    begun,
    copy_of,
    done,
    ended,
    new_run,
    signal,
    started,
    waiting,
)

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["memory", "sqlite"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    world: World = MemoryWorld() if request.param == "memory" else SqliteWorld(tmp_path / "journal.db")
    yield world
    await world.close()


@pytest.fixture
async def journals(world: World) -> Journals:
    return await world.open("one")


def now(world: World) -> int:
    return world.clock.millis()


# --- opening and closing ---


async def test_a_journal_that_is_not_open_says_so(world: World) -> None:
    journals = await world.open("one")
    await journals.close()
    for refused in (journals.ping(), journals.read("r1"), journals.create(new_run(), RUNNING)):
        with pytest.raises(StoreUnavailable, match="not open"):
            await refused


async def test_closing_twice_is_closing(journals: Journals) -> None:
    await journals.close()
    await journals.close()


async def test_an_open_journal_is_not_opened_again(journals: Journals) -> None:
    with pytest.raises(StoreUnavailable, match="already open"):
        await journals.open("two")


async def test_a_journal_answers_a_ping(journals: Journals) -> None:
    await journals.ping()


async def test_an_owner_of_runs_does_not_come_again(world: World) -> None:
    await started(await world.open("one"))
    with pytest.raises(ValueError, match="'one' cannot be an owner"):
        await world.open("one")


async def test_nobody_is_no_owner(world: World) -> None:
    with pytest.raises(ValueError, match="cannot be an owner"):
        await world.open("")


async def test_a_closed_journal_opens_again_with_all_its_runs(world: World) -> None:
    hold = await started(await world.open("one"))
    again = await world.open("two")
    stored = await again.read("r1")
    assert stored is not None
    assert stored.records == (b'["S",1]',)
    assert stored.row.owner == hold.owner == "one"


# --- bundles ---


async def test_a_bundle_comes_back_as_it_was_put(journals: Journals) -> None:
    await journals.put_bundle("d1", b"\x00body\xff")
    await journals.put_bundle("d1", b"\x00body\xff")
    assert await journals.get_bundle("d1") == b"\x00body\xff"
    assert await journals.get_bundle("d2") is None


async def test_a_bundle_without_runs_stays_while_its_putter_lives(journals: Journals) -> None:
    await journals.put_bundle("d1", b"body")
    assert await journals.sweep(10_000, 10) == 0
    assert await journals.get_bundle("d1") == b"body"


async def test_a_bundle_goes_when_no_run_names_it_and_its_putter_is_dead(world: World) -> None:
    journals = await world.open("one")
    for digest in ("named", "unnamed", "put again"):
        await journals.put_bundle(digest, b"body")
    await journals.create(new_run(bundle="named"), RUNNING)
    journals = await world.open("two")
    await journals.put_bundle("put again", b"body")
    await journals.sweep(2**52, 10)
    assert await journals.get_bundle("named") == b"body"
    assert await journals.get_bundle("unnamed") is None
    assert await journals.get_bundle("put again") == b"body"


# --- create ---


async def test_a_new_run_is_ours_and_has_its_records(journals: Journals) -> None:
    created = await journals.create(new_run(records=(b'["S",1]', begun()), labels={"tier": "gold"}), RUNNING)
    assert created.existing is None
    assert created.hold == Hold(run="r1", owner="one", epoch=1, length=2)
    stored = await journals.read("r1")
    assert stored is not None
    assert stored.records == (b'["S",1]', begun())
    row = stored.row
    assert (row.id, row.saga, row.version, row.status, row.bundle) == ("r1", "checkout", 1, "running", "b1")
    assert (row.owner, row.epoch, row.length) == ("one", 1, 2)
    assert (row.labels, row.started_at, row.ended_at) == ({"tier": "gold"}, 1_000, None)


async def test_the_same_creation_again_gives_the_hold_again(journals: Journals) -> None:
    first = await journals.create(new_run(), RUNNING)
    again = await journals.create(new_run(), RUNNING)
    assert again == first
    assert again.hold is not None


async def test_a_creation_after_an_append_finds_the_run(journals: Journals) -> None:
    await journals.append(await started(journals), [begun()], RUNNING)
    again = await journals.create(new_run(), RUNNING)
    assert again.hold is None
    assert again.existing is not None
    assert again.existing.length == 2


async def test_another_incarnation_finds_the_run_and_has_no_hold(world: World) -> None:
    await started(await world.open("one"))
    again = await (await world.open("two")).create(new_run(), RUNNING)
    assert again.hold is None
    assert again.existing is not None
    assert again.existing.owner == "one"


async def test_one_of_sixteen_racing_creations_wins(journals: Journals) -> None:
    answers = await asyncio.gather(*(journals.create(new_run(records=(b'["S",%d]' % t,)), RUNNING) for t in range(16)))
    winners = [answer for answer in answers if answer.hold is not None]
    assert len(winners) == 1
    assert all(answer.existing is not None for answer in answers if answer not in winners)
    stored = await journals.read("r1")
    assert stored is not None
    assert len(stored.records) == 1


async def test_another_payload_under_the_same_id_is_a_conflict(journals: Journals) -> None:
    await journals.create(new_run(fingerprint="aa"), RUNNING)
    with pytest.raises(Conflict, match="r1"):
        await journals.create(new_run(fingerprint="bb"), RUNNING)


@pytest.mark.parametrize(("first", "second"), [("aa", ""), ("", "aa"), ("aa", "aa")])
async def test_payloads_are_compared_only_where_both_are_known(journals: Journals, first: str, second: str) -> None:
    await journals.create(new_run(fingerprint=first, started_at=1), RUNNING)
    found = await journals.create(new_run(fingerprint=second, started_at=2), RUNNING)
    assert found.existing is not None


async def test_a_run_created_for_anybody_is_due_now_and_nobodys(world: World, journals: Journals) -> None:
    created = await journals.create(new_run(), RUNNING, start=False)
    assert created.hold is None
    assert created.existing is None
    assert await journals.due(now(world), 10) == ("r1",)
    again = await journals.create(new_run(), RUNNING, start=False)
    assert again.hold is None
    assert again.existing is not None
    assert again.existing.owner == ""


async def test_a_creation_that_comes_again_after_a_claim_does_not_give_the_hold_away(
    journals: Journals,
) -> None:
    await journals.create(new_run(), RUNNING, start=False)
    assert await journals.claim("r1") is not None
    again = await journals.create(new_run(), RUNNING, start=False)
    assert again.hold is None
    assert again.existing is not None


async def test_a_run_may_be_born_ended(world: World, journals: Journals) -> None:
    created = await journals.create(new_run(records=(b'["S",1]', b'["Z",1]')), ENDED)
    assert created.hold is not None
    assert created.existing is None
    again = await journals.create(new_run(records=(b'["S",1]', b'["Z",1]')), ENDED)
    assert again.existing is not None
    assert (again.existing.status, again.existing.ended_at, again.existing.owner) == (
        "completed",
        now(world),
        "",
    )
    assert await journals.claim("r1") is None


async def test_a_run_may_be_born_waiting(journals: Journals) -> None:
    await journals.create(new_run(), waiting(500))
    assert await journals.next_due() == 500


async def test_a_creation_after_the_end_starts_nothing(journals: Journals) -> None:
    await ended(journals, "r1")
    found = await journals.create(new_run(), RUNNING)
    assert found.hold is None
    assert found.existing is not None
    assert found.existing.status == "completed"


async def test_the_creators_own_labels_do_not_reach_into_the_store(journals: Journals) -> None:
    labels = {"tier": "gold"}
    await started(journals, labels=labels)
    labels["tier"] = "tin"
    stored = await journals.read("r1")
    assert stored is not None
    assert stored.row.labels == {"tier": "gold"}


# --- append ---


async def test_an_append_adds_all_its_records_and_moves_the_hold_on(journals: Journals) -> None:
    hold = await started(journals)
    assert await journals.append(hold, [begun(), done()], Note(status="waiting", reason="why")) == ()
    assert hold.length == 3
    stored = await journals.read("r1")
    assert stored is not None
    assert stored.records == (b'["S",1]', begun(), done())
    assert (stored.row.status, stored.row.reason, stored.row.length) == ("waiting", "why", 3)


async def test_records_are_bytes_and_come_back_as_they_were(journals: Journals) -> None:
    odd = [b"", b"\x00\xff", b"'); DROP TABLE runs; --", "Grüße".encode(), b"x" * 300_000]
    hold = await started(journals)
    await journals.append(hold, odd, RUNNING)
    stored = await journals.read("r1")
    assert stored is not None
    assert list(stored.records[1:]) == odd


async def test_an_append_sent_twice_is_stored_once(journals: Journals) -> None:
    hold = await started(journals)
    lost = copy_of(hold)
    await journals.append(hold, [begun(), done()], RUNNING)
    await journals.append(lost, [begun(), done()], RUNNING)
    assert lost == hold
    stored = await journals.read("r1")
    assert stored is not None
    assert len(stored.records) == 3


async def test_another_append_at_the_same_place_is_fenced(journals: Journals) -> None:
    hold = await started(journals)
    lost = copy_of(hold)
    await journals.append(hold, [begun()], RUNNING)
    for other in ([done()], [begun(), done()], []):
        with pytest.raises(Fenced):
            await journals.append(lost, other, RUNNING)
    assert lost.length == 1


async def test_an_old_append_is_fenced_once_others_followed(journals: Journals) -> None:
    hold = await started(journals)
    lost = copy_of(hold)
    await journals.append(hold, [begun()], RUNNING)
    await journals.append(hold, [done()], RUNNING)
    with pytest.raises(Fenced):
        await journals.append(lost, [begun()], RUNNING)


async def test_an_append_beyond_the_end_of_the_journal_is_fenced(journals: Journals) -> None:
    hold = await started(journals)
    hold.length += 1
    with pytest.raises(Fenced, match="with 1 records"):
        await journals.append(hold, [begun()], RUNNING)


@pytest.mark.parametrize(("owner", "epoch"), [("stranger", 1), ("one", 2), ("one", 0)])
async def test_a_stranger_and_another_epoch_are_fenced(journals: Journals, owner: str, epoch: int) -> None:
    await started(journals)
    with pytest.raises(Fenced):
        await journals.append(Hold(run="r1", owner=owner, epoch=epoch, length=1), [begun()], RUNNING)


async def test_an_append_to_an_unknown_run_is_fenced(journals: Journals) -> None:
    with pytest.raises(Fenced, match="no run nowhere"):
        await journals.append(Hold(run="nowhere", owner="one", epoch=1, length=1), [begun()], RUNNING)


async def test_blobs_come_back_with_their_run_and_go_with_it(world: World, journals: Journals) -> None:
    created = await journals.create(new_run(blobs={"d1": b"first"}), RUNNING)
    await journals.create(new_run("r2", blobs={"d1": b"another's"}), RUNNING)
    assert created.hold is not None
    lost = copy_of(created.hold)
    more = {"d1": b"first", "d2": b"\x00" * 600_000}
    await journals.append(created.hold, [done()], RUNNING, blobs=more)
    await journals.append(lost, [done()], RUNNING, blobs=more)
    stored = await journals.read("r1")
    assert stored is not None
    assert stored.blobs == more
    journals = await world.open("two")
    claimed = await journals.claim("r1")
    assert claimed is not None
    assert claimed.blobs == more
    await journals.append(claimed.hold, [b'["Z",9]'], ENDED)
    assert await journals.sweep(now(world) + 1, 10) == 1
    await started(journals)
    stored = await journals.read("r1")
    assert stored is not None
    assert stored.blobs == {}
    other = await journals.read("r2")
    assert other is not None
    assert other.blobs == {"d1": b"another's"}


async def test_a_refused_append_leaves_no_blob(journals: Journals) -> None:
    hold = await started(journals)
    hold.epoch += 1
    with pytest.raises(Fenced):
        await journals.append(hold, [done()], RUNNING, blobs={"d1": b"body"})
    stored = await journals.read("r1")
    assert stored is not None
    assert stored.blobs == {}


async def test_a_run_that_is_born_with_an_append_has_its_blobs(journals: Journals) -> None:
    hold = await started(journals)
    await journals.append(hold, [], RUNNING, spawn=[(new_run("r2", blobs={"d1": b"body"}), RUNNING)])
    stored = await journals.read("r2")
    assert stored is not None
    assert stored.blobs == {"d1": b"body"}


async def compacted(journals: Journals) -> tuple[Hold, tuple[bytes, ...]]:
    """A run of ten records, of which numbers 2 to 7 are in one."""
    hold = await started(journals)
    await journals.append(hold, [begun(t=1), begun(t=2), begun(t=3)], RUNNING)
    await journals.append(hold, [done(t=4)], RUNNING)
    records = (done(t=5), done(t=6), b'["K",[],7]', begun(t=8), begun(t=9))
    await journals.append(hold, records, RUNNING, compaction=Compaction(at=2, since=2))
    return hold, (b'["S",1]', begun(t=1), *records[2:])


async def test_a_compaction_drops_what_one_record_stands_in_for_and_counts_it_all_the_same(journals: Journals) -> None:
    hold, kept = await compacted(journals)
    assert hold.length == 10
    stored = await journals.read("r1")
    assert stored is not None
    assert (stored.records, stored.row.length) == (kept, 10)
    await journals.append(hold, [done(t=10)], RUNNING)
    stored = await journals.read("r1")
    assert stored is not None
    assert (stored.records, stored.row.length) == ((*kept, done(t=10)), 11)


async def test_a_compaction_after_another_replaces_only_what_came_since(journals: Journals) -> None:
    hold, kept = await compacted(journals)
    again = [done(t=11), b'["K",[],12]']
    await journals.append(hold, again, RUNNING, compaction=Compaction(at=1, since=8))
    stored = await journals.read("r1")
    assert stored is not None
    assert (stored.records, stored.row.length) == ((*kept[:-2], b'["K",[],12]'), 12)


async def test_a_compaction_sent_twice_is_done_once(world: World, journals: Journals) -> None:
    hold, kept = await compacted(journals)
    lost = copy_of(hold)
    records, compaction = [done(t=10), b'["K",[],11]', begun(t=12)], Compaction(at=1, since=8)
    await asyncio.gather(
        *(
            journals.append(copy_of(lost), records, RUNNING, blobs={"d1": b"body"}, compaction=compaction)
            for _ in range(8)
        )
    )
    await journals.append(lost, records, RUNNING, blobs={"d1": b"body"}, compaction=compaction)
    assert lost.length == 13
    journals = await world.open("two")
    claimed = await journals.claim("r1")
    assert claimed is not None
    assert claimed.records == (*kept[:-2], b'["K",[],11]', begun(t=12))
    assert (claimed.hold.length, claimed.blobs, claimed.takeovers) == (13, {"d1": b"body"}, 1)


async def test_one_of_racing_compactions_wins_and_the_others_are_fenced(journals: Journals) -> None:
    hold, kept = await compacted(journals)
    answers = await asyncio.gather(
        *(
            journals.append(
                copy_of(hold), [done(t=t), b'["K",[],%d]' % t], RUNNING, compaction=Compaction(at=1, since=8)
            )
            for t in range(20, 28)
        ),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers] == [tuple] + [Fenced] * 7
    stored = await journals.read("r1")
    assert stored is not None
    assert (stored.records, stored.row.length) == ((*kept[:-2], b'["K",[],20]'), 12)


async def test_a_fenced_compaction_drops_nothing(journals: Journals) -> None:
    hold, kept = await compacted(journals)
    hold.epoch += 1
    with pytest.raises(Fenced):
        await journals.append(hold, [b'["K",[],11]'], RUNNING, compaction=Compaction(at=0, since=2))
    stored = await journals.read("r1")
    assert stored is not None
    assert stored.records == kept


async def test_the_same_records_without_their_compaction_are_another_append(journals: Journals) -> None:
    hold, _ = await compacted(journals)
    lost = copy_of(hold)
    records = [done(t=10), b'["K",[],11]']
    await journals.append(hold, records, RUNNING, compaction=Compaction(at=1, since=8))
    with pytest.raises(Fenced):
        await journals.append(lost, records, RUNNING)


async def test_an_append_without_records_changes_the_note(journals: Journals) -> None:
    hold = await started(journals)
    await journals.append(hold, [], Note(status="compensating"))
    await journals.append(hold, [], Note(status="compensating"))
    stored = await journals.read("r1")
    assert stored is not None
    assert (stored.row.status, stored.row.length, hold.length) == ("compensating", 1, 1)


async def test_nothing_follows_the_end(world: World, journals: Journals) -> None:
    hold = await started(journals)
    lost = copy_of(hold)
    await journals.append(hold, [b'["Z",1]'], ENDED)
    with pytest.raises(Fenced):
        await journals.append(hold, [begun()], RUNNING)
    await journals.append(lost, [b'["Z",1]'], ENDED)
    assert lost == hold
    stored = await journals.read("r1")
    assert stored is not None
    assert stored.records == (b'["S",1]', b'["Z",1]')
    assert (stored.row.owner, stored.row.ended_at) == ("", now(world))


async def test_a_refused_append_spoils_none_that_came_with_it(journals: Journals) -> None:
    holds = [await started(journals, f"r{number}") for number in range(8)]
    stale = [Hold(run=hold.run, owner="zombie", epoch=1, length=1) for hold in holds]
    answers = await asyncio.gather(
        *(journals.append(hold, [begun()], RUNNING) for pair in zip(holds, stale, strict=True) for hold in pair),
        return_exceptions=True,
    )
    assert answers[::2] == [()] * 8
    assert all(isinstance(answer, Fenced) for answer in answers[1::2])
    for hold in holds:
        stored = await journals.read(hold.run)
        assert stored is not None
        assert stored.records == (b'["S",1]', begun())


async def test_operations_on_a_run_are_done_in_the_order_they_were_sent(journals: Journals) -> None:
    created, verdict, unread = await asyncio.gather(
        journals.create(new_run(), RUNNING),
        journals.signal("r1", signal()),
        journals.append(Hold(run="r1", owner="one", epoch=1, length=1), [begun()], RUNNING),
    )
    assert created.hold is not None
    assert verdict == "taken"
    assert [item.signal for item in unread] == [signal()]


async def test_an_append_may_bear_runs_for_anybody_in_the_same_go(world: World, journals: Journals) -> None:
    hold = await started(journals)
    lost = copy_of(hold)
    spawn = [(new_run("r1/a", labels={"tier": "gold"}), RUNNING), (new_run("r1/b"), waiting(5))]
    await journals.append(hold, [begun()], RUNNING, spawn=spawn)
    assert await journals.due(now(world), 10) == ("r1/a", "r1/b")
    assert await ids(journals, label=("tier", "gold")) == ["r1/a"]
    await journals.append(lost, [begun()], RUNNING, spawn=spawn)
    assert lost == hold
    claimed = await journals.claim("r1/a")
    assert claimed is not None
    assert (claimed.records, claimed.hold.length) == ((b'["S",1]',), 1)


async def test_runs_that_are_there_already_are_left_alone_by_an_append_that_bears_them(
    journals: Journals,
) -> None:
    other = await started(journals, "r1/a")
    hold = await started(journals)
    twice = (new_run("r1/b"), RUNNING)
    await journals.append(hold, [begun()], RUNNING, spawn=[(new_run("r1/a", fingerprint="ff"), RUNNING), twice, twice])
    await journals.append(other, [begun()], RUNNING)
    assert sorted(await ids(journals)) == ["r1", "r1/a", "r1/b"]


async def test_a_refused_append_bears_nothing(journals: Journals) -> None:
    await started(journals)
    stale = Hold(run="r1", owner="zombie", epoch=1, length=1)
    with pytest.raises(Fenced):
        await journals.append(stale, [begun()], RUNNING, spawn=[(new_run("r1/a"), RUNNING)])
    assert await ids(journals) == ["r1"]


async def test_an_append_whose_caller_went_away_is_either_there_or_not_and_may_be_sent_again(
    journals: Journals,
) -> None:
    hold = await started(journals)
    call = asyncio.ensure_future(journals.append(hold, [begun()], RUNNING))
    other = asyncio.ensure_future(journals.append(await started(journals, "r2"), [begun()], RUNNING))
    call.cancel()
    await asyncio.gather(call, other, return_exceptions=True)
    assert hold.length == 1
    await journals.append(hold, [begun()], RUNNING)
    stored = await journals.read("r1")
    assert stored is not None
    assert stored.records == (b'["S",1]', begun())


# --- claim, release, due ---


async def test_a_released_run_is_due_when_it_said(journals: Journals) -> None:
    hold = await started(journals)
    await journals.append(hold, [begun()], waiting(5_000))
    assert await journals.due(4_999, 10) == ()
    assert await journals.due(5_000, 10) == ("r1",)
    assert await journals.next_due() == 5_000


async def test_a_run_that_waits_for_a_signal_is_never_due(journals: Journals) -> None:
    await journals.append(await started(journals), [begun()], waiting(None))
    assert await journals.due(2**53, 10) == ()
    assert await journals.next_due() is None


async def test_the_longest_overdue_come_first_and_no_more_than_asked(journals: Journals) -> None:
    for run, due_at in (("b", 20), ("a", 30), ("c", 10), ("d", 99)):
        await journals.append(await started(journals, run), [], waiting(due_at))
    assert await journals.due(50, 10) == ("c", "b", "a")
    assert await journals.due(50, 2) == ("c", "b")
    assert await journals.due(50, 0) == ()
    assert await journals.next_due() == 10


async def test_a_claim_brings_everything_needed_to_go_on(journals: Journals) -> None:
    await journals.append(await started(journals), [begun()], waiting(5_000))
    await journals.signal("r1", signal())
    claimed = await journals.claim("r1")
    assert claimed is not None
    assert claimed.hold == Hold(run="r1", owner="one", epoch=2, length=2)
    assert claimed.records == (b'["S",1]', begun())
    assert [item.signal for item in claimed.unread] == [signal()]
    assert (claimed.row.owner, claimed.row.epoch, claimed.row.status) == ("one", 2, "waiting")
    assert claimed.takeovers == 1
    assert await journals.next_due() is None


async def test_a_claim_sent_twice_is_one_claim(journals: Journals) -> None:
    await journals.append(await started(journals), [begun()], waiting(0))
    first = await journals.claim("r1")
    assert await journals.claim("r1") == first
    assert first is not None
    await journals.append(first.hold, [done()], RUNNING)
    assert await journals.claim("r1") is None


async def test_sixteen_claims_of_one_incarnation_are_one_claim(journals: Journals) -> None:
    await journals.append(await started(journals), [begun()], waiting(0))
    claims = await asyncio.gather(*(journals.claim("r1") for _ in range(16)))
    assert {claim.hold.epoch for claim in claims if claim is not None} == {2}
    assert {claim.takeovers for claim in claims if claim is not None} == {1}


async def test_what_cannot_be_had_is_not_claimed(journals: Journals) -> None:
    await started(journals, "mine")
    await ended(journals, "over")
    assert await journals.claim("mine") is None
    assert await journals.claim("over") is None
    assert await journals.claim("unknown") is None


async def test_the_former_holder_is_fenced_after_a_claim(journals: Journals) -> None:
    hold = await started(journals)
    await journals.append(hold, [], waiting(0))
    await journals.claim("r1")
    for note in (RUNNING, waiting(0), ENDED):
        with pytest.raises(Fenced):
            await journals.append(copy_of(hold), [begun()], note)


async def test_a_release_sent_twice_is_a_success(journals: Journals) -> None:
    hold = await started(journals)
    lost = copy_of(hold)
    await journals.append(hold, [begun()], waiting(5_000))
    await journals.append(lost, [begun()], waiting(5_000))
    assert lost == hold
    assert await journals.next_due() == 5_000
    empty = copy_of(hold)
    await journals.append(empty, [], waiting(5_000))
    assert empty == hold


async def test_a_released_run_takes_no_append_that_does_not_release(journals: Journals) -> None:
    hold = await started(journals)
    other = copy_of(hold)
    await journals.append(hold, [begun()], waiting(5_000))
    with pytest.raises(Fenced):
        await journals.append(other, [begun()], RUNNING)
    with pytest.raises(Fenced):
        await journals.append(hold, [done()], RUNNING)
    with pytest.raises(Fenced):
        await journals.append(hold, [done()], waiting(6_000))


async def test_a_dead_owners_runs_are_orphans_at_once(world: World) -> None:
    journals = await world.open("one")
    for number in range(20):
        await started(journals, f"r{number}")
    await ended(journals, "over")
    assert await journals.orphans(100) == ()
    journals = await world.open("two")
    await started(journals, "mine")
    orphans = await journals.orphans(100)
    assert sorted(orphans) == sorted(f"r{number}" for number in range(20))
    assert len(await journals.orphans(7)) == 7
    assert await journals.orphans(0) == ()
    for run in orphans:
        claimed = await journals.claim(run)
        assert claimed is not None
        assert claimed.hold.epoch == 2
    assert await journals.orphans(100) == ()


async def test_a_dead_owner_is_fenced_once_its_run_was_claimed(world: World) -> None:
    hold = await started(await world.open("one"))
    journals = await world.open("two")
    assert await journals.claim("r1") is not None
    with pytest.raises(Fenced, match="belongs to two at epoch 2"):
        await journals.append(hold, [begun()], RUNNING)


async def test_takeovers_count_until_something_is_appended(world: World) -> None:
    await started(await world.open("owner 0"))
    for turn in range(1, 4):
        claimed = await (await world.open(f"owner {turn}")).claim("r1")
        assert claimed is not None
        assert claimed.takeovers == turn
    journals = await world.open("owner 4")
    claimed = await journals.claim("r1")
    assert claimed is not None
    assert claimed.takeovers == 4
    await journals.append(claimed.hold, [done()], RUNNING)
    claimed = await (await world.open("last")).claim("r1")
    assert claimed is not None
    assert claimed.takeovers == 1


async def test_begun_and_unknown_calls_are_no_progress(world: World) -> None:
    await started(await world.open("owner 0"))
    for turn, records in enumerate(([b'["U",1,"a"]', begun()], [begun()], [], [begun(), done()], [])):
        journals = await world.open(f"owner {turn + 1}")
        claimed = await journals.claim("r1")
        assert claimed is not None
        assert claimed.takeovers == (1, 2, 3, 4, 1)[turn]
        await journals.append(claimed.hold, records, RUNNING)


# --- signals ---


async def test_a_signal_reaches_the_owner_by_beat_and_by_append(journals: Journals) -> None:
    hold = await started(journals)
    assert await journals.signal("r1", signal()) == "taken"
    (told,) = await journals.heartbeat()
    assert (told.run, told.number, told.signal) == ("r1", 1, signal())
    assert await journals.append(hold, [begun()], RUNNING) == (told,)


async def test_signals_come_in_the_order_they_were_sent(journals: Journals) -> None:
    await started(journals)
    for number in range(5):
        await journals.signal("r1", signal(number))
    unread = await journals.heartbeat()
    assert [item.number for item in unread] == [1, 2, 3, 4, 5]
    assert [item.signal.id for item in unread] == ["s0", "s1", "s2", "s3", "s4"]


async def test_taken_signals_are_not_told_again(journals: Journals) -> None:
    hold = await started(journals)
    for number in range(3):
        await journals.signal("r1", signal(number))
    left = await journals.append(hold, [b'["G",1]'], RUNNING, taken=2)
    assert [item.number for item in left] == [3]
    assert await journals.heartbeat() == left
    assert await journals.append(hold, [], RUNNING, taken=1) == left
    assert await journals.append(hold, [], RUNNING, taken=3) == ()
    assert await journals.heartbeat() == ()


async def test_signals_that_are_yet_to_come_cannot_be_taken(journals: Journals) -> None:
    hold = await started(journals)
    await journals.signal("r1", signal(1))
    assert await journals.append(hold, [b'["G",1]'], RUNNING, taken=99) == ()
    await journals.signal("r1", signal(2))
    assert [item.number for item in await journals.heartbeat()] == [2]


async def test_a_signal_sent_twice_is_taken_once_even_when_it_was_read(journals: Journals) -> None:
    hold = await started(journals)
    assert await journals.signal("r1", signal()) == "taken"
    assert await journals.signal("r1", signal()) == "again"
    await journals.append(hold, [b'["G",1]'], RUNNING, taken=1)
    assert await journals.signal("r1", signal()) == "again"
    await journals.append(hold, [b'["Z",1]'], ENDED)
    assert await journals.signal("r1", signal()) == "again"
    assert await journals.heartbeat() == ()


async def test_a_signal_to_an_ended_or_unknown_run_is_told_so(journals: Journals) -> None:
    await ended(journals, "over")
    assert await journals.signal("over", signal()) == "ended"
    assert await journals.signal("nowhere", signal()) == "unknown"


async def test_two_runs_have_two_inboxes(journals: Journals) -> None:
    await started(journals, "r1")
    await started(journals, "r2")
    assert await journals.signal("r1", signal()) == "taken"
    assert await journals.signal("r2", signal()) == "taken"
    assert [(item.run, item.number) for item in await journals.heartbeat()] == [("r1", 1), ("r2", 1)]


async def test_a_signal_makes_an_unowned_run_due_at_once(world: World, journals: Journals) -> None:
    await journals.append(await started(journals), [begun()], waiting(None))
    await journals.signal("r1", signal())
    assert await journals.due(now(world), 10) == ("r1",)
    assert await journals.heartbeat() == ()


async def test_a_signal_does_not_put_off_a_run_that_is_overdue(journals: Journals) -> None:
    await journals.append(await started(journals), [begun()], waiting(7))
    await journals.signal("r1", signal())
    assert await journals.next_due() == 7


async def test_a_release_that_a_signal_overtook_is_due_at_once(world: World, journals: Journals) -> None:
    hold = await started(journals)
    await journals.signal("r1", signal())
    await journals.append(hold, [begun()], waiting(None))
    assert await journals.due(now(world), 10) == ("r1",)


async def test_a_release_that_takes_the_last_signal_is_not_due(journals: Journals) -> None:
    hold = await started(journals)
    await journals.signal("r1", signal())
    await journals.append(hold, [b'["G",1]'], waiting(None), taken=1)
    assert await journals.next_due() is None


async def test_a_lost_owners_inbox_goes_to_the_next(world: World) -> None:
    journals = await world.open("one")
    await started(journals)
    await journals.signal("r1", signal())
    journals = await world.open("two")
    assert await journals.heartbeat() == ()
    claimed = await journals.claim("r1")
    assert claimed is not None
    assert [item.signal for item in claimed.unread] == [signal()]
    assert await journals.heartbeat() == claimed.unread


async def test_an_inbox_holds_a_thousand_unread_signals_and_no_more(journals: Journals) -> None:
    hold = await started(journals)
    await asyncio.gather(*(journals.signal("r1", signal(number)) for number in range(1_000)))
    with pytest.raises(TooManySignals, match="r1"):
        await journals.signal("r1", signal(1_000))
    assert await journals.signal("r1", signal(999)) == "again"
    await journals.append(hold, [b'["G",1]'], RUNNING, taken=1)
    assert await journals.signal("r1", signal(1_000)) == "taken"
    assert len(await journals.heartbeat()) == 1_000


# --- list ---


async def ids(journals: Journals, **wanted: object) -> list[str]:
    return [row.id for row in (await journals.list(Filter(**wanted))).rows]  # type: ignore[arg-type] # as given


async def test_a_list_shows_the_newest_first(journals: Journals) -> None:
    for run, at in (("b", 20), ("a", 30), ("c", 10)):
        await journals.create(new_run(run, started_at=at), RUNNING)
    page = await journals.list(Filter())
    assert [row.id for row in page.rows] == ["a", "b", "c"]
    assert page.next is None


async def test_a_list_is_filtered_by_saga_status_label_and_time(journals: Journals) -> None:
    for number in range(12):
        await journals.create(
            new_run(
                f"r{number}",
                saga=("checkout", "refund")[number % 2],
                labels={"tier": ("gold", "tin", "lead")[number % 3]},
                started_at=number,
            ),
            (RUNNING, Note(status="parked", reason="poison", release=True))[number % 4 == 0],
        )
    assert await ids(journals, saga="refund") == ["r11", "r9", "r7", "r5", "r3", "r1"]
    assert await ids(journals, status="parked") == ["r8", "r4", "r0"]
    assert await ids(journals, label=("tier", "gold")) == ["r9", "r6", "r3", "r0"]
    assert await ids(journals, since=10) == ["r11", "r10"]
    assert await ids(journals, status="parked", label=("tier", "gold")) == ["r0"]
    assert await ids(journals, saga="checkout", status="parked", since=4, label=("tier", "tin")) == ["r4"]
    assert await ids(journals, label=("tier", "brass")) == []
    assert await ids(journals, label=("colour", "gold")) == []
    assert await ids(journals, status="nonsense") == []


async def test_a_list_follows_the_status(journals: Journals) -> None:
    hold = await started(journals)
    await journals.append(hold, [begun()], Note(status="compensating"))
    assert await ids(journals, status="running") == []
    assert await ids(journals, status="compensating", saga="checkout") == ["r1"]
    await journals.append(hold, [b'["Z",1]'], ENDED)
    assert await ids(journals, status="completed", saga="checkout") == ["r1"]


@pytest.mark.parametrize("wanted", [{}, {"label": ("tier", "gold")}, {"saga": "checkout"}, {"status": "running"}])
async def test_pages_join_without_gap_or_repeat_while_new_runs_come(
    journals: Journals, wanted: dict[str, object]
) -> None:
    for number in range(10):
        # Several start in the same millisecond.
        await journals.create(new_run(f"r{number}", labels={"tier": "gold"}, started_at=number // 4), RUNNING)
    seen: list[str] = []
    cursor: str | None = None
    for turn in range(10):
        page = await journals.list(Filter(cursor=cursor, limit=3, **wanted))  # type: ignore[arg-type] # as given
        seen += [row.id for row in page.rows]
        await journals.create(new_run(f"late{turn}", labels={"tier": "gold"}, started_at=2), RUNNING)
        cursor = page.next
        if cursor is None:
            break
    assert seen == [f"r{number}" for number in reversed(range(10))]


async def test_a_full_last_page_has_no_next(journals: Journals) -> None:
    for number in range(4):
        await started(journals, f"r{number}")
    page = await journals.list(Filter(limit=2))
    assert page.next is not None
    assert (await journals.list(Filter(limit=2, cursor=page.next))).next is None


@pytest.mark.parametrize("cursor", ["", "x", "1", "1.", ".1", "1.2.3", "1.2'; --", "9" * 40 + ".1"])
async def test_a_cursor_that_is_none_is_refused(journals: Journals, cursor: str) -> None:
    with pytest.raises(ValueError, match="cursor"):
        await journals.list(Filter(cursor=cursor))


async def test_a_page_has_at_least_one_row_and_at_most_a_thousand(journals: Journals) -> None:
    await asyncio.gather(*(started(journals, f"r{number}") for number in range(1_001)))
    assert len((await journals.list(Filter(limit=0))).rows) == 1
    assert len((await journals.list(Filter(limit=5_000))).rows) == 1_000


async def test_an_unknown_run_is_not_read(journals: Journals) -> None:
    assert await journals.read("nowhere") is None


# --- sweep ---


async def test_a_sweep_forgets_what_ended_before_and_nothing_else(world: World, journals: Journals) -> None:
    await ended(journals, "old")
    await started(journals, "unfinished", labels={"tier": "gold"})
    world.clock.advance(10)
    border = now(world)
    await ended(journals, "new")
    assert await journals.sweep(border, 100) == 1
    assert await journals.read("old") is None
    assert await journals.read("new") is not None
    assert await journals.read("unfinished") is not None
    assert sorted(await ids(journals)) == ["new", "unfinished"]


async def test_a_sweep_forgets_no_more_than_asked_the_longest_ended_first(world: World, journals: Journals) -> None:
    for number in range(5):
        await ended(journals, f"r{number}")
        world.clock.advance(1)
    assert await journals.sweep(now(world), 2) == 2
    assert await ids(journals) == ["r4", "r3", "r2"]
    assert await journals.sweep(now(world), 0) == 0
    assert await journals.sweep(now(world), 250) == 3
    assert await ids(journals) == []


async def test_a_forgotten_run_leaves_nothing_and_its_id_is_free(world: World, journals: Journals) -> None:
    hold = await started(journals, labels={"tier": "gold"})
    await journals.signal("r1", signal())
    await journals.append(hold, [b'["Z",1]'], ENDED)
    assert await journals.sweep(now(world) + 1, 10) == 1
    assert await ids(journals, label=("tier", "gold")) == []
    assert await journals.signal("r1", signal()) == "unknown"
    with pytest.raises(Fenced):
        await journals.append(hold, [b'["Z",1]'], ENDED)
    assert (await started(journals)).epoch == 1
    assert await journals.signal("r1", signal()) == "taken"
    stored = await journals.read("r1")
    assert stored is not None
    assert stored.records == (b'["S",1]',)


async def test_a_sweep_beside_creations_spoils_neither(world: World, journals: Journals) -> None:
    await ended(journals, "r1")
    gone, created, again = await asyncio.gather(
        journals.sweep(now(world) + 1, 10),
        journals.create(new_run("r2"), RUNNING),
        journals.create(new_run("r1"), RUNNING),
    )
    assert gone == 1
    assert created.hold is not None
    assert (again.hold is None) != (again.existing is None)
    assert ("r1" in await ids(journals)) == (again.hold is not None)


# --- names ---


async def test_runners_of_another_name_see_nothing_of_ours(world: World) -> None:
    journals = await world.open("one")
    await journals.put_bundle("b1", b"body")
    await started(journals, "owned", labels={"tier": "gold"})
    await journals.append(await started(journals, "waiting"), [], waiting(0))
    await ended(journals, "over")
    other = await world.open("two", name="depot")
    assert await other.orphans(10) == ()
    assert await other.due(2**53, 10) == ()
    assert await other.next_due() is None
    assert await other.read("owned") is None
    assert await other.claim("waiting") is None
    assert await other.signal("owned", signal()) == "unknown"
    assert await other.get_bundle("b1") is None
    assert await ids(other) == await ids(other, label=("tier", "gold")) == []
    assert await other.sweep(2**53, 10) == 0
    assert (await started(other, "owned")).epoch == 1
    journals = await world.open("three")
    assert await journals.orphans(10) == ("owned",)
    assert await journals.get_bundle("b1") == b"body"
    assert sorted(await ids(journals)) == ["over", "owned", "waiting"]
