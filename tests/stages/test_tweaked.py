"""A spend with tweaks: the same ticket, another training, and nothing paid for twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.stages import tiny
from ticketctl.artifacts.run import open_run
from ticketctl.artifacts.ticket import open_ticket
from ticketctl.errors import UsageError
from ticketctl.figures.paired import paired, quantile
from ticketctl.masks.mask import Mask
from ticketctl.stages.beginning import momentum
from ticketctl.stages.compare import grouped
from ticketctl.stages.papers import tweaks_of
from ticketctl.stages.setting import prepare, seeds_of
from ticketctl.stages.spent import TWEAKED, table
from ticketctl.stages.subjects import subjects_in
from ticketctl.stages.tweaking import GROUPS, sets_of, tweak_set
from ticketctl.train.fitfiles import FitFiles
from ticketctl.train.loop import Loop
from ticketctl.train.state import State

CONV = {
    "model": {"name": "resnet20s", "widths": [2, 2, 2, 2]},
    "data": {"name": "digits", "validation": "last:200", "augment": "none", "subset": {"fraction": 0.4}},
    "train": {"epochs": 2, "batch": 100, "lr": 0.05, "momentum": 0.9, "threads": 1, "precision": "f32"},
    "draw": {"method": "imp", "rounds": 3, "rate": "1/4"},
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ladder of three rounds of a thin ResNet-20s."""
    folder = tmp_path_factory.mktemp("tweaked") / "seed-0"
    tiny.run_draw(tiny.recipe(tables=CONV), 0, folder, tiny.around(folder.parent / "cache"))
    return folder


@pytest.mark.long
def test_an_attribution_has_vanilla_each_tweak_all_of_them_and_the_dense_net_with_and_without(
    drawn: Path,
) -> None:
    spent = tiny.spend(drawn, "spend.attribution=true", levels="3", seeds=[0, 1], tweaks=["ls,swish"])
    rows = [(row.kind, row.tweaks, row.n) for row in table(spent)]
    both = tweak_set(["ls,swish"])
    assert rows == [
        ("dense", (), 2), ("dense", both, 2), ("ticket", (), 2),
        *(("ticket", (name,), 2) for name in both), ("ticket", both, 2),
    ]  # fmt: skip


