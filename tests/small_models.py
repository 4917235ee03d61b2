"""The packages' own classes with random weights, small enough for a test, and without a network."""

from functools import partial

import numpy as np
import torch
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

from fishlib.zoo.quiet import quiet

SIDE = 128
SAM2_SIDE = 64
SAM3_SIDE = 56


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
    BertTokenizerFast.from_pretrained(folder).save_pretrained(folder)
    torch.manual_seed(0)  # else the weights, and what a test sees of them, hang on the tests before
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=len(words), **sizes)).save_pretrained(folder)
    return folder


def small_gdino(folder, seed: int = 0):
    """GroundingDINO of the package's Swin-T config, one layer of each kind, 30 queries, fully random."""
    from fishlib.removal.segmenters import gdino
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


MASK_DECODER = {
    "hidden_size": 32, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_depth": 2, "iou_head_hidden_dim": 16,
}  # fmt: skip
PROMPT_ENCODER = {"hidden_size": 32, "image_size": SAM2_SIDE, "patch_size": 16, "mask_input_channels": 8}
MEMORY = {  # of the video models; nothing of it is used for photos
    "memory_attention_hidden_size": 32, "memory_attention_num_layers": 1,
    "memory_attention_feed_forward_hidden_size": 32, "memory_encoder_hidden_size": 32,
    "memory_encoder_output_channels": 8, "memory_fuser_num_layers": 1, "memory_fuser_embed_dim": 32,
    "memory_fuser_intermediate_dim": 32, "mask_downsampler_embed_dim": 32, "memory_attention_rope_feat_sizes": [4, 4],
}  # fmt: skip


def small_sam2(folder, kind: str = "sam2", seed: int = 0):
    """A folder as transformers keeps a SAM 2 of 64 px (or its video model, or an EdgeTAM): random weights."""
    from transformers import Sam2ImageProcessor

    torch.manual_seed(seed)
    config = _edgetam_config() if kind == "edgetam" else _sam2_config(kind)
    model = _sam2_class(kind)(config).eval()
    with torch.no_grad():
        for name, values in model.named_parameters():
            if "pos_embed" in name or "no_memory" in name or values.dim() > 1:
                torch.nn.init.normal_(values, std=0.2)  # else every photo looks alike
    with quiet():
        model.save_pretrained(folder)
    size = {"height": SAM2_SIDE, "width": SAM2_SIDE}
    Sam2ImageProcessor(size=size, mask_size={"height": 16, "width": 16}).save_pretrained(folder)
    (folder / "processor_config.json").write_text('{"processor_class": "Sam2Processor"}', encoding="utf-8")
    return folder


def _sam2_class(kind: str):
    import transformers

    names = {"sam2": "Sam2Model", "sam2_video": "Sam2VideoModel", "edgetam": "EdgeTamModel"}
    return getattr(transformers, names[kind])


def _sam2_config(kind: str):
    from transformers import Sam2Config, Sam2VideoConfig

    backbone = {
        "model_type": "sam2_hiera_det_model", "image_size": [SAM2_SIDE, SAM2_SIDE], "hidden_size": 8,
        "blocks_per_stage": [1, 1, 2, 1], "embed_dim_per_stage": [8, 16, 32, 64],
        "num_attention_heads_per_stage": [1, 1, 2, 2], "window_size_per_stage": [4, 4, 4, 2],
        "global_attention_blocks": [3], "window_positional_embedding_background_size": [4, 4],
    }  # fmt: skip
    vision = {
        "model_type": "sam2_vision_model", "backbone_config": backbone, "backbone_channel_list": [64, 32, 16, 8],
        "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]], "fpn_hidden_size": 32,
    }  # fmt: skip
    parts = {"vision_config": vision, "prompt_encoder_config": PROMPT_ENCODER, "mask_decoder_config": MASK_DECODER}
    if kind == "sam2":
        return Sam2Config(**parts)
    return Sam2VideoConfig(**parts, **MEMORY, image_size=SAM2_SIDE)


def _edgetam_config():
    from transformers import EdgeTamConfig, TimmWrapperConfig

    channels = [8, 16, 32, 64]
    shape = {"in_chans": 3, "features_only": True, "out_indices": [0, 1, 2, 3], "embed_dim": channels}
    vision = {
        "model_type": "edgetam_vision_model",
        "backbone_config": TimmWrapperConfig(architecture="repvit_m1", model_args=shape | {"depth": [1, 1, 1, 1]}),
        "backbone_channel_list": channels[::-1], "fpn_hidden_size": 32,
        "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
    }  # fmt: skip
    return EdgeTamConfig(vision_config=vision, prompt_encoder_config=PROMPT_ENCODER, mask_decoder_config=MASK_DECODER)


