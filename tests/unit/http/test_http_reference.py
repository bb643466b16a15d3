"""The page that shows an OpenAPI document, and the parts that every document has."""

import html
import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from starlette.requests import Request
from starlette.routing import Route

from libs.common.errors import InvalidArgumentError
from libs.http.errors import problem_of
from libs.http.files import StaticFile
from libs.http.reference.document import PROBLEM_SCHEMA, Document, problem, problems
from libs.http.reference.viewer import Shell, files_of
from libs.http.strict_json import parse

PET: dict[str, Any] = {
    "type": "object",
    "description": "A pet.\nIt lives.",
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "description": "What it is called & how."},
        "age": {"type": "integer", "format": "int64"},
        "kind": {"$ref": "#/components/schemas/Kind"},
        "friends": {"type": "array", "items": {"$ref": "#/components/schemas/Pet"}},
        "tags": {"type": "array", "items": {"type": "string"}},
        "size": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        "rest": {},
    },
}
DOCUMENT: Document = {
    "info": {"title": "Pets", "version": "7", "description": "All pets.\n\nAnd more."},
    "security": [{"bearer": []}],
    "tags": [
        {"name": "Pets", "description": "What lives.\n\nAnd how."},
        {"name": "Others", "description": "What else."},
        {"name": "Nothing", "description": "What is empty."},
    ],
    "paths": {
        "/pets/{id}": {
            "get": {
                "operationId": "GetPet",
                "tags": ["Pets"],
                "summary": "Reads a pet",
                "description": "By its id.\n\nOr not.",
                "security": [{}],
                "parameters": [
                    {
                        "name": "id",
                        "in": "path",
                        "required": True,
                        "description": "Which one.",
                        "example": 5,
                    },
                    {
                        "name": "fields",
                        "in": "query",
                        "required": False,
                        "description": "",
                        "example": ["a", "b"],
                    },
                    {
                        "name": "page",
                        "in": "query",
                        "required": False,
                        "description": "",
                        "example": "x",
                    },
                    {"name": "silent", "in": "query", "required": False, "description": ""},
                ],
                "responses": {
                    "200": {
                        "description": "The pet.",
                        "content": {
                            "application/json": {
                                "schema": {"$ref": "#/components/schemas/Pet"},
                                "example": {"name": "Rex"},
                            }
                        },
                    },
                    "404": {
                        "description": "No pet.",
                        "content": {
                            "application/json": {"schema": {"type": "object"}, "example": {"a": 1}}
                        },
                    },
                },
            },
            "delete": {
                "operationId": "DeletePet",
                "tags": ["Others"],
                "summary": "Deletes a pet",
                "parameters": [
                    {"name": "id", "in": "path", "required": True, "description": "", "example": 5}
                ],
                "responses": {
                    "400": {
                        "description": "Wrong.",
                        "content": {
                            "application/json": {"schema": {"type": "object"}, "example": {"b": 2}}
                        },
                    },
                    "204": {"description": "It is gone."},
                },
            },
        },
        "/pets": {
            "post": {
                "operationId": "AddPet",
                "tags": ["Pets"],
                "summary": "Adds a pet",
                "security": [{"bearer": []}],
                "parameters": [],
                "requestBody": {
                    "content": {
                        "application/json": {
                            "schema": {"$ref": "#/components/schemas/Pet"},
                            "example": {"name": "Rex"},
                        }
                    }
                },
                "responses": {
                    "200": {
                        "description": "Done.",
                        "content": {"application/json": {"schema": {"type": "object"}}},
                    }
                },
            },
            **{
                verb: {
                    "operationId": f"{verb.title()}Pets",
                    "tags": ["Others"],
                    "summary": f"The verb {verb}",
                    "parameters": [],
                    "responses": {},
                }
                for verb in ("put", "patch")
            },
        },
    },
    "components": {
        "schemas": {"Pet": PET, "Kind": {"type": "string", "description": "Cat or dog."}}
    },
}
OTHER = StaticFile(path="/pool.css", body=b"body {}", media_type="text/css")


