"""Text to token ids and back with an MLX model's tokenizer files, and its chat template."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from slmtui.core import text
from slmtui.core.events import FailureKind
from slmtui.engine import vocabulary as engine_vocabulary
from slmtui.engine.backends import EngineError
from slmtui.engine.mlx_files import TOKENIZER, TOKENIZER_CONFIG, ModelFolder, read_json

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_BLANK = "\N{LOWER ONE EIGHTH BLOCK}"
"""What sentencepiece writes for a blank."""


class Vocabulary(engine_vocabulary.Vocabulary):
    """The tokenizer of one model's folder; `width` is the number of token ids that the model has logits for."""

    def __init__(self, folder: ModelFolder, width: int | None = None) -> None:
        self._tokenizer = open_tokenizer(folder)
        self._added = self._tokenizer.get_added_tokens_decoder()
        self._bytes = _piece_reader(self._tokenizer)
        self.size = width or self._tokenizer.get_vocab_size()
        begun = self._tokenizer.encode("").ids
        self.bos = self._named(folder, "bos")
        self.adds_bos = folder.tokenizer_config.get("add_bos_token") is True and self.bos is not None
        if begun and begun[0] != self._named(folder, "eos"):
            self.bos, self.adds_bos = begun[0], True
        self._eos = self._named(folder, "eos")
        self._ends = frozenset(_end_tokens(folder)) | ({self._eos} if self._eos is not None else set())
        self._unknown = _unknown_token(self._tokenizer, folder)

    @property
    def eos(self) -> int | None:
        """The end-of-sequence token."""
        return self._eos

    def tokens(self, text: str, *, special: bool) -> list[int]:
        """Token ids of the text alone; with `special`, the text of control tokens becomes those tokens."""
        self._tokenizer.encode_special_tokens = not special
        readable = text.encode("utf-8", "replace").decode()
        return list(self._tokenizer.encode(readable, add_special_tokens=False).ids)

    def piece(self, token: int) -> bytes:
        """Bytes of one token; control tokens have none, and ids past the tokenizer's end."""
        added = self._added.get(token)
        if added is not None:
            return b"" if added.special else str(added.content).encode()
        return self._bytes(token)

    def ends(self, token: int) -> bool:
        """Whether the token ends generation: what the generation config, the config or the tokenizer's says."""
        return token in self._ends

    def is_control(self, token: int) -> bool:
        """See `vocabulary.Vocabulary.is_control`."""
        added = self._added.get(token)
        return token == self._unknown or (added is not None and added.special)

    def is_ordinary(self, token: int) -> bool:
        """See `vocabulary.Vocabulary.is_ordinary`."""
        return token not in self._added and token != self._unknown and self._tokenizer.id_to_token(token) is not None

    def written(self, token: int | None) -> str:
        """A token as the vocabulary writes it ("<s>"), for templates; empty for none."""
        return "" if token is None else self._tokenizer.id_to_token(token) or ""

    def _named(self, folder: ModelFolder, name: str) -> int | None:
        """Id of the token that the tokenizer's config calls `name`, or else of the model's config."""
        said = folder.tokenizer_config.get(f"{name}_token")
        content = said.get("content") if isinstance(said, dict) else said
        if isinstance(content, str):
            return _id(self._tokenizer, content)
        number = folder.config.get(f"{name}_token_id")
        return number if isinstance(number, int) else None


class Template(msgspec.Struct, frozen=True):
    """A chat template and the file it stands in."""

    text: str
    source: str

    @property
    def sha256(self) -> str:
        """Hash of its text in UTF-8."""
        return hashlib.sha256(self.text.encode("utf-8", "surrogatepass")).hexdigest()


def chat_template(folder: ModelFolder) -> Template | None:
    """The model's chat template: a file of its own, or else what the tokenizer's config has."""
    own = folder.path / "chat_template.jinja"
    try:
        return Template(own.read_text(encoding="utf-8", errors="replace"), own.name)
    except OSError:
        pass
    older = read_json(folder.path / "chat_template.json") or {}
    for said, source in (
        (older.get("chat_template"), "chat_template.json"),
        (folder.tokenizer_config.get("chat_template"), TOKENIZER_CONFIG),
    ):
        found = _default(said) if isinstance(said, list) else said
        if isinstance(found, str) and found:
            return Template(found, source)
    return None


