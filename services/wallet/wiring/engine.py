"""The engine of a wallet process: its steps, and the loops that repeat them."""

from collections.abc import Coroutine

from libs.common.clock import SystemClock
from services.wallet import loops
from services.wallet.chain import Chain
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
from services.wallet.engine.reconcile.holdings import Holdings
from services.wallet.engine.reconcile.reconciler import Reconciler
from services.wallet.engine.rotation import KeyRotator
from services.wallet.engine.row_keys import RowKeys
from services.wallet.engine.sender import Sender
from services.wallet.engine.sequence_sources import Sources
from services.wallet.engine.settle.tracker import Tracker
from services.wallet.engine.signers import Signers
from services.wallet.engine.submit.dispatch import Dispatcher
from services.wallet.engine.submit.packs import Packs
from services.wallet.engine.submit.round import Refuser
from services.wallet.engine.submit.single_calls import SingleCalls
from services.wallet.engine.template_book import TemplateBook
from services.wallet.engine.token_keys import TokenKeys
from services.wallet.engine.treasury.channels import ChannelKeeper, LowChannels
from services.wallet.engine.treasury.closing import AccountCloser, AccountReader
from services.wallet.engine.treasury.data_entries import RootWriter
from services.wallet.engine.treasury.deployment import Deployer
from services.wallet.engine.treasury.lost_farmers import LostFarmers
from services.wallet.engine.treasury.new_accounts import NewAccounts
from services.wallet.engine.treasury.onboarding import Onboarder
from services.wallet.engine.treasury.payers import PayerKeeper
from services.wallet.engine.treasury.reclaim import Reclaimer
from services.wallet.engine.treasury.rent import RentKeeper, comes_due
from services.wallet.engine.treasury.retired_keys import RetiredKeys
from services.wallet.engine.treasury.transactions import RentTurn, TreasuryTransactions
from services.wallet.engine.treasury_account import Treasury
from services.wallet.engine.turning import Turning
from services.wallet.engine.wakeup import Wakeup, Wakeups
from services.wallet.keys.provider import KeyProvider
from services.wallet.store.kill_switch import KillSwitch
from services.wallet.wiring.stores import Stores


