"""A tiny GroundingDINO: groundingdino's own classes with a convolutional backbone and a BERT of a few words."""

import contextlib
import io
import tempfile
import warnings
from pathlib import Path

from torch import nn
from torch.nn import functional as F

from fishlib.zoo.backbone import Lite0, Pyramid
from fishlib.zoo.settings import settings

SIDE, DIM = 320, 128


class Features(nn.Module):
    """Backbone for groundingdino's Joiner: strides 16 and 32, each (B, 128, h, w), with padding masks.

    Resizes pictures so that the long side is 320 px and both sides are multiples of 32; boxes are relative, so a
    caller may pass any size. Pictures of several sizes in a batch get padding, which moves boxes a little.
    """

    num_channels = (DIM, DIM)

    def __init__(self, imagenet: bool = False):
        super().__init__()
        self.features, self.pyramid, self.side = Lite0(imagenet), Pyramid(DIM, 16), SIDE

    def forward(self, samples):
        from groundingdino.util.misc import NestedTensor

        x, (h, w) = samples.tensors, samples.tensors.shape[-2:]
        size = [max(32, round(self.side * s / max(h, w) / 32) * 32) for s in (h, w)]
        if [h, w] != size:
            x = F.interpolate(x.float(), size, mode="bilinear", antialias=True, align_corners=False)
        maps = sorted(self.pyramid(self.features(x)).items())
        masks = (F.interpolate(samples.mask[None].float(), size=f.shape[-2:])[0].bool() for _, f in maps)
        return {str(stride): NestedTensor(f, mask) for (stride, f), mask in zip(maps, masks, strict=True)}


def _bert(folder: Path) -> None:
    """Writes a BERT of one layer with random weights, and its tokenizer of whole words, into a folder."""
    from transformers import BertConfig, BertModel, BertTokenizer

    words = [w for k in ("marks", "fish", "fillers", "others") for w in settings(k)]
    (folder / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    BertModel(BertConfig(len(words), **settings("bert"))).save_pretrained(folder)


def build(imagenet: bool = False):
    """groundingdino's GroundingDINO with random weights (the backbone with ImageNet's if asked), ready to train.

    model.image_side is the long side the network works at.
    """
    with (
        contextlib.redirect_stdout(io.StringIO()),
        warnings.catch_warnings(),
        tempfile.TemporaryDirectory() as folder,
    ):
        warnings.simplefilter("ignore")
        from groundingdino.models.GroundingDINO.backbone import backbone, position_encoding
        from groundingdino.models.GroundingDINO.groundingdino import GroundingDINO
        from groundingdino.models.GroundingDINO.transformer import Transformer
        from groundingdino.models.GroundingDINO.utils import MLP

        features = Features(imagenet)
        joiner = backbone.Joiner(features, position_encoding.PositionEmbeddingSineHW(DIM // 2, 20, 20, normalize=True))
        joiner.num_channels = features.num_channels
        transformer = Transformer(**settings("transformer"))
        # the sine encoding of a box has 512 numbers whatever d_model is
        transformer.decoder.ref_point_head = MLP(512, DIM, DIM, 2)
        _bert(Path(folder))
        model = GroundingDINO(joiner, transformer, text_encoder_type=folder, **settings("gdino"))
    model.image_side = SIDE
    # ContrastiveEmbed has no bias: a constant part of text times one of the queries starts all logits near -4
    fusions = transformer.encoder.fusion_layers
    for norm in (transformer.enc_output_norm, transformer.decoder.norm):
        nn.init.constant_(norm.bias, -4 / (0.5 * DIM))
    nn.init.constant_(fusions[-1].layer_norm_l.weight, 0.1)
    nn.init.constant_(fusions[-1].layer_norm_l.bias, 0.5)
    for gain in (g for fusion in fusions for g in (fusion.gamma_v, fusion.gamma_l)):
        nn.init.constant_(gain, 0.1)  # with their 1e-4 the text would go unheard for long
    transformer.enc_out_bbox_embed.layers[-1].bias.data[2:] = 1.0  # fish are larger than proposals of 5 to 20 %
    model.bert.pooler.requires_grad_(False)
    return model
