from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from slmtui.core.catalog import LocalModel, ModelCard, Variant
from slmtui.core.catalog import Repository as Place
from slmtui.core.events import ModelFacts
from slmtui.core.hub_files import HubFile
from slmtui.sources.hub_folder import RepositoryFolder
from slmtui.sources.library import UnknownModelError, find_model, local_models
from slmtui.sources.library_facts import model_facts
from slmtui.sources.library_hub import files_of, hub_models, mlx_label
from slmtui.sources.library_others import Others, other_models
from slmtui.sources.resources import pocket_folder
from tests.sources.downloads import noise

POCKET = pocket_folder() / "pocket-2m-Q4_K_M.gguf"
COMMIT, LATER = "a" * 40, "b" * 40
NESTED = b"[" * 100_000 + b"]" * 100_000
DEEP = b'{"model_type": "llama", "nested": ' + NESTED + b"}"
TINY = ModelCard(
    id="tiny-1b",
    name="Tiny 1B",
    family="Tiny",
    developer="Somebody",
    repositories=(Place(id="official/Tiny-GGUF"), Place(id="mirror/tiny"), Place(id="o/Tiny-MLX", format="MLX")),
    variants=(
        Variant(quantization="Q4_K_M", repository="official/Tiny-GGUF", file="tiny-odd-name.gguf"),
        Variant(quantization="Q8_0", repository="official/Tiny-GGUF", file="tiny-q8_0.gguf"),
        Variant(quantization="bf16", format="MLX", repository="o/Tiny-MLX"),
    ),
)


def put(cache: Path, repository: str, path: str, content: bytes, commit: str = COMMIT) -> Path:
    """A file in the cache as any program puts it there."""
    folder = RepositoryFolder(cache, repository)
    file = HubFile(path=path, size_bytes=len(content), blob=f"{abs(hash((repository, path, content))):040x}"[:40])
    folder.blob(file).parent.mkdir(parents=True, exist_ok=True)
    folder.blob(file).write_bytes(content)
    return folder.publish(commit, file)


def test_models_in_the_cache_have_the_ids_of_their_cards(tmp_path: Path) -> None:
    put(tmp_path, "Official/Tiny-GGUF", "tiny-odd-name.gguf", b"GGUF1")
    q8 = put(tmp_path, "mirror/tiny", "Tiny-Q8_0.gguf", b"GGUF22")
    put(tmp_path, "mirror/tiny", "Tiny-Q4_K_M.gguf", b"GGUF333")
    put(tmp_path, "other/Model", "sub/Model-Q2_K.gguf", b"GGUF4444")
    put(tmp_path, "other/Unlabelled", "model.gguf", b"GGUF")
    put(tmp_path, "mirror/tiny", "mmproj-F16.gguf", b"GGUF")
    (tmp_path / "datasets--some--data" / "snapshots" / COMMIT).mkdir(parents=True)
    (tmp_path / "models--..--evil").mkdir()
    (tmp_path / "version.txt").write_text("1")
    models = {model.id: model for model in hub_models([TINY], tmp_path)}
    assert {id_: (model.size_bytes, model.repository) for id_, model in models.items()} == {
        "tiny-1b:Q4_K_M": (5, "Official/Tiny-GGUF"),
        "tiny-1b:Q8_0": (6, "mirror/tiny"),
        "mirror/tiny:Q4_K_M": (7, "mirror/tiny"),
        "other/Model:Q2_K": (8, "other/Model"),
        "other/Unlabelled/model.gguf": (4, "other/Unlabelled"),
    }
    assert models["tiny-1b:Q8_0"].path == q8
    assert models["tiny-1b:Q8_0"].name == "Tiny 1B Q8_0"
    assert models["tiny-1b:Q8_0"].card == TINY
    assert models["other/Model:Q2_K"].name == "Model:Q2_K"


def test_the_commit_at_which_the_branch_is_counts(tmp_path: Path) -> None:
    folder = RepositoryFolder(tmp_path, "o/m")
    old = put(tmp_path, "o/m", "m-Q8_0.gguf", b"GGUF-old")
    new = put(tmp_path, "o/m", "m-Q8_0.gguf", b"GGUF-newer", LATER)
    only_old = put(tmp_path, "o/m", "m-Q2_K.gguf", b"GGUF")
    for commit, path in ((COMMIT, old), (LATER, new)):
        folder.remember("main", commit)
        models = {model.id: model.path for model in hub_models([], tmp_path)}
        assert models == {"o/m:Q8_0": path, "o/m:Q2_K": only_old}


def test_what_is_not_whole_is_not_listed(tmp_path: Path) -> None:
    put(tmp_path, "o/m", "m-Q8_0-00001-of-00002.gguf", b"GGUF")
    assert hub_models([], tmp_path) == ()
    second = put(tmp_path, "o/m", "m-Q8_0-00002-of-00002.gguf", b"GGUF+")
    (model,) = hub_models([], tmp_path)
    assert (model.size_bytes, files_of(model)) == (9, (model.path, second))
    second.resolve().unlink()
    assert hub_models([], tmp_path) == ()
    assert hub_models([], tmp_path / "nowhere") == ()