class Engine:
    """The steps of the engine, and what they stand on."""

    def __init__(
        self,
        settings: WalletSettings,
        chain: Chain,
        provider: KeyProvider,
        stores: Stores,
        kill_switch: KillSwitch,
    ) -> None:
        """Take what all steps need."""
        self.chain = chain
        self._settings = settings
        self._provider = provider
        self._stores = stores
        self._limits = settings.limits()
        #: Notified with every new ledger.
        self._ledgers = Wakeup()
        self.wakeups = Wakeups(changes=Wakeup(), settled=Wakeup())
        #: Notified when a rotation of keys is asked for.
        self._rotations = Wakeup()
        self.chain_view = ChainView(SystemClock(), self._ledgers, self.wakeups.changes)
        self.row_keys = RowKeys(provider, stores.keys, stores.macs)
        self.token_keys = TokenKeys(provider, stores.keys)
        self.watch = AuditWatch(stores.custody, stores.rights)
        self.order_check = OrderCheck(
            stores.order_rows, stores.custody, self.row_keys, stores.macs, SystemClock()
        )
        self.signers = Signers(provider, stores.wallets, kill_switch)
        self._open_ground()
        self._open_treasury()
        self.reconciler = Reconciler(
            chain, stores.differences, self.chain_view, self.wakeups.changes
        )
        self.holdings = Holdings(chain, stores.differences)
        self.rotator = KeyRotator(provider, stores.keys, self._rotations)

    def _open_ground(self) -> None:
        """Make the parts that all steps of the engine use."""
        settings, chain = self._settings, self.chain
        self._alarms = Alarms()
        self._in_flight = InFlight()
        self.treasury = Treasury(
            self._provider, self._stores.wallets, chain, settings.treasury_seed()
        )
        self.accounts = Accounts(
            chain, self._stores.wallets, self.treasury, low=settings.treasury_low_balance_stroops
        )
        self._follower = Follower(
            chain,
            self._stores.blocks,
            self.chain_view,
            Turning(chain, self._stores.turning),
            block_seconds=settings.block_seconds,
        )
        self._follower.on_turned.append(self._in_flight.turn_back)
        self._sender = Sender(
            chain,
            self._stores.transactions,
            self.signers,
            self.treasury,
            in_flight=self._in_flight,
            alarms=self._alarms,
        )
        self._forgeries = Forgeries(self._stores.operations)
        self._broken_keys = BrokenKeys(
            signers=self.signers, operations=self._stores.operations, chain_view=self.chain_view
        )

    def _open_treasury(self) -> None:
        """Make the parts that use the treasury's transactions."""
        rent_turn = RentTurn()
        self._treasury_transactions = TreasuryTransactions(
            chain=self.chain,
            operations=self._stores.operations,
            transactions=self._stores.transactions,
            treasury=self.treasury,
            accounts=self.accounts,
            chain_view=self.chain_view,
            sender=self._sender,
            wakeups=self.wakeups,
            limits=self._limits,
            alarms=self._alarms,
            forgeries=self._forgeries,
            rent_turn=rent_turn,
        )
        self._open_rent(rent_turn)
        self._open_accounts()

    def _open_rent(self, rent_turn: RentTurn) -> None:
        self.deployer = Deployer(
            chain=self.chain,
            treasury=self.treasury,
            signers=self.signers,
            transactions=self._stores.transactions,
            sender=self._sender,
            chain_view=self.chain_view,
            limits=self._limits,
        )
        self.reclaimer = Reclaimer(
            chain=self.chain,
            treasury=self.treasury,
            signers=self.signers,
            wallets=self._stores.wallets,
            transactions=self._stores.transactions,
            accounts=self.accounts,
            sender=self._sender,
            chain_view=self.chain_view,
            limits=self._limits,
        )
        self.rent = RentKeeper(
            self.deployer,
            chain=self.chain,
            treasury=self.treasury,
            accounts=self.accounts,
            transactions=self._stores.transactions,
            sender=self._sender,
            chain_view=self.chain_view,
            alarms=self._alarms,
            rent_turn=rent_turn,
            daily=self._settings.rent_daily_stroops,
            multicall=self._settings.multicall_contract_id,
        )

    def _open_accounts(self) -> None:
        self.account_reader = AccountReader(chain=self.chain, withdrawals=self._stores.withdrawals)
        terms = self._settings.channels()
        self._low_channels = LowChannels(chain=self.chain, low=terms.low)
        new_accounts = NewAccounts(
            chain=self.chain,
            treasury=self.treasury,
            signers=self.signers,
            transactions=self._treasury_transactions,
        )
        self.keeper = ChannelKeeper(
            self._stores.channels,
            self._provider,
            terms,
            chain_view=self.chain_view,
            accounts=self.accounts,
            new_accounts=new_accounts,
            low_channels=self._low_channels,
            alarms=self._alarms,
            changes=self.wakeups.changes,
        )
        self.payer_keeper = PayerKeeper(
            self._stores.payers,
            self._provider,
            count=self._settings.payer_accounts,
            chain_view=self.chain_view,
            accounts=self.accounts,
            new_accounts=new_accounts,
        )

    def loops(self) -> list[Coroutine[None, None, None]]:
        """Return the loops that repeat the steps."""
        templates = TemplateBook(self.chain, lambda: comes_due(self.chain, self.chain_view))
        settings, numbers, changes = self._settings, self._numbers(), self.wakeups.changes
        return [
            loops.follow_chain(self._follower, self.chain_view, poll=settings.chain_poll_ms / 1000),
            loops.open_row_keys(self.row_keys),
            loops.open_token_keys(self.token_keys),
            loops.check_orders(self.order_check),
            loops.watch_audit_log(self.watch, interval=settings.audit_head_interval_ms / 1000),
            loops.open_treasury(self.treasury),
            loops.refresh_accounts(self.accounts, self._ledgers),
            loops.dispatch(self._dispatcher(templates)),
            loops.onboard(self._onboarder(), changes),
            loops.bring_back(self._lost_farmers(), self._ledgers),
            loops.pay(self._payment_carrier(numbers), changes),
            loops.write_roots(self._root_writer(), self._ledgers),
            loops.close_accounts(self._account_closer(), changes),
            loops.retire_keys(self._retired_keys()),
            loops.keep_channels(self.keeper, self._ledgers),
            loops.keep_payers(self.payer_keeper, self._ledgers),
            loops.keep_rent(self.rent, self._ledgers),
            loops.set_gauges(self._gauges()),
            loops.reconcile(self.reconciler, interval=settings.reconcile_interval_ms / 1000),
            loops.rotate_keys(self.rotator, self._rotations),
            loops.track(self._tracker(templates, numbers), self._ledgers),
        ]

    def _dispatcher(self, templates: TemplateBook) -> Dispatcher:
        chain, signers, limits = self.chain, self.signers, self._limits
        sources = Sources(
            chain,
            self._stores.channels,
            self._stores.transactions,
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
            treasury=self.treasury,
            refuser=refuser,
            limits=limits,
            alarms=self._alarms,
            packs=packs,
        )
        return Dispatcher(
            single_calls,
            sources,
            operations=self._stores.operations,
            transactions=self._stores.transactions,
            accounts=self.accounts,
            chain_view=self.chain_view,
            sender=self._sender,
            broken_keys=self._broken_keys,
            forgeries=self._forgeries,
            wakeups=self.wakeups,
            limits=limits,
            alarms=self._alarms,
        )

    def _lost_farmers(self) -> LostFarmers:
        return LostFarmers(
            store=self._stores.lost_farmers,
            chain=self.chain,
            chain_view=self.chain_view,
            accounts=self.accounts,
            changes=self.wakeups.changes,
        )

    def _onboarder(self) -> Onboarder:
        return Onboarder(
            chain=self.chain,
            operations=self._stores.operations,
            treasury=self.treasury,
            signers=self.signers,
            transactions=self._treasury_transactions,
            broken_keys=self._broken_keys,
        )

    def _root_writer(self) -> RootWriter:
        return RootWriter(
            chain=self.chain,
            operations=self._stores.operations,
            treasury=self.treasury,
            signers=self.signers,
            transactions=self._treasury_transactions,
        )

    def _account_closer(self) -> AccountCloser:
        return AccountCloser(
            reader=self.account_reader,
            closings=self._stores.closings,
            operations=self._stores.operations,
            treasury=self.treasury,
            signers=self.signers,
            transactions=self._treasury_transactions,
            broken_keys=self._broken_keys,
        )

    def _retired_keys(self) -> RetiredKeys:
        return RetiredKeys(
            store=self._stores.closings,
            operations=self._stores.operations,
            chain=self.chain,
            holding=self._settings.key_holding_seconds,
        )

    def _numbers(self) -> PayerNumbers:
        repayments = Repayments(
            chain=self.chain,
            treasury=self.treasury,
            signers=self.signers,
            transactions=self._stores.transactions,
            sender=self._sender,
            chain_view=self.chain_view,
            limits=self._limits,
        )
        return PayerNumbers(self.chain, self._stores.payers, repayments, self.wakeups)

    def _payment_carrier(self, numbers: PayerNumbers) -> PaymentCarrier:
        return PaymentCarrier(
            self._stores.payers,
            numbers,
            chain=self.chain,
            treasury=self.treasury,
            signers=self.signers,
            accounts=self.accounts,
            operations=self._stores.operations,
            payment_orders=self._stores.transactions,
            payouts=self._stores.payouts,
            chain_view=self.chain_view,
            transactions=self._treasury_transactions,
            broken_keys=self._broken_keys,
            forgeries=self._forgeries,
            low_channels=self._low_channels,
            wakeups=self.wakeups,
        )

    def _tracker(self, templates: TemplateBook, numbers: PayerNumbers) -> Tracker:
        return Tracker(
            chain=self.chain,
            transactions=self._stores.transactions,
            follower=self._follower,
            chain_view=self.chain_view,
            accounts=self.accounts,
            sender=self._sender,
            in_flight=self._in_flight,
            templates=templates,
            numbers=numbers,
            limits=self._limits,
            wakeups=self.wakeups,
        )

    def _gauges(self) -> Gauges:
        return Gauges(
            chain=self.chain,
            chain_view=self.chain_view,
            accounts=self.accounts,
            transactions=self._stores.transactions,
            channels=self.keeper,
            payers=self.payer_keeper,
            rent=self.rent,
        )
