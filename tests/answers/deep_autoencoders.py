"""Right and wrong answers to the exercises of notebook 04."""

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier
from torch.nn import functional

# --- reconstruction_error ---


def error_by_loop(x, x_hat):
    total = 0
    for a, b in zip(x, x_hat):
        total = total + ((a - b) ** 2).sum()
    return total / len(x)


def writes_x(x, x_hat):
    x.sub_(1).add_(1.5)
    return error_by_loop(x, x_hat)


def writes_out(x, x_hat):
    torch.sub(x_hat.detach(), x, out=x)
    return error_by_loop(torch.zeros_like(x), x_hat)


def squares(x, x_hat):
    return (x_hat - x).square()


RIGHT_ERRORS = {
    "a loop": error_by_loop,
    "mse_loss": lambda x, y: functional.mse_loss(y, x, reduction="sum") / len(x),
    "einsum": lambda x, y: torch.einsum("nd,nd->n", (x - y).flatten(1), (x - y).flatten(1)).mean(),
    "norm": lambda x, y: (x - y).flatten(1).norm(dim=1).pow(2).mean(),
    "double": lambda x, y: squares(x.double(), y.double()).sum() / x.shape[0],
    "cdist of pairs": lambda x, y: torch.linalg.vecdot((x - y).flatten(1), (x - y).flatten(1)).mean(),
    "mean times size": lambda x, y: squares(x, y).mean() * x[0].numel(),
}
WRONG_ERRORS = {
    "mean over everything": (lambda x, y: squares(x, y).mean(), "*sum* over its pixels"),
    "sum over everything": (lambda x, y: squares(x, y).sum(), "larger batch"),
    "axes swapped": (lambda x, y: squares(x, y).flatten(1).mean(1).sum(), "other way round"),
    "channels averaged": (lambda x, y: squares(x, y).flatten(2).sum(2).mean(), "channels"),
    "half": (lambda x, y: 0.5 * squares(x, y).flatten(1).sum(1).mean(), "factor 1/2"),
    "absolute": (lambda x, y: (y - x).abs().flatten(1).sum(1).mean(), "absolute"),
    "root": (lambda x, y: (y - x).flatten(1).norm(dim=1).mean(), "root"),
    "signed": (lambda x, y: (y - x).flatten(1).sum(1).mean(), "cancel"),
    "one an image": (lambda x, y: squares(x, y).flatten(1).sum(1), "one error an image"),
    "item": (lambda x, y: error_by_loop(x, y).item(), "gradients can pass"),
    "NumPy": (lambda x, y: np.square(y.detach().numpy() - x.numpy()).sum() / len(x), "gradients can pass"),
    "detached": (lambda x, y: error_by_loop(x, y.detach()), "no gradient"),
    "half detached": (lambda x, y: ((y - x) * (y - x).detach()).sum() / len(x), "a part is cut off"),
    "writes x": (writes_x, "`x` itself was changed"),
    "writes through out=": (writes_out, "`x` itself was changed"),
    "batch of 7": (lambda x, y: squares(x, y).sum() / 7, "batch of 4"),
    "784 pixels": (lambda x, y: 784 * squares(x, y).mean(), "definition gives"),
    "three channels": (lambda x, y: 3 * squares(x, y).mean(1).flatten(1).sum(1).mean(), "batch of 4"),
    "clamped": (lambda x, y: squares(x, y.clamp(0, 1)).flatten(1).sum(1).mean(), "clamp"),
    "four axes": (lambda x, y: squares(x, y).sum((1, 2, 3)).mean(), "rows"),
    "negative": (lambda x, y: -error_by_loop(x, y), "sign"),
}

# --- pca_reconstruct ---


def pca(*, columns=lambda u, k: u.flip(1)[:, :k], centre=True, add_mean=True, fit_on="train", code=False):
    """A wrong or right pca_reconstruct."""

    def pca_reconstruct(x, k, train):
        rows = x if fit_on == "x" else train
        mean = rows.mean(0) if centre else torch.zeros_like(rows[0])
        u = columns(torch.linalg.eigh((rows - mean).T @ (rows - mean)).eigenvectors, k)
        z = (x - mean) @ u
        return z if code else z @ u.T + mean * add_mean

    return pca_reconstruct


