"""A tiny GroundingDINO: groundingdino's own classes with a convolutional backbone and a BERT of a few words."""

import tempfile
from pathlib import Path

from torch import nn
from torch.nn import functional as F

from fishlib.zoo.backbone import Lite0, Pyramid
from fishlib.zoo.quiet import quiet
from fishlib.zoo.settings import settings
from fishlib.zoo.text_encoder import reads_text_with

SIDE = 320  # px, long side of the pictures the network sees
DIM = 128


class Features(nn.Module):
    """Backbone for groundingdino's Joiner: strides 16 and 32, each (B, 128, h, w), with padding masks.

    Resizes pictures so that the long side is 320 px and both sides are multiples of 32; boxes are relative, so a
    caller may pass any size. Pictures of several sizes in a batch get padding, which moves boxes a little.
    """

    num_channels = (DIM, DIM)

    def __init__(self, imagenet: bool = False):
        super().__init__()
        self.features = Lite0(imagenet)
        self.pyramid = Pyramid(DIM, 16)
        self.side = SIDE

    def forward(self, samples):
        """samples: NestedTensor of pictures (B, 3, H, W) -> {"16": NestedTensor, "32": NestedTensor}."""
        from groundingdino.util.misc import NestedTensor

        x = samples.tensors
        height, width = x.shape[-2:]
        size = [max(32, round(self.side * side / max(height, width) / 32) * 32) for side in (height, width)]
        if [height, width] != size:
            x = F.interpolate(x.float(), size, mode="bilinear", antialias=True, align_corners=False)

        maps = self.pyramid(self.features(x))
        out = {}
        for stride in sorted(maps):
            padding = F.interpolate(samples.mask[None].float(), size=maps[stride].shape[-2:])[0].bool()
            out[str(stride)] = NestedTensor(maps[stride], padding)
        return out


def _bert() -> tuple:
    """(tokenizer of whole words, BertModel of one layer with random weights)."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    words = [word for kind in ("marks", "fish", "fillers", "others") for word in settings(kind)]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "vocab.txt"
        file.write_text("\n".join(words), encoding="utf-8")
        tokenizer = BertTokenizerFast.from_pretrained(folder)  # its argument for the file has another name in 5
    return tokenizer, BertModel(BertConfig(vocab_size=len(words), **settings("bert")))


def build(imagenet: bool = False):
    """groundingdino's GroundingDINO with random weights (the backbone with ImageNet's if asked), ready to train.

    model.image_side is the long side the network works at.
    """
    with quiet():
        from groundingdino.models.GroundingDINO.backbone import backbone, position_encoding
        from groundingdino.models.GroundingDINO.groundingdino import GroundingDINO
        from groundingdino.models.GroundingDINO.transformer import Transformer
        from groundingdino.models.GroundingDINO.utils import MLP

        features = Features(imagenet)
        sine = position_encoding.PositionEmbeddingSineHW(DIM // 2, 20, 20, normalize=True)
        joiner = backbone.Joiner(features, sine)
        joiner.num_channels = features.num_channels
        transformer = Transformer(**settings("transformer"))
        # the sine encoding of a box has 512 numbers whatever d_model is
        transformer.decoder.ref_point_head = MLP(512, DIM, DIM, 2)
        with reads_text_with(*_bert()):
            model = GroundingDINO(joiner, transformer, text_encoder_type="", **settings("gdino"))
    model.image_side = SIDE

    # ContrastiveEmbed has no bias: a constant part of text times one of the queries starts all logits near -4
    fusions = transformer.encoder.fusion_layers
    for norm in (transformer.enc_output_norm, transformer.decoder.norm):
        nn.init.constant_(norm.bias, -4 / (0.5 * DIM))
    nn.init.constant_(fusions[-1].layer_norm_l.weight, 0.1)
    nn.init.constant_(fusions[-1].layer_norm_l.bias, 0.5)

    for fusion in fusions:  # with their 1e-4 the text would go unheard for long
        nn.init.constant_(fusion.gamma_v, 0.1)
        nn.init.constant_(fusion.gamma_l, 0.1)
    transformer.enc_out_bbox_embed.layers[-1].bias.data[2:] = 1.0  # fish are larger than proposals of 5 to 20 %
    model.bert.pooler.requires_grad_(False)
    return model
