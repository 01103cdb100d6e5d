"""What there is to choose from: variants that are on this machine, and models of the catalog that can be had."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from slmtui.core.catalog import Format, LocalModel, ModelCard, Variant
from slmtui.core.wanted import Traits, Verdict

RUNNABLE: tuple[Format, ...] = ("GGUF",)
"""Formats that an engine opens on every machine."""


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A variant that is here, or a model that is not, with the variant that a download brings unless told otherwise."""

    card: ModelCard | None = None
    variant: Variant | None = None
    """None for a file of the person's own, and for a model of which no file is known."""
    local: LocalModel | None = None

    @property
    def id(self) -> str:
        """`model:QUANTIZATION` or a path for what is here, the model's id for what is not."""
        if self.local is not None:
            return self.local.id
        return self.card.id if self.card else ""

    @property
    def name(self) -> str:
        """The model's name, without its variant."""
        return self.card.name if self.card else self.local.name if self.local else ""

    @property
    def demo(self) -> bool:
        """Whether to label it as a demo."""
        return self.card is not None and self.card.demo

    @property
    def formats(self) -> tuple[Format, ...]:
        """Its format where it is here, else all formats in which it can be had."""
        if self.local is not None:
            return (self.local.format,)
        return self.card.formats if self.card else ()

    @property
    def size_bytes(self) -> int | None:
        """Of the file that is here, or of the download as far as the catalog knows."""
        return self.local.size_bytes if self.local else self.variant.hint_bytes if self.variant else None

    def traits(
        self, *, parameters: int | None = None, licence: str | None = None, fits: Verdict | None = None, more: str = ""
    ) -> Traits:
        """What it is looked for by; parameters, licence and `more` words are what its file says beyond the card."""
        card, local = self.card, self.local
        words = [self.id, self.name, self.variant.quantization if self.variant else None, licence, more]
        words += [str(local.path), "here"] if local else ["download" if self.variant else None]
        if card is not None:
            shape = card.architecture.name if card.architecture else None
            words += [card.family, card.developer, card.licence, shape, card.base, "demo" if card.demo else None]
        return Traits(
            text=" ".join(filter(None, words)).casefold(),
            parameters=parameters or (card.parameters if card else None),
            licence=(card.licence if card else None) or licence,
            thinking=card.thinking if card else None,
            here=local is not None,
            formats=self.formats,
            fits=fits,
        )


def offers(
    cards: Sequence[ModelCard], local: Iterable[LocalModel], formats: Sequence[Format] = RUNNABLE
) -> tuple[Offer, ...]:
    """Every variant that is here, then, in the order of the catalog, every model of which no variant is here."""
    here = [Offer(card=model.card, variant=model.variant, local=model) for model in local]
    known = {offer.card.id for offer in here if offer.card}
    rest = [Offer(card=card, variant=first_choice(card, formats)) for card in cards if card.id not in known]
    return (*here, *rest)


def first_choice(card: ModelCard, formats: Sequence[Format] = RUNNABLE) -> Variant | None:
    """The variant to take unless told otherwise: the card's own choice, where it can run here."""
    wanted = card.default_variant
    if wanted is None or wanted.format in formats:
        return wanted
    return next((variant for variant in card.variants if variant.format in formats), wanted)
