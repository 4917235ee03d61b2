"""The packages' own classes with random weights, small enough for a test, and without a network."""

from functools import partial

import torch
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

SIDE = 128


def small_sam(seed: int = 0) -> Sam:
    """A Sam of 128 px: windowed (3 of 8 x 8 tokens) and global attention, relative positions."""
    torch.manual_seed(seed)
    encoder = ImageEncoderViT(
        img_size=SIDE, patch_size=16, embed_dim=48, depth=3, num_heads=3, out_chans=32, use_rel_pos=True,
        window_size=3, global_attn_indexes=(1,), norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
    )  # fmt: skip
    for name, values in encoder.named_parameters():
        if "rel_pos" in name or name == "pos_embed":
            torch.nn.init.normal_(values, std=0.5)
    decoder = MaskDecoder(
        transformer_dim=32, transformer=TwoWayTransformer(depth=2, embedding_dim=32, num_heads=4, mlp_dim=64),
        num_multimask_outputs=3, iou_head_depth=2, iou_head_hidden_dim=32,
    )  # fmt: skip
    return Sam(encoder, PromptEncoder(32, (8, 8), (SIDE, SIDE), mask_in_chans=16), decoder).eval()


def bert_folder(folder):
    """A folder with a random BERT of one layer and its tokenizer of a few words."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "?", "fish", "bird", "hand", "a"]
    (folder / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    BertTokenizerFast(vocab_file=str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)  # else the weights, and what a test sees of them, hang on the tests before
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=len(words), **sizes)).save_pretrained(folder)
    return folder


def small_gdino(folder, seed: int = 0):
    """GroundingDINO of the package's Swin-T config, one layer of each kind, 30 queries, fully random."""
    from fishlib.removal.segmenters import gdino
    from fishlib.zoo.quiet import quiet
    from fishlib.zoo.text_encoder import reads_text_with

    torch.manual_seed(seed)
    with quiet(), reads_text_with(*gdino.read_bert(folder)):
        from groundingdino.config import GroundingDINO_SwinT_OGC as config
        from groundingdino.models import build_model
        from groundingdino.util.slconfig import SLConfig

        args = SLConfig.fromfile(config.__file__)
        args.enc_layers = args.dec_layers = 1
        args.num_queries = 30
        args.dim_feedforward = 256
        args.text_encoder_type = ""  # given above
        model = build_model(args).eval()
    for name, values in model.named_parameters():
        if "gamma" in name:  # 1e-4 at first: the text would not be heard
            torch.nn.init.constant_(values, 0.5)
        elif "bbox_embed" in name and values.dim() > 1:
            torch.nn.init.normal_(values, std=0.1)
    torch.nn.init.constant_(model.transformer.decoder.norm.weight, 0.1)  # else every score is 0 or 1
    return model
