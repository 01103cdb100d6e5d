"""Holds `model_catalog.toml` against the hub: repositories, files, sizes, hashes, consent, licences.

python tools/check_catalog.py [--catalog FILE] [MODEL ...]

Asks the hub of HF_ENDPOINT once for each repository and downloads nothing. A line on standard output for everything
that is not as the catalog says; what the hub has beyond that is no finding. Ends with 0 when there is none, 1 when an
entry should be edited, 2 when something could not be checked (the hub can't be reached, or shows it to nobody).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from slmtui.core.catalog import CatalogError, ModelCard, Variant  # noqa: E402
from slmtui.core.hub_files import HubFile, Listing  # noqa: E402
from slmtui.core.text import one_line, size  # noqa: E402
from slmtui.sources.catalog import read_catalog  # noqa: E402
from slmtui.sources.hub import Hub  # noqa: E402
from slmtui.sources.hub_errors import HubError  # noqa: E402

ROUNDED_FRAC = 0.03
"""How far a rounded size may be from the exact one: 1.1 GiB stands for anything from 1.05 to 1.15."""
AT_ONCE = 8
_UNCHECKED = ("offline", "unreachable", "server", "refused", "gated")


class Finding(NamedTuple):
    """Something that is not as the catalog says, or could not be checked."""

    card: str
    sentence: str
    checked: bool = True


def main(arguments: Sequence[str] | None = None) -> int:
    """Check and print; see the module's text for the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL", help="ids of the entries to check; default: all")
    parser.add_argument("--catalog", type=Path, default=ROOT / "model_catalog.toml", metavar="FILE")
    options = parser.parse_args(arguments)
    try:
        cards = [card for card in read_catalog(options.catalog) if not options.models or card.id in options.models]
    except CatalogError as error:
        print(f"check_catalog: {error}", file=sys.stderr)
        return 1
    if unknown := sorted(set(options.models) - {card.id for card in cards}):
        parser.error(f"the catalog has no {', '.join(unknown)}")
    places = sorted({place.id for card in cards for place in card.repositories} | _bases(cards))
    hub = Hub.from_environment()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        listings = dict(zip(places, pool.map(lambda name: _listing(hub, name), places), strict=True))
    findings = [finding for card in cards for finding in check(card, listings)]
    for finding in findings:
        print(f"{finding.card}: {one_line(finding.sentence)}")
    wrong = sum(finding.checked for finding in findings)
    unchecked = len(findings) - wrong
    print(
        f"{len(cards)} models, {len(places)} repositories of {hub.endpoint}: {wrong} findings, {unchecked} not checked",
        file=sys.stderr,
    )
    return 2 if unchecked else 1 if wrong else 0


def check(card: ModelCard, listings: dict[str, Listing | HubError]) -> Iterator[Finding]:
    """What the hub says otherwise about an entry."""
    for place in card.repositories:
        found = listings[place.id]
        if isinstance(found, HubError):
            yield Finding(card.id, str(found), found.kind not in _UNCHECKED)
        elif found.repository != place.id:
            yield Finding(card.id, f"{place.id} is called {found.repository} now")
    for variant in card.variants:
        listing = listings.get(variant.repository or "")
        if isinstance(listing, Listing):
            yield from (Finding(card.id, each) for each in check_variant(variant, listing))
    base = listings.get(card.base or "")
    if base is None:
        return
    if isinstance(base, HubError) and base.kind != "gated":
        yield Finding(card.id, f"base: {base}", base.kind not in _UNCHECKED)
        return
    gated = isinstance(base, HubError) or base.gated
    if gated != card.gated:
        yield Finding(card.id, f"gated is {card.gated}, and {card.base} is {'' if gated else 'not '}gated")


def check_variant(variant: Variant, listing: Listing) -> Iterator[str]:
    """What the hub says otherwise about one variant."""
    about = f"{variant.quantization} in {listing.repository}"
    if variant.file is None:
        weights = [file for file in listing.files if file.path.endswith(".safetensors")]
        if not weights:
            yield f"{about}: it holds no .safetensors file"
        elif problem := _size_problem(variant, weights):
            yield f"{about}: {problem}"
        return
    file = next((file for file in listing.files if file.path == variant.file), None)
    if file is None:
        yield f"{about}: there is no {variant.file}"
        return
    if problem := _size_problem(variant, [file]):
        yield f"{about}: {problem}"
    if variant.sha256 is not None and file.sha256 is not None and variant.sha256 != file.sha256:
        yield f"{about}: sha256 is {file.sha256}, not {variant.sha256}"


def _size_problem(variant: Variant, files: Sequence[HubFile]) -> str | None:
    total = sum(file.size_bytes for file in files)
    if variant.size_bytes is not None and variant.size_bytes != total:
        return f"size_bytes is {total:_}, not {variant.size_bytes:_}"
    if variant.about_bytes is not None and abs(variant.about_bytes - total) > ROUNDED_FRAC * total:
        return f"about_bytes is {size(variant.about_bytes)}, and the hub has {total:_} bytes"
    return None


def _listing(hub: Hub, name: str) -> Listing | HubError:
    try:
        return hub.listing(name)
    except HubError as error:
        return error


def _bases(cards: Sequence[ModelCard]) -> set[str]:
    return {card.base for card in cards if card.base and card.gated is not None}


if __name__ == "__main__":
    sys.exit(main())
