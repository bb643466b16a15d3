"""The audit log: acts chained by SHA-256, and the proof that no act was changed or left out."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, unique

from libs.common.clock import micros_of

#: Hash that the first record names as the previous one.
GENESIS = bytes(32)
#: The way in which new records are hashed. Another one gets another number, a branch in
#: `Verifier`, and the database's function wallet.audit_hash.
VERSION = 1
#: Bytes of a text that a record keeps at most.
_MOST = 4096
#: Findings of a kind that are told one by one.
_TOLD = 5


@unique
class Action(Enum):
    """Kind of a recorded act."""

    #: Keys signed an envelope; subject: its hash.
    SIGN = "sign"
    #: A payer's transaction that only the chain knew was booked; subject: its hash.
    FOUND = "found"
    #: A key was made; subject: the wallet.
    CREATE_WALLET = "create_wallet"
    #: A farmer's outside address was set; subject: the wallet.
    SET_PAYOUT_ADDRESS = "set_payout_address"
    #: A farmer's terms were set; subject: the wallet.
    SET_AGREEMENT = "set_agreement"
    #: The account that speaks for a farmer was set; subject: the wallet.
    SET_OWNER_ACCOUNT = "set_owner_account"
    #: An operator said whether a pooler farms for itself; subject: the pooler.
    MARK_POOLER = "mark_pooler"
    #: What a farmer may stake at most was set; subject: the wallet.
    SET_STAKE_LIMIT = "set_stake_limit"
    #: A withdrawal was asked for; subject: the wallet.
    WITHDRAW = "withdraw"
    #: A farmer is to be paid, and the fees that are due of it; subject: the wallet.
    PAY_FARMER = "pay_farmer"
    #: Miners, or a pooler, are to be paid from the pooler's account; subject: its wallet.
    PAY_FROM_POOLER = "pay_from_pooler"
    #: A channel account is to get XLM from the treasury; subject: its wallet.
    TOP_UP = "top_up"
    #: A root is to be written into the treasury's data entry; subject: the treasury's wallet.
    PUBLISH_ROOT = "publish_root"
    #: A farmer's owner account has signed that it leaves; subject: the wallet.
    WISH_TO_LEAVE = "wish_to_leave"
    #: An account is to be closed; subject: its wallet.
    CLOSE_ACCOUNT = "close_account"
    #: The key of a closed account was destroyed; subject: its wallet.
    DESTROY_KEY = "destroy_key"
    #: Signing was paused; subject: for whom.
    PAUSE = "pause"
    #: Signing was resumed; subject: for whom.
    RESUME = "resume"
    #: A person lets an operation be signed for again; subject: the operation.
    RELEASE = "release"
    #: Data keys are to be wrapped under another KEK; subject: that KEK.
    ROTATE_KEYS = "rotate_keys"
    #: Another key of rows was made; subject: its number.
    REPLACE_ROW_KEY = "replace_row_key"
    #: Keys of rows below a number count no more; subject: that number.
    GIVE_UP_ROW_KEYS = "give_up_row_keys"
    #: An operator signed rows that wallet did not write; subject: rows.
    SIGN_ROWS = "sign_rows"
    #: A farmer's key left the pool; subject: the wallet.
    EXPORT_KEY = "export_key"
    #: An API token was made; subject: the token.
    CREATE_TOKEN = "create_token"  # noqa: S105  (an act, no secret)
    #: An API token was revoked; subject: the token.
    REVOKE_TOKEN = "revoke_token"  # noqa: S105
    #: Another key is to sign access tokens; subject: the key's number.
    REPLACE_TOKEN_KEY = "replace_token_key"  # noqa: S105
    #: An operator gave an order that takes a second person; subject: the approval.
    ASK_APPROVAL = "ask_approval"
    #: A second person agreed to it; subject: the approval.
    APPROVE = "approve"
    #: The order was given again, and went on; subject: the approval.
    USE_APPROVAL = "use_approval"


@dataclass(frozen=True, kw_only=True)
class Act:
    """An act with keys or money."""

    #: The actor: a caller, or `wallet` itself.
    actor: str
    #: Kind of the act.
    action: Action
    #: The subject: whom or what the act concerns.
    subject: str
    #: Anything else, as text; never a secret.
    details: str = ""


@dataclass(frozen=True, kw_only=True)
class Seal:
    """What tells who wrote a row of the log."""

    #: From 1 on, without gaps.
    number: int
    #: When it was committed, to the microsecond; None when the row has no moment that can be one.
    at: datetime | None
    #: Kind of the act, as text: a newer version may know more actions.
    action: str
    #: Hash of the record.
    hash: bytes
    #: Authenticator over number and hash; None before the first key of rows.
    mac: bytes | None = None


@dataclass(frozen=True, kw_only=True)
class Record(Seal):
    """One row of the log."""

    #: The actor: a caller, or `wallet` itself.
    actor: str
    #: The subject: whom or what the act concerns.
    subject: str
    #: Anything else, as text.
    details: str
    #: Hash of the record before.
    previous: bytes
    #: How the hash is made of the rest; a later record never has a smaller one.
    version: int = 1


@dataclass(frozen=True, kw_only=True)
class Head:
    """End of the chain; whoever keeps a copy elsewhere can prove that nothing was cut off."""

    #: Number of the newest record; 0 when there is none.
    number: int = 0
    #: Its hash.
    hash: bytes = GENESIS


def chained(acts: Sequence[Act], head: Head, at: datetime) -> list[Record]:
    """Return the records of these acts, to follow `head`."""
    records: list[Record] = []
    moment = _moment(at)
    for number, act in enumerate(acts, start=head.number + 1):
        previous = records[-1].hash if records else head.hash
        texts = [_kept(text) for text in (act.actor, act.action.value, act.subject, act.details)]
        actor, action, subject, details = texts
        records.append(
            Record(
                number=number,
                at=at,
                actor=actor,
                action=action,
                subject=subject,
                details=details,
                previous=previous,
                hash=_hash(number, moment, texts, previous),
                version=VERSION,
            )
        )
    return records


def _kept(text: str) -> str:
    """Return as much of a text as a record keeps: no caller can make one that is not taken."""
    data = text.encode()
    return text if len(data) <= _MOST else data[:_MOST].decode(errors="ignore")


def _moment(at: datetime) -> bytes:
    """Return a moment as its hash takes it, in microseconds since 1970."""
    return micros_of(at).to_bytes(8, "big", signed=True)


def _hash(number: int, moment: bytes, texts: Sequence[str], previous: bytes) -> bytes:
    """Hash all fields with SHA-256.

    The length of each text precedes the text, so that no text runs into another.
    """
    digest = hashlib.sha256(previous)
    digest.update(number.to_bytes(8, "big"))
    digest.update(moment)
    for text in texts:
        raw = text.encode()
        digest.update(len(raw).to_bytes(4, "big") + raw)
    return digest.digest()


def has_own_hash(record: Record) -> bool:
    """Tell whether a record's hash is of what it says, so that its authenticator covers that."""
    if record.at is None or record.version != VERSION:
        return False
    texts = (record.actor, record.action, record.subject, record.details)
    return record.hash == _hash(record.number, _moment(record.at), texts, record.previous)


