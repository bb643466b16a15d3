"""The engine's real tracker, sender and store against an adversary that picks every answer.

Hypothesis drives the machine: envelopes are signed, sent, taken by ledgers in any choice and order
or by none, answers are lost, stale, torn or lies of the kind that a real node tells, histories are
forgotten, processes die at any await. After every step the promises of DESIGN section 5 hold; and
when the adversary rests, everything settles by itself.
"""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from datetime import UTC, datetime
from random import Random
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from stellar_sdk import Keypair

from libs.common.db.pool import Database, open_database
from libs.common.db.tls import DatabaseAddress
from libs.common.errors import UnavailableError
from libs.common.ids import FarmerId, OperationId, PoolerId, WalletId, new_id
from services.wallet.chain.model import AccountState, LedgerHead
from services.wallet.domain.model import ChainHead, NewOperation, OperationKind
from services.wallet.domain.submission import Exclusion
from services.wallet.engine.sender import Outgoing, Sender
from services.wallet.engine.tracker import Tracker
from services.wallet.keys.seal import SealedKey
from services.wallet.store import QUERIES
from services.wallet.store.operations import OperationStore
from services.wallet.store.transactions import Draft, TransactionStore
from services.wallet.store.wallets import WalletStore
from tests.model.adversary import (
    BLOCK,
    Envelope,
    Killed,
    Network,
    Node,
    Tricks,
    envelope,
)
from tests.support.database import DatabaseAccess

T = TypeVar("T")
FARMERS = 4
CAP = 1000
LIFETIME = 12
#: Never, now and then, or nearly always.
ODDS = st.sampled_from([0, 0, 0, 1, 4, 9])
TRICKS = st.builds(
    Tricks,
    away=st.sampled_from([0, 1]),
    killed=st.sampled_from([0, 1, 3]),
    stale=ODDS,
    forgetful=ODDS,
    torn=ODDS,
    no_ranges=ODDS,
    greedy=ODDS,
    dropped=ODDS,
    lost=ODDS,
    contrary=ODDS,
)
#: What the database says: each operation, and each envelope that ever carried it.
OPERATIONS = """
SELECT w.address, o.state FROM wallet.operations o
JOIN wallet.wallets w ON w.id = o.wallet_id WHERE o.id = ANY($1)
"""
ENVELOPES = "SELECT lookup_hash, state, fee_bid FROM wallet.transactions"
CARRIERS = """
SELECT count(*) FROM wallet.transaction_operations c
JOIN wallet.transactions t ON t.id = c.transaction_id AND t.state IN ('signed', 'sent')
GROUP BY c.operation_id HAVING count(*) > 1
"""
LEFT_OVER = """
UPDATE wallet.transactions SET state = 'excluded', closed_at = now() WHERE closed_at IS NULL
"""


def sealed() -> SealedKey:
    """A key that nobody opens here."""
    return SealedKey(
        wallet_id=WalletId(new_id()),
        address=Keypair.random().public_key,
        kek_id="none",
        wrapped_data_key=b"",
        nonce=bytes(12),
        sealed_seed=b"",
    )


