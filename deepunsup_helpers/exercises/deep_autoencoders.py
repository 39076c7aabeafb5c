"""The exercises of notebook 04: the error of a reconstruction, PCA by hand, neighbours as a judge of features."""

from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor

from deepunsup_helpers.exercises import Exercise, Result
from deepunsup_helpers.exercises.toolkit import (
    call,
    close,
    draw,
    expect,
    expect_gradients,
    fits,
    number,
    require,
    tensor,
)

# --- reconstruction_error -------------------------------------------------------------------------------------------


def reconstruction_error_reference(x: Tensor, x_hat: Tensor) -> Tensor:
    """Squared error of an image, summed over its pixels, averaged over the batch.

    Args:
        x, x_hat: images and their reconstructions, (N, ...).
    Returns:
        0-d tensor, in squared units of x; gradients reach x_hat.
    """
    return (x_hat - x).square().flatten(1).sum(dim=1).mean()


def _check_reconstruction_error(reconstruction_error: Callable) -> Result:
    for seed, shape in ((1, (7, 3, 4, 5)), (2, (4, 2, 3, 3)), (3, (6, 11))):
        x, x_hat = draw(*shape, seed=seed, low=0), draw(*shape, seed=seed + 10, low=-1, high=2)
        x_hat.requires_grad_()
        rows = fits(f"rows of shape {shape} stop it: flatten(1) takes images and rows alike")
        with rows if len(shape) == 2 else nullcontext():
            found = call(reconstruction_error, x, x_hat)
        each = {(shape[0],): "this is one error an image: average them over the batch"}
        found = tensor(found, (), each, slopes=True)
        _name_the_reduction(float(found.detach()), x, x_hat.detach())
        expect_gradients(
            reconstruction_error, reconstruction_error_reference, {"x": x, "x_hat": x_hat.detach()}, ["x_hat"]
        )
    return Result(True, "It sums over pixels, averages over the batch, and lets gradients through.")


def _name_the_reduction(found: float, x: Tensor, x_hat: Tensor) -> None:
    """Wrong, with the likely mistake that gives this number."""
    count, pixels, rest = len(x), x[0].numel(), x_hat - x
    true = float(reconstruction_error_reference(x, x_hat))
    if count == 7:  # what an answer with a fixed size gives right by chance on one batch only
        said = f"on a random batch it returns {found:.3g}, where the definition gives {true:.3g}"
    else:
        said = (
            f"on a batch of {count} images of {pixels} pixels it returns {found:.3g}, the definition gives {true:.3g}: "
        )
        said += "is a size fixed?"
    signed = float(rest.sum()) / count
    mistakes = {
        "this averages over the pixels as well: the error of an image is the *sum* over its pixels": true / pixels,
        "this sums over the batch: a larger batch would look worse, so average over the images": true * count,
        "this sums over the images and averages over the pixels: the other way round": true * count / pixels,
        "this averages over the channels: flatten each image first, then sum": true / x.shape[1],
        "this is half of the squared error: leave the factor 1/2 out, so that errors can be compared": true / 2,
        "this sums the absolute differences: square them": float(rest.abs().sum()) / count,
        "this takes the root of each image's error: leave the squares": float(rest.flatten(1).norm(dim=1).mean()),
        "differences of unlike sign cancel: square before you sum": signed,
        "differences of unlike sign cancel: square before you sum them": -signed,
        "the sign is turned: an error is never negative": -true,
        "the reconstruction is clamped: take it as it is, or no gradient pulls it back": float(
            reconstruction_error_reference(x, x_hat.clamp(0, 1))
        ),
    }
    expect(found, true, mistakes, said)


# --- pca_reconstruct ------------------------------------------------------------------------------------------------


def pca_reconstruct_reference(x: Tensor, k: int, train: Tensor) -> Tensor:
    """Rows of x, projected on the plane of the k leading principal components of the training rows.

    Args:
        x: rows to reconstruct, (M, D).
        k: components to keep, 0 to D.
        train: rows from which mean and components are taken, (N, D).
    Returns:
        (M, D).
    """
    mean = train.mean(dim=0)  # (D,)
    directions = torch.linalg.eigh(torch.cov(train.T)).eigenvectors.flip(1)[:, :k]  # (D, k), largest variance first
    return mean + (x - mean) @ directions @ directions.T


def _rows(scales: list[float], seed: int) -> tuple[Tensor, Tensor]:
    """Training rows (400, D) and others (40, D) with these deviations along turned axes, far from zero."""
    d = len(scales)
    turn = torch.linalg.qr(draw(d, d, seed=seed)).Q
    rows = draw(2, 400, d, seed=seed + 1) * torch.tensor(scales) @ turn.T + draw(d, seed=seed + 2, low=-9, high=9)
    return rows[0], rows[1, :40] + 2.0 * turn[:, 0]


