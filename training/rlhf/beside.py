"""Parts of a batch at the same time: each in a thread, with its share of torch's threads.

    with side_by_side(policy, most=config.micro_batch_size) as workers:
        found = workers.read(work, parts)                   # [work(part), ...]
        found = workers.learn(work, parts, weights)         # [work(part, backward), ...], and the weights' gradients

In a small model a product is too short for several threads to gain anything by sharing it: two that share each cost a
fifth more processor time than one. So every worker takes parts of its own, which keep as many cores busy. Who does
which part and in which order gradients are added is fixed, so what comes out is the same to the last bit every time.
Models are read by all workers at once: nothing about a model may change inside `work`. Large models, a GPU and runs of
several processes, whose messages need one order, have one worker with all of torch's threads.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor, nn

from training.rlhf.distributed import num_processes
from training.rlhf.shapes import MOST_AT_ONCE, works_side_by_side

Part = TypeVar("Part")
Found = TypeVar("Found")
Backward = Callable[[Tensor], None]
"""Adds the gradient of a loss to that of the weights that learn."""


class Workers:
    """Who passes the parts of a batch through models."""

    def __init__(self, pool: Executor | None = None, *, count: int = 1) -> None:
        self._pool = pool
        self.count = count

    def read(self, work: Callable[[Part], Found], parts: Sequence[Part]) -> list[Found]:
        """What `work` finds in each part, in their order. Gradient mode and mixed precision are the caller's."""
        return self._shared_out(lambda _, own: [work(part) for part in own], parts)

    def learn(
        self, work: Callable[[Part, Backward], Found], parts: Sequence[Part], weights: Sequence[Tensor]
    ) -> list[Found]:
        """The same, for work that calls `backward` with its losses; their gradients are added to the weights'."""
        if self.count == 1:
            return [work(part, backward) for part in parts]
        piles = [_Pile(weights) for _ in range(self.count)]
        found = self._shared_out(lambda index, own: [work(part, piles[index].add) for part in own], parts)
        for number, weight in enumerate(weights):
            gradients = [pile.give(number) for pile in piles]
            _add_to(weight, [gradient for gradient in gradients if gradient is not None])
        return found

    def _shared_out(self, job: Callable[[int, Sequence[Part]], list[Found]], parts: Sequence[Part]) -> list[Found]:
        """Each worker does every n-th part, this thread those of the first; an error of any of them is raised here."""
        if self._pool is None:
            return job(0, parts)
        is_learning, is_mixed = torch.is_grad_enabled(), torch.is_autocast_enabled("cpu")
        dtype = torch.get_autocast_dtype("cpu")

        def elsewhere(index: int) -> list[Found]:
            with torch.set_grad_enabled(is_learning), torch.autocast("cpu", dtype=dtype, enabled=is_mixed):
                return job(index, parts[index :: self.count])

        others = [self._pool.submit(elsewhere, index) for index in range(1, self.count)]
        shares = [job(0, parts[:: self.count]), *(other.result() for other in others)]
        return [shares[index % self.count][index // self.count] for index in range(len(parts))]


ALONE = Workers()
"""This thread, with all of torch's."""


def backward(loss: Tensor) -> None:
    """Add its gradient to the weights', where torch keeps it."""
    loss.backward()


class _Pile:
    """The gradients that one worker has found."""

    def __init__(self, weights: Sequence[Tensor]) -> None:
        self._weights = weights
        self.found: list[Tensor | None] = [None] * len(weights)

    def add(self, loss: Tensor) -> None:
        gradients = torch.autograd.grad(loss, self._weights, allow_unused=True)
        for number, gradient in enumerate(gradients):
            before = self.found[number]
            # never in place: two weights may have been given one tensor
            self.found[number] = gradient if before is None or gradient is None else before + gradient
            if gradient is None:
                self.found[number] = before

    def give(self, number: int) -> Tensor | None:
        """What was found for a weight, kept no longer: all sums beside all parts would be one set of gradients more."""
        gradient, self.found[number] = self.found[number], None
        return gradient


def _add_to(weight: Tensor, gradients: Sequence[Tensor]) -> None:
    """Add up in the order given, in a tensor of the weight's own layout, which the optimizer's kernel relies on."""
    if weight.grad is not None:
        gradients = [weight.grad, *gradients]
    if not gradients:
        return
    total = torch.empty_like(weight, requires_grad=False)
    if len(gradients) == 1:
        total.copy_(gradients[0])
    else:
        torch.add(*gradients[:2], out=total)
    for gradient in gradients[2:]:
        total.add_(gradient)
    weight.grad = total


@contextlib.contextmanager
def side_by_side(model: nn.Module, *, most: int = 0) -> Iterator[Workers]:
    """Inside, as many workers as suit the model. most: rows that may be in memory at once, 0 for any number."""
    threads = torch.get_num_threads()
    count = min(threads, MOST_AT_ONCE, most or MOST_AT_ONCE)
    weights = list(model.parameters())
    if (
        count == 1
        or num_processes() > 1
        or any(weight.device.type != "cpu" for weight in weights)
        or not works_side_by_side(sum(weight.numel() for weight in weights))
    ):
        yield ALONE
        return
    each = threads // count
    torch.set_num_threads(each)
    try:
        with ThreadPoolExecutor(count - 1, initializer=torch.set_num_threads, initargs=(each,)) as pool:
            yield Workers(pool, count=count)
    finally:
        torch.set_num_threads(threads)
