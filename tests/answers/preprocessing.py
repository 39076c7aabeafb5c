"""Right and wrong answers to the exercises of notebook 01."""

import numpy as np
import torch
from scipy.linalg import sqrtm
from sklearn.decomposition import PCA
from sklearn.feature_selection import SelectKBest, VarianceThreshold, f_classif
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score, train_test_split
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

# --- fit_scaler ---


def scaler(mean, deviation, inverse=None, kind=tuple):
    """A wrong or right fit_scaler from two functions of the training table."""

    def fit(train):
        m, s = mean(train), deviation(train)
        return kind((lambda x: (x - m) / s, inverse(m, s) if inverse else (lambda z: z * s + m)))

    return fit


def columns(function):
    return lambda train: function(train, axis=0)


def safe_deviation(train):
    return np.where(np.ptp(train, axis=0) > 0, train.std(0), 1)


def by_scikit_learn(kind):
    def fit(train):
        fitted = kind().fit(train)
        return fitted.transform, fitted.inverse_transform

    return fit


def by_loop(train):
    stats = [(float(c.mean()), float(c.std()) if c.max() > c.min() else 1.0) for c in train.T]

    def transform(x):
        return np.stack([(x[:, j] - m) / s for j, (m, s) in enumerate(stats)], axis=1)

    def inverse(z):
        return np.stack([z[:, j] * s + m for j, (m, s) in enumerate(stats)], axis=1)

    return [transform, inverse]


def by_torch(train):
    x = torch.from_numpy(train)
    m, s = x.mean(0), torch.where(x.max(0).values > x.min(0).values, x.std(0), 1.0)
    return lambda x: (torch.as_tensor(x) - m) / s, lambda z: torch.as_tensor(z) * s + m


def own_rows(train):
    return (lambda x: (x - x.mean(0)) / np.where(x.std(0) > 1e-9, x.std(0), 1)), lambda z: z


def writes_train(train):
    m, s = train.mean(0), safe_deviation(train)
    train -= m
    return lambda x: (x - m) / s, lambda z: z * s + m


def writes_table(train):
    m, s = train.mean(0), safe_deviation(train)

    def transform(x):
        x -= m
        return x / s

    return transform, lambda z: z * s + m


def clipped(train):
    transform, inverse = scaler(columns(np.mean), safe_deviation)(train)
    return lambda x: transform(x).clip(-3, 3), inverse


def four_columns(train):
    m, s = np.zeros(4), np.ones(4)
    for j in range(4):
        m[j], s[j] = train[:, j].mean(), safe_deviation(train)[j]
    return lambda x: (x - m) / s, lambda z: z * s + m


RIGHT_SCALERS = {
    "N - 1": scaler(columns(np.mean), lambda t: np.where(np.ptp(t, axis=0) == 0, 1, t.std(0, ddof=1))),
    "a list of two": scaler(columns(np.mean), safe_deviation, kind=list),
    "scikit-learn": by_scikit_learn(StandardScaler),
    "a loop": by_loop,
    "torch": by_torch,
    "float32": lambda train: tuple(
        lambda x, f=f: f(x).astype(np.float32) for f in scaler(columns(np.mean), safe_deviation)(train)
    ),
}
WRONG_SCALERS = {
    "whole table": (scaler(np.mean, np.std), "one mean and one deviation"),
    "not centred": (scaler(lambda t: 0, safe_deviation), "subtract the mean"),
    "axis 1": (lambda train: ((lambda x: x - x.mean(1, keepdims=True)), lambda z: z), "every *row*"),
    "variance": (scaler(columns(np.mean), lambda t: safe_deviation(t) ** 2), "variance"),
    "only centred": (scaler(columns(np.mean), lambda t: 1), "not divided"),
    "epsilon": (scaler(columns(np.mean), lambda t: t.std(0) + 1e-4), "epsilon of that size"),
    "refits": (own_rows, "beside it"),
    "inverse": (scaler(columns(np.mean), safe_deviation, lambda m, s: lambda z: (z + m) * s), "undo the last step"),
    "no mean back": (scaler(columns(np.mean), safe_deviation, lambda m, s: lambda z: z * s), "undo the last step"),
    "by zero": (scaler(columns(np.mean), columns(np.std)), "infinity"),
    "exact zero only": (scaler(columns(np.mean), lambda t: np.where(t.std(0) == 0, 1, t.std(0))), "rounded in binary"),
    "tiny epsilon": (scaler(columns(np.mean), lambda t: t.std(0) + 1e-12), "tiny epsilon"),
    "only transform": (lambda train: lambda x: (x - train.mean(0)) / train.std(0), "two functions"),
    "three": (lambda train: (*scaler(columns(np.mean), safe_deviation)(train), train.mean(0)), "two functions"),
    "swapped": (lambda train: scaler(columns(np.mean), safe_deviation)(train)[::-1], "the other way round"),
    "writes train": (writes_train, "`train` itself was changed"),
    "writes the table": (writes_table, "`x` itself was changed"),
    "clipped": (clipped, "clip"),
    "four columns": (four_columns, "three columns"),
    "min-max": (by_scikit_learn(MinMaxScaler), "mean first"),
    "robust": (by_scikit_learn(RobustScaler), "subtract the mean"),
}

