from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import msgspec
import pytest

from slmtui.core.catalog import ModelCard, Variant
from slmtui.sources.catalog import read_catalog
from slmtui.sources.gguf import read_header
from slmtui.sources.hashes import file_sha256
from slmtui.sources.library import UnknownModelError, find_model, local_models
from slmtui.sources.library_facts import gguf_facts
from slmtui.sources.resources import pocket_folder
from tests import families

CARDS = read_catalog()
ELSEWHERE = ModelCard(
    id="tiny-1b",
    name="Tiny 1B",
    family="Tiny",
    developer="Somebody",
    variants=(Variant(quantization="Q8_0", file="tiny.gguf"),),
)


def gguf(path: Path, size: int = 4) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"GGUF".ljust(size, b"\0"))
    return path


def test_bundled_models_are_those_whose_file_is_there() -> None:
    here = local_models(CARDS)
    assert {"pocket-5m:Q8_0", "pocket-5m:Q4_K_M", "pocket-5m:F16"} <= {model.id for model in here}
    for model in here:
        assert model.path.is_file()
        assert model.size_bytes == model.path.stat().st_size
        assert model.demo
    lost = ModelCard(id="lost", name="Lost", family="F", developer="D", bundled=True, variants=ELSEWHERE.variants)
    assert local_models([lost, ELSEWHERE]) == ()


def test_folders_are_searched_in_depth_and_each_file_is_listed_once(tmp_path: Path) -> None:
    first = gguf(tmp_path / "models" / "a.gguf")
    second = gguf(tmp_path / "models" / "hub" / "deep" / "B.GGUF", 100)
    gguf(tmp_path / "models" / "notes.txt")
    gguf(tmp_path / "models" / "half.gguf.part")
    gguf(tmp_path / "models" / "mmproj-a.gguf")
    (tmp_path / "models" / "folder.gguf").mkdir()
    (tmp_path / "models" / "loop").symlink_to(tmp_path / "models", target_is_directory=True)
    (tmp_path / "models" / "same.gguf").symlink_to(first)
    (tmp_path / "models" / "broken.gguf").symlink_to(tmp_path / "nowhere")
    found = local_models([], [tmp_path / "models", tmp_path / "models" / "hub", tmp_path / "missing"])
    assert [(model.path, model.size_bytes) for model in found] == [(first, 4), (second, 100)]
    assert (found[0].id, found[0].name, found[0].card) == (str(first), "a", None)


def test_a_split_model_is_one_with_the_size_of_all_parts(tmp_path: Path) -> None:
    for number, size in ((1, 10), (2, 20), (3, 30)):
        gguf(tmp_path / f"big-{number:05d}-of-00003.gguf", size)
    (model,) = local_models([], [tmp_path])
    assert (model.path.name, model.size_bytes) == ("big-00001-of-00003.gguf", 60)


def test_heads_of_layers_that_have_attention_are_those_of_the_model(tmp_path: Path) -> None:
    facts = gguf_facts(read_header(families.model("lfm2-350m", vocabulary=512).write(tmp_path / "hybrid.gguf")))
    assert (facts.heads, facts.kv_heads) == (16, 8)


def test_a_header_with_more_layers_than_fit_into_memory_has_its_heads_told() -> None:
    header = read_header(pocket_folder() / "pocket-2m-Q8_0.gguf")
    told = {"llama.block_count": 2**63, "llama.attention.head_count": 8, "llama.attention.head_count_kv": 2}
    facts = gguf_facts(msgspec.structs.replace(header, metadata={**header.metadata, **told}))
    assert (facts.heads, facts.kv_heads) == (8, 2)


def test_the_search_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path.joinpath(*["d"] * 9)
    gguf(deep / "too-deep.gguf")
    gguf(deep.parent / "deep.gguf")
    assert [model.name for model in local_models([], [tmp_path])] == ["deep"]
    monkeypatch.setattr("slmtui.sources.library._ENTRY_LIMIT", 8)
    assert local_models([], [tmp_path]) == ()


@pytest.mark.skipif(os.name != "posix" or os.uname().sysname != "Linux", reason="needs names that are not UTF-8")
def test_a_name_that_is_not_utf8_is_left_out_and_refused(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.gguf")
    gguf(path)
    assert local_models([], [tmp_path]) == ()
    with pytest.raises(UnknownModelError, match=r"is not valid UTF-8.*rename the file"):
        find_model(str(path), CARDS)


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ("pocket-5m", "pocket-5m:Q8_0"),
        ("Pocket-5M", "pocket-5m:Q8_0"),
        (" pocket-5m:q4_k_m ", "pocket-5m:Q4_K_M"),
        ("pocket-5m:F16", "pocket-5m:F16"),
        ("pocket-5m:", "pocket-5m:Q8_0"),
    ],
)
def test_find_by_id(spec: str, found: str) -> None:
    model = find_model(spec, CARDS)
    assert model.id == found
    assert model in local_models(CARDS)


