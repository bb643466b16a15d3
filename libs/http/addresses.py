"""The address of a caller: the connection's, or what a proxy that is believed says of it.

It is for limits and records only: nobody gets more rights by an address.
"""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address
#: What a connection's address is called where it has none (a socket of this machine).
UNKNOWN = "unknown"
#: Bits of an IPv6 address that one customer has for itself.
_CUSTOMER_BITS = 64
#: Addresses that are kept parsed, as one caller comes again and again.
_KEPT = 4096


def parse_networks(text: str) -> tuple[Network, ...]:
    """Parse addresses and networks, comma separated. Raise ValueError for anything else."""
    parts = [part.strip() for part in text.split(",")]
    return tuple(ip_network(part) for part in parts if part)


class CallerAddress:
    """The rule by which a caller's address is found."""

    def __init__(self, proxies: Sequence[Network]) -> None:
        """Take the networks of the proxies that are believed."""
        self._proxies = tuple(proxies)

    def of(self, peer: str, forwarded: Sequence[str]) -> str:
        """Return the caller's address.

        `peer` is the connection's, `forwarded` the values of X-Forwarded-For in their order. The
        last address that no believed proxy has counts: whatever stands before it, the caller may
        have written.
        """
        address, text = _of_connection(peer)
        if address is None or not forwarded:
            return text
        hops = [hop for value in forwarded for hop in value.split(",")]
        while hops and self._is_believed(address):
            before = _parse(hops.pop().strip())
            if before is None:
                break
            address = before
        return str(address)

    def _is_believed(self, address: Address) -> bool:
        return any(address in network for network in self._proxies)


@lru_cache(maxsize=_KEPT)
def _of_connection(peer: str) -> tuple[Address | None, str]:
    """Return a connection's address, and what it is called."""
    address = _parse(peer)
    return address, UNKNOWN if address is None else str(address)


@lru_cache(maxsize=_KEPT)
def limited_by(address: str) -> str:
    """Return what limits are counted by: an address of IPv4, the first half of one of IPv6."""
    parsed = _parse(address)
    if parsed is None or parsed.version == 4:
        return address
    return str(IPv6Address(int(parsed) >> _CUSTOMER_BITS << _CUSTOMER_BITS))


def _parse(text: str) -> Address | None:
    """Return the address in a text, which may have a port and brackets; None when it has none."""
    host = text.strip("[]")
    if text.startswith("["):
        host = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        host = text.partition(":")[0]
    try:
        address = ip_address(host)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if address.version == 6 else None
    return mapped or address
