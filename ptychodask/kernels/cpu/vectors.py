"""Vectors of eight float32 for compiled code: ``load``, ``load_splat``, ``store``, ``+ - *`` and ``transpose``.

Transforms written with them hold their numbers in registers and run at twice the speed of loops that LLVM has to
vectorise by itself, because it need not prove that rows of one array do not overlap. Memory is given by address, in
bytes, and index, in numbers. LLVM maps a vector to one AVX register, or to two of NEON.
"""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numba
from llvmlite import ir
from numba import extending, types
from numba.core import cgutils
from numba.core.base import BaseContext
from numba.core.caching import IndexDataCacheFile
from numba.core.typing.context import BaseContext as TypingContext
from numba.core.typing.templates import Signature
from numba.extending import models, overload, register_model

from ..._numba import njit

LANES = 8
_FLOAT = ir.FloatType()
_VECTOR = ir.VectorType(_FLOAT, LANES)
_INDEX = ir.IntType(32)
Values = Sequence[ir.Value]
_FLAGS = ("contract", "nsz")


def intrinsic(function: Callable[..., Any]) -> Any:
    """numba's decorator, whose calls have another signature than the function that it decorates."""
    return extending.intrinsic(function)


# the Python error model would test every divisor for zero, and a loop with a branch is not vectorised
_options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}


def _sources() -> str:
    """Hash of all files with compiled code."""
    constants = [Path(__file__).parents[2] / "physics" / name for name in ("likelihood.py", "expected_loss.py")]
    constants.append(Path(__file__).parents[1] / "terms.py")
    files = sorted([*Path(__file__).parent.glob("*.py"), *constants])
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


SOURCES = _sources()


def of_these_sources(kernel: Any) -> Any:
    """The kernel, with files on disk that carry the hash of all compiled code in their names.

    numba itself looks at a kernel's own file, though the machine code holds that of all functions it calls; and it
    fails where an older version's file names a type that is gone.
    """
    cache = kernel._cache
    if hasattr(cache, "_cache_file"):  # there is none where nothing can be written
        name = f"{cache._impl.filename_base}-{SOURCES}"
        cache._cache_file = IndexDataCacheFile(cache_path=cache.cache_path, filename_base=name, source_stamp=SOURCES)
    return kernel


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator of kernels on vectors: no interpreter lock, machine code cached on disk.

    Without leave to reassociate, by which LLVM would undo the order that saves operations in a Fourier transform.
    """
    return of_these_sources(njit(**_options, fastmath={"contract", "nsz"})(function))


def compiled_loops(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator of kernels on single numbers, which LLVM may reassociate to vectorise sums."""
    return of_these_sources(njit(**_options, fastmath={"contract", "reassoc", "nsz", "arcp"})(function))


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator of functions that become part of those that call them, which is compiled faster than a call."""
    return numba.njit(nogil=True, error_model="numpy", inline="always", fastmath={"contract", "nsz"})(function)


class Vector(types.Type):
    """numba's type of eight float32."""

    def __init__(self) -> None:
        super().__init__(name=f"float32x{LANES}")


vector = Vector()


@register_model(Vector)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)


def _indices(values: Iterable[int]) -> ir.Constant:
    return ir.Constant(ir.VectorType(_INDEX, LANES), list(values))


def _at(builder: ir.IRBuilder, address: Any, index: Any, kind: Any) -> Any:
    base = builder.inttoptr(address, _FLOAT.as_pointer())
    return builder.bitcast(builder.gep(base, [index]), kind.as_pointer())


@intrinsic
def load(typingctx: TypingContext, address: types.Type, index: types.Type) -> Any:
    """Eight numbers from ``index`` on."""

    def generate(context: BaseContext, builder: ir.IRBuilder, signature: Signature, arguments: Values) -> Any:
        value = builder.load(_at(builder, arguments[0], arguments[1], _VECTOR))
        value.align = 4
        return value

    return vector(types.intp, types.intp), generate


@intrinsic
def load_splat(typingctx: TypingContext, address: types.Type, index: types.Type) -> Any:
    """One number in all lanes."""

    def generate(context: BaseContext, builder: ir.IRBuilder, signature: Signature, arguments: Values) -> Any:
        value = builder.load(_at(builder, arguments[0], arguments[1], _FLOAT))
        value.align = 4
        return _splat(builder, value)

    return vector(types.intp, types.intp), generate


