"""`tools/check_catalog.py` against a hub on loopback."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub import LoopbackHub, Repository

ROOT = Path(__file__).resolve().parents[2]
CATALOG = """
[[model]]
id = "{id}"
name = "Tiny"
family = "Tiny"
developer = "Somebody"
base = "somebody/Tiny"
gated = true
repositories = [{{ id = "somebody/Tiny-GGUF" }}, {{ id = "mlx-community/Tiny-4bit", format = "MLX" }}]
variants = [
  {{ quantization = "Q8_0", file = "tiny-Q8_0.gguf", size_bytes = {exact}, sha256 = "{sha256}" }},
  {{ quantization = "Q4_K_M", file = "{file}", about_bytes = {about} }},
  {{ quantization = "4bit", format = "MLX", about_bytes = 300 }},
]
"""


@pytest.fixture
def hub() -> Iterator[LoopbackHub]:
    with LoopbackHub() as opened:
        opened.add(Repository("somebody/Tiny", gated=True)).add("config.json", b"{}")
        files = opened.add(Repository("somebody/Tiny-GGUF"))
        files.add("tiny-Q8_0.gguf", b"8" * 800)
        files.add("tiny-Q4_K_M.gguf", b"4" * 410)
        opened.add(Repository("mlx-community/Tiny-4bit")).add("model.safetensors", b"m" * 301)
        yield opened


def catalog(folder: Path, hub: LoopbackHub, **changes: object) -> Path:
    sha256 = hub.repositories["somebody/Tiny-GGUF"].files["tiny-Q8_0.gguf"].sha256
    values = {"id": "tiny", "exact": 800, "sha256": sha256, "file": "tiny-Q4_K_M.gguf", "about": 400, **changes}
    path = folder / "catalog.toml"
    path.write_text(CATALOG.format(**values))
    return path


def check(path: Path, environment: dict[str, str], *models: str) -> tuple[int, list[str], str]:
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "check_catalog.py", "--catalog", path, *models],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout.splitlines(), done.stderr


def test_what_is_as_the_catalog_says_is_no_finding(hub: LoopbackHub, tmp_path: Path) -> None:
    code, findings, told = check(catalog(tmp_path, hub), hub.environment(tmp_path / "hub"))
    assert (code, findings) == (0, []), told
    assert "1 models, 3 repositories" in told
    assert not hub.downloads(), "nothing is downloaded"


def test_everything_that_differs_is_named_with_its_entry(hub: LoopbackHub, tmp_path: Path) -> None:
    path = catalog(tmp_path, hub, exact=801, sha256="0" * 64, file="tiny-Q4.gguf", about=500)
    hub.repositories["somebody/Tiny"].gated = False
    del hub.repositories["mlx-community/Tiny-4bit"]
    code, findings, _ = check(path, hub.environment(tmp_path / "hub"), "tiny")
    assert code == 1
    assert all(finding.startswith("tiny: ") for finding in findings)
    report = "\n".join(findings)
    for words in (
        "size_bytes is 800, not 801",
        "sha256 is ",
        "there is no tiny-Q4.gguf",
        "mlx-community/Tiny-4bit",
        "gated is True, and somebody/Tiny is not gated",
    ):
        assert words in report
    assert len(findings) == 5


def test_a_rounded_size_may_be_off_by_its_rounding_only(hub: LoopbackHub, tmp_path: Path) -> None:
    code, findings, _ = check(catalog(tmp_path, hub, about=380), hub.environment(tmp_path / "hub"))
    assert code == 1
    assert findings == ["tiny: Q4_K_M in somebody/Tiny-GGUF: about_bytes is 380 B, and the hub has 410 bytes"]


def test_what_can_not_be_checked_is_not_called_right(hub: LoopbackHub, tmp_path: Path) -> None:
    path = catalog(tmp_path, hub)
    environment = hub.environment(tmp_path / "hub")
    code, findings, told = check(path, {**environment, "HF_HUB_OFFLINE": "1"})
    assert code == 2
    assert findings
    assert "0 findings, 3 not checked" in told
    code, findings, told = check(path, environment, "nobody")
    assert (code, findings) == (2, [])
    assert "the catalog has no nobody" in told
    path.write_text("[[model]]\nid = 'x'\n")
    code, findings, told = check(path, environment)
    assert (code, findings) == (1, [])
    assert "model 1 (x)" in told
