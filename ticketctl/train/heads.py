"""Linear heads on the features of a frozen net: softmax regressions, each trained by itself on what is kept of it.

The objective is the mean cross-entropy plus half the weight decay times the squared norm of weights and biases (as
torch's SGD decays all it is given). It is convex, so heads start at 0 and chance is in the order of the images alone:
stream `probe` by epoch, the same for every head. A head never sees another's features, and comes out the same to the
bit whichever others are trained beside it.

* `sgd`: torch's SGD with momentum, a constant rate, every epoch's last batch smaller. 5 epochs at 0.005 (paper 003,
  appendix G) are far from the minimum where features are small.
* `lbfgs`: the minimum itself. Full batches in float64, L-BFGS with strong Wolfe steps in coordinates V with
  W = L^-T V, where L L^T is the objective's Hessian at 0 without the coupling of classes: second moments of the
  features (and of the constant 1) over the number of classes, plus the weight decay. Of more than `WIDE` features the
  diagonal of the moments alone: the matrix of 65,536 would be 34 GB. The minimum is the same, and comes later.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ticketctl.seeds import Seeds

SOLVERS = ("sgd", "lbfgs")
ITERATIONS = 1000
"""Of L-BFGS at most."""
TOLERANCE = 1e-5
"""Largest component of the gradient by V at which it has converged."""
HISTORY = 20
CHUNK = 1 << 14
"""Images of a full batch that are gone through between two polls."""
JITTER = 1e-10
"""Least curvature in the preconditioner, relative to its largest."""
WIDE = 4096
"""Features up to which moments of pairs are taken: 134 MB."""
FLAT = 1e-6
"""A feature whose deviation is below this share of its mean is constant: it is centred and not blown up."""


@dataclass(frozen=True)
class Recipe:
    """How a head is trained; the defaults are paper 003's, and where it is silent those of decision (5)."""

    solver: str = "sgd"
    """One of `SOLVERS`."""
    epochs: int = 5
    lr: float = 0.005
    weight_decay: float = 1e-4
    momentum: float = 0.9
    batch: int = 256
    standardize: bool = False
    """Train on features of mean 0 and deviation 1 over the training images; the decay is on the weights of these."""


@dataclass(frozen=True)
class Head:
    """A trained head, in terms of the features as they are."""

    weight: Tensor
    """Float32 [C, K]."""
    bias: Tensor
    """Float32 [K]."""
    iterations: int
    """Steps of SGD, or iterations of L-BFGS."""
    gradient: float | None = None
    """Largest component of the gradient by V in the end; None: not asked."""

    @property
    def finite(self) -> bool:
        """Whether training has stayed within numbers."""
        return bool(self.weight.isfinite().all()) and bool(self.bias.isfinite().all())

    @property
    def converged(self) -> bool:
        """Whether it is at its minimum; no head of SGD says so."""
        return self.gradient is not None and self.gradient <= TOLERANCE

    def right(self, features: Tensor, labels: Tensor) -> Tensor:
        """Whether each of [N, C] features gets its label: bool [N]; of equal logits the first counts."""
        return torch.addmm(self.bias, features, self.weight).argmax(1) == labels


def train_heads(
    features: Sequence[Tensor],
    labels: Tensor,
    classes: int,
    *,
    recipe: Recipe,
    seeds: Seeds,
    poll: Callable[[], None] = lambda: None,
) -> list[Head]:
    """A head for each of `features`, float32 [N, C_b], on `labels`, int64 [N].

    Args:
        features: of the same images, on one device.
        labels: 0 to classes - 1.
        classes: K.
        recipe: the same for all.
        seeds: stream `probe`.
        poll: called at every step; may raise to stop.
    """
    orders = [
        torch.from_numpy(seeds.order("probe", epoch, count=len(labels))).to(labels.device)
        for epoch in range(recipe.epochs if recipe.solver == "sgd" else 0)
    ]
    found = []
    with torch.no_grad():
        for one in features:
            mean, spread = _moments(one) if recipe.standardize else (None, None)
            inputs = one if mean is None or spread is None else ((one - mean) / spread).float()
            if recipe.solver == "sgd":
                head = _descended(inputs, labels, classes, recipe, orders, poll)
            else:
                head = _solved(inputs, labels, classes, recipe.weight_decay, poll)
            found.append(head if mean is None or spread is None else _unscaled(head, mean, spread))
    return found