@pytest.mark.long
def test_what_tweak_sets_share_is_trained_once(drawn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.spend(drawn, levels="3", seeds=[5], tweaks=["ls", "kd"])
    monkeypatch.setattr(Loop, "run", lambda self: pytest.fail("trained"))
    found = tiny.spend(drawn, levels="3", seeds=[5], tweaks=["kd", "ls"])
    assert len(found) == 4  # dense, vanilla, each tweak: the teacher is the dense run


@pytest.mark.long
def test_the_order_in_which_tweaks_are_typed_means_nothing(drawn: Path) -> None:
    one, other = (tiny.spend(drawn, levels="3", tweaks=[text])[-1] for text in ("swish,ls", "ls,swish"))
    assert one.run.folder == other.run.folder
    assert not other.trained


def test_groups_stand_for_their_parts() -> None:
    assert (
        set(tweak_set(["at", "trt"]))
        == set(tweak_set(["at+trt"]))
        == {name for parts in GROUPS.values() for name in parts}
    )
    assert tweak_set(["none"]) == ()


@pytest.mark.long
def test_kd_names_its_teacher_by_the_digest_of_its_weights(drawn: Path) -> None:
    run = tiny.spend(drawn, levels="3", tweaks=["kd"])[-1].run
    said = json.dumps(run.manifest.model_dump(mode="json")["ext"][TWEAKED])
    assert open_run(drawn / "levels" / "0").manifest.weights.digest in said
    named = tiny.spend(drawn, "tweaks.kd.teacher=" + str(drawn / "levels" / "1"), levels="3", tweaks=["kd"])[
        -1
    ].run
    said = json.dumps(named.manifest.model_dump(mode="json")["ext"][TWEAKED])
    assert open_run(drawn / "levels" / "1").manifest.weights.digest in said
    assert str(drawn) not in json.dumps(named.manifest.model_dump(mode="json"))


def wrong() -> Iterator[tuple[str, tuple[str, ...], str]]:
    yield "sam,smm", (), "did you mean 'sam'"
    yield "sam,asam", (), "exclude each other"
    yield "redense,pools", (), "exclude"
    yield "ls", ("tweaks.ls.alpah=0.2",), "did you mean 'alpha'"
    yield "ls", ("tweaks.ls.alpha=2",), "tweaks.ls.alpha"
    yield "ls", ("tweaks.ls.alpha=much",), "tweaks.ls.alpha"
    yield "ls", ("tweaks.lss.alpha=0.1",), "did you mean 'ls'"
    yield "kd", ("tweaks.kd.teacher=nowhere",), "no run in 'nowhere'"
    yield "none", ("spend.attribution=true",), "name some"


@pytest.mark.parametrize(("names", "sets", "said"), list(wrong()))
def test_what_cannot_be_is_refused_in_one_line_before_anything_is_trained(
    names: str, sets: tuple[str, ...], said: str, drawn: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Loop, "run", lambda self: pytest.fail("trained"))
    with pytest.raises(UsageError) as refused:
        tiny.spend(drawn, "train.lr=0.03", *sets, levels="3", tweaks=[names])
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_sets_without_vanilla_are_just_those() -> None:
    recipe = tiny.recipe("spend.vanilla=false")
    assert sets_of(recipe, ["ls", "sam"]) == [("ls",), ("sam",)]
    assert sets_of(tiny.recipe(), ["ls", "none"]) == [(), ("ls",)]


@pytest.mark.parametrize(
    ("freedom", "t"), [(1, 12.7062), (2, 4.30265), (3, 3.18245), (9, 2.26216), (10, 2.22814), (30, 2.04227)]
)
def test_quantiles_are_those_of_the_printed_tables(freedom: int, t: float) -> None:
    assert quantile(freedom) == pytest.approx(t, rel=1e-5)


def test_differences_are_paired_by_the_seeds_that_both_have() -> None:
    found = paired({0: 0.5, 1: 0.7, 2: 0.9, 7: 0.1}, {0: 0.4, 1: 0.5, 2: 0.6, 8: 0.9})
    assert found is not None
    assert (found.mean, found.n) == (pytest.approx(0.2), 3)
    assert found.half_width == pytest.approx(4.30265 * 0.1 / 3**0.5, rel=1e-5)
    assert paired({0: 1.0}, {1: 1.0}) is None


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A draw rewound to its second epoch of four."""
    folder = tmp_path_factory.mktemp("late") / "seed-0"
    tiny.draw(folder, "train.epochs=4", "draw.rewind=2ep")
    return folder


def test_a_rewound_ticket_can_begin_at_the_initialisation_instead(late: Path) -> None:
    run = tiny.spend(late, "spend.start=init", levels="2")[-1].run
    dense = open_run(late / "levels" / "0").manifest
    assert (run.manifest.start.role, run.manifest.start.step) == ("init", 0)
    assert run.manifest.start.digest == dense.start.digest
    assert run.manifest.ticket == open_run(late / "levels" / "2").manifest.ticket
    assert run.manifest.cost.steps == 4 * tiny.PER_EPOCH


def test_a_level_can_be_trained_on_from_where_its_draw_left_it(late: Path) -> None:
    run = tiny.spend(late, "spend.start=trained", levels="2")[-1].run
    assert run.manifest.start.digest == open_run(late / "levels" / "2").manifest.weights.digest
    assert (run.manifest.start.role, run.manifest.start.step) == ("trained", 0)


def test_kept_momentum_of_the_surviving_weights_is_that_of_the_dense_net_at_the_rewind_point(
    late: Path,
) -> None:
    """Where nothing is pruned, going on with the momentum is the training that was never interrupted, to the bit."""
    whole = open_run(late / "levels" / "0")
    recipe = tiny.recipe("train.epochs=4", "draw.rewind=2ep", "spend.optimizer=kept")
    setting = prepare(recipe, seeds_of(recipe, 0), tiny.around(late.parent / "cache"))
    ticket = State.from_tensors(open_ticket(late / "ticket").init(), 2 * tiny.PER_EPOCH)
    full = Mask.full(setting.shapes)
    handed = momentum(setting, open_ticket(late / "ticket"), full, ticket, "rewind")
    assert handed is not None
    lab = setting.lab(late.parent / "go-on")
    fit = lab.fit(ticket, None, hooks=[handed])
    ours, theirs = fit.end().weights, State.from_tensors(whole.weights(), 0).weights
    assert all(bool((ours[name] == theirs[name]).all()) for name in theirs)


def test_kept_momentum_changes_the_course_and_is_refused_where_there_is_none(late: Path, drawn: Path) -> None:
    fresh, kept = (
        tiny.spend(late, f"spend.optimizer={how}", levels="2")[-1].run for how in ("fresh", "kept")
    )
    assert fresh.manifest.start == kept.manifest.start
    assert fresh.manifest.weights.digest != kept.manifest.weights.digest
    with pytest.raises(UsageError, match="rewind point"):
        tiny.spend(drawn, "spend.optimizer=kept", levels="2")


@pytest.mark.long
def test_what_changes_the_start_has_no_second_say_in_a_sequel(drawn: Path) -> None:
    sets = (
        "tweaks.scaled-init.iterations=3",
        "tweaks.scaled-init.batch=32",
        "tweaks.redense.lr=0.01",
    )
    run = tiny.spend(drawn, *sets, levels="2", tweaks=["scaled-init,redense"])[-1].run
    base = open_run(drawn / "levels" / "2").manifest
    assert run.manifest.arch.tweaks == ("scaled-init", "redense")
    assert run.manifest.start.role == "trained"
    assert run.manifest.start.digest != base.weights.digest
    assert not any(name.startswith("scaled_init") for name in run.record() or {})


@pytest.mark.long
def test_the_largest_eigenvalue_is_kept_along_a_spend(late: Path) -> None:
    run = tiny.spend(late, "keep.lambda_max=1", "keep.epochs=[3]", levels="2")[-1].run
    record = run.record()
    assert record is not None
    values = record["lambda_max"].array()
    assert values.shape == (3,)  # before, and after the two epochs behind the rewind point
    assert np.isfinite(values).all()
    assert [state.name for state in run.manifest.states] == ["best_val", "epoch-3"]
    plain = open_run(late / "levels" / "2")
    assert run.manifest.weights.digest == plain.manifest.weights.digest


def test_saying_a_default_leads_to_the_same_run(drawn: Path) -> None:
    said = ("tweaks.ls.alpha=0.1", "tweaks.ls.form=torch")
    plain, spelt = (
        tiny.spend(drawn, levels="3", tweaks=["ls"]),
        tiny.spend(drawn, *said, levels="3", tweaks=["ls"]),
    )
    assert [one.run.folder for one in plain] == [one.run.folder for one in spelt]
    assert not any(one.trained for one in spelt)


@pytest.mark.long
def test_kept_momentum_is_that_of_the_draw_whatever_the_seed_and_length_of_the_spend(late: Path) -> None:
    spent = tiny.spend(late, "spend.optimizer=kept", "train.epochs=6", levels="1,2", seeds=[0, 3])
    assert len([one for one in spent if one.level]) == 4
    (folder,) = late.glob("dense-to-rewind*")
    state = State.from_tensors(open_ticket(late / "ticket").init(), 0).weights
    assert all(
        bool((FitFiles(folder).read_state(FitFiles(folder).final, 0).weights[k] == state[k]).all())
        for k in state
    )
    with pytest.raises(UsageError, match="batch 256"):
        tiny.spend(late, "spend.optimizer=kept", "train.batch=128", levels="2")


@pytest.mark.long
def test_a_sequel_that_learns_from_the_dense_net_finds_it_though_no_dense_row_is_asked_for(
    drawn: Path,
) -> None:
    sets = ("spend.dense=false", "spend.vanilla=false", "tweaks.redense.lr=0.01")
    spent = tiny.spend(drawn, *sets, levels="3", seeds=[4], tweaks=["kd,redense"])
    assert [one.job.tweaks for one in spent] == [(), ("kd",), ("redense", "kd")]


def test_a_dense_net_has_no_mask_to_tweak(drawn: Path) -> None:
    for name in ("dsd", "acdc", "pools", "redense"):
        with pytest.raises(UsageError, match="no mask"):
            tiny.spend(drawn, levels="0", tweaks=[name])


@pytest.mark.long
def test_what_is_shown_beside_a_spend_does_not_move_its_runs(drawn: Path) -> None:
    one, other = (
        tiny.spend(drawn, "train.lr=0.02", *more, levels="3")[-1] for more in ((), ("spend.dense=false",))
    )
    assert one.run.folder == other.run.folder
    assert not other.trained


def test_what_hangs_on_a_diverged_run_is_left_out_and_the_rest_goes_on(drawn: Path) -> None:
    heard = tiny.Heard()
    sets = ("train.lr=1e30", "spend.dense=false", "tweaks.redense.lr=0.01")
    spent = tiny.spend(drawn, *sets, levels="3", tweaks=["redense", "ls"], reporter=heard)
    assert [(one.job.tweaks, one.run.manifest.status) for one in spent] == [
        ((), "diverged"),
        (("ls",), "diverged"),
    ]
    assert any("nothing can begin from it" in note for note in heard.notes)


@pytest.mark.long
def test_the_recipe_in_a_run_is_the_one_that_repeats_it(drawn: Path) -> None:
    for name, keys in (("redense", ("tweaks.redense.lr=0.01",)), ("dsd", ())):
        run = tiny.spend(drawn, *keys, levels="2", tweaks=[name])[-1].run.manifest.model_dump(mode="json")
        assert run["recipe"]["train"]["epochs"] == CONV["train"]["epochs"]
        assert run["ext"][TWEAKED]["course"]


def test_a_re_dense_run_is_measured_from_where_the_sparse_one_began_pruned_weights_at_zero(
    drawn: Path,
) -> None:
    run = tiny.spend(drawn, "tweaks.redense.lr=0", levels="2", tweaks=["redense"])[-1].run
    sparse = open_run(drawn / "levels" / "2").manifest.metrics
    assert (
        run.manifest.metrics["distance.full"]
        == run.manifest.metrics["distance.masked"]
        == sparse["distance.masked"]
    )


@pytest.mark.long
def test_after_a_scaled_start_it_is_measured_from_there(drawn: Path) -> None:
    keys = ("tweaks.redense.lr=0", "tweaks.scaled-init.iterations=3", "tweaks.scaled-init.lr=0.2")
    spent = tiny.spend(drawn, *keys, levels="2", tweaks=["scaled-init,redense"])
    (sparse,) = [one.run.manifest.metrics for one in spent if one.job.tweaks == ("scaled-init",)]
    dense = spent[-1].run.manifest.metrics
    assert float(dense["distance.full"]) == pytest.approx(float(sparse["distance.masked"]), rel=1e-6)
    assert float(sparse["distance.masked"]) < float(sparse["distance.full"])


def test_states_beyond_the_end_are_refused(drawn: Path) -> None:
    with pytest.raises(UsageError, match=r"keep\.epochs: 99"):
        tiny.spend(drawn, "keep.epochs=[1, 99]", levels="2")


def test_compare_keeps_apart_what_began_elsewhere(late: Path) -> None:
    for start in ("ticket", "init", "trained"):
        tiny.spend(late, f"spend.start={start}", levels="2")
    found = grouped(subjects_in([str(late / "levels" / "2"), str(late / "spends")], late.parent)[0])
    sparse = [group for group in found if group.density < 1]
    starts = {group.settings.get("spend.start", "ticket") for group in sparse}
    assert starts == {"ticket", "init", "trained"}
    assert all(len({run.manifest.start.digest for run in group.runs}) == 1 for group in sparse)


def test_a_run_is_the_same_however_its_place_is_written(drawn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(drawn)
    places = ("levels/1", str(drawn / "levels" / "1"), "./levels/../levels/1")
    found = {
        tiny.spend(drawn, f"tweaks.kd.teacher={place}", levels="3", tweaks=["kd"])[-1].run.folder
        for place in places
    }
    assert len(found) == 1


@pytest.mark.long
def test_a_weights_file_can_teach_and_one_of_another_net_cannot(drawn: Path, late: Path) -> None:
    final, run = (drawn / "levels" / "1" / name for name in ("final.safetensors", ""))
    of_file, of_run = (
        tiny.spend(drawn, f"tweaks.kd.teacher={place}", levels="3", tweaks=["kd"])[-1].run
        for place in (final, run)
    )
    assert of_file.manifest.weights.digest == of_run.manifest.weights.digest
    assert of_file.manifest.training_id == of_run.manifest.training_id
    with pytest.raises(UsageError, match="cannot teach"):
        tiny.spend(drawn, f"tweaks.kd.teacher={late}/levels/0/final.safetensors", levels="3", tweaks=["kd"])


@pytest.mark.long
def test_the_gap_to_dense_is_over_the_seeds_of_which_neither_diverged(drawn: Path) -> None:
    spent = tiny.spend(drawn, levels="3", seeds=[0, 1, 2])
    lost = next(one for one in spent if one.level and one.seed == 1)
    manifest = lost.run.manifest.model_copy(update={"status": "diverged"})
    left = [replace(one, run=replace(one.run, manifest=manifest)) if one is lost else one for one in spent]
    accuracy = {(one.level, one.seed): Fraction(one.run.manifest.metrics["test.accuracy"]) for one in spent}
    truth = sum(accuracy[3, seed] - accuracy[0, seed] for seed in (0, 2)) / 2
    (row,) = (row for row in table(left) if row.level)
    assert (row.n, row.diverged, row.gap) == (2, 1, float(truth))


def test_a_table_that_misspells_a_tweak_is_refused_with_the_near_miss() -> None:
    assert tweaks_of(("at", "ls")) == ("ls", "skip", "swish")
    with pytest.raises(UsageError, match="did you mean 'ls'"):
        tweaks_of(("lss",))
