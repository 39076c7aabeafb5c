"""Right and wrong answers to the exercises of notebook 23."""

import numpy as np
import torch
from torch import nn


def share(weight):
    return weight / weight.sum(1, keepdim=True)


# --- soft_assignment ---


def shares_by_loop(z, centres):
    rows = []
    for point in z:
        near = torch.stack([1 / (1 + ((point - centre) ** 2).sum()) for centre in centres])
        rows.append(near / near.sum())
    return torch.stack(rows)


def shares_by_products(z, centres):
    squared = (z * z).sum(1)[:, None] - 2 * torch.einsum("nd,kd->nk", z, centres) + (centres * centres).sum(1)
    return share(1 / (1 + squared.clamp_min(0)))


def shares_by_logarithms(z, centres):
    return torch.softmax(-torch.log1p(((z[:, None] - centres[None]) ** 2).sum(-1)), dim=1)


def shares_by_norm(z, centres):
    return nn.functional.normalize((1 + torch.cdist(z, centres) ** 2).pow(-1), p=1, dim=1)


def shares_by_student(z, centres):
    """The density of Student's t with one degree of freedom, whose constant cancels."""
    student = torch.distributions.StudentT(1.0)
    d = ((z[:, None] - centres) ** 2).sum(2).clamp_min(1e-20).sqrt()
    return share(student.log_prob(d).exp())


def shares_in_double(z, centres):
    z, centres = z.double(), centres.double()
    return share(1 / (1 + (z.unsqueeze(1) - centres.unsqueeze(0)).pow(2).sum(-1)))


def squares(z, centres):
    return (z[:, None] - centres).square().sum(2)


def writes_z(z, centres):
    z -= centres[0]
    return share(1 / (1 + squares(z, centres - centres[0])))


def seventeen_rows(z, centres):
    out = torch.zeros(17, 5)
    out[:] = share(1 / (1 + squares(z, centres)))
    return out


RIGHT_SHARES = {
    "a loop": shares_by_loop,
    "products": shares_by_products,
    "logarithms": shares_by_logarithms,
    "cdist and normalize": shares_by_norm,
    "torch.distributions": shares_by_student,
    "double": shares_in_double,
}
WRONG_SHARES = {
    "not divided": (lambda z, c: 1 / (1 + squares(z, c)), "each row should add up to 1"),
    "columns": (lambda z, c: (1 / (1 + squares(z, c))) / (1 / (1 + squares(z, c))).sum(0), "*column*"),
    "table": (lambda z, c: (1 / (1 + squares(z, c))) / (1 / (1 + squares(z, c))).sum(), "whole table"),
    "distance": (lambda z, c: share(1 / (1 + torch.cdist(z, c))), "not squared"),
    "no 1": (lambda z, c: share(1 / squares(z, c)), "the 1 beside"),
    "one over distance": (lambda z, c: share(1 / torch.cdist(z, c)), "by 1 + the squared distance"),
    "bell": (lambda z, c: torch.softmax(-squares(z, c), 1), "bell"),
    "half bell": (lambda z, c: torch.softmax(-squares(z, c) / 2, 1), "/ 2"),
    "softmax of distances": (lambda z, c: torch.softmax(-torch.cdist(z, c), 1), "softmax of the distances"),
    "softmax of nearness": (lambda z, c: torch.softmax(1 / (1 + squares(z, c)), 1), "without exp"),
    "far": (lambda z, c: share(1 + squares(z, c)), "far clusters"),
    "mean": (lambda z, c: share(1 / (1 + (z[:, None] - c).square().mean(2))), "averaged over the columns"),
    "sum, then square": (lambda z, c: share(1 / (1 + (z[:, None] - c).sum(2).square())), "cancel"),
    "absolute": (lambda z, c: share(1 / (1 + (z[:, None] - c).abs().sum(2))), "absolute"),
    "root": (lambda z, c: share((1 + squares(z, c)) ** -0.5), "root"),
    "squared again": (lambda z, c: share((1 + squares(z, c)) ** -2), "once more"),
    "hard": (
        lambda z, c: nn.functional.one_hot(squares(z, c).argmin(1), len(c)).to(z.dtype) + 0 * squares(z, c),
        "soft",
    ),
    "squared distances": (squares, "these are the squared distances"),
    "distances": (lambda z, c: torch.cdist(z, c), "these are the distances"),
    "turned": (lambda z, c: share(1 / (1 + squares(z, c))).T, "turned"),
    "labels": (lambda z, c: squares(z, c).argmin(1), "one number a row"),
    "not summed": (lambda z, c: 1 / (1 + (z[:, None] - c).square()), "not summed"),
    "no keepdim": (lambda z, c: (1 / (1 + squares(z, c))) / (1 / (1 + squares(z, c))).sum(1), "keepdim=True"),
    "no broadcast": (lambda z, c: share(1 / (1 + (z - c).square())), "z[:, None]"),
    "detached": (lambda z, c: share(1 / (1 + squares(z, c.detach()))), "centres"),
    "z detached": (lambda z, c: share(1 / (1 + squares(z.detach(), c))), "z"),
    "numpy": (lambda z, c: share(1 / (1 + squares(z.detach(), c.detach()))).numpy(), "tensor, which gradients"),
    "writes": (writes_z, "`z` itself was changed"),
    "seventeen": (seventeen_rows, "is a size fixed"),
    "constant": (lambda z, c: torch.full((len(z), len(c)), 1 / len(c)) + 0 * squares(z, c), "squared distance of"),
}

