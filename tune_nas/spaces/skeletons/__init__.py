"""Skeletons: how cells are stacked into a network."""

from __future__ import annotations

from collections.abc import Mapping

from tune_nas.spaces.skeletons.imagenet import ImageNet
from tune_nas.spaces.skeletons.position import Position
from tune_nas.spaces.skeletons.skeleton import Skeleton
from tune_nas.spaces.skeletons.thirds import Thirds
from tune_nas.spaces.skeletons.three_stages import Stages

__all__ = ["SKELETONS", "Position", "Skeleton"]

SKELETONS: Mapping[str, Skeleton] = {each.name: each for each in (Thirds(), Stages(), ImageNet())}
"""The skeletons by the value of ``skeleton.layout``."""
