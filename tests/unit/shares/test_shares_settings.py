"""Settings of the work for miners: what cannot be meant is refused at the start."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pooler.shares.config import SharesSettings


def test_the_defaults_are_those_of_the_facts() -> None:
    settings = SharesSettings()
    bounds = settings.bounds()
    assert (bounds.lowest, bounds.highest, bounds.shares) == (16**4, 16**10, 20)
    assert settings.shares_port == 0
    assert settings.place == "var/shares.db"
    assert settings.terms().miners_part == "0.1"
    assert settings.conduct().withholding_ban == 86_400


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"shares_host": "0.0.0.0"}, "plain HTTP shows credentials"),  # noqa: S104
        ({"shares_tls_cert_file": Path("a")}, "set both of"),
        ({"shares_tls_key_file": Path("a")}, "set both of"),
        ({"shares_miners_part": "1.5"}, "decimal"),
        ({"shares_miners_part": "ten"}, "decimal"),
        ({"shares_trusted_proxies": "here"}, "here"),
        (
            {"shares_lowest_difficulty": 100, "shares_highest_difficulty": 99},
            "SHARES_LOWEST_DIFFICULTY is above",
        ),
        ({"shares_lowest_difficulty": 0}, "greater than or equal to 1"),
        ({"shares_port": 70_000}, "less than or equal to 65535"),
    ],
)
def test_what_cannot_be_meant_is_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        SharesSettings(**given)


@pytest.mark.parametrize(
    "given",
    [
        {"shares_host": "0.0.0.0", "shares_behind_proxy": True},  # noqa: S104
        {"shares_host": "::1"},
        {"shares_host": "0.0.0.0", "shares_tls_cert_file": "a", "shares_tls_key_file": "b"},  # noqa: S104
        {"shares_miners_part": "1", "shares_trusted_proxies": "10.0.0.0/8, ::1"},
    ],
)
def test_what_can_be_meant_is_taken(given: dict[str, Any]) -> None:
    assert SharesSettings(**given).serving().port == 0


def test_a_password_is_a_secret_and_a_files_name_is_none() -> None:
    address = "postgresql://pooler:hush@db/shares"
    assert SharesSettings(shares_database=address).secrets() == {address, "hush"}
    assert SharesSettings(shares_database="var/x.db").secrets() == frozenset()
