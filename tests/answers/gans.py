"""Right and wrong answers to the exercises of notebook 15."""

import numpy as np
import torch

# --- confident_fraction ---


def share(accepted):
    return accepted.double().mean().item()


def sure(v, t=0.8):
    """The answer in other words: the largest probability, and not the last column's."""
    p = v.softmax(1)
    return (p.amax(1) > t) & (p.argmax(1) != v.shape[1] - 1)


def by_loop(logits, threshold=0.8):
    count = 0
    for row in logits:
        p = row.softmax(0).tolist()
        count += max(p) > threshold and p.index(max(p)) < len(p) - 1
    return count / len(logits)


def by_numpy(logits, threshold=0.8):
    e = np.exp(logits.numpy() - logits.numpy().max(1, keepdims=True))
    p = e / e.sum(1, keepdims=True)
    return np.mean((p.max(1) > threshold) & (p.argmax(1) < p.shape[1] - 1))


def writes(logits, threshold=0.8):
    logits -= logits.logsumexp(1, keepdim=True)
    return share(sure(logits, threshold))


RIGHT_FRACTION = {
    "amax and argmax": lambda v, t=0.8: share(sure(v, t)),
    "0-d tensor": lambda v, threshold=0.8: sure(v, threshold).float().mean(),
    "a loop": by_loop,
    "NumPy": by_numpy,
    "log_softmax": lambda v, threshold=0.8: np.float32(
        share((v.log_softmax(1)[:, :-1].amax(1).exp() > threshold) & (v[:, :-1].amax(1) > v[:, -1]))
    ),
    "double": lambda v, threshold=0.8: sure(v.double(), threshold).sum().item() / len(v),
}
WRONG_FRACTION = {
    "last counted": (lambda v, t=0.8: share(v.softmax(1).amax(1) > t), "the last column is counted"),
    "classes alone": (lambda v, t=0.8: share(v[:, :-1].softmax(1).amax(1) > t), "over the real classes alone"),
    "logits": (lambda v, t=0.8: share(v[:, :-1].amax(1) > t), "logits need a softmax"),
    "sigmoid": (lambda v, t=0.8: share(v.sigmoid()[:, :-1].amax(1) > t), "not a sigmoid"),
    "any class": (lambda v, t=0.8: share(1 - v.softmax(1)[:, -1] > t), "adds up"),
    "no threshold": (lambda v, t=0.8: share(v.argmax(1) < v.shape[1] - 1), "threshold is ignored"),
    "mean of the largest": (lambda v, t=0.8: v.softmax(1).amax(1).mean().item(), "mean of the largest"),
    "mean of the classes": (lambda v, t=0.8: v.softmax(1)[:, :-1].amax(1).mean().item(), "classes' largest"),
    "a count": (lambda v, t=0.8: sure(v, t).sum().item(), "number of images"),
    "percent": (lambda v, t=0.8: 100 * share(sure(v, t)), "percentage"),
    "refused": (lambda v, t=0.8: 1 - share(sure(v, t)), "those refused"),
    "wrong axis": (
        lambda v, t=0.8: share((v.softmax(0).amax(1) > t) & (v.argmax(1) < v.shape[1] - 1)),
        "axis 0",
    ),
    "an image": (sure, "one number"),
    "fixed threshold": (lambda v, t=0.8: share(sure(v, 0.8)), "threshold 0.6"),
    "of the classes": (
        lambda v, t=0.8: sure(v, t).sum().item() / (v.argmax(1) < v.shape[1] - 1).sum().item(),
        "divides by the verdicts",
    ),
    "other default": (lambda v, t=1.5: share(sure(v, t)), "0.8 by default"),
    "below one half": (lambda v, t=0.8: share((v.softmax(1)[:, :-1] > t).any(1)), "likelier still"),
    "ten columns": (
        lambda v, t=0.8: share((v.softmax(1).amax(1) > t) & (v.argmax(1) < 10)),
        "the number of classes",
    ),
    "ten summed": (
        lambda v, t=0.8: share((v.softmax(1)[:, :10].amax(1) > t) & (v.argmax(1) != 10)),
        "number of classes",
    ),
    "first column": (lambda v, t=0.8: share((v.softmax(1).amax(1) > t) & (v.argmax(1) > 0)), "the first column"),
    "400 images": (lambda v, t=0.8: sure(v, t).sum().item() / 400, "batch of"),
    "writes": (writes, "`logits` itself was changed"),
}

# --- r1_penalty ---


def slopes(D, real, reduce=torch.sum, graph=True):
    real = real.detach().requires_grad_()
    return torch.autograd.grad(reduce(D(real)), real, create_graph=graph)[0].flatten(1)


