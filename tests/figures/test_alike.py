"""Reports that are drawn as one line: those that were taken under the same keys, on the same sets."""

from dataclasses import replace

import pytest
from handmade_paths import end, line
from shelves import family, net, report, row, shelf

from ticketctl.figures import barrier, barrier_sparsity
from ticketctl.figures.alike import Wanted, alike


def of(kind, module, recipe, number=0):
    return report(kind, [row(module, 1.0)], recipe=recipe, number=number)


def corrupted(fingerprint):
    return {
        "corrupt-fog-1": ["cifar10", fingerprint, "test", {}],
        "ood-svhn": ["svhn", fingerprint, "test", {}],
    }


@pytest.mark.parametrize(
    ("kind", "module", "one", "other"),
    [
        ("interpolate", "line", {"interpolate": {"align": "none"}}, {"interpolate": {"align": "weights"}}),
        ("audit", "nll", {"audit": {"images": 10}}, {"audit": {"images": 20}}),
        ("audit", "nll", {"keys": {"nll": {"a": 1}}}, {"keys": {"nll": {"a": 2}}}),
        ("audit", "corruption", {"sets": corrupted("files")}, {"sets": corrupted("generated")}),
    ],
)
def test_reports_of_other_keys_or_sets_are_left_out_and_counted(kind, module, one, other):
    many = {at: [of(kind, module, one, at)] for at in range(2)} | {2: [of(kind, module, other, 2)]}
    kept, others = alike(many, Wanted(kind, module))
    assert ([*kept], others) == ([0, 1], 1)


def test_other_sets_of_another_kind_are_no_other_keys():
    many = {at: [of("audit", "ood", {"sets": corrupted(name)}, at)] for at, name in enumerate("ab")}
    assert alike(many, Wanted("audit", "ood"))[1] == 0


def twins(seed, align):
    own = net(level=1, density=0.5, seed=seed)
    found = line([end(own)], [(0, 1)], [(0.1, 0.1 + seed, 0.1)], numbers=[[seed, seed, seed]], number=seed)
    found = replace(found, recipe={**found.recipe, "interpolate": {"align": align}})
    return net(level=1, density=0.5, seed=seed, reports={("interpolate", "twins"): [found]})


@pytest.mark.parametrize("figure", [barrier, barrier_sparsity])
def test_paths_between_aligned_nets_are_averaged_with_no_others_and_said_to_be_such(figure):
    nets = [twins(1, "weights"), twins(2, "weights"), twins(3, "none")]
    (one,) = figure.gather(shelf(family("imp", nets)), params=figure.Params())
    assert {cell["n"] for cell in one.where(role="line")} == {2}
    assert "1 net of lenet-300-100 on digits measured under other keys left out" in one.notes
    assert "units of nets permuted to match first, by: weights" in one.notes
