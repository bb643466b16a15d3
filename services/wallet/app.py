"""Wiring of wallet: database, keys, chain, engine, loops, server."""

from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

import grpc
from kalepool.wallet.v1 import (
    approval_pb2_grpc,
    custody_pb2_grpc,
    engine_pb2_grpc,
    keys_pb2_grpc,
    order_pb2_grpc,
    reconcile_pb2_grpc,
    token_pb2_grpc,
    wallet_pb2_grpc,
    withdrawal_pb2_grpc,
)

from libs.common.clock import SystemClock
from libs.common.db.pool import Database, open_database
from libs.common.grpc.access import Owned
from libs.common.grpc.second_person import SecondPerson
from libs.common.grpc.server import RunningServer, ServiceSpec, open_server
from libs.common.grpc.tls import transport_of
from libs.kale.formats import FORMATS
from services.access import ACCESS
from services.second_person import COVERED
from services.wallet import loops
from services.wallet.chain import Chain, open_chain
from services.wallet.config import WalletSettings
from services.wallet.engine.accounts import Accounts
from services.wallet.engine.alarms import Alarms
from services.wallet.engine.audit_watch import AuditWatch
from services.wallet.engine.broken_keys import BrokenKeys
from services.wallet.engine.chain_view import ChainView
from services.wallet.engine.follower import Follower
from services.wallet.engine.forgeries import Forgeries
from services.wallet.engine.gauges import Gauges
from services.wallet.engine.in_flight import InFlight
from services.wallet.engine.order_check import OrderCheck
from services.wallet.engine.payments.carrier import PaymentCarrier
from services.wallet.engine.payments.payer_numbers import PayerNumbers
from services.wallet.engine.payments.repayments import Repayments
from services.wallet.engine.reconcile.reconciler import Reconciler
from services.wallet.engine.rotation import KeyRotator
from services.wallet.engine.row_keys import RowKeys
from services.wallet.engine.sender import Sender
from services.wallet.engine.sequence_sources import Sources
from services.wallet.engine.settle.tracker import Tracker
from services.wallet.engine.settled_feed import SettledFeed
from services.wallet.engine.signers import Signers
from services.wallet.engine.submit.dispatch import Dispatcher
from services.wallet.engine.submit.packs import Packs
from services.wallet.engine.submit.round import Refuser
from services.wallet.engine.submit.single_calls import SingleCalls
from services.wallet.engine.template_book import TemplateBook
from services.wallet.engine.token_keys import TokenKeys
from services.wallet.engine.treasury.channels import ChannelKeeper, LowChannels
from services.wallet.engine.treasury.deployment import Deployer
from services.wallet.engine.treasury.new_accounts import NewAccounts
from services.wallet.engine.treasury.onboarding import Onboarder
from services.wallet.engine.treasury.payers import PayerKeeper
from services.wallet.engine.treasury.reclaim import Reclaimer
from services.wallet.engine.treasury.rent import RentKeeper, comes_due
from services.wallet.engine.treasury.transactions import RentTurn, TreasuryTransactions
from services.wallet.engine.treasury_account import Treasury
from services.wallet.engine.turning import Turning
from services.wallet.engine.wakeup import Wakeup, Wakeups
from services.wallet.keys.open_providers import open_keys
from services.wallet.keys.provider import KeyProvider
from services.wallet.keys.row_macs import RowMacs
from services.wallet.notices import tell_notices
from services.wallet.servicers import approvals as approval_servicer
from services.wallet.servicers import custody as custody_servicer
from services.wallet.servicers import engine as engine_servicer
from services.wallet.servicers import fees as fee_servicer
from services.wallet.servicers import keys as keys_servicer
from services.wallet.servicers import orders as order_servicer
from services.wallet.servicers import reconciliation as reconcile_servicer
from services.wallet.servicers import tokens as token_servicer
from services.wallet.servicers import withdrawals as withdraw_servicer
from services.wallet.servicers.methods import FULL_NAMES, INTERNAL, SLOW
from services.wallet.servicers.wallet import WalletServicer
from services.wallet.store import QUERIES
from services.wallet.store.approvals import ApprovalStore
from services.wallet.store.audit_check import AuditCheck
from services.wallet.store.blocks import BlockStore
from services.wallet.store.channels import ChannelStore
from services.wallet.store.custody import CustodyStore
from services.wallet.store.fees import FeeStore
from services.wallet.store.hold_ups import HoldUps
from services.wallet.store.keys import KeyStore
from services.wallet.store.kill_switch import KillSwitch
from services.wallet.store.operations import OperationStore
from services.wallet.store.order_rows import OrderRowStore
from services.wallet.store.orders import Orders
from services.wallet.store.payers import PayerStore
from services.wallet.store.reconcile import ReconcileStore
from services.wallet.store.rights import RightsStore
from services.wallet.store.tokens import TokenStore
from services.wallet.store.transactions import TransactionStore
from services.wallet.store.turning import TurningStore
from services.wallet.store.wallets import WalletStore
from services.wallet.store.withdrawals import WithdrawalStore
from services.wallet.usecases.approvals import Approvals
from services.wallet.usecases.custody import Custody
from services.wallet.usecases.pausing import Pausing
from services.wallet.usecases.tokens import Tokens
from services.wallet.usecases.wallet import UseCases
from services.wallet.usecases.withdrawals import Withdrawals