@intrinsic
def splat(typingctx: TypingContext, value: types.Type) -> Any:
    """A float32 in all lanes."""

    def generate(context: BaseContext, builder: ir.IRBuilder, signature: Signature, arguments: Values) -> Any:
        return _splat(builder, arguments[0])

    return vector(types.float32), generate


@intrinsic
def prefetch(typingctx: TypingContext, address: types.Type) -> Any:
    """Ask for the cache line at an address, into the second-level cache."""

    def generate(context: BaseContext, builder: ir.IRBuilder, signature: Signature, arguments: Values) -> Any:
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        flags = [ir.Constant(number, value) for value in (0, 2, 1)]
        builder.call(function, [builder.inttoptr(arguments[0], byte), *flags])
        return context.get_dummy_value()

    return types.void(types.intp), generate


@intrinsic
def load_integer(typingctx: TypingContext, address: types.Type, index: types.Type) -> Any:
    """The int64 at an index."""

    def generate(context: BaseContext, builder: ir.IRBuilder, signature: Signature, arguments: Values) -> Any:
        integer = ir.IntType(64)
        return builder.load(builder.gep(builder.inttoptr(arguments[0], integer.as_pointer()), [arguments[1]]))

    return types.int64(types.intp, types.intp), generate


@intrinsic
def call(typingctx: TypingContext, function: types.Type, arguments: types.BaseTuple) -> Any:
    """Call a compiled function of integers by its address."""

    def generate(context: BaseContext, builder: ir.IRBuilder, signature: Signature, values: Values) -> Any:
        integer = ir.IntType(64)
        kind = ir.FunctionType(ir.VoidType(), [integer] * len(arguments))
        builder.call(builder.inttoptr(values[0], kind.as_pointer()), cgutils.unpack_tuple(builder, values[1]))
        return context.get_dummy_value()

    return types.void(types.intp, arguments), generate


def _splat(builder: ir.IRBuilder, value: Any) -> Any:
    first = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), value, ir.Constant(_INDEX, 0))
    return builder.shuffle_vector(first, first, _indices([0] * LANES))


@intrinsic
def store(typingctx: TypingContext, address: types.Type, index: types.Type, value: types.Type) -> Any:
    """Write eight numbers from ``index`` on."""

    def generate(context: BaseContext, builder: ir.IRBuilder, signature: Signature, arguments: Values) -> Any:
        builder.store(arguments[2], _at(builder, arguments[0], arguments[1], _VECTOR)).align = 4
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, vector), generate


def _arithmetic(symbol: Any, instruction: str) -> None:
    """Lane by lane, with products and sums fused where the processor can."""

    @intrinsic
    def operate(typingctx: TypingContext, a: types.Type, b: types.Type) -> Any:
        def generate(context: BaseContext, builder: ir.IRBuilder, signature: Signature, arguments: Values) -> Any:
            return getattr(builder, instruction)(*arguments, flags=_FLAGS)

        return vector(vector, vector), generate

    @overload(symbol, strict=False)
    def defined(a: types.Type, b: types.Type) -> Any:
        return (lambda a, b: operate(a, b)) if isinstance(a, Vector) and isinstance(b, Vector) else None


_arithmetic(operator.add, "fadd")
_arithmetic(operator.sub, "fsub")
_arithmetic(operator.mul, "fmul")


@intrinsic
def transpose(
    typingctx: TypingContext,
    a: types.Type,
    b: types.Type,
    c: types.Type,
    d: types.Type,
    e: types.Type,
    f: types.Type,
    g: types.Type,
    h: types.Type,
) -> Any:
    """Columns of the 8 x 8 block whose rows are given: blocks of 1, 2 and 4 lanes change places."""

    def generate(context: BaseContext, builder: ir.IRBuilder, signature: Signature, arguments: Values) -> Any:
        rows = list(arguments)
        for width in (1, 2, 4):
            keep = _indices(j if not j & width else LANES + j - width for j in range(LANES))
            take = _indices(j + width if not j & width else LANES + j for j in range(LANES))
            for i in range(LANES):
                if not i & width:
                    pair = rows[i], rows[i + width]
                    rows[i] = builder.shuffle_vector(*pair, keep)
                    rows[i + width] = builder.shuffle_vector(*pair, take)
        return context.make_tuple(builder, signature.return_type, rows)

    return types.UniTuple(vector, LANES)(*[vector] * LANES), generate
