"""A section of a recipe: strict, frozen, and written out without what is not there."""

from typing import Any

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer


class Strict(BaseModel):
    """A section that knows its keys, and cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_serializer(mode="wrap")
    def _written(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in write(self).items() if self._is_written(key, value)}

    def _is_written(self, key: str, value: Any) -> bool:
        """Tells whether a value is written out: what is not there, and would not be by default, is left out."""
        return value is not None or type(self).model_fields[key].default is not None
