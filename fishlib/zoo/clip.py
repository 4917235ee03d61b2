"""A tiny CLIP: transformers' CLIPModel on 64 px crops, with a vocabulary of whole words."""

from functools import cache

from fishlib.zoo.settings import settings

SIDE = 64  # px of a crop
BILINEAR = 2  # PIL.Image.Resampling.BILINEAR


def vocabulary() -> dict[str, int]:
    """Word -> its number; marks such as [PAD] first."""
    words = [*settings("clip_marks"), *settings("clip_others")]
    words += settings("marks")[5:]  # those of punctuation; CLIP has marks of its own
    for kind in ("fish", "fillers", "parts", "others"):
        words += settings(kind)
    return {word: number for number, word in enumerate(dict.fromkeys(words))}


def build(imagenet: bool = False):
    """CLIPModel with random weights (imagenet is ignored: a vision transformer of this size has none)."""
    from transformers import CLIPConfig, CLIPModel

    text = {"vocab_size": len(vocabulary()), **settings("clip_text")}
    vision = settings("clip_vision")
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=64))


def picture_processor() -> type:
    """The class of transformers that prepares pictures for CLIP with Pillow.

    From its release 5 on CLIPImageProcessor does so with torchvision, which gives other pixels; Pillow's are those of
    the published model, and the same in every release.
    """
    import transformers

    return getattr(transformers, "CLIPImageProcessorPil", transformers.CLIPImageProcessor)


@cache
def processor():
    """CLIPProcessor: `processor(text=[...], images=[...], return_tensors="pt", padding=True)`.

    Pictures are squeezed to 64 x 64 without a centre crop, which would cut heads and tails.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import CLIPProcessor, PreTrainedTokenizerFast

    words = vocabulary()
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [(mark, words[mark]) for mark in ("[BOS]", "[EOS]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[BOS] $A [EOS]", special_tokens=ends)

    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=32,
        model_input_names=["input_ids", "attention_mask"],
        pad_token="[PAD]",
        eos_token="[EOS]",
        bos_token="[BOS]",
        unk_token="[UNK]",
    )
    size = {"height": SIDE, "width": SIDE}
    images = picture_processor()(size=size, resample=BILINEAR, do_center_crop=False, crop_size=size)
    return CLIPProcessor(image_processor=images, tokenizer=fast)
