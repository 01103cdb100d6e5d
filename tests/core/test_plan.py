"""Plans: what a grid expands to, keys, words, and the way into a document and back."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from slmtui.cli.bench_flags import PRESETS as PRESET_FLAGS
from slmtui.core.catalog import LocalModel, ModelCard, Variant
from slmtui.core.documents import decode, encode
from slmtui.core.machine import Cpu, EngineState, Machine
from slmtui.core.plan import (
    Grid,
    Plan,
    PlanError,
    PlanRecord,
    Setup,
    Shape,
    context_for,
    setup_words,
)
from slmtui.core.presets import PRESETS, make_plan, preset_words, sweep_depths, sweep_threads

MACHINE = Machine(
    cpu=Cpu(physical_cores=4, logical_cores=8, usable_cores=8),
    engines=(EngineState(name="llama.cpp", version="0.3.36", devices=("CPU",)),),
)
WITH_GPU = msgspec.structs.replace(
    MACHINE, engines=(EngineState(name="llama.cpp", devices=("CUDA0 NVIDIA H200", "CPU")),)
)
POCKET = LocalModel(
    id="pocket-5m:Q8_0",
    name="Pocket 5M Q8_0",
    path=Path("/models/pocket.gguf"),
    size_bytes=5_647_008,
    card=ModelCard(id="pocket-5m", name="Pocket 5M", family="Pocket", developer="slmtui", demo=True),
    variant=Variant(quantization="Q8_0", file="pocket.gguf"),
)
MLX = LocalModel(
    id="/models/pocket-4bit", name="Pocket 4bit", path=Path("/models/pocket-4bit"), size_bytes=7, format="MLX"
)
ITS_OWN = Setup(micro_batch=None, type_k=None, type_v=None, flash_attention=None, split_mode=None)
"""What MLX measures on the CPU, whatever is asked for."""
OWN = LocalModel(id="/modèles/「小」.gguf", name="「小」", path=Path("/modèles/「小」.gguf"), size_bytes=7)


def plan(preset: str = "standard", changes: Grid | None = None, machine: Machine = MACHINE) -> Plan:
    return make_plan(preset, [POCKET, OWN], changes, machine)


def with_both(llama: str, mlx: str) -> Machine:
    """A machine with both engines, of which each has this device."""
    engines = (EngineState(name="llama.cpp", devices=(llama,)), EngineState(name="MLX", devices=(mlx,)))
    return msgspec.structs.replace(MACHINE, engines=engines)


def shapes(made: Plan) -> list[str]:
    return [cell.shape.label for cell in made.cells if cell.model == POCKET]


class TestExpansion:
    def test_every_value_with_every_other_for_every_model(self) -> None:
        made = plan(
            changes=Grid(prompt_tokens=(128, 512), depths=(0, 256), threads=(1, 2), kv_types=(("q8_0", "f16"),))
        )
        assert len(made.cells) == 2 * 2 * 2 * 2
        assert shapes(made)[:4] == ["pp128 tg128", "pp512 tg128", "pp128 tg128 @ d256", "pp512 tg128 @ d256"]
        assert {cell.setup.threads for cell in made.cells} == {1, 2}
        assert {(cell.setup.type_k, cell.setup.type_v) for cell in made.cells} == {("q8_0", "f16")}
        assert made.models == (POCKET, OWN)
        assert made.varying == {"threads"}

    def test_keys_are_unique_and_no_other_plan_has_them(self) -> None:
        first, second = (plan(changes=Grid(prompt_tokens=(1, 2, 3))) for _ in range(2))
        keys = [cell.key for cell in (*first.cells, *second.cells)]
        assert len(set(keys)) == len(keys) == 12

    def test_a_combination_is_measured_once(self) -> None:
        made = plan(changes=Grid(prompt_tokens=(64, 64), devices=("cpu",), gpu_layers=(0,)))
        assert len(made.cells) == 2

    def test_nothing_is_not_measured(self) -> None:
        made = plan(changes=Grid(prompt_tokens=(0, 16), generated_tokens=(0, 8)))
        assert shapes(made) == ["tg8", "pp16", "pp16 tg8"]

    def test_pairs_go_on_from_the_prompt(self) -> None:
        assert shapes(plan(changes=Grid(pairs=((16, 8),)))) == ["pp16+tg8"]
        assert shapes(plan(changes=Grid(pairs=((16, 8),), prompt_tokens=(4,)))) == ["pp4 tg128", "pp16+tg8"]
        assert shapes(plan(changes=Grid(pairs=((16, 0),)))) == ["pp16"]
        assert shapes(plan("localscore", Grid(prompt_tokens=(4,)))) == ["pp4 tg128"]

    def test_the_gpu_where_an_engine_can_use_one(self) -> None:
        assert {(c.setup.device, c.setup.gpu_layers) for c in plan().cells} == {("cpu", 0)}
        assert {(c.setup.device, c.setup.gpu_layers) for c in plan(machine=WITH_GPU).cells} == {("gpu", -1)}
        both = plan(changes=Grid(devices=("cpu", "gpu"), gpu_layers=(0, 10)), machine=WITH_GPU)
        assert [(c.setup.device, c.setup.gpu_layers) for c in both.cells if c.model == POCKET] == [
            ("cpu", 0),
            ("gpu", 0),
            ("gpu", 10),
        ]

    @pytest.mark.parametrize("changes", [Grid(devices=("gpu",)), Grid(gpu_layers=(10,)), Grid(devices=("cuda:0",))])
    def test_a_gpu_that_is_not_there(self, changes: Grid) -> None:
        with pytest.raises(PlanError, match=r"llama\.cpp can use no GPU here .*; measure on the CPU"):
            plan(changes=changes)

    @pytest.mark.parametrize(
        ("llama", "mlx", "devices"),
        [
            ("CUDA0 NVIDIA H200", "CPU", [("gpu", -1), ("cpu", 0)]),
            ("CPU", "metal", [("cpu", 0), ("gpu", -1)]),
            ("CPU", "CPU", [("cpu", 0), ("cpu", 0)]),
        ],
    )
    def test_each_model_is_measured_where_its_own_engine_can(
        self, llama: str, mlx: str, devices: list[tuple[str, int]]
    ) -> None:
        machine = with_both(llama, mlx)
        for preset in ("quick", "sweep"):
            made = make_plan(preset, [POCKET, MLX], None, machine)
            found = dict.fromkeys((c.model.id, (c.setup.device, c.setup.gpu_layers)) for c in made.cells)
            assert list(found) == list(zip((POCKET.id, MLX.id), devices, strict=True))

    def test_of_the_devices_that_are_asked_for_each_model_has_those_of_its_engine(self) -> None:
        machine = with_both("CUDA0 NVIDIA H200", "CPU")
        both = make_plan("quick", [POCKET, MLX], Grid(devices=("cpu", "gpu")), machine)
        assert [(c.model.format, c.setup.device) for c in both.cells] == [
            ("GGUF", "cpu"),
            ("GGUF", "gpu"),
            ("MLX", "cpu"),
        ]
        layers = make_plan("quick", [POCKET, MLX], Grid(gpu_layers=(10,)), machine)
        assert [(c.setup.device, c.setup.gpu_layers) for c in layers.cells] == [("gpu", 10), ("cpu", 0)]
        for models, devices in (([POCKET, MLX], ("gpu",)), ([MLX], ("gpu",)), ([MLX], ("cpu", "gpu"))):
            with pytest.raises(PlanError, match=r"^MLX can use no GPU here .*; measure on the CPU"):
                make_plan("quick", models, Grid(devices=devices), machine)
        assert len(make_plan("quick", [POCKET], Grid(devices=("gpu",)), machine).cells) == 1

    def test_layers_on_a_gpu_beside_the_cpu_alone(self) -> None:
        with pytest.raises(PlanError, match="the device is cpu"):
            plan(changes=Grid(devices=("cpu",), gpu_layers=(5,)), machine=WITH_GPU)
        assert plan(changes=Grid(devices=("cpu",), gpu_layers=(0,)), machine=WITH_GPU).cells

    def test_a_gpu_that_the_processor_imitates_is_measured_when_it_is_named(self) -> None:
        engine = EngineState(name="llama.cpp", version="1", devices=("Vulkan0 llvmpipe", "CPU"), trial="sound")
        machine = msgspec.structs.replace(WITH_GPU, engines=(engine,))
        assert {cell.setup.device for cell in plan(machine=machine).cells} == {"cpu"}
        named = plan(changes=Grid(devices=("cpu", "vulkan")), machine=machine)
        assert [(c.setup.device, c.setup.gpu_layers) for c in named.cells][-1] == ("vulkan", -1)
        with pytest.raises(PlanError, match="can use no GPU here"):
            plan(changes=Grid(devices=("gpu",)), machine=machine)

    @pytest.mark.parametrize(
        "changes",
        [
            Grid(threads=(1, 2)),
            Grid(micro_batches=(8, 64, 512)),
            Grid(kv_types=(("q8_0", "q8_0"), ("f16", "f16"))),
            Grid(flash_attention=("on", "off")),
            Grid(split_modes=("row",), tensor_splits=((1.0, 1.0), (3.0, 1.0))),
            Grid(gpu_layers=(10, 20), devices=("cpu", "gpu")),
        ],
    )
    def test_what_an_engine_does_not_have_is_varied_for_the_other_models_alone(self, changes: Grid) -> None:
        machine = with_both("CUDA0 NVIDIA H200", "CPU")
        both = make_plan("quick", [POCKET, MLX], changes, machine)
        alone = make_plan("quick", [POCKET], changes, machine)
        assert [cell.setup for cell in both.cells if cell.model == POCKET] == [cell.setup for cell in alone.cells]
        (cell,) = (cell for cell in both.cells if cell.model == MLX)
        assert cell.setup == ITS_OWN
        assert both.varying == alone.varying | ({"device", "gpu_layers"} if changes.gpu_layers is None else frozenset())
        assert setup_words(cell.setup, both.varying - {"device", "gpu_layers"}) == ()
        assert cell.label == "pp128 tg32"

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            (Grid(threads=(1, 2)), "how many threads MLX uses cannot be set; leave the number of threads out"),
            (Grid(threads=(4,)), "how many threads"),
            (Grid(micro_batches=(8, 64, 512), devices=("cpu",)), "leave the micro-batch size out"),
            (Grid(kv_types=(("q8_0", "q8_0"),)), "the model's own numbers; leave its type out"),
            (Grid(kv_types=(("f16", "f16"), ("q8_0", "f16"))), "the model's own numbers"),
            (Grid(flash_attention=("off",)), "leave flash attention out"),
            (Grid(flash_attention=("auto", "on")), "leave flash attention out"),
            (Grid(split_modes=("row",)), "leave the split out"),
            (Grid(split_modes=("layer", "none")), "leave the split out"),
            (Grid(tensor_splits=((1.0, 1.0),)), "leave the shares out"),
        ],
    )
    def test_what_the_engine_of_all_models_does_not_have_is_refused(self, changes: Grid, words: str) -> None:
        with pytest.raises(PlanError, match=words):
            make_plan("quick", [MLX], changes, with_both("CPU", "metal"))

    def test_what_names_the_engine_s_own_way_is_granted(self) -> None:
        usual = Grid(flash_attention=("on",), kv_types=(("f16", "f16"),), split_modes=("none",), gpu_layers=(-1,))
        (cell,) = make_plan("quick", [MLX], usual, with_both("CPU", "metal")).cells
        assert cell.setup == msgspec.structs.replace(ITS_OWN, micro_batch=512, device="gpu", gpu_layers=-1)
        (cell,) = make_plan("survey", [MLX], None, with_both("CPU", "CPU")).cells
        assert cell.setup == msgspec.structs.replace(ITS_OWN, context=2048)
        steps = make_plan("quick", [MLX], Grid(micro_batches=(64, 512)), with_both("CPU", "metal"))
        assert [cell.setup.micro_batch for cell in steps.cells] == [64, 512]

    def test_a_whole_model_is_on_the_gpu_or_none_of_it(self) -> None:
        machine = with_both("CPU", "metal")
        made = make_plan("quick", [MLX], Grid(gpu_layers=(0, -1)), machine)
        assert [(c.setup.device, c.setup.gpu_layers) for c in made.cells] == [("cpu", 0), ("gpu", -1)]
        for layers in ((10,), (-1, -2), (0, 10)):
            with pytest.raises(PlanError, match="a whole model on one device; leave the number of layers out"):
                make_plan("quick", [MLX], Grid(gpu_layers=layers), machine)

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            (Grid(prompt_tokens=(-1,)), "prompt tokens must be at least 0, not -1"),
            (Grid(pairs=((8, -4),)), "generated tokens must be at least 0, not -4"),
            (Grid(depths=(0, -256)), "depth must be at least 0"),
            (Grid(threads=(0,)), "threads must be at least 1"),
            (Grid(micro_batches=(0,)), "batch size must be at least 1"),
            (Grid(gpu_layers=(-3,)), "layers on the GPU must be at least -2"),
            (Grid(repetitions=0), "repetitions must be at least 1"),
            (Grid(context=0), "context must be at least 8"),
            (Grid(prompt_tokens=(99_999_999_999,)), "prompt tokens must be at most 4,194,304, not 99,999,999,999"),
            (Grid(prompt_tokens=(4_000_000,), depths=(4_000_000,)), "8,000,000 tokens and 4,194,304 is the most"),
            (Grid(threads=(2, 5000)), "threads must be at most 1,024, not 5,000"),
            (Grid(batches=(1 << 40,)), "batch size must be at most 65,536"),
            (Grid(repetitions=10**12), "repetitions must be at most 100,000"),
            (Grid(kv_types=(("f16", "f\x1boo"),)), "type of the KV cache is 'foo'; use one of f32, f16"),
            (
                Grid(prompt_tokens=tuple(range(1, 200)), depths=tuple(range(200))),
                "cells of each model must be at most 10,000, not 39,800",
            ),
            (Grid(cool_down_s=-0.5), "pause in seconds must be at least 0, not -0.5"),
            (Grid(cool_down_s=float("inf")), "pause in seconds must be at most 86,400, not inf"),
            (Grid(cool_down_s=float("nan")), "pause in seconds must be at least 0, not nan"),
            (Grid(prompt_tokens=(0,), generated_tokens=(0,)), "nothing to measure"),
            (
                Grid(context=512, depths=(0, 512)),
                "pp512 tg128 @ d512 needs a context of 1,024 tokens and the plan says 512",
            ),
        ],
    )
    def test_what_cannot_be_measured(self, changes: Grid, words: str) -> None:
        with pytest.raises(PlanError, match=words):
            plan(changes=changes)


class TestPresets:
    def test_they_are_those_of_the_measurement_page(self) -> None:
        assert list(PRESETS) == ["quick", "standard", "survey", "localscore", "sweep"]
        quick, standard, survey = plan("quick"), plan("standard"), plan("survey")
        assert (shapes(quick), quick.repetitions, quick.cool_down_s) == (["pp128 tg32"], 3, 0.0)
        assert (shapes(standard), standard.repetitions, standard.together) == (["pp512 tg128"], 5, False)
        assert (shapes(survey), survey.repetitions, survey.cool_down_s) == (["pp50+tg50"], 5, 10.0)
        assert {(c.setup.context, c.setup.type_k, c.setup.type_v) for c in survey.cells} == {(2048, "f16", "f16")}
        assert shapes(plan("localscore")) == [
            "pp1024+tg16", "pp4096+tg256", "pp2048+tg256", "pp2048+tg768", "pp1024+tg1024", "pp1280+tg3072",
            "pp384+tg1152", "pp64+tg1024", "pp16+tg1536",
        ]  # fmt: skip

    def test_the_flag_and_the_words_know_all_of_them(self) -> None:
        assert tuple(PRESETS) == PRESET_FLAGS
        assert all(preset_words(name) and "\n" not in preset_words(name) for name in PRESETS)

    def test_changes_leave_the_rest(self) -> None:
        made = plan("survey", Grid(repetitions=2, together=True))
        assert (made.preset, made.repetitions, made.together, made.cool_down_s) == ("survey", 2, True, 10.0)

    def test_a_sweep_has_two_axes_and_not_their_product(self) -> None:
        made = make_plan("sweep", [POCKET], None, MACHINE, {POCKET.id: 2048})
        points = [(cell.shape.depth, cell.setup.threads) for cell in made.cells]
        assert points == [(0, 4), (256, 4), (1024, 4), (0, 1), (0, 2), (0, 8)]
        assert {cell.shape.context - cell.shape.depth for cell in made.cells} == {256}
        changed = make_plan("sweep", [POCKET], Grid(depths=(0, 64), threads=(2, 3)), MACHINE, {})
        assert [(c.shape.depth, c.setup.threads) for c in changed.cells] == [(0, 2), (64, 2), (0, 3)]

    def test_a_sweep_of_a_model_that_has_no_threads_to_set_has_depths_alone(self) -> None:
        machine = with_both("CPU", "CPU")
        made = make_plan("sweep", [POCKET, MLX], None, machine, {POCKET.id: 512, MLX.id: 512})
        assert [(c.shape.depth, c.setup.threads) for c in made.cells if c.model == MLX] == [(0, None), (256, None)]
        assert len([cell for cell in made.cells if cell.model == POCKET]) == 5
        assert [c.shape.depth for c in make_plan("sweep", [MLX], None, machine, {}).cells] == [0, 256, 1024]

    @pytest.mark.parametrize(
        ("trained", "depths"),
        [(256, (0,)), (511, (0,)), (512, (0, 256)), (4096, (0, 256, 1024)), (32768, (0, 256, 1024, 4096, 16384))],
    )
    def test_depths_go_as_far_as_the_trained_context(self, trained: int, depths: tuple[int, ...]) -> None:
        assert sweep_depths(trained, 256) == depths

    @pytest.mark.parametrize(
        ("cpu", "threads"),
        [
            (Cpu(), (1,)),
            (Cpu(physical_cores=6, logical_cores=12), (1, 2, 4, 6, 8, 12)),
            (Cpu(physical_cores=8, logical_cores=16, usable_cores=3), (1, 2, 3)),
        ],
    )
    def test_threads_go_up_to_all_cores(self, cpu: Cpu, threads: tuple[int, ...]) -> None:
        assert sweep_threads(Machine(cpu=cpu)) == threads


class TestShapes:
    @pytest.mark.parametrize(
        ("shape", "context", "label"),
        [
            (Shape(), 512, "pp512 tg128"),
            (Shape(prompt_tokens=16, generated_tokens=64, depth=100), 164, "pp16 tg64 @ d100"),
            (Shape(prompt_tokens=16, generated_tokens=64, depth=100, after_prompt=True), 180, "pp16+tg64 @ d100"),
        ],
    )
    def test_context_and_label(self, shape: Shape, context: int, label: str) -> None:
        assert (shape.context, shape.label) == (context, label)

    def test_the_context_of_a_worker_has_room_for_its_largest_shape(self) -> None:
        made = plan(changes=Grid(prompt_tokens=(16, 300)))
        assert context_for(made.cells[:1]) == 256
        assert context_for(made.cells[:2]) == 512
        assert context_for(plan("survey").cells[:1]) == 2048

    def test_a_cell_s_label_has_what_is_not_usual(self) -> None:
        (cell, *_) = plan(changes=Grid(threads=(1,), kv_types=(("q8_0", "q8_0"),), flash_attention=("off",))).cells
        assert cell.label == "pp512 tg128 · 1 thread · keys q8_0 · values q8_0 · flash attention off"
        assert plan().cells[0].label == "pp512 tg128"
        assert setup_words(Setup(threads=2), frozenset({"threads", "micro_batch"})) == ("2 threads", "micro-batch 512")


def test_a_plan_comes_back_from_its_document() -> None:
    made = plan("sweep", Grid(cool_down_s=2.5))
    record = PlanRecord(plan=made, sha256={str(POCKET.path): "ab" * 32}, slmtui="0.1.0", engine=None)
    back = decode(encode(record), PlanRecord)
    assert back == record
    assert isinstance(back.plan.cells[0].model.path, Path)
    assert back.plan.cells[0].model.demo
    with pytest.raises(msgspec.DecodeError):
        decode('{"plan": {}}', PlanRecord)
