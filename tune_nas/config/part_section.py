"""Base of the sections of a trial that name a part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import model_validator

from tune_nas import manifest
from tune_nas.config.options.option_keys import with_options_as_keys
from tune_nas.config.options.option_models import NAMED_PARTS
from tune_nas.config.section import Section, with_current_names
from tune_nas.text import brief


class PartSection(Section):
    """Base of the sections that name a part and hold its options.

    ``options: {…}`` of a shipped part is another spelling of the keys that hold them.

    Attributes:
        section: The dotted name of the section.
    """

    section: ClassVar[str]

    @model_validator(mode="before")
    @classmethod
    def _options_as_keys(cls, content: object) -> object:
        return cls.with_options_as_keys(content) if isinstance(content, Mapping) else content

    @classmethod
    def with_options_as_keys(cls, content: Mapping[str, object]) -> dict[str, object]:
        """Return the content of the section with the options of a shipped part as keys.

        Raises:
            ValueError: If the part has no such option, or a key and an option give different
                values.
        """
        current = with_current_names(cls, content)
        parts, name = NAMED_PARTS[cls.section], cls.name_of_part(current)
        own = with_options_as_keys(parts, name, current)
        if "options" in own and "options" not in cls.model_fields:
            raise ValueError(
                f"{cls.section}.options is given, but {cls.section}.{parts.named_by} "
                f"'{brief(name)}' has no options; a custom one reads the keys of {cls.section}"
            )
        return own

    @classmethod
    def name_of_part(cls, content: Mapping[str, object]) -> str:
        """Return the name of the part in the content of a section, the default if there is none."""
        parts = NAMED_PARTS[cls.section]
        name = content.get(parts.named_by, cls.model_fields[parts.named_by].default)
        return manifest.short_name(parts.kind, str(name))
