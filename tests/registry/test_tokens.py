import pytest

from registry.tokens import ANYBODY, InvalidTokens, read_tokens

TEXT = """
# who      token              scopes
shop       shop-token-0000001 read register:shop-   # its own services
metrics    metrics-token-0001 read
ops        ops-token-00000001 admin
"""


def test_a_token_says_who_asks_and_what_they_may() -> None:
    tokens = read_tokens(TEXT)
    shop = tokens.caller(b"Bearer shop-token-0000001")
    assert shop is not None
    assert (shop.name, shop.reads, shop.admin) == ("shop", True, False)
    assert shop.may_write("shop-stock")
    assert not shop.may_write("stock")
    metrics = tokens.caller(b"bearer  metrics-token-0001 ")
    assert metrics is not None
    assert metrics.reads
    assert not metrics.may_write("shop-stock")
    ops = tokens.caller(b"Bearer ops-token-00000001")
    assert ops is not None
    assert ops.reads
    assert ops.may_write("anything")


@pytest.mark.parametrize(
    "field",
    [
        None,
        b"",
        b"Bearer",
        b"Bearer wrong-token-00000",
        b"Basic shop-token-0000001",
        b"shop-token-0000001",
        b"Bearer \xff",
    ],
)
def test_nobody_is_known_by_anything_else(field: bytes | None) -> None:
    assert read_tokens(TEXT).caller(field) is None


def test_entries_may_stand_in_one_line() -> None:
    tokens = read_tokens("a token-of-a-0000001 read; b token-of-b-0000001 register:")
    both = [tokens.caller(b"Bearer token-of-%b-0000001" % name) for name in (b"a", b"b")]
    assert [x and (x.name, x.reads, x.may_write("x")) for x in both] == [("a", True, False), ("b", False, True)]


def test_without_tokens_anybody_may_do_anything() -> None:
    for text in ("", "  \n", "# nobody yet"):
        assert not read_tokens(text)
        assert read_tokens(text).caller(None) is ANYBODY


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a short read", r"entry 1 \(a\) no token of 16 or more"),
        ("a", r"entry 1 \(a\) no token"),
        ("a token-of-a-0000001", r"entry 1 \(a\) no scope"),
        ("a token-of-a-0000001 write", r"the scope 'write': a scope is read, register:PREFIX or admin"),
        ("a token-of-a-0000001 register", "the scope 'register'"),
        ("a token-of-a-0000001 register:a/b", "the scope 'register:a/b'"),
        ("-- token-of-a-0000001 read", "entry 1 a name other than"),
        ("a token-of-a-0000001 read\nb token-of-a-0000001 admin", r"entry 2 \(b\) a token that a has already"),
    ],
)
def test_a_wrong_entry_is_a_sentence_without_the_token(text: str, sentence: str) -> None:
    with pytest.raises(InvalidTokens, match=sentence) as wrong:
        read_tokens(text)
    assert "token-of-a" not in str(wrong.value)
