"""What is not known of a newer network: told once, kept for an hour, and read around."""

import pytest
from stellar_sdk import xdr

from services.wallet.chain import EndpointStatus, UnknownAnswerError
from services.wallet.chain.node.health import NEWEST_PROTOCOL, Health
from services.wallet.chain.node.newer import decoded
from services.wallet.chain.read.account_bytes import read_account, read_trustline
from services.wallet.chain.unknowns import KEPT, Unknowns
from tests.support.clock import FakeClock

# Words -----------------------------------------------------------------------------------------


def test_it_is_logged_once_and_counted(capfd: pytest.CaptureFixture[str]) -> None:
    unknowns = Unknowns(FakeClock())
    for _ in range(3):
        unknowns.tell("fees", "a text", instead="the least is bid")
    assert unknowns.warnings == [
        "this version of wallet does not know fees as nodes tell them (a text; 3 times): "
        "the least is bid"
    ]
    assert "".join(capfd.readouterr()).count("not known") == 1


def test_another_reason_is_another_word(capfd: pytest.CaptureFixture[str]) -> None:
    unknowns = Unknowns(FakeClock())
    unknowns.tell("fees", "a text", instead="the least is bid")
    unknowns.tell("fees", "a list", instead="the least is bid")
    (warning,) = unknowns.warnings
    assert "(a list; 1 times)" in warning
    assert "".join(capfd.readouterr()).count("not known") == 2


def test_what_is_not_met_for_an_hour_is_forgotten_and_told_anew(
    capfd: pytest.CaptureFixture[str],
) -> None:
    clock = FakeClock()
    unknowns = Unknowns(clock)
    unknowns.tell("fees", "a text", instead="")
    clock.seconds += KEPT - 1
    unknowns.tell("fees", "a text", instead="")
    clock.seconds += KEPT - 1
    assert "2 times" in unknowns.warnings[0]
    clock.seconds += 1
    assert unknowns.warnings == []
    unknowns.tell("fees", "a text", instead="")
    assert "1 times" in unknowns.warnings[0]
    assert "".join(capfd.readouterr()).count("not known") == 2


@pytest.mark.parametrize("protocol", [0, NEWEST_PROTOCOL, NEWEST_PROTOCOL + 1])
def test_a_newer_protocol_is_logged_once(protocol: int, capfd: pytest.CaptureFixture[str]) -> None:
    health = Health("node", FakeClock())
    for _ in range(2):
        health.hear_protocol(protocol)
    status: EndpointStatus = health.status()
    assert (status.protocol, status.is_newer) == (protocol, protocol > NEWEST_PROTOCOL)
    told = "".join(capfd.readouterr()).count("newer protocol")
    assert told == (1 if protocol > NEWEST_PROTOCOL else 0)


# XDR -------------------------------------------------------------------------------------------


def result(code: bytes, rest: bytes = b"") -> bytes:
    return bytes(8) + code + rest


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (result((99).to_bytes(4)), "99 is not a valid TransactionResultCode"),
        (result((-99).to_bytes(4, signed=True)), "-99 is not a valid TransactionResultCode"),
        # txBAD_SEQ with an extension that does not exist, and with something behind it.
        (result((-5).to_bytes(4, signed=True), (9).to_bytes(4)), "Invalid v."),
        (result((-5).to_bytes(4, signed=True), bytes(8)), "Unexpected trailing 4 bytes"),
    ],
)
def test_the_sdk_says_that_it_does_not_know(data: bytes, words: str) -> None:
    with pytest.raises(UnknownAnswerError, match=words):
        decoded(xdr.TransactionResult, data)


@pytest.mark.parametrize("length", [0, 4, 8, 11])
def test_what_is_cut_short_is_broken_and_not_newer(length: int) -> None:
    with pytest.raises((ValueError, EOFError)):
        decoded(xdr.TransactionResult, result((-5).to_bytes(4, signed=True))[:length])


def test_what_is_known_is_decoded() -> None:
    found = decoded(xdr.TransactionResult, result((-5).to_bytes(4, signed=True), bytes(4)))
    assert found.result.code is xdr.TransactionResultCode.txBAD_SEQ


# Entries with extensions that do not exist -----------------------------------------------------


def number(value: int, size: int = 4) -> bytes:
    return value.to_bytes(size)


def account(*extensions: bytes) -> bytes:
    """An account with 7 stroops and the number 5, up to its extensions."""
    head = number(0) + bytes(36) + number(7, 8) + number(5, 8)
    return head + bytes(4) * 4 + b"\x01\0\0\0" + bytes(4) + b"".join(extensions)


LIABILITIES = number(1) + number(3, 8) + number(4, 8)
SPONSORED = number(2) + bytes(12)


@pytest.mark.parametrize(
    ("extensions", "liabilities", "used"),
    [
        ((number(9), number(3, 8), number(4, 8), bytes(4)), (0, 0), 0),
        ((LIABILITIES, number(9), bytes(60)), (3, 4), 0),
        ((LIABILITIES, SPONSORED, number(9), number(77), number(77)), (3, 4), 0),
        ((LIABILITIES, SPONSORED, number(3), bytes(4), number(77), bytes(8)), (3, 4), 77),
    ],
)
def test_an_account_s_unknown_extension_hides_no_number_before_it(
    extensions: tuple[bytes, ...], liabilities: tuple[int, int], used: int
) -> None:
    found = read_account(account(*extensions))
    assert (found.balance, found.sequence) == (7, 5)
    assert (found.buying, found.selling) == liabilities
    assert found.used_ledger == used


@pytest.mark.parametrize(("extension", "liabilities"), [(1, (3, 4)), (2, (0, 0)), (9, (0, 0))])
def test_a_line_s_unknown_extension_hides_no_number_before_it(
    extension: int, liabilities: tuple[int, int]
) -> None:
    asset = number(1) + b"KALE" + bytes(36)
    line = number(1) + bytes(36) + asset + number(7, 8) + number(9, 8) + number(1)
    found = read_trustline(line + number(extension) + number(3, 8) + number(4, 8) + bytes(4))
    assert (found.balance, found.limit, found.flags) == (7, 9, 1)
    assert (found.buying, found.selling) == liabilities
