"""Where compiled kernels are kept: on disk, by all that the machine code follows from.

numba's own cache knows a kernel by its module's text alone, and goes on with old code where what
it calls has changed in another module. Here a kernel's folder is named by a digest of its module
and of every module of ours that this imports, below one named by the compiler's versions and the
CPU:

    CACHE/py3.12-numba0.61.0-...-znver3-1f0c9a2b/streamdrift.ordering.clock-5be1.../KERNEL.nbc

So what is in a folder never changes, and versions lie side by side. There is one file for each
kernel and signature, written aside and renamed: processes that start together at most compile
something twice. A folder that cannot be written is read all the same.
"""

import hashlib
import os
import pickle
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Self

import llvmlite
import llvmlite.binding
import numba
import numpy as np
from numba.core import config
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator
from numba.core.serialize import dumps

VARIABLE = "STREAMDRIFT_CACHE_DIR"
_KEPT = 8
"""Versions of a folder that are left, those used last: a set of all kernels takes some 10 MB."""
_UNUSABLE = (OSError, EOFError, pickle.UnpicklingError)
"""What reading or writing a cache raises where the disk is full, read-only or was damaged."""
_CHECKSUM = hashlib.sha256().digest_size
_PACKAGE = Path(__file__).parents[1]
_IMPORTS = re.compile(
    rb"^[ \t]*from[ \t]+streamdrift((?:\.\w+)*)[ \t]+import[ \t]+(\([^)]*\)|[^\n]*)", re.MULTILINE
)


def cache_folder() -> Path:
    """Return where this compiler's kernels for this CPU are kept."""
    root = os.environ.get(VARIABLE)
    if root:
        return Path(root) / _machine()
    home = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(home) / "streamdrift" / "kernels" / _machine()


@cache
def _machine() -> str:
    # As numba chooses them: NUMBA_CPU_NAME and NUMBA_CPU_FEATURES, or what the machine has.
    name = config.CPU_NAME or llvmlite.binding.get_host_cpu_name()  # type: ignore[attr-defined]
    features = config.CPU_FEATURES  # type: ignore[attr-defined]
    if features is None:
        features = llvmlite.binding.get_host_cpu_features().flatten()
    built = hashlib.sha256(f"{llvmlite.binding.get_process_triple()} {features}".encode())
    return "-".join(
        [
            f"py{sys.version_info[0]}.{sys.version_info[1]}{sys.abiflags}",
            f"numba{numba.__version__}",
            f"llvmlite{llvmlite.__version__}",
            f"numpy{np.__version__}",
            name,
            built.hexdigest()[:8],
        ]
    )


def _module_file(path: tuple[str, ...]) -> Path | None:
    """Return the file of a module of ours by its names below the package."""
    place = _PACKAGE.joinpath(*path)
    for file in (place / "__init__.py", place.parent / f"{place.name}.py"):
        if file.is_file():
            return file
    return None


@cache
def _read(file: Path) -> tuple[bytes, tuple[Path, ...]]:
    """Return a digest of a source file, and the files of ours that it imports."""
    text = file.read_bytes()
    found = []
    for module, names in _IMPORTS.findall(text):
        path = tuple(module.decode().split(".")[1:])
        found.append(_module_file(path))
        for name in re.findall(rb"\w+", names):
            below = (*path, name.decode())
            found.append(_module_file(below))
    return hashlib.sha256(text).digest(), tuple(each for each in found if each is not None)


def _reached(file: Path) -> Iterator[Path]:
    """Yield a source file and all files of ours that it, and these in turn, import."""
    seen, waiting = {file}, [file]
    while waiting:
        each = waiting.pop()
        yield each
        new = set(_read(each)[1]) - seen
        seen |= new
        waiting += new


def _named(file: Path) -> str:
    """Return a source file's name as a module, that of what is not ours with its folder's."""
    root = _PACKAGE.parent if file.is_relative_to(_PACKAGE) else file.parent.parent
    return ".".join(file.relative_to(root).with_suffix("").parts)


