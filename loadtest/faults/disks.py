"""Small disks that are full, or cannot be written any more. Mounting them takes root."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_BLOCK = 4_096


@contextmanager
def small_disk(folder: Path, kilobytes: int, *, read_only: bool = False) -> Iterator[Path]:
    """Have a disk in memory at `folder` for as long as the block lasts."""
    folder.mkdir()
    access = "ro" if read_only else "rw"
    _do("mount", "-t", "tmpfs", "-o", f"size={kilobytes}k,{access}", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        _do("umount", "--lazy", str(folder))


@contextmanager
def failing_disk(folder: Path) -> Iterator[Path]:
    """Have a disk of 8 MiB on a file, that `fail` can be called for."""
    folder.mkdir()
    image = folder.with_suffix(".image")
    with image.open("wb") as file:
        file.truncate(8 << 20)
    _do("mkfs.ext4", "-q", str(image))
    _do("mount", "-o", "loop", str(image), str(folder))
    try:
        yield folder
    finally:
        _do("umount", "--lazy", str(folder))


def fail(folder: Path) -> None:
    """Make a disk as it is after an error: it can be read only, also by who has a file open."""
    _do("mount", "-o", "remount,abort", str(folder))


def repair(folder: Path) -> None:
    """Make a disk that failed writable again, with what was safe on it."""
    _do("umount", "--lazy", str(folder))
    # It checks and mends; 1 says that there was something to mend.
    image = str(folder.with_suffix(".image"))
    subprocess.run(["fsck.ext4", "-p", image], capture_output=True, check=False)
    _do("mount", "-o", "loop", image, str(folder))


def fill(folder: Path) -> Path:
    """Take all the room there is on a disk; return the file that does, which may be removed."""
    ballast = folder / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(_BLOCK))
    assert os.statvfs(folder).f_bavail == 0
    return ballast


def _do(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command[:3])}: {done.stderr.strip()} (it takes root)"
