"""For which host people log in: named, and checked when wallet starts."""

import base64
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from services.wallet.config import WalletSettings
from services.wallet.domain.logins import LoginTerms


def settings(**given: Any) -> WalletSettings:
    return WalletSettings(
        database_url=SecretStr("postgresql://nowhere/none"),
        transport="plaintext",
        stellar_network="localnet",
        master_key=SecretStr(base64.b64encode(bytes(32)).decode()),
        **given,
    )


def test_nobody_logs_in_unless_the_pool_has_a_name() -> None:
    assert settings().logins() is None


def test_people_log_in_at_the_home_domain_unless_another_is_named() -> None:
    assert settings(login_home_domain="pool.example").logins() == LoginTerms(
        home_domain="pool.example", web_auth_domain="pool.example", seconds=43_200
    )
    named = settings(
        login_home_domain="pool.example",
        login_web_auth_domain="127.0.0.1:3000",
        login_seconds=60,
    )
    terms = named.logins()
    assert terms == LoginTerms(
        home_domain="pool.example", web_auth_domain="127.0.0.1:3000", seconds=60
    )
    assert terms is not None
    assert terms.issuer == "https://pool.example"


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"login_web_auth_domain": "pool"}, "LOGIN_WEB_AUTH_DOMAIN needs LOGIN_HOME_DOMAIN"),
        ({"login_home_domain": "https://pool.example"}, "LOGIN_HOME_DOMAIN must be a host"),
        ({"login_home_domain": "a" * 60}, "LOGIN_HOME_DOMAIN must be a host .* of 59 characters"),
        (
            {"login_home_domain": "a", "login_web_auth_domain": "a" * 65},
            "LOGIN_WEB_AUTH_DOMAIN must be a host .* of 64 characters",
        ),
        ({"login_home_domain": "a", "login_seconds": 59}, "login_seconds"),
        ({"login_home_domain": "a", "login_seconds": 86_401}, "login_seconds"),
    ],
)
def test_what_is_no_host_and_no_time_stops_the_start(given: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        settings(**given)


def test_the_longest_names_are_taken() -> None:
    named = settings(login_home_domain="a" * 59, login_web_auth_domain="b" * 64)
    assert named.logins() is not None
