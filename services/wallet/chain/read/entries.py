"""Decoding of ledger entries into the domain's types."""

from collections.abc import Mapping
from typing import Any

from stellar_sdk import Address, scval, xdr

from services.wallet.chain.node.fields import INT64, UINT32
from services.wallet.chain.read.account_bytes import AccountFields, TrustlineFields
from services.wallet.chain.read.record_bytes import read_record
from services.wallet.domain.chain_facts import AccountState, BlockState, FarmState, PailState

#: TrustLineFlags.AUTHORIZED_FLAG
_AUTHORIZED = 1
#: Bytes of a block's entropy.
_ENTROPY = 32
#: The fields of a Pail; others, which another version of the farm may have, are passed over.
_PAIL_FIELDS = ("sequence", "stake", "gap", "zeros")
#: The largest value of each number in a Block; a sum of weights has more than 64 bits.
_BLOCK_NUMBERS: Mapping[str, int] = {
    "timestamp": INT64,
    "min_gap": UINT32,
    "max_gap": UINT32,
    "min_stake": INT64,
    "max_stake": INT64,
    "min_zeros": UINT32,
    "max_zeros": UINT32,
    "staked_total": INT64,
    "normalized_total": 2**127 - 1,
}


def account_state(
    address: str,
    account: AccountFields | TrustlineFields | None,
    line: AccountFields | TrustlineFields | None,
) -> AccountState:
    """Return the state of an account with its trustline; either may be absent."""
    if not isinstance(account, AccountFields):
        return AccountState(address=address, exists=False)
    found = line if isinstance(line, TrustlineFields) else None
    usable = found if found is not None and found.flags & _AUTHORIZED else None
    return AccountState(
        address=address,
        exists=True,
        xlm=account.balance,
        sequence=account.sequence,
        used_ledger=account.used_ledger,
        reserves=account.reserves,
        obeys=account.obeys,
        obeys_fully=account.obeys_fully,
        xlm_bound=account.selling,
        xlm_room=max(0, INT64 - account.balance - account.buying),
        has_trustline=usable is not None,
        is_frozen=found is not None and usable is None,
        kale=0 if usable is None else usable.balance,
        kale_bound=0 if usable is None else usable.selling,
        kale_room=0 if usable is None else _room(usable),
    )


def _room(line: TrustlineFields) -> int:
    """Return the stroops that a line can still receive."""
    return max(0, line.limit - line.balance - line.buying)


def decode_farm(instance: xdr.LedgerEntryData) -> tuple[FarmState, int]:
    """Return the farm without its block, and the block index; unknown instance keys are ignored."""
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
        timestamp=_number(_record(fields["FarmBlock"]), "timestamp", INT64),
        paused=paused,
        token=token.address,
        code_hash=code.hash.hex() if code is not None else "",
        block=None,
    )
    return farm, index


def decode_block(
    index: int, entry: xdr.LedgerEntryData, *, live_until: int, modified: int
) -> BlockState:
    """Decode a Block record."""
    return block_state(index, _record(_value(entry)), live_until=live_until, modified=modified)


def block_state(
    index: int, fields: Mapping[str, Any], *, live_until: int, modified: int
) -> BlockState:
    """Return the state of a block by the fields of its record."""
    entropy = fields["entropy"]
    if not isinstance(entropy, bytes) or len(entropy) != _ENTROPY:
        raise ValueError("a block without its entropy")
    for name, most in _BLOCK_NUMBERS.items():
        _number(fields, name, most)
    known = {name: fields[name] for name in ("entropy", *_BLOCK_NUMBERS)}
    return BlockState(index=index, live_until=live_until, modified=modified, **known)


def decode_pail(entry: bytes, *, key: bytes, live_until: int) -> PailState:
    """Decode a Pail record: the LedgerEntryData under a LedgerKey."""
    fields: dict[str, Any] | None = read_record(entry, key)
    if fields is None:
        fields = _record(_value(xdr.LedgerEntryData.from_xdr_bytes(entry)))
    _number(fields, "sequence", UINT32)
    _number(fields, "stake", INT64)
    for name in ("gap", "zeros"):
        if fields[name] is not None:
            _number(fields, name, UINT32)
    known = {name: fields[name] for name in _PAIL_FIELDS}
    return PailState(live_until=live_until, **known)


def _number(fields: Mapping[str, Any], name: str, most: int) -> int:
    value = fields[name]
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError(f"a record whose {name} is no number from 0 to {most}")
    return value


def _value(entry: xdr.LedgerEntryData) -> xdr.SCVal:
    if entry.contract_data is None:
        raise ValueError("not contract data")
    return entry.contract_data.val


def _record(value: xdr.SCVal) -> dict[str, Any]:
    if value.map is None:
        raise ValueError("not a record")
    return {scval.from_symbol(item.key): scval.to_native(item.val) for item in value.map.sc_map}
