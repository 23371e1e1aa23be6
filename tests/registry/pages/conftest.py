from collections.abc import AsyncIterator

import pytest

from tests.registry.serving import Api, api


@pytest.fixture
async def http() -> AsyncIterator[Api]:
    async with api() as made:
        yield made
