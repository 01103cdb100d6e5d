from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from zipfile import ZipFile

import pytest

import slmtui
from slmtui.sources import resources
from slmtui.sources.resources import ResourceError, catalog_file, pocket_folder, theme_files

ROOT = Path(__file__).parents[2]

ASK = """
import json
from slmtui.sources import resources
print(json.dumps({
    "package": resources.__file__,
    "themes": [str(path) for path in resources.theme_files()],
    "catalog": str(resources.catalog_file()),
    "pocket": sorted(str(path) for path in resources.pocket_folder().glob("*.gguf")),
}))
"""

FIND = """
from slmtui.sources.catalog import read_catalog
from slmtui.sources.library import find_model
print(find_model("pocket-5m", read_catalog()).path)
"""


def test_in_a_checkout() -> None:
    assert {path.parent for path in theme_files()} == {ROOT / "themes"}
    assert catalog_file() == ROOT / "model_catalog.toml"
    assert len(list(pocket_folder().glob("*.gguf"))) >= 3


def test_all_bundled_models_together_stay_small() -> None:
    assert sum(path.stat().st_size for path in pocket_folder().glob("*.gguf")) < 25_000_000


def test_a_damaged_installation_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "_INSTALLED", tmp_path)
    with pytest.raises(ResourceError, match=r"no theme in .*themes: .* install slmtui again"):
        theme_files()
    with pytest.raises(ResourceError, match=r"model_catalog\.toml is missing: .* install slmtui again"):
        catalog_file()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the built wheel was installed, without its dependencies."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT))
    (wheel,) = folder.glob("slmtui-*.whl")
    assert wheel.name.startswith(f"slmtui-{slmtui.__version__}-py3-none-"), "it is for every Python"
    steps = any(name.endswith("steps.so") for name in ZipFile(wheel).namelist())
    assert wheel.name.endswith("-any.whl") is not steps, "what is compiled is for one kind of system"
    target = folder / "site"
    # uv makes environments without pip.
    pip = [sys.executable, "-m", "pip"] if importlib.util.find_spec("pip") else [shutil.which("uv") or "uv", "pip"]
    run(*pip, "install", "--no-deps", "--no-index", "--quiet", "--target", str(target), str(wheel))
    return target


def test_in_an_installed_wheel(installed: Path) -> None:
    found = json.loads(run(sys.executable, "-S", "-c", ASK, path=[installed], cwd=installed.parent))
    inside = str(installed / "slmtui")
    assert found["package"].startswith(inside)
    assert [Path(path).name for path in found["themes"]] == [path.name for path in theme_files()]
    assert [Path(path).name for path in found["pocket"]] == sorted(p.name for p in pocket_folder().glob("*.gguf"))
    assert found["catalog"] == str(Path(inside) / "data" / "model_catalog.toml")
    assert Path(found["catalog"]).read_bytes() == (ROOT / "model_catalog.toml").read_bytes()
    for path in [*found["themes"], *found["pocket"]]:
        assert path.startswith(inside)


def test_a_model_of_an_installed_wheel_is_found(installed: Path) -> None:
    # The dependencies' folder is named too, but -S leaves out the .pth files that lead back to the checkout.
    libraries = Path(sysconfig.get_path("purelib"))
    path = run(sys.executable, "-S", "-c", FIND, path=[installed, libraries], cwd=installed.parent).strip()
    assert path == str(installed / "slmtui" / "pocket" / "pocket-5m-Q8_0.gguf")


def run(*command: str, path: list[Path] | None = None, cwd: Path = ROOT) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path or []))}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout
