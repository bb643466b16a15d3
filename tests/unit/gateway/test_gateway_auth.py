"""Tokens: exchanged once, kept for less than a minute, and wrong ones only so often."""

import asyncio

import pytest
from kalepool.wallet.v1 import token_pb2

from gateway.auth import Tokens
from libs.common.errors import (
    InvalidArgumentError,
    PoolError,
    ResourceExhaustedError,
    UnauthenticatedError,
    UnavailableError,
)
from libs.http.bearer import token_in

TOKEN = "kp_" + "a" * 43
OTHER = "kp_" + "b" * 43
LOGIN = f"{'h' * 60}.{'c' * 300}.{'s' * 86}"
ADDRESS = "192.0.2.1"
WALL = 1_800_000_000.0


class Wallet:
    """Exchanges tokens, as a test says."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.error: PoolError | None = None
        self.life = 60.0
        self.now = 100.0

    async def exchange(self, token: str) -> token_pb2.ExchangeTokenResponse:
        self.asked.append(token)
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        answer = token_pb2.ExchangeTokenResponse(
            access_token=f"access {len(self.asked)}",
            info=token_pb2.TokenInfo(subject="spiffe://kalepool/operator/ann"),
        )
        answer.expires_at.FromMilliseconds(round((WALL + self.now + self.life) * 1000))
        return answer


@pytest.fixture
def wallet() -> Wallet:
    return Wallet()


@pytest.fixture
def tokens(wallet: Wallet) -> Tokens:
    return Tokens(
        wallet.exchange,
        wrong_per_minute=3,
        clock=lambda: wallet.now,
        wall_clock=lambda: WALL + wallet.now,
    )


async def ask(tokens: Tokens, token: str = TOKEN, address: str = ADDRESS) -> str:
    return (await tokens.credentials(token, address)).access_token


async def test_a_token_is_exchanged_once_until_ten_seconds_before_its_end(
    tokens: Tokens, wallet: Wallet
) -> None:
    assert await ask(tokens) == "access 1"
    wallet.now += 49.9
    assert await ask(tokens) == "access 1"
    wallet.now += 0.2
    assert await ask(tokens) == "access 2"
    assert wallet.asked == [TOKEN, TOKEN]


async def test_nothing_is_kept_for_longer_than_a_minute_whatever_wallet_says(
    tokens: Tokens, wallet: Wallet
) -> None:
    wallet.life = 10_000
    await ask(tokens)
    wallet.now += 50.1
    assert await ask(tokens) == "access 2"


async def test_a_token_that_ends_at_once_is_used_once(tokens: Tokens, wallet: Wallet) -> None:
    wallet.life = 5
    assert [await ask(tokens), await ask(tokens)] == ["access 1", "access 2"]


async def test_many_requests_wait_for_one_exchange(tokens: Tokens, wallet: Wallet) -> None:
    assert set(await asyncio.gather(*(ask(tokens) for _ in range(20)))) == {"access 1"}
    assert len(wallet.asked) == 1
    await ask(tokens, OTHER)
    assert len(wallet.asked) == 2


@pytest.mark.parametrize(
    "token",
    [
        *("", "kp_x", f"{TOKEN}x", f"{TOKEN[:-1]}=", f"{TOKEN} x", "eyJhbGciOiJFZERTQSJ9.e30.x"),
        # No JSON Web Token has another length of its signature, or other characters.
        *(f"{LOGIN}s", LOGIN[:-1], f"{LOGIN}.", LOGIN.replace(".", "", 1), LOGIN.replace("h", "=")),
        f"{'h' * 20}.{'c' * 1025}.{'s' * 86}",
        f"{TOKEN}{LOGIN}|",
    ],
)
async def test_what_is_no_token_is_not_asked_for(
    tokens: Tokens, wallet: Wallet, token: str
) -> None:
    with pytest.raises(UnauthenticatedError) as caught:
        await tokens.credentials(token, ADDRESS)
    assert caught.value.reason == "TOKEN_UNKNOWN"
    assert wallet.asked == []


async def test_a_login_token_is_exchanged_as_an_api_token_is(
    tokens: Tokens, wallet: Wallet
) -> None:
    for _ in range(2):
        assert (await tokens.credentials(LOGIN, ADDRESS)).access_token == "access 1"
    assert wallet.asked == [LOGIN]


async def test_logins_are_counted_apart_from_wrong_tokens(tokens: Tokens, wallet: Wallet) -> None:
    for _ in range(3):
        tokens.count_login(ADDRESS)
    for _ in range(2):
        with pytest.raises(ResourceExhaustedError) as caught:
            tokens.count_login(ADDRESS)
        assert caught.value.retry_after
    # A page of anybody's can have a browser log in: tokens of its address go on counting.
    assert await tokens.credentials(TOKEN, ADDRESS)
    # Another address has its own, and later there is room again.
    tokens.count_login("192.0.2.2")
    wallet.now += 60.0
    tokens.count_login(ADDRESS)


@pytest.mark.parametrize(
    ("header", "token"),
    [
        *((f"Bearer {TOKEN}", TOKEN), (f"bearer {TOKEN}", TOKEN), (f" BEARER   {TOKEN} ", TOKEN)),
        *(("Bearer kp_x", "kp_x"), (f"Bearer {TOKEN} x", f"{TOKEN} x")),
        *(("", None), ("Bearer", None), ("Bearer ", None), (f"Basic {TOKEN}", None)),
        *((TOKEN, None), (f"Token {TOKEN}", None), (f"Bearer:{TOKEN}", None), ("kp_x y", None)),
    ],
)
def test_a_header_brings_a_token_after_the_word_bearer(header: str, token: str | None) -> None:
    assert token_in(header) == token


@pytest.mark.parametrize(
    "error",
    [
        UnauthenticatedError("ended yesterday", reason="TOKEN_ENDED"),
        InvalidArgumentError.of("token", "must be a token"),
    ],
)
async def test_all_wrong_tokens_have_one_answer(
    tokens: Tokens, wallet: Wallet, error: PoolError
) -> None:
    wallet.error = error
    with pytest.raises(UnauthenticatedError) as caught:
        await ask(tokens)
    assert (caught.value.reason, caught.value.message) == (
        "TOKEN_UNKNOWN",
        "there is no such token",
    )


async def test_a_wrong_token_is_not_asked_for_again_at_once(tokens: Tokens, wallet: Wallet) -> None:
    wallet.error = UnauthenticatedError("no")
    for _ in range(2):
        with pytest.raises(UnauthenticatedError):
            await ask(tokens)
    assert len(wallet.asked) == 1
    wallet.now += 10.1
    with pytest.raises(UnauthenticatedError):
        await ask(tokens)
    assert len(wallet.asked) == 2


async def test_an_address_may_try_only_so_many_wrong_tokens(tokens: Tokens, wallet: Wallet) -> None:
    wallet.error = UnauthenticatedError("no")
    for number in range(3):
        with pytest.raises(UnauthenticatedError):
            await ask(tokens, "kp_" + str(number) * 43)
    with pytest.raises(ResourceExhaustedError) as caught:
        await ask(tokens)
    assert caught.value.retry_after is not None
    assert len(wallet.asked) == 3
    # Others are not held up, and nobody for ever.
    with pytest.raises(UnauthenticatedError):
        await ask(tokens, address="192.0.2.2")
    wallet.error = None
    wallet.now += 60
    assert await ask(tokens, OTHER)


async def test_a_known_token_counts_although_its_address_tried_wrong_ones(
    tokens: Tokens, wallet: Wallet
) -> None:
    await ask(tokens)
    wallet.error = UnauthenticatedError("no")
    for number in range(4):
        with pytest.raises(PoolError):
            await ask(tokens, "kp_" + str(number) * 43)
    assert await ask(tokens) == "access 1"


async def test_while_wallet_is_away_a_token_is_not_wrong(tokens: Tokens, wallet: Wallet) -> None:
    wallet.error = UnavailableError("away", retry_after=1)
    with pytest.raises(UnavailableError):
        await ask(tokens)
    wallet.error = None
    assert await ask(tokens) == "access 2"


async def test_a_token_is_not_shown(tokens: Tokens) -> None:
    credentials = await tokens.credentials(TOKEN, ADDRESS)
    assert "access" not in repr(credentials).replace("access_token", "")
    assert TOKEN not in repr(vars(tokens))
