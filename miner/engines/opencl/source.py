"""The kernel's source, with the steps of a round that are made for it here.

Each of the state's words is a variable of its own: an array may end up in a GPU's memory instead of
its registers.
"""

from pathlib import Path

from miner.keccak import MOVED_FROM, ROTATIONS, ROUND_CONSTANTS, nonce_shifts

_SOURCE = Path(__file__).with_name("scan.cl")
_WORDS = range(25)


def source(*, per_item: int, group: int) -> str:
    """Return the kernel for items that try so many nonces, in groups of so many items."""
    macros = {
        "PER_ITEM": str(per_item),
        "GROUP": str(group),
        "ROUND_CONSTANTS": ", ".join(f"{value:#x}UL" for value in ROUND_CONSTANTS),
        "STATE": "ulong " + ", ".join((*_names("a"), *_names("b"), *(f"d{x}" for x in range(5)))),
        "PREPARED": " ".join(f"b{place} = prepared[{place}];" for place in _WORDS),
        "ADD_WORD_0": _additions(0),
        "ADD_WORD_1": _additions(1),
        "THETA": _theta(),
        "MOVE": _moves(_WORDS),
        "MOVE_FIRST_THREE": _moves(range(3)),
        "CHI": _chi(),
    }
    defined = [f"#define {name} {text}" for name, text in macros.items()]
    return "\n".join([*defined, _SOURCE.read_text(encoding="utf-8")])


def _names(letter: str) -> list[str]:
    return [f"{letter}{place}" for place in _WORDS]


def _additions(word: int) -> str:
    """Add the nonce's bits in a word (w0 or w1) to the prepared words."""
    return " ".join(
        f"b{place} ^= TURN(w{word}, {shift});"
        for place, shifts in nonce_shifts(word).items()
        for shift in shifts
    )


def _theta() -> str:
    """Set what theta adds to the columns; the sums stand in b0 to b4, which are free then."""
    sums = [f"b{x} = {' ^ '.join(f'a{x + 5 * y}' for y in range(5))};" for x in range(5)]
    added = [f"d{x} = b{(x + 4) % 5} ^ TURN(b{(x + 1) % 5}, 1);" for x in range(5)]
    return " ".join([*sums, *added])


def _moves(places: range) -> str:
    return " ".join(
        f"b{place} = TURN(a{at} ^ d{at % 5}, {ROTATIONS[at]});"
        for place, at in zip(places, MOVED_FROM, strict=False)
    )


def _chi() -> str:
    return " ".join(
        f"a{place} = b{place} ^ (~b{row + (x + 1) % 5} & b{row + (x + 2) % 5});"
        for place in _WORDS
        for row, x in [(place // 5 * 5, place % 5)]
    )
