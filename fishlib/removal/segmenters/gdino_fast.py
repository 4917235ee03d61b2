"""Grounding DINO made quicker, in place: text read once, leaner products, no compiled operator needed."""

import functools
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fishlib.removal.segmenters import common

with common.quiet():
    import groundingdino.models.GroundingDINO.ms_deform_attn as deformable
    from groundingdino.models.GroundingDINO.fuse_modules import BiMultiHeadAttention


class OnceBert(nn.Module):
    """Remembers BERT's answer: the prompt is the same for every photo of a run."""

    def __init__(self, bert: nn.Module):
        super().__init__()
        self.bert, self.known = bert, {}

    def forward(self, **tokens):
        key = (str(tokens["input_ids"].device), str(tokens["input_ids"].tolist()))
        if key not in self.known:
            self.known[key] = self.bert(**tokens)
        return self.known[key]


class LeanFusion(BiMultiHeadAttention):
    """The text-image attention with its products reordered: the same sums, much less work.

    A prompt has a handful of tokens, so its side is projected onto the picture's channels instead of all the
    picture's positions onto the attention's. Left out: the clamps at 50000, which guard fp16.
    """

    def forward(self, v: Tensor, l: Tensor, attention_mask_v=None, attention_mask_l=None):  # noqa: E741
        b, t, _ = l.shape
        h, d = self.num_heads, self.head_dim
        key = self.l_proj(l).view(b, t, h, d)
        query = torch.einsum("bthd,hdc->bhtc", key, self.v_proj.weight.view(h, d, -1))
        offset = torch.einsum("bthd,hd->bht", key, self.v_proj.bias.view(h, d))
        scores = (torch.einsum("bhtc,bnc->bhtn", query, v) + offset[..., None]) * self.scale
        to_text = to_image = scores
        if attention_mask_v is not None:
            to_text = scores.masked_fill(attention_mask_v[:, None, None, :], -torch.inf)
        if attention_mask_l is not None:
            to_image = scores.masked_fill(attention_mask_l[:, None, :, None], -torch.inf)
        value = self.values_l_proj(l).view(b, t, h, d)
        value = torch.einsum("bthd,chd->bhtc", value, self.out_v_proj.weight.view(-1, h, d))
        image = torch.einsum("bhtn,bhtc->bnc", to_image.softmax(2), value) + self.out_v_proj.bias
        seen = torch.einsum("bhtn,bnc->bhtc", to_text.softmax(-1), v)
        text = torch.einsum("bhtc,hdc->bthd", seen, self.values_v_proj.weight.view(h, d, -1)).reshape(b, t, h * d)
        return image, self.out_l_proj(text + self.values_v_proj.bias)


def gathered(value: Tensor, shapes: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    """The package's multi_scale_deformable_attn_pytorch as one weighted sum of rows: equal to rounding.

    value (b, S, h, c), the levels one after the other; shapes (L, 2) their height and width; locations (b, q, h, L,
    p, 2) as x, y in 0..1; weights (b, q, h, L, p). Answers (b, q, h * c), on the CPU. Each point is its four
    neighbours' bilinear mean, 0 outside; a row of c numbers is read whole where grid_sample jumps between channels.
    """
    b, s, h, c = value.shape
    rows, factors, first = [], [], 0
    for level, (height, width) in enumerate(shapes.tolist()):
        xs, ys = (
            neighbours(locations[..., level, :, axis] * n - 0.5, n) for axis, n in enumerate((width, height))
        )  # ((position, share) of the nearer to 0, of the farther), each (b, q, h, p)
        for y, down in ys:
            down = down * weights[..., level, :]
            for x, along in xs:
                rows.append(y * width + x + first)
                factors.append(along * down)
        first += height * width
    rows, factors = torch.cat(rows, -1).int(), torch.cat(factors, -1).flatten(0, 2)  # (b, q, h, 4 * L * p)
    photo, head = (torch.arange(n, dtype=torch.int32) for n in (b, h))
    rows = (rows * h + (photo.view(b, 1, 1, 1) * (s * h) + head.view(h, 1))).flatten(0, 2)
    bags = F.embedding_bag(rows, value.reshape(b * s * h, c), per_sample_weights=factors, mode="sum")
    return bags.view(b, -1, h * c)


def neighbours(at: Tensor, n: int) -> list[tuple[Tensor, Tensor]]:
    """The two whole positions round `at` on an axis of n, as floats kept inside it, and their shares (0 outside)."""
    low = at.floor()
    sides = ((low, 1 - at + low), (low + 1, at - low))
    return [(i.clamp(0, n - 1), share * (i.clamp(0, n - 1) == i)) for i, share in sides]


class LeanDeformable(deformable.MultiScaleDeformableAttention):
    """Deformable attention through `gathered` on a CPU; elsewhere as it is."""

    def forward(self, query: Tensor, *args, **kwargs) -> Tensor:
        if query.device.type != "cpu":
            return super().forward(query, *args, **kwargs)
        with patch.object(deformable, "multi_scale_deformable_attn_pytorch", gathered):
            return super().forward(query, *args, **kwargs)


LEAN = {BiMultiHeadAttention: LeanFusion, deformable.MultiScaleDeformableAttention: LeanDeformable}


def without_compiled_operator(module=deformable) -> None:
    """Where deformable attention wants a compiled `_C` that is missing, give it the PyTorch function.

    groundingdino-py 0.4.0 always takes that one; the original repository looks for `_C` on CUDA tensors.
    """
    function = getattr(module, "MultiScaleDeformableAttnFunction", None)
    if function is not None and getattr(module, "_C", None) is None:

        def apply(value, shapes, starts, locations, weights, step):
            return module.multi_scale_deformable_attn_pytorch(value, shapes, locations, weights)

        function.apply = staticmethod(apply)


def in_bf16(function):
    """The function with its matrix products in bf16; it answers in fp32."""

    @functools.wraps(function)
    def run(x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, torch.bfloat16):
            return function(x).float()

    return run


def prepare(model: nn.Module, device: str = "cpu", bf16: bool = False, lean: bool = False) -> nn.Module:
    """In place: the text read once, no `_C` needed, no number changed. With lean also the attentions above, equal to
    rounding; with bf16 (it implies lean) bf16 in the feed-forward halves of Swin's blocks and the encoder's layers."""
    without_compiled_operator()
    if not isinstance(model.bert, OnceBert):
        model.bert = OnceBert(model.bert)
    for module in model.modules():
        if type(module) in LEAN and (lean or bf16):
            module.__class__ = LEAN[type(module)]
        elif type(module).__name__ == "Mlp" and bf16:
            module.forward = in_bf16(module.forward)
        elif type(module).__name__ == "DeformableTransformerEncoderLayer" and bf16:
            module.forward_ffn = in_bf16(module.forward_ffn)
    return model.to(device).eval()
