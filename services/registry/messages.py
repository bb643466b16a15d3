"""Mapping of messages to the domain and back."""

import hashlib
import json
from uuid import UUID

from google.protobuf import json_format, struct_pb2
from kalepool.registry.v1 import registry_pb2

from libs.common.grpc.identity import Caller, CallerKind
from libs.common.ids import FarmerId, PoolerId, new_id
from libs.kale.amounts import format_percentage, parse_percentage
from services.registry.domain.leaving import Word
from services.registry.domain.model import Change, Farmer, NewFarmer, NewPooler, Pooler
from services.registry.domain.terms import NewTerms, Terms

#: Part of the balance that is staked when the request names none: the seed's default, 0.1.
DEFAULT_STAKE_BPS = 1_000


def new_pooler(
    request: registry_pb2.RegisterPoolerRequest, max_farmers: int
) -> tuple[NewPooler, Change]:
    """Return the arguments of RegisterPooler."""
    pooler = NewPooler(
        name=request.name,
        public_key=request.public_key,
        api_endpoint=request.api_endpoint,
        max_farmers=request.max_farmers or max_farmers,
    )
    return pooler, change("RegisterPooler", request.request_id, vars(pooler))


def pooler_change(request: registry_pb2.UpdatePoolerRequest) -> tuple[PoolerId, Change]:
    """Return the arguments of UpdatePooler."""
    pooler_id = PoolerId(UUID(request.pooler_id))
    values: dict[str, object] = {}
    if request.HasField("name"):
        values["name"] = request.name
    if request.HasField("api_endpoint"):
        values["api_endpoint"] = request.api_endpoint
    if request.HasField("max_farmers"):
        values["max_farmers"] = request.max_farmers
    if request.HasField("is_listed"):
        values["is_listed"] = request.is_listed
    if request.HasField("is_open_to_join"):
        values["is_open_to_join"] = request.is_open_to_join
    return pooler_id, change(f"UpdatePooler/{pooler_id}", request.request_id, values)


def new_farmer(
    request: registry_pb2.RegisterFarmerRequest, caller: Caller | None = None
) -> NewFarmer:
    """Return the arguments of RegisterFarmer, and whose word it is."""
    stake = DEFAULT_STAKE_BPS
    if request.stake_percentage:
        stake = parse_percentage(request.stake_percentage)
    metadata, payout = _metadata(request.metadata), request.payout_wallet_address
    said: dict[str, object] = {"stake": stake, "metadata": metadata, "payout": payout}
    # Left out where they are not given: a repeat from before they were there keeps its digest.
    if request.owner_account:
        said["owner"] = request.owner_account
    if request.terms_version:
        said["terms"] = request.terms_version
    return NewFarmer(
        pooler_id=PoolerId(UUID(request.pooler_id)),
        stake_bps=stake,
        payout_wallet_address=payout,
        owner_account=request.owner_account,
        terms_version=request.terms_version,
        has_stake=bool(request.stake_percentage),
        registered_by="" if caller is None else caller.actor,
        proof="" if caller is None else _proof(caller),
        metadata=metadata,
        request_id=request.request_id or str(new_id()),
        digest=_digest(said),
    )


def joining_farmer(request: registry_pb2.JoinPoolRequest, caller: Caller) -> NewFarmer:
    """Return the arguments of JoinPool, and whose word it is."""
    stake = DEFAULT_STAKE_BPS
    if request.stake_percentage:
        stake = parse_percentage(request.stake_percentage)
    owner, version = request.owner_account, request.terms_version
    return NewFarmer(
        pooler_id=PoolerId(UUID(request.pooler_id)),
        stake_bps=stake,
        payout_wallet_address="",
        owner_account=owner,
        terms_version=version,
        has_stake=bool(request.stake_percentage),
        registered_by=caller.actor,
        proof=_proof(caller),
        joins_itself=True,
        metadata="{}",
        # Apart from the pooler's own ids, and from those of other owner accounts.
        request_id=f"owner/{owner}/{request.request_id or new_id()}",
        digest=_digest({"joins": owner, "stake": stake, "terms": version}),
    )


def new_terms(request: registry_pb2.PublishTermsRequest) -> tuple[PoolerId, NewTerms, Change]:
    """Return the arguments of PublishTerms."""
    pooler_id = PoolerId(UUID(request.pooler_id))
    terms = NewTerms(
        stake_bps=parse_percentage(request.stake_percentage or "1"),
        pooler_bps=parse_percentage(request.pooler_fee),
        miners_bps=parse_percentage(request.miners_part or "0"),
        payout_threshold=request.payout_threshold,
        payout_interval_seconds=request.payout_interval_seconds,
        harvest_blocks=request.harvest_blocks or 1,
        text=request.text,
    )
    return pooler_id, terms, change(f"PublishTerms/{pooler_id}", request.request_id, vars(terms))