def _check_pca_reconstruct(pca_reconstruct: Callable) -> Result:
    train, x = _rows([5.0, 3.0, 2.0, 1.0, 0.5, 0.2], seed=2)

    def project(x: Tensor, k: int, train: Tensor) -> Tensor:
        coordinates = f"this returns the {k} coordinates of each row: multiply by the directions again to come back"
        return tensor(call(pca_reconstruct, x, k, train), x.shape, {(len(x), k): coordinates}).double()

    _name_the_projection(project(train.clone(), 2, train), train.double(), k=2)
    _check_new_rows(project, x, 2, train)
    nothing = project(x, 0, train)
    zero = "with k = 0 every row should come back as the training mean (u[:, -0:] is *all* columns; is k fixed?)"
    require(close(nothing, train.mean(0).expand_as(x), atol=1e-3), zero)
    wide, other = _rows([9.0, 8.0, 7.0, 6.0, 5.0, 0.5, 0.4, 0.3, 0.2], seed=5)
    nine = "rows of 9 columns with k = 5 came back wrong: is a size fixed?"
    with fits(nine):
        found = project(other, 5, wide)
    require(close(found, pca_reconstruct_reference(other.double(), 5, wide.double()), atol=0.01), nine)
    return Result(
        True, "The error is the sum of the tail eigenvalues; projecting again changes nothing; k = 0 is the mean."
    )


def _name_the_projection(own: Tensor, train: Tensor, k: int) -> None:
    """Wrong, with the likely mistake, unless the error on the training rows is the sum of the tail eigenvalues."""
    centred = train - train.mean(0)
    eigenvalues = torch.linalg.eigvalsh(centred.T @ centred / len(train)).flip(0)  # largest first
    error, tail = float((own - train).square().sum(1).mean()), float(eigenvalues[k:].sum())
    if close(error, tail):
        return
    zero_mean = close(own.mean(0), torch.zeros(own.shape[1]), atol=1e-3)
    require(not zero_mean, "the reconstructions have mean 0: add the training mean again at the end")
    u = torch.linalg.eigh(centred.T @ centred).eigenvectors.flip(1)
    mistakes = {
        "it keeps the directions of *smallest* variance: eigh sorts them from small to large, so the leading eigenvectors "
        "stand last": eigenvalues[:-k].sum(),
        f"it keeps {k - 1} components when asked for {k}": eigenvalues[k - 1 :].sum(),
        f"it keeps {k + 1} components when asked for {k}": eigenvalues[k + 1 :].sum(),
        "eigh returns eigenvectors as *columns*: take u[:, ...], not u[...]": (
            (centred - centred @ u[:k].T @ u[:k]).square().sum(1).mean()
        ),
    }
    flat = torch.linalg.matrix_rank(own - own.mean(0), rtol=1e-4) <= k
    plane = (
        f"the rows come back on a plane, but not the best one: error {error:.3g}, where the tail eigenvalues sum to "
        f"{tail:.3g}. Was the mean subtracted before the components were computed, and nothing rescaled?"
    )
    other = (
        f"the error on the training rows is {error:.3g}; for a projection on {k} components it is the sum of the other "
        f"eigenvalues, {tail:.3g}"
    )
    expect(error, tail, mistakes, plane if flat else other)


def _check_new_rows(project: Callable, x: Tensor, k: int, train: Tensor) -> None:
    new = project(x, k, train)
    beside = "a row's reconstruction depends on the rows beside it: take mean and components from `train`, not `x`"
    require(close(new[:3], project(x[:3], k, train), atol=1e-3), beside)
    again = project(new.float(), k, train)
    require(
        close(again, new, atol=1e-3), "projecting twice changes the result again: a projection is done the first time"
    )
    right = pca_reconstruct_reference(x.double(), k, train.double())
    require(close(new, right, atol=0.01), "new rows land on another plane than the training rows' components span")


# --- knn_accuracy ---------------------------------------------------------------------------------------------------


def knn_accuracy_reference(z_train: Tensor, y_train: Tensor, z_test: Tensor, y_test: Tensor, k: int = 5) -> float:
    """The share of test examples whose class is the commonest among their k nearest training examples.

    Args:
        z_train, z_test: features, (N, D) and (M, D); distance is Euclidean.
        y_train, y_test: classes, whole numbers, (N,) and (M,).
        k: neighbours that vote.
    Returns:
        from 0 to 1.
    """
    nearest = torch.cdist(z_test, z_train).topk(k, largest=False).indices  # (M, k)
    predicted = y_train[nearest].mode(dim=1).values  # (M,)
    return float((predicted == y_test).double().mean())


