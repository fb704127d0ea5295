"""Gathers what a bare CUDA machine lacks: `python -m benchmarks.gpu.pack`, in an environment of this machine.

Writes `.gpu-kit/part-1`, `part-2`, ...: one archive of installed packages, cut so that a part and the files of the
repository (without those of `LEFT_OUT`) stay below the limit of a transfer. README.md beside this file says how they
travel. On the other side, with nothing but Python: `python3 -m benchmarks.gpu.pack --unpack FOLDER`.
"""

import argparse
import fnmatch
import platform
import re
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from importlib.metadata import distribution
from pathlib import Path

MISSING = (
    *("warp-lang", "stlpips-pytorch", "lpips", "trimesh", "beartype"),
    *("jsonargparse", "typeshed-client", "docstring-parser"),
)
"""What `ganverse` and its tests import beyond torch, Lightning, torchmetrics, jaxtyping, safetensors, scipy, rich,
matplotlib, hypothesis and pytest. All of it is Python of any version, and Warp's library is loaded by ctypes."""
NEEDLESS = re.compile(r"^\.\.|__pycache__|^warp/(tests|examples|fem|render)/|vgg")
LEFT_OUT = ("docs/figures/*", "in-progress/*", "ganverse/weights/oracle-*", "ganverse/weights/stylegan-r-*")
"""Tracked files that the kit does not read."""
LIMIT, MARGIN = 64 * 2**20, 2**20
"""Bytes of one transfer, and what is kept free of them."""
FOLDER = Path(".gpu-kit")


def packed_files(names: Sequence[str] = MISSING) -> Iterator[tuple[Path, str]]:
    """Files of installed packages, and their places in a folder that stands on PYTHONPATH.

    Raises:
        SystemExit: a package holds modules that are compiled for this Python.
    """
    for name in names:
        for file in distribution(name).files or ():
            if NEEDLESS.search(str(file)):
                continue
            if re.search(r"\.(cpython|cp3|abi3).*\.so$", file.name):
                raise SystemExit(f"expected {name} without compiled modules, got {file}; carry a wheel of it")
            yield Path(str(file.locate())), str(file)


def pack(folder: Path, size: int, names: Sequence[str] = MISSING) -> list[Path]:
    """The archive of these packages in parts of at most `size` bytes; earlier parts are removed."""
    folder.mkdir(exist_ok=True)
    for old in folder.glob("part-*"):
        old.unlink()
    whole = folder / "whole.tar.xz"
    with tarfile.open(whole, "w:xz", preset=6) as archive:
        for path, place in packed_files(names):
            archive.add(path, place)
    parts = []
    with whole.open("rb") as data:
        while piece := data.read(size):
            parts.append(folder / f"part-{len(parts) + 1}")
            parts[-1].write_bytes(piece)
    whole.unlink()
    return parts


def unpack(folder: Path) -> None:
    """Unpacks the parts that lie in `folder` there."""
    parts = sorted(folder.glob("part-*"), key=lambda path: int(path.name.removeprefix("part-")))
    whole = folder / "whole.tar.xz"
    with whole.open("wb") as joined:
        for part in parts:
            joined.write(part.read_bytes())
    with tarfile.open(whole) as archive:
        archive.extractall(folder, filter="data")
    whole.unlink()


def travelling(root: Path) -> tuple[int, list[str]]:
    """Bytes of the repository's files that the kit reads, and the tracked files that it does not."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    )
    files = [name for name in listed.stdout.split("\0") if name and (root / name).is_file()]
    left = [name for name in files if any(fnmatch.fnmatch(name, pattern) for pattern in LEFT_OUT)]
    return sum((root / name).stat().st_size for name in {*files} - {*left}), left


def main(arguments: Sequence[str] | None = None) -> None:
    """Packs, or unpacks, and says what to do next."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--unpack", type=Path, metavar="FOLDER", help="join and unpack the parts that lie there")
    parser.add_argument("--left-out", action="store_true", help="only list the tracked files that need not travel")
    options = parser.parse_args(arguments)
    if options.unpack is not None:
        unpack(options.unpack)
        return
    root = Path(__file__).parents[2]
    tree, left = travelling(root)
    if options.left_out:
        print("\n".join(left))
        return
    if platform.machine() != "x86_64":
        raise SystemExit(f"expected an x86-64 machine, whose libraries run on the other, got {platform.machine()}")
    size = LIMIT - MARGIN - tree
    parts = pack(root / FOLDER, size)
    print(f"files of the repository: {tree / 2**20:.1f} MiB, {len(left)} left out; a part may have {size / 2**20:.1f}")
    for part in parts:
        print(f"{part.relative_to(root)}: {part.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
