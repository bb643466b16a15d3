"""The state machine that Hypothesis drives: processes, nodes and strangers, in any order."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from random import Random
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import asyncpg
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from hypothesis.strategies import SearchStrategy
from stellar_sdk import Keypair

from libs.common.db.pool import Database, open_database
from libs.common.db.tls import DatabaseAddress
from libs.common.errors import UnavailableError
from libs.common.ids import FarmerId, OperationId, PoolerId, WalletId, new_id
from services.wallet.domain.chain_facts import AccountState
from services.wallet.domain.model import NewOperation, OperationKind
from services.wallet.domain.withdrawals import Asset, DailyLimit, NewWithdrawal
from services.wallet.keys.seal import SealedKey
from services.wallet.store import QUERIES
from services.wallet.store.operations import OperationStore
from services.wallet.store.payers import PayerStore
from services.wallet.store.wallets import WalletStore
from services.wallet.store.withdrawals import WithdrawalStore
from tests.model.adversary import Fate, Killed, Lies, Server, Tricks
from tests.model.network import BLOCK, FIRST_LEDGER, STAKE, Network, Paid
from tests.model.process import CAP, Keys, Process
from tests.support.clock import FakeClock
from tests.support.database import DatabaseAccess, connect

T = TypeVar("T")
FARMERS, PAYERS, PROCESSES = 3, 2, 2
#: Most withdrawals of an example.
WITHDRAWALS = 6
#: Ledgers in which everything has to settle when the adversaries rest.
REST = 120
#: Honest nodes and liars.
NODES = [
    *((1, 0), (2, 0), (3, 0)),
    *((0, 1), (0, 2), (0, 3)),
    *((2, 1), (2, 1), (2, 1), (3, 1)),
    *((1, 1), (1, 2), (2, 2)),
]
#: Events besides ledgers and steps; frequent events are listed several times.
EVENTS = (
    "plant",
    "plant",
    "pack",
    "withdraw",
    "withdraw",
    "change_mind",
    "send_again",
    "send_again",
    "turn",
    "kill",
)
#: Never, now and then, or nearly always.
ODDS = st.sampled_from([0, 0, 0, 1, 4, 9])
TRICKS = st.builds(
    Tricks,
    away=st.sampled_from([0, 0, 1]),
    stale=ODDS,
    forgetful=ODDS,
    torn=ODDS,
    no_ranges=ODDS,
    greedy=ODDS,
    dropped=ODDS,
    lost=ODDS,
    contrary=ODDS,
)
_LIE = st.sampled_from([0, 0, 3, 9])
LIES = st.builds(
    Lies,
    secret=st.integers(0, 1000),
    hides=_LIE,
    fails=_LIE,
    succeeds=_LIE,
    numbers=_LIE,
    pails=_LIE,
    accounts=st.sampled_from([0, 0, 0, 3]),
    heads=st.sampled_from([0, 0, 0, 9]),
    swallows=_LIE,
)
#: Queries for the records of the database: each operation, each envelope, and each operation that
#: is carried twice.
OPERATIONS = """
SELECT o.id, o.kind, w.address, o.state, o.amount, d.destination FROM wallet.operations o
JOIN wallet.wallets w ON w.id = o.wallet_id
LEFT JOIN wallet.withdrawals d ON d.operation_id = o.id WHERE o.kind IN ('plant', 'withdraw')
"""
ENVELOPES = """
SELECT t.lookup_hash, t.state, t.fee_bid, t.bump_to, count(c.*) AS operations
FROM wallet.transactions t
LEFT JOIN wallet.transaction_operations c ON c.transaction_id = t.id GROUP BY t.id
"""
CARRIED_TWICE = """
SELECT count(*) FROM wallet.transaction_operations c
JOIN wallet.transactions t ON t.id = c.transaction_id AND t.state IN ('signed', 'sent')
GROUP BY c.operation_id HAVING count(*) > 1
"""
#: Query that makes the statements that empty all tables, whatever their triggers say.
EMPTY = """
SELECT 'SET session_replication_role = replica;'
    || string_agg(format('DELETE FROM %I.%I', schemaname, tablename), ';')