# --- target ---


def target_by_loop(q):
    f = [sum(float(row[k]) for row in q) for k in range(q.shape[1])]
    out = []
    for row in q:
        w = [float(v) ** 2 / f[k] for k, v in enumerate(row)]
        out.append([v / sum(w) for v in w])
    return torch.tensor(out)


def target_by_numpy(q):
    q = q.numpy().astype(float)
    w = q**2 / q.sum(axis=0)
    return (w.T / w.sum(axis=1)).T


def target_by_means(q):
    """A mean in place of the sum cancels."""
    return share(q * q / q.mean(0))


def target_by_logarithms(q):
    return torch.softmax(2 * q.log() - q.sum(0).log(), dim=1)


def target_by_einsum(q):
    w = torch.einsum("nk,nk,k->nk", q, q, 1 / torch.einsum("nk->k", q))
    return torch.einsum("nk,n->nk", w, 1 / torch.einsum("nk->n", w))


def writes_q(q):
    q **= 2
    return share(q / q.sqrt().sum(0))


def four_clusters(q):
    out = torch.zeros(len(q), 4)
    out[:] = share(q**2 / q.sum(0))
    return out


def hard(q):
    return nn.functional.one_hot(q.argmax(1), q.shape[1]).to(q.dtype)


RIGHT_TARGETS = {
    "a loop": target_by_loop,
    "numpy": target_by_numpy,
    "means": target_by_means,
    "logarithms": target_by_logarithms,
    "einsum": target_by_einsum,
    "double, no gradient": lambda q: share(q.double() ** 2 / q.double().sum(0)).detach(),
}
WRONG_TARGETS = {
    "q": (lambda q: q.clone(), "q itself"),
    "no sizes": (lambda q: share(q**2), "sizes are missing"),
    "no square": (lambda q: share(q / q.sum(0)), "not squared"),
    "rows not divided": (lambda q: q**2 / q.sum(0), "rows do not add up"),
    "columns": (lambda q: (q**2 / q.sum(0)) / (q**2 / q.sum(0)).sum(0), "*column*"),
    "size of squares": (lambda q: share(q**2 / (q**2).sum(0)), "not of its squares"),
    "row sums": (lambda q: q**2 / q.sum(1, keepdim=True), "sum over the rows"),
    "multiplied": (lambda q: share(q**2 * q.sum(0)), "multiplies"),
    "divided twice": (lambda q: share((q / q.sum(0)) ** 2), "twice"),
    "root of sizes": (lambda q: share(q**2 / q.sum(0).sqrt()), "root of the sizes"),
    "root": (lambda q: share(q.sqrt() / q.sum(0)), "square is asked"),
    "cube": (lambda q: share(q**3 / q.sum(0)), "third power"),
    "hard": (hard, "square instead"),
    "hard sizes": (lambda q: share(q**2 / hard(q).sum(0).clamp_min(1e-12)), "sum the shares"),
    "softmax": (lambda q: torch.softmax(q**2 / q.sum(0), 1), "without exp"),
    "turned": (lambda q: share(q**2 / q.sum(0)).T, "turned"),
    "sizes alone": (lambda q: q.sum(0), "one number a cluster"),
    "keepdim": (lambda q: (q**2 / q.sum(0)) / (q**2 / q.sum(0)).sum(1), "keepdim=True"),
    "writes": (writes_q, "`q` itself was changed"),
    "four": (four_clusters, "is a size fixed"),
    "uniform": (lambda q: torch.full_like(q, 1 / q.shape[1]), "squared and divided"),
}

# --- name_by_asking ---


def names_by_loop(q, ask):
    best = {}
    for n, row in enumerate(q.tolist()):
        k = row.index(max(row))
        if k not in best or row[k] > q[best[k], k]:
            best[k] = n
    answers = {k: ask(n) for k, n in best.items()}
    return [answers[row.index(max(row))] for row in q.tolist()]


def names_by_masking(q, ask):
    cluster = q.argmax(1)
    member = nn.functional.one_hot(cluster, q.shape[1]).bool()
    inside = torch.where(member, q, -1)
    answers = torch.full((q.shape[1],), -1.0)
    for k in range(q.shape[1]):
        if member[:, k].any():
            answers[k] = ask(inside[:, k].argmax())
    return answers[cluster]


def names_by_numpy(q, ask):
    q = q.numpy()
    cluster, sure, out = q.argmax(1), q.max(1), np.zeros(len(q), int)
    for k in np.unique(cluster):
        rows = np.flatnonzero(cluster == k)
        out[rows] = ask(rows[sure[rows].argmax()])
    return out


