"""The state machine that Hypothesis drives: processes, nodes and strangers, in any order."""

import asyncio
from collections.abc import Awaitable, Sequence
from contextlib import AsyncExitStack, suppress
from random import Random
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from stellar_sdk import Keypair

from libs.common.db.pool import Database, open_database
from libs.common.db.tls import DatabaseAddress
from libs.common.errors import UnavailableError
from libs.common.ids import FarmerId, OperationId, PoolerId, WalletId, new_id
from services.wallet.domain.chain_facts import AccountState
from services.wallet.domain.model import NewOperation, OperationKind
from services.wallet.domain.withdrawals import Asset, DailyLimit, NewWithdrawal
from services.wallet.engine.submit import packs
from services.wallet.keys.seal import SealedKey
from services.wallet.store import QUERIES
from services.wallet.store.channels import ChannelStore
from services.wallet.store.operations import OperationStore
from services.wallet.store.payers import PayerStore
from services.wallet.store.wallets import WalletStore
from services.wallet.store.withdrawals import WithdrawalStore
from tests.model.adversary import Fate, Killed, Lies, Server, Tricks
from tests.model.envelopes import Paid
from tests.model.farm import BLOCK, STAKE, Pail, Place, hash_with
from tests.model.network import FIRST_LEDGER, Network
from tests.model.process import Keys, Process
from tests.model.records import CARRIED_TWICE, ENVELOPES, OPERATIONS, Promises
from tests.model.worlds import EVENTS, FARMERS, PAYERS, PROCESSES, REST, WITHDRAWALS, World
from tests.support.clock import FakeClock
from tests.support.database import DatabaseAccess, connect
from tests.support.orders import ORDERS

