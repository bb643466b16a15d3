"""The formats of texts in requests, by their names in kalepool/rules/v1/rules.proto."""

from collections.abc import Callable, Mapping

from libs.kale.address import account_address, payout_address, raw_key
from libs.kale.amounts import parse_percentage

#: Each raises ValueError with what the text must be.
FORMATS: Mapping[str, Callable[[str], object]] = {
    "STELLAR_ACCOUNT": account_address,
    "STELLAR_ADDRESS": raw_key,
    "FRACTION": parse_percentage,
    "PAYOUT_ADDRESS": payout_address,
}
