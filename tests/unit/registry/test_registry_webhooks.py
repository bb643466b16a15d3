"""Where webhooks may go, what their secrets are made from, and how what is sent is signed."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from uuid import UUID

import pytest

from libs.common.ids import FarmerId, PoolerId
from services.registry.domain.notifications import Kind, Notification
from services.registry.domain.webhooks import (
    MOST,
    body_of,
    headers_of,
    host_of_url,
    is_public,
    read_keys,
    shown,
    wrong_with,
)

SOMEBODY = UUID("0190a5f0-0000-7000-8000-000000000001")
OTHER = UUID("0190a5f0-0000-7000-8000-000000000002")
KEY, OLD = bytes(range(32)), bytes(32)

CLOSED = [
    *("0.0.0.1", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255"),
    *("100.100.100.200", "127.0.0.1", "127.255.255.254", "168.63.129.16", "169.254.169.254"),
    *("172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1"),
    *("192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1"),
    *("224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::ffff:8.8.8.8", "::ffff:127.0.0.1", "::8.8.8.8", "::ffff:0:8.8.8.8"),
    *("64:ff9b::8.8.8.8", "64:ff9b::7f00:1", "64:ff9b:1::1", "100::1", "2001::1"),
    *("2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1", "2002:7f00:1::", "3fff::1"),
    *("fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "2600::1%eth0", "fec0::1", "ff02::1"),
    *("4000::1", "", "localhost", "1.2.3", "0x7f.1", "127.1", "2130706433", "08.8.8.8"),
]
OPEN = [
    *("1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.1", "100.63.255.255", "100.128.0.1"),
    *("126.255.255.255", "128.0.0.1", "168.63.129.15", "172.15.255.255", "172.32.0.1"),
    *("192.0.1.1", "192.167.255.255", "198.17.255.255", "198.20.0.1", "223.255.255.255"),
    *("2001:200::1", "2001:4860:4860::8888", "2003::1", "2606:4700:4700::1111", "3ffe::1"),
]


@pytest.mark.parametrize("address", CLOSED)
def test_nothing_is_sent_to_what_is_no_public_host(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", OPEN)
def test_public_hosts_are_open(address: str) -> None:
    assert is_public(address)


GOOD = [
    "https://hooks.example.com",
    "https://hooks.example.com:8443/a/b?c=d&e=%20",
    "https://Hooks.Example.COM./a",
    "https://xn--bcher-kva.example/",
    "https://8.8.8.8/",
    "https://[2606:4700:4700::1111]:443/",
    "https://a.b-c.d9.example/~x!",
    f"https://{'a.' * 123}example/",
]
BAD = {
    "http://hooks.example.com/": "https://",
    "ftp://hooks.example.com/": "https://",
    "HTTPS:hooks.example.com": "host",
    "hooks.example.com": "https://",
    "https://": "host",
    "https:///path": "host",
    "https://hooks.example.com:0/": "host",
    "https://hooks.example.com:65536/": "URL",
    "https://hooks.example.com:x/": "URL",
    "https://[::1/": "URL",
    "https://user@hooks.example.com/": "user",
    "https://user:password@hooks.example.com/": "user",
    "https://8.8.8.8@127.0.0.1/": "user",
    "https://hooks.example.com/#part": "fragment",
    "https://hooks.example.com/#": "fragment",
    "https://hooks.example.com\\@127.0.0.1/": "backslashes",
    "https://hooks.example.com/a b": "spaces",
    "https://hooks.example.com/\t": "spaces",
    "https://bücher.example/": "ASCII",
    "https://ⓛocalhost.example/": "ASCII",
    "https://127.0.0.1/": "private",
    "https://[::1]/": "private",
    "https://[::ffff:127.0.0.1]/": "private",
    "https://[64:ff9b::7f00:1]/": "private",
    "https://169.254.169.254/latest": "private",
    "https://localhost/": "public host",
    "https://registry/": "public host",
    "https://2130706433/": "public host",
    "https://0x7f000001/": "public host",
    "https://127.1/": "public host",
    "https://0177.0.0.1/": "public host",
    "https://1.2.3.4.5/": "public host",
    "https://-a.example/": "public host",
    "https://a_b.example/": "public host",
    "https://a..example/": "public host",
    "https://%6c%6fcalhost.example/": "public host",
    # 253 letters are the most.
    f"https://{'a.' * 123}examples/": "public host",
    # In brackets there are addresses only, and this kind is nobody's yet.
    "https://[v1.a:b]/": "private",
}


@pytest.mark.parametrize("url", GOOD)
def test_a_public_address_is_taken(url: str) -> None:
    assert wrong_with(url, allow_private=False) == ""


@pytest.mark.parametrize("url", BAD)
def test_what_is_wrong_with_an_address_is_told(url: str) -> None:
    assert BAD[url] in wrong_with(url, allow_private=False)


def test_operators_may_allow_private_hosts_and_no_more() -> None:
    for url in ("http://127.0.0.1:8000/x", "http://localhost/", "https://[::1]/", *GOOD):
        assert wrong_with(url, allow_private=True) == ""
    for url in ("ftp://a.example/", "https://u@a.example/", "https://a.example/#b", "http://"):
        assert wrong_with(url, allow_private=True)


def test_only_what_is_taken_is_told_as_a_beginning() -> None:
    assert wrong_with("localhost:9", allow_private=False) == "must begin with https://"
    assert wrong_with("localhost:9", allow_private=True) == "must begin with https:// or http://"


def test_a_host_is_told_without_what_may_be_secret() -> None:
    assert host_of_url("https://Hooks.example.com:1/secret?token=x") == "hooks.example.com"
    assert host_of_url("https://[::1") == ""
    assert host_of_url("https:///path") == ""


def encoded(*keys: bytes) -> str:
    return "\n".join(base64.b64encode(key).decode() for key in keys) + "\n"


def test_each_webhook_has_a_secret_of_its_own_which_a_newer_key_leaves_alone() -> None:
    before, now = read_keys(encoded(OLD)), read_keys(encoded(KEY, OLD))
    name = before.newest
    assert now.newest != name
    secret = before.secret_of(SOMEBODY, name)
    assert secret is not None
    assert now.secret_of(SOMEBODY, name) == secret
    assert len({secret, now.secret_of(SOMEBODY, now.newest), before.secret_of(OTHER, name)}) == 3
    assert now.secret_of(SOMEBODY, "of another pool") is None
    assert shown(secret) == "whsec_" + base64.b64encode(secret).decode()
    assert len(shown(secret)) == 50


def test_the_name_of_a_key_stays_the_same_over_versions() -> None:
    """Webhooks' rows name the key of their secret."""
    assert read_keys(encoded(KEY)).newest == "0a11ae36785ae9fa"
    assert next(iter(read_keys(encoded(KEY, OLD)).by_name)) == read_keys(encoded(KEY)).newest


