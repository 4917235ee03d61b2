"""Segment Anything, for GDINO-SAM and SAM-CLIP: an exact but faster image encoder, many boxes in one call."""

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
from fishlib.errors import UserError
from fishlib.removal.segmenters import common

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
        b, h, w, _ = x.shape
        n = b * self.num_heads
        qkv = self.qkv(x).reshape(b, h * w, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.reshape(3, n, h * w, -1).contiguous().unbind(0)  # (n, HW, C) each
        rows, columns = (get_rel_pos(s, s, p) for s, p in ((h, self.rel_pos_h), (w, self.rel_pos_w)))
        grid, out = q.view(n, h, w, -1), torch.empty_like(q)
        by_row = torch.einsum("nhwc,hkc->nhwk", grid, rows.to(q.dtype)).flatten(1, 2)  # (n, HW, H)
        by_column = torch.einsum("nhwc,wkc->nhwk", grid, columns.to(q.dtype)).flatten(1, 2)  # (n, HW, W)
        written_out = q.dtype == torch.bfloat16 and q.device.type == "cpu"
        held = BIAS_BLOCK // (2 if written_out else 1)  # scores and their softmax are there at once
        heads, queries = max(1, held // (h * w) ** 2), max(1, held // (h * w))
        for i in range(0, n, heads):
            for j in range(0, h * w, queries):
                at = (slice(i, i + heads), slice(j, j + queries))
                if written_out:
                    with torch.autocast("cpu", enabled=False):  # which would take the softmax to fp32 and back
                        scores = torch.bmm(self.scale * q[at], k[at[0]].mT)
                        grid = scores.view(*scores.shape[:2], h, w)
                        grid += by_row[at][..., None]
                        grid += by_column[at][..., None, :]
                        out[at] = torch.bmm(scores.softmax(-1), v[at[0]])
                    continue
                bias = (by_row[at][..., None] + by_column[at][..., None, :]).flatten(2)  # (heads, queries, HW)
                parts = (t[None] for t in (q[at], k[at[0]], v[at[0]], bias))
                out[at] = F.scaled_dot_product_attention(*parts, scale=self.scale)[0]
        return self.proj(out.view(b, self.num_heads, h * w, -1).transpose(1, 2).reshape(b, h, w, -1))


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

    Raises NotRun when the file is missing, UserError when it holds something else.
    """
    bf16, path, device = common.wants_bf16(dtype, device, spec), common.locate(spec, offline), choose_device(device)
    if path is None:
        return prepare(zoo.load("sam"), device, bf16)
    state = common.read_state(path)
    width = state.get("image_encoder.patch_embed.proj.weight", torch.empty(0)).shape[0]
    if width not in WIDTHS:
        raise UserError(f"{path} holds no Segment Anything ViT-B, ViT-L or ViT-H; fetch sam_vit_b, for one.")
    sam = sam_model_registry[WIDTHS[width]]()
    try:
        sam.load_state_dict(state)
    except RuntimeError as error:
        raise UserError(f"{path} lacks weights of Segment Anything {WIDTHS[width]}; fetch it again.") from error
    return prepare(sam, device, bf16)


@torch.no_grad()
def encode(sam: Sam, images: list[np.ndarray]) -> list[Encoded]:
    """images: uint8 (H, W, 3) RGB, any sizes; resized and padded as SamPredictor does, one pass for all."""
    resize = ResizeLongestSide(sam.image_encoder.img_size)
    small = [torch.as_tensor(resize.apply_image(image)).permute(2, 0, 1).to(sam.device) for image in images]
    features = sam.image_encoder(torch.stack([sam.preprocess(x) for x in small]))
    sizes = [(image.shape[:2], tuple(x.shape[1:])) for image, x in zip(images, small, strict=True)]
    return [Encoded(f[None], *size) for f, size in zip(features, sizes, strict=True)]


@torch.no_grad()
def decode(sam: Sam, photo: Encoded, boxes: np.ndarray, multimask: bool = True) -> tuple[Tensor, Tensor]:
    """boxes (n, 4) XYXY in pixels of the photo -> logits fp32 (n, m, L, L) of the padded square and SAM's
    predicted IoU (n, m); m = 3 with multimask, else 1. All boxes share one decoder call (64 at a time)."""
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    prompts = ResizeLongestSide(sam.image_encoder.img_size).apply_boxes(boxes, photo.photo_size)
    prompts = torch.as_tensor(prompts, dtype=torch.float32, device=sam.device)
    position, answers = sam.prompt_encoder.get_dense_pe(), []
    for some in prompts.split(PROMPTS_AT_ONCE):
        sparse, dense = sam.prompt_encoder(points=None, boxes=some, masks=None)
        answers.append(sam.mask_decoder(photo.features, position, sparse, dense, multimask))
    logits, ious = zip(*answers, strict=True)
    return torch.cat(logits).float(), torch.cat(ious).float()


@torch.no_grad()
def upscale(sam: Sam, photo: Encoded, logits: Tensor) -> np.ndarray:
    """Logits (n, L, L) as decoded -> float32 (n, H, W) at the photo's size; the mask is what is above 0."""
    return sam.postprocess_masks(logits[None], photo.input_size, photo.photo_size)[0].cpu().numpy()


def uncovered(photo: Encoded, logits: Tensor, side: int) -> np.ndarray:
    """The part of decoded logits (n, L, L) that shows the photo and not its padding: float32 (n, h, w).

    side: sam.image_encoder.img_size. Small, so that scoring dozens of candidates costs little.
    """
    h, w = (-(-n * logits.shape[-1] // side) for n in photo.input_size)
    return logits[:, :h, :w].cpu().numpy()
