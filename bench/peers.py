"""Build the programs we compare ourselves with, from the llama.cpp sources that shimmy compiles.

    python bench/peers.py llama-bench llama-server        # prints the paths

Needs cmake, ninja and a C++ compiler; uses ccache when there is one.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PEERS = ("llama-bench", "llama-batched-bench", "llama-server")


class PeerBuildError(Exception):
    """A peer could not be built; the message says what is missing or ends with the compiler's output."""


def build_peers(
    names: Sequence[str], defines: Mapping[str, str] | None = None, folder: Path = ROOT / "build" / "peers"
) -> dict[str, Path]:
    """Build the named programs of PEERS where they are missing or outdated, and return their paths by name.

    `defines` are CMake definitions such as {"GGML_CUDA": "ON"}; give each set of them a `folder` of its own.
    Raises PeerBuildError, and ValueError for an unknown name.
    """
    if unknown := [name for name in names if name not in PEERS]:
        raise ValueError(f"unknown peer {unknown[0]!r}; there are {', '.join(PEERS)}")
    cmake, ninja = _tool("cmake"), _tool("ninja")
    _run([sys.executable, str(ROOT / "vendor" / "fetch.py")], "fetching llama.cpp")
    configure = [cmake, "-S", str(ROOT / "bench" / "peers"), "-B", str(folder), "-G", "Ninja"]
    configure += [f"-DCMAKE_MAKE_PROGRAM={ninja}", "-DCMAKE_BUILD_TYPE=Release"]
    configure += [f"-D{key}={value}" for key, value in (defines or {}).items()]
    _run(configure, "configuring")
    jobs = str(max(1, os.cpu_count() or 1))
    _run([cmake, "--build", str(folder), "--parallel", jobs, "--target", *names], "building")
    paths = {name: folder / "bin" / (name + (".exe" if sys.platform == "win32" else "")) for name in names}
    for path in paths.values():
        if not path.is_file():
            raise PeerBuildError(f"the build finished but left no {path}")
    return paths


def _tool(name: str) -> str:
    """The program of that name from the path or from beside this interpreter, where pip puts it."""
    folders = os.pathsep.join((os.environ.get("PATH", os.defpath), str(Path(sys.executable).parent)))
    if found := shutil.which(name, path=folders):
        return found
    raise PeerBuildError(f"{name} is needed to build the peers: pip install {name}")


def _run(command: Sequence[str], doing: str) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        tail = "\n".join(done.stdout.splitlines()[-30:])
        raise PeerBuildError(f"{doing} the peers failed with status {done.returncode}: {' '.join(command)}\n{tail}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=PEERS, metavar="NAME", help=", ".join(PEERS))
    parser.add_argument("-D", dest="defines", action="append", default=[], metavar="KEY=VALUE", help="CMake definition")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "peers")
    args = parser.parse_args()
    if wrong := [define for define in args.defines if "=" not in define]:
        parser.error(f"-D {wrong[0]}: expected KEY=VALUE")
    try:
        paths = build_peers(args.names, dict(define.split("=", 1) for define in args.defines), args.folder.absolute())
    except PeerBuildError as error:
        print(f"peers.py: {error}", file=sys.stderr)
        return 1
    for name, path in paths.items():
        print(f"{name}: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