FROM pg_tables WHERE schemaname IN ('wallet', 'chain')
"""
#: Statements that end leases and pauses: they last seconds, and a ledger takes several seconds.
TIME_PASSES = (
    "UPDATE wallet.operations SET due_at = now() WHERE due_at > now()",
    "UPDATE wallet.wallets SET leased_until = now() WHERE leased_until > now()",
)


@dataclass(frozen=True, kw_only=True)
class World:
    """The possible nodes and events of an example."""

    #: Honest nodes and liars.
    nodes: Sequence[tuple[int, int]] = tuple(NODES)
    #: Tricks of the honest nodes.
    tricks: SearchStrategy[Tricks] = TRICKS
    #: Lies of the other nodes.
    lies: SearchStrategy[Lies] = LIES
    #: Events besides ledgers and the processes' steps.
    events: Sequence[str] = EVENTS


_UNLIMITED = DailyLimit(farmer=10**12, pool=10**12)


class EngineMachine(RuleBasedStateMachine):
    """Wallet processes that die and start anew, on one database and one network."""

    def __init__(self, access: DatabaseAccess, world: World) -> None:
        super().__init__()
        self._access = access
        self._world = world
        self._loop = asyncio.new_event_loop()
        # The work that a killed process had begun belongs to nobody any more.
        self._loop.set_exception_handler(lambda loop, context: None)
        self._stack = AsyncExitStack()
        self._network = Network()
        self._clock = FakeClock()
        self._keys = Keys()
        self._seeds = 0
        #: Wallets and plants of farmers by address.
        self._farmers: dict[str, WalletId] = {}
        self._plants: dict[str, OperationId] = {}
        self._withdrawals: dict[OperationId, Paid] = {}
        #: Whether a liar may have been believed, as no other node could be asked.
        self._was_lonely = False
        #: Withdrawals that were ever settled with a wrong outcome.
        self.false_records: set[OperationId] = set()

    # Processes --------------------------------------------------------------------------------

    def run(self, number: int, work: Awaitable[object]) -> None:
        """Let a process work until the work is done or the process is killed.

        When the process is killed, nothing of the work goes on, and another process takes its
        place.
        """

        async def whole() -> None:
            try:
                with suppress(UnavailableError):
                    await work
            except Killed:
                others = asyncio.all_tasks() - {asyncio.current_task()}
                for task in others:
                    task.cancel()
                await asyncio.gather(*others, return_exceptions=True)
                self._note_lonely(number)
                self._start(number)

        self._loop.run_until_complete(whole())
        self._note_lonely(number)

    def _note_lonely(self, number: int) -> None:
        self._was_lonely |= self._processes[number].endpoints.is_lonely

    def _start(self, number: int) -> None:
        """Start a process that has nothing in memory."""
        self._processes[number] = Process(
            self._network,
            self._servers,
            self._database,
            self._keys,
            treasury=self._treasury,
            clock=self._clock,
            fate=Fate(self._chance, self._killed),
        )

    # The world --------------------------------------------------------------------------------

    @initialize(
        seed=st.integers(0, 2**32),
        data=st.data(),
        alike=st.booleans(),
        order=st.randoms(use_true_random=False),
        killed=st.sampled_from([0, 0, 1, 4]),
    )
    def begin(
        self,
        seed: int,
        data: st.DataObject,
        alike: bool,
        order: Random,
        killed: int,
    ) -> None:
        """Record plants of farmers, and create payers and nodes with tricks of their own.

        Adversaries decide by dice of their own: answers that run side by side come in any order,
        which Hypothesis would take for a flaky test.
        """
        honest, liars = data.draw(st.sampled_from(self._world.nodes))
        tricks = [data.draw(self._world.tricks) for _ in range(honest)]
        lies = [data.draw(self._world.lies) for _ in range(liars)]
        self._chance, self._killed = Random(seed), killed
        nodes: list[tuple[Tricks, Lies | None]] = [(habits, None) for habits in tricks]
        nodes += [(Tricks(), lies[0] if alike else plan) for plan in lies]
        order.shuffle(nodes)
        self._servers = [
            Server(self._network, Random(seed + place), habits, plan)
            for place, (habits, plan) in enumerate(nodes)
        ]
        #: Whether more nodes are honest than not.
        self._is_decent = honest > liars
        self._loop.run_until_complete(self._prepare())
        self._processes: list[Process] = [cast("Any", None)] * PROCESSES
        for number in range(PROCESSES):
            self._start(number)

    async def _prepare(self) -> None:
        async with connect(self._access.admin_dsn) as admin:
            await admin.execute(await admin.fetchval(EMPTY))
        database = await self._stack.enter_async_context(
            open_database(
                DatabaseAddress(dsn=self._access.dsn("wallet")),
                queries=QUERIES,
                pool_size=4,
                timeout_ms=10_000,
                name="model",
            )
        )
        self._database: Database = database
        self._operations = OperationStore(database)
        self._store = WithdrawalStore(database)
        wallets, treasury = WalletStore(database), self._sealed()
        await wallets.insert_treasury(treasury)
        self._treasury = SimpleNamespace(id=treasury.wallet_id, address=treasury.address)
        self._channel = self._sealed()
        payers = [self._sealed() for _ in range(PAYERS)]
        await PayerStore(database).insert(
            [(payer, OperationId(new_id())) for payer in payers], most=PAYERS
        )
        for key in (treasury, *payers):
            await self._save(wallets, key)
        for _ in range(FARMERS):
            await self._add_farmer(wallets)

    async def _save(self, wallets: WalletStore, key: SealedKey) -> None:
        """Save a wallet whose account exists."""
        state = AccountState(
            address=key.address, exists=True, xlm=10**12, has_trustline=True, sequence=1
        )
        await wallets.save_accounts({key.wallet_id: state}, FIRST_LEDGER)

    def _sealed(self) -> SealedKey:
        """Return a key that has an account on the chain."""
        self._seeds += 1
        seed = self._seeds.to_bytes(32, "big")
        key = SealedKey(
            wallet_id=WalletId(new_id()),
            address=Keypair.from_raw_ed25519_seed(seed).public_key,
            kek_id="none",
            wrapped_data_key=b"",
            nonce=bytes(12),
            sealed_seed=b"",
        )
        self._keys.add(key.wallet_id, seed)
        self._network.add(key.address)
        return key

    async def _add_farmer(self, wallets: WalletStore) -> None:
        key, destination = self._sealed(), self._sealed().address
        await wallets.insert_farmer(
            key,
            farmer_id=FarmerId(new_id()),
            pooler_id=PoolerId(new_id()),
            onboarding_id=OperationId(new_id()),
            payout_address=destination,
        )
        await self._save(wallets, key)
        wish = NewOperation(
            id=OperationId(new_id()),
            wallet_id=key.wallet_id,
            amount=STAKE,
            nonce=None,
            hash=None,
            zeros=None,
        )
        self._farmers[key.address] = key.wallet_id
        self._plants[key.address] = await self._operations.record_one(
            kind=OperationKind.PLANT, block_index=BLOCK, operation=wish, check=lambda _head: None
        )
        self._destinations = getattr(self, "_destinations", {}) | {key.address: destination}

    # What happens -----------------------------------------------------------------------------

    @rule(ledgers=st.integers(1, 6))
    def go_on(self, ledgers: int) -> None:
        """Let everything go on for some ledgers, by dice."""
        for _ in range(ledgers):
            for event in self._chance.sample(self._world.events, k=3):
                self._happen(event)
            for number in range(PROCESSES):
                if self._chance.random() < 0.7:
                    self._work(number)
            self._close_some()
            self.promises()

    @rule(event=st.sampled_from(EVENTS))
    def happen(self, event: str) -> None:
        """Let one event happen alone."""
        self._happen(event)

    @rule(number=st.integers(0, PROCESSES - 1))
    def work(self, number: int) -> None:
        """Let a process work while no ledger closes."""
        self._work(number)

    @rule()
    def close(self) -> None:
        """Close a ledger that no process sees so far."""
        self._close_some()

    def _happen(self, event: str) -> None:
        getattr(self, f"_{event}")(self._chance.randrange(FARMERS))

    def _plant(self, who: int) -> None:
        """Sign an envelope for one plant, or use one that is in flight already."""
        self._plant_by(self._chance.randrange(PROCESSES), [list(self._farmers)[who]])

    def _pack(self, who: int) -> None:
        """Sign an envelope for several plants, by a channel account."""
        others = [farmer for farmer in self._farmers if farmer != list(self._farmers)[who]]
        self._plant_by(self._chance.randrange(PROCESSES), others)

    def _plant_by(self, number: int, farmers: list[str]) -> None:
        source, address = self._channel.wallet_id, self._channel.address
        if len(farmers) == 1:
            source, address = self._farmers[farmers[0]], farmers[0]
        plants = [(farmer, self._plants[farmer]) for farmer in farmers]
        self.run(number, self._processes[number].plant(source, address, plants))

    def _withdraw(self, who: int) -> None:
        """Request a withdrawal of KALE; no two withdrawals have the same amount."""
        if len(self._withdrawals) == WITHDRAWALS:
            return
        farmer = list(self._farmers)[who]
        amount = 100 + len(self._withdrawals)
        wish = NewWithdrawal(
            id=OperationId(new_id()),
            request_id=str(amount),
            wallet_id=self._farmers[farmer],
            asset=Asset.KALE,
            amount=amount,
            actor="model",
        )
        self._loop.run_until_complete(self._store.record(wish, _UNLIMITED))
        self._withdrawals[wish.id] = Paid(
            source=farmer, destination=self._destinations[farmer], amount=amount
        )

    def _change_mind(self, who: int) -> None:
        """Let a destination refuse KALE for some ledgers from the next ledger on."""
        begin = self._network.ledger + 1
        line = self._network.lines[list(self._destinations.values())[who]]
        line += [(begin, False), (begin + self._chance.randrange(1, 4), True)]

    def _send_again(self, _who: int) -> None:
        """Send a seen envelope again: whoever has seen one may do so, however old it is."""
        seen = [envelope for _, envelope in self._network.received.values()]
        if seen:
            item = self._chance.choice(seen)
            if item.lookup not in self._network.taken:
                self._network.queue[item.lookup] = item

    def _turn(self, who: int) -> None:
        """Let a liar, or all liars, lie about other subjects from now on."""
        for place, server in enumerate(self._servers):
            if who == 0 or place % FARMERS == who:
                server.mood += 1

    def _kill(self, _who: int) -> None:
        """Kill a process between two steps."""
        self._start(self._chance.randrange(PROCESSES))

    def _work(self, number: int) -> None:
        """Let a process work in the order of its loops."""
        for step in ("probe", "pay", "look"):
            self.run(number, getattr(self._processes[number], step)())

    def _close_some(self) -> None:
        """Close a ledger that takes all or some of the queue, in any order; some of it traps there.

        The first farmer's key was exported: its owner sends transactions, too.
        """
        queue = sorted(self._network.queue)
        self._chance.shuffle(queue)
        traps = {farmer for farmer in self._farmers if self._chance.random() < 0.1}
        part = self._chance.choice([0.0, 0.5, 1.0, 1.0])
        self._close(
            queue[: round(part * len(queue))],
            seconds=self._chance.choice([1, 5, 5, 10]),
            traps=frozenset(traps),
            strangers=list(self._farmers)[:1] if self._chance.random() < 0.1 else [],
        )

    def _close(self, lookups: list[str], **how: Any) -> None:
        self._network.close(lookups, **how)
        self._clock.seconds += how["seconds"]
        self._loop.run_until_complete(self._pass_time())

    async def _pass_time(self) -> None:
        async with self._database.session() as session:
            for statement in TIME_PASSES:
                await session.connection.execute(statement)

    # What must always hold --------------------------------------------------------------------

    @invariant()
    def promises(self) -> None:
        """Check the promises against the truth after every step."""
        if hasattr(self, "_database"):
            self._loop.run_until_complete(self._check())

    @property
    def _must_be_true(self) -> bool:
        """Tell whether records have to be true: most nodes are honest, and could be asked."""
        return self._is_decent and not self._was_lonely

    async def _check(self) -> None:
        assert max(self._network.planted.values(), default=0) <= 1
        self._check_payments()
        async with self._database.session() as session:
            rows = await session.connection.fetch(OPERATIONS)
            envelopes = await session.connection.fetch(ENVELOPES)
            carried_twice = await session.connection.fetch(CARRIED_TWICE)
        assert carried_twice == [], "two open envelopes carry the same operation"
        assert len(rows) == FARMERS + len(self._withdrawals), "an operation was lost"
        self._rows = rows
        self.false_records |= {row["id"] for row in rows if self._is_false(row)}
        for row in envelopes:
            self._check_envelope(row)
        if self._must_be_true:
            for row in rows:
                self._check_operation(row)

    def _check_payments(self) -> None:
        asked = Counter(self._withdrawals.values())
        made = Counter(payment for _, payment in self._network.paid)
        assert not made.keys() - asked.keys(), "something was paid that nobody asked for"
        twice = [payment for payment, times in made.items() if times > asked[payment]]
        assert not twice, f"paid twice: {twice}"

    def _is_done(self, row: asyncpg.Record) -> bool:
        """Tell whether the chain has carried out the operation."""
        if row["kind"] == "plant":
            return row["address"] in self._network.pails
        return self._withdrawals[row["id"]] in {paid for _, paid in self._network.paid}

    def _check_operation(self, row: asyncpg.Record) -> None:
        if row["state"] == "succeeded":
            assert self._is_done(row), f"{row['kind']} recorded as made, and is not on the chain"
        if row["state"] in {"failed", "expired"}:
            assert not self._is_done(row), (
                f"{row['kind']} recorded as not made, and is on the chain"
            )

    def _check_envelope(self, row: asyncpg.Record) -> None:
        is_payment = row["bump_to"] is not None
        assert row["fee_bid"] <= CAP * (row["operations"] + is_payment), "above the cap"
        _, item = self._network.received.get(row["lookup_hash"], (0, None))
        if row["state"] == "excluded" and item is not None and self._must_be_true:
            taken = self._network.taken.get(item.lookup)
            assert taken is None, "a ledger has an envelope that was called excluded"
            assert not self._network.may_be_taken(item), "an excluded envelope could be taken"

    # The end ----------------------------------------------------------------------------------

    def teardown(self) -> None:
        """Let the adversaries rest; check that everything settles by itself, as the records say."""
        try:
            if hasattr(self, "_processes"):
                self._settle()
        finally:
            self._loop.run_until_complete(self._stack.aclose())
            self._loop.close()

    def _settle(self) -> None:
        for server in self._servers:
            server.rest()
        self._killed = 0
        for number, process in enumerate(self._processes):
            process.fate.spare()
            if self._chance.randrange(2):
                self._start(number)
        for address in self._destinations.values():
            self._network.lines[address].append((self._network.ledger + 1, True))
        for _ in range(REST):
            if self._is_settled():
                return
            self._close(sorted(self._network.queue), seconds=5)
            for number in range(PROCESSES):
                self._work(number)
            self._plant_what_is_queued()
            self.promises()
        raise AssertionError(f"it never settles by itself: {self._open()}")

    def _plant_what_is_queued(self) -> None:
        queued = {row["address"] for row in self._rows if row["state"] == "queued"}
        for place, farmer in enumerate(self._farmers):
            if farmer in queued:
                self._plant_by(place % PROCESSES, [farmer])

    def _is_settled(self) -> bool:
        return not self._open()

    def _open(self) -> list[str]:
        """Return operations that are not settled, or are settled with a wrong outcome."""
        self.promises()
        return [
            f"{row['kind']} {row['amount']} {row['state']}"
            for row in self._rows
            if row["state"] in {"queued", "signed", "sent"} or self._is_false(row)
        ]

    def _is_false(self, row: asyncpg.Record) -> bool:
        """Tell whether a withdrawal's record is wrong: as paid when it was not, or the reverse."""
        if row["kind"] != "withdraw" or row["state"] not in {"succeeded", "failed", "expired"}:
            return False
        is_recorded_as_made: bool = row["state"] == "succeeded"
        return self._is_done(row) is not is_recorded_as_made
