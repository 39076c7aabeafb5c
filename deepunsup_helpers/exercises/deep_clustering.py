"""The exercises of notebook 23: how much a row belongs to each cluster, what it is asked to be, one label a cluster."""

from collections.abc import Callable

import torch
from torch import Tensor

from deepunsup_helpers.exercises import Exercise, Result
from deepunsup_helpers.exercises.toolkit import call, close, draw, expect, expect_gradients, fits, require, tensor

# --- soft_assignment ------------------------------------------------------------------------------------------------


def soft_assignment_reference(z: Tensor, centres: Tensor) -> Tensor:
    """The share of each row in each cluster: 1 / (1 + squared distance), divided by its sum over the clusters.

    Args:
        z: (N, D).
        centres: (K, D).
    Returns:
        (N, K), each row adding up to 1.
    Source: Xie and others 2016, arXiv:1511.06335, equation 1 with one degree of freedom.
    """
    near = 1 / (1 + (z[:, None] - centres).square().sum(2))  # (N, K)
    return near / near.sum(1, keepdim=True)


def _soft_assignments(z: Tensor, centres: Tensor) -> dict[str, Tensor]:
    """What the likely mistakes give."""
    apart = z[:, None] - centres
    squared = apart.square().sum(2)
    d, near = squared.sqrt(), 1 / (1 + squared)
    share = lambda weight: weight / weight.sum(1, keepdim=True)  # noqa: E731
    return {
        "the shares are not divided by their sum: each row should add up to 1": near,
        "each *column* adds up to 1 here: divide by the sum over the clusters, of each row": near / near.sum(0),
        "the whole table adds up to 1 here: divide each row by its own sum": near / near.sum(),
        "the distance is not squared": share(1 / (1 + d)),
        "the 1 beside the squared distance is missing: a row that lies on a centre divides by 0": share(1 / squared),
        "1 is divided by the distance here: by 1 + the squared distance": share(1 / d),
        "this falls like a bell, exp(-squared distance): take 1 / (1 + squared distance)": share(torch.exp(-squared)),
        "this falls like exp(-squared distance / 2): take 1 / (1 + squared distance)": share(torch.exp(-squared / 2)),
        "this is a softmax of the distances: take 1 / (1 + squared distance)": share(torch.exp(-d)),
        "this is a softmax of 1 / (1 + squared distance): divide by the sum, without exp": share(torch.exp(near)),
        "far clusters have the large shares here: divide 1 by it": share(1 + squared),
        "the squared differences are averaged over the columns: sum them": share(1 / (1 + apart.square().mean(2))),
        "differences of unlike sign cancel: square each before you sum": share(1 / (1 + apart.sum(2).square())),
        "absolute differences are added up here: sum their squares": share(1 / (1 + apart.abs().sum(2))),
        "the root is taken of 1 + the squared distance": share((1 + squared).rsqrt()),
        "1 + the squared distance is squared once more": share(near.square()),
        "the whole share goes to the nearest centre here: this assignment is soft": share(
            (squared == squared.min(1, keepdim=True).values).to(z.dtype)
        ),
        "these are the squared distances: nearness is 1 / (1 + squared distance)": squared,
        "these are the distances: nearness is 1 / (1 + squared distance)": d,
    }


def _check_soft_assignment(soft_assignment: Callable) -> Result:
    for n, k, d, seed in ((17, 5, 3, 1), (6, 9, 2, 2), (30, 2, 7, 3)):
        z, centres = 1.5 * draw(n, d, seed=seed), 1.5 * draw(k, d, seed=seed + 10)
        hints = {
            (k, n): "this table is turned: rows of z go down, clusters across",
            (n,): f"this is one number a row: return one for each of the {k} clusters",
            (n, k, d): "the squared differences are not summed over the columns",
        }
        with fits(
            f"{n} rows and {k} centres of {d} numbers stop it: is a size fixed, z[:, None] or keepdim=True forgotten?"
        ):
            found = call(soft_assignment, z, centres)
        found = tensor(found, (n, k), hints, slopes=True)
        right = soft_assignment_reference(z, centres)
        i, j = divmod(int((found - right).abs().argmax()), k)
        far = float((z[i] - centres[j]).square().sum())
        told = (
            f"row {i} has a squared distance of {far:.3f} to centre {j}, so 1 / (1 + {far:.3f}) = {1 / (1 + far):.3f}, "
            f"divided by its row's sum {right[i, j]:.3f}; this gives {found[i, j]:.3f}"
        )
        expect(found, right, _soft_assignments(z, centres), told, atol=1e-5)
    on_centre = torch.cat([centres[:1], z[:2]])
    found = torch.as_tensor(call(soft_assignment, on_centre, centres))
    finite = bool(torch.isfinite(found).all()) and close(
        found, soft_assignment_reference(on_centre, centres), atol=1e-5
    )
    require(finite, "a row that lies on a centre gets no right share: is something divided by 0?")
    mine, reference = _first_column(soft_assignment), _first_column(soft_assignment_reference)
    expect_gradients(mine, reference, {"z": z, "centres": centres})
    return Result(True, "Each row adds up to 1, the nearest centre has the largest share, and slopes pass to both.")


