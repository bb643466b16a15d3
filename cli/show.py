"""Replies as tables for people, or as protobuf's JSON for programs."""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from libs.kale.amounts import format_kale

#: Fields with stroops of KALE; they are shown in KALE.
_KALE = frozenset(
    [
        "amount",
        "current_balance",
        "divided",
        "estimated_reward",
        "expected",
        "fees_in_account",
        "fees_moved",
        "fees_to_operator",
        "fees_to_pooler",
        "kale_stroops",
        "kept",
        "max_reward",
        "max_stake",
        "min_reward",
        "min_stake",
        "payout_threshold",
        "pot",
        "reward_amount",
        "rewards",
        "rewards_30_days",
        "rewards_7_days",
        "rewards_all",
        "rewards_per_farmer_block",
        "rewards_today",
        "stake_amount",
        "stake_returned",
        "staked",
        "staked_total",
        "total",
        "total_paid",
        "total_rewards",
        "total_staked",
        "unpaid",
    ]
)
#: Fields with stroops of XLM; they are shown in XLM.
_XLM = frozenset(
    [
        "fee_budget_stroops",
        "fee_charged",
        "fees",
        "fees_spent_stroops",
        "largest_pooler_fees_stroops",
        "pooler_fee_budget_stroops",
        "rent_budget_stroops",
        "rent_spent_stroops",
        "reserved_stroops",
        "top_up_budget_stroops",
        "top_up_spent_stroops",
        "xlm_stroops",
    ]
)
#: Columns of a table when no terminal limits it: a file or a pipe.
_WIDE = 400


@dataclass(frozen=True, kw_only=True)
class Output:
    """The output of replies, in one of two forms: tables or JSON."""

    #: JSON instead of tables.
    json: bool

    def message(self, message: Message) -> None:
        """Show one message: its fields below each other."""
        if self.json:
            self.json_of(message)
            return
        table = _fields_table(message)
        if table.row_count:
            _print(table)
        else:
            note("done")

    def rows(self, message: Message, field_name: str, columns: Sequence[str]) -> None:
        """Show the items of a repeated field, a line each; as JSON, the whole message."""
        if self.json:
            self.json_of(message)
            return
        items = getattr(message, field_name)
        _print(_rows_table(items, columns))
        if not items:
            note("there are none")
        if getattr(message, "next_page_token", ""):
            note(f"the first {len(items)} only; --limit 0 shows all")

    def summary(self, message: Message, field_name: str, columns: Sequence[str]) -> None:
        """Show a batch: its figures, then its items; as JSON, the whole message."""
        if self.json:
            self.json_of(message)
            return
        _print(_fields_table(message))
        _print(_rows_table(getattr(message, field_name), columns))

    def json_of(self, message: Message) -> None:
        """Write one line of JSON: the seed's names, every field, 64-bit numbers as text."""
        self.json_value(to_dict(message))

    def json_value(self, value: object) -> None:
        """Write one line of JSON."""
        sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
        sys.stdout.flush()

    def line(self, message: Message, text: str) -> None:
        """Write one of many messages: a line of text, or of JSON."""
        if self.json:
            self.json_of(message)
            return
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Show a table that is no message."""
        table = _table(columns)
        for row in rows:
            table.add_row(*map(Text, row))
        _print(table)


def note(text: str) -> None:
    """Write a line beside the output, on standard error."""
    sys.stderr.write(f"kalepool: {text}\n")


def to_dict(message: Message) -> dict[str, Any]:
    """Return the message as protobuf's JSON has it, fields with their default value included."""
    return json_format.MessageToDict(message, always_print_fields_with_no_presence=True)


def cell(message: Message, name: str) -> str:
    """Return one field for people; empty when the field is absent.

    `inner.field` names a field of a message inside.
    """
    name, _, inside = name.partition(".")
    descriptor = message.DESCRIPTOR.fields_by_name[name]
    if descriptor.has_presence and not message.HasField(name):
        return ""
    value = getattr(message, name)
    if inside:
        return cell(value, inside)
    if name in _KALE and _asset(message) == "xlm":
        return f"{format_kale(value)} XLM"
    return _text(descriptor, value)


