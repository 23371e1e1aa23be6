"""A gateway as clients of the first registry were written for scripts: `requests`, a registration, `atexit`."""

import atexit
import os
import sys

import requests

REGISTRY = os.environ["SAGA_SERVICE_URL"]
NAME, URL = "gateway", "http://localhost:8000"


def register() -> bool:
    wish = {"service_name": NAME, "service_url": URL, "capabilities": ["rest", "graphql", "grpc"]}
    try:
        requests.post(f"{REGISTRY}/api/v1/services/register", json=wish, timeout=5).raise_for_status()
    except requests.RequestException as reason:
        print("not registered:", type(reason).__name__, flush=True)
        return False
    print("registered", flush=True)
    return True


def unregister() -> None:
    requests.delete(f"{REGISTRY}/api/v1/services/{NAME}", timeout=5)
    print("unregistered", flush=True)


if register():
    atexit.register(unregister)
print("serving", flush=True)
sys.stdin.read()
