from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from slmtui.core.sampling import Sampling
from slmtui.sources.config import Config, ConfigError, change_config, load_config, save_config

EVERYTHING = Config(
    theme="größe",
    sampling=Sampling(temperature=0.25, top_k=1, seed=7, max_tokens=99),
    threads=3,
    context=2048,
    folders=("~/models", "/data/「小」", 'with "quotes" \\ and\nbreaks'),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config" / "config.toml"


def written(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_no_file_means_the_defaults(path: Path) -> None:
    assert load_config(path) == Config() == Config(theme="slmtui-dark", sampling=Sampling())


@pytest.mark.parametrize("config", [Config(), EVERYTHING, Config(sampling=Sampling(seed=0))])
def test_what_is_saved_is_read_again(path: Path, config: Config) -> None:
    save_config(config, path)
    assert load_config(path) == config
    assert list(path.parent.iterdir()) == [path]


def test_only_what_differs_is_written(path: Path) -> None:
    save_config(Config(sampling=Sampling(top_k=7)), path)
    settings = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    assert settings == ["[sampling]", "top_k = 7"]


def test_what_a_person_writes_is_read(path: Path) -> None:
    text = b'\xef\xbb\xbftheme = "x"\r\nfolders = ["~/m"]\r\n[sampling]\r\ntemperature = 1\r\n'
    assert load_config(written(path, text)) == Config(theme="x", folders=("~/m",), sampling=Sampling(temperature=1.0))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ('threads = "four"', r"threads: expected `int \| null`, got `str`; correct it"),
        ("threads = 0", r"threads: expected `int` >= 1; correct it"),
        ("context = true", r"context: expected `int \| null`, got `bool`"),
        ("folders = [1]", r"folders\[0\]: expected `str`, got `int`"),
        ('[sampling]\ntemperature = "hot"', r"sampling\.temperature: expected `float`, got `str`"),
        ("[sampling]\ntemperature = 7.5", r"sampling\.temperature is 7\.5; it must be from 0 to 5; correct it"),
        ("[sampling]\ntemperature = nan", r"sampling\.temperature is nan; it must be"),
        ("[sampling]\nseed = -1", r"sampling\.seed is -1"),
        ("[sampling]\ntemprature = 1", r"no setting sampling\.temprature; known here: temperature, top_k"),
        ("sampling = 1", r"sampling: expected `object`, got `int`"),
        ('colour = "red"', r"no setting colour; known here: theme, sampling"),
        ("theme = \n", r"is not TOML: .*line 1, column 9.*; correct that place"),
        ("theme = " + "[" * 20_000, r"is not TOML: .*; correct that place"),
        (b'theme = "\xff"', r"is not UTF-8 text \(byte 9\)"),
    ],
)
def test_errors_name_the_file_and_the_key(path: Path, content: str | bytes, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as caught:
        load_config(written(path, content))
    assert str(path) in str(caught.value)


def test_a_file_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"can't read .*: Is a directory; mend it"):
        load_config(tmp_path)


def test_a_file_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("a file in the way")
    with pytest.raises(ConfigError, match=r"can't write .*config\.toml: .*hold for this run only.*SLMTUI_HOME"):
        save_config(EVERYTHING, tmp_path / "config" / "config.toml")


def test_a_change_keeps_what_others_changed_and_a_file_that_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "config" / "config.toml"
    assert change_config(path, lambda config: msgspec.structs.replace(config, theme="one")).theme == "one"
    save_config(Config(theme="one", threads=3), path)
    assert change_config(path, lambda config: msgspec.structs.replace(config, theme="two")).threads == 3
    assert load_config(path) == Config(theme="two", threads=3)
    path.write_text("threads = 'many'")
    with pytest.raises(ConfigError, match="threads"):
        change_config(path, lambda config: msgspec.structs.replace(config, theme="three"))
    assert path.read_text() == "threads = 'many'"
