"""Settings of the gateway, and the address of a caller behind proxies that are believed."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.config import GatewaySettings
from libs.http.addresses import CallerAddress, limited_by, parse_networks


def made(**changes: Any) -> GatewaySettings:
    return GatewaySettings(**{"transport": "plaintext", **changes})


def test_the_port_is_the_seeds() -> None:
    assert (made().port, made().host) == (3000, "127.0.0.1")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"host": "0.0.0.0"}, "plain HTTP shows tokens"),  # noqa: S104
        ({"gateway_tls_cert_file": Path("x")}, "set both"),
        ({"gateway_tls_key_file": Path("x")}, "set both"),
        ({"host": "0.0.0.0", "behind_proxy": True}, "HOST must be 127.0.0.1"),  # noqa: S104
        ({"trusted_proxies": "10.0.0.0/33"}, "trusted_proxies"),
        ({"trusted_proxies": "proxy.example"}, "trusted_proxies"),
        ({"pooler_urls": "pooler.example:3333"}, "must be the address of a pooler"),
        ({"pooler_urls": "https://pooler.example:99999"}, "pooler_urls"),
        ({"pooler_urls": "https://a.example,https://b.example/?x"}, "address of a pooler"),
        ({"pooler_urls": "https://name:word@pooler.example"}, "address of a pooler"),
        ({"pooler_urls": "https://pooler.example/v1/pool"}, "address of a pooler"),
        ({"max_body_bytes": 0}, "max_body_bytes"),
        ({"session_seconds": 43_201}, "session_seconds"),
        ({"gateway_session_key_file": Path("not-there")}, "SESSION_KEY_FILE cannot be read"),
    ],
)
def test_settings_that_would_do_harm_are_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        made(**changes)


def test_a_session_key_has_32_bytes_at_least(tmp_path: Path) -> None:
    key = tmp_path / "key"
    for text in ("", "short", "a" * 42, "a" * 42 + "\n\n"):
        key.write_text(text, encoding="ascii")
        with pytest.raises(ValidationError, match="32 random bytes"):
            made(gateway_session_key_file=key)
    key.write_text("5e" * 32 + "\n", encoding="ascii")
    assert made(gateway_session_key_file=key).session_secret() == b"5e" * 32
    assert made().session_secret() is None


def test_poolers_are_named_by_their_addresses() -> None:
    assert made().poolers() == ()
    found = made(pooler_urls="https://pooler.example:3333/, http://10.0.0.7:80,").poolers()
    assert [one.url for one in found] == ["https://pooler.example:3333", "http://10.0.0.7:80"]
    assert [one.host for one in found] == ["pooler.example:3333", "10.0.0.7:80"]


def test_browsers_reach_it_by_tls_where_it_or_a_proxy_speaks_tls() -> None:
    assert not made().is_reached_by_tls
    assert made(behind_proxy=True).is_reached_by_tls
    files = {"gateway_tls_cert_file": Path("c"), "gateway_tls_key_file": Path("k")}
    assert made(**files).is_reached_by_tls


def test_networks_are_parsed() -> None:
    assert [str(one) for one in parse_networks("10.0.0.7, 10.1.0.0/16,,fd00::/8")] == [
        "10.0.0.7/32",
        "10.1.0.0/16",
        "fd00::/8",
    ]
    assert parse_networks("") == ()


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        # Who is no proxy of ours is not believed.
        ("192.0.2.1", ["198.51.100.9"], "192.0.2.1"),
        ("10.0.0.7", ["198.51.100.9"], "198.51.100.9"),
        ("10.0.0.7", ["6.6.6.6, 198.51.100.9"], "198.51.100.9"),
        ("10.0.0.7", ["6.6.6.6", "198.51.100.9, 10.1.2.3"], "198.51.100.9"),
        ("10.0.0.7", ["198.51.100.9:4711"], "198.51.100.9"),
        ("10.0.0.7", ["[2001:db8::1]:443"], "2001:db8::1"),
        ("10.0.0.7", ["x\r\nevil"], "10.0.0.7"),
        ("10.0.0.7", [""], "10.0.0.7"),
        ("::ffff:10.0.0.7", ["198.51.100.9"], "198.51.100.9"),
        ("", [], "unknown"),
    ],
)
def test_the_last_address_that_no_proxy_of_ours_has_counts(
    peer: str, forwarded: list[str], address: str
) -> None:
    rule = CallerAddress(parse_networks("10.0.0.7,10.1.0.0/16"))
    assert rule.of(peer, forwarded) == address


def test_limits_count_a_customer_of_ipv6_once() -> None:
    assert limited_by("2001:db8:1:2:3:4:5:6") == limited_by("2001:db8:1:2:ffff::1")
    assert limited_by("2001:db8:1:2::1") != limited_by("2001:db8:1:3::1")
    assert limited_by("192.0.2.1") == "192.0.2.1"
    assert limited_by("unknown") == "unknown"