def test_mlx_models_are_told_by_their_config(tmp_path: Path) -> None:
    four = {"quantization": {"bits": 4, "group_size": 64}, "model_type": "llama"}
    put(tmp_path, "some/Llama-quantized", "config.json", json.dumps(four).encode())
    put(tmp_path, "some/Llama-quantized", "model.safetensors", b"123")
    other = {"quantization": {"bits": 4, "group_size": 32, "mode": "mxfp4"}}
    put(tmp_path, "some/Other-quantized", "config.json", json.dumps(other).encode())
    put(tmp_path, "some/Other-quantized", "model.safetensors", b"123")
    put(tmp_path, "o/Tiny-MLX", "config.json", b'{"torch_dtype": "bfloat16", "time_step_limit": [0.0, Infinity]}')
    put(tmp_path, "o/Tiny-MLX", "model.safetensors", b"12345")
    put(tmp_path, "plain/Transformers", "config.json", b'{"torch_dtype": "bfloat16"}')
    put(tmp_path, "plain/Transformers", "model.safetensors", b"12345")
    put(tmp_path, "plain/AWQ", "config.json", b'{"quantization_config": {"quant_method": "awq", "bits": 4}}')
    put(tmp_path, "plain/AWQ", "model.safetensors", b"12345")
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    put(tmp_path, "mlx-community/Half-8bit", "config.json", b'{"quantization": {"bits": 8, "group_size": 64}}')
    put(tmp_path, "mlx-community/Half-8bit", "model.safetensors.index.json", json.dumps(index).encode())
    put(tmp_path, "mlx-community/Half-8bit", "model-1.safetensors", b"1")
    models = {model.id: model for model in hub_models([TINY], tmp_path)}
    assert set(models) == {"some/Llama-quantized:4bit", "some/Other-quantized:mxfp4", "tiny-1b:bf16"}
    model = models["some/Llama-quantized:4bit"]
    assert (model.format, model.path.name, model.size_bytes) == ("MLX", COMMIT, len(json.dumps(four)) + 3)
    assert len(files_of(model)) == 2
    assert model_facts(models["tiny-1b:bf16"], tmp_path / "facts.json") == ModelFacts(quantization="bf16")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"quantization": 3}', b'{"a": "\\ud800"}', b"\xff", DEEP])
def test_a_folder_with_a_damaged_config_is_no_mlx_model(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"12345")
    (tmp_path / "config.json").write_bytes(b'{"torch_dtype": "bfloat16"}')
    assert mlx_label(tmp_path) == "bf16"
    (tmp_path / "config.json").write_bytes(content)
    assert mlx_label(tmp_path) is None
    folder = LocalModel(id="m", name="m", path=tmp_path, size_bytes=1, format="MLX")
    assert model_facts(folder, tmp_path / "facts.json") in (None, ModelFacts())
    put(tmp_path / "hub", "mlx-community/Odd-4bit", "config.json", content)
    put(tmp_path / "hub", "mlx-community/Odd-4bit", "model.safetensors", b"1")
    assert hub_models([], tmp_path / "hub") == ()


@pytest.mark.parametrize(
    "content",
    [
        json.dumps({"weight_map": {"a": "x" * 300}}).encode(),
        json.dumps({"weight_map": {"a": "a\0b"}}).encode(),
        b'{"weight_map": {}, "metadata": ' + NESTED + b"}",
    ],
    ids=["long", "zero", "deep"],
)
def test_a_folder_with_a_damaged_index_is_no_mlx_model(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"12345")
    (tmp_path / "config.json").write_bytes(b'{"torch_dtype": "bfloat16"}')
    index = tmp_path / "model.safetensors.index.json"
    index.write_bytes(content)
    assert mlx_label(tmp_path) is None
    if sys.platform != "win32":
        index.unlink()
        os.mkfifo(index)  # opening it would wait for a writer
        assert mlx_label(tmp_path) is None


def others_in(home: Path) -> Others:
    return Others.find({"OLLAMA_MODELS": str(home / "ollama"), "LLAMA_CACHE": str(home / "llama.cpp")}, home)


def ollama(store: Path, name: str, content: Path, *, digest: str = "sha256:" + "c" * 64) -> None:
    """A model in Ollama's store."""
    layers = [
        {"mediaType": "application/vnd.ollama.image.template", "digest": "sha256:" + "d" * 64, "size": 3},
        {"mediaType": "application/vnd.ollama.image.model", "digest": digest, "size": content.stat().st_size},
    ]
    manifest = store / "manifests" / name
    manifest.parent.mkdir(parents=True, exist_ok=True)
    manifest.write_text(json.dumps({"schemaVersion": 2, "layers": layers}))
    blobs = store / "blobs"
    blobs.mkdir(exist_ok=True)
    shutil.copyfile(content, blobs / ("sha256-" + "c" * 64))
    (blobs / ("sha256-" + "d" * 64)).write_text("{{ }}")


