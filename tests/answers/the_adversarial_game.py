"""Right and wrong answers to the exercises of notebook 14."""

import numpy as np
import torch
from torch.nn import functional as F

from deepunsup_helpers.losses import discriminator_loss, generator_loss
from deepunsup_helpers.training import update

# --- d_star ---


def divides_in_place(p, q):
    p /= p + q
    return p


def by_loop(p, q):
    shares = [float(a) / (float(a) + float(b)) for a, b in zip(p.flatten(), q.flatten())]
    return torch.tensor(shares).reshape(p.shape)


RIGHT_D_STAR = {
    "odds": lambda p, q: 1 / (1 + q / p),
    "sigmoid of logs": lambda p, q: torch.sigmoid(p.log() - q.log()),
    "NumPy": lambda p, q: p.numpy() / np.add(p.numpy(), q.numpy()),
    "a loop": by_loop,
    "softmax": lambda p, q: torch.stack([p, q]).log().softmax(0)[0],
    "double": lambda p, q: p.double() / (p + q).double(),
    "one minus": lambda p, q: 1 - q / (p + q),
}
WRONG_D_STAR = {
    "swapped": (lambda p, q: q / (p + q), "probability of *fake*"),
    "odds": (lambda p, q: p / q.clamp_min(1e-30), "are odds"),
    "logit": (lambda p, q: p.clamp_min(1e-30).log() - q.clamp_min(1e-30).log(), "is the logit"),
    "sigmoid of the difference": (lambda p, q: torch.sigmoid(p - q), "not p - q"),
    "sigmoid of the ratio": (lambda p, q: torch.sigmoid(p / q), "never below 1/2"),
    "of the sums": (lambda p, q: (p.sum() / (p + q).sum()).expand_as(p), "answer of its own"),
    "the mixture": (lambda p, q: (p + q) / 2, "density of the mixture"),
    "half": (lambda p, q: 0.5 * p / (p + q), "half of the answer"),
    "squares": (lambda p, q: p**2 / (p**2 + q**2), "overstates"),
    "all or nothing": (lambda p, q: (p > q).double(), "nobody can be sure"),
    "a mean": (lambda p, q: (p / (p + q)).mean(), "one answer for each point"),
    "softmax along the points": (lambda p, q: torch.softmax(p, 0), "of all points are real"),
    "p itself": (lambda p, q: p, "a density, no probability"),
    "clamped": (lambda p, q: (p / (p + q)).clamp(0.02, 0.98), "0 and 1 are answers"),
    "epsilon": (lambda p, q: p / (p + q + 1e-6), "epsilon"),
    "writes": (divides_in_place, "`p` itself was changed"),
    "six rows": (lambda p, q: p / (p + q) * torch.ones(6, 4), "another shape"),
    "log of a negative": (lambda p, q: (p - 5).log(), "not every value is finite"),
}

# --- generator_loss ---


def relu_in_place(v):
    v.detach().clamp_(-50, 50)
    return F.softplus(-v).mean()


def cut_off(v):  # right values, but no slope below -50
    return F.softplus(-v.clamp(min=-50)).mean() - (v + 50).clamp(max=0).detach().mean()


