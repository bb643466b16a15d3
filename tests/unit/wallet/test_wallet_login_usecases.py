"""Logins with Stellar accounts: begun, finished once, and by whom."""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from libs.common.errors import InvalidArgumentError
from libs.kale.signed_message import message_hash
from services.wallet.domain.errors import LoginOffError, LoginRefusedError, LoginUsedError
from services.wallet.domain.logins import AccountSigners, Challenge, login_text, read_login
from services.wallet.domain.trust import Decision
from services.wallet.keys.token_keys import TokenKey, login_signer
from services.wallet.usecases.logins import Logins
from tests.support.logins import FARMER, NETWORK, OTHER, TERMS, signed, signers


@dataclass
class Chain:
    """Who signs for accounts; it tells what was asked, and for what."""

    found: AccountSigners | None = None
    network: Any = NETWORK
    decisions: list[Decision] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def trusted(self, decision: Decision) -> "Chain":
        """As the chain's."""
        self.decisions.append(decision)
        return self

    async def signers(self, address: str) -> AccountSigners | None:
        """As the chain's."""
        self.asked.append(address)
        return self.found


@dataclass
class Store:
    """Challenges that were used."""

    used: set[bytes] = field(default_factory=set)

    async def use(self, challenge: Challenge) -> None:
        """As the store's."""
        if challenge.hash in self.used:
            raise LoginUsedError("used")
        self.used.add(challenge.hash)


def key(number: int) -> TokenKey:
    private = Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)
    return TokenKey(
        number=number, key_id=f"key-{number}", public=private.public_key(), private=private
    )


@dataclass
class Keys:
    """The keys of tokens."""

    current: TokenKey = field(default_factory=lambda: key(1))
    public: tuple[TokenKey, ...] = field(default_factory=lambda: (key(1),))


@dataclass
class Clock:
    """A clock that a test sets."""

    ahead: float = 0.0

    def now(self) -> datetime:
        """As the clock's."""
        return datetime.fromtimestamp(time.time() + self.ahead, UTC)


def logins(chain: Chain | None = None, **parts: Any) -> Logins:
    given: dict[str, Any] = {"keys": Keys(), "store": Store(), "clock": Clock(), "offered": TERMS}
    return Logins(chain=cast("Any", chain or Chain()), **{**given, **parts})


async def test_an_account_logs_in_once_by_a_challenge() -> None:
    chain = Chain(found=signers(own=1))
    cases = logins(chain)
    challenge, text = cases.start(FARMER.public_key, "")
    assert text == login_text(challenge, home_domain=TERMS.home_domain)
    assert challenge.ends - challenge.begins == timedelta(seconds=900)
    transaction = signed(challenge.transaction, FARMER)
    made_token, login = await cases.finish(transaction, b"")
    assert login.account == FARMER.public_key
    assert login.ends - login.begins == TERMS.seconds
    assert abs(login.begins - time.time()) < 5
    found = read_login(
        made_token, lambda _: key(1).public, issuer="https://pool.example", now=time.time()
    )
    assert found == login
    assert (chain.decisions, chain.asked) == ([Decision.LOG_IN], [FARMER.public_key])
    with pytest.raises(LoginUsedError):
        await cases.finish(transaction, b"")


async def test_two_challenges_of_one_moment_are_two() -> None:
    cases = logins()
    one, other = [cases.start(FARMER.public_key, "")[0] for _ in range(2)]
    assert one.hash != other.hash


async def test_an_account_that_is_not_on_the_chain_logs_in_by_its_own_key() -> None:
    cases = logins(Chain(found=None))
    challenge, _ = cases.start(FARMER.public_key, "pool.example")
    with pytest.raises(LoginRefusedError):
        await cases.finish(signed(challenge.transaction, OTHER), b"")
    assert (await cases.finish(signed(challenge.transaction, FARMER), b""))[1].account


async def test_a_challenge_is_not_used_up_by_who_may_not_log_in() -> None:
    cases = logins(Chain(found=signers(own=1)))
    challenge, text = cases.start(FARMER.public_key, "")
    for signature, signer in ((b"", OTHER), (OTHER.sign(message_hash(text)), None)):
        transaction = challenge.transaction
        if signer is not None:
            transaction = signed(transaction, signer)
        with pytest.raises(LoginRefusedError):
            await cases.finish(transaction, signature)
    await cases.finish(signed(challenge.transaction, FARMER), b"")


async def test_where_no_browser_is_the_text_is_signed() -> None:
    cases = logins(Chain(found=signers(own=1)))
    challenge, text = cases.start(FARMER.public_key, "")
    signature = FARMER.sign(message_hash(text))
    _, login = await cases.finish(challenge.transaction, signature)
    assert login.account == FARMER.public_key
    # It is used up, whichever way comes next.
    with pytest.raises(LoginUsedError):
        await cases.finish(challenge.transaction, signature)
    with pytest.raises(LoginUsedError):
        await cases.finish(signed(challenge.transaction, FARMER), b"")


async def test_a_text_counts_only_where_the_accounts_own_key_suffices() -> None:
    cases = logins(Chain(found=signers(own=1, other=1, medium=2)))
    challenge, text = cases.start(FARMER.public_key, "")
    with pytest.raises(LoginRefusedError, match="does not reach"):
        await cases.finish(challenge.transaction, FARMER.sign(message_hash(text)))
    await cases.finish(signed(challenge.transaction, FARMER, OTHER), b"")


async def test_a_text_of_another_challenge_is_none() -> None:
    cases = logins(Chain(found=signers(own=1)))
    (challenge, _), (_, text) = [cases.start(FARMER.public_key, "") for _ in range(2)]
    with pytest.raises(LoginRefusedError, match="not signed by"):
        await cases.finish(challenge.transaction, FARMER.sign(message_hash(text)))


async def test_a_challenge_of_the_key_before_counts_while_that_key_does() -> None:
    before = logins(Chain(found=signers(own=1)))
    challenge, _ = before.start(FARMER.public_key, "")
    transaction = signed(challenge.transaction, FARMER)
    both = Keys(current=key(2), public=(key(1), key(2)))
    assert (await logins(Chain(found=signers(own=1)), keys=both).finish(transaction, b""))[1]
    gone = Keys(current=key(2), public=(key(2),))
    with pytest.raises(LoginRefusedError):
        await logins(Chain(found=signers(own=1)), keys=gone).finish(transaction, b"")
    assert logins(keys=both).signing_key == login_signer(key(2)).address


def test_another_home_domain_is_told_by_its_field() -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        logins().start(FARMER.public_key, "other.example")
    assert [one.field for one in caught.value.violations] == ["home_domain"]
    assert caught.value.message == "home_domain must be pool.example"


async def test_nobody_logs_in_where_the_operator_offers_no_logins() -> None:
    closed = logins(offered=None)
    challenge, _ = logins().start(FARMER.public_key, "")
    for act in (lambda: closed.terms, lambda: closed.start(FARMER.public_key, "")):
        with pytest.raises(LoginOffError):
            act()
    with pytest.raises(LoginOffError):
        await closed.finish(signed(challenge.transaction, FARMER), b"")
