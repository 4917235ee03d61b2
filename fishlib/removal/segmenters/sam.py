"""Segment Anything, for GDINO-SAM and SAM-CLIP: an exact but faster image encoder, many boxes in one call."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from segment_anything import sam_model_registry
from segment_anything.modeling import Sam
from segment_anything.modeling.image_encoder import Attention, get_rel_pos
from segment_anything.utils.transforms import ResizeLongestSide
from torch import Tensor, nn
from torch.nn import functional as F

from fishlib import zoo
from fishlib.device import choose_device
from fishlib.errors import NotRun
from fishlib.removal.segmenters import checkpoints, common

WIDTHS = {768: "vit_b", 1024: "vit_l", 1280: "vit_h"}  # embedding dimension -> segment-anything's builder
BIAS_BLOCK = 1 << 21  # numbers of relative position held at once: 8 MB in fp32, which stays in a CPU's cache
PROMPTS_AT_ONCE = 64  # SamAutomaticMaskGenerator's points_per_batch; more boxes than that go in turns


class BlockAttention(Attention):
    """SAM's attention by fused kernels: the same parameters and, to rounding, the same output.

    The original adds the relative positions to a whole (HW, HW) matrix a head. Here they are laid out for
    some queries at a time and given to scaled_dot_product_attention as its bias, so that nothing large leaves
    the cache. (Queries extended by their terms and keys by one-hot positions need no bias, but triple the
    dot products: 0.83 s against 0.34 s for a global layer of ViT-B on two cores.)

    In bf16 on a CPU the same is written out, scores, softmax and sum: the fused kernel turns a bias of bf16 to fp32
    number by number (0.53 s against 0.27 s for that layer; in fp32 it is the faster, 0.45 s against 0.50 s).
    """

    def forward(self, x: Tensor) -> Tensor:
        """x (B, h, w, C) -> the same shape; a row of attention is one head of one picture or window."""
        b, h, w, _ = x.shape
        heads, tokens = b * self.num_heads, h * w
        qkv = self.qkv(x).reshape(b, tokens, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.reshape(3, heads, tokens, -1).contiguous().unbind(0)  # (heads, tokens, C / num_heads) each

        row_offsets = get_rel_pos(h, h, self.rel_pos_h).to(q.dtype)
        column_offsets = get_rel_pos(w, w, self.rel_pos_w).to(q.dtype)
        grid = q.view(heads, h, w, -1)
        by_row = torch.einsum("nhwc,hkc->nhwk", grid, row_offsets).flatten(1, 2)  # (heads, tokens, h)
        by_column = torch.einsum("nhwc,wkc->nhwk", grid, column_offsets).flatten(1, 2)  # (heads, tokens, w)

        written_out = q.dtype == torch.bfloat16 and q.device.type == "cpu"
        attend = self.attend_written_out if written_out else self.attend_fused
        held = BIAS_BLOCK // 2 if written_out else BIAS_BLOCK  # scores and their softmax are there at once
        out = torch.empty_like(q)
        for at in blocks(heads, tokens, held):
            these = at[0]
            out[at] = attend(q[at], k[these], v[these], by_row[at], by_column[at])
        return self.proj(out.view(b, self.num_heads, tokens, -1).transpose(1, 2).reshape(b, h, w, -1))

    def attend_fused(self, q: Tensor, k: Tensor, v: Tensor, by_row: Tensor, by_column: Tensor) -> Tensor:
        """q (n, queries, c); k, v (n, tokens, c); by_row (n, queries, h), by_column (n, queries, w) -> as q."""
        bias = (by_row[..., None] + by_column[..., None, :]).flatten(2)  # (n, queries, tokens)
        out = F.scaled_dot_product_attention(q[None], k[None], v[None], bias[None], scale=self.scale)
        return out[0]

    def attend_written_out(self, q: Tensor, k: Tensor, v: Tensor, by_row: Tensor, by_column: Tensor) -> Tensor:
        """As attend_fused, for bf16 on a CPU."""
        with torch.autocast("cpu", enabled=False):  # which would take the softmax to fp32 and back
            scores = torch.bmm(self.scale * q, k.mT)  # (n, queries, tokens)
            grid = scores.view(*scores.shape[:2], by_row.shape[-1], by_column.shape[-1])
            grid += by_row[..., None]
            grid += by_column[..., None, :]
            return torch.bmm(scores.softmax(-1), v)


def blocks(heads: int, tokens: int, held: int) -> Iterator[tuple[slice, slice]]:
    """(which heads, which of their queries) in turn, so that about `held` scores of a query and a key are there."""
    heads_at_once = max(1, held // tokens**2)
    queries_at_once = max(1, held // tokens)
    for i in range(0, heads, heads_at_once):
        for j in range(0, tokens, queries_at_once):
            yield slice(i, i + heads_at_once), slice(j, j + queries_at_once)


class Encoder(nn.Module):
    """An image encoder run in bf16 where asked; it answers in fp32, so that SamPredictor works too."""

    def __init__(self, inner: nn.Module, bf16: bool):
        super().__init__()
        self.inner, self.bf16, self.img_size = inner, bf16, inner.img_size

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.bf16):
            return self.inner(x).float()


class Encoded(NamedTuple):
    """A photo SAM has seen: features (1, C, h, w); (height, width) of the photo and of its resized copy."""

    features: Tensor
    photo_size: tuple[int, int]
    input_size: tuple[int, int]


def prepare(sam: Sam, device: str = "cpu", bf16: bool = False) -> Sam:
    """The same model, in place, with BlockAttention and an Encoder; twice does no harm."""
    inner = getattr(sam.image_encoder, "inner", sam.image_encoder)
    for module in inner.modules():
        if type(module) is Attention and module.use_rel_pos:
            module.__class__ = BlockAttention
    sam.image_encoder = Encoder(inner, bf16)
    return sam.to(device).eval()


def load(spec: str, device: str = "cpu", offline: bool = True, dtype: str = "auto") -> Sam:
    """A prepared Sam. spec: "zoo", "vit_b", "vit_l", "vit_h" or a .pth or .safetensors file of one of these.

    The weights stay mapped from the file, so that they are in memory once. Raises NotRun when the file is missing or
    holds something else.
    """
    bf16 = common.wants_bf16(dtype, device, spec)
    path = checkpoints.locate("sam", spec, offline)
    device = choose_device(device)
    if path is None:
        return prepare(zoo.load("sam"), device, bf16)

    state = checkpoints.read(path)
    patches = state.get("image_encoder.patch_embed.proj.weight")
    width = None if patches is None or not patches.ndim else patches.shape[0]
    if width not in WIDTHS:
        raise NotRun(f"{path} holds no Segment Anything ViT-B, ViT-L or ViT-H; fetch sam_vit_b, for one.")

    with torch.device("meta"):  # no memory and no random numbers for weights that come from the file
        model = sam_model_registry[WIDTHS[width]]()
    try:
        checkpoints.put(state, model)
    except RuntimeError as error:
        raise NotRun(f"{path} lacks weights of Segment Anything {WIDTHS[width]}; fetch it again.") from error
    return prepare(model, device, bf16)


@torch.no_grad()
def encode(sam: Sam, images: list[np.ndarray]) -> list[Encoded]:
    """images: uint8 (H, W, 3) RGB, any sizes; resized and padded as SamPredictor does, one pass for all."""
    resize = ResizeLongestSide(sam.image_encoder.img_size)
    resized = [torch.as_tensor(resize.apply_image(image)).permute(2, 0, 1).to(sam.device) for image in images]
    features = sam.image_encoder(torch.stack([sam.preprocess(x) for x in resized]))  # (n, C, h, w)
    return [
        Encoded(features[i : i + 1], photo_size=image.shape[:2], input_size=tuple(x.shape[1:]))
        for i, (image, x) in enumerate(zip(images, resized, strict=True))
    ]


@torch.no_grad()
def decode(sam: Sam, photo: Encoded, boxes: np.ndarray, multimask: bool = True) -> tuple[Tensor, Tensor]:
    """boxes (n, 4) XYXY in pixels of the photo -> logits fp32 (n, m, L, L) of the padded square and SAM's
    predicted IoU (n, m); m = 3 with multimask, else 1. All boxes share one decoder call (64 at a time)."""
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    prompts = ResizeLongestSide(sam.image_encoder.img_size).apply_boxes(boxes, photo.photo_size)
    prompts = torch.as_tensor(prompts, dtype=torch.float32, device=sam.device)
    position = sam.prompt_encoder.get_dense_pe()

    logits, ious = [], []
    for some in prompts.split(PROMPTS_AT_ONCE):
        sparse, dense = sam.prompt_encoder(points=None, boxes=some, masks=None)
        masks, estimates = sam.mask_decoder(photo.features, position, sparse, dense, multimask)
        logits.append(masks)
        ious.append(estimates)
    return torch.cat(logits).float(), torch.cat(ious).float()


@torch.no_grad()
def upscale(sam: Sam, photo: Encoded, logits: Tensor) -> np.ndarray:
    """Logits (n, L, L) as decoded -> float32 (n, H, W) at the photo's size; the mask is what is above 0."""
    return sam.postprocess_masks(logits[None], photo.input_size, photo.photo_size)[0].cpu().numpy()


def uncovered(sam: Sam, photo: Encoded, logits: Tensor) -> np.ndarray:
    """The part of decoded logits (n, L, L) that shows the photo and not its padding: float32 (n, h, w).

    Small, so that scoring dozens of candidates costs little.
    """
    side = sam.image_encoder.img_size
    height, width = photo.input_size
    per_side = logits.shape[-1]
    h = math.ceil(height * per_side / side)
    w = math.ceil(width * per_side / side)
    return logits[:, :h, :w].cpu().numpy()