RIGHT_LOSS = {
    "softplus": lambda v: F.softplus(-v).mean(),
    "logsigmoid": lambda v: -F.logsigmoid(v).mean(),
    "cross-entropy": lambda v: F.binary_cross_entropy_with_logits(v, torch.ones_like(v)),
    "cross-entropy, float64 ones": lambda v: F.binary_cross_entropy_with_logits(
        v.double(), torch.ones(len(v)).double()
    ),
    "logaddexp": lambda v: torch.logaddexp(torch.zeros_like(v), -v).sum() / len(v),
    "a loop": lambda v: sum(F.softplus(-one) for one in v) / len(v),
}
WRONG_LOSS = {
    "minimax": (lambda v: torch.log(1 - v.sigmoid()).mean(), "minimax loss"),
    "sign": (lambda v: F.logsigmoid(v).mean(), "sign is turned"),
    "the discriminator's": (lambda v: F.softplus(v).mean(), "discriminator's"),
    "sum": (lambda v: F.softplus(-v).sum(), "sums over the batch"),
    "not reduced": (lambda v: F.softplus(-v), "one loss for each sample"),
    "logits as they are": (lambda v: -v.mean(), "used as they are"),
    "1 - D": (lambda v: (1 - v.sigmoid()).mean(), "this is 1 - D"),
    "-D": (lambda v: -v.sigmoid().mean(), "this is -D"),
    "log of the mean": (lambda v: -v.sigmoid().mean().log(), "logarithm of the mean"),
    "two sigmoids": (lambda v: F.softplus(-v.sigmoid()).mean(), "taken twice"),
    "base 2": (lambda v: -torch.log2(v.sigmoid()).mean(), "bits"),
    "infinite": (lambda v: -v.sigmoid().log().mean(), "rounds to 0"),
    "epsilon": (lambda v: -(v.sigmoid() + 1e-8).log().mean(), "an epsilon"),
    "clamp": (lambda v: -v.sigmoid().clamp(1e-6, 1).log().mean(), "a clamp"),
    "library on probabilities": (lambda v: F.binary_cross_entropy(v.sigmoid(), torch.ones_like(v)), "at logit"),
    "cut off": (cut_off, "its slope is"),
    "detached": (lambda v: F.softplus(-v.detach()).mean(), "no gradient"),
    "a number": (lambda v: F.softplus(-v).mean().item(), "gradients can pass"),
    "batch of 7": (lambda v: F.softplus(-v).sum() / 7, "batch of 12"),
    "in place": (relu_in_place, "`v` itself was changed"),
    "off": (lambda v: 1.1 * F.softplus(-v).mean(), "nats on random logits"),
}

# --- gan_step ---


def noise(real, G):
    return torch.randn(len(real), G.latent_dim)


def named(d, g):
    return {"discriminator": d, "generator": g}


def step(draw=noise, names=named, judge_updates=1, generator_updates=1, detach=True, kind="non_saturating"):
    """A wrong or right gan_step."""

    def gan_step(real, G, D, opt_g, opt_d):
        fake = G(draw(real, G))
        d = discriminator_loss(D(real), D(fake.detach() if detach else fake))
        for _ in range(judge_updates):
            d = discriminator_loss(D(real), D(fake.detach() if detach else fake))
            update(opt_d, d)
        g = generator_loss(D(fake), kind)
        if generator_updates:
            update(opt_g, g)
        return names(d, g)

    return gan_step


def both_losses_first(real, G, D, opt_g, opt_d, *, generator_first=False):
    fake = G(noise(real, G))
    d, g = discriminator_loss(D(real), D(fake.detach())), generator_loss(D(fake))
    for optimizer, loss in ((opt_g, g), (opt_d, d)) if generator_first else ((opt_d, d), (opt_g, g)):
        update(optimizer, loss)
    return named(d, g)


def generator_first(real, G, D, opt_g, opt_d):
    g = generator_loss(D(G(noise(real, G))))
    update(opt_g, g)
    d = discriminator_loss(D(real), D(G(noise(real, G)).detach()))
    update(opt_d, d)
    return named(d, g)


def both_backward_then_both_steps(real, G, D, opt_g, opt_d, detach=True):
    fake = G(noise(real, G))
    d = discriminator_loss(D(real), D(fake.detach() if detach else fake))
    g = generator_loss(D(fake))
    opt_g.zero_grad(), opt_d.zero_grad()
    d.backward(retain_graph=True)
    g.backward()
    opt_d.step(), opt_g.step()
    return named(d, g)


def never_cleared(real, G, D, opt_g, opt_d):
    fake = G(noise(real, G))
    d = discriminator_loss(D(real), D(fake.detach()))
    d.backward()
    opt_d.step()
    g = generator_loss(D(fake))
    g.backward()
    opt_g.step()
    return named(d, g)


def detached_for_both(real, G, D, opt_g, opt_d):
    fake = G(noise(real, G)).detach()
    d = discriminator_loss(D(real), D(fake))
    update(opt_d, d)
    g = generator_loss(D(fake))
    update(opt_g, g)
    return named(d, g)


def labels_swapped(real, G, D, opt_g, opt_d):
    fake = G(noise(real, G))
    d = discriminator_loss(D(fake.detach()), D(real))
    update(opt_d, d)
    g = generator_loss(D(fake))
    update(opt_g, g)
    return named(d, g)


def separate_noise(real, G, D, opt_g, opt_d):
    d = discriminator_loss(D(real), D(G(noise(real, G)).detach()))
    update(opt_d, d)
    g = generator_loss(D(G(noise(real, G))))
    update(opt_g, g)
    return named(d, g)


