"""A time in which files are taken to stay as they are: what is found out once in it, and by whom."""

from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

import lic_exp
from lic_exp.config.compose import compose
from lic_exp.config.errors import ConfigError
from lic_exp.config.overrides import parse
from lic_exp.config.signing import data_source, signature
from lic_exp.config.validation import validate
from lic_exp.data import preflight, sources
from lic_exp.data.unchanged import files_unchanged, remembered


@pytest.fixture
def calls() -> list[int]:
    return []


def ask(calls: list[int], key: str = "key") -> int:
    return remembered(key, lambda: calls.append(1) or len(calls))


def test_a_thing_is_found_out_once_within_and_each_time_without(calls: list[int]) -> None:
    assert [ask(calls), ask(calls)] == [1, 2]
    with files_unchanged():
        assert [ask(calls), ask(calls), ask(calls, "other"), ask(calls)] == [3, 3, 4, 3]
    assert ask(calls) == 5
    with files_unchanged():
        assert ask(calls) == 6


def test_one_within_another_is_part_of_it(calls: list[int]) -> None:
    with files_unchanged():
        assert ask(calls) == 1
        with files_unchanged():
            assert ask(calls) == 1
            assert ask(calls, "inner") == 2
        assert ask(calls, "inner") == 2


def test_nothing_is_found_out_twice_though_it_is_none(calls: list[int]) -> None:
    with files_unchanged():
        for _ in range(2):
            assert remembered("none", lambda: calls.append(1)) is None
    assert calls == [1]


def test_an_error_is_not_remembered(calls: list[int]) -> None:
    with files_unchanged():
        for _ in range(2):
            with pytest.raises(ValueError, match="invalid literal"):
                remembered("wrong", lambda: int("x"))
        assert remembered("wrong", lambda: 3) == 3


def test_an_error_ends_it(calls: list[int]) -> None:
    def fail() -> None:
        with files_unchanged():
            ask(calls, str(ask(calls) // 0))

    with pytest.raises(ZeroDivisionError):
        fail()
    assert ask(calls) == 2


def test_each_call_of_a_decorated_function_is_such_a_time(calls: list[int]) -> None:
    @files_unchanged()
    def twice() -> list[int]:
        return [ask(calls), ask(calls)]

    assert [twice(), twice()] == [[1, 1], [2, 2]]


# Who uses it


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the folders that data sources have listed since."""
    seen, find = [], sources.list_images
    monkeypatch.setattr(
        sources, "list_images", lambda place, *rest: seen.append(Path(place).name) or find(place, *rest)
    )
    return seen


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    for name in ("a", "b", "v"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (64, 64), (ord(name), 0, 0)).save(tmp_path / name / "x.png")
    return tmp_path


def config(folders: Path, *overrides: str, train: str = "a") -> dict:
    data = ("data=folder", f"data.train=[{folders}/{train}]", f"data.val=[{folders}/v]", "data.crop_size=64")
    return validate(compose(parse([*data, "model=factorized_tiny", "tracker=none", *overrides])))


def test_cells_of_the_same_data_list_its_folders_once(folders: Path, listed: list[str]) -> None:
    cells = [config(folders, f"seed={seed}", f"data.num_workers={seed}") for seed in range(3)]
    alone = [signature(cell) for cell in cells]
    assert Counter(listed) == {"a": 3, "v": 3}
    listed.clear()
    with files_unchanged():
        assert [signature(cell) for cell in cells] == alone
        assert data_source(cells[0].data) is data_source(cells[1].data)
        assert Counter(listed) == {"a": 1, "v": 1}
        assert signature(config(folders, train="b")) != alone[0]
        assert Counter(listed) == {"a": 1, "b": 1, "v": 2}


def test_without_it_a_change_is_seen_at_once(folders: Path) -> None:
    cell = config(folders)
    before = signature(cell)
    Image.new("RGB", (64, 64), (9, 9, 9)).save(folders / "a" / "y.png")
    assert signature(cell) != before
    assert data_source(cell.data) is not data_source(cell.data)


def test_an_empty_folder_is_an_error_in_each_cell(folders: Path) -> None:
    (folders / "a" / "x.png").unlink()
    with files_unchanged():
        for seed in range(2):
            with pytest.raises(ConfigError, match=r"data: .* holds no image"):
                signature(config(folders, f"seed={seed}"))


def test_a_run_looks_at_each_image_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its stages have the same images with other crops, and validation has them too."""
    seen, look = [], preflight.look
    monkeypatch.setattr(preflight, "look", lambda images, *rest: seen.extend(map(str, images)) or look(images, *rest))
    monkeypatch.chdir(tmp_path)
    stages = "stages=[{steps: 1, data: {batch_size: 2}}, {steps: 1, data: {crop_size: 128, batch_size: 1}}]"
    small = ("data.crop_size=64", "data.train_images=3", "data.val_images=2", "data.num_workers=0")
    run = lic_exp.run(
        [
            "model=factorized_tiny",
            "data=synthetic",
            *small,
            "trainer.max_steps=null",
            stages,
            "tracker=none",
            "evaluation.enabled=false",
            "trainer.device=cpu",
            "trainer.threads=1",
        ]
    )
    assert run.state == "done"
    assert sorted(seen) == sorted(f"synthetic image {name}" for name in ("0000", "0001", "0002", "0000", "0001"))
