"""The method getLedgers."""

from typing import Any

from stellar_sdk import xdr

from localnet.ledger.close import ClosedLedger
from localnet.ledger.xdr_json import to_json
from localnet.rpc.context import Params, RpcContext
from localnet.rpc.encoding import base64
from localnet.rpc.errors import invalid_params
from localnet.rpc.paging import (
    cursor_of,
    page_limit,
    parse_number,
    start_ledger,
    wants_json_page,
)

#: Number of ledgers in a page: the default, and the maximum.
DEFAULT_LIMIT = 5
MAX_LIMIT = 200


async def get_ledgers(rpc: RpcContext, params: Params) -> dict[str, Any]:
    """Return a page of ledgers."""
    as_json, limit = wants_json_page(params), page_limit(params, DEFAULT_LIMIT, MAX_LIMIT)
    first = _first(rpc, params)
    last = min(first + limit - 1, rpc.latest.sequence)
    page = [_ledger(ledger, as_json=as_json) for ledger in rpc.node.history.range(first, last)]
    return {
        "ledgers": page,
        "latestLedger": rpc.latest.sequence,
        "latestLedgerCloseTime": rpc.latest.close_time,
        "oldestLedger": rpc.oldest.sequence,
        "oldestLedgerCloseTime": rpc.oldest.close_time,
        "cursor": str(last),
    }


def _first(rpc: RpcContext, params: Params) -> int:
    """Return the first ledger of the page."""
    cursor = cursor_of(params)
    if not cursor:
        return start_ledger(rpc, params)
    first = parse_number(cursor, "ParseUint", 32) + 1
    oldest, latest = rpc.oldest.sequence, rpc.latest.sequence
    if not oldest <= first <= latest:
        raise invalid_params(
            f"cursor ('{cursor}') must be between the oldest ledger: {oldest} and the latest"
            f" ledger: {latest} for this rpc instance"
        )
    return first


def _ledger(ledger: ClosedLedger, *, as_json: bool) -> dict[str, Any]:
    body: dict[str, Any] = {
        "hash": ledger.hash.hex(),
        "sequence": ledger.sequence,
        "ledgerCloseTime": str(ledger.close_time),
    }
    header, meta = ledger.header_entry(), ledger.close_meta()
    if as_json:
        # stellar-rpc leaves these members empty, not out.
        return body | {
            "headerXdr": "",
            "headerJson": to_json(xdr.LedgerHeaderHistoryEntry.from_xdr_bytes(header)),
            "metadataXdr": "",
            "metadataJson": to_json(xdr.LedgerCloseMeta.from_xdr_bytes(meta)),
        }
    return body | {"headerXdr": base64(header), "metadataXdr": base64(meta)}
