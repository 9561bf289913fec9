"""Request parameters as Stripe takes them: form-encoded, nested in brackets, every unknown name refused."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from sandbox.stripe.refusals import Refusal

METADATA_KEYS: Final = 50
METADATA_NAME: Final = 40
METADATA_VALUE: Final = 500
TEXT: Final = 5000
_NAME: Final = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_INTEGER: Final = re.compile(r"-?[0-9]{1,18}")

Nested = dict[str, Any]


def nested(pairs: Iterable[tuple[str, str]]) -> Nested:
    """``a[b][0]=c`` as ``{"a": {"b": {"0": "c"}}}``: a list is a mapping of indices; ``a[]`` is the next one.

    Raises ``Refusal`` for a name that is not of this form or is both a value and a group.
    """
    root: Nested = {}
    for name, value in pairs:
        found = _NAME.fullmatch(name)
        if not found:
            raise Refusal(f"The parameter name {name!r} has brackets that do not match", param=name)
        path = [found[1], *re.findall(r"\[([^\[\]]*)\]", found[2])]
        place = root
        for part in path[:-1]:
            place = place.setdefault(part or str(len(place)), {})
            if not isinstance(place, dict):
                raise Refusal(f"{name} is used both as a value and as a group", param=name)
        last = path[-1] or str(len(place))
        if isinstance(place.get(last), dict):
            raise Refusal(f"{name} is used both as a value and as a group", param=name)
        place[last] = value
    return root


class Form:
    """The parameters of one request, read by name; ``finish`` refuses those that nobody asked for."""

    def __init__(self, values: Mapping[str, Any], prefix: str = "") -> None:
        self._values = values
        self._prefix = prefix
        self._read: set[str] = set()
        self._groups: list[Form] = []

    def __contains__(self, name: str) -> bool:
        return name in self._values

    @property
    def values(self) -> Mapping[str, Any]:
        """What was given, as it came."""
        return self._values

    def path(self, name: str) -> str:
        """The parameter as the caller wrote it, such as ``card[number]``."""
        return f"{self._prefix}[{name}]" if self._prefix else name

    def text(self, name: str, *, longest: int = TEXT) -> str | None:
        """A string; an empty one is None, which is how Stripe unsets a field."""
        value = self._take(name)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            raise self._invalid(name, "must be a string", "parameter_invalid_string")
        if len(value) > longest:
            raise self._invalid(
                name, f"has more than {longest} characters", "parameter_invalid_string_too_long"
            )
        return value

    def required(self, name: str, *, longest: int = TEXT) -> str:
        """A string that must be there."""
        value = self.text(name, longest=longest)
        if value is None:
            empty = name in self._values
            code = "parameter_invalid_empty" if empty else "parameter_missing"
            raise Refusal(
                f"{'Empty' if empty else 'Missing'} required param: {self.path(name)}",
                code=code,
                param=self.path(name),
            )
        return value

    def integer(self, name: str, *, least: int | None = None, most: int | None = None) -> int | None:
        """A whole number; an amount is in the currency's smallest unit."""
        value = self.text(name)
        if value is None:
            return None
        if not _INTEGER.fullmatch(value):
            raise self._invalid(name, f"is no integer: {value}", "parameter_invalid_integer")
        number = int(value)
        if (least is not None and number < least) or (most is not None and number > most):
            limits = f"at least {least}" if most is None else f"between {least} and {most}"
            raise self._invalid(name, f"must be {limits}", "parameter_invalid_integer")
        return number

    def boolean(self, name: str) -> bool | None:
        """``true`` or ``false``."""
        value = self.text(name)
        if value is None:
            return None
        if value not in {"true", "false"}:
            raise self._invalid(name, "must be true or false", None)
        return value == "true"

    def choice(self, name: str, allowed: Sequence[str]) -> str | None:
        """One of the values allowed."""
        value = self.text(name)
        if value is not None and value not in allowed:
            raise self._invalid(name, f"must be one of {', '.join(allowed)}", None)
        return value

    def strings(self, name: str) -> list[str]:
        """A list of strings, in the order of its indices."""
        return [value for value in self._items(name) if isinstance(value, str) and value]

    def groups(self, name: str) -> list["Form"]:
        """A list of groups of parameters."""
        items = self._items(name)
        path = self.path(name)
        return [self._group(f"{path}[{at}]", item) for at, item in enumerate(items) if isinstance(item, dict)]

    def group(self, name: str) -> "Form | None":
        """A group of parameters, or None when nothing of it was given."""
        value = self._take(name)
        if value is None or value == "":
            return None
        if not isinstance(value, dict):
            raise self._invalid(name, "must be a group of parameters", "parameter_invalid_string")
        return self._group(self.path(name), value)

    def metadata(self, name: str = "metadata") -> dict[str, str] | None:
        """Up to 50 pairs of strings of the caller's own; None when there is no such parameter."""
        value = self._take(name)
        if value is None:
            return None
        pairs = value if isinstance(value, dict) else {}
        if len(pairs) > METADATA_KEYS:
            raise self._invalid(name, f"has more than {METADATA_KEYS} keys", None)
        for key, text in pairs.items():
            if not isinstance(text, str) or len(key) > METADATA_NAME or len(text) > METADATA_VALUE:
                limits = f"takes keys of {METADATA_NAME} and values of {METADATA_VALUE} characters"
                raise self._invalid(name, limits, None)
        return dict(pairs)

    def anything(self, name: str) -> Any:
        """A parameter that is accepted and not looked into."""
        return self._take(name)

    def finish(self) -> None:
        """Refuse what was not read. Raises ``Refusal`` with code ``parameter_unknown``."""
        for name in self._values:
            if name not in self._read:
                raise Refusal(
                    f"Received unknown parameter: {self.path(name)}",
                    code="parameter_unknown",
                    param=self.path(name),
                )
        for group in self._groups:
            group.finish()

    def _take(self, name: str) -> Any:
        self._read.add(name)
        return self._values.get(name)

    def _items(self, name: str) -> list[Any]:
        value = self._take(name)
        if value is None or value == "":
            return []
        if not isinstance(value, dict) or not all(index.isdecimal() for index in value):
            raise self._invalid(name, "must be a list", "parameter_invalid_string")
        return [value[index] for index in sorted(value, key=int)]

    def _group(self, path: str, values: Mapping[str, Any]) -> "Form":
        group = Form(values, path)
        self._groups.append(group)
        return group

    def _invalid(self, name: str, why: str, code: str | None) -> Refusal:
        return Refusal(f"The parameter {self.path(name)} {why}", code=code, param=self.path(name))


def merged(old: Mapping[str, str], new: Mapping[str, str] | None) -> dict[str, str]:
    """Metadata after an update: an empty value removes its key."""
    return {key: value for key, value in {**old, **(new or {})}.items() if value != ""}


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """The parameters as sorted pairs, for comparing one request with another."""
    for name in sorted(values):
        path = f"{prefix}[{name}]" if prefix else name
        if isinstance(values[name], dict):
            yield from flat(values[name], path)
        else:
            yield path, values[name]
