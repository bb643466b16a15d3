"""What takes a second person: the table is whole, and an approval is of one request."""

import pytest
from kalepool.harvest.v1 import payout_pb2
from kalepool.registry.v1 import registry_pb2
from kalepool.wallet.v1 import custody_pb2, keys_pb2, token_pb2, withdrawal_pb2
from pydantic import SecretStr, ValidationError

from libs.common.config import ServiceSettings
from libs.common.errors import FailedPreconditionError
from libs.common.grpc.identity import Caller, CallerKind, Grant
from libs.common.grpc.second_person import Order, SecondPerson
from services.access import ACCESS
from services.second_person import COVERED, FREE
from trials.security.access import rpcs

ANN = Caller(kind=CallerKind.OPERATOR, name="ann", identity="spiffe://pool/operator/ann")
POOLER = Caller(kind=CallerKind.POOLER, name="7", identity="spiffe://pool/pooler/7")
REGISTRY = Caller(kind=CallerKind.SERVICE, name="registry", identity="spiffe://pool/service/x")
WITHDRAW = "/kalepool.wallet.v1.WithdrawalService/Withdraw"
EXPORT = "/kalepool.wallet.v1.CustodyService/ExportKey"
UPDATE = "/kalepool.registry.v1.RegistryService/UpdatePooler"


async def nobody(_order: Order) -> None:
    raise FailedPreconditionError("nobody has approved it", reason="SECOND_PERSON")


PERSON = SecondPerson(COVERED, nobody)


def test_all_that_operators_may_call_is_covered_or_free_for_a_reason() -> None:
    for_operators = {method for method, entry in ACCESS.items() if entry.operators}
    assert not set(COVERED) & set(FREE)
    assert set(COVERED) | set(FREE) == for_operators
    assert all(FREE.values())
    assert all(entry.moves for entry in COVERED.values())


def test_the_table_names_fields_that_can_be_absent_and_repeats_that_have_an_id() -> None:
    by_path = {rpc.path: rpc.method for rpc in rpcs()}
    for path, entry in COVERED.items():
        method = by_path[path]
        assert not method.server_streaming, f"{path}: only unary methods are checked"
        fields = method.input_type.fields_by_name
        assert all(fields[name].has_presence for name in entry.fields), path
        assert all(fields[name].type == fields[name].TYPE_BOOL for name in entry.unless), path
        assert not entry.is_repeatable or "request_id" in entry.named_by, path
        assert all(name in fields for name in (*entry.named_by, *entry.needs)), path
        assert not entry.above or fields[entry.above].type == fields[entry.above].TYPE_INT64, path


def test_a_withdrawal_says_what_it_records_and_where_it_goes() -> None:
    request = withdrawal_pb2.WithdrawRequest(request_id="a", farmer_id="f", amount=1)
    found = PERSON.order(WITHDRAW, ANN, request)
    assert found is not None
    assert (found.named, found.missing) == (("f", "a"), ("destination",))
    request.destination = "G"
    found = PERSON.order(WITHDRAW, ANN, request)
    assert found is not None
    assert found.missing == ()


def test_an_approval_is_of_every_byte_of_one_request_to_one_method() -> None:
    one = withdrawal_pb2.WithdrawRequest(request_id="a", farmer_id="f", amount=1)
    digests = set()
    for method in (WITHDRAW, EXPORT):
        for change in ({}, {"request_id": "b"}, {"farmer_id": "g"}, {"amount": 2}, {"asset": 2}):
            request = withdrawal_pb2.WithdrawRequest()
            request.CopyFrom(one)
            for name, value in change.items():
                setattr(request, name, value)
            order = PERSON.order(method, ANN, request)
            assert order is not None
            digests.add(order.digest)
    assert len(digests) == 10
    key = custody_pb2.ExportKeyRequest(farmer_id="f", receiver_key=b"1" * 32)
    other = custody_pb2.ExportKeyRequest(farmer_id="f", receiver_key=b"2" * 32)
    assert PERSON.order(EXPORT, ANN, key) != PERSON.order(EXPORT, ANN, other)


