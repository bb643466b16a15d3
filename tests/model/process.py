"""A wallet process of the model.

The chain, tracker, sender, payments and stores are real. Nodes and the keys that sign are fake, and
the process loses its database when it dies.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

from libs.common.db.pool import Database, Session
from libs.common.ids import OperationId, WalletId
from services.wallet.chain.build.envelopes import sign_bumped, sign_direct
from services.wallet.chain.build.loads import alone
from services.wallet.chain.build.wire import Resources
from services.wallet.chain.facade import Chain
from services.wallet.chain.node.endpoints import FAILURES, Endpoints
from services.wallet.chain.node.rpc import Rpc
from services.wallet.domain.bids import Bid, OperatorLimits
from services.wallet.domain.chain_facts import FarmState, LedgerHead, SignedEnvelope, Signer
from services.wallet.domain.heights import Heights, needed
from services.wallet.domain.model import ChainHead
from services.wallet.engine.alarms import Alarms
from services.wallet.engine.broken_keys import BrokenKeys
from services.wallet.engine.chain_view import ChainState
from services.wallet.engine.in_flight import InFlight
from services.wallet.engine.payments.carrier import PaymentCarrier
from services.wallet.engine.payments.payer_numbers import PayerNumbers
from services.wallet.engine.payments.repayments import Repayments
from services.wallet.engine.sender import Outgoing, Sender
from services.wallet.engine.sequence_sources import next_numbers
from services.wallet.engine.settle.tracker import Tracker
from services.wallet.engine.treasury.transactions import RentTurn, TreasuryTransactions
from services.wallet.engine.wakeup import Wakeup, Wakeups
from services.wallet.keys.signer import SeedSigner
from services.wallet.store.operations import OperationStore
from services.wallet.store.payers import PayerStore
from services.wallet.store.transactions import Draft, TransactionStore
from tests.model.adversary import Facts, FakeRpc, Fate, Server
from tests.model.network import BLOCK, FARM, NETWORK, STAKE, Network
from tests.support.clock import FakeClock

#: Stroops for each operation of a transaction, and seconds that an envelope lives.
CAP, LIFETIME = 1000, 12
_INCLUSION_FEE, _RESOURCE_FEE = 100, 50


class MortalDatabase(Database):
    """The database as seen by a process that may die before and after each call of it."""

    def __init__(self, database: Database, fate: Fate) -> None:
        super().__init__(database._pool, database._queries, database._timeout)
        self._fate = fate

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        self._fate.step()
        async with super().session() as session:
            yield session
        self._fate.step()


class ModelEndpoints(Endpoints):
    """Endpoints that note when a liar may have been believed, as too few others could be asked."""

    is_lonely = False

    def usable(self) -> list[Rpc]:
        found = super().usable()
        is_few = len(found) < needed(self.configured)
        if is_few and any(cast("FakeRpc", node).is_liar for node in found):
            self.is_lonely = True
        return found


class Keys:
    """The opened keys of all wallets."""

    def __init__(self) -> None:
        self._seeds: dict[WalletId, bytes] = {}

    def add(self, wallet_id: WalletId, seed: bytes) -> None:
        """Add a wallet's key."""
        self._seeds[wallet_id] = seed

    def signer(self, wallet_id: WalletId) -> Signer:
        """Return a wallet's signer."""
        return SeedSigner(self._seeds[wallet_id])

    @asynccontextmanager
    async def open(self, wallet_ids: Sequence[WalletId]) -> AsyncIterator[list[Signer]]:
        """Yield signers; the method has the interface of Signers."""
        yield [self.signer(item) for item in wallet_ids]


