"""The stores of a wallet process."""

from libs.common.db.pool import Database
from services.wallet.config import WalletSettings
from services.wallet.keys.row_macs import RowMacs
from services.wallet.store.account_owners import AccountOwners
from services.wallet.store.agreements import AgreementStore
from services.wallet.store.approvals import ApprovalStore
from services.wallet.store.audit_check import AuditCheck
from services.wallet.store.blocks import BlockStore
from services.wallet.store.channels import ChannelStore
from services.wallet.store.closings import ClosingStore
from services.wallet.store.custody import CustodyStore
from services.wallet.store.data_entries import DataEntryStore
from services.wallet.store.fee_marks import FeeMarkStore
from services.wallet.store.fees import FeeStore
from services.wallet.store.keys import KeyStore
from services.wallet.store.kill_switch import KillSwitch
from services.wallet.store.logins import LoginStore
from services.wallet.store.lost_farmers import LostFarmerStore
from services.wallet.store.operations import OperationStore
from services.wallet.store.order_rows import OrderRowStore
from services.wallet.store.orders import Orders
from services.wallet.store.own_say import OwnSayStore
from services.wallet.store.owners import OwnerStore
from services.wallet.store.payers import PayerStore
from services.wallet.store.payouts import PayoutStore
from services.wallet.store.pool_payments import PoolPaymentStore
from services.wallet.store.reconcile import ReconcileStore
from services.wallet.store.rights import RightsStore
from services.wallet.store.tokens import TokenStore
from services.wallet.store.transactions import TransactionStore
from services.wallet.store.turning import TurningStore
from services.wallet.store.wallets import WalletStore
from services.wallet.store.withdrawals import WithdrawalStore


class Stores:
    """Every store of a wallet process."""

    def __init__(
        self, database: Database, settings: WalletSettings, kill_switch: KillSwitch
    ) -> None:
        """Take the database; signing stops once the switch is set."""
        #: What the rows that wallet acts on are signed and checked with.
        self.macs = RowMacs()
        self.orders = orders = Orders(self.macs)
        self.keys = KeyStore(database, orders)
        self.tokens = TokenStore(database, orders)
        self.logins = LoginStore(database)
        self.wallets = WalletStore(database, orders)
        self.blocks = BlockStore(database, orders)
        self.operations = OperationStore(database, orders)
        self.transactions = TransactionStore(database, orders, settings.fees(), kill_switch)
        self.channels = ChannelStore(database, orders)
        self.lost_farmers = LostFarmerStore(database, orders)
        self.payers = PayerStore(database, orders)
        self.differences = ReconcileStore(database, orders)
        self.custody = CustodyStore(database, orders)
        self.audit_check = AuditCheck(database)
        self.rights = RightsStore(database)
        self.order_rows = OrderRowStore(database)
        self.turning = TurningStore(database, orders)
        self.withdrawals = WithdrawalStore(database, orders)
        self.agreements = AgreementStore(database, orders)
        self.owners = OwnerStore(database, orders)
        self.account_owners = AccountOwners(self.wallets, self.owners)
        self.own_say = OwnSayStore(
            database,
            orders,
            wallets=self.wallets,
            agreements=self.agreements,
            owners=self.owners,
            withdrawals=self.withdrawals,
            rules=settings.agreements(),
            terms=settings.withdrawals(),
        )
        self.fee_marks = FeeMarkStore(database, orders, self.agreements)
        self.payouts = PayoutStore(
            database, orders, withdrawals=self.withdrawals, marks=self.fee_marks
        )
        self.pool_payments = PoolPaymentStore(
            database,
            orders,
            payouts=self.payouts,
            withdrawals=self.withdrawals,
            marks=self.fee_marks,
        )
        self.approvals = ApprovalStore(database, orders)
        self.fees = FeeStore(database)
        self.data_entries = DataEntryStore(database, orders)
        self.closings = ClosingStore(database, orders)
