"""A caller with an API token: it is exchanged, renewed in time, and replaced when it is refused."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from client import (
    CertificateError,
    Limits,
    PoolClient,
    TokenFiles,
    UnauthenticatedError,
    UnavailableError,
    open_client,
)
from client.tokens import AccessToken, AccessTokens
from tests.support.fake_pool import FakePool
from tests.support.token_port import TokenPort, open_token_port

LIMITS = Limits(patience_seconds=0)


class Exchanges:
    """Gives access tokens that live a minute, by a clock that only the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        #: What our own clock is ahead by.
        self.skew = 0.0
        self.asked = 0
        self.error: Exception | None = None
        self.tokens = AccessTokens(
            self.exchange, clock=lambda: self.now, wall_clock=lambda: self.now + self.skew
        )

    async def exchange(self) -> AccessToken:
        """The next token."""
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        self.asked += 1
        return AccessToken(text=f"access-{self.asked}", expires_at=self.now + 60)


async def test_a_token_is_kept_until_ten_seconds_before_its_end() -> None:
    exchanges = Exchanges()
    assert await exchanges.tokens.current() == "access-1"
    exchanges.now += 49
    assert await exchanges.tokens.current() == "access-1"
    exchanges.now += 2
    assert await exchanges.tokens.current() == "access-2"


@pytest.mark.parametrize("skew", [-86_400.0, 86_400.0])
async def test_a_clock_of_ours_that_is_wrong_keeps_no_token_past_its_end(skew: float) -> None:
    exchanges = Exchanges()
    exchanges.skew = skew
    await exchanges.tokens.current()
    exchanges.now += 5
    assert await exchanges.tokens.current() == "access-1"
    exchanges.now += 46
    assert await exchanges.tokens.current() == "access-2"


async def test_callers_who_come_together_share_one_exchange() -> None:
    exchanges = Exchanges()
    found = await asyncio.gather(*(exchanges.tokens.current() for _ in range(20)))
    assert (set(found), exchanges.asked) == ({"access-1"}, 1)


async def test_the_last_token_is_used_to_its_end_while_wallet_is_away() -> None:
    exchanges = Exchanges()
    await exchanges.tokens.current()
    exchanges.error = UnavailableError("away")
    exchanges.now += 55
    assert await exchanges.tokens.current() == "access-1"
    exchanges.now += 6
    with pytest.raises(UnavailableError):
        await exchanges.tokens.current()


async def test_a_token_that_is_refused_is_not_used_while_wallet_is_away() -> None:
    exchanges = Exchanges()
    exchanges.tokens.forget(await exchanges.tokens.current())
    exchanges.error = UnavailableError("away")
    with pytest.raises(UnavailableError):
        await exchanges.tokens.current()


def test_an_access_token_is_not_shown_by_accident() -> None:
    assert "secret" not in repr(AccessToken(text="secret", expires_at=0))


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[TokenPort]:
    """A pool that takes access tokens."""
    async with open_token_port(FakePool(), tmp_path) as running:
        yield running


@pytest.fixture
async def client(port: TokenPort) -> AsyncIterator[PoolClient]:
    """A client with an API token."""
    assert port.files is not None
    async with open_client(port.targets, port.files, limits=LIMITS) as opened:
        yield opened


async def test_calls_of_all_services_share_an_access_token(
    port: TokenPort, client: PoolClient
) -> None:
    assert (await client.block()).head.ledger > 0
    assert [pooler async for pooler in client.poolers()] == []
    assert port.exchanges == 1


async def test_a_token_that_counts_no_longer_is_replaced_at_once(
    port: TokenPort, client: PoolClient
) -> None:
    await client.block()
    port.access_tokens.clear()
    await client.block()
    assert port.exchanges == 2


async def test_a_stream_goes_on_with_a_fresh_token(port: TokenPort, client: PoolClient) -> None:
    """The fake ends each stream; by then the token that began it has ended, too."""
    ledgers = []
    async for view in client.watch_blocks():
        ledgers.append(view.head.ledger)
        port.access_tokens.clear()
        if port.exchanges == 3:
            break
    assert ledgers == sorted(ledgers)


async def test_a_revoked_api_token_ends_calls_and_streams(
    port: TokenPort, client: PoolClient
) -> None:
    await client.block()
    port.api_tokens.clear()
    port.access_tokens.clear()
    with pytest.raises(UnauthenticatedError) as refused:
        await client.block()
    assert refused.value.reason == "TOKEN_UNKNOWN"
    with pytest.raises(UnauthenticatedError):
        await anext(client.watch_blocks())


async def test_a_replaced_token_file_is_read_at_the_next_exchange(
    port: TokenPort, client: PoolClient
) -> None:
    assert port.files is not None
    await client.block()
    other = "kp_" + "B" * 43
    port.api_tokens = {other}
    port.access_tokens.clear()
    port.files.token.write_text(other, encoding="utf-8")
    await client.block()
    port.files.token.unlink()
    port.access_tokens.clear()
    with pytest.raises(UnauthenticatedError) as refused:
        await client.block()
    assert refused.value.reason == "TOKEN_UNREADABLE"


async def test_an_authority_that_did_not_vouch_for_the_service_is_of_no_use(
    port: TokenPort, tmp_path: Path
) -> None:
    """The API token never leaves for a server that is not the pool's."""
    assert port.files is not None
    async with open_token_port(FakePool(), tmp_path / "other") as other:
        assert other.files is not None
        files = TokenFiles(token=port.files.token, authority=other.files.authority)
        async with open_client(port.targets, files, limits=LIMITS) as stranger:
            with pytest.raises(UnavailableError):
                await stranger.block()
    assert port.exchanges == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [("", "holds no API token"), ("-----BEGIN", "holds no API token"), (None, "No such file")],
)
async def test_a_file_without_a_token_is_told_before_any_call(
    port: TokenPort, tmp_path: Path, content: str | None, said: str
) -> None:
    assert port.files is not None
    place = tmp_path / "other-token"
    if content is not None:
        place.write_text(content, encoding="utf-8")
    files = TokenFiles(token=place, authority=port.files.authority)
    with pytest.raises(CertificateError, match=said):
        async with open_client(port.targets, files):
            pass