def _blobs(n: int, seed: int, classes: int = 10) -> tuple[Tensor, Tensor]:
    """Gaussian blobs in a ring, (n, 2), and their labels, dealt so that neighbours differ by more than one."""
    place = draw(n, seed=seed, low=0, high=classes).long()
    angle = 2 * torch.pi * place / classes
    z = torch.stack([angle.cos(), angle.sin()], 1) + 2 / classes * draw(n, 2, seed=seed + 1)
    return z, (5 * place + place // 2) % classes if classes == 10 else (5 * place) % classes


def _check_knn_accuracy(knn_accuracy: Callable) -> Result:
    (z, y), (z_test, y_test) = _blobs(900, seed=3), _blobs(300, seed=7)

    def score(*given: Tensor, **k: int) -> float:
        return number(call(knn_accuracy, *given, **k), "one number, the share of right answers")

    found, true = score(z, y, z_test, y_test, k=5), knn_accuracy_reference(z, y, z_test, y_test)
    _name_the_score(found, true, z, y, z_test, y_test)
    far = torch.tensor([30.0, 5.0])
    angle = (
        "the answer changes when all features move together: similarity by dot product or angle depends on where zero is, "
        "a distance does not"
    )
    require(abs(score(z + far, y, z_test + far, y_test, k=5) - found) < 0.02, angle)
    few, right = score(z, y, z_test[:100], y_test[:100], k=5), knn_accuracy_reference(z, y, z_test[:100], y_test[:100])
    size = f"100 test rows score {few:.2f}, expected {right:.2f}, and 300 score {found:.2f}: divide by their number"
    require(abs(few / right - found / true) < 0.1, size)
    require(found > true - 0.05, f"well separated classes give {found:.2f}, where nearest neighbours reach {true:.2f}")
    chance = score(z, y[draw(len(y), seed=9).argsort()], z_test, y_test, k=5)
    from_train = (
        f"with shuffled labels {chance:.2f} are right, where chance is 0.10: do neighbours and labels both come from the "
        "training part?"
    )
    require(chance < 0.2, from_train)
    _check_votes(score)
    _check_sizes(score, z, y, z_test, y_test)
    return Result(True, "The distance is Euclidean, shuffled labels give chance, k neighbours have one vote each.")


def _name_the_score(found: float, true: float, z: Tensor, y: Tensor, z_test: Tensor, y_test: Tensor) -> None:
    labels = y[torch.cdist(z_test, z).topk(5, largest=False).indices].double().mean(1).round()
    averaged = float((labels == y_test).double().mean())
    require(found <= 1, "return a share between 0 and 1, not a percentage or a count")
    require(abs(found - (1 - true)) > 0.02, "this is the share of *wrong* answers: return the right ones")
    require(found > 0.05, "almost every answer is wrong: topk returns the *largest* unless told largest=False")
    require(abs(found - averaged) > 0.01, "this averages the neighbours' labels: classes are names, so let them vote")


def _check_votes(score: Callable) -> None:
    """Small cases without ties, whose answers are known by looking."""
    at, names = torch.tensor([[0.1], [1.0], [1.2], [3.0], [3.1], [9.0], [9.5]]), torch.tensor([0, 1, 1, 2, 2, 2, 0])
    zero = torch.zeros(1, 1)

    def elected(k: int, name: int) -> bool:
        return score(at, names, zero, torch.tensor([name]), k=k) == 1

    require(
        elected(1, 0), "with k=1 the nearest decides, and another is answered: `k` is ignored, or the nearest left out"
    )
    require(
        not elected(3, 0), "of three neighbours two agree and lose: let all k vote, with one vote each, near or far"
    )
    require(elected(3, 1), "of three neighbours two agree, and another class is answered: is `k` ignored?")
    require(elected(6, 2), "of six neighbours three agree and two others agree, but the three lose: is `k` ignored?")
    half = torch.tensor([[1.0, -1.0], [1.0, 1.0]]) / 2**0.5  # a turn by 45 degrees
    pair, origin = torch.tensor([[1.0, 0.0], [0.75, 0.75]]), torch.zeros(1, 2)  # (1, 0) is nearer, and stays so
    turned = all(score(z, torch.tensor([0, 1]), origin, torch.tensor([0]), k=1) == 1 for z in (pair, pair @ half))
    stretched = torch.tensor([[2.0, 0.0], [0.0, 3.0], [90.0, 0.1], [-90.0, 0.2]])
    first = score(stretched, torch.tensor([0, 1, 2, 2]), origin, torch.tensor([0]), k=1) == 1
    turning = (
        "turning all features together changes the answer: the distance is the root of the summed squares, and no feature "
        "is rescaled by itself"
    )
    require(turned and first, turning)


def _check_sizes(score: Callable, z: Tensor, y: Tensor, z_test: Tensor, y_test: Tensor) -> None:
    default, five = (score(z + 2 * draw(*z.shape, seed=8), y, z_test, y_test, **k) for k in ({}, {"k": 5}))
    require(abs(default - five) < 1e-6, "without k the answer is another: the first line should say k=5")
    many, test = _blobs(900, seed=11, classes=13), _blobs(300, seed=15, classes=13)
    right, fixed = knn_accuracy_reference(*many, *test), "with 13 classes {}: is the number of classes fixed at ten?"
    with fits(fixed.format("it stops")):
        found = score(*many, *test, k=5)
    require(abs(found - right) < 0.02, fixed.format(f"{found:.2f} are right, expected {right:.2f}"))


reconstruction_error = Exercise("reconstruction_error", reconstruction_error_reference, _check_reconstruction_error)
pca_reconstruct = Exercise("pca_reconstruct", pca_reconstruct_reference, _check_pca_reconstruct, torch.as_tensor)
knn_accuracy = Exercise("knn_accuracy", knn_accuracy_reference, _check_knn_accuracy, float)
