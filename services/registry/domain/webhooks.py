"""Webhooks: where notifications may be sent, and how what is sent is signed.

Signed as Standard Webhooks say (https://www.standardwebhooks.com): HMAC-SHA256 over the id, the
moment and the body, under a secret that the receiver has.
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit
from uuid import UUID

from libs.common.ids import FarmerId, PoolerId
from services.registry.domain.notifications import Notification

#: Webhooks of one owner at most.
MOST = 20
#: Bytes of a key that secrets are made from.
KEY_BYTES = 32
_SECRET_PREFIX = "whsec_"  # noqa: S105  (how every secret begins)
#: A name of at least two labels, of which the last is no number: "127.1" is an address.
_NAME = re.compile(
    r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?\.?"
)
_LONGEST_NAME = 253

#: What of IPv4 is nobody's public host (RFC 6890 and its successors), and a cloud's own services.
_CLOSED_4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",  # private
            "100.64.0.0/10",  # behind a carrier's NAT; a cloud's metadata at 100.100.100.200
            "127.0.0.0/8",  # this machine
            "168.63.129.16/32",  # a cloud's own services, on each of its machines
            "169.254.0.0/16",  # this link; clouds' metadata at 169.254.169.254
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # protocols; a cloud's metadata at 192.0.0.192
            "192.0.2.0/24",  # documentation
            "192.88.99.0/24",  # relays of 6to4
            "192.168.0.0/16",  # private
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and broadcast
        ),
    )
)
#: The only part of IPv6 that is given out to hosts. Mapped and translated IPv4 (::ffff:0:0/96,
#: 64:ff9b::/96), private, link-local and multicast addresses are outside.
_OPEN_6 = IPv6Network("2000::/3")
#: What within it leads to IPv4 or to nobody.
_CLOSED_6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocols, with Teredo
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4
            "3fff::/20",  # documentation
        ),
    )
)


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """An address that notifications are sent to."""

    #: UUIDv7.
    webhook_id: UUID
    #: Whose it is; None: the operators'.
    pooler_id: PoolerId | None
    #: Only what concerns this farmer is sent; None: all that the owner sees.
    farmer_id: FarmerId | None
    #: Where it is sent.
    url: str
    #: The only kinds that are sent; none: all.
    kinds: list[str]
    #: The key that its secret is made from.
    key_name: str
    #: Who made it.
    created_by: str
    #: When.
    created_at: datetime
    #: Since when every attempt has failed.
    failing_since: datetime | None
    #: When it was disabled.
    disabled_at: datetime | None
    #: Why.
    disabled_reason: str
    #: When it was deleted.
    deleted_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class NewWebhook:
    """A webhook to make."""

    #: Whose it is; None: the operators'.
    pooler_id: PoolerId | None
    #: Only what concerns this farmer is sent; None: all that the owner sees.
    farmer_id: FarmerId | None
    #: Where to send.
    url: str
    #: The only kinds to send; none: all.
    kinds: tuple[str, ...]


def is_public(address: str) -> bool:
    """Tell whether an address is a host's in the public internet."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    if isinstance(found, IPv4Address):
        return not any(found in network for network in _CLOSED_4)
    return _is_public_6(found)


def _is_public_6(address: IPv6Address) -> bool:
    if address.scope_id is not None or address not in _OPEN_6:
        return False
    return not any(address in network for network in _CLOSED_6)


def host_of_url(url: str) -> str:
    """Return a URL's host, without what may be secret in the URL; empty when it has none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def is_secure(url: str) -> bool:
    """Tell whether what is sent to a URL goes over TLS."""
    return urlsplit(url).scheme == "https"


def wrong_with(url: str, *, allow_private: bool) -> str:
    """Return in words why nothing can be sent to a URL; empty when something can.

    What a name stands for is known only when it is asked for: the sender looks at the address.
    """
    if not all("!" <= letter <= "~" and letter != "\\" for letter in url):
        return "must be of ASCII characters, without spaces and backslashes"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "is no URL"
    schemes = ("https", "http") if allow_private else ("https",)
    begins = " or ".join(f"{scheme}://" for scheme in schemes)
    wrong = {
        f"must begin with {begins}": parts.scheme not in schemes,
        "must have no user and no password": "@" in parts.netloc,
        "must have no fragment": "#" in url,
        "must name a host": not host or port == 0,
    }
    found = next((words for words, is_so in wrong.items() if is_so), "")
    if found or allow_private:
        return found
    return _wrong_with_host(host, is_literal="[" in parts.netloc)


def _wrong_with_host(host: str, *, is_literal: bool) -> str:
    if is_literal or _is_address(host):
        return "" if is_public(host) else "must not be an address of a private network"
    if len(host) > _LONGEST_NAME or not _NAME.fullmatch(host):
        return "must name a public host, such as hooks.example.com"
    return ""


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, kw_only=True)
class WebhookKeys:
    """The keys that webhooks' secrets are made from, by name. The database has none of them."""

    #: All of them, by name.
    by_name: dict[str, bytes]
    #: Name of the one that new webhooks get.
    newest: str

    def __repr__(self) -> str:
        """Tell no key."""
        return f"WebhookKeys({', '.join(self.by_name)})"

    def secret_of(self, webhook_id: UUID, key_name: str) -> bytes | None:
        """Return a webhook's secret; None when its key is not here."""
        key = self.by_name.get(key_name)
        if key is None:
            return None
        return hmac.digest(key, b"kalepool webhook " + webhook_id.bytes, "sha256")


def read_keys(text: str) -> WebhookKeys:
    """Read keys: base64 of 32 bytes on a line each, the newest first.

    Raise ValueError, which shows no key, for anything else.
    """
    keys: dict[str, bytes] = {}
    for number, line in enumerate(text.split(), start=1):
        try:
            key = base64.b64decode(line, validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != KEY_BYTES:
            raise ValueError(f"key {number} is not base64 of {KEY_BYTES} bytes")
        keys[_name_of(key)] = key
    if not keys:
        raise ValueError("there is no key")
    return WebhookKeys(by_name=keys, newest=next(iter(keys)))


def _name_of(key: bytes) -> str:
    return hashlib.sha256(b"kalepool webhook key " + key).hexdigest()[:16]


def shown(secret: bytes) -> str:
    """Return a secret as receivers take it."""
    return _SECRET_PREFIX + base64.b64encode(secret).decode()


def body_of(notification: Notification) -> bytes:
    """Return what is sent; the same bytes in every attempt."""
    whose = {"poolerId": notification.pooler_id, "farmerId": notification.farmer_id}
    data = {name: str(value) for name, value in whose.items() if value is not None}
    moment = notification.happened_at.astimezone(UTC).isoformat(timespec="milliseconds")
    content = {
        "type": notification.kind,
        "timestamp": moment.replace("+00:00", "Z"),
        "data": {
            "notificationId": str(notification.id),
            **data,
            **{name: notification.facts[name] for name in sorted(notification.facts)},
        },
    }
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def headers_of(
    notification_id: str, body: bytes, *, secret: bytes, now: datetime
) -> dict[str, str]:
    """Return the headers by which a receiver knows whose word a body is, and that it is fresh."""
    moment = str(int(now.timestamp()))
    signed = f"{notification_id}.{moment}.".encode() + body
    signature = base64.b64encode(hmac.digest(secret, signed, "sha256")).decode()
    return {
        "Content-Type": "application/json",
        "webhook-id": notification_id,
        "webhook-timestamp": moment,
        "webhook-signature": f"v1,{signature}",
    }
