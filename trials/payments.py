"""KALE that left accounts, as the chain shows it, held against what the pool recorded of it."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
from stellar_sdk import MuxedAccount, xdr

from devstack.chain_view import read_kale_balances
from devstack.outside import kale
from trials.chain_reader import Reader
from trials.records import Records

#: What is read of the pool's records for it.
QUERIES = Path(__file__).parent / "payments.sql"


@dataclass(frozen=True, kw_only=True)
class SeenPayment:
    """KALE that one account has paid to another, by a classic payment that worked."""

    #: Paying account (strkey G...).
    source: str
    #: Paid account (strkey G...).
    destination: str
    #: Amount in stroops.
    amount: int

    @property
    def key(self) -> tuple[str, str, int]:
        """Return all of it, to be counted."""
        return self.source, self.destination, self.amount


class PaymentReader(Reader):
    """A reader that also remembers payments."""

    def __init__(self, session: aiohttp.ClientSession, rpc_url: str) -> None:
        super().__init__(session, rpc_url)
        #: Payments in the order in which they were applied, withdrawals among them.
        self.payments: list[SeenPayment] = []

    def add(self, item: dict[str, Any]) -> None:
        """Take one more transaction."""
        super().add(item)
        if item["status"] == "SUCCESS":
            self.payments += payments_in(item)


def payments_in(item: dict[str, Any]) -> list[SeenPayment]:
    """Return the KALE payments in a transaction by accounts other than the transaction's own."""
    envelope = xdr.TransactionEnvelope.from_xdr(item["envelopeXdr"])
    if envelope.fee_bump is not None:
        envelope = xdr.TransactionEnvelope(
            xdr.EnvelopeType.ENVELOPE_TYPE_TX, v1=envelope.fee_bump.tx.inner_tx.v1
        )
    found = []
    for operation in [] if envelope.v1 is None else envelope.v1.tx.operations:
        payment, source = operation.body.payment_op, operation.source_account
        if payment is not None and source is not None and payment.asset.alpha_num4 is not None:
            found.append(
                SeenPayment(
                    source=MuxedAccount.from_xdr_object(source).account_id,
                    destination=MuxedAccount.from_xdr_object(payment.destination).account_id,
                    amount=payment.amount.int64,
                )
            )
    return found


@dataclass(frozen=True, kw_only=True)
class Flows:
    """What came to farmers' accounts and left them beside farming, in stroops by address."""

    #: From outside, less what left the pool.
    funded: Mapping[str, int]
    #: Fees that were moved into poolers' accounts.
    collected: Mapping[str, int]


def flows(
    payments: Sequence[SeenPayment], given: Mapping[str, int], poolers: Collection[str]
) -> Flows:
    """Return the flows of the accounts to which so much was given; `poolers` are other accounts."""
    funded, collected = Counter(given), Counter[str]()
    for payment in payments:
        if payment.destination in poolers:
            collected[payment.source] += payment.amount
        elif payment.source in given:
            funded[payment.source] -= payment.amount
        if payment.destination in given:
            funded[payment.destination] += payment.amount
    return Flows(funded=funded, collected=collected)


def told_otherwise(
    payments: Sequence[SeenPayment], told: Sequence[asyncpg.Record], whose: str
) -> list[str]:
    """Return payments that are not on the chain as often as on record; `whose` are the records."""
    seen = Counter(payment.key for payment in payments)
    known = Counter(map(_key, told))
    return [
        f"payment of {key}: {seen[key]} on the chain, {known[key]} recorded by {whose}"
        for key in sorted({*seen, *known}, key=str)
        if seen[key] != known[key]
    ]


async def pooler_accounts(records: Records) -> list[str]:
    """Return the addresses of poolers' accounts."""
    return [row["address"] for row in await records.many("pooler_accounts")]


async def payment_differences(
    records: Records, rpc_url: str, payments: Sequence[SeenPayment]
) -> list[str]:
    """Compare what wallet, harvest and the ledger say of payments with the chain.

    `payments` are all that the chain had.
    """
    by_wallet = await records.many("payments_by_wallet")
    withdrawn = Counter(_key(row) for row in by_wallet if not row["is_payout"])
    payouts = Counter(payment.key for payment in payments) - withdrawn
    paid_out = [SeenPayment(source=a, destination=b, amount=c) for a, b, c in payouts.elements()]
    by_harvest = await records.many("payments_by_harvest")
    return [
        *told_otherwise(payments, by_wallet, "wallet"),
        *told_otherwise(paid_out, by_harvest, "harvest"),
        *await _poolers(records, rpc_url),
    ]


async def _poolers(records: Records, rpc_url: str) -> list[str]:
    """Compare what the ledger says of poolers' accounts with the chain."""
    rows = await records.many("pooler_accounts")
    held = await read_kale_balances(rpc_url, [row["address"] for row in rows], kale())
    return [
        f"account of pooler {row['pooler_id']}: the ledger says {row['held']}, the chain "
        f"{held.get(row['address'], 0)}"
        for row in rows
        if held.get(row["address"], 0) != row["held"]
    ]


def _key(row: asyncpg.Record) -> tuple[str, str, int]:
    return row["source"], row["destination"], row["amount"]
