"""A FastAPI service as clients of the first registry were written: `aiohttp`, a beating task, a lifespan."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import uvicorn
from fastapi import FastAPI

REGISTRY = os.environ["SAGA_SERVICE_URL"]
NAME, PORT = os.environ["NAME"], int(os.environ["PORT"])
SERVICE = f"{REGISTRY}/api/v1/services/{NAME}"


async def register() -> None:
    wish = {"service_name": NAME, "service_url": f"http://localhost:{PORT}", "capabilities": ["rest"]}
    async with aiohttp.ClientSession() as session:
        try:
            async with session.post(f"{REGISTRY}/api/v1/services/register", json=wish) as response:
                response.raise_for_status()
                print("registered as", (await response.json())["service_id"], flush=True)
        except aiohttp.ClientError as reason:
            print("not registered:", type(reason).__name__, flush=True)


async def unregister() -> None:
    async with aiohttp.ClientSession() as session, session.delete(SERVICE) as response:
        print("unregistered:", response.status, flush=True)


async def beat() -> None:
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.post(f"{SERVICE}/heartbeat") as response:
                    if response.status != 200:
                        await register()
            except aiohttp.ClientError:
                await register()
            await asyncio.sleep(float(os.environ["BEAT"]))


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    await register()
    beating = asyncio.create_task(beat())
    yield
    beating.cancel()
    await unregister()


app = FastAPI(lifespan=lifespan)


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "healthy"}


uvicorn.run(app, host="127.0.0.1", port=PORT)