class EngineMachine(RuleBasedStateMachine):
    """One wallet process, or one after the other, on one database and one network."""

    tracker_type: type[Tracker] = Tracker

    def __init__(self, dsn: str) -> None:
        super().__init__()
        self._dsn = dsn
        self._loop = asyncio.new_event_loop()
        self._network = Network()
        self._farmers: dict[str, OperationId] = {}
        self._wallets: dict[str, WalletId] = {}

    # The process ----------------------------------------------------------------------------

    def run(self, work: Awaitable[T]) -> T | None:
        """Runs until it is done, or the process is killed: then nothing of it goes on."""

        async def whole() -> T | None:
            try:
                with suppress(UnavailableError):
                    return await work
            except Killed:
                others = asyncio.all_tasks() - {asyncio.current_task()}
                for task in others:
                    task.cancel()
                await asyncio.gather(*others, return_exceptions=True)
                self._start()
            return None

        return self._loop.run_until_complete(whole())

    def _start(self) -> None:
        """A process that has nothing in memory."""
        keyring, treasury = cast("Any", _NoKeys()), cast("Any", _Treasury())
        sender = Sender(cast("Any", self._node), self._transactions, keyring, treasury)
        self._sight = LedgerHead(sequence=100, close_time=1000)
        parts = SimpleNamespace(
            chain=self._node,
            operations=self._operations,
            transactions=self._transactions,
            treasury=treasury,
            accounts=SimpleNamespace(touch=list),
            follower=SimpleNamespace(refresh=self._refresh),
            watch=self,
            sender=sender,
            terms=SimpleNamespace(max_fee=CAP),
            settled=lambda: None,
        )
        self._sender = sender
        #: Another process's: what that has sent, this one's tracker is to follow in the end.
        self._other = Sender(cast("Any", self._node), self._transactions, keyring, treasury)
        shapes = cast("Any", SimpleNamespace(forget=lambda kind: None))
        self._tracker = self.tracker_type(cast("Any", parts), shapes)

    @property
    def current(self) -> Any:
        """What the watch would have."""
        return SimpleNamespace(ledger=self._sight)

    async def _refresh(self) -> Any:
        ledger = await self._node.head()
        head = ChainHead(
            ledger=ledger.sequence,
            close_time=datetime.fromtimestamp(ledger.close_time, UTC),
            current_block=BLOCK,
            plantable_block=BLOCK,
            paused=False,
            block_seconds=300,
        )
        return SimpleNamespace(head=head)

    # The world ------------------------------------------------------------------------------

    @initialize(seed=st.integers(0, 2**32), tricks=TRICKS)
    def begin(self, seed: int, tricks: Tricks) -> None:
        """Farmers whose plants are recorded, and an adversary with habits of its own.

        It decides by dice of its own: answers that run side by side come in any order, which
        Hypothesis would take for a flaky test.
        """
        self._chance = Random(seed)
        self._node = Node(self._network, self._chance, tricks)
        self._loop.run_until_complete(self._prepare())
        self._start()

    async def _prepare(self) -> None:
        self._opened = open_database(
            DatabaseAddress(dsn=self._dsn),
            queries=QUERIES,
            pool_size=4,
            timeout_ms=10_000,
            name="model",
        )
        database: Database = await self._opened.__aenter__()
        self._database = database
        self._operations, self._transactions = OperationStore(database), TransactionStore(database)
        async with database.session() as session:
            await session.connection.execute(LEFT_OVER)
        wallets, treasury = WalletStore(database), sealed()
        if await wallets.insert_treasury(treasury):
            rich = AccountState(address=treasury.address, exists=True, xlm=10**12, sequence=1)
            await wallets.save_accounts({treasury.wallet_id: rich}, 100)
        for _ in range(FARMERS):
            await self._add_farmer(wallets)

    async def _add_farmer(self, wallets: WalletStore) -> None:
        key = sealed()
        await wallets.insert_farmer(
            key,
            farmer_id=FarmerId(new_id()),
            pooler_id=PoolerId(new_id()),
            onboarding_id=OperationId(new_id()),
        )
        wish = NewOperation(
            id=OperationId(new_id()),
            wallet_id=key.wallet_id,
            amount=7,
            nonce=None,
            hash=None,
            zeros=None,
        )
        self._farmers[key.address] = await self._operations.record_one(
            kind=OperationKind.PLANT,
            block_index=BLOCK,
            operation=wish,
            check=lambda _head: None,
        )

    @rule(who=st.lists(st.integers(0, FARMERS - 1), min_size=1, max_size=3, unique=True))
    def sign(self, who: list[int]) -> None:
        """An envelope for plants that are queued: one alone, or several by a channel account."""
        farmers = [list(self._farmers)[item] for item in who]
        source = farmers[0] if len(farmers) == 1 else "channel"
        at = self._network.ledger - (self._chance.randrange(3) if self._node.tricks.stale else 0)
        item = envelope(
            source=source,
            sequence=self._network.number(source, at)[0] + 1,
            max_time=self._network.times[self._network.ledger] + LIFETIME,
            bid=100 * len(farmers),
            farmers=farmers,
        )
        self._network.known[item.signed.xdr] = item
        elsewhere = self._chance.randrange(4) == 0
        self.run(self._commit_and_send(item, self._other if elsewhere else self._sender))

    async def _commit_and_send(self, item: Envelope, sender: Sender) -> None:
        ids = tuple(self._farmers[farmer] for farmer in item.farmers)
        draft = Draft(envelope=item.signed, operation_ids=ids, stakes_returned=(0,) * len(ids))
        ledger = self._sight.sequence
        committed = await self._transactions.commit_signed([draft], ledger=ledger)
        if self._node.happens(self._node.tricks.killed):
            raise Killed
        outgoing = [
            Outgoing(id=one.id, envelope=one.envelope.xdr, max_fee=CAP * len(ids))
            for one in committed.recorded
        ]
        await sender.send(outgoing, ledger=ledger)

    @rule(seconds=st.sampled_from([1, 5, 10]), part=st.sampled_from([0.0, 0.5, 1.0, 1.0]))
    def close(self, seconds: int, part: float) -> None:
        """A ledger takes some of what is queued, in any order; some of it traps there."""
        queue = sorted(self._network.queue)
        self._chance.shuffle(queue)
        traps = {farmer for farmer in self._farmers if self._chance.random() < 0.1}
        taken = queue[: round(part * len(queue))]
        self._network.close(taken, seconds=seconds, traps=frozenset(traps))

    @rule()
    def close_full(self) -> None:
        """A ledger takes all that it can."""
        self._network.close(sorted(self._network.queue), seconds=5, traps=frozenset())

    @rule()
    def look(self) -> None:
        """The tracker's step, after whatever the watch has seen."""
        self.run(self._look())

    async def _look(self) -> None:
        head = await self._node.head()
        if head.sequence > self._sight.sequence:
            self._sight = head
        await self._tracker.step()

    @rule()
    def kill(self) -> None:
        """Between two steps."""
        self._start()

    # What must always hold --------------------------------------------------------------------

    @invariant()
    def promises(self) -> None:
        """Checked against the truth after every step."""
        if hasattr(self, "_database"):
            self._loop.run_until_complete(self._check())

    async def _check(self) -> None:
        assert max(self._network.planted.values(), default=0) <= 1
        async with self._database.session() as session:
            rows = await session.connection.fetch(OPERATIONS, list(self._farmers.values()))
            envelopes = await session.connection.fetch(ENVELOPES)
            carried_twice = await session.connection.fetch(CARRIERS)
        assert carried_twice == [], "two open envelopes carry the same operation"
        self._check_operations(rows)
        self._check_envelopes(envelopes)

    def _check_operations(self, rows: list[asyncpg.Record]) -> None:
        assert len(rows) == FARMERS, "an operation was lost"
        for row in rows:
            there = row["address"] in self._network.pails
            if row["state"] == "succeeded":
                assert there, "recorded as planted, and is not on the chain"
            if row["state"] in {"failed", "expired"}:
                assert not there, "recorded as not planted, and is on the chain"

    def _check_envelopes(self, rows: list[asyncpg.Record]) -> None:
        mine = {item.lookup: item for item in self._network.known.values()}
        for row in rows:
            item = mine.get(row["lookup_hash"])
            if item is None:
                continue
            assert row["fee_bid"] <= CAP * len(item.farmers)
            taken = self._network.taken.get(item.lookup)
            if row["state"] == "excluded":
                assert taken is None, "a ledger has an envelope that was called excluded"
                assert not self._may_be_taken(item), "an excluded envelope could still be taken"

    def _may_be_taken(self, item: Envelope) -> bool:
        ledger = self._network.ledger
        number, _ = self._network.number(item.signed.source, ledger)
        in_time = self._network.times[ledger] < item.signed.max_time
        return in_time and item.signed.sequence == number + 1

    # The end ----------------------------------------------------------------------------------

    def teardown(self) -> None:
        """The adversary rests: everything settles by itself, and as it is on the chain."""
        if hasattr(self, "_database"):
            try:
                self._settle()
            finally:
                self._loop.run_until_complete(self._opened.__aexit__(None, None, None))
        self._loop.close()

    def _settle(self) -> None:
        self._node.tricks = Tricks()
        if self._chance.randrange(2):
            self._start()
        for _ in range(80):
            if not self._queued_or_open():
                break
            for number, farmer in enumerate(self._farmers):
                if farmer in self._unsigned:
                    self.sign([number])
            self._network.close(sorted(self._network.queue), seconds=5, traps=frozenset())
            self.look()
            self.promises()
        assert not self._queued_or_open(), "something never settles by itself"

    def _queued_or_open(self) -> bool:
        async def states() -> list[asyncpg.Record]:
            async with self._database.session() as session:
                return await session.connection.fetch(OPERATIONS, list(self._farmers.values()))

        rows = self._loop.run_until_complete(states())
        self._unsigned = {row["address"] for row in rows if row["state"] == "queued"}
        return any(row["state"] in {"queued", "signed", "sent"} for row in rows)