def test_find_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = gguf(tmp_path / "sub" / "größe \x1b[31mrot.gguf", 9)
    monkeypatch.chdir(tmp_path / "sub")
    monkeypatch.setenv("HOME", str(tmp_path))
    for spec in (str(path), path.name, f"./{path.name}", f"~/sub/{path.name}"):
        model = find_model(spec, CARDS)
        assert model.path.samefile(path)
        assert (model.name, model.size_bytes, model.card) == ("größe rot", 9, None)
        assert model.path.is_absolute()
    plain = gguf(tmp_path / "sub" / "no-suffix")
    assert find_model("no-suffix", CARDS).path == plain


def test_a_bundled_file_named_by_its_path_is_still_a_demo() -> None:
    model = find_model(str(pocket_folder() / "pocket-5m-Q8_0.gguf"), CARDS)
    assert model.id == "pocket-5m:Q8_0"
    assert model.demo


def test_find_by_name_in_the_folders(tmp_path: Path) -> None:
    path = gguf(tmp_path / "one" / "Tiny-Q8_0.gguf")
    assert find_model("tiny-q8_0", CARDS, [tmp_path]).path == path
    assert find_model("tiny-q8_0.gguf", CARDS, [tmp_path]).path == path
    gguf(tmp_path / "two" / "tiny-q8_0.gguf", 5)
    with pytest.raises(UnknownModelError, match=r"could be any of .*one.*two.*; give the one"):
        find_model("tiny-q8_0", CARDS, [tmp_path])


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ("", r"no model was named; `slmtui models`"),
        ("pocket-5n", r"no model is called pocket-5n; did you mean pocket-5m"),
        ("\x1b[2Jzzz", r"no model is called zzz; `slmtui models` lists"),
        ("pocket-5m:Q9", r"pocket-5m has no variant Q9; it has pocket-5m:Q4_K_M, pocket-5m:Q8_0, pocket-5m:F16"),
        (
            "tiny-1b",
            r"tiny-1b:Q8_0 is in the catalog, but not on this machine; `slmtui pull tiny-1b:Q8_0` downloads it",
        ),
        ("lost", r"the file of the bundled model lost:Q8_0 is missing \(.*tiny\.gguf\); install slmtui again"),
        ("empty", r"empty has no variant at all; it has none"),
        ("modle.gguf", r"there is no file .*modle\.gguf; did you mean model\.gguf\?"),
        ("nowhere/model.gguf", r"there is no file .*nowhere.model\.gguf; correct the path"),
        ("./folder", r"folder is a folder; name one of its files: a\.gguf"),
        ("void", r"void is a folder; it holds no model"),
        ("x" * 5000, r"no model is called x+…; `slmtui models`"),
        ("x" * 5000 + ".gguf", r"there is no file"),
        ("nul\0.gguf", r"there is no file .*nul\.gguf"),
    ],
)
def test_what_is_not_found_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str, complaint: str
) -> None:
    gguf(tmp_path / "model.gguf")
    gguf(tmp_path / "folder" / "a.gguf")
    (tmp_path / "void").mkdir()
    monkeypatch.chdir(tmp_path)
    lost = msgspec.structs.replace(ELSEWHERE, id="lost", bundled=True)
    empty = msgspec.structs.replace(ELSEWHERE, id="empty", variants=())
    with pytest.raises(UnknownModelError, match=complaint) as caught:
        find_model(spec, [*CARDS, ELSEWHERE, lost, empty])
    assert "\x1b" not in str(caught.value)


class TestHashes:
    def test_are_right_and_computed_once(self, tmp_path: Path) -> None:
        path, cache = gguf(tmp_path / "a.gguf", 3_000_000), tmp_path / "cache" / "sha256.json"
        digest = file_sha256(path, cache)
        assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
        remembered = json.loads(cache.read_text())
        remembered[str(path)]["value"] = "from the cache"
        cache.write_text(json.dumps(remembered))
        assert file_sha256(path, cache) == "from the cache"

    def test_a_changed_file_is_read_again(self, tmp_path: Path) -> None:
        path, cache = gguf(tmp_path / "a.gguf"), tmp_path / "sha256.json"
        old, status = file_sha256(path, cache), path.stat()
        path.write_bytes(b"LLAM")
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
        assert file_sha256(path, cache) == hashlib.sha256(b"LLAM").hexdigest() != old

    @pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"a": 1}', b"\xff\xfe", b'{"a": {"sha256": 3}}'])
    def test_a_damaged_cache_is_ignored_and_replaced(self, tmp_path: Path, content: bytes) -> None:
        path, cache = gguf(tmp_path / "a.gguf"), tmp_path / "sha256.json"
        cache.write_bytes(content)
        digest = file_sha256(path, cache)
        assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
        assert json.loads(cache.read_text())[str(path)]["value"] == digest

    def test_a_cache_that_can_not_be_written_is_done_without(self, tmp_path: Path) -> None:
        path = gguf(tmp_path / "a.gguf")
        assert file_sha256(path, path / "sha256.json") == hashlib.sha256(path.read_bytes()).hexdigest()

    def test_a_missing_file_is_the_callers_business(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            file_sha256(tmp_path / "nowhere", tmp_path / "sha256.json")
