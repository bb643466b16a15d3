"""The names of this machine for itself, and addresses as they are written."""

#: No network lies between this machine and a caller that uses one of these names.
LOCAL_HOSTS = ("127.0.0.1", "::1", "localhost")


def address_of(host: str, port: int) -> str:
    """Return host:port, as URLs and gRPC want it: an IPv6 address in brackets (RFC 3986, 3.2.2)."""
    return f"{in_brackets(host)}:{port}"


def in_brackets(host: str) -> str:
    """Return a host as it stands in URLs: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def host_of(address: str) -> str:
    """Return the host of host, host:port, [host] or [host]:port, in lower case."""
    if address.startswith("["):
        return address[1:].partition("]")[0].lower()
    # An IPv6 address without brackets has no port.
    host = address if address.count(":") > 1 else address.partition(":")[0]
    return host.lower()


def is_local(address: str) -> bool:
    """Tell whether an address (host:port) is this machine's for itself."""
    return host_of(address) in LOCAL_HOSTS