def test_other_programs_models_are_listed_as_theirs(tmp_path: Path) -> None:
    ollama(tmp_path / "ollama", "registry.ollama.ai/library/tiny/1b", POCKET)
    (tmp_path / "llama.cpp").mkdir()
    shutil.copy(POCKET, tmp_path / "llama.cpp" / "ggml-org_tiny_tiny-Q4_K_M.gguf")
    studio = tmp_path / ".lmstudio" / "models" / "publisher" / "Tiny-GGUF"
    studio.mkdir(parents=True)
    shutil.copy(POCKET, studio / "Tiny-Q4_K_M.gguf")
    (studio / "mmproj-Tiny.gguf").write_bytes(b"GGUF")
    mlx = tmp_path / ".lmstudio" / "models" / "mlx-community" / "Tiny-4bit"
    mlx.mkdir(parents=True)
    (mlx / "config.json").write_text('{"quantization": {"bits": 4, "group_size": 64}}')
    (mlx / "model.safetensors").write_bytes(b"12")
    found = {model.id: (model.place, model.format, model.name) for model in other_models(others_in(tmp_path))}
    assert found == {
        "ollama/tiny:1b": ("Ollama", "GGUF", "tiny:1b"),
        str(tmp_path / "llama.cpp" / "ggml-org_tiny_tiny-Q4_K_M.gguf"): (
            "llama.cpp",
            "GGUF",
            "ggml-org_tiny_tiny-Q4_K_M",
        ),
        str(studio / "Tiny-Q4_K_M.gguf"): ("LM Studio", "GGUF", "Tiny-Q4_K_M"),
        str(mlx): ("LM Studio", "MLX", "Tiny-4bit"),
    }
    shared = other_models(others_in(tmp_path))
    assert find_model("ollama/tiny:1b", [], (), shared).path.name == "sha256-" + "c" * 64
    assert find_model("Ollama/Tiny:1B", [], (), shared).id == "ollama/tiny:1b"
    assert find_model("tiny-q4_k_m", [], (), shared).place == "LM Studio"


@pytest.mark.parametrize(
    ("manifest", "name"),
    [
        ("registry.ollama.ai/somebody/tiny/latest", "somebody/tiny:latest"),
        ("hf.co/owner/Tiny-GGUF/Q4_K_M", "hf.co/owner/Tiny-GGUF:Q4_K_M"),
    ],
)
def test_ollama_s_names_are_what_one_types(tmp_path: Path, manifest: str, name: str) -> None:
    ollama(tmp_path / "ollama", manifest, POCKET)
    assert [model.name for model in other_models(others_in(tmp_path))] == [name]


@pytest.mark.parametrize("digest", ["sha256:../../../secret", "sha256:", "md5:" + "c" * 64, "sha256-" + "c" * 64])
def test_a_manifest_that_leads_elsewhere_is_passed_over(tmp_path: Path, digest: str) -> None:
    ollama(tmp_path / "ollama", "registry.ollama.ai/library/tiny/1b", POCKET, digest=digest)
    (tmp_path / "secret").write_bytes(POCKET.read_bytes())
    assert other_models(others_in(tmp_path)) == ()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"layers": [{}]}', b'{"layers": 3}', b"\xff\xfe", DEEP])
def test_damaged_manifests_are_passed_over(tmp_path: Path, content: bytes) -> None:
    ollama(tmp_path / "ollama", "registry.ollama.ai/library/good/1b", POCKET)
    (tmp_path / "ollama" / "manifests" / "bad").write_bytes(content)
    assert [model.name for model in other_models(others_in(tmp_path))] == ["good:1b"]


def test_programs_that_are_not_here_have_nothing(tmp_path: Path) -> None:
    assert other_models(others_in(tmp_path)) == ()


def test_lm_studio_s_settings_and_pointer_move_its_folder(tmp_path: Path) -> None:
    (tmp_path / ".lmstudio-home-pointer").write_text(str(tmp_path / "moved"))
    (tmp_path / "moved").mkdir()
    (tmp_path / "moved" / "settings.json").write_text(json.dumps({"downloadsFolder": str(tmp_path / "big disk")}))
    found = others_in(tmp_path)
    assert found.lm_studio[:2] == (tmp_path / "big disk", tmp_path / "moved" / "models")


def test_a_file_that_is_in_several_places_is_listed_once(tmp_path: Path) -> None:
    path = put(tmp_path / "hub", "o/m", "m-Q8_0.gguf", noise(100))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "link.gguf").symlink_to(path)
    shared = hub_models([], tmp_path / "hub")
    assert [model.id for model in local_models([], [tmp_path / "mine"], shared)] == ["o/m:Q8_0"]
    assert find_model(str(path), [], (), shared).id == "o/m:Q8_0"
    with pytest.raises(UnknownModelError):
        find_model("o/m:Q4_K_M", [], (), shared)
