"""The prices that the profitability gate goes by: of the settings, or of a file."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from time import time

from pooler.strategies.profit import Prices

#: Seconds after which a file counts as forgotten by whoever wrote it.
_OLD_SECONDS = 3_600.0


class PricesError(Exception):
    """A price, or the file with the prices, cannot be used; the message names which."""


@dataclass(frozen=True, kw_only=True)
class PriceSettings:
    """Where prices come from; all empty: there are none."""

    #: Price of one KALE and of one XLM as decimals, in the same currency.
    kale: str = ""
    xlm: str = ""
    #: File with {"kale": "0.0004", "xlm": "0.25"}; wins over both.
    file: Path | None = None

    def check(self) -> None:
        """Raise PricesError when a price of the settings is none; the file may come later."""
        _price("kale_price", self.kale)
        _price("xlm_price", self.xlm)

    def read(self, now: Callable[[], float] = time) -> Prices:
        """Return the prices now. Raise PricesError."""
        if self.file is None:
            return Prices(kale=_price("kale_price", self.kale), xlm=_price("xlm_price", self.xlm))
        try:
            age = now() - self.file.stat().st_mtime
            found = json.loads(self.file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise PricesError(f"{self.file}: {error}") from error
        if age > _OLD_SECONDS:
            raise PricesError(f"{self.file}: written {age:.0f} s ago, {_OLD_SECONDS:.0f} at most")
        if not isinstance(found, dict):
            raise PricesError(f"{self.file}: no object with kale and xlm")
        return Prices(
            kale=_price(f"{self.file}: kale", found.get("kale", "")),
            xlm=_price(f"{self.file}: xlm", found.get("xlm", "")),
        )


def _price(name: str, text: object) -> Decimal | None:
    """Return a price; None for an empty text. Raise PricesError, which says the name."""
    if text == "":
        return None
    try:
        price = Decimal(str(text))
    except InvalidOperation as error:
        raise PricesError(f"{name}: {text!r} is no decimal number") from error
    if not price.is_finite() or price <= 0:
        raise PricesError(f"{name}: {text!r} is not above 0")
    return price
