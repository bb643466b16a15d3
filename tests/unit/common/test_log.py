"""Logs of a process: one JSON object a line, whatever writes it, and no secret in any."""

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from stellar_sdk import Keypair

from libs.common.config import ServiceSettings
from libs.common.grpc.trace import passed_on, trace_of
from libs.common.log import set_running
from libs.common.redaction import REDACTED, Redaction

SEED = Keypair.from_raw_ed25519_seed(bytes(range(32))).secret
ADDRESS = Keypair.from_raw_ed25519_seed(bytes(range(32))).public_key
CANARY = "canary-7c1f-not-in-any-log"

PROGRAM = """
import asyncio, logging
from libs.common.log import configure_logging, get_logger, get_security_logger

configure_logging(service="test", level="LEVEL", secrets=["CANARY"])
log, security = get_logger("here"), get_security_logger()
log.debug("a debug line")
log.info("fields", master_key="CANARY", password="p", seed="SEED", address="ADDRESS")
log.info("SEED inside of text, postgresql://wallet:CANARY@db/pool", nested={"deep": ["CANARY"]})
log.warning("a warning", error=ValueError("Bearer abc.def-ghi"), raw=b"\\x00")
security.info("refused", identity="10.0.0.1")
logging.getLogger("asyncio").error("the library said CANARY")
try:
    raise RuntimeError("SEED")
except RuntimeError:
    log.exception("caught")
raise RuntimeError("postgresql://wallet:other-password@db/pool CANARY")
"""


def lines(level: str) -> list[dict[str, Any]]:
    """What a process writes."""
    program = PROGRAM
    for name, value in (("LEVEL", level), ("CANARY", CANARY), ("SEED", SEED), ("ADDRESS", ADDRESS)):
        program = program.replace(name, value)
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert done.returncode == 1
    for secret in (CANARY, SEED, "other-password", "abc.def-ghi"):
        assert secret not in done.stderr + done.stdout
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_every_line_is_json_and_none_has_a_secret() -> None:
    written = lines("info")
    assert [line["event"].split(" ")[0] for line in written] == [
        "fields", REDACTED, "a", "refused", "the", "caught", "ended"
    ]  # fmt: skip
    assert all(line["service"] == "test" and line["timestamp"] for line in written)
    fields = written[0]
    assert fields["master_key"] == fields["password"] == fields["seed"] == REDACTED
    assert fields["address"] == ADDRESS
    assert written[3]["log"] == "security"
    assert written[4]["module"] == "asyncio"
    assert REDACTED in written[-1]["exception"]


@pytest.mark.parametrize(
    ("level", "events"), [("debug", 8), ("info", 7), ("warning", 5), ("error", 4)]
)
def test_levels_choose_lines_but_never_drop_security(level: str, events: int) -> None:
    written = lines(level)
    assert len(written) == events
    assert [line["event"] for line in written if line.get("log") == "security"] == ["refused"]


REPEATED = """
import logging
from libs.common.log import RepeatedLine, configure_logging, get_logger, set_running

configure_logging(service="test", level="LEVEL", secrets=["CANARY"])
log = get_logger("here")
line = RepeatedLine("here", "request", ("method", "password", "reason"), "duration_ms")
for values in (("/a.B/C", "", None), ('"q\\u00fc\\n', "p", "SEED CANARY")):
    for ids in ({"request_id": "mine-1"}, {"request_id": 'a"b', "trace_id": "CANARY"}, None):
        set_running(ids)
        for number in (logging.INFO, logging.WARNING, logging.WARNING):
            line.write(number, values, 1.5)
            names = ("method", "password", "reason")
            log.log(number, "request", **dict(zip(names, values)), duration_ms=1.5)
"""


@pytest.mark.parametrize(("level", "expected"), [("info", 36), ("warning", 24), ("error", 0)])
def test_a_repeated_line_is_what_the_logger_writes(level: str, expected: int) -> None:
    program = REPEATED.replace("LEVEL", level).replace("CANARY", CANARY).replace("SEED", SEED)
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert CANARY not in done.stderr
    assert SEED not in done.stderr
    written = [json.loads(line) for line in done.stderr.splitlines()]
    assert len(written) == expected
    for line in written:
        assert line.pop("timestamp").endswith("Z")
    assert written[::2] == written[1::2]


def test_a_call_has_its_ids_until_it_is_over() -> None:
    assert passed_on() == []
    set_running({"request_id": "mine", "trace_id": "0" * 31 + "1"})
    assert dict(passed_on())["x-request-id"] == "mine"
    set_running(None)
    assert passed_on() == []


SHAPES = {
    "a seed": f"key {SEED}.",
    "a seed after a line end": json.dumps(f"\n{SEED}\n"),
    "an address with a password": "postgresql://registry:hunter22@localhost:5432/kalepool",
    "a token of Vault": "hvs.CAESIJ1234567890abcdefghij",
    "a header": "authorization: Bearer eyJhbGciOi.J9",
    "an API token": f"told kp_{'A' * 40}-_9 today",
    "an access token": "told eyJhbGciOi.eyJpc3MiOi.c2lnbmF0dXJl today",
    "a private key": "-----BEGIN PRIVATE KEY-----\\nMC4CAQ\\n-----END PRIVATE KEY-----",
    "half a private key": "-----BEGIN EC PRIVATE KEY-----\\nMC4CAQ",
}
INNOCENT = [
    ADDRESS,
    "http://127.0.0.1:8000/friendbot?addr=x",
    "0" * 64,
    "GetBlock of /kalepool.wallet.v1.WalletService/GetBlock",
    "01a20ce9-17ef-754d-990d-c70a880a65ff",
    "kp_ is what a token begins with",
]


@pytest.mark.parametrize("name", SHAPES)
def test_secrets_are_known_by_their_shape(name: str) -> None:
    line = Redaction().line(None, "", SHAPES[name])
    assert REDACTED in line
    for secret in (SEED, "hunter22", "CAESIJ", "eyJhbGciOi", "c2lnbmF0", "MC4CAQ", "AAAA"):
        assert secret not in line


@pytest.mark.parametrize("line", INNOCENT)
def test_what_is_no_secret_stays(line: str) -> None:
    assert Redaction().line(None, "", line) == line


@given(st.text(min_size=8), st.text())
def test_a_known_value_is_in_no_line(secret: str, around: str) -> None:
    redaction = Redaction()
    redaction.learn([secret])
    rendered = json.dumps({"event": around + secret + around})
    assert json.dumps(secret)[1:-1] not in redaction.line(None, "", rendered).replace(REDACTED, "")


def test_settings_know_their_secrets() -> None:
    url = "postgresql://wallet:pass%40word@db/pool"
    settings = ServiceSettings(transport="plaintext", database_url=SecretStr(url))
    assert settings.secrets() == {url, "pass%40word"}


def test_a_caller_names_its_request_and_cannot_forge_lines() -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    metadata = {"x-request-id": "mine-1", "traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    assert vars(trace_of(metadata)) == {"request_id": "mine-1", "trace_id": trace}
    for bad in ("", 'a"b', "x" * 65, "a\nb", "ü"):
        made = trace_of({"x-request-id": bad, "traceparent": f"00-{'0' * 32}-b7ad6b7169203331-01"})
        assert made.request_id != bad
        assert len(made.trace_id) == 32
        assert made.trace_id != "0" * 32
