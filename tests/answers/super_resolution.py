"""Right and wrong answers to the exercises of notebook 06."""

import math

import numpy as np
import torch
from skimage.metrics import peak_signal_noise_ratio
from sklearn.neighbors import KNeighborsRegressor
from torch.nn import functional

# --- psnr ---


def psnr(*, top=lambda x, r: r**2, error=lambda d: d.square().flatten(1).mean(1), log=torch.log10, factor=10):
    """A wrong or right psnr."""
    return lambda x, x_hat, data_range: (factor * log(top(x, data_range) / error(x_hat - x))).mean().item()


def psnr_by_loop(x, x_hat, data_range):
    total = 0.0
    for a, b in zip(x, x_hat):
        total += 20 * math.log10(data_range) - 10 * math.log10(float(((a - b) ** 2).mean()))
    return total / len(x)


def psnr_by_scikit_image(x, x_hat, data_range):
    pairs = zip(x.numpy(), x_hat.numpy())
    return np.mean([peak_signal_noise_ratio(a, b, data_range=data_range) for a, b in pairs])


def writes_x(x, x_hat, data_range):
    x.sub_(0.1)
    return psnr()(x, x_hat, data_range)


RIGHT_PSNRS = {
    "a loop": psnr_by_loop,
    "torch": psnr(),
    "scikit-image": psnr_by_scikit_image,
    "0-d tensor": lambda x, y, r: -10 * ((y - x) / r).pow(2).flatten(1).mean(1).log10().mean(),
    "amplitudes": psnr(top=lambda x, r: r, error=lambda d: d.square().flatten(1).mean(1).sqrt(), factor=20),
    "NumPy": lambda x, y, r: np.float32(10 * np.log10(r**2 / np.square((y - x).numpy()).mean((1, 2, 3))).mean()),
    "natural logarithm, converted": lambda x, y, r: psnr(log=torch.log)(x, y, r) / math.log(10),
}
WRONG_PSNRS = {
    "every row": (psnr(error=lambda d: d.square().mean(-1)), "decibels of every row"),
    "every channel": (psnr(error=lambda d: d.square().flatten(2).mean(2)), "decibels of every channel"),
    "math.log10": (lambda x, y, r: 10 * math.log10(r**2 / (y - x).square().flatten(1).mean(1)), "torch.log10 takes"),
    "median": (lambda x, y, r: (10 * torch.log10(r**2 / (y - x).square().flatten(1).mean(1))).median(), "median"),
    "of the batch": (lambda x, y, r: 10 * math.log10(r**2 / float((y - x).square().mean())), "*batch's* mean error"),
    "natural logarithm": (psnr(log=torch.log), "log10"),
    "bel": (psnr(factor=1), "factor 10"),
    "twenty": (psnr(factor=20), "amplitudes"),
    "negative": (psnr(factor=-10), "upside down"),
    "summed pixels": (psnr(error=lambda d: d.square().flatten(1).sum(1)), "large images look worse"),
    "summed images": (lambda x, y, r: len(x) * psnr()(x, y, r), "average them"),
    "absolute": (psnr(error=lambda d: d.abs().flatten(1).mean(1)), "not squared"),
    "root": (psnr(error=lambda d: d.square().flatten(1).mean(1).sqrt()), "root"),
    "range once": (psnr(top=lambda x, r: r), "takes part once"),
    "range left out": (psnr(top=lambda x, r: 1), "left out"),
    "range of the batch": (psnr(top=lambda x, r: (x.max() - x.min()) ** 2), "batch's own pixels"),
    "peak of the batch": (psnr(top=lambda x, r: x.max() ** 2), "batch's own pixels"),
    "range of the image": (psnr(top=lambda x, r: (x.flatten(1).amax(1) - x.flatten(1).amin(1)) ** 2), "own pixels"),
    "clamped": (lambda x, y, r: psnr()(x, y.clamp(0, 1), r), "clamped"),
    "one an image": (
        lambda x, y, r: 10 * torch.log10(r**2 / (y - x).square().flatten(1).mean(1)),
        "one number an image",
    ),
    "list": (lambda x, y, r: [20.0], "one number"),
    "writes": (writes_x, "`x` itself was changed"),
    "seven images": (lambda x, y, r: psnr()(x, y, r) * len(x) / 7, "expected"),
}

# --- look_up ---


def look_up(*, pick=lambda d, k: d.topk(k, largest=False).indices, join=lambda x: x.mean(1), distance=torch.cdist):
    """A wrong or right look_up."""
    return lambda small, small_train, x_train, k: join(
        x_train[pick(distance(small.flatten(1), small_train.flatten(1)), k)]
    )


