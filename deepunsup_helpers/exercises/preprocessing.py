"""The exercises of notebook 01: a scaler, a whitening, an honest score; reference solutions and checks."""

from collections.abc import Callable

import numpy as np
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline

from deepunsup_helpers.exercises import Exercise, Result
from deepunsup_helpers.exercises.toolkit import call, fits, number, require, tensor


def _array(found: object) -> np.ndarray:
    return np.real_if_close(np.asarray(found))


def _on_arrays(functions: tuple[Callable, Callable]) -> tuple[Callable, ...]:
    return tuple(lambda x, function=function: _array(function(x)) for function in functions)


def _table(found: object, shape: tuple[int, ...], hints: dict[tuple, str] | None = None) -> np.ndarray:
    return tensor(found, shape, hints).double().numpy()


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
    new[0] += 20 * units  # an outlier stays one
    transform, inverse = _two_functions(call(fit_scaler, train))
    z = _table(call(transform, train), train.shape)
    _name_the_scaling(z, train, units, inverse)
    z_new = _table(call(transform, new), new.shape)
    beside = (
        "a row's scaled value depends on the rows beside it: use the training rows' mean and deviation for every later "
        "table, and compute neither inside `transform`"
    )
    require(np.allclose(z_new[:10], _table(call(transform, new[:10]), (10, 4)), atol=1e-4), beside)
    right = (new - train.mean(0)) / train.std(0)
    require(np.abs(z_new).max() > 15, "a value 20 deviations away came out nearer: do not clip, or it cannot be undone")
    require(np.allclose(z_new, right, rtol=0.02, atol=0.02), "new rows are not scaled by the training rows' statistics")
    back = _table(call(inverse, z_new), new.shape)
    undo = "inverse(transform(x)) is not x: undo the last step first, z * deviation, then + mean"
    require(np.allclose(back, new, rtol=1e-3, atol=1e-3 * units), undo)
    _check_constant_columns(fit_scaler)
    return Result(
        True,
        "Each column gets mean 0 and deviation 1 from the training rows alone; constants stay finite; it is undone.",
    )


def _two_functions(fitted: object) -> tuple[Callable, Callable]:
    good = isinstance(fitted, (tuple, list)) and len(fitted) == 2 and all(callable(f) for f in fitted)
    require(good, "return two functions: `return transform, inverse`")
    return tuple(fitted)


def _name_the_scaling(z: np.ndarray, train: np.ndarray, units: np.ndarray, inverse: Callable) -> None:
    right = (train - train.mean(0)) / train.std(0)
    clipped = np.allclose(z, right.clip(z.min(), z.max()), atol=1e-3) and np.abs(z).max() < 0.95 * np.abs(right).max()
    require(not clipped, "values far from the mean are clipped: keep them, or they cannot be undone")
    mean, deviation = z.mean(axis=0), z.std(axis=0)
    one = np.ptp(deviation) > 0.1 and np.isclose(z.std(), 1, atol=0.02)
    require(not one, "one mean and one deviation serve the whole table: take them over axis 0, one a column")
    rows = np.allclose(z.mean(axis=1), 0, atol=1e-4)
    require(not rows, "the mean of every *row* is 0: take mean and deviation over axis 0, not axis 1")
    variance = np.allclose(deviation * units, 1, rtol=0.2)
    require(not variance, "this divides by the variance: divide by its square root, the standard deviation")
    if np.allclose(z, train * train.std(0) + train.mean(0)):
        back = _table(call(inverse, train), train.shape)
        swapped = np.allclose(back.std(0), 1, atol=0.01)
        require(not swapped, "the two functions are returned the other way round: `return transform, inverse`")
    require(
        not np.allclose(deviation, train.std(0), rtol=0.01),
        f"the columns' deviations are {deviation.min():.3g} to {deviation.max():.3g} as before: they are not divided by",
    )
    require(
        np.abs(mean).max() < 1e-3,
        f"the scaled columns have means up to {np.abs(mean).max():.3g}: subtract the mean first",
    )
    require(
        np.allclose(deviation, 1, atol=0.01),
        f"the scaled columns have deviations {deviation.min():.3g} to {deviation.max():.3g}, not 1 (one column's unit is "
        "1e-4: an epsilon of that size distorts it)",
    )