@dataclass(kw_only=True)
class Findings:
    """What was found to be wrong, in words: of each kind the first, and how much there is.

    By kinds, so that no flood of one hides another.
    """

    #: The first findings by kind.
    told: dict[str, list[str]] = field(default_factory=dict)
    #: The number of all findings by kind.
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, kind: str, found: Iterable[str]) -> None:
        """Take further findings of a kind."""
        for text in found:
            self.counts[kind] = self.counts.get(kind, 0) + 1
            if self.counts[kind] <= _TOLD:
                self.told.setdefault(kind, []).append(text)

    def words(self) -> list[str]:
        """Return what there is to tell."""
        words: list[str] = []
        for kind, told in self.told.items():
            more = self.counts[kind] - len(told)
            words += [*told, *([f"and {more} more of these"] if more else [])]
        return words


@dataclass(kw_only=True)
class Verifier:
    """Check of records in their order; it stops at the first flaw."""

    #: A head that was noted elsewhere, earlier; the records must contain it.
    expected: Head | None = None
    #: The noted record is the first one that is taken: the records before it were verified when it
    #: was noted.
    begins_there: bool = False
    #: Where the log ended before its first record was read, as the database says.
    end: Head = field(default_factory=Head)
    #: Hash version of the newest record.
    version: int = VERSION
    #: The newest record that is sound.
    head: Head = field(default_factory=Head)
    #: The flaw in words; empty while there is none.
    broken: str = ""

    def take(self, records: Iterable[Record]) -> bool:
        """Check the next records and tell whether all records were sound so far."""
        for record in records:
            self.broken = self.broken or self._flaw(record)
            if self.broken:
                return False
            self.head = Head(number=record.number, hash=record.hash)
            self.version = record.version
            for known in (self.expected, self.end):
                if known is not None and known.number == record.number and not self.broken:
                    self.broken = "" if known.hash == record.hash else _REWRITTEN
        return not self.broken

    def finish(self) -> bool:
        """Tell whether the chain is whole, after the last record."""
        last = max(self.end.number, self.expected.number if self.expected else 0)
        if not self.broken and self.head.number < last:
            self.broken = f"the records after {self._next - 1} are missing"
        return not self.broken

    @property
    def after(self) -> int:
        """Return the number after which records are to be taken."""
        return self.expected.number - 1 if self.begins_there and self.expected else 0

    @property
    def reads_after(self) -> int:
        """Return the number after which to read: rows with numbers that cannot be are findings."""
        return self.after or _LEAST

    def _is_first(self, record: Record) -> bool:
        """Tell whether no record before this one is known: only the noted hash vouches for it."""
        return record.number == self.after + 1 and self.after > 0

    @property
    def _next(self) -> int:
        return max(self.head.number, self.after) + 1

    def _flaw(self, record: Record) -> str:
        if record.number != self._next:
            return f"record {self._next} is missing"
        if record.previous != self.head.hash and not self._is_first(record):
            return f"record {record.number} does not follow the one before it"
        if record.at is None:
            return f"record {record.number} has no moment that can be one"
        if record.version != VERSION or record.version < self.version:
            return f"record {record.number} has a hash of an unknown kind"
        if not has_own_hash(record):
            return f"record {record.number} was changed"
        return ""


#: Less than any number that a row can have.
_LEAST = -(2**63)
_REWRITTEN = "the log was written anew: the noted record has another hash"
