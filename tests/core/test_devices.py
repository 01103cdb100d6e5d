"""One file on several devices: which cells stand beside each other, and the ratio in each phase."""

from __future__ import annotations

import msgspec
import pytest

from slmtui.core.devices import Beside, beside, of_device, place, sentence
from slmtui.core.diff import DiffError
from slmtui.core.events import ModelFacts
from slmtui.core.measurement import Measurement, Settings
from slmtui.core.offload import FIT
from slmtui.core.results import CellResult, cell_results
from tests.samples import measurement, timing

JITTER = (1.0, 0.99, 1.01)


def on(device: str, prefill: float = 1.0, decode: float = 1.0, layers: int = 0, **changes: object) -> list[Measurement]:
    """Repetitions that take these times of the usual time in each phase."""
    wanted = "cpu" if device == "cpu" else "gpu"
    settings = Settings(threads=2, device=wanted, gpu_layers=layers, split_mode="layer" if layers else None)
    return [
        msgspec.structs.replace(
            measurement(number, cell=f"{device} {layers}"),
            **{
                "settings": settings,
                "facts": ModelFacts(device=device, gpu_layers=layers),
                "timing": timing(prefill_s=0.25 * prefill * one, decode_s=0.5 * decode * one),
                **changes,
            },
        )
        for number, one in enumerate(JITTER)
    ]


def cells(*groups: list[Measurement]) -> tuple[CellResult, ...]:
    return cell_results([each for group in groups for each in group])


def ratios(each: Beside) -> dict[str, float]:
    return {finding.phase: round(finding.ratio.value, 3) for _, finding in each.findings}


def test_the_gpu_beside_the_processor() -> None:
    (found,) = beside(cells(on("CUDA0", 0.025, 0.125, -1), on("cpu")))
    assert (found.a, found.b) == ("cpu", "CUDA0")
    assert ratios(found) == {"prefill": 40.0, "decode": 8.0}
    assert sentence(found) == "CUDA0 has 40.0 times the speed of cpu in prefill, 8.000 times in decode"
    low, high = found.findings[0][1].ratio.low, found.findings[0][1].ratio.high
    assert low is not None
    assert high is not None
    assert low < 40 < high


def test_each_number_of_layers_is_a_place() -> None:
    found = beside(cells(on("cpu"), on("CUDA0", 0.5, 0.5, 12), on("CUDA0", 0.25, 0.25, -1), on("CUDA0", 1, 1, FIT)))
    assert [each.b for each in found] == ["CUDA0, 12 layers", "CUDA0", "CUDA0, as many layers as fit"]
    assert [ratios(each)["decode"] for each in found] == [2.0, 4.0, 1.0]


def test_without_the_processor_the_first_place_is_what_others_are_compared_with() -> None:
    (found,) = beside(cells(on("CUDA1", layers=-1), on("CUDA0", 0.5, 0.5, -1)))
    assert (found.a, found.b, ratios(found)["prefill"]) == ("CUDA1", "CUDA0", 2.0)


def test_what_has_nothing_to_stand_beside_is_left_out() -> None:
    assert beside(cells(on("cpu"))) == ()
    assert beside(cells(on("cpu"), on("CUDA0", model="another", layers=-1))) == ()
    deep = on("CUDA0", timing=timing(depth=512), layers=-1)
    assert beside(cells(on("cpu"), deep)) == ()
    assert beside(cells(on("cpu"), on("CUDA0", kind="chat", layers=-1))) == ()
    nobody_says = on("cpu", facts=ModelFacts(), settings=Settings())
    assert place(cells(nobody_says)[0]) is None
    assert beside(cells(on("cpu"), nobody_says)) == ()


def test_several_models_have_a_span_of_ratios() -> None:
    fast, slow = on("CUDA0", 0.05, 0.05, -1), on("CUDA0", 0.5, 0.5, -1, model="b", cell="b")
    (found,) = beside(cells(on("cpu"), on("cpu", model="b", cell="c"), fast, slow))
    assert sentence(found) == "CUDA0 has 2.000 to 20.0 times the speed of cpu in prefill, 2.000 to 20.0 times in decode"


@pytest.mark.parametrize("wanted", ["cuda0", "CUDA:0", "gpu"])
def test_a_place_by_its_name(wanted: str) -> None:
    found = cells(on("cpu"), on("CUDA0", layers=-1))
    assert of_device(found, wanted) == found[1:]
    assert of_device(found, " CPU ") == found[:1]


def test_a_name_that_means_no_place_or_several() -> None:
    found = cells(on("cpu"), on("CUDA0", layers=-1), on("CUDA0", layers=12))
    assert of_device(found, "cuda0") == found[1:2]
    assert of_device(found, "CUDA0, 12 layers") == found[2:]
    with pytest.raises(DiffError, match="gpu can be CUDA0 or CUDA0, 12 layers; say which"):
        of_device(found, "gpu")
    with pytest.raises(DiffError, match=r"nothing was measured on metal .* it ran on cpu, CUDA0, CUDA0, 12 layers"):
        of_device(found, "metal")
    with pytest.raises(DiffError, match="nobody says where it ran"):
        of_device((), "cpu")
