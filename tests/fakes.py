"""Reduced fakes of the public checkpoint files: the same names, kinds and quirks, random weights, narrow layers."""

from pathlib import Path

import timm
import torch
from safetensors.torch import save_file

SWIN_T = "swin_tiny_patch4_window7_224"
NARROW_SWIN = {"embed_dim": 24, "num_heads": (1, 2, 4, 8)}  # of 96 and (3, 6, 12, 24): a sixteenth of the weights


def narrow(monkeypatch) -> None:
    """timm builds Swin-T with narrow layers from here on: what fits the fakes."""
    whole = timm.create_model

    def create_model(name, **options):
        return whole(name, **(NARROW_SWIN | options if name == SWIN_T else options))

    monkeypatch.setattr(timm, "create_model", create_model)


def swin_t_state(classes: int = 1000, seed: int = 0) -> dict[str, torch.Tensor]:
    """timm's names of Swin-T's layers, and the 17 buffers beside them that its published file holds."""
    torch.manual_seed(seed)
    model = timm.create_model(SWIN_T, pretrained=False, num_classes=classes, **NARROW_SWIN)
    state = model.state_dict()
    for name, value in state.items():
        if name.endswith("relative_position_bias_table"):
            state[name] = torch.randn(value.shape)  # near 0 at first: nothing would hang on the indices
    buffers = {name: value for name, value in model.named_buffers() if name not in state}
    assert len(buffers) == 17 and all(name.endswith(("attn_mask", "relative_position_index")) for name in buffers)
    return state | buffers


def swin_t(path: Path, classes: int = 1000) -> Path:
    """model.safetensors of swin_tiny_patch4_window7_224.ms_in1k as it is published."""
    save_file(swin_t_state(classes), path, {"format": "pt"})
    return path


def hugging_face_swin(folder: Path) -> Path:
    """A folder as transformers' save_pretrained leaves it; its model.safetensors has transformers' names."""
    from transformers import SwinConfig, SwinForImageClassification, ViTImageProcessor

    torch.manual_seed(0)
    config = SwinConfig(embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 1, 1], num_labels=3)
    SwinForImageClassification(config).save_pretrained(folder)
    ViTImageProcessor().save_pretrained(folder)
    return folder
