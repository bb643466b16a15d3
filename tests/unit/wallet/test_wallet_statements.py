"""What each node says of an envelope past its bound, and what counts of that."""

from typing import Any, cast

import pytest

from libs.common.errors import UnavailableError
from services.wallet.domain.chain_facts import LedgerHead, OutcomeStatus
from services.wallet.domain.exclusion import LAG, Exclusion
from services.wallet.domain.model import OperationKind
from services.wallet.engine.settle.exclusion import exclusion_of, functions_of
from tests.support.settling import LEDGER, NOW, SOURCE, carried, in_flight, outcome

#: Past the bound of the envelope here, and past the time in which a lagging node may learn of it.
SOON = LedgerHead(sequence=LEDGER, close_time=NOW)
LATE = LedgerHead(sequence=LEDGER, close_time=NOW + LAG + 1)


class Node:
    """One node's answers."""

    def __init__(self, *, head: LedgerHead = LATE, used: int | None = None) -> None:
        self.shown_head, self.used = head, used
        self.outcome_seen: Any = outcome(OutcomeStatus.NOT_FOUND)
        self.asked_for: list[Any] = []

    async def head(self) -> LedgerHead:
        """As the chain's."""
        return self.shown_head

    async def outcome(self, tx_hash: str, functions: list[str]) -> Any:
        """As the chain's."""
        self.asked_for.append((tx_hash, functions))
        if isinstance(self.outcome_seen, Exception):
            raise self.outcome_seen
        return self.outcome_seen

    async def ledger_of_use(self, *, source: str, sequence: int, head: LedgerHead) -> int | None:
        """As the chain's."""
        self.asked_for.append((source, sequence, head))
        return self.used


class Chain:
    """Several nodes."""

    def __init__(self, *nodes: Node) -> None:
        self.nodes = nodes
        self.configured = len(nodes)

    def witnesses(self) -> list[Node]:
        """As the chain's."""
        return list(self.nodes)


TRANSACTION = in_flight(carried(), carried(OperationKind.WORK), max_time=NOW - 1)


async def concluded(*nodes: Node, head: LedgerHead = LATE) -> tuple[Exclusion, int]:
    return await exclusion_of(cast(Any, Chain(*nodes)), TRANSACTION, head)


async def test_nobody_is_asked_before_the_bound() -> None:
    node = Node()
    head = LedgerHead(sequence=LEDGER, close_time=TRANSACTION.max_time)
    assert await concluded(node, head=head) == (Exclusion.NOT_YET, 0)
    assert node.asked_for == []


async def test_an_unused_number_proves_the_exclusion() -> None:
    node = Node()
    assert await concluded(node) == (Exclusion.PROVEN, 0)
    assert node.asked_for == [("bb", ["harvest", "work"]), (SOURCE, 5, LATE)]


async def test_the_ledger_that_used_the_number_is_told() -> None:
    verdict, used = await concluded(Node(used=90), Node(used=91))
    assert (verdict, used) == (Exclusion.PROVEN, 91)


async def test_one_node_that_has_it_is_enough_to_wait() -> None:
    there = Node()
    there.outcome_seen = outcome()
    assert (await concluded(Node(), Node(), there))[0] is Exclusion.NOT_YET


@pytest.mark.parametrize(("head", "verdict"), [(SOON, Exclusion.NOT_YET), (LATE, Exclusion.PROVEN)])
async def test_a_node_that_fails_says_nothing_and_the_other_counts_later(
    head: LedgerHead, verdict: Exclusion
) -> None:
    silent = Node()
    silent.outcome_seen = UnavailableError("away")
    assert (await concluded(silent, Node(head=head), head=head))[0] is verdict


async def test_a_node_whose_ledgers_end_before_the_bound_says_nothing() -> None:
    lagging = Node(head=LedgerHead(sequence=LEDGER, close_time=TRANSACTION.max_time))
    assert (await concluded(lagging))[0] is Exclusion.NOT_YET
    assert lagging.asked_for == [("bb", ["harvest", "work"])]


def test_only_calls_of_the_farm_have_functions() -> None:
    payment = in_flight(carried(OperationKind.WITHDRAW), carried(OperationKind.ONBOARD))
    assert functions_of(payment) == []
