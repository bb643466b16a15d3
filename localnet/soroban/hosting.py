"""The parts of the running host that contracts, deployments and the registry need."""

from collections.abc import Sequence
from typing import Protocol

from stellar_sdk import xdr

from localnet.soroban.auth import Authorized
from localnet.soroban.cost import Meter
from localnet.soroban.errors import HostError
from localnet.soroban.model import LedgerInfo
from localnet.soroban.storage import Storage


class ContractHost(Protocol):
    """One running invocation, as seen by the code that it runs."""

    @property
    def storage(self) -> Storage:
        """The ledger entries."""
        ...

    @property
    def ledger(self) -> LedgerInfo:
        """The ledger in which the invocation runs."""
        ...

    @property
    def meter(self) -> Meter:
        """The cost of the invocation so far."""
        ...

    @property
    def is_nested(self) -> bool:
        """True when another contract made the running call."""
        ...

    def call(self, contract: str, function: str, arguments: Sequence[xdr.SCVal]) -> xdr.SCVal:
        """Call a contract from another one; when the call fails, all its effects are undone."""
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
        """Note why a call or a deployment is not made; return the error to raise."""
        ...
