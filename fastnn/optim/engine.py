"""One step of all parameters: the compiled stepper, and the generator that rounds its coded state."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fastnn import _core
from fastnn._autograd import count_writes
from fastnn.optim.state import StateDtype
from fastnn.random import BLOCK_WORDS, Generator, RandomSource, as_generator, default_generator

if TYPE_CHECKING:
    from fastnn._types import AnyArray

Column = tuple[Sequence["AnyArray | None"], Sequence["AnyArray | None"], bool]


class Engine:
    """A compiled stepper over fixed parameters and state, all of which it keeps alive.

    Args:
        rule: the compiled class.
        tensors, names, shapes: the parameters, in the order of their groups.
        sizes: the number of parameters in each group.
        columns: for each kind of state the arrays of all parameters, their scales, and whether values can be negative.
        steps, memory: for each parameter an array of one float64: the number of its steps, and the number that the rule
            remembers. A step reads and writes both.
        state_dtype: the format of the state.
        generator: rounds coded state; None if the state is not coded.
    """

    def __init__(
        self,
        rule: type["_core._Stepper"],
        tensors: Sequence[Any],
        names: Sequence[str],
        shapes: Sequence[tuple[int, ...]],
        sizes: Sequence[int],
        columns: Sequence[Column],
        steps: Sequence["AnyArray"],
        memory: Sequence["AnyArray"],
        state_dtype: StateDtype | None,
        generator: Generator | None,
    ) -> None:
        self._stepper = rule(tensors, names, sizes, columns, steps, memory, state_dtype or "")
        self._generator = generator
        self._words = sum(-(-math.prod(s) // _core.CHUNK) for s in shapes) * BLOCK_WORDS

    def step(
        self, grads: tuple[Any, ...], groups: Sequence[Mapping[str, Any]], limit: float | None, write_zeros: bool
    ) -> float | None:
        """Step the parameters that have a gradient; if the gradients' norm is not finite, none.

        PyTorch's autograd is told of the writes to tensors.

        Args:
            grads: one per parameter, or None.
            groups: the options of each group.
            limit: scale the gradients to at most this norm.
            write_zeros: zero the gradients after the step.

        Returns:
            The norm, if there is a limit.

        Raises:
            TypeError, ValueError: a gradient is invalid; nothing has been changed.
        """
        g = self._generator
        if g is None:
            return self._stepper.step(grads, groups, limit, write_zeros, 0, 0, 0, count_writes)
        offset = g.reserve(self._words)
        norm: float | None = math.nan
        try:
            block = offset // BLOCK_WORDS
            norm = self._stepper.step(grads, groups, limit, write_zeros, g.seed, g.stream, block, count_writes)
        finally:
            if norm is not None and not math.isfinite(norm):  # no step has been taken
                g.give_back(offset, self._words)
        return norm


def rounding_generator(given: RandomSource | None, state_dtype: StateDtype | None) -> Generator | None:
    """Return the generator that rounds coded state; None if the state is not coded."""
    chosen = None if given is None else as_generator(given)
    if state_dtype is None:
        return None
    return chosen or Generator(default_generator.seed, 2**63 + default_generator.reserve(1) // BLOCK_WORDS)


def restored_generator(saved: Any) -> Generator | None:
    """Return the generator of a state dict, if it has one."""
    if saved is None:
        return None
    if not isinstance(saved, Mapping):
        raise TypeError(f"generator: got {type(saved).__name__}, want a dict; save it again")
    generator = Generator(0)
    generator.state = saved
    return generator