@asynccontextmanager
async def open_app(settings: WalletSettings) -> AsyncIterator[RunningServer]:
    """Run wallet while the block runs."""
    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(open_keys(settings.keys()))
        database = await stack.enter_async_context(
            _database(settings, "wallet", connections=settings.database_pool_size)
        )
        # Connections that nothing else uses, and that stay open.
        pauses = await stack.enter_async_context(
            _database(settings, "wallet-pauses", connections=1)
        )
        watch = await stack.enter_async_context(_database(settings, "wallet-watch", connections=1))
        chain = await stack.enter_async_context(
            open_chain(
                settings.network(),
                timeout=settings.stellar_timeout_ms / 1000,
                hedge=settings.stellar_hedge_ms / 1000,
            )
        )
        wallet = _Wiring(settings, database, chain, provider, pauses=pauses)
        hold_ups = loops.end_hold_ups(HoldUps(watch))
        await stack.enter_async_context(loops.running([*wallet.loops(), hold_ups]))
        transport = transport_of(settings.tls_files())
        yield await stack.enter_async_context(open_server(wallet.spec(), settings, transport))


def _database(
    settings: WalletSettings, name: str, *, connections: int
) -> AbstractAsyncContextManager[Database]:
    return open_database(
        settings.database(),
        queries=QUERIES,
        pool_size=connections,
        timeout_ms=settings.database_timeout,
        lock_timeout_ms=settings.database_lock_timeout_ms,
        name=name,
    )


