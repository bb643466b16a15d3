"""The Stellar Asset Contract of KALE, over trustlines (G) and balance entries (C)."""

from typing import ClassVar

from stellar_sdk import StrKey, scval, xdr

from localnet.soroban import cost
from localnet.soroban.contract import BaseContract
from localnet.soroban.storage import trustline_key
from localnet.soroban.values import (
    VOID,
    address,
    address_text,
    fields_of,
    is_account,
    receiver_of,
    record,
    symbol,
    vector,
)

_ADMIN = vector(symbol("Admin"))
_INFO = vector(symbol("AssetInfo"))
_METADATA = symbol("METADATA")
MAX_I64 = 2**63 - 1
_AUTHORIZED = 1

OPERATION_NOT_SUPPORTED = 2
NEGATIVE_AMOUNT = 8
BALANCE = 10
DEAUTHORIZED = 11
OVERFLOW = 12
TRUSTLINE_MISSING = 13


class Token(BaseContract):
    """The token of one classic asset."""

    functions: ClassVar[frozenset[str]] = frozenset(
        {"burn", "mint", "balance", "transfer", "decimals", "name", "symbol", "admin"}
    )

    def burn(self, holder: xdr.SCVal, amount: xdr.SCVal) -> xdr.SCVal:
        """Run burn(from, amount)."""
        who, stroops = address_text(holder), self._amount(amount)
        self._check_not_issuer(who)
        self.host.require_auth(who)
        self._add(who, -stroops)
        self._tell("burn", holder, data=amount)
        return VOID

    def mint(self, receiver: xdr.SCVal, amount: xdr.SCVal) -> xdr.SCVal:
        """Run mint(to, amount), which the admin must authorise."""
        who, stroops = address_text(receiver), self._amount(amount)
        self._check_not_issuer(who)
        self.host.require_auth(address_text(self._must(_ADMIN)))
        self._add(who, stroops)
        self._tell("mint", receiver, data=amount)
        return VOID

    def transfer(self, sender: xdr.SCVal, receiver: xdr.SCVal, amount: xdr.SCVal) -> xdr.SCVal:
        """Run transfer(from, to, amount); `to` may be a muxed account.

        An amount that the issuer sends is minted, and an amount that the issuer receives is burnt.
        The events say so.
        """
        self.host.meter.charge(cost.OTHER_CALL)
        stroops, source = self._amount(amount), address_text(sender)
        target, number = receiver_of(receiver)
        self.host.require_auth(source)
        self._add(source, -stroops)
        self._add(target, stroops)
        told = amount
        if number is not None:
            told = record({"amount": amount, "to_muxed_id": scval.to_uint64(number)})
        issuer = self._issuer()
        if source == target or issuer not in {source, target}:
            self._tell("transfer", sender, address(target), data=told)
        elif source == issuer:
            self._tell("mint", address(target), data=told)
        else:
            self._tell("burn", sender, data=amount)
        return VOID

    def balance(self, holder: xdr.SCVal) -> xdr.SCVal:
        """Run balance(id)."""
        self.host.meter.charge(cost.OTHER_CALL)
        who = address_text(holder)
        if not is_account(who):
            return scval.to_int128(self._contract_balance(who)[0])
        if who == self._issuer():
            return scval.to_int128(MAX_I64)
        return scval.to_int128(self._trustline(who).balance.int64)

    def decimals(self) -> xdr.SCVal:
        """Run decimals(): return 7."""
        self.host.meter.charge(cost.OTHER_CALL)
        return scval.to_uint32(7)

    def name(self) -> xdr.SCVal:
        """Run name(): return CODE:ISSUER."""
        self.host.meter.charge(cost.OTHER_CALL)
        return scval.to_string(self._title())

    def symbol(self) -> xdr.SCVal:
        """Run symbol(): return CODE."""
        self.host.meter.charge(cost.OTHER_CALL)
        return scval.to_string(self._title().partition(":")[0])

    def admin(self) -> xdr.SCVal:
        """Run admin()."""
        self.host.meter.charge(cost.OTHER_CALL)
        return self._must(_ADMIN)

    def _tell(self, what: str, *who: xdr.SCVal, data: xdr.SCVal) -> None:
        self.host.emit([symbol(what), *who, scval.to_string(self._title())], data)

    def _check_not_issuer(self, who: str) -> None:
        if who == self._issuer():
            raise self.fail(OPERATION_NOT_SUPPORTED)

    def _amount(self, value: xdr.SCVal) -> int:
        stroops = scval.from_int128(value)
        if stroops < 0:
            raise self.fail(NEGATIVE_AMOUNT)
        return stroops

    def _add(self, who: str, stroops: int) -> None:
        if not is_account(who):
            self._add_to_contract(who, stroops)
        elif who != self._issuer():
            self._add_to_account(who, stroops)

    def _add_to_account(self, who: str, stroops: int) -> None:
        if abs(stroops) > MAX_I64:
            raise self.fail(OVERFLOW)
        line = self._trustline(who)
        if not line.flags.uint32 & _AUTHORIZED:
            raise self.fail(DEAUTHORIZED)
        balance = line.balance.int64 + stroops
        buying, selling = _liabilities(line)
        if balance < selling or balance > line.limit.int64 - buying:
            raise self.fail(BALANCE)
        changed = xdr.TrustLineEntry(
            account_id=line.account_id,
            asset=line.asset,
            balance=xdr.Int64(balance),
            limit=line.limit,
            flags=line.flags,
            ext=line.ext,
        )
        data = xdr.LedgerEntryData(xdr.LedgerEntryType.TRUSTLINE, trust_line=changed)
        self.host.storage.put(trustline_key(who, self._asset()), data, None)

    def _add_to_contract(self, who: str, stroops: int) -> None:
        balance, fields = self._contract_balance(who)
        if balance + stroops < 0:
            raise self.fail(BALANCE)
        if balance + stroops >= 2**127:
            raise self.fail(OVERFLOW)
        fields["amount"] = scval.to_int128(balance + stroops)
        self.put(_balance_key(who), record(fields), "persistent")

    def _contract_balance(self, who: str) -> tuple[int, dict[str, xdr.SCVal]]:
        value = self.get(_balance_key(who), "persistent")
        if value is None:
            return 0, {
                "amount": scval.to_int128(0),
                "authorized": scval.to_bool(True),
                "clawback": scval.to_bool(False),
            }
        fields = fields_of(value)
        return scval.from_int128(fields["amount"]), fields

    def _trustline(self, who: str) -> xdr.TrustLineEntry:
        entry = self.host.storage.get(trustline_key(who, self._asset()))
        if entry is None or entry.entry.data.trust_line is None:
            raise self.fail(TRUSTLINE_MISSING)
        return entry.entry.data.trust_line

    def _must(self, key: xdr.SCVal) -> xdr.SCVal:
        value = self.instance_get(key)
        if value is None:
            raise self.fail(1)
        return value

    def _title(self) -> str:
        return scval.from_string(fields_of(self._must(_METADATA))["name"]).decode()

    def _issuer(self) -> str:
        return self._title().partition(":")[2]

    def _asset(self) -> bytes:
        code, _, issuer = self._title().partition(":")
        return packed_asset(code, issuer)


