"""Stand-ins for the settling half of the engine: open transactions, and a chain to be read."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from libs.common.ids import OperationId, WalletId, new_id
from services.wallet.chain.unknowns import Unknowns
from services.wallet.domain.chain_facts import (
    AccountState,
    BlockState,
    LedgerHead,
    Outcome,
    OutcomeStatus,
    PailState,
)
from services.wallet.domain.model import (
    CarriedOperation,
    ChainHead,
    OpenTransaction,
    OperationKind,
    TransactionId,
    TransactionState,
)
from services.wallet.domain.trust import Decision

#: Close time of the newest ledger, its sequence, and the block that is open.
NOW, LEDGER, BLOCK = 1_000_000, 100, 7
#: The account that all transactions have as their source, and the ledger that used its number.
SOURCE, USED = "G" + "A" * 55, 95


def carried(
    kind: OperationKind = OperationKind.HARVEST,
    *,
    block: int = BLOCK - 1,
    attempts: int = 1,
    amount: int = 0,
    zeros: int | None = None,
) -> CarriedOperation:
    """Make an operation that an open transaction carries."""
    return CarriedOperation(
        id=OperationId(new_id()),
        kind=kind,
        wallet_id=WalletId(new_id()),
        address=f"G{new_id().hex.upper()}",
        block_index=block,
        amount=amount,
        zeros=zeros,
        attempts=attempts,
    )


def in_flight(
    *operations: CarriedOperation,
    sequence: int = 5,
    bump_to: int | None = None,
    max_time: int = NOW + 30,
    fee_bid: int = 1001,
    last_answer: str = "",
    resend_ledger: int = LEDGER + 10,
) -> OpenTransaction:
    """Make a transaction whose end is not known; it is not due to be sent again."""
    return OpenTransaction(
        id=TransactionId(new_id()),
        state=TransactionState.SENT,
        source=SOURCE,
        sequence=sequence,
        hash="aa",
        lookup_hash="bb",
        envelope="",
        max_time=max_time,
        fee_bid=fee_bid,
        signed_ledger=LEDGER - 5,
        resend_ledger=resend_ledger,
        last_answer=last_answer,
        bump_to=bump_to,
        operations=operations,
    )


def account(number: int, *, used: int = USED, exists: bool = True) -> AccountState:
    """Make the state of the source account."""
    return AccountState(address=SOURCE, exists=exists, xlm=10**9, sequence=number, used_ledger=used)


def outcome(
    status: OutcomeStatus = OutcomeStatus.SUCCESS, *, fee: int = 101, **values: Any
) -> Outcome:
    """Make a node's word about a transaction."""
    head = LedgerHead(sequence=LEDGER, close_time=NOW)
    return Outcome(status=status, head=head, ledger=USED, fee_charged=fee, **values)


class ReadChain:
    """Answers reads as told, and notes for which decision each was asked."""

    def __init__(self) -> None:
        self.configured = 1
        self.unknowns = Unknowns()
        self.shown_head = LedgerHead(sequence=LEDGER, close_time=NOW)
        #: The ledger at which entries are read.
        self.read_ledger = LEDGER
        self.account = account(5)
        #: What every envelope bids; None: it holds another transaction.
        self.bid: int | None = 1001
        self.pails_shown: dict[tuple[str, int], PailState] = {}
        self.blocks: dict[int, BlockState] = {}
        #: Pails and blocks that were read.
        self.read_pails: list[tuple[str, int]] = []
        self.read_blocks: list[int] = []
        self.told: Outcome | Exception = outcome()
        self.decisions: list[Decision] = []
        #: Hashes that were asked for.
        self.looked_up: list[str] = []
        #: How often a node was kept for several requests.
        self.pins = 0

    def trusted(self, decision: Decision) -> "ReadChain":
        """As the chain's."""
        self.decisions.append(decision)
        return self

    def bid_in(self, envelope: str, *, inner_hash: str) -> int | None:
        """As the chain's."""
        return self.bid

    @asynccontextmanager
    async def pinned(self) -> AsyncIterator["ReadChain"]:
        """As the chain's."""
        self.pins += 1
        yield self

    async def head(self) -> LedgerHead:
        """As the chain's."""
        return self.shown_head

    async def accounts(self, addresses: Sequence[str]) -> tuple[int, list[AccountState]]:
        """As the chain's."""
        return self.read_ledger, [self.account for _ in addresses]

    async def pail(self, farmer: str, index: int) -> PailState | None:
        """As the chain's."""
        return self.pails_shown.get((farmer, index))

    async def pails_at(
        self, places: Sequence[tuple[str, int]]
    ) -> tuple[int, dict[tuple[str, int], PailState]]:
        """As the chain's."""
        self.read_pails += places
        shown = self.pails_shown
        return self.read_ledger, {place: shown[place] for place in places if place in shown}

    async def block(self, index: int) -> BlockState | None:
        """As the chain's."""
        self.read_blocks.append(index)
        return self.blocks.get(index)

    async def outcome(self, tx_hash: str, functions: Sequence[str]) -> Outcome:
        """As the chain's."""
        self.looked_up.append(tx_hash)
        if isinstance(self.told, Exception):
            raise self.told
        return self.told


class FakeFollower:
    """Shows a head in the middle of a block."""

    def __init__(self, *, current: int = BLOCK) -> None:
        self.head = ChainHead(
            ledger=LEDGER,
            close_time=datetime.fromtimestamp(NOW, UTC),
            current_block=current,
            plantable_block=current,
            paused=False,
            block_seconds=300,
        )

    async def refresh(self) -> Any:
        """As the follower's."""
        return SimpleNamespace(head=self.head)


class FakeTemplateBook:
    """Notes the kinds whose templates are forgotten."""

    def __init__(self) -> None:
        self.forgotten: list[OperationKind] = []

    def forget(self, kind: OperationKind) -> None:
        """As the book's."""
        self.forgotten.append(kind)


class FakeNumbers:
    """Tells which payments a number shows to be made."""

    def __init__(self) -> None:
        self.made: Mapping[OperationId, str] = {}
        self.booked: list[tuple[str, int, int]] = []

    async def book(self, address: str, number: int, ledger: int) -> list[Any]:
        """As the payers' numbers."""
        self.booked.append((address, number, ledger))
        return [SimpleNamespace(operation_id=item, hash=by) for item, by in self.made.items()]