class _Wiring:
    """All parts of one wallet process."""

    def __init__(
        self,
        settings: WalletSettings,
        database: Database,
        chain: Chain,
        provider: KeyProvider,
        *,
        pauses: Database,
    ) -> None:
        self._kill_switch = KillSwitch()
        self._pauses = pauses
        self._settings = settings
        self._database = database
        self._chain = chain
        self._provider = provider
        #: Notified with every new ledger.
        self._ledgers = Wakeup()
        self._wakeups = Wakeups(changes=Wakeup(), settled=Wakeup())
        #: Notified when a rotation of keys is asked for.
        self._rotations = Wakeup()
        self._chain_view = ChainView(SystemClock(), self._ledgers, self._wakeups.changes)
        self._limits = settings.limits()
        self._open_stores()
        self._open_ground()
        self._open_treasury()
        self._reconciler = Reconciler(
            chain, self._differences, self._chain_view, self._wakeups.changes
        )
        self._rotator = KeyRotator(provider, self._keys, self._rotations)
        self._serve()

    def _open_stores(self) -> None:
        database, macs = self._database, RowMacs()
        self._orders = orders = Orders(macs)
        self._keys = KeyStore(database, orders)
        self._row_keys = RowKeys(self._provider, self._keys, macs)
        self._token_keys = TokenKeys(self._provider, self._keys)
        self._token_store = TokenStore(database, orders)
        self._wallets = WalletStore(database, orders)
        self._blocks = BlockStore(database)
        self._operations = OperationStore(database, orders)
        self._transactions = TransactionStore(
            database, orders, self._settings.fees(), self._kill_switch
        )
        self._channels = ChannelStore(database, orders)
        self._payers = PayerStore(database, orders)
        self._differences = ReconcileStore(database, orders)
        self._custody_store = CustodyStore(database, orders)
        self._watch = AuditWatch(self._custody_store, RightsStore(database))
        self._order_check = OrderCheck(
            OrderRowStore(database), self._custody_store, self._row_keys, macs, SystemClock()
        )

    def _open_ground(self) -> None:
        """Make the parts that all steps of the engine use."""
        settings, chain = self._settings, self._chain
        self._alarms = Alarms()
        self._in_flight = InFlight()
        self._signers = Signers(self._provider, self._wallets, self._kill_switch)
        self._treasury = Treasury(self._provider, self._wallets, chain, settings.treasury_seed())
        self._accounts = Accounts(
            chain, self._wallets, self._treasury, low=settings.treasury_low_balance_stroops
        )
        self._follower = Follower(
            chain,
            self._blocks,
            self._chain_view,
            Turning(chain, TurningStore(self._database, self._orders)),
            block_seconds=settings.block_seconds,
        )
        self._follower.on_turned.append(self._in_flight.turn_back)
        self._sender = Sender(
            chain,
            self._transactions,
            self._signers,
            self._treasury,
            in_flight=self._in_flight,
            alarms=self._alarms,
        )
        self._forgeries = Forgeries(self._operations)
        self._broken_keys = BrokenKeys(
            signers=self._signers, operations=self._operations, chain_view=self._chain_view
        )

    def _open_treasury(self) -> None:
        """Make the parts that use the treasury's transactions."""
        rent_turn = RentTurn()
        self._treasury_transactions = TreasuryTransactions(
            chain=self._chain,
            operations=self._operations,
            transactions=self._transactions,
            treasury=self._treasury,
            accounts=self._accounts,
            chain_view=self._chain_view,
            sender=self._sender,
            wakeups=self._wakeups,
            limits=self._limits,
            alarms=self._alarms,
            forgeries=self._forgeries,
            rent_turn=rent_turn,
        )
        self._open_rent(rent_turn)
        self._open_accounts()

    def _open_rent(self, rent_turn: RentTurn) -> None:
        self._deployer = Deployer(
            chain=self._chain,
            treasury=self._treasury,
            signers=self._signers,
            transactions=self._transactions,
            sender=self._sender,
            chain_view=self._chain_view,
            limits=self._limits,
        )
        self._reclaimer = Reclaimer(
            chain=self._chain,
            treasury=self._treasury,
            signers=self._signers,
            wallets=self._wallets,
            transactions=self._transactions,
            accounts=self._accounts,
            sender=self._sender,
            chain_view=self._chain_view,
            limits=self._limits,
        )
        self._rent = RentKeeper(
            self._deployer,
            chain=self._chain,
            treasury=self._treasury,
            accounts=self._accounts,
            transactions=self._transactions,
            sender=self._sender,
            chain_view=self._chain_view,
            alarms=self._alarms,
            rent_turn=rent_turn,
            daily=self._settings.rent_daily_stroops,
            multicall=self._settings.multicall_contract_id,
        )

    def _open_accounts(self) -> None:
        terms = self._settings.channels()
        self._low_channels = LowChannels(chain=self._chain, low=terms.low)
        new_accounts = NewAccounts(
            chain=self._chain,
            treasury=self._treasury,
            signers=self._signers,
            transactions=self._treasury_transactions,
        )
        self._keeper = ChannelKeeper(
            self._channels,
            self._provider,
            terms,
            chain_view=self._chain_view,
            accounts=self._accounts,
            new_accounts=new_accounts,
            low_channels=self._low_channels,
            alarms=self._alarms,
            changes=self._wakeups.changes,
        )
        self._payer_keeper = PayerKeeper(
            self._payers,
            self._provider,
            count=self._settings.payer_accounts,
            chain_view=self._chain_view,
            accounts=self._accounts,
            new_accounts=new_accounts,
        )

    def _serve(self) -> None:
        """Make the use cases of callers."""
        settings, changes = self._settings, self._wakeups.changes
        self._settled_feed = SettledFeed(self._operations, self._wakeups.settled)
        self._withdrawal_store = WithdrawalStore(self._database, self._orders)
        self._use_cases = UseCases(
            wallets=self._wallets,
            operations=self._operations,
            blocks=self._blocks,
            provider=self._provider,
            accounts=self._accounts,
            treasury_account=self._treasury,
            chain_view=self._chain_view,
            wakeup=changes,
            fees=settings.fees(),
            max_fee=settings.max_fee_stroops,
            sponsored=settings.sponsored(),
        )
        self._approval_store = ApprovalStore(self._database, self._orders)
        self._approvals = Approvals(
            store=self._approval_store, seconds=settings.second_person_seconds
        )
        self._tokens = Tokens(
            store=self._token_store,
            keys=self._token_keys,
            clock=SystemClock(),
            trust_domain=settings.trust_domain,
            access=ACCESS,
        )
        self._custody = Custody(
            wallets=self._wallets,
            store=self._custody_store,
            check=AuditCheck(self._database),
            signers=self._signers,
            wakeup=changes,
            may_export=settings.key_export,
        )
        self._pausing = Pausing(
            wallets=WalletStore(self._pauses, self._orders),
            store=CustodyStore(self._pauses, self._orders),
            switch=self._kill_switch,
            wakeup=changes,
        )
        self._withdrawals = Withdrawals(
            wallets=self._wallets,
            store=self._withdrawal_store,
            terms=settings.withdrawals(),
            wakeup=changes,
            settled=self._settled_feed,
        )

    def loops(self) -> list[Coroutine[None, None, None]]:
        """Return the loops that run in the background."""
        templates = TemplateBook(self._chain, lambda: comes_due(self._chain, self._chain_view))
        settings, numbers, changes = self._settings, self._numbers(), self._wakeups.changes
        return [
            loops.follow_chain(
                self._follower, self._chain_view, poll=settings.chain_poll_ms / 1000
            ),
            loops.open_row_keys(self._row_keys),
            loops.open_token_keys(self._token_keys),
            loops.check_orders(self._order_check),
            loops.record_pauses(self._pausing),
            loops.watch_audit_log(self._watch, interval=settings.audit_head_interval_ms / 1000),
            loops.open_treasury(self._treasury),
            loops.refresh_accounts(self._accounts, self._ledgers),
            loops.dispatch(self._dispatcher(templates)),
            loops.onboard(self._onboarder(), changes),
            loops.pay(self._payment_carrier(numbers), changes),
            loops.keep_channels(self._keeper, self._ledgers),
            loops.keep_payers(self._payer_keeper, self._ledgers),
            loops.keep_rent(self._rent, self._ledgers),
            loops.set_gauges(self._gauges()),
            tell_notices(settings, self._database, self._chain, self._accounts),
            loops.reconcile(self._reconciler, interval=settings.reconcile_interval_ms / 1000),
            loops.rotate_keys(self._rotator, self._rotations),
            loops.track(self._tracker(templates, numbers), self._ledgers),
        ]

    def _dispatcher(self, templates: TemplateBook) -> Dispatcher:
        chain, signers, limits = self._chain, self._signers, self._limits
        sources = Sources(
            chain,
            self._channels,
            self._transactions,
            signers,
            has_channels=self._settings.channel_accounts > 0,
        )
        refuser = Refuser(chain=chain, follower=self._follower)
        multicall, packs = self._settings.multicall(), None
        if multicall is not None:
            packs = Packs(
                chain,
                signers,
                templates,
                sources,
                refuser=refuser,
                limits=limits,
                multicall=multicall,
            )
        single_calls = SingleCalls(
            chain,
            signers,
            templates,
            sources,
            treasury=self._treasury,
            refuser=refuser,
            limits=limits,
            alarms=self._alarms,
            packs=packs,
        )
        return Dispatcher(
            single_calls,
            sources,
            operations=self._operations,
            transactions=self._transactions,
            accounts=self._accounts,
            chain_view=self._chain_view,
            sender=self._sender,
            broken_keys=self._broken_keys,
            forgeries=self._forgeries,
            wakeups=self._wakeups,
            limits=limits,
            alarms=self._alarms,
        )

    def _onboarder(self) -> Onboarder:
        return Onboarder(
            chain=self._chain,
            operations=self._operations,
            treasury=self._treasury,
            signers=self._signers,
            transactions=self._treasury_transactions,
            broken_keys=self._broken_keys,
        )

    def _numbers(self) -> PayerNumbers:
        repayments = Repayments(
            chain=self._chain,
            treasury=self._treasury,
            signers=self._signers,
            transactions=self._transactions,
            sender=self._sender,
            chain_view=self._chain_view,
            limits=self._limits,
        )
        return PayerNumbers(self._chain, self._payers, repayments, self._wakeups)

    def _payment_carrier(self, numbers: PayerNumbers) -> PaymentCarrier:
        return PaymentCarrier(
            self._payers,
            numbers,
            chain=self._chain,
            treasury=self._treasury,
            signers=self._signers,
            accounts=self._accounts,
            operations=self._operations,
            payouts=self._transactions,
            chain_view=self._chain_view,
            transactions=self._treasury_transactions,
            broken_keys=self._broken_keys,
            forgeries=self._forgeries,
            low_channels=self._low_channels,
            wakeups=self._wakeups,
        )

    def _tracker(self, templates: TemplateBook, numbers: PayerNumbers) -> Tracker:
        return Tracker(
            chain=self._chain,
            transactions=self._transactions,
            follower=self._follower,
            chain_view=self._chain_view,
            accounts=self._accounts,
            sender=self._sender,
            in_flight=self._in_flight,
            templates=templates,
            numbers=numbers,
            limits=self._limits,
            wakeups=self._wakeups,
        )

    def _gauges(self) -> Gauges:
        return Gauges(
            chain=self._chain,
            chain_view=self._chain_view,
            accounts=self._accounts,
            transactions=self._transactions,
            channels=self._keeper,
            payers=self._payer_keeper,
            rent=self._rent,
        )

    def spec(self) -> ServiceSpec:
        """Return the specification of the server."""
        batch = self._settings.batch_timeout / 1000
        return ServiceSpec(
            name="wallet",
            full_names=FULL_NAMES,
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
                Owned.TOKEN: self._token_store.owners,
            },
            standings={
                Owned.FARMER: self._wallets.standings_of_farmers,
                Owned.POOLER: self._token_store.standings_of_poolers,
            },
            checks={
                "postgres": self._database.is_up,
                "stellar": self._sees_chain,
                "keys": self._has_keys,
            },
            method_timeouts={**dict.fromkeys(SLOW, batch), "WatchBlocks": None},
            second_person=SecondPerson(COVERED, self._approvals.use),
            internal=INTERNAL,
            token_keys=self._token_keys,
        )

    def _register(self, server: grpc.aio.Server) -> None:
        servicer = WalletServicer(
            self._use_cases,
            wallets=self._wallets,
            operations=self._operations,
            settled=self._settled_feed,
        )
        wallet_pb2_grpc.add_WalletServiceServicer_to_server(servicer, server)
        engine = engine_servicer.EngineServicer(
            chain=self._chain,
            chain_view=self._chain_view,
            accounts=self._accounts,
            transactions=self._transactions,
            channels=self._keeper,
            payers=self._payer_keeper,
            deployer=self._deployer,
            reclaimer=self._reclaimer,
            rent=self._rent,
            custody=self._custody_store,
            kill_switch=self._kill_switch,
            watch=self._watch,
            order_check=self._order_check,
            multicall_contract_id=self._settings.multicall_contract_id,
        )
        engine_pb2_grpc.add_EngineServiceServicer_to_server(engine, server)
        differences = reconcile_servicer.ReconciliationServicer(self._reconciler, self._differences)
        reconcile_pb2_grpc.add_ReconciliationServiceServicer_to_server(differences, server)
        keys = keys_servicer.KeyServicer(self._rotator)
        keys_pb2_grpc.add_KeyServiceServicer_to_server(keys, server)
        tokens = token_servicer.TokenServicer(self._tokens, self._token_store, self._token_keys)
        token_pb2_grpc.add_TokenServiceServicer_to_server(tokens, server)
        orders = order_servicer.OrderServicer(self._order_check, self._row_keys)
        order_pb2_grpc.add_OrderServiceServicer_to_server(orders, server)
        custody = custody_servicer.CustodyServicer(
            self._custody, self._pausing, self._custody_store
        )
        custody_pb2_grpc.add_CustodyServiceServicer_to_server(custody, server)
        approvals = approval_servicer.ApprovalServicer(
            self._approvals, self._approval_store, COVERED
        )
        approval_pb2_grpc.add_ApprovalServiceServicer_to_server(approvals, server)
        withdrawals = withdraw_servicer.WithdrawalServicer(
            self._withdrawals, self._withdrawal_store
        )
        withdrawal_pb2_grpc.add_WithdrawalServiceServicer_to_server(withdrawals, server)
        fee_servicer.register(FeeStore(self._database), server)

    def _sees_chain(self) -> bool:
        return self._chain_view.is_fresh

    def _has_keys(self) -> bool:
        return self._treasury.is_open and self._row_keys.is_open
