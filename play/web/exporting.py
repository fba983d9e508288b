"""The command ``diamond-play export``: from options to a site."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rich.console import Console

from diamond_engine.errors import DiamondError, UsageError
from play.options import Options, Outputs, check
from play.stage import LoadedWorld
from play.web.export import Site, check_exporter, export
from play.web.runtime import runtime_files

WORLD = "world.json"


def export_world(options: Options, folder: Path, runtime: Path | None, console: Console) -> None:
    """Writes the site of a world into a folder that is new, empty, or already holds a site.

    Raises ``DiamondError`` or ``UsageError`` if it cannot be exported; then no site is left that could be opened.
    """
    check(options, Outputs())
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out {folder} is a file: give a folder")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / WORLD).is_file():
        raise DiamondError(f"{folder} holds other files than an exported site: give a new folder")

    def tell(line: str) -> None:
        console.print(line, highlight=False, soft_wrap=True, markup=False)

    check_exporter()
    files = runtime_files(runtime, tell)
    loaded = LoadedWorld.load(_on_the_cpu(options), tell)
    (folder / "index.html").unlink(missing_ok=True)
    site = Site(loaded.preset, _preset_name(options, loaded.header.preset), options.horizon, files)
    size = export(loaded.world, site, folder, tell)
    tell(f"wrote {folder}: {size / 1e6:.1f} MB. Try it: diamond-play serve --static {folder}")


def _on_the_cpu(options: Options) -> Options:
    return replace(options, device="cpu", dtype="float32", compile=False)


def _preset_name(options: Options, name: str) -> str:
    """The preset with the requested numbers of steps."""
    steps = [f"{count}" for count in (options.steps, options.upsampler_steps) if count is not None]
    return f"{name}, {' + '.join(steps)} steps" if steps else name