def by_svd(x, k, train):
    directions = torch.linalg.svd(train - train.mean(0), full_matrices=False).Vh[:k]
    return train.mean(0) + (x - train.mean(0)) @ directions.T @ directions


def by_scikit_learn(x, k, train):
    theirs = PCA().fit(train.numpy())
    z = theirs.transform(x.numpy())
    z[:, k:] = 0
    return theirs.inverse_transform(z)


def by_loop(x, k, train):
    values, vectors = torch.linalg.eigh(torch.cov(train.double().T))
    rest, out = x.double() - train.double().mean(0), train.double().mean(0).expand(len(x), -1)
    for j in values.argsort(descending=True)[:k]:
        u = vectors[:, j]
        out = out + (rest @ u)[:, None] * u
    return out


def by_numpy(x, k, train):
    train, x = train.numpy(), x.numpy()
    u = np.linalg.eigh(np.cov(train.T))[1][:, ::-1][:, :k]
    return train.mean(0) + (x - train.mean(0)) @ u @ u.T


def shrinks(x, k, train):
    """Right on its training rows, but pulls other rows towards the mean."""
    y = pca()(x, k, train)
    return y if len(x) == len(train) else train.mean(0) + 0.9 * (y - train.mean(0))


def standardised(x, k, train):
    s = train.std(0)
    return pca()(x / s, k, train / s) * s


def writes_train(x, k, train):
    mean = train.mean(0)
    train -= mean
    return mean + pca(centre=False)(x - mean, k, train)


def writes_rows(x, k, train):
    mean = train.mean(0)
    x -= mean
    return mean + pca(centre=False)(x, k, train - mean)


RIGHT_PCAS = {
    "SVD": by_svd,
    "eigh": pca(),
    "scikit-learn": by_scikit_learn,
    "a loop, double": by_loop,
    "NumPy": by_numpy,
    "a list": lambda x, k, train: pca()(x, k, train).tolist(),
}
WRONG_PCAS = {
    "smallest": (pca(columns=lambda u, k: u[:, :k]), "smallest"),
    "rows": (pca(columns=lambda u, k: u.flip(1)[:k].T), "columns"),
    "not centred": (pca(centre=False), "mean subtracted"),
    "mean left out": (pca(add_mean=False), "add the training mean"),
    "fitted on x": (pca(fit_on="x"), "rows beside it"),
    "mean of x": (lambda x, k, t: x.mean(0) + by_svd(x - x.mean(0), k, t - t.mean(0)), "rows beside it"),
    "the code": (pca(code=True), "coordinates"),
    "one too few": (pca(columns=lambda u, k: u.flip(1)[:, : max(k - 1, 0)]), "keeps 1 components"),
    "one too many": (pca(columns=lambda u, k: u.flip(1)[:, : k + 1]), "keeps 3 components"),
    "minus zero": (pca(columns=lambda u, k: u[:, -k:]), "k = 0"),
    "shrinks": (shrinks, "twice"),
    "identity": (lambda x, k, train: x.clone(), "other eigenvalues"),
    "two components": (lambda x, k, train: pca()(x, 2, train), "with k = 0"),
    "six columns": (lambda x, k, t: pca()(x, k, t) @ torch.eye(6), "9 columns"),
    "standardised": (standardised, "a plane, but not the best"),
    "clamped": (lambda x, k, train: pca()(x, k, train).clamp(0, 1), "other eigenvalues"),
    "writes train": (writes_train, "`train` itself was changed"),
    "writes rows": (writes_rows, "`x` itself was changed"),
}

# --- knn_accuracy ---


def knn(*, distance=torch.cdist, largest=False, vote=lambda y: y.mode(1).values, neighbours=lambda k: k):
    """A wrong or right knn_accuracy."""

    def knn_accuracy(z_train, y_train, z_test, y_test, k=5):
        nearest = distance(z_test, z_train).topk(neighbours(k), largest=largest).indices
        return (vote(y_train[nearest]) == y_test).double().mean().item()

    return knn_accuracy


def knn_by_scikit_learn(z_train, y_train, z_test, y_test, k=5):
    return KNeighborsClassifier(k).fit(z_train, y_train).score(z_test, y_test)


