"""The demo services in a process of their own, which no kill of a runner touches.

    python -m tests.faults.shop_process DATABASE STOCK PAYMENT COURIER LATE

The three in the middle are ports; `LATE` is by how many seconds a late answer is late.
"""

import asyncio
import sys
from pathlib import Path

from runner.shop.serve import Ports, Shop


async def main(path: str, stock: str, payment: str, courier: str, late: str) -> None:
    """Serve until killed."""
    ports = Ports(stock=int(stock), payment=int(payment), courier=int(courier))
    async with Shop(Path(path), ports=ports, pause=lambda _: asyncio.sleep(float(late))):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
