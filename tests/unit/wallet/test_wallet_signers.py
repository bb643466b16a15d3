"""Keys that are opened to sign: in order, wiped afterwards, and none while all is paused."""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from libs.common.ids import WalletId, new_id
from services.wallet.domain.errors import ReceiverKeyError, WalletNotFoundError
from services.wallet.domain.model import OperationEvent, OperationKind
from services.wallet.engine.broken_keys import BrokenKeys
from services.wallet.engine.chain_view import ChainState
from services.wallet.engine.signers import Signers
from services.wallet.keys.local import LocalKeyProvider
from services.wallet.keys.provider import KEY_BYTES
from services.wallet.keys.seal import SealBrokenError, SealedKey, seal_new_key
from services.wallet.keys.signer import SignerWipedError
from services.wallet.store.kill_switch import PausedHereError
from tests.support.signing import BLOCK, CLOSE_TIME, FakeQueue, chain_state, operation

PROVIDER = LocalKeyProvider(secrets.token_bytes(KEY_BYTES))


class Wallets:
    """Has sealed keys, in an order of its own."""

    def __init__(self) -> None:
        self.sealed: dict[WalletId, SealedKey] = {}

    async def add(self, count: int) -> list[WalletId]:
        """Seal so many new keys."""
        keys = [await seal_new_key(PROVIDER, WalletId(new_id())) for _ in range(count)]
        self.sealed |= {key.wallet_id: key for key in keys}
        return [key.wallet_id for key in keys]

    def damage(self, wallet_id: WalletId) -> None:
        """Change a byte of a sealed key."""
        key = self.sealed[wallet_id]
        seed = bytes([key.sealed_seed[0] ^ 1]) + key.sealed_seed[1:]
        self.sealed[wallet_id] = replace(key, sealed_seed=seed)

    async def sealed_keys(self, ids: Iterable[WalletId]) -> dict[WalletId, SealedKey]:
        """As the store's."""
        return {item: self.sealed[item] for item in sorted(ids) if item in self.sealed}


def signers(wallets: Wallets, *, paused: bool = False) -> Signers:
    switch = cast(Any, SimpleNamespace(holds_everything=paused))
    return Signers(PROVIDER, cast(Any, wallets), switch)


async def test_keys_open_in_the_order_of_the_wallets_and_are_wiped() -> None:
    wallets = Wallets()
    one, two = await wallets.add(2)
    async with signers(wallets).open([two, one, two]) as opened:
        addresses = [signer.address for signer in opened]
    assert addresses == [wallets.sealed[item].address for item in (two, one, two)]
    for signer in opened:
        with pytest.raises(SignerWipedError):
            signer.sign(b"")


async def test_nothing_opens_while_this_process_signs_nothing() -> None:
    wallets = Wallets()
    ids = await wallets.add(1)
    with pytest.raises(PausedHereError, match="signing is paused"):
        async with signers(wallets, paused=True).open(ids):
            pass
    async with Signers(PROVIDER, cast(Any, wallets)).open(ids) as (signer,):
        assert signer.address == wallets.sealed[ids[0]].address


async def test_a_wallet_without_a_key_is_named() -> None:
    wallets, missing = Wallets(), WalletId(new_id())
    ids = await wallets.add(1)
    with pytest.raises(WalletNotFoundError, match=f"no key of wallet {missing}"):
        async with signers(wallets).open([*ids, missing]):
            pass


async def test_broken_and_missing_keys_are_told() -> None:
    wallets, missing = Wallets(), WalletId(new_id())
    sound, broken = await wallets.add(2)
    wallets.damage(broken)
    assert await signers(wallets).broken([sound, broken, missing]) == {broken, missing}
    assert await signers(wallets).broken([sound]) == set()


async def test_a_receiver_key_that_is_none_is_refused() -> None:
    wallets = Wallets()
    (wallet_id,) = await wallets.add(1)
    with pytest.raises(ReceiverKeyError) as caught:
        await signers(wallets).export(wallet_id, bytes(31))
    assert [item.field for item in caught.value.violations] == ["receiver_key"]
    parcel = await signers(wallets).export(wallet_id, b"\x09" + bytes(31))
    assert len(parcel.ciphertext) == 56 + 16


# Operations whose keys do not open


class World:
    """A handler of such operations."""

    def __init__(self, *broken: WalletId, state: ChainState | None = None) -> None:
        self.queue, self._broken = FakeQueue(), set(broken)
        self.keys = BrokenKeys(
            signers=cast(Any, SimpleNamespace(broken=self._find)),
            operations=cast(Any, self.queue),
            chain_view=cast(Any, SimpleNamespace(newest=state)),
        )

    async def _find(self, wallets: Sequence[WalletId]) -> set[WalletId]:
        return self._broken & set(wallets)


ERROR = SealBrokenError("damaged")


async def test_only_what_cannot_be_signed_waits() -> None:
    broken, sound = operation(), operation()
    world = World(broken.wallet_id)
    await world.keys.set_aside([broken, sound], ERROR)
    (settled,) = world.queue.settled
    assert (settled.operation_id, settled.event) == (broken.id, OperationEvent.RETRY)
    assert settled.pause == 60
    assert world.queue.released == [sound.id]


async def test_a_plant_is_tried_again_when_its_block_is_over() -> None:
    state = chain_state()
    ends = replace(state, farm=replace(state.farm, timestamp=CLOSE_TIME - 290))
    plant = operation(OperationKind.PLANT, block=BLOCK, amount=5)
    world = World(plant.wallet_id, state=ends)
    await world.keys.set_aside([plant], ERROR)
    assert [item.pause for item in world.queue.settled] == [10]


async def test_an_error_about_none_of_these_keys_is_raised() -> None:
    world = World()
    with pytest.raises(SealBrokenError, match="damaged"):
        await world.keys.set_aside([operation()], ERROR)
    assert (world.queue.settled, world.queue.released) == ([], [])