def _default(templates: list[Any]) -> object:
    """The one to use where there are several, each with a name."""
    return next(
        (one.get("template") for one in templates if isinstance(one, dict) and one.get("name") == "default"), None
    )


def open_tokenizer(folder: ModelFolder) -> Tokenizer:
    """The folder's tokenizer.json, or what Hugging Face's library makes of older files.

    Raises:
        EngineError: there is none, or it cannot be read.
    """
    from tokenizers import Tokenizer

    file = folder.path / TOKENIZER
    there = file.is_file()
    try:
        return Tokenizer.from_buffer(file.read_bytes()) if there else _converted(folder.path)
    except Exception as error:  # what tokenizers raises is nothing more special
        missing = f"is missing: there is no {TOKENIZER}, and none could be made of its other files"
        why = f"cannot be read ({text.one_line(str(error))})" if there else missing
        raise EngineError(
            FailureKind.BAD_FILE, f"The tokenizer of {folder.name} {why}. Download or copy it again."
        ) from error


def _converted(path: Path) -> Tokenizer:
    """A tokenizer from vocab.json, tokenizer.model and the like.

    Raises:
        ValueError: there are none, or they need code of their own.
    """
    from transformers import AutoTokenizer

    made = AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    backend: Tokenizer | None = getattr(made, "backend_tokenizer", None)
    if backend is None:
        raise ValueError(f"there is no {TOKENIZER}")
    return backend


def _end_tokens(folder: ModelFolder) -> Iterator[int]:
    """Ids that end generation; the generation config has the word before the config."""
    said = folder.generation.get("eos_token_id", folder.config.get("eos_token_id"))
    yield from (token for token in (said if isinstance(said, list) else [said]) if isinstance(token, int))


def _unknown_token(tokenizer: Tokenizer, folder: ModelFolder) -> int | None:
    said = folder.tokenizer_config.get("unk_token")
    content = said.get("content") if isinstance(said, dict) else said
    return _id(tokenizer, content) if isinstance(content, str) else None


def _id(tokenizer: Tokenizer, written: str) -> int | None:
    found: int | None = tokenizer.token_to_id(written)
    return found


class _Written(msgspec.Struct):
    """The part of a tokenizer's description that says how its tokens become text."""

    decoder: dict[str, Any] | None = None


def _piece_reader(tokenizer: Tokenizer) -> Callable[[int], bytes]:
    """What gives the bytes of a token, by the kind of the tokenizer's decoder."""
    decoder = msgspec.json.decode(tokenizer.to_str(), type=_Written).decoder or {}
    kinds = {part.get("type") for part in _parts(decoder)}
    if "ByteLevel" in kinds:
        table = _byte_letters()
        return lambda token: bytes(
            byte for letter in tokenizer.id_to_token(token) or "" for byte in table.get(letter) or letter.encode()
        )
    if kinds & {"ByteFallback", "Metaspace"} or any(_replaces_blanks(part) for part in _parts(decoder)):
        return lambda token: _sentence_piece(tokenizer.id_to_token(token) or "")
    before = tokenizer.decode([0], skip_special_tokens=False)  # a decoder may treat the first token in its own way
    return lambda token: tokenizer.decode([0, token], skip_special_tokens=False)[len(before) :].encode()


def _parts(decoder: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield decoder
    for part in decoder.get("decoders") or ():
        yield from _parts(part)


def _replaces_blanks(part: dict[str, Any]) -> bool:
    return part.get("type") == "Replace" and part.get("pattern") == {"String": _BLANK}


def _sentence_piece(written: str) -> bytes:
    if len(written) == 6 and written.startswith("<0x") and written.endswith(">"):
        try:
            return bytes([int(written[3:5], 16)])
        except ValueError:
            pass
    return written.replace(_BLANK, " ").encode("utf-8", "replace")


@cache
def _byte_letters() -> dict[str, bytes]:
    """Letters that stand for bytes in a byte-level BPE: printable ones for themselves, from U+0100 on for the rest."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = (byte for byte in range(256) if byte not in plain)
    return {chr(byte): bytes([byte]) for byte in plain} | {
        chr(256 + number): bytes([byte]) for number, byte in enumerate(others)
    }