@cache
def folder_of(file: Path) -> Path:
    """Return where the kernels of a source file are kept, and note that they are in use.

    Raises OSError where the source cannot be read.
    """
    digest = hashlib.sha256()
    for each in sorted(_reached(file)):
        digest.update(_named(each).encode() + b"\0" + _read(each)[0])
    folder = cache_folder() / f"{_named(file)}-{digest.hexdigest()[:20]}"
    with suppress(OSError):
        os.utime(folder)
    return folder


def make(folder: Path) -> None:
    """Make a kernels' folder, and leave only the newest of its and of its parent's kind."""
    if folder.is_dir():
        return
    folder.mkdir(parents=True, exist_ok=True)
    machine = folder.parent
    os.utime(machine)
    kind = folder.name.rpartition("-")[0]
    keep_newest(each for each in machine.iterdir() if each.name.rpartition("-")[0] == kind)
    keep_newest(each for each in machine.parent.iterdir() if each.name.startswith("py"))


def keep_newest(entries: Iterator[Path]) -> None:
    """Delete all but the files and folders that were used last."""
    with suppress(OSError):
        by_age = sorted(entries, key=lambda each: each.stat().st_mtime)
        for old in by_age[:-_KEPT]:
            shutil.rmtree(old, ignore_errors=True) if old.is_dir() else old.unlink()


def why_unwritable() -> str | None:
    """Return why kernels cannot be kept, None where they can."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Not every file system says no before there is something to be written.
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(65_536))
    except OSError as error:
        return error.strerror or str(error)
    return None


class _Locator(_CacheLocator):
    """Tells numba the folder of a function's file; whether it can be written is seen later."""

    def __init__(self, function: Callable[..., object], file: str) -> None:
        self._folder = folder_of(Path(file).resolve())
        self._line = function.__code__.co_firstlineno

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> Self | None:
        try:
            return cls(py_func, py_file)
        except OSError:
            return None

    def ensure_cache_path(self) -> None:
        make(self._folder)

    def get_cache_path(self) -> str:
        return str(self._folder)

    def get_source_stamp(self) -> str:
        return self._folder.name

    def get_disambiguator(self) -> str:
        return str(self._line)


class _Implementation(CompileResultCacheImpl):
    _locator_classes = [_Locator]  # noqa: RUF012 (as its parent has it)


class _Files:
    """Compiled functions in files of their own: numba's index loses what two processes add."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name

    def _file(self, key: object) -> Path:
        return self._folder / f"{self._name}.{hashlib.sha256(repr(key).encode()).hexdigest()}.nbc"

    def load(self, key: object) -> object:
        try:
            content = self._file(key).read_bytes()
        except FileNotFoundError:
            return None
        checksum, pickled = content[:_CHECKSUM], content[_CHECKSUM:]
        if hashlib.sha256(pickled).digest() != checksum:
            return None  # It was damaged: machine code of which one bit is another does anything.
        kept, data = pickle.loads(pickled)  # noqa: S301 (the cache is our own, as is the code)
        return data if kept == key else None

    def save(self, key: object, data: object) -> None:
        file = self._file(key)
        aside = file.with_name(f"{file.name}.{os.getpid()}.tmp")
        try:
            pickled = dumps((key, data))  # type: ignore[no-untyped-call]
            aside.write_bytes(hashlib.sha256(pickled).digest() + pickled)
            aside.replace(file)
        except OSError:
            aside.unlink(missing_ok=True)
            raise


class KernelCache(FunctionCache):
    """A kernel's compiled forms on disk: what cannot be kept is compiled at the next start.

    Raises RuntimeError where the function has no source file.
    """

    _impl_class = _Implementation
    unkept: ClassVar[str | None] = None
    """Why the last that could not be kept was not."""

    def __init__(self, function: Callable[..., object]) -> None:
        super().__init__(function)  # type: ignore[no-untyped-call]
        files: Any = _Files(Path(self.cache_path), self._impl.filename_base)
        self._cache_file = files

    def load_overload(self, *arguments: Any) -> Any:
        with suppress(*_UNUSABLE):
            return super().load_overload(*arguments)  # type: ignore[no-untyped-call]
        return None

    def save_overload(self, *arguments: Any) -> None:
        try:
            super().save_overload(*arguments)  # type: ignore[no-untyped-call]
        except OSError as error:
            KernelCache.unkept = error.strerror or str(error)
