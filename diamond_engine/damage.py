"""Reading files that may be damaged: library errors become one line, and sizes are checked before memory is allocated.

Imports only ``errors``.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import yaml
from numpy.typing import NDArray

from diamond_engine.errors import DiamondError

LARGEST_ARRAYS = 2**29
"""Most bytes of all arrays of an ``.npz``: 20 hours of recorded actions, or 3,600 start contexts of CS:GO."""
LARGEST_DATASET = 2**30
"""Most bytes of one data set of an HDF5 file: 87,000 frames of Atari, or 8,500 of CS:GO."""
LARGEST_TEXT = 2**18
"""Most characters of a YAML file: a ``world.yaml`` has 3,000 to 10,000."""
DEFLATION = 1100
"""Largest ratio of decompressed to zlib-compressed bytes (the format allows 1032), with room for headers."""
PLAIN_ZIP = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
READ_HEADER = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


@contextmanager
def reading(path: Path | str, problem: str) -> Generator[None]:
    """Context that turns any exception into a ``DiamondError`` of one line: ``path``, then ``problem``.

    Libraries raise almost any exception on damaged bytes, and different ones in different versions. A ``DiamondError``
    is passed on. Missing files, missing permissions and too little memory have lines of their own.
    """
    try:
        yield
    except DiamondError:
        raise
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise DiamondError(f"{path} cannot be read: {error.strerror}") from error
    except MemoryError as error:
        raise DiamondError(
            f"{path} needs more memory than there is (damaged, or too large for this machine)"
        ) from error
    except Exception as error:
        raise DiamondError(f"{path} {problem}") from error


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Reads all arrays of an ``.npz``, by name, without pickle.

    Raises what numpy and zipfile raise, and ``ValueError`` if a header's sizes do not match the bytes, or if all arrays
    together have more than ``LARGEST_ARRAYS`` bytes.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if sum(entry.file_size for entry in entries) > LARGEST_ARRAYS:
            raise ValueError("too large")
        for entry in entries:
            if entry.compress_type not in PLAIN_ZIP:
                raise ValueError("compressed in another way")
            with archive.open(entry) as file:
                shape, _, dtype = READ_HEADER[np.lib.format.read_magic(file)](file)
                if math.prod(shape) * dtype.itemsize != entry.file_size - file.tell():
                    raise ValueError("a header does not fit its bytes")
    with np.load(path, allow_pickle=False) as arrays:
        return {name: np.asarray(arrays[name]) for name in arrays.files}


def map_array(path: Path) -> NDArray[Any]:
    """The array of an ``.npy``, memory-mapped: reads stay inside the file.

    Raises what numpy raises, and ``ValueError`` for a file of another kind.
    """
    array: Any = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(array, np.ndarray):
        raise ValueError("not an array")
    return cast("NDArray[Any]", array)


def read_dataset(dataset: Any) -> NDArray[Any]:
    """Reads a whole HDF5 data set (h5py has no types).

    Raises what h5py and ``check_stored`` raise, and ``ValueError`` for more than ``LARGEST_DATASET`` bytes.
    """
    check_stored(dataset)
    if dataset.nbytes > LARGEST_DATASET:
        raise ValueError(f"it has {dataset.nbytes:,} bytes")
    return np.asarray(dataset)


def check_stored(dataset: Any) -> None:
    """Raises ``ValueError`` if an HDF5 data set is larger than its stored bytes can decompress to."""
    stored = min(dataset.id.get_storage_size(), dataset.file.id.get_filesize())
    chunk = math.prod(dataset.chunks or ()) * dataset.dtype.itemsize
    if max(dataset.nbytes, chunk) > DEFLATION * stored:
        raise ValueError(f"it has {dataset.nbytes:,} bytes, {stored:,} are stored")


class _WithoutAliases(yaml.SafeLoader):
    """YAML loader that refuses aliases: a few lines of them can expand to more than any memory."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """One node of the file."""
        if self.check_event(yaml.AliasEvent):  # pyright: ignore[reportUnknownMemberType]
            raise yaml.YAMLError("it has aliases (*name)")
        return super().compose_node(parent, index)


def read_yaml(path: Path) -> Any:
    """Reads a YAML file of at most ``LARGEST_TEXT`` bytes. Raises what yaml raises, and ``OSError``."""
    if path.stat().st_size > LARGEST_TEXT:
        raise ValueError(f"it is larger than {LARGEST_TEXT:,} bytes")
    return yaml.load(path.read_text(encoding="utf-8-sig"), _WithoutAliases)
