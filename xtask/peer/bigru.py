"""Brew's BiGRU written with PyTorch's own GRU, on packed sequences: transformers has no such model."""
import json
import pathlib
import types

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class BiGru(nn.Module):
    """Word embeddings, a GRU each way, a dense layer with a ReLU, and a classifier of texts or of tokens."""

    def __init__(self, vocab_size, width, hidden, labels, of_tokens):
        super().__init__()
        self.embeddings = nn.ModuleDict({"word_embeddings": nn.Embedding(vocab_size, width, padding_idx=0)})
        self.gru = nn.GRU(width, hidden, batch_first=True, bidirectional=True)
        self.dense = nn.Linear(2 * hidden, hidden)
        self.classifier = nn.Linear(hidden, labels)
        self.of_tokens = of_tokens

    @classmethod
    def from_pretrained(cls, folder):
        """Reads a folder that Brew wrote."""
        folder = pathlib.Path(folder)
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if config["hidden_act"] != "relu":
            raise ValueError(f"hidden_act is {config['hidden_act']}, and only relu is written here")
        id2label = {int(label): name for label, name in config["id2label"].items()}
        of_tokens = config["architectures"][0].endswith("ForTokenClassification")
        model = cls(config["vocab_size"], config["embedding_size"], config["hidden_size"], len(id2label), of_tokens)
        model.load_state_dict(load_file(folder / "model.safetensors"))
        model.config = types.SimpleNamespace(model_type="bigru", id2label=id2label)
        return model.eval()

    def forward(self, input_ids, attention_mask, token_type_ids=None):
        embedded = self.embeddings["word_embeddings"](input_ids)
        packed = pack_padded_sequence(embedded, attention_mask.sum(1), batch_first=True, enforce_sorted=False)
        states, last = self.gru(packed)
        states, _ = pad_packed_sequence(states, batch_first=True, total_length=input_ids.shape[1])
        tokens = torch.relu(self.dense(states))
        texts = torch.relu(self.dense(torch.cat([last[0], last[1]], dim=1)))
        logits = self.classifier(tokens if self.of_tokens else texts)
        return types.SimpleNamespace(logits=logits, hidden_states=(embedded, tokens), attentions=())