def word_of(caller: Caller) -> Word:
    """Return whose word it is that a farmer leaves, or stays."""
    return Word.POOLER if caller.kind is CallerKind.POOLER else Word.OPERATOR


def _proof(caller: Caller) -> str:
    """Return by what a caller is known, as wallet names it."""
    if caller.kind is CallerKind.OPERATOR:
        return "operator"
    if caller.kind is CallerKind.UNKNOWN:
        return "plaintext"
    if caller.kind is CallerKind.OWNER:
        return "owner"
    return "certificate" if caller.grant is None else "token"


def farmer_change(request: registry_pb2.UpdateFarmerRequest) -> tuple[FarmerId, Change]:
    """Return the arguments of UpdateFarmer."""
    farmer_id = FarmerId(UUID(request.farmer_id))
    values: dict[str, object] = {}
    if request.HasField("stake_percentage"):
        values["stake_bps"] = parse_percentage(request.stake_percentage)
    if request.HasField("metadata"):
        values["metadata"] = _metadata(request.metadata)
    if request.HasField("payout_wallet_address"):
        values["payout_wallet_address"] = request.payout_wallet_address
    return farmer_id, change(f"UpdateFarmer/{farmer_id}", request.request_id, values)


def change(method: str, request_id: str, values: dict[str, object]) -> Change:
    """Return a repeatable change."""
    return Change(request_id=request_id, method=method, digest=_digest(values), values=dict(values))


def pooler_message(pooler: Pooler) -> registry_pb2.Pooler:
    """Return the message of a pooler."""
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
    message.farms_for_itself = pooler.farms_for_itself
    message.terms_version = pooler.terms_version
    message.is_listed = pooler.is_listed
    message.is_open_to_join = pooler.is_open_to_join
    message.stage = registry_pb2.PoolerStage.Value(f"POOLER_STAGE_{pooler.stage.name}")
    if pooler.waits_for:
        message.waits_for.CopyFrom(_wait(pooler.waits_for, pooler.waits_message))
    message.registered_at.FromDatetime(pooler.created_at)
    if pooler.last_seen is not None:
        message.last_seen.FromDatetime(pooler.last_seen)
    return message


def terms_message(terms: Terms) -> registry_pb2.Terms:
    """Return the message of a pooler's terms."""
    message = registry_pb2.Terms(
        version=terms.version,
        stake_percentage=format_percentage(terms.stake_bps),
        pooler_fee=format_percentage(terms.pooler_bps),
        miners_part=format_percentage(terms.miners_bps),
        payout_threshold=terms.payout_threshold,
        payout_interval_seconds=terms.payout_interval_seconds,
        harvest_blocks=terms.harvest_blocks,
        text=terms.text,
        digest=terms.digest,
    )
    message.published_at.FromDatetime(terms.published_at)
    return message


def farmer_message(farmer: Farmer) -> registry_pb2.Farmer:
    """Return the message of a farmer."""
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
        owner_account=farmer.owner_account,
        terms_version=farmer.terms_version,
    )
    message.registered_at.FromDatetime(farmer.created_at)
    if farmer.leaving_since is not None:
        message.leaving_since.FromDatetime(farmer.leaving_since)
        message.leaving_word = registry_pb2.LeavingWord.Value(
            f"LEAVING_WORD_{farmer.leaving_word.upper()}"
        )
    if farmer.waits_for:
        message.waits_for.CopyFrom(_wait(farmer.waits_for, farmer.waits_message))
    return message


def _wait(reason: str, text: str) -> registry_pb2.LeavingWait:
    return registry_pb2.LeavingWait(reason=reason, message=text)


def registered_message(farmer: Farmer) -> registry_pb2.RegisterFarmerResponse:
    """Return the reply of RegisterFarmer: the seed's fields."""
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
    """Return the status as the proto names it."""
    return registry_pb2.FarmerStatus.Value(f"FARMER_STATUS_{farmer.status.name}")


def _metadata(metadata: struct_pb2.Struct) -> str:
    """Return the metadata as JSON, the same text for the same values."""
    return json.dumps(json_format.MessageToDict(metadata), sort_keys=True, ensure_ascii=False)


def _digest(values: dict[str, object]) -> bytes:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).digest()
