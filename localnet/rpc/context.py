"""The context of a JSON-RPC method."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from localnet.config import LocalnetSettings
from localnet.ledger.close import ClosedLedger
from localnet.ledger.node import Node
from localnet.ledger.state import Snapshot
from localnet.rpc.errors import invalid_params
from localnet.rpc.faults import Faults
from localnet.rpc.lies.model import Memory
from localnet.rpc.lies.table import Lies

#: Parameters of a call.
Params = Mapping[str, Any]


@dataclass(kw_only=True)
class RpcContext:
    """A node in the form that its clients see."""

    #: The node.
    node: Node
    #: The settings of the localnet.
    settings: LocalnetSettings
    #: Faults that are switched on.
    faults: Faults
    #: Lies that the node tells.
    lies: Lies = field(default_factory=Lies)
    #: Transactions that the nodes of this chain were sent.
    memory: Memory = field(default_factory=Memory)
    #: Wall clock in seconds since 1970.
    clock: Callable[[], float] = time.time
    #: URL of GET /friendbot, for getNetwork; empty until the port is known.
    friendbot_url: str = field(default="")

    @property
    def snapshot(self) -> Snapshot:
        """The state from which answers are made: the latest one, or a frozen one."""
        return self.faults.frozen or self.node.snapshot

    @property
    def latest(self) -> ClosedLedger:
        """The newest ledger that this node shows to clients."""
        return self.node.history.get(self.snapshot.sequence) or self.node.history.latest

    @property
    def oldest(self) -> ClosedLedger:
        """The oldest ledger that clients can ask for."""
        return self.node.history.oldest


def wants_json(params: Params) -> bool:
    """Tell whether xdrFormat is "json".

    "base64" and no value mean False; any other value is refused.
    """
    wanted = params.get("xdrFormat", "")
    if wanted not in ("", "base64", "json"):
        raise invalid_params(unknown_format(wanted))
    return bool(wanted == "json")


def unknown_format(wanted: str) -> str:
    """Return the words about an xdrFormat that there is not."""
    return f"got '{wanted}': expected base64, json for optional 'xdrFormat'"
