"""The mistakes of a file: one sentence for each, and none that only follows from another."""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any


class ConfigError(ValueError):
    """A file does not describe a training.

    Attributes:
        problems: a sentence for each mistake.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(dict.fromkeys(problems))
        super().__init__("\n".join(self.problems))


class Problems:
    """Sentences by the key that they are about. A key has one; what stands below a wrong key has none."""

    def __init__(self) -> None:
        self._found: dict[str, str] = {}
        self._meant: dict[str, set[str]] = {}

    def add(self, place: str, sentence: str) -> None:
        """Add a sentence about a key, unless there is one about it or a table around it."""
        if not self.has(place):
            sentence = re.sub(r"(?<!['\w])(True|False)(?!['\w])", lambda word: word[0].lower(), sentence)
            self._found[place] = f"{place}: {sentence}" if place else sentence

    def has(self, place: str) -> bool:
        """Return whether there is a sentence about a key or a table around it."""
        return any(place == wrong or place.startswith((f"{wrong}.", f"{wrong}[")) for wrong in self._found)

    def is_below(self, place: str) -> bool:
        """Return whether there is a sentence about a table, or a key in it."""
        return self.has(place) or any(wrong.startswith((f"{place}.", f"{place}[")) for wrong in self._found)

    def mean(self, place: str, key: str) -> None:
        """Note that a table was to have this key: what its absence leads to is no mistake of its own."""
        self._meant.setdefault(place, set()).add(key)

    def meant(self, place: str) -> set[str]:
        """Return the keys of a table that are wrong or misspelt."""
        own = {wrong.removeprefix(f"{place}.") for wrong in self._found if wrong.startswith(f"{place}.")}
        return own | self._meant.get(place, set())

    def sentences(self, sections: Iterable[str]) -> list[str]:
        """Return all sentences, in the order of these sections; those about others come first."""
        order = {name: i for i, name in enumerate(sections)}
        section = lambda place: order.get(re.split(r"[.\[:]", place)[0], -1)  # noqa: E731
        return [self._found[place] for place in sorted(self._found, key=section)]


def attempt(
    problems: Problems, place: str, make: Callable[..., Any], options: Mapping[str, Any], *arguments: Any, **given: Any
) -> Any:
    """Return make(*arguments, **given | options), and add a sentence for every wrong option.

    An option that is refused is left out of the next try, so that all of them are told. A sentence that mentions a
    wrong option only follows from it, and is not told.

    Returns:
        The result without the wrong options; None if there is none without them.
    """
    rest = dict(options)
    while True:
        try:
            inspect.signature(make).bind(*arguments, **given | rest)
        except TypeError:  # a required option is missing, which has been told
            return None
        try:
            return make(*arguments, **given | rest)
        except (IndexError, TypeError, ValueError) as error:
            name, _, sentence = str(error).partition(": ")
            others = problems.meant(place) - {name}
            if not any(re.search(rf"\b{re.escape(wrong)}\b", sentence) for wrong in others):
                problems.add(f"{place}.{name}".removesuffix("."), sentence)
            key = re.match(r"\w*", name)
            if key is None or key[0] not in rest:
                return None
            del rest[key[0]]
