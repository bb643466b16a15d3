"""The keys of tokens as a service reads them from wallet: kept, read again, given up."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from kalepool.wallet.v1 import token_pb2, token_pb2_grpc

from libs.common.grpc.client import open_channel
from libs.common.grpc.token_keys import FetchedKeys
from libs.common.grpc.tokens import TokenKeysUnknownError
from tests.support.pool_world import eventually


class Wallet(token_pb2_grpc.TokenServiceServicer):
    """Tells its keys, unless it is away."""

    def __init__(self) -> None:
        self.keys: dict[str, bytes] = {}
        self.asked = 0
        self.is_away = False

    def add(self, key_id: str) -> None:
        """Make a key."""
        self.keys[key_id] = Ed25519PrivateKey.generate().public_key().public_bytes_raw()

    async def ListTokenKeys(
        self, request: token_pb2.ListTokenKeysRequest, context: Any
    ) -> token_pb2.ListTokenKeysResponse:
        """All keys."""
        self.asked += 1
        if self.is_away:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "away")
        return token_pb2.ListTokenKeysResponse(
            keys=[
                token_pb2.TokenKey(key_id=key_id, public_key=key)
                for key_id, key in self.keys.items()
            ]
        )


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def reading() -> AsyncIterator[tuple[Wallet, FetchedKeys, Clock]]:
    """A wallet with one key, and a reader that has asked for nothing."""
    wallet, clock = cast("Any", Wallet)(), Clock()
    wallet.add("one")
    server = grpc.aio.server()
    token_pb2_grpc.add_TokenServiceServicer_to_server(wallet, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with open_channel(f"127.0.0.1:{port}") as channel:
        yield wallet, FetchedKeys(channel, clock=clock), clock
    await server.stop(None)


async def test_keys_are_read_when_the_first_one_is_wanted_and_then_kept() -> None:
    async with reading() as (wallet, keys, _):
        with pytest.raises(TokenKeysUnknownError):
            keys.known("one")
        found = await keys.find("one")
        assert found is not None
        assert found.public_bytes_raw() == wallet.keys["one"]
        assert keys.known("one") is await keys.find("one") is found
        assert wallet.asked == 1


async def test_many_who_want_a_key_ask_once() -> None:
    async with reading() as (wallet, keys, _):
        found = await asyncio.gather(*(keys.find("one") for _ in range(50)))
        assert None not in found
        assert wallet.asked == 1


async def test_a_key_that_is_not_known_is_asked_for_but_not_again_and_again() -> None:
    async with reading() as (wallet, keys, clock):
        await keys.find("one")
        wallet.add("two")
        assert await keys.find("two") is None, "wallet was asked a moment ago"
        clock.now += 6
        assert await keys.find("two") is not None
        clock.now += 6
        for _ in range(20):
            assert await keys.find("forged") is None
        assert wallet.asked == 3


async def test_a_key_that_wallet_gave_up_is_not_known_any_more_and_others_stay() -> None:
    async with reading() as (wallet, keys, clock):
        wallet.add("two")
        two = await keys.find("two")
        del wallet.keys["one"]
        clock.now += 6
        assert await keys.find("new") is None
        assert keys.known("one") is None
        assert keys.known("two") is two


async def test_what_wallet_told_counts_for_a_while_when_it_is_away() -> None:
    async with reading() as (wallet, keys, clock):
        await keys.find("one")
        wallet.is_away = True
        clock.now += 290
        assert await keys.find("one") is not None
        assert await keys.find("two") is None
        clock.now += 20
        with pytest.raises(TokenKeysUnknownError) as caught:
            await keys.find("one")
        assert caught.value.retry_after
        wallet.is_away = False
        clock.now += 6
        assert await keys.find("one") is not None


async def test_a_service_that_starts_before_wallet_does_asks_again_soon() -> None:
    async with reading() as (wallet, keys, clock):
        wallet.is_away = True
        for _ in range(20):
            with pytest.raises(TokenKeysUnknownError):
                await keys.find("one")
        assert wallet.asked == 1
        wallet.is_away = False
        clock.now += 1
        assert await keys.find("one") is not None


async def test_what_is_no_key_is_no_answer() -> None:
    async with reading() as (wallet, keys, clock):
        wallet.keys["two"] = b"short"
        with pytest.raises(TokenKeysUnknownError):
            await keys.find("one")
        del wallet.keys["two"]
        clock.now += 6
        assert await keys.find("one") is not None


async def test_keys_are_read_again_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("libs.common.grpc.token_keys._INTERVAL", 0.01)
    async with reading() as (wallet, keys, _):
        running = asyncio.create_task(keys.run())
        for key_id in ("one", "two"):
            wallet.add(key_id)

            async def is_read(key_id: str = key_id) -> bool:
                try:
                    found = keys.known(key_id)
                except TokenKeysUnknownError:
                    return False
                return found is not None and found.public_bytes_raw() == wallet.keys[key_id]

            await eventually(is_read)
        running.cancel()