def _first_column(function: Callable) -> Callable:
    """All shares of a row add up to 1, so the slope of their sum is 0: look at the first cluster's."""
    return lambda z, centres: function(z, centres)[:, 0]


# --- target ---------------------------------------------------------------------------------------------------------


def target_reference(q: Tensor) -> Tensor:
    """What each row is asked to become: its shares squared, divided by the clusters' sizes, adding up to 1 again.

    Args:
        q: shares, (N, K), each row adding up to 1.
    Returns:
        (N, K), each row adding up to 1.
    Source: Xie and others 2016, arXiv:1511.06335, equation 3.
    """
    weight = q.square() / q.sum(0)  # (N, K); q.sum(0) is how many rows a cluster holds, in shares
    return weight / weight.sum(1, keepdim=True)


def _targets(q: Tensor) -> dict[str, Tensor]:
    """What the likely mistakes give."""
    size, square = q.sum(0), q.square()
    share = lambda weight: weight / weight.sum(1, keepdim=True)  # noqa: E731
    hard = torch.nn.functional.one_hot(q.argmax(1), q.shape[1]).to(q.dtype)
    return {
        "this is q itself: square it, and divide by the clusters' sizes": q,
        "the clusters' sizes are missing: divide the squares by q.sum(0)": share(square),
        "q is not squared here": share(q / size),
        "the rows do not add up to 1: divide by each row's sum": square / size,
        "each *column* adds up to 1 here: divide by each row's sum": (square / size) / (square / size).sum(0),
        "the size is the sum of q, not of its squares": share(square / square.sum(0)),
        "the size is summed over each row here, which is 1: sum over the rows, q.sum(0)": square
        / q.sum(1, keepdim=True),
        "this multiplies by the sizes: divide": share(square * size),
        "the sizes are squared, too: divide before the square, and you divide twice": share((q / size).square()),
        "the root of the sizes stands here": share(square / size.sqrt()),
        "the root is taken where a square is asked for": share(q.sqrt() / size),
        "q stands to the third power here": share(q**3 / size),
        "the whole share goes to the likeliest cluster here: square instead": hard,
        "the size counts the rows whose likeliest cluster it is: sum the shares": share(
            square / hard.sum(0).clamp_min(1e-12)
        ),
        "this is a softmax: divide by the row's sum, without exp": torch.softmax(square / size, 1),
    }


def _check_target(target: Callable) -> Result:
    for n, k, seed in ((19, 4, 1), (7, 6, 2), (40, 3, 3)):
        lean = torch.linspace(0, 1.5, k)  # clusters of unlike size
        q = torch.softmax(1.5 * draw(n, k, seed=seed) + lean, 1)
        hints = {
            (k,): "this is one number a cluster: return one for each row and cluster",
            (n,): "this is one number a row: return one for each row and cluster",
            (k, n): "this table is turned: rows go down, clusters across",
        }
        with fits(f"{n} rows and {k} clusters stop it: is a size fixed, or keepdim=True forgotten?"):
            found = call(target, q)
        found = tensor(found, (n, k), hints).detach()
        right = target_reference(q)
        i, j = divmod(int((found - right).abs().argmax()), k)
        told = (
            f"row {i} has share {q[i, j]:.3f} in cluster {j}, whose size is {q[:, j].sum():.3f}; squared and divided "
            f"{q[i, j] ** 2 / q[:, j].sum():.4f}, and by its row's sum {right[i, j]:.3f}; this gives {found[i, j]:.3f}"
        )
        expect(found, right, _targets(q), told, atol=1e-5)
    return Result(True, "It squares, divides by what each cluster holds, and each row adds up to 1 again.")


# --- name_by_asking -------------------------------------------------------------------------------------------------


def name_by_asking_reference(q: Tensor, ask: Callable[[int], int]) -> Tensor:
    """A name for every row, from one question for each cluster that has rows: about its surest member.

    Args:
        q: shares, (N, K); a row is a member of the cluster in which it has the largest share.
        ask: row number to its name, a whole number.
    Returns:
        names, (N,).
    """
    sure, cluster = q.max(1)
    names = torch.empty(len(q), dtype=torch.long)
    for k in cluster.unique():
        members = torch.nonzero(cluster == k)[:, 0]
        names[members] = int(ask(int(members[sure[members].argmax()])))
    return names


class _Asked:
    """Answers questions, and remembers them."""

    def __init__(self, names: list[int]):
        self.names, self.rows = names, []

    def __call__(self, row) -> int:
        plain = getattr(row, "ndim", 0) == 0 and not isinstance(row, (list, tuple, str, float))
        plain = plain and not (torch.is_tensor(row) and row.is_floating_point())
        require(plain, "ask about one row at a time: `ask` takes its number, a whole one")
        row = int(row)
        require(0 <= row < len(self.names), f"there is no row {row}: the rows are 0 to {len(self.names) - 1}")
        self.rows.append(row)
        return self.names[row]