def _check_constant_columns(fit_scaler: Callable) -> None:
    train = np.random.default_rng(2).normal(size=(1000, 3))
    train[:, 0], train[:, 1] = 5.0, 0.1
    new = train[:4].copy()
    new[:, :2] += 0.2  # a value that training has never shown
    with np.errstate(all="ignore"), fits("it serves tables of four columns only; one of three columns stops it"):
        transform, _ = _two_functions(call(fit_scaler, train))
        z = np.asarray(call(transform, new), dtype=float)
    require(
        bool(np.isfinite(z[:, 0]).all()),
        "a constant column has deviation 0, and dividing by it gives infinity: divide by 1 there",
    )
    sent = [np.abs(z[:, j]).max() for j in range(2)]
    require(
        sent[0] < 1e6,
        f"a constant column divided by a tiny epsilon sends a new value to {sent[0]:.0e}: divide by 1 there",
    )
    require(
        sent[1] < 1e6,
        f"a column that is 0.1 in every row has a deviation of {train[:, 1].std():.0e}, not 0, because 0.1 is rounded in "
        f"binary; 0.3 then becomes {sent[1]:.0e}. Treat a deviation far below the column's own size as 0",
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
    _check_whiteness(whiten, x)
    _check_whiten_eps(whiten, x)
    wide = rng.normal(size=(400, 5)) * [1, 2, 3, 4, 5] + rng.normal(size=(400, 1))
    with fits("it serves tables of three columns only; one of five columns stops it"):
        z = _table(call(whiten, wide, 0.0), wide.shape)
    require(np.allclose(np.cov(z.T), np.eye(5), atol=0.02), "a table of five columns is not white: are sizes fixed?")
    return Result(True, "The covariance is the identity for eps = 0, and l / (l + eps) along each direction otherwise.")


def _check_whiteness(whiten: Callable, x: np.ndarray) -> None:
    eigenvalues = np.linalg.eigvalsh(np.cov(x, rowvar=False))
    whole = {(3, 3): "this is the matrix itself: apply it to the centred rows"}
    z = _table(call(whiten, x, 0.0), x.shape, whole)
    covariance = np.cov(z, rowvar=False)
    variances, correlated = np.diag(covariance), np.abs(covariance - np.diag(np.diag(covariance))).max()
    uncorrelated, found = correlated < 0.01 * variances.max(), np.linalg.eigvalsh(covariance)
    mistakes = {
        "the covariance is the identity divided by N: the covariance is the *mean* of the products x x^T, not their "
        "sum": np.allclose(covariance * len(x), np.eye(3), atol=0.01),
        "the columns are uncorrelated, but keep the eigenvalues as variances: divide by their roots": uncorrelated
        and np.allclose(np.sort(variances), eigenvalues, rtol=0.02),
        "the variances came out as the eigenvalues squared: divide by the root, where this multiplies": np.allclose(
            found, eigenvalues**2, rtol=0.02
        ),
        "the variances came out as 1/eigenvalue: divide by the eigenvalue's square root": np.allclose(
            found, np.sort(1 / eigenvalues), rtol=0.02
        ),
        f"every column has variance 1, but two of them are still correlated ({correlated:.2f}): this standardises; "
        "whitening turns to the eigenvectors first": np.allclose(variances, 1, atol=0.01) and not uncorrelated,
        f"the covariance is expected to be the identity and is off by {np.abs(covariance - np.eye(3)).max():.2g}: eigh "
        "returns eigenvectors as columns, so the new coordinates are `centred @ u`": not np.allclose(
            covariance, np.eye(3), atol=0.01
        ),
        "the mean is not 0: subtract it before you turn": not np.allclose(z.mean(axis=0), 0, atol=1e-3),
    }
    for message, made in mistakes.items():
        require(not made, message)


def _check_whiten_eps(whiten: Callable, x: np.ndarray) -> None:
    eigenvalues = np.linalg.eigvalsh(np.cov(x, rowvar=False))
    eps = float(eigenvalues[1])  # between the others, so that each of them shows
    found = np.linalg.eigvalsh(np.cov(_table(call(whiten, x, eps), x.shape), rowvar=False))
    mistakes = {
        "`eps` changes nothing: add it to the eigenvalues before the root": np.ones(3),
        "`eps` is added after the root: add it to the eigenvalue, sqrt(l + eps), so it has the unit of a variance": (
            eigenvalues / (np.sqrt(eigenvalues) + eps) ** 2
        ),
        "`eps` is taken as a least value of the eigenvalues: add it to them": eigenvalues
        / np.maximum(eigenvalues, eps),
    }
    for message, value in mistakes.items():
        require(not np.allclose(found, np.sort(value), rtol=0.02), message)
    right = np.allclose(found, eigenvalues / (eigenvalues + eps), rtol=0.02)
    require(right, "with eps > 0 the variances should be l / (l + eps)")


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


def _rows(rng: np.random.Generator, y: np.ndarray, columns: int, shift: float, power: int = 1) -> np.ndarray:
    """Noise in which the last six columns tell the classes apart; a power gives the other columns outliers."""
    X = rng.normal(size=(len(y), columns)) ** power
    X[:, -6:] = rng.normal(size=(len(y), 6)) + shift * np.unique(y, return_inverse=True)[1][:, None]
    return X


def _check_honest_score(honest_score: Callable) -> Result:
    rng = np.random.default_rng(4)
    y = np.repeat([0, 1], 40)

    def score(X: np.ndarray, labels: np.ndarray) -> float:
        value = number(honest_score(X, labels), "one number, the accuracy")
        require(0 <= value <= 1, f"the accuracy lies between 0 and 1; this returned {value:.3g}")
        return value

    call(honest_score, _rows(rng, y, 60, 2.0), y)
    clear = score(_rows(rng, y, 60, 2.0), y)
    telling = f"six columns tell the classes apart, yet the score is {clear:.2f}"
    sign = "the labels are sorted, so the folds must be shuffled (or is this the error and not the accuracy?)"
    require(clear > 0.3, f"{telling}: {sign}")
    require(clear > 0.8, f"{telling}: is anything learned from X?")

    def on_noise(columns: int, tables: int) -> float:
        return float(np.mean([score(rng.normal(size=(80, columns)), rng.permutation(y)) for _ in range(tables)]))

    few, many = on_noise(20, tables=2), on_noise(800, tables=2)
    fitted = f"20 columns of noise score {few:.2f}: the classifier is scored on rows it was fitted on"
    require(few < 0.65, fitted)
    leaks = (
        f"800 columns of noise score {many:.2f}: the columns were chosen with the held-out rows in sight. Choose them "
        "inside each fold, with its training rows alone"
    )
    require(many < 0.65, leaks)
    require(min(few, many) > 0.33, f"noise should score 0.5; this gives {few:.2f} and {many:.2f}")
    hidden = score(_rows(rng, y, 600, 2.5, power=3), y)
    require(
        hidden > 0.72,
        f"six telling columns among 600 of noise score {hidden:.2f}, where their best 20 give 0.9: no columns are chosen, "
        "or not by how they differ between the classes",
    )
    balanced = np.repeat([0, 1], 100)
    each_a_little = rng.normal(size=(200, 60))
    each_a_little[:, -20:] += balanced[:, None]
    together = score(each_a_little, balanced)
    require(
        together > 0.9,
        f"twenty columns each tell a little, and their sum nearly all; the score is {together:.2f}: keep 20 columns, not fewer",
    )
    three = np.repeat([2, 5, 9], 20)
    by_name, chance = (score(_rows(rng, three, 60, shift), three) for shift in (2.0, 0.0))
    require(
        by_name > 0.8 and chance < 0.6,
        f"three classes named 2, 5 and 9 score {by_name:.2f}, and {chance:.2f} on noise, where a third is chance: is the "
        "number of rows or classes fixed, or their names?",
    )
    return Result(True, f"Noise scores {many:.1f}, six real columns {clear:.1f}, also among 600 others.")


fit_scaler = Exercise("fit_scaler", fit_scaler_reference, _check_fit_scaler, _on_arrays)
whiten = Exercise("whiten", whiten_reference, _check_whiten, _array)
honest_score = Exercise("honest_score", honest_score_reference, _check_honest_score, float)
