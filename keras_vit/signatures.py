"""Functions that take the fields of a record, and show them."""

import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

Fields = ParamSpec("Fields")
Result = TypeVar("Result")


def with_fields_of(
    record: Callable[Fields, Any],
) -> Callable[[Callable[..., Result]], Callable[Fields, Result]]:
    """Decorator: `**options` of a function are the fields of a record.

    `help`, editors and type checkers then show them, with their types and defaults.

    Args:
        record: dataclass with keyword fields.
    """

    def decorate(function: Callable[..., Result]) -> Callable[Fields, Result]:
        returned = inspect.signature(function).return_annotation
        shown = inspect.signature(record).replace(return_annotation=returned)
        function.__signature__ = shown  # type: ignore[attr-defined]
        return function

    return decorate
