"""Where wallet is wired: database, keys, chain, engine, loops, server."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager

import grpc
from kalepool.wallet.v1 import (
    custody_pb2_grpc,
    engine_pb2_grpc,
    keys_pb2_grpc,
    reconcile_pb2_grpc,
    wallet_pb2_grpc,
    withdraw_pb2_grpc,
)

from libs.common.clock import SystemClock
from libs.common.db.pool import Database, open_database
from libs.common.grpc.access import Owned
from libs.common.grpc.server import RunningServer, ServiceSpec, open_server
from libs.common.grpc.tls import transport_of
from libs.kale.formats import FORMATS
from services.access import ACCESS
from services.wallet import loops
from services.wallet.chain import Chain, open_chain
from services.wallet.config import WalletSettings
from services.wallet.domain.bids import OperatorLimits
from services.wallet.domain.refusals import mark_of
from services.wallet.engine.accounts import Accounts
from services.wallet.engine.alarms import Alarms
from services.wallet.engine.chain_view import Watch
from services.wallet.engine.follower import Follower
from services.wallet.engine.gauges import Figures
from services.wallet.engine.parts import EngineParts
from services.wallet.engine.payments.carrier import PaymentCarrier
from services.wallet.engine.payments.payer_numbers import PayerNumbers
from services.wallet.engine.reconcile.reconciler import Reconciler
from services.wallet.engine.rotation import KeyRotator
from services.wallet.engine.sender import Sender
from services.wallet.engine.sequence_sources import Sources
from services.wallet.engine.settle.tracker import Tracker
from services.wallet.engine.settled_feed import Results
from services.wallet.engine.signers import Keyring
from services.wallet.engine.submit.dispatch import Dispatcher
from services.wallet.engine.submit.packs import Packs
from services.wallet.engine.submit.single_calls import Lanes
from services.wallet.engine.template_book import ShapeBook
from services.wallet.engine.treasury.channels import ChannelKeeper, ChannelTerms
from services.wallet.engine.treasury.deployment import Deployer
from services.wallet.engine.treasury.onboarding import Onboarder
from services.wallet.engine.treasury.payers import PayerKeeper
from services.wallet.engine.treasury.rent import RentKeeper, comes_due
from services.wallet.engine.treasury_account import Treasury
from services.wallet.engine.turning import Turning
from services.wallet.engine.wakeup import Bell
from services.wallet.keys.opening import open_keys
from services.wallet.keys.provider import KeyProvider
from services.wallet.servicers import custody as custody_servicer
from services.wallet.servicers import engine as engine_servicer
from services.wallet.servicers import keys as keys_servicer
from services.wallet.servicers import reconciliation as reconcile_servicer
from services.wallet.servicers import withdrawals as withdraw_servicer
from services.wallet.servicers.wallet import FULL_NAME, INTERNAL, SETTLING, WalletServicer
from services.wallet.store import QUERIES
from services.wallet.store.blocks import BlockStore
from services.wallet.store.channels import ChannelStore
from services.wallet.store.custody import CustodyStore
from services.wallet.store.keys import KeyStore
from services.wallet.store.operations import OperationStore
from services.wallet.store.payers import PayerStore
from services.wallet.store.reconcile import ReconcileStore
from services.wallet.store.transactions import TransactionStore
from services.wallet.store.turning import TurningStore
from services.wallet.store.wallets import WalletStore
from services.wallet.store.withdrawals import WithdrawalStore
from services.wallet.usecases.custody import Custody
from services.wallet.usecases.wallet import UseCases
from services.wallet.usecases.withdrawals import Withdrawals

#: Methods that take longer than a request usually may.
_SLOW = (
    *engine_servicer.SLOW,
    *withdraw_servicer.SETTLING,
    *custody_servicer.SLOW,
    *reconcile_servicer.SLOW,
)


@asynccontextmanager
async def open_app(settings: WalletSettings) -> AsyncIterator[RunningServer]:
    """Runs wallet while the block runs."""
    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(open_keys(settings.keys()))
        database = await stack.enter_async_context(
            open_database(
                settings.database(),
                queries=QUERIES,
                pool_size=settings.database_pool_size,
                timeout_ms=settings.database_timeout,
                name="wallet",
            )
        )
        chain = await stack.enter_async_context(
            open_chain(
                settings.network(),
                timeout=settings.stellar_timeout / 1000,
                hedge=settings.stellar_hedge / 1000,
            )
        )
        wallet = _Wiring(settings, database, chain, provider)
        await stack.enter_async_context(_running(wallet.loops()))
        transport = transport_of(settings.tls_files())
        yield await stack.enter_async_context(open_server(wallet.spec(), settings, transport))


class _Wiring:
    """All parts of one wallet process."""

    def __init__(
        self, settings: WalletSettings, database: Database, chain: Chain, provider: KeyProvider
    ) -> None:
        self._settings = settings
        self._database = database
        self._chain = chain
        #: Rings with every new ledger.
        self._ledgers = Bell()
        #: Rings when there may be something to take up: also with every new ledger.
        self._changes = Bell()
        #: Rings when operations were settled.
        self._settled = Bell()
        self._watch = Watch(SystemClock(), self._ledgers, self._changes)
        wallets, blocks = WalletStore(database), BlockStore(database)
        self._wallets = wallets
        keyring = Keyring(provider, wallets)
        self._treasury = Treasury(provider, wallets, chain, settings.treasury_seed())
        self._accounts = Accounts(chain, wallets, self._treasury, low=settings.treasury_low_balance)
        self._parts = self._engine(wallets, blocks, keyring)
        self._parts.follower.on_turned.append(self._parts.sender.turn_back)
        self._deployer = Deployer(self._parts)
        contract = settings.multicall_contract_id
        self._rent = RentKeeper(
            self._parts, self._deployer, daily=settings.rent_daily, multicall=contract
        )
        self._channels = ChannelStore(database)
        self._keeper = ChannelKeeper(self._parts, self._channels, provider, self._channel_terms())
        self._payers = PayerStore(database)
        self._payer_keeper = PayerKeeper(
            self._parts, self._payers, provider, count=settings.payer_accounts
        )
        self._differences = ReconcileStore(database)
        self._reconciler = Reconciler(self._parts, self._differences)
        #: Rings when a rotation of keys is asked for.
        self._rotations = Bell()
        self._rotator = KeyRotator(provider, KeyStore(database), self._rotations)
        self._serve(blocks, provider, keyring)

    def _serve(self, blocks: BlockStore, provider: KeyProvider, keyring: Keyring) -> None:
        """What callers may ask for."""
        settings, wallets = self._settings, self._wallets
        results = Results(self._parts.operations, self._settled)
        self._use_cases = UseCases(
            wallets=wallets,
            operations=self._parts.operations,
            blocks=blocks,
            provider=provider,
            accounts=self._accounts,
            treasury_account=self._treasury,
            watch=self._watch,
            bell=self._changes,
            results=results,
            fees=settings.fees(),
            max_fee=settings.max_fee_stroops,
        )
        self._custody = Custody(
            wallets=wallets,
            store=CustodyStore(self._database),
            keyring=keyring,
            bell=self._changes,
            may_export=settings.key_export,
        )
        self._withdrawals = Withdrawals(
            wallets=wallets,
            store=WithdrawalStore(self._database),
            terms=settings.withdrawals(),
            bell=self._changes,
            results=results,
        )

    def _engine(self, wallets: WalletStore, blocks: BlockStore, keyring: Keyring) -> EngineParts:
        settings, chain = self._settings, self._chain
        transactions = TransactionStore(self._database, settings.fees())
        alarms = Alarms()
        return EngineParts(
            chain=chain,
            operations=OperationStore(self._database),
            transactions=transactions,
            keyring=keyring,
            treasury=self._treasury,
            accounts=self._accounts,
            follower=Follower(
                chain,
                blocks,
                self._watch,
                Turning(chain, TurningStore(self._database)),
                block_seconds=settings.block_seconds,
            ),
            watch=self._watch,
            sender=Sender(chain, transactions, keyring, self._treasury, alarms=alarms),
            alarms=alarms,
            bell=self._changes,
            settled_bell=self._settled,
            limits=OperatorLimits(
                lifetime=max(1, settings.operation_timeout // 1000),
                max_fee=settings.max_fee_stroops,
                parallel=settings.prepare_parallel,
                mark=mark_of(settings.max_fee_stroops, settings.fees()),
            ),
        )

    def loops(self) -> list[Coroutine[None, None, None]]:
        """What runs in the background."""
        parts = self._parts
        shapes = ShapeBook(self._chain, lambda: comes_due(self._chain, self._watch))
        sources = Sources(self._chain, self._channels, parts.transactions, parts.keyring)
        multicall = self._settings.multicall()
        packs = None if multicall is None else Packs(parts, shapes, sources, multicall)
        lanes = Lanes(parts, shapes, sources, packs)
        numbers = PayerNumbers(parts, self._payers)
        return [
            loops.follow_chain(
                parts.follower, self._watch, poll=self._settings.chain_poll_ms / 1000
            ),
            loops.open_treasury(self._treasury),
            loops.refresh_accounts(self._accounts, self._ledgers),
            loops.dispatch(Dispatcher(parts, lanes, sources)),
            loops.onboard(Onboarder(parts), self._changes),
            loops.pay(PaymentCarrier(parts, self._payers, numbers), self._changes),
            loops.keep_channels(self._keeper, self._ledgers),
            loops.keep_payers(self._payer_keeper, self._ledgers),
            loops.keep_rent(self._rent, self._ledgers),
            loops.tell_figures(Figures(parts, self._keeper, self._payer_keeper, self._rent)),
            loops.reconcile(self._reconciler, interval=self._settings.reconcile_interval / 1000),
            loops.rotate_keys(self._rotator, self._rotations),
            loops.track(Tracker(parts, shapes, numbers), self._ledgers),
        ]

    def _channel_terms(self) -> ChannelTerms:
        return ChannelTerms(
            count=self._settings.channel_accounts,
            funding=self._settings.channel_funding,
            low=self._settings.channel_low_balance,
        )

    def spec(self) -> ServiceSpec:
        """The server."""
        batch = self._settings.batch_timeout / 1000
        return ServiceSpec(
            name="wallet",
            full_names=(
                FULL_NAME,
                engine_servicer.FULL_NAME,
                withdraw_servicer.FULL_NAME,
                custody_servicer.FULL_NAME,
                keys_servicer.FULL_NAME,
                reconcile_servicer.FULL_NAME,
            ),
            register=self._register,
            kale_contract_id=self._chain.network.farm,
            formats=FORMATS,
            access=ACCESS,
            owners={
                Owned.FARMER: self._wallets.owners_of_farmers,
                Owned.WALLET: self._wallets.owners_of_wallets,
                Owned.OPERATION: self._wallets.owners_of_operations,
                # A withdrawal's id is its operation's.
                Owned.WITHDRAWAL: self._wallets.owners_of_operations,
            },
            checks={
                "postgres": self._database.is_up,
                "stellar": self._sees_chain,
                "keys": self._has_keys,
            },
            method_timeouts={
                **dict.fromkeys((*SETTLING, *_SLOW), batch),
                "WatchBlocks": None,
            },
            internal=(*INTERNAL, *withdraw_servicer.INTERNAL),
        )

    def _register(self, server: grpc.aio.Server) -> None:
        servicer = WalletServicer(self._use_cases)
        wallet_pb2_grpc.add_WalletServiceServicer_to_server(servicer, server)
        engine = engine_servicer.EngineServicer(
            self._parts,
            self._keeper,
            self._payer_keeper,
            self._deployer,
            rent=self._rent,
            custody=self._custody.store,
            multicall_contract_id=self._settings.multicall_contract_id,
        )
        engine_pb2_grpc.add_EngineServiceServicer_to_server(engine, server)
        differences = reconcile_servicer.ReconciliationServicer(self._reconciler, self._differences)
        reconcile_pb2_grpc.add_ReconciliationServiceServicer_to_server(differences, server)
        keys = keys_servicer.KeyServicer(self._rotator)
        keys_pb2_grpc.add_KeyServiceServicer_to_server(keys, server)
        custody = custody_servicer.CustodyServicer(self._custody)
        custody_pb2_grpc.add_CustodyServiceServicer_to_server(custody, server)
        withdrawals = withdraw_servicer.WithdrawalServicer(self._withdrawals)
        withdraw_pb2_grpc.add_WithdrawalServiceServicer_to_server(withdrawals, server)

    async def _sees_chain(self) -> bool:
        return self._watch.is_fresh

    async def _has_keys(self) -> bool:
        return self._treasury.is_open


@asynccontextmanager
async def _running(coroutines: list[Coroutine[None, None, None]]) -> AsyncIterator[None]:
    """Runs them while the block runs, and cancels them at its end."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(coroutine) for coroutine in coroutines]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