def names_by_sorting(q, ask):
    sure, cluster = q.max(1)
    answers = {}
    for n in sure.argsort(descending=True).tolist():
        k = int(cluster[n])
        if k not in answers:
            answers[k] = ask(n)
    return torch.tensor([answers[k] for k in cluster.tolist()])


def names_as_floats(q, ask):
    return torch.as_tensor(names_by_loop(q, ask)).double()


def asking(choose, *, empty=False):
    """Asks about the row that `choose(q, rows, k)` picks for each cluster."""

    def name_by_asking(q, ask):
        cluster = q.argmax(1)
        names = torch.zeros(len(q), dtype=torch.long)
        for k in range(q.shape[1]):
            rows = torch.nonzero(cluster == k)[:, 0]
            if len(rows) or empty:
                names[rows] = int(ask(int(choose(q, rows, k))))
        return names

    return name_by_asking


surest = lambda q, rows, k: rows[q[rows, k].argmax()]


def asks_everybody(q, ask):
    return [ask(n) for n in range(len(q))]


def asks_three(q, ask):
    sure, cluster = q.max(1)
    names = torch.zeros(len(q), dtype=torch.long)
    for k in cluster.unique():
        rows = torch.nonzero(cluster == k)[:, 0]
        answers = [ask(int(rows[i])) for i in sure[rows].argsort(descending=True)[:3]]
        names[rows] = max(set(answers), key=answers.count)
    return names


def only_the_asked(q, ask):
    names = torch.full((len(q),), -1)
    sure, cluster = q.max(1)
    for k in cluster.unique():
        rows = torch.nonzero(cluster == k)[:, 0]
        n = int(rows[sure[rows].argmax()])
        names[n] = ask(n)
    return names


def one_a_cluster(q, ask):
    sure, cluster = q.max(1)
    rows = [torch.nonzero(cluster == k)[:, 0] for k in range(q.shape[1])]
    return [ask(int(r[sure[r].argmax()])) if len(r) else -1 for r in rows]


def cluster_numbers(q, ask):
    names_by_loop(q, ask)
    return q.argmax(1)


def asks_a_list(q, ask):
    return ask(q.argmax(0).tolist())


def five_clusters(q, ask):
    sure, cluster = q.max(1)
    answers = []
    for k in range(5):
        rows = torch.nonzero(cluster == k)[:, 0]
        answers.append(ask(int(rows[sure[rows].argmax()])))
    return torch.tensor(answers)[cluster]


def first_answer(q, ask):
    names = names_by_loop(q, ask)
    return [names[0]] * len(names)


def writes_shares(q, ask):
    names = names_by_loop(q, ask)
    q[:] = 0
    return names


RIGHT_NAMES = {
    "a loop": names_by_loop,
    "masks": names_by_masking,
    "numpy": names_by_numpy,
    "sorted": names_by_sorting,
    "floats": names_as_floats,
    "asks about the surest": asking(surest),
}
WRONG_NAMES = {
    "column's largest": (asking(lambda q, rows, k: q[:, k].argmax()), "among the members only"),
    "largest lead": (
        asking(lambda q, rows, k: rows[(q[rows].topk(2, 1).values @ torch.tensor([1.0, -1.0])).argmax()]),
        "leads most over its *second*",
    ),
    "a share": (lambda q, ask: torch.full((len(q),), ask(q.max())), "a whole one"),
    "least sure": (asking(lambda q, rows, k: rows[q[rows, k].argmin()]), "*least* sure"),
    "first member": (asking(lambda q, rows, k: rows[0]), "first member"),
    "last member": (asking(lambda q, rows, k: rows[-1]), "its surest member is row"),
    "place among members": (asking(lambda q, rows, k: q[rows, k].argmax()), "row"),
    "everybody": (asks_everybody, "each costs money"),
    "three": (asks_three, "each costs money"),
    "only the asked": (only_the_asked, "give it to all members"),
    "one a cluster": (one_a_cluster, "one name a cluster"),
    "numbers": (cluster_numbers, "*name* that was answered"),
    "nobody": (lambda q, ask: q.argmax(1), "nobody was asked"),
    "a list": (asks_a_list, "one row at a time"),
    "five": (five_clusters, "is a size fixed"),
    "empty too": (asking(lambda q, rows, k: surest(q, rows, k) if len(rows) else 0, empty=True), "each costs money"),
    "one for all": (first_answer, "whose surest member is called"),
    "one question": (
        lambda q, ask: torch.full((len(q),), ask(int(q.max(1).values.argmax()))),
        "nobody was asked about",
    ),
    "table": (lambda q, ask: [names_by_loop(q, ask), q][1], "table of rows and clusters"),
    "writes": (writes_shares, "`q` itself was changed"),
    "off the end": (lambda q, ask: ask(len(q)), "there is no row"),
}
RIGHT = {"soft_assignment": RIGHT_SHARES, "target": RIGHT_TARGETS, "name_by_asking": RIGHT_NAMES}
WRONG = {"soft_assignment": WRONG_SHARES, "target": WRONG_TARGETS, "name_by_asking": WRONG_NAMES}