def test_keys_are_never_shown() -> None:
    assert base64.b64encode(KEY).decode() not in repr(read_keys(encoded(KEY)))
    with pytest.raises(ValueError, match="key 2 is not base64 of 32 bytes") as caught:
        read_keys(encoded(KEY, KEY[:31]))
    assert base64.b64encode(KEY[:31]).decode() not in str(caught.value)


@pytest.mark.parametrize("text", ["", "\n", "secret", encoded(KEY)[:-3], "é" * 44])
def test_a_file_without_keys_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="key"):
        read_keys(text)


def test_signatures_are_those_of_standard_webhooks() -> None:
    """The vector of the specification's own libraries."""
    headers = headers_of(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        b'{"test": 2432232314}',
        secret=base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        now=datetime.fromtimestamp(1_614_265_330, UTC),
    )
    assert headers == {
        "Content-Type": "application/json",
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_a_signature_covers_id_moment_and_body() -> None:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    headers = headers_of("a", b"b", secret=KEY, now=now)
    expected = hmac.new(KEY, f"a.{int(now.timestamp())}.b".encode(), hashlib.sha256).digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(expected).decode()


def notification(**changes: object) -> Notification:
    values: dict[str, object] = {
        "number": 7,
        "id": SOMEBODY,
        "kind": Kind.PAYOUT_MADE.value,
        "pooler_id": PoolerId(SOMEBODY),
        "farmer_id": FarmerId(OTHER),
        "happened_at": datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC),
        "facts": {"b": "2", "a": "ü"},
        **changes,
    }
    return Notification(**values)  # type: ignore[arg-type]


def test_a_body_is_the_same_in_every_attempt_and_says_what_happened_to_whom() -> None:
    assert body_of(notification()) == body_of(notification(facts={"a": "ü", "b": "2"}))
    assert json.loads(body_of(notification())) == {
        "type": "payout.made",
        "timestamp": "2026-01-02T03:04:05.678Z",
        "data": {
            "notificationId": str(SOMEBODY),
            "poolerId": str(SOMEBODY),
            "farmerId": str(OTHER),
            "a": "ü",
            "b": "2",
        },
    }
    assert '"a":"ü","b":"2"'.encode() in body_of(notification())
    nobody = json.loads(body_of(notification(pooler_id=None, farmer_id=None, facts={})))
    assert nobody["data"] == {"notificationId": str(SOMEBODY)}


def test_an_owner_has_twenty_webhooks_at_most() -> None:
    """docs/notifications.md says so."""
    assert MOST == 20
