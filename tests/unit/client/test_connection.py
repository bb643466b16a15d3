"""Where the pool is and who calls, as variables say."""

from pathlib import Path

import pytest

from client import CertificateError, Targets, TokenFiles, caller_of_environment
from libs.common.authority import make_authority
from libs.common.grpc.identity import CallerKind


def test_addresses_that_no_variable_names_are_the_default_ones() -> None:
    found = Targets.of_environment({"WALLET_TARGET": "north:1", "PLANT_TARGET": ""})
    assert found == Targets(wallet="north:1")


def test_variables_name_a_certificate(tmp_path: Path) -> None:
    authority = make_authority("kalepool")
    authority.save(tmp_path)
    certificate, key = authority.issue(CallerKind.OPERATOR, "ann").save(tmp_path, "ann")
    caller = caller_of_environment(
        {
            "TLS_CERT_FILE": str(certificate),
            "TLS_KEY_FILE": str(key),
            "TLS_CA_FILE": str(tmp_path / "ca.pem"),
        }
    )
    assert not isinstance(caller, TokenFiles)
    assert caller.certificates is not None


def test_an_api_token_wins_over_a_certificate() -> None:
    caller = caller_of_environment(
        {"KALEPOOL_TOKEN_FILE": "/token", "TLS_CA_FILE": "/ca.pem", "TLS_CERT_FILE": "/me.pem"}
    )
    assert caller == TokenFiles(token=Path("/token"), authority=Path("/ca.pem"))


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "set TLS_CERT_FILE, TLS_KEY_FILE and TLS_CA_FILE"),
        ({"TLS_CERT_FILE": "/me.pem", "TLS_KEY_FILE": "/me.key"}, "set TLS_CERT_FILE"),
        ({"KALEPOOL_TOKEN_FILE": "/token"}, "TLS_CA_FILE"),
        (
            {"TLS_CERT_FILE": "/no.pem", "TLS_KEY_FILE": "/no.key", "TLS_CA_FILE": "/no.ca"},
            "/no.pem: No such file",
        ),
    ],
)
def test_variables_that_name_nobody_are_told(environment: dict[str, str], said: str) -> None:
    with pytest.raises(CertificateError, match=said):
        caller_of_environment(environment)
