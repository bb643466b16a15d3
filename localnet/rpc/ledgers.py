"""The method getLedgers."""

from typing import Any

from stellar_sdk import xdr

from localnet.ledger.close import ClosedLedger
from localnet.ledger.xdr_json import to_json
from localnet.rpc.context import Params, RpcContext, wants_json
from localnet.rpc.encoding import base64
from localnet.rpc.errors import invalid_params
from localnet.rpc.paging import page_limit, start_ledger

#: Number of ledgers in a page: the default, and the maximum.
DEFAULT_LIMIT = 5
MAX_LIMIT = 200


async def get_ledgers(rpc: RpcContext, params: Params) -> dict[str, Any]:
    """Return a page of ledgers."""
    as_json, limit = wants_json(params), page_limit(params, DEFAULT_LIMIT, MAX_LIMIT)
    cursor = (params.get("pagination") or {}).get("cursor")
    if not cursor:
        first = start_ledger(rpc, params)
    elif not str(cursor).isdigit():
        raise invalid_params(f"invalid cursor: {cursor}")
    else:
        first = int(cursor) + 1
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
