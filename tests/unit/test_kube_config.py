"""Credentials: only those that were named are used, and what is wrong with them is said."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
import yaml

from controller.clients.kube.config import InCluster, Kubeconfig, KubeConfigError, connect
from controller.clients.kube.errors import UnreachableError
from controller.clients.kube.resources import MANDATES, Key
from controller.clients.kube.transport import Timeouts

USER: dict[str, object] = {"token": "t"}
EMPTY_OBJECT = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


@dataclass
class Listener:
    """A server that notes what it hears and answers all the same, or not at all."""

    answer: bytes
    heard: list[str] = field(default_factory=list[str])
    url: str = ""
    _handlers: "set[asyncio.Task[None]]" = field(default_factory=lambda: set[asyncio.Task[None]]())

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Listen for as long as the block lasts."""
        server = await asyncio.start_server(self._handle, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield
        finally:
            server.close()
            await asyncio.gather(*self._handlers)

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._handlers.add(cast("asyncio.Task[None]", asyncio.current_task()))
        self.heard.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(self.answer)
        with contextlib.suppress(OSError):
            await writer.drain()
            if not self.answer:
                await reader.read()
            writer.close()
            await writer.wait_closed()


def write(
    path: Path,
    *,
    server: str = "http://127.0.0.1:9",
    user: dict[str, object] | None = None,
    context: str = "c",
) -> Kubeconfig:
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "k", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": USER if user is None else user}],
        "contexts": [
            {"name": "c", "context": {"cluster": "k", "user": "u"}},
            {"name": "other", "context": {"cluster": "k", "user": "u"}},
        ],
        "current-context": context,
    }
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return Kubeconfig(path)


async def test_a_kubeconfig_whose_path_holds_a_colon_is_one_file(tmp_path: Path) -> None:
    async with connect(write(tmp_path / "a:b.yaml")) as client:
        assert client is not None


async def test_nothing_is_asked_before_it_is_needed_and_nobody_there_is_unreachable(
    tmp_path: Path,
) -> None:
    async with connect(write(tmp_path / "k.yaml")) as client:
        with pytest.raises(UnreachableError, match=r"GET /apis/governor\.dev.*refused|Connect"):
            await client.get(MANDATES, Key("", "m"))


async def test_a_server_that_never_answers_is_unreachable_after_the_timeout(
    tmp_path: Path,
) -> None:
    mute = Listener(b"")
    async with mute.running():
        credentials = write(tmp_path / "k.yaml", server=mute.url)
        async with connect(credentials, timeouts=Timeouts(silence=0.1)) as client:
            with pytest.raises(UnreachableError):
                await client.get(MANDATES, Key("", "m"))


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"not HTTP at all\r\n\r\n", id="not HTTP"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", id="cut off"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{:}", id="not JSON"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", id="no object"),
        pytest.param(b"HTTP/1.1 502 Bad\r\nContent-Length: 2\r\n\r\n<>", id="a broken proxy"),
    ],
)
async def test_an_answer_that_is_none_is_as_good_as_unreachable(
    tmp_path: Path, answer: bytes
) -> None:
    odd = Listener(answer)
    async with odd.running(), connect(write(tmp_path / "k.yaml", server=odd.url)) as client:
        with pytest.raises(UnreachableError):
            await client.get(MANDATES, Key("", "m"))


async def test_the_environment_names_neither_a_kubeconfig_nor_a_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent.yaml"))
    server = Listener(EMPTY_OBJECT)
    async with (
        server.running(),
        connect(write(tmp_path / "k.yaml", server=server.url)) as client,
    ):
        assert await client.get(MANDATES, Key("", "m")) == {}
    (request,) = server.heard
    assert request.startswith("GET /apis/governor.dev/v1alpha1/mandates/m HTTP/1.1\r\n")
    assert "authorization: Bearer t\r\n" in request
    assert "User-Agent: governor\r\n" in request


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(None, "No such file or directory; give a kubeconfig file", id="absent"),
        pytest.param("[1, 2", "not YAML", id="not YAML"),
        pytest.param("- a\n", "expected a kubeconfig, found no mapping", id="a list"),
        pytest.param("{}", "current-context", id="empty"),
        pytest.param("current-context: c\ncontexts: []\n", "name c in", id="no such context"),
    ],
)
async def test_a_kubeconfig_that_cannot_be_used_is_named_with_what_is_wrong(
    tmp_path: Path, content: str | None, says: str
) -> None:
    path = tmp_path / "k.yaml"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(KubeConfigError, match=rf"k\.yaml: .*{says}"):
        async with connect(Kubeconfig(path)):
            pass


async def test_a_context_that_is_not_there_is_named(tmp_path: Path) -> None:
    written = write(tmp_path / "k.yaml")
    with pytest.raises(KubeConfigError, match="absent"):
        async with connect(Kubeconfig(written.path, context="absent")):
            pass
    async with connect(Kubeconfig(written.path, context="other")):
        pass


async def test_outside_a_pod_there_is_no_service_account_to_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(KubeConfigError, match="give a kubeconfig file instead"):
        async with connect(InCluster()):
            pass


async def test_a_token_from_a_plugin_is_used_and_its_renewal_ends_with_the_client(
    tmp_path: Path,
) -> None:
    plugin = tmp_path / "plugin"
    credential = (
        '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",'
        ' "status": {"token": "from-plugin"}}'
    )
    plugin.write_text(f"#!/bin/sh\necho '{credential}'\n", encoding="utf-8")
    plugin.chmod(0o700)
    execute: dict[str, object] = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": str(plugin),
        "interactiveMode": "Never",
    }
    server = Listener(EMPTY_OBJECT)
    async with server.running():
        credentials = write(tmp_path / "k.yaml", server=server.url, user={"exec": execute})
        async with connect(credentials) as client:
            await client.get(MANDATES, Key("", "m"))
            assert _renewals() == 1
    assert "authorization: Bearer from-plugin\r\n" in server.heard[0]
    assert _renewals() == 0


def _renewals() -> int:
    return len([task for task in asyncio.all_tasks() if "renewal" in task.get_name()])
