"""The commands as a user gives them: real processes against a real registry."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from registry.tokens import read_tokens
from tests.registry.serving import Api, api

pytestmark = [pytest.mark.anyio, pytest.mark.process]

START = "import sys; from registry import cli; group = cli.{0}; group(prog_name='saga')"


@pytest.fixture
async def http() -> AsyncIterator[Api]:
    async with api() as made:
        yield made


async def started(group: str, *arguments: str, **variables: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        START.format(group),
        *arguments,
        env={"PYTHONUNBUFFERED": "1", **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def saga(http: Api, *arguments: str) -> tuple[int | None, str, str]:
    process = await started("service", *arguments, SAGA_SERVICE_URL=http.url)
    out, err = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode, out.decode(), err.decode()


async def test_a_service_is_registered_listed_found_beaten_and_removed(http: Api) -> None:
    given = ("--name", "my-service", "--url", "http://localhost:8000", "--capabilities", "rest, graphql")
    code, out, _ = await saga(http, "register", *given, "--zone", "x", "-o", "json")
    assert code == 0
    assert json.loads(out)["capabilities"] == ["rest", "graphql"]
    code, out, _ = await saga(http, "list")
    assert code == 0
    header, row = out.splitlines()
    assert header.split()[:3] == ["NAME", "URL", "ID"]
    assert row.split()[:2] == ["my-service", "http://localhost:8000"]
    code, out, _ = await saga(http, "list", "--zone", "y", "-o", "json")
    assert (code, json.loads(out)) == (0, {"services": [], "count": 0})
    code, out, _ = await saga(http, "get", "my-service", "-o", "json")
    assert (code, json.loads(out)["zone"]) == (0, "x")
    assert (await saga(http, "heartbeat", "my-service"))[0] == 0
    code, out, _ = await saga(http, "unregister", "my-service")
    assert (code, out) == (0, "my-service is unregistered.\n")
    assert http.directory.snapshot("my-service") == ()


async def test_a_failure_is_one_line_and_exit_code_1(http: Api) -> None:
    for arguments in (
        ("get", "ghost"),
        ("heartbeat", "ghost"),
        ("unregister", "ghost", "--all"),
        ("register", "--name", "-", "--url", "ftp://x"),
        ("list", "--saga-url", "http://127.0.0.1:1"),
    ):
        code, out, err = await saga(http, *arguments)
        assert (code, out) == (1, "")
        assert len(err.splitlines()) == 1
        assert err.startswith("Error: ")


async def test_the_registry_of_the_settings_file_is_asked_unless_variable_or_option_names_another(
    http: Api, tmp_path: Path
) -> None:
    await http.register("filed")
    (tmp_path / "config.toml").write_text(f'saga_service_url = "{http.url}"\n')
    folder, nobody = str(tmp_path), "http://127.0.0.1:1"
    for arguments, variables, asked in (
        ((), {}, http.url),
        ((), {"SAGA_SERVICE_URL": nobody}, nobody),
        (("--saga-url", nobody), {}, nobody),
    ):
        process = await started("service", "list", *arguments, SAGA_CONFIG_DIR=folder, **variables)
        out, err = await asyncio.wait_for(process.communicate(), 30)
        assert (b"filed" in out, nobody.encode() in err) == (asked == http.url, asked == nobody)


async def test_keep_alive_beats_until_interrupted_and_then_unregisters(http: Api) -> None:
    given = ("--name", "sidecar", "--url", "http://10.0.0.1:80", "--keep-alive", "-o", "json")
    process = await started("service", "register", *given, SAGA_SERVICE_URL=http.url)
    assert process.stderr is not None
    assert b"Kept alive" in await asyncio.wait_for(process.stderr.readline(), 30)
    assert len(http.directory.snapshot("sidecar")) == 1
    process.send_signal(signal.SIGINT)
    out, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
    assert json.loads(out)["service_name"] == "sidecar"
    assert http.directory.snapshot("sidecar") == ()


async def test_an_instance_is_drained_explained_and_enabled(http: Api) -> None:
    one = await http.register("payment", "http://10.0.0.1:80", version="2.1")
    code, out, err = await saga(http, "drain", "payment", "-o", "json")
    assert (code, err) == (0, "")
    assert json.loads(out)["service_id"] == one["service_id"]
    code, out, _ = await saga(http, "resolve", "payment")
    header, row = out.splitlines()
    assert (code, header.split()) == (0, ["VERDICT", "URL", "ID", "DETAIL"])
    assert "drained" in row
    assert (await saga(http, "enable", "payment", "--id", one["service_id"]))[0] == 0
    code, out, _ = await saga(http, "resolve", "payment@2", "--policy", "consistent_hash", "--key", "k", "-o", "json")
    assert (code, json.loads(out)["chosen"]["service_id"]) == (0, one["service_id"])


async def test_of_several_instances_one_has_to_be_named(http: Api) -> None:
    ids = [(await http.register("payment", f"http://10.0.0.{n}:80"))["service_id"] for n in (1, 2)]
    code, _, err = await saga(http, "drain", "payment")
    assert code == 1
    assert "2 instances" in err
    assert all(each in err for each in ids)


async def test_watch_shows_what_is_there_and_each_change_until_interrupted(http: Api) -> None:
    process = await started("service", "watch", "payment", "-o", "json", SAGA_SERVICE_URL=http.url)
    assert process.stdout is not None

    async def told() -> list[str]:
        assert process.stdout is not None
        line = json.loads(await asyncio.wait_for(process.stdout.readline(), 30))
        return [x["service_url"] for x in line["instances"]]

    assert await told() == []
    await http.register("payment", "http://10.0.0.1:80")
    assert await told() == ["http://10.0.0.1:80"]
    await http.call("DELETE", "/services/payment")
    assert await told() == []
    process.send_signal(signal.SIGINT)
    _, err = await asyncio.wait_for(process.communicate(), 30)
    assert (process.returncode, err) == (0, b"")


async def test_watch_without_a_name_shows_each_change_of_any_service(http: Api) -> None:
    process = await started("service", "watch", "-o", "json", SAGA_SERVICE_URL=http.url)
    assert process.stdout is not None

    async def told() -> tuple[str, str]:
        assert process.stdout is not None
        line = json.loads(await asyncio.wait_for(process.stdout.readline(), 30))
        return line["event"], line["service_name"]

    assert await told() == ("opened", "")
    await http.register("payment")
    assert await told() == ("registered", "payment")
    await http.register("orders")
    await http.call("DELETE", "/services/payment")
    assert [await told(), await told()] == [("registered", "orders"), ("withdrawn", "payment")]
    process.send_signal(signal.SIGINT)
    _, err = await asyncio.wait_for(process.communicate(), 30)
    assert (process.returncode, err) == (0, b"")


async def test_a_token_is_taken_from_the_environment() -> None:
    async with api(registry_tokens=read_tokens("ops 0123456789abcdef admin")) as guarded:
        code, _, err = await saga(guarded, "list")
        assert (code, len(err.splitlines())) == (1, 1)
        process = await started("service", "list", SAGA_SERVICE_URL=guarded.url, SAGA_SERVICE_TOKEN="0123456789abcdef")
        await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 0


async def test_the_registry_serves_until_it_is_stopped() -> None:
    process = await started("registry", "--port", "0", SERVICE_NAME="own")
    assert process.stdout is not None
    line = (await asyncio.wait_for(process.stdout.readline(), 30)).decode()
    assert line.startswith("registry on http://127.0.0.1:")
    assert line.endswith("directory embedded\n")
    port = int(line.split(",")[0].rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    assert b'"service":"own"' in await asyncio.wait_for(reader.read(), 10)
    writer.close()
    process.send_signal(signal.SIGTERM)
    await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0


async def test_wrong_settings_and_a_taken_port_are_sentences(http: Api) -> None:
    for arguments, variables, sentence in (
        ((), {"PORT": "http", "REGISTRATION_TTL": "0"}, "PORT is 'http'"),
        (("--port", str(http.port)), {}, f"cannot listen on 127.0.0.1:{http.port}"),
    ):
        process = await started("registry", *arguments, **variables)
        _, err = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 1
        assert sentence in err.decode()
        assert "Traceback" not in err.decode()
