"""A section of a recipe: strict, frozen, and written out without what is not there."""

from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
)
from pydantic_core import PydanticCustomError


class Strict(BaseModel):
    """A section that knows its keys, and cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _is_no_boolean(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuses true and false where a number is expected: for Python they are 1 and 0."""
        kinds = _kinds(cls.model_fields[str(info.field_name)].annotation)
        parts = value if isinstance(value, list | tuple) else [value]
        if kinds & {int, float} and bool not in kinds and any(isinstance(part, bool) for part in parts):
            kind = "int_type" if int in kinds else "float_type"
            raise PydanticCustomError(kind, "Input should be a number")
        return value

    @model_serializer(mode="wrap")
    def _written(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in write(self).items() if self._is_written(key, value)}

    def _is_written(self, key: str, value: Any) -> bool:
        """Tells whether a value is written out: what is not there, and would not be by default, is left out."""
        return value is not None or type(self).model_fields[key].default is not None


def _kinds(annotation: Any) -> set[Any]:
    """All classes that an annotation names, however deep."""
    inner = getattr(annotation, "__args__", ())
    return {annotation} if not inner else set().union(*map(_kinds, inner))
