"""Compression Position: which training images a net under pruning holds on to, and from when on.

psi'(x) counts the epochs e of a window in which f(nu(W_e) * W_e), the net with only its largest weights left, answers
the training image x correctly; nu keeps as many as the final mask, by one ranking over all prunable weights (paper 000,
equation 10). CP(x) = rank / N in falling order of psi', equal counts sharing their average rank (equation 11): small is
compressed early. (A sentence of the paper says it the other way round; its Table 2 does not.) The mean over all images
is (N + 1) / 2N by construction, and `compression-position` is there to check that; `compression-position.spread` is the
standard deviation over images, at most 0.289, less the more images share a count. `compression-position.class-c` is the
mean of class c, for nets of up to 100 classes.

With `human`, the path of CIFAR-N's labels, `compression-position.hardness-h` is the mean of images whose class h of
three people got wrong, and `compression-position.within-h` the same once all classes have one mean: at high sparsity
the class decides nearly everything, and hard images come late within their class alone. The file is refused unless its
true labels are those of the data set. Its rows are in the published order of the images: in an image folder
whose files are called by numbers, the number is the place.

Choices: windows are inclusive, and count epochs of which weights were kept (`keep.epochs`). Where a run kept none and
is the own training of a draw by `art`, they count all epochs of the training that the mask was taken from: what the
pruned net got right there is on record, by the labels trained on; the protocol's `source` says which it was. Images are
the training images, unaugmented, and labels the data set's own, also where a net was trained on wrong ones (the record
is then none of ours); evaluation mode, BatchNorm as stored with the weights.
The dense phase of a training is `density = 1` over its own window. `embedding` puts every tenth image, in the order of
CP, into a plane for the paper's figure 5: its windows are 0-5 %, 40-45 % and 95-100 % of all images.

Arrays: `cp` float32 [N], `psi` int64 [N], `epochs` and the pruned net's `accuracy` in each; `class` [K] and `table`
[K, 4], class by hardness, NaN where there is no image; `hardness` [N]. Of the figure: `embedding.image`, places among
the training images; `embedding.points` [n, 2]; `embedding.window`, -1 for none; `embedding.class`; and for each class
`embedding.ellipses` [K, 5]: centre x and y, half axes of two standard deviations, angle of the long one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from hashlib import sha256
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ticketctl.data.human import hardness_of, read_human
from ticketctl.errors import MissingExtraError, UnavailableError, UsageError, near_miss
from ticketctl.masks.prunable import Policy, prunable
from ticketctl.masks.select import kept_count
from ticketctl.metrics import _clip
from ticketctl.metrics._embedding import LEAST, batches, drawn, ellipses, penultimate, perplexity_of, spread
from ticketctl.metrics._epochs import kept_history, largest
from ticketctl.metrics._position import centred, ranked, table
from ticketctl.store.expand import expanded
from ticketctl.train.exam import Absent, Exam, History, Measurement, Value
from ticketctl.train.path import left_as_found
from ticketctl.train.predict import right_answers
from ticketctl.train.specimen import Specimen
from ticketctl.train.state import State

FACTS = {
    "data": "train, and the weights kept along the training",
    "cost": "1 pass over the training images for each kept epoch",
}
COMMAND = "probe"
NEEDS = ("net", "train", "history")
BETTER: dict[str, str] = {}
ASKED = True

KEY = "metrics.compression-position"
EMBEDDINGS = ("none", "features", "clip")
ROWS = 100
"""Classes that have a row of their own."""
CLIP_BATCH = 8
"""Images of a batch on a CPU: a second's work."""


@dataclass(frozen=True)
class Params:
    """Keys of `[metrics.compression-position]`."""

    first: int = 0
    """The window's first epoch."""
    last: int = 0
    """Its last epoch; 0: the last of which weights were kept."""
    density: float = 0.0
    """Share of the prunable weights that is left, above 0; 0: the final mask's, and all of a dense net."""
    human: str = ""
    """CIFAR-N's labels: CIFAR-10_human.pt, or the same as .npz, .safetensors or .npy; none: no hardness."""
    embedding: str = "none"
    """Of the figure: none, features (what goes into this net's last layer) or clip."""
    clip: str = ""
    """A folder with CLIP's config.json and model.safetensors, for embedding = "clip"."""
    every: int = 10
    """Of the figure: every so many images are in it, 1 or more."""

    def __post_init__(self) -> None:
        _check(self)


