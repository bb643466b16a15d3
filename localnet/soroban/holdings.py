"""What accounts and contracts hold of one asset, as the asset's contract moves it.

Accounts hold XLM themselves and other assets in trustlines; contracts hold either in entries of
the asset's contract.
"""

from dataclasses import dataclass, replace

from stellar_sdk import Keypair, scval, xdr

from localnet.network import BASE_RESERVE
from localnet.soroban.assets import ContractAsset
from localnet.soroban.contract import BaseContract
from localnet.soroban.errors import HostError, contract_error
from localnet.soroban.storage import account_key, trustline_key
from localnet.soroban.values import address, fields_of, is_account, record, symbol, vector

MAX_I64 = 2**63 - 1
#: Flags of a trustline.
AUTHORIZED, _KEEPS_LIABILITIES, _CLAWBACK = 1, 2, 4
#: Flags of an issuer.
_IS_REQUIRED, _IS_REVOCABLE, _IS_CLAWBACK = 1, 2, 8
#: Reserves of an account without entries.
_OWN_RESERVES = 2

OPERATION_NOT_SUPPORTED = 2
ACCOUNT_MISSING = 6
NEGATIVE_AMOUNT = 8
ALLOWANCE = 9
BALANCE = 10
DEAUTHORIZED = 11
OVERFLOW = 12
TRUSTLINE_MISSING = 13
NEW_ACCOUNT_BALANCE = 14


def failed(number: int, words: str, *more: xdr.SCVal) -> HostError:
    """Return an error of an asset contract."""
    return contract_error(number, scval.to_string(words), *more)


@dataclass(frozen=True, kw_only=True)
class ContractHolding:
    """What a contract holds."""

    #: Stroops.
    amount: int
    #: True when the holding may be moved.
    authorized: bool
    #: True when the issuer may take it back.
    clawback: bool

    def to_value(self) -> xdr.SCVal:
        """Return the record in the contract's storage."""
        return record(
            {
                "amount": scval.to_int128(self.amount),
                "authorized": scval.to_bool(self.authorized),
                "clawback": scval.to_bool(self.clawback),
            }
        )

    @staticmethod
    def from_value(value: xdr.SCVal) -> "ContractHolding":
        """Read a record of the contract's storage."""
        fields = fields_of(value)
        return ContractHolding(
            amount=scval.from_int128(fields["amount"]),
            authorized=scval.from_bool(fields["authorized"]),
            clawback=scval.from_bool(fields["clawback"]),
        )


