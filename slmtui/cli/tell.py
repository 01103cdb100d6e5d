"""`slmtui hardware`, `sessions`, `export` and `doctor`: the commands that tell what is known."""

from __future__ import annotations

import argparse

import msgspec

from slmtui.cli import DONE, FAILED
from slmtui.cli.terminal import MEASURING_CEILING, print_json, print_table, progress, say, show, with_services
from slmtui.core import text
from slmtui.core.ceiling import describe as describe_ceiling
from slmtui.core.machine_rows import describe
from slmtui.core.measurement import Session
from slmtui.core.places import on_gpus
from slmtui.core.probe_results import cell_scores, levels
from slmtui.core.results import CellResult, cell_results
from slmtui.lab import ceiling, checkup
from slmtui.lab.export import ExportError
from slmtui.lab.services import Services


def hardware(options: argparse.Namespace) -> int:
    """Print what this machine is and what it can do at most."""

    async def run(services: Services) -> int:
        machine = await services.machine()
        if options.measure or ceiling.due(services):
            progress(MEASURING_CEILING)
        top = await ceiling.measured(services, anew=options.measure)
        progress("")
        users = await services.gpu_users()
        if options.json:
            more = {"gpu_users": msgspec.to_builtins(users), "ceiling": msgspec.to_builtins(top)}
            return print_json({**msgspec.to_builtins(machine), **more})
        rows = [*describe(machine, users), *describe_ceiling(top)]
        width = max(len(label) for label, _ in rows)
        for label, value in rows:
            show(f"{label:<{width}}  {text.one_line(value)}")
        return DONE

    return with_services(run)


def sessions(options: argparse.Namespace) -> int:
    """Print the sessions, or the cells of one."""

    async def run(services: Services) -> int:
        if options.session is None:
            return _print_sessions(await services.sessions(), as_json=options.json)
        session = services.store.session(options.session)
        measurements = await services.measurements(session.id)
        if options.json:
            document = {"session": msgspec.to_builtins(session), "measurements": msgspec.to_builtins(measurements)}
            return print_json(document)
        if measurements:
            print_table([_cell_row(result) for result in cell_results(measurements)])
        if session.answers:
            from slmtui.cli.probe_words import print_levels

            batches = services.store.probes.of_session(session.id)
            print_levels(levels(cell_scores(batches)))
        return DONE

    return with_services(run)


def export(options: argparse.Namespace) -> int:
    """Write one session to a file and print where it is."""

    async def run(services: Services) -> int:
        try:
            path = await services.export(
                options.session, options.format, options.output or None, answers=options.answers
            )
        except ExportError as error:
            say(f"slmtui export: {error}")
            return FAILED
        if options.json:
            return print_json({"path": str(path), "format": options.format})
        (show if path.is_file() else say)(str(path))  # not among the rows that go to /dev/stdout
        return DONE

    return with_services(run)


def doctor(options: argparse.Namespace) -> int:
    """Check everything that slmtui needs; 1 when something does not work."""
    import asyncio

    findings = asyncio.run(checkup.examine())
    sound = all(finding.sound for finding in findings)
    if options.json:
        print_json(msgspec.to_builtins(findings))
        return DONE if sound else FAILED
    width = max(len(finding.what) for finding in findings)
    for finding in findings:
        show(f"{'ok  ' if finding.sound else 'FAIL'}  {finding.what:<{width}}  {text.one_line(finding.words)}")
        if finding.advice:
            show(f"      {'':<{width}}  → {text.one_line(finding.advice)}")
    return DONE if sound else FAILED


def _print_sessions(found: tuple[Session, ...], *, as_json: bool) -> int:
    if as_json:
        return print_json(msgspec.to_builtins(found))
    if not found:
        say("Nothing was measured yet. `slmtui bench pocket-5m` measures a bundled model.")
        return DONE
    print_table(
        [
            {
                "session": session.id,
                "started (UTC)": session.started_at[:16].replace("T", " "),
                "name": text.one_line(session.name),
                "measurements": str(session.measurements),
                "answers": str(session.answers),
                "models": text.one_line(", ".join(session.models)),
            }
            for session in found
        ]
    )
    return DONE


def _cell_row(result: CellResult) -> dict[str, str]:
    prefill, decode, ttft = result.prefill_tps, result.decode_tps, result.ttft_s
    return {
        "model": text.one_line(result.name),
        "test": result.shape,
        "n": str(len(result.measurements)),
        "prefill tok/s": text.rate(prefill.median if prefill else None),
        "decode tok/s": text.rate(decode.median if decode else None),
        "TTFT ms": text.milliseconds(ttft.median if ttft else None),
        "memory": text.memory(result.process_bytes),
        "on GPUs": text.memory(on_gpus(result.measurements[-1].process_memory, result.engine_memory)),
        "": _remarks(result),
    }


def _remarks(result: CellResult) -> str:
    marks = (("averaged", result.averaged), ("noisy", result.noisy), ("together", result.together))
    words = [word for word, on in marks if on]
    return ", ".join([*words, f"by {text.one_line(result.source)}"] if result.source else words)
