"""Repayments: payments that are recorded as made and were not, as their payer's number shows.

Only a lie of all nodes that could be asked brings such a record about. The payments are signed
again after the number that shows this. Their target uses up whatever else was signed because of
that lie. The records stay as they are, and become true. A payment that another envelope may have
made is left alone: reconciliation tells what is missing.
"""

from collections.abc import Sequence

from libs.common.log import get_logger
from services.wallet.chain import Chain, FeeCapExceededError, Payment, sign_payments
from services.wallet.domain.bids import OperatorLimits
from services.wallet.domain.model import OperationKind
from services.wallet.engine.chain_view import ChainView
from services.wallet.engine.sender import Sender
from services.wallet.engine.signers import Signers
from services.wallet.engine.treasury_account import Treasury
from services.wallet.store.payers import LeasedPayer, UnmadePayment
from services.wallet.store.transactions import Draft, TransactionStore

log = get_logger(__name__)

#: Ledgers for which a payer has to be behind: a node that lags shows a payer behind, too.
_LEDGERS = 3
#: Envelopes that failed within an hour after which a person has to look.
_MOST = 3


class Repayments:
    """The signer of repayments, which waits until it is sure."""

    def __init__(
        self,
        *,
        chain: Chain,
        treasury: Treasury,
        signers: Signers,
        transactions: TransactionStore,
        sender: Sender,
        chain_view: ChainView,
        limits: OperatorLimits,
    ) -> None:
        self._network = chain.network
        self._treasury = treasury
        self._signers = signers
        self._transactions = transactions
        self._sender = sender
        self._chain_view = chain_view
        self._limits = limits
        #: By payer's address: the ledger since which the payer has been behind.
        self._since: dict[str, int] = {}

    def is_well(self, address: str) -> None:
        """Forget that a payer was behind."""
        self._since.pop(address, None)

    def is_sure(self, address: str, ledger: int) -> bool:
        """Note that a payer is behind at this ledger; tell whether it has been for some ledgers."""
        since = min(self._since.get(address, ledger), ledger)
        self._since[address] = since
        return ledger >= since + _LEDGERS

    async def repay(self, payer: LeasedPayer, unmade: Sequence[UnmadePayment], number: int) -> None:
        """Sign again, after `number`, for payments of one target that were not made."""
        if unmade[0].failures >= _MOST:
            log.critical("payments cannot be made good", address=payer.address)
            return
        log.critical("payments are made good", address=payer.address, payments=len(unmade))
        await self._sign(payer, unmade, number)

    async def _sign(self, payer: LeasedPayer, unmade: Sequence[UnmadePayment], number: int) -> None:
        chain_state = self._chain_view.current
        bid = chain_state.bid(OperationKind.WITHDRAW, 0, self._limits)
        own = self._treasury.wallet.id
        wallets = [own, payer.wallet_id, *(item.source_id or own for item in unmade)]
        async with self._signers.open(wallets) as (treasury, payer_key, *keys):
            payments = [
                Payment(
                    signer=key,
                    destination=part.destination,
                    asset=part.asset,
                    amount=part.amount,
                )
                for key, item in zip(keys, unmade, strict=True)
                for part in item.parts
            ]
            try:
                envelope = sign_payments(
                    payments,
                    network=self._network,
                    payer=payer_key,
                    treasury=treasury,
                    sequence=number + 1,
                    bump_to=unmade[0].bump_to,
                    bid=bid,
                )
            except FeeCapExceededError as error:
                log.warning("fee cap", error=str(error))
                return
        ids = tuple(item.operation_id for item in unmade)
        draft = Draft(
            envelope=envelope,
            operation_ids=ids,
            stakes_returned=(0,) * len(ids),
            payer_id=payer.wallet_id,
        )
        if await self._transactions.commit_again(draft, ledger=chain_state.ledger.sequence):
            cap, ledger = (
                self._limits.cap(len(payments), is_payment=True),
                chain_state.ledger.sequence,
            )
            await self._sender.send_committed([draft], ledger=ledger, cap=lambda _: cap)
        else:
            log.warning("not made good: paused, or without an address", address=payer.address)
