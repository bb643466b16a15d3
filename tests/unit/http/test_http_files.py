"""Files that pages name: found again by their content, and asked for as seldom as can be."""

import hashlib

import pytest
from starlette.requests import Request
from starlette.responses import Response

from libs.http.files import PAGE_HEADERS, StaticFile, fixed

FILE = StaticFile(path="/pool.css", body=b"body {}", media_type="text/css")
TAG = hashlib.sha256(b"body {}").hexdigest()[:32]


async def answer(query: str = "", **headers: str) -> Response:
    route = fixed(FILE)
    assert route.path == "/pool.css"
    assert route.methods is not None
    assert "GET" in route.methods
    pairs = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
    scope = {"type": "http", "method": "GET", "query_string": query.encode(), "headers": pairs}
    response: Response = await route.endpoint(Request(scope))
    return response


def test_a_file_is_named_by_its_content() -> None:
    assert FILE.tag == TAG
    assert FILE.address == f"/pool.css?v={TAG[:12]}"


@pytest.mark.parametrize(
    ("query", "control"),
    [
        (f"v={TAG[:12]}", "public, max-age=31536000, immutable"),
        ("", "no-cache"),
        ("v=another", "no-cache"),
        (f"w={TAG[:12]}", "no-cache"),
    ],
)
async def test_only_what_is_named_by_its_content_is_kept_for_ever(query: str, control: str) -> None:
    response = await answer(query)
    assert (response.status_code, response.body, response.media_type) == (
        200,
        b"body {}",
        "text/css",
    )
    headers = dict(response.headers)
    assert headers["cache-control"] == control
    assert headers["etag"] == f'"{TAG}"'
    assert headers.items() >= PAGE_HEADERS.items()


@pytest.mark.parametrize(("tag", "status"), [(f'"{TAG}"', 304), ('"another"', 200), (TAG, 200)])
async def test_who_has_the_newest_is_told_so(tag: str, status: int) -> None:
    response = await answer(if_none_match=tag)
    assert response.status_code == status
    assert (response.body == b"") == (status == 304)
    assert response.headers["etag"] == f'"{TAG}"'


def test_a_page_uses_its_own_origin_and_is_framed_by_nobody() -> None:
    assert PAGE_HEADERS == {
        "content-security-policy": (
            "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; "
            "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        ),
        "x-frame-options": "DENY",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "referrer-policy": "same-origin",
    }
