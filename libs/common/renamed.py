"""Settings that got another name: their old names are accepted for one release, with a warning."""

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import InitErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SecretsSettingsSource

#: Settings with another name since 0.1.0: the old name and the new one. The release after the next
#: knows the new names only, and this table is empty again.
RENAMED: Mapping[str, str] = MappingProxyType(
    {
        "shutdown_grace": "shutdown_grace_ms",
        "key_timeout": "key_timeout_ms",
        "treasury_low_balance": "treasury_low_balance_stroops",
        "fee_daily": "fee_daily_stroops",
        "fee_daily_per_pooler": "fee_daily_per_pooler_stroops",
        "fee_reserve": "fee_reserve_stroops",
        "rent_daily": "rent_daily_stroops",
        "channel_funding": "channel_funding_stroops",
        "channel_low_balance": "channel_low_balance_stroops",
        "reconcile_interval": "reconcile_interval_ms",
        "withdraw_cooling": "withdraw_cooling_ms",
        "withdraw_daily_kale": "withdraw_daily_kale_stroops",
        "withdraw_daily_kale_pool": "withdraw_daily_kale_pool_stroops",
        "withdraw_daily_xlm": "withdraw_daily_xlm_stroops",
        "withdraw_daily_xlm_pool": "withdraw_daily_xlm_pool_stroops",
        "stellar_timeout": "stellar_timeout_ms",
        "stellar_hedge": "stellar_hedge_ms",
    }
)


class OldNames(PydanticBaseSettingsSource):
    """The values that stand under old names (RENAMED), wherever settings are read from."""

    def __init__(
        self, settings_class: type[BaseSettings], sources: Sequence[PydanticBaseSettingsSource]
    ) -> None:
        """Take the sources to look into, the first one preferred; they were read before."""
        super().__init__(settings_class)
        self._sources = [
            source
            for source in sources
            if not isinstance(source, SecretsSettingsSource) or source.secrets_dir is not None
        ]

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return the value under a name (the library's hook)."""
        for source in self._sources:
            value, _, _ = source.get_field_value(field, field_name)
            if value is not None:
                return value, field_name, False
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return the values by old name (the library's hook)."""
        text = FieldInfo(annotation=str)
        fields = self.settings_cls.model_fields
        names = [old for old, new in RENAMED.items() if new in fields]
        found = {name: self.get_field_value(text, name)[0] for name in names}
        return {name: value for name, value in found.items() if value is not None}


def with_new_names(
    given: Mapping[str, Any], fields: Collection[str]
) -> tuple[dict[str, Any], tuple[str, ...], dict[str, str]]:
    """Return the values by new names, a sentence for each old name, and the old names in use.

    The value of an old name counts where the new one was not given; the last part of the result
    has these old names by the new ones.
    """
    pairs = {old: new for old, new in RENAMED.items() if new in fields}
    old_names = [old for old in pairs if old in given]
    alone = {pairs[old]: old for old in old_names if pairs[old] not in given}
    values = dict(given) | {new: given[old] for new, old in alone.items()}
    sentences = (_sentence(old, pairs[old], alone=pairs[old] in alone) for old in old_names)
    return values, tuple(sentences), alone


def as_given(error: ValidationError, alone: Mapping[str, str]) -> ValidationError:
    """Return the same error with the names that were given in place of the new ones."""
    details = [
        InitErrorDetails(
            type=item["type"],
            loc=tuple(alone.get(str(part), part) for part in item["loc"]),
            input=item["input"],
            ctx=item.get("ctx", {}),
        )
        for item in error.errors()
    ]
    return ValidationError.from_exception_data(error.title, details, hide_input=True)


def _sentence(old: str, new: str, *, alone: bool) -> str:
    old, new = old.upper(), new.upper()
    if alone:
        return f"{old} is now named {new}: rename it, the release after this one ignores {old}"
    return f"both {old} and {new} are set, and {new} counts: remove {old}, which is its old name"
