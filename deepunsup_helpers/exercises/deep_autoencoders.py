"""The exercises of notebook 04: the error of a reconstruction, PCA by hand, neighbours as a judge of features."""

from collections.abc import Callable

import torch
from torch import Tensor

from deepunsup_helpers.exercises import Exercise, Result


def _close(found: float, expected: float) -> bool:
    return abs(found - expected) <= 1e-3 * abs(expected)


# --- reconstruction_error -------------------------------------------------------------------------------------------


def reconstruction_error_reference(x: Tensor, x_hat: Tensor) -> Tensor:
    """Squared error of an image, summed over its pixels, averaged over the batch.

    Args:
        x, x_hat: images and their reconstructions, (N, C, H, W).
    Returns:
        0-d tensor, in squared units of x; gradients reach x_hat.
    """
    return (x_hat - x).square().flatten(1).sum(dim=1).mean()


def _check_reconstruction_error(reconstruction_error: Callable) -> Result:
    generator = torch.Generator().manual_seed(1)
    count, shape = 7, (3, 4, 5)  # every axis has a length of its own, so that a wrong one shows
    x = torch.rand(count, *shape, generator=generator)
    x_hat = torch.rand(count, *shape, generator=generator).requires_grad_()
    before = x.clone()
    error = reconstruction_error(x, x_hat)
    if isinstance(error, (int, float)):
        return Result(
            False, "this returns a plain number, which carries no gradient: return the tensor, without .item()"
        )
    if not isinstance(error, Tensor):
        return Result(False, f"return a tensor; this returned {type(error).__name__}")
    if error.shape == (count,):
        return Result(False, "this is one error an image: average them over the batch")
    if error.ndim != 0:
        return Result(False, f"the result has shape {tuple(error.shape)}; expected a single number")
    if not torch.equal(x, before):
        return Result(False, "the images themselves were changed: avoid operations that end in _ or write in place")

    wrong = _name_the_reduction(float(error.detach()), x, x_hat.detach())
    if wrong:
        return Result(False, wrong)
    if not error.requires_grad:
        return Result(False, "no gradient reaches x_hat: compute with it as it is, without detach() or no_grad()")
    twice = reconstruction_error(torch.cat([x, x]), torch.cat([x_hat, x_hat]))
    if not _close(float(twice.detach()), float(error.detach())):
        return Result(False, "the same images given twice have another error: average over the batch by its true size")
    return Result(True, "It sums over pixels, averages over the batch, and lets gradients through.")


def _name_the_reduction(found: float, x: Tensor, x_hat: Tensor) -> str:
    """Which likely mistake gives this number on a batch of 7; '' for the right one."""
    count, pixels = len(x), x[0].numel()
    difference = x_hat - x
    true = float(difference.square().sum()) / count
    mistakes = {
        "this averages over the pixels as well: the error of an image is the *sum* over its pixels": true / pixels,
        "this sums over the batch: a larger batch would look worse, so average over the images": true * count,
        "this sums over the images and averages over the pixels: the other way round": true * count / pixels,
        "this averages over the channels: flatten each image first, then sum": true / x.shape[1],
        "this is half of the squared error: leave the factor 1/2 out, so that errors can be compared": true / 2,
        "this sums the absolute differences: square them": float(difference.abs().sum()) / count,
        "this takes the root of each image's error: leave the squares": float(difference.flatten(1).norm(dim=1).mean()),
        "differences of unlike sign cancel: square before you sum": float(difference.sum()) / count,
    }
    if _close(found, true):
        return ""
    for message, value in mistakes.items():
        if _close(found, value) or _close(-found, value):
            return message
    return f"on a random batch it returns {found:.3g}, where the definition gives {true:.3g}"


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


def _check_pca_reconstruct(pca_reconstruct: Callable) -> Result:
    generator = torch.Generator().manual_seed(2)
    scales = torch.tensor([5.0, 3.0, 2.0, 1.0, 0.5, 0.2], dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(6, 6, generator=generator, dtype=torch.float64)).Q
    offset = torch.tensor([4.0, -7.0, 1.0, 9.0, -3.0, 2.0], dtype=torch.float64)
    rows = torch.randn(2, 400, 6, generator=generator, dtype=torch.float64) * scales @ turn.T + offset
    train, x = rows[0], rows[1, :40] + 2.0 * turn[:, 0]
    centred = train - train.mean(0)
    eigenvalues = torch.linalg.eigvalsh(centred.T @ centred / len(train)).flip(0)  # largest first

    k = 2
    own = pca_reconstruct(train.clone(), k, train.clone())
    if not isinstance(own, Tensor):
        return Result(False, f"return a tensor; this returned {type(own).__name__}")
    if own.shape == (len(train), k):
        return Result(
            False, f"this returns the {k} coordinates of each row: multiply by the directions again to come back"
        )
    if own.shape != train.shape:
        return Result(False, f"rows of shape {tuple(train.shape)} came back with shape {tuple(own.shape)}")
    error = float((own - train).square().sum(1).mean())
    wrong = _name_the_projection(error, own, centred, eigenvalues, k)
    if wrong:
        return Result(False, wrong)
    return _check_pca_of_new_rows(pca_reconstruct, x, k, train)


