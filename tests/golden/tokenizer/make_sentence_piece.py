"""Word and character models and what sentencepiece makes of texts with them.  usage: make_sentence_piece.py OUT_DIR SEED [big]

"big" adds sentencepiece's own normalizers, whose maps have 240 KB. Texts without U+2581 and without the names of control and user-defined pieces: those are other things to a tokenizer.json."""
import io, json, os, random, sys, tempfile
import sentencepiece as spm

out, seed = sys.argv[1], int(sys.argv[2])
random.seed(seed)
SYL = "ka lo mi ren tu sha vel no pra gi est ond al ur che fo bi dal zem ".split()
WORDS = ["".join(random.choice(SYL) for _ in range(random.randint(1, 4))) for _ in range(120)] + ["Hello", "naïve", "日本語", "привет", "ﬁne", "Ⅻ"]
LINES = [" ".join(random.choice(WORDS) for _ in range(random.randint(3, 12))) for _ in range(600)]
TEXTS = ["", " ", "Hello", " Hello  naïve   日本語 ", "unseen words here", "Hello unseen words Hello", "a\tb\nc", "ﬁne Ⅻ", "x", "😀😀", "\u3000wide\u3000", "Hello\u00a0Hello", "don't Q Z 9"]
TEXTS += [" ".join(random.choice(WORDS + ["Zzz", "qq!"]) for _ in range(random.randint(1, 9))) for _ in range(20)]
TEXTS += ["ﬁnﬁ", "e\u0301e e\u0301\u0301", "\u200bKa\u200b lo\u200b", "Ⅻ\u3000Ⅻ\u3000", "abcab abc ab a", "\u200b", "q\u0301\u0323 日\u3099", "🇩🇪🇫🇷 👩‍🚀é", "HeLLo WORLD", "．．．Ａ１", "ΣΑΣ İ ß ẞ", "\u1100\u1161\u11a8"]
# A map of its own: one to one, one to many, many to one, keys that begin others, to a blank, to several, to nothing.
RULES = {"ﬁ": "fi", "Ⅻ": "XII", "e\u0301": "é", "é": "e", "\u3000": " ", "\t": "  ", "\u200b": "", "ab": "ka", "abc": "lo mi", "a": "al", "H": "h", "👩‍🚀": "ka", "q\u0301\u0323": "zem", "🇩": " no "}
rules = tempfile.NamedTemporaryFile("w", suffix=".tsv", delete=False)
for source, target in RULES.items(): rules.write(" ".join(f"{ord(c):X}" for c in source) + "\t" + " ".join(f"{ord(c):X}" for c in target) + "\n")
rules.close()
OWN = {"normalization_rule_tsv": rules.name, "normalization_rule_name": "user_defined"}
MODELS = {
    "word": dict(model_type="word", vocab_size=90),
    "word_blanks": dict(model_type="word", vocab_size=90, remove_extra_whitespaces=False, add_dummy_prefix=False),
    "char": dict(model_type="char", vocab_size=40),
    "char_bytes": dict(model_type="char", vocab_size=300, byte_fallback=True, character_coverage=0.98),
    "char_blanks": dict(model_type="char", vocab_size=40, remove_extra_whitespaces=False),
    "word_map": dict(model_type="word", vocab_size=90, **OWN),
    "word_map_blanks": dict(model_type="word", vocab_size=90, remove_extra_whitespaces=False, **OWN),
    "char_map": dict(model_type="char", vocab_size=45, **OWN),
    "char_map_blanks": dict(model_type="char", vocab_size=45, remove_extra_whitespaces=False, add_dummy_prefix=False, **OWN),
}
if len(sys.argv) > 3:
    for kind in ("word", "char"):
        for rule in ("nmt_nfkc", "nfkc", "nmt_nfkc_cf", "nfkc_cf"): MODELS[f"{kind}_{rule}"] = dict(model_type=kind, vocab_size=60, normalization_rule_name=rule)
os.makedirs(os.path.join(out, "models"), exist_ok=True)
with open(os.path.join(out, "cases.jsonl"), "w", encoding="utf-8") as f:
    for name, options in MODELS.items():
        model = io.BytesIO()
        options = dict({"normalization_rule_name": "identity", "character_coverage": 0.98}, **options)
        spm.SentencePieceTrainer.train(sentence_iterator=iter(LINES), model_writer=model, minloglevel=2, num_threads=1, **options)
        data = model.getvalue()
        open(os.path.join(out, "models", name + ".model"), "wb").write(data)
        processor = spm.SentencePieceProcessor(model_proto=data)
        rows = []
        for text in TEXTS:
            row = {"text": text, "ids": processor.encode(text)}
            if processor.unk_id() not in row["ids"]: row["decoded"] = processor.decode(row["ids"])
            rows.append(row)
        f.write(json.dumps({"model": name, "texts": rows}, ensure_ascii=False) + "\n")
