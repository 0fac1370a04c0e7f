"""PyPI's torchvision cannot load its operators beside a CPU build of torch, and packages that use none import it."""

from __future__ import annotations

import torch

KEPT: list[torch.library.Library] = []
"""Declared operators, for as long as the process lives."""


def declare() -> list[str]:
    """Declare the two operators without which torchvision does not import, where they are missing; what was done."""
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        KEPT.append(torch.library.Library("torchvision", "DEF"))
        for operator in ("nms", "qnms"):
            KEPT[0].define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return ["two operators of torchvision, which are not used, did not load: declared so that it imports"]
    return []
