"""The servers that these tests share."""

from collections.abc import Iterator

import pytest

from tests.support.processes import SHOP, Server, dev


@pytest.fixture(scope="package")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`saga dev` with the shop's definitions."""
    with dev(tmp_path_factory.mktemp("shop"), (SHOP,)) as server:
        yield server
