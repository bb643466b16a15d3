"""The treasury's key: made once, or imported, and opened at every start."""

import secrets
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from stellar_sdk import Keypair

from libs.common.ids import WalletId
from services.wallet.chain import RpcUnavailableError
from services.wallet.domain.errors import TreasuryMissingError
from services.wallet.domain.model import Balances, Wallet
from services.wallet.engine.treasury_account import Treasury
from services.wallet.keys.local import LocalKeyProvider
from services.wallet.keys.provider import KEY_BYTES, KeyProviderError, MasterKeyError
from services.wallet.keys.seal import SealedKey, open_seed

PROVIDER = LocalKeyProvider(secrets.token_bytes(KEY_BYTES))


class Wallets:
    """Has the treasury's wallet once it was inserted."""

    def __init__(self) -> None:
        self.sealed: dict[WalletId, SealedKey] = {}
        self.made: Wallet | None = None
        #: Whether what is inserted is lost.
        self.forgets = False

    async def treasury(self) -> Wallet | None:
        """As the store's."""
        return self.made

    async def insert_treasury(self, key: SealedKey) -> None:
        """As the store's: the first one stays."""
        if self.made is not None or self.forgets:
            return
        self.made = Wallet(
            id=key.wallet_id,
            farmer_id=None,
            pooler_id=None,
            address=key.address,
            is_ready=False,
            balances=Balances(
                is_funded=False, has_trustline=False, xlm=0, kale=0, reserves=0, ledger=0
            ),
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
        )
        self.sealed[key.wallet_id] = key

    async def sealed_keys(self, ids: list[WalletId]) -> dict[WalletId, SealedKey]:
        """As the store's."""
        return {item: self.sealed[item] for item in ids if item in self.sealed}


class Chain:
    """A network with a friendbot, or without one."""

    def __init__(self, answer: bool | Exception) -> None:
        self.answer = answer
        self.asked: list[str] = []

    async def fund_by_friendbot(self, address: str) -> bool:
        """As the chain's."""
        self.asked.append(address)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def treasury(
    wallets: Wallets,
    *,
    imported: bytes | None = None,
    provider: LocalKeyProvider = PROVIDER,
    chain: Chain | None = None,
) -> Treasury:
    return Treasury(provider, cast(Any, wallets), cast(Any, chain), imported)


async def test_nobody_has_a_treasury_before_it_is_open() -> None:
    found = treasury(Wallets())
    assert not found.is_open
    with pytest.raises(TreasuryMissingError) as caught:
        _ = found.wallet
    assert caught.value.retry_after == 1.0


async def test_a_treasury_is_made_once() -> None:
    wallets = Wallets()
    found = treasury(wallets)
    made = await found.open()
    assert found.is_open
    assert found.wallet is made
    assert len(wallets.sealed) == 1
    assert await found.open() == made
    # Another process finds the same.
    assert await treasury(wallets).open() == made
    assert len(wallets.sealed) == 1


async def test_an_imported_seed_is_the_treasurys() -> None:
    wallets, seed = Wallets(), secrets.token_bytes(32)
    made = await treasury(wallets, imported=seed).open()
    assert made.address == Keypair.from_raw_ed25519_seed(seed).public_key
    (sealed,) = wallets.sealed.values()
    assert await open_seed(PROVIDER, sealed) == seed
    # The same seed may be given again.
    again = treasury(wallets, imported=seed)
    assert (await again.open()).address == made.address
    assert "_imported" in vars(again)
    assert vars(again)["_imported"] is None


async def test_a_seed_of_another_account_is_refused() -> None:
    wallets = Wallets()
    made = await treasury(wallets).open()
    other = treasury(wallets, imported=secrets.token_bytes(32))
    with pytest.raises(
        MasterKeyError, match=f"of another account than the treasury {made.address}"
    ):
        await other.open()
    assert not other.is_open


async def test_a_master_key_that_does_not_open_it_is_refused() -> None:
    wallets = Wallets()
    await treasury(wallets).open()
    other = treasury(wallets, provider=LocalKeyProvider(secrets.token_bytes(KEY_BYTES)))
    with pytest.raises(KeyProviderError):
        await other.open()
    assert not other.is_open


async def test_a_treasury_that_was_not_recorded_is_missed() -> None:
    wallets = Wallets()
    wallets.forgets = True
    with pytest.raises(TreasuryMissingError, match="was not recorded") as caught:
        await treasury(wallets).open()
    assert caught.value.retry_after == 1.0


@pytest.mark.parametrize(
    ("answer", "is_told"), [(True, False), (False, True), (RpcUnavailableError("away"), True)]
)
async def test_a_treasury_is_funded_where_that_is_free(
    answer: bool | Exception, is_told: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    chain = Chain(answer)
    found = treasury(Wallets(), chain=chain)
    made = await found.open()
    await found.fund()
    assert chain.asked == [made.address]
    assert ("treasury not funded" in "".join(capfd.readouterr())) is is_told
