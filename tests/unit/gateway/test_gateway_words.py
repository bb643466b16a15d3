"""Errors of the services in the words of HTTP: names of JSON, and ways in place of RPCs."""

import re
from functools import partial
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from gateway.bindings import Binding, all_bindings
from gateway.comments import comment_of
from gateway.values import LIMITS
from gateway.words import in_http, short_name
from libs.common.errors import InvalidArgumentError, PermissionDeniedError, PoolError
from libs.common.grpc.access import Access, AccessControl
from libs.common.grpc.identity import Caller, CallerKind, Grant
from libs.common.rules.book import RuleBook
from libs.common.rules.fields import Surroundings
from libs.http.errors import problem_of
from libs.kale.formats import FORMATS

BINDINGS = all_bindings()
MAIN = [binding for binding in BINDINGS if binding.is_main]
ANN = Caller(kind=CallerKind.OPERATOR, name="ann", identity="spiffe://kalepool/operator/ann")
#: How protos write names of several words, and how gRPC writes what is called.
OF_GRPC = re.compile(r"(?<![\w'\"])[a-z]+_[a-z_]+|kalepool\.\w+\.v1|\w+Service/\w+")


def told(error: PoolError, binding: Binding) -> dict[str, object]:
    """Return the problem that a caller of this way gets."""
    name = f"{binding.verb} {binding.template.text}"
    words = partial(in_http, served={short_name(binding.method.path): name})
    return problem_of(error, instance="/v1", request_id="r", words=words)


def everything_wrong(descriptor: Any, message: Message, *, depth: int = 0) -> None:
    """Fill a message with what breaks as many rules as can be."""
    for field in descriptor.fields:
        items = getattr(message, field.name)
        if field.message_type is not None:
            if field.message_type.full_name.startswith("google.") or depth > 3:
                continue
            inner = items.add() if field.is_repeated else items
            if not field.is_repeated:
                inner.SetInParent()
            everything_wrong(field.message_type, inner, depth=depth + 1)
        elif field.cpp_type in LIMITS and not field.is_repeated:
            setattr(message, field.name, LIMITS[field.cpp_type][1])
        elif field.type == FieldDescriptor.TYPE_STRING:
            wrong = "\n" * 200
            if field.is_repeated:
                items.extend([wrong, wrong])
            else:
                setattr(message, field.name, wrong)


@pytest.mark.parametrize("binding", BINDINGS, ids=lambda one: f"{one.verb} {one.template.text}")
@pytest.mark.parametrize("is_empty", [True, False], ids=["empty", "all wrong"])
def test_detail_and_violations_name_fields_alike(binding: Binding, is_empty: bool) -> None:
    book = RuleBook(Surroundings(formats=FORMATS, settings={"MAX_FARMERS": 1000}))
    book.learn(binding.method.descriptor.containing_service)
    message = binding.method.request_class()
    if not is_empty:
        everything_wrong(message.DESCRIPTOR, message)
    try:
        book.check(message)
    except InvalidArgumentError as error:
        problem = told(error, binding)
    else:
        return  # nothing of it can be wrong, or has to be there
    detail, violations = str(problem["detail"]), problem["violations"]
    assert isinstance(violations, list)
    for one in violations[:5]:
        assert f"{one['field']} {one['description']}" in detail
    for text in (detail, *(f"{one['field']} {one['description']}" for one in violations)):
        assert OF_GRPC.search(text) is None, text


@pytest.mark.parametrize("binding", BINDINGS, ids=lambda one: f"{one.verb} {one.template.text}")
def test_who_may_not_call_hears_of_the_way_that_was_called(binding: Binding) -> None:
    path = binding.method.path
    closed = AccessControl({}, {}, {})
    reads = AccessControl({path: Access(operators=True, by_token=True)}, {}, {})
    grant = Grant(token_id="t", is_read_only=True, methods=None, ends=0)
    by_token = Caller(kind=ANN.kind, name=ANN.name, identity=ANN.identity, grant=grant)
    for control, caller in ((closed, ANN), (reads, by_token)):
        with pytest.raises(PermissionDeniedError) as caught:
            control.check_caller(path, caller)
        detail = str(told(caught.value, binding)["detail"])
        assert OF_GRPC.search(detail) is None
        way = re.sub(r"_(\w)", lambda found: found[1].upper(), binding.template.text)
        assert detail.startswith(f"{binding.verb} {way} ")


def test_another_rpc_is_named_by_its_main_way() -> None:
    assert in_http("ask WalletService/GetWallet for it") == "ask GET /v1/wallets/{walletId} for it"
    called = "/kalepool.plant.v1.PlantService/Plant"
    assert in_http(f"{called} is not for you") == "POST /v1/plants is not for you"
    seeds = {"PlantService/Plant": "POST /plant"}
    assert in_http(f"{called} is not for you", served=seeds) == "POST /plant is not for you"


@pytest.mark.parametrize(
    "text",
    [
        *("no pooler 7", "", "Idempotency-Key", "kp_...", "farm_a_field_that_is_none"),
        # Words of the caller's own.
        "'farmer_id' stands for another batch",
        'the name "public_key" is taken',
        "nothing is at /v1/farmer_id; see /docs",
        # RPCs that HTTP does not serve.
        "/kalepool.wallet.v1.CustodyService/ExportKey is not for operator ann",
    ],
)
def test_what_is_no_name_of_ours_stays_as_it_is(text: str) -> None:
    assert in_http(text) == text


def test_apostrophes_quote_nothing() -> None:
    assert in_http("a farmer's pooler_id and the poolers' max_farmers") == (
        "a farmer's poolerId and the poolers' maxFarmers"
    )
    assert in_http("request_id 'farmer_id' stands for another") == (
        "requestId 'farmer_id' stands for another"
    )


def test_the_reference_is_in_the_words_of_http() -> None:
    for binding in MAIN:
        method = binding.method.descriptor
        names = [method.full_name, *(field.full_name for field in method.input_type.fields)]
        for text in map(comment_of, names):
            known = [word for word in OF_GRPC.findall(text) if in_http(word) != word]
            assert known == [], text
