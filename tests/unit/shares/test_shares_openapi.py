"""The OpenAPI document is valid, its examples fit its schemas, and so do the answers."""

from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from openapi_spec_validator import validate

from pooler.shares.config import SharesSettings
from pooler.shares.domain.codes import MEANINGS
from pooler.shares.domain.errors import (
    BadCredentialError,
    BannedError,
    LimitedError,
    MalformedError,
    PausedError,
    TermsChangedError,
)
from pooler.shares.door.openapi import document_of

DOCUMENT = document_of(SharesSettings())


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    """Return what holds values against a schema of the document."""
    return Draft202012Validator({**schema, "components": DOCUMENT["components"]})


def examples() -> Iterator[tuple[str, dict[str, Any], Any]]:
    """Yield every example in JSON with its schema."""
    for path, item in DOCUMENT["paths"].items():
        for verb, operation in item.items():
            bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
            for body in bodies:
                content = body.get("content", {}).get("application/json")
                if content is not None:
                    yield f"{verb} {path}", content["schema"], content["example"]


def test_the_document_is_valid() -> None:
    validate(DOCUMENT)


@pytest.mark.parametrize(("name", "schema", "example"), list(examples()))
def test_an_example_fits_its_schema(name: str, schema: dict[str, Any], example: Any) -> None:
    assert [error.message for error in validator(schema).iter_errors(example)] == [], name


def test_there_are_examples_for_all_that_is_json() -> None:
    assert len(list(examples())) == 11


def test_every_code_and_every_reason_stands_in_it() -> None:
    told = DOCUMENT["info"]["description"]
    for code, meaning in MEANINGS.items():
        assert f"{code.value}: {meaning}" in told
    for error in (
        *(BadCredentialError, BannedError, LimitedError),
        *(MalformedError, PausedError, TermsChangedError),
    ):
        assert error.default_reason in told


def test_a_wrong_value_does_not_fit() -> None:
    """The schemas say something."""
    submit = {"$ref": "#/components/schemas/SubmitRequest"}
    wrongs: list[Any] = [
        {},
        {"shares": []},
        {"shares": [{"nonce": -1}]},
        {"shares": [{}]},
        {"x": 1},
    ]
    for wrong in wrongs:
        assert not validator(submit).is_valid(wrong)
    job = {"$ref": "#/components/schemas/Job"}
    assert not validator(job).is_valid({"job": "x"})