def _check(params: Params) -> None:
    for name, least, most in (
        ("first", 0, 10**6),
        ("last", 0, 10**6),
        ("every", 1, 10**6),
        ("density", 0, 1),
    ):
        value = getattr(params, name)
        if not least <= value <= most:
            raise UsageError(f"{KEY}.{name} = {value} must be from {least} to {most}")
    if 0 < params.last < params.first:
        raise UsageError(f"{KEY}.last = {params.last} is before {KEY}.first = {params.first}")
    if params.embedding not in EMBEDDINGS:
        raise UsageError(f"{KEY}.embedding = {params.embedding!r}; {near_miss(params.embedding, EMBEDDINGS)}")
    if (params.embedding == "clip") != bool(params.clip):
        raise UsageError(f'{KEY}.clip = FOLDER and {KEY}.embedding = "clip" go together')
    if params.embedding != "none" and find_spec("sklearn") is None:
        raise MissingExtraError(f"{KEY}.embedding needs scikit-learn: pip install 'ticketctl[plot]'")


def content(params: Params) -> dict[str, str]:
    """What stands for paths in the report, digests of the files; and of the figure the version of what makes it.

    Raises:
        UnavailableError: a file cannot be read.
    """
    found = {}
    if params.human:
        try:
            found["human"] = f"sha256:{sha256(expanded(params.human).read_bytes()).hexdigest()}"
        except OSError as error:
            raise UnavailableError(f"{KEY}.human: {params.human}: cannot be read: {error.strerror}") from None
    if params.clip:
        found["clip"] = _clip.content(expanded(params.clip))
    return found | ({"scikit-learn": version("scikit-learn")} if params.embedding != "none" else {})


def price(sizes: Mapping[str, int], params: Params) -> float:
    """Forward passes of single images; `epochs` among the sizes says of how many epochs weights were kept."""
    return sizes["train"] * sizes.get("epochs", 1)


def measure(exam: Exam, *, params: Params) -> Measurement:
    """The rows and arrays above.

    Raises:
        UsageError: `human` belongs to other images.
        UnavailableError: a file cannot be read.
        Absent: the net was not trained, or no weights were kept in the window.
    """
    net = exam.specimen
    net.poll()
    labels = net.images["train"].clean.cpu().numpy()
    hardness, levels = _hardness(net, labels, params)
    epochs, correct, kept, size, source = _seen(exam, params)
    psi = correct.sum(0, dtype=np.int64)
    cp = ranked(psi)
    values = _rows(cp, labels, net.classes, hardness, levels)
    arrays: dict[str, NDArray[Any]] = {
        "cp": cp.astype(np.float32), "psi": psi, "epochs": np.array(epochs, dtype=np.int64),
        "accuracy": correct.mean(1), "class": table(cp, labels, np.zeros_like(labels), (net.classes, 1))[:, 0],
    }  # fmt: skip
    if hardness is not None:
        arrays |= {"hardness": hardness, "table": table(cp, labels, hardness, (net.classes, levels))}
    figure, said = _figure(exam, cp, labels, params)
    protocol = {"window": [epochs[0], epochs[-1]], "epochs": len(epochs), "kept": kept, "prunable": size,
                "source": source, "labels": "the data set's own", "bn": "stored", "augment": "none",
                "embedding": said}  # fmt: skip
    return Measurement(values, protocol, arrays | figure)


def _rows(
    cp: NDArray[np.float64],
    labels: NDArray[np.int64],
    classes: int,
    hardness: NDArray[np.int64] | None,
    levels: int,
) -> dict[str, Value]:
    values = {
        "compression-position": Value(float(cp.mean()), None, len(cp)),
        "compression-position.spread": Value(float(cp.std()), None, len(cp)),
    }
    for name in range(classes) if classes <= ROWS else ():
        if (labels == name).any():
            values[f"compression-position.class-{name}"] = Value.mean(cp[labels == name])
    if hardness is not None:
        rest = centred(cp, labels, classes)
        for name in range(levels):
            own = hardness == name
            if own.any():
                values[f"compression-position.hardness-{name}"] = Value.mean(cp[own])
                values[f"compression-position.within-{name}"] = Value.mean(rest[own])
    return values


def _hardness(
    net: Specimen, labels: NDArray[np.int64], params: Params
) -> tuple[NDArray[np.int64] | None, int]:
    """Of each training image int64 [N], and how many levels there are; None, 0 where nobody gave labels."""
    if not params.human:
        return None, 0
    human = read_human(expanded(params.human), f"{KEY}.human")
    found = hardness_of(human, net.images["train"].published, labels, f"{KEY}.human: {params.human}")
    return found, human.given.shape[1] + 1


