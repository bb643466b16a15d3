"""Search for the transaction that used an account's sequence number, in the ledger that took it.

The search is for payer accounts whose number no record explains: after a restore, the chain may
have a transaction that the database has lost.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from stellar_sdk import Asset as ChainAsset
from stellar_sdk import (
    BumpSequence,
    FeeBumpTransactionEnvelope,
    Payment,
    TransactionEnvelope,
)

from services.wallet.chain.build.calls import raw
from services.wallet.chain.build.onboarding import STROOPS_PER_UNIT
from services.wallet.chain.node.fields import (
    Json,
    hash_of,
    head_of_page,
    integer,
    objects,
    raw_bytes,
)
from services.wallet.chain.node.newer import newer
from services.wallet.chain.node.questions import Question
from services.wallet.chain.node.rpc import Rpc
from services.wallet.chain.read.included import MAX_PAGES, next_cursor
from services.wallet.domain.payments import SeenPayment, SeenTransaction
from services.wallet.domain.withdrawals import Asset

#: Transactions of one page: an answer stays small, however large they are.
_LIMIT = 20
#: Bits of a transaction's place (cursor) after the ledger, which begins it.
_LEDGER_SHIFT = 32
#: Bytes of the charged fee at the beginning of a result.
_FEE_BYTES = 8


@dataclass(frozen=True, kw_only=True)
class _Page:
    """One answer of getTransactions."""

    #: The transaction that was looked for; None when it is not on the page.
    found: SeenTransaction | None
    #: Where the next page begins; None when no further page is to be looked through.
    cursor: int | None


async def read_used(
    node: Rpc, source: str, ledger: int, *, kale: ChainAsset, passphrase: str
) -> SeenTransaction | None:
    """Look through one ledger for the transaction of an account (strkey G...).

    None when the node does not have the transaction.
    """
    look = _Look(source=source, ledger=ledger, kale=kale, passphrase=passphrase)
    cursor: int | None = None
    for _ in range(MAX_PAGES):
        page = await node.ask(look.question(cursor))
        if page.found is not None or page.cursor is None:
            return page.found
        cursor = page.cursor
    return None


@dataclass(frozen=True, kw_only=True)
class _Look:
    """The search parameters."""

    source: str
    ledger: int
    kale: ChainAsset
    passphrase: str

    def question(self, cursor: int | None) -> Question[_Page]:
        """Return the question for one page."""
        page: dict[str, object] = {"limit": _LIMIT}
        parameters: Mapping[str, object] = {"startLedger": self.ledger, "pagination": page}
        if cursor is not None:
            parameters = {"pagination": {"cursor": str(cursor), **page}}

        def decode(answer: Json) -> _Page:
            head = head_of_page(answer)
            items = objects(answer, "transactions", most=_LIMIT)
            ledgers = [integer(item, "ledger", high=head.sequence) for item in items]
            here = [
                item for item, ledger in zip(items, ledgers, strict=True) if ledger == self.ledger
            ]
            found = [seen for item in here if (seen := self._seen(item)) is not None]
            is_over = len(items) < _LIMIT or max(ledgers) > self.ledger
            begin = self.ledger if cursor is None else cursor >> _LEDGER_SHIFT
            return _Page(
                found=found[0] if found else None,
                cursor=None if is_over else next_cursor(answer, cursor, begin, head.sequence),
            )

        return Question(method="getTransactions", parameters=parameters, decode=decode)

    def _seen(self, item: Json) -> SeenTransaction | None:
        """Return the facts of a transaction of this source; None for one of another source."""
        envelope = raw_bytes(item.get("envelopeXdr"), "envelopeXdr")
        if raw(self.source) not in envelope:
            return None
        text = str(item["envelopeXdr"])
        with newer():
            inner = _inside(text, self.passphrase)
        if inner.transaction.source.account_id != self.source:
            return None
        operations = inner.transaction.operations
        last = operations[-1]
        result = raw_bytes(item.get("resultXdr"), "resultXdr")
        return SeenTransaction(
            hash=hash_of(item, "txHash"),
            inner_hash=inner.hash_hex(),
            envelope=text,
            sequence=inner.transaction.sequence,
            bump_to=last.bump_to if isinstance(last, BumpSequence) else None,
            max_time=_end(inner),
            ledger=self.ledger,
            fee_charged=int.from_bytes(result[:_FEE_BYTES], "big", signed=True),
            succeeded=item.get("status") == "SUCCESS",
            payments=tuple(self._payment(one) for one in operations if isinstance(one, Payment)),
        )

    def _payment(self, operation: Payment) -> SeenPayment:
        source = operation.source
        return SeenPayment(
            source=self.source if source is None else source.account_id,
            destination=operation.destination.account_id,
            asset=self._asset(operation.asset),
            amount=int(Decimal(operation.amount) * STROOPS_PER_UNIT),
        )

    def _asset(self, asset: ChainAsset) -> Asset | None:
        if asset == self.kale:
            return Asset.KALE
        return Asset.XLM if asset.is_native() else None


def _inside(envelope: str, passphrase: str) -> TransactionEnvelope:
    if FeeBumpTransactionEnvelope.is_fee_bump_transaction_envelope(envelope):
        outer = FeeBumpTransactionEnvelope.from_xdr(envelope, passphrase)
        return outer.transaction.inner_transaction_envelope
    return TransactionEnvelope.from_xdr(envelope, passphrase)


def _end(envelope: TransactionEnvelope) -> int:
    """Return the close time after which no ledger may take the envelope; 0 when there is none."""
    preconditions = envelope.transaction.preconditions
    bounds = None if preconditions is None else preconditions.time_bounds
    return 0 if bounds is None else bounds.max_time
