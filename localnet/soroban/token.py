"""The Stellar Asset Contract, a part of the host, over accounts, trustlines and balance entries."""

from typing import Any, ClassVar

from stellar_sdk import scval, xdr

from localnet.soroban import cost
from localnet.soroban.assets import ADMIN, METADATA, ContractAsset
from localnet.soroban.contract import BaseContract
from localnet.soroban.errors import HostError, host_error
from localnet.soroban.holdings import (
    ALLOWANCE,
    NEGATIVE_AMOUNT,
    OPERATION_NOT_SUPPORTED,
    Holdings,
    failed,
)
from localnet.soroban.storage import data_key
from localnet.soroban.values import (
    VOID,
    address,
    address_text,
    fields_of,
    receiver_of,
    record,
    symbol,
    vector,
)


class Token(BaseContract):
    """The contract of one asset."""

    has_code: ClassVar[bool] = False
    functions: ClassVar[frozenset[str]] = frozenset(cost.ASSET_CALL)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        metadata = self.instance_get(METADATA)
        assert metadata is not None  # noqa: S101  (every asset contract is created with it)
        name = scval.from_string(fields_of(metadata)["name"]).decode()
        self._asset = ContractAsset.from_name(name)
        self._holdings = Holdings(self, self._asset)

    def no_function(self, name: str) -> HostError:
        """Return the error of a call of a function that the contract does not have."""
        words = scval.to_string("symbol not found in slice of strs")
        return host_error("VALUE", "INVALID_INPUT", words, symbol(name))

    def wrong_count(self, name: str) -> HostError:
        """Return the error of a call with another number of arguments."""
        words = scval.to_string("wrong number of args to func")
        return host_error("CONTEXT", "UNEXPECTED_SIZE", words, symbol(name))

    def wrong_type(self, name: str) -> HostError:
        """Return the error of an argument of another type, which has no description."""
        return host_error("VALUE", "UNEXPECTED_TYPE")

    def balance(self, holder: xdr.SCVal) -> xdr.SCVal:
        """Run balance(id)."""
        self._charge("balance")
        return scval.to_int128(self._holdings.balance(address_text(holder)))

    def decimals(self) -> xdr.SCVal:
        """Run decimals(): return 7."""
        self._charge("decimals")
        return scval.to_uint32(7)

    def name(self) -> xdr.SCVal:
        """Run name(): return CODE:ISSUER."""
        self._charge("name")
        return scval.to_string(self._asset.name)

    def symbol(self) -> xdr.SCVal:
        """Run symbol(): return CODE."""
        self._charge("symbol")
        return scval.to_string(self._asset.symbol)

    def admin(self) -> xdr.SCVal:
        """Run admin()."""
        self._charge("admin")
        return self._admin()

    def authorized(self, holder: xdr.SCVal) -> xdr.SCVal:
        """Run authorized(id): tell whether its holding may be moved."""
        self._charge("authorized")
        return scval.to_bool(self._holdings.is_authorized(address_text(holder)))

    def allowance(self, owner: xdr.SCVal, spender: xdr.SCVal) -> xdr.SCVal:
        """Run allowance(from, spender)."""
        self._charge("allowance")
        return scval.to_int128(self._allowance(_allowance_key(owner, spender))[0])

    def transfer(self, sender: xdr.SCVal, receiver: xdr.SCVal, amount: xdr.SCVal) -> xdr.SCVal:
        """Run transfer(from, to, amount); `to` may be a muxed account.

        An amount that the issuer sends is minted, and an amount that the issuer receives is burnt.
        The events say so.
        """
        self._charge("transfer")
        stroops, source = self._amount(amount), address_text(sender)
        target, number = receiver_of(receiver)
        self.host.require_auth(source)
        self._move(source, target, stroops, number)
        return VOID

    def transfer_from(
        self, spender: xdr.SCVal, sender: xdr.SCVal, receiver: xdr.SCVal, amount: xdr.SCVal
    ) -> xdr.SCVal:
        """Run transfer_from(spender, from, to, amount): spend what approve allowed."""
        self._charge("transfer_from")
        stroops, source, target = self._amount(amount), address_text(sender), address_text(receiver)
        self.host.require_auth(address_text(spender))
        self._spend_allowance(sender, spender, stroops)
        self._move(source, target, stroops, None)
        return VOID

    def approve(
        self, owner: xdr.SCVal, spender: xdr.SCVal, amount: xdr.SCVal, until: xdr.SCVal
    ) -> xdr.SCVal:
        """Run approve(from, spender, amount, live_until_ledger)."""
        self._charge("approve")
        stroops, last = self._amount(amount), scval.from_uint32(until)
        address_text(spender)
        self.host.require_auth(address_text(owner))
        key = _allowance_key(owner, spender)
        if stroops:
            self._check_life(last)
        if stroops or self.get(key, "temporary") is not None:
            self._put_allowance(key, stroops, last)
        self._tell("approve", owner, spender, data=vector(amount, until))
        return VOID

    def burn(self, holder: xdr.SCVal, amount: xdr.SCVal) -> xdr.SCVal:
        """Run burn(from, amount)."""
        self._charge("burn")
        stroops, who = self._burnt(holder, amount)
        self.host.require_auth(who)
        self._holdings.spend(who, stroops)
        self._tell("burn", holder, data=amount)
        return VOID

    def burn_from(self, spender: xdr.SCVal, holder: xdr.SCVal, amount: xdr.SCVal) -> xdr.SCVal:
        """Run burn_from(spender, from, amount): burn what approve allowed."""
        self._charge("burn_from")
        stroops, who = self._burnt(holder, amount)
        self.host.require_auth(address_text(spender))
        self._spend_allowance(holder, spender, stroops)
        self._holdings.spend(who, stroops)
        self._tell("burn", holder, data=amount)
        return VOID

    def mint(self, receiver: xdr.SCVal, amount: xdr.SCVal) -> xdr.SCVal:
        """Run mint(to, amount), which the admin must authorise."""
        self._charge("mint")
        who, stroops = address_text(receiver), self._amount(amount)
        self._require_admin()
        self._check_not_issuer(who)
        self._holdings.receive(who, stroops)
        self._tell("mint", receiver, data=amount)
        return VOID

    def clawback(self, holder: xdr.SCVal, amount: xdr.SCVal) -> xdr.SCVal:
        """Run clawback(from, amount), which the admin must authorise."""
        self._charge("clawback")
        who, stroops = address_text(holder), self._amount(amount)
        if not self._asset.is_native:
            self._require_admin()
        self._holdings.claw_back(who, stroops)
        self._tell("clawback", holder, data=amount)
        return VOID

    def set_admin(self, new: xdr.SCVal) -> xdr.SCVal:
        """Run set_admin(new_admin), which the admin must authorise."""
        self._charge("set_admin")
        address_text(new)
        before = self._require_admin()
        self.instance_put(ADMIN, new)
        self.save_instance()
        self._tell("set_admin", before, data=new)
        return VOID

    def set_authorized(self, holder: xdr.SCVal, authorized: xdr.SCVal) -> xdr.SCVal:
        """Run set_authorized(id, authorize), which the admin must authorise."""
        self._charge("set_authorized")
        who, told = address_text(holder), scval.from_bool(authorized)
        self._require_admin()
        self._holdings.authorize(who, authorized=told)
        self._tell("set_authorized", holder, data=authorized)
        return VOID

    def _charge(self, function: str) -> None:
        if function in cost.NESTED_ASSET_CALLS and self.host.is_nested:
            return
        native, other = cost.ASSET_CALL[function]
        self.host.meter.charge(native if self._asset.is_native else other)

    def _tell(self, what: str, *who: xdr.SCVal, data: xdr.SCVal) -> None:
        self.host.emit([symbol(what), *who, scval.to_string(self._asset.name)], data)

    def _move(self, source: str, target: str, stroops: int, number: int | None) -> None:
        """Move an amount and tell it; `number` is that of a muxed receiver."""
        self._holdings.spend(source, stroops)
        self._holdings.receive(target, stroops)
        amount, issuer = scval.to_int128(stroops), self._asset.issuer
        told = amount
        if number is not None:
            told = record({"amount": amount, "to_muxed_id": scval.to_uint64(number)})
        if source == target or issuer not in {source, target}:
            self._tell("transfer", address(source), address(target), data=told)
        elif source == issuer:
            self._tell("mint", address(target), data=told)
        else:
            self._tell("burn", address(source), data=amount)

    def _amount(self, value: xdr.SCVal) -> int:
        stroops = scval.from_int128(value)
        if stroops < 0:
            raise failed(NEGATIVE_AMOUNT, "negative amount is not allowed", value)
        return stroops

    def _burnt(self, holder: xdr.SCVal, amount: xdr.SCVal) -> tuple[int, str]:
        stroops, who = self._amount(amount), address_text(holder)
        if self._asset.is_native:
            raise failed(OPERATION_NOT_SUPPORTED, "operation invalid on native asset")
        self._check_not_issuer(who)
        return stroops, who

    def _check_not_issuer(self, who: str) -> None:
        if who == self._asset.issuer:
            raise failed(OPERATION_NOT_SUPPORTED, "operation invalid on issuer")

    def _admin(self) -> xdr.SCVal:
        """Return the admin; the contract of XLM has none."""
        found = self.instance_get(ADMIN)
        if found is None:
            raise host_error("STORAGE", "MISSING_VALUE")
        return found

    def _require_admin(self) -> xdr.SCVal:
        admin = self._admin()
        self.host.require_auth(address_text(admin))
        return admin

    def _allowance(self, key: xdr.SCVal) -> tuple[int, int]:
        """Return the stroops that may be spent and the last ledger in which they may."""
        value = self.get(key, "temporary")
        if value is None:
            return 0, 0
        fields = fields_of(value)
        until = scval.from_uint32(fields["live_until_ledger"])
        spendable = until >= self.host.ledger.sequence
        return scval.from_int128(fields["amount"]) if spendable else 0, until

    def _spend_allowance(self, owner: xdr.SCVal, spender: xdr.SCVal, stroops: int) -> None:
        key = _allowance_key(owner, spender)
        allowed, until = self._allowance(key)
        if allowed < stroops:
            words, amounts = "not enough allowance to spend", (allowed, stroops)
            raise failed(ALLOWANCE, words, *map(scval.to_int128, amounts))
        if stroops:
            self._put_allowance(key, allowed - stroops, until)

    def _check_life(self, last: int) -> None:
        sequence, longest = self.host.ledger.sequence, self.host.ledger.settings.max_entry_ttl
        if last < sequence:
            words, numbers = "live_until must be >= ledger sequence", (last, sequence)
            raise failed(ALLOWANCE, words, *map(scval.to_uint32, numbers))
        if last > self.host.storage.longest_life():
            words, numbers = "live_until is greater than max", (last, longest)
            raise failed(ALLOWANCE, words, *map(scval.to_uint32, numbers))

    def _put_allowance(self, key: xdr.SCVal, stroops: int, last: int) -> None:
        value = {"amount": scval.to_int128(stroops), "live_until_ledger": scval.to_uint32(last)}
        self.put(key, record(value), "temporary")
        life = last - self.host.ledger.sequence
        if stroops:
            found = data_key(self.id, key, "temporary")
            self.host.storage.extend(found, threshold=life, extend_to=life)


def _allowance_key(owner: xdr.SCVal, spender: xdr.SCVal) -> xdr.SCVal:
    return vector(symbol("Allowance"), record({"from": owner, "spender": spender}))