def _asset(message: Message) -> str:
    """Return the asset of the message's amounts, when it names one: a withdrawal's may be XLM."""
    descriptor = message.DESCRIPTOR.fields_by_name.get("asset")
    if descriptor is None:
        return ""
    return enum_name(descriptor.enum_type, getattr(message, "asset"))  # noqa: B009


def _text(descriptor: Any, value: Any) -> str:
    if descriptor.name in _KALE:
        return f"{format_kale(value)} KALE"
    if descriptor.name in _XLM:
        return f"{format_kale(value)} XLM"
    if descriptor.enum_type is not None:
        return enum_name(descriptor.enum_type, value)
    if descriptor.message_type is not None:
        return _message_text(descriptor.message_type.full_name, value)
    for kind, show in _SHOWN.items():
        if isinstance(value, kind):
            return show(value)
    return str(value)


_SHOWN: dict[type, Callable[[Any], str]] = {
    bool: lambda value: "yes" if value else "no",
    bytes: lambda value: value.hex(),
}


def _message_text(full_name: str, value: Any) -> str:
    if full_name == "google.protobuf.Timestamp":
        moment: datetime = value.ToDatetime(UTC)
        return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
    return json.dumps(json_format.MessageToDict(value), ensure_ascii=False)


def enum_name(descriptor: Any, number: int) -> str:
    """Return a value's name without its prefix, in lower case; empty when unspecified."""
    if number == 0:
        return ""
    value = descriptor.values_by_number.get(number)
    if value is None:
        return str(number)
    prefix = descriptor.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return str(value.name.removeprefix(prefix).lower())


def _fields_table(message: Message) -> Table:
    """Make a table of scalars and of messages inside, one line each.

    `rows` shows repeated fields.
    """
    table = Table(box=None, show_header=False)
    shown: dict[str, str] = {}
    for within, name, value in _flat(message):
        # A message inside may repeat what stands outside; what differs is another thing's.
        if shown.setdefault(name, value) != value:
            shown[f"{within} {name}"] = value
    for name, value in shown.items():
        table.add_row(Text(_title(name), style="bold"), Text(value, overflow="fold"))
    return table


def _flat(message: Message, within: str = "") -> Iterable[tuple[str, str, str]]:
    for descriptor in message.DESCRIPTOR.fields:
        if descriptor.is_repeated:
            continue
        if descriptor.has_presence and not message.HasField(descriptor.name):
            continue
        inner = descriptor.message_type
        if inner is not None and inner.full_name.startswith("kalepool."):
            yield from _flat(getattr(message, descriptor.name), descriptor.name)
        else:
            yield within, descriptor.name, cell(message, descriptor.name)


def _title(name: str) -> str:
    """Return a field's name for people; amounts name their unit themselves."""
    return name.rpartition(".")[2].removesuffix("_stroops").replace("_", " ")


def titles(columns: Sequence[str]) -> list[str]:
    """Return the columns' names for people, no two of them alike.

    Fields of a message inside are named with the message where one of these fields has a name that
    is there twice: "own max zeros" beside "chain max zeros".
    """
    short = [_title(name) for name in columns]
    alike = {
        name.rpartition(".")[0]
        for name, title in zip(columns, short, strict=True)
        if short.count(title) > 1
    }
    return [
        _title(name.replace(".", "_")) if name.rpartition(".")[0] in alike else title
        for name, title in zip(columns, short, strict=True)
    ]


def _rows_table(items: Sequence[Message], columns: Sequence[str]) -> Table:
    table = _table(columns)
    for item in items:
        table.add_row(*(Text(cell(item, name)) for name in columns))
    return table


def _table(columns: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for name, title in zip(columns, titles(columns), strict=True):
        numeric = name in _KALE or name in _XLM
        # An id that does not fit goes on in the next line: it must stay whole to be copied.
        table.add_column(title, overflow="fold", justify="right" if numeric else "left")
    return table


def _print(table: Table) -> None:
    """Print a table; every cell is a Text, so that text from elsewhere is never read as markup."""
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else _WIDE)
    console.print(table)
