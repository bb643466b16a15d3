"""Requests against their rules, and messages to domain and back, without a server."""

from typing import Any, cast

import pytest
from google.protobuf import struct_pb2
from hypothesis import given
from hypothesis import strategies as st
from kalepool.registry.v1 import registry_pb2
from stellar_sdk import Keypair

from libs.common.errors import InvalidArgumentError
from libs.common.grpc.identity import Caller, CallerKind, Grant
from libs.common.rules.book import RuleBook
from libs.common.rules.fields import Surroundings
from libs.kale.formats import FORMATS
from services.registry import messages

KEY = Keypair.from_raw_ed25519_seed(bytes(32)).public_key
BOOK = RuleBook(Surroundings(formats=FORMATS, settings={"MAX_FARMERS": 1000}))
BOOK.learn(cast("Any", registry_pb2).DESCRIPTOR.services_by_name["RegistryService"])
POOLER = "0190a5f0-0000-7000-8000-000000000001"


def farmer(**changes: Any) -> registry_pb2.RegisterFarmerRequest:
    """RegisterFarmer's arguments."""
    return registry_pb2.RegisterFarmerRequest(**{"pooler_id": POOLER, **changes})


def struct(value: dict[str, Any]) -> struct_pb2.Struct:
    """A Struct out of plain values."""
    message = struct_pb2.Struct()
    message.update(value)
    return message


def test_the_same_arguments_have_the_same_digest() -> None:
    one = messages.new_farmer(farmer(metadata=struct({"a": 1, "b": [2]}), stake_percentage="0.1"))
    two = messages.new_farmer(farmer(metadata=struct({"b": [2.0], "a": 1}), request_id="other"))
    assert one.digest == two.digest
    other = messages.new_farmer(farmer(metadata=struct({"a": 1, "b": [3]})))
    assert one.digest != other.digest


def test_a_request_from_before_a_field_keeps_its_digest() -> None:
    """A repeat after an update of the pool must find the registration that it repeats."""
    full = farmer(metadata=struct({"a": 1}), stake_percentage="0.5", payout_wallet_address=KEY)
    assert messages.new_farmer(farmer()).digest.hex()[:16] == "0581944434b19ba0"
    assert messages.new_farmer(full).digest.hex()[:16] == "c4fe55ee18004e7e"
    pooler = registry_pb2.RegisterPoolerRequest(name="one", public_key=KEY)
    _, change = messages.new_pooler(pooler, 1000)
    assert change.digest.hex()[:16] == "16239774c1d34f3f"


def test_a_registration_without_request_id_is_a_new_one() -> None:
    first, second = (messages.new_farmer(farmer()).request_id for _ in range(2))
    assert first != second


def joining(**changes: Any) -> registry_pb2.JoinPoolRequest:
    """JoinPool's arguments."""
    given: dict[str, Any] = {"pooler_id": POOLER, "owner_account": KEY, "terms_version": 3}
    return registry_pb2.JoinPoolRequest(**{**given, **changes})


def owner(kind: CallerKind = CallerKind.OWNER) -> Caller:
    """An owner account that has logged in."""
    grant = Grant(token_id="t", is_read_only=False, methods=None, ends=1)
    return Caller(kind=kind, name=KEY, identity=f"spiffe://k/owner/{KEY}", via="v", grant=grant)


def test_who_joins_by_itself_speaks_for_the_farmer() -> None:
    new = messages.joining_farmer(joining(stake_percentage="0.25", request_id="one"), owner())
    assert (str(new.pooler_id), new.owner_account, new.terms_version) == (POOLER, KEY, 3)
    assert (new.stake_bps, new.has_stake, new.joins_itself) == (2500, True, True)
    assert (new.payout_wallet_address, new.metadata) == ("", "{}")
    assert new.registered_by == f"spiffe://k/owner/{KEY} via v, token t"
    assert new.proof == "owner"
    usual = messages.joining_farmer(joining(), owner())
    assert (usual.stake_bps, usual.has_stake) == (1000, False)
    assert messages.joining_farmer(joining(), owner(CallerKind.UNKNOWN)).proof == "plaintext"
    assert not messages.new_farmer(farmer(), owner()).joins_itself


def test_a_request_id_of_who_joins_is_apart_from_everybody_elses() -> None:
    other = Keypair.from_raw_ed25519_seed(bytes([1]) * 32).public_key
    one = messages.joining_farmer(joining(request_id="one"), owner())
    assert one.request_id == f"owner/{KEY}/one"
    assert messages.new_farmer(farmer(request_id="one")).request_id == "one"
    theirs = messages.joining_farmer(joining(request_id="one", owner_account=other), owner())
    assert theirs.request_id == f"owner/{other}/one"
    fresh = [messages.joining_farmer(joining(), owner()).request_id for _ in range(2)]
    assert fresh[0] != fresh[1]
    assert all(one.startswith(f"owner/{KEY}/") for one in fresh)


def test_who_joins_otherwise_asks_for_something_else() -> None:
    first = messages.joining_farmer(joining(), owner()).digest
    assert messages.joining_farmer(joining(request_id="other"), owner()).digest == first
    other = Keypair.from_raw_ed25519_seed(bytes([1]) * 32).public_key
    for changes in ({"owner_account": other}, {"terms_version": 4}, {"stake_percentage": "0.2"}):
        assert messages.joining_farmer(joining(**changes), owner()).digest != first
    of_pooler = farmer(owner_account=KEY, terms_version=3)
    assert messages.new_farmer(of_pooler).digest != first


def test_an_update_without_fields_changes_nothing() -> None:
    _, change = messages.farmer_change(registry_pb2.UpdateFarmerRequest(farmer_id=POOLER))
    assert change.values == {}


def test_an_empty_field_that_is_present_is_a_change() -> None:
    _, change = messages.farmer_change(
        registry_pb2.UpdateFarmerRequest(
            farmer_id=POOLER, metadata=struct_pb2.Struct(), payout_wallet_address=""
        )
    )
    assert change.values == {"metadata": "{}", "payout_wallet_address": ""}


def test_the_configured_limit_is_the_default_of_max_farmers() -> None:
    request = registry_pb2.RegisterPoolerRequest(name="north", public_key=KEY)
    assert messages.new_pooler(request, 50)[0].max_farmers == 50


@given(st.text(alphabet=st.sampled_from('\\"u0\x00a'), max_size=12))
def test_exactly_texts_with_a_nul_are_refused(text: str) -> None:
    request = farmer(metadata=struct({"x": text}))
    if "\x00" in text:
        with pytest.raises(InvalidArgumentError):
            BOOK.check(request)
    else:
        BOOK.check(request)
        assert messages.new_farmer(request)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=3), JSON, max_size=3))
def test_any_metadata_is_taken_or_refused_by_name(value: dict[str, Any]) -> None:
    request = farmer(metadata=struct(value))
    try:
        BOOK.check(request)
        messages.new_farmer(request)
    except InvalidArgumentError as error:
        assert {violation.field for violation in error.violations} == {"metadata"}
