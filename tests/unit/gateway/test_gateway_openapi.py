"""The OpenAPI document: valid, whole, and with examples that fit."""

import json
import re
from typing import Any

import pytest
from google.protobuf import json_format
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway.bindings import all_bindings
from gateway.comments import comment_of, summary_of
from gateway.examples import example_of
from gateway.openapi import document_of
from gateway.reader import Findings, reader_of
from gateway.seed import ACTIONS
from libs.common.rules.book import RuleBook
from libs.common.rules.fields import Surroundings
from libs.http.reference.viewer import files_of
from libs.kale.formats import FORMATS

BINDINGS = all_bindings()
DOCUMENT = document_of(BINDINGS)
OPERATIONS = [
    (f"{verb} {path}", operation)
    for path, item in DOCUMENT["paths"].items()
    for verb, operation in item.items()
]


def validator(schema: Any) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": DOCUMENT["components"]})


def test_it_is_a_valid_document() -> None:
    assert list(OpenAPIV31SpecValidator(DOCUMENT).iter_errors()) == []


def test_every_way_and_every_path_of_the_seed_is_in_it() -> None:
    named = {re.sub(r"_(\w)", lambda found: found[1].upper(), b.template.text) for b in BINDINGS}
    seed = {action.path for action in ACTIONS} | {"/health", "/info"}
    assert set(DOCUMENT["paths"]) == named | seed | {"/auth", "/.well-known/stellar.toml"}
    # A challenge is asked for and brought back by the same path.
    assert len(OPERATIONS) == len(BINDINGS) + len(seed) + 3


def test_every_operation_has_a_name_of_its_own_and_says_what_it_does() -> None:
    names = [operation["operationId"] for _, operation in OPERATIONS]
    assert len(set(names)) == len(names)
    for name, operation in OPERATIONS:
        assert operation["summary"], name
        assert "Command line" not in operation.get("description", "")


@pytest.mark.parametrize(("name", "operation"), OPERATIONS, ids=[name for name, _ in OPERATIONS])
def test_examples_fit_their_schemas(name: str, operation: Any) -> None:
    contents = [operation.get("requestBody", {})]
    contents += [one for status, one in operation["responses"].items() if status < "3"]
    for content in contents:
        for kind, one in content.get("content", {}).items():
            if kind == "application/json" and "example" in one:
                errors = list(validator(one["schema"]).iter_errors(one["example"]))
                assert errors == [], name
    for parameter in operation["parameters"]:
        if "example" in parameter:
            validator(parameter["schema"]).validate(parameter["example"])


@pytest.mark.parametrize("binding", BINDINGS, ids=lambda one: one.template.text)
def test_an_example_of_a_request_breaks_no_rule(binding: Any) -> None:
    book = RuleBook(Surroundings(formats=FORMATS, settings={"MAX_FARMERS": 1000}))
    book.learn(binding.method.descriptor.containing_service)
    message, findings = binding.method.request_class(), Findings()
    example = json.loads(json.dumps(example_of(binding.method.descriptor.input_type)))
    reader_of(message.DESCRIPTOR).read(example, message, "", findings)
    findings.check()
    book.check(message)


def test_a_reply_that_is_written_fits_its_schema() -> None:
    for binding in BINDINGS:
        output = binding.method.descriptor.output_type
        message = binding.method.response_class()
        json_format.ParseDict(example_of(output), message)
        written = json_format.MessageToDict(message, always_print_fields_with_no_presence=True)
        name = output.full_name.removeprefix("kalepool.").replace(".v1.", ".")
        schema = {"$ref": f"#/components/schemas/{name}"}
        assert list(validator(schema).iter_errors(written)) == [], name


def test_what_needs_no_token_says_so() -> None:
    open_to_all = {name for name, operation in OPERATIONS if {} in operation.get("security", [])}
    assert open_to_all == {
        *("get /health", "get /info", "get /v1/info", "get /v1/status"),
        *("get /v1/blocks/{index}", "get /v1/blocks:current", "get /v1/blocks:watch"),
        *("get /v1/reports/pool", "get /v1/reports/blocks", "get /v1/reports/blocks/{blockIndex}"),
        *("get /v1/reports/farmers/{farmerId}", "get /v1/reports/addresses/{address}"),
        "get /v1/roots",
        # What a farmer reads before it joins, and what it signs itself.
        *("get /v1/poolers/{poolerId}/terms", "get /v1/agreement-rules", "get /v1/poolers:public"),
        *("post /v1/farmers/{farmerId}/wishes:draft", "post /v1/farmers/{farmerId}/wishes"),
        # How an owner account gets a token.
        *("get /.well-known/stellar.toml", "get /auth", "post /auth"),
    }


def test_comments_are_those_of_the_protos() -> None:
    assert comment_of("kalepool.wallet.v1.Block.index") == "Index of the block."
    name = "kalepool.wallet.v1.WalletService.GetBlock"
    assert summary_of(name) == "Reads a block as seen on the chain, and where the chain is"
    assert "kalepool block" not in comment_of(name)
    assert comment_of("kalepool.nobody") == ""


def test_the_pages_are_made_of_it() -> None:
    files_of(DOCUMENT)
