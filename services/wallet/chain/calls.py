"""The farm's calls as operations: plant, work, harvest."""

from dataclasses import dataclass

from stellar_sdk import InvokeHostFunction, scval, xdr
from stellar_sdk.address import Address


@dataclass(frozen=True, kw_only=True)
class FarmCall:
    """One call of the farm for one farmer."""

    #: Contract id of the farm.
    farm: str
    #: Function of the contract.
    function: str
    #: Its arguments.
    arguments: tuple[xdr.SCVal, ...]

    def operation(self, auth: list[xdr.SorobanAuthorizationEntry]) -> InvokeHostFunction:
        """The operation that makes the call, with the authorisations that it needs."""
        invocation = xdr.InvokeContractArgs(
            contract_address=Address(self.farm).to_xdr_sc_address(),
            function_name=xdr.SCSymbol(self.function.encode()),
            args=list(self.arguments),
        )
        function = xdr.HostFunction(
            xdr.HostFunctionType.HOST_FUNCTION_TYPE_INVOKE_CONTRACT, invoke_contract=invocation
        )
        return InvokeHostFunction(host_function=function, auth=auth)


def plant_call(farm: str, *, farmer: str, stake: int) -> FarmCall:
    """plant(farmer, amount): `stake` in stroops of KALE."""
    return FarmCall(
        farm=farm,
        function="plant",
        arguments=(scval.to_address(farmer), scval.to_int128(stake)),
    )


def work_call(farm: str, *, farmer: str, work_hash: bytes, nonce: int) -> FarmCall:
    """work(farmer, hash, nonce)."""
    return FarmCall(
        farm=farm,
        function="work",
        arguments=(
            scval.to_address(farmer),
            scval.to_bytes(work_hash),
            scval.to_uint64(nonce),
        ),
    )


def harvest_call(farm: str, *, farmer: str, index: int) -> FarmCall:
    """harvest(farmer, index)."""
    return FarmCall(
        farm=farm,
        function="harvest",
        arguments=(scval.to_address(farmer), scval.to_uint32(index)),
    )
