"""What contracts, deployments and the registry need of the host that runs them."""

from collections.abc import Sequence
from typing import Protocol

from stellar_sdk import xdr

from localnet.soroban.auth import Authorized
from localnet.soroban.cost import Meter
from localnet.soroban.errors import HostError
from localnet.soroban.model import LedgerInfo
from localnet.soroban.storage import Storage


class ContractHost(Protocol):
    """One invocation while it runs, as what it runs sees it."""

    @property
    def storage(self) -> Storage:
        """The entries."""
        ...

    @property
    def ledger(self) -> LedgerInfo:
        """The ledger that it runs in."""
        ...

    @property
    def meter(self) -> Meter:
        """What it has cost so far."""
        ...

    @property
    def is_nested(self) -> bool:
        """Whether another contract made the running call."""
        ...

    def call(self, contract: str, function: str, arguments: Sequence[xdr.SCVal]) -> xdr.SCVal:
        """Call a contract from another; everything that it did is undone when it fails."""
        ...

    def try_call(
        self, contract: str, function: str, arguments: Sequence[xdr.SCVal]
    ) -> xdr.SCVal | xdr.SCError:
        """Call a contract and catch its failure."""
        ...

    def require_auth(self, address: str) -> None:
        """Require that the address has allowed the running call."""
        ...

    def authorize(self, address: str, creation: Authorized) -> None:
        """Require that the address has allowed the creation of a contract."""
        ...

    def emit(
        self,
        topics: Sequence[xdr.SCVal],
        data: xdr.SCVal,
        kind: xdr.ContractEventType = xdr.ContractEventType.CONTRACT,
    ) -> None:
        """Emit an event of the running contract."""
        ...

    def note_call(self, contract: str, function: str, arguments: Sequence[xdr.SCVal]) -> None:
        """Note the diagnostic event of a call that begins."""
        ...

    def note_return(self, contract: str, function: str, value: xdr.SCVal) -> None:
        """Note the diagnostic event of a call that succeeded."""
        ...

    def refuse(self, error: HostError) -> HostError:
        """Say why a call or a deployment is not made; give the error to raise."""
        ...
