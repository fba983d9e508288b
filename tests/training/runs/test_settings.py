"""Settings by file and by name: typed, nested, and never silently ignored."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from diamond_engine.errors import UsageError
from training.components.optimisation import OptimiserConfig
from training.runs.settings import check_counts, configured


@dataclass(frozen=True)
class Part:
    """Some settings."""

    batch_size: int = 32
    """A count."""
    warmup: int = 0
    """May be zero."""
    levels: tuple[int, ...] = (1, 2)
    """Several."""
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    """Further inside."""


@dataclass(frozen=True)
class Whole:
    """All settings."""

    denoiser: Part = field(default_factory=Part)
    """Inside."""
    epochs: int = 50
    """Outside."""


def test_the_command_line_comes_after_the_file(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("epochs: 3\ndenoiser:\n  batch_size: 4\n  optimiser: {learning_rate: 1e-2}\n")
    config = configured(Whole(), file, ["denoiser.batch_size=8", "denoiser.levels=[3,4,5]"])
    assert config.epochs == 3
    assert config.denoiser.batch_size == 8
    assert config.denoiser.levels == (3, 4, 5)
    assert config.denoiser.optimiser == OptimiserConfig(learning_rate=1e-2)
    assert isinstance(config.denoiser, Part)


def test_without_changes_nothing_changes() -> None:
    assert configured(Whole(), None, []) == Whole()


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("denoser.batch_size=8", "unknown setting 'denoser.batch_size': did you mean denoiser.batch_size?"),
        ("epoch=8", "did you mean epochs?"),
        ("denoiser.optimiser.lr=8", "did you mean denoiser.optimiser"),
        ("denoiser.batch_size=many", "denoiser.batch_size: Value 'many'"),
        ("denoiser.batch_size=2.5", "denoiser.batch_size: Value '2.5'"),
        ("denoiser=8", "denoiser is a group of settings: name one, such as denoiser.batch_size"),
        ("epochs", "--set takes path=value"),
        ("epochs=[", "--set epochs=["),
    ],
)
def test_what_makes_no_sense_is_named(assignment: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        configured(Whole(), None, [assignment])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [("epoch: 3", "did you mean epochs?"), ("- 3", "must hold"), ("a: [", "not YAML"), ("[" * 5000, "not YAML")],
)
def test_files_are_checked_too(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(text)
    with pytest.raises(UsageError, match=message):
        configured(Whole(), file, [])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*nowhere\.yaml: No such file"):
        configured(Whole(), tmp_path / "nowhere.yaml", [])


def test_counts_are_positive_unless_they_may_be_zero() -> None:
    may_be_zero = {"denoiser.warmup", "denoiser.optimiser.warmup_steps", "denoiser.optimiser.decay_steps"}
    check_counts(Whole(), may_be_zero)
    with pytest.raises(UsageError, match=r"denoiser\.batch_size must be more than 0, not 0"):
        check_counts(Whole(Part(batch_size=0)), may_be_zero)
    with pytest.raises(UsageError, match=r"denoiser\.warmup must be at least 0, not -1"):
        check_counts(Whole(Part(warmup=-1)), may_be_zero)