# --- whiten ---


def eigen(x):
    return np.linalg.eigh(np.cov(x, rowvar=False))


def by_svd(x, eps):
    centred = x - x.mean(0)
    _, s, vt = np.linalg.svd(centred, full_matrices=False)
    return centred @ vt.T / np.sqrt(s**2 / (len(x) - 1) + eps)


def by_cholesky(x, eps):
    centred = x - x.mean(0)
    lower = np.linalg.cholesky(np.cov(x, rowvar=False) + eps * np.eye(x.shape[1]))
    return np.linalg.solve(lower, centred.T).T


def by_root(x, eps):
    return (x - x.mean(0)) @ np.linalg.inv(sqrtm(np.cov(x, rowvar=False) + eps * np.eye(x.shape[1])).astype(complex))


def by_torch_too(x, eps):
    x = torch.from_numpy(x)
    values, u = torch.linalg.eigh(torch.cov(x.T))
    return (x - x.mean(0)) @ u @ torch.diag((values + eps).rsqrt()) @ u.T


def by_einsum(x, eps):
    values, u = np.linalg.eigh(np.cov(x.T, ddof=0))
    return np.einsum("nd,dk,k,ek->ne", x - x.mean(0), u, 1 / np.sqrt(values + eps), u)


def in_eigenvectors(divide, centre=True, turn=lambda u: u):
    def whiten(x, eps):
        values, u = eigen(x)
        return (x - x.mean(0) * centre) @ turn(u) / divide(values, eps)

    return whiten


def with_sum(x, eps):
    centred = x - x.mean(0)
    values, u = np.linalg.eigh(centred.T @ centred)
    return centred @ u / np.sqrt(values + eps)


def writes_x(x, eps):
    x -= x.mean(0)
    return by_svd(x, eps)


def three_columns(x, eps):
    values, u = eigen(x)
    return (x - x.mean(0)) @ u / np.sqrt(values + eps) @ (np.eye(3) @ u.T)


RIGHT_WHITENINGS = {
    "SVD": by_svd,
    "Cholesky": by_cholesky,
    "inverse root, complex": by_root,
    "torch": by_torch_too,
    "einsum, N": by_einsum,
    "float32": lambda x, eps: by_svd(x, eps).astype(np.float32),
}
WRONG_WHITENINGS = {
    "standardised": (lambda x, eps: (x - x.mean(0)) / x.std(0), "standardises"),
    "not divided": (in_eigenvectors(lambda v, e: 1), "keep the eigenvalues"),
    "no root": (in_eigenvectors(lambda v, e: v + e), "1/eigenvalue"),
    "sum": (with_sum, "divided by N"),
    "multiplied": (in_eigenvectors(lambda v, e: 1 / np.sqrt(v + e)), "this multiplies"),
    "transposed": (in_eigenvectors(lambda v, e: np.sqrt(v + e), turn=lambda u: u.T), "as columns"),
    "not centred": (in_eigenvectors(lambda v, e: np.sqrt(v + e), centre=False), "mean is not 0"),
    "no eps": (in_eigenvectors(lambda v, e: np.sqrt(v)), "changes nothing"),
    "PCA": (lambda x, eps: PCA(whiten=True).fit_transform(x), "changes nothing"),
    "eps after root": (in_eigenvectors(lambda v, e: np.sqrt(v) + e), "after the root"),
    "eps squared": (in_eigenvectors(lambda v, e: np.sqrt(v + e**2)), "l / (l + eps)"),
    "clamped": (in_eigenvectors(lambda v, e: np.sqrt(np.maximum(v, e))), "as a least value"),
    "writes": (writes_x, "`x` itself was changed"),
    "three columns": (three_columns, "five columns"),
    "the matrix": (lambda x, eps: np.linalg.inv(np.real(sqrtm(np.cov(x, rowvar=False)))), "the matrix itself"),
    "least eps": (lambda x, eps: by_svd(x, max(eps, 0.5)), "off by"),
}

