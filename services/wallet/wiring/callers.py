"""What callers reach: use cases, servicers, the specification of the server."""

from collections.abc import Coroutine

import grpc
from kalepool.wallet.v1 import (
    agreement_pb2_grpc,
    approval_pb2_grpc,
    closing_pb2_grpc,
    custody_pb2_grpc,
    data_entry_pb2_grpc,
    engine_pb2_grpc,
    keys_pb2_grpc,
    login_pb2_grpc,
    order_pb2_grpc,
    payout_pb2_grpc,
    reconcile_pb2_grpc,
    token_pb2_grpc,
    wallet_pb2_grpc,
    withdrawal_pb2_grpc,
)

from libs.common.clock import SystemClock
from libs.common.db.pool import Database
from libs.common.grpc.access import Owned
from libs.common.grpc.second_person import SecondPerson
from libs.common.grpc.server import ServiceSpec
from libs.kale.formats import FORMATS
from services.access import ACCESS
from services.second_person import COVERED
from services.wallet import loops
from services.wallet.config import WalletSettings
from services.wallet.domain.withdrawals import Asset
from services.wallet.engine.settled_feed import SettledFeed
from services.wallet.keys.provider import KeyProvider
from services.wallet.servicers import agreements as agreement_servicer
from services.wallet.servicers import approvals as approval_servicer
from services.wallet.servicers import closing as closing_servicer
from services.wallet.servicers import custody as custody_servicer
from services.wallet.servicers import data_entries as data_entry_servicer
from services.wallet.servicers import engine as engine_servicer
from services.wallet.servicers import fees as fee_servicer
from services.wallet.servicers import keys as keys_servicer
from services.wallet.servicers import logins as login_servicer
from services.wallet.servicers import orders as order_servicer
from services.wallet.servicers import payouts as payout_servicer
from services.wallet.servicers import reconciliation as reconcile_servicer
from services.wallet.servicers import tokens as token_servicer
from services.wallet.servicers import withdrawals as withdraw_servicer
from services.wallet.servicers.methods import FULL_NAMES, INTERNAL, SLOW
from services.wallet.servicers.wallet import WalletServicer
from services.wallet.store.custody import CustodyStore
from services.wallet.store.kill_switch import KillSwitch
from services.wallet.store.wallets import WalletStore
from services.wallet.usecases.agreements import Agreements
from services.wallet.usecases.approvals import Approvals
from services.wallet.usecases.closing import Closings
from services.wallet.usecases.custody import Custody
from services.wallet.usecases.data_entries import DataEntries
from services.wallet.usecases.fee_keeping import FeeKeeping
from services.wallet.usecases.logins import Logins
from services.wallet.usecases.pausing import Pausing
from services.wallet.usecases.payouts import Payouts
from services.wallet.usecases.tokens import Tokens
from services.wallet.usecases.wallet import UseCases
from services.wallet.usecases.withdrawals import Withdrawals
from services.wallet.wiring.engine import Engine
from services.wallet.wiring.stores import Stores


