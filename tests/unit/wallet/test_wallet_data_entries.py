"""Which root is written into the treasury's data entry, and what becomes of the others."""

from dataclasses import replace

import pytest
from stellar_sdk import Keypair, ManageData, TransactionEnvelope, xdr

from libs.kale.statements.roots import ENTRY_NAME, entry_value
from services.wallet.chain.build.data_entries import data_key, sign_data_entry
from services.wallet.chain.networks import network_for
from services.wallet.domain.bids import Bid
from services.wallet.domain.data_entries import publishing
from services.wallet.domain.kinds import OPERATION_KINDS, Carrier
from services.wallet.domain.model import (
    FailureReason,
    OperationEvent,
    OperationKind,
    QueuedOperation,
)
from services.wallet.keys.signer import SeedSigner
from tests.support.signing import operation

LEDGER = 77


def root(day: int) -> QueuedOperation:
    """A root that waits."""
    waiting = operation(OperationKind.DATA_ENTRY, block=day)
    return replace(waiting, hash=bytes([day]) * 32)


def test_the_newest_is_written_and_the_others_are_given_up() -> None:
    first, newest, second = root(5), root(9), root(7)
    found = publishing([first, newest, second], entry_value(4, b"r" * 32), LEDGER)
    assert found.newest == newest
    assert [(one.operation_id, one.event, one.reason) for one in found.settled] == [
        (item.id, OperationEvent.FAIL, FailureReason.EXPIRED) for item in (first, second)
    ]


@pytest.mark.parametrize("value", [None, b"", b"something else"])
def test_a_value_that_is_no_root_is_replaced(value: bytes | None) -> None:
    newest = root(9)
    assert publishing([newest], value, LEDGER).newest == newest


def test_one_that_stands_there_is_done_without_a_transaction() -> None:
    newest = root(9)
    found = publishing([newest], entry_value(9, bytes([9]) * 32), LEDGER)
    (done,) = found.settled
    assert (found.newest, done.event, done.ledger) == (None, OperationEvent.SUCCEED, LEDGER)


def test_another_one_of_that_day_is_replaced_and_a_later_one_stays() -> None:
    newest = root(9)
    assert publishing([newest], entry_value(9, bytes(32)), LEDGER).newest == newest
    found = publishing([newest], entry_value(10, bytes(32)), LEDGER)
    (given_up,) = found.settled
    assert (found.newest, given_up.event) == (None, OperationEvent.FAIL)


def test_the_envelope_writes_the_entry_and_nothing_else() -> None:
    network, treasury = network_for("localnet"), SeedSigner(bytes(31) + b"2")
    signed = sign_data_entry(
        ENTRY_NAME,
        entry_value(9, b"r" * 32),
        treasury=treasury,
        sequence=12,
        network=network,
        bid=Bid(max_time=1234, inclusion_fee=200, max_fee=1000),
    )
    envelope = TransactionEnvelope.from_xdr(signed.xdr, network.passphrase)
    transaction = envelope.transaction
    (written,) = transaction.operations
    assert isinstance(written, ManageData)
    assert (written.data_name, written.data_value) == ("kalepool root", b"\0\0\0\x09" + b"r" * 32)
    assert written.source is None
    assert (transaction.source.account_id, transaction.sequence) == (treasury.address, 12)
    assert signed.fee_bid == transaction.fee == 200
    (signature,) = envelope.signatures
    Keypair.from_public_key(treasury.address).verify(envelope.hash(), signature.signature)


def test_the_key_of_an_entry_names_account_and_entry() -> None:
    address = SeedSigner(bytes(31) + b"2").address
    key = xdr.LedgerKey.from_xdr(data_key(address, b"kalepool root"))
    assert key.data is not None
    assert key.data.data_name.string64 == b"kalepool root"


def test_the_treasury_carries_it_and_no_balance_moves() -> None:
    kind = OPERATION_KINDS[OperationKind.DATA_ENTRY]
    assert (kind.carrier, kind.moves_balance, kind.has_block) == (Carrier.TREASURY, False, False)
