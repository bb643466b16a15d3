"""Recorded transactions, applied again here: the same result, fee, changes and events."""

from dataclasses import replace
from typing import Any

import pytest
from stellar_sdk import xdr

from localnet.ledger.accounts import Account, load_account, store_account
from localnet.ledger.apply import Applied
from localnet.ledger.close import close, seal
from localnet.ledger.history import Found
from localnet.ledger.packing import TransactionSet
from localnet.ledger.settings import BASE_FEE
from localnet.ledger.state import Changes, Snapshot
from localnet.ledger.transaction import Transaction, parse
from localnet.ledger.xdr_json import to_json
from localnet.rpc.encoding import base64
from localnet.rpc.transactions import transaction_json
from tests.support.localnet_chain import make_node
from tests.support.localnet_recordings import Recording, names, recording, state_at

#: Failures of which no recording shows the state before (another block was open).
_UNKNOWN_STATE = {"get_tx_plant_stale_footprint", "get_tx_failed_pail_exists"}
TRANSACTIONS = [
    n
    for n in names("get_tx")
    if "resultMetaXdr" in (recording(n).result or {}) and n not in _UNKNOWN_STATE
]
#: Metrics that depend on the real VM, and the event that tells how far it got.
_VM_METRICS = {"cpu_insn", "mem_byte", "invoke_time_nsecs"}
_OVER_BUDGET = "operation instructions exceeds amount specified"


def _meta(call: Recording) -> xdr.TransactionMetaV4:
    assert call.result is not None
    meta = xdr.TransactionMeta.from_xdr(call.result["resultMetaXdr"]).v4
    assert meta is not None
    return meta


def _before(call: Recording, tx: Transaction) -> Snapshot:
    """The state before the ledger: entries that the meta shows, and the payer's fee given back."""
    assert call.result is not None
    meta = _meta(call)
    groups = [o.changes for o in meta.operations] + [meta.tx_changes_before]
    known = [c.state for g in groups for c in g.ledger_entry_changes if c.state is not None]
    known = [e for e in known if e.data.ttl is None]
    sequence = call.result["ledger"] - 1
    snapshot = state_at(sequence, int(call.result["createdAt"]) - 5, *known)
    changes = Changes(snapshot, sequence)
    payer = load_account(snapshot, tx.fee_source)
    assert payer is not None
    charged = int(_fee_events(meta)[0])
    store_account(changes, replace(payer, balance=payer.balance + charged))
    for raw in _signers(tx):
        if load_account(changes, raw) is None:
            store_account(changes, Account(raw=raw, balance=10**9, seq_num=1))
    added = {k: r for k, r in changes.applied().items() if r is not None}
    return replace(snapshot, records={**snapshot.records, **added})


def _signers(tx: Transaction) -> list[bytes]:
    """Accounts that signed entries inside: they were there, whatever they held."""
    call = tx.operations[0].body.invoke_host_function_op
    assert call is not None
    found = []
    for entry in call.auth:
        if entry.credentials.address is not None:
            account = entry.credentials.address.address.account_id
            assert account is not None
            assert account.account_id.ed25519 is not None
            found.append(account.account_id.ed25519.uint256)
    return found


def _fee_events(meta: xdr.TransactionMetaV4) -> list[str]:
    bodies = [e.event.body.v0 for e in meta.events]
    return [to_json(b.data)["i128"] for b in bodies if b is not None]