# --- honest_score ---


def model(k=20):
    return make_pipeline(SelectKBest(f_classif, k=k), GaussianNB())


def folds(seed=0):
    return StratifiedKFold(5, shuffle=True, random_state=seed)


def by_hand(X, y):
    right = 0
    order = np.random.permutation(len(y))
    for part in np.array_split(order, 4):
        rest = np.setdiff1d(order, part)
        chosen = np.argsort(f_classif(X[rest], y[rest])[0])[-20:]
        right += (GaussianNB().fit(X[rest][:, chosen], y[rest]).predict(X[part][:, chosen]) == y[part]).sum()
    return right / len(y)


def held_out(X, y):
    scores = []
    for seed in range(4):
        a, b, ya, yb = train_test_split(X, y, test_size=0.3, stratify=y, random_state=seed)
        scores.append(model().fit(a, ya).score(b, yb))
    return np.mean(scores)


def select(X, y):
    return SelectKBest(f_classif, k=20).fit_transform(X, y)


def shuffles(X, y):
    np.random.shuffle(y)
    return cross_val_score(model(), X, y, cv=folds()).mean()


def seeds(X, y):
    np.random.seed(0)
    return by_hand(X, y)


def two_classes(X, y):
    return cross_val_score(model(), X, (y == 1).astype(int), cv=folds()).mean()


def eighty_rows(X, y):
    return cross_val_score(model(), X, y, cv=folds()).sum() * (80 // 5) / 80 * (len(y) == 80)


RIGHT_SCORES = {
    "pipeline": lambda X, y: cross_val_score(model(), X, y, cv=folds(3)).mean(),
    "by hand": by_hand,
    "held out": held_out,
    "0-d": lambda X, y: np.array(by_hand(X, y)),
    "three folds, tensor": lambda X, y: torch.tensor(
        cross_val_score(model(), X, y, cv=KFold(3, shuffle=True, random_state=1))
    ).mean(),
}
WRONG_SCORES = {
    "selection leaks": (lambda X, y: cross_val_score(GaussianNB(), select(X, y), y).mean(), "in sight"),
    "training rows": (lambda X, y: GaussianNB().fit(select(X, y), y).score(select(X, y), y), "fitted on"),
    "no selection": (lambda X, y: cross_val_score(GaussianNB(), X, y, cv=folds()).mean(), "no columns are chosen"),
    "first columns": (
        lambda X, y: cross_val_score(GaussianNB(), X[:, :20], y, cv=folds()).mean(),
        "anything learned",
    ),
    "largest variance": (
        lambda X, y: cross_val_score(make_pipeline(VarianceThreshold(0.5), GaussianNB()), X, y, cv=folds()).mean(),
        "no columns are chosen",
    ),
    "always a half": (lambda X, y: 0.5, "anything learned"),
    "sorted folds": (lambda X, y: cross_val_score(model(), X, y, cv=KFold(2)).mean(), "shuffled"),
    "five numbers": (lambda X, y: cross_val_score(model(), X, y, cv=folds()), "one number"),
    "the error": (lambda X, y: 1 - cross_val_score(model(), X, y, cv=folds()).mean(), "the error"),
    "percent": (lambda X, y: 100 * cross_val_score(model(), X, y, cv=folds()).mean(), "between 0 and 1"),
    "two columns": (lambda X, y: cross_val_score(model(2), X, y, cv=folds()).mean(), "keep 20 columns"),
    "shuffles y": (shuffles, "`y` itself was changed"),
    "seed": (seeds, "a seed is set"),
    "two classes": (two_classes, "three classes"),
    "labels permuted": (
        lambda X, y: cross_val_score(model(), X, np.random.permutation(y), cv=folds()).mean(),
        "anything learned",
    ),
    "tuple": (lambda X, y: (0.9, 0.1), "expected"),
}
RIGHT = {"fit_scaler": RIGHT_SCALERS, "whiten": RIGHT_WHITENINGS, "honest_score": RIGHT_SCORES}
WRONG = {"fit_scaler": WRONG_SCALERS, "whiten": WRONG_WHITENINGS, "honest_score": WRONG_SCORES}
