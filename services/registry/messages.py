"""Messages to domain and back."""

import hashlib
import json
import re
from uuid import UUID

from google.protobuf import json_format, struct_pb2
from kalepool.registry.v1 import registry_pb2

from libs.common.grpc.validate import FieldChecks
from libs.common.ids import FarmerId, PoolerId, new_id
from libs.kale.address import account_address
from libs.kale.amounts import format_percentage, parse_percentage
from services.registry.domain.model import Change, Farmer, NewFarmer, NewPooler, Pooler

MAX_NAME, MAX_ENDPOINT = 255, 512
#: Bytes of a farmer's metadata as JSON.
MAX_METADATA = 8192
#: Objects and lists in one another; far below what a protobuf parser takes, so that a reply that
#: wraps the metadata once more can still be read.
MAX_METADATA_DEPTH = 16
#: An escaped NUL, which PostgreSQL cannot keep; not a backslash that is itself escaped.
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
#: Part of the balance that is staked when nothing is said: the seed's default, 0.1.
DEFAULT_STAKE_BPS = 1_000


def new_pooler(
    request: registry_pb2.RegisterPoolerRequest, max_farmers: int
) -> tuple[NewPooler, Change]:
    """RegisterPooler's arguments, checked."""
    checks = FieldChecks()
    pooler = NewPooler(
        name=checks.text("name", request.name, low=1, high=MAX_NAME),
        public_key=checks.parsed("public_key", request.public_key, account_address, ""),
        api_endpoint=checks.text("api_endpoint", request.api_endpoint, high=MAX_ENDPOINT),
        max_farmers=checks.number_or_default(
            "max_farmers", request.max_farmers, low=1, high=max_farmers, default=max_farmers
        ),
    )
    request_id = checks.request_id(request.request_id)
    checks.done()
    return pooler, change("RegisterPooler", request_id, vars(pooler))


def pooler_change(
    request: registry_pb2.UpdatePoolerRequest, max_farmers: int
) -> tuple[PoolerId, Change]:
    """UpdatePooler's arguments, checked."""
    checks = FieldChecks()
    pooler_id = PoolerId(checks.uuid("pooler_id", request.pooler_id))
    values: dict[str, object] = {}
    if request.HasField("name"):
        values["name"] = checks.text("name", request.name, low=1, high=MAX_NAME)
    if request.HasField("api_endpoint"):
        values["api_endpoint"] = checks.text(
            "api_endpoint", request.api_endpoint, high=MAX_ENDPOINT
        )
    if request.HasField("max_farmers"):
        values["max_farmers"] = checks.number(
            "max_farmers", request.max_farmers, low=1, high=max_farmers
        )
    request_id = checks.request_id(request.request_id)
    checks.done()
    return pooler_id, change(f"UpdatePooler/{pooler_id}", request_id, values)


def new_farmer(request: registry_pb2.RegisterFarmerRequest) -> NewFarmer:
    """RegisterFarmer's arguments, checked."""
    checks = FieldChecks()
    pooler_id = PoolerId(checks.uuid("pooler_id", request.pooler_id))
    stake = DEFAULT_STAKE_BPS
    if request.stake_percentage:
        stake = checks.parsed("stake_percentage", request.stake_percentage, parse_percentage, 0)
    metadata = _metadata(checks, request.metadata)
    payout = _payout(checks, request.payout_wallet_address)
    request_id = checks.request_id(request.request_id)
    checks.done()
    return NewFarmer(
        pooler_id=pooler_id,
        stake_bps=stake,
        payout_wallet_address=payout,
        metadata=metadata,
        request_id=request_id or str(new_id()),
        digest=_digest({"stake": stake, "metadata": metadata, "payout": payout}),
    )


