"""The exercises of notebook 01: a scaler, a whitening, an honest score; reference solutions and checks."""

from collections.abc import Callable

import numpy as np
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline

from deepunsup_helpers.exercises import Exercise, Result

# --- fit_scaler ---


def fit_scaler_reference(train: np.ndarray) -> tuple[Callable, Callable]:
    """Learn each column's mean and deviation from the training rows, once; return what applies them and what undoes it.

    Args:
        train: the training rows, (N, D).
    Returns:
        transform and inverse, two functions of (M, D) arrays with `inverse(transform(x)) == x`. A constant column is
        centred and otherwise left alone.
    """
    mean = train.mean(axis=0)  # (D,)
    deviation = train.std(axis=0)  # (D,)
    constant = deviation <= 1e-9 * np.abs(train).max(axis=0)  # 0.1 + 0.1 + ... rounds: "equal to 0" would miss it
    scale = np.where(constant, 1.0, deviation)
    return lambda x: (x - mean) / scale, lambda z: z * scale + mean


def _check_fit_scaler(fit_scaler: Callable) -> Result:
    rng = np.random.default_rng(1)
    units = np.array([1000.0, 1.0, 1e-4, 7.0])  # four columns, each in a unit of its own
    train = rng.normal(size=(400, 4)) * units + 3 * units
    new = rng.normal(size=(50, 4)) * units + 4 * units
    fitted = fit_scaler(train.copy())
    if not (isinstance(fitted, tuple) and len(fitted) == 2 and all(callable(f) for f in fitted)):
        return Result(False, "return two functions: `return transform, inverse`")
    transform, inverse = fitted
    z = np.asarray(transform(train.copy()), dtype=float)
    if z.shape != train.shape:
        return Result(False, f"a table of shape {train.shape} came back with shape {z.shape}")
    if not np.isfinite(z).all():
        return Result(False, "the scaled training rows are not all finite")

    mean, deviation = z.mean(axis=0), z.std(axis=0)
    if np.ptp(deviation) > 0.1 and np.isclose(z.std(), 1, atol=0.02):
        return Result(False, "one mean and one deviation serve the whole table: take them over axis 0, one a column")
    if np.allclose(z.mean(axis=1), 0, atol=1e-6):
        return Result(False, "the mean of every *row* is 0: take mean and deviation over axis 0, not axis 1")
    if np.allclose(deviation * units, 1, rtol=0.2):
        return Result(False, "this divides by the variance: divide by its square root, the standard deviation")
    if not np.allclose(deviation, 1, atol=0.01):
        return Result(
            False,
            f"the scaled columns have deviations {deviation.min():.3g} to {deviation.max():.3g}, not "
            "1 (one column's unit is 1e-4: an epsilon of that size distorts it)",
        )
    if not np.allclose(mean, 0, atol=1e-6):
        return Result(False, f"the scaled columns have means up to {np.abs(mean).max():.3g}: subtract the mean first")

    z_new = np.asarray(transform(new.copy()), dtype=float)
    if not np.allclose(z_new[:10], transform(new[:10].copy()), atol=1e-9):
        return Result(
            False,
            "a row's scaled value depends on the rows beside it: use the training rows' mean and "
            "deviation for every later table, and compute neither inside `transform`",
        )
    if not np.allclose(inverse(z_new), new, rtol=1e-6):
        return Result(False, "inverse(transform(x)) is not x: undo the last step first, z * deviation, then + mean")
    return _check_constant_columns(fit_scaler)


def _check_constant_columns(fit_scaler: Callable) -> Result:
    train = np.random.default_rng(2).normal(size=(1000, 3))
    train[:, 0], train[:, 1] = 5.0, 0.1
    new = train[:4].copy()
    new[:, :2] += 0.2  # a value that training has never shown
    with np.errstate(all="ignore"):
        z = np.asarray(fit_scaler(train.copy())[0](new), dtype=float)
    if not np.isfinite(z[:, 0]).all():
        return Result(False, "a constant column has deviation 0, and dividing by it gives infinity: divide by 1 there")
    if np.abs(z[:, 1]).max() > 1e6:
        return Result(
            False,
            f"a column that is 0.1 in every row has a deviation of {train[:, 1].std():.0e}, not 0, "
            f"because 0.1 is rounded in binary; 0.3 then becomes {np.abs(z[:, 1]).max():.0e}. Treat "
            "a deviation far below the column's own size as 0",
        )
    if np.abs(z[:, 0]).max() > 1e6:
        return Result(
            False,
            "a constant column divided by a tiny epsilon sends a new value to "
            f"{np.abs(z[:, 0]).max():.0e}: divide by 1 there",
        )
    return Result(
        True,
        "Each column gets mean 0 and deviation 1 from the training rows alone; constants stay finite; "
        "the inverse undoes it.",
    )


# --- whiten ---


def whiten_reference(x: np.ndarray, eps: float = 0.0) -> np.ndarray:
    """Turn and stretch centred rows until no direction varies more than another (ZCA: then turn back).

    Args:
        x: rows, (N, D).
        eps: added to each eigenvalue of the covariance before its root, in squared units of x; tames directions that
            hardly vary.
    Returns:
        rows with covariance U diag(l / (l + eps)) U^T, the identity for eps = 0, (N, D).
    """
    centred = x - x.mean(axis=0)  # (N, D)
    eigenvalues, u = np.linalg.eigh(np.cov(centred, rowvar=False))  # (D,), (D, D): eigenvectors are columns
    return centred @ u / np.sqrt(eigenvalues + eps) @ u.T