def _moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation [C], float64; 1 for the deviation of what is constant."""
    count = len(features)
    mean = features.sum(0, dtype=torch.float64) / count
    square = torch.stack([(part.double() - mean).square().sum(0) for part in features.split(CHUNK)]).sum(0)
    spread = (square / count).sqrt()
    return mean, torch.where(spread > FLAT * mean.abs(), spread, 1.0)


def _unscaled(head: Head, mean: Tensor, spread: Tensor) -> Head:
    weight = head.weight / spread[:, None]
    return Head(weight.float(), (head.bias - mean @ weight).float(), head.iterations, head.gradient)


# ---------------------------------------------------------------------------------------------------------------- SGD


def _descended(
    inputs: Tensor,
    labels: Tensor,
    classes: int,
    recipe: Recipe,
    orders: Sequence[Tensor],
    poll: Callable[[], None],
) -> Head:
    """By torch's rule: v = momentum v + gradient, w = w - lr v. Gradients in closed form: autograd is half the time."""
    weight, bias = inputs.new_zeros(inputs.shape[1], classes), inputs.new_zeros(classes)
    weight_pace, bias_pace = torch.zeros_like(weight), torch.zeros_like(bias)
    steps = 0
    for order in orders:
        for rows in order.split(recipe.batch):
            poll()
            seen = inputs.index_select(0, rows)
            odd = _errors(torch.addmm(bias, seen, weight), labels.index_select(0, rows)).div_(len(rows))
            weight_pace.mul_(recipe.momentum).add_(weight, alpha=recipe.weight_decay).addmm_(seen.t(), odd)
            bias_pace.mul_(recipe.momentum).add_(bias, alpha=recipe.weight_decay).add_(odd.sum(0))
            weight.sub_(weight_pace, alpha=recipe.lr)
            bias.sub_(bias_pace, alpha=recipe.lr)
            steps += 1
    return Head(weight, bias, steps)


def _errors(logits: Tensor, labels: Tensor) -> Tensor:
    """The cross-entropy's gradient by the logits, image by image: probabilities less the label's 1."""
    odd = logits.softmax(1)
    odd[torch.arange(len(labels), device=labels.device), labels] -= 1
    return odd


# ------------------------------------------------------------------------------------------------------------- L-BFGS


def _solved(inputs: Tensor, labels: Tensor, classes: int, decay: float, poll: Callable[[], None]) -> Head:
    parts = [_with_one(part) for part in inputs.split(CHUNK)]
    known = list(labels.split(CHUNK))
    root = _preconditioner(parts, decay, classes, poll)
    found = nn.Parameter(parts[0].new_zeros(parts[0].shape[1], classes))
    solver = torch.optim.LBFGS(
        [found], max_iter=ITERATIONS, max_eval=2 * ITERATIONS, tolerance_grad=TOLERANCE, tolerance_change=0.0,
        history_size=HISTORY, line_search_fn="strong_wolfe",
    )  # fmt: skip

    def weights() -> Tensor:
        return _divided(root.t(), found.detach(), upper=True)

    def closure() -> Tensor:
        loss, gradient = _objective(weights(), parts, known, decay, poll)
        found.grad = _divided(root, gradient, upper=False).contiguous()
        return loss

    solver.step(closure)
    closure()
    assert found.grad is not None
    solved = weights().float()
    iterations = int(solver.state[found]["n_iter"])
    return Head(solved[:-1].contiguous(), solved[-1], iterations, float(found.grad.abs().max()))


def _with_one(part: Tensor) -> Tensor:
    return torch.cat([part.double(), part.new_ones(len(part), 1, dtype=torch.float64)], 1)


def _preconditioner(parts: Sequence[Tensor], decay: float, classes: int, poll: Callable[[], None]) -> Tensor:
    """L: lower triangular [C + 1, C + 1], or of more than `WIDE` features the diagonal of a diagonal one [C + 1]."""
    width = parts[0].shape[1]
    wide = width - 1 > WIDE
    total = parts[0].new_zeros(width if wide else (width, width))
    for part in parts:
        poll()
        if wide:
            total += part.square().sum(0)
        else:
            total.addmm_(part.t(), part)
    total.div_(classes * sum(len(part) for part in parts))
    diagonal = total if wide else total.diagonal()
    diagonal.add_(decay + JITTER * float(diagonal.max()))
    root: Tensor = total.sqrt() if wide else torch.linalg.cholesky(total)
    return root


def _divided(root: Tensor, values: Tensor, *, upper: bool) -> Tensor:
    """`root`^-1 times `values` [C + 1, K]."""
    if root.dim() == 1:
        return values / root[:, None]
    found: Tensor = torch.linalg.solve_triangular(root, values, upper=upper)
    return found


def _objective(
    weight: Tensor, parts: Sequence[Tensor], labels: Sequence[Tensor], decay: float, poll: Callable[[], None]
) -> tuple[Tensor, Tensor]:
    """Its value and its gradient by weights and biases [C + 1, K]."""
    count = sum(len(part) for part in parts)
    loss, gradient = weight.new_zeros(()), weight.new_zeros(weight.shape[::-1])
    for part, known in zip(parts, labels, strict=True):
        poll()
        logits = part @ weight
        loss += nn.functional.cross_entropy(logits, known, reduction="sum")
        gradient.addmm_(_errors(logits, known).t(), part)  # faster than the other way round
    loss = loss / count + decay / 2 * weight.square().sum()
    return loss, gradient.t().div(count).add(weight, alpha=decay)
