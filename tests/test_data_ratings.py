"""Ratings: the stated probabilities are those of the draws, the truth ranks best, files are read, lists are cut in two."""

import numpy as np
import pytest
from scipy import sparse

from deepunsup_helpers.data.dataset import DataError
from deepunsup_helpers.data.ratings import factor_ratings, fold_in, read_ratings
from deepunsup_helpers.metrics import ndcg_at


def test_likes_come_as_often_as_their_probability_says():
    data = factor_ratings(3000, seed=1, least=0)
    expected = data.probability.sum(1)
    liked = np.diff(data.liked.indptr)
    variance = (data.probability * (1 - data.probability)).sum()
    assert abs(liked.sum() - expected.sum()) < 5 * variance**0.5
    sure = data.probability > 0.2
    hits = data.liked.toarray()[sure] - data.probability[sure]
    assert sure.sum() > 1000 and abs(hits.mean()) < 5 * 0.5 / sure.sum() ** 0.5
    assert (data.liked > data.rated).nnz == 0 and len(set(data.items)) == len(data.items)


def test_no_other_ranking_is_better_than_the_truth():
    data = factor_ratings(1500, seed=2)
    shown, hidden = fold_in(data.liked, seed=0)
    seen = shown.toarray() > 0
    grade = lambda scores: ndcg_at(np.where(seen, -np.inf, scores), hidden).mean()
    rng = np.random.default_rng(0)
    best = grade(data.probability)
    for disturbed in (
        data.probability**0.5 + 0.2 * rng.random(seen.shape),
        np.tile(data.probability.mean(0), (1500, 1)),
    ):
        assert grade(disturbed) < best - 0.01
    assert grade(np.log(data.probability)) == pytest.approx(best)


def test_the_same_seed_gives_the_same_readers_and_each_likes_enough():
    a, b = factor_ratings(200, seed=4, least=6), factor_ratings(200, seed=4, least=6)
    assert (a.liked != b.liked).nnz == 0 and np.diff(a.liked.indptr).min() >= 6 and a.liked.shape[0] == 200


@pytest.mark.parametrize("size, hide", [(2, 1), (5, 1), (8, 2), (40, 8)])
def test_a_fifth_is_hidden_and_nothing_is_lost(size, hide):
    liked = sparse.csr_matrix(np.arange(60)[None] < size, dtype=np.float32)
    shown, hidden = fold_in(liked, seed=0)
    assert hidden.nnz == hide and ((shown + hidden) != liked).nnz == 0
    assert size < 40 or (fold_in(liked, seed=1)[1] != hidden).nnz


def test_with_times_the_latest_are_hidden():
    rng = np.random.default_rng(0)
    liked = sparse.csr_matrix((rng.random((30, 50)) < 0.4).astype(np.float32))
    times = liked.copy()
    times.data = rng.integers(1, 9, liked.nnz).astype(float)
    shown, hidden = fold_in(liked, seed=0, times=times)
    for row in range(30):
        old, new = (times[row].toarray()[part[row].toarray() > 0] for part in (shown, hidden))
        assert old.max() <= new.min()


def test_a_user_with_one_item_is_refused():
    with pytest.raises(ValueError, match="fewer than two"):
        fold_in(sparse.csr_matrix(np.eye(3)), seed=0)


def write(path, lines):
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return f"csv:{path}"


def movies(path):
    rows = ["userId,movieId,rating,timestamp"]
    rows += [f"u{u},m{(u + step) % 7},{5 - step % 3},{100 * u + step}" for u in range(6) for step in range(6)]
    return write(path, [*rows, "u0,m0,1.0,999"])


def test_a_file_of_ratings(tmp_path):
    name = movies(tmp_path / "a.csv")
    data = read_ratings(name, user="userId", item="movieId", rating="rating", time="timestamp", threshold=4, least=2)
    assert [*data.users] == [f"u{u}" for u in range(6)] and data.probability is None
    assert data.rated.nnz == 36 and data.liked.nnz == 24  # the pair that comes twice once; 3 stars are not liked
    assert data.liked[0, list(data.items).index("m0")] == 1
    first = data.times[0, list(data.items).index("m0")]
    assert first == 1 and data.times[5].max() > data.times[0].max()


def test_purchases_without_ratings(tmp_path):
    data = read_ratings(movies(tmp_path / "a.csv"), user="userId", item="movieId", least=2)
    assert data.liked.nnz == data.rated.nnz == 36 and data.times is None


@pytest.mark.parametrize(
    "lines, options, told",
    [
        (["who,item", "a,b"], {}, "no column 'user'"),
        (["user,item,stars", "a,b,good", "a,c,bad", "b,c,good"], {"rating": "stars"}, "holds text"),
        (["user,item,stars", "a,b,5", "a,,4"], {"rating": "stars"}, "have no 'item'"),
        (["user,item,stars", "a,b,2", "a,c,3"], {"rating": "stars"}, "no rating reaches 4; the highest is 3"),
        (["user,item", "a,b", "b,c"], {}, "fewer than 2 users like 5 items"),
        (["user,item,day", "a,b,soon", "b,c,2026-01-01"], {"time": "day"}, "is no time"),
        (["user,item", "a,b"], {"item": "user"}, "named for two things"),
    ],
)
def test_a_wrong_file_is_told_in_one_line(tmp_path, lines, options, told):
    with pytest.raises(DataError, match=told) as error:
        read_ratings(write(tmp_path / "bad.csv", lines), **options)
    assert "\n" not in str(error.value)


def test_a_path_is_needed(tmp_path):
    with pytest.raises(DataError, match="there is no such file"):
        read_ratings(f"csv:{tmp_path}/none.csv")
    with pytest.raises(DataError, match="names no ratings"):
        read_ratings("strokes")
