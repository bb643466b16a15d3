"""JSON-RPC errors with the codes that Stellar's RPC uses."""

from typing import Any

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603


class RpcError(Exception):
    """An error that becomes an answer without a result."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data

    def to_json(self) -> dict[str, Any]:
        """Return the error member of the answer."""
        body: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.data is not None:
            body["data"] = self.data
        return body


def invalid_params(message: str, data: Any = None) -> RpcError:
    """Make an error with code -32602."""
    return RpcError(INVALID_PARAMS, message, data)


def invalid_request(message: str) -> RpcError:
    """Make an error with code -32600."""
    return RpcError(INVALID_REQUEST, message)
