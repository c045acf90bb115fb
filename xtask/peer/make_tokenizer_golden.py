"""Makes crates/brew-data/tests/golden/tokenizer.json: what transformers' BERT tokenizer makes of awkward text.

    scripts/setup-peer.sh && .venv-peer/bin/python xtask/peer/make_tokenizer_golden.py

The vocabulary is made here and stored in the golden, so that nothing has to be downloaded.
"""

import json
import random
import tempfile
from pathlib import Path

import tokenizers
import transformers
from transformers import BertTokenizerFast

GOLDEN = Path(__file__).resolve().parents[2] / "crates/brew-data/tests/golden/tokenizer.json"

PIECES = """
the a film movie play run walk un able ##able ##ing ##ed ##s ##er ##est ##ly ##ness fair un ##fair good bad cafe café
Café naive naïve resume résumé Zürich zurich strasse straße istanbul İ i I The A Film New York new york don can ' s t re
##n't 15 2024 3 . , ! ? ; : - _ / \\ ( ) [ ] { } " # $ % & * + = < > @ ^ ` ~ | … — “ ” ‘ ’ € £ ° 。 ， ！ ？ 、 《 》 （ ）
中 国 人 民 我 爱 北 京 天 安 门 好 坏 电 影 酒 店 很 ##国 ##影 漢 字 カ タ か な ##タ ##な 한 국 ##국 ﬁ fi ##fi
é ##é ö ##ö ü ##ü ñ ##ñ а б в ##а ##б привет мир ##мир ##ир שלום مرحبا 😀 ##😀 👍
""".split()

TEXTS = [
    "the film",
    "The Film is GOOD, walking unfairly!",
    "",
    " ",
    " \t\n\r ",
    "the\tfilm\nruns\r\nfair",
    "café Café CAFÉ cafe\u0301 naïve résumé",
    "Zürich ZÜRICH Zu\u0308rich straße STRASSE",
    "İstanbul istanbul ISTANBUL ıI",
    "我爱北京天安门。",
    "我爱the电影，很好！",
    "中国人民 中 国",
    "漢字カタカナかな",
    "한국 한국인",
    "\U00020000中\U0002a6df good",
    "don't can't they're it's",
    "15.4寸 $3,000 2024-01-02 99%",
    "((the)) [film] {good} <bad> \"fair\" 'run'",
    "“the” ‘film’ … — good—bad",
    "a_b-c/d\\e #tag @user the+film=good",
    "the\u0000film\ufffdgood\u200dbad\u200bfair\ufeffrun",
    "\u0001\u0002\u007f\u0085",
    "the\u00a0film\u3000good\u2003bad\u2028fair",
    "x" * 100,
    "x" * 101,
    "a" * 200 + " film",
    "able" * 25,
    "able" * 25 + "s",
    "unable unfairness goodest walkers",
    "zzz the qqq film",
    "😀 film 😀😀 👍🏽 👨‍👩‍👧",
    "привет мир Привет",
    "שלום مرحبا",
    "ﬁlm ﬁ ①②",
    "ÀÉÎÕÜ àéîõü Ñandú",
    "e\u0301\u0302\u0303",
    "\u0301the",
    "the [SEP] film [MASK] [CLS] [PAD] [UNK]",
    "[sep] [Mask] [UNKNOWN]",
    "the[SEP]film",
    "． ， ！ ＴＨＥ Ｆｉｌｍ",
    "!!!???...",
    "New York new york NEW YORK",
    "http://the.film/a?b=c&d=e#f",
    "the  film   good    ",
    "१२३ ๑๒๓ ٣٤",
    "Ωμέγα ΩΜΈΓΑ ς",
    "ǅ ǆ Ǆ ŉ",
    "\u202ethe\u202c film\u2066",
    "e\u0327\u0301 ç̌ film",
    "《我》、（爱）？",
    "the-film_good's run.",
]

PAIRS = [
    ("the film", "the movie is good"),
    ("", "film"),
    ("the film", ""),
    ("", ""),
    ("我爱北京", "北京天安门很好"),
    ("the film [SEP] good", "bad café"),
    ("the good film runs", "the bad film walks"),
]

SETTINGS = {
    "uncased": {"do_lower_case": True, "tokenize_chinese_chars": True, "strip_accents": None},
    "cased": {"do_lower_case": False, "tokenize_chinese_chars": True, "strip_accents": None},
    "lower_with_accents": {"do_lower_case": True, "tokenize_chinese_chars": False, "strip_accents": False},
    "cased_without_accents": {"do_lower_case": False, "tokenize_chinese_chars": True, "strip_accents": True},
}


def truncated_pairs():
    """Pairs of many lengths under limits that cut one text, the other or both."""
    draw = random.Random(0)
    words = ["the", "film", "good", "bad", "walking", "fair", "中"]
    for _ in range(60):
        first, second = (" ".join(draw.choices(words, k=draw.randrange(0, 14))) for _ in range(2))
        yield first, second, draw.randrange(5, 24)


def main():
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys(PIECES)]
    cases = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "vocab.txt"
        file.write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
        for name, setting in SETTINGS.items():
            tokenizer = BertTokenizerFast(vocab_file=str(file), **setting)
            inputs = [(text, None, length) for text in TEXTS for length in (512, 6)]
            inputs += [(*pair, length) for pair in PAIRS for length in (512, 7, 8)]
            if name == "uncased":
                inputs += truncated_pairs()
            for text, pair, length in inputs:
                encoded = tokenizer(text, pair, truncation="longest_first", max_length=length)
                cases.append({
                    "setting": name,
                    "text": text,
                    "text_pair": pair,
                    "max_length": length,
                    "input_ids": encoded["input_ids"],
                    "token_type_ids": encoded["token_type_ids"],
                })
    golden = {
        "made_by": "xtask/peer/make_tokenizer_golden.py",
        "transformers": transformers.__version__,
        "tokenizers": tokenizers.__version__,
        "vocabulary": vocabulary,
        "settings": SETTINGS,
        "cases": "@cases@",
    }
    rows = ",\n".join("    " + json.dumps(case, ensure_ascii=True) for case in cases)
    text = json.dumps(golden, indent=2, ensure_ascii=True).replace('"@cases@"', f"[\n{rows}\n  ]")
    GOLDEN.parent.mkdir(parents=True, exist_ok=True)
    GOLDEN.write_text(text + "\n", encoding="utf-8")
    print(f"{len(cases)} cases in {GOLDEN}")


if __name__ == "__main__":
    main()