def knn_by_loop(z_train, y_train, z_test, y_test, k=5):
    right = 0
    for z, y in zip(z_test, y_test):
        nearest = (z_train - z).square().sum(1).argsort()[:k]
        votes = y_train[nearest].tolist()
        right += max(votes, key=votes.count) == int(y)
    return right / len(y_test)


def knn_by_numpy(z_train, y_train, z_test, y_test, k=5):
    a, b, names = z_train.numpy(), z_test.numpy(), y_train.numpy()
    distance = (b**2).sum(1)[:, None] - 2 * b @ a.T + (a**2).sum(1)
    votes = names[np.argpartition(distance, k - 1, axis=1)[:, :k]]
    return np.mean([np.bincount(v).argmax() for v in votes] == y_test.numpy())


def one_hot_votes(y):
    return functional.one_hot(y, int(y.max()) + 1).sum(1).argmax(1)


def weighted(z_train, y_train, z_test, y_test, k=5):
    return KNeighborsClassifier(k, weights="distance").fit(z_train, y_train).score(z_test, y_test)


def writes_labels(z_train, y_train, z_test, y_test, k=5):
    accuracy = knn()(z_train, y_train, z_test, y_test, k)
    y_test.zero_()
    return accuracy


def cosine(a, b):
    return 1 - functional.normalize(a, dim=1) @ functional.normalize(b, dim=1).T


def on_the_test_part(z_train, y_train, z_test, y_test, k=5):
    return knn()(z_test, y_test, z_test, y_test, k)


RIGHT_KNNS = {
    "scikit-learn": knn_by_scikit_learn,
    "a loop": knn_by_loop,
    "NumPy": knn_by_numpy,
    "one-hot votes": knn(vote=one_hot_votes),
    "0-d tensor": lambda *a, k=5: torch.tensor(knn()(*a, k)),
    "0-d NumPy": lambda a, b, c, d, k=5: np.float32(knn()(a, b, c, d, k)),
    "squared distances": knn(distance=lambda a, b: torch.cdist(a, b).square()),
}
WRONG_KNNS = {
    "farthest": (knn(largest=True), "largest=False"),
    "error": (lambda *a, **k: 1 - knn()(*a, **k), "*wrong*"),
    "percent": (lambda *a, **k: 100 * knn()(*a, **k), "percentage"),
    "count": (lambda a, b, c, d, k=5: len(d) * knn()(a, b, c, d, k), "percentage or a count"),
    "mean of labels": (knn(vote=lambda y: y.double().mean(1).round()), "vote"),
    "dot product": (knn(distance=lambda a, b: -a @ b.T), "move together"),
    "cosine": (knn(distance=cosine), "move together"),
    "standardised": (
        knn(distance=lambda a, b: torch.cdist((a - b.mean(0)) / b.std(0), (b - b.mean(0)) / b.std(0))),
        "urning all",
    ),
    "city block": (knn(distance=lambda a, b: torch.cdist(a, b, p=1)), "urning all"),
    "one neighbour": (knn(neighbours=lambda k: 1), "all k vote"),
    "always five": (knn(neighbours=lambda k: 5), "`k` is ignored"),
    "without the nearest": (knn(neighbours=lambda k: k + 1, vote=lambda y: y[:, 1:].mode(1).values), "the nearest"),
    "weighted": (weighted, "one vote"),
    "test on test": (on_the_test_part, "training part"),
    "constant": (lambda *a, **k: 0.5, "well separated"),
    "list": (lambda *a, **k: [0.9], "one number"),
    "ten classes": (knn(vote=lambda y: functional.one_hot(y, 10).sum(1).argmax(1)), "13 classes"),
    "ten counted": (
        knn(vote=lambda y: torch.stack([(y == c).sum(1) for c in range(10)], 1).argmax(1)),
        "13 classes",
    ),
    "400 tests": (lambda *a, **k: knn()(*a, **k) * len(a[3]) / 400, "100 test rows"),
    "writes": (writes_labels, "`y_test` itself was changed"),
    "other default": (lambda a, b, c, d, k=1: knn()(a, b, c, d, k), "k=5"),
}
RIGHT = {"reconstruction_error": RIGHT_ERRORS, "pca_reconstruct": RIGHT_PCAS, "knn_accuracy": RIGHT_KNNS}
WRONG = {"reconstruction_error": WRONG_ERRORS, "pca_reconstruct": WRONG_PCAS, "knn_accuracy": WRONG_KNNS}
