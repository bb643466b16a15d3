"""The comparison of payers' sequence numbers with the records.

Payments that the numbers show to have been made are settled.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace

from libs.common.errors import PoolError
from libs.common.ids import OperationId
from libs.common.log import get_logger
from services.wallet.chain import Chain
from services.wallet.domain.chain_facts import AccountState
from services.wallet.domain.errors import TamperedError
from services.wallet.domain.model import OperationState
from services.wallet.domain.payer_history import NOTHING, PayerHistory
from services.wallet.domain.payments import PayerRecord, Standing, is_beginning, standing
from services.wallet.domain.settling import shown_paid
from services.wallet.domain.trust import Decision
from services.wallet.engine.payments.repayments import Repayments
from services.wallet.engine.wakeup import Wakeups
from services.wallet.store.payers import LeasedPayer, MadePayment, PayerStore

log = get_logger(__name__)

_WHY = {
    Standing.AHEAD: "its number {number} was used by a transaction that no record knows",
    Standing.BEHIND: "payments are recorded as made that its number {number} says were not",
}
_LOCKED = "the pool's key alone does not suffice for its account any more"
#: The states in which payments end that nodes said had failed.
_GIVEN_UP = frozenset({OperationState.FAILED, OperationState.EXPIRED})
#: What a payer needs in order to sign: its number, and what the records say of the payer.
Steady = tuple[int, PayerRecord]


class PayerNumbers:
    """The numbers of payers as the chain shows them, read by agreement."""

    def __init__(
        self, chain: Chain, payers: PayerStore, repayments: Repayments, wakeups: Wakeups
    ) -> None:
        self._chain = chain
        self._payers = payers
        self._repayments = repayments
        self._wakeups = wakeups
        #: By payer's address: the transactions on record that this process has seen.
        self._histories: defaultdict[str, PayerHistory] = defaultdict(PayerHistory)

    async def steady(self, payers: Sequence[LeasedPayer]) -> dict[LeasedPayer, Steady]:
        """Return the payers that may sign, with their numbers; stop the others, with a reason."""
        ledger, accounts = await self._chain.trusted(Decision.SETTLE_PAYMENT).accounts(
            [payer.address for payer in payers]
        )
        whole = await self._whole(payers)
        records = await self._payers.records([payer.address for payer in payers])
        found: dict[LeasedPayer, Steady] = {}
        for payer, account in zip(payers, accounts, strict=True):
            if account.exists and payer in whole:
                record = await self._judged(payer, account, records[payer.address], ledger)
                found |= {} if record is None else {payer: (account.sequence, record)}
        return found

    async def _whole(self, payers: Sequence[LeasedPayer]) -> set[LeasedPayer]:
        """Return the payers whose past is on record as wallet wrote it; stop the others."""
        marks = await self._payers.past_marks([payer.address for payer in payers])
        whole: set[LeasedPayer] = set()
        for payer in payers:
            history = self._histories[payer.address]
            if marks.get(payer.address, NOTHING) != history.mark:
                flaw = history.flaw(await self._payers.past(payer.address))
                if flaw:
                    await self._stop(payer, flaw)
                    continue
            whole.add(payer)
        return whole

    async def paid_before(
        self, payer: LeasedPayer, payments: Collection[OperationId]
    ) -> dict[OperationId, str] | None:
        """Return those of a payer's payments that were made, with the envelope's hash.

        Return None, and stop the payer, when its past is not as wallet wrote it: the marks do not
        show that, as nothing of what transactions carried is in them.
        """
        try:
            history = self._histories[payer.address]
            return await self._payers.paid_before(payer.address, payments, history)
        except TamperedError as error:
            # All of its past is judged again before it goes on.
            self._histories.pop(payer.address, None)
            await self._stop(payer, error.message)
            return None

    async def _judged(
        self, payer: LeasedPayer, account: AccountState, record: PayerRecord, ledger: int
    ) -> PayerRecord | None:
        """Return the records by which a payer may sign; None when it has to wait."""
        number, at = account.sequence, account.used_ledger or ledger
        verdict = standing(record, number)
        if verdict is Standing.BEHIND and not self._repayments.is_sure(payer.address, ledger):
            return None
        # Before anything is signed for the next number, book what was made at this number.
        if number != record.paid and await self.book(payer.address, number, at):
            verdict = Standing.STEADY if verdict is Standing.AHEAD else verdict
            record = replace(record, paid=number)
        if verdict is Standing.BEHIND and not await self._is_known(payer, account):
            await self._note(payer, Standing.AHEAD, number)
            return None
        if verdict is Standing.BEHIND:
            unmade = await self._payers.unmade(payer.address, number)
            if unmade:
                await self._note(payer, verdict, number)
                await self._repayments.repay(payer, unmade, number)
                return None
            # Another envelope may have made each payment: reconciliation tells what is missing.
            verdict, record = Standing.STEADY, replace(record, paid=number)
        self._repayments.is_well(payer.address)
        if verdict is Standing.AHEAD and await self._has_failed(payer, account):
            verdict, record = Standing.STEADY, replace(record, failed=number)
        if verdict is Standing.STEADY and not account.obeys:
            await self._stop(payer, _LOCKED)
            return None
        await self._note(payer, verdict, number)
        return record if verdict is Standing.STEADY else None

    async def _is_known(self, payer: LeasedPayer, account: AccountState) -> bool:
        """Tell whether something on record, or on the chain, brought a payer to its number.

        If an unknown transaction did, it cannot be told what else that may have made.
        """
        number = account.sequence
        if is_beginning(number) or await self._payers.is_known(payer.address, number):
            return True
        return await self._has_failed(payer, account)

    async def book(self, address: str, number: int, ledger: int) -> list[MadePayment]:
        """Settle and return the payments that were made when this payer stands at `number`.

        They are settled whatever was thought of their envelopes. There are none when the number is
        no target of the payer's envelopes.
        """
        made = await self._payers.made(address, number)
        waiting = [item for item in made if item.state is OperationState.QUEUED]
        given_up = [item for item in made if item.state in _GIVEN_UP]
        if made:
            paid = [shown_paid(item.operation_id, ledger=ledger, by=item.hash) for item in waiting]
            forged = {item.operation_id for item in made if not item.is_genuine}
            await self._payers.book(address, number, paid, given_up, ledger=ledger, forged=forged)
        if waiting or given_up:
            self._wakeups.tell_settled()
        for item in given_up:
            log.critical("given up, and paid: corrected", operation=str(item.operation_id))
        return made

    async def _has_failed(self, payer: LeasedPayer, account: AccountState) -> bool:
        """Tell whether the transaction that used the number failed, and so paid nothing.

        Look for the transaction and book it; the records may have it, as excluded. After a
        transaction that did not fail, the payer goes on with the next look. Where no node has the
        transaction any more, a person has to decide.
        """
        chain = self._chain.trusted(Decision.SETTLE_PAYMENT)
        try:
            seen = await chain.used_by(payer.address, account.used_ledger)
        except PoolError as error:
            # One cause is a ledger that nodes have forgotten; the other payers go on.
            log.warning("not read", address=payer.address, error=str(error))
            return False
        if seen is None or not seen.explains(account.sequence):
            return False
        if await self._payers.book_found(payer, seen):
            log.warning("lost transaction booked", address=payer.address, hash=seen.hash)
            self._wakeups.tell_settled()
        elif seen.succeeded:
            log.critical("payments that no record knows", address=payer.address, hash=seen.hash)
        return not seen.succeeded

    async def _note(self, payer: LeasedPayer, verdict: Standing, number: int) -> None:
        await self._stop(payer, _WHY.get(verdict, "").format(number=number))

    async def _stop(self, payer: LeasedPayer, reason: str) -> None:
        """Note why a payer may not sign, empty when it may; tell that once."""
        if reason != payer.stopped and await self._payers.stop(payer.wallet_id, reason):
            if reason:
                log.critical("payer stops", address=payer.address, reason=reason)
            else:
                log.info("payer goes on", address=payer.address)
