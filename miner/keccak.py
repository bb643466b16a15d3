"""Keccak-f[1600] as the search needs it: its numbers, and the words that a farmer's nonces share.

The preimage (index 4 | nonce 8 | entropy 32 | farmer 32) and its padding fill one block of the
sponge. The state is 25 words of 64 bits, word x + 5y at column x and row y, bytes little-endian;
source: FIPS 202, with Keccak's own padding. Only the nonce changes from one hash to the next. It
lies in the upper half of word 0 and the lower half of word 1; theta of the first round spreads it
to columns 0, 1, 2 and 4. All else of the first round's theta, rho and pi is the same for a block
and a farmer: `prepared_words`.
"""

_MASK = 2**64 - 1
#: Rounds of the permutation.
ROUNDS = 24
#: Bytes that one block of the sponge takes in: 1600 bits less twice the 256 of the hash.
_RATE = 136


def rotated(word: int, bits: int) -> int:
    """Return a 64-bit word rotated to the left."""
    bits %= 64
    return (word << bits | word >> (64 - bits)) & _MASK if bits else word


def _round_constants() -> tuple[int, ...]:
    """Return iota's constants: bits of a shift register stand at places 2^j - 1."""
    register, constants = 1, []
    for _ in range(ROUNDS):
        constant = 0
        for power in range(7):
            constant |= (register & 1) << (2**power - 1)
            register = register << 1 ^ (register >> 7) * 0x171
        constants.append(constant)
    return tuple(constants)


def _rotations() -> tuple[int, ...]:
    """Return rho's rotation of each word: triangular numbers along pi's path."""
    offsets = [0] * 25
    x, y = 1, 0
    for step in range(ROUNDS):
        offsets[x + 5 * y] = (step + 1) * (step + 2) // 2 % 64
        x, y = y, (2 * x + 3 * y) % 5
    return tuple(offsets)


#: Iota's constant of each round.
ROUND_CONSTANTS = _round_constants()
#: Rho's rotation of each word, by the place that it has before pi.
ROTATIONS = _rotations()
#: Place before pi of the word at each place after it.
MOVED_FROM = tuple(
    next(place for place in range(25) if place // 5 == x and (2 * (place % 5) + 3 * x) % 5 == y)
    for y in range(5)
    for x in range(5)
)


def theta_columns(words: list[int]) -> list[int]:
    """Return what theta adds to each of the five columns."""
    sums = [
        words[x] ^ words[x + 5] ^ words[x + 10] ^ words[x + 15] ^ words[x + 20] for x in range(5)
    ]
    return [sums[(x - 1) % 5] ^ rotated(sums[(x + 1) % 5], 1) for x in range(5)]


def prepared_words(index: int, entropy: bytes, key: bytes) -> list[int]:
    """Return the 25 words after theta, rho and pi of the first round, for nonce 0.

    `entropy` and `key` have 32 bytes, `index` fits into 32 bits. All three steps are linear: a
    nonce's own bits are added to the words by exclusive or, see `nonce_shifts`.
    """
    block = bytearray(index.to_bytes(4, "big") + bytes(8) + entropy + key)
    # Keccak's padding: a bit 1 behind the message, and one at the end of the block.
    block += b"\x01" + bytes(_RATE - len(block) - 1)
    block[-1] |= 0x80
    words = [int.from_bytes(block[at : at + 8], "little") for at in range(0, _RATE, 8)]
    words += [0] * (25 - len(words))
    added = theta_columns(words)
    return [rotated(words[at] ^ added[at % 5], ROTATIONS[at]) for at in MOVED_FROM]


def nonce_shifts(word: int) -> dict[int, tuple[int, ...]]:
    """Return at which places after pi, and rotated by how much, a bit of word 0 or 1 appears.

    It stays in its own word, and theta adds it to the column after its own, and rotated by one to
    the column before.
    """
    shifts: dict[int, tuple[int, ...]] = {}
    for place, source in enumerate(MOVED_FROM):
        turns = [0] * (source == word)
        turns += [0] * (source % 5 == (word + 1) % 5)
        turns += [1] * (source % 5 == (word - 1) % 5)
        if turns:
            shifts[place] = tuple((turn + ROTATIONS[source]) % 64 for turn in turns)
    return shifts