class Holdings:
    """The holdings of one asset."""

    def __init__(self, contract: BaseContract, asset: ContractAsset) -> None:
        self._contract = contract
        self._storage = contract.host.storage
        self._asset = asset

    def balance(self, who: str) -> int:
        """Return what somebody holds."""
        if not is_account(who):
            found = self._stored(who)
            return 0 if found is None else found.amount
        if self._asset.is_native:
            return self._account(who).balance.int64
        return MAX_I64 if self._is_issuer(who) else self._trustline(who).balance.int64

    def is_authorized(self, who: str) -> bool:
        """Tell whether the holding may be moved."""
        if not is_account(who):
            return self._holding(who).authorized
        if self._asset.is_native or self._is_issuer(who):
            return True
        return bool(self._trustline(who).flags.uint32 & AUTHORIZED)

    def spend(self, who: str, stroops: int) -> None:
        """Take from a holding."""
        self._check_authorized(who)
        self._take(who, stroops)

    def receive(self, who: str, stroops: int) -> None:
        """Add to a holding; XLM makes an account that does not exist."""
        if self._asset.is_native and is_account(who) and self._find_account(who) is None:
            self._create_account(who, stroops)
            return
        self._check_authorized(who)
        if is_account(who):
            self._move(who, stroops, "received amount is too large for an i64")
            return
        found = self._holding(who)
        if found.amount + stroops >= 2**127:
            raise contract_error(OVERFLOW)
        self._store(who, replace(found, amount=found.amount + stroops))

    def claw_back(self, who: str, stroops: int) -> None:
        """Take from a holding that the issuer may take back, whether it may be moved or not."""
        if self._asset.is_native:
            raise failed(OPERATION_NOT_SUPPORTED, "cannot clawback native asset")
        if self._is_issuer(who):
            raise failed(OPERATION_NOT_SUPPORTED, "cannot clawback from issuer")
        if is_account(who):
            if not self._trustline(who).flags.uint32 & _CLAWBACK:
                raise failed(BALANCE, "trustline isn't clawbackable")
        else:
            found = self._stored(who)
            if found is None:
                raise failed(BALANCE, "no balance to clawback")
            if not found.clawback:
                raise failed(BALANCE, "balance isn't clawbackable")
        self._take(who, stroops)

    def authorize(self, who: str, *, authorized: bool) -> None:
        """Say whether the holding may be moved."""
        if self._is_issuer(who):
            raise failed(OPERATION_NOT_SUPPORTED, "issuer doesn't have a trustline")
        if not authorized and not self._issuer_flags() & _IS_REVOCABLE:
            raise failed(OPERATION_NOT_SUPPORTED, "issuer does not have AUTH_REVOCABLE set")
        if not is_account(who):
            self._store(who, replace(self._holding(who), authorized=authorized))
            return
        line = self._trustline(who)
        told, before = (AUTHORIZED, _KEEPS_LIABILITIES)[:: 1 if authorized else -1]
        self._put_line(who, line, flags=line.flags.uint32 & ~before | told)

    def _is_issuer(self, who: str) -> bool:
        return who == self._asset.issuer

    def _check_authorized(self, who: str) -> None:
        if not self.is_authorized(who):
            raise failed(DEAUTHORIZED, "balance is deauthorized")

    def _take(self, who: str, stroops: int) -> None:
        if is_account(who):
            self._move(who, -stroops, "spent amount is too large for an i64")
            return
        found = self._stored(who)
        if found is None:
            if stroops:
                words = "zero balance is not sufficient to spend"
                raise failed(BALANCE, words, scval.to_int128(stroops))
            return
        if found.amount < stroops:
            words = "balance is not sufficient to spend"
            amounts = map(scval.to_int128, (found.amount, stroops))
            raise failed(BALANCE, words, *amounts)
        self._store(who, replace(found, amount=found.amount - stroops))

    def _move(self, who: str, stroops: int, too_large: str) -> None:
        """Change what an account holds; the issuer's own holding has no end."""
        if self._is_issuer(who):
            return
        if abs(stroops) > MAX_I64:
            raise failed(OVERFLOW, too_large)
        if self._asset.is_native:
            account = self._account(who)
            least, most = _account_range(account)
            balance = _within(least, account.balance.int64 + stroops, most)
            self._put_account(who, account, balance)
            return
        line = self._trustline(who)
        buying, selling = _liabilities(line)
        balance = _within(selling, line.balance.int64 + stroops, line.limit.int64 - buying)
        self._put_line(who, line, balance=balance)

    def _trustline(self, who: str) -> xdr.TrustLineEntry:
        entry = self._storage.get(trustline_key(who, self._asset.packed))
        if entry is None or entry.entry.data.trust_line is None:
            words = "trustline entry is missing for account"
            raise failed(TRUSTLINE_MISSING, words, address(who))
        return entry.entry.data.trust_line

    def _put_line(
        self,
        who: str,
        line: xdr.TrustLineEntry,
        *,
        balance: int | None = None,
        flags: int | None = None,
    ) -> None:
        changed = xdr.TrustLineEntry(
            account_id=line.account_id,
            asset=line.asset,
            balance=line.balance if balance is None else xdr.Int64(balance),
            limit=line.limit,
            flags=line.flags if flags is None else xdr.Uint32(flags),
            ext=line.ext,
        )
        data = xdr.LedgerEntryData(xdr.LedgerEntryType.TRUSTLINE, trust_line=changed)
        self._storage.put(trustline_key(who, self._asset.packed), data, None)

    def _find_account(self, who: str) -> xdr.AccountEntry | None:
        entry = self._storage.get(account_key(who))
        return None if entry is None else entry.entry.data.account

    def _account(self, who: str) -> xdr.AccountEntry:
        found = self._find_account(who)
        if found is None:
            raise failed(ACCOUNT_MISSING, "account entry is missing", address(who))
        return found

    def _put_account(self, who: str, account: xdr.AccountEntry, balance: int) -> None:
        changed = xdr.AccountEntry.from_xdr_bytes(account.to_xdr_bytes())
        changed.balance = xdr.Int64(balance)
        data = xdr.LedgerEntryData(xdr.LedgerEntryType.ACCOUNT, account=changed)
        self._storage.put(account_key(who), data, None)

    def _create_account(self, who: str, stroops: int) -> None:
        least = _OWN_RESERVES * BASE_RESERVE
        if stroops > MAX_I64:
            raise failed(OVERFLOW, "received amount is too large for an i64")
        if stroops < least:
            words = "transfer amount is below minimum balance for new account"
            raise failed(NEW_ACCOUNT_BALANCE, words, *map(scval.to_int64, (stroops, least)))
        new = xdr.AccountEntry(
            account_id=Keypair.from_public_key(who).xdr_account_id(),
            balance=xdr.Int64(stroops),
            seq_num=xdr.SequenceNumber(xdr.Int64(self._contract.host.ledger.sequence << 32)),
            num_sub_entries=xdr.Uint32(0),
            inflation_dest=None,
            flags=xdr.Uint32(0),
            home_domain=xdr.String32(b""),
            thresholds=xdr.Thresholds(b"\x01\0\0\0"),
            signers=[],
            ext=xdr.AccountEntryExt(0),
        )
        data = xdr.LedgerEntryData(xdr.LedgerEntryType.ACCOUNT, account=new)
        self._storage.put(account_key(who), data, None)

    def _issuer_flags(self) -> int:
        """Return the flags of the issuer's account; XLM and an issuer that is gone have none."""
        if self._asset.is_native:
            return 0
        found = self._find_account(self._asset.issuer)
        return 0 if found is None else found.flags.uint32

    def _stored(self, who: str) -> ContractHolding | None:
        value = self._contract.get(_holding_key(who), "persistent")
        return None if value is None else ContractHolding.from_value(value)

    def _holding(self, who: str) -> ContractHolding:
        """Return what a contract holds; a new holding begins as the issuer's flags say."""
        found = self._stored(who)
        if found is not None:
            return found
        flags = self._issuer_flags()
        return ContractHolding(
            amount=0,
            authorized=not flags & _IS_REQUIRED,
            clawback=bool(flags & _IS_CLAWBACK),
        )

    def _store(self, who: str, holding: ContractHolding) -> None:
        self._contract.put(_holding_key(who), holding.to_value(), "persistent")


def _within(least: int, balance: int, most: int) -> int:
    if not least <= balance <= most:
        words = "resulting balance is not within the allowed range"
        raise failed(BALANCE, words, *map(scval.to_int64, (least, balance, most)))
    return balance


def _account_range(account: xdr.AccountEntry) -> tuple[int, int]:
    """Return the least and the most that the account may hold."""
    v1 = account.ext.v1
    v2 = v1.ext.v2 if v1 is not None else None
    reserves = _OWN_RESERVES + account.num_sub_entries.uint32
    if v2 is not None:
        reserves += v2.num_sponsoring.uint32 - v2.num_sponsored.uint32
    buying, selling = _liabilities(account)
    return reserves * BASE_RESERVE + selling, MAX_I64 - buying


def _liabilities(entry: xdr.TrustLineEntry | xdr.AccountEntry) -> tuple[int, int]:
    v1 = entry.ext.v1
    if v1 is None:
        return 0, 0
    return v1.liabilities.buying.int64, v1.liabilities.selling.int64


def _holding_key(who: str) -> xdr.SCVal:
    return vector(symbol("Balance"), address(who))
