"""Doors: a room imports only from the floors below it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "vidrec"
# From the ground up. Rooms on one floor import nothing from each other; the files of the ground
# floor and of the top one are one room.
FLOORS = [
    {"config", "sections", "types", "vectors", "errors", "extras", "files", "progress", "urls"}
    | {"calibration", "wording", "locks", "interrupts", "plugins", "origins", "trust", "reach"}
    | {"batches", "csvfile", "records", "conditions", "options", "point_ids"},
    {"library"},
    {"media"},
    {"models"},
    {"embedders", "stores", "datasets", "storage"},
    {"ingest"},
    {"search"},  # a clip that is asked with is embedded as ingest does
    {"evaluate"},  # a network that was trained is measured as any other is
    {"training", "exchange", "care", "demo", "api"},
    {"serve"},
    {"cli", "voice", "commands", "display", "table", "__main__"},
]
ONE_ROOM = (FLOORS[0], FLOORS[-1])
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def room_of(module: str) -> str:
    """``vidrec.stores.base`` → ``stores``; the package itself has no room."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def imports(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "vidrec":
                yield from ((node.lineno, f"vidrec.{alias.name}") for alias in node.names)
            yield node.lineno, node.module


def wrong_doors(root: Path, floor: dict[str, int]) -> list[str]:
    found = []
    for path in sorted(root.rglob("*.py")):
        here = path.relative_to(root).parts[0].removesuffix(".py")
        if here == "__init__":
            continue
        for line, module in imports(path):
            there = room_of(module) if module.split(".")[0] == "vidrec" else ""
            if there not in floor or there == here:
                continue
            together = any(here in rooms and there in rooms for rooms in ONE_ROOM)
            if floor[there] >= floor[here] and not together:
                found.append(f"{path.relative_to(root)}:{line}: {here} opens {there}")
    return found


def test_doors_open_downwards_only() -> None:
    assert wrong_doors(PACKAGE, FLOOR) == []


def test_every_room_has_a_floor() -> None:
    rooms = {
        path.name.removesuffix(".py")
        for path in PACKAGE.iterdir()
        if path.is_dir() or path.suffix == ".py"
    }
    assert rooms - {"__init__", "__pycache__"} == set(FLOOR)


@pytest.mark.parametrize(
    "line",
    ["from vidrec.search.rank import x", "import vidrec.cli", "from vidrec import display"],
)
def test_an_upward_door_is_seen(tmp_path: Path, line: str) -> None:
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "probe.py").write_text(f"def f():\n    {line}\n", encoding="utf-8")
    assert len(wrong_doors(tmp_path, FLOOR)) == 1


def lines_of(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_files_stay_small() -> None:
    assert [str(path) for path in PACKAGE.rglob("*.py") if lines_of(path) > 400] == []


def test_a_newcomer_reads_three_files() -> None:
    trio = ("types.py", "search/recommend.py", "embedders/base.py")
    assert sum(lines_of(PACKAGE / name) for name in trio) < 500


def test_a_store_of_a_third_party_is_short() -> None:
    assert lines_of(Path(__file__).parent / "plain_store.py") <= 60
