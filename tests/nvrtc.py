"""NVRTC through ctypes: compiles CUDA C++ for a device that this machine need not have."""

from __future__ import annotations

import ctypes
import importlib.util
from functools import cache
from pathlib import Path
from typing import Any


@cache
def nvrtc() -> ctypes.CDLL | None:
    """The library of the wheels nvidia-cuda-nvrtc-cu12 or nvidia-cuda-nvrtc, or None."""
    spec = importlib.util.find_spec("nvidia")
    folders = list(spec.submodule_search_locations or []) if spec else []
    found = [p for folder in folders for p in Path(folder).glob("**/libnvrtc.so.*")]
    return ctypes.CDLL(str(sorted(found)[-1])) if found else None


def _text(program: Any, kind: str) -> bytes:
    library, size = nvrtc(), ctypes.c_size_t()
    getattr(library, f"nvrtcGet{kind}Size")(program, ctypes.byref(size))
    buffer = ctypes.create_string_buffer(size.value)
    getattr(library, f"nvrtcGet{kind}")(program, buffer)
    return buffer.raw


def compile_cubin(source: str, options: tuple[str, ...]) -> tuple[bytes, str]:
    """Machine code, and what the compiler said.

    Raises
    ------
    RuntimeError
        With the compiler's log.
    """
    library, program = nvrtc(), ctypes.c_void_p()
    assert library is not None
    assert library.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernels.cu", 0, None, None) == 0
    try:
        flags = (ctypes.c_char_p * len(options))(*(o.encode() for o in options))
        status = library.nvrtcCompileProgram(program, len(options), flags)
        log = _text(program, "ProgramLog").rstrip(b"\0").decode()
        if status:
            raise RuntimeError(log)
        return _text(program, "CUBIN"), log
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))