def test_what_is_shown_for_approval_hides_nothing() -> None:
    request = custody_pb2.ExportKeyRequest(farmer_id="f", reason="\u202etxt\n\x1b[2K")
    order = PERSON.order(EXPORT, ANN, request)
    assert order is not None
    assert order.request.isascii()
    assert order.request.isprintable()
    assert "\\u202e" in order.request


@pytest.mark.parametrize("caller", [POOLER, REGISTRY])
async def test_poolers_and_services_need_nobody(caller: Caller) -> None:
    await PERSON.check(WITHDRAW, caller, withdrawal_pb2.WithdrawRequest())


async def test_only_what_moves_something_takes_a_second_person() -> None:
    await PERSON.check(UPDATE, ANN, registry_pb2.UpdatePoolerRequest(name="x"))
    await PERSON.check("/kalepool.wallet.v1.CustodyService/PauseSigning", ANN, None)
    for method, request in (
        (UPDATE, registry_pb2.UpdatePoolerRequest(max_farmers=0)),
        ("/kalepool.wallet.v1.KeyService/RotateKeys", keys_pb2.RotateKeysRequest()),
    ):
        with pytest.raises(FailedPreconditionError):
            await PERSON.check(method, ANN, request)


async def test_an_operator_makes_alone_what_only_reads() -> None:
    method = "/kalepool.wallet.v1.TokenService/CreateToken"
    for role in (token_pb2.TOKEN_ROLE_POOLER, token_pb2.TOKEN_ROLE_OPERATOR):
        await PERSON.check(method, ANN, token_pb2.CreateTokenRequest(role=role, is_read_only=True))
        # A pooler's token takes no second person for what it does, so an operator has to for it.
        with pytest.raises(FailedPreconditionError):
            await PERSON.check(method, ANN, token_pb2.CreateTokenRequest(role=role))
    await PERSON.check(method, POOLER, token_pb2.CreateTokenRequest())


@pytest.mark.parametrize("amount", [1, 100])
async def test_what_moves_little_takes_one_operator(amount: int) -> None:
    person = SecondPerson(COVERED, nobody, amount=100)
    payouts = "/kalepool.harvest.v1.PayoutsService"
    run, now = payout_pb2.RunPayoutsRequest, payout_pb2.PayNowRequest
    await person.check(f"{payouts}/RunPayouts", ANN, run(max_amount=amount))
    await person.check(f"{payouts}/PayNow", ANN, now(amount=amount))
    # What names no amount has no limit.
    for method, request in (
        ("RunPayouts", run(max_amount=101)),
        ("RunPayouts", run()),
        ("PayNow", now(amount=101)),
        ("PayNow", now()),
    ):
        with pytest.raises(FailedPreconditionError):
            await person.check(f"{payouts}/{method}", ANN, request)


def test_who_asks_by_a_token_is_the_same_person_and_is_recorded_with_it() -> None:
    """Nobody agrees to a request of their own that came by the gateway."""
    grant = Grant(token_id="t", is_read_only=False, methods=None, ends=0)
    by_token = Caller(
        kind=ANN.kind, name=ANN.name, identity=ANN.identity, via="gateway", grant=grant
    )
    request = withdrawal_pb2.WithdrawRequest(request_id="a")
    order, other = (PERSON.order(WITHDRAW, caller, request) for caller in (by_token, ANN))
    assert order is not None
    assert other is not None
    assert order.asked_by == other.asked_by == ANN.identity
    assert order.digest == other.digest
    assert order.recorded == f"{ANN.identity} via gateway, token t"
    assert other.recorded == ANN.identity


def test_nobody_is_a_second_person_where_nobody_shows_a_name() -> None:
    with pytest.raises(ValidationError, match="SECOND_PERSON_SECONDS"):
        ServiceSettings(
            database_url=SecretStr("postgresql://none"),
            transport="plaintext",
            second_person_seconds=60,
        )
