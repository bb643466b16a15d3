"""The turning back of a head that was a lie: on the same network only, and not too early."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from services.wallet.chain import DisagreementError, NetworkMismatchError
from services.wallet.domain.chain_facts import LedgerHead
from services.wallet.domain.model import ChainHead
from services.wallet.engine.turning import Turning
from services.wallet.store.turning import Past

KEPT = ChainHead(
    ledger=900,
    close_time=datetime(2026, 1, 1, tzinfo=UTC),
    current_block=7,
    plantable_block=8,
    paused=False,
    block_seconds=300,
)
ENTROPY = b"7" * 32


def head(ledger: int) -> ChainHead:
    return replace(KEPT, ledger=ledger)


@dataclass(kw_only=True)
class Network:
    """A network that remembers ledgers from its oldest on."""

    transactions: set[str] = field(default_factory=set)
    blocks: dict[int, bytes] = field(default_factory=dict)
    oldest: int = 50
    asked: list[str] = field(default_factory=list)

    def trusted(self, _decision: object) -> "Network":
        """As the chain's."""
        return self

    async def head(self) -> LedgerHead:
        """As the chain's."""
        return LedgerHead(sequence=100, close_time=1, oldest=self.oldest)

    async def has_transaction(self, name: str) -> bool:
        """As the chain's."""
        self.asked.append(name)
        return name in self.transactions

    async def block(self, index: int) -> Any:
        """As the chain's."""
        entropy = self.blocks.get(index)
        return None if entropy is None else SimpleNamespace(index=index, entropy=entropy)


@dataclass(kw_only=True)
class Records:
    """What is recorded; turns back when no process sees more."""

    past: Past
    is_unseen: bool = True
    looked: list[tuple[int, int]] = field(default_factory=list)
    turned: list[tuple[int, float]] = field(default_factory=list)

    async def past_of(self, *, ledger: int, block: int) -> Past:
        """As the store's."""
        self.looked.append((ledger, block))
        return self.past

    async def turn_back(self, head: ChainHead, *, unseen_for: float) -> bool:
        """As the store's."""
        self.turned.append((head.ledger, unseen_for))
        return self.is_unseen


def turning(network: Network, records: Records) -> Turning:
    store = SimpleNamespace(past=records.past_of, turn_back=records.turn_back)
    return Turning(cast("Any", network), cast("Any", store))


def past(
    transactions: dict[str, int] | None = None,
    blocks: dict[int, bytes] | None = None,
    first_ledger: int | None = None,
) -> Past:
    return Past(transactions=transactions or {}, blocks=blocks or {}, first_ledger=first_ledger)


async def refused(found: Turning, ledger: int) -> float | None:
    """Return after how many seconds a caller is to ask again."""
    with pytest.raises(DisagreementError) as caught:
        await found.back_to(head(ledger), KEPT)
    assert f"ledger {KEPT.ledger} was seen before, the nodes are at ledger {ledger}" in str(
        caught.value
    )
    return caught.value.retry_after


async def test_a_head_is_turned_back_once_three_lower_ledgers_have_followed_each_other() -> None:
    records = Records(past=past({"a": 60}))
    found = turning(Network(transactions={"a"}), records)
    assert await refused(found, 100) == 1.0
    assert await refused(found, 101) == 1.0
    assert records.turned == []
    await found.back_to(head(102), KEPT)
    # No process may have seen the higher head for 15 s.
    assert records.turned == [(102, 15.0)]
    assert records.looked == [(100, 8)]
    # Then all begins anew, and the network is asked again.
    assert await refused(found, 103) == 1.0
    assert records.looked == [(100, 8), (103, 8)]


async def test_a_head_that_another_process_sees_stays() -> None:
    records = Records(past=past({"a": 60}), is_unseen=False)
    found = turning(Network(transactions={"a"}), records)
    await refused(found, 100)
    await refused(found, 101)
    with pytest.raises(DisagreementError, match="they lag, or another process sees more") as caught:
        await found.back_to(head(102), KEPT)
    assert caught.value.retry_after == 1.0
    # The next look tries again at once.
    records.is_unseen = True
    await found.back_to(head(103), KEPT)


async def test_lower_heads_are_forgotten_when_the_head_is_not_below_any_more() -> None:
    records = Records(past=past({"a": 60}))
    found = turning(Network(transactions={"a"}), records)
    await refused(found, 100)
    await refused(found, 101)
    found.forget()
    await refused(found, 102)
    assert records.looked == [(100, 8), (102, 8)]


@pytest.mark.parametrize(
    ("recorded", "network", "is_reset"),
    [
        # Nothing of ours is there, though the nodes remember the ledger that took it.
        (past({"a": 60, "b": 70}), Network(), True),
        (past({"a": 60, "b": 70}), Network(transactions={"b"}), False),
        # A transaction of before their oldest ledger tells nothing; that ledger itself does.
        (past({"a": 49}), Network(), False),
        (past({"a": 50}), Network(), True),
        (past({}, {7: ENTROPY}), Network(blocks={7: bytes(32)}), True),
        (past({}, {7: ENTROPY}), Network(blocks={7: ENTROPY}), False),
        (past({"a": 60}, {7: ENTROPY}), Network(blocks={7: ENTROPY}), False),
        (past({}, {7: ENTROPY}), Network(), False),
        # All of ours are in ledgers that this network has not reached yet.
        (past({"a": 49}, first_ledger=101), Network(), True),
        (past({"a": 49}, first_ledger=100), Network(), False),
        (past(), Network(), False),
    ],
)
async def test_a_network_that_was_reset_is_not_farmed_on(
    recorded: Past, network: Network, is_reset: bool
) -> None:
    found = turning(network, Records(past=recorded))
    if not is_reset:
        await refused(found, 100)
        return
    with pytest.raises(NetworkMismatchError, match="the network was reset") as caught:
        await found.back_to(head(100), KEPT)
    assert caught.value.metadata == {"expected": "900", "found": "100"}
