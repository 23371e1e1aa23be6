from collections.abc import Iterable

import pytest

from registry.directories.changes import Changes, place_of
from registry.directory import Change


def change(change_id: str, name: str = "a") -> Change:
    return Change(id=change_id, name=name, index=1, kind="changed", service_ids=("x",))


def history(ids: Iterable[str], *, limit: int = 3) -> Changes:
    changes = Changes((10, 0), limit=limit)
    for each in ids:
        changes.add(change(each))
    return changes


def since(changes: Changes, after: str) -> list[str]:
    return [each.kind if each.name is None else each.id for each in changes.since(after)]


def test_what_followed_is_answered_in_its_order() -> None:
    changes = history(["10-1", "11-0", "11-1"])
    assert since(changes, "10-0") == ["10-1", "11-0", "11-1"]
    assert since(changes, "10-7") == ["11-0", "11-1"]
    assert since(changes, "11-1") == []
    assert changes.position() == "11-1"


def test_a_change_that_does_not_follow_is_left_out() -> None:
    changes = history(["12-0", "11-0", "12-0", "nonsense", "12-1"])
    assert since(changes, "10-0") == ["12-0", "12-1"]


def test_what_is_forgotten_is_a_reset() -> None:
    changes = history(["11-0", "12-0", "13-0", "14-0", "15-0"])
    assert since(changes, "12-0") == ["13-0", "14-0", "15-0"]
    assert since(changes, "11-0") == ["reset"]
    assert changes.since("11-0")[0].id == "15-0"


def test_after_a_restart_everything_before_is_a_reset() -> None:
    changes = history(["11-0"])
    changes.restart((9, 0))
    assert since(changes, "11-0") == ["reset"]
    changes.add(change("9-1"))
    assert since(changes, "9-0") == ["9-1"]


@pytest.mark.parametrize("text", ["", "1", "1-", "-1", "1-x", "٣-1", "1-1-1", "1" * 41 + "-1"])
def test_what_is_no_id_has_no_place(text: str) -> None:
    assert place_of(text) is None


def test_ids_are_compared_as_numbers() -> None:
    assert (place_of("9-10") or ()) < (place_of("10-9") or ())
    assert (place_of("9-9") or ()) < (place_of("9-10") or ())
