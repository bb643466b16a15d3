"""The native function that works off many slices in one call, made as LLVM IR.

    uint64_t scan(const uint64_t *words, const uint64_t *slices, uint64_t *results, uint64_t count,
                  const uint64_t *stop)

`words` has 25 prepared words for each farmer (miner.keccak.prepared_words), `slices` SLICE_WORDS
and `results` RESULT_WORDS words for each slice. A slice ends at its first good nonce. `scan`
returns the number of slices that it has come through and written results of, fewer than `count`
once `*stop` is not 0, which is looked at after each vector.
"""

from dataclasses import dataclass

from llvmlite import ir

from miner.engines.llvm.rounds import first_round, last_word, whole_rounds
from miner.engines.llvm.vectors import POINTER, WORD, Vectors, word
from miner.keccak import nonce_shifts

#: The function's name in the object code.
SYMBOL = "scan"
#: A slice: row of the farmer, first nonce, nonces, largest good head (miner.engine.Slice).
SLICE_WORDS = 4
_ROW, _FIRST, _COUNT, _AT_MOST = range(SLICE_WORDS)
#: What came of it: nonces tried; 1 when the last of them is good, else 0.
RESULT_WORDS = 2
_TRIED, _GOOD = range(RESULT_WORDS)
_HALF = 2**32


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The parameters of the generator."""

    #: Hashes computed side by side: 64-bit words in a vector.
    lanes: int
    #: Rounds in the loop's body: divides 22.
    rounds_per_turn: int = 2


def kernel(shape: Shape, triple: str) -> str:
    """Return the IR of the function for a target; the same arguments give the same text."""
    module = ir.Module(name="kale")
    module.triple = triple
    swap = ir.Function(module, ir.FunctionType(WORD, [WORD]), "llvm.bswap.i64")
    zeros = ir.Function(module, ir.FunctionType(WORD, [WORD, ir.IntType(1)]), "llvm.ctlz.i64")
    least = ir.Function(module, ir.FunctionType(WORD, [WORD, WORD]), "llvm.umin.i64")
    kind = ir.FunctionType(WORD, [POINTER, POINTER, POINTER, WORD, POINTER])
    function = ir.Function(module, kind, SYMBOL)
    _Kernel(function, shape, swap, zeros, least).build()
    return str(module)


class _Kernel:
    """The function while it is made: blocks are named by what they do, `build` has the order."""

    def __init__(
        self,
        function: ir.Function,
        shape: Shape,
        swap: ir.Function,
        zeros: ir.Function,
        least: ir.Function,
    ) -> None:
        self._function = function
        self._shape = shape
        self._swap, self._zeros, self._least = swap, zeros, least
        self._words, self._slices, self._results, self._count, self._stop = function.args
        self._b = ir.IRBuilder(function.append_basic_block("entry"))
        self._v = Vectors(function.module, self._b, shape.lanes)
        names = ("slice", "run", "group", "look", "lane", "judge", "next_lane", "next", "good")
        self._at = {name: function.append_basic_block(name) for name in (*names, "end", "done")}

    def build(self) -> None:
        """Fill the function's blocks."""
        # Where lanes are looked at one by one, which is rare.
        heads = self._b.alloca(self._v.type)
        before = self._b.block
        self._go("slice")
        self._open_slice(before)
        self._open_run()
        self._hash_group(heads)
        self._look_at_lanes(heads)
        self._next_group()
        self._end_slice()

    def _go(self, name: str) -> None:
        self._b.branch(self._at[name])
        self._b.position_at_end(self._at[name])

    def _stopped(self) -> ir.Value:
        told = self._b.load_atomic(self._stop, "monotonic", 8)
        return self._b.icmp_unsigned("!=", told, word(0))

    def _field(self, number: int) -> ir.Value:
        return self._b.gep(self._slice, [word(number)])

    def _open_slice(self, before: ir.Block) -> None:
        """Read the next slice; return from the function after the last one, or when told to."""
        b = self._b
        self._number = b.phi(WORD)
        self._number.add_incoming(word(0), before)
        is_last = b.icmp_unsigned(">=", self._number, self._count)
        read = self._function.append_basic_block("read")
        b.cbranch(b.or_(is_last, self._stopped()), self._at["done"], read)
        b.position_at_end(read)
        self._slice = b.gep(self._slices, [b.mul(self._number, word(SLICE_WORDS))])
        row = b.load(self._field(_ROW))
        self._row = b.gep(self._words, [b.mul(row, word(25))])
        self._first = b.load(self._field(_FIRST))
        self._length = b.load(self._field(_COUNT))
        self._at_most = b.load(self._field(_AT_MOST))
        self._mask = self._v.splat(self._zero_bits())
        self._read = b.block
        b.branch(self._at["run"])

    def _zero_bits(self) -> ir.Value:
        """Return the bits of a hash's first word that are 0 in every good one.

        A head that is at most x has as many leading zero bits as x. The word has the head's bytes
        in the other order.
        """
        b = self._b
        leading = b.call(self._zeros, [self._at_most, ir.Constant(ir.IntType(1), 0)])
        every = word(2**64 - 1)
        # A shift by all 64 bits is not defined.
        is_zero = b.icmp_unsigned("==", self._at_most, word(0))
        tail = b.lshr(every, b.and_(leading, word(63)))
        return b.call(self._swap, [b.select(is_zero, every, b.not_(tail))])

    def _open_run(self) -> None:
        """Begin a run of nonces that share their upper half: it is part of the prepared words."""
        b, v = self._b, self._v
        b.position_at_end(self._at["run"])
        self._tried = b.phi(WORD)
        self._tried.add_incoming(word(0), self._read)
        nonce = b.add(self._first, self._tried)
        low = b.and_(nonce, word(_HALF - 1))
        left = b.sub(self._length, self._tried)
        self._run = b.call(self._least, [left, b.sub(word(_HALF), low)])
        # The upper half's bytes follow the index in word 0.
        high = b.call(self._swap, [b.and_(nonce, word(2**64 - _HALF))])
        high = b.shl(high, word(32))
        shifts = nonce_shifts(0)
        self._prepared = []
        for place in range(25):
            value = b.load(b.gep(self._row, [word(place)]))
            for shift in shifts.get(place, ()):
                value = b.xor(value, self._rotated(high, shift))
            self._prepared.append(v.splat(value))
        self._start = b.add(v.splat(low), v.constant(*range(v.lanes)))
        self._opened = b.block
        b.branch(self._at["group"])

    def _rotated(self, value: ir.Value, bits: int) -> ir.Value:
        if bits == 0:
            return value
        return self._b.or_(self._b.shl(value, word(bits)), self._b.lshr(value, word(64 - bits)))

    def _hash_group(self, heads: ir.Value) -> None:
        """Hash as many nonces as a vector has lanes; look closer when one may be good."""
        b, v = self._b, self._v
        b.position_at_end(self._at["group"])
        self._low = b.phi(v.type)
        self._low.add_incoming(self._start, self._opened)
        self._offset = b.phi(WORD)
        self._offset.add_incoming(word(0), self._opened)
        # Bytes 0 to 3 of word 1: the lower half, big-endian.
        nonces = b.lshr(v.swapped(self._low), v.constant(32))
        state = first_round(v, self._prepared, nonces)
        state = whole_rounds(v, self._function, state, self._shape.rounds_per_turn)
        result = last_word(v, state)
        maybe = b.icmp_unsigned("==", b.and_(result, self._mask), v.constant(0))
        bits = b.bitcast(maybe, ir.IntType(v.lanes))
        is_any = b.icmp_unsigned("!=", bits, ir.Constant(ir.IntType(v.lanes), 0))
        b.cbranch(is_any, self._at["look"], self._at["next"])
        b.position_at_end(self._at["look"])
        b.store(result, heads)
        b.branch(self._at["lane"])

    def _look_at_lanes(self, heads: ir.Value) -> None:
        """Compare one lane after the other; end the slice at the first good nonce."""
        b = self._b
        b.position_at_end(self._at["lane"])
        lane = b.phi(WORD)
        lane.add_incoming(word(0), self._at["look"])
        position = b.add(self._offset, lane)
        is_over = b.or_(
            b.icmp_unsigned(">=", lane, word(self._v.lanes)),
            b.icmp_unsigned(">=", position, self._run),
        )
        b.cbranch(is_over, self._at["next"], self._at["judge"])
        b.position_at_end(self._at["judge"])
        value = b.load(b.gep(b.bitcast(heads, POINTER), [lane]))
        head = b.call(self._swap, [value])
        is_good = b.icmp_unsigned("<=", head, self._at_most)
        b.cbranch(is_good, self._at["good"], self._at["next_lane"])
        b.position_at_end(self._at["next_lane"])
        lane.add_incoming(b.add(lane, word(1)), b.block)
        b.branch(self._at["lane"])
        b.position_at_end(self._at["good"])
        self._tried_until_good = b.add(b.add(self._tried, position), word(1))
        b.branch(self._at["end"])

    def _next_group(self) -> None:
        """Go on with the next vector, the next run, or the end of the slice."""
        b, v = self._b, self._v
        b.position_at_end(self._at["next"])
        following = b.add(self._offset, word(v.lanes))
        self._offset.add_incoming(following, b.block)
        self._low.add_incoming(b.add(self._low, v.constant(v.lanes)), b.block)
        done = b.call(self._least, [following, self._run])
        self._tried_here = b.add(self._tried, done)
        is_run_over = b.icmp_unsigned(">=", following, self._run)
        over = self._function.append_basic_block("run_over")
        b.cbranch(b.or_(is_run_over, self._stopped()), over, self._at["group"])
        b.position_at_end(over)
        is_slice_over = b.icmp_unsigned(">=", self._tried_here, self._length)
        self._tried.add_incoming(self._tried_here, over)
        self._over = over
        b.cbranch(b.or_(is_slice_over, self._stopped()), self._at["end"], self._at["run"])

    def _end_slice(self) -> None:
        """Write what came of the slice."""
        b = self._b
        b.position_at_end(self._at["end"])
        tried, good = b.phi(WORD), b.phi(WORD)
        tried.add_incoming(self._tried_until_good, self._at["good"])
        good.add_incoming(word(1), self._at["good"])
        tried.add_incoming(self._tried_here, self._over)
        good.add_incoming(word(0), self._over)
        result = b.gep(self._results, [b.mul(self._number, word(RESULT_WORDS))])
        b.store(tried, b.gep(result, [word(_TRIED)]))
        b.store(good, b.gep(result, [word(_GOOD)]))
        self._number.add_incoming(b.add(self._number, word(1)), b.block)
        b.branch(self._at["slice"])
        b.position_at_end(self._at["done"])
        b.ret(self._number)
