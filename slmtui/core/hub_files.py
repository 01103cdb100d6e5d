"""What a repository on the hub holds: which of its files make one variant, and which names are safe to write.

Nothing that a hub says is trusted: names, hashes and sizes are checked here before they become paths.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import msgspec

from slmtui.core.quantization import ORDER, label_in, matching
from slmtui.core.text import one_line, shorten

SHARD = re.compile(r"(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE)
"""The name of one part of a split model."""
_NO_MODEL = re.compile(
    r"(^|[/._-])(mmproj|imatrix|mtp|draft|lora|adapter|vocab|tokenizer|projector)([._-]|$)|hip-optimized", re.IGNORECASE
)
_MLX_FILES = re.compile(
    r"(?:[^/]+\.json|model[^/]*\.safetensors|tokenizer\.model|[^/]+\.tiktoken|[^/]+\.txt|[^/]+\.jsonl|[^/]+\.jinja)"
)
_HEX40, _HEX64 = re.compile(r"[0-9a-f]{40}"), re.compile(r"[0-9a-f]{64}")
_REPOSITORY = re.compile(r"(?=.{1,96}$)[A-Za-z0-9_][\w.-]*/[A-Za-z0-9_][\w.-]*", re.ASCII)
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
"""What Windows takes for a device."""
_MOST_BYTES = 1 << 50
_LONGEST_NAME_BYTES, _LONGEST_PATH_BYTES = 200, 600
"""Below what file systems allow, so that the cache's own folders have room in front."""


class HubDataError(ValueError):
    """What a hub says can't be used; the message says what it is."""


class ChoiceError(LookupError):
    """A repository does not hold what was asked for, or holds it more than once; the message says what to do."""


class HubFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a repository at one commit, checked: its path is relative and stays below its folder."""

    path: str
    size_bytes: int
    sha256: str | None = None
    """Of the content, for files in large file storage, as every model is."""
    blob: str
    """Git's SHA-1 of the content, or of the pointer that stands for it in large file storage."""

    @property
    def key(self) -> str:
        """What the file is called in the cache's folder of blobs; the same content has the same key."""
        return self.sha256 or self.blob


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """A repository at one commit."""

    repository: str
    """`owner/name` as the hub writes it, which is a new name where the repository was renamed."""
    commit: str
    branch: str | None = None
    """Branch or tag that was asked for and is at this commit; None when a commit was asked for."""
    files: tuple[HubFile, ...]
    refused: tuple[str, ...] = ()
    """Names of files that are left out because they could leave the cache or can't be written."""
    gated: bool = False
    private: bool = False
    licence: str | None = None
    base_model: str | None = None


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """The files of one variant."""

    label: str | None
    """Quantization; None when no file name tells it."""
    files: tuple[HubFile, ...]
    """Parts of a split model in order; for MLX all files that the engine needs."""

    @property
    def size_bytes(self) -> int:
        """Of all files together."""
        return sum(file.size_bytes for file in self.files)


def is_repository(name: str) -> bool:
    """Whether this is `owner/name` as the hub allows it."""
    plain = _REPOSITORY.fullmatch(name) and not any(pair in name for pair in ("--", ".."))
    return bool(plain) and not name.endswith((".git", ".", "-"))


def checked_repository(name: object) -> str:
    """The name of a repository as it is.

    Raises:
        HubDataError: it is no `owner/name`.
    """
    if not isinstance(name, str) or not is_repository(name):
        raise HubDataError(f"{shorten(one_line(str(name)), 80)!r} is not the name of a repository, which is owner/name")
    return name


def is_commit(revision: str) -> bool:
    """Whether this is a commit's hash, and not the name of a branch or tag."""
    return _HEX40.fullmatch(revision) is not None


def checked_commit(commit: object) -> str:
    """A commit's hash.

    Raises:
        HubDataError: it is something else.
    """
    if not isinstance(commit, str) or not _HEX40.fullmatch(commit):
        raise HubDataError(f"the hub names the commit {shorten(one_line(str(commit)), 80)!r}, which is no commit")
    return commit


def checked_file(path: object, size_bytes: object, sha256: object, blob: object) -> HubFile:
    """A file as the hub lists it.

    Raises:
        HubDataError: its path could leave the folder that it is put in or can't be written on every system, or its
            size or hashes are none.
    """
    path = checked_path(path)
    shown = shorten(one_line(path), 80)
    if not isinstance(size_bytes, int) or not 0 <= size_bytes <= _MOST_BYTES:
        raise HubDataError(f"the hub gives {shown} no size that a file can have")
    if not isinstance(blob, str) or not _HEX40.fullmatch(blob):
        raise HubDataError(f"the hub gives {shown} no hash")
    if sha256 is not None and (not isinstance(sha256, str) or not _HEX64.fullmatch(sha256)):
        raise HubDataError(f"the hub gives {shown} a SHA-256 that is none")
    return HubFile(path=path, size_bytes=size_bytes, sha256=sha256, blob=blob)


