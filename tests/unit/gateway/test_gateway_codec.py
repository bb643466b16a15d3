"""Messages from JSON and back: as google.protobuf.json_format does it, and stricter."""

import json
import math
from typing import Any

import pytest
from google.protobuf import (
    json_format,
    message_factory,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kalepool.common.v1 import common_pb2
from kalepool.registry.v1 import registry_pb2
from kalepool.wallet.v1 import wallet_pb2, withdrawal_pb2
from kalepool.work.v1 import work_pb2

from gateway.bindings import all_bindings
from gateway.reader import Findings, check_readable, reader_of
from gateway.writer import message_to_json
from libs.common.errors import InvalidArgumentError
from libs.http.strict_json import parse

UUID = "0190a5f0-0000-7000-8000-000000000001"
BINDINGS = all_bindings()
REQUESTS = {one.method.descriptor.input_type.full_name: one for one in BINDINGS}
OUTPUTS = {one.method.descriptor.output_type.full_name: one for one in BINDINGS}
_INTS = {
    FieldDescriptor.CPPTYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_UINT32: st.integers(0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT64: st.integers(0, 2**64 - 1),
}
TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
FREE = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


def values(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.message_type is not None:
        return messages(field.message_type)
    if field.enum_type is not None:
        return st.sampled_from([one.number for one in field.enum_type.values])
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.binary(max_size=8)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return st.booleans()
    return _INTS.get(field.cpp_type, TEXT)


@st.composite
def messages(draw: st.DrawFn, descriptor: Descriptor) -> Message:
    """Any message of a type."""
    message: Any = message_factory.GetMessageClass(descriptor)()
    if descriptor.full_name == "google.protobuf.Timestamp":
        message.FromMilliseconds(draw(st.integers(0, 4_000_000_000_000)))
        return message  # type: ignore[no-any-return]
    if descriptor.full_name == "google.protobuf.Struct":
        message.update(draw(st.dictionaries(TEXT, FREE, max_size=3)))
        return message  # type: ignore[no-any-return]
    for field in descriptor.fields:
        if not draw(st.booleans()):
            continue
        inner = field.message_type
        if inner is not None and inner.GetOptions().map_entry:
            pairs = st.dictionaries(TEXT, values(inner.fields_by_name["value"]), max_size=3)
            getattr(message, field.name).update(draw(pairs))
        elif field.is_repeated:
            getattr(message, field.name).extend(draw(st.lists(values(field), max_size=3)))
        elif inner is not None:
            getattr(message, field.name).CopyFrom(draw(values(field)))
        else:
            setattr(message, field.name, draw(values(field)))
    return message  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", sorted(OUTPUTS))
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_replies_are_written_as_json_format_writes_them(name: str, data: st.DataObject) -> None:
    message = data.draw(messages(OUTPUTS[name].method.descriptor.output_type))
    expected = json_format.MessageToDict(message, always_print_fields_with_no_presence=True)
    assert json.loads(message_to_json(message)) == expected


@given(seconds=st.integers(-62_135_596_800, 253_402_300_799), nanos=st.integers(0, 10**9 - 1))
@example(seconds=-62_135_596_800, nanos=0)
@example(seconds=253_402_300_799, nanos=999_999_999)
@example(seconds=0, nanos=500_000_000)
@example(seconds=-1, nanos=1_000)
@settings(max_examples=200, deadline=None)
def test_moments_are_written_as_protobuf_writes_them(seconds: int, nanos: int) -> None:
    moment = timestamp_pb2.Timestamp(seconds=seconds, nanos=nanos)
    assert json.loads(message_to_json(moment)) == moment.ToJsonString()


@pytest.mark.parametrize(
    ("seconds", "nanos"), [(-62_135_596_801, 0), (253_402_300_800, 0), (0, -1), (0, 10**9)]
)
def test_a_moment_that_cannot_be_is_refused(seconds: int, nanos: int) -> None:
    with pytest.raises(ValueError, match="there is no moment"):
        message_to_json(timestamp_pb2.Timestamp(seconds=seconds, nanos=nanos))


@given(number=st.floats())
@settings(deadline=None)
def test_numbers_are_written_as_json_format_writes_them(number: float) -> None:
    message = struct_pb2.Struct(fields={"it": struct_pb2.Value(number_value=number)})
    real = wrappers_pb2.DoubleValue(value=number)
    assert json.loads(message_to_json(real)) == {"value": json_format.MessageToDict(real)}
    if math.isfinite(number):
        assert json.loads(message_to_json(message)) == json_format.MessageToDict(message)


def test_texts_are_escaped_and_odd_enums_are_numbers() -> None:
    text = "".join(map(chr, range(0x20))) + '"\\/\x7f\u2028é😀'
    found = json.loads(message_to_json(registry_pb2.Pooler(name=text)))
    assert found["name"] == text
    odd = wallet_pb2.ListOperationsRequest()
    odd.MergeFromString(b"\x18\x4d")
    assert odd.kind == 77
    assert json.loads(message_to_json(odd))["kind"] == 77


@pytest.mark.parametrize("name", sorted(REQUESTS))
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_requests_are_read_as_json_format_writes_them(name: str, data: st.DataObject) -> None:
    message = data.draw(messages(REQUESTS[name].method.descriptor.input_type))
    as_proto = data.draw(st.booleans())
    text = json_format.MessageToJson(message, preserving_proto_field_name=as_proto)
    assert read(type(message), parse(text.encode())) == message


def read(kind: Any, value: Any) -> Any:
    """Read a message; raise what is wrong with it."""
    message, findings = kind(), Findings()
    reader_of(kind.DESCRIPTOR).read(value, message, "", findings)
    findings.check()
    return message


def wrong(kind: Any, text: str) -> dict[str, str]:
    """Return what is wrong with a request, by field."""
    with pytest.raises(InvalidArgumentError) as caught:
        read(kind, parse(text.encode()))
    return {one.field: one.description for one in caught.value.violations}


WITHDRAW = withdrawal_pb2.WithdrawRequest
SUBMIT = work_pb2.SubmitWorkRequest
REGISTER = registry_pb2.RegisterFarmerRequest


@pytest.mark.parametrize(
    ("kind", "text", "field", "why"),
    [
        (WITHDRAW, "[]", "body", "must be an object"),
        (WITHDRAW, '"x"', "body", "must be an object"),
        (WITHDRAW, "null", "body", "must be an object"),
        (WITHDRAW, '{"amount": NaN}', "amount", "must not be NaN"),
        (WITHDRAW, '{"amount": -Infinity}', "amount", "must not be -Infinity"),
        (WITHDRAW, '{"amount": 1.5}', "amount", "must be a whole number"),
        (WITHDRAW, '{"amount": "1.0"}', "amount", "must be a whole number"),
        (WITHDRAW, '{"amount": "1_0"}', "amount", "must be a whole number"),
        (WITHDRAW, '{"amount": " 1"}', "amount", "must be a whole number"),
        (WITHDRAW, '{"amount": "\u0661"}', "amount", "must be a whole number"),
        (WITHDRAW, '{"amount": true}', "amount", "must be a whole number"),
        (WITHDRAW, '{"amount": []}', "amount", "must be a whole number"),
        (WITHDRAW, '{"amount": 9223372036854775808}', "amount", "must be from"),
        (WITHDRAW, '{"amount": 123456789012345678901234}', "amount", "is beyond 64 bits"),
        (WITHDRAW, '{"amount": 1e999}', "amount", "is beyond the numbers"),
        (WITHDRAW, '{"amount": 9007199254740993.0}', "amount", "must be a whole number"),
        (WITHDRAW, '{"amount": 1, "amount": 2}', "amount", "is given twice"),
        (WITHDRAW, '{"farmerId": 1}', "farmerId", "must be a string"),
        (WITHDRAW, '{"farmerId": "\\ud800"}', "farmerId", "a lone surrogate"),
        (WITHDRAW, '{"farmerId": "a", "farmer_id": "a"}', "farmerId", "is given twice"),
        (WITHDRAW, '{"asset": "KALE"}', "asset", "must be one of WITHDRAWAL_ASSET_KALE"),
        (WITHDRAW, '{"asset": 4294967296}', "asset", "must be from"),
        (WITHDRAW, '{"asset": true}', "asset", "must be one of"),
        (WITHDRAW, '{"nobody": 1}', "nobody", "is no field of this request"),
        (WITHDRAW, '{"a\\u0000": 1}', "a\x00", "is no field of this request"),
        (SUBMIT, '{"submissions": {}}', "submissions", "must be a list"),
        (SUBMIT, '{"submissions": [1]}', "submissions[0]", "must be an object"),
        (SUBMIT, '{"submissions": [null]}', "submissions[0]", "must be an object"),
        (SUBMIT, '{"submissions": [{}, {"nonce": -1}]}', "submissions[1].nonce", "must be from 0"),
        (SUBMIT, '{"submissions": [{"nonce": 1, "nonce": 1}]}', "submissions[0].nonce", "twice"),
        (SUBMIT, '{"submissions": [{"x": 1}]}', "submissions[0].x", "is no field"),
        (SUBMIT, '{"blockIndex": 4294967296}', "blockIndex", "must be from 0 to 2147483647"),
        (REGISTER, '{"metadata": []}', "metadata", "must be an object"),
        (REGISTER, '{"metadata": {"a": NaN}}', "metadata", "has a number that must not be NaN"),
        (REGISTER, '{"metadata": {"a": 9007199254740993}}', "metadata", "beyond 2^53"),
        (REGISTER, '{"metadata": {"a": {"b": 1, "b": 2}}}', "metadata", "has 'b' twice"),
        (REGISTER, '{"metadata": {"\\udfff": 1}}', "metadata", "a lone surrogate"),
        (REGISTER, '{"metadata": ' + '{"a":' * 65 + "1" + "}" * 66, "metadata", "64 levels"),
        (REGISTER, '{"metadata": {"a": ' + "[" * 64 + "]" * 64 + "}}", "metadata", "64 levels"),
        (
            wallet_pb2.GetWalletRequest,
            '{"walletId": "a", "farmerId": "b"}',
            "farmerId",
            "give one of walletId, farmerId, address",
        ),
        (wallet_pb2.GetBalancesRequest, '{"farmerIds": "a"}', "farmerIds", "must be a list"),
        (wallet_pb2.GetBalancesRequest, '{"farmerIds": [1]}', "farmerIds[0]", "a string"),
        (wallet_pb2.GetBalancesRequest, '{"farmerIds": [null]}', "farmerIds[0]", "a string"),
        (wallet_pb2.WorkOperation, '{"hash": "*"}', "hash", "must be bytes in base64"),
        (wallet_pb2.WorkOperation, '{"hash": "AAAAA"}', "hash", "must be bytes in base64"),
        (wallet_pb2.WorkOperation, '{"hash": 1}', "hash", "must be bytes in base64"),
    ],
)
def test_what_is_wrong_is_named(kind: Any, text: str, field: str, why: str) -> None:
    found = wrong(kind, text)
    assert list(found) == [field]
    assert why in found[field]


def test_all_that_is_wrong_is_named_at_once() -> None:
    found = wrong(
        SUBMIT, '{"blockIndex": "x", "poolerId": 1, "submissions": [{"nonce": []}], "y": 1}'
    )
    assert list(found) == ["blockIndex", "poolerId", "submissions[0].nonce", "y"]


def test_of_ten_thousand_wrong_items_a_hundred_are_named() -> None:
    items = ",".join(['{"nonce": []}'] * 10_000)
    assert len(wrong(SUBMIT, f'{{"submissions": [{items}]}}')) == 100


def test_numbers_may_be_numbers_strings_or_whole_with_an_exponent() -> None:
    for text in ('"12000"', "12000", "1.2e4", "12000.0"):
        assert read(WITHDRAW, parse(f'{{"amount": {text}}}'.encode())).amount == 12_000


def test_null_is_a_field_that_is_not_set() -> None:
    update = read(
        registry_pb2.UpdateFarmerRequest, parse(b'{"farmerId": "x", "stakePercentage": null}')
    )
    assert not update.HasField("stake_percentage")


def test_an_empty_object_is_there() -> None:
    update = read(registry_pb2.UpdateFarmerRequest, parse(b'{"metadata": {}}'))
    assert update.HasField("metadata")


def texts(kind: Any, name: str, *given_texts: str) -> Any:
    message, findings = kind(), Findings()
    reader_of(kind.DESCRIPTOR).read_text(name, given_texts, message, findings)
    findings.check()
    return message


def test_texts_of_a_query_are_read_by_both_names() -> None:
    assert texts(wallet_pb2.ListOperationsRequest, "pageSize", "7").page_size == 7
    assert texts(wallet_pb2.ListOperationsRequest, "page_size", "7").page_size == 7
    listed = texts(wallet_pb2.ListOperationsRequest, "kind", "OPERATION_KIND_WORK")
    assert listed.kind == wallet_pb2.OPERATION_KIND_WORK
    assert texts(wallet_pb2.ListOperationsRequest, "kind", "3") == listed
    assert texts(wallet_pb2.GetBalancesRequest, "farmerIds", "a", "b").farmer_ids == ["a", "b"]


@pytest.mark.parametrize(
    ("kind", "name", "given_texts", "why"),
    [
        (wallet_pb2.ListOperationsRequest, "pageSize", ["x"], "must be a whole number"),
        (wallet_pb2.ListOperationsRequest, "pageSize", [""], "must be a whole number"),
        (wallet_pb2.ListOperationsRequest, "pageSize", ["1", "2"], "is given several times"),
        (wallet_pb2.ListOperationsRequest, "kind", ["X"], "must be one of"),
        (wallet_pb2.ListOperationsRequest, "nobody", ["1"], "is no field of this request"),
        (wallet_pb2.ListOperationsRequest, "pageSize.x", ["1"], "is no field of this request"),
        (REGISTER, "metadata", ["{}"], "cannot stand in a path or query"),
        (REGISTER, "metadata.a", ["1"], "is no field of this request"),
        (SUBMIT, "submissions", ["{}"], "cannot stand in a path or query"),
    ],
)
def test_a_text_that_is_wrong_is_named(
    kind: Any, name: str, given_texts: list[str], why: str
) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        texts(kind, name, *given_texts)
    assert [one.field for one in caught.value.violations] == [name]
    assert why in caught.value.message


def test_every_request_that_is_served_can_be_read() -> None:
    for binding in BINDINGS:
        check_readable(binding.method.descriptor.input_type)


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (common_pb2.GetStatusResponse, "cannot have a map"),
        (struct_pb2.ListValue, "cannot have google.protobuf.Value"),
    ],
)
def test_a_request_with_a_map_or_a_foreign_message_stops_the_start(kind: Any, why: str) -> None:
    with pytest.raises(TypeError, match=why):
        check_readable(kind.DESCRIPTOR)


def test_fields_with_presence_are_left_out_and_all_others_are_there() -> None:
    assert message_to_json(wallet_pb2.GetBlockResponse()) == b"{}"
    written = json.loads(message_to_json(wallet_pb2.Block(index=7)))
    assert written["index"] == 7
    assert written["minStake"] == "0"
    assert written["isCurrent"] is False
    assert written["entropy"] == ""
    assert "openedAt" not in written
