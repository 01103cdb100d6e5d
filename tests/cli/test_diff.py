"""`sessions diff`: what it prints, and its exit code as a regression gate."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from slmtui.sources.paths import Paths
from slmtui.sources.store import Store
from tests.cli.program import STORY, on_terminal, run
from tests.samples import ENVIRONMENT, full_measurement, timing

FACTORS = {"before": 1.0, "again": 1.004, "after": 1.25}
"""Name of a session to how many times the usual time its decode steps take."""
JITTER = (1.0, 0.99, 1.01, 0.995, 1.005)


@pytest.fixture
def measured() -> dict[str, str]:
    """Stored sessions of two models, name to id; in each, 2M takes half the time of 5M."""
    store = Store.open(Paths.find().ensure().store)
    ids = {}
    for name, factor in FACTORS.items():
        session = store.start_session(ENVIRONMENT)
        for model, share in (("pocket-5m:Q8_0", 1.0), ("pocket-2m:Q8_0", 0.5)):
            for number, one in enumerate(JITTER):
                store.add(
                    full_measurement(
                        number,
                        session=session.id,
                        id=f"{session.id} {model} {number}",
                        kind="bench",
                        model=model,
                        name=model,
                        timing=timing(prefill_s=0.25 * share * one, decode_s=0.5 * factor * share * one),
                    )
                )
        store.rename_session(session.id, name)
        store.end_session(session.id)
        ids[name] = session.id
    store.close()
    return ids


def test_no_regression_is_0_and_one_is_3(measured: dict[str, str]) -> None:
    calm = run("sessions", "diff", "before", "again")
    assert (calm.returncode, calm.stderr) == (0, "")
    assert "No regression is shown" in calm.stdout
    slower = run("sessions", "diff", "before", "after")
    assert (slower.returncode, slower.stderr) == (3, "")
    assert "B is slower by more than 5 % in 2 figures:" in slower.stdout
    assert "pocket-5m:Q8_0, pp512 tg128: decode is 20 % slower (" in slower.stdout
    table = [line.split() for line in slower.stdout.splitlines() if line.startswith("pocket-5m")]
    assert {row[3] for row in table} == {"prefill", "decode", "memory"}
    (decode,) = (row for row in table if row[3] == "decode")
    assert "0.800" in decode
    assert run("sessions", "diff", "after", "before").returncode == 0, "faster is no regression"


@pytest.mark.parametrize(("tolerance", "code"), [("30%", 0), ("0.30", 0), ("10 %", 3), ("0", 3)])
def test_the_tolerance_decides(measured: dict[str, str], tolerance: str, code: int) -> None:
    assert run("sessions", "diff", "before", "after", "--tolerance", tolerance).returncode == code


@pytest.mark.parametrize("tolerance", ["5", "100%", "-1%", "much", "5%%", "nan"])
def test_a_tolerance_that_is_none_is_a_usage_error(measured: dict[str, str], tolerance: str) -> None:
    done = run("sessions", "diff", "before", "after", f"--tolerance={tolerance}")
    assert (done.returncode, done.stdout) == (2, "")
    assert "5% or 0.05" in done.stderr


def test_json_has_every_figure(measured: dict[str, str]) -> None:
    done = run("sessions", "diff", measured["before"], "after", "--json")
    assert done.returncode == 3
    document = json.loads(done.stdout)
    assert (document["a"]["session"], document["b"]["name"]) == (measured["before"], "after")
    assert (document["tolerance"], document["regressions"], document["unlike"]) == (0.05, 2, [])
    assert [cell["model_a"] for cell in document["cells"]] == ["pocket-5m:Q8_0", "pocket-2m:Q8_0"]
    findings = {each["phase"]: each for each in document["cells"][0]["findings"]}
    decode = findings["decode"]
    assert decode["low"] < decode["ratio"] < decode["high"] < 0.95
    assert (decode["verdict"], decode["regression"], decode["a"]["n"]) == ("slower", True, 5)
    assert (findings["memory"]["low"], findings["memory"]["verdict"]) == (None, "too few repetitions")


def test_two_models_of_one_session(measured: dict[str, str]) -> None:
    done = run("sessions", "diff", "before", "--models", "pocket-2m", "pocket-5m:Q8_0")
    assert done.returncode == 3, "5M is slower than 2M"
    assert "decode" in done.stdout
    assert "0.500" in done.stdout
    other = run("sessions", "diff", "before", "after", "--models", "pocket-5m", "pocket-2m", "--json")
    assert other.returncode == 0
    (cell,) = json.loads(other.stdout)["cells"]
    assert (cell["model_a"], cell["model_b"]) == ("pocket-5m:Q8_0", "pocket-2m:Q8_0")
    unknown = run("sessions", "diff", "before", "--models", "pocket-5m", "qwen")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "pocket-2m:Q8_0" in unknown.stderr


def test_sessions_are_found_by_beginning_latest_or_name(measured: dict[str, str]) -> None:
    document = json.loads(run("sessions", "diff", measured["before"][:-1], "latest", "--json").stdout)
    newest = json.loads(run("sessions", "--json").stdout)[0]["id"]
    assert document["b"]["session"] == newest
    for wrong in ("nowhere", "20"):
        done = run("sessions", "diff", wrong, "after")
        assert (done.returncode, done.stdout) == (1, "")
        assert "sessions" in done.stderr
    with Store.open(Paths.find().store) as store:
        store.rename_session(measured["again"], "After")
    assert run("sessions", "diff", "before", "after").returncode == 3, "the exact name is meant"
    unclear = run("sessions", "diff", "before", "AFTER")
    assert unclear.returncode == 1
    assert "2 sessions are named AFTER" in unclear.stderr


def test_what_cannot_be_compared_is_told(measured: dict[str, str]) -> None:
    alone = run("sessions", "diff", "before")
    assert (alone.returncode, alone.stdout) == (2, "")
    assert "--models" in alone.stderr
    same = run("sessions", "diff", "before", measured["before"])
    assert (same.returncode, same.stdout) == (1, "")
    with Store.open(Paths.find().store) as store:
        session = store.start_session(ENVIRONMENT)
        store.add(full_measurement(session=session.id, kind="bench", model="other"))
    nothing = run("sessions", "diff", "before", "latest" if newest_is(session.id) else session.id)
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert "nothing in common" in nothing.stderr


def newest_is(session: str) -> bool:
    with Store.open(Paths.find().store) as store:
        return store.session("latest").id == session


def test_sessions_without_diff_is_as_it_was(measured: dict[str, str]) -> None:
    assert set(measured.values()) <= set(run("sessions").stdout.split())
    assert "pp512" in run("sessions", measured["before"]).stdout
    assert run("sessions", "difference").returncode == 1, "an id, not the command"


def test_help_has_the_exit_codes() -> None:
    done = run("sessions", "diff", "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("usage: slmtui sessions diff")
    words = " ".join(done.stdout.split())
    for code in ("0 no regression", "3 a benchmark's", "1 a session is not found"):
        assert code in words


def test_foreign_text_does_not_reach_the_terminal(measured: dict[str, str]) -> None:
    with Store.open(Paths.find().store) as store:
        session = store.start_session(ENVIRONMENT)
        for number in range(2):
            store.add(
                full_measurement(
                    number,
                    session=session.id,
                    kind="bench",
                    model="pocket-5m:Q8_0",
                    name="\x1b[31mevil",
                    timing=timing(),
                )
            )
    code, sent = on_terminal("sessions", "diff", session.id, "before", columns=160)
    assert code in (0, 3), sent
    assert "evil" in sent
    assert "\x1b[31m" not in sent


def test_the_same_benchmark_run_twice(tmp_path: Path) -> None:
    for _ in range(2):
        done = run("bench", STORY, "-p", "16", "-n", "8", "-r", "3", "-t", "1", "--json")
        assert done.returncode == 0, done.stderr
    ids = [session["id"] for session in json.loads(run("sessions", "--json").stdout)]
    assert len(ids) == 2
    done = run("sessions", "diff", ids[1], "latest", "--tolerance", "95%", "--json")
    document = json.loads(done.stdout)
    assert done.returncode == 0, "nothing became twenty times slower"
    assert (document["only_a"], document["only_b"]) == ([], [])
    (cell,) = document["cells"]
    assert (cell["shape"], cell["settings_a"]["threads"]) == ("pp16 tg8", 1)
    findings = {each["phase"]: each for each in cell["findings"]}
    assert {"prefill", "decode", "memory"} <= set(findings)
    assert all(findings[phase]["a"]["n"] == findings[phase]["b"]["n"] == 3 for phase in ("prefill", "decode"))
    assert findings["decode"]["low"] < findings["decode"]["ratio"] < findings["decode"]["high"]
    assert not [line for line in document["unlike"] if not line.startswith(("Power", "Frequency"))]


def test_two_devices_of_one_session() -> None:
    store = Store.open(Paths.find().ensure().store)
    session = store.start_session(ENVIRONMENT)
    for device, layers, share in (("cpu", 0, 1.0), ("CUDA0", -1, 0.1)):
        for number, one in enumerate(JITTER):
            base = full_measurement(number, session=session.id, id=f"{device} {number}", kind="bench", cell=device)
            settings = replace(base.settings, device=device.lower(), gpu_layers=layers)
            facts = replace(base.facts, device=device, gpu_layers=17 if layers else 0)
            times = timing(prefill_s=0.25 * share * one, decode_s=0.5 * share * one)
            store.add(replace(base, settings=settings, facts=facts, timing=times))
    store.close()
    told = run("sessions", "diff", "latest", "--devices", "cpu", "gpu")
    assert (told.returncode, told.stderr) == (0, "")
    rows = [line.split() for line in told.stdout.splitlines() if "tok/s" in line]
    assert len(rows) == 2
    assert all({"10.0", "10.00"} & {*row} for row in rows), rows
    unknown = run("sessions", "diff", "latest", "--devices", "cpu", "metal")
    assert unknown.returncode == 1
    assert "nothing was measured on metal in that session; it ran on cpu, CUDA0" in unknown.stderr
    same = run("sessions", "diff", "latest", "--devices", "cpu", "cpu")
    assert same.returncode == 1
    assert "two models or devices of it" in same.stderr
