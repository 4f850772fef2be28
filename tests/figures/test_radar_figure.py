"""Radar charts from audits and from verdicts, against shares worked out by hand."""

from dataclasses import replace

import pytest

from tests.artifacts import verdicts
from tests.figures.shelves import family, net, report, row, shelf
from ticketctl.errors import UsageError
from ticketctl.figures import radar as figure
from ticketctl.figures.sheet import NothingError
from ticketctl.stages.verdict import Rule, judge


def audited(seed=0, density=1.0, level=0, sets=("noise", "svhn"), **values):
    rows = [row(name, value) for name, value in values.items()]
    rows += [row(f"auroc.{one}", 0.5 + len(one) / 10, "ood") for one in sets]
    rows += [row("auroc.noise.energy", 0.1, "ood")]
    told = {("audit", "trained"): [report("audit", rows, keys={"ood": {}})]}
    return net(seed=seed, density=density, level=level, reports=told)


def shelf_of(*tickets):
    whole = family("dense", [audited(accuracy=0.9, ece=0.01, nll=0.3)], method="dense")
    return shelf(whole, *(family(name, nets, dense=whole.groups[0]) for name, nets in tickets))


def cells(sheet):
    return {(one["series"], one["axis"]): (one["share"], one["raw"]) for one in sheet.where()}


def test_outward_is_better_and_raw_values_stand_beside():
    imp = [audited(seed, 0.1, 3, accuracy=0.8 + seed / 10, ece=0.03, nll=0.3) for seed in (0, 1)]
    snip = [audited(0, 0.1, 1, accuracy=0.7, ece=0.02, nll=0.5)]
    (one,) = figure.gather(shelf_of(("imp", imp), ("snip", snip)), params=figure.Params())
    found = cells(one)
    assert found["dense", "accuracy ↑"] == (1.0, 0.9)
    assert found["imp", "accuracy ↑"] == (pytest.approx(0.75), pytest.approx(0.85))
    assert found["snip", "accuracy ↑"] == (0.0, 0.7)
    assert found["imp", "ECE ↓"] == (0.0, 0.03)
    assert found["snip", "ECE ↓"][0] == pytest.approx(0.5)
    assert [found[name, "NLL ↓"][0] for name in ("dense", "imp", "snip")] == [1.0, 1.0, 0.0]
    assert one.values("axis") == ["accuracy ↑", "OoD AUROC ↑", "ECE ↓", "NLL ↓"]
    assert {name: {row["n"] for row in one.where(series=name)} for name in one.values("series")} == {
        "dense": {1}, "imp": {2}, "snip": {1},
    }  # fmt: skip
    assert "90 % sparsity" in one.title


def test_the_set_behind_the_auroc_is_one_that_all_nets_were_shown_and_not_noise():
    imp = [audited(0, 0.1, 3, accuracy=0.8, ece=0.03, nll=0.3)]
    (one,) = figure.gather(shelf_of(("imp", imp)), params=figure.Params())
    assert cells(one)["imp", "OoD AUROC ↑"] == (1.0, pytest.approx(0.9))  # of svhn
    few = [audited(0, 0.1, 3, sets=("noise",), accuracy=0.8, ece=0.03, nll=0.3)]
    (one,) = figure.gather(shelf_of(("imp", few)), params=figure.Params())
    assert cells(one)["imp", "OoD AUROC ↑"] == (1.0, pytest.approx(1.0))  # of noise


def test_a_ladder_is_taken_at_the_sparsity_that_is_asked_for():
    nets = [audited(0, density, level, accuracy=density, ece=0.1, nll=0.1) for level, density in
            ((1, 0.5), (2, 0.25), (3, 0.12))]  # fmt: skip
    (one,) = figure.gather(shelf_of(("imp", nets)), params=figure.Params(sparsity=74))
    assert cells(one)["imp", "accuracy ↑"][1] == 0.25
    with pytest.raises(NothingError, match=r"near 99 % sparsity.*ticketctl audit"):
        list(figure.gather(shelf_of(("imp", nets)), params=figure.Params(sparsity=99)))


def test_many_nets_are_ranked_chart_by_chart_with_the_dense_one_in_each():
    tickets = [(f"imp {at}", [audited(at, 0.1, 1, accuracy=0.1 * at, ece=0.1, nll=0.1)]) for at in range(9)]
    found = list(figure.gather(shelf_of(*tickets), params=figure.Params()))
    assert [one.name for one in found] == ["radar.imp-0-to-imp-4", "radar.imp-5-to-imp-8"]
    assert all(one.values("series")[0] == "dense" for one in found)
    assert [len(one.values("series")) for one in found] == [6, 5]


