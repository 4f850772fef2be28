"""Confidence in test images and in others: histograms counted by hand, and softmax by another library."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax
from shelves import DIGEST, family, net, report, row, shelf

from ticketctl.artifacts.samples import Samples, SamplesData
from ticketctl.errors import UsageError
from ticketctl.figures import ood_histograms as figure
from ticketctl.figures.sheet import NothingError

DATA = SamplesData(name="digits", fingerprint="f", split="test")


def logits(*confidences):
    """Of two classes, the first of which has these shares."""
    return np.array([[np.log(one / (1 - one)), 0.0] for one in confidences], np.float32)


def samples(name, values, labels=None, digest="d", **protocol):
    given = np.zeros(len(values), np.int64) if labels is None else np.array(labels)
    return Samples(name, DIGEST, DATA, values, given, None, protocol, digest + name)


def audited(*sets, rows=(("auroc.noise", 0.875),), digests=None):
    held = {one.set: one for one in sets}
    found = report("audit", [row(name, value, "ood") for name, value in rows])
    told = {name: one.digest for name, one in held.items()} | (digests or {})
    found = replace(found, sources=told)
    return shelf(
        family("dense", [net(samples=held, reports={("audit", "trained"): [found]})], method="dense")
    )


TEST = samples("test", logits(0.95, 0.95, 0.95, 0.55))
NOISE = samples("ood-noise", logits(0.55, 0.65))


def sheet_of(of, **keys):
    (one,) = figure.gather(of, params=figure.Params(bins=10, **keys))
    return one


def shares(sheet, series):
    return {round(one["low"], 6): one["share"] for one in sheet.where(series=series) if one["share"]}


def test_shares_of_images_are_counted_by_confidence():
    sheet = sheet_of(audited(TEST, NOISE))
    assert shares(sheet, "test images") == {0.5: 25.0, 0.9: 75.0}
    assert shares(sheet, "noise") == {0.5: 50.0, 0.6: 50.0}
    assert {one["n"] for one in sheet.where(series="noise")} == {2}


def test_auroc_of_the_report_stands_above_the_panel():
    assert sheet_of(audited(TEST, NOISE)).values("panel") == ["dense: AUROC noise 0.875"]


def test_subsets_of_images_are_found_by_their_names():
    small = samples("test-n4", TEST.logits), samples("ood-fashion-mnist-n2", NOISE.logits)
    sheet = sheet_of(audited(*small, rows=[("auroc.fashion_mnist", 0.5)]))
    assert sheet.values("series") == ["test images", "fashion-mnist"]
    assert sheet.values("panel") == ["dense: AUROC fashion-mnist 0.500"]


def test_a_set_that_shares_some_classes_is_held_against_test_images_of_these():
    wide = np.array([[9, 0, 0], [0, 9, 0], [0, 0, 9]], np.float32)
    test = samples("test", wide, [0, 1, 2])
    other = samples("ood-imagefolder", wide[:1], classes=[0, 1])
    sheet = sheet_of(audited(test, other, rows=[("auroc.imagefolder", 0.5)]))
    assert {one["n"] for one in sheet.where(series="test images for imagefolder")} == {2}


def test_sets_for_which_there_is_no_room_are_named():
    sets = [samples(f"ood-set{at}", NOISE.logits) for at in range(8)]
    one = sheet_of(audited(TEST, *sets))
    assert len(one.values("series")) == 1 + figure.SETS
    assert one.notes[1] == "2 of 8 sets not shown: set6, set7"
    assert not any("not shown:" in note for note in sheet_of(audited(TEST, NOISE)).notes)


def test_answers_of_another_audit_are_not_shown():
    with pytest.raises(NothingError, match="--metrics ood"):
        sheet_of(audited(TEST, NOISE, digests={"ood-noise": "another"}))


@pytest.mark.parametrize("scale", [1, 100, 1e4])
def test_confidence_is_the_largest_softmax_probability(scale):
    values = (scale * np.random.default_rng(0).normal(size=(50, 7))).astype(np.float32)
    truth = softmax(values.astype(np.float64), axis=1).max(axis=1)
    assert figure.confidence(values) == pytest.approx(truth, rel=1e-12)


def test_answers_that_are_no_numbers_are_left_out():
    assert len(figure.confidence(np.array([[np.nan, 1], [np.inf, 0], [1, 2]], np.float32))) == 1
    assert len(figure.confidence(np.array([[np.nan, 1]], np.float32))) == 0


def test_no_bins_are_refused():
    with pytest.raises(UsageError, match=r"figures\.ood-histograms\.bins = 1 "):
        figure.Params(bins=1)
