"""The work of a phase, read from the chain's JSON-RPC alone; no figure is the wallet's word."""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import aiohttp
from stellar_sdk import xdr

from devstack.chain_view import call_rpc, pail_changes, read_transactions
from devstack.farm_calls import inner_envelope

#: Most ledgers in a page of getLedgers.
_LEDGER_PAGE = 200
_CLASSIC = (xdr.LedgerEntryType.ACCOUNT, xdr.LedgerEntryType.TRUSTLINE)


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Resources that count towards a ledger's limits, as declared by transactions."""

    #: Transactions.
    transactions: float = 0
    #: CPU instructions.
    instructions: float = 0
    #: Bytes of envelopes.
    envelope_bytes: float = 0
    #: Classic entries in the footprint: classic entries are read from disk.
    disk_reads: float = 0
    #: Bytes read from disk.
    disk_read_bytes: float = 0
    #: Entries written.
    write_entries: float = 0
    #: Bytes written.
    write_bytes: float = 0

    def per(self, count: int) -> "Usage":
        """Return the share of one of `count` operations."""
        return Usage(**{name: getattr(self, name) / count for name in DIMENSIONS})


DIMENSIONS = tuple(field.name for field in fields(Usage))


@dataclass(frozen=True, kw_only=True)
class FarmTransaction:
    """One contract call in a ledger."""

    #: The ledger.
    ledger: int
    #: Operations of farmers that the call carried out: pails made, worked or harvested.
    operations: int
    #: Whether the transaction was applied successfully.
    ok: bool
    #: Stroops of XLM that the transaction cost.
    fee: int
    #: Resources that the transaction declared.
    usage: Usage


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of one ledger, as the chain's ConfigSetting entries say."""

    #: Limit in each dimension; the limit of instructions is that of one cluster.
    ledger: Usage
    #: Clusters of dependent transactions that run side by side.
    clusters: int


async def latest_ledger(session: aiohttp.ClientSession, rpc_url: str) -> int:
    """Return the sequence of the newest ledger."""
    answer = await call_rpc(session, rpc_url, "getLatestLedger", None)
    return int(answer["sequence"])


async def close_times(
    session: aiohttp.ClientSession, rpc_url: str, first: int, last: int
) -> dict[int, int]:
    """Return the close time (unix s) of each ledger of a range."""
    times: dict[int, int] = {}
    while first <= last:
        page = await call_rpc(
            session,
            rpc_url,
            "getLedgers",
            {"startLedger": first, "pagination": {"limit": min(_LEDGER_PAGE, last - first + 1)}},
        )
        found = {int(item["sequence"]): int(item["ledgerCloseTime"]) for item in page["ledgers"]}
        if not found:
            break
        times |= found
        first = max(found) + 1
    return times


async def farm_transactions(
    session: aiohttp.ClientSession, rpc_url: str, first: int, last: int
) -> list[FarmTransaction]:
    """Return the contract calls in a range of ledgers; only the wallet makes calls here."""
    return [
        parsed
        async for item in read_transactions(session, rpc_url, first=first)
        if item["ledger"] <= last and (parsed := _parse(item)) is not None
    ]


def _parse(item: dict[str, Any]) -> FarmTransaction | None:
    call = inner_envelope(xdr.TransactionEnvelope.from_xdr(item["envelopeXdr"]))
    if call is None or call.tx.ext.soroban_data is None:
        return None
    meta = xdr.TransactionMeta.from_xdr(item["resultMetaXdr"])
    if meta.v4 is None:
        raise ValueError("a transaction's meta is not of version 4")
    ok = item["status"] == "SUCCESS"
    result = xdr.TransactionResult.from_xdr(item["resultXdr"])
    return FarmTransaction(
        ledger=int(item["ledger"]),
        operations=len(pail_changes(meta.v4)) if ok else 0,
        ok=ok,
        fee=result.fee_charged.int64,
        usage=_usage(call),
    )


def _usage(call: xdr.TransactionV1Envelope) -> Usage:
    """Return the resources that a transaction uses.

    The bytes of a fee bump do not count towards a ledger's limit, only the bytes of the transaction
    inside of the fee bump.
    """
    if call.tx.ext.soroban_data is None:
        raise ValueError("not a contract call")
    resources = call.tx.ext.soroban_data.resources
    reads, writes = resources.footprint.read_only, resources.footprint.read_write
    envelope = xdr.TransactionEnvelope(xdr.EnvelopeType.ENVELOPE_TYPE_TX, v1=call)
    return Usage(
        transactions=1,
        instructions=resources.instructions.uint32,
        envelope_bytes=len(envelope.to_xdr_bytes()),
        disk_reads=sum(key.type in _CLASSIC for key in (*reads, *writes)),
        disk_read_bytes=resources.disk_read_bytes.uint32,
        write_entries=len(writes),
        write_bytes=resources.write_bytes.uint32,
    )


async def read_limits(session: aiohttp.ClientSession, rpc_url: str) -> Limits:
    """Return the limits of a ledger; RuntimeError when the node does not have the settings."""
    wanted = (
        xdr.ConfigSettingID.CONFIG_SETTING_CONTRACT_COMPUTE_V0,
        xdr.ConfigSettingID.CONFIG_SETTING_CONTRACT_LEDGER_COST_V0,
        xdr.ConfigSettingID.CONFIG_SETTING_CONTRACT_BANDWIDTH_V0,
        xdr.ConfigSettingID.CONFIG_SETTING_CONTRACT_EXECUTION_LANES,
        xdr.ConfigSettingID.CONFIG_SETTING_CONTRACT_PARALLEL_COMPUTE_V0,
    )
    answer = await call_rpc(
        session, rpc_url, "getLedgerEntries", {"keys": [_config_key(item) for item in wanted]}
    )
    entries = [xdr.LedgerEntryData.from_xdr(item["xdr"]) for item in answer["entries"] or []]
    return _limits([entry.config_setting for entry in entries if entry.config_setting])


def _config_key(setting: xdr.ConfigSettingID) -> str:
    key = xdr.LedgerKey(
        xdr.LedgerEntryType.CONFIG_SETTING,
        config_setting=xdr.LedgerKeyConfigSetting(config_setting_id=setting),
    )
    return base64.b64encode(key.to_xdr_bytes()).decode()


def _limits(settings: Sequence[xdr.ConfigSettingEntry]) -> Limits:
    compute = _one(item.contract_compute for item in settings)
    cost = _one(item.contract_ledger_cost for item in settings)
    bandwidth = _one(item.contract_bandwidth for item in settings)
    lanes = _one(item.contract_execution_lanes for item in settings)
    parallel = _one(item.contract_parallel_compute for item in settings)
    return Limits(
        ledger=Usage(
            transactions=lanes.ledger_max_tx_count.uint32,
            instructions=compute.ledger_max_instructions.int64,
            envelope_bytes=bandwidth.ledger_max_txs_size_bytes.uint32,
            disk_reads=cost.ledger_max_disk_read_entries.uint32,
            disk_read_bytes=cost.ledger_max_disk_read_bytes.uint32,
            write_entries=cost.ledger_max_write_ledger_entries.uint32,
            write_bytes=cost.ledger_max_write_bytes.uint32,
        ),
        clusters=parallel.ledger_max_dependent_tx_clusters.uint32,
    )


def _one(values: Iterable[Any]) -> Any:
    for value in values:
        if value is not None:
            return value
    raise RuntimeError("the node does not tell all of its settings")
