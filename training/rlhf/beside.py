"""Two parts of a step that share no weights, at the same time: each in a thread, with half of torch's threads.

    with beside(device, wanted=True) as second:
        of_value = second.submit(pass_of_the_value_model, rows)     # begins at once
        pass_of_the_policy(rows)
        values = of_value.result()

In small models a product is too short for several threads to gain anything by sharing it; two models side by side keep
two cores busy. What comes out is the same to the last bit every time, because neither part waits for the other's
numbers. With one thread, on a GPU and in runs of several processes, whose messages need one order, the second part is
done when it is asked for.
"""

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, ParamSpec, Protocol, TypeVar

import torch

from training.rlhf.distributed import num_processes

Given = ParamSpec("Given")
Found = TypeVar("Found", covariant=True)


class Asked(Protocol[Found]):
    """Work that was handed over."""

    def result(self) -> Found:
        """What it found, once it is done; its error is raised here."""


class Second(Protocol):
    """Who does the second part."""

    def submit(self, work: Callable[Given, Found], /, *given: Given.args, **named: Given.kwargs) -> Asked[Found]: ...


class _Later(Generic[Found]):
    def __init__(self, work: Callable[[], Found]) -> None:
        self._work = work

    def result(self) -> Found:
        return self._work()


class _Afterwards:
    """Nobody else: the work is done by whoever asks for its result."""

    def submit(self, work: Callable[Given, Found], /, *given: Given.args, **named: Given.kwargs) -> Asked[Found]:
        return _Later(lambda: work(*given, **named))


AFTERWARDS: Second = _Afterwards()


@contextlib.contextmanager
def beside(device: torch.device, *, wanted: bool) -> Iterator[Second]:
    """Inside, a second thread where it helps. It has torch's own defaults: gradients on, no mixed precision."""
    threads = torch.get_num_threads()
    if not wanted or threads == 1 or device.type != "cpu" or num_processes() > 1:
        yield AFTERWARDS
        return
    torch.set_num_threads(threads // 2)
    try:
        with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(threads // 2,)) as second:
            yield second
    finally:
        torch.set_num_threads(threads)
