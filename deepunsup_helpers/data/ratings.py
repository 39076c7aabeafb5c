"""Who liked what: readers and books from a stated factor model, a CSV file of users and items, lists cut into two parts."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.special import expit, ndtr

from deepunsup_helpers.data.csv_files import open_csv, read_columns
from deepunsup_helpers.data.dataset import DataError
from deepunsup_helpers.data.labels import nearest

WORDS = {  # a genre to the halves of its titles
    "crime": ("Silent Cold Missing Hidden Last Broken Second Crooked", "Witness Alibi Key Verdict Motive Inspector"),
    "space": ("Distant Red Frozen Endless Outer Lost Dark Seventh", "Orbit Colony Signal Comet Station Star"),
    "cooking": ("Simple Slow Green Golden Lazy Spicy Sunday Winter", "Kitchen Bread Soup Table Spoon Oven"),
    "romance": ("Secret Summer Tender Sudden Parisian Stolen First Patient", "Kiss Letter Heart Promise Wedding Dance"),
    "history": ("Forgotten Roman Burning Iron Royal Divided Ancient Fallen", "Empire Crown Siege City Treaty Bridge"),
    "garden": ("Wild Walled Little Roof Quiet Shady Blue Edible", "Garden Rose Seed Meadow Orchard Hedge"),
    "horror": ("Hungry Pale Whispering Empty Crawling Buried Black Sleepless", "House Doll Cellar Mirror Shadow Well"),
    "travel": ("Long Northern Slow Dusty Island Mountain Desert Night", "Road Train Harbour Map Journey Border"),
    "poetry": ("Small Falling Morning Grey Unsaid Open Winter Quiet", "Rain Window Songs Birds Light Leaves"),
    "business": ("Lean Honest Bold Agile Brilliant Modern Frugal Fearless", "Founder Deal Market Team Office Ledger"),
}  # fmt: skip


class Ratings(NamedTuple):
    """Who rated and who liked what.

    Attributes:
        name: where it came from.
        users, items: (U,) and (I,) arrays of names.
        liked: (U, I), float32 CSR, 1 where a rating reaches the threshold.
        rated: (U, I), float32 CSR, 1 wherever there is a rating.
        times: (U, I), float64 CSR with the place in time, from 1, of each entry of `liked`; None without times.
        probability: (U, I), float32, of liking an item (to rate it, and well), where the truth is known, else None.
        genre: (I,), the genre of each item where it is known, else None.
    """

    name: str
    users: np.ndarray
    items: np.ndarray
    liked: sparse.csr_matrix
    rated: sparse.csr_matrix
    times: sparse.csr_matrix | None = None
    probability: np.ndarray | None = None
    genre: np.ndarray | None = None


def factor_ratings(users: int, *, seed: int, strength: float = 3.0, threshold: int = 4, least: int = 5) -> Ratings:
    """Readers and books: `factor_ratings(4000, seed=0)`; tastes and genres decide who reads, and who likes, what.

    A reader u has a taste t_u for the genres, from a Dirichlet law (0.25 for each genre, and so one to three that count),
    and an appetite b_u. A book i is mostly of its genre and a little of another, v_i, and is known to some degree, a_i.
    With s = `strength`, she reads it with probability sigmoid(b_u + a_i + s t_u v_i), independently of all others, and
    gives it stars 2.8 + 2 t_u v_i + g_i + e, rounded, e normal with deviation 0.8; so the probability of stars at or
    above the threshold is known, and with it that of liking a book, the product.

    Since books are independent given the reader, no ranking of what she has not read has a higher expected gain than
    the one by this probability, whichever of her books are shown (a swap that puts the likelier one first never loses).

    Args:
        users: at least 1. Readers with fewer than `least` books that they like are drawn anew.
        seed: of all.
        threshold: stars from which a book counts as liked.
    """
    rng = np.random.default_rng(seed)
    titles, genre = _titles()
    genres = len(WORDS)
    mix = np.full((len(titles), genres), 0.0)
    mix[np.arange(len(titles)), genre] = 0.75
    mix[np.arange(len(titles)), rng.integers(genres, size=len(titles))] += 0.25
    known, quality = rng.normal(-4.9, 1.0, len(titles)), rng.normal(0.0, 0.4, len(titles))
    parts = []
    while sum(len(part[0]) for part in parts) < users:
        taste = rng.dirichlet(np.full(genres, 0.25), size=min(users, 4000)) @ mix.T  # (n, I)
        appetite = rng.normal(0.0, 0.6, size=(len(taste), 1))
        read = expit(appetite + known + 2 * strength * taste)
        stars = 2.8 + 2.0 * taste + quality
        likes = ndtr((stars - (threshold - 0.5)) / 0.8)
        has_read = rng.random(taste.shape) < read
        given = np.clip(np.round(stars + 0.8 * rng.normal(size=taste.shape)), 1, 5)
        liked = has_read & (given >= threshold)
        enough = liked.sum(1) >= least
        parts.append([part[enough] for part in (liked, has_read, (read * likes).astype(np.float32))])
    liked, has_read, probability = (np.concatenate(part)[:users] for part in zip(*parts))
    matrices = [sparse.csr_matrix(part.astype(np.float32)) for part in (liked, has_read)]
    names = np.array([f"reader {number}" for number in range(users)], dtype=object)
    return Ratings("books", names, titles, *matrices, None, probability, np.array([*WORDS], dtype=object)[genre])


def _titles() -> tuple[np.ndarray, np.ndarray]:
    titles, genre = [], []
    for number, (first, second) in enumerate(WORDS.values()):
        some = [f"The {a} {b}" for a in first.split() for b in second.split()]
        titles += some
        genre += len(some) * [number]
    return np.array(titles, dtype=object), np.array(genre)


def read_ratings(
    name: str,
    *,
    user: str = "user",
    item: str = "item",
    rating: str | None = None,
    time: str | None = None,
    threshold: float = 4.0,
    least: int = 5,
) -> Ratings:
    """A CSV file with a row for each rating or purchase: `read_ratings("csv:ratings.csv", rating="stars")`.

    Args:
        name: csv:PATH.
        user, item: columns of names.
        rating: a column of numbers; None: every row is something that the user liked.
        time: a column of numbers or ISO dates.
        threshold: the rating from which an item counts as liked.
        least: users with fewer liked items are left out, and items that nobody else likes. A pair that comes twice
            counts once, at its first time, and is liked if any of its rows is.
    Raises:
        DataError: no such file or column, names that are missing, ratings that are none, nothing left.
    """
    import pandas

    kind, _, path = name.partition(":")
    if kind != "csv" or not path.strip():
        raise DataError(f"{name!r} names no ratings; expected csv:PATH, a file of users and items, or books")
    file = open_csv(Path(path).expanduser(), name)
    wanted = {"user": user, "item": item, "rating": rating, "time": time}
    for role, column in wanted.items():
        if column is not None and column not in file.columns:
            raise DataError(
                f"{name} has no column {column!r}; say which one it is: {role}=; {nearest(column, file.columns)}"
            )
    named = [column for column in wanted.values() if column is not None]
    if len(set(named)) < len(named):
        raise DataError(f"{name}: one column is named for two things, in {', '.join(named)}; name each once")
    frame, _ = read_columns(
        file, left_out=[c for c in file.columns if c not in named], as_text=[user, item, *([time] if time else [])]
    )
    for column in named:
        gaps = int(frame[column].isna().sum())
        if gaps:
            raise DataError(f"{name}: {gaps} of {len(frame)} rows have no {column!r}; fill them or leave the rows out")
    if rating is not None and frame[rating].dtype == object:
        raise DataError(
            f"{name}: {rating!r} holds text, such as {frame[rating].iloc[0]!r}; expected ratings in numbers"
        )
    frame["liked"] = True if rating is None else frame[rating] >= threshold
    frame["when"] = 0 if time is None else _places(frame[time], name)
    frame = frame.sort_values("when", kind="stable")
    pairs = frame.groupby([user, item], sort=False).agg(liked=("liked", "max"), when=("when", "first")).reset_index()
    liked = pairs[pairs.liked]
    if liked.empty:
        raise DataError(
            f"{name}: no rating reaches {threshold:g}; the highest is {frame[rating].max():g}: lower threshold="
        )
    counts = liked[user].value_counts()
    liked = liked[liked[user].isin(counts.index[counts >= least])]
    if liked[user].nunique() < min(2, least):
        most = int(counts.max())
        raise DataError(
            f"{name}: fewer than 2 users like {least} items (the most is {most}); more rows, or a lower least="
        )
    users, items = (pandas.Index(sorted(liked[column].unique())) for column in (user, item))
    pairs = pairs[pairs[user].isin(users) & pairs[item].isin(items)]
    shape, matrices = (len(users), len(items)), []
    for part, values in ((pairs[pairs.liked], None), (pairs, None), (pairs[pairs.liked], "when")):
        places = users.get_indexer(part[user]), items.get_indexer(part[item])
        numbers = np.ones(len(part), np.float32) if values is None else part[values].to_numpy(np.float64) + 1
        matrices.append(sparse.csr_matrix((numbers, places), shape=shape))
    names = [np.array(index, dtype=object) for index in (users, items)]
    return Ratings(name, *names, *matrices[:2], matrices[2] if time is not None else None)


def _places(times, name: str) -> np.ndarray:
    """Places in time, from 0, of numbers or dates; the same for the same time."""
    import pandas

    numbers = pandas.to_numeric(times, errors="coerce")
    if numbers.isna().any():
        numbers = pandas.to_datetime(times, errors="coerce", format="ISO8601", utc=True)
    if numbers.isna().any():
        bad = times[numbers.isna()].iloc[0]
        raise DataError(f"{name}: {bad!r} in {times.name!r} is no time; expected numbers or dates such as 2026-11-27")
    return numbers.rank(method="dense").to_numpy(np.int64) - 1


def fold_in(
    liked: sparse.csr_matrix, *, seed: int, share: float = 0.2, times: sparse.csr_matrix | None = None
) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Each user's list in two: what a recommender is shown, and what it should find.

    Args:
        liked: (U, I), CSR, at least two entries a user.
        share: of each list, what is to be found: rounded, at least one entry, never all.
        times: of the same entries: the latest are to be found. None: any, drawn with the seed.
    Returns:
        (shown, hidden), each (U, I), CSR; their sum is `liked`.

    shown, hidden = fold_in(ratings.liked[test], seed=0)
    """
    liked = liked.tocsr().copy()
    liked.sort_indices()
    sizes = np.diff(liked.indptr)
    if len(sizes) and sizes.min() < 2:
        raise ValueError("fold_in: a user has fewer than two items; leave such users out")
    rows = np.repeat(np.arange(liked.shape[0]), sizes)
    rng = np.random.default_rng(seed)
    order = rng.random(liked.nnz)
    if times is not None:
        order = np.asarray(times.tocsr()[rows, liked.indices]).ravel() + order  # chance among equal times alone
    place = np.empty(liked.nnz, np.int64)
    place[np.lexsort((order, rows))] = np.arange(liked.nnz) - np.repeat(liked.indptr[:-1], sizes)
    hide = np.clip(np.round(share * sizes), 1, sizes - 1).astype(np.int64)
    hidden = place >= np.repeat(sizes - hide, sizes)
    return tuple(
        sparse.csr_matrix((liked.data[part], (rows[part], liked.indices[part])), shape=liked.shape)
        for part in (~hidden, hidden)
    )
