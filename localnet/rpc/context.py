"""What a JSON-RPC method works with."""

import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from localnet.config import LocalnetSettings
from localnet.ledger.close import ClosedLedger
from localnet.ledger.node import Node
from localnet.ledger.state import Snapshot
from localnet.rpc.errors import invalid_params
from localnet.rpc.faults import Faults

#: Parameters of a call.
Params = Mapping[str, Any]


@dataclass(kw_only=True)
class RpcContext:
    """A node as its clients see it."""

    #: The node.
    node: Node
    #: The settings.
    settings: LocalnetSettings
    #: Misbehaviour that is switched on.
    faults: Faults
    #: Wall clock in seconds since 1970.
    clock: Callable[[], float] = time.time
    #: Where GET /friendbot is, for getNetwork; empty until the port is known.
    friendbot_url: str = field(default="")

    @property
    def snapshot(self) -> Snapshot:
        """The state that answers are made from: the latest, or a frozen one."""
        return self.faults.frozen or self.node.snapshot

    @property
    def latest(self) -> ClosedLedger:
        """The newest ledger that this node admits to know."""
        return self.node.history.get(self.snapshot.sequence) or self.node.history.latest

    @property
    def oldest(self) -> ClosedLedger:
        """The oldest ledger that can be asked for."""
        return self.node.history.oldest


def base64(data: bytes) -> str:
    """XDR as clients read it."""
    return b64encode(data).decode()


def timestamp(seconds: int) -> str:
    """RFC 3339 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def wants_json(params: Params) -> bool:
    """True for xdrFormat "json"; anything but that, "base64" or nothing is refused."""
    wanted = params.get("xdrFormat", "")
    if wanted not in ("", "base64", "json"):
        raise invalid_params(
            f"expected xdrFormat to be optional or 'base64' or 'json', got '{wanted}'"
        )
    return bool(wanted == "json")
