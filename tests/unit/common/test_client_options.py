"""How our channels look after their connections."""

from typing import Any

import grpc
import pytest

from libs.common.grpc.client import open_channel, open_nameless_channel
from libs.common.local import address_of, host_of, is_local

EXPECTED = {
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.min_reconnect_backoff_ms": 2000,
    "grpc.max_reconnect_backoff_ms": 1000,
    "grpc.keepalive_time_ms": 30_000,
    "grpc.keepalive_timeout_ms": 10_000,
    "grpc.max_receive_message_length": 67_108_864,
}


class Channels:
    """What grpc is asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.options: list[dict[str, object]] = []
        for name in ("insecure_channel", "secure_channel"):
            monkeypatch.setattr(grpc.aio, name, self._opened)

    def _opened(self, *_: object, options: Any) -> "Channels":
        self.options.append(dict(options))
        return self

    async def __aenter__(self) -> "Channels":
        return self

    async def __aexit__(self, *_: object) -> None: ...


async def test_a_peer_is_found_again_soon_and_a_dead_connection_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    channels = Channels(monkeypatch)
    async with open_channel("pool.example:1"):
        assert channels.options.pop() == EXPECTED
    async with open_nameless_channel("pool.example:1", b"", name="wallet"):
        assert channels.options.pop() == EXPECTED | {"grpc.ssl_target_name_override": "wallet"}


@pytest.mark.parametrize("target", ["127.0.0.1:1", "localhost:1", "LOCALHOST:1", "[::1]:1"])
async def test_no_proxy_leads_to_this_machine(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    channels = Channels(monkeypatch)
    async with open_channel(target):
        assert channels.options.pop() == EXPECTED | {"grpc.enable_http_proxy": 0}


@pytest.mark.parametrize(
    ("host", "port", "address"),
    [
        ("127.0.0.1", 1, "127.0.0.1:1"),
        ("pool.example", 50051, "pool.example:50051"),
        ("::1", 1, "[::1]:1"),
        ("fe80::1%eth0", 3000, "[fe80::1%eth0]:3000"),
    ],
)
def test_an_address_is_written_as_urls_have_it(host: str, port: int, address: str) -> None:
    assert address_of(host, port) == address
    assert host_of(address) == host
    assert host_of(host) == host
    assert is_local(address) == (host in {"127.0.0.1", "::1"})
