"""Bytes that a fresh environment holds after `pip install`, the base and each extra.

    python -m tests.bench.size [EXTRA …]

Makes an environment of its own for each, installs vidrec from this checkout and adds up the files;
`pip` itself, which `venv` brings, is left out and shown beside.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent.parent
MB = 1e6


def bytes_in(folder: Path) -> int:
    """The sum of the sizes of the files below a folder; links are not followed."""
    return sum(p.lstat().st_size for p in folder.rglob("*") if p.is_file() and not p.is_symlink())


def installed(extra: str, work: Path) -> tuple[dict[str, int], int]:
    """Return the bytes of each top folder of site-packages, and those of pip."""
    folder = work / (extra or "base")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    target = f"{CHECKOUT}[{extra}]" if extra else str(CHECKOUT)
    subprocess.run([str(python), "-m", "pip", "install", "-q", target], check=True)
    (site,) = (folder / "lib").glob("python*/site-packages")
    sizes = {path.name: bytes_in(path) for path in site.iterdir() if path.is_dir()}
    pip = sum(size for name, size in sizes.items() if name.startswith(("pip", "setuptools")))
    return {n: s for n, s in sizes.items() if not n.startswith(("pip", "setuptools"))}, pip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("extras", nargs="*", metavar="EXTRA")
    extras = parser.parse_args().extras
    print(f"{'install':10} {'MB':>7} {'packages':>9}   the largest, MB")
    with tempfile.TemporaryDirectory() as work:
        for extra in ["", *extras]:
            sizes, pip = installed(extra, Path(work))
            largest = sorted(sizes.items(), key=lambda row: -row[1])[:6]
            shown = ", ".join(f"{name} {size / MB:.0f}" for name, size in largest)
            packages = sum(name.endswith(".dist-info") for name in sizes)
            total = sum(sizes.values()) / MB
            print(f"{extra or 'base':10} {total:7.0f} {packages:9}   {shown} (pip {pip / MB:.0f})")


if __name__ == "__main__":
    main()