def _name_the_projection(error: float, own: Tensor, centred: Tensor, eigenvalues: Tensor, k: int) -> str:
    """Which likely mistake gives this error on the training rows; '' when it is the sum of the tail eigenvalues."""
    tail = float(eigenvalues[k:].sum())
    if _close(error, tail):
        return ""
    if torch.allclose(own.mean(0), torch.zeros(own.shape[1], dtype=own.dtype), atol=1e-6):
        return "the reconstructions have mean 0: add the training mean again at the end"
    if _close(error, float(eigenvalues[:-k].sum())):
        return (
            "it keeps the directions of *smallest* variance: eigh sorts them from small to large, so the leading "
            "eigenvectors stand last"
        )
    for wrong_k in (k - 1, k + 1):
        if _close(error, float(eigenvalues[wrong_k:].sum())):
            return f"it keeps {wrong_k} components when asked for {k}"
    u = torch.linalg.eigh(centred.T @ centred).eigenvectors.flip(1)
    if _close(error, float((centred - centred @ u[:k].T @ u[:k]).square().sum(1).mean())):
        return "eigh returns eigenvectors as *columns*: take u[:, ...], not u[...]"
    if torch.linalg.matrix_rank(own - own.mean(0), rtol=1e-6) <= k:
        return (
            f"the rows come back on a plane, but not the best one: error {error:.3g}, where the tail eigenvalues sum "
            f"to {tail:.3g}. Was the mean subtracted before the components were computed?"
        )
    return (
        f"the error on the training rows is {error:.3g}; for a projection on {k} components it is the sum of the other "
        f"eigenvalues, {tail:.3g}"
    )


def _check_pca_of_new_rows(pca_reconstruct: Callable, x: Tensor, k: int, train: Tensor) -> Result:
    new = pca_reconstruct(x.clone(), k, train.clone())
    first = pca_reconstruct(x[:3].clone(), k, train.clone())
    if not torch.allclose(new[:3], first, atol=1e-6):
        return Result(
            False,
            "a row's reconstruction depends on the rows beside it: take mean and components from `train`, not `x`",
        )
    if not torch.allclose(pca_reconstruct(new.clone(), k, train.clone()), new, atol=1e-6):
        return Result(False, "projecting twice changes the result again: a projection is done after the first time")
    if not torch.allclose(new, pca_reconstruct_reference(x, k, train), atol=1e-6):
        return Result(False, "new rows land on another plane than the training rows' components span")
    nothing = pca_reconstruct(x.clone(), 0, train.clone())
    if not torch.allclose(nothing, train.mean(0).expand_as(x), atol=1e-6):
        return Result(False, "with k = 0 every row should come back as the training mean (u[:, -0:] is *all* columns)")
    return Result(
        True, "The error is the sum of the tail eigenvalues; projecting again changes nothing; k = 0 is the mean."
    )


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


class _Blobs:
    """Ten classes in a ring of Gaussian blobs, labels 0 to 9 dealt so that neighbours differ by more than one."""

    def __init__(self, n: int, seed: int):
        self.generator = torch.Generator().manual_seed(seed)
        order = torch.tensor([0, 5, 1, 8, 3, 9, 2, 6, 4, 7])
        place = torch.randint(10, (n,), generator=self.generator)
        angle = 2 * torch.pi * place / 10
        noise = 0.2 * torch.randn(n, 2, generator=self.generator, dtype=torch.float64)
        self.z = torch.stack([angle.cos(), angle.sin()], 1).double() + noise
        self.y = order[place]