async def files(**given: Any) -> dict[str, Any]:
    """The answers by path."""
    router = files_of(DOCUMENT, OTHER, **given)
    assert not router.redirect_slashes
    found = {}
    for route in router.routes:
        assert isinstance(route, Route)
        scope = {"type": "http", "method": "GET", "query_string": b"", "headers": []}
        found[route.path] = await route.endpoint(Request(scope))
    return found


async def page(**given: Any) -> str:
    """The page, with its lines joined where only spaces are between them."""
    body: bytes = (await files(**given))["/docs"].body
    return html.unescape(re.sub(r">\s+<", "><", body.decode()))


def article(text: str, name: str) -> str:
    """What the page says of an operation or a type."""
    return text.partition(f'<article id="{name}">')[2].partition("</article>")[0]


async def test_the_files_are_the_document_its_page_and_what_else_is_given() -> None:
    found = await files()
    assert set(found) == {"/openapi.json", "/docs", "/docs.css", "/pool.css"}
    assert parse(found["/openapi.json"].body) == DOCUMENT
    kinds = {path: answer.media_type for path, answer in found.items()}
    assert kinds == {
        "/openapi.json": "application/json",
        "/docs": "text/html; charset=utf-8",
        "/docs.css": "text/css; charset=utf-8",
        "/pool.css": "text/css",
    }
    sheet = found["/docs.css"].body
    assert sheet.index(b":root") < sheet.index(b"article")


async def test_the_page_says_what_the_document_is() -> None:
    text = await page()
    assert "<title>Pets 7: HTTP</title>" in text
    assert "<p>All pets.</p><p>And more.</p>" in text
    assert '<a href="/">' not in text
    assert '· <a href="/">The pool</a>' in await page(home="The pool")


async def test_what_is_said_is_text_and_no_html() -> None:
    body = (await files())["/docs"].body.decode()
    assert "What it is called &amp; how." in body
    # No line is left of what only steers the template.
    assert "\n\n\n" not in body
    assert not [line for line in body.splitlines() if line.isspace()]


async def test_operations_stand_below_their_tags_in_order() -> None:
    text = await page()
    navigation = text.partition("<nav")[2].partition("</nav>")[0]
    assert re.findall(r"<h2>(\w+)</h2>|href=\"#(\w+)\"", navigation) == [
        ("Pets", ""),
        ("", "GetPet"),
        ("", "AddPet"),
        ("Others", ""),
        ("", "DeletePet"),
        ("", "PutPets"),
        ("", "PatchPets"),
    ]
    assert '<h2 id="group-Pets">Pets</h2><p>What lives.</p><p>And how.</p>' in text
    assert "group-Nothing" not in text


async def test_an_operation_for_everybody_is_shown_with_what_it_takes() -> None:
    found = article(await page(), "GetPet")
    assert '<span class="verb get">GET</span><code>/pets/{id}</code>' in found
    assert "Reads a pet. For everybody.</p><p>By its id.</p><p>Or not.</p>" in found
    assert "<code>id</code> (required)</td><td>path</td><td>Which one.</td>" in found
    assert "<code>fields</code></td><td>query</td>" in found
    assert "<h4>Body</h4>" not in found
    assert '<pre tabindex="0">curl "$GATEWAY/pets/5?fields=a&page=x"</pre>' in found
    assert '<pre tabindex="0">{"name":"Rex"}</pre>' in found
    assert '<td>200</td><td><a href="#type-Pet">Pet</a></td><td>The pet.</td>' in found
    assert "<td>404</td><td></td><td>No pet.</td>" in found


async def test_an_operation_that_needs_a_token_and_a_body_is_shown_with_both() -> None:
    found = article(await page(shell=Shell(server="POOL", token="KEY")), "AddPet")
    assert "Adds a pet. Needs a token.</p>" in found
    assert "<h4>Parameters</h4>" not in found
    assert "<h4>Body</h4>" in found
    assert "<code>name</code> (required)</td>" in found
    line = (
        "curl -H \"Authorization: Bearer $KEY\" -H 'Content-Type: application/json' "
        '-d \'{"name":"Rex"}\' "$POOL/pets"'
    )
    assert f'<pre tabindex="0">{line}</pre>' in found
    assert found.count("<pre") == 1


