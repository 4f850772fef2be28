"""Label-noise curves: panels, series and where they begin."""

import pytest
from shelves import family, net, shelf

from ticketctl.errors import UsageError
from ticketctl.figures import label_noise as figure
from ticketctl.figures.sheet import NothingError

NOISY = {"data.noise.kind": "symmetric", "data.noise.rate": "0.4"}


def values(test):
    return {"test.accuracy": test, "oracle.test.accuracy": test + 0.05, "permuted.accuracy": 0.9,
            "restored.accuracy": 0.1}  # fmt: skip


def ladder(label="imp, rate=0.4", settings=NOISY, **more):
    dense = family("dense", [net(values=values(0.7), settings=settings)], method="dense")
    nets = [
        net(level=level, density=0.5**level, seed=seed, values=values(one), settings=settings)
        for level, found in enumerate(([0.6, 0.64], [0.8]), 1)
        for seed, one in enumerate(found)
    ]
    return family(label, nets, dense=dense.groups[0], **more)


def sheet(*families, **keys):
    (one,) = figure.gather(shelf(*families), params=figure.Params(**keys))
    return one


def test_a_line_begins_with_the_dense_net_and_has_means_in_percent():
    rows = list(sheet(ladder()).where(series="test, last epoch"))
    assert [(row["x"], row["y"], row["n"]) for row in rows] == [
        (0.0, pytest.approx(70), 1), (50.0, pytest.approx(62), 2), (75.0, pytest.approx(80), 1),
    ]  # fmt: skip


def test_the_best_epoch_is_called_an_oracle():
    one = sheet(ladder())
    assert "test, best epoch (oracle)" in one.values("series")
    assert "best epoch: chosen on the test images, an oracle and no result" in one.notes


def test_a_panel_says_its_noise_once():
    assert sheet(ladder()).values("panel") == ["40 % symmetric, imp"]


def test_two_rates_are_two_panels_and_labels_that_would_be_one_are_kept_apart():
    low = ladder("imp, rate=0.2", {**NOISY, "data.noise.rate": "1/5"})
    assert sheet(ladder(), low).values("panel") == ["40 % symmetric, imp", "20 % symmetric, imp"]
    assert sheet(ladder("imp, noise=1"), ladder("imp, noise=2")).values("panel") == [
        "40 % symmetric, imp, noise=1", "40 % symmetric, imp, noise=2",
    ]  # fmt: skip


def test_of_a_file_of_labels_there_is_no_rate():
    assert figure.noise_of(ladder(settings={"data.noise.kind": "file"})) == "file"


def test_clean_labels_are_no_noise():
    with pytest.raises(NothingError, match=r"data\.noise\.rate"):
        sheet(ladder(settings={}), ladder(settings={"data.noise.kind": "none"}))


def test_a_curve_that_is_none_is_refused():
    with pytest.raises(UsageError, match=r"figures\.label-noise\.of: of test, best"):
        figure.Params(of=("val",))
