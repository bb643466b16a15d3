"""Examples of requests and replies, made from the descriptors: the same for the same protos."""

from collections.abc import Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from kalepool.rules.v1 import rules_pb2

from gateway.values import rules_of

_FARMER = "0190a5f0-6c2e-7b41-8a53-000000000001"
_POOLER = "0190a5f0-6c2e-7b41-8a53-000000000002"
_OTHER = "0190a5f0-6c2e-7b41-8a53-000000000003"
_ACCOUNT = "GAAACAQDAQCQMBYIBEFAWDANBYHRAEISCMKBKFQXDAMRUGY4DUPB7JZX"
_HASH = "3389e9f0f1a65f19736cacf544c2e825313e8447f569233bb8db39aa607c8889"
_MOMENT = "2026-01-31T12:00:00Z"
#: 64 bytes, and 32.
_SIGNATURE = "A" * 86 + "=="
_BYTES = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

#: By the name of the field.
_TEXTS: Mapping[str, str] = {
    "request_id": "0190a5f0-6c2e-7b41-8a53-00000000000a",
    "pooler_id": _POOLER,
    "farmer_id": _FARMER,
    "farmer_ids": _FARMER,
    "name": "north",
    "public_key": _ACCOUNT,
    "custodial_wallet": _ACCOUNT,
    "payout_wallet_address": _ACCOUNT,
    "payout_address": _ACCOUNT,
    "owner_account": _ACCOUNT,
    "pending_owner_account": "",
    "pooler_fee": "0.05",
    "operator_fee": "0.01",
    "miners_part": "0.2",
    "max_fee": "0.3",
    "pending_address": "",
    "address": _ACCOUNT,
    "miner_address": _ACCOUNT,
    "destination": _ACCOUNT,
    "api_endpoint": "https://pooler.example",
    "stake_percentage": "0.25",
    "transaction_hash": _HASH,
    "error_message": "",
    "page_token": "",
    "next_page_token": "",
    "service": "registry",
    "version": "0.1.0",
    "type": "testnet",
    "kale_contract_id": "CDSWUUXGPWDZG76ISK6SUCVPZJMD5YUV66J2FXFXFGDX25XKZJIEITAO",
    "normalized_total": "1234567890123456789012",
    "reason": "",
    "month": "2026-01",
    "day": "2026-01-31",
    "account": _ACCOUNT,
    "amount": "12500000",
    "total": "12500000",
    **dict.fromkeys(("digest", "hash", "history", "previous", "record"), _HASH),
    **dict.fromkeys(("salt", "tree_hash"), _HASH),
}
_NUMBERS: Mapping[str, int] = {
    "block_index": 12345,
    "index": 12345,
    "after_index": 12344,
    "current_block": 12345,
    "plantable_block": 12345,
    "ledger": 1_500_000,
    "nonce": 123_456_789,
    "timestamp": 1_769_860_800_000,
    "amount": 12_500_000,
    "max_farmers": 1000,
    "max_farmers_capacity": 100,
    "page_size": 100,
    "zeros": 7,
    "gap": 12,
}
_WELL_KNOWN: Mapping[str, Any] = {
    "google.protobuf.Timestamp": _MOMENT,
    "google.protobuf.Duration": "1.5s",
    "google.protobuf.Struct": {"minerInfo": "16 cores"},
}
_LONG = frozenset({FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64})
#: Messages in one another at most.
_DEPTH = 6


def example_of(
    descriptor: Descriptor, *, left_out: tuple[str, ...] = (), depth: int = _DEPTH
) -> Any:
    """Return an example of a message as JSON; of a oneof it has the first field."""
    known = _WELL_KNOWN.get(descriptor.full_name)
    if known is not None:
        return known
    found: dict[str, Any] = {}
    for field in descriptor.fields:
        oneof = field.containing_oneof
        is_other = oneof is not None and oneof.fields[0].name != field.name
        if field.name in left_out or is_other or (depth == 0 and field.message_type):
            continue
        found[field.json_name] = value_of(field, depth=depth)
    return found


def value_of(field: FieldDescriptor, *, depth: int = _DEPTH) -> Any:
    """Return an example of a field's value."""
    inner = field.message_type
    if inner is not None and inner.GetOptions().map_entry:
        value = value_of(inner.fields_by_name["value"], depth=depth - 1)
        return {"plant": value}
    one = _one(field, depth)
    return [one] if field.is_repeated else one


def _one(field: FieldDescriptor, depth: int) -> Any:
    if field.message_type is not None:
        return example_of(field.message_type, depth=depth - 1)
    if field.enum_type is not None:
        values = field.enum_type.values
        is_plain = field.name in {"reason"} or len(values) == 1
        return values[0 if is_plain else 1].name
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _SIGNATURE if field.name == "signature" else _BYTES
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return True
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return _text(field)
    number = _NUMBERS.get(field.name, 1)
    return str(number) if field.cpp_type in _LONG else number


def _text(field: FieldDescriptor) -> str:
    known = _TEXTS.get(field.name)
    if known is not None:
        return known
    is_id = field.name.endswith("_id") or rules_of(field).format == rules_pb2.FORMAT_UUID
    return _OTHER if is_id else "text"
