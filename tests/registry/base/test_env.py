import pytest

from registry.base.env import Env, WrongSettings


def test_a_name_that_is_absent_or_empty_gives_the_default() -> None:
    env = Env({"HOST": "  "})
    assert env.text("HOST", "here") == "here"
    assert env.integer("PORT", 8030, low=0, high=65_535) == 8030
    assert env.seconds("TTL", 60.0, high=100) == 60.0
    env.done()


def test_values_are_read_as_their_type() -> None:
    env = Env({"HOST": "0.0.0.0", "PORT": "81", "TTL": "1.5"})
    assert env.text("HOST", "") == "0.0.0.0"
    assert env.integer("PORT", 0, low=0, high=65_535) == 81
    assert env.seconds("TTL", 60.0, high=100) == 1.5
    env.done()


def test_every_wrong_value_is_named_in_a_sentence() -> None:
    env = Env({"HOST": "a\x00b", "PORT": "70000", "TTL": "soon", "BEAT": "nan", "LIFE": "0"})
    env.text("HOST", "")
    env.integer("PORT", 0, low=0, high=65_535)
    for name in ("TTL", "BEAT", "LIFE"):
        env.seconds(name, 60.0, high=100)
    with pytest.raises(WrongSettings) as wrong:
        env.done()
    assert [error.split()[0] for error in wrong.value.errors] == ["HOST", "PORT", "TTL", "BEAT", "LIFE"]
    assert "PORT is '70000', but it must be a whole number from 0 to 65535." in str(wrong.value)
