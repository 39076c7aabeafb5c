"""Adam with a learning rate that rises once and falls."""

import torch


def one_cycle(
    model: torch.nn.Module, *, lr: float, updates: int
) -> tuple[torch.optim.Adam, torch.optim.lr_scheduler.OneCycleLR]:
    """Adam and torch's one-cycle schedule (arXiv:1708.07120), for `update(optimizer, loss, scheduler=scheduler)`.

    The rate rises from lr / 25 to `lr` over the first 30 % of the updates and falls to nearly zero: a short training
    ends settled. A step beyond `updates` keeps the last rate.

        optimizer, scheduler = one_cycle(model, lr=2e-3, updates=1000)

    Args:
        model: whose parameters are to move.
        lr: the highest rate, above 0.
        updates: the steps of the whole training, at least 1.
    Raises:
        ValueError: `lr` or `updates` out of its range.
    """
    if not lr > 0 or updates < 1:
        raise ValueError(f"lr={lr}, updates={updates}: expected a rate above 0 and at least one update.")
    parameters = list(model.parameters())
    optimizer = torch.optim.Adam(parameters, lr=lr, fused=parameters[0].device.type in ("cuda", "cpu"))
    return optimizer, _OneCycle(optimizer, max_lr=lr, total_steps=max(2, updates))


class _OneCycle(torch.optim.lr_scheduler.OneCycleLR):
    """Stays at its end, where torch's own raises an error: an interrupted cell may be run again."""

    def step(self, epoch=None):
        if self.last_epoch < self.total_steps - 1:
            super().step(epoch)