def packed_asset(code: str, issuer: str) -> bytes:
    """Return the TrustLineAsset XDR of an asset with a code of at most four letters."""
    raw = StrKey.decode_ed25519_public_key(issuer)
    return (1).to_bytes(4, "big") + code.encode().ljust(4, b"\0") + bytes(4) + raw


def genesis_storage(code: str, issuer: str, admin: str) -> list[tuple[xdr.SCVal, xdr.SCVal]]:
    """Return the storage that the network writes on deployment and on setting the admin."""
    info = record(
        {
            "asset_code": scval.to_string(code),
            "issuer": scval.to_bytes(StrKey.decode_ed25519_public_key(issuer)),
        }
    )
    metadata = record(
        {
            "decimal": scval.to_uint32(7),
            "name": scval.to_string(f"{code}:{issuer}"),
            "symbol": scval.to_string(code),
        }
    )
    return [
        (_METADATA, metadata),
        (_ADMIN, address(admin)),
        (_INFO, vector(symbol("AlphaNum4"), info)),
    ]


def _liabilities(line: xdr.TrustLineEntry) -> tuple[int, int]:
    v1 = line.ext.v1
    if v1 is None:
        return 0, 0
    return v1.liabilities.buying.int64, v1.liabilities.selling.int64


def _balance_key(who: str) -> xdr.SCVal:
    return vector(symbol("Balance"), address(who))