class Callers:
    """The use cases of callers, and the server that calls them."""

    def __init__(
        self,
        settings: WalletSettings,
        database: Database,
        *,
        pauses: Database,
        provider: KeyProvider,
        stores: Stores,
        engine: Engine,
        kill_switch: KillSwitch,
    ) -> None:
        """Take what they use; pauses have connections of their own."""
        self._settings = settings
        self._database = database
        self._stores = stores
        self._engine = engine
        self._kill_switch = kill_switch
        self._open_farming(provider)
        self._open_payouts(provider)
        self._open_custody(pauses)

    def _open_farming(self, provider: KeyProvider) -> None:
        """Make the use cases of poolers."""
        settings, changes = self._settings, self._engine.wakeups.changes
        self._settled_feed = SettledFeed(self._stores.operations, self._engine.wakeups.settled)
        self._use_cases = UseCases(
            wallets=self._stores.wallets,
            operations=self._stores.operations,
            blocks=self._stores.blocks,
            provider=provider,
            accounts=self._engine.accounts,
            treasury_account=self._engine.treasury,
            chain_view=self._engine.chain_view,
            wakeup=changes,
            fees=settings.fees(),
            max_fee=settings.max_fee_stroops,
            sponsored=settings.sponsored(),
            owners=self._stores.owners,
            own_say=self._stores.own_say,
            rules=settings.agreements(),
        )
        self._withdrawals = Withdrawals(
            wallets=self._stores.wallets,
            store=self._stores.withdrawals,
            terms=settings.withdrawals(),
            wakeup=changes,
            settled=self._settled_feed,
        )
        self._agreements = Agreements(
            wallets=self._stores.wallets,
            agreements=self._stores.agreements,
            owners=self._stores.owners,
            own_say=self._stores.own_say,
            rules=settings.agreements(),
        )
        self._data_entries = DataEntries(
            store=self._stores.data_entries,
            operations=self._stores.operations,
            treasury=self._engine.treasury,
            wakeup=changes,
        )
        self._closings = Closings(
            wallets=self._stores.wallets,
            closings=self._stores.closings,
            operations=self._stores.operations,
            reader=self._engine.account_reader,
            chain=self._engine.chain,
            chain_view=self._engine.chain_view,
            wakeup=changes,
        )
        self._open_logins()

    def _open_logins(self) -> None:
        """Make the use cases by which people call without a certificate."""
        settings = self._settings
        self._tokens = Tokens(
            store=self._stores.tokens,
            keys=self._engine.token_keys,
            clock=SystemClock(),
            trust_domain=settings.trust_domain,
            access=ACCESS,
            logins=settings.logins(),
        )
        self._logins = Logins(
            chain=self._engine.chain,
            keys=self._engine.token_keys,
            store=self._stores.logins,
            clock=SystemClock(),
            offered=settings.logins(),
        )

    def _open_payouts(self, provider: KeyProvider) -> None:
        """Make the use cases of harvest, which says who is paid out."""
        settings = self._settings
        self._payouts = Payouts(
            payouts=self._stores.payouts,
            pool_payments=self._stores.pool_payments,
            marks=self._stores.fee_marks,
            wallets=self._stores.wallets,
            payers=self._stores.payers,
            chain=self._engine.chain,
            provider=provider,
            treasury=self._engine.treasury,
            sponsored=settings.sponsored(),
            limit=settings.withdrawals().limits[Asset.KALE],
            operator_address=settings.operator_payout_address,
            wakeup=self._engine.wakeups.changes,
            settled=self._settled_feed,
        )
        self._fee_keeping = FeeKeeping(
            use_cases=self._payouts,
            payouts=self._stores.payouts,
            pool_payments=self._stores.pool_payments,
            marks=self._stores.fee_marks,
            treasury=self._engine.treasury,
        )

    def _open_custody(self, pauses: Database) -> None:
        """Make the use cases of operators."""
        settings, changes = self._settings, self._engine.wakeups.changes
        self._approvals = Approvals(
            store=self._stores.approvals, seconds=settings.second_person_seconds
        )
        self._custody = Custody(
            wallets=self._stores.wallets,
            store=self._stores.custody,
            check=self._stores.audit_check,
            signers=self._engine.signers,
            wakeup=changes,
            may_export=settings.key_export,
        )
        self._pausing = Pausing(
            wallets=WalletStore(pauses, self._stores.orders),
            store=CustodyStore(pauses, self._stores.orders),
            switch=self._kill_switch,
            wakeup=changes,
        )

    def loops(self) -> list[Coroutine[None, None, None]]:
        """Return the loops that callers' requests need."""
        return [loops.record_pauses(self._pausing), loops.keep_fees(self._fee_keeping)]

    def spec(self) -> ServiceSpec:
        """Return the specification of the server."""
        batch = self._settings.batch_timeout / 1000
        return ServiceSpec(
            name="wallet",
            full_names=FULL_NAMES,
            register=self._register,
            kale_contract_id=self._engine.chain.network.farm,
            formats=FORMATS,
            access=ACCESS,
            owners={
                Owned.FARMER: self._stores.wallets.owners_of_farmers,
                Owned.WALLET: self._stores.wallets.owners_of_wallets,
                Owned.OPERATION: self._stores.wallets.owners_of_operations,
                # A withdrawal's id is its operation's.
                Owned.WITHDRAWAL: self._stores.wallets.owners_of_operations,
                Owned.TOKEN: self._stores.tokens.owners,
            },
            accounts={
                Owned.FARMER: self._stores.account_owners.of_farmers,
                Owned.WALLET: self._stores.account_owners.of_wallets,
                Owned.OPERATION: self._stores.account_owners.of_operations,
                Owned.WITHDRAWAL: self._stores.account_owners.of_operations,
            },
            standings={
                Owned.FARMER: self._stores.wallets.standings_of_farmers,
                Owned.POOLER: self._stores.tokens.standings_of_poolers,
            },
            checks={
                "postgres": self._database.is_up,
                "stellar": self._sees_chain,
                "keys": self._has_keys,
            },
            method_timeouts={**dict.fromkeys(SLOW, batch), "WatchBlocks": None},
            second_person=SecondPerson(COVERED, self._approvals.use),
            internal=INTERNAL,
            token_keys=self._engine.token_keys,
        )

    def _register(self, server: grpc.aio.Server) -> None:
        servicer = WalletServicer(
            self._use_cases,
            wallets=self._stores.wallets,
            operations=self._stores.operations,
            settled=self._settled_feed,
            holdings=self._engine.holdings,
        )
        wallet_pb2_grpc.add_WalletServiceServicer_to_server(servicer, server)
        engine = engine_servicer.EngineServicer(
            chain=self._engine.chain,
            chain_view=self._engine.chain_view,
            accounts=self._engine.accounts,
            transactions=self._stores.transactions,
            channels=self._engine.keeper,
            payers=self._engine.payer_keeper,
            deployer=self._engine.deployer,
            reclaimer=self._engine.reclaimer,
            rent=self._engine.rent,
            custody=self._stores.custody,
            kill_switch=self._kill_switch,
            watch=self._engine.watch,
            order_check=self._engine.order_check,
            multicall_contract_id=self._settings.multicall_contract_id,
        )
        engine_pb2_grpc.add_EngineServiceServicer_to_server(engine, server)
        differences = reconcile_servicer.ReconciliationServicer(
            self._engine.reconciler, self._stores.differences
        )
        reconcile_pb2_grpc.add_ReconciliationServiceServicer_to_server(differences, server)
        keys = keys_servicer.KeyServicer(self._engine.rotator)
        keys_pb2_grpc.add_KeyServiceServicer_to_server(keys, server)
        tokens = token_servicer.TokenServicer(
            self._tokens, self._stores.tokens, self._engine.token_keys
        )
        token_pb2_grpc.add_TokenServiceServicer_to_server(tokens, server)
        orders = order_servicer.OrderServicer(self._engine.order_check, self._engine.row_keys)
        order_pb2_grpc.add_OrderServiceServicer_to_server(orders, server)
        custody = custody_servicer.CustodyServicer(
            self._custody, self._pausing, self._stores.custody
        )
        custody_pb2_grpc.add_CustodyServiceServicer_to_server(custody, server)
        approvals = approval_servicer.ApprovalServicer(
            self._approvals, self._stores.approvals, COVERED
        )
        approval_pb2_grpc.add_ApprovalServiceServicer_to_server(approvals, server)
        payouts = payout_servicer.PayoutServicer(self._payouts)
        payout_pb2_grpc.add_PayoutServiceServicer_to_server(payouts, server)
        fee_servicer.register(self._stores.fees, server)
        entries = data_entry_servicer.DataEntryServicer(self._data_entries)
        data_entry_pb2_grpc.add_DataEntryServiceServicer_to_server(entries, server)
        self._register_owners(server)

    def _register_owners(self, server: grpc.aio.Server) -> None:
        """Add what farmers' own say is about."""
        withdrawals = withdraw_servicer.WithdrawalServicer(
            self._withdrawals, self._stores.withdrawals, self._agreements
        )
        withdrawal_pb2_grpc.add_WithdrawalServiceServicer_to_server(withdrawals, server)
        agreements = agreement_servicer.AgreementServicer(self._agreements)
        agreement_pb2_grpc.add_AgreementServiceServicer_to_server(agreements, server)
        logins = login_servicer.LoginServicer(
            self._logins, trust_domain=self._settings.trust_domain
        )
        login_pb2_grpc.add_LoginServiceServicer_to_server(logins, server)
        closing = closing_servicer.ClosingServicer(self._closings)
        closing_pb2_grpc.add_ClosingServiceServicer_to_server(closing, server)

    def _sees_chain(self) -> bool:
        return self._engine.chain_view.is_fresh

    def _has_keys(self) -> bool:
        return self._engine.treasury.is_open and self._engine.row_keys.is_open