def _check_whiten(whiten: Callable) -> Result:
    rng = np.random.default_rng(3)
    mixing = np.array([[3.0, 0.0, 0.0], [2.0, 1.0, 0.0], [-1.0, 0.5, 0.4]])
    x = rng.normal(size=(3000, 3)) @ mixing.T + np.array([10.0, -4.0, 1.0])
    eigenvalues = np.linalg.eigvalsh(np.cov(x, rowvar=False))
    z = np.asarray(whiten(x.copy(), 0.0), dtype=float)
    if z.shape != x.shape:
        return Result(False, f"a table of shape {x.shape} came back with shape {z.shape}")
    if not np.isfinite(z).all():
        return Result(False, "the whitened rows are not all finite")
    covariance = np.cov(z, rowvar=False)
    variances, off_diagonal = np.diag(covariance), covariance - np.diag(np.diag(covariance))
    uncorrelated = np.abs(off_diagonal).max() < 0.01 * variances.max()
    if np.allclose(covariance * len(x), np.eye(3), atol=0.01):
        return Result(
            False,
            "the covariance is the identity divided by N: the covariance is the *mean* of the "
            "products x x^T, not their sum",
        )
    if uncorrelated and np.allclose(np.sort(variances), eigenvalues, rtol=0.02):
        return Result(
            False, "the columns are uncorrelated, but keep the eigenvalues as variances: divide by their roots"
        )
    if np.allclose(np.linalg.eigvalsh(covariance), np.sort(1 / eigenvalues), rtol=0.02):
        return Result(False, "the variances came out as 1/eigenvalue: divide by the eigenvalue's square root")
    if np.allclose(variances, 1, atol=0.01) and not uncorrelated:
        return Result(
            False,
            "every column has variance 1, but two of them are still correlated "
            f"({np.abs(off_diagonal).max():.2f}): this standardises; whitening turns to the "
            "eigenvectors first",
        )
    if not np.allclose(covariance, np.eye(3), atol=0.01):
        return Result(
            False,
            f"the covariance is off the identity by {np.abs(covariance - np.eye(3)).max():.2g}: eigh "
            "returns eigenvectors as columns, so the new coordinates are `centred @ u`",
        )
    if not np.allclose(z.mean(axis=0), 0, atol=1e-6):
        return Result(False, "the mean is not 0: subtract it before you turn")
    return _check_whiten_eps(whiten, x, eigenvalues)


def _check_whiten_eps(whiten: Callable, x: np.ndarray, eigenvalues: np.ndarray) -> Result:
    eps = float(eigenvalues[0])
    found = np.linalg.eigvalsh(np.cov(np.asarray(whiten(x.copy(), eps), dtype=float), rowvar=False))
    if np.allclose(found, 1, atol=0.01):
        return Result(False, "`eps` changes nothing: add it to the eigenvalues before the root")
    if np.allclose(found, eigenvalues / (np.sqrt(eigenvalues) + eps) ** 2, rtol=0.02):
        return Result(
            False,
            "`eps` is added after the root: add it to the eigenvalue, sqrt(l + eps), so it has the unit of a variance",
        )
    if not np.allclose(found, eigenvalues / (eigenvalues + eps), rtol=0.02):
        return Result(False, "with eps > 0 the variances should be l / (l + eps)")
    return Result(True, "The covariance is the identity for eps = 0, and l / (l + eps) along each direction otherwise.")


# --- honest_score ---


def honest_score_reference(X: np.ndarray, y: np.ndarray) -> float:
    """Accuracy of "keep the 20 columns that differ most between the classes, then naive Bayes" on unseen rows.

    Args:
        X: rows, (N, D); y: labels, (N,).
    Returns:
        accuracy over five shuffled, stratified folds, in [0, 1]; 0.5 on two balanced random labels.
    """
    model = make_pipeline(SelectKBest(f_classif, k=min(20, X.shape[1])), GaussianNB())
    folds = StratifiedKFold(n_splits=5, shuffle=True, random_state=0)
    return float(cross_val_score(model, X, y, cv=folds).mean())


def _check_honest_score(honest_score: Callable) -> Result:
    rng = np.random.default_rng(4)
    y = np.repeat([0, 1], 40)
    signal = rng.normal(size=(80, 60))
    signal[:, :3] += 2.0 * y[:, None]
    score = honest_score(signal.copy(), y.copy())
    if not np.isscalar(score) or not 0 <= score <= 1:
        return Result(False, "return one number, the accuracy, between 0 and 1")
    if score < 0.3:
        return Result(
            False,
            f"three columns tell the classes apart, yet the score is {score:.2f}: the labels are "
            "sorted, so the folds must be shuffled (or is this the error and not the accuracy?)",
        )
    if score < 0.8:
        return Result(
            False, f"three columns tell the classes apart, yet the score is {score:.2f}: is anything learned from X?"
        )

    def on_noise(columns: int) -> float:
        return float(np.mean([honest_score(rng.normal(size=(80, columns)), rng.permutation(y)) for _ in range(8)]))

    few, many = on_noise(columns=20), on_noise(columns=1000)
    if few > 0.6:
        return Result(False, f"20 columns of noise score {few:.2f}: the classifier is scored on rows it was fitted on")
    if many > 0.6:
        return Result(
            False,
            f"1,000 columns of noise score {many:.2f}: the columns were chosen with the held-out rows "
            "in sight. Choose them inside each fold, with its training rows alone",
        )
    if max(abs(few - 0.5), abs(many - 0.5)) > 0.1:
        return Result(False, f"noise should score 0.5; this gives {few:.2f} and {many:.2f}")
    return Result(True, f"Noise scores {many:.1f}, three real columns {score:.1f}.")


fit_scaler = Exercise("fit_scaler", fit_scaler_reference, _check_fit_scaler)
whiten = Exercise("whiten", whiten_reference, _check_whiten)
honest_score = Exercise("honest_score", honest_score_reference, _check_honest_score)
