"""A wallet process of the model.

The chain, dispatcher, tracker, sender, payments and stores are real. Nodes and the keys that sign
are fake, the follower's place is taken by the truth, and the process loses its database when it
dies.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

from libs.common.db.pool import Database, Session
from libs.common.ids import WalletId
from services.wallet.chain.facade import Chain
from services.wallet.chain.node.endpoints import FAILURES, Endpoints
from services.wallet.chain.node.rpc import Rpc
from services.wallet.domain.bids import OperatorLimits
from services.wallet.domain.blocks import plantable_block
from services.wallet.domain.chain_facts import FarmState, LedgerHead, Signer
from services.wallet.domain.heights import Heights, needed
from services.wallet.domain.model import ChainHead
from services.wallet.engine.alarms import Alarms
from services.wallet.engine.broken_keys import BrokenKeys
from services.wallet.engine.chain_view import ChainState
from services.wallet.engine.forgeries import Forgeries
from services.wallet.engine.in_flight import InFlight
from services.wallet.engine.payments.carrier import PaymentCarrier
from services.wallet.engine.payments.payer_numbers import PayerNumbers
from services.wallet.engine.payments.repayments import Repayments
from services.wallet.engine.sender import Sender
from services.wallet.engine.sequence_sources import Sources
from services.wallet.engine.settle.tracker import Tracker
from services.wallet.engine.submit.dispatch import Dispatcher
from services.wallet.engine.submit.packs import Packs
from services.wallet.engine.submit.round import Refuser
from services.wallet.engine.submit.single_calls import SingleCalls
from services.wallet.engine.template_book import TemplateBook
from services.wallet.engine.treasury.channels import LowChannels
from services.wallet.engine.treasury.transactions import RentTurn, TreasuryTransactions
from services.wallet.engine.wakeup import Wakeup, Wakeups
from services.wallet.keys.signer import SeedSigner
from services.wallet.store.channels import ChannelStore
from services.wallet.store.operations import OperationStore
from services.wallet.store.payers import PayerStore
from services.wallet.store.transactions import TransactionStore
from tests.model.adversary import Facts, FakeRpc, Fate, Server
from tests.model.envelopes import MULTICALL
from tests.model.farm import BLOCK_SECONDS, NETWORK, record_of
from tests.model.network import Network
from tests.support.clock import FakeClock
from tests.support.orders import ORDERS
from tests.support.signing import network_limits

#: Stroops for each operation of a transaction, and seconds that an envelope lives. The cap of one
#: call does not suffice for two calls.
CAP, LIFETIME = 40_000, 12
_INCLUSION_FEE = 4000


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


class MortalKeys:
    """The opened keys as seen by a process that may die while it opens them."""

    def __init__(self, keys: Keys, fate: Fate) -> None:
        self._keys = keys
        self._fate = fate

    @asynccontextmanager
    async def open(self, wallet_ids: Sequence[WalletId]) -> AsyncIterator[list[Signer]]:
        """Yield signers; the method has the interface of Signers."""
        self._fate.step()
        async with self._keys.open(wallet_ids) as signers:
            yield signers


class Restless(Wakeup):
    """A wakeup that nobody waits for: the model lets no time pass."""

    async def wait(self, seen: int, timeout: float) -> None:
        """Return at once."""


class _NoFees:
    """No farmer of the model owes fees."""

    async def owed(self, wallet_ids: Sequence[WalletId]) -> dict[WalletId, int]:
        """As the store's."""
        return dict.fromkeys(wallet_ids, 0)


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
        has_multicall: bool,
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
        self._keys = MortalKeys(keys, fate)
        mortal = MortalDatabase(database, fate)
        self._operations = OperationStore(mortal, ORDERS)
        self._transactions = TransactionStore(mortal, ORDERS)
        self._payers = PayerStore(mortal, ORDERS)
        self._channels = ChannelStore(mortal, ORDERS)
        self._in_flight = InFlight()
        self._holder = cast("Any", SimpleNamespace(wallet=treasury))
        self._accounts = cast("Any", SimpleNamespace(touch=list, can_pay=True))
        self._limits = OperatorLimits(lifetime=LIFETIME, max_fee=CAP, parallel=1)
        self._wakeups = Wakeups(changes=Restless(), settled=Wakeup())
        self._sender = Sender(
            self.chain,
            self._transactions,
            cast("Any", self._keys),
            self._holder,
            in_flight=self._in_flight,
        )
        self._templates = TemplateBook(self.chain)
        self._alarms = Alarms()
        self._forgeries = Forgeries(self._operations)
        self._broken_keys = BrokenKeys(
            signers=cast("Any", self._keys),
            operations=self._operations,
            chain_view=cast("Any", self),
        )
        self._dispatcher = self._made_dispatcher(has_multicall=has_multicall)
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

    def _made_dispatcher(self, *, has_multicall: bool) -> Dispatcher:
        view, keys = cast("Any", self), cast("Any", self._keys)
        sources = Sources(self.chain, self._channels, self._transactions, keys)
        refuser = Refuser(chain=self.chain, follower=view)
        packs = Packs(
            self.chain,
            keys,
            self._templates,
            sources,
            refuser=refuser,
            limits=self._limits,
            multicall=MULTICALL,
        )
        single_calls = SingleCalls(
            self.chain,
            keys,
            self._templates,
            sources,
            treasury=self._holder,
            refuser=refuser,
            limits=self._limits,
            alarms=self._alarms,
            packs=packs if has_multicall else None,
        )
        return Dispatcher(
            single_calls,
            sources,
            operations=self._operations,
            transactions=self._transactions,
            accounts=self._accounts,
            chain_view=view,
            sender=self._sender,
            broken_keys=self._broken_keys,
            forgeries=self._forgeries,
            wakeups=self._wakeups,
            limits=self._limits,
            alarms=self._alarms,
            gathered=0.0,  # the model does not wait
        )

    def _made_tracker(self, numbers: PayerNumbers) -> Tracker:
        return Tracker(
            chain=self.chain,
            transactions=self._transactions,
            follower=cast("Any", self),
            chain_view=cast("Any", self),
            accounts=self._accounts,
            sender=self._sender,
            in_flight=self._in_flight,
            templates=self._templates,
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
            payment_orders=self._transactions,
            payouts=cast("Any", _NoFees()),
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
                alarms=self._alarms,
                forgeries=self._forgeries,
                rent_turn=RentTurn(),
            ),
            broken_keys=self._broken_keys,
            forgeries=self._forgeries,
            low_channels=LowChannels(chain=self.chain, low=0),
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
            self._chain_state = _chain_state(head, self._network)
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

    async def dispatch(self) -> None:
        """Run a round of the dispatcher: build, sign, commit and send calls of the farm."""
        await self.refresh()
        await self._dispatcher.step()


def _chain_state(head: LedgerHead, network: Network) -> ChainState:
    """Return what the follower would find at a head: the farm is shown as it truly was then."""
    block = network.farm.running(min(head.sequence, network.ledger))
    farm = FarmState(
        index=block.index,
        timestamp=block.timestamp,
        paused=False,
        token=NETWORK.token,
        code_hash="",
        block=record_of(block),
    )
    plantable = plantable_block(
        index=block.index,
        has_block=True,
        timestamp=block.timestamp,
        now=head.close_time,
        interval=BLOCK_SECONDS,
    )
    chain_head = ChainHead(
        ledger=head.sequence,
        close_time=datetime.fromtimestamp(head.close_time, UTC),
        current_block=block.index,
        plantable_block=plantable,
        paused=False,
        block_seconds=BLOCK_SECONDS,
    )
    return ChainState(
        ledger=head,
        farm=farm,
        head=chain_head,
        # Without it no work is refused for its hash, which the model does not compute.
        block=None,
        inclusion_fee=_INCLUSION_FEE,
        limits=network_limits(),
        pace=5,
    )
