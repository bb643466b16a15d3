"""What names, reasons and other texts from outside must not have."""

import pytest

from libs.common.texts import fault_of

CONTROL = "must not have control characters"
DIRECTION = "must not change the direction of writing"
BLANK = "must not be blank"


@pytest.mark.parametrize("text", ["", "ä ~", " a ", "שלום", "مرحبا", "e\u0301", "👩‍🌾", "한"])
def test_a_text_of_any_language_is_sound(text: str) -> None:
    assert fault_of(text) is None


@pytest.mark.parametrize(
    "text", ["\x1f", "a\x00", "\x7f", "a\nb", "a\x85b", "a\u2028b", "a\u2029", "a\ud800"]
)
def test_what_breaks_a_line_is_refused(text: str) -> None:
    assert fault_of(text) == CONTROL


@pytest.mark.parametrize(
    "number", [0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
)
def test_what_shows_other_texts_in_another_order_is_refused(number: int) -> None:
    assert fault_of(f"pool {chr(number)} gnp.exe") == DIRECTION


@pytest.mark.parametrize(
    "text",
    [" ", "   ", "\u00a0", "\u2003", "\u200b", "\ufeff", "\u3164", "\u2800", "\u0301", "\u2060 "],
)
def test_what_shows_nothing_is_refused(text: str) -> None:
    assert fault_of(text) == BLANK