def _seen(exam: Exam, params: Params) -> tuple[list[int], NDArray[np.bool_], int, int, str]:
    """The epochs; whether each image is right at each, bool [E, N]; weights kept, and prunable; what says so."""
    net, told = exam.specimen, _told(exam, params)
    if told is None or net.mask is None:
        history = kept_history(exam)
        epochs = _window(history.epochs, params)
        return epochs, *_correct(net, history, epochs, params), "weights kept by the run"
    if told.shape[1] != len(net.images["train"]):
        raise Absent(f"the draw wrote down {told.shape[1]} images, and here are {len(net.images['train'])}")
    epochs = _window(range(1, len(told) + 1), params)
    return epochs, told[np.array(epochs) - 1], net.mask.kept, net.mask.size, "record of the draw"


def _told(exam: Exam, params: Params) -> NDArray[np.bool_] | None:
    """What a draw wrote down, if that is what was asked for, and the run kept nothing itself."""
    history, images = exam.history, exam.specimen.images["train"]
    if history is None or history.epochs or params.density or not torch.equal(images.clean, images.labels):
        return None
    return history.pruned


def _window(every: Sequence[int], params: Params) -> list[int]:
    found = [epoch for epoch in every if params.first <= epoch <= (params.last or epoch)]
    if not found:
        end = params.last or every[-1]
        kept = ", ".join(map(str, every[:20]))
        raise Absent(f"no weights were kept from epoch {params.first} to {end}: they were after {kept}")
    return found


def _correct(
    net: Specimen, history: History, epochs: list[int], params: Params
) -> tuple[NDArray[np.bool_], int, int]:
    """Whether each image is classified correctly at each epoch, bool [E, N]; weights kept, and prunable."""
    names = prunable(net.model, Policy()) if net.mask is None else tuple(net.mask.keep)
    size = sum(net.model.get_parameter(name).numel() for name in names)
    kept = size if net.mask is None else net.mask.kept
    if params.density:
        kept = kept_count(size, Fraction(str(params.density)))
    found, images = [], net.images["train"]
    with left_as_found(net.model):
        for epoch in epochs:
            net.poll()
            state = _pruned(net, history.weights(epoch), names, kept, epoch)
            state.load_into(net.model)
            found.append(right_answers(net.model, images, images.clean, net.poll))
    return np.stack(found), kept, size


def _pruned(
    net: Specimen, weights: Mapping[str, torch.Tensor], names: tuple[str, ...], kept: int, epoch: int
) -> State:
    """A state with only the largest weights left."""
    missing = next((name for name in net.model.state_dict() if name not in weights), None)
    if missing is not None:
        raise Absent(f"the weights after epoch {epoch} have no {missing!r}")
    mask = largest(weights, names, kept, epoch)
    return State({**weights, **{name: weights[name] * keep for name, keep in mask.keep.items()}})


def _figure(
    exam: Exam, cp: NDArray[np.float64], labels: NDArray[np.int64], params: Params
) -> tuple[dict[str, NDArray[Any]], str]:
    """The arrays of the figure, and what its points are of."""
    if params.embedding == "none":
        return {}, "none"
    net = exam.specimen
    places, window = drawn(cp, params.every)
    if len(places) < LEAST:
        return {}, f"none: {len(places)} images"
    features = (
        penultimate(net, places) if params.embedding == "features" else _clipped(net, places, params.clip)
    )
    if not np.isfinite(features).all():
        return {}, "none: features are not finite"
    seed = int(exam.seeds.raw("probe", "embedding", count=1)[0] % 2**32)
    points = spread(features, seed, net.poll)
    found = {
        "embedding.image": places, "embedding.window": window, "embedding.points": points,
        "embedding.class": labels[places], "embedding.ellipses": ellipses(points, labels[places], net.classes),
    }  # fmt: skip
    of = "features of this net" if params.embedding == "features" else "CLIP"
    return found, f"{of}, 50 components, t-SNE of perplexity {perplexity_of(len(places)):g}"


def _clipped(net: Specimen, places: NDArray[np.int64], folder: str) -> NDArray[np.float32]:
    """What CLIP makes of the training images at `places`, float32 [n, D]."""
    tower = _clip.read_clip(expanded(folder), net.device)
    size = CLIP_BATCH if net.device.type == "cpu" else 250
    parts = [tower.embed(pixels).cpu().numpy() for pixels in batches(net, places, size)]
    return np.concatenate(parts)
