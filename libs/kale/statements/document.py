"""The file of a statement: protobuf's JSON of kalepool.harvest.v1.Statement, read and written.

Every field has a checksum in the `checks` of its object, so that a field that was changed can be
named. What proves that nothing was changed are the digests (checking.py).
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple
from uuid import UUID

from libs.kale.statements.lines import amounts_text, checks_of
from libs.kale.statements.owners import Owner, OwnerKind
from libs.kale.statements.roots import (
    Root,
    day_number,
    day_text,
    days_of,
    moment_text,
    read_moment,
)
from libs.kale.statements.sums_tree import HASH_BYTES, Node, Step

#: Version of the form.
VERSION = 1
#: Version of a miner's UUID, and of nobody else's.
_MINER_VERSION = 5
_DIGITS = re.compile(r"0|-?[1-9][0-9]{0,38}")
Amounts = tuple[tuple[str, int], ...]


class ShapeError(ValueError):
    """The file is no statement; `where` names the field."""

    def __init__(self, where: str, what: str) -> None:
        """Set what is wrong, and where."""
        super().__init__(f"{where} {what}")
        self.where = where
        self.what = what


@dataclass(frozen=True, kw_only=True)
class Balances:
    """What an owner had at the end of a day."""

    #: The day; None before anything was booked.
    day: int | None
    #: Stroops of KALE by what they are for, sorted.
    amounts: Amounts
    #: What all lines came to until then.
    history: bytes


@dataclass(frozen=True, kw_only=True)
class Total:
    """What the lines of one kind come to."""

    #: The kind.
    kind: str
    #: How many there are.
    lines: int
    #: Stroops of KALE by what they are for, sorted.
    amounts: Amounts


@dataclass(frozen=True, kw_only=True)
class Proof:
    """The way from the owner's leaf to the root of the closing day."""

    #: The leaf's salt.
    salt: bytes
    #: The leaf.
    leaf: Node
    #: The steps up to the root.
    path: tuple[Step, ...]


@dataclass(frozen=True, kw_only=True)
class Statement:
    """An owner's statement of a month, without its lines."""

    #: Whose it is.
    owner: Owner
    #: Address (strkey) of a farmer's or a pooler's custodial account, or at which a miner is paid;
    #: empty for a pooler without an account.
    address: str
    #: The month, 2026-01, or the day, 2026-01-31.
    month: str
    #: What it had before the first line.
    opening: Balances
    #: What it had after the last one.
    closing: Balances
    #: The lines by kind, sorted.
    totals: tuple[Total, ...]
    #: The way to the root; None when the owner's balance was below zero.
    proof: Proof | None
    #: Roots from the opening's day (of the first statement: the first day of all) to the newest.
    roots: tuple[Root, ...]

    @property
    def texts(self) -> list[tuple[str, str]]:
        """Return the fields that are no list of lines or roots: the name of each, and its text."""
        found = [
            ("version", str(VERSION)),
            *self.owner.texts,
            ("address", self.address),
            ("month", self.month),
        ]
        for name, one in (("opening", self.opening), ("closing", self.closing)):
            found.append((f"{name}.day", "" if one.day is None else day_text(one.day)))
            found.append((f"{name}.balances", _text(one.amounts)))
            found.append((f"{name}.history", one.history.hex()))
        for place, total in enumerate(self.totals):
            found.append((f"totals[{place}].kind", total.kind))
            found.append((f"totals[{place}].lines", str(total.lines)))
            found.append((f"totals[{place}].amounts", _text(total.amounts)))
        return found + ([] if self.proof is None else _proof_texts(self.proof))

    @property
    def checks(self) -> str:
        """Return the checksums of these fields."""
        return checks_of([text for _, text in self.texts])


def _proof_texts(proof: Proof) -> list[tuple[str, str]]:
    found = [
        ("leaf.salt", proof.salt.hex()),
        ("leaf.hash", proof.leaf.hash.hex()),
        ("leaf.total", str(proof.leaf.total)),
    ]
    for place, step in enumerate(proof.path):
        found.append((f"leaf.path[{place}].hash", step.hash.hex()))
        found.append((f"leaf.path[{place}].total", str(step.total)))
        found.append((f"leaf.path[{place}].isLeft", str(step.is_left)))
    return found


def root_texts(root: Root, record: str) -> list[tuple[str, str]]:
    """Return the fields of a root with its record: the name of each, and its text."""
    return [
        ("day", day_text(root.day)),
        ("closedAt", moment_text(root.closed_at)),
        ("lastJournal", str(root.last_journal)),
        ("leaves", str(root.leaves)),
        ("refused", str(root.refused)),
        ("treeHash", root.node.hash.hex()),
        ("total", str(root.node.total)),
        ("account", root.account),
        ("previous", root.previous.hex()),
        ("record", record),
    ]


