"""Texts from outside that people read: what they must not have."""

import re
import unicodedata

#: Controls, what breaks a line (C0, C1, U+2028, U+2029), and half a surrogate pair: no text.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
#: Direction overrides, embeddings and isolates: they show other texts in another order, so that one
#: name looks like another (Unicode Technical Report 36, 3.4).
_DIRECTION = re.compile(r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
#: Letters by their category that show nothing.
_FILLERS = frozenset("\u115f\u1160\u2800\u3164\uffa0")


def fault_of(text: str) -> str | None:
    """Return in words what is wrong with a text, or None; an empty one is sound."""
    if _CONTROL.search(text):
        return "must not have control characters"
    if _DIRECTION.search(text):
        return "must not change the direction of writing"
    if text and not any(map(_is_seen, text)):
        return "must not be blank"
    return None


def _is_seen(character: str) -> bool:
    """Tell whether a character shows anything: no space, format, mark alone, or filler."""
    return unicodedata.category(character)[0] not in "ZCM" and character not in _FILLERS