class _NoKeys:
    """The node of this model does not look at signatures."""

    def signers(self, wallet_ids: object) -> Any:
        return _Signers()


class _Signers:
    async def __aenter__(self) -> list[None]:
        return [None]

    async def __aexit__(self, *_: object) -> None:
        return None


class _Treasury:
    wallet = SimpleNamespace(id=WalletId(new_id()), address="treasury")


#: The same examples every time; more of them by a profile of one's own.
PROFILE = settings(
    max_examples=25,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


#: Until something is found; it is not made small.
HUNT = settings(PROFILE, max_examples=200, phases=[Phase.generate], report_multiple_bugs=False)


def check(machine: type[EngineMachine], database: DatabaseAccess, profile: settings) -> None:
    """Runs a machine on this database."""
    factory = cast("type[EngineMachine]", lambda: machine(database.dsn("wallet")))
    run_state_machine_as_test(factory, settings=profile)


def test_the_engine_keeps_its_promises(database: DatabaseAccess) -> None:
    check(EngineMachine, database, PROFILE)


class _Hasty(Tracker):
    """Takes "not found" past the bound for the whole proof, as a naive engine would."""

    async def _exclusion(self, transaction: Any, head: Any, outcome: Any) -> Any:
        if head.close_time > transaction.max_time:
            return Exclusion.PROVEN, 0
        return Exclusion.NOT_YET, 0


class _HastyMachine(EngineMachine):
    tracker_type = _Hasty


def test_the_model_finds_an_engine_that_skips_half_of_the_proof(database: DatabaseAccess) -> None:
    with pytest.raises(AssertionError):
        check(_HastyMachine, database, HUNT)
