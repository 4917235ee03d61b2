"""A tiny SAM: segment_anything's own Sam, PromptEncoder and MaskDecoder round a convolutional image encoder."""

from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from torch import Tensor, nn

from fishlib.zoo.backbone import Lite0, Pyramid, mixer

SIDE = 256  # px
DIM = 96
STRIDE = 8  # px of the picture a cell of the features stands for


class ImageEncoder(nn.Module):
    """(B, 3, 256, 256) normalised -> (B, 96, 32, 32); img_size is what Sam and SamPredictor ask for."""

    def __init__(self, imagenet: bool = False):
        super().__init__()
        self.img_size = SIDE
        self.mix = mixer(DIM)
        self.backbone = Lite0(imagenet)
        self.pyramid = Pyramid(DIM, STRIDE)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pyramid(self.backbone(x))[STRIDE]
        return x + self.mix(x)


def build(imagenet: bool = False) -> Sam:
    """Sam with random weights, its backbone with ImageNet's if asked."""
    grid = (SIDE // STRIDE, SIDE // STRIDE)
    transformer = TwoWayTransformer(depth=2, embedding_dim=DIM, num_heads=4, mlp_dim=256)
    decoder = MaskDecoder(transformer_dim=DIM, transformer=transformer, iou_head_hidden_dim=DIM)
    encoder = ImageEncoder(imagenet)
    prompts = PromptEncoder(DIM, grid, (SIDE, SIDE), mask_in_chans=16)
    return Sam(encoder, prompts, decoder)
