"""The calls of the farm, each for one farmer: plant, work, harvest."""

from dataclasses import dataclass
from functools import lru_cache

from stellar_sdk import StrKey

from services.wallet.chain.build import wire
from services.wallet.chain.build.wire import Invocation


@dataclass(frozen=True, kw_only=True)
class FarmCall:
    """One call of the farm for one farmer."""

    #: The farmer's address (strkey G...).
    farmer: str
    #: The farmer's raw key.
    key: bytes
    #: Index of the block that the call's entries belong to.
    block_index: int
    #: The invocation of the farm.
    invocation: Invocation
    #: Calls that the farm makes in the farmer's name: the burn of a stake.
    inside: tuple[Invocation, ...] = ()
    #: Whether the farmer has to authorise the call.
    needs_farmer: bool = False

    def authorized(self) -> bytes:
        """Encode the SorobanAuthorizedInvocation that the farmer authorises."""
        return wire.authorized(self.invocation, inside=self.inside)


class Farm:
    """A farm contract and its token; the methods make the farm's calls."""

    def __init__(self, *, farm: str, token: str) -> None:
        self.contract = StrKey.decode_contract(farm)
        self._token = StrKey.decode_contract(token)

    def plant(self, *, farmer: str, index: int, stake: int) -> FarmCall:
        """Make the call plant(farmer, amount).

        `stake` is in stroops of KALE. The call burns the stake when it is more than 0.
        """
        key = raw(farmer)
        arguments = (wire.sc_account(key), wire.sc_i128(stake))
        burn = Invocation(contract=self._token, function="burn", arguments=arguments)
        return FarmCall(
            farmer=farmer,
            key=key,
            block_index=index,
            invocation=self._call("plant", *arguments),
            inside=(burn,) if stake > 0 else (),
            needs_farmer=True,
        )

    def work(self, *, farmer: str, index: int, work_hash: bytes, nonce: int) -> FarmCall:
        """Make the call work(farmer, hash, nonce).

        The work goes to the running block, which must be `index`.
        """
        key = raw(farmer)
        arguments = (wire.sc_account(key), wire.sc_bytes(work_hash), wire.sc_u64(nonce))
        return FarmCall(
            farmer=farmer,
            key=key,
            block_index=index,
            invocation=self._call("work", *arguments),
        )

    def harvest(self, *, farmer: str, index: int) -> FarmCall:
        """Make the call harvest(farmer, index)."""
        key = raw(farmer)
        return FarmCall(
            farmer=farmer,
            key=key,
            block_index=index,
            invocation=self._call("harvest", wire.sc_account(key), wire.sc_u32(index)),
        )

    def block_key(self, index: int) -> bytes:
        """Return the LedgerKey of a Block (KALE_CONTRACT section 3)."""
        return _block_key(self.contract, index)

    def pail_key(self, key: bytes, index: int) -> bytes:
        """Return the LedgerKey of a farmer's Pail."""
        parts = [wire.sc_symbol("Pail"), wire.sc_account(key), wire.sc_u32(index)]
        return wire.temporary_key(self.contract, wire.sc_vec(parts))

    def _call(self, function: str, *arguments: bytes) -> Invocation:
        return Invocation(contract=self.contract, function=function, arguments=arguments)


@lru_cache(maxsize=64)
def _block_key(contract: bytes, index: int) -> bytes:
    """Return the LedgerKey of a Block; it is cached, since a thousand calls name the same block."""
    key = wire.sc_vec([wire.sc_symbol("Block"), wire.sc_u32(index)])
    return wire.temporary_key(contract, key)


@lru_cache(maxsize=16_384)
def raw(address: str) -> bytes:
    """Return the raw key of an account (strkey G...).

    The result is cached, since farmers are the same in every block.
    """
    return StrKey.decode_ed25519_public_key(address)