def small_sam3(folder, kind: str = "sam3", seed: int = 0):
    """A folder as transformers keeps a SAM 3 of 56 px, or the video model that holds one: random weights."""
    import transformers

    torch.manual_seed(seed)
    detector = _sam3_config()
    if kind == "sam3_video":
        tracker = _sam3_tracker_config()
        model = transformers.Sam3VideoModel(
            transformers.Sam3VideoConfig(detector_config=detector, tracker_config=tracker, low_res_mask_size=16)
        )
    else:
        model = transformers.Sam3Model(detector)
    with torch.no_grad():
        for values in model.parameters():
            if values.dim() > 1:
                torch.nn.init.normal_(values, std=0.2)  # else every photo looks alike
    with quiet():
        model.eval().save_pretrained(folder)
    size = {"height": SAM3_SIDE, "width": SAM3_SIDE}
    pictures = transformers.Sam3ImageProcessor(size=size, mask_size={"height": 16, "width": 16})
    transformers.Sam3Processor(pictures, _clip_tokenizer()).save_pretrained(folder)
    return folder


def _clip_tokenizer():
    """CLIP's tokenizer of a few words."""
    from transformers import CLIPTokenizerFast

    letters = [*"abcdefghijklmnopqrstuvwxyz", *(f"{letter}</w>" for letter in "abcdefghijklmnopqrstuvwxyz")]
    words = ["<|startoftext|>", "<|endoftext|>", *letters, "fi", "sh</w>", "fish</w>"]
    return CLIPTokenizerFast(
        vocab={word: number for number, word in enumerate(words)}, merges=[("f", "i"), ("s", "h</w>"), ("fi", "sh</w>")]
    )


def _sam3_config():
    from transformers import Sam3Config

    backbone = {
        "model_type": "sam3_vit_model", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 2, "image_size": SAM3_SIDE, "patch_size": 14, "window_size": 2,
        "global_attn_indexes": [1], "pretrain_image_size": 28,
    }  # fmt: skip
    vision = {
        "model_type": "sam3_vision_model", "backbone_config": backbone, "fpn_hidden_size": 32,
        "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
    }  # fmt: skip
    text = {
        "model_type": "clip_text_model", "vocab_size": 60, "hidden_size": 32, "intermediate_size": 64,
        "projection_dim": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 32,
        "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1,
    }  # fmt: skip
    layer = {"hidden_size": 32, "num_attention_heads": 2}
    deep = layer | {"intermediate_size": 64, "num_layers": 1}
    return Sam3Config(
        vision_config=vision, text_config=text, geometry_encoder_config=deep, detr_encoder_config=deep,
        detr_decoder_config=deep | {"num_queries": 6}, mask_decoder_config=layer,
    )  # fmt: skip


def _sam3_tracker_config():
    from transformers import Sam3TrackerVideoConfig

    prompts = PROMPT_ENCODER | {"image_size": SAM3_SIDE, "patch_size": 14}
    parts = {"vision_config": _sam3_config().vision_config, "prompt_encoder_config": prompts}
    return Sam3TrackerVideoConfig(**parts, **MEMORY, mask_decoder_config=MASK_DECODER, image_size=SAM3_SIDE)


def small_onnx(path, gain=1.0, offset=0.0, sigmoid=False, name="input.1", flat=False):
    """An .onnx file as a session of rembg takes it: (1, 3, side, side) -> (1, 1, side, side), gain times the first
    channel of the prepared photo plus offset, squeezed to a probability where `sigmoid`. flat: an answer (1, 1)
    instead."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    values = {"at": np.int64([0]), "gain": np.float32([gain]), "offset": np.float32([offset])}
    values |= {"sides": np.int64([2, 3])} if flat else {}
    nodes = [
        helper.make_node("Gather", [name, "at"], ["first"], axis=1),
        helper.make_node("Mul", ["first", "gain"], ["scaled"]),
        helper.make_node("Add", ["scaled", "offset"], ["moved"]),
        helper.make_node("Sigmoid" if sigmoid else "Identity", ["moved"], ["map"]),
        helper.make_node("ReduceMean", ["map", "sides"], ["out"], keepdims=0)
        if flat
        else helper.make_node("Identity", ["map"], ["out"]),
    ]
    shape = ["n", 1] if flat else ["n", 1, "h", "w"]
    sides = ["n", 3, "h", "w"]
    graph = helper.make_graph(
        nodes, "small",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, sides)],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(value, key) for key, value in values.items()],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return str(path)
