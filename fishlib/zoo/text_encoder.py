"""The text encoder of Grounding DINO, in place of the package's own, which asks of BertModel what newer ones lack."""

import contextlib
from unittest.mock import patch

import torch
from torch import Tensor, nn

from fishlib.zoo.quiet import quiet


class TextEncoder(nn.Module):
    """BERT that is told which words hear each other: those of one phrase of the caption.

    BertModel itself takes such a mask or not, by its release; its embeddings and encoder always do. The submodules
    have BERT's own names, so that checkpoints of Grounding DINO fit; the pooler is only there for them.
    """

    def __init__(self, bert_model: nn.Module):
        super().__init__()
        self.config = bert_model.config
        self.embeddings = bert_model.embeddings
        self.encoder = bert_model.encoder
        self.pooler = bert_model.pooler

    def forward(
        self, input_ids: Tensor, token_type_ids: Tensor, position_ids: Tensor, attention_mask: Tensor
    ) -> dict[str, Tensor]:
        """ids: int64 (B, T). attention_mask: (B, T, T), 1 or True where word [:, i] hears word [:, :, i].

        Answers {"last_hidden_state": (B, T, hidden)}.
        """
        words = self.embeddings(input_ids=input_ids, token_type_ids=token_type_ids, position_ids=position_ids)
        heard = attention_mask[:, None].to(words.dtype)  # (B, 1, T, T): the same for all heads
        added = (1.0 - heard) * torch.finfo(words.dtype).min  # to the scores, before their softmax
        return {"last_hidden_state": self.encoder(words, attention_mask=added)[0]}


@contextlib.contextmanager
def reads_text_with(tokenizer, bert_model: nn.Module):
    """A GroundingDINO built within has this tokenizer and this BertModel, whatever its text_encoder_type says."""
    with quiet():
        import groundingdino.models.GroundingDINO.groundingdino as package

    with (
        patch.object(package, "BertModelWarper", TextEncoder),
        patch.object(package.get_tokenlizer, "get_tokenlizer", lambda _: tokenizer),
        patch.object(package.get_tokenlizer, "get_pretrained_language_model", lambda _: bert_model),
    ):
        yield
