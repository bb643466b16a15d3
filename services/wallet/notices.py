"""Wiring of what poolers and operators are told."""

from collections.abc import Coroutine

from libs.common.db.pool import Database
from services.wallet import loops
from services.wallet.chain import Chain
from services.wallet.config import WalletSettings
from services.wallet.engine.accounts import Accounts
from services.wallet.engine.noticer import Noticer
from services.wallet.store.notices import NoticeStore


def tell_notices(
    settings: WalletSettings, database: Database, chain: Chain, accounts: Accounts
) -> Coroutine[None, None, None]:
    """Return the loop that reports what no change of the records shows by itself."""
    store = NoticeStore(database)
    low = settings.treasury_low_balance_stroops
    return loops.tell_notices(Noticer(store, chain, accounts, treasury_low=low))
