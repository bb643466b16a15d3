"""The closing of one ledger.

A state and a transaction set give the next state, the header and the history.
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from stellar_sdk import xdr

from localnet.ledger.apply import Applied, charge, execute, finish
from localnet.ledger.meta import array
from localnet.ledger.packing import TransactionSet
from localnet.ledger.settings import BASE_FEE, MAX_TX_SET_SIZE, PROTOCOL_VERSION, read_settings
from localnet.ledger.soroban_ops import SorobanContext
from localnet.ledger.state import Changes, Record, Snapshot, SnapshotAt
from localnet.ledger.transaction import Transaction
from localnet.network import BASE_RESERVE, TOTAL_COINS, Network
from localnet.soroban.uploads import FARM_CODE_BYTES

_ZERO_HASH = bytes(32)


@dataclass(frozen=True, kw_only=True)
class ClosedLedger:
    """One ledger of the history."""

    #: Sequence of the ledger.
    sequence: int
    #: Close time in seconds since 1970.
    close_time: int
    #: Hash of the header.
    hash: bytes
    #: LedgerHeader in XDR.
    header: bytes
    #: GeneralizedTransactionSet in XDR.
    tx_set: bytes
    #: Transactions in the order in which they were applied.
    transactions: tuple[Applied, ...]
    #: Stroops of all fees collected since the first ledger.
    fee_pool: int

    def header_entry(self) -> bytes:
        """Return the LedgerHeaderHistoryEntry in XDR."""
        return self.hash + self.header + bytes(4)

    def close_meta(self) -> bytes:
        """Return the LedgerCloseMeta v2 in XDR."""
        processing = [
            bytes(4) + t.hash + t.result + t.fee_changes + t.meta + t.refund_changes
            for t in self.transactions
        ]
        empty = array([])
        return (
            struct.pack(">ii", 2, 0)
            + self.header_entry()
            + self.tx_set
            + array(processing)
            + empty
            + empty
            + struct.pack(">Q", 0)
            + empty
        )


@dataclass(frozen=True, kw_only=True)
class Closing:
    """A ledger that is computed but not yet the latest one."""

    #: The ledger.
    ledger: ClosedLedger
    #: Entries that changed, by key; None means that the entry was removed.
    changes: dict[bytes, Record | None]


@dataclass(frozen=True, kw_only=True)
class Genesis:
    """The rules of a network that no ledger entry holds."""

    #: The network.
    network: Network
    #: The farm's block interval in seconds.
    block_seconds: int
    #: Bytes of code for which the farm's code pays rent.
    farm_code_bytes: int = FARM_CODE_BYTES


def close(
    snapshot: Snapshot,
    previous: ClosedLedger,
    chosen: TransactionSet,
    *,
    genesis: Genesis,
    close_time: int,
) -> Closing:
    """Apply a transaction set to a snapshot.

    The function is pure, so that it may run in a thread beside the event loop.
    """
    sequence = snapshot.sequence + 1
    state = Changes(SnapshotAt(snapshot=snapshot, sequence=sequence), sequence)
    context = SorobanContext(
        sequence=sequence,
        close_time=close_time,
        network_id=genesis.network.id,
        settings=read_settings(state),
        block_seconds=genesis.block_seconds,
        # Rent stays at its minimum until the state has gigabytes, which a localnet never reaches.
        state_size=0,
        farm_code_bytes=genesis.farm_code_bytes,
    )
    charged = [charge(tx, state, fee) for tx, fee in _ordered(chosen)]
    executed = [execute(c, state, network=genesis.network, context=context) for c in charged]
    applied = tuple(finish(e, state, genesis.network) for e in executed)
    ledger = seal(
        previous,
        network=genesis.network,
        sequence=sequence,
        close_time=close_time,
        chosen=chosen,
        applied=applied,
    )
    return Closing(ledger=ledger, changes=state.applied())


def _ordered(chosen: TransactionSet) -> list[tuple[Transaction, int]]:
    """Return the transactions in the order in which they are applied, each with its base fee.

    Classic transactions come first. Within a phase the order is by hash, so that nobody can choose
    a place.
    """

    def by_hash(transactions: Iterable[Transaction]) -> list[Transaction]:
        return sorted(transactions, key=lambda tx: tx.hash)

    classic = [(tx, chosen.classic_base_fee) for tx in by_hash(chosen.classic)]
    clusters = (by_hash(cluster) for cluster in chosen.clusters)
    return classic + [(tx, chosen.soroban_base_fee) for cluster in clusters for tx in cluster]


def pack_tx_set(chosen: TransactionSet, previous_hash: bytes) -> bytes:
    """Return the GeneralizedTransactionSet in XDR."""
    classic = [tx.envelope for tx in sorted(chosen.classic, key=lambda tx: tx.hash)]
    component = struct.pack(">iiq", 0, 1, chosen.classic_base_fee) + array(classic)
    classic_phase = struct.pack(">i", 0) + array([component] if classic else [])
    clusters = [
        array([tx.envelope for tx in sorted(cluster, key=lambda tx: tx.hash)])
        for cluster in chosen.clusters
    ]
    stages = array([array(clusters)] if clusters else [])
    fee = struct.pack(">iq", 1, chosen.soroban_base_fee) if clusters else struct.pack(">i", 0)
    soroban_phase = struct.pack(">i", 1) + fee + stages
    phases = array([classic_phase, soroban_phase])
    return struct.pack(">i", 1) + previous_hash + phases


def seal(
    previous: ClosedLedger | None,
    *,
    network: Network,
    sequence: int,
    close_time: int,
    chosen: TransactionSet,
    applied: Sequence[Applied],
) -> ClosedLedger:
    """Make the header of a ledger over its transactions and its predecessor."""
    previous_hash = previous.hash if previous else _ZERO_HASH
    tx_set = pack_tx_set(chosen, previous_hash)
    results = array([t.hash + t.result for t in applied])
    fees = sum(int.from_bytes(t.result[:8], "big") for t in applied)
    fee_pool = (previous.fee_pool if previous else 0) + fees
    header = _header(
        sequence=sequence,
        value=_agreed(network, sha256(tx_set).digest(), close_time),
        fee_pool=fee_pool,
        previous_hash=previous_hash,
        results_hash=sha256(results).digest(),
        # Localnet has no buckets; a digest over the history takes the place of the bucket list's
        # hash.
        state_hash=sha256(previous_hash + results).digest(),
    )
    return ClosedLedger(
        sequence=sequence,
        close_time=close_time,
        hash=sha256(header).digest(),
        header=header,
        tx_set=tx_set,
        transactions=tuple(applied),
        fee_pool=fee_pool,
    )


def _agreed(network: Network, tx_set_hash: bytes, close_time: int) -> xdr.StellarValue:
    """Return what the validators agreed on, signed by the one that proposed it."""
    kind = xdr.EnvelopeType.ENVELOPE_TYPE_SCPVALUE
    signed = network.id + struct.pack(">i", kind) + tx_set_hash + struct.pack(">Q", close_time)
    signature = xdr.LedgerCloseValueSignature(
        node_id=xdr.NodeID(network.validator.xdr_account_id().account_id),
        signature=xdr.Signature(network.validator.sign(signed)),
    )
    return xdr.StellarValue(
        tx_set_hash=xdr.Hash(tx_set_hash),
        close_time=xdr.TimePoint(xdr.Uint64(close_time)),
        upgrades=[],
        ext=xdr.StellarValueExt(
            xdr.StellarValueType.STELLAR_VALUE_SIGNED, lc_value_signature=signature
        ),
    )


def _header(
    *,
    sequence: int,
    value: xdr.StellarValue,
    fee_pool: int,
    previous_hash: bytes,
    results_hash: bytes,
    state_hash: bytes,
) -> bytes:
    return xdr.LedgerHeader(
        ledger_version=xdr.Uint32(PROTOCOL_VERSION),
        previous_ledger_hash=xdr.Hash(previous_hash),
        scp_value=value,
        tx_set_result_hash=xdr.Hash(results_hash),
        bucket_list_hash=xdr.Hash(state_hash),
        ledger_seq=xdr.Uint32(sequence),
        total_coins=xdr.Int64(TOTAL_COINS),
        fee_pool=xdr.Int64(fee_pool),
        inflation_seq=xdr.Uint32(0),
        id_pool=xdr.Uint64(0),
        base_fee=xdr.Uint32(BASE_FEE),
        base_reserve=xdr.Uint32(BASE_RESERVE),
        max_tx_set_size=xdr.Uint32(MAX_TX_SET_SIZE),
        skip_list=[xdr.Hash(_ZERO_HASH)] * 4,
        ext=xdr.LedgerHeaderExt(0),
    ).to_xdr_bytes()