def farmer_change(request: registry_pb2.UpdateFarmerRequest) -> tuple[FarmerId, Change]:
    """UpdateFarmer's arguments, checked."""
    checks = FieldChecks()
    farmer_id = FarmerId(checks.uuid("farmer_id", request.farmer_id))
    values: dict[str, object] = {}
    if request.HasField("stake_percentage"):
        values["stake_bps"] = checks.parsed(
            "stake_percentage", request.stake_percentage, parse_percentage, 0
        )
    if request.HasField("metadata"):
        values["metadata"] = _metadata(checks, request.metadata)
    if request.HasField("payout_wallet_address"):
        values["payout_wallet_address"] = _payout(checks, request.payout_wallet_address)
    request_id = checks.request_id(request.request_id)
    checks.done()
    return farmer_id, change(f"UpdateFarmer/{farmer_id}", request_id, values)


def change(method: str, request_id: str, values: dict[str, object]) -> Change:
    """A repeatable change."""
    return Change(request_id=request_id, method=method, digest=_digest(values), values=dict(values))


def pooler_message(pooler: Pooler) -> registry_pb2.Pooler:
    """A pooler as it is shown."""
    message = registry_pb2.Pooler(
        pooler_id=str(pooler.pooler_id),
        name=pooler.name,
        public_key=pooler.public_key,
        api_endpoint=pooler.api_endpoint,
        max_farmers=pooler.max_farmers,
        current_farmers=pooler.current_farmers,
        status=registry_pb2.POOLER_STATUS_ACTIVE
        if pooler.is_active
        else registry_pb2.POOLER_STATUS_SUSPENDED,
    )
    message.registered_at.FromDatetime(pooler.created_at)
    if pooler.last_seen is not None:
        message.last_seen.FromDatetime(pooler.last_seen)
    return message


def farmer_message(farmer: Farmer) -> registry_pb2.Farmer:
    """A farmer as it is shown."""
    message = registry_pb2.Farmer(
        farmer_id=str(farmer.farmer_id),
        custodial_wallet=farmer.custodial_wallet,
        pooler_id=str(farmer.pooler_id),
        status=farmer_status(farmer),
        stake_percentage=format_percentage(farmer.stake_bps),
        current_balance=farmer.current_balance,
        is_funded=farmer.is_funded,
        payout_wallet_address=farmer.payout_wallet_address,
        metadata=json_format.Parse(farmer.metadata, struct_pb2.Struct()),
    )
    message.registered_at.FromDatetime(farmer.created_at)
    return message


def registered_message(farmer: Farmer) -> registry_pb2.RegisterFarmerResponse:
    """The reply of RegisterFarmer: the seed's fields."""
    response = registry_pb2.RegisterFarmerResponse(
        farmer_id=str(farmer.farmer_id),
        custodial_wallet=farmer.custodial_wallet,
        pooler_id=str(farmer.pooler_id),
        status=farmer_status(farmer),
        current_balance=farmer.current_balance,
    )
    response.registered_at.FromDatetime(farmer.created_at)
    return response


def farmer_status(farmer: Farmer) -> registry_pb2.FarmerStatus.ValueType:
    """The status as the proto names it."""
    return registry_pb2.FarmerStatus.Value(f"FARMER_STATUS_{farmer.status.name}")


def after(checks: FieldChecks, page_token: str) -> UUID | None:
    """The id that a page begins after; None for the first page."""
    token = checks.page_token(page_token, [UUID])
    return None if token is None else token[0]


def _metadata(checks: FieldChecks, metadata: struct_pb2.Struct) -> str:
    try:
        values = json_format.MessageToDict(metadata)
    except (ValueError, json_format.SerializeToJsonError):
        checks.fail("metadata", "must not have numbers that JSON has not")
        return "{}"
    text = json.dumps(values, sort_keys=True, ensure_ascii=False)
    size = len(text.encode())
    if size > MAX_METADATA:
        checks.fail("metadata", f"must have at most {MAX_METADATA} bytes as JSON, not {size}")
    if _depth(values) > MAX_METADATA_DEPTH:
        checks.fail("metadata", f"must be at most {MAX_METADATA_DEPTH} levels deep")
    if _NUL.search(text):
        checks.fail("metadata", "must not have NUL characters")
    return text


def _depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    return 0


def _payout(checks: FieldChecks, address: str) -> str:
    return checks.parsed("payout_wallet_address", address, account_address, "") if address else ""


def _digest(values: dict[str, object]) -> bytes:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).digest()
