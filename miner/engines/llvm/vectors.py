"""Operations on vectors of 64-bit words, as instructions of LLVM IR."""

from functools import reduce

from llvmlite import ir

WORD = ir.IntType(64)
POINTER = WORD.as_pointer()
_INT32 = ir.IntType(32)


def word(value: int) -> ir.Constant:
    """Return a 64-bit constant."""
    return ir.Constant(WORD, value)


class Vectors:
    """The vector operations of one function; its instructions go where the builder stands."""

    def __init__(self, module: ir.Module, builder: ir.IRBuilder, lanes: int) -> None:
        """Take the number of 64-bit words in a vector."""
        self.builder = builder
        self.lanes = lanes
        self.type = ir.VectorType(WORD, lanes)
        name = f"v{lanes}i64"
        triple = ir.FunctionType(self.type, [self.type] * 3)
        self._funnel = ir.Function(module, triple, f"llvm.fshl.{name}")
        single = ir.FunctionType(self.type, [self.type])
        self._swap = ir.Function(module, single, f"llvm.bswap.{name}")

    def constant(self, *values: int) -> ir.Constant:
        """Return a vector of constants; a single one stands in all lanes."""
        return ir.Constant(self.type, list(values) if len(values) > 1 else [*values] * self.lanes)

    def splat(self, value: ir.Value) -> ir.Value:
        """Return a vector that has a 64-bit value in all lanes."""
        nothing = ir.Constant(self.type, ir.Undefined)
        first = self.builder.insert_element(nothing, value, ir.Constant(_INT32, 0))
        everywhere = ir.Constant(ir.VectorType(_INT32, self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(first, nothing, everywhere)

    def xor(self, *values: ir.Value) -> ir.Value:
        """Return the exclusive or of all values."""
        return reduce(self.builder.xor, values)

    def rotated(self, value: ir.Value, bits: int) -> ir.Value:
        """Return each lane rotated to the left by a number of bits."""
        if bits % 64 == 0:
            return value
        return self.builder.call(self._funnel, [value, value, self.constant(bits % 64)])

    def swapped(self, value: ir.Value) -> ir.Value:
        """Return each lane with its eight bytes in the other order."""
        return self.builder.call(self._swap, [value])

    def chi(self, value: ir.Value, after: ir.Value, second: ir.Value) -> ir.Value:
        """Return `value` changed by its two neighbours to the right."""
        builder = self.builder
        return builder.xor(value, builder.and_(builder.not_(after), second))
