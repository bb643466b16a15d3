"""Values as people read them: amounts, numbers, moments. What is not Markup is escaped later."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache, partial
from pathlib import Path
from typing import Any

import jinja2
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from markupsafe import Markup

from gateway.pages.static_files import static_files
from gateway.words import in_http
from libs.kale.amounts import parse_percentage
from libs.kale.constants import STROOPS_PER_KALE

_FOLDER = Path(__file__).parent / "templates"
#: Stands where there is nothing to show.
NOTHING = "–"
#: Prefixes of hash rates, a thousand apart.
_RATES = ("", "k", "M", "G", "T", "P")
#: Characters of an address at both ends, where it is shortened.
_ENDS = 4


def amount(stroops: int) -> str:
    """Return stroops as KALE or XLM: 1,234.5, with the decimals that there are."""
    sign = "-" if stroops < 0 else ""
    whole, rest = divmod(abs(stroops), STROOPS_PER_KALE)
    decimals = f"{rest:07d}".rstrip("0")
    return f"{sign}{whole:,}.{decimals}" if decimals else f"{sign}{whole:,}"


def number(value: int) -> str:
    """Return a whole number with separators: 12,345."""
    return f"{value:,}"


def hash_rate(rate: int) -> str:
    """Return hashes a second with a unit, rounded down: 11.6 MH/s."""
    step = max(0, min((len(str(rate)) - 1) // 3, len(_RATES) - 1))
    if not step:
        return f"{rate} H/s"
    tenths = rate * 10 // 1000**step
    return f"{tenths // 10:,}.{tenths % 10} {_RATES[step]}H/s"


def by_zeros(counts: Mapping[int, int]) -> str:
    """Return how many farmers have which zeros, the most zeros first: 17 with 6, 8 with 5."""
    said = [f"{number(counts[zeros])} with {zeros}" for zeros in sorted(counts, reverse=True)]
    return ", ".join(said) or NOTHING


def share(decimal: str) -> str:
    """Return a part as the services write it in percent: 0.025 is 2.5 %; what is none stays."""
    try:
        parts = parse_percentage(decimal)
    except ValueError:
        return decimal or NOTHING
    digits = f"{parts // 100}.{parts % 100:02d}".rstrip("0").rstrip(".")
    return f"{digits} %"


def mean(total: int, count: int) -> str:
    """Return a mean with one decimal; nothing when nothing was counted."""
    if not count:
        return NOTHING
    tenths = (total * 10 + count // 2) // count
    return f"{tenths // 10:,}.{tenths % 10}"


def percent(succeeded: int, failed: int) -> str:
    """Return how much succeeded, rounded down: 100 % means all; nothing when nothing was tried."""
    tried = succeeded + failed
    if not tried:
        return NOTHING
    tenths = succeeded * 1000 // tried
    return f"{tenths // 10}.{tenths % 10} %"


def part_of(part: int, whole: int) -> str:
    """Return a part of a whole in percent; it may be larger than the whole."""
    return NOTHING if whole <= 0 else percent(part, whole - part)


def in_percent(part: str) -> str:
    """Return a part, a decimal from "0" to "1", in percent: 5 %."""
    return f"{(Decimal(part or 0) * 100).normalize():f} %"


def per_kale(fees: int, rewards: int) -> str:
    """Return the XLM that one KALE cost, rounded down; nothing when nothing was earned."""
    return NOTHING if rewards <= 0 else amount(fees * STROOPS_PER_KALE // rewards)


def optional(message: Message | None, name: str) -> Any:
    """Return a field that may be absent; None when it, or the message, is."""
    if message is None or not message.HasField(name):
        return None
    return getattr(message, name)


def extent(message: Message | None, name: str, show: Any = number) -> str:
    """Return the smallest and the largest of a figure: 4 to 9."""
    low, high = optional(message, f"min_{name}"), optional(message, f"max_{name}")
    if low is None or high is None or low > high:
        return NOTHING
    return str(show(low)) if low == high else f"{show(low)} to {show(high)}"


def extent_of(low: int, high: int) -> str:
    """Return two ends: 4 to 9; nothing while the chain has none (it has the larger one as 0)."""
    if low > high:
        return NOTHING
    return number(low) if low == high else f"{number(low)} to {number(high)}"


def utc(stamp: Timestamp | None) -> datetime | None:
    """Return a moment of a message; None when the message has none."""
    if stamp is None or not (stamp.seconds or stamp.nanos):
        return None
    return stamp.ToDatetime(tzinfo=UTC)


def _time(stamp: Timestamp | datetime | None, form: str) -> Markup | str:
    moment = stamp if isinstance(stamp, datetime) else utc(stamp)
    if moment is None:
        return NOTHING
    return Markup('<time datetime="{:%Y-%m-%dT%H:%M:%SZ}">{}</time>').format(
        moment, moment.strftime(form)
    )


def moment(stamp: Timestamp | datetime | None) -> Markup | str:
    """Return a moment: 2026-11-29 21:44:05 UTC."""
    return _time(stamp, "%Y-%m-%d %H:%M:%S UTC")


def minute(stamp: Timestamp | datetime | None) -> Markup | str:
    """Return a moment where a heading says that it is UTC's: 2026-11-29 21:44."""
    return _time(stamp, "%Y-%m-%d %H:%M")


def day(stamp: Timestamp | datetime | None) -> Markup | str:
    """Return a day: 2026-11-29."""
    return _time(stamp, "%Y-%m-%d")


def short(text: str) -> str:
    """Return the ends of an address."""
    return text if len(text) <= 3 * _ENDS else f"{text[:_ENDS]}…{text[-_ENDS:]}"


def length(seconds: int) -> str:
    """Return a length of time: 3 d 4 h, 2 min 5 s."""
    parts = [
        (seconds // 86_400, "d"),
        (seconds // 3600 % 24, "h"),
        (seconds // 60 % 60, "min"),
        (seconds % 60, "s"),
    ]
    said = [f"{count} {unit}" for count, unit in parts if count]
    return " ".join(said[:2]) or "0 s"


def word(message: Message, name: str) -> str:
    """Return the value of an enum without its prefix: active."""
    descriptor = message.DESCRIPTOR.fields_by_name[name].enum_type
    if descriptor is None:
        raise TypeError(f"{name} is no enum")
    value = getattr(message, name)
    known: Mapping[int, Any] = descriptor.values_by_number
    if value not in known:
        return str(value)
    prefix = known[0].name.removesuffix("UNSPECIFIED")
    said: str = known[value].name.removeprefix(prefix)
    return said.replace("_", " ").lower()


@cache
def environment() -> jinja2.Environment:
    """Return what renders the templates."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters.update(
        amount=amount,
        by_zeros=by_zeros,
        day=day,
        hash_rate=hash_rate,
        in_percent=in_percent,
        in_http=in_http,
        length=length,
        minute=minute,
        moment=moment,
        number=number,
        share=share,
        short=short,
    )
    made.globals.update(
        extent=extent,
        extent_in_kale=partial(extent, show=amount),
        extent_of=extent_of,
        files={name: file.address for name, file in static_files().items()},
        mean=mean,
        optional=optional,
        part_of=part_of,
        per_kale=per_kale,
        percent=percent,
        word=word,
    )
    # Templates are compiled now: the first viewer keeps nobody waiting.
    for name in made.list_templates():
        made.get_template(name)
    return made