class Process:
    """The parts of one wallet process; none is left when the process dies."""

    def __init__(
        self,
        network: Network,
        servers: Sequence[Server],
        database: Database,
        keys: Keys,
        *,
        treasury: SimpleNamespace,
        clock: FakeClock,
        fate: Fate,
    ) -> None:
        seen = Heights(len(servers))
        self.nodes = [
            FakeRpc(server, fate, seen=seen, position=position, clock=clock)
            for position, server in enumerate(servers)
        ]
        # The model does not wait: the next node is asked at once, and so are nodes that differ.
        self.endpoints = ModelEndpoints(self.nodes, seen=seen, moment=0, clock=clock)
        self.chain = Chain(NETWORK, self.endpoints)
        cast("Any", self.chain)._reader = Facts()
        self.fate = fate
        self._network = network
        self._keys = keys
        self._treasury = treasury
        mortal = MortalDatabase(database, fate)
        self._operations = OperationStore(mortal)
        self._transactions = TransactionStore(mortal)
        self._payers = PayerStore(mortal)
        self._in_flight = InFlight()
        self._holder = cast("Any", SimpleNamespace(wallet=treasury))
        self._accounts = cast("Any", SimpleNamespace(touch=list, can_pay=True))
        self._limits = OperatorLimits(lifetime=LIFETIME, max_fee=CAP, parallel=1)
        self._wakeups = Wakeups(changes=Wakeup(), settled=Wakeup())
        self._sender = Sender(
            self.chain,
            self._transactions,
            cast("Any", keys),
            self._holder,
            in_flight=self._in_flight,
        )
        numbers = self._numbers()
        self._tracker = self._made_tracker(numbers)
        self._carrier = self._made_carrier(numbers)
        self._chain_state: ChainState | None = None

    def _numbers(self) -> PayerNumbers:
        repayments = Repayments(
            chain=self.chain,
            treasury=self._holder,
            signers=cast("Any", self._keys),
            transactions=self._transactions,
            sender=self._sender,
            chain_view=cast("Any", self),
            limits=self._limits,
        )
        return PayerNumbers(self.chain, self._payers, repayments, self._wakeups)

    def _made_tracker(self, numbers: PayerNumbers) -> Tracker:
        return Tracker(
            chain=self.chain,
            transactions=self._transactions,
            follower=cast("Any", self),
            chain_view=cast("Any", self),
            accounts=self._accounts,
            sender=self._sender,
            in_flight=self._in_flight,
            templates=cast("Any", SimpleNamespace(forget=lambda kind: None)),
            numbers=numbers,
            limits=self._limits,
            wakeups=self._wakeups,
        )

    def _made_carrier(self, numbers: PayerNumbers) -> PaymentCarrier:
        view, keys = cast("Any", self), cast("Any", self._keys)
        return PaymentCarrier(
            self._payers,
            numbers,
            chain=self.chain,
            treasury=self._holder,
            signers=keys,
            accounts=self._accounts,
            operations=self._operations,
            payouts=self._transactions,
            chain_view=view,
            transactions=TreasuryTransactions(
                chain=self.chain,
                operations=self._operations,
                transactions=self._transactions,
                treasury=self._holder,
                accounts=self._accounts,
                chain_view=view,
                sender=self._sender,
                wakeups=self._wakeups,
                limits=self._limits,
                alarms=Alarms(),
                rent_turn=RentTurn(),
            ),
            broken_keys=BrokenKeys(signers=keys, operations=self._operations, chain_view=view),
            wakeups=self._wakeups,
        )

    # In the place of follower and chain view ---------------------------------------------------

    is_fresh = True

    @property
    def newest(self) -> ChainState | None:
        """Return the newest chain state; None before the first look."""
        return self._chain_state

    @property
    def current(self) -> ChainState:
        """Return the newest chain state that was seen."""
        assert self._chain_state is not None
        return self._chain_state

    async def refresh(self) -> ChainState:
        """Follow the head; go back when the head turns out to have been a lie."""
        head = await self.chain.head()
        before = 0 if self._chain_state is None else self._chain_state.ledger.sequence
        if head.sequence > before or head.sequence < before - 2:
            self._chain_state = _chain_state(head)
        return self.current

    # Its steps --------------------------------------------------------------------------------

    async def probe(self) -> None:
        """Probe every node once, in place of loops that never end."""
        for node in self.nodes:
            with suppress(*FAILURES):
                await node.probe()

    async def look(self) -> None:
        """Run the tracker's step, on the newest state of the chain view."""
        await self.refresh()
        await self._tracker.step()

    async def pay(self) -> None:
        """Run the step of the payments' carrier."""
        await self.refresh()
        await self._carrier.step()

    async def plant(
        self, source: WalletId, address: str, farmers: Sequence[tuple[str, OperationId]]
    ) -> None:
        """Sign, commit and send an envelope for plants.

        The source is the farmer's own account, or a channel account.
        """
        chain_state = await self.refresh()
        ledger, read = await self.chain.sequences([address])
        numbers = await next_numbers(self._transactions, read, ledger)
        if address not in numbers:
            return
        envelope = self._signed(
            source, [item for item, _ in farmers], numbers[address], chain_state
        )
        ids = tuple(item for _, item in farmers)
        self._network.plants[envelope.inner_hash or envelope.hash] = tuple(
            farmer for farmer, _ in farmers
        )
        draft = Draft(envelope=envelope, operation_ids=ids, stakes_returned=(0,) * len(ids))
        at = chain_state.ledger.sequence
        committed = await self._transactions.commit_signed([draft], ledger=at)
        outgoing = [
            Outgoing(id=one.id, envelope=one.envelope.xdr, max_fee=CAP * len(ids))
            for one in committed.recorded
        ]
        await self._sender.send(outgoing, ledger=at)

    def _signed(
        self, source: WalletId, farmers: Sequence[str], sequence: int, chain_state: ChainState
    ) -> SignedEnvelope:
        # The fee distinguishes envelopes with the same source, number and first farmer.
        resources = Resources(
            read_only=(),
            read_write=(),
            instructions=len(self._network.plants),
            disk_read_bytes=0,
            write_bytes=0,
            fee=_RESOURCE_FEE,
        )
        bid = Bid(
            max_time=chain_state.ledger.close_time + LIFETIME,
            inclusion_fee=_INCLUSION_FEE,
            max_fee=CAP * len(farmers),
        )
        load = alone(FARM.plant(farmer=farmers[0], index=BLOCK, stake=STAKE))
        signer = self._keys.signer(source)
        if len(farmers) > 1:
            return sign_direct(
                load,
                resources,
                network=self.chain.network,
                source=signer,
                sequence=sequence,
                bid=bid,
            )
        return sign_bumped(
            load,
            resources,
            network=self.chain.network,
            source=signer,
            treasury=self._keys.signer(self._treasury.id),
            sequence=sequence,
            bid=bid,
        )


def _chain_state(head: LedgerHead) -> ChainState:
    farm = FarmState(index=BLOCK, timestamp=0, paused=False, token="", code_hash="", block=None)
    chain_head = ChainHead(
        ledger=head.sequence,
        close_time=datetime.fromtimestamp(head.close_time, UTC),
        current_block=BLOCK,
        plantable_block=BLOCK,
        paused=False,
        block_seconds=300,
    )
    return ChainState(
        ledger=head,
        farm=farm,
        head=chain_head,
        block=None,
        inclusion_fee=_INCLUSION_FEE,
        limits=cast("Any", None),
        pace=5,
    )
