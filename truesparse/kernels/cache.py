"""Where compiled kernels are kept on disk, and what happens when they cannot be.

Numba's own cache ends a program where its files are cut, or written by somebody else, or cannot be written.
Here a kernel is compiled again, or compiled and not kept, and one line says so.
"""

from __future__ import annotations

import hashlib
import pickle
import warnings
import zlib
from pathlib import Path
from typing import Any

from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.dispatcher import Dispatcher
from numba.core.serialize import dumps

_SEAL_BYTES = 8
_told = False
_kept = True  # as far as has been tried


class KernelCache(FunctionCache):
    """The compiled code of one kernel on disk. Errors of its files are no errors of the program.

    Parameters
    ----------
    py_func : function

    Raises
    ------
    RuntimeError
        There is no folder to keep code in.
    """

    def __init__(self, py_func: Any) -> None:
        super().__init__(py_func)
        locator = self._impl.locator
        self._cache_file = _SealedFiles(
            self.cache_path, self._impl.filename_base, source_stamp=locator.get_source_stamp()
        )

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        """What distinguishes the code of a signature. Numba takes a kernel that calls another one of its
        closure for a new one in each process."""
        return sig, codegen.magic_tuple(), _digest(self._py_func)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Load the code for a signature; None if there is none, or none that can be used."""
        try:
            return super().load_overload(sig, target_context)
        except Exception as error:  # pickle raises whatever the bytes of a broken file make it raise
            _tell(f"the compiled code in {self.cache_path} cannot be used ({_reason(error)}); compiled again")
        try:
            self.flush()
        except Exception:  # nothing can be put in the place of the broken file
            self.disable()
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Save the code for a signature, if it can be."""
        try:
            super().save_overload(sig, data)
        except Exception as error:
            self.disable()
            _tell_of_none(f"compiled code cannot be kept in {self.cache_path} ({_reason(error)})")


def _digest(function: Any) -> str:
    """What distinguishes a function from those of the same source with other values in their closures."""
    digest = hashlib.sha256(function.__code__.co_code)
    for cell in function.__closure__ or ():
        value = cell.cell_contents
        digest.update(_digest(value.py_func).encode() if isinstance(value, Dispatcher) else dumps(value))
    return digest.hexdigest()


class _SealedFiles(IndexDataCacheFile):
    """The files of a kernel; that of the code begins with a checksum.

    It covers the file's name and the source too: a process that ends between the two files that it writes
    leaves an index beside the code of an earlier source.
    """

    def __init__(self, cache_path: str, filename_base: str, source_stamp: Any) -> None:
        super().__init__(cache_path, filename_base, source_stamp)
        self._version += " sealed"  # files of Numba's own cache are those of another version

    def _load_data(self, name: str) -> Any:
        content = Path(self._data_path(name)).read_bytes()
        seal, code = content[:_SEAL_BYTES], content[_SEAL_BYTES:]
        if seal != self._seal(name, code):
            raise ValueError("cut short or changed")
        return pickle.loads(code)

    def _save_data(self, name: str, data: Any) -> None:
        code = self._dump(data)
        with self._open_for_write(self._data_path(name)) as file:
            file.write(self._seal(name, code) + code)

    def _seal(self, name: str, code: bytes) -> bytes:
        place = repr((name, self._source_stamp)).encode("utf-8", "backslashreplace")
        return b"%08x" % zlib.crc32(code, zlib.crc32(place))


_ADVICE = "kernels are compiled each time, unless NUMBA_CACHE_DIR names a folder that can be written"


def keep_code(kernel: Any) -> None:
    """Keep the compiled code of a kernel on disk, if there is a place.

    Parameters
    ----------
    kernel : Dispatcher
        Of Numba.
    """
    try:
        kernel._cache = KernelCache(kernel.py_func)
    except Exception as error:
        folder = Path(kernel.py_func.__code__.co_filename).parent
        _tell_of_none(f"compiled code of {folder} cannot be kept ({_reason(error)})")


def cache_folder() -> Path | None:
    """Return the folder in which Numba keeps the compiled code of the kernels; None if there is none."""
    try:
        return Path(KernelCache(keep_code).cache_path)
    except Exception:  # RuntimeError, or what the system says of the folder
        return None


def code_is_kept() -> bool:
    """Whether later runs find the code that is compiled now, as far as has been seen."""
    return _kept


def _reason(error: Exception) -> str:
    """Why, in the first line of an error."""
    strerror = getattr(error, "strerror", None)
    return strerror or (str(error) or type(error).__name__).splitlines()[0]


def _tell_of_none(sentence: str) -> None:
    """Warn that code is not kept."""
    global _kept
    _kept = False
    _tell(f"{sentence}; {_ADVICE}")


def _tell(sentence: str) -> None:
    """Warn, once a process: what befalls one kernel befalls the others."""
    global _told
    if not _told:
        _told = True
        warnings.warn(sentence, RuntimeWarning, stacklevel=2)