def _check_knn_accuracy(knn_accuracy: Callable) -> Result:
    train, test = _Blobs(1500, seed=3), _Blobs(400, seed=4)
    given = (train.z, train.y, test.z, test.y)
    found = knn_accuracy(*(t.clone() for t in given), 5)
    if not isinstance(found, (int, float)) and not (isinstance(found, Tensor) and found.ndim == 0):
        return Result(False, "return one number, the share of right answers")
    found, true = float(found), knn_accuracy_reference(*given, 5)
    if found > 1:
        return Result(False, "return a share between 0 and 1, not a percentage or a count")
    if abs(found - (1 - true)) < 0.02:
        return Result(False, "this is the share of *wrong* answers: return the right ones")
    if found < 0.05:
        return Result(False, "almost every answer is wrong: topk returns the *largest* unless told largest=False")
    if abs(found - _mean_label_accuracy(*given)) < 0.01:
        return Result(False, "this averages the neighbours' labels: classes are names, so let them vote")
    far = torch.tensor([30.0, 5.0], dtype=torch.float64)
    moved = float(knn_accuracy(train.z + far, train.y, test.z + far, test.y, 5))
    if abs(moved - found) > 0.01:
        return Result(
            False,
            "the answer changes when all features move together: similarity by dot product or angle depends on where "
            "zero is, a distance does not",
        )
    if found < true - 0.05:
        return Result(False, f"well separated classes give {found:.2f}, where nearest neighbours reach {true:.2f}")
    return _check_shuffled(knn_accuracy, train, test) or _check_turned(knn_accuracy, train, test)


def _mean_label_accuracy(z_train: Tensor, y_train: Tensor, z_test: Tensor, y_test: Tensor) -> float:
    nearest = torch.cdist(z_test, z_train).topk(5, largest=False).indices
    return float((y_train[nearest].double().mean(1).round() == y_test).double().mean())


def _check_shuffled(knn_accuracy: Callable, train: _Blobs, test: _Blobs) -> Result | None:
    """A complaint, or None: shuffled labels give chance, some wrong labels are outvoted."""
    shuffled = train.y[torch.randperm(len(train.y), generator=train.generator)]
    chance = float(knn_accuracy(train.z, shuffled, test.z, test.y, 5))
    if chance > 0.2:
        return Result(
            False,
            f"with shuffled labels {chance:.2f} are right, where chance is 0.10: do neighbours and labels both "
            "come from the training part?",
        )
    flipped = train.y.clone()
    flip = torch.rand(len(flipped), generator=train.generator) < 0.35
    flipped[flip] = torch.randint(10, (int(flip.sum()),), generator=train.generator)
    one, many = (float(knn_accuracy(train.z, flipped, test.z, test.y, k)) for k in (1, 25))
    if many < one + 0.1:
        return Result(False, "25 neighbours do no better than one where a third of the labels is wrong: let all k vote")
    return None


def _check_turned(knn_accuracy: Callable, train: _Blobs, test: _Blobs) -> Result:
    turn = torch.tensor([[0.8, -0.6], [0.6, 0.8]], dtype=torch.float64)
    stretch = torch.tensor([1.0, 0.05], dtype=torch.float64)
    long = [(z * stretch) @ turn for z in (train.z, test.z)]  # a direction that hardly varies should hardly count
    plain = float(knn_accuracy(train.z * stretch, train.y, test.z * stretch, test.y, 5))
    turned = float(knn_accuracy(long[0], train.y, long[1], test.y, 5))
    # two candidates for the origin: (1, 0) is nearer than (0.75, 0.75), and stays so when turned by 45 degrees
    pair, names = torch.tensor([[1.0, 0.0], [0.75, 0.75]], dtype=torch.float64), torch.tensor([0, 1])
    half_right = torch.tensor([[1.0, -1.0], [1.0, 1.0]], dtype=torch.float64) / 2**0.5
    origin = torch.zeros(1, 2, dtype=torch.float64)
    votes = [float(knn_accuracy(z, names, origin, names[:1], 1)) for z in (pair, pair @ half_right)]
    if abs(plain - turned) > 0.01 or min(votes) < 1:
        return Result(
            False,
            "turning all features together changes the answer: the distance is the root of the summed squares, and no "
            "feature is rescaled by itself",
        )
    return Result(True, "Turning the features changes nothing, shuffled labels give chance, many voters outvote noise.")


reconstruction_error = Exercise("reconstruction_error", reconstruction_error_reference, _check_reconstruction_error)
pca_reconstruct = Exercise("pca_reconstruct", pca_reconstruct_reference, _check_pca_reconstruct)
knn_accuracy = Exercise("knn_accuracy", knn_accuracy_reference, _check_knn_accuracy)
