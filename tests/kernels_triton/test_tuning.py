"""The tuner: measures once, keeps what it found, and believes no file that does not fit."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("triton", reason="our GPU kernels need Triton")

from explorer.kernels.triton import tuning
from explorer.kernels.triton.quantize_rows import candidates, quantize_rows
from explorer.kernels.triton.tuning import Config, Problem, Tuner, default_path

SLOW, FAST, MISFIT = (Config.of(4, stages, BLOCK=16 * stages) for stages in (1, 2, 3))
TIMES = {SLOW: 2.0, FAST: 1.0, MISFIT: math.inf}
PROBLEM = Problem("matmul", (16, 64, 64), "relu")


class Bench:
    """Stands for the GPU: gives each launch its time, and remembers what it was asked."""

    def __init__(self) -> None:
        self.launched: list[Config] = []

    def launch(self, config: Config) -> None:
        self.launched.append(config)

    def measure(self, run: Any) -> float:
        run()
        return TIMES[self.launched[-1]]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def tuner(path: Path, bench: Bench) -> Tuner:
    return Tuner(path / "folder" / "launches.json", bench.measure)


def test_the_fastest_that_fits_is_found_once(bench: Bench, tmp_path: Path) -> None:
    first = tuner(tmp_path, bench)
    for _ in range(3):
        assert first.choose(PROBLEM, (SLOW, FAST, MISFIT), bench.launch, "gpu") == FAST
    assert bench.launched == [SLOW, FAST, MISFIT]


def test_the_next_process_reads_what_this_one_found(bench: Bench, tmp_path: Path) -> None:
    tuner(tmp_path, bench).choose(PROBLEM, (SLOW, FAST), bench.launch, "gpu")
    bench.launched.clear()
    assert tuner(tmp_path, bench).choose(PROBLEM, (SLOW, FAST), bench.launch, "gpu") == FAST
    assert bench.launched == []


def test_other_devices_and_problems_are_measured_anew(bench: Bench, tmp_path: Path) -> None:
    first = tuner(tmp_path, bench)
    first.choose(PROBLEM, (SLOW, FAST), bench.launch, "gpu")
    for problem, device in ((PROBLEM, "another gpu"), (Problem("matmul", (32, 64, 64), "relu"), "gpu")):
        bench.launched.clear()
        first.choose(problem, (SLOW,), bench.launch, device)
        assert bench.launched == [SLOW]
    assert len(json.loads(first.path.read_text())["choices"]) == 3


def test_a_launch_that_is_no_candidate_any_more_is_not_believed(bench: Bench, tmp_path: Path) -> None:
    tuner(tmp_path, bench).choose(PROBLEM, (SLOW, FAST), bench.launch, "gpu")
    assert tuner(tmp_path, bench).choose(PROBLEM, (SLOW,), bench.launch, "gpu") == SLOW


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "{",
        "[]",
        '{"format": 1}',
        '{"format": 1, "choices": []}',
        '{"format": 2, "choices": {"gpu: matmul 16x64x64 relu": {"blocks": {"BLOCK": 16}, "warps": 4, "stages": 1}}}',
        '{"format": 1, "choices": {"gpu: matmul 16x64x64 relu": null}}',
        '{"format": 1, "choices": {"gpu: matmul 16x64x64 relu": {"blocks": 3, "warps": 4, "stages": 1}}}',
        '{"format": 1, "choices": {"gpu: matmul 16x64x64 relu": {"blocks": {"BLOCK": "16"}, "warps": 4, "stages": 1}}}',
        '{"format": 1, "choices": {"gpu: matmul 16x64x64 relu": {"blocks": {"BLOCK": 16}, "warps": 4}}}',
    ],
)
def test_a_damaged_file_costs_a_measurement_and_nothing_else(damage: str, bench: Bench, tmp_path: Path) -> None:
    first = tuner(tmp_path, bench)
    first.path.parent.mkdir()
    first.path.write_text(damage)
    assert first.choose(PROBLEM, (SLOW, FAST), bench.launch, "gpu") == FAST
    assert json.loads(first.path.read_text())["choices"]["gpu: matmul 16x64x64 relu"]["blocks"] == {"BLOCK": 32}


def test_where_nothing_fits_it_says_so(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no launch of gpu: matmul 16x64x64 relu fits"):
        tuner(tmp_path, bench).choose(PROBLEM, (MISFIT,), bench.launch, "gpu")


def test_where_it_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PRECISION_EXPLORER_HOME", str(tmp_path))
    assert default_path() == tmp_path / "triton-launches.json"
    monkeypatch.delenv("PRECISION_EXPLORER_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert default_path() == tmp_path / "cache" / "precision-explorer" / "triton-launches.json"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="a GPU's launches are timed on a GPU")
def test_launches_are_timed_on_this_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    x = torch.randn(64, 512, device="cuda")
    monkeypatch.setattr(tuning, "default_tuner", lambda: Tuner(tmp_path / "launches.json"))
    codes, scale = quantize_rows(x)
    (line,) = json.loads((tmp_path / "launches.json").read_text())["choices"].values()
    assert 0 < line["time_ms"] < 10 and line["tried"] == len(candidates(512))
    with monkeypatch.context() as patch:
        patch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
        assert all(map(torch.equal, quantize_rows(x), (codes, scale))), "while a graph is captured nothing is timed"


def test_a_config_reads_as_its_options() -> None:
    config = Config.of(8, 3, BLOCK_N=64, BLOCK_M=16)
    assert config.options == {"BLOCK_M": 16, "BLOCK_N": 64, "num_warps": 8, "num_stages": 3}
    assert config["BLOCK_N"] == 64
    assert str(config) == "BLOCK_M=16 BLOCK_N=64 warps=8 stages=3"


def test_what_changes_the_launches_worth_trying_is_part_of_the_problem(bench: Bench, tmp_path: Path) -> None:
    """A remembered launch that is no candidate of this call is not used, in the same process either."""
    first = tuner(tmp_path, bench)
    assert first.choose(PROBLEM, (SLOW, FAST), bench.launch, "gpu") == FAST
    assert first.known(PROBLEM, (SLOW,), "gpu") is None
    assert first.choose(PROBLEM, (SLOW,), bench.launch, "gpu") == SLOW


def test_where_nothing_can_be_written_the_choice_still_stands(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("a file where the folder should be")
    assert tuner(tmp_path, bench).choose(PROBLEM, (SLOW, FAST), bench.launch, "gpu") == FAST
