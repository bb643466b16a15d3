"""Heads of answers: what every reply has, and nothing that would be read as two headers."""

import pytest

from libs.http.heads import COMMON, head_of, with_common


def lines(head: bytes) -> list[bytes]:
    assert head.endswith(b"\r\n")
    return head.split(b"\r\n")[:-1]


def test_a_head_has_what_every_reply_has() -> None:
    assert lines(head_of(404, "application/problem+json", ())) == [
        b"HTTP/1.1 404 Not Found",
        b"content-type: application/problem+json",
        b"x-content-type-options: nosniff",
        b"referrer-policy: no-referrer",
        b"cache-control: no-store",
    ]


def test_its_own_headers_go_before_those_of_every_reply() -> None:
    head = lines(head_of(200, "text/html", [("referrer-policy", "same-origin"), ("x", "é")]))
    assert b"referrer-policy: same-origin" in head
    assert b"referrer-policy: no-referrer" not in head
    assert "x: é".encode("latin-1") in head


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("location", "/a\r\nset-cookie: x=y"),
        ("location", "/a\nb"),
        ("location", "/a\x00b"),
        ("location", "/a\x7fb"),
        ("loca tion", "/a"),
        ("location:", "/a"),
        ("", "/a"),
        ("x\r\ny", "/a"),
    ],
)
def test_what_would_be_read_as_something_else_is_not_sent(name: str, value: str) -> None:
    with pytest.raises(ValueError, match="has no value that can be sent"):
        head_of(303, "text/html", [(name, value)])


def test_an_answer_in_parts_has_them_too() -> None:
    assert with_common([(b"cache-control", b"no-cache")]) == [
        (b"cache-control", b"no-cache"),
        *(pair for pair in COMMON if pair[0] != b"cache-control"),
    ]
