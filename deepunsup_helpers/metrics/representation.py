"""What a representation is good for, judged by simple classifiers on top of it."""

import torch
from torch import Tensor

from deepunsup_helpers.metrics._arrays import centred, features, float64_device, labels


def knn_predict(z_train, y_train, z_test, *, k: int = 5, block_bytes: int = 2**26) -> Tensor:
    """Classes of the test examples by majority among their k nearest training examples.

    Euclidean search in float64, a block of test rows at a time, on the device of `z_train`. Of two training
    examples at the same distance the earlier counts as nearer; of two classes with equal votes the one met first wins.

    Args:
        z_train: features, (N, D); more axes are flattened.
        y_train: classes, whole numbers, (N,).
        z_test: features, (M, D).
        k: neighbours that vote, from 1 to N.
        block_bytes: about the memory of one block of distances.
    Returns:
        classes, int64 on the CPU, (M,).
    Raises:
        ValueError: D differs, k is out of range, the labels do not fit the features, or something is not finite.

    knn_predict(codes_train, y_train, codes_test, k=5)
    """
    device = float64_device(z_train)
    z_train = features(z_train, name="z_train", device=device, dtype=torch.float64)
    z_test = features(z_test, name="z_test", device=device, dtype=torch.float64)
    y_train = labels(y_train, name="y_train", count=len(z_train), device=device)
    _require_same_width(z_train, z_test)
    if not 1 <= k <= len(z_train):
        raise ValueError(f"k is {k}; expected from 1 to the {len(z_train)} training examples")
    z_train, z_test = centred(z_train, z_test)
    rows = max(1, block_bytes // max(8 * len(z_train), k * k))  # 8 bytes a distance; k x k comparisons in a vote
    norms = z_train.square().sum(dim=1)  # (N,)
    distances = z_train.new_empty(min(rows, len(z_test)), len(z_train))  # one block, used again and again
    predicted = []
    for block in z_test.split(rows):
        # squared distances up to a constant of each row, (rows, N)
        torch.addmm(norms, block, z_train.T, alpha=-2, out=distances[: len(block)])
        predicted.append(_vote(y_train[_nearest(distances[: len(block)], k=k)]))
    return torch.cat(predicted).cpu()


def knn_accuracy(z_train, y_train, z_test, y_test, k: int = 5) -> float:
    """Fraction of test examples that their k nearest training examples name rightly, from 0 to 1; see `knn_predict`."""
    predicted = knn_predict(z_train, y_train, z_test, k=k)
    y_test = labels(y_test, name="y_test", count=len(predicted))
    return float((predicted == y_test).double().mean())


def linear_probe(z_train, y_train, z_test, y_test, *, regularisation: float = 1.0, max_iter: int = 1000) -> float:
    """Test accuracy of a logistic regression on frozen features.

    Features are standardised with the training part's mean and standard deviation; a constant feature is only centred.

    Args:
        z_train, z_test: features, (N, D) and (M, D); more axes are flattened.
        y_train, y_test: classes, whole numbers, (N,) and (M,).
        regularisation: strength of the squared penalty, the inverse of scikit-learn's C.
        max_iter: bound on the steps of L-BFGS; stopping there is not an error, the accuracy has settled long before.
    Returns:
        from 0 to 1.
    Raises:
        ValueError: shapes that do not fit, or a single class in `y_train`.
    Source: Alain & Bengio 2016, arXiv:1610.01644.

    linear_probe(codes_train, y_train, codes_test, y_test)
    """
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    z_train = features(z_train, name="z_train", device="cpu", dtype=torch.float64)
    z_test = features(z_test, name="z_test", device="cpu", dtype=torch.float64)
    y_train = labels(y_train, name="y_train", count=len(z_train))
    y_test = labels(y_test, name="y_test", count=len(z_test))
    _require_same_width(z_train, z_test)
    if len(y_train.unique()) < 2:
        raise ValueError("y_train holds a single class; expected at least two to tell apart")
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=1 / regularisation, max_iter=max_iter))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        probe.fit(z_train.numpy(), y_train.numpy())
    return float(probe.score(z_test.numpy(), y_test.numpy()))


def _nearest(distances: Tensor, *, k: int) -> Tensor:
    """Columns of each row's k least distances, nearest first, ties to the earlier column, (rows, N) -> (rows, k)."""
    values, index = distances.topk(min(k + 1, distances.shape[1]), dim=1, largest=False, sorted=True)
    tied = values[:, k - 1] == values[:, -1]  # (rows,); always, where k is all there are
    index = index[:, :k].sort(dim=1).values  # earlier rows first, then a stable sort by distance
    index = index.gather(1, distances.gather(1, index).sort(dim=1, stable=True).indices)
    if bool(tied.any()):  # equals on both sides of the border: topk chose among them as it liked
        index[tied] = distances[tied].sort(dim=1, stable=True).indices[:, :k]
    return index


def _vote(voters: Tensor) -> Tensor:
    """Majority of each row of classes, nearest first; on a tie the class met first, (rows, k) -> (rows,)."""
    same = voters.unsqueeze(2) == voters.unsqueeze(1)  # (rows, k, k)
    votes = same.sum(dim=2)  # (rows, k): how many neighbours share the class of the j-th
    return voters.gather(1, votes.argmax(dim=1, keepdim=True)).squeeze(1)


def _require_same_width(z_train: Tensor, z_test: Tensor) -> None:
    if z_train.shape[1] != z_test.shape[1]:
        shapes = f"z_train has shape {tuple(z_train.shape)}, z_test {tuple(z_test.shape)}"
        raise ValueError(f"{shapes}; expected the same number of features in both")