async def test_a_verb_that_curl_does_not_guess_is_named() -> None:
    text = await page()
    found = article(text, "DeletePet")
    assert "Deletes a pet. Needs a token.</p><h4>Parameters</h4>" in found
    line = 'curl -X DELETE -H "Authorization: Bearer $TOKEN" "$GATEWAY/pets/5"'
    assert f'<pre tabindex="0">{line}</pre>' in found
    # The example of an error is no reply.
    assert found.count("<pre") == 1
    assert "<td>204</td><td></td><td>It is gone.</td>" in found
    assert "curl -X PUT" in article(text, "PutPets")
    assert "curl -X PATCH" in article(text, "PatchPets")


async def test_a_type_is_shown_with_its_fields() -> None:
    text = await page()
    found = article(text, "type-Pet")
    assert "<p>A pet.</p><p>It lives.</p>" in found
    rows = re.findall(r"<tr><td><code>(\w+)</code>(.*?)</td><td>(.*?)</td><td>(.*?)</td>", found)
    assert rows == [
        ("name", " (required)", "string", "What it is called & how."),
        ("age", "", "integer (int64)", ""),
        ("kind", "", '<a href="#type-Kind">Kind</a>', ""),
        ("friends", "", '<a href="#type-Pet">list of Pet</a>', ""),
        ("tags", "", "list of string", ""),
        ("size", "", "integer or string", ""),
        ("rest", "", "object", ""),
    ]
    assert article(text, "type-Kind") == "<h3><code>Kind</code></h3><p>Cat or dog.</p>"
    body = article(text, "AddPet").partition("<h4>Body</h4>")[2]
    assert rows == re.findall(
        r"<tr><td><code>(\w+)</code>(.*?)</td><td>(.*?)</td><td>(.*?)</td>",
        body.partition("<h4>Example</h4>")[0],
    )


# Parts of every document -------------------------------------------------------------------------


def told() -> dict[str, Any]:
    """A problem as callers get it."""
    error = InvalidArgumentError.of("a", "is wrong")
    error.metadata["b"] = "c"
    return problem_of(error, instance="/v1/a", request_id="7")


def test_a_problem_fits_its_schema_which_says_all_of_it() -> None:
    Draft202012Validator.check_schema(PROBLEM_SCHEMA)
    names = {"type", "schema", "string", "object", "array", "integer"}
    assert {one["type"] for one in PROBLEM_SCHEMA["properties"].values()} <= names
    validator = Draft202012Validator({**PROBLEM_SCHEMA, "additionalProperties": False})
    assert list(validator.iter_errors(told())) == []
    assert set(told()) == set(PROBLEM_SCHEMA["properties"])
    assert set(PROBLEM_SCHEMA["required"]) == set(told()) - {"requestId", "violations"}
    of_violation = PROBLEM_SCHEMA["properties"]["violations"]["items"]
    assert set(told()["violations"][0]) == set(of_violation["properties"])
    assert set(of_violation["required"]) == set(of_violation["properties"])
    assert PROBLEM_SCHEMA["description"]
    assert all(one["description"] for one in PROBLEM_SCHEMA["properties"].values())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, 7) for name in ("type", "title", "detail", "instance", "reason", "requestId")),
        ("status", "400"),
        ("metadata", []),
        ("metadata", {"a": 1}),
        ("violations", {}),
        ("violations", ["a"]),
        ("violations", [{"field": "a"}]),
        ("violations", [{"description": "a"}]),
        ("violations", [{"field": 1, "description": "a"}]),
        ("violations", [{"field": "a", "description": 1}]),
    ],
)
def test_a_problem_with_another_value_does_not_fit(name: str, value: object) -> None:
    assert not Draft202012Validator(PROBLEM_SCHEMA).is_valid({**told(), name: value})


def test_a_problem_is_an_object() -> None:
    assert not Draft202012Validator(PROBLEM_SCHEMA).is_valid("text")


def test_problems_are_answers_by_status_that_may_say_when_to_come_again() -> None:
    found = problems({503: "Away.", 400: "Wrong."})
    assert list(found) == ["400", "503"]
    assert found["400"] == problem("Wrong.")
    again = {
        "description": "Seconds until the request may be repeated.",
        "schema": {"type": "integer", "minimum": 1},
    }
    assert problem("Wrong.") == {
        "description": "Wrong.",
        "headers": {"Retry-After": again},
        "content": {
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
        },
    }