def _text(amounts: Amounts) -> str:
    return amounts_text((role, str(amount)) for role, amount in amounts)


class ReadLine(NamedTuple):
    """A line as the file has it; there are thousands, and this is what is quick to make."""

    #: Its fields as texts, in the order of lines.FIELDS.
    texts: tuple[str, ...]
    #: What the file says is their checksums, and the digest.
    checks: str
    digest: bytes
    #: Number of the journal, and the ledger.
    number: int
    ledger: int
    #: Stroops of KALE by what they are for.
    amounts: Amounts


@dataclass(frozen=True, kw_only=True)
class ReadRoot:
    """A root as the file has it."""

    #: What it says.
    root: Root
    #: What the file says is its record, and the checksums of its fields.
    record: str
    checks: str


@dataclass(frozen=True, kw_only=True)
class File:
    """A statement as the file has it."""

    #: All but its lines.
    statement: Statement
    #: Its lines.
    lines: Sequence[ReadLine]
    #: Its roots with their records.
    roots: Sequence[ReadRoot]
    #: What the file says is the checksums of its fields.
    checks: str


def written(document: Mapping[str, Any]) -> str:
    """Return the text of a file: a row for each field, and for each item of a list."""
    return "\n".join(_rows(document, {})) + "\n"


def _rows(document: Mapping[str, Any], known: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield the rows of a file; of some lists they are known."""
    names = sorted(document, key=lambda name: (isinstance(document[name], list), name))
    yield "{"
    for name in names:
        value, comma = document[name], "" if name == names[-1] else ","
        if isinstance(value, list) and value:
            rows = known.get(name) or list(map(_compact, value))
            yield f'"{name}":['
            yield from (f"{row}," for row in rows[:-1])
            yield rows[-1]
            yield f"]{comma}"
        else:
            yield f'"{name}":{_compact(value)}{comma}'
    yield "}"


_compact = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def read_file(text: str) -> File:
    """Read a statement. Raise ShapeError for the first thing in it that no statement has."""
    try:
        document = json.loads(text)
        if "\\u" in text:  # half a character, which only an escape can write
            json.dumps(document, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise ShapeError("file", f"is no JSON: {error}") from None
    top = _Fields(document, "")
    if top.number("version") != VERSION:
        raise ShapeError("version", f"must be {VERSION}")
    roots = tuple(
        _read_root(_Fields(item, f"roots[{place}]."))
        for place, item in enumerate(top.list("roots"))
    )
    statement = Statement(
        owner=_read_owner(top),
        address=top.text("address"),
        month=top.month("month"),
        opening=_read_balances(top.inner("opening")),
        closing=_read_balances(top.inner("closing")),
        totals=tuple(
            _read_total(_Fields(item, f"totals[{place}]."))
            for place, item in enumerate(top.list("totals"))
        ),
        proof=_read_proof(top.inner("leaf")) if top.has("leaf") else None,
        roots=tuple(one.root for one in roots),
    )
    lines = [_read_line(item, place) for place, item in enumerate(top.list("lines"))]
    found = File(statement=statement, lines=lines, roots=roots, checks=top.text("checks"))
    top.end()
    _refuse_other_form(text, document, lines)
    return found


def read_root(item: Any) -> Root:
    """Read a root by itself. Raise ShapeError, also when its record is not its own."""
    found = _read_root(_Fields(item, ""))
    if found.root.record.hex() != found.record:
        raise ShapeError("record", "is not that of this root")
    return found.root


def _refuse_other_form(text: str, document: Mapping[str, Any], lines: Sequence["ReadLine"]) -> None:
    """Raise ShapeError unless the text is what `written` makes of it, to the byte."""
    expected = [*_rows(document, {"lines": [_row(one) for one in lines]}), ""]
    found = text.split("\n")
    if found == expected:
        return
    # A text that is written with escapes has another row than the quick one.
    expected = [*_rows(document, {}), ""]
    for place, row in enumerate(expected):
        if place >= len(found) or found[place] != row:
            raise ShapeError(f"row {place + 1} of the file", "is not written as the pool writes it")
    if len(found) > len(expected):
        raise ShapeError(f"row {len(expected)} of the file", "is not the last one")


def _row(line: "ReadLine") -> str:
    """Return the row of a line without escapes: quicker than to encode thousands of objects."""
    number, kind, source, block, ledger, transaction, moment, amounts = line.texts
    told = ",".join(
        f'{{"amount":"{amount}","role":"{role}"}}'
        for role, _, amount in (entry.partition("=") for entry in amounts.split(","))
    )
    in_block = f'"blockIndex":{block},' if block else ""
    return (
        f'{{"amounts":[{told}],{in_block}"checks":"{line.checks}","digest":"{line.digest.hex()}",'
        f'"happenedAt":"{moment}","kind":"{kind}","ledger":{ledger},"number":"{number}",'
        f'"sourceKey":"{source}","transactionHash":"{transaction}"}}'
    )


def _read_owner(fields: "_Fields") -> Owner:
    """Read whose a statement is: one of the fields names it."""
    named = [kind for kind in OwnerKind if fields.text(f"{kind.value}Id")]
    if len(named) != 1:
        where = f"{(named or [OwnerKind.FARMER])[-1].value}Id"
        raise ShapeError(where, "has to name the owner, and no other field beside it")
    (kind,) = named
    found = Owner(kind=kind, id=fields.uuid(f"{kind.value}Id"))
    if (found.id.version == _MINER_VERSION) != (kind is OwnerKind.MINER):
        raise ShapeError(f"{kind.value}Id", "is the id of another kind of owner")
    return found


def _read_balances(fields: "_Fields") -> Balances:
    day = fields.text("day")
    found = Balances(
        day=fields.day("day") if day else None,
        amounts=fields.amounts("balances"),
        history=fields.hash("history"),
    )
    fields.end()
    return found


def _read_total(fields: "_Fields") -> Total:
    found = Total(
        kind=fields.text("kind"), lines=fields.long("lines"), amounts=fields.amounts("amounts")
    )
    fields.end()
    return found


def _read_proof(fields: "_Fields") -> Proof:
    path: list[Step] = []
    for place, item in enumerate(fields.list("path")):
        step = _Fields(item, f"leaf.path[{place}].")
        path.append(
            Step(hash=step.hash("hash"), total=step.long("total"), is_left=step.flag("isLeft"))
        )
        step.end()
    found = Proof(
        salt=fields.hash("salt"),
        leaf=Node(hash=fields.hash("hash"), total=fields.long("total")),
        path=tuple(path),
    )
    fields.end()
    return found


def _read_root(fields: "_Fields") -> ReadRoot:
    found = ReadRoot(
        root=Root(
            day=fields.day("day"),
            closed_at=fields.moment("closedAt"),
            last_journal=fields.long("lastJournal"),
            leaves=fields.number("leaves"),
            refused=fields.number("refused"),
            node=Node(hash=fields.hash("treeHash"), total=fields.long("total")),
            account=fields.text("account"),
            previous=fields.hash("previous"),
        ),
        record=fields.hash("record").hex(),
        checks=fields.text("checks"),
    )
    fields.end()
    return found


#: The fields of a line, with and without a block.
_IN_NO_BLOCK = frozenset(
    ["number", "kind", "sourceKey", "ledger", "transactionHash", "happenedAt", "amounts"]
) | {"checks", "digest"}
_IN_BLOCK = _IN_NO_BLOCK | {"blockIndex"}
#: Those of them that are texts.
_line_texts = itemgetter(
    *("number", "kind", "sourceKey", "transactionHash", "happenedAt", "checks", "digest")
)


def _read_line(item: Any, place: int) -> ReadLine:
    """Read a line; what its digest covers is taken as it is written."""
    names = item.keys() if isinstance(item, dict) else frozenset[str]()
    if names not in (_IN_BLOCK, _IN_NO_BLOCK):
        odd = sorted(_IN_NO_BLOCK - names) + sorted(names - _IN_BLOCK)
        raise ShapeError(f"lines[{place}].{(odd or [''])[0]}", "is missing, or no field of a line")
    try:
        amounts = tuple(map(_role_and_amount, item["amounts"]))
        block = _whole(item["blockIndex"]) if "blockIndex" in item else ""
        number, kind, source, transaction, moment, checks, digest = map(_text_of, _line_texts(item))
        return ReadLine(
            texts=(
                *(number, kind, source, block, _whole(item["ledger"])),
                *(transaction, moment, amounts_text(amounts)),
            ),
            checks=checks,
            digest=_read_hash(digest),
            number=int(number),
            ledger=item["ledger"],
            amounts=tuple((role, int(amount)) for role, amount in amounts),
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ShapeError(f"lines[{place}].{_odd_field(item)}", "cannot be read") from None


def _role_and_amount(entry: Any) -> tuple[str, str]:
    if len(entry) != 2:
        raise TypeError("another field")
    return _text_of(entry["role"]), _text_of(entry["amount"])


def _text_of(value: Any) -> str:
    """Return a text whose digest can be made; one of another kind would be written like it."""
    if type(value) is not str or "\n" in value:
        raise TypeError("not a text of one line")
    return value


def _whole(value: Any) -> str:
    if type(value) is not int:
        raise TypeError("not a number")
    return str(value)


def _odd_field(item: Mapping[str, Any]) -> str:
    """Return the field of a line that cannot be read."""
    fields = _Fields(item, "")
    reads = {
        "number": fields.long,
        "blockIndex": fields.number,
        "ledger": fields.number,
        "amounts": fields.amounts,
        "digest": fields.hash,
    }
    for name in item:
        try:
            reads.get(name, fields.text)(name)
        except ShapeError as error:
            return error.where
    return "amounts"


class _Fields:
    """The fields of an object of the file; each is read once, and none may be left over."""

    def __init__(self, value: Any, path: str) -> None:
        if not isinstance(value, dict):
            raise ShapeError(path.rstrip(".") or "file", "must be an object")
        self._value = value
        self._path = path
        self._left = set(value)

    def has(self, name: str) -> bool:
        """Tell whether a field is there."""
        return name in self._value

    def _get(self, name: str, kind: type) -> Any:
        value = self._value.get(name)
        if type(value) is not kind:
            raise ShapeError(f"{self._path}{name}", "is missing, or of another kind")
        self._left.discard(name)
        return value

    def _made(self, name: str, make: Any) -> Any:
        try:
            return make(self._get(name, str))
        except ShapeError:
            raise
        except ValueError as error:
            raise ShapeError(f"{self._path}{name}", str(error)) from None

    def text(self, name: str) -> str:
        """Return a text of one line: no other can be hashed."""
        found = str(self._get(name, str))
        if "\n" in found:
            raise ShapeError(f"{self._path}{name}", "has a line feed")
        return found

    def flag(self, name: str) -> bool:
        """Return yes or no."""
        return bool(self._get(name, bool))

    def number(self, name: str) -> int:
        """Return a number of 32 bits."""
        return int(self._get(name, int))

    def long(self, name: str) -> int:
        """Return a number that is written as a text."""
        return int(self._made(name, _read_whole))

    def hash(self, name: str) -> bytes:
        """Return 32 bytes that are written in hex."""
        return bytes(self._made(name, _read_hash))

    def uuid(self, name: str) -> UUID:
        """Return a UUID."""
        found: UUID = self._made(name, _read_uuid)
        return found

    def day(self, name: str) -> int:
        """Return a day."""
        return int(self._made(name, day_number))

    def month(self, name: str) -> str:
        """Return a month."""
        self._made(name, days_of)
        return self.text(name)

    def moment(self, name: str) -> int:
        """Return a moment."""
        return int(self._made(name, read_moment))

    def list(self, name: str) -> Sequence[Any]:
        """Return a list."""
        found: Sequence[Any] = self._get(name, list)
        return found

    def inner(self, name: str) -> "_Fields":
        """Return an object inside."""
        return _Fields(self._get(name, dict), f"{self._path}{name}.")

    def amounts(self, name: str) -> Amounts:
        """Return amounts by their roles, which are sorted."""
        found: list[tuple[str, int]] = []
        for place, item in enumerate(self.list(name)):
            one = _Fields(item, f"{self._path}{name}[{place}].")
            found.append((one.text("role"), one.long("amount")))
            one.end()
        roles = [role for role, _ in found]
        if roles != sorted(set(roles)):
            raise ShapeError(f"{self._path}{name}", "is not in order")
        return tuple(found)

    def end(self) -> None:
        """Raise ShapeError for a field that nobody has read."""
        for name in sorted(self._left):
            raise ShapeError(f"{self._path}{name}", "is no field of a statement")


def _read_whole(text: str) -> int:
    if not _DIGITS.fullmatch(text):
        raise ValueError("must be a whole number, as a text")
    return int(text)


def _read_hash(text: str) -> bytes:
    found = bytes.fromhex(text)
    if len(found) != HASH_BYTES or found.hex() != text:
        raise ValueError(f"must be {HASH_BYTES} bytes in hex")
    return found


def _read_uuid(text: str) -> UUID:
    found = UUID(text)
    if str(found) != text:
        raise ValueError("must be a UUID")
    return found


def joined(pages: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return one document of the pages of a statement: the first one, with the lines of all."""
    whole: dict[str, Any] = {}
    for page in pages:
        if not whole:
            whole = {**page, "lines": list(page.get("lines", ()))}
        else:
            whole["lines"].extend(page.get("lines", ()))
    return whole
