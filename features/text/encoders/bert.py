"""BERT (Devlin et al. 2019) and its kin: the last layer's states, and the pooled [CLS] where the weights have a pooler.

``bert:FOLDER`` in Hugging Face's layout, with its tokeniser; ``bert:bert-base-uncased`` and ``bert:bert-base-cased``,
or any OWNER/NAME, from the Hub; ``bert:FOLDER=random``. [CLS] and [SEP] are among the tokens.
"""

from __future__ import annotations

import inspect

import torch
from torch import Tensor

from features.encoders.encoder import EncoderName, EncoderOptions, settled_device
from features.errors import HeedError
from features.hugging_face import load_pretrained, random_model, read_config, transformers, weight_names
from features.text.encoders.encoder import TextEncoder, folder_of, read_tokenizer, vocabulary_digest
from features.weights import digest, warn_random

KINDS = {
    "bert": "BertModel", "roberta": "RobertaModel", "xlm-roberta": "XLMRobertaModel", "distilbert": "DistilBertModel",
    "mpnet": "MPNetModel", "electra": "ElectraModel", "albert": "AlbertModel",
}
"""Model type in config.json -> class of transformers."""
PUBLISHED = {name: f"google-bert/{name}" for name in ("bert-base-uncased", "bert-base-cased", "bert-large-uncased")}
LONGEST = 512


def load(name: EncoderName, options: EncoderOptions) -> TextEncoder:
    """Build the network and load its weights; raises `HeedError` when they cannot be had or do not fit."""
    library = transformers()
    folder = folder_of(name, PUBLISHED)
    config = read_config(folder)
    if config.model_type not in KINDS:
        raise HeedError(f"{folder} is a {config.model_type}; the text encoder bert reads {', '.join(KINDS)}.")
    kind = getattr(library, KINDS[config.model_type])
    random = name.weights == "random"
    optional = "add_pooling_layer" in inspect.signature(kind.__init__).parameters
    pools = optional and (random or any(".pooler." in f".{weight}" for weight in weight_names(folder)))
    settings = {"add_pooling_layer": pools} if optional else {}
    if random:
        warn_random(f"The text encoder bert:{name.name}")
        model = random_model(kind, config, **settings)
    else:
        model = load_pretrained(kind, folder, KINDS[config.model_type], config, **settings)
    device = settled_device(options)
    model = model.to(device)
    tokenizer = read_tokenizer(folder)

    def forward(ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor | None]:
        found = model(input_ids=ids, attention_mask=mask)
        return found.last_hidden_state, found.pooler_output if pools else None

    identity = {"name": "bert", "architecture": config.model_type, "weights": digest(model.state_dict()),
                "feature": "states of the last layer" + ("; pooled [CLS]" if pools else ""),
                "vocabulary": vocabulary_digest(tokenizer)}
    dim = int(config.dim if config.model_type == "distilbert" else config.hidden_size)
    most = min(LONGEST, int(config.max_position_embeddings))
    return TextEncoder(identity, dim, dim if pools else 0, tokenizer, forward, most, device,
                       {"torch": torch.__version__, "transformers": library.__version__})