def image_by_image(D, x):
    x = x.clone().requires_grad_()
    total = 0
    for i in range(len(x)):
        total = total + torch.autograd.grad(D(x)[i], x, create_graph=True)[0][i].square().sum()
    return total / len(x)


def with_outputs(D, x):
    x = x.detach().clone().requires_grad_()
    logits = D(x)
    (g,) = torch.autograd.grad(logits, x, grad_outputs=torch.ones_like(logits), create_graph=True)
    return torch.einsum("nd,nd->n", g.flatten(1), g.flatten(1)).mean()


def by_functions(D, x):
    g = torch.func.grad(lambda images: D(images).sum())(x)
    return g.pow(2).sum() / len(x)


def backward(D, x):
    x = x.detach().requires_grad_()
    D(x).sum().backward(create_graph=True)
    return x.grad.square().flatten(1).sum(1).mean()


def moves_the_images(D, x):
    x.mul_(1.5)
    return slopes(D, x).square().sum(1).mean()


def moves_the_judge(D, x):
    with torch.no_grad():
        for p in D.parameters():
            p.mul_(0.9)
    return slopes(D, x).square().sum(1).mean()


RIGHT_R1 = {
    "image by image": image_by_image,
    "norm": lambda D, x: slopes(D, x).norm(dim=1).square().mean(),
    "grad_outputs, einsum": with_outputs,
    "torch.func": by_functions,
    "backward": backward,
    "double": lambda D, x: slopes(D, x).double().square().sum() / x.shape[0],
}
WRONG_R1 = {
    "mean over pixels": (lambda D, x: slopes(D, x).square().mean(), "averages over the pixels"),
    "sum over the batch": (lambda D, x: slopes(D, x).square().sum(), "sums over the batch"),
    "length": (lambda D, x: slopes(D, x).norm(dim=1).mean(), "length, not its square"),
    "wgan-gp": (lambda D, x: (slopes(D, x).norm(dim=1) - 1).square().mean(), "WGAN-GP"),
    "averaged first": (lambda D, x: slopes(D, x).mean(0).square().sum(), "opposite ones cancel"),
    "mean logit": (lambda D, x: slopes(D, x, torch.mean).square().sum(1).mean(), "sum the logits first"),
    "mean logit, sum": (lambda D, x: slopes(D, x, torch.mean).square().sum(), "N times too small"),
    "not squared": (lambda D, x: slopes(D, x).sum(1).mean(), "signs cancel"),
    "half": (lambda D, x: slopes(D, x).square().sum(1).mean() / 2, "gamma / 2"),
    "the logit": (lambda D, x: D(x).square().mean(), "not its slope"),
    "after a sigmoid": (lambda D, x: slopes(lambda v: D(v).sigmoid(), x).square().sum(1).mean(), "after a sigmoid"),
    "no graph": (lambda D, x: slopes(D, x, graph=False).square().sum(1).mean(), "create_graph"),
    "half detached": (lambda D, x: (slopes(D, x) * slopes(D, x).detach()).sum(1).mean(), "part of it is detached"),
    "an image": (lambda D, x: slopes(D, x).square().sum(1), "average over the batch"),
    "float": (lambda D, x: slopes(D, x).square().sum(1).mean().item(), "gradients can pass"),
    "off": (lambda D, x: 1.3 * slopes(D, x).square().sum(1).mean(), "whose slope is known"),
    "one channel": (
        lambda D, x: slopes(D, x).reshape(x.shape)[:, 0].square().sum((1, 2)).mean(),
        "first channel",
    ),
    "batch of 5": (lambda D, x: slopes(D, x).square().sum() / 5, "batch of 3"),
    "at noise": (lambda D, x: slopes(D, torch.randn_like(x)).square().sum(1).mean(), "random"),
    "at zero": (lambda D, x: slopes(D, 0 * x).square().sum(1).mean(), "at the real images"),
    "moves the images": (moves_the_images, "`x` itself was changed"),
    "moves the judge": (moves_the_judge, "weights of D were changed"),
    "detached input": (lambda D, x: torch.autograd.grad(D(x.detach()).sum(), x)[0].square().mean(), "requires_grad_"),
}

# --- ema_update ---


def move(names=lambda net: net.state_dict(), mix=None, whole=lambda mine, theirs: mine.copy_(theirs)):
    """An update of whatever `names` lists, by mix(mine, theirs, decay); of integers by `whole`."""
    mix = mix or (lambda mine, theirs, decay: decay * mine + (1 - decay) * theirs)

    @torch.no_grad()
    def ema_update(slow, fast, decay):
        other = dict(names(fast))
        for name, mine in dict(names(slow)).items():
            if mine.is_floating_point():
                mine.copy_(mix(mine, other[name], decay))
            else:
                whole(mine, other[name])

    return ema_update


