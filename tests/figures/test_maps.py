"""Corruption maps, sweep maps and cost against accuracy, against means worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest

from tests.figures.shelves import family, ladder, net, report, row, shelf
from ticketctl.artifacts.series import Series
from ticketctl.errors import UsageError
from ticketctl.figures import corruption_map, cost_accuracy, sweep_map
from ticketctl.figures.sheet import NothingError


def shown(errors, *, names=("fog", "glass_blur"), **more):
    """A net that was shown corrupted images; errors [C, S] as shares."""
    said = replace(row("corruption", float(np.nanmean(errors))), protocol={"corruptions": [*names]})
    told = {("audit", "trained"): [report("audit", [said], {"corruption/errors": np.array(errors, float)})]}
    return net(reports=told, **more)


def maps(*families, **keys):
    return list(corruption_map.gather(shelf(*families), params=corruption_map.Params(**keys)))


def test_a_cell_is_the_mean_error_over_seeds_in_percent_and_the_dense_net_s_is_taken_off():
    whole = family("dense", [shown([[0.1, 0.2], [0.3, 0.4]], seed=seed) for seed in (0, 1)], method="dense")
    nets = [shown([[0.2, 0.2 + seed / 10], [0.1, 0.4]], density=0.1, level=1, seed=seed) for seed in (0, 1)]
    error, less = maps(whole, family("imp", nets, dense=whole.groups[0]))
    assert [one.name for one in (error, less)] == ["corruption-map.error", "corruption-map.difference"]
    assert error.values("panel") == ["dense", "imp, 90 %"]
    found = {(one["row"], one["column"]): (one["value"], one["n"]) for one in error.where(panel="imp, 90 %")}
    assert found["fog", "2"] == (pytest.approx(25), 2)
    assert found["glass blur", "1"] == (pytest.approx(10), 2)
    assert [one["value"] for one in less.where()] == pytest.approx([10, 5, -20, 0])
    assert less.z is not None
    assert (less.z.low, less.z.high) == pytest.approx((-20, 20))


def test_differences_are_of_pairs_of_one_seed_and_of_means_where_none_is_common():
    """Seeds 1 and 2 pair: 20 - 10 and 60 - 40; the means, 30 - 20, would say 10."""
    whole = family(
        "dense",
        [shown([[error]], names=["fog"], seed=seed) for seed, error in enumerate((0.1, 0.1, 0.4))],
        method="dense",
    )
    imp, snip = (
        [
            shown([[error]], names=["fog"], seed=seed, density=0.1, level=1)
            for seed, error in enumerate(errors, first)
        ]
        for first, errors in ((1, (0.2, 0.6, 0.1)), (7, (0.3, 0.5)))
    )
    named = {"imp": imp, "snip": snip, "grasp": snip}
    _, less = maps(
        whole,
        *(
            family(name, nets, dense=whole.groups[0] if name != "grasp" else None)
            for name, nets in named.items()
        ),
    )
    assert [(one["panel"], one["value"], one["n"]) for one in less.where()] == [
        ("imp, 90 %", pytest.approx(15), 2), ("snip, 90 %", pytest.approx(20), 2),
    ]  # fmt: skip
    assert less.notes == (
        "paired by seed with the dense net: mean over n = 2 differences",
        "difference of means, n = 2 runs, for want of a seed that the dense net has too: snip",
        "without a dense net of the same training that was audited, so without a difference: grasp",
    )


def test_without_any_dense_net_the_map_of_errors_says_that_there_is_none_of_differences():
    (error,) = maps(family("imp", [shown([[0.1]], names=["fog"], density=0.5)]))
    assert (
        "without a dense net of the same training that was audited, so without a difference: imp"
        in error.notes
    )


def test_all_sheets_of_a_kind_have_one_scale_and_parts_that_say_their_ladders():
    whole = family("dense", [shown([[0.1]], names=["fog"])], method="dense")
    ladders = [
        family(f"imp + t{at}", [shown([[0.2 + at / 10]], names=["fog"], density=0.1)], dense=whole.groups[0])
        for at in range(6)
    ]
    found = maps(whole, *ladders)
    assert [one.part for one in found] == [
        f"imp-t{first}-to-imp-t{last}.{kind}"
        for first, last in ((0, 2), (3, 5))
        for kind in ("error", "difference")
    ]
    assert [(one.z.low, one.z.high) for one in found] == [
        pytest.approx((10, 70)),
        pytest.approx((-60, 60)),
    ] * 2
    assert all(any("one colour scale" in note for note in one.notes) for one in found)


def test_a_set_that_was_not_shown_has_no_cell():
    (error,) = maps(family("imp", [shown([[0.1, float("nan")], [0.3, 0.4]], density=0.5)]))
    assert [(one["row"], one["column"]) for one in error.where()] == [
        ("fog", "1"), ("glass blur", "1"), ("glass blur", "2"),
    ]  # fmt: skip


def test_dense_nets_alone_have_a_map_of_their_own():
    (error,) = maps(family("dense", [shown([[0.1]], names=["fog"])], method="dense"))
    assert error.values("panel") == ["dense"]


def test_dense_nets_have_a_map_of_their_own_beside_tickets_that_were_not_audited_too():
    whole = family("dense", [shown([[0.1]], names=["fog"])], method="dense")
    (error,) = maps(whole, family("imp", [net(density=0.5)], dense=whole.groups[0]))
    assert error.values("panel") == ["dense"]


def test_recipes_without_a_comparable_level_are_named_and_sources_are_those_that_are_shown():
    def told(label, density, number):
        made = shown([[0.1]], names=["fog"], density=density)
        (one,) = made.reports("audit", "trained")
        return family(
            label, [replace(made, reports=lambda kind, of: (replace(one, id=f"rp1{number:029d}"),))]
        )

    (error,) = maps(told("imp", 0.1, 1), told("snip", 0.5, 2))
    assert error.values("panel") == ["imp, 90 %"]
    assert error.notes[-1] == "without a comparable level: snip"
    assert error.sources == (f"rp1{1:029d}",)


def test_without_corrupted_images_the_audit_is_named():
    with pytest.raises(NothingError, match="audit --metrics corruption"):
        maps(family("imp", [net(density=0.5)]))


# -------------------------------------------------------------------------------------------------------------- sweep


def sweep(*families, **keys):
    return list(sweep_map.gather(shelf(*families), params=sweep_map.Params(**keys)))


def test_a_sweep_has_a_row_for_each_recipe_and_the_dense_net_first():
    dense, imp = ladder({0.5: [0.8, 0.9], 0.25: [0.7]})
    snip = family("snip", [net(density=0.251, values={"test.accuracy": 0.6})], dense=dense.groups[0])
    (one,) = sweep(dense, imp, snip)
    assert one.values("row") == ["imp", "snip"]
    assert one.values("column") == ["dense", "50 %", "74.9 %"]
    assert [(cell["value"], cell["n"]) for cell in one.where(row="imp")] == [
        (pytest.approx(91), 2), (pytest.approx(85), 2), (pytest.approx(70), 1),
    ]  # fmt: skip
    assert [(cell["value"], cell["n"]) for cell in one.where(row="snip")] == [
        (pytest.approx(91), 2), (None, None), (60.0, 1),
    ]  # fmt: skip
    assert one.z is not None
    assert one.z.label == "test accuracy [%]"


def test_densities_two_percent_apart_share_a_column_and_no_others():
    assert sweep_map.columns_of([[1.0, 0.1], [0.0985], [0.0979]]) == {
        1.0: "dense", 0.1: "90 %", 0.0985: "90 %", 0.0979: "90.21 %",
    }  # fmt: skip


def test_neither_two_levels_of_a_ladder_nor_a_dense_net_and_a_ticket_share_a_column():
    found = sweep_map.columns_of([[1.0, 0.1, 0.0985], [0.099], [1.0, 0.99]])
    assert found == {1.0: "dense", 0.99: "1 %", 0.1: "90 %", 0.099: "90 %", 0.0985: "90.15 %"}
    (one,) = sweep(*ladder({0.99: [0.5], 0.5: [0.8], 0.495: [0.6]}))
    assert [(cell["value"], cell["n"]) for cell in one.where()] == [
        (91.0, 2),
        (50.0, 1),
        (80.0, 1),
        (60.0, 1),
    ]


def test_a_run_that_diverged_is_in_no_cell_and_is_counted():
    nets = [net(density=0.5, seed=at, values={"test.accuracy": 0.9 - at}, diverged=at > 0) for at in (0, 1)]
    (one,) = sweep(family("imp", nets))
    assert [(cell["value"], cell["n"]) for cell in one.where()] == [(90.0, 1)]
    assert one.notes[-1] == "1 of 2 runs diverged: in no mean"


def test_a_sweep_without_tickets_or_without_the_metric_says_so():
    with pytest.raises(NothingError, match="ticketctl spend"):
        sweep(ladder({0.5: [0.9]})[0])
    with pytest.raises(NothingError, match=r"no run measured 'val\.loss'"):
        sweep(*ladder({0.5: [0.9]}), metric="val.loss")


# --------------------------------------------------------------------------------------------------------------- cost


def priced(macs, accuracy, **more):
    told = {("audit", "trained"): [report("audit", [row("cost.macs.alive", macs), row("cost.macs", 9e9)])]}
    return net(reports=told, values={"test.accuracy": accuracy}, **more)


def costs(*families, **keys):
    return list(cost_accuracy.gather(shelf(*families), params=cost_accuracy.Params(**keys)))


def test_a_point_is_the_mean_cost_and_the_mean_accuracy_of_nets_that_have_both():
    nets = [priced(1e6, 0.9, density=0.5), priced(3e6, 0.8, density=0.5, seed=1)]
    nets += [net(density=0.5, seed=2, values={"test.accuracy": 0.1}), priced(5e5, 0.7, density=0.25)]
    (one,) = costs(family("imp", nets))
    first, second = one.where()
    deviation = 10 / 2**0.5
    assert (first["x"], first["y"], first["n"], first["sparsity"]) == (2e6, pytest.approx(85), 2, 50)
    assert (first["low"], first["high"]) == pytest.approx((85 - deviation, 85 + deviation))
    assert (second["x"], second["y"], second["low"], second["sparsity"]) == (5e5, pytest.approx(70), None, 75)
    assert one.x.scale == "log"


def test_steps_of_the_training_are_a_cost_that_needs_no_audit():
    series = Series((), np.zeros((2, 0), np.float32), np.arange(2, dtype=np.int32), np.array([0, 400]))
    (one,) = costs(
        family("imp", [net(density=0.5, values={"test.accuracy": 0.9}, series=series)]), cost="steps"
    )
    assert [(point["x"], point["y"]) for point in one.where()] == [(400.0, 90.0)]


def test_a_cost_of_nothing_has_no_place_on_a_logarithmic_axis():
    with pytest.raises(NothingError, match="audit --metrics cost"):
        costs(family("imp", [priced(0, 0.9, density=0.5)]))


def test_a_cost_that_is_none_is_refused_with_those_there_are():
    with pytest.raises(UsageError, match=r"figures\.cost-accuracy\.cost = 'money' must be one of"):
        cost_accuracy.Params(cost="money")
