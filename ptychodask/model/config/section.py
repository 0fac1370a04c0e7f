"""What the sections of a job have in common."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, model_validator

from ..._arguments import python


class Section(BaseModel):
    """Options that go together; frozen, and what is not known is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _nones(cls, values: Any) -> Any:
        """An option that can be unset reads ``none`` in text, because TOML knows no null."""
        if not isinstance(values, dict):
            return values
        unset = {name for name, field in cls.model_fields.items() if type(None) in get_args(field.annotation)}
        return {name: None if value == "none" and name in unset else value for name, value in values.items()}

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, values: Any) -> Any:
        """NumPy's numbers, arrays and paths as text would say them; a truth value is no number."""
        values = python(values)
        for name, value in values.items() if isinstance(values, dict) else ():
            field = cls.model_fields.get(name)
            if isinstance(value, bool) and field is not None and field.annotation is not bool:
                section = cls.__name__.removesuffix("Config").lower()
                raise ValueError(f"{section}.{name} = {value}: it is no option that is on or off")
        return values