def test_n_of_a_value_is_how_many_of_the_runs_were_audited_and_recipes_left_out_are_named():
    imp = [audited(0, 0.1, 3, accuracy=0.8, ece=0.03, nll=0.3), net(seed=1, density=0.1, level=3)]
    snip = [audited(0, 0.5, 1, accuracy=0.7, ece=0.02, nll=0.5)]
    never = [net(density=0.1)]
    (one,) = figure.gather(shelf_of(("imp", imp), ("snip", snip), ("never", never)), params=figure.Params())
    assert {row["n"] for row in one.where(series="imp")} == {1}
    assert one.notes[-1] == "without a comparable level: snip"


def test_two_metrics_make_no_chart():
    bare = [net(seed=0, density=0.1, reports={("audit", "trained"): [report("audit", [row("ece", 0.1)])]})]
    with pytest.raises(NothingError, match="three metrics"):
        list(figure.gather(shelf(family("imp", bare)), params=figure.Params()))


def test_a_verdict_s_nets_and_metrics_are_taken_before_audits():
    verdict = judge(verdicts.ladder(), Rule())
    (one,) = figure.gather(shelf(verdicts=(verdict,)), params=figure.Params())
    assert one.values("series") == ["dense", "imp at 90.00 %", "imp at 98.00 %", "random at 90.00 %"]
    assert len(one.values("axis")) == 9
    assert cells(one)["dense", "mCE ↓"][1] == 1.0
    assert cells(one)["random at 90.00 %", "FGSM accuracy ↑"] == (None, None)
    assert one.sources == (verdict.verdict_id,)


def test_a_verdict_s_nets_are_called_as_the_families_of_the_shelf_that_their_runs_belong_to():
    verdict = judge(verdicts.ladder(), Rule())
    first = verdict.nets[0]
    nets = [replace(net(density=0.1, seed=at), id=pair.net.run) for at, pair in enumerate(first.pairs)]
    ours = family("imp (inverted)", nets)
    (one,) = figure.gather(shelf(ours, verdicts=(verdict,)), params=figure.Params())
    assert first.name == "imp at 90.00 %"
    assert one.values("series") == [
        "dense",
        "imp (inverted) at 90.00 %",
        "imp at 98.00 %",
        "random at 90.00 %",
    ]
    few = family("imp (inverted)", nets[:1])
    (one,) = figure.gather(shelf(few, verdicts=(verdict,)), params=figure.Params())
    assert "imp at 90.00 %" in one.values("series"), "not all of its runs are there"


def test_charts_of_a_verdict_are_named_by_their_sparsity():
    verdict = judge(verdicts.ladder(), Rule())
    nets = [verdict.nets[0].model_copy(update={"name": f"net {at}", "density": "1/50" if at > 5 else "1/10"})
            for at in range(8)]  # fmt: skip
    many = verdict.model_copy(update={"nets": tuple(nets)})
    found = figure.gather(shelf(verdicts=(many,)), params=figure.Params())
    assert [one.part for one in found] == ["90-sparsity", "98-sparsity"]


def test_of_a_verdict_the_nets_of_one_sparsity_are_compared_where_it_is_asked_for():
    verdict = judge(verdicts.ladder(), Rule())
    (one,) = figure.gather(shelf(verdicts=(verdict,)), params=figure.Params(sparsity=90))
    assert one.values("series") == ["dense", "imp at 90.00 %", "random at 90.00 %"]


def test_what_is_no_sparsity_is_no_param():
    with pytest.raises(UsageError, match=r"figures\.radar\.sparsity = -1"):
        figure.Params(sparsity=-1)


def test_nets_of_which_nothing_is_left_go_together():
    verdict = judge(verdicts.ladder(), Rule())
    nets = [verdict.nets[0].model_copy(update={"name": f"net {at}", "density": "0/1" if at > 5 else "1/10"})
            for at in range(8)]  # fmt: skip
    many = verdict.model_copy(update={"nets": tuple(nets)})
    found = [one.values("series") for one in figure.gather(shelf(verdicts=(many,)), params=figure.Params())]
    assert found == [["dense", *(f"net {at}" for at in range(6))], ["dense", "net 6", "net 7"]]