#: Query that makes the statements that empty all tables, whatever their triggers say.
EMPTY = """
SELECT 'SET session_replication_role = replica;'
    || string_agg(format('DELETE FROM %I.%I', schemaname, tablename), ';')
    || ';UPDATE wallet.audit_head SET number = 0, hash = decode(repeat(''00'', 32), ''hex'')'
FROM pg_tables WHERE schemaname IN ('wallet', 'chain') AND tablename <> 'audit_head'
"""
#: Statements that end leases and pauses: they last seconds, and a ledger takes several seconds.
TIME_PASSES = (
    "UPDATE wallet.operations SET due_at = now() WHERE due_at > now()",
    "UPDATE wallet.wallets SET leased_until = now() WHERE leased_until > now()",
)
#: Statement of the person who lets operations go on that no node could tell about.
GO_ON = """
UPDATE wallet.operations SET unproven = 0, due_at = now() WHERE state = 'queued' AND unproven >= 2
"""
#: Ledgers by which an honest node may lag: a call is asked for when no honest node may still miss
#: what it builds on.
LAG = 4
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
        #: Wallets of farmers, and their destinations, by address.
        self._farmers: dict[str, WalletId] = {}
        self._destinations: dict[str, str] = {}
        #: Works that were asked for, by place and zeros.
        self._dug: set[tuple[Place, int]] = set()
        #: Whether a liar may have been believed, as no other node could be asked.
        self._was_lonely = False

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
            has_multicall=self._has_multicall,
        )

    # The world --------------------------------------------------------------------------------

    @initialize(
        seed=st.integers(0, 2**32),
        data=st.data(),
        alike=st.booleans(),
        order=st.randoms(use_true_random=False),
    )
    def begin(
        self,
        seed: int,
        data: st.DataObject,
        alike: bool,
        order: Random,
    ) -> None:
        """Ask for calls of farmers, and create accounts and nodes with tricks of their own.

        Adversaries decide by dice of their own: answers that run side by side come in any order,
        which Hypothesis would take for a flaky test.
        """
        honest, liars = data.draw(st.sampled_from(self._world.nodes))
        tricks = [data.draw(self._world.tricks) for _ in range(honest)]
        lies = [data.draw(self._world.lies) for _ in range(liars)]
        channels, self._has_multicall = data.draw(st.sampled_from(self._world.carriers))
        self._chance, self._killed = Random(seed), data.draw(st.sampled_from(self._world.killed))
        nodes: list[tuple[Tricks, Lies | None]] = [(habits, None) for habits in tricks]
        nodes += [(Tricks(), lies[0] if alike else plan) for plan in lies]
        order.shuffle(nodes)
        self._servers = [
            Server(self._network, Random(seed + place), habits, plan)
            for place, (habits, plan) in enumerate(nodes)
        ]
        #: Whether more nodes are honest than not.
        self._is_decent = honest > liars
        is_dear = any(habits.greedy for habits in tricks)
        self.promised = Promises(network=self._network, is_dear=is_dear)
        # The farmers' nonces decide the order of envelopes, and what is lied about.
        nonces = SimpleNamespace(randbits=Random(seed).getrandbits)
        self._stack.enter_context(patch.object(packs, "secrets", nonces))
        self._loop.run_until_complete(self._prepare(channels))
        self._grow(
            is_planted=data.draw(st.sampled_from(self._world.planted)),
            is_poor=data.draw(st.sampled_from(self._world.poor)),
        )
        self._processes: list[Process] = [cast("Any", None)] * PROCESSES
        for number in range(PROCESSES):
            self._start(number)

    async def _prepare(self, channels: int) -> None:
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
        self._operations = OperationStore(database, ORDERS)
        self._store = WithdrawalStore(database, ORDERS)
        wallets, treasury = WalletStore(database, ORDERS), self._sealed()
        await wallets.insert_treasury(treasury)
        self._treasury = SimpleNamespace(id=treasury.wallet_id, address=treasury.address)
        payers = [self._sealed() for _ in range(PAYERS)]
        await PayerStore(database, ORDERS).insert(_opened(payers), most=PAYERS)
        carriers = [self._sealed() for _ in range(channels)]
        await ChannelStore(database, ORDERS).insert(_opened(carriers), most=channels)
        for key in (treasury, *payers, *carriers):
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
        self._farmers[key.address] = key.wallet_id
        self._network.add_farmer(key.address)
        self._destinations[key.address] = destination

    def _grow(self, *, is_planted: bool, is_poor: bool) -> None:
        """Have pails from before, and ask for the calls that they, and the block, allow.

        The last farmer may have no KALE to stake.
        """
        if not self._world.has_farming:
            return
        farm = self._network.farm
        if is_poor:
            farm.poor.add(list(self._farmers)[-1])
        for who, farmer in enumerate(self._farmers):
            if self._chance.random() < 0.7:
                early = Pail(sequence=FIRST_LEDGER - 20, stake=STAKE + who, gap=3, zeros=5)
                farm.begin_with((farmer, BLOCK - 1), early)
            if is_planted:
                farm.begin_with((farmer, BLOCK), Pail(sequence=FIRST_LEDGER - LAG, stake=STAKE))
            for event in ("reap", "plant", "dig"):
                getattr(self, f"_{event}")(who)

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
        """Ask for a plant in the block that can be planted."""
        network, farmer = self._network, list(self._farmers)[who]
        place = farmer, network.farm.plantable(network.ledger, network.now)
        if network.farm.pail(place, network.ledger) is None:
            self._ask(OperationKind.PLANT, place, amount=STAKE)

    def _dig(self, who: int) -> None:
        """Ask for a work in the running block, with zeros that no other work of the pail has."""
        farm, ledger = self._network.farm, self._network.ledger
        place = list(self._farmers)[who], farm.running(ledger).index
        pail = farm.pail(place, ledger)
        left = [zeros for zeros in range(10) if (place, zeros) not in self._dug]
        if pail is not None and pail.sequence <= ledger - LAG and left:
            zeros = self._chance.choice(left)
            self._dug.add((place, zeros))
            self._ask(OperationKind.WORK, place, zeros=zeros)

    def _reap(self, who: int) -> None:
        """Ask for the harvests of all pails that were worked and are left, oldest first."""
        farm, ledger = self._network.farm, self._network.ledger
        for block in farm.blocks[1:]:
            place = list(self._farmers)[who], block.index - 1
            pail = farm.pail(place, ledger)
            is_ripe = pail is not None and pail.gap is not None
            if is_ripe and max(block.ledger, farm.since(place)) <= ledger - LAG:
                self._ask(OperationKind.HARVEST, place)

    def _ask(
        self, kind: OperationKind, place: Place, *, amount: int = 0, zeros: int | None = None
    ) -> None:
        """Record an operation, or find the one that stands for it."""
        farmer, index = place
        wish = NewOperation(
            id=OperationId(new_id()),
            wallet_id=self._farmers[farmer],
            amount=amount,
            nonce=zeros,
            hash=None if zeros is None else hash_with(zeros),
            zeros=zeros,
        )
        recording = self._operations.record_one(
            kind=kind, block_index=index, operation=wish, check=lambda _head: None
        )
        self.promised.calls.add(self._loop.run_until_complete(recording))

    def _withdraw(self, who: int) -> None:
        """Request a withdrawal of KALE; no two withdrawals have the same amount."""
        if len(self.promised.withdrawals) == WITHDRAWALS:
            return
        farmer = list(self._farmers)[who]
        amount = 100 + len(self.promised.withdrawals)
        wish = NewWithdrawal(
            id=OperationId(new_id()),
            request_id=str(amount),
            wallet_id=self._farmers[farmer],
            asset=Asset.KALE,
            amount=amount,
            actor="model",
        )
        self._loop.run_until_complete(self._store.record(wish, _UNLIMITED))
        self.promised.withdrawals[wish.id] = Paid(
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
        for step in ("probe", "dispatch", "pay", "look"):
            self.run(number, getattr(self._processes[number], step)())

    def _close_some(self) -> None:
        """Close a ledger that takes all or some of the queue, in any order; some of it traps there.

        The first farmer's key was exported: its owner plants, too. Strangers open blocks.
        """
        queue = sorted(self._network.queue)
        self._chance.shuffle(queue)
        trapped = self._world.trapped
        traps = {farmer for farmer in self._farmers if self._chance.randrange(100) < trapped}
        part = self._chance.choice([0.0, 0.5, 1.0, 1.0])
        self._close(
            queue[: round(part * len(queue))],
            seconds=self._chance.choice([1, 5, 5, 10]),
            traps=frozenset(traps),
            strangers=list(self._farmers)[:1] if self._chance.random() < 0.1 else [],
            opens=self._chance.random() < 0.5,
        )

    def _close(self, lookups: list[str], **how: Any) -> None:
        self._network.close(lookups, **how)
        self._clock.seconds += how["seconds"]
        self._loop.run_until_complete(self._execute(*TIME_PASSES))

    async def _execute(self, *statements: str) -> None:
        async with self._database.session() as session:
            for statement in statements:
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
        promised = self.promised
        promised.check_network()
        async with self._database.session() as session:
            rows = await session.connection.fetch(OPERATIONS)
            envelopes = await session.connection.fetch(ENVELOPES)
            carried_twice = await session.connection.fetch(CARRIED_TWICE)
        assert carried_twice == [], "two open envelopes carry the same operation"
        self._rows = rows
        promised.note(rows)
        for row in envelopes:
            promised.check_envelope(row, must_be_true=self._must_be_true)
        if self._must_be_true:
            promised.check_truth(rows)

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
            if not self._open():
                return
            self._close(sorted(self._network.queue), seconds=5, opens=True)
            for number in range(PROCESSES):
                self._work(number)
            self._loop.run_until_complete(self._execute(GO_ON))
        raise AssertionError(f"it never settles by itself: {self._open()}")

    def _open(self) -> list[str]:
        self.promises()
        return self.promised.open(self._rows)


def _opened(keys: Sequence[SealedKey]) -> list[tuple[SealedKey, OperationId]]:
    """Return accounts of the pool with the ids of the operations that open them."""
    return [(key, OperationId(new_id())) for key in keys]
