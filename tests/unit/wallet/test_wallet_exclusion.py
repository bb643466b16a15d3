"""When "not found after the bound" is a proof that no ledger has an envelope and none may."""

from itertools import product
from typing import Any, cast
from uuid import UUID

import pytest

from libs.common.errors import UnavailableError
from services.wallet.domain.chain_facts import LedgerHead, Outcome, OutcomeStatus
from services.wallet.domain.exclusion import (
    DISAGREEMENT,
    LAG,
    Exclusion,
    Statement,
    conclude,
    is_proof_possible,
)
from services.wallet.domain.model import OpenTransaction, TransactionId, TransactionState
from services.wallet.engine.settle.exclusion import exclusion_of
from tests.support.settling import carried, in_flight

BOUND, SIGNED = 500, 90
X = Exclusion


def transaction() -> OpenTransaction:
    return OpenTransaction(
        id=TransactionId(UUID(int=1)),
        state=TransactionState.SENT,
        source="G",
        hash="00",
        sequence=7,
        lookup_hash="00",
        envelope="",
        max_time=BOUND,
        fee_bid=100,
        signed_ledger=SIGNED,
        resend_ledger=100,
        last_answer="",
        operations=(),
    )


@pytest.mark.parametrize(
    ("past_bound", "not_older", "status"),
    list(product([True, False], [True, False], OutcomeStatus)),
)
def test_a_statement_counts_in_one_case_only(
    past_bound: bool, not_older: bool, status: OutcomeStatus
) -> None:
    shown = LedgerHead(sequence=200, close_time=BOUND + past_bound)
    answered = LedgerHead(sequence=200 if not_older else 199, close_time=600, oldest=91)
    found = is_proof_possible(transaction(), shown, Outcome(status=status, head=answered, ledger=1))
    assert found is (past_bound and not_older and status is OutcomeStatus.NOT_FOUND)


def says(
    used: int | None, *, oldest: int = 1, status: OutcomeStatus = OutcomeStatus.NOT_FOUND
) -> Statement:
    head = LedgerHead(sequence=200, close_time=BOUND + 1, oldest=oldest)
    return Statement(head=head, outcome=Outcome(status=status, head=head), used=used)


UNUSED, USED, FORGOT = says(None), says(150), says(150, oldest=SIGNED + 1)
FOUND = says(150, status=OutcomeStatus.SUCCESS)
SOON, LATE, HOPELESS = BOUND + 1, BOUND + LAG + 1, BOUND + DISAGREEMENT + 1


@pytest.mark.parametrize(
    ("configured", "statements", "now", "expected"),
    [
        # The head that nodes agree on has not passed the bound, whatever single ones say.
        (3, [UNUSED, UNUSED, UNUSED], BOUND, X.NOT_YET),
        # One node configured: its word. An unused number proves it, whatever is forgotten.
        (1, [UNUSED], SOON, X.PROVEN),
        (1, [says(None, oldest=SIGNED + 1)], SOON, X.PROVEN),
        (1, [USED], SOON, X.NOT_YET),
        # "Not found" of one node is no proof that somebody else used the number.
        (1, [USED], LATE, X.SPENT),
        (1, [FORGOT], LATE, X.SPENT),
        (1, [], HOPELESS, X.NOT_YET),
        # Several: two that say the same.
        (2, [UNUSED, UNUSED], SOON, X.PROVEN),
        (3, [UNUSED], SOON, X.NOT_YET),
        (3, [UNUSED], LATE, X.PROVEN),
        (2, [UNUSED, USED], SOON, X.NOT_YET),
        (2, [UNUSED, USED], LATE, X.NOT_YET),
        (2, [UNUSED, USED], HOPELESS, X.SPENT),
        (3, [UNUSED, UNUSED, USED], SOON, X.PROVEN),
        (3, [UNUSED, USED, USED], SOON, X.NOT_YET),
        # The key may be in other hands (KEY_EXPORT): two that remember and do not find it.
        (3, [UNUSED, USED, USED], LATE, X.PROVEN),
        (2, [USED, USED], LATE, X.PROVEN),
        (2, [USED, FORGOT], LATE, X.SPENT),
        (3, [FORGOT, FORGOT, FORGOT], LATE, X.SPENT),
        # As many as say the opposite are not enough, though two say the same.
        (4, [UNUSED, UNUSED, USED, USED], SOON, X.NOT_YET),
        (4, [UNUSED, UNUSED, USED, USED], LATE, X.NOT_YET),
        # Who shows the number unused does not remember who used it.
        (3, [USED, FORGOT, UNUSED], LATE, X.SPENT),
        # A node remembers from the very ledger on in which it was signed.
        (2, [says(150, oldest=SIGNED)] * 2, LATE, X.PROVEN),
        # Late and hopeless begin a second after the time allowed.
        (1, [USED], BOUND + LAG, X.NOT_YET),
        (2, [UNUSED, FOUND], BOUND + DISAGREEMENT, X.NOT_YET),
        # One says that it has it: that is no silence, and nothing is concluded against it.
        (2, [UNUSED, FOUND], LATE, X.NOT_YET),
        (3, [UNUSED, UNUSED, FOUND], LATE, X.NOT_YET),
        (2, [UNUSED, FOUND], HOPELESS, X.SPENT),
    ],
)
def test_what_nodes_state(
    configured: int, statements: list[Statement], now: int, expected: Exclusion
) -> None:
    assert conclude(transaction(), statements, now=now, configured=configured) is expected
    assert conclude(transaction(), statements[::-1], now=now, configured=configured) is expected


class Node:
    """A node that says nothing that counts."""

    configured = 1

    def witnesses(self) -> list["Node"]:
        """As the chain's."""
        return [self]

    async def head(self) -> LedgerHead:
        """As the chain's."""
        raise UnavailableError("away")


async def test_where_no_node_says_anything_no_ledger_used_the_number() -> None:
    transaction = in_flight(carried(), max_time=999)
    head = LedgerHead(sequence=50, close_time=1000)
    found = await exclusion_of(cast(Any, Node()), transaction, head)
    assert found == (Exclusion.NOT_YET, 0)
    # At the bound itself nobody is asked.
    early = LedgerHead(sequence=50, close_time=999)
    assert await exclusion_of(cast(Any, None), transaction, early) == (Exclusion.NOT_YET, 0)