def apply_again(call: Recording) -> Applied:
    assert call.result is not None
    node = make_node()
    envelope = xdr.TransactionEnvelope.from_xdr(call.result["envelopeXdr"]).to_xdr_bytes()
    tx = parse(envelope, node.genesis.network.id)
    charged = int(_fee_events(_meta(call))[0])
    base_fee = (charged - tx.resource_fee) // tx.fee_operations
    chosen = TransactionSet(
        classic=(), classic_base_fee=BASE_FEE, clusters=((tx,),), soroban_base_fee=base_fee
    )
    snapshot = _before(call, tx)
    previous = seal(
        None,
        network=node.genesis.network,
        sequence=snapshot.sequence,
        close_time=snapshot.close_time,
        chosen=replace(chosen, clusters=()),
        applied=(),
    )
    closing = close(
        snapshot,
        previous,
        chosen,
        genesis=node.genesis,
        close_time=int(call.result["createdAt"]),
    )
    return closing.ledger.transactions[0]


def changes_of(meta: xdr.TransactionMetaV4) -> list[str]:
    """All changes of the operations, in any order: the real one is a hash table's."""
    groups = [o.changes.ledger_entry_changes for o in meta.operations]
    return sorted(str(to_json(c)) for g in groups for c in g)


def diagnostics_of(meta: xdr.TransactionMetaV4) -> list[Any]:
    """Diagnostics without what only the real VM knows."""
    found = []
    for event in meta.diagnostic_events:
        body = event.event.body.v0
        assert body is not None
        names_ = [t.sym.sc_symbol.decode() for t in body.topics if t.sym is not None]
        text = to_json(event)
        if not _VM_METRICS & set(names_):
            found.append(_OVER_BUDGET if _OVER_BUDGET in str(text) else text)
    return found


@pytest.mark.parametrize("name", TRANSACTIONS)
def test_same_result_fee_and_meta(name: str) -> None:
    call = recording(name)
    assert call.result is not None
    applied = apply_again(call)
    ours = to_json(xdr.TransactionResult.from_xdr_bytes(applied.result))
    theirs = to_json(xdr.TransactionResult.from_xdr(call.result["resultXdr"]))
    assert ours == theirs
    meta, real = xdr.TransactionMeta.from_xdr_bytes(applied.meta).v4, _meta(call)
    assert meta is not None
    assert meta.soroban_meta is not None
    assert real.soroban_meta is not None
    assert to_json(meta.soroban_meta) == to_json(real.soroban_meta)
    assert [to_json(e) for e in meta.events] == [to_json(e) for e in real.events]
    assert changes_of(meta) == changes_of(real)
    assert [to_json(e) for o in meta.operations for e in o.events] == [
        to_json(e) for o in real.operations for e in o.events
    ]


@pytest.mark.parametrize("name", TRANSACTIONS)
def test_same_diagnostics(name: str) -> None:
    call = recording(name)
    meta = xdr.TransactionMeta.from_xdr_bytes(apply_again(call).meta).v4
    assert meta is not None
    assert diagnostics_of(meta) == diagnostics_of(_meta(call))


@pytest.mark.parametrize("name", TRANSACTIONS)
def test_same_sequence_and_payer_before(name: str) -> None:
    """txChangesBefore: the payer of a fee bump, and the source with its new sequence number."""
    call = recording(name)
    meta, real = xdr.TransactionMeta.from_xdr_bytes(apply_again(call).meta).v4, _meta(call)
    assert meta is not None
    assert to_json(meta.tx_changes_before) == to_json(real.tx_changes_before)


@pytest.mark.parametrize("name", [n for n in TRANSACTIONS if not n.endswith("_json")])
def test_same_shape_of_the_answer(name: str) -> None:
    call = recording(name)
    assert call.result is not None
    applied = apply_again(call)
    ledger = make_node().history.latest
    ours = transaction_json(Found(ledger=ledger, order=1, transaction=applied), as_json=False)
    missing = {"latestLedger", "latestLedgerCloseTime", "oldestLedger", "oldestLedgerCloseTime"}
    assert ours.keys() == call.result.keys() - missing
    assert ours["events"].keys() == call.result["events"].keys()
    for member in ("status", "txHash", "feeBump", "envelopeXdr", "resultXdr"):
        assert ours[member] == call.result[member]
    assert base64(applied.envelope) == call.result["envelopeXdr"]
