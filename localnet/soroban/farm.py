"""The KALE farm: plant, work, harvest and the functions of its admin (KALE_CONTRACT section 6)."""

from dataclasses import replace
from typing import ClassVar

from stellar_sdk import Address, scval, xdr

from localnet.soroban import cost
from localnet.soroban.contract import BaseContract, checked
from localnet.soroban.farm_math import (
    BlockRecord,
    PailRecord,
    digest_of,
    periods_of,
    reward_of_pail,
    weights_of,
    zeros_of,
)
from localnet.soroban.values import VOID, address, address_text, symbol, vector

_HOMESTEADER = vector(symbol("Homesteader"))
_ASSET = vector(symbol("HomesteadAsset"))
_INDEX = vector(symbol("FarmIndex"))
_BLOCK = vector(symbol("FarmBlock"))
_PAUSED = vector(symbol("FarmPaused"))
_HASH_SIZE = 32


class Farm(BaseContract):
    """The farm's build at the head of the source."""

    functions: ClassVar[frozenset[str]] = frozenset(
        {"plant", "work", "harvest", "pause", "unpause", "upgrade", "remove_block"}
    )

    def plant(self, farmer: xdr.SCVal, amount: xdr.SCVal) -> xdr.SCVal:
        """Run plant(farmer, amount)."""
        who, stake = address_text(farmer), scval.from_int128(amount)
        self._charge("plant")
        self.host.require_auth(who)
        if stake < 0:
            raise self.fail(6)
        if self._is_paused():
            raise self.fail(4)
        token = self._token()
        farm_block = self._farm_block()
        index, block, farm_block = self._block_to_plant(farm_block)
        if self._pail(farmer, index) is not None:
            raise self.fail(8)
        block = replace(block, staked_total=checked(block.staked_total + stake))
        if stake > 0:
            self.host.meter.charge(cost.BURN)
            self.host.call(token, "burn", [farmer, amount])
        pail = PailRecord(sequence=self.host.ledger.sequence, stake=stake)
        self.put(_pail_key(farmer, index), pail.to_value(), "temporary")
        self._store(index, block, farm_block.with_stake(stake))
        return VOID

    def work(self, farmer: xdr.SCVal, digest: xdr.SCVal, nonce: xdr.SCVal) -> xdr.SCVal:
        """Run work(farmer, hash, nonce)."""
        shown, number = scval.from_bytes(digest), scval.from_uint64(nonce)
        key = Address(address_text(farmer)).key
        if len(shown) != _HASH_SIZE:
            raise ValueError("not a hash")
        self._charge("work")
        index, farm_block = self._farm_index(), self._farm_block()
        block = self._block(index)
        if block is None:
            raise self.fail(11)
        pail = self._pail(farmer, index)
        if pail is None:
            raise self.fail(9)
        gap = self.host.ledger.sequence - pail.sequence
        if gap == 0:
            raise self.fail(15)
        if shown != digest_of(index, number, block.entropy, key):
            raise self.fail(13)
        zeros = zeros_of(shown)
        block = self._worked_block(block, pail, gap, zeros)
        done = replace(pail, gap=gap, zeros=zeros)
        self.put(_pail_key(farmer, index), done.to_value(), "temporary")
        self._store(index, block, farm_block.with_work(gap, zeros, shown))
        return scval.to_uint32(gap)

    def harvest(self, farmer: xdr.SCVal, index: xdr.SCVal) -> xdr.SCVal:
        """Run harvest(farmer, index)."""
        address_text(farmer)  # another type traps before anything is looked up
        number = scval.from_uint32(index)
        self._charge("harvest")
        token = self._token()
        block = self._block(number)
        if block is None:
            raise self.fail(11)
        pail = self._pail(farmer, number)
        if pail is None:
            raise self.fail(9)
        if number >= self._farm_index():
            raise self.fail(14)
        if pail.gap is None or pail.zeros is None:
            raise self.fail(10)
        weight = sum(self._weights(block, pail.gap, pail.stake, pail.zeros))
        reward = checked(reward_of_pail(number, block, weight))
        self.host.meter.charge(cost.DECAY_PERIOD * periods_of(number))
        paid = checked(reward + pail.stake)
        if paid > 0:
            self.host.meter.charge(cost.MINT)
            self.host.call(token, "mint", [farmer, scval.to_int128(paid)])
        self.remove(_pail_key(farmer, number), "temporary")
        self.extend_life()
        return scval.to_int128(reward)

    def pause(self) -> xdr.SCVal:
        """Run pause()."""
        self._require_admin()
        if self._is_paused():
            raise self.fail(4)
        return self._set_paused(paused=True)

    def unpause(self) -> xdr.SCVal:
        """Run unpause()."""
        self._require_admin()
        if not self._is_paused():
            raise self.fail(5)
        self._set_paused(paused=False)
        self.extend_life()
        return VOID

    def upgrade(self, code: xdr.SCVal) -> xdr.SCVal:
        """Run upgrade(hash): the next call runs the code with this hash."""
        wanted = scval.from_bytes(code)
        if len(wanted) != _HASH_SIZE:
            raise ValueError("not a hash")
        self._require_admin()
        self.become(wanted)
        self.extend_life()
        return VOID

    def remove_block(self, index: xdr.SCVal) -> xdr.SCVal:
        """Run remove_block(index)."""
        self._require_admin()
        self.remove(_block_key(scval.from_uint32(index)), "temporary")
        return VOID

    def _block_to_plant(self, farm_block: BlockRecord) -> tuple[int, BlockRecord, BlockRecord]:
        """Do step 6 of plant: return the index, the block and FarmBlock.

        The next block is opened when its time has come.
        """
        index, now = self._farm_index(), self.host.ledger.close_time
        if now >= farm_block.timestamp + self.host.ledger.settings.block_seconds:
            self.host.meter.charge(cost.OPENING if index > 0 else cost.FIRST_OPENING)
            self._set_index(index + 1)
            return index + 1, farm_block.opened(now), BlockRecord(timestamp=now)
        block = self._block(index)
        if block is not None:
            return index, block, farm_block
        if index > 0:
            index += 1
            self._set_index(index)
        return index, farm_block.opened(now), farm_block

    def _worked_block(
        self, block: BlockRecord, pail: PailRecord, gap: int, zeros: int
    ) -> BlockRecord:
        """Do steps 6 and 7 of work."""
        total = block.normalized_total + sum(self._weights(block, gap, pail.stake, zeros))
        if pail.gap is None or pail.zeros is None:
            staked = checked(block.staked_total - pail.stake)
            return replace(block, normalized_total=checked(total), staked_total=staked)
        if zeros <= pail.zeros:
            raise self.fail(7)
        self.host.meter.charge(cost.REWORK)
        # The old share is subtracted as if it had been made at the new gap.
        total -= sum(self._weights(block, gap, pail.stake, pail.zeros))
        return replace(block, normalized_total=checked(total))

    def _weights(self, block: BlockRecord, gap: int, stake: int, zeros: int) -> tuple[int, ...]:
        weights = weights_of(block, gap, stake, zeros)
        if weights is None:
            raise self.fail(12)
        return weights

    def _charge(self, function: str) -> None:
        prices = cost.NESTED if self.host.is_nested else cost.TOP
        self.host.meter.charge(prices[function], cost.MEMORY[function])

    def _token(self) -> str:
        value = self.instance_get(_ASSET)
        if value is None:
            raise self.fail(2)
        return address_text(value)

    def _farm_block(self) -> BlockRecord:
        value = self.instance_get(_BLOCK)
        if value is None:
            raise self.fail(3)
        return BlockRecord.from_value(value)

    def _farm_index(self) -> int:
        value = self.instance_get(_INDEX)
        return 0 if value is None else scval.from_uint32(value)

    def _set_index(self, index: int) -> None:
        self.instance_put(_INDEX, scval.to_uint32(index))

    def _is_paused(self) -> bool:
        value = self.instance_get(_PAUSED)
        return value is not None and scval.from_bool(value)

    def _set_paused(self, *, paused: bool) -> xdr.SCVal:
        self.instance_put(_PAUSED, scval.to_bool(paused))
        self.save_instance()
        return VOID

    def _require_admin(self) -> None:
        self.host.meter.charge(cost.OTHER_CALL)
        admin = self.instance_get(_HOMESTEADER)
        if admin is None:
            raise self.fail(2)
        self.host.require_auth(address_text(admin))

    def _block(self, index: int) -> BlockRecord | None:
        value = self.get(_block_key(index), "temporary")
        return None if value is None else BlockRecord.from_value(value)

    def _pail(self, farmer: xdr.SCVal, index: int) -> PailRecord | None:
        value = self.get(_pail_key(farmer, index), "temporary")
        return None if value is None else PailRecord.from_value(value)

    def _store(self, index: int, block: BlockRecord, farm_block: BlockRecord) -> None:
        self.put(_block_key(index), block.to_value(), "temporary")
        self.instance_put(_BLOCK, farm_block.to_value())
        self.save_instance()
        self.extend_life()


class OldFarm(Farm):
    """The farm's build of March 2025.

    Its unpause is inverted, and a plant that opens a block reads the old block too.
    """

    def unpause(self) -> xdr.SCVal:
        """Run unpause(), which succeeds only while the farm is not paused."""
        self._require_admin()
        if self._is_paused():
            raise self.fail(5)
        self._set_paused(paused=False)
        self.extend_life()
        return VOID

    def _block_to_plant(self, farm_block: BlockRecord) -> tuple[int, BlockRecord, BlockRecord]:
        self._block(self._farm_index())
        return super()._block_to_plant(farm_block)


def genesis_storage(admin: str, token: str, now: int) -> list[tuple[xdr.SCVal, xdr.SCVal]]:
    """Return the storage that the constructor writes."""
    return [
        (_BLOCK, BlockRecord(timestamp=now).to_value()),
        (_ASSET, address(token)),
        (_HOMESTEADER, address(admin)),
    ]


def _block_key(index: int) -> xdr.SCVal:
    return vector(symbol("Block"), scval.to_uint32(index))


def _pail_key(farmer: xdr.SCVal, index: int) -> xdr.SCVal:
    return vector(symbol("Pail"), farmer, scval.to_uint32(index))
