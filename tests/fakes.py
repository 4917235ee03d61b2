"""Reduced fakes of the public checkpoint files: the same names, kinds and quirks, random weights, narrow layers."""

import json
from pathlib import Path

import numpy as np
import timm
import torch
from safetensors.torch import save_file
from small_models import bert_folder, small_gdino

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


def bert(folder: Path) -> Path:
    """bert-base-uncased as it is published: of a masked language model, its norms by their old names."""
    bert_folder(folder)
    model = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    for name in ("tokenizer.json", "vocab.txt"):
        assert (folder / name).is_file()
    for name in ("special_tokens_map.json", "added_tokens.json"):  # not among the files of the manifest
        (folder / name).unlink(missing_ok=True)
    sizes = ("hidden_size", "intermediate_size", "num_attention_heads", "num_hidden_layers", "vocab_size")
    config = {
        "architectures": ["BertForMaskedLM"],
        "attention_probs_dropout_prob": 0.1,
        "gradient_checkpointing": False,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "initializer_range": 0.02,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": 512,
        "model_type": "bert",
        "pad_token_id": 0,
        "position_embedding_type": "absolute",
        "transformers_version": "4.6.0.dev0",
        "type_vocab_size": 2,
        "use_cache": True,
        **{name: model[name] for name in sizes},
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": true, "model_max_length": 512}', encoding="utf-8")

    state = {}
    for name, value in _load(folder / "model.safetensors").items():
        old = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        state[f"bert.{old}"] = value
    hidden, words = config["hidden_size"], config["vocab_size"]
    state["cls.predictions.bias"] = torch.zeros(words)
    state["cls.predictions.transform.dense.weight"] = torch.zeros(hidden, hidden)
    state["cls.predictions.transform.dense.bias"] = torch.zeros(hidden)
    state["cls.predictions.transform.LayerNorm.gamma"] = torch.ones(hidden)
    state["cls.predictions.transform.LayerNorm.beta"] = torch.zeros(hidden)
    state["cls.seq_relationship.weight"] = torch.zeros(2, hidden)
    state["cls.seq_relationship.bias"] = torch.zeros(2)
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    return folder


def published_bert(folder: Path) -> dict[str, torch.Tensor]:
    """What the fake file of `bert` says of each weight, by the names BertModel has for them."""
    state = {}
    for old, value in _load(folder / "model.safetensors").items():
        name = old.removeprefix("bert.").replace("LayerNorm.gamma", "LayerNorm.weight")
        state[name.replace("LayerNorm.beta", "LayerNorm.bias")] = value
    return state


def _load(file: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(file)


def grounding_dino(path: Path, bert_of: Path, seed: int = 3) -> torch.nn.Module:
    """groundingdino_swint_ogc.pth as it is published, one layer of each kind; answers the model that was saved.

    It was saved by DataParallel, of a model with labels for training and by a transformers that kept position_ids.
    """
    model = small_gdino(bert_of, seed)
    state = {f"module.{name}": value for name, value in model.state_dict().items()}
    state["module.label_enc.weight"] = torch.zeros(2001, 256)
    words = model.bert.embeddings.position_embeddings.num_embeddings
    state["module.bert.embeddings.position_ids"] = torch.arange(words)[None]
    torch.save({"model": state}, path)
    return model


def sam_vit_b(path: Path) -> Path:
    """sam_vit_b_01ec64.pth with every name and shape of the published file; one number fills each tensor."""
    from segment_anything import sam_model_registry

    with torch.device("meta"):
        model = sam_model_registry["vit_b"]()
    state = {name: torch.zeros(()).expand(value.shape) for name, value in model.state_dict().items()}
    torch.save(state, path)
    return path


def clip(folder: Path) -> Path:
    """clip-vit-base-patch32 as it is published: a .bin with position_ids, and settings by their old names."""
    from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

    torch.manual_seed(0)
    words = ["<|startoftext|>", "<|endoftext|>"]
    letters = [*"abcdefghijklmnopqrstuvwxyz.,?"]
    vocabulary = {word: k for k, word in enumerate([*letters, *(f"{a}</w>" for a in letters), *words])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    CLIPTokenizer.from_pretrained(folder).save_pretrained(folder)
    for name in ("special_tokens_map.json", "tokenizer.json"):
        (folder / name).unlink(missing_ok=True)
    start, end = vocabulary[words[0]], vocabulary[words[1]]

    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**sizes, "vocab_size": len(vocabulary), "bos_token_id": start, "eos_token_id": end, "pad_token_id": 1}
    vision = {**sizes, "image_size": 64, "patch_size": 32}
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8))
    state = dict(model.state_dict())
    state["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    state["vision_model.embeddings.position_ids"] = torch.arange(5)[None]
    torch.save(state, folder / "pytorch_model.bin")

    config = {
        "_name_or_path": "clip-vit-base-patch32/",
        "architectures": ["CLIPModel"],
        "initializer_factor": 1.0,
        "logit_scale_init_value": 2.6592,
        "model_type": "clip",
        "projection_dim": 8,
        "text_config": {**text, "model_type": "clip_text_model"},
        "text_config_dict": None,
        "torch_dtype": "float32",
        "transformers_version": None,
        "vision_config": {**vision, "model_type": "clip_vision_model"},
        "vision_config_dict": None,
    }
    pictures = {
        "crop_size": 64,
        "do_center_crop": True,
        "do_normalize": True,
        "do_resize": True,
        "feature_extractor_type": "CLIPFeatureExtractor",
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "resample": 3,
        "size": 64,
    }
    tokens = {
        "unk_token": words[1],
        "bos_token": words[0],
        "eos_token": words[1],
        "pad_token": words[1],
        "add_prefix_space": False,
        "errors": "replace",
        "do_lower_case": True,
        "name_or_path": "./clip_ViT_B_32/",
        "model_max_length": 77,
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "preprocessor_config.json").write_text(json.dumps(pictures), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(tokens), encoding="utf-8")
    return folder


def detic(path: Path, boxes, scores, classes, parts=None) -> Path:
    """A Detic export that answers the same for every photo, its scores times how red the picture is (mean of channel 0
    over 255), so that a swapped or rescaled input shows.

    parts (n, 28, 28): the kind with one input, boxes in pixels of the picture it is given. None: the kind of the
    ..._op16 files, which are told the photo's size: boxes as shares of the photo, each mask its whole box.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    boxes = np.float32(boxes).reshape(-1, 4)
    values = {
        "given_boxes": boxes,
        "given_scores": np.float32(scores),
        "given_classes": np.int64(classes),
        "axes": np.int64([0, 2, 3]),
        "zero": np.int64([0]),
        "full": np.float32([255]),
    }
    nodes = [
        helper.make_node("ReduceMean", ["img", "axes"], ["mean"], keepdims=0),
        helper.make_node("Gather", ["mean", "zero"], ["channel"]),
        helper.make_node("Div", ["channel", "full"], ["red"]),
        helper.make_node("Mul", ["given_scores", "red"], ["scores"]),
        helper.make_node("Identity", ["given_classes"], ["classes"]),
    ]
    inputs = [helper.make_tensor_value_info("img", TensorProto.FLOAT, [1, 3, "h", "w"])]
    if parts is None:
        inputs.append(helper.make_tensor_value_info("im_hw", TensorProto.INT64, [2]))
        nodes += _whole_masks(values)
        masks = TensorProto.BOOL, ["n", "photo_h", "photo_w"]
    else:
        values["given_masks"] = np.float32(parts).reshape(len(boxes), 1, 28, 28)
        nodes.append(helper.make_node("Identity", ["given_boxes"], ["boxes"]))
        nodes.append(helper.make_node("Identity", ["given_masks"], ["masks"]))
        masks = TensorProto.FLOAT, ["n", 1, 28, 28]

    outputs = [
        helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["n", 4]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n"]),
        helper.make_tensor_value_info("classes", TensorProto.INT64, ["n"]),
        helper.make_tensor_value_info("masks", *masks),
    ]
    weights = [numpy_helper.from_array(value, name) for name, value in values.items()]
    graph = helper.make_graph(nodes, "detic", inputs, outputs, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def _whole_masks(values: dict) -> list:
    """Nodes that put the boxes and a mask of each at the photo's size, im_hw; `values` gets their constants."""
    from onnx import TensorProto, helper

    values |= {"sides": np.int64([1, 0, 1, 0]), "start": np.int64(0), "step": np.int64(1), "half": np.float32(0.5)}
    nodes = [
        helper.make_node("Gather", ["im_hw", "sides"], ["w_h_w_h"]),
        helper.make_node("Cast", ["w_h_w_h"], ["scale"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["given_boxes", "scale"], ["boxes"]),
    ]
    for name, k, shape in (("x0", 0, [-1, 1, 1]), ("y0", 1, [-1, 1, 1]), ("x1", 2, [-1, 1, 1]), ("y1", 3, [-1, 1, 1])):
        values |= {f"{name}_at": np.int64([k]), f"{name}_shape": np.int64(shape)}
        nodes.append(helper.make_node("Gather", ["boxes", f"{name}_at"], [f"{name}_column"], axis=1))
        nodes.append(helper.make_node("Reshape", [f"{name}_column", f"{name}_shape"], [name]))
    for name, k, shape in (("y", 0, [1, -1, 1]), ("x", 1, [1, 1, -1])):
        values |= {f"{name}_side": np.int64(k), f"{name}_grid": np.int64(shape)}
        nodes += [
            helper.make_node("Gather", ["im_hw", f"{name}_side"], [f"{name}_length"]),
            helper.make_node("Range", ["start", f"{name}_length", "step"], [f"{name}_whole"]),
            helper.make_node("Cast", [f"{name}_whole"], [f"{name}_corner"], to=TensorProto.FLOAT),
            helper.make_node("Add", [f"{name}_corner", "half"], [f"{name}_centre"]),
            helper.make_node("Reshape", [f"{name}_centre", f"{name}_grid"], [name]),
            helper.make_node("GreaterOrEqual", [name, f"{name}0"], [f"{name}_from"]),
            helper.make_node("Less", [name, f"{name}1"], [f"{name}_to"]),
            helper.make_node("And", [f"{name}_from", f"{name}_to"], [f"{name}_inside"]),
        ]
    nodes.append(helper.make_node("And", ["x_inside", "y_inside"], ["masks"]))
    return nodes


def detic_of_opset_11(path: Path) -> Path:
    """What a sibling of the published export holds: a Clip of whole numbers, which opset 11 did not know."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Shape", ["img"], ["shape"]),
        helper.make_node("Clip", ["shape", "least"], ["clipped"]),
        helper.make_node("Cast", ["clipped"], ["boxes"], to=TensorProto.FLOAT),
    ]
    nodes += [helper.make_node("Identity", ["boxes"], [name]) for name in ("scores", "classes", "masks")]
    inputs = [helper.make_tensor_value_info("img", TensorProto.FLOAT, [1, 3, "h", "w"])]
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in ("boxes", "scores", "classes", "masks")
    ]
    weights = [numpy_helper.from_array(np.int64(1), "least")]
    graph = helper.make_graph(nodes, "detic", inputs, outputs, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=9), path)
    return path
