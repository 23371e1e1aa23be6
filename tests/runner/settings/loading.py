"""Loads settings from text and variables, away from the machine's own."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from registry.base.values import Json
from runner.settings import Settings, SettingsInvalid, load


def loaded(
    folder: Path,
    text: str = "",
    environment: Mapping[str, str] | None = None,
    overrides: Mapping[str, Json] | None = None,
    host_name: str = "",
) -> Settings:
    """The settings of a `saga.yml` that says `text`; without a text there is no file."""
    if text:
        (folder / "saga.yml").write_text(text, encoding="utf-8")
    return load(environment=environment or {}, overrides=overrides, folder=folder, host_name=host_name)


def sentences(
    folder: Path,
    text: str = "",
    environment: Mapping[str, str] | None = None,
    overrides: Mapping[str, Json] | None = None,
    host_name: str = "",
) -> list[str]:
    """What is wrong with the settings, which must be something."""
    with pytest.raises(SettingsInvalid) as caught:
        loaded(folder, text, environment, overrides, host_name)
    return list(caught.value.sentences)
