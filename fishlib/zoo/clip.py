"""A tiny CLIP: transformers' CLIPModel on 64 px crops, with a vocabulary of whole words."""

from functools import cache

from fishlib.zoo.settings import settings

SIDE = 64


def vocabulary() -> dict[str, int]:
    kinds = ("clip_marks", "clip_others", "marks", "fish", "fillers", "parts", "others")
    kept = dict.fromkeys(word for k in kinds for word in settings(k)[5 * (k == "marks") :])
    return {word: k for k, word in enumerate(kept)}


def build(imagenet: bool = False):
    """CLIPModel with random weights (imagenet is ignored: a vision transformer of this size has none)."""
    from transformers import CLIPConfig, CLIPModel

    text = {"vocab_size": len(vocabulary()), **settings("clip_text")}
    vision = settings("clip_vision")
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=64))


@cache
def processor():
    """CLIPProcessor: `processor(text=[...], images=[...], return_tensors="pt", padding=True)`.

    Pictures are squeezed to 64 x 64 without a centre crop, which would cut heads and tails.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import CLIPImageProcessor, CLIPProcessor, PreTrainedTokenizerFast

    words, size = vocabulary(), {"height": SIDE, "width": SIDE}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.BertPreTokenizer()
    ends = [(mark, words[mark]) for mark in ("[BOS]", "[EOS]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[BOS] $A [EOS]", special_tokens=ends)
    names = {f"{k}_token": f"[{k.upper()}]" for k in ("pad", "eos", "bos", "unk")}
    names["model_input_names"] = ["input_ids", "attention_mask"]
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=32, **names)
    images = CLIPImageProcessor(size=size, resample=2, do_center_crop=False, crop_size=size)
    return CLIPProcessor(image_processor=images, tokenizer=fast)