def checked_path(path: object) -> str:
    """A relative path with `/` that stays below its folder and can be written on every system.

    Raises:
        HubDataError: it is something else.
    """
    if not isinstance(path, str):
        raise HubDataError("the hub lists a file without a name")
    problem = _problem(path)
    if problem:
        raise HubDataError(f"the hub lists a file named {shorten(one_line(path), 80)!r}, {problem}")
    return path


def gguf_choices(files: Iterable[HubFile]) -> tuple[Choice, ...]:
    """Every GGUF language model in a repository, smallest first; incomplete sets of parts are left out.

    Projectors, adapters, drafts and importance matrices are none.
    """
    sets: dict[str, dict[int, HubFile]] = {}
    counts: dict[str, int] = {}
    for file in files:
        if not file.path.lower().endswith(".gguf") or _NO_MODEL.search(file.path.rpartition("/")[2][:-5]):
            continue
        part = SHARD.fullmatch(file.path)
        stem, number, count = (part["stem"], int(part["number"]), int(part["count"])) if part else (file.path, 1, 1)
        sets.setdefault(f"{stem}/{count}", {})[number] = file
        counts[f"{stem}/{count}"] = count
    choices = [
        Choice(label=label_in(parts[1].path), files=tuple(parts[number] for number in sorted(parts)))
        for stem, parts in sets.items()
        if sorted(parts) == list(range(1, counts[stem] + 1))
    ]
    return tuple(sorted(choices, key=lambda choice: choice.size_bytes))


def mlx_choice(files: Iterable[HubFile], label: str | None) -> Choice:
    """The files of a repository in MLX's format, without code.

    Raises:
        ChoiceError: it holds no weights.
    """
    needed = tuple(file for file in files if _MLX_FILES.fullmatch(file.path))
    names = {file.path for file in needed}
    if "config.json" not in names or not any(name.endswith(".safetensors") for name in names):
        raise ChoiceError("it holds no model in MLX's format (config.json and model*.safetensors)")
    return Choice(label=label, files=needed)


def choose(choices: Sequence[Choice], wanted: str | None = None, preferred: Sequence[str] = ()) -> Choice:
    """The variant with the label `wanted` in any spelling; without one the first of `preferred`, or of `ORDER`.

    Where one label has a single file and also a set of parts, the single file is taken.

    Raises:
        ChoiceError: there is none, or more than one; the message lists what there is.
    """
    labels = [choice.label for choice in choices if choice.label is not None]
    if not choices:
        raise ChoiceError("it holds no GGUF language model")
    if wanted:
        label = matching(wanted, labels)
        if label is None:
            there = ", ".join(dict.fromkeys(labels)) or "files without a label; name the file"
            raise ChoiceError(f"it has no {shorten(one_line(wanted), 40)}; it has {there}")
    else:
        label = next((label for label in (*preferred, *ORDER) if label in labels), None)
    named = [choice for choice in choices if choice.label == label] if label else list(choices)
    single = [choice for choice in named if len(choice.files) == 1] or named
    if len(single) > 1:
        names = ", ".join(one_line(choice.files[0].path) for choice in single[:5])
        raise ChoiceError(f"{label or 'the model'} could be any of {names}; name the file")
    return single[0]


def file_choice(choices: Sequence[Choice], path: str) -> Choice:
    """The variant that the file belongs to.

    Raises:
        ChoiceError: there is no such file, or it is no language model.
    """
    found = next((choice for choice in choices if path in {file.path for file in choice.files}), None)
    if found is None:
        raise ChoiceError(f"it has no model file {shorten(one_line(path), 80)}")
    return found


def _problem(path: str) -> str | None:
    parts = path.split("/")
    if not path.isprintable():  # null, line breaks, escapes and lone surrogates among others
        return "which has characters that no file name should have"
    if path.startswith(("/", "~")) or any(char in path for char in '\\:<>"|?*'):
        return "which is not relative, or no name on Windows"
    if any(part in ("", ".", "..") or part.endswith((".", " ")) or _RESERVED.fullmatch(part) for part in parts):
        return "which could leave the cache or is no file"
    if len(path.encode()) > _LONGEST_PATH_BYTES or any(len(part.encode()) > _LONGEST_NAME_BYTES for part in parts):
        return "which is too long"
    return None