def _shares(n: int, k: int, empty: int, seed: int) -> Tensor:
    """Shares of n rows in k clusters, the last `empty` without members; one cluster's largest share is no member's."""
    score = 1.2 * draw(n, k, seed=seed)
    if empty:
        score[:, k - empty :] = score[:, : k - empty].min(1, keepdim=True).values - 0.1
    q = torch.softmax(score, 1)
    q[0] = torch.full((k,), 0.02)
    q[0, 0], q[0, 1] = 0.52 - 0.02 * (k - 2) / 2, 0.48 - 0.02 * (k - 2) / 2  # a member of 0, and large in 1
    q[1] = torch.full((k,), 0.01)
    q[1, 2], q[1, 3] = 0.52, 0.46  # the surest member of 2, and hardly ahead of its share in 3
    others = q.argmax(1) == 2
    others[1] = False
    keep = ((0.42 - 1 / k) / (q[others].max(1, keepdim=True).values - 1 / k)).clamp_max(1)
    q[others] = keep * q[others] + (1 - keep) / k
    mine = q.argmax(1) == 1
    q[mine] = 0.35 * q[mine] + 0.65 / k  # cluster 1's own members are less sure than that
    return q / q.sum(1, keepdim=True)


def _check_name_by_asking(name_by_asking: Callable) -> Result:
    for n, k, empty, seed in ((40, 5, 0, 1), (23, 4, 0, 2), (31, 7, 2, 3)):
        q = _shares(n, k, empty, seed)
        cluster, sure = q.argmax(1), q.max(1).values
        names = (100 + draw(n, seed=seed + 5, low=0, high=800).long()).tolist()
        full = cluster.unique().tolist()
        asked = _Asked(names)
        hints = {
            (k,): f"this is one name a cluster: give every one of the {n} rows its cluster's",
            (n, k): "this is a table of rows and clusters: return one name a row",
        }
        with fits(f"{n} rows and {k} clusters{', some of them empty,' * (empty > 0)} stop it: is a size fixed?"):
            found = call(name_by_asking, q, asked)
        _judge_questions(asked.rows, q, cluster, sure, full)
        found = tensor(found, (n,), hints).detach().double()
        own = {c: names[max((r for r in range(n) if cluster[r] == c), key=lambda r: float(sure[r]))] for c in full}
        right = torch.tensor([own[int(c)] for c in cluster], dtype=torch.double)
        answered = torch.tensor([names[r] if r in asked.rows else -1 for r in range(n)]).double()
        mistakes = {
            "these are the clusters' numbers: give each row the *name* that was answered": cluster.double(),
            "only the rows asked about have a name: give it to all members of their cluster": answered,
        }
        only = ((found == right) | (found <= 0)).all() and bool((found == right).any())
        require(
            close(found, right) or not only or (found[asked.rows] != right[asked.rows]).any(),
            "only the rows asked about have a name: give it to all members of their cluster",
        )
        i = int((found - right).abs().argmax())
        told = f"row {i} is in cluster {int(cluster[i])}, whose surest member is called {right[i]:.0f}; it gets {found[i]:.0f}"
        expect(found, right, mistakes, told, rtol=0)
    return Result(
        True, "One question for each cluster that has rows, about its surest member; all members get the name."
    )


def _judge_questions(rows: list[int], q: Tensor, cluster: Tensor, sure: Tensor, full: list[int]) -> None:
    require(len(rows) > 0, "nobody was asked: call ask(row) once for each cluster that has rows")
    require(
        len(rows) <= len(full),
        f"{len(rows)} questions for {len(full)} clusters with rows: each costs money, ask one for each of these",
    )
    where = [int(cluster[row]) for row in rows]
    column = q.argmax(0)
    for row, c in zip(rows, where):
        members = torch.nonzero(cluster == c)[:, 0]
        best, worst = (int(members[f(sure[members])]) for f in (torch.argmax, torch.argmin))
        if row == best:
            continue
        require(
            not (row in column.tolist() and where.count(c) > 1),
            f"row {row} has a large share in another cluster, but is a member of cluster {c}: look among the members only",
        )
        lead = q[members].topk(2, dim=1).values.diff(dim=1)[:, 0]  # second less first: the lowest leads most
        require(
            row != int(members[lead.argmin()]),
            f"row {row} leads most over its *second* share: ask about the member with the largest share, row {best}",
        )
        require(
            row != worst or len(members) == 1, f"row {row} is the *least* sure member of cluster {c}: ask the surest"
        )
        require(
            row != int(members[0]), f"row {row} is the first member of cluster {c}: ask about the surest, row {best}"
        )
        require(
            False,
            f"asked about row {row}, with share {sure[row]:.2f} in cluster {c}; its surest member is row {best}, with "
            f"{sure[best]:.2f}",
        )
    missing = sorted(set(full) - set(where))
    require(not missing, f"cluster {missing[:1]} has rows, and nobody was asked about one of them")


soft_assignment = Exercise("soft_assignment", soft_assignment_reference, _check_soft_assignment)
target = Exercise("target", target_reference, _check_target, torch.as_tensor)
name_by_asking = Exercise(
    "name_by_asking", name_by_asking_reference, _check_name_by_asking, lambda names: torch.as_tensor(names).long()
)
