"""Forms: only our own pages may send them."""

from collections.abc import Mapping

import pytest

from gateway.errors import ForeignFormError
from gateway.pages.forms import check_own, check_proof, parse_form
from gateway.pages.login import own_path
from gateway.pages.sessions import Session, Sessions
from libs.common.errors import InvalidArgumentError


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "same-origin"},
        # A proxy may have changed the host; what the browser says of the site counts.
        {"sec-fetch-site": "same-origin", "origin": "https://pool.example", "host": "10.0.0.7"},
        # Browsers before 2023 say where a form comes from by Origin alone.
        {"origin": "https://pool.example", "host": "pool.example"},
        {"origin": "http://127.0.0.1:3000", "host": "127.0.0.1:3000"},
    ],
)
def test_our_own_pages_may_send_forms(headers: Mapping[str, str]) -> None:
    check_own(headers)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"host": "pool.example"},
        {"sec-fetch-site": "cross-site", "origin": "https://pool.example", "host": "pool.example"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"origin": "https://evil.example", "host": "pool.example"},
        {"origin": "https://pool.example.evil", "host": "pool.example"},
        {"origin": "https://pool.example:444", "host": "pool.example"},
        {"origin": "null", "host": "pool.example"},
        {"origin": "", "host": ""},
        {"origin": "http://[", "host": "["},
        {"origin": "http://[::1", "host": "pool.example"},
    ],
)
def test_nobody_else_may(headers: Mapping[str, str]) -> None:
    with pytest.raises(ForeignFormError):
        check_own(headers)


def test_a_form_proves_its_session() -> None:
    sessions = Sessions(None, seconds=60, is_secure=False)
    session = Session(id=b"1" * 16, token="kp_", ends=1)
    check_proof(sessions, session, {"proof": sessions.proof(session)})
    other = Session(id=b"2" * 16, token="kp_", ends=1)
    for given, form in (
        (session, {}),
        (session, {"proof": ""}),
        (session, {"proof": sessions.proof(other)}),
        (None, {"proof": sessions.proof(session)}),
    ):
        with pytest.raises(ForeignFormError):
            check_proof(sessions, given, form)


def test_the_fields_of_a_form_are_read() -> None:
    assert parse_form(b"token=kp_a%2Db&to=%2Foperator&empty=") == {
        "token": "kp_a-b",
        "to": "/operator",
        "empty": "",
    }
    assert parse_form(b"") == {}


@pytest.mark.parametrize(
    "body",
    [b"token", b"&&", b"a=1&a=2", b"a=%ff", "é=1".encode(), b"&".join([b"a=1"] * 30), b"\0"],
)
def test_what_is_no_form_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidArgumentError):
        parse_form(body)


@pytest.mark.parametrize("path", ["/", "/operator", "/poolers/0190a5f0-6c2e", "/farmers/GABC"])
def test_who_has_signed_in_is_led_to_the_page_that_was_asked_for(path: str) -> None:
    assert own_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        *("", "//evil.example", "/\\evil.example", "https://evil.example", "/a//b", "/login"),
        *("/logout", "/a?b=//c", "/a/", "/%2f/evil", "/a\r\nset-cookie: x", "javascript:x", "/.."),
    ],
)
def test_nobody_is_led_elsewhere(path: str) -> None:
    assert own_path(path) == ""
