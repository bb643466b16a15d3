"""The method getLedgerEntries."""

from base64 import b64decode
from functools import lru_cache
from typing import Any

from stellar_sdk import xdr

from localnet.ledger.xdr_json import to_json
from localnet.rpc.context import Params, RpcContext, wants_json
from localnet.rpc.encoding import base64
from localnet.rpc.errors import INTERNAL_ERROR, RpcError, invalid_params

#: Maximum number of keys in one call.
MAX_KEYS = 200


@lru_cache(maxsize=4_096)  # whoever waits for a change asks for the same entries over and over
def _read_key(text: str) -> tuple[xdr.LedgerKey, bytes]:
    """Return the key and its XDR."""
    packed = b64decode(text, validate=True)
    return xdr.LedgerKey.from_xdr_bytes(packed), packed


def _parse_key(text: Any, index: int) -> tuple[xdr.LedgerKey, bytes]:
    try:
        return _read_key(text)
    except Exception as error:
        message = f"cannot unmarshal key value {text} at index {index}"
        raise invalid_params(message) from error


async def get_ledger_entries(rpc: RpcContext, params: Params) -> dict[str, Any]:
    """Return the live entries; a key without a live entry is left out."""
    as_json = wants_json(params)
    texts = params.get("keys", [])
    if len(texts) > MAX_KEYS:
        raise invalid_params(f"key count ({len(texts)}) exceeds maximum supported ({MAX_KEYS})")
    keys = [_parse_key(text, index) for index, text in enumerate(texts)]
    if any(key.type is xdr.LedgerEntryType.TTL for key, _ in keys):
        raise invalid_params("ledger ttl entries cannot be queried directly")
    _check_query([packed for _, packed in keys])
    snapshot = rpc.snapshot
    found = (_entry(rpc, key, packed, as_json=as_json) for key, packed in keys)
    entries = [entry for entry in found if entry is not None]
    return {"entries": entries, "latestLedger": snapshot.sequence}


def _check_query(keys: list[bytes]) -> None:
    """Refuse what stellar-core refuses when stellar-rpc asks it: no key, and a key twice."""
    if not keys:
        reason = "no keys specified in request"
    elif len(set(keys)) < len(keys):
        reason = "http request failed with non-200 status code (404)"
    else:
        return
    raise RpcError(INTERNAL_ERROR, f"could not query captive core: {reason}")


def _entry(
    rpc: RpcContext, key: xdr.LedgerKey, packed: bytes, *, as_json: bool
) -> dict[str, Any] | None:
    record = rpc.snapshot.get(packed)
    if record is None:
        return None
    entry = record.entry
    # lastModified comes first, then the data, then the extension.
    ext = entry.ext.to_xdr_bytes()
    data = record.packed[4 : -len(ext)]
    answer: dict[str, Any]
    if as_json:
        answer = {
            "keyJson": to_json(key),
            "dataJson": to_json(entry.data),
            "lastModifiedLedgerSeq": record.last_modified,
        }
    else:
        answer = {
            "key": base64(packed),
            "xdr": base64(data),
            "lastModifiedLedgerSeq": record.last_modified,
        }
    if record.live_until is not None:
        answer["liveUntilLedgerSeq"] = record.live_until
    answer |= {"extJson": to_json(entry.ext)} if as_json else {"extXdr": base64(ext)}
    return answer
