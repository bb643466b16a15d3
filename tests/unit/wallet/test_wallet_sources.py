"""Channels whose keys do not open are passed over, once one was met."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import cast
from uuid import UUID

from libs.common.ids import WalletId
from services.wallet.chain.facade import Chain
from services.wallet.domain.chain_facts import NumberState
from services.wallet.engine.sequence_sources import Sources
from services.wallet.engine.signers import Signers
from services.wallet.store.channels import ChannelStore, Lease
from services.wallet.store.transactions import TransactionStore

SOUND, BROKEN = WalletId(UUID(int=1)), WalletId(UUID(int=2))
UNTIL = datetime(2026, 1, 1, tzinfo=UTC)


class Pool:
    """A node, the tables and the keys of a pool with two channels, one of them broken."""

    def __init__(self) -> None:
        self.given_back: list[WalletId] = []
        #: Addresses of accounts that do not obey.
        self.locked: set[str] = set()

    async def lease(self, count: int, *, seconds: float) -> list[Lease]:
        """Both, for a while."""
        assert seconds > 0
        both = [(SOUND, "G1"), (BROKEN, "G2")]
        return [
            Lease(wallet_id=wallet_id, address=address, until=UNTIL)
            for wallet_id, address in both[:count]
        ]

    async def give_back(self, leases: Sequence[Lease]) -> None:
        """They are free again."""
        self.given_back += [lease.wallet_id for lease in leases]

    def trusted(self, _: object) -> "Pool":
        """Itself: there is one node."""
        return self

    async def numbers(self, addresses: Sequence[str]) -> tuple[int, dict[str, NumberState]]:
        """As the node has them at ledger 9."""
        return 9, {
            item: NumberState(sequence=70, obeys=item not in self.locked) for item in addresses
        }

    async def last_sequences(self, addresses: Sequence[str], *, after: int) -> dict[str, int]:
        """A ledger that the node has not seen took one of the first's."""
        assert after == 9
        return {"G1": 71} if "G1" in addresses else {}

    async def broken(self, wallet_ids: Sequence[WalletId]) -> set[WalletId]:
        """Those that do not open."""
        return {BROKEN} & set(wallet_ids)


def sources_of(pool: Pool) -> Sources:
    """Sources that know only this pool."""
    return Sources(
        cast(Chain, pool),
        cast(ChannelStore, pool),
        cast(TransactionStore, pool),
        cast(Signers, pool),
    )


async def test_a_channel_whose_key_does_not_open_is_passed_over() -> None:
    sources = sources_of(Pool())
    found = await sources.channels(2)
    assert [(item.wallet_id, item.sequence) for item in found] == [(SOUND, 72), (BROKEN, 71)]
    sources.beware()
    assert [item.wallet_id for item in await sources.channels(2)] == [SOUND]


async def test_all_channels_are_given_back_also_those_that_were_passed_over() -> None:
    pool = Pool()
    sources = sources_of(pool)
    sources.beware()
    await sources.channels(1)
    await sources.channels(2)
    await sources.give_back()
    assert pool.given_back == [SOUND, SOUND, BROKEN]
    await sources.give_back()
    assert pool.given_back == [SOUND, SOUND, BROKEN]


async def test_a_channel_that_does_not_obey_is_passed_over_and_given_back() -> None:
    pool = Pool()
    pool.locked = {"G1"}
    sources = sources_of(pool)
    assert [item.wallet_id for item in await sources.channels(2)] == [BROKEN]
    await sources.give_back()
    assert pool.given_back == [SOUND, BROKEN]
