"""Makes crates/brew-data/tests/golden/words.json: what transformers makes of texts that are words already.

    scripts/setup-peer.sh && .venv-peer/bin/python xtask/peer/make_words_golden.py

Two tokenizers, stored in the golden as tokenizer.json: BERT's over the pieces of make_tokenizer_golden.py, and RoBERTa's
over a vocabulary learned here. A case is words and what the fast tokenizer gives for them with is_split_into_words=True:
`input_ids` and the word of each token, `null` for a special one. The tokenizer of Brew's that reads RoBERTa's
tokenizer.json has add_prefix_space=False, as the published one; the peer's has True, as transformers demands for words.
"""

import json
import random
import tempfile
from pathlib import Path

import tokenizers
import transformers
from make_tokenizer_golden import PIECES, TEXTS
from tokenizers import ByteLevelBPETokenizer, Tokenizer
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.processors import RobertaProcessing
from transformers import BertTokenizerFast, RobertaTokenizerFast

GOLDEN = Path(__file__).resolve().parents[2] / "crates/brew-data/tests/golden/words.json"
ODD = ["", " ", "\u200d", "\ufe0f", "\u0301", "\u3000", "\x00", "New York", "don't", "中国", "😀👍", "##ing", "walking" * 3]


def byte_level(add_prefix_space):
    """RoBERTa's tokenizer over a vocabulary learned from the texts, the same one whatever is asked for."""
    learned = ByteLevelBPETokenizer(add_prefix_space=False)
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    corpus = [" ".join(PIECES)] + [text for text in TEXTS if "[" not in text]
    learned.train_from_iterator(corpus, vocab_size=320, special_tokens=special, show_progress=False)
    tokenizer = Tokenizer.from_str(learned.to_str())
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=add_prefix_space)
    ends = [(token, tokenizer.token_to_id(token)) for token in ("</s>", "<s>")]
    tokenizer.post_processor = RobertaProcessing(*ends, add_prefix_space=add_prefix_space)
    return tokenizer


def sentences():
    draw = random.Random(4)
    words = [word for text in TEXTS for word in text.split()] + ODD
    for word in ODD:
        yield ["the", word, "film"]
    for _ in range(40):
        yield draw.choices(words, k=draw.randrange(1, 9))


def main():
    with tempfile.TemporaryDirectory() as folder:
        vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys(PIECES)]
        file = Path(folder) / "vocab.txt"
        file.write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
        bert = BertTokenizerFast(vocab_file=str(file))
    roberta = RobertaTokenizerFast(tokenizer_object=byte_level(True), add_prefix_space=True)
    written = {"bert": bert.backend_tokenizer, "roberta": byte_level(False)}
    cases = []
    for name, tokenizer in [("bert", bert), ("roberta", roberta)]:
        for words in sentences():
            encoded = tokenizer(words, is_split_into_words=True)
            ids, places = encoded["input_ids"], encoded.word_ids()
            cases.append({"tokenizer": name, "words": words, "input_ids": ids, "word_ids": places})
    golden = {
        "made_by": "xtask/peer/make_words_golden.py",
        "transformers": transformers.__version__,
        "tokenizers": tokenizers.__version__,
        "written": {name: json.loads(tokenizer.to_str()) for name, tokenizer in written.items()},
    }
    rows = ",\n".join(json.dumps(case, ensure_ascii=True) for case in cases)
    text = json.dumps(golden, ensure_ascii=True)[:-1] + f',\n"cases": [\n{rows}\n]}}\n'
    json.loads(text)
    GOLDEN.write_text(text, encoding="utf-8")
    print(f"{len(cases)} cases in {GOLDEN}, {len(text)} bytes")


if __name__ == "__main__":
    main()
