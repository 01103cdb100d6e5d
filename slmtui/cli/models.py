"""`slmtui models`: what is on this machine, and what the catalog has beyond it."""

from __future__ import annotations

import argparse
from typing import Any, NamedTuple

import msgspec

from slmtui.cli import DONE
from slmtui.cli.terminal import UsageError, print_json, print_table, say, with_services
from slmtui.core import text
from slmtui.core.offers import Offer, offers
from slmtui.core.outlook import Outlook
from slmtui.core.wanted import Verdict, Wanted, parse_count
from slmtui.lab.services import Services

NO_SPEED = (None, None)


class Row(NamedTuple):
    """What there is to choose, and what is known about it."""

    offer: Offer
    outlook: Outlook | None
    speed: tuple[float | None, float | None]
    """Prefill and decode in tokens per second, as measured here."""

    @property
    def verdict(self) -> Verdict | None:
        """Whether it fits into the free memory."""
        return self.outlook.fit.verdict if self.outlook and self.outlook.fit else None


def models(options: argparse.Namespace) -> int:
    """Print the models that are here, or what a person looks for in the whole catalog."""

    async def run(services: Services) -> int:
        wanted = _wanted(options)
        whole = options.all or not wanted.anything
        rows = [row for row in await _rows(services, whole=whole) if wanted.admits(row.offer.traits(fits=row.verdict))]
        if options.json:
            return print_json([_document(row) for row in rows])
        if not rows:
            say("No model has all of this; `slmtui models --all` lists every model.")
            return DONE
        print_table([_catalog_row(row) if whole else _local_row(row) for row in rows])
        if whole:
            say("~ marks estimates and rounded sizes. `slmtui fit MODEL` says more, `slmtui pull MODEL` downloads it.")
        else:
            say("Speeds are medians of the latest `slmtui bench` on this machine; — means not measured yet.")
        return DONE

    return with_services(run)


def _wanted(options: argparse.Namespace) -> Wanted:
    try:
        most = parse_count(options.up_to) if options.up_to is not None else None
    except ValueError as error:
        raise UsageError(f"--up-to: {error}") from None
    return Wanted(
        words=" ".join(options.words),
        here=options.here,
        fits=options.fits,
        most_parameters=most,
        terms=options.licence,
        thinking=options.thinking,
        format=options.format,
    )


async def _rows(services: Services, *, whole: bool) -> list[Row]:
    """What is here, or the `whole` catalog with what to expect of it: a look at the machine takes a second."""
    local, speeds = services.library(), await services.speeds()
    if not whole:
        return [Row(offer, None, speeds.get(offer.id, NO_SPEED)) for offer in offers((), local)]
    from slmtui.lab import fit
    from slmtui.lab.offers import outlook_of

    place = await fit.here(services)
    found = offers(services.catalog, local, services.formats)
    return [Row(offer, outlook_of(offer, place), speeds.get(offer.id, NO_SPEED)) for offer in found]


def _local_row(row: Row) -> dict[str, str]:
    offer, model = row.offer, row.offer.local
    prefill, decode = row.speed
    return {
        "model": text.one_line(offer.id),
        "parameters": text.count(offer.card.parameters if offer.card else None),
        "size": text.size(offer.size_bytes),
        "prefill tok/s": text.rate(prefill),
        "decode tok/s": text.rate(decode),
        "licence": text.one_line((offer.card.licence if offer.card else None) or text.NOT_MEASURED),
        "where": model.place if model else "",
        "": "demo" if offer.demo else "MLX" if model and model.format == "MLX" else "",
    }


def _catalog_row(row: Row) -> dict[str, str]:
    offer, outlook, variant = row.offer, row.outlook, row.offer.variant
    rounded = offer.local is None and variant is not None and variant.size_bytes is None and offer.size_bytes
    guess = outlook.decode_tps if outlook else None
    decode = text.rate(row.speed[1]) if row.speed[1] is not None or guess is None else f"~{text.rate(guess.likely, 2)}"
    return {
        "model": text.one_line(offer.id),
        "parameters": text.count(offer.card.parameters if offer.card else None),
        "variant": text.one_line(variant.quantization) if variant else text.NOT_MEASURED,
        "file": f"{'~' if rounded else ''}{text.size(offer.size_bytes)}",
        "memory": f"~{text.memory(outlook.needed_bytes + outlook.gpu_bytes)}" if outlook else text.NOT_MEASURED,
        "fits": outlook.fit.words if outlook and outlook.fit else text.NOT_MEASURED,
        "decode tok/s": decode,
        "licence": text.one_line((offer.card.licence if offer.card else None) or text.NOT_MEASURED),
        "where": offer.local.place if offer.local else "hub" if variant else "no file",
        "": "demo" if offer.demo else "",
    }


def _document(row: Row) -> dict[str, Any]:
    """One row as JSON: what is known of a model that is here, and the same keys where it is not."""
    offer, outlook = row.offer, row.outlook
    local = msgspec.to_builtins(offer.local, enc_hook=str) if offer.local else {}
    return {
        "id": offer.id,
        "name": offer.name,
        "path": None,
        "card": msgspec.to_builtins(offer.card),
        "variant": msgspec.to_builtins(offer.variant),
        **local,
        "size_bytes": offer.size_bytes,
        "here": offer.local is not None,
        "demo": offer.demo,
        "prefill_tps": row.speed[0],
        "decode_tps": row.speed[1],
        "expected": {
            "memory_bytes": outlook.needed_bytes + outlook.gpu_bytes,
            "fits": row.verdict,
            "largest_context": outlook.largest_context,
            "prefill_tps": msgspec.to_builtins(outlook.prefill_tps),
            "decode_tps": msgspec.to_builtins(outlook.decode_tps),
        }
        if outlook
        else None,
    }
