"""Channels whose keys do not open are passed over, once one was met."""

from collections.abc import Sequence
from typing import cast
from uuid import UUID

from libs.common.ids import WalletId
from services.wallet.chain.facade import Chain
from services.wallet.engine.keyring import Keyring
from services.wallet.engine.sources import Sources
from services.wallet.store.channels import ChannelStore
from services.wallet.store.transactions import TransactionStore

SOUND, BROKEN = WalletId(UUID(int=1)), WalletId(UUID(int=2))


class Pool:
    """A node, the tables and the keys of a pool with two channels, one of them broken."""

    async def lease(self, count: int, *, seconds: float) -> list[tuple[WalletId, str]]:
        """Both, for a while."""
        assert seconds > 0
        return [(SOUND, "G1"), (BROKEN, "G2")][:count]

    async def sequences(self, addresses: Sequence[str]) -> tuple[int, dict[str, int]]:
        """As the node has them at ledger 9."""
        return 9, dict.fromkeys(addresses, 70)

    async def last_sequences(self, addresses: Sequence[str], *, after: int) -> dict[str, int]:
        """A ledger that the node has not seen took one of the first's."""
        assert after == 9
        return {"G1": 71} if "G1" in addresses else {}

    async def broken(self, wallet_ids: Sequence[WalletId]) -> set[WalletId]:
        """Those that do not open."""
        return {BROKEN} & set(wallet_ids)


async def test_a_channel_whose_key_does_not_open_is_passed_over() -> None:
    pool = Pool()
    sources = Sources(
        cast(Chain, pool),
        cast(ChannelStore, pool),
        cast(TransactionStore, pool),
        cast(Keyring, pool),
    )
    found = await sources.channels(2)
    assert [(item.wallet_id, item.sequence) for item in found] == [(SOUND, 72), (BROKEN, 71)]
    sources.beware()
    assert [item.wallet_id for item in await sources.channels(2)] == [SOUND]
