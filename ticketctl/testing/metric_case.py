"""Nets and answers that metrics are tried on: images of 8 x 8 pixels, made here; measuring takes milliseconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ticketctl import plugins
from ticketctl.data.sets import Split
from ticketctl.masks.mask import Mask
from ticketctl.seeds import Seeds
from ticketctl.stages.params import checked
from ticketctl.testing.net import Small
from ticketctl.train.exam import Answers, Exam, History
from ticketctl.train.feed import Images, Scaling
from ticketctl.train.predict import answers_of
from ticketctl.train.specimen import Specimen

CLASSES = 5
NO_LABEL = -1
CORRUPTED = ("corrupt/fog/1", "corrupt/fog/2", "corrupt/snow/1")
SHARES = {"train": 1.5, "val": 0.75, "test": 1.0, "ood/noise": 0.75, **dict.fromkeys(CORRUPTED, 1.0)}
"""Every set that an audit may show, and how many images it has for one of `test`."""
OWN = ("train", "val", "test")
"""Those whose images a metric of the net may look at."""


@dataclass(frozen=True)
class Form:
    """One subject: a net with its images, or answers alone."""

    name: str
    """As a message calls it."""
    channels: int = 1
    pruned: str = "half"
    """`half` of all weights, the `layer` conv2 whole besides, or `none`: a dense net without a mask."""
    images: int = 40
    """Of the test set; of answers alone five times as many."""
    alike: bool = False
    """All images have one label."""
    linear: bool = False
    """The net is one Linear layer."""
    loud: float = 3.0
    """What answers alone are multiplied by."""


PLAIN = Form("a pruned net of grey images")
FORMS = (
    PLAIN,
    Form("a dense net of colour images", channels=3, pruned="none"),
    Form("a net with a layer that is pruned whole", pruned="layer", loud=0.0),
)
"""A metric measures these, or says why not; each is an ordinary subject of an audit."""
ODD = (
    Form("two images", images=2),
    Form("images of one class", alike=True),
    Form("a net of one Linear layer", linear=True),
    Form("a net that is sure of everything", loud=1e4),
)
"""And here it must not fail either."""


def net_of(form: Form) -> tuple[nn.Module, Mask | None]:
    """Its weights depend on the form alone."""
    draws = torch.Generator().manual_seed(1)
    size = 64 * form.channels
    flat = nn.Sequential(nn.Flatten(), torch.nn.utils.skip_init(nn.Linear, size, CLASSES))
    with torch.random.fork_rng(devices=[]):  # layers draw their first weights, which are not used
        model = flat if form.linear else Small(form.channels, (8, 8), CLASSES)
    keep = {}
    with torch.no_grad():
        for name, value in model.named_parameters():
            plain = torch.randn(value.shape, generator=draws) * (2.0 / max(1, value[0].numel())) ** 0.5
            value.copy_(
                plain
                if value.dim() > 1
                else torch.full_like(value, float("norm" in name and "weight" in name))
            )
            if value.dim() > 1 and form.pruned != "none":
                keep[name] = torch.rand(value.shape, generator=draws) < 0.5
                keep[name] &= not (form.pruned == "layer" and name == "conv2.weight")
                value.mul_(keep[name])
        model.get_parameter("1.weight" if form.linear else "fc.weight").mul_(
            4 if form.loud < 100 else form.loud
        )
    return model.eval(), Mask(keep) if keep else None


def images_of(form: Form, model: nn.Module) -> dict[str, Images]:
    """Every set; the net is right about most of the images that have labels."""
    draws = np.random.default_rng(2)
    scaling = Scaling.of((0.4,) * form.channels, (0.3,) * form.channels, torch.device("cpu"))
    found = {}
    for name, share in SHARES.items():
        count = max(2, round(share * form.images))
        pixels = draws.integers(0, 256, (count, form.channels, 8, 8), dtype=np.uint8)
        blank = Images(Split(pixels, np.zeros(count, np.int64)), None, scaling, torch.device("cpu"))
        labels = _labels(name, form, answers_of(model, blank).logits, draws)
        found[name] = Images(Split(pixels, labels), None, scaling, torch.device("cpu"))
    return found


def answers_alone(form: Form) -> dict[str, Answers]:
    """Of no net, to more images than a test has time to show one."""
    draws, found = np.random.default_rng(3), {}
    for name, share in SHARES.items():
        count = max(2, round(share * (form.images if form.images < 5 else 5 * form.images)))
        logits = (form.loud * draws.normal(size=(count, CLASSES))).astype(np.float32)
        found[name] = Answers(logits, _labels(name, form, logits, draws))
    return found


def _labels(
    name: str, form: Form, logits: NDArray[np.float32], draws: np.random.Generator
) -> NDArray[np.int64]:
    if name.startswith("ood"):
        return np.full(len(logits), NO_LABEL, dtype=np.int64)
    if form.alike:
        return np.zeros(len(logits), dtype=np.int64)
    count = len(logits)
    return np.where(draws.random(count) < 0.7, logits.argmax(1), draws.integers(0, CLASSES, count))


def mixed(known: Mapping[str, Answers]) -> dict[str, Answers]:
    """The same answers, the images of each set in another order."""
    draws, found = np.random.default_rng(4), {}
    for name, seen in known.items():
        order = draws.permutation(len(seen))
        found[name] = Answers(seen.logits[order], seen.labels[order])
    return found


@dataclass
class Shown:
    """What a metric is handed, and what it reads of that."""

    answers: dict[str, Answers]
    net: Specimen | None
    sets: tuple[str, ...]
    read: set[str]
    """Sets whose answers it asked for."""
    history: History | None = None

    def exam(self, seed: int) -> Exam:
        """As an audit hands it over."""
        return Exam(self._answer, self.sets, Seeds(seed), self.net, history=self.history)

    def _answer(self, name: str) -> Answers:
        self.read.add(name)
        return self.answers[name]


def history_of(model: nn.Module, images: int) -> History:
    """Four epochs by which the net came to be what it is; `images` is how many it was trained on."""
    draws, count = np.random.default_rng(5), 4
    end = {name: value.detach().clone() for name, value in model.state_dict().items()}
    noise = torch.Generator().manual_seed(6)
    states = [
        {
            name: value + (count - epoch) / count * torch.randn(value.shape, generator=noise) * 0.1
            if value.is_floating_point() and value.dim() > 1
            else value
            for name, value in end.items()
        }
        for epoch in range(count + 1)
    ]
    right = draws.random((count, images)) < np.linspace(0.4, 0.9, count)[:, None]
    known = {f"{name}.accuracy": np.linspace(0.2, 0.8, count + 1) for name in OWN}
    rows = {"epoch": np.arange(count + 1.0), **known, "train.loss": np.linspace(2.0, 0.3, count + 1)}
    return History(rows, tuple(range(count + 1)), states.__getitem__, right)


@dataclass(frozen=True)
class MetricCase:
    """A metric with its keys."""

    name: str
    keys: Mapping[str, Any]

    @property
    def module(self) -> ModuleType:
        """The metric's code."""
        return plugins.load("metrics", self.name)

    @property
    def literals(self) -> Mapping[str, Any]:
        """Its constants, as they are read from the source."""
        return plugins.plugins("metrics")[self.name].literals

    @property
    def needs(self) -> tuple[str, ...]:
        """What it says that it needs."""
        return tuple(self.literals.get("NEEDS", ()))

    @property
    def of_net(self) -> bool:
        """Whether it takes the net itself, and not answers alone."""
        return "net" in self.needs

    def params(self, keys: Mapping[str, Any] | None = None) -> Any:
        """Its Params, checked as an audit does it."""
        table = dict(self.keys if keys is None else keys)
        return checked(self.module.Params, table, f"metrics.{self.name}")

    def shown(self, form: Form, poll: Callable[[], None] = lambda: None) -> Shown:
        """The subject, made anew."""
        sets = tuple(name for name in sorted(SHARES) if name.partition("/")[0] in self.needs)
        model, mask = net_of(form)
        count = max(2, round(SHARES["train"] * form.images))
        history = history_of(model, count) if "history" in self.needs else None
        if not self.of_net:
            return Shown(answers_alone(form), None, sets, set(), history)
        images = images_of(form, model)
        own = {name: images[name] for name in OWN}
        sizes = {"weights.safetensors": 10_000, "mask.safetensors": 1_000}
        net = Specimen(model, mask, own, CLASSES, images["test"].scaling, sizes, poll)
        answers = {name: answers_of(model, each) for name, each in images.items()}
        return Shown(answers, net, sets, set(), history)


def shuffled(shown: Shown) -> Shown:
    """The same answers in another order."""
    return replace(shown, answers=mixed(shown.answers), read=set())


def bits_of(values: NDArray[Any] | Tensor) -> bytes:
    """The bytes of an array."""
    return np.ascontiguousarray(values.cpu().numpy() if isinstance(values, Tensor) else values).tobytes()
