"""Grounding DINO made quicker, in place: text read once, leaner products, no compiled operator needed."""

import functools
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fishlib.zoo.quiet import quiet

with quiet():
    import groundingdino.models.GroundingDINO.ms_deform_attn as deformable
    from groundingdino.models.GroundingDINO.fuse_modules import BiMultiHeadAttention


class OnceBert(nn.Module):
    """Remembers BERT's answer: the prompt is the same for every photo of a run."""

    def __init__(self, bert: nn.Module):
        super().__init__()
        self.bert = bert
        self.known = {}

    def forward(self, **tokens):
        ids = tokens["input_ids"]
        key = (str(ids.device), str(ids.tolist()))
        if key not in self.known:
            self.known[key] = self.bert(**tokens)
        return self.known[key]


class LeanFusion(BiMultiHeadAttention):
    """The text-image attention with its products reordered: the same sums, much less work.

    A prompt has a handful of tokens, so its side is projected onto the picture's channels instead of all the
    picture's positions onto the attention's. Left out: the clamps at 50000, which guard fp16.
    """

    def forward(self, v: Tensor, l: Tensor, attention_mask_v=None, attention_mask_l=None):  # noqa: E741
        """v (b, n, C) of the picture, l (b, t, C') of the text -> both attended; masks (b, n), (b, t), True: padding.

        In the comments h heads of d channels each; C channels of the picture, all written c below.
        """
        batch, tokens, _ = l.shape
        heads, channels = self.num_heads, self.head_dim

        key = self.l_proj(l).view(batch, tokens, heads, channels)
        query = torch.einsum("bthd,hdc->bhtc", key, self.v_proj.weight.view(heads, channels, -1))
        offset = torch.einsum("bthd,hd->bht", key, self.v_proj.bias.view(heads, channels))
        scores = (torch.einsum("bhtc,bnc->bhtn", query, v) + offset[..., None]) * self.scale

        to_text = to_image = scores
        if attention_mask_v is not None:
            to_text = scores.masked_fill(attention_mask_v[:, None, None, :], -torch.inf)
        if attention_mask_l is not None:
            to_image = scores.masked_fill(attention_mask_l[:, None, :, None], -torch.inf)

        value = self.values_l_proj(l).view(batch, tokens, heads, channels)
        value = torch.einsum("bthd,chd->bhtc", value, self.out_v_proj.weight.view(-1, heads, channels))
        image = torch.einsum("bhtn,bhtc->bnc", to_image.softmax(2), value) + self.out_v_proj.bias

        seen = torch.einsum("bhtn,bnc->bhtc", to_text.softmax(-1), v)
        text = torch.einsum("bhtc,hdc->bthd", seen, self.values_v_proj.weight.view(heads, channels, -1))
        text = text.reshape(batch, tokens, heads * channels)
        return image, self.out_l_proj(text + self.values_v_proj.bias)


def gathered(value: Tensor, shapes: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    """The package's multi_scale_deformable_attn_pytorch as one weighted sum of rows: equal to rounding.

    value (b, S, h, c), the levels one after the other; shapes (L, 2) their height and width; locations (b, q, h, L,
    p, 2) as x, y in 0..1; weights (b, q, h, L, p). Answers (b, q, h * c), on the CPU. Each point is its four
    neighbours' bilinear mean, 0 outside; a row of c numbers is read whole where grid_sample jumps between channels.
    """
    b, s, h, c = value.shape
    rows, factors = [], []  # each (b, q, h, p): which row of a level, and its part of the sum
    first = 0
    for level, (height, width) in enumerate(shapes.tolist()):
        xs = neighbours(locations[..., level, :, 0] * width - 0.5, width)
        ys = neighbours(locations[..., level, :, 1] * height - 0.5, height)
        for y, down in ys:
            down = down * weights[..., level, :]
            for x, along in xs:
                rows.append(y * width + x + first)
                factors.append(along * down)
        first += height * width
    rows = torch.cat(rows, -1).int()  # (b, q, h, 4 * L * p)
    factors = torch.cat(factors, -1)

    photo = torch.arange(b, dtype=torch.int32).view(b, 1, 1, 1)
    head = torch.arange(h, dtype=torch.int32).view(h, 1)
    rows = rows * h + photo * (s * h) + head  # of value as (b * s * h, c)

    table = value.reshape(b * s * h, c)
    sums = F.embedding_bag(rows.flatten(0, 2), table, per_sample_weights=factors.flatten(0, 2), mode="sum")
    return sums.view(b, -1, h * c)


def neighbours(at: Tensor, n: int) -> list[tuple[Tensor, Tensor]]:
    """The two whole positions round `at` on an axis of n, as floats kept inside it, and their shares (0 outside)."""
    low = at.floor()
    found = []
    for position, share in ((low, 1 - at + low), (low + 1, at - low)):
        inside = position.clamp(0, n - 1)
        found.append((inside, share * (inside == position)))
    return found


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
        kind = type(module)
        if (lean or bf16) and kind in LEAN:
            module.__class__ = LEAN[kind]
        elif bf16 and kind.__name__ == "Mlp":
            module.forward = in_bf16(module.forward)
        elif bf16 and kind.__name__ == "DeformableTransformerEncoderLayer":
            module.forward_ffn = in_bf16(module.forward_ffn)
    return model.to(device).eval()
