"""Sizes are known before memory is asked for, and whatever a library raises is one line."""

import io
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from diamond_engine import damage
from diamond_engine.damage import map_array, read_arrays, read_dataset, read_yaml, reading
from diamond_engine.errors import DiamondError, UsageError


@pytest.mark.parametrize("raised", [RuntimeError("storage size"), KeyError("frames"), RecursionError(), ValueError()])
def test_whatever_is_raised_becomes_one_line(raised: Exception) -> None:
    with pytest.raises(DiamondError, match=r"^file\.npz is damaged$"), reading("file.npz", "is damaged"):
        raise raised


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        (UsageError("as it was"), "as it was"),
        (FileNotFoundError(2, "No such file"), "file cannot be read: No such file"),
        (MemoryError(), "file needs more memory than there is"),
    ],
)
def test_what_is_no_damage_is_told_as_it_is(raised: Exception, message: str) -> None:
    with pytest.raises(DiamondError, match=message), reading("file", "is damaged"):
        raise raised


def archive(path: Path, header: dict[str, object], content: bytes, kind: int = zipfile.ZIP_DEFLATED) -> Path:
    """An ``.npz`` of one array that says anything of itself."""
    array = io.BytesIO()
    np.lib.format.write_array_header_1_0(array, header)
    with zipfile.ZipFile(path, "w", kind) as file:
        file.writestr("frames.npy", array.getvalue() + content)
    return path


def described(*shape: int) -> dict[str, object]:
    return {"descr": "|u1", "fortran_order": False, "shape": shape}


def test_an_array_that_says_the_truth_is_read(tmp_path: Path) -> None:
    found = read_arrays(archive(tmp_path / "a.npz", described(2, 3), bytes(range(6))))
    assert found["frames"].tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("shape", [(10**12,), (2, 4), (2**33, 2**33), (5,)])
def test_an_array_that_promises_other_sizes_is_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not fit its bytes"):
        read_arrays(archive(tmp_path / "a.npz", described(*shape), bytes(6)))


def test_an_archive_that_unfolds_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archive(tmp_path / "a.npz", described(50_000), bytes(50_000))
    assert path.stat().st_size < 1000
    assert len(read_arrays(path)["frames"]) == 50_000
    monkeypatch.setattr(damage, "LARGEST_ARRAYS", 40_000)
    with pytest.raises(ValueError, match="too large"):
        read_arrays(path)


def test_other_compressions_are_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.npz", described(6), bytes(6), zipfile.ZIP_BZIP2)
    with pytest.raises(ValueError, match="in another way"):
        read_arrays(path)


def test_a_mapped_array_is_no_larger_than_its_file(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.arange(100))
    assert map_array(path).sum() == 4950
    path.write_bytes(path.read_bytes().replace(b"(100,)", b"(999,)"))
    with pytest.raises(ValueError, match="mmap length"):
        map_array(path)
    path.write_bytes(archive(tmp_path / "a.npz", described(1), b"a").read_bytes())
    with pytest.raises(ValueError, match="not an array"):
        map_array(path)


def test_a_data_set_that_nothing_is_stored_of_is_not_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        good = file.create_dataset("good", data=np.zeros((500, 100), np.uint8), chunks=(1, 100), compression="gzip")
        assert read_dataset(good).shape == (500, 100)
        huge = file.create_dataset("huge", shape=(10**7, 10**5), dtype=np.uint8, chunks=(1, 10**5))
        with pytest.raises(ValueError, match="0 are stored"):
            read_dataset(huge)


def test_yaml_has_no_aliases_and_is_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("\ufeffa: [1, 2.5]\n", encoding="utf-8")
    assert read_yaml(path) == {"a": [1, 2.5]}
    monkeypatch.setattr(damage, "LARGEST_TEXT", 10)
    with pytest.raises(ValueError, match="larger than 10 bytes"):
        read_yaml(path)
    monkeypatch.undo()
    path.write_text("a: &a [1, 1]\nb: &b [*a, *a]\nc: [*b, *b]\n")
    with pytest.raises(Exception, match="it has aliases"):
        read_yaml(path)