def look_up_by_loop(small, small_train, x_train, k):
    rows = []
    for one in small:
        squares = (small_train - one).square().sum((1, 2, 3))
        rows.append(sum(x_train[i] for i in squares.argsort()[:k]) / k)
    return torch.stack(rows)


def look_up_by_scikit_learn(small, small_train, x_train, k):
    model = KNeighborsRegressor(k).fit(small_train.flatten(1).numpy(), x_train.flatten(1).numpy())
    return model.predict(small.flatten(1).numpy()).reshape(len(small), *x_train.shape[1:])


def look_up_by_numpy(small, small_train, x_train, k):
    a, b, x = (t.numpy().astype(float) for t in (small, small_train, x_train))
    squares = ((a[:, None] - b[None]) ** 2).sum((2, 3, 4))
    return x[np.argsort(squares, axis=1)[:, :k]].mean(1)


def weighted(small, small_train, x_train, k):
    model = KNeighborsRegressor(k, weights="distance").fit(small_train.flatten(1), x_train.flatten(1))
    return model.predict(small.flatten(1).numpy()).reshape(len(small), *x_train.shape[1:])


def writes_train(small, small_train, x_train, k):
    result = look_up()(small, small_train, x_train, k)
    small_train.zero_()
    return result


def fixed_size(small, small_train, x_train, k):
    return look_up()(small.reshape(-1, 1, 3, 3), small_train.reshape(-1, 1, 3, 3), x_train, k)


def middle(a):
    return a - a.mean(1, keepdim=True)


RIGHT_LOOK_UPS = {
    "a loop": look_up_by_loop,
    "torch": look_up(),
    "scikit-learn": look_up_by_scikit_learn,
    "NumPy": look_up_by_numpy,
    "squared distances": look_up(distance=lambda a, b: torch.cdist(a, b).square()),
    "by weights": lambda s, t, x, k: torch.einsum(
        "mn,nchw->mchw",
        functional.one_hot(torch.cdist(s.flatten(1), t.flatten(1)).topk(k, largest=False).indices, len(t)).sum(1) / k,
        x,
    ),
    "double": lambda s, t, x, k: look_up()(s.double(), t.double(), x.double(), k),
}
WRONG_LOOK_UPS = {
    "no equal one": (look_up(distance=lambda a, b: torch.cdist(a, b).where(torch.cdist(a, b) > 1e-3, 9)), "it counts"),
    "first channel": (lambda s, t, x, k: look_up()(s[:, :1], t[:, :1], x, k), "first channel"),
    "values for places": (look_up(pick=lambda d, k: d.topk(k, largest=False).values), "`.indices`"),
    "farthest": (look_up(pick=lambda d, k: d.topk(k).indices), "largest=False"),
    "without the nearest": (look_up(pick=lambda d, k: d.argsort(1)[:, 1 : k + 1]), "is left out"),
    "always one": (look_up(pick=lambda d, k: d.argsort(1)[:, :1]), "whatever k is"),
    "one too many": (look_up(pick=lambda d, k: d.argsort(1)[:, : k + 1]), "too many"),
    "all": (lambda s, t, x, k: x.mean(0).expand(len(s), *x.shape[1:]), "all training images"),
    "sum": (look_up(join=lambda x: x.sum(1)), "average them"),
    "weighted": (weighted, "counts once"),
    "median": (look_up(join=lambda x: x.median(1).values), "median"),
    "clamped": (look_up(join=lambda x: x.mean(1).clamp(0, 1)), "clamped"),
    "the k-th": (look_up(pick=lambda d, k: d.argsort(1)[:, k - 1 : k]), "k-th neighbour"),
    "city block": (look_up(distance=lambda a, b: torch.cdist(a, b, p=1)), "absolute differences"),
    "dot product": (look_up(distance=lambda a, b: -a @ b.T), "dot product"),
    "angle": (look_up(distance=lambda a, b: -functional.normalize(a) @ functional.normalize(b).T), "angle"),
    "centred": (look_up(distance=lambda a, b: torch.cdist(middle(a), middle(b))), "centred"),
    "brightness": (look_up(distance=lambda a, b: (a.mean(1)[:, None] - b.mean(1)).abs()), "brightness"),
    "the k images": (look_up(join=lambda x: x), "the k images themselves"),
    "mean over the small ones": (look_up(join=lambda x: x.mean(0)), "dim=1"),
    "turned round": (lambda s, t, x, k: look_up()(t, s, x[: len(s)], k), "cdist(small, small_train)"),
    "small ones": (lambda s, t, x, k: look_up()(s, t, t, k), "these are small images"),
    "places": (look_up(join=lambda x: x.flatten(2).sum(2)), "places"),
    "writes": (writes_train, "`small_train` itself was changed"),
    "one size": (fixed_size, "is a size fixed"),
}

