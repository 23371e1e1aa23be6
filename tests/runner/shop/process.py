"""A shop in a process of its own, to be killed: `python -m tests.runner.shop.process FILE` tells its URLs."""

import asyncio
import json
import sys
from pathlib import Path

from runner.shop.serve import Shop
from tests.runner.shop.visit import FREE


async def main(db: Path) -> None:
    async with Shop(db, ports=FREE) as shop:
        print(json.dumps(dict(shop.urls)), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
