from __future__ import annotations

from pathlib import Path

import pytest

from slmtui.sources.paths import PathError, Paths, ensure_folder


def test_slmtui_home_moves_everything(home: Path) -> None:
    paths = Paths.find()
    for folder in (paths.config, paths.data, paths.cache, paths.logs, paths.exports):
        assert home in folder.parents
    assert paths.store == paths.data / "slmtui.sqlite3"
    assert paths.config_file == paths.config / "config.toml"
    assert not home.exists(), "naming the folders must not make them"


def test_a_relative_home_and_a_tilde_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "me"))
    assert Paths.find({"SLMTUI_HOME": "here"}).data == tmp_path / "here" / "data"
    assert Paths.find({"SLMTUI_HOME": "~/there"}).data == tmp_path / "me" / "there" / "data"


@pytest.mark.parametrize("environ", [{}, {"SLMTUI_HOME": ""}, {"SLMTUI_HOME": " "}])
def test_without_it_the_platform_decides(environ: dict[str, str]) -> None:
    paths = Paths.find(environ)
    assert all("slmtui" in folder.parts for folder in (paths.config, paths.data, paths.cache, paths.logs))
    assert paths.data.is_absolute()


def test_ensure_makes_all_folders_and_may_be_repeated(home: Path) -> None:
    paths = Paths.find().ensure()
    assert paths.ensure() == paths
    assert sorted(folder.name for folder in home.iterdir()) == ["cache", "config", "data", "exports", "logs"]
    assert list(paths.data.iterdir()) == [], "trying to write must leave nothing"


def test_an_unknown_user_is_named() -> None:
    with pytest.raises(PathError, match=r"~nobody-of-that-name/x, and that user has no home folder.*SLMTUI_HOME"):
        Paths.find({"SLMTUI_HOME": "~nobody-of-that-name/x"})


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("in the way")
    with pytest.raises(PathError, match=r"plain: a file of that name is in the way; set SLMTUI_HOME"):
        ensure_folder(tmp_path / "plain")
    with pytest.raises(PathError, match=r"can't make the folder .*below: Not a directory; set SLMTUI_HOME"):
        ensure_folder(tmp_path / "plain" / "below")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs a folder that nobody can write to")
def test_a_folder_that_can_not_be_written_is_named() -> None:
    with pytest.raises(PathError, match=r"can't write in the folder /proc/self/fdinfo: .*; set SLMTUI_HOME"):
        ensure_folder(Path("/proc/self/fdinfo"))
