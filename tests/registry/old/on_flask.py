"""A Flask service as clients of the first registry were written: a thread that beats by name alone, `atexit`."""

import atexit
import os
import signal
import threading
import time

import requests
from flask import Flask

REGISTRY = os.environ["SAGA_SERVICE_URL"]
NAME, PORT = os.environ["NAME"], int(os.environ["PORT"])
SERVICE = f"{REGISTRY}/api/v1/services/{NAME}"

app = Flask(__name__)


def register() -> None:
    wish = {"service_name": NAME, "service_url": f"http://localhost:{PORT}", "capabilities": ["rest"]}
    try:
        requests.post(f"{REGISTRY}/api/v1/services/register", json=wish, timeout=5).raise_for_status()
    except requests.RequestException as reason:
        print("not registered:", type(reason).__name__, flush=True)


def unregister() -> None:
    print("unregistered:", requests.delete(SERVICE, timeout=5).status_code, flush=True)


def beat() -> None:
    while True:
        try:
            if requests.post(f"{SERVICE}/heartbeat", timeout=5).status_code != 200:
                register()
        except requests.RequestException:
            register()
        time.sleep(float(os.environ["BEAT"]))


@app.route("/health")
def health() -> dict[str, str]:
    return {"status": "healthy"}


# Ctrl-C ends it as in a terminal, also where whoever started it ignores that.
signal.signal(signal.SIGINT, signal.default_int_handler)
register()
threading.Thread(target=beat, daemon=True).start()
atexit.register(unregister)
app.run(host="127.0.0.1", port=PORT)
