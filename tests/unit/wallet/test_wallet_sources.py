"""Channels whose keys do not open are passed over, once one was met."""

from collections.abc import Sequence
from copy import copy
from datetime import UTC, datetime
from typing import cast
from uuid import UUID

import pytest

from libs.common.ids import WalletId
from services.wallet.chain.facade import Chain
from services.wallet.domain.chain_facts import AccountState, NumberState
from services.wallet.domain.model import OperationKind
from services.wallet.engine.sequence_sources import LEASE, Seen, Sources
from services.wallet.engine.signers import Signers
from services.wallet.store.channels import ChannelStore, Lease
from services.wallet.store.transactions import TransactionStore
from tests.support.signing import operation

SOUND, BROKEN = WalletId(UUID(int=1)), WalletId(UUID(int=2))
UNTIL = datetime(2026, 1, 1, tzinfo=UTC)


class Pool:
    """A node, the tables and the keys of a pool with two channels, one of them broken."""

    def __init__(self, *, nodes: int = 1) -> None:
        self.given_back: list[WalletId] = []
        #: Addresses whose numbers were asked for.
        self.asked: list[str] = []
        self._nodes = nodes
        #: Addresses of accounts that do not obey.
        self.locked: set[str] = set()
        #: Addresses of accounts that do not exist.
        self.missing: set[str] = set()

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
        """Itself when there is one node."""
        return self if self._nodes == 1 else copy(self)

    async def numbers(self, addresses: Sequence[str]) -> tuple[int, dict[str, NumberState]]:
        """As the node has them at ledger 9."""
        self.asked += addresses
        return 9, {
            item: NumberState(sequence=70, obeys=item not in self.locked)
            for item in addresses
            if item not in self.missing
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


@pytest.mark.parametrize("nodes", [1, 3])
async def test_an_account_that_was_seen_is_read_again_only_where_nodes_have_to_agree(
    nodes: int,
) -> None:
    pool = Pool(nodes=nodes)
    plant = operation(OperationKind.PLANT)
    account = AccountState(address=plant.address, exists=True, sequence=8, obeys=False)
    seen = Seen(ledger=9, accounts={plant.address: account})
    source = (await sources_of(pool).of([plant], seen))[plant.id]
    assert (source.sequence, source.obeys) == ((9, False) if nodes == 1 else (71, True))
    assert pool.asked == ([] if nodes == 1 else [plant.address])


async def test_accounts_are_read_when_one_of_them_was_not_seen() -> None:
    pool = Pool()
    plants = [operation(OperationKind.PLANT) for _ in range(2)]
    account = AccountState(address=plants[0].address, exists=True, sequence=8)
    seen = Seen(ledger=9, accounts={account.address: account})
    assert (await sources_of(pool).of(plants, seen))[plants[0].id].sequence == 71
    assert pool.asked == [item.address for item in plants]


async def test_an_account_that_was_seen_not_to_exist_is_no_source() -> None:
    plant = operation(OperationKind.PLANT)
    account = AccountState(address=plant.address, exists=False)
    seen = Seen(ledger=9, accounts={plant.address: account})
    assert await sources_of(Pool()).of([plant], seen) == {}


async def test_channels_are_for_what_needs_nobodys_consent_while_there_are_some() -> None:
    pool = Pool()
    kinds = [OperationKind.HARVEST, OperationKind.PLANT, OperationKind.WORK, OperationKind.HARVEST]
    operations = [operation(kind) for kind in kinds]
    found = await sources_of(pool).of(operations)
    assert list(found) == [operations[0].id, operations[2].id, operations[1].id, operations[3].id]
    first, second, plant, last = found.values()
    assert [(item.address, item.is_channel) for item in (first, second)] == [
        ("G1", True),
        ("G2", True),
    ]
    for source, farmer in ((plant, operations[1]), (last, operations[3])):
        assert (source.wallet_id, source.address) == (farmer.wallet_id, farmer.address)
        assert (source.sequence, source.is_channel, source.obeys) == (71, False, True)
    assert pool.asked == ["G1", "G2", operations[1].address, operations[3].address]


async def test_no_channel_is_leased_for_plants() -> None:
    pool = Pool()
    sources = sources_of(pool)
    await sources.of([operation(OperationKind.PLANT)])
    await sources.give_back()
    assert pool.given_back == []


async def test_an_account_that_does_not_obey_is_told_as_such() -> None:
    pool, plant = Pool(), operation(OperationKind.PLANT)
    pool.locked = {plant.address}
    assert not (await sources_of(pool).of([plant]))[plant.id].obeys


async def test_an_account_or_a_channel_that_is_missing_is_no_source(
    capfd: pytest.CaptureFixture[str],
) -> None:
    pool, plant = Pool(), operation(OperationKind.PLANT)
    pool.missing = {plant.address, "G1"}
    assert await sources_of(pool).of([plant]) == {}
    assert [item.address for item in await sources_of(pool).channels(2)] == ["G2"]
    assert "channels do not obey" not in "".join(capfd.readouterr())


async def test_what_is_wrong_with_channels_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    pool = Pool()
    pool.locked = {"G1"}
    sources = sources_of(pool)
    await sources.channels(1)
    told = "".join(capfd.readouterr())
    assert "channels do not obey" in told
    assert str(SOUND) in told
    assert "do not open" not in told
    sources.beware()
    await sources.channels(1)
    assert "keys of channels do not open" not in "".join(capfd.readouterr())
    await sources.channels(2)
    assert "keys of channels do not open" in "".join(capfd.readouterr())


async def test_where_all_that_was_asked_for_was_seen_more_may_have_been_seen() -> None:
    pool, plants = Pool(), [operation(OperationKind.PLANT) for _ in range(2)]
    accounts = {
        item.address: AccountState(address=item.address, exists=True, sequence=8) for item in plants
    }
    seen = Seen(ledger=9, accounts=accounts)
    assert (await sources_of(pool).of(plants[:1], seen))[plants[0].id].sequence == 9
    assert set(await sources_of(pool).of(plants, seen)) == {item.id for item in plants}
    assert pool.asked == []


async def test_nothing_asks_for_nothing() -> None:
    pool = Pool()
    assert await sources_of(pool).of([]) == {}
    assert (pool.asked, pool.given_back) == ([], [])
    assert not sources_of(pool).has_channels


def test_a_lease_is_short() -> None:
    """Two processes that work on the same operation do no harm: a crash costs no more."""
    assert LEASE == 10.0
