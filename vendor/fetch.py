"""Fill vendor/llama.cpp with the pinned sources.

Reads ``sources.lock`` (one ``name==version --hash=sha256:...`` requirement), lets pip download that source
distribution with hash checking, and unpacks the part of its llama.cpp tree that we compile. Idempotent: a
finished folder carries a stamp with the pin and is left alone; an unfinished or outdated one is replaced as
a whole, by rename, so an interrupted run never leaves a half-filled folder that looks complete.

Standard library only: it runs inside an isolated build environment, from CMake.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

HERE = Path(__file__).resolve().parent
LOCK = HERE / "sources.lock"
TARGET = HERE / "llama.cpp"
STAMP = ".shimmy-pin"

KEEP = ("ggml", "src", "include", "common", "vendor", "cmake", "licenses", "LICENSE", "CMakeLists.txt")
KEEP_TOOLS = ("mtmd", "llama-bench", "batched-bench", "server", "quantize")


class FetchError(Exception):
    """The pinned sources could not be put in place; the message says why and what to do."""


@dataclass(frozen=True)
class Pin:
    """One line of ``sources.lock``: the distribution, its version, its sha256 and the llama.cpp commit inside."""

    name: str
    version: str
    sha256: str
    commit: str

    @property
    def requirement(self) -> str:
        return f"{self.name}=={self.version} --hash=sha256:{self.sha256}"

    @property
    def stamp(self) -> str:
        return f"{self.name}=={self.version} {self.sha256} {self.commit}\n"


def read_pin(lock: Path = LOCK) -> Pin:
    """Parse the lock file. Raises FetchError naming the line form that is expected."""
    text = lock.read_text()
    requirement = re.search(r"^([\w.-]+)==([\w.]+) --hash=sha256:([0-9a-f]{64})$", text, re.MULTILINE)
    commit = re.search(r"^# llama\.cpp commit: ([0-9a-f]{40})$", text, re.MULTILINE)
    if requirement is None or commit is None:
        raise FetchError(
            f"{lock}: expected a line 'name==version --hash=sha256:<64 hex>' and a line '# llama.cpp commit: <40 hex>'"
        )
    return Pin(*requirement.groups(), commit=commit.group(1))


def wanted(path: PurePosixPath) -> bool:
    """Whether a path relative to the llama.cpp root belongs to what we unpack."""
    parts = path.parts
    # A backslash or colon is a path of its own on Windows.
    if not parts or any(part == ".." or "\\" in part or ":" in part for part in parts):
        return False
    if parts[0] == "tools":
        return (len(parts) > 2 and parts[1] in KEEP_TOOLS) or parts == ("tools", "CMakeLists.txt")
    return parts[0] in KEEP


def download(pin: Pin, folder: Path) -> Path:
    """Download the pinned source distribution with pip into ``folder`` and return its path."""
    requirements = folder / "requirements.txt"
    requirements.write_text(pin.requirement + "\n")
    # pip builds the metadata of a source distribution, for which that one needs scikit-build-core to be importable.
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-build-isolation"]
    command += ["--no-binary", ":all:", "--require-hashes", "-r", str(requirements), "-d", str(folder)]
    command += ["--disable-pip-version-check", "--no-input"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = (done.stderr.strip() or done.stdout.strip()).splitlines()
        hint = _hint(done.stderr)
        detail = "\n  ".join(reason[-6:]) or f"pip ended with {done.returncode}"
        raise FetchError(f"could not download {pin.name}=={pin.version}: {hint}\n  {detail}")
    archives = sorted(folder.glob("*.tar.gz"))
    if len(archives) != 1:
        raise FetchError(f"pip left {len(archives)} archives for {pin.requirement!r}, expected one")
    return archives[0]


def _hint(pip_errors: str) -> str:
    if "DO NOT MATCH" in pip_errors:
        return "the archive on the index differs from the pinned hash; do not build it"
    if "No module named pip" in pip_errors:
        return f"{sys.executable} has no pip; install it (python -m ensurepip)"
    if "scikit_build_core" in pip_errors:
        return f"{sys.executable} has no scikit-build-core; install it (pip install scikit-build-core)"
    return (
        "check the network and pip's index settings and run again, or build an existing checkout with "
        "-DSHIMMY_LLAMA_CPP_DIR=/path/to/llama.cpp"
    )


def check_hash(archive: Path, pin: Pin) -> None:
    """Compare the archive with the pin once more, so that the check never rests on pip's options alone."""
    with archive.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256") if hasattr(hashlib, "file_digest") else _digest(file)
    if digest.hexdigest() != pin.sha256:
        raise FetchError(
            f"{archive.name}: sha256 is {digest.hexdigest()}, pinned is {pin.sha256}; "
            "the download was not used, delete it and run again"
        )


def _digest(file):  # type: ignore[no-untyped-def]
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest


def unpack(archive: Path, into: Path) -> None:
    """Unpack the wanted part of ``*/vendor/llama.cpp`` from the archive into the empty folder ``into``."""
    count = 0
    with tarfile.open(archive) as tar:
        for member in tar:
            parts = PurePosixPath(member.name).parts
            if parts[1:3] != ("vendor", "llama.cpp") or not member.isfile():
                continue
            relative = PurePosixPath(*parts[3:])
            if not wanted(relative):
                continue
            source = tar.extractfile(member)
            assert source is not None  # a regular file
            path = into / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            with source, path.open("wb") as out:
                shutil.copyfileobj(source, out)
            count += 1
    if count == 0 or not (into / "CMakeLists.txt").is_file():
        raise FetchError(f"{archive.name} holds no vendor/llama.cpp tree; is the pin right?")


def fetch(lock: Path = LOCK, target: Path = TARGET) -> bool:
    """Put the pinned tree at ``target``. Returns False when it was there already. Raises FetchError."""
    pin = read_pin(lock)
    stamp = target / STAMP
    if stamp.is_file() and stamp.read_text() == pin.stamp:
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=target.parent) as name:
        folder = Path(name)
        archive = download(pin, folder)
        check_hash(archive, pin)
        fresh = folder / "llama.cpp"
        fresh.mkdir()
        unpack(archive, fresh)
        (fresh / STAMP).write_text(pin.stamp)
        if target.exists():
            target.replace(folder / "previous")
        fresh.replace(target)
    return True


def main() -> int:
    try:
        changed = fetch()
    except (FetchError, OSError, tarfile.TarError) as error:
        print(f"vendor/fetch.py: {error}", file=sys.stderr)
        return 1
    print(f"vendor/llama.cpp: {'filled' if changed else 'up to date'} ({read_pin().commit[:8]})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