def parameters(net):
    return net.named_parameters()


def library(slow, fast, decay):
    from torch.optim.swa_utils import get_ema_multi_avg_fn

    with torch.no_grad():
        get_ema_multi_avg_fn(decay)(list(slow.parameters()), list(fast.parameters()), 1)
        for mine, theirs in zip(slow.buffers(), fast.buffers()):
            mine.copy_(theirs)


def by_data(slow, fast, decay):
    for mine, theirs in zip(slow.parameters(), fast.parameters()):
        mine.data = decay * mine.data + (1 - decay) * theirs.data
    for mine, theirs in zip(slow.buffers(), fast.buffers()):
        mine.data.copy_(decay * mine + (1 - decay) * theirs if mine.is_floating_point() else theirs)


def by_loading(slow, fast, decay):
    theirs = fast.state_dict()
    slow.load_state_dict(
        {k: v.lerp(theirs[k], 1 - decay) if v.is_floating_point() else theirs[k] for k, v in slow.state_dict().items()}
    )


def returns_it(slow, fast, decay):
    move()(slow, fast, decay)
    return slow


def rebinds(slow, fast, decay):
    for mine, theirs in zip(slow.parameters(), fast.parameters()):
        mine = decay * mine + (1 - decay) * theirs  # noqa: PLW2901, F841


def recorded(slow, fast, decay):
    for mine, theirs in zip(slow.parameters(), fast.parameters()):
        mine.mul_(decay).add_((1 - decay) * theirs)


@torch.no_grad()
def shares_memory(slow, fast, decay):
    move()(slow, fast, decay)
    if torch.allclose(slow[0].weight, fast[0].weight, atol=1e-7):
        slow[0].weight = fast[0].weight


@torch.no_grad()
def lerps_all(slow, fast, decay):
    for mine, theirs in zip(slow.state_dict().values(), fast.state_dict().values()):
        mine.lerp_(theirs, 1 - decay)


def buffers_swapped(slow, fast, decay):
    move(parameters)(slow, fast, decay)
    move(lambda net: net.named_buffers(), lambda a, b, d: (1 - d) * a + d * b)(slow, fast, decay)


RIGHT_EMA = {
    "state_dict": move(),
    "PyTorch's": library,
    ".data": by_data,
    "load_state_dict": by_loading,
    "returns it": returns_it,
    "add_": move(mix=lambda a, b, decay: a + (b - a) * (1 - decay)),
}
WRONG_EMA = {
    "swapped": (move(mix=lambda a, b, decay: (1 - decay) * a + decay * b), "shares are swapped"),
    "copies": (move(mix=lambda a, b, decay: b), "took the fast network's weights"),
    "rebinds": (rebinds, "nothing moved"),
    "moves the fast": (lambda slow, fast, decay: move()(fast, slow, decay), "fast network was changed"),
    "adds": (move(mix=lambda a, b, decay: a + (1 - decay) * b), "do not add up to 1"),
    "parameters alone": (move(parameters), "stayed behind"),
    "buffers alone": (move(lambda net: net.named_buffers()), "nothing moved"),
    "plain average": (move(mix=lambda a, b, decay: (a + b) / 2), "these do not"),
    "fixed decay": (move(mix=lambda a, b, decay: 0.9 * a + 0.1 * b), "decay 0.6"),
    "buffers swapped": (buffers_swapped, "neither averaged nor copied"),
    "integers averaged": (
        move(whole=lambda mine, theirs: mine.copy_(0.9 * mine + 0.1 * theirs)),
        "integer buffers are copied",
    ),
    "integers left": (move(whole=lambda mine, theirs: None), "integer buffers are copied"),
    "lerps integers": (lerps_all, "integer buffers are copied"),
    "recorded": (recorded, "no_grad"),
    "shares memory": (shares_memory, "share their memory"),
    "in float": (lambda slow, fast, decay: slow.lerp_(fast, 1 - decay), "AttributeError"),
    "seed": (lambda *given: (torch.manual_seed(0), move()(*given)), "a seed is set"),
    "first layer": (
        move(lambda net: [(k, v) for k, v in net.state_dict().items() if k.startswith("0.")]),
        "some weights did not move",
    ),
    "clamped": (move(mix=lambda a, b, decay: (a + (1 - decay) * (b - a)).clamp(-1, 1)), "these do not"),
}
RIGHT = {"confident_fraction": RIGHT_FRACTION, "r1_penalty": RIGHT_R1, "ema_update": RIGHT_EMA}
WRONG = {"confident_fraction": WRONG_FRACTION, "r1_penalty": WRONG_R1, "ema_update": WRONG_EMA}
