"""Audited metrics against sparsity: where tickets win, by the rule of paper 004 worked out by hand."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from shelves import family, net, report, row, shelf

from ticketctl.figures import audit_sparsity as figure
from ticketctl.figures.sheet import NothingError
from ticketctl.figures.winning import STANDARD, measured

MODULES = {"nll": "nll", "accuracy": "accuracy", "ece": "ece", "auroc.noise": "ood", "auroc.fmnist": "ood"}
LOWER = ("nll", "ece")


def audited(level=1, density=0.5, seed=0, *, errors=None, corrupted=None, **values):
    rows = [
        replace(
            row(name, value, MODULES[name], error=(errors or {}).get(name)),
            better="lower" if name in LOWER else "higher",
        )
        for name, value in ((name.replace("_", "."), value) for name, value in values.items())
    ]
    if corrupted is not None:
        rows.append(replace(row("corruption", corrupted, "corruption"), better="lower"))
        rows += [
            replace(row(f"corruption.{name}", corrupted, "corruption"), better="lower") for name in STANDARD
        ]
    found = report("audit", rows, number=100 * level + seed)
    return net(level=level, density=density, seed=seed, reports={("audit", "trained"): [found]})


def shelf_of(dense, nets, **more):
    whole = family("dense", dense, method="dense")
    return shelf(whole, family("imp", nets, dense=whole.groups[0]), **more)


def sheet_of(dense, nets, *, metrics=(), **more):
    (one,) = figure.gather(shelf_of(dense, nets, **more), params=figure.Params(metrics=metrics))
    return one


def wins(one):
    return [(found["x"], found["role"], found["wins"]) for found in one.where(series="imp")]


def test_accuracy_may_lie_one_point_below_dense_and_no_more():
    dense = [audited(0, 1.0, accuracy=0.96)]
    one = sheet_of(dense, [audited(1, 0.5, accuracy=0.95), audited(2, 0.25, accuracy=0.949)])
    assert wins(one) == [(50, "line", "yes"), (75, "lost", "no")]
    assert "imp: accuracy 50/75" in one.notes
    assert [found["y"] for found in one.where(role="reference")] == [96]


def test_other_metrics_may_be_worse_by_a_pooled_standard_error():
    """Dense 1.0 and 1.2, deviation sqrt(0.02); tickets alike: sqrt((0.02 + 0.02) / 2) = 0.1414 is allowed."""
    dense = [audited(0, 1.0, seed, nll=value) for seed, value in enumerate((1.0, 1.2))]
    near = [audited(1, 0.5, seed, nll=value) for seed, value in enumerate((1.14, 1.34))]
    far = [audited(2, 0.25, seed, nll=value) for seed, value in enumerate((1.15, 1.35))]
    assert wins(sheet_of(dense, [*near, *far])) == [(50, "line", "yes"), (75, "lost", "no")]


def test_of_a_single_pair_the_errors_of_both_values_count():
    dense = [audited(0, 1.0, nll=1.0, errors={"nll": 0.3})]
    near = audited(1, 0.5, nll=1.49, errors={"nll": 0.4})
    far = audited(2, 0.25, nll=1.51, errors={"nll": 0.4})
    assert wins(sheet_of(dense, [near, far])) == [(50, "line", "yes"), (75, "lost", "no")]


def test_mce_is_relative_to_the_dense_net_of_the_same_seed():
    dense = [audited(0, 1.0, seed, corrupted=value) for seed, value in enumerate((0.2, 0.4))]
    nets = [audited(1, 0.5, seed, corrupted=0.4) for seed in range(2)]
    one = sheet_of(dense, nets)
    (found,) = one.where(series="imp")
    assert found["y"] == pytest.approx((2 + 1) / 2)
    assert [(level["y"], level["low"]) for level in one.where(role="reference")] == [(1, 1)]


def test_auroc_is_of_the_first_set_that_is_no_noise():
    nets = [audited(1, 0.5, auroc_noise=0.9, auroc_fmnist=0.8)]
    found = measured(shelf_of([audited(0, 1.0, auroc_noise=0.9, auroc_fmnist=0.7)], nets), "auroc")
    assert found.row == "auroc.fmnist"


def test_what_a_verdict_says_of_these_nets_counts_more_than_the_means():
    dense, ticket = audited(0, 1.0, accuracy=0.96), audited(1, 0.5, accuracy=0.5)
    pair = SimpleNamespace(net=SimpleNamespace(run=ticket.id))
    judged = SimpleNamespace(pairs=(pair,), metrics=(SimpleNamespace(metric="accuracy", status="pass"),))
    one = sheet_of([dense], [ticket], verdicts=(SimpleNamespace(nets=(judged,)),))
    assert [(found["wins"], found["judged"]) for found in one.where(series="imp")] == [("yes", "verdict")]
    other = SimpleNamespace(
        pairs=(SimpleNamespace(net=SimpleNamespace(run="rn1other")),), metrics=judged.metrics
    )
    one = sheet_of([dense], [ticket], verdicts=(SimpleNamespace(nets=(other,)),))
    assert [(found["wins"], found["judged"]) for found in one.where(series="imp")] == [("no", "means")]


def test_a_verdict_on_some_of_the_nets_of_a_level_says_nothing_of_their_mean():
    dense = [audited(0, 1.0, seed, accuracy=0.96) for seed in (0, 1)]
    nets = [audited(1, 0.5, seed, accuracy=0.5) for seed in (0, 1)]
    pair = SimpleNamespace(net=SimpleNamespace(run=nets[0].id))
    judged = SimpleNamespace(pairs=(pair,), metrics=(SimpleNamespace(metric="accuracy", status="pass"),))
    one = sheet_of(dense, nets, verdicts=(SimpleNamespace(nets=(judged,)),))
    assert [(found["wins"], found["judged"]) for found in one.where(series="imp")] == [("no", "means")]


def test_a_metric_that_is_named_twice_is_drawn_once():
    one = sheet_of([audited(0, 1.0, accuracy=0.9)], [audited(accuracy=0.9)], metrics=("accuracy", "accuracy"))
    assert len(list(one.where(series="imp"))) == 1


def test_of_a_metric_of_the_verdict_that_is_not_there_the_command_that_measures_it_is_named():
    with pytest.raises(
        NothingError, match=r"no audit measured 'ece'; run: ticketctl audit RUNS --metrics ece$"
    ):
        sheet_of([audited(0, 1.0, accuracy=0.9)], [audited(accuracy=0.9)], metrics=("ece",))


def test_what_no_dense_net_was_trained_like_is_neither_won_nor_lost_in_the_picture_the_notes_and_the_table():
    (one,) = figure.gather(shelf(family("imp", [audited(1, 0.5, accuracy=0.1)])), params=figure.Params())
    assert wins(one) == [(50, "unjudged", "not judged")]
    assert "half filled, thin line: not judged: no dense net of the same training: imp" in one.notes
    assert not any("filled: the level wins" in note or "/–" in note for note in one.notes)


def test_beside_ladders_that_are_judged_only_those_that_are_not_are_named():
    judged = shelf_of([audited(0, 1.0, accuracy=0.96)], [audited(1, 0.5, accuracy=0.96)]).families
    other = family("imp + swish", [audited(1, 0.5, 7, accuracy=0.96)], tweaks=("swish",))
    (one,) = figure.gather(shelf(*judged, other), params=figure.Params())
    assert [row["role"] for row in one.where(series="imp + swish")] == ["unjudged"]
    assert wins(one) == [(50, "line", "yes")]
    assert [note for note in one.notes if "not judged" in note] == [
        "half filled, thin line: not judged: no dense net of the same training: imp + swish"
    ]


def test_dense_nets_of_other_seeds_judge_nothing():
    one = sheet_of([audited(0, 1.0, 5, accuracy=0.96)], [audited(1, 0.5, 0, accuracy=0.96)])
    assert [row["judged"] for row in one.where(series="imp")] == ["no audited dense net of the same seeds"]


def test_a_row_that_no_audit_has_is_told():
    with pytest.raises(NothingError, match=r"no audit measured 'lime\.r2'"):
        sheet_of([audited(0, 1.0, accuracy=0.9)], [audited(accuracy=0.9)], metrics=("lime.r2",))
    with pytest.raises(NothingError, match="--against dense"):
        list(figure.gather(shelf(family("imp", [net(density=0.5)])), params=figure.Params()))
