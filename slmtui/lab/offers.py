"""What to expect of what there is to choose from: of files by their headers, of the rest by the catalog."""

from __future__ import annotations

from slmtui.core.offers import Offer
from slmtui.core.outlook import Outlook, Place
from slmtui.lab import fit
from slmtui.sources.gguf import GgufError


def outlook_of(offer: Offer, place: Place) -> Outlook | None:
    """What to expect of it on that machine; None where too little is known, or its file can't be read."""
    if offer.local is not None:
        try:
            return fit.of_model(offer.local, place)
        except GgufError:
            return None
    return fit.of_card(offer.card, offer.variant, place) if offer.card and offer.variant else None
