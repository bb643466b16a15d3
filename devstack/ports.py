"""Free ports of this machine, for servers that are started a moment later."""

import secrets
import socket

#: No system gives these to outgoing connections (Linux begins at 32768, macOS at 49152): what is
#: free now is not taken by somebody's connection before its server binds it.
_FIRST, _COUNT = 20_000, 10_000
_HOST = "127.0.0.1"
#: Ports that are tried before a free one is found, at most.
_TRIES = 1000

#: The ports that this process was given: none is given twice.
_given: set[int] = set()


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on."""
    return [_free_port() for _ in range(count)]


def _free_port() -> int:
    for _ in range(_TRIES):
        port = _FIRST + secrets.randbelow(_COUNT)
        if port not in _given and _is_free(port):
            _given.add(port)
            return port
    raise OSError(f"no free port from {_FIRST} to {_FIRST + _COUNT - 1}")


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        try:
            listener.bind((_HOST, port))
        except OSError:
            return False
    return True
