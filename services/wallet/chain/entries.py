"""Ledger entries decoded into the model."""

from base64 import b64decode
from typing import Any

from stellar_sdk import Address, scval, xdr

from services.wallet.chain.account_bytes import read_account, read_trustline
from services.wallet.chain.model import AccountState, BlockState, FarmState, PailState
from services.wallet.chain.record_bytes import read_record

#: TrustLineFlags.AUTHORIZED_FLAG
_AUTHORIZED = 1


def decode_account(address: str, account: str | None, trustline: str | None) -> AccountState:
    """An account with its trustline, both LedgerEntryData in base64; either may be absent."""
    if account is None:
        return AccountState(address=address, exists=False)
    fields = read_account(b64decode(account))
    line = None if trustline is None else read_trustline(b64decode(trustline))
    usable = line is not None and bool(line.flags & _AUTHORIZED)
    return AccountState(
        address=address,
        exists=True,
        xlm=fields.balance,
        sequence=fields.sequence,
        used_ledger=fields.used_ledger,
        reserves=fields.reserves,
        obeys=fields.obeys,
        has_trustline=usable,
        kale=line.balance if line is not None and usable else 0,
    )


def decode_farm(instance: xdr.LedgerEntryData) -> tuple[FarmState, int]:
    """The farm without its block, and the block index; unknown instance keys are passed over."""
    data = instance.contract_data
    if data is None or data.val.instance is None:
        raise ValueError("not a contract instance")
    stored = data.val.instance.storage
    fields: dict[str, xdr.SCVal] = {}
    for item in stored.sc_map if stored is not None else []:
        if item.key.vec is not None and len(item.key.vec.sc_vec) == 1:
            fields[scval.from_symbol(item.key.vec.sc_vec[0])] = item.val
    code = data.val.instance.executable.wasm_hash
    index = scval.from_uint32(fields["FarmIndex"]) if "FarmIndex" in fields else 0
    paused = "FarmPaused" in fields and scval.from_bool(fields["FarmPaused"])
    token: Address = scval.from_address(fields["HomesteadAsset"])
    farm = FarmState(
        index=index,
        timestamp=_record(fields["FarmBlock"])["timestamp"],
        paused=paused,
        token=token.address,
        code_hash=code.hash.hex() if code is not None else "",
        block=None,
    )
    return farm, index


def decode_block(
    index: int, entry: xdr.LedgerEntryData, *, live_until: int, modified: int
) -> BlockState:
    """A Block record."""
    fields = _record(_value(entry))
    return BlockState(index=index, live_until=live_until, modified=modified, **fields)


def decode_pail(entry: str, *, key: str, live_until: int) -> PailState:
    """A Pail record: the LedgerEntryData under a LedgerKey, both in base64."""
    fields: dict[str, Any] | None = read_record(b64decode(entry), b64decode(key))
    if fields is None:
        fields = _record(_value(xdr.LedgerEntryData.from_xdr(entry)))
    return PailState(live_until=live_until, **fields)


def _value(entry: xdr.LedgerEntryData) -> xdr.SCVal:
    if entry.contract_data is None:
        raise ValueError("not contract data")
    return entry.contract_data.val


def _record(value: xdr.SCVal) -> dict[str, Any]:
    if value.map is None:
        raise ValueError("not a record")
    return {scval.from_symbol(item.key): scval.to_native(item.val) for item in value.map.sc_map}
