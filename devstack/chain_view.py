"""A view of the farming on the chain, for the verdict; read from the chain's JSON-RPC alone.

Nothing of the pool's code is used here, so that an error in it can't hide itself.
"""

import base64
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from stellar_sdk import Address, Asset, Keypair, scval, xdr
from stellar_sdk.soroban_rpc import GetTransactionStatus

from devstack.farm_calls import farm_calls

PAGE = 200


@dataclass(frozen=True, kw_only=True)
class ChainPlant:
    """A pail that was made."""

    #: Ledger that made it.
    ledger: int
    #: Stroops of KALE.
    stake: int


@dataclass(frozen=True, kw_only=True)
class ChainWork:
    """The last accepted work of a pail."""

    #: Ledgers between plant and work.
    gap: int
    #: Leading zero hex digits.
    zeros: int


@dataclass(kw_only=True)
class ChainView:
    """All farming on the chain by (address, block index)."""

    #: Pails made.
    plants: dict[tuple[str, int], ChainPlant] = field(default_factory=dict)
    #: The last accepted work of each pail.
    works: dict[tuple[str, int], ChainWork] = field(default_factory=dict)
    #: Rewards paid, in stroops of KALE, without the stake.
    harvests: dict[tuple[str, int], int] = field(default_factory=dict)


async def read_chain(rpc_url: str) -> ChainView:
    """Read every transaction that the node still has, page by page."""
    view = ChainView()
    async with aiohttp.ClientSession() as session:
        async for transaction in read_transactions(session, rpc_url):
            add_transaction(view, transaction)
    return view


async def read_kale_balances(
    rpc_url: str, addresses: Iterable[str], asset: Asset
) -> dict[str, int]:
    """Read trustline balances in stroops; an address without a trustline is absent."""
    keys = {_trustline_key(address, asset): address for address in addresses}
    balances: dict[str, int] = {}
    async with aiohttp.ClientSession() as session:
        ordered = list(keys)
        for start in range(0, len(ordered), PAGE):
            answer = await call_rpc(
                session, rpc_url, "getLedgerEntries", {"keys": ordered[start : start + PAGE]}
            )
            for entry in answer["entries"] or []:
                data = xdr.LedgerEntryData.from_xdr(entry["xdr"])
                assert data.trust_line is not None  # noqa: S101  (that is what was asked for)
                balances[keys[entry["key"]]] = data.trust_line.balance.int64
    return balances


async def read_transactions(
    session: aiohttp.ClientSession, rpc_url: str, *, first: int | None = None
) -> AsyncIterator[dict[str, Any]]:
    """Yield every transaction from ledger `first` (None: the oldest that the node has) to now."""
    if first is None:
        first = (await call_rpc(session, rpc_url, "getHealth", None))["oldestLedger"]
    parameters: dict[str, Any] = {"startLedger": first, "pagination": {"limit": PAGE}}
    while True:
        page = await call_rpc(session, rpc_url, "getTransactions", parameters)
        for transaction in page["transactions"]:
            yield transaction
        if len(page["transactions"]) < PAGE:
            return
        parameters = {"pagination": {"limit": PAGE, "cursor": page["cursor"]}}


async def call_rpc(
    session: aiohttp.ClientSession, rpc_url: str, method: str, parameters: object
) -> dict[str, Any]:
    """Make one JSON-RPC call; raise RuntimeError when the answer is an error."""
    request: dict[str, object] = {"jsonrpc": "2.0", "id": 1, "method": method}
    if parameters is not None:
        request["params"] = parameters
    async with session.post(rpc_url, json=request) as response:
        answer = await response.json(content_type=None)
    if "error" in answer:
        raise RuntimeError(f"{method}: {answer['error']}")
    result: dict[str, Any] = answer["result"]
    return result


def add_transaction(view: ChainView, transaction: dict[str, Any]) -> None:
    """Add the changes of one transaction of getTransactions.

    A failed transaction changed nothing.
    """
    if transaction["status"] != GetTransactionStatus.SUCCESS.value:
        return
    meta = xdr.TransactionMeta.from_xdr(transaction["resultMetaXdr"])
    if meta.v4 is None or meta.v4.soroban_meta is None:
        return
    rewards = {
        (call.farmer, call.block): call.value
        for call in farm_calls(transaction)
        if call.function == "harvest" and call.ok
    }
    for before, after in pail_changes(meta.v4):
        key, pail = after if after is not None else (before[0], None) if before else (None, None)
        if key is None:
            continue
        if pail is None:
            value = rewards.get(key)
            if value is None:
                raise ValueError("a pail is gone without a harvest")
            view.harvests[key] = scval.from_int128(value)
        elif before is None:
            view.plants[key] = ChainPlant(ledger=transaction["ledger"], stake=pail["stake"])
        elif pail["zeros"] is not None:
            view.works[key] = ChainWork(gap=pail["gap"], zeros=pail["zeros"])


#: ((address, block index), the record's fields).
Pail = tuple[tuple[str, int], dict[str, Any]]


def pail_changes(meta: xdr.TransactionMetaV4) -> list[tuple[Pail | None, Pail | None]]:
    """Return (before, after) of each pail that a transaction made, worked on or removed."""
    changes: list[tuple[Pail | None, Pail | None]] = []
    before: Pail | None = None
    for operation in meta.operations:
        for change in operation.changes.ledger_entry_changes:
            if change.state is not None:
                before = _pail(change.state)
            elif change.created is not None and (made := _pail(change.created)):
                changes.append((None, made))
            elif change.updated is not None and (changed := _pail(change.updated)):
                changes.append((before, changed))
            elif change.removed is not None and before is not None:
                changes.append((before, None))
                before = None
    return changes


def _pail(entry: xdr.LedgerEntry) -> Pail | None:
    data = entry.data.contract_data
    if data is None or data.key.vec is None:
        return None
    parts = data.key.vec.sc_vec
    if len(parts) != 3 or scval.from_symbol(parts[0]) != "Pail":
        return None
    address: Address = scval.from_address(parts[1])
    fields = {
        scval.from_symbol(item.key): scval.to_native(item.val)
        for item in (data.val.map.sc_map if data.val.map else [])
    }
    return (address.address, scval.from_uint32(parts[2])), fields


def _trustline_key(address: str, asset: Asset) -> str:
    key = xdr.LedgerKey(
        xdr.LedgerEntryType.TRUSTLINE,
        trust_line=xdr.LedgerKeyTrustLine(
            account_id=Keypair.from_public_key(address).xdr_account_id(),
            asset=asset.to_trust_line_asset_xdr_object(),
        ),
    )
    return base64.b64encode(key.to_xdr_bytes()).decode()
