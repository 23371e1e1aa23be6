"""What every test stands on: one event loop, asyncio's, for tests marked `anyio`."""

import pytest


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The product runs on asyncio (and uvloop), so nothing is gained by testing it on trio."""
    return "asyncio"
