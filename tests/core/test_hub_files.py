from __future__ import annotations

import pytest

from slmtui.core.hub_files import (
    ChoiceError,
    HubDataError,
    HubFile,
    checked_commit,
    checked_file,
    checked_path,
    checked_repository,
    choose,
    file_choice,
    gguf_choices,
    mlx_choice,
)
from slmtui.core.reference import Reference, parse_reference

BLOB = "a" * 40


def files(*names: str) -> list[HubFile]:
    return [HubFile(path=name, size_bytes=100 + number, blob=BLOB) for number, name in enumerate(names)]


def chosen(names: list[str], wanted: str | None = None, preferred: tuple[str, ...] = ()) -> list[str]:
    return [file.path for file in choose(gguf_choices(files(*names)), wanted, preferred).files]


REPOSITORY = [
    "M-Q4_K_M.gguf",
    "M-Q8_0.gguf",
    "mmproj-M-F16.gguf",
    "M-mmproj-Q8_0.gguf",
    "imatrix-M.gguf",
    "mtp-M-Q4_K_M.gguf",
    "BF16/M-BF16-00002-of-00002.gguf",
    "BF16/M-BF16-00001-of-00002.gguf",
    "F32/M-F32-00001-of-00002.gguf",
    "README.md",
]


def test_one_variant_is_chosen_by_label_or_by_preference() -> None:
    assert chosen(REPOSITORY) == ["M-Q4_K_M.gguf"]
    assert chosen(REPOSITORY, preferred=("Q2_K", "Q8_0")) == ["M-Q8_0.gguf"]
    assert chosen(REPOSITORY, "q8-0") == ["M-Q8_0.gguf"]
    assert chosen(REPOSITORY, "bf16") == ["BF16/M-BF16-00001-of-00002.gguf", "BF16/M-BF16-00002-of-00002.gguf"]
    assert chosen(["only.gguf"]) == ["only.gguf"]
    assert chosen(["M-Q8_0-00001-of-00001.gguf"]) == ["M-Q8_0-00001-of-00001.gguf"]
    assert chosen(["Q8_0/M-00001-of-00002.gguf", "Q8_0/M-00002-of-00002.gguf", "M-Q8_0.gguf"]) == ["M-Q8_0.gguf"]


@pytest.mark.parametrize(
    ("names", "wanted", "words"),
    [
        (REPOSITORY, "Q2_K", r"it has no Q2_K; it has Q4_K_M, Q8_0, BF16"),
        (REPOSITORY, "F32", r"it has no F32"),  # a part is missing
        (["a-Q4_0.gguf", "b-Q4_0.gguf"], None, r"Q4_0 could be any of a-Q4_0\.gguf, b-Q4_0\.gguf; name the file"),
        (["a.gguf", "b.gguf"], None, r"the model could be any of a\.gguf, b\.gguf; name the file"),
        (["a.gguf"], "Q4_0", r"it has no Q4_0; it has files without a label; name the file"),
        (["mmproj.gguf", "README.md"], None, r"it holds no GGUF language model"),
    ],
)
def test_what_can_not_be_chosen_is_not_guessed(names: list[str], wanted: str | None, words: str) -> None:
    with pytest.raises(ChoiceError, match=words):
        chosen(names, wanted)


def test_a_file_can_be_named() -> None:
    choices = gguf_choices(files(*REPOSITORY))
    assert len(file_choice(choices, "BF16/M-BF16-00002-of-00002.gguf").files) == 2
    with pytest.raises(ChoiceError, match=r"no model file mmproj-M-F16\.gguf"):
        file_choice(choices, "mmproj-M-F16.gguf")


def test_an_mlx_model_is_taken_without_its_code() -> None:
    names = [
        "config.json",
        "model-00001-of-00002.safetensors",
        "a.py",
        "tokenizer.model",
        "x/model.safetensors",
        "i.png",
    ]
    choice = mlx_choice(files(*names), "4bit")
    assert [file.path for file in choice.files] == [
        "config.json",
        "model-00001-of-00002.safetensors",
        "tokenizer.model",
    ]
    with pytest.raises(ChoiceError, match=r"no model in MLX's format"):
        mlx_choice(files("config.json", "pytorch_model.bin"), None)


