"""Contracts that call other contracts: the tractor (many harvests), the router, our multicall."""

from typing import ClassVar

from stellar_sdk import scval, xdr

from localnet.soroban import cost
from localnet.soroban.contract import BaseContract
from localnet.soroban.values import (
    address_text,
    is_account,
    items_of,
    name_of,
    symbol,
    vector,
)

_FARM = symbol("FARM")


class Tractor(BaseContract):
    """The contract kale_tractor 2.0.0 (KALE_CONTRACT section 10)."""

    functions: ClassVar[frozenset[str]] = frozenset({"harvest"})

    def harvest(self, farmer: xdr.SCVal, pails: xdr.SCVal) -> xdr.SCVal:
        """Run harvest(farmer, indices): return the rewards in order.

        The reward is 0 for each harvest that failed or paid nothing.
        """
        self.host.meter.charge(cost.CALLER)
        indices = items_of(pails)
        if not indices:
            raise self.fail(1)
        farm = self.instance_get(_FARM)
        assert farm is not None  # noqa: S101  (the constructor stored it)
        rewards = [self._reward(address_text(farm), farmer, index) for index in indices]
        if not any(reward > 0 for reward in rewards):
            raise self.fail(2)
        self.extend_life()
        return vector(*(scval.to_int128(reward) for reward in rewards))

    def _reward(self, farm: str, farmer: xdr.SCVal, index: xdr.SCVal) -> int:
        value = self.host.try_call(farm, "harvest", [farmer, index])
        return 0 if isinstance(value, xdr.SCError) else scval.from_int128(value)


class Router(BaseContract):
    """The measuring router of the recordings.

    A failed call fails the whole of exec, but only its own part of exec_each.
    """

    functions: ClassVar[frozenset[str]] = frozenset({"exec", "exec_each"})

    def exec(self, calls: xdr.SCVal) -> xdr.SCVal:
        """Run exec(calls): return the return values; one failed call fails everything."""
        self.host.meter.charge(cost.CALLER)
        return vector(
            *(self.host.call(contract, name, items) for contract, name, items in _calls(calls))
        )

    def exec_each(self, calls: xdr.SCVal) -> xdr.SCVal:
        """Run exec_each(calls): return for each call whether it succeeded."""
        self.host.meter.charge(cost.CALLER)
        answers = [
            self.host.try_call(contract, name, items) for contract, name, items in _calls(calls)
        ]
        return vector(*(scval.to_bool(not isinstance(one, xdr.SCError)) for one in answers))


class Multicall(BaseContract):
    """Our contract (contracts/multicall), which returns a value or an error for each call."""

    functions: ClassVar[frozenset[str]] = frozenset({"exec"})

    def exec(self, calls: xdr.SCVal) -> xdr.SCVal:
        """Run exec(calls): return the value of each call, or its error as a value."""
        self.host.meter.charge(cost.CALLER)
        return vector(*(_answer(self.host.try_call(*call)) for call in _calls(calls)))


def _answer(answer: xdr.SCVal | xdr.SCError) -> xdr.SCVal:
    if isinstance(answer, xdr.SCError):
        return xdr.SCVal(xdr.SCValType.SCV_ERROR, error=answer)
    return answer


def tractor_storage(farm: xdr.SCVal) -> list[tuple[xdr.SCVal, xdr.SCVal]]:
    """Return the storage that the tractor's constructor writes."""
    return [(_FARM, farm)]


def _calls(calls: xdr.SCVal) -> list[tuple[str, str, list[xdr.SCVal]]]:
    """Read a value of type vec<(address, symbol, vec<val>)>."""
    parsed = []
    for call in items_of(calls):
        contract, name, items = items_of(call)
        parsed.append((_contract(contract), name_of(name), items_of(items)))
    return parsed


def _contract(value: xdr.SCVal) -> str:
    """Return the id of a contract; ValueError for an account, which cannot be called."""
    found = address_text(value)
    if is_account(found):
        raise ValueError("not a contract")
    return found