# --- feature_distance ---


def share(h, h_hat):
    return (h_hat - h).pow(2).sum() / h.pow(2).sum()


def squares(h, h_hat, dim):
    return (h_hat - h).square().sum(dim), h.square().sum(dim)


def share_by_loop(h, h_hat):
    above = below = 0
    for a, b in zip(h.flatten(0, 1), h_hat.flatten(0, 1)):
        above, below = above + ((a - b) ** 2).sum(), below + (a**2).sum()
    return above / below


def writes_h(h, h_hat):
    h.mul_(2)
    return share(h / 2, h_hat)


def ratio(dim):
    def by_part(h, h_hat):
        above, below = squares(h, h_hat, dim)
        return (above / below).mean()

    return by_part


RIGHT_DISTANCES = {
    "scaled first": lambda h, g: ((g - h) / h.norm()).square().sum(),
    "sums": share,
    "means": lambda h, g: functional.mse_loss(g, h) / h.square().mean(),
    "a loop": share_by_loop,
    "norms": lambda h, g: ((g - h).norm() / h.norm()) ** 2,
    "double": lambda h, g: share(h.double(), g.double()),
    "einsum": lambda h, g: torch.einsum("nchw,nchw->", g - h, g - h) / torch.einsum("nchw,nchw->", h, h),
    "true maps detached": lambda h, g: share(h.detach(), g),
}
WRONG_DISTANCES = {
    "at most 1": (lambda h, g: share(h, g).clamp(max=1), "cut off at 1"),
    "one sign": (lambda h, g: (g - h).relu().square().sum() / h.square().sum(), "one sign"),
    "by NumPy": (lambda h, g: np.square(g.numpy() - h.numpy()).sum() / h.square().sum(), "carries gradients"),
    "into h_hat": (lambda h, g: g.sub_(h).square().sum() / h.square().sum(), "cannot write into"),
    "no division": (lambda h, g: (g - h).square().mean(), "division is missing"),
    "sum, no division": (lambda h, g: (g - h).square().sum(), "larger batch"),
    "sum an image, no division": (lambda h, g: (g - h).square().flatten(1).sum(1).mean(), "division is missing"),
    "by the drawn": (lambda h, g: share(g, h), "*drawn*"),
    "image by image": (ratio((1, 2, 3)), "image by image"),
    "map by map": (ratio((0, 2, 3)), "map by map"),
    "absolute": (lambda h, g: (g - h).abs().sum() / h.abs().sum(), "absolute"),
    "root": (lambda h, g: (g - h).norm() / h.norm(), "root"),
    "half": (lambda h, g: share(h, g) / 2, "1/2"),
    "signed": (lambda h, g: (g - h).sum() / h.sum(), "cancel"),
    "by the sum": (lambda h, g: (g - h).square().sum() / h.sum(), "square them"),
    "by the variance": (lambda h, g: (g - h).square().mean() / h.var(), "variance"),
    "mean over sum": (lambda h, g: (g - h).square().mean() / h.square().sum(), "same in both"),
    "sum over mean": (lambda h, g: (g - h).square().sum() / h.square().mean(), "same in both"),
    "by the largest": (lambda h, g: (g - h).square().mean() / h.max(), "largest"),
    "detached": (lambda h, g: share(h, g.detach()), "no gradient"),
    "half detached": (lambda h, g: ((g - h) * (g - h).detach()).sum() / h.square().sum(), "a part is cut off"),
    "item": (lambda h, g: share(h, g).item(), "gradients can pass"),
    "one an image": (lambda h, g: (g - h).square().sum((1, 2, 3)) / h.square().sum((1, 2, 3)), "one number an image"),
    "four maps": (lambda h, g: share(h[:, :4], g[:, :4]), "formula gives"),
    "writes": (writes_h, "`h` itself was changed"),
}
RIGHT = {"psnr": RIGHT_PSNRS, "look_up": RIGHT_LOOK_UPS, "feature_distance": RIGHT_DISTANCES}
WRONG = {"psnr": WRONG_PSNRS, "look_up": WRONG_LOOK_UPS, "feature_distance": WRONG_DISTANCES}