def without_the_helper(real, G, D, opt_g, opt_d):
    with torch.no_grad():
        fake = G(noise(real, G))
    opt_d.zero_grad()
    d = F.binary_cross_entropy_with_logits(D(real), torch.ones(len(real)))
    d = d + F.binary_cross_entropy_with_logits(D(fake), torch.zeros(len(fake)))
    d.backward()
    opt_d.step()
    opt_g.zero_grad()
    g = F.softplus(-D(G(noise(real, G)))).mean()
    g.backward()
    opt_g.step()
    return named(d.item(), g.item())


def seeded(real, G):
    torch.manual_seed(0)
    return noise(real, G)


def shifts_real(real, G, D, opt_g, opt_d):
    out = step()(real, G, D, opt_g, opt_d)
    real += 0.1
    return out


def own_generator(real, G):
    return torch.randn(len(real), G.latent_dim, generator=torch.Generator().manual_seed(0))


RIGHT_STEPS = {
    "as in the text": step(),
    "separate noise": separate_noise,
    "without the helper, floats": without_the_helper,
    "an extra term": step(names=lambda d, g: named(d, g) | {"sum": (d + g).detach()}),
    "other order, NumPy": step(
        names=lambda d, g: {"generator": g.detach().numpy(), "discriminator": np.float64(d.item())}
    ),
    "torch.normal": step(draw=lambda real, G: torch.normal(0.0, 1.0, (real.shape[0], G.latent_dim))),
}
WRONG_STEPS = {
    "no detach": (step(detach=False), "graph"),
    "both losses first": (both_losses_first, "before the discriminator moved"),
    "at once": (lambda *a: both_losses_first(*a, generator_first=True), "both players moved at once"),
    "generator first": (generator_first, "the generator moved first"),
    "mixed": (both_backward_then_both_steps, "the discriminator moved along the generator's loss"),
    "reversed": (lambda *a: both_backward_then_both_steps(*a, detach=False), "pushed it the wrong way"),
    "never cleared": (never_cleared, "pile up"),
    "detached for both": (detached_for_both, "cuts it off"),
    "labels swapped": (labels_swapped, "swapped in the discriminator"),
    "discriminator twice": (step(judge_updates=2), "moved twice"),
    "no discriminator": (step(judge_updates=0), "the discriminator did not move"),
    "no generator": (step(generator_updates=0), "the generator did not move"),
    "minimax": (step(kind="minimax"), "minimax"),
    "one row": (step(draw=lambda real, G: torch.randn(1, G.latent_dim)), "one row for each real"),
    "128 rows": (step(draw=lambda real, G: torch.randn(128, G.latent_dim)), "one row for each real"),
    "two latents": (step(draw=lambda real, G: torch.randn(len(real), 2)), "one row for each real"),
    "noise like real": (step(draw=lambda real, G: torch.randn_like(real)), "one row for each real"),
    "uniform": (step(draw=lambda real, G: torch.rand(len(real), G.latent_dim)), "uniform"),
    "zeros": (step(draw=lambda real, G: torch.zeros(len(real), G.latent_dim)), "no noise"),
    "one row repeated": (
        step(draw=lambda real, G: torch.randn(1, G.latent_dim).expand(len(real), -1)),
        "all rows share",
    ),
    "uniform, unit variance": (
        step(draw=lambda real, G: (torch.rand(len(real), G.latent_dim) - 0.5) * 12**0.5),
        "its law is not",
    ),
    "seed": (step(draw=seeded), "a seed is set"),
    "own generator": (step(draw=own_generator), "same in every call"),
    "other names": (step(names=lambda d, g: {"d": d, "g": g}), "return both losses"),
    "swapped names": (step(names=lambda d, g: named(g, d)), "names are swapped"),
    "a pair": (step(names=lambda d, g: (d, g)), "return both losses"),
    "zeros returned": (step(names=lambda d, g: named(0.0, 0.0)), "the losses"),
    "discriminator three times": (step(judge_updates=3), "on paper"),
    "writes": (shifts_real, "`real` itself was changed"),
}
RIGHT = {"d_star": RIGHT_D_STAR, "generator_loss": RIGHT_LOSS, "gan_step": RIGHT_STEPS}
WRONG = {"d_star": WRONG_D_STAR, "generator_loss": WRONG_LOSS, "gan_step": WRONG_STEPS}
