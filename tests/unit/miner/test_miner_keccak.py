"""What is prepared for a farmer is the hash's own first round."""

import sha3
from hypothesis import given
from hypothesis import strategies as st

from libs.kale.hash import preimage
from miner.keccak import (
    MOVED_FROM,
    ROTATIONS,
    ROUND_CONSTANTS,
    nonce_shifts,
    prepared_words,
    rotated,
    theta_columns,
)

WORDS = st.binary(min_size=32, max_size=32)


def chi_and_iota(words: list[int], constant: int) -> list[int]:
    """The end of a round, on words that are moved already."""
    result = [
        words[at] ^ ~words[at // 5 * 5 + (at + 1) % 5] & words[at // 5 * 5 + (at + 2) % 5]
        for at in range(25)
    ]
    result[0] ^= constant
    return result


def moved(words: list[int]) -> list[int]:
    """Theta, rho and pi."""
    added = theta_columns(words)
    return [rotated(words[at] ^ added[at % 5], ROTATIONS[at]) for at in MOVED_FROM]


def test_rotations_and_constants_are_those_of_the_standard() -> None:
    """FIPS 202, table 2 (row y = 0) and the constants of rounds 0, 1 and 23."""
    assert ROTATIONS[:5] == (0, 1, 62, 28, 27)
    assert (ROUND_CONSTANTS[0], ROUND_CONSTANTS[1], ROUND_CONSTANTS[23]) == (
        0x1,
        0x8082,
        0x8000000080008008,
    )
    assert sorted(MOVED_FROM) == list(range(25))


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1), WORDS, WORDS)
def test_prepared_words_and_the_nonces_bits_give_the_hash(
    index: int, nonce: int, entropy: bytes, key: bytes
) -> None:
    words = prepared_words(index, entropy, key)
    data = preimage(index=index, nonce=nonce, entropy=entropy, farmer_key=key)
    in_word = {
        number: int.from_bytes(data[8 * number : 8 * number + 8], "little") for number in (0, 1)
    }
    bare = preimage(index=index, nonce=0, entropy=entropy, farmer_key=key)
    for number, value in in_word.items():
        own = value ^ int.from_bytes(bare[8 * number : 8 * number + 8], "little")
        for place, shifts in nonce_shifts(number).items():
            for shift in shifts:
                words[place] ^= rotated(own, shift)
    state = chi_and_iota(words, ROUND_CONSTANTS[0])
    for constant in ROUND_CONSTANTS[1:]:
        state = chi_and_iota(moved(state), constant)
    digest = b"".join(word.to_bytes(8, "little") for word in state[:4])
    assert digest == sha3.keccak_256(data).digest()