HOSTILE = [
    "../../evil.gguf",
    "a/../../evil.gguf",
    "/etc/evil.gguf",
    "~/evil.gguf",
    "C:/evil.gguf",
    "..\\..\\evil.gguf",
    "a//b.gguf",
    "./a.gguf",
    "a/./b.gguf",
    "",
    ".",
    "..",
    "nul\0.gguf",
    "line\nbreak.gguf",
    "\x1b[2Jevil.gguf",
    "evil\u202egguf.exe",
    "lone\udcff.gguf",
    "trailing.gguf ",
    "trailing./x.gguf",
    "a/CON.gguf",
    "nul",
    "stream.gguf:x",
    "x" * 300 + ".gguf",
    "/".join(["deep"] * 200),
    "ü" * 150,
]


@pytest.mark.parametrize("path", HOSTILE)
def test_a_name_that_could_leave_the_cache_is_refused(path: str) -> None:
    with pytest.raises(HubDataError, match=r"the hub lists a file named") as raised:
        checked_path(path)
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 250


@pytest.mark.parametrize(
    "path", ["a.gguf", "Q8_0/größe 5B (new) [x].gguf", ".gitattributes", "a..b/c...d.gguf", "模型.gguf"]
)
def test_real_names_are_allowed(path: str) -> None:
    assert checked_path(path) == path


def test_hashes_sizes_commits_and_names_are_held_against_what_they_must_be() -> None:
    good = {"path": "a.gguf", "size_bytes": 3, "sha256": "b" * 64, "blob": BLOB}
    assert checked_file(**good).key == "b" * 64
    assert checked_file(**{**good, "sha256": None}).key == BLOB
    for wrong in (
        {"sha256": "../" * 20 + "aaaa"},
        {"sha256": "B" * 64},
        {"sha256": 7},
        {"blob": "../../x"},
        {"blob": None},
        {"size_bytes": -1},
        {"size_bytes": None},
        {"size_bytes": "3"},
        {"size_bytes": 1 << 60},
        {"path": None},
    ):
        with pytest.raises(HubDataError):
            checked_file(**{**good, **wrong})
    assert checked_commit(BLOB) == BLOB
    for commit in ("main", "../" * 10, "A" * 40, None, 7):
        with pytest.raises(HubDataError):
            checked_commit(commit)
    assert checked_repository("Qwen/Qwen2.5-0.5B-Instruct-GGUF")
    for name in ("x", "a/b/c", "../b", "a/..", "a/b--c", "a/.b", "a/b.git", "a/b ", "a/" + "b" * 100, "a\n/b", "a/b\n"):
        with pytest.raises(HubDataError):
            checked_repository(name)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("owner/name", Reference(repository="owner/name")),
        (" owner/name:q4_k_m ", Reference(repository="owner/name", label="q4_k_m")),
        ("owner/name@v1.0:Q8_0", Reference(repository="owner/name", revision="v1.0", label="Q8_0")),
        ("owner/name/sub/file.gguf", Reference(repository="owner/name", file="sub/file.gguf")),
        ("hf.co/owner/name:Q8_0", Reference(repository="owner/name", label="Q8_0")),
        ("hf://owner/name", Reference(repository="owner/name")),
        ("https://huggingface.co/owner/name/", Reference(repository="owner/name")),
        ("https://huggingface.co/owner/name/tree/main", Reference(repository="owner/name", revision="main")),
        (
            "https://hub.example/owner/name/resolve/abc/a%20b.gguf?download=true",
            Reference(repository="owner/name", revision="abc", file="a b.gguf"),
        ),
        ("pocket-5m", None),
        ("owner/name:", None),
        ("../name", None),
        ("/home/me/model.gguf", None),
        ("", None),
    ],
)
def test_references_are_read_as_people_write_them(text: str, found: Reference | None) -> None:
    assert parse_reference(text) == found
