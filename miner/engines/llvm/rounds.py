"""The rounds of Keccak-f[1600] in LLVM IR, with all that a search does not need left out."""

from collections.abc import Sequence

from llvmlite import ir

from miner.engines.llvm.vectors import Vectors, word
from miner.keccak import MOVED_FROM, ROTATIONS, ROUND_CONSTANTS, nonce_shifts

#: Rounds between the first one and the last one, which are cut.
WHOLE_ROUNDS = 22


def first_round(v: Vectors, words: Sequence[ir.Value], low: ir.Value) -> list[ir.Value]:
    """Return the state after the first round.

    `words` are the prepared ones of a farmer and of the nonces' upper halves, `low` is what the
    nonces' lower halves add to word 1.
    """
    moved = list(words)
    for place, shifts in nonce_shifts(1).items():
        moved[place] = v.xor(moved[place], *(v.rotated(low, shift) for shift in shifts))
    state = [value for row in range(5) for value in _chi_row(v, moved[5 * row : 5 * row + 5])]
    state[0] = v.xor(state[0], v.constant(ROUND_CONSTANTS[0]))
    return state


def whole_rounds(
    v: Vectors, function: ir.Function, state: list[ir.Value], per_turn: int
) -> list[ir.Value]:
    """Return the state after the 22 whole rounds: a loop of `per_turn` rounds.

    A loop keeps the code small. All rounds in a row are slower: their code is larger than a core's
    first cache of instructions.
    """
    builder = v.builder
    table = _constants_table(function.module)
    before = builder.block
    loop = function.append_basic_block("rounds")
    after = function.append_basic_block("last_round")
    builder.branch(loop)
    builder.position_at_end(loop)
    turning = [builder.phi(v.type) for _ in state]
    number = builder.phi(word(0).type)
    number.add_incoming(word(0), before)
    now: list[ir.Value] = list(turning)
    for step in range(per_turn):
        place = builder.gep(table, [word(0), builder.add(number, word(step))])
        now = _whole_round(v, now, v.splat(builder.load(place)))
    following = builder.add(number, word(per_turn))
    number.add_incoming(following, loop)
    for phi, at_first, at_end in zip(turning, state, now, strict=True):
        phi.add_incoming(at_first, before)
        phi.add_incoming(at_end, loop)
    builder.cbranch(builder.icmp_unsigned("<", following, word(WHOLE_ROUNDS)), loop, after)
    builder.position_at_end(after)
    return now


def last_word(v: Vectors, state: Sequence[ir.Value]) -> ir.Value:
    """Return word 0 of the hash: of the last round's 25 words, the three that it comes from."""
    added = _theta(v, state)
    near = [
        v.rotated(v.xor(state[MOVED_FROM[x]], added[MOVED_FROM[x] % 5]), ROTATIONS[MOVED_FROM[x]])
        for x in range(3)
    ]
    return v.xor(v.chi(*near), v.constant(ROUND_CONSTANTS[-1]))


def _whole_round(v: Vectors, state: Sequence[ir.Value], constant: ir.Value) -> list[ir.Value]:
    """Return the state after a round, row by row: few words are then alive at a time."""
    added = _theta(v, state)
    result: list[ir.Value] = []
    for row in range(5):
        sources = MOVED_FROM[5 * row : 5 * row + 5]
        moved = [v.rotated(v.xor(state[at], added[at % 5]), ROTATIONS[at]) for at in sources]
        result += _chi_row(v, moved)
    result[0] = v.xor(result[0], constant)
    return result


def _theta(v: Vectors, state: Sequence[ir.Value]) -> list[ir.Value]:
    """Return what theta adds to each of the five columns."""
    sums = [v.xor(*(state[x + 5 * y] for y in range(5))) for x in range(5)]
    return [v.xor(sums[(x - 1) % 5], v.rotated(sums[(x + 1) % 5], 1)) for x in range(5)]


def _chi_row(v: Vectors, row: Sequence[ir.Value]) -> list[ir.Value]:
    return [v.chi(row[x], row[(x + 1) % 5], row[(x + 2) % 5]) for x in range(5)]


def _constants_table(module: ir.Module) -> ir.GlobalVariable:
    kind = ir.ArrayType(word(0).type, WHOLE_ROUNDS)
    table = ir.GlobalVariable(module, kind, "round_constants")
    table.initializer = ir.Constant(kind, list(ROUND_CONSTANTS[1:-1]))
    table.global_constant = True
    table.linkage = "internal"
    return table
